#include "../http/peer.h"
#include "call/command.h"
#include "rig.h"
#include "store/room.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#define NOBODY "00000000-0000-7000-8000-000000000000"

static int status_of(const struct rig *rig, const char *method, const char *path, const char *token,
		     const char *body)
{
	auto_got got;

	ask(rig, method, path, token, NULL, body, &got);
	if (got.status >= 400)
		assert_true(json_is_object(got.json));
	return got.status;
}

static void profiles_live_and_die(void **state)
{
	struct rig *rig = *state;
	struct person ada;
	char id[40];
	auto_(free) char *path = NULL;
	unsigned puts;

	sign_up(rig, &ada);
	puts = fake_loop_count(rig->loop, COMMAND_PROFILE_PUT);
	add_profile(rig, &ada, "line1", id);
	assert_int_equal(fake_loop_count(rig->loop, COMMAND_PROFILE_PUT), puts + 1);
	path = xasprintf("/api/sip-profiles/%s/", id);
	{
		auto_got got;

		ask(rig, "GET", path, ada.access, NULL, NULL, &got);
		assert_int_equal(got.status, 200);
		assert_string_equal(got_str(&got, "registration.state"), "registered");
		assert_string_equal(got_str(&got, "incoming.type"), "owner");
		assert_true(json_is_null(json_object_get(got.json, "port")));
		assert_null(strstr(got.text, "s3cret-word"));
		assert_null(json_object_get(got.json, "password"));
	}
	assert_int_equal(
		status_of(
			rig, "POST", "/api/add-sip-profile/", ada.access,
			"{\"name\": \"n\", \"server\": \"sip.example.com\", \"username\": \"line1\"}"),
		409);
	{
		auto_got got;

		ask(rig, "PATCH", path, ada.access, NULL,
		    "{\"name\": \"Front\", \"port\": 5070, \"unknown\": 1}", &got);
		assert_int_equal(got.status, 200);
		assert_string_equal(got_str(&got, "name"), "Front");
		assert_string_equal(got_str(&got, "username"), "line1");
	}
	assert_int_equal(fake_loop_count(rig->loop, COMMAND_PROFILE_PUT), puts + 2);
	fake_loop_answer(rig->loop, COMMAND_PROFILE_DROP, REPLY_PROFILE_IN_USE);
	assert_int_equal(status_of(rig, "DELETE", path, ada.access, NULL), 409);
	fake_loop_answer(rig->loop, COMMAND_PROFILE_DROP, REPLY_OK);
	assert_int_equal(status_of(rig, "DELETE", "/api/delete-sip-profile/", ada.access, NULL),
			 400);
	{
		auto_(free) char *by_body = xasprintf("{\"profile_id\": \"%s\"}", id);

		assert_int_equal(status_of(rig, "DELETE", "/api/delete-sip-profile", ada.access,
					   by_body),
				 204);
	}
	assert_int_equal(status_of(rig, "GET", path, ada.access, NULL), 404);
}

static void every_bad_field_is_named(void **state)
{
	struct rig *rig = *state;
	struct person ada;
	auto_got got;

	sign_up(rig, &ada);
	ask(rig, "POST", "/api/add-sip-profile/", ada.access, NULL,
	    "{\"server\": \"sip://x\", \"port\": 70000, \"transport\": \"pigeon\", \"caller_id\": {\"number\": \"1\\r\\nX: y\"},"
	    " \"incoming\": {\"type\": \"user\", \"user_id\": \"" NOBODY "\"}}",
	    &got);
	assert_int_equal(got.status, 400);
	assert_non_null(json_object_get(got.json, "server"));
	assert_non_null(json_object_get(got.json, "port"));
	assert_non_null(json_object_get(got.json, "transport"));
	assert_non_null(json_object_get(got.json, "username"));
	assert_non_null(json_object_get(got.json, "caller_id"));
	assert_non_null(json_object_get(got.json, "incoming"));
}

