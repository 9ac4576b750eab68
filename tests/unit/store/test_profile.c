/* SIP profiles: rows, bodies, and who inherits them */
#include "kit.h"

#include <pthread.h>

static void a_profile_keeps_everything_and_its_password_sealed(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile profile = new_profile(base, "sip.example.com", "alice"), got;
	const char *codecs[] = { "PCMA", "opus", NULL };
	char plain[SEAL_MAX + 1];

	profile.port = 5061;
	profile.transport = PROFILE_TLS;
	profile.caller_number = "+491234";
	profile.caller_mode = 3;
	profile.codecs = codecs;
	profile.incoming_type = PROFILE_INCOMING_NUMBER;
	profile.incoming_target = "+4999";
	assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, profile.id, &got), 0);
	assert_string_equal(got.name, "alice@sip.example.com");
	assert_int_equal(got.port, 5061);
	assert_int_equal(got.transport, PROFILE_TLS);
	assert_string_equal(got.codecs[0], "PCMA");
	assert_null(got.codecs[2]);
	assert_string_equal(got.incoming_target, "+4999");
	assert_int_equal(strlen(got.line_token), 24);
	assert_null(got.password);
	assert_null(strstr(got.secret, "pa55"));
	assert_int_equal(profile_password(base->seal, &got, plain), 0);
	assert_string_equal(plain, "pa55word");
}

static void an_update_without_a_password_keeps_it(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile profile = new_profile(base, "sip.example.com", "alice"), got;
	char plain[SEAL_MAX + 1];

	assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
	profile.password = NULL;
	profile.secret = NULL;
	profile.name = "renamed";
	assert_int_equal(profile_update(base->db, base->seal, &profile, base->arena), 0);
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, profile.id, &got), 0);
	assert_string_equal(got.name, "renamed");
	assert_int_equal(profile_password(base->seal, &got, plain), 0);
	assert_string_equal(plain, "pa55word");
	profile.password = "other";
	assert_int_equal(profile_update(base->db, base->seal, &profile, base->arena), 0);
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, profile.id, &got), 0);
	assert_int_equal(profile_password(base->seal, &got, plain), 0);
	assert_string_equal(plain, "other");
}

static void a_server_and_user_name_are_one_profile_a_tenant(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile one = new_profile(base, "s.example", "u"),
			   two = new_profile(base, "s.example", "u");
	struct sip_profile stray = new_profile(base, "t.example", "u");
	struct tenant tenant;
	struct user other;

	sign_up(base, "o@x.y", &tenant, &other);
	assert_int_equal(profile_insert(base->db, base->seal, &one, base->arena), 0);
	assert_int_equal(profile_insert(base->db, base->seal, &two, base->arena), PROFILE_E_EXISTS);
	stray.owner = other.id;
	assert_int_equal(profile_insert(base->db, base->seal, &stray, base->arena),
			 PROFILE_E_OWNER);
	two = new_profile(base, "s.example", "u");
	two.tenant_id = tenant.id;
	two.owner = other.id;
	assert_int_equal(profile_insert(base->db, base->seal, &two, base->arena), 0);
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, two.id, &one),
			 DB_E_NONE);
	assert_int_equal(profile_delete(base->db, base->tenant.id, two.id), DB_E_NONE);
}

struct editor {
	void *fixture;
	struct base *base;
	struct id id;
	bool first;
	int outcome;
	pthread_t thread;
};

static int edit_body(struct db *db, void *arg)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct editor *editor = arg;
	struct sip_profile profile;
	int r = profile_get_locked(db, arena, editor->base->tenant.id, editor->id, &profile);

	if (r)
		return r;
	if (editor->first)
		profile.max_calls++;
	else
		profile.expires++;
	return profile_update(db, editor->base->seal, &profile, arena);
}

static void *edit(void *arg)
{
	struct editor *editor = arg;
	auto_(db_close) struct db *db = fixture_open(editor->fixture);

	for (int i = 0; i < 40 && !editor->outcome; i++)
		editor->outcome = db_transact(db, edit_body, editor);
	return NULL;
}

