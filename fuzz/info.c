/* fuzz/info.c - bodies of SIP INFO that may be digits: application/dtmf-relay and application/dtmf
 *
 * The first byte chooses the type, the rest is the body.
 */
#include "engine/private.h"
#include "fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = { "application/dtmf-relay", "application/dtmf",
					     "Application/DTMF-Relay; charset=utf-8", "text/plain",
					     NULL };
	struct session_body body = { 0 };
	int duration_ms = -1;
	char digit = 0;

	if (!size)
		return 0;
	body.type = types[data[0] % ARRAY_LEN(types)];
	body.data = data + 1;
	body.len = size - 1;
	if (!digits_of_info(&body, &digit, &duration_ms)) {
		if (digit || duration_ms != -1)
			abort();
		return 0;
	}
	if (!body.type || body.type[0] == 't' || !digit || !strchr("0123456789*#ABCD", digit) ||
	    duration_ms < 1 || duration_ms > 6000)
		abort();
	return 0;
}
