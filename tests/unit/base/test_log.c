#include "base/base.h"
#include "base/metric.h"
#include "unit.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

METRIC_COUNTER(apples_red, "test_apples_total", "Apples eaten", "colour=\"red\"");
METRIC_COUNTER(apples_green, "test_apples_total", "Apples eaten", "colour=\"green\"");
METRIC_GAUGE(depth, "test_depth", "Depth of the well", NULL);
METRIC_HISTOGRAM(delay, "test_delay_seconds", "Delay", "kind=\"x\"");

static char captured[65536];

/* Runs fn with standard error going to a file; what it wrote is then in `captured`. */
static const char *capture(void (*fn)(void))
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	size_t n;

	assert_non_null(file);
	dup2(fileno(file), STDERR_FILENO);
	fn();
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	n = fread(captured, 1, sizeof(captured) - 1, file);
	captured[n] = '\0';
	fclose(file);
	return captured;
}

static void setup_log(bool json, bool personal)
{
	log_init(&(struct log_setup){ .level = LOG_INFO_, .json = json, .personal = personal });
}

static void write_one(void)
{
	log_info("call answered", LOG_STR("to", "a b"), LOG_INT("n", -5), LOG_STR("none", NULL),
		 LOG_ID("id", ID_NONE), LOG_STR("plain", "udp:127.0.0.1"), LOG_STR("empty", ""));
	log_debug("not printed");
}

static void lines_are_logfmt_with_quotes_where_needed(void **state)
{
	const char *line;

	(void)state;
	setup_log(false, false);
	line = capture(write_one);
	assert_true(str_has_prefix(line, "time=20"));
	assert_non_null(strstr(line,
			       "Z level=info msg=\"call answered\" to=\"a b\" n=-5 none=- id=- "
			       "plain=udp:127.0.0.1 empty=\"\"\n"));
	assert_null(strstr(line, "not printed"));
}

static void write_hostile(void)
{
	log_info("got", LOG_STR("ua", "x\r\nlevel=error msg=forged \"q\" \\ \x1b[2J \xff Grüße"));
}