static void lists_come_in_pages(void **state)
{
	struct rig *rig = *state;
	struct person ada;
	char id[40], name[16];

	sign_up(rig, &ada);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		add_profile(rig, &ada, name, id);
	}
	{
		auto_got got;

		ask(rig, "GET",
		    "/api/list-sip-profiles/?page_size=2&ordering=-username&search=user",
		    ada.access, NULL, NULL, &got);
		assert_int_equal(got.status, 200);
		assert_int_equal(json_integer_value(json_object_get(got.json, "count")), 5);
		assert_string_equal(
			got_str(&got, "next"),
			"http://api.example/api/list-sip-profiles/?page_size=2&ordering=-username&search=user&page=2");
		assert_true(json_is_null(json_object_get(got.json, "previous")));
		assert_string_equal(json_string_value(json_object_get(
					    json_array_get(json_object_get(got.json, "results"), 0),
					    "username")),
				    "user4");
	}
	{
		auto_got got;

		ask(rig, "GET", "/api/list-sip-profiles/?page=3&page_size=2", ada.access, NULL,
		    NULL, &got);
		assert_int_equal(got.status, 200);
		assert_int_equal(json_array_size(json_object_get(got.json, "results")), 1);
		assert_true(json_is_null(json_object_get(got.json, "next")));
		assert_string_equal(got_str(&got, "previous"),
				    "http://api.example/api/list-sip-profiles/?page_size=2&page=2");
	}
	{
		auto_got got;

		ask(rig, "GET", "/api/list-sip-profiles/?page=4&page_size=2", ada.access, NULL,
		    NULL, &got);
		assert_int_equal(got.status, 404);
		assert_string_equal(got_str(&got, "detail"), "Invalid page.");
	}
	assert_int_equal(
		status_of(rig, "GET", "/api/list-sip-profiles/?page=zero", ada.access, NULL), 404);
	assert_int_equal(status_of(rig, "GET", "/api/list-sip-profiles/?page_size=lots", ada.access,
				   NULL),
			 200);
	assert_int_equal(status_of(rig, "GET", "/api/list-sip-profiles/?state=no-such", ada.access,
				   NULL),
			 400);
	assert_int_equal(status_of(rig, "GET", "/api/list-sip-profiles/?owner=x", ada.access, NULL),
			 400);
	assert_int_equal(status_of(rig, "GET", "/api/call-logs/?type=no-such", ada.access, NULL),
			 400);
	assert_int_equal(status_of(rig, "GET", "/api/call-logs/?started_after=yesterday",
				   ada.access, NULL),
			 400);
	assert_int_equal(status_of(rig, "GET",
				   "/api/call-logs/?type=incoming,recorded&status=missed",
				   ada.access, NULL),
			 200);
	{
		auto_got got;

		ask(rig, "GET", "/api/list-sip-profiles/?state=registered", ada.access, NULL, NULL,
		    &got);
		assert_int_equal(json_integer_value(json_object_get(got.json, "count")), 5);
	}
	{
		auto_got got;

		ask(rig, "GET", "/api/list-sip-profiles/?state=unreachable", ada.access, NULL, NULL,
		    &got);
		assert_int_equal(json_integer_value(json_object_get(got.json, "count")), 0);
	}
}

/* Every answer is JSON that says something, whatever a client sends. */
static void odd_requests_break_no_list(void **state)
{
	struct rig *rig = *state;
	struct person ada;
	char id[40], odd[400] = "/api/recordings/?state=";
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	auto_(free) char *request = NULL;
	json_t *json;
	int fd;

	sign_up(rig, &ada);
	add_profile(rig, &ada, "odd1", id);
	add_profile(rig, &ada, "odd2", id);
	request = xasprintf("GET /api/list-sip-profiles/?page_size=1 HTTP/1.1\r\nHost: \xff\r\n"
			    "Authorization: Bearer %s\r\n\r\n",
			    ada.access);
	fd = peer_connect(rig->port);
	peer_text(fd, request);
	assert_int_equal(peer_answer(fd, &text, false), 200);
	close(fd);
	json = json_loads(strstr(text.data, "\r\n\r\n") + 4, 0, NULL);
	assert_non_null(json);
	assert_true(json_is_null(json_object_get(json, "next")));
	json_decref(json);

	for (unsigned i = 0; i < 30; i++)
		strcat(odd, "%E2%82%AC");
	{
		auto_got got;
		json_t *messages;

		ask(rig, "GET", odd, ada.access, NULL, NULL, &got);
		assert_int_equal(got.status, 400);
		messages = json_object_get(got.json, "state");
		assert_int_equal(json_array_size(messages), 1);
		assert_non_null(strstr(json_string_value(json_array_get(messages, 0)),
				       "Not a valid choice: "));
	}
}

