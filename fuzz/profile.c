/* fuzz/profile.c - the largest body there is, a profile's, through its own rules */
#include "base/base.h"
#include "fuzz/target.h"
#include "store/sip_profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct sip_profile profile = profile_defaults;
	json_t *body = json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL);
	json_t *errors;

	if (!body)
		return 0;
	errors = profile_from_json(body, false, arena, &profile);
	if (!errors)
		json_decref(profile_to_json(&profile));
	json_decref(errors);
	json_decref(body);
	return 0;
}
