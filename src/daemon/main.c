/* daemon/main.c - the commands (API.md section 1) */
#include "daemon/private.h"

#include "api/api.h"
#include "base/fsm.h"

#include <errno.h>
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/resource.h>

#define HEAP_SPARE (2 << 20)

static const char usage_text[] =
	"jackfield serve [--config FILE] [--data DIR] [--http ADDR:PORT] [--sip ADDR:PORT]\n"
	"jackfield check-config [--config FILE] [--print]\n"
	"jackfield create-admin EMAIL [--config FILE] [--data DIR]     password from standard input\n"
	"jackfield version | routes | fsm\n";

static int usage(void)
{
	fputs(usage_text, stderr);
	return 2;
}

struct arguments {
	struct settings_flags flags;
	const char *email;
	bool print;
};

static int run_help(const struct arguments *args)
{
	(void)args;
	fputs(usage_text, stdout);
	return 0;
}

static const char **flag_of(struct arguments *args, const char *name, size_t len)
{
	const struct {
		const char *name;
		const char **value;
	} flags[] = {
		{ "--config", &args->flags.config_file },
		{ "--data", &args->flags.data },
		{ "--http", &args->flags.http },
		{ "--sip", &args->flags.sip },
	};

	for (unsigned i = 0; i < ARRAY_LEN(flags); i++)
		if (strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0)
			return flags[i].value;
	return NULL;
}

/* `--flag VALUE` and `--flag=VALUE`. Return: false when there is one that nobody knows. */
static bool arguments_read(int argc, char **argv, struct arguments *args)
{
	for (int i = 2; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');
		const char **flag;

		if (argv[i][0] != '-') {
			if (args->email) {
				fprintf(stderr, "nothing is known to do with %s\n\n", argv[i]);
				return false;
			}
			args->email = argv[i];
			continue;
		}
		if (strcmp(argv[i], "--print") == 0) {
			args->print = true;
			continue;
		}
		flag = flag_of(args, argv[i],
			       equals ? (size_t)(equals - argv[i]) : strlen(argv[i]));
		if (!flag || (!equals && ++i == argc)) {
			fprintf(stderr, flag ? "%s wants a value\n\n" : "there is no option %s\n\n",
				flag ? argv[i - 1] : argv[i]);
			return false;
		}
		*flag = equals ? equals + 1 : argv[i];
	}
	return true;
}

static struct config *read_settings(const struct arguments *args)
{
	auto_(buf_fini) struct buf problems = BUF_MAX(1 << 20);
	struct config *config = NULL;

	if (settings_read(&args->flags, &problems, &config))
		fputs(problems.data, stderr);
	return config;
}

static int put_out(struct buf *text)
{
	if (text->failed || (text->len && fwrite(text->data, text->len, 1, stdout) != 1) ||
	    fflush(stdout))
		return 1;
	return 0;
}

static int run_check_config(const struct arguments *args)
{
	auto_(config_free) struct config *config = read_settings(args);
	auto_(buf_fini) struct buf out = BUF_MAX(1 << 20);

	if (!config)
		return 1;
	if (args->print)
		config_print(config, &out);
	else
		buf_adds(&out, "the configuration is good\n");
	return put_out(&out);
}

static int run_routes(const struct arguments *args)
{
	auto_(buf_fini) struct buf out = BUF_MAX(1 << 20);

	(void)args;
	api_routes_print(&out);
	return put_out(&out);
}

static int run_fsm(const struct arguments *args)
{
	auto_(buf_fini) struct buf out = BUF_MAX(1 << 20);

	(void)args;
	fsm_print_all(&out);
	return put_out(&out);
}

static int run_version(const struct arguments *args)
{
	(void)args;
	puts("jackfield " JACKFIELD_VERSION);
	return 0;
}

/* Two ports a leg and a connection a client: as many descriptors as the system lets us have. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit))
			log_warn("the limit of open files stays",
				 LOG_STR("error", strerrorname_np(errno)));
	}
}

static int run_serve(const struct arguments *args)
{
	auto_(config_free) struct config *config = read_settings(args);

	if (!config)
		return 1;
	settings_log(config);
	raise_limits();
	return serve(&args->flags, config);
}

static int run_create_admin(const struct arguments *args)
{
	auto_(config_free) struct config *config = NULL;

	if (!args->email)
		return usage();
	config = read_settings(args);
	return config ? create_admin(config, args->email) : 1;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct arguments *args);
	} commands[] = {
		{ "serve", run_serve },
		{ "check-config", run_check_config },
		{ "create-admin", run_create_admin },
		{ "routes", run_routes },
		{ "fsm", run_fsm },
		{ "version", run_version },
		{ "--version", run_version },
		{ "help", run_help },
		{ "--help", run_help },
		{ "-h", run_help },
	};
	struct arguments args = { .print = false };

	if (argc < 2 || !arguments_read(argc, argv, &args))
		return usage();
	/* A busy thread would give its heap's end back to the kernel and ask for it again several times a call. */
	mallopt(M_TRIM_THRESHOLD, HEAP_SPARE);
	if (sodium_init() < 0) {
		fputs("no source of randomness\n", stderr);
		return 1;
	}

	for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(&args);
	fprintf(stderr, "there is no command %s\n\n", argv[1]);
	return usage();
}