static void edits_at_once_of_one_profile_all_last(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile one = new_profile(base, "s.example", "u"), got;
	struct editor editors[4];

	one.max_calls = 1;
	one.expires = 1000;
	assert_int_equal(profile_insert(base->db, base->seal, &one, base->arena), 0);
	for (int i = 0; i < 4; i++) {
		editors[i] = (struct editor){
			.fixture = *state, .base = base, .id = one.id, .first = i < 2
		};
		assert_int_equal(pthread_create(&editors[i].thread, NULL, edit, &editors[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(editors[i].thread, NULL);
		assert_int_equal(editors[i].outcome, 0);
	}
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, one.id, &got), 0);
	assert_int_equal(got.max_calls, 81);
	assert_int_equal(got.expires, 1080);
}

static void the_default_profile_is_the_chosen_or_the_oldest(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile one = new_profile(base, "a.example", "u"),
			   two = new_profile(base, "b.example", "u"), got;
	struct id tenant = base->tenant.id, user = base->admin.id;

	assert_int_equal(profile_default(base->db, base->arena, tenant, user, &got), DB_E_NONE);
	assert_int_equal(profile_insert(base->db, base->seal, &one, base->arena), 0);
	assert_int_equal(profile_insert(base->db, base->seal, &two, base->arena), 0);
	assert_int_equal(profile_default(base->db, base->arena, tenant, user, &got), 0);
	assert_true(id_eq(got.id, one.id));
	base->admin.default_profile_id = two.id;
	assert_int_equal(user_update(base->db, &base->admin, base->arena), 0);
	assert_int_equal(profile_default(base->db, base->arena, tenant, user, &got), 0);
	assert_true(id_eq(got.id, two.id));
	assert_int_equal(profile_delete(base->db, tenant, two.id), 0);
	assert_int_equal(profile_default(base->db, base->arena, tenant, user, &got), 0);
	assert_true(id_eq(got.id, one.id));
}

static void profiles_are_listed_by_filter(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct profile_filter filter = { .page = { .ordering = "-server" } };
	struct sip_profile *rows, profile;
	struct id first = ID_NONE, *ids;
	struct db_page_info info;
	size_t count;

	for (int i = 0; i < 5; i++) {
		profile = new_profile(base, arena_printf(base->arena, "s%d.example", i), "u");
		assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
		if (i == 0)
			first = profile.id;
	}
	assert_int_equal(
		profile_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info), 0);
	assert_int_equal(info.count, 5);
	assert_string_equal(rows[0].server, "s4.example");
	filter.search = "S3.";
	assert_int_equal(
		profile_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info), 0);
	assert_int_equal(info.count, 1);
	filter = (struct profile_filter){ .ids = &first, .id_count = 1, .owner = base->admin.id };
	assert_int_equal(
		profile_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info), 0);
	assert_int_equal(info.count, 1);
	assert_true(id_eq(rows[0].id, first));
	filter.owner = id_new();
	assert_int_equal(
		profile_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info), 0);
	assert_int_equal(info.count, 0);
	assert_int_equal(
		profile_ids(base->db, base->arena, base->tenant.id, ID_NONE, 3, &ids, &count), 0);
	assert_int_equal(count, 3);
	assert_true(id_eq(ids[0], first));
}

static void a_user_with_profiles_goes_only_with_an_heir(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile profile = new_profile(base, "a.example", "u"), got;
	struct user agent;

	assert_int_equal(add_user(base, "agent@x.y", NULL, &agent), 0);
	profile.owner = agent.id;
	assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
	assert_int_equal(user_delete(base->db, base->tenant.id, agent.id, ID_NONE), DB_E_REF);
	assert_int_equal(user_delete(base->db, base->tenant.id, agent.id, base->admin.id), 0);
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, profile.id, &got), 0);
	assert_true(id_eq(got.owner, base->admin.id));
}

static char *profile_complaint(const char *text)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct sip_profile profile = profile_defaults;
	json_t *body = json_loads(text, 0, NULL);
	json_t *bad;
	char *ret;

	assert_non_null(body);
	bad = profile_from_json(body, true, arena, &profile);
	ret = bad ? json_dumps(bad, JSON_COMPACT) : NULL;
	json_decref(bad);
	json_decref(body);
	return ret;
}