static void an_idempotency_key_answers_again(void **state)
{
	struct rig *rig = *state;
	static const char body[] =
		"{\"server\": \"sip.example.com\", \"username\": \"once\", \"name\": \"n\"}";
	static const char other[] =
		"{\"server\": \"sip.example.com\", \"username\": \"twice\", \"name\": \"n\"}";
	struct person ada, eve;
	auto_got one;
	auto_got two;
	auto_got three;
	auto_got four;

	sign_up(rig, &ada);
	sign_up(rig, &eve);
	ask(rig, "POST", "/api/add-sip-profile/", ada.access, "Idempotency-Key: k1\r\n", body,
	    &one);
	ask(rig, "POST", "/api/add-sip-profile/", ada.access, "Idempotency-Key: k1\r\n", body,
	    &two);
	ask(rig, "POST", "/api/add-sip-profile/", ada.access, "Idempotency-Key: k1\r\n", other,
	    &three);
	ask(rig, "POST", "/api/add-sip-profile/", eve.access, "Idempotency-Key: k1\r\n", body,
	    &four);
	assert_int_equal(one.status, 201);
	assert_int_equal(two.status, 201);
	assert_string_equal(one.text, two.text);
	assert_non_null(strstr(two.head, "Location: /api/sip-profiles/"));
	assert_int_equal(three.status, 409);
	assert_int_equal(four.status, 201);
	assert_string_not_equal(got_str(&one, "id"), got_str(&four, "id"));
}

static void other_tenants_things_are_not_there(void **state)
{
	struct rig *rig = *state;
	struct person ada, eve;
	char id[40];
	static const char *const paths[][3] = {
		{ "GET", "/api/sip-profiles/%s/", NULL },
		{ "PATCH", "/api/sip-profiles/%s/", "{\"name\": \"mine\"}" },
		{ "DELETE", "/api/sip-profiles/%s/", NULL },
		{ "DELETE", "/api/delete-sip-profile/?profile_id=%s", NULL },
	};
	static const char *const bodies[][2] = {
		{ "/api/register-sip/", "{\"profile_id\": \"%s\"}" },
		{ "/api/set-caller-id/", "{\"profile_id\": \"%s\", \"number\": \"100\"}" },
		{ "/api/make-call/",
		  "{\"profile_id\": \"%s\", \"to\": \"100\", \"connect\": {\"echo\": true}}" },
		{ "/api/hangup-call/", "{\"call_id\": \"%s\"}" },
		{ "/api/answer-call/", "{\"call_id\": \"%s\", \"connect\": {\"echo\": true}}" },
	};

	sign_up(rig, &ada);
	sign_up(rig, &eve);
	add_profile(rig, &ada, "hers", id);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		auto_(free) char *path = xasprintf(paths[i][1], id);

		assert_int_equal(status_of(rig, paths[i][0], path, eve.access, paths[i][2]), 404);
	}
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		auto_(free) char *body = xasprintf(bodies[i][1], id);

		assert_int_equal(status_of(rig, "POST", bodies[i][0], eve.access, body), 404);
	}
#pragma GCC diagnostic pop
	{
		auto_(free) char *body = xasprintf("{\"default_profile_id\": \"%s\"}", id);

		assert_int_equal(status_of(rig, "PATCH", "/api/auth/me/", eve.access, body), 400);
	}
}

static void roles_decide(void **state)
{
	struct rig *rig = *state;
	struct person ada, agent, supervisor;
	char id[40];
	auto_(free) char *path = NULL;

	sign_up(rig, &ada);
	add_user(rig, &ada, "agent", &agent);
	add_user(rig, &ada, "supervisor", &supervisor);
	add_profile(rig, &ada, "hers", id);
	path = xasprintf("/api/sip-profiles/%s/", id);
	assert_int_equal(status_of(rig, "GET", path, agent.access, NULL), 403);
	assert_int_equal(status_of(rig, "GET", path, supervisor.access, NULL), 200);
	assert_int_equal(status_of(rig, "PATCH", path, supervisor.access, "{\"name\": \"x\"}"),
			 403);
	assert_int_equal(status_of(rig, "GET", "/api/users/", supervisor.access, NULL), 403);
	/* What only admins may do is refused before it is looked for. */
	assert_int_equal(status_of(rig, "DELETE", "/api/recordings/" NOBODY "/", supervisor.access,
				   NULL),
			 403);
	assert_int_equal(status_of(rig, "PATCH", "/api/recordings/" NOBODY "/", supervisor.access,
				   "{\"legal_hold\": true}"),
			 403);
	assert_int_equal(status_of(rig, "DELETE", "/api/recordings/" NOBODY "/", ada.access, NULL),
			 404);
	{
		auto_got got;

		ask(rig, "GET", "/api/list-sip-profiles/", agent.access, NULL, NULL, &got);
		assert_int_equal(json_integer_value(json_object_get(got.json, "count")), 0);
	}
	{
		auto_got got;

		ask(rig, "POST", "/api/add-sip-profile/", agent.access, NULL,
		    "{\"server\": \"sip.example.com\", \"username\": \"many\", \"name\": \"n\", \"max_calls\": 11}",
		    &got);
		assert_int_equal(got.status, 400);
		assert_non_null(json_object_get(got.json, "max_calls"));
	}
}

