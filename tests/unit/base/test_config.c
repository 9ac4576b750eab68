#include "base/base.h"
#include "base/config.h"
#include "unit.h"

#include <stdio.h>
#include <unistd.h>

static const char *const levels[] = { "debug", "info", NULL };

static const struct config_item schema[] = {
	{ "sip", "listen", CONFIG_ADDR, "127.0.0.1:5060", .help = "Where SIP is heard." },
	{ "sip", "port", CONFIG_INT, "5060", 1, 65535, .help = "A number." },
	{ "log", "level", CONFIG_ENUM, "info", .names = levels, .live = true,
	  .help = "How much is told." },
	{ "log", "personal", CONFIG_BOOL, "no", .live = true, .help = "Names in full." },
	{ "db", "url", CONFIG_STR, "", 0, 500, .env = "JACKFIELD_DB", .help = "Which database." },
	{ "db", "key", CONFIG_STR, "", 0, 64, .secret = true, .help = "A secret." },
	{ "tls", "listen", CONFIG_ADDR, "", .help = "May be empty." },
	{ 0 },
};

struct fixture {
	struct config *config;
	struct buf problems;
	char path[32];
};

static int set_up(void **state)
{
	struct fixture *f = xzalloc(sizeof(*f));

	f->config = config_new(schema);
	f->problems.max = 65536;
	strcpy(f->path, "/tmp/jf-config-XXXXXX");
	close(mkstemp(f->path));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	config_free(f->config);
	buf_fini(&f->problems);
	free(f);
	return 0;
}

static unsigned read_text(struct fixture *f, const char *text, size_t len)
{
	FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	fwrite(text, 1, len, file);
	fclose(file);
	return config_read_file(f->config, f->path, &f->problems);
}

static bool problem(struct fixture *f, unsigned line, const char *what)
{
	auto_(free) char *want = xasprintf("%s:%u: %s\n", f->path, line, what);

	return f->problems.data && strstr(f->problems.data, want);
}

static void defaults_stand_where_nothing_is_said(void **state)
{
	struct fixture *f = *state;
	struct config_addr addr;

	assert_true(config_addr(f->config, "sip", "listen", &addr));
	assert_string_equal(addr.host, "127.0.0.1");
	assert_int_equal(addr.port, 5060);
	assert_false(config_addr(f->config, "tls", "listen", &addr));
	assert_int_equal(config_enum(f->config, "log", "level"), 1);
	assert_false(config_bool(f->config, "log", "personal"));
	assert_string_equal(config_str(f->config, "db", "url"), "");
}

static void a_file_sets_values(void **state)
{
	struct fixture *f = *state;
	const char *text =
		"\xef\xbb\xbf# c\n[log]\n level = debug \npersonal=yes\r\n\n; c\n[db]\nurl = postgresql://u:p;#@h/d?a=b\n"
		"key=\" spaced \"\n[sip]\nlisten = [::1]:5070";
	struct config_addr addr;

	assert_int_equal(read_text(f, text, strlen(text)), 0);
	assert_null(f->problems.data);
	assert_int_equal(config_enum(f->config, "log", "level"), 0);
	assert_true(config_bool(f->config, "log", "personal"));
	assert_string_equal(config_str(f->config, "db", "url"), "postgresql://u:p;#@h/d?a=b");
	assert_string_equal(config_str(f->config, "db", "key"), " spaced ");
	assert_true(config_addr(f->config, "sip", "listen", &addr));
	assert_string_equal(addr.host, "::1");
	assert_int_equal(addr.port, 5070);
}

static void every_bad_key_of_a_file_is_named_in_one_run(void **state)
{
	struct fixture *f = *state;
	const char *text =
		"early = 1\n"
		"[sip]\n"
		"port = 70000\n"
		"prot = 5060\n"
		"listen = ::1:5060\n"
		"nonsense\n"
		"[nowhere]\n"
		"port = 1\n"
		"[log\n"
		"[log]\n"
		"level = loud\n"
		"personal = maybe\n"
		"[db]\n"
		"key = 0123456789012345678901234567890123456789012345678901234567890123456789\n";

	assert_int_equal(read_text(f, text, strlen(text)), 10);
	assert_true(problem(f, 1, "a key before any section"));
	assert_true(problem(f, 3, "[sip] port: 70000 is not in 1..65535"));
	assert_true(problem(f, 4, "[sip] prot: no such key"));
	assert_true(problem(f, 5, "[sip] listen: ::1:5060 is not host:port"));
	assert_true(problem(f, 6, "expected key = value"));
	assert_true(problem(f, 7, "[nowhere]: no such section"));
	assert_true(problem(f, 9, "a section is written [name]"));
	assert_true(problem(f, 11, "[log] level: loud is none of debug, info"));
	assert_true(problem(f, 12, "[log] personal: maybe is neither yes nor no"));
	assert_true(problem(f, 14,
			    "[db] key: is not a text of 0 to 64 bytes without control characters"));
	assert_null(strstr(f->problems.data, "0123456789")); /* a secret is not repeated */
	assert_int_equal(config_int(f->config, "sip", "port"), 5060);
}