static void profile_bodies_are_checked(void **state)
{
	static const struct {
		const char *body, *complaint; /* a part of it; NULL: fine */
	} cases[] = {
		{ "{\"server\": \"sip.example.com\", \"port\": null}", NULL },
		{ "{\"server\": \"192.0.2.1\"}", NULL },
		{ "{\"server\": \"[2001:db8::1]\"}", NULL },
		{ "{\"server\": \"2001:db8::1\"}", NULL },
		{ "{\"server\": \"localhost\"}", NULL },
		{ "{\"server\": \"sip.example.com.\"}", NULL },
		{ "{\"server\": \"999.1.1.1\"}", "server" },
		{ "{\"server\": \"a..b\"}", "server" },
		{ "{\"server\": \"-a.example\"}", "server" },
		{ "{\"server\": \"a b\"}", "server" },
		{ "{\"server\": \"a:5060\"}", "server" },
		{ "{\"server\": \"a\\r\\nb\"}", "server" },
		{ "{\"server\": \"\"}", "server" },
		{ "{\"port\": 0}", "port" },
		{ "{\"port\": 70000}", "port" },
		{ "{\"transport\": \"sctp\"}", "transport" },
		{ "{\"username\": \"a@b\"}", "username" },
		{ "{\"username\": \"a b\"}", "username" },
		{ "{\"auth_username\": \"a@b\"}", NULL },
		{ "{\"auth_username\": \"a\\\"b\"}", "auth_username" },
		{ "{\"outbound_proxy\": \"sip:proxy.example:5070;transport=tcp;lr\"}", NULL },
		{ "{\"outbound_proxy\": \"proxy.example:5070\"}", NULL },
		{ "{\"outbound_proxy\": \"[::1]:5070\"}", NULL },
		{ "{\"outbound_proxy\": \"proxy:0\"}", "outbound_proxy" },
		{ "{\"outbound_proxy\": \"sip:a b\"}", "outbound_proxy" },
		{ "{\"outbound_proxy\": \"sip:user@host\"}", "outbound_proxy" },
		{ "{\"codecs\": []}", "codecs" },
		{ "{\"codecs\": [\"GSM\"]}", "codecs" },
		{ "{\"codecs\": [\"opus\", \"opus\"]}", "codecs" },
		{ "{\"caller_id\": {\"number\": \"+49 30\"}}", "{\"caller_id\":{\"number\":" },
		{ "{\"caller_id\": {\"number\": \"+4930\", \"name\": \"A\\u000aB\"}}",
		  "{\"caller_id\":{\"name\":" },
		{ "{\"caller_id\": {\"mode\": \"fake\"}}", "{\"caller_id\":{\"mode\":" },
		{ "{\"caller_id\": 5}", "caller_id" },
		{ "{\"caller_id\": null}", NULL },
		{ "{\"incoming\": {\"type\": \"owner\"}}", NULL },
		{ "{\"incoming\": {\"type\": \"number\"}}", "{\"incoming\":{\"number\":" },
		{ "{\"incoming\": {\"type\": \"user\", \"user_id\": \"x\"}}",
		  "{\"incoming\":{\"user_id\":" },
		{ "{\"incoming\": {\"type\": \"conference\", \"room\": \"sales\"}}", NULL },
		{ "{\"incoming\": {}}", "{\"incoming\":{\"type\":" },
		{ "{\"incoming\": \"owner\"}", "incoming" },
		{ "[]", "non_field_errors" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *got = profile_complaint(cases[i].body);

		if (!cases[i].complaint && got)
			fail_msg("%s: %s", cases[i].body, got);
		if (cases[i].complaint && (!got || !strstr(got, cases[i].complaint)))
			fail_msg("%s: %s", cases[i].body, got ? got : "no complaint");
		free(got);
	}
}

static void a_profiles_json_says_all_but_secrets(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile profile = new_profile(base, "a.example", "u");
	json_t *body = json_loads("{\"caller_id\": {\"number\": \"100\", \"mode\": \"pai\"},"
				  "\"incoming\": {\"type\": \"number\", \"number\": \"+49\"}}",
				  0, NULL);
	char *text;
	json_t *json;

	assert_null(profile_from_json(body, true, base->arena, &profile));
	json_decref(body);
	assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
	json = profile_to_json(&profile);
	text = json_dumps(json, 0);
	assert_null(strstr(text, "pa55word"));
	assert_null(strstr(text, profile.secret));
	assert_null(strstr(text, profile.line_token));
	assert_true(json_is_null(json_object_get(json, "port")));
	assert_true(json_is_true(json_object_get(json, "register")));
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(json, "caller_id"), "mode")),
		"pai");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(json, "incoming"), "number")),
		"+49");
	free(text);
	json_decref(json);
}

