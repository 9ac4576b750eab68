/* api/profiles.h - what profiles.c and register.c share */
#pragma once

#include "api/private.h"

/* A new or changed profile: read, taken from the body, written and told to the call loop in one transaction. */
struct profile_change {
	struct api_req *req;
	struct id id;
	bool create;
	json_t *(*take_body)(struct db *db, struct api_req *req, struct sip_profile *profile);
	struct sip_profile profile;
	json_t *complaints;
	bool forbidden, busy, told;
};

/* Return: NULL when the change was made and told, else the answer. */
struct api_done *profile_change_run(struct profile_change *change) must_check;
/* For profile_change.take_body: a whole new profile from the request's body. */
json_t *profile_take_new(struct db *db, struct api_req *req, struct sip_profile *profile);
json_t *profile_take(struct db *db, struct api_req *req, bool partial, struct sip_profile *profile);

/* The call loop's registrations of these, in this order; NULL when it does not answer. */
struct reply *registrations_ask(struct api_req *req, const struct id *ids, unsigned count);
/* Return: NULL when the call loop knows none. */
const struct registration_view *registrations_at(const struct reply *reply, unsigned index);
/* `view`, or what a profile has of which the call loop says nothing. */
json_t *registration_json(const struct sip_profile *profile, const struct registration_view *view);

/* register.c */
struct api_done *register_sip(struct api_req *req);
struct api_done *profile_test(struct api_req *req);
