/* Views as the API shows them, byte for byte: the members that API.md names, in their order, with their nulls */
#include "base/base.h"
#include "event/view.h"
#include "unit.h"

#include <jansson.h>
#include <math.h>

#define AT 1700000000123456ll /* 2023-11-14T22:13:20.123456Z */
#define SECOND 1000000

static struct id id_of(const char *text)
{
	struct id id;

	assert_true(id_parse(text, &id));
	return id;
}

#define CALL "0198a1b2-0000-7000-8000-000000000001"
#define LEG "0198a1b2-0000-7000-8000-000000000002"
#define PROFILE "0198a1b2-0000-7000-8000-000000000003"
#define USER "0198a1b2-0000-7000-8000-000000000004"
#define DEVICE "0198a1b2-0000-7000-8000-000000000005"
#define RECORDING "0198a1b2-0000-7000-8000-000000000006"
#define OTHER "0198a1b2-0000-7000-8000-000000000007"

static void expect_call(const struct call_view *view, const char *text)
{
	auto_(buf_fini) struct buf buf = BUF_MAX(1 << 16);
	struct jot out = { .buf = &buf, .digits = JOT_DIGITS };
	json_t *as_object = call_view_json(view), *expected = json_loads(text, 0, NULL);

	jot_open(&out, NULL, '{');
	call_view_jot(&out, view);
	jot_close(&out, '}');
	assert_string_equal(buf.data, text);
	assert_non_null(expected);
	assert_true(json_equal(as_object, expected));
	json_decref(as_object);
	json_decref(expected);
}

static void a_call_has_all_its_members(void **state)
{
	struct call_view *view = call_view_new(1);
	struct leg_view *leg = &view->legs[0];

	(void)state;
	view->id = id_of(CALL);
	view->tenant = id_of(OTHER); /* is nobody's business */
	view->profile_id = id_of(PROFILE);
	view->user_id = id_of(USER);
	view->direction = CALL_INCOMING;
	view->state = CALL_ENDED;
	strcpy(view->from, "+4930123");
	strcpy(view->to, "a\"b\\c");
	strcpy(view->from_name, "Gr\xc3\xbc\xc3\x9f\t\x01 \xff</script>");
	view->created_at = AT;
	view->ringing_at = AT + SECOND;
	view->answered_at = AT + 3 * SECOND;
	view->ended_at = AT + 10 * SECOND;
	view->ring_s = 2;
	view->talk_s = 7;
	view->hold_s = 1;
	view->hold_remote = true;
	view->recording = RECORDING_PAUSED;
	view->recording_id = id_of(RECORDING);
	strcpy(view->room, "sales");
	view->end_reason = END_COMPLETED;
	view->sip_code = 200;
	view->q850 = 16;
	view->hangup_by = HANGUP_CALLEE;
	view->transferred_from = view->transferred_to = id_of(OTHER);
	strcpy(view->variables, "{\"b\":[1,2.5],\"a\":\"x\\\"\"}");
	view->seq = 9;
	*leg = (struct leg_view){
		.id = id_of(LEG),
		.role = LEG_REMOTE,
		.kind = LEG_KIND_PROFILE,
		.state = LEG_HELD,
		.muted = true,
		.address = "sip:+4930123@192.0.2.1",
		.codec = "PCMA",
		.profile_id = id_of(PROFILE),
		.device_id = id_of(DEVICE),
		.user_id = id_of(USER),
		.created_at = AT,
		.ringing_at = AT,
		.answered_at = AT,
		.ended_at = AT,
		.end_reason = END_BUSY,
		.sip_code = 486,
		.quality = { true, 4.38f, 12.5f, 0.126f, NAN },
	};
	expect_call(
		view,
		"{\"id\":\"" CALL
		"\",\"direction\":\"incoming\",\"state\":\"ended\",\"profile_id\":\"" PROFILE
		"\",\"user_id\":\"" USER "\",\"from\":\"+4930123\",\"to\":\"a\\\"b\\\\c\","
		"\"from_name\":\"Gr\xc3\xbc\xc3\x9f\\t\\u0001 ?</script>\","
		"\"created_at\":\"2023-11-14T22:13:20.123456Z\",\"ringing_at\":\"2023-11-14T22:13:21.123456Z\","
		"\"answered_at\":\"2023-11-14T22:13:23.123456Z\",\"ended_at\":\"2023-11-14T22:13:30.123456Z\","
		"\"ring_s\":2,\"talk_s\":7,\"hold_s\":1,\"hold\":{\"local\":false,\"remote\":true},"
		"\"recording\":{\"state\":\"paused\",\"id\":\"" RECORDING "\"},\"room\":\"sales\","
		"\"legs\":[{\"id\":\"" LEG "\",\"role\":\"remote\",\"kind\":\"profile\","
		"\"address\":\"sip:+4930123@192.0.2.1\",\"state\":\"held\",\"codec\":\"PCMA\",\"muted\":true,"
		"\"quality\":{\"mos\":4.38,\"jitter_ms\":12.5,\"loss_pct\":0.13,\"rtt_ms\":null},"
		"\"profile_id\":\"" PROFILE "\",\"device_id\":\"" DEVICE "\",\"user_id\":\"" USER
		"\","
		"\"created_at\":\"2023-11-14T22:13:20.123456Z\",\"ringing_at\":\"2023-11-14T22:13:20.123456Z\","
		"\"answered_at\":\"2023-11-14T22:13:20.123456Z\",\"ended_at\":\"2023-11-14T22:13:20.123456Z\","
		"\"end_reason\":\"busy\",\"sip_code\":486}],"
		"\"end_reason\":\"completed\",\"sip_code\":200,\"q850\":16,\"hangup_by\":\"callee\","
		"\"transferred_from\":\"" OTHER "\",\"transferred_to\":\"" OTHER "\","
		"\"variables\":{\"b\":[1,2.5],\"a\":\"x\\\"\"}}");
	free(view);
}