/* Lists write it as text: the members that API.md names, with the registration left to the caller. */
static void a_profile_as_text_has_all_its_members(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();
	auto_(buf_fini) struct buf buf = BUF_MAX(1 << 16);
	struct jot out = { .buf = &buf, .digits = JOT_DIGITS };
	struct sip_profile profile = profile_defaults;
	json_t *body = json_loads(
		"{\"name\": \"Gr\u00fc\u00df \\\"x\\\"\", \"server\": \"sip.example.com\", \"port\": 5070,"
		"\"transport\": \"tls\", \"username\": \"u\", \"auth_username\": \"a\", \"password\": \"pa55word\","
		"\"outbound_proxy\": \"sip:p.example.com\", \"expires\": 600, \"codecs\": [\"PCMA\"],"
		"\"dtmf_mode\": \"info\", \"srtp\": \"required\", \"max_calls\": 3, \"record\": \"always\","
		"\"caller_id\": {\"number\": \"100\", \"name\": \"A\", \"mode\": \"pai\"},"
		"\"incoming\": {\"type\": \"conference\", \"room\": \"sales\"}}",
		0, NULL);
	json_t *object;
	char *text;

	(void)state;
	assert_non_null(body);
	assert_null(profile_from_json(body, false, arena, &profile));
	json_decref(body);
	assert_true(id_parse("0198a1b2-0000-7000-8000-000000000003", &profile.id));
	assert_true(id_parse("0198a1b2-0000-7000-8000-000000000004", &profile.owner));
	profile.created_at = profile.updated_at = 1700000000123456;
	profile.secret = "sealed";
	profile.line_token = "token";
	jot_open(&out, NULL, '{');
	profile_jot(&out, &profile);
	jot_close(&out, '}');
	assert_string_equal(
		buf.data,
		"{\"id\":\"0198a1b2-0000-7000-8000-000000000003\",\"name\":\"Gr\xc3\xbc\xc3\x9f \\\"x\\\"\","
		"\"server\":\"sip.example.com\",\"port\":5070,\"transport\":\"tls\",\"username\":\"u\","
		"\"auth_username\":\"a\",\"outbound_proxy\":\"sip:p.example.com\",\"register\":true,"
		"\"expires\":600,\"codecs\":[\"PCMA\"],\"dtmf_mode\":\"info\",\"srtp\":\"required\","
		"\"max_calls\":3,\"record\":\"always\",\"owner\":\"0198a1b2-0000-7000-8000-000000000004\","
		"\"created_at\":\"2023-11-14T22:13:20.123456Z\",\"updated_at\":\"2023-11-14T22:13:20.123456Z\","
		"\"mask_dtmf\":false,\"hold_music\":null,\"record_beep\":false,"
		"\"caller_id\":{\"number\":\"100\",\"name\":\"A\",\"mode\":\"pai\"},"
		"\"incoming\":{\"type\":\"conference\",\"room\":\"sales\"}}");
	object = profile_to_json(&profile);
	text = json_dumps(object, JSON_COMPACT);
	assert_string_equal(buf.data, text);
	free(text);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_ENGINES(a_profile_keeps_everything_and_its_password_sealed),
		BOTH_ENGINES(an_update_without_a_password_keeps_it),
		BOTH_ENGINES(a_server_and_user_name_are_one_profile_a_tenant),
		BOTH_ENGINES(edits_at_once_of_one_profile_all_last),
		BOTH_ENGINES(the_default_profile_is_the_chosen_or_the_oldest),
		BOTH_ENGINES(profiles_are_listed_by_filter),
		BOTH_ENGINES(a_user_with_profiles_goes_only_with_an_heir),
		cmocka_unit_test(profile_bodies_are_checked),
		BOTH_ENGINES(a_profiles_json_says_all_but_secrets),
		cmocka_unit_test(a_profile_as_text_has_all_its_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
