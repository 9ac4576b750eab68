/* engine/spec.h - what an engine must know of a profile (a line) and of a phone (a device)
 *
 * Plain values with bounded members. One malloc each; whoever frees one zeroes its secrets first.
 */
#pragma once

#include "event/view.h"

enum transport_kind { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_TLS, TRANSPORT_WS };
enum caller_id_mode {
	CALLER_ID_FROM,
	CALLER_ID_FROM_PAI,
	CALLER_ID_PAI,
	CALLER_ID_PPI,
	CALLER_ID_RPID,
	CALLER_ID_ANONYMOUS
};
#define DTMF_DIGITS_MAX 256 /* in one request */
enum dtmf_mode { DTMF_AUTO, DTMF_RFC4733, DTMF_INFO, DTMF_INBAND };
enum srtp_mode { SRTP_OFF, SRTP_OPTIONAL, SRTP_REQUIRED };
enum incoming_type {
	INCOMING_OWNER,
	INCOMING_API,
	INCOMING_NUMBER,
	INCOMING_USER,
	INCOMING_IVR,
	INCOMING_CONFERENCE
};

/* Everything the call loop needs of a profile. */
struct line_spec {
	struct id id, tenant, owner;
	char server[256], outbound_proxy[256];
	int port; /* 0: by RFC 3263 */
	enum transport_kind transport;
	char username[VIEW_NUMBER_SIZE], auth_username[VIEW_NUMBER_SIZE], password[256];
	char caller_number[VIEW_NUMBER_SIZE], caller_name[VIEW_NAME_SIZE];
	enum caller_id_mode caller_mode;
	bool registers; /* false: a trunk known by address */
	bool enabled;	/* false: unregistered by the user */
	int expires;
	char codecs[8][16]; /* in order of preference; empty string ends */
	enum dtmf_mode dtmf;
	enum srtp_mode srtp;
	int max_calls;
	enum { RECORD_NEVER, RECORD_ALWAYS, RECORD_ON_DEMAND } record;
	enum incoming_type incoming;
	char incoming_target[VIEW_NUMBER_SIZE]; /* number, room or ivr id */
	struct id incoming_id;			/* user or profile to go out through */
	bool record_beep;			/* those on a recording hear that they are */
	bool mask_dtmf;				/* which digits come in is told to nobody */
	struct id hold_music;			/* a prompt; none: our own music */
};

/* Where a phone could be reached before a restart, as engine_device_state() told; all of it borrowed. */
struct device_binding {
	const char *contact, *path; /* path: NULL without */
	const char *address, *transport, *user_agent;
	int64_t expires_at;
};

struct device_spec {
	struct id id, tenant, user;
	char username[64], password[128];
	char name[VIEW_NAME_SIZE];
};
