/* register-sip, and the test of a profile: the call loop's answer is waited for by a parked request */
#include "api/profiles.h"

#include <stdatomic.h>

#define WAIT_MAX_S 30
#define TEST_MS 40000

/* Shared by the request and the call loop, whoever of them goes last frees it. */
struct awaited {
	atomic_int refs;
	struct web_token token;
	_Atomic(struct reply *) reply;
	struct id profile;
	int status; /* of the answer */
};

static void awaited_unref(void *arg)
{
	struct awaited *awaited = arg;

	if (atomic_fetch_sub(&awaited->refs, 1) != 1)
		return;
	reply_free(atomic_load(&awaited->reply));
	free(awaited);
}

/* On the call loop's thread: only passes it on. */
static void on_awaited(void *arg, struct reply *reply)
{
	struct awaited *awaited = arg;

	atomic_store(&awaited->reply, reply);
	web_wake(awaited->token);
	awaited_unref(awaited);
}

static struct api_done *await_reply(struct api_req *req, struct command *command, struct id profile,
				    int status, unsigned timeout_ms,
				    struct api_done *(*next)(struct api_req *req, void *awaited))
{
	struct awaited *awaited = xzalloc(sizeof(*awaited));

	atomic_init(&awaited->refs, 2);
	awaited->token = web_park_token(req->web);
	awaited->profile = profile;
	awaited->status = status;
	command->asker = api_asker(req);
	if (!call_ask_async(req->api->setup.gate, command, on_awaited, awaited)) {
		web_token_drop(awaited->token);
		atomic_store(&awaited->refs, 1);
		awaited_unref(awaited);
		return api_fail_reply(req, NULL);
	}
	return api_park(req, timeout_ms, next, awaited, awaited_unref);
}

static struct api_done *answer_registration(struct api_req *req, int status,
					    const struct sip_profile *profile)
{
	struct reply *reply = registrations_ask(req, &profile->id, 1);
	const struct registration_view *view = registrations_at(reply, 0);
	json_t *body = json_pack("{s:s, s:o}", "profile_id", id_str(profile->id), "registration",
				 registration_json(profile, view));

	reply_free(reply);
	return api_json(req, status, body);
}

static struct api_done *registration_waited(struct api_req *req, void *arg)
{
	struct awaited *awaited = arg;
	struct reply *reply = atomic_load(&awaited->reply);
	struct sip_profile profile = { 0 };
	int r;

	if (reply && reply->code != REPLY_OK)
		return api_fail_reply(req, atomic_exchange(&awaited->reply, NULL));
	r = profile_get(req->db, req->arena, req->user->tenant, awaited->profile, &profile);
	return r ? api_fail(req, r) : answer_registration(req, awaited->status, &profile);
}

static const char *const register_actions[] = { "register", "unregister", NULL };

static struct api_done *register_run(struct api_req *req, struct sip_profile *profile, bool on,
				     int wait_s, bool created)
{
	struct command command = { .type = COMMAND_PROFILE_REGISTER,
				   .profile_id = profile->id,
				   .on = on };
	struct command wait = { .type = COMMAND_PROFILE_WAIT,
				.profile_id = profile->id,
				.timeout_ms = (unsigned)wait_s * 1000 };
	struct reply *reply;
	int r = profile_set_enabled(req->db, req->user->tenant, profile->id, on);

	if (r)
		return api_fail(req, r);
	profile->enabled = on;
	reply = api_ask(req, &command);
	if (!reply || reply->code != REPLY_OK)
		return api_fail_reply(req, reply);
	reply_free(reply);
	if (!wait_s)
		return answer_registration(req, created ? 201 : 202, profile);
	return await_reply(req, &wait, profile->id, created ? 201 : 200,
			   (unsigned)wait_s * 1000 + 2000, registration_waited);
}

/* With the fields of a new profile: creates it first. */
static struct api_done *register_new(struct api_req *req, bool on, int wait_s)
{
	struct profile_change change = { .req = req,
					 .create = true,
					 .take_body = profile_take_new };
	struct api_done *no = profile_change_run(&change);

	return no ?: register_run(req, &change.profile, on, wait_s, true);
}

struct api_done *register_sip(struct api_req *req)
{
	json_t *complaints = NULL;
	bool on = api_word(req->body, "action", register_actions, 0, &complaints) == 0;
	struct sip_profile profile = { 0 };
	struct id id = ID_NONE;
	struct api_done *no;
	int wait_s = 0;

	api_int(req->body, "wait", 0, WAIT_MAX_S, &wait_s, &complaints);
	api_id(req->body, "profile_id", false, &id, &complaints);
	if (!complaints && id_is_none(id) && !json_object_get(req->body, "server") &&
	    !json_object_get(req->body, "username"))
		field_complain(&complaints, "profile_id",
			       "This field is required, or the fields of a new profile.");
	if (complaints)
		return api_invalid(req, complaints);
	if (id_is_none(id))
		return register_new(req, on, wait_s);
	no = api_profile_get(req, id, true, &profile);
	return no ?: register_run(req, &profile, on, wait_s, false);
}

static struct api_done *test_waited(struct api_req *req, void *arg)
{
	struct awaited *awaited = arg;
	struct reply *reply = atomic_exchange(&awaited->reply, NULL);
	char *text;

	if (!reply || reply->code != REPLY_OK || !reply->text)
		return api_fail_reply(req, reply);
	text = take(reply->text);
	reply_free(reply);
	return api_text(req, 200, "application/json", text, strlen(text));
}

/* The fields of a profile, or an id with changed fields over it. */
struct api_done *profile_test(struct api_req *req)
{
	struct command command = { .type = COMMAND_PROFILE_TEST, .timeout_ms = TEST_MS - 5000 };
	struct sip_profile profile = profile_defaults;
	json_t *complaints = NULL;
	struct id id = ID_NONE;
	struct api_done *no;
	bool stored;

	stored = api_id(req->body, "profile_id", false, &id, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	if (stored) {
		no = api_profile_get(req, id, true, &profile);
		if (no)
			return no;
	} else {
		profile.id = id_new();
		profile.tenant_id = req->user->tenant;
		profile.owner = req->user->id;
	}
	complaints = profile_take(req->db, req, stored, &profile);
	if (complaints)
		return api_invalid(req, complaints);
	if (!profile.password && !profile.secret)
		profile.password = "";
	command.body = api_line_spec(req->api->setup.seal, &profile);
	if (!command.body)
		return api_error(req, 500, "error");
	return await_reply(req, &command, profile.id, 200, TEST_MS, test_waited);
}