static void calls_are_asked_for_and_refused_clearly(void **state)
{
	struct rig *rig = *state;
	static const struct {
		enum reply_code code;
		int status;
		const char *word;
	} outcomes[] = {
		{ REPLY_NO_DEVICE, 409, "no_device" },
		{ REPLY_PROFILE_NOT_USABLE, 409, "profile_not_usable" },
		{ REPLY_DESTINATION, 403, "destination_not_allowed" },
		{ REPLY_LIMIT, 429, "limit" },
		{ REPLY_UNSUPPORTED, 409, "not_supported" },
		{ REPLY_DRAINING, 503, "draining" },
		{ REPLY_WRONG_STATE, 409, "wrong_state" },
		{ REPLY_FAILED, 500, "error" },
	};
	static const char *const bad[] = {
		"\"to\": \"\"",
		"\"to\": null",
		"\"to\": 7",
		"\"to\": \"100\\r\\nX: y\"",
		"\"to\": \"sip:a@b\"",
		"\"to\": \"100;x=y\"",
		"\"to\": \"1+1\"",
		"\"to\": \"1\", \"connect\": {}",
		"\"to\": \"1\", \"connect\": \"echo\"",
		"\"to\": \"1\", \"connect\": {\"say\": \"\"}",
		"\"to\": \"1\", \"connect\": {\"play\": \"no-such\"}",
		"\"to\": \"1\", \"connect\": {\"device\": 7}",
		"\"to\": \"1\", \"connect\": {\"device\": \"" NOBODY "\"}",
		"\"to\": \"1\", \"ring_timeout_s\": -1",
		"\"to\": \"1\", \"max_duration_s\": 0",
		"\"to\": \"1\", \"variables\": \"x\"",
		"\"to\": \"1\", \"variables\": {\"a\": [\"\\u0000\"]}",
		"\"to\": \"1\", \"caller_id\": {\"number\": \"1\\r\\n\"}",
		"\"to\": \"1\", \"connect\": {\"echo\": true, \"say\": \"x\"}",
		"\"to\": \"1\", \"connect\": {\"conference\": \"a/b\"}",
		("\"to\": \"1\", \"connect\": {\"conference\":"
		 " \"0123456789012345678901234567890123456789012345678901234567890123x\"}"),
	};
	struct person ada;
	char id[40];
	auto_(free) char *body = NULL;

	sign_up(rig, &ada);
	add_profile(rig, &ada, "line", id);
	body = xasprintf(
		"{\"profile_id\": \"%s\", \"to\": \"+49 (30) 123-45\", \"connect\": {\"echo\": true}}",
		id);
	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
		auto_got got;

		fake_loop_answer(rig->loop, COMMAND_MAKE_CALL, outcomes[i].code);
		ask(rig, "POST", "/api/make-call/", ada.access, NULL, body, &got);
		assert_int_equal(got.status, outcomes[i].status);
		assert_string_equal(got_str(&got, "code"), outcomes[i].word);
		if (got.status == 429 || got.status == 503)
			assert_non_null(strstr(got.head, "Retry-After: "));
	}
	fake_loop_answer(rig->loop, COMMAND_MAKE_CALL, REPLY_OK);
	{
		auto_(free) char *path = NULL;
		auto_got got;

		ask(rig, "POST", "/api/make-call/", ada.access, NULL, body, &got);
		assert_int_equal(got.status, 201);
		assert_string_equal(got_str(&got, "to"), "+493012345");
		assert_string_equal(got_str(&got, "state"), "dialing");
		path = xasprintf("/api/calls/%s/", got_str(&got, "id"));
		assert_int_equal(status_of(rig, "GET", path, ada.access, NULL), 200);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_(free) char *text = xasprintf("{\"profile_id\": \"%s\", %s}", id, bad[i]);
		unsigned made = fake_loop_count(rig->loop, COMMAND_MAKE_CALL);

		assert_int_equal(status_of(rig, "POST", "/api/make-call/", ada.access, text), 400);
		assert_int_equal(fake_loop_count(rig->loop, COMMAND_MAKE_CALL), made);
	}
	assert_int_equal(status_of(rig, "GET", "/api/calls/" NOBODY, ada.access, NULL), 404);
	assert_int_equal(status_of(rig, "GET", "/api/calls/x/timeline/", ada.access, NULL), 404);
}