static void hostile_files_are_only_complained_of(void **state)
{
	struct fixture *f = *state;
	auto_(free) char *text = xzalloc(20001);

	memset(text, 'x', 20000);
	assert_int_equal(read_text(f, text, 20000), 1);
	assert_int_equal(read_text(f, "[", 1), 1);
	assert_int_equal(read_text(f, "[]", 2), 1);
	assert_int_equal(read_text(f, "[sip]\nport\0=5\n", 14), 1);
	assert_int_equal(read_text(f, "\0", 1), 1);
	assert_int_equal(config_read_file(f->config, "/nonexistent/x.conf", &f->problems), 1);
	assert_int_equal(config_read_file(f->config, "/", &f->problems), 1);
	assert_non_null(strstr(f->problems.data, "\n/: Is a directory\n"));
	assert_non_null(
		strstr(f->problems.data, "/nonexistent/x.conf: No such file or directory\n"));
}

static void a_file_of_something_else_is_not_complained_of_for_ever(void **state)
{
	struct fixture *f = *state;
	auto_(free) char *text = xzalloc(2000);

	for (unsigned i = 0; i < 2000; i += 2)
		memcpy(text + i, "x\n", 2);
	assert_int_equal(read_text(f, text, 2000), 51);
	assert_true(problem(f, 51, "too many problems: from here on the file is not read"));
	assert_false(problem(f, 52, ""));
}

static void the_environment_beats_the_file_and_flags_beat_both(void **state)
{
	struct fixture *f = *state;
	const char *const env[] = { "JACKFIELD_SIP_PORT=5071", "JACKFIELD_DB=postgresql://x",
				    "PATH=/bin", "JACKFIELD_TEST=1", NULL };

	assert_int_equal(read_text(f, "[sip]\nport=5070\n", 16), 0);
	assert_int_equal(config_read_env(f->config, env, &f->problems), 0);
	assert_int_equal(config_int(f->config, "sip", "port"), 5071);
	assert_string_equal(config_str(f->config, "db", "url"), "postgresql://x");
	assert_int_equal(config_override(f->config, "sip", "port", "5072", &f->problems), 0);
	assert_int_equal(config_int(f->config, "sip", "port"), 5072);
	assert_int_equal(config_override(f->config, "sip", "port", "x", &f->problems), 1);
	assert_string_equal(f->problems.data, "command line: [sip] port: x is not in 1..65535\n");
}

static void a_misspelt_variable_is_named(void **state)
{
	struct fixture *f = *state;
	const char *const env[] = { "JACKFIELD_SIP_PROT=1", "JACKFIELD_LOG_LEVEL=loud", NULL };

	assert_int_equal(config_read_env(f->config, env, &f->problems), 2);
	assert_string_equal(f->problems.data,
			    "JACKFIELD_SIP_PROT: no such key\n"
			    "JACKFIELD_LOG_LEVEL: [log] level: loud is none of debug, info\n");
}

static void what_is_printed_can_be_read_again(void **state)
{
	struct fixture *f = *state;
	auto_(buf_fini) struct buf out = BUF_MAX(65536);

	assert_int_equal(config_override(f->config, "sip", "port", "7777", &f->problems), 0);
	assert_int_equal(config_override(f->config, "db", "key", "hush", &f->problems), 0);
	config_print(f->config, &out);
	assert_non_null(strstr(
		out.data, "[sip]\n# Where SIP is heard.\n# host:port; default: 127.0.0.1:5060\n"
			  "listen = 127.0.0.1:5060\n"));
	assert_non_null(
		strstr(out.data,
		       "# one of debug, info; default: info; SIGHUP applies it\nlevel = info\n"));
	assert_null(strstr(out.data, "hush"));
	assert_int_equal(config_override(f->config, "sip", "port", "1", &f->problems), 0);
	assert_int_equal(read_text(f, out.data, out.len), 0);
	assert_int_equal(config_int(f->config, "sip", "port"), 7777);
}

static void note_key(void *arg, const char *section, const char *key)
{
	buf_addf(arg, "%s.%s ", section, key);
}

static void what_changed_and_needs_a_restart_is_told(void **state)
{
	struct fixture *f = *state;
	auto_(config_free) struct config *next = config_new(schema);
	auto_(buf_fini) struct buf keys = BUF_MAX(200);

	assert_int_equal(config_override(next, "sip", "port", "1", &f->problems), 0);
	assert_int_equal(config_override(next, "log", "level", "debug", &f->problems), 0);
	config_each_fixed(f->config, next, note_key, &keys);
	assert_string_equal(keys.data, "sip.port ");
	assert_false(config_is_same(f->config, next, "log", "level"));
	assert_true(config_is_same(f->config, next, "log", "personal"));
	config_take_live(f->config, next);
	assert_int_equal(config_enum(f->config, "log", "level"), 0);
	assert_int_equal(config_int(f->config, "sip", "port"), 5060);
	assert_string_equal(config_addr_text(f->config, "sip", "listen"), "127.0.0.1:5060");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(defaults_stand_where_nothing_is_said),
		TEST(a_file_sets_values),
		TEST(every_bad_key_of_a_file_is_named_in_one_run),
		TEST(hostile_files_are_only_complained_of),
		TEST(a_file_of_something_else_is_not_complained_of_for_ever),
		TEST(the_environment_beats_the_file_and_flags_beat_both),
		TEST(a_misspelt_variable_is_named),
		TEST(what_is_printed_can_be_read_again),
		TEST(what_changed_and_needs_a_restart_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