static void what_a_call_has_not_is_null(void **state)
{
	struct call_view *view = call_view_new(1);

	(void)state;
	view->id = id_of(CALL);
	view->legs[0].id = id_of(LEG);
	expect_call(
		view,
		"{\"id\":\"" CALL
		"\",\"direction\":\"incoming\",\"state\":\"queued\",\"profile_id\":null,"
		"\"user_id\":null,\"from\":null,\"to\":null,\"from_name\":null,\"created_at\":null,"
		"\"ringing_at\":null,\"answered_at\":null,\"ended_at\":null,\"ring_s\":0,\"talk_s\":0,"
		"\"hold_s\":0,\"hold\":{\"local\":false,\"remote\":false},"
		"\"recording\":{\"state\":\"none\",\"id\":null},\"room\":null,"
		"\"legs\":[{\"id\":\"" LEG
		"\",\"role\":\"agent\",\"kind\":\"profile\",\"address\":null,"
		"\"state\":\"dialing\",\"codec\":null,\"muted\":false,"
		"\"quality\":{\"mos\":null,\"jitter_ms\":null,\"loss_pct\":null,\"rtt_ms\":null},"
		"\"profile_id\":null,\"device_id\":null,\"user_id\":null,\"created_at\":null,"
		"\"ringing_at\":null,\"answered_at\":null,\"ended_at\":null,\"end_reason\":null,"
		"\"sip_code\":null}],"
		"\"end_reason\":null,\"sip_code\":null,\"q850\":null,\"hangup_by\":null,"
		"\"transferred_from\":null,\"transferred_to\":null,\"variables\":null}");
	free(view);
}

static void expect_registration(const struct registration_view *view, bool with_history,
				const char *text)
{
	auto_(buf_fini) struct buf buf = BUF_MAX(1 << 16);
	struct jot out = { .buf = &buf, .digits = JOT_DIGITS };
	json_t *as_object = registration_view_json(view, with_history),
	       *expected = json_loads(text, 0, NULL);

	jot_open(&out, NULL, '{');
	registration_view_jot(&out, view, with_history);
	jot_close(&out, '}');
	assert_string_equal(buf.data, text);
	assert_non_null(expected);
	assert_true(json_equal(as_object, expected));
	json_decref(as_object);
	json_decref(expected);
}

#define REGISTRATION                                                                               \
	"{\"profile_id\":\"" PROFILE                                                               \
	"\",\"state\":\"retry_wait\",\"code\":503,\"reason\":\"Try \\\"later\\\"\","               \
	"\"registrar\":\"udp:192.0.2.1:5060\",\"expires_at\":\"2023-11-14T22:13:20.123456Z\","     \
	"\"next_attempt_at\":\"2023-11-14T22:13:21.123456Z\","                                     \
	"\"changed_at\":\"2023-11-14T22:13:22.123456Z\""

static void a_registration_has_all_its_members(void **state)
{
	struct registration_view *view = registration_view_new(2);

	(void)state;
	view->profile_id = id_of(PROFILE);
	view->tenant = id_of(OTHER);
	view->user_id = id_of(USER);
	view->state = REG_RETRY_WAIT;
	view->code = 503;
	strcpy(view->reason, "Try \"later\"");
	strcpy(view->registrar, "udp:192.0.2.1:5060");
	view->expires_at = AT;
	view->next_attempt_at = AT + SECOND;
	view->changed_at = AT + 2 * SECOND;
	view->history[0] = (struct registration_change){ .at = AT, .state = REG_REGISTERING };
	view->history[1] = (struct registration_change){ AT + SECOND, REG_RETRY_WAIT, 503, "Busy" };
	expect_registration(view, false, REGISTRATION "}");
	expect_registration(
		view, true,
		REGISTRATION
		",\"history\":[{\"at\":\"2023-11-14T22:13:20.123456Z\",\"state\":\"registering\","
		"\"code\":null,\"reason\":null},{\"at\":\"2023-11-14T22:13:21.123456Z\","
		"\"state\":\"retry_wait\",\"code\":503,\"reason\":\"Busy\"}]}");
	free(view);
}

static void what_a_registration_has_not_is_null(void **state)
{
	struct registration_view *view = registration_view_new(0);

	(void)state;
	view->profile_id = id_of(PROFILE);
	expect_registration(view, true,
			    "{\"profile_id\":\"" PROFILE
			    "\",\"state\":\"disabled\",\"code\":null,\"reason\":null,"
			    "\"registrar\":null,\"expires_at\":null,\"next_attempt_at\":null,"
			    "\"changed_at\":null,\"history\":[]}");
	free(view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_has_all_its_members),
		cmocka_unit_test(what_a_call_has_not_is_null),
		cmocka_unit_test(a_registration_has_all_its_members),
		cmocka_unit_test(what_a_registration_has_not_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