/* null is no word for anything: least of all for the first of a list. */
static void what_is_asked_of_a_call_is_said(void **state)
{
	static const struct {
		const char *path, *members, *field;
		enum command_type type;
	} bad[] = {
		{ "/api/hold-call/", "\"action\": null", "action", COMMAND_HOLD_CALL },
		{ "/api/hold-call/", "\"x\": 1", "action", COMMAND_HOLD_CALL },
		{ "/api/mute-call/", "\"leg_id\": \"" NOBODY "\", \"muted\": null", "muted",
		  COMMAND_MUTE_LEG },
		{ "/api/mute-call/", "\"leg_id\": \"" NOBODY "\"", "muted", COMMAND_MUTE_LEG },
		{ "/api/record-call/", "\"action\": null", "action", COMMAND_RECORD },
		{ "/api/record-call/", "\"layout\": null", "action", COMMAND_RECORD },
	};
	struct rig *rig = *state;
	struct person ada;

	sign_up(rig, &ada);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_(free) char *body =
			xasprintf("{\"call_id\": \"" NOBODY "\", %s}", bad[i].members);
		auto_got got;

		ask(rig, "POST", bad[i].path, ada.access, NULL, body, &got);
		assert_int_equal(got.status, 400);
		assert_non_null(json_object_get(got.json, bad[i].field));
		assert_int_equal(fake_loop_count(rig->loop, bad[i].type), 0);
	}
}

static void conference(struct rig *rig, const struct person *who, const char *members,
		       struct got *ret)
{
	auto_(free) char *body = xasprintf("{\"room\": \"sales\", %s}", members);

	ask(rig, "POST", "/api/conference/", who->access, NULL, body, ret);
}

/* Nothing that was meant otherwise rings a phone. */
static void a_room_is_asked_for_clearly_or_not_at_all(void **state)
{
	struct rig *rig = *state;
	static const struct {
		const char *members, *field;
	} bad[] = {
		{ "\"action\": \"join\", \"call_id\": 5", "call_id" },
		{ "\"action\": \"join\", \"call_id\": [\"" NOBODY "\"]", "call_id" },
		{ "\"action\": \"join\", \"pin\": 1234", "pin" },
		{ "\"action\": \"join\", \"connect\": {\"echo\": true}", "connect" },
		{ "\"action\": [\"join\"]", "action" },
		/* 65 bytes, of which the 64th is half a letter. */
		{ "\"action\": \"012345678901234567890123456789012345678901234567890123456789012\u00e9\"",
		  "action" },
	};
	struct person ada;

	sign_up(rig, &ada);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_got got;
		const json_t *words;

		conference(rig, &ada, bad[i].members, &got);
		assert_int_equal(got.status, 400);
		words = json_array_get(json_object_get(got.json, bad[i].field), 0);
		assert_true(json_string_length(words) > 10);
	}
	assert_int_equal(fake_loop_count(rig->loop, COMMAND_CONFERENCE), 0);
}

static void pins_are_not_to_be_guessed(void **state)
{
	struct rig *rig = *state;
	struct person ada;

	sign_up(rig, &ada);
	fake_loop_answer(rig->loop, COMMAND_CONFERENCE, REPLY_WRONG_PIN);
	for (unsigned i = 0; i < 12; i++) {
		auto_got got;

		conference(rig, &ada, "\"action\": \"join\", \"pin\": \"1234\"", &got);
		assert_int_equal(got.status, i < 10 ? 403 : 429);
		assert_string_equal(got_str(&got, "code"),
				    i < 10 ? "wrong_pin" : "too_many_attempts");
	}
	assert_int_equal(fake_loop_count(rig->loop, COMMAND_CONFERENCE), 10);
	fake_loop_answer(rig->loop, COMMAND_CONFERENCE, REPLY_OK);
}

static void a_device_shows_its_password_once(void **state)
{
	struct rig *rig = *state;
	struct person ada, agent;
	auto_(free) char *path = NULL;
	auto_got made;
	auto_got listed;

	sign_up(rig, &ada);
	add_user(rig, &ada, "agent", &agent);
	ask(rig, "POST", "/api/devices/", ada.access, NULL, "{\"name\": \"Desk\"}", &made);
	assert_int_equal(made.status, 201);
	assert_true(*got_str(&made, "password") && *got_str(&made, "username"));
	assert_string_equal(got_str(&made, "server"), "sip.example.com");
	ask(rig, "GET", "/api/devices/", ada.access, NULL, NULL, &listed);
	assert_int_equal(listed.status, 200);
	assert_null(strstr(listed.text, got_str(&made, "password")));
	assert_true(json_is_true(json_object_get(
		json_array_get(json_object_get(listed.json, "results"), 0), "registered")));
	path = xasprintf("/api/devices/%s/", got_str(&made, "id"));
	assert_int_equal(status_of(rig, "DELETE", path, agent.access, NULL), 403);
	assert_int_equal(status_of(rig, "DELETE", path, ada.access, NULL), 204);
	assert_int_equal(status_of(rig, "DELETE", path, ada.access, NULL), 404);
	assert_int_equal(status_of(rig, "POST", "/api/devices/", ada.access,
				   "{\"name\": \"a\\r\\nb\"}"),
			 400);
}

