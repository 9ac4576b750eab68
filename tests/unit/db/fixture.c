#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PG_BIN_LINK "/usr/lib/postgresql/%d/bin/%s"

static char dir[64];
static char pg_dir[80];
static pid_t owner, server;
static int pg_version, pg_port;
static unsigned made;

static void run(const char *const argv[])
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void clean_up(void)
{
	if (getpid() != owner)
		return;
	if (server > 0) {
		kill(server, SIGQUIT);
		waitpid(server, NULL, 0);
	}
	run((const char *[]){ "rm", "-rf", dir, NULL });
}

const char *fixture_dir(void)
{
	if (!dir[0] || owner != getpid()) {
		strcpy(dir, "/tmp/jackfield-test-XXXXXX");
		assert_non_null(mkdtemp(dir));
		chmod(dir, 0755);
		owner = getpid();
		atexit(clean_up);
	}
	return dir;
}

bool fixture_has_pg(void)
{
	char path[100];

	for (int version = 19; version >= 13; version--) {
		snprintf(path, sizeof(path), PG_BIN_LINK, version, "postgres");
		if (access(path, X_OK) == 0) {
			pg_version = version;
			return true;
		}
	}
	return false;
}

/* PostgreSQL refuses to run as root. */
static void become_postgres(void)
{
	struct passwd *who = getpwnam("postgres");

	if (geteuid() != 0)
		return;
	if (!who || setgroups(0, NULL) || setgid(who->pw_gid) || setuid(who->pw_uid))
		_exit(126);
}

static pid_t pg_run(const char *program, const char *argv[], bool dies_with_us)
{
	char path[100];
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	snprintf(path, sizeof(path), PG_BIN_LINK, pg_version, program);
	become_postgres();
	if (dies_with_us)
		prctl(PR_SET_PDEATHSIG, SIGQUIT);
	if (chdir("/"))
		_exit(125);
	dup2(open("/dev/null", O_RDWR), 0);
	if (!getenv("FIXTURE_PG_LOG")) {
		dup2(0, 1);
		dup2(0, 2);
	}
	argv[0] = path; /* they look for their files from there, and PATH need not lead to it */
	execv(path, (char *const *)argv);
	_exit(127);
}

static int free_port(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, FIXTURE_HOST, &addr.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

static void pg_url(char *url, size_t size, const char *name)
{
	snprintf(url, size, "postgresql://postgres@" FIXTURE_HOST ":%d/%s", pg_port, name);
}

static void pg_init(void)
{
	const char *argv[] = { "initdb",    "-D",	pg_dir, "-A",	"trust",
			       "-U",	    "postgres", "-E",	"UTF8", "--locale=C.UTF-8",
			       "--no-sync", NULL };
	struct passwd *who = getpwnam("postgres");
	int status;

	snprintf(pg_dir, sizeof(pg_dir), "%s/pg", fixture_dir());
	assert_int_equal(mkdir(pg_dir, 0700), 0);
	if (geteuid() == 0) {
		assert_non_null(who);
		assert_int_equal(chown(pg_dir, who->pw_uid, who->pw_gid), 0);
	}
	assert_true(waitpid(pg_run("initdb", argv, false), &status, 0) > 0);
	assert_int_equal(status, 0);
	pg_port = free_port();
}

void fixture_pg_start(void)
{
	struct db_opts opts = { .connect_ms = 1000 };
	char port[8], url[128];
	const char *argv[] = { "postgres",
			       "-D",
			       pg_dir,
			       "-h",
			       FIXTURE_HOST,
			       "-p",
			       port,
			       "-k",
			       "",
			       "-c",
			       "fsync=off",
			       "-c",
			       "shared_buffers=16MB",
			       "-c",
			       "max_connections=40",
			       NULL };

	assert_int_equal(server, 0);
	if (!pg_dir[0])
		pg_init();
	snprintf(port, sizeof(port), "%d", pg_port);
	server = pg_run("postgres", argv, true);
	pg_url(url, sizeof(url), "postgres");
	for (int i = 0; i < 600; i++) {
		struct db *db = NULL;
		int r = db_open(url, &opts, &db);

		db_close(db);
		if (r == 0)
			return;
		assert_int_equal(waitpid(server, NULL, WNOHANG), 0);
		usleep(50000);
	}
	fail_msg("PostgreSQL did not start");
}

void fixture_pg_stop(void)
{
	kill(server, SIGQUIT);
	assert_int_equal(waitpid(server, NULL, 0), server);
	server = 0;
}

void fixture_new(struct fixture *fixture, enum db_engine engine)
{
	auto_(db_close) struct db *db = NULL;
	char url[128], sql[64];

	fixture->engine = engine;
	if (engine == DB_SQLITE) {
		snprintf(fixture->url, sizeof(fixture->url), "sqlite:%s/test%u.db", fixture_dir(),
			 ++made);
		return;
	}
	if (!fixture_has_pg())
		skip();
	if (!server)
		fixture_pg_start();
	pg_url(url, sizeof(url), "postgres");
	assert_int_equal(db_open(url, NULL, &db), 0);
	snprintf(sql, sizeof(sql), "CREATE DATABASE test%u", ++made);
	assert_int_equal(db_exec(db, sql, DB_NO_ARGS, NULL), 0);
	snprintf(sql, sizeof(sql), "test%u", made);
	pg_url(fixture->url, sizeof(fixture->url), sql);
}

struct db *fixture_open(const struct fixture *fixture)
{
	struct db_opts opts = { .connect_ms = 2000, .statement_ms = 5000 };
	struct db *db;

	assert_int_equal(db_open(fixture->url, &opts, &db), 0);
	return db;
}

static int setup(void **state, enum db_engine engine)
{
	struct fixture *fixture = xzalloc(sizeof(*fixture));

	*state = fixture;
	fixture_new(fixture, engine);
	return 0;
}

int fixture_setup_sqlite(void **state)
{
	return setup(state, DB_SQLITE);
}

int fixture_setup_pg(void **state)
{
	return setup(state, DB_POSTGRESQL);
}

int fixture_teardown(void **state)
{
	db_fault_hook = NULL;
	free(*state);
	return 0;
}