static void foreign_text_cannot_forge_a_line(void **state)
{
	const char *line;

	(void)state;
	setup_log(false, false);
	line = capture(write_hostile);
	assert_non_null(strstr(
		line,
		"ua=\"x\\u000d\\nlevel=error msg=forged \\\"q\\\" \\\\ \\u001b[2J \\u00ff Grüße\"\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void json_lines_are_json(void **state)
{
	json_t *object;

	(void)state;
	setup_log(true, false);
	object = json_loads(capture(write_hostile), 0, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "level")), "info");
	assert_string_equal(json_string_value(json_object_get(object, "ua")),
			    "x\r\nlevel=error msg=forged \"q\" \\ \x1b[2J \xc3\xbf Grüße");
	json_decref(object);
}

static void write_huge(void)
{
	static char big[3000];

	memset(big, '"', sizeof(big) - 1);
	log_info("huge", LOG_STR("one", big), LOG_STR("two", big), LOG_STR("three", big),
		 LOG_INT("after", 1));
}

static void a_line_that_is_too_long_stays_well_formed(void **state)
{
	json_t *object;

	(void)state;
	setup_log(true, false);
	object = json_loads(capture(write_huge), 0, NULL);
	assert_non_null(object);
	assert_non_null(json_object_get(object, "one"));
	assert_null(json_object_get(object, "three"));
	json_decref(object);
}

static void write_person(void)
{
	log_info("dial", LOG_PII("to", "+49301234567"), LOG_PII("name", "Bob"),
		 LOG_PII("none", NULL));
}

static void personal_data_is_masked_unless_wanted(void **state)
{
	(void)state;
	setup_log(false, false);
	assert_non_null(strstr(capture(write_person), "to=***67 name=*** none=-\n"));
	setup_log(false, true);
	assert_non_null(strstr(capture(write_person), "to=+49301234567 name=Bob none=-\n"));
}

static void write_flood(void)
{
	for (int i = 0; i < 1000; i++)
		log_rated(LOG_WARN_, "flood", LOG_INT("i", i));
}

static void a_flood_is_held_back(void **state)
{
	unsigned lines = 0;

	(void)state;
	setup_log(false, false);
	for (const char *p = capture(write_flood); (p = strchr(p, '\n')); p++)
		lines++;
	assert_in_range(lines, 10, 20); /* 20 if a second ended meanwhile */
}

static void what_was_held_is_told_once(void **state)
{
	struct log_rate rate = { 0 };
	unsigned held = 99;

	(void)state;
	while (log_rate_pass(&rate, &held))
		assert_int_equal(held, 0);
	assert_false(log_rate_pass(&rate, &held));
	rate.window_s--; /* as if the second had passed */
	assert_true(log_rate_pass(&rate, &held));
	assert_int_equal(held, 2);
	assert_true(log_rate_pass(&rate, &held));
	assert_int_equal(held, 0);
}

static int failing(void)
{
	return err_pass(err_newf(98, "bind %s", "127.0.0.1:5060"));
}

static int failed;

static void run_failing(void)
{
	failed = failing();
}

static void an_error_is_its_errno_negative_and_leaves_a_trace(void **state)
{
	const char *line;

	(void)state;
	log_init(&(struct log_setup){ .level = LOG_DEBUG_ });
	line = capture(run_failing);
	assert_int_equal(failed, -98);
	assert_non_null(strstr(
		line,
		"level=error msg=\"bind 127.0.0.1:5060\" func=failing error=\"Address already in use\""));
	assert_non_null(strstr(line, "level=debug msg=\"passed on\" func=failing"));
	assert_int_equal(err_pass(0), 0);
	assert_int_equal(err_pass(3), 3);
	setup_log(false, false);
}

static void metrics_are_grouped_by_name(void **state)
{
	auto_(buf_fini) struct buf out = BUF_MAX(65536);

	(void)state;
	metric_add(&apples_red, 2);
	metric_add(&apples_green, 40);
	metric_set(&depth, -7);
	metric_print_all(&out);
	assert_non_null(
		strstr(out.data,
		       "# HELP test_apples_total Apples eaten\n# TYPE test_apples_total counter\n"
		       "test_apples_total{colour=\"green\"} 40\n"
		       "test_apples_total{colour=\"red\"} 2\n"));
	assert_non_null(strstr(out.data, "# TYPE test_depth gauge\ntest_depth -7\n"));
}

static void histograms_count_up_to_their_bounds(void **state)
{
	auto_(buf_fini) struct buf out = BUF_MAX(65536);

	(void)state;
	metric_observe_us(&delay, 1000);     /* at most 1 ms */
	metric_observe_us(&delay, 1001);     /* above it */
	metric_observe_us(&delay, 50000000); /* beyond all */
	metric_print_all(&out);
	assert_non_null(strstr(out.data, "test_delay_seconds_bucket{kind=\"x\",le=\"0.001\"} 1\n"));
	assert_non_null(strstr(out.data, "test_delay_seconds_bucket{kind=\"x\",le=\"0.002\"} 2\n"));
	assert_non_null(strstr(out.data, "test_delay_seconds_bucket{kind=\"x\",le=\"1.024\"} 2\n"));
	assert_non_null(strstr(out.data, "test_delay_seconds_bucket{kind=\"x\",le=\"+Inf\"} 3\n"));
	assert_non_null(strstr(out.data, "test_delay_seconds_sum{kind=\"x\"} 50.002001\n"));
	assert_non_null(strstr(out.data, "test_delay_seconds_count{kind=\"x\"} 3\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_logfmt_with_quotes_where_needed),
		cmocka_unit_test(foreign_text_cannot_forge_a_line),
		cmocka_unit_test(json_lines_are_json),
		cmocka_unit_test(a_line_that_is_too_long_stays_well_formed),
		cmocka_unit_test(personal_data_is_masked_unless_wanted),
		cmocka_unit_test(a_flood_is_held_back),
		cmocka_unit_test(what_was_held_is_told_once),
		cmocka_unit_test(an_error_is_its_errno_negative_and_leaves_a_trace),
		cmocka_unit_test(metrics_are_grouped_by_name),
		cmocka_unit_test(histograms_count_up_to_their_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