struct waiter {
	const struct rig *rig;
	const char *token, *body;
	int status;
};

static void *wait_for_registration(void *arg)
{
	struct waiter *waiter = arg;

	waiter->status =
		status_of(waiter->rig, "POST", "/api/register-sip/", waiter->token, waiter->body);
	return NULL;
}

static void waiting_for_a_registration_holds_no_worker(void **state)
{
	struct rig *rig = *state;
	struct waiter waiters[20];
	pthread_t threads[20];
	struct person ada;
	char id[40];
	auto_(free) char *body = NULL;
	uint64_t begin;

	sign_up(rig, &ada);
	add_profile(rig, &ada, "slow", id);
	body = xasprintf("{\"profile_id\": \"%s\", \"wait\": 10}", id);
	fake_loop_wait_ms(rig->loop, 700);
	for (unsigned i = 0; i < 20; i++) {
		waiters[i] = (struct waiter){ .rig = rig, .token = ada.access, .body = body };
		assert_int_equal(
			pthread_create(&threads[i], NULL, wait_for_registration, &waiters[i]), 0);
	}
	while (fake_loop_count(rig->loop, COMMAND_PROFILE_WAIT) < 20)
		usleep(1000);
	begin = clock_mono_ms();
	assert_int_equal(status_of(rig, "GET", "/api/auth/me/", ada.access, NULL), 200);
	assert_true(clock_mono_ms() - begin < 400);
	for (unsigned i = 0; i < 20; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(waiters[i].status, 200);
	}
	assert_int_equal(status_of(rig, "POST", "/api/register-sip/", ada.access,
				   "{\"action\": \"dance\"}"),
			 400);
	assert_int_equal(status_of(rig, "POST", "/api/register-sip/", ada.access, "{}"), 400);
	assert_int_equal(
		status_of(rig, "POST", "/api/test-sip-profile/", ada.access,
			  "{\"server\": \"127.0.0.1\", \"username\": \"x\", \"name\": \"n\"}"),
		200);
}

static void operators_are_answered(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(status_of(rig, "GET", "/healthz", NULL, NULL), 200);
	assert_int_equal(status_of(rig, "GET", "/readyz", NULL, NULL), 200);
	assert_int_equal(status_of(rig, "GET", "/metrics", NULL, NULL), 200);
	assert_int_equal(status_of(rig, "GET", "/api/schema/", NULL, NULL), 200);
	assert_int_equal(status_of(rig, "GET", "/api/docs/", NULL, NULL), 200);
	fake_loop_answer(rig->loop, COMMAND_STATUS, REPLY_FAILED);
	assert_int_equal(status_of(rig, "GET", "/readyz", NULL, NULL), 503);
	fake_loop_answer(rig->loop, COMMAND_STATUS, REPLY_OK);
}

/* ---- Events ---- */

static int ws_open(const struct rig *rig, const char *path, const char *protocol, int *ret_status)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	auto_(free) char *request = xasprintf(
		"GET %s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
		path, protocol);
	int fd = peer_connect(rig->port);

	peer_text(fd, request);
	*ret_status = peer_answer(fd, &text, false);
	return fd;
}

/* The next text, or a close code as {"closed": code}. */
static json_t *ws_next(int fd)
{
	uint8_t frame[65536];
	size_t len = 0;
	int first;

	do
		first = peer_frame_read(fd, frame, sizeof(frame), &len);
	while (first == 0x89);
	if (first == 0x88)
		return json_pack("{s:i}", "closed", frame[0] << 8 | frame[1]);
	assert_int_equal(first, 0x81);
	return json_loadb((char *)frame, len, 0, NULL);
}

static void expect_type(int fd, const char *type)
{
	json_t *json = ws_next(fd);

	assert_string_equal(json_string_value(json_object_get(json, "type")), type);
	json_decref(json);
}

