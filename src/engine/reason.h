/* engine/reason.h - the one table of SIP codes, stable reasons and Q.850 causes
 *
 * Pure; any thread.
 */
#pragma once

#include "event/view.h"

/* What we say to the far end (a final response) when a channel ends before it was answered. */
int reason_code(enum end_reason reason);
/* The cause for a Reason header or a log (ITU-T Q.850); 0 for END_NONE. */
int reason_q850(enum end_reason reason);
/* The reason phrase that goes with a code of ours. */
const char *reason_phrase(int code);

/* What a far end's final answer to an INVITE means. Any code from 300 on. */
enum end_reason reason_from_code(int code);
int reason_code_q850(int code);
/* What the cause of a Reason header (RFC 3326) means; END_NONE when it says nothing of its own. */
enum end_reason reason_from_q850(int cause);