static void events_open_with_a_token_or_a_ticket(void **state)
{
	struct rig *rig = *state;
	struct person ada;
	auto_(free) char *protocol = NULL, *path = NULL;
	static const char subscribe[] = "{\"type\": \"subscribe\", \"topics\": [\"calls\"]}";
	auto_got ticket;
	int fd, status;

	sign_up(rig, &ada);
	protocol = xasprintf("Sec-WebSocket-Protocol: jackfield.v1, bearer.%s\r\n", ada.access);
	fd = ws_open(rig, "/ws/events", protocol, &status);
	assert_int_equal(status, 101);
	expect_type(fd, "hello");
	peer_frame(fd, 0x81, subscribe, sizeof(subscribe) - 1);
	expect_type(fd, "snapshot");
	close(fd);

	ask(rig, "POST", "/api/ws-ticket/", ada.access, NULL, "{}", &ticket);
	assert_int_equal(ticket.status, 201);
	path = xasprintf("/ws/events?ticket=%s", got_str(&ticket, "ticket"));
	close(ws_open(rig, path, "", &status));
	assert_int_equal(status, 101);
	close(ws_open(rig, path, "", &status));
	assert_int_equal(status, 401);
	close(ws_open(rig, "/ws/events", "", &status));
	assert_int_equal(status, 401);
	close(ws_open(rig, "/ws/events",
		      "Sec-WebSocket-Protocol: jackfield.v1, bearer.nonsense\r\n", &status));
	assert_int_equal(status, 401);
	assert_int_equal(status_of(rig, "GET", "/ws/events", ada.access, NULL), 426);
}

static void a_guessed_ticket_spares_the_real_one(void **state)
{
	struct rig *rig = *state;
	struct person ada;
	auto_(free) char *path = NULL;
	auto_got ticket;
	char *last;
	int status;

	sign_up(rig, &ada);
	ask(rig, "POST", "/api/ws-ticket/", ada.access, NULL, NULL, &ticket);
	path = xasprintf("/ws/events?ticket=%s", got_str(&ticket, "ticket"));
	last = path + strlen(path) - 1;
	*last = *last == '0' ? '1' : '0';
	close(ws_open(rig, path, "", &status));
	assert_int_equal(status, 401);
	str_copy(path, strlen(path) + 1, "/ws/events?ticket=");
	strcat(path, got_str(&ticket, "ticket"));
	close(ws_open(rig, path, "", &status));
	assert_int_equal(status, 101);
}

/* Else an agent's token would keep a supervisor's view of everybody open. */
static void only_ones_own_next_token_keeps_events_open(void **state)
{
	struct rig *rig = *state;
	struct person ada, bob;
	auto_(free) char *protocol = NULL, *own = NULL, *others = NULL;
	static const char subscribe[] = "{\"type\": \"subscribe\", \"topics\": [\"calls\"]}";
	json_t *json;
	int fd, status;

	sign_up(rig, &ada);
	add_user(rig, &ada, "agent", &bob);
	protocol = xasprintf("Sec-WebSocket-Protocol: jackfield.v1, bearer.%s\r\n", ada.access);
	own = xasprintf("{\"type\": \"auth\", \"access\": \"%s\"}", ada.access);
	others = xasprintf("{\"type\": \"auth\", \"access\": \"%s\"}", bob.access);
	fd = ws_open(rig, "/ws/events", protocol, &status);
	assert_int_equal(status, 101);
	expect_type(fd, "hello");
	peer_frame(fd, 0x81, own, strlen(own));
	peer_frame(fd, 0x81, subscribe, sizeof(subscribe) - 1);
	expect_type(fd, "snapshot");
	peer_frame(fd, 0x81, others, strlen(others));
	json = ws_next(fd);
	assert_int_equal(json_integer_value(json_object_get(json, "closed")), 4401);
	json_decref(json);
	close(fd);
}

static void who_loses_rights_is_put_out(void **state)
{
	struct rig *rig = *state;
	struct person ada, bob;
	auto_(free) char *protocol = NULL, *path = NULL;
	json_t *json;
	int fd, status;

	sign_up(rig, &ada);
	add_user(rig, &ada, "supervisor", &bob);
	protocol = xasprintf("Sec-WebSocket-Protocol: jackfield.v1, bearer.%s\r\n", bob.access);
	fd = ws_open(rig, "/ws/events", protocol, &status);
	assert_int_equal(status, 101);
	expect_type(fd, "hello");
	path = xasprintf("/api/users/%s/", bob.id);
	assert_int_equal(status_of(rig, "PATCH", path, ada.access, "{\"role\": \"agent\"}"), 200);
	json = ws_next(fd);
	assert_int_equal(json_integer_value(json_object_get(json, "closed")), 4401);
	json_decref(json);
	close(fd);
}

static void nonsense_on_the_event_stream_is_answered_with_a_close(void **state)
{
	struct rig *rig = *state;
	static const char *const texts[] = {
		"", "{", "[]", "\"x\"", "{\"type\": 7}", "{\"type\": \"auth\", \"access\": \"x\"}"
	};
	struct person ada;
	auto_(free) char *protocol = NULL;

	sign_up(rig, &ada);
	protocol = xasprintf("Sec-WebSocket-Protocol: jackfield.v1, bearer.%s\r\n", ada.access);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		int status, fd = ws_open(rig, "/ws/events", protocol, &status);
		json_t *json;

		expect_type(fd, "hello");
		peer_frame(fd, 0x81, texts[i], strlen(texts[i]));
		json = ws_next(fd);
		assert_true(json_integer_value(json_object_get(json, "closed")) > 0);
		json_decref(json);
		close(fd);
	}
	assert_int_equal(status_of(rig, "GET", "/healthz", NULL, NULL), 200);
}

/* ---- The schema ---- */

struct seen {
	json_t *paths;
	unsigned count;
};

static void route_in_schema(void *arg, const char *method, const char *path, const char *operation,
			    const char *scope)
{
	struct seen *seen = arg;
	char lower[16] = "";
	json_t *node;

	(void)scope;
	for (unsigned i = 0; method[i]; i++)
		lower[i] = (char)(method[i] | 0x20);
	node = json_object_get(json_object_get(seen->paths, path), lower);
	if (!node)
		fail_msg("%s %s is not in api/openapi.yaml", method, path);
	assert_string_equal(json_string_value(json_object_get(node, "operationId")), operation);
	seen->count++;
}

static void the_schema_and_the_tables_are_one(void **state)
{
	struct rig *rig = *state;
	struct seen seen = { 0 };
	unsigned in_schema = 0;
	const char *path, *member;
	json_t *item, *node;
	auto_got got;

	ask(rig, "GET", "/api/schema/?format=json", NULL, NULL, NULL, &got);
	assert_int_equal(got.status, 200);
	seen.paths = json_object_get(got.json, "paths");
	api_routes_each(route_in_schema, &seen);
	json_object_foreach(seen.paths, path, item) {
		json_object_foreach(item, member, node) {
			in_schema += !str_eq(member, "parameters");
		}
	}
	assert_int_equal(in_schema, seen.count);
}

/* By another key: left out, the room's name would be open to whoever says it. */
static void a_room_with_an_unreadable_pin_is_loaded_all_the_same(void **state)
{
	const struct rig *rig = *state;
	static const uint8_t key[32] = { 1 };
	auto_(seal_free) struct seal *other = seal_new(key);
	auto_(arena_free) struct arena *arena = arena_new();
	struct room_row row = { .id = id_new(), .tenant_id = id_new(), .name = "sales" };
	auto_(free) struct room_spec *ours = NULL, *theirs = NULL;

	row.pin = room_seal_pin(rig->seal, row.id, ROOM_PIN, "4711", arena);
	ours = api_room_spec(rig->seal, &row);
	assert_string_equal(ours->set.pin, "4711");
	assert_int_equal(ours->unreadable, 0);
	theirs = api_room_spec(other, &row);
	assert_non_null(theirs);
	assert_string_equal(theirs->name, "sales");
	assert_string_equal(theirs->set.pin, "");
	assert_int_equal(theirs->unreadable, ROOM_SET_PIN);
}

#define TEST(fn) cmocka_unit_test(fn)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(profiles_live_and_die),
		TEST(every_bad_field_is_named),
		TEST(lists_come_in_pages),
		TEST(odd_requests_break_no_list),
		TEST(an_idempotency_key_answers_again),
		TEST(other_tenants_things_are_not_there),
		TEST(roles_decide),
		TEST(calls_are_asked_for_and_refused_clearly),
		TEST(what_is_asked_of_a_call_is_said),
		TEST(a_room_is_asked_for_clearly_or_not_at_all),
		TEST(pins_are_not_to_be_guessed),
		TEST(a_room_with_an_unreadable_pin_is_loaded_all_the_same),
		TEST(a_device_shows_its_password_once),
		TEST(waiting_for_a_registration_holds_no_worker),
		TEST(operators_are_answered),
		TEST(events_open_with_a_token_or_a_ticket),
		TEST(a_guessed_ticket_spares_the_real_one),
		TEST(only_ones_own_next_token_keeps_events_open),
		TEST(who_loses_rights_is_put_out),
		TEST(nonsense_on_the_event_stream_is_answered_with_a_close),
		TEST(the_schema_and_the_tables_are_one),
	};

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
