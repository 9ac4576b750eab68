/* daemon/serve.c - starts every part in order, waits for signals, and ends them in the opposite order
 *
 * The main thread owns the configuration and a database connection of its own; it starts the journal's thread, the
 * call loop (core.c) and the API (api/), and then only waits.
 */
#include "daemon/private.h"

#include "api/api.h"
#include "call/command.h"
#include "event/journal.h"
#include "http/web.h"
#include "store/store.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define PRUNE_MS 3600000
#define WAIT_TRIES_A_LINE 30 /* one a second */
#define LOOP_LATE_MS 5000    /* the call loop has not gone round for so long: not ready */
#define LINGER_MS 4000	     /* for unregistrations, which are tried for as long */
#define JOURNAL_WAIT_MS 5000
#define LINGER_AT_ONCE_MS 1000
#define DRAIN_SPARE_MS 8000 /* the call loop itself gives BYEs 2 s */

struct daemon {
	const struct settings_flags *flags;
	struct config *config;
	int lock_fd, signal_fd, drained_fd;
	struct db *db;
	struct seal *seal;
	struct event_bus *bus;
	struct journal *journal;
	struct core *core;
	struct repair *repair;
	struct sweep *sweep;
	struct api *api;
	atomic_bool loaded, draining;
};

/* ---- readiness ---- */

/* Any API worker. */
static bool is_ready(void *arg, struct buf *why)
{
	struct daemon *daemon = arg;
	struct journal_status status;

	journal_status(daemon->journal, &status);
	if (!atomic_load(&daemon->loaded))
		buf_adds(why, "starting");
	else if (atomic_load(&daemon->draining))
		buf_adds(why, "draining");
	else if (core_lag_ms(daemon->core) > LOOP_LATE_MS)
		buf_adds(why, "the call loop does not answer");
	else if (status.away)
		buf_adds(why, "the database is away");
	return !why->len;
}

/* ---- start ---- */

/* A server that is not up yet is waited for, unless a signal comes; a file that cannot be opened never will be.
 * Return: 0 or what it said, with the reason in daemon->db.
 */
static int open_db(struct daemon *daemon)
{
	struct pollfd signals = { .fd = daemon->signal_fd, .events = POLLIN };
	auto_(buf_fini) struct buf url = BUF_MAX(4096);
	int r;

	settings_db_url(daemon->config, &url);
	for (unsigned tries = 0;; tries++) {
		daemon->db = db_close(daemon->db);
		r = place_open_db(daemon->config, &daemon->db);
		if (r != DB_E_AWAY && r != DB_E_BUSY)
			return r;
		if (r == DB_E_AWAY && str_has_prefix(url.data, "sqlite:"))
			return r;
		if (tries % WAIT_TRIES_A_LINE == 0)
			log_warn("waiting for the database",
				 LOG_STR("reason",
					 daemon->db ? db_reason(daemon->db) : "it is busy"));
		if (poll(&signals, 1, 1000) > 0)
			return r;
	}
}

static int start_journal(struct daemon *daemon)
{
	auto_(buf_fini) struct buf url = BUF_MAX(4096);
	struct journal_opts opts = {
		.data_dir = settings_data_dir(daemon->config),
		.db.connect_ms = (unsigned)config_int(daemon->config, "db", "connect_ms"),
		.db.statement_ms = (unsigned)config_int(daemon->config, "db", "statement_ms"),
	};
	int r;

	settings_db_url(daemon->config, &url);
	opts.db_url = url.data;
	daemon->bus = event_bus_new(&(struct event_bus_opts){ 0 });
	r = journal_open(&opts, daemon->bus, &daemon->journal);
	if (!r)
		journal_start(daemon->journal);
	return r;
}

/* Listening on every address of the machine. */
static bool is_any(const char *host)
{
	return str_eq(host, "0.0.0.0") || str_eq(host, "::") || str_eq(host, "*");
}

static int start_api(struct daemon *daemon)
{
	const struct config *config = daemon->config;
	auto_(free) char *recordings = settings_recordings_dir(config);
	auto_(buf_fini) struct buf url = BUF_MAX(4096);
	struct config_addr sip, tls;
	struct api_setup setup;
	bool has_sip = config_addr(config, "sip", "listen", &sip);
	bool has_tls = config_addr(config, "sip", "tls_listen", &tls);
	const char *public_address = config_str(config, "sip", "public_address");

	settings_db_url(config, &url);
	setup = (struct api_setup){
		.listen = config_addr_text(config, "http", "listen"),
		.db_url = url.data,
		.db.connect_ms = (unsigned)config_int(config, "db", "connect_ms"),
		.db.statement_ms = (unsigned)config_int(config, "db", "statement_ms"),
		.data_dir = settings_data_dir(config),
		.recordings_dir = recordings,
		.recordings_keep_days = (int)config_int(config, "recordings", "retention_days"),
		.seal = daemon->seal,
		.gate = core_gate(daemon->core),
		.bus = daemon->bus,
		.journal = daemon->journal,
		.origins = *config_str(config, "http", "origins")
				   ? config_str(config, "http", "origins")
				   : NULL,
		.trust_forwarded = config_bool(config, "http", "trust_forwarded"),
		.allow_private = settings_allow_private(config),
		.signup = config_enum(config, "security", "signup") == 0 ? API_SIGNUP_OPEN
									 : API_SIGNUP_CLOSED,
		.workers = (unsigned)config_int(config, "http", "workers"),
		.queue = (unsigned)config_int(config, "http", "queue"),
		.max_connections = (unsigned)config_int(config, "http", "max_connections"),
		.max_per_address = (unsigned)config_int(config, "http", "max_per_address"),
		.sip_host = *public_address    ? public_address
			    : is_any(sip.host) ? ""
					       : sip.host,
		.sip_port = has_sip ? sip.port : 0,
		.sip_transports = has_tls ? "udp,tcp,tls" : "udp,tcp",
		.profile_max_calls = (int)config_int(config, "limits", "calls_per_profile"),
		.version = JACKFIELD_VERSION,
		.ready = is_ready,
		.ready_arg = daemon,
	};
	return api_start(&setup, &daemon->api);
}

/* The part that could not be started, in words for who reads the terminal; the line before may say more. */
static int cannot(const struct daemon *daemon, const char *part, int r)
{
	const char *said = daemon->db ? db_reason(daemon->db) : "";

	if (r < 0)
		log_error("cannot start", LOG_STR("part", part), LOG_STR("reason", strerror(-r)));
	else if (r == DB_E_AWAY || r == DB_E_BUSY)
		log_error("cannot start", LOG_STR("part", part),
			  LOG_STR("reason", *said ? said : "the database does not answer"));
	else if (r == DB_MIGRATE_E_NEWER)
		log_error("cannot start", LOG_STR("part", part),
			  LOG_STR("reason",
				  "the database was made by a newer version of this program"));
	else
		log_error("cannot start", LOG_STR("part", part), LOG_INT("outcome", r));
	return r;
}

static int start_http(struct daemon *daemon)
{
	const char *listen = config_addr_text(daemon->config, "http", "listen");
	int r = start_api(daemon);

	if (r == WEB_E_BUSY)
		log_error(
			"cannot start: [http] listen is taken by another program, or not an address of this machine",
			LOG_STR("listen", listen));
	else if (r == WEB_E_ADDRESS)
		log_error("cannot start: [http] listen is no address of this machine",
			  LOG_STR("listen", listen));
	else if (r)
		return cannot(daemon, "http", r);
	return r;
}

/* On the recorder's thread. */
static void before_files(void *arg)
{
	if (!journal_sync(arg, JOURNAL_WAIT_MS))
		log_rated(LOG_WARN_, "recordings begin although the journal does not answer");
}

static int start_all(struct daemon *daemon)
{
	const char *dir = settings_data_dir(daemon->config);
	int r;

	r = place_take(dir, &daemon->lock_fd);
	if (r)
		return cannot(daemon, "data directory", r);
	r = seal_load(dir, &daemon->seal);
	if (r)
		return cannot(daemon, "secret.key", r);
	r = open_db(daemon);
	if (r)
		return cannot(daemon, "database", r);
	r = start_journal(daemon);
	if (r)
		return cannot(daemon, "journal", r);
	r = repair_find(daemon->db, daemon->config, daemon->seal, &daemon->repair);
	if (r)
		return cannot(daemon, "recordings", r);
	r = core_start(&(struct core_setup){ .config = daemon->config,
					     .bus = daemon->bus,
					     .seal = daemon->seal,
					     .before_files = before_files,
					     .before_files_arg = daemon->journal },
		       &daemon->core);
	if (r)
		return cannot(daemon, "sip and sound", r);
	/* The hub begins where the bus is now, so it must be there before the first event: the API before the load. */
	r = start_http(daemon);
	if (r)
		return r;
	r = load_all(daemon->db, daemon->seal, core_gate(daemon->core));
	if (r)
		return cannot(daemon, "load", r);
	atomic_store(&daemon->loaded, true);
	repair_start(daemon->repair, core_gate(daemon->core));
	sweep_start(daemon->config, &daemon->sweep);
	return 0;
}

/* ---- signals ---- */

static int take_signals(struct daemon *daemon)
{
	sigset_t set;

	/* Blocked before the first thread is made, so that all inherit it. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its writer */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	daemon->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	daemon->drained_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (daemon->signal_fd < 0 || daemon->drained_fd < 0)
		return err_newf(errno, "descriptors for signals");
	return 0;
}

static void warn_fixed(void *arg, const char *section, const char *key)
{
	(void)arg;
	log_warn("a changed setting waits for a restart", LOG_STR("section", section),
		 LOG_STR("key", key));
}

static void reload(struct daemon *daemon)
{
	auto_(buf_fini) struct buf problems = BUF_MAX(1 << 20);
	struct config *next = NULL;

	if (settings_read(daemon->flags, &problems, &next)) {
		for (char *line = strtok(problems.data, "\n"); line; line = strtok(NULL, "\n"))
			log_error("configuration not taken", LOG_STR("problem", line));
		return;
	}
	config_each_fixed(daemon->config, next, warn_fixed, NULL);
	config_take_live(daemon->config, next);
	config_free(next);
	settings_log(daemon->config);
	core_reload(daemon->core);
	log_info("configuration read again");
}

/* The call loop's thread. */
static void on_drained(void *arg, struct reply *reply)
{
	struct daemon *daemon = arg;
	uint64_t one = 1;

	reply_free(reply);
	if (write(daemon->drained_fd, &one, sizeof(one)) < 0)
		log_error("drained, but nobody can be told");
}

/* Return: false when it could not even be asked for. */
static bool drain(struct daemon *daemon, unsigned timeout_ms)
{
	struct command command = { .type = COMMAND_DRAIN, .timeout_ms = timeout_ms };

	atomic_store(&daemon->draining, true);
	return call_ask_async(core_gate(daemon->core), &command, on_drained, daemon);
}

/* Return: the signal that came, or 0. */
static int next_signal(struct daemon *daemon)
{
	struct signalfd_siginfo info;

	if (read(daemon->signal_fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	return (int)info.ssi_signo;
}

static void prune(struct daemon *daemon)
{
	int r = store_prune(daemon->db, clock_wall_us());

	if (r)
		log_warn("old rows stay for now", LOG_INT("outcome", r));
}

/* Until a signal ends it. Return: that signal. */
static int wait_for_end(struct daemon *daemon)
{
	struct pollfd fd = { .fd = daemon->signal_fd, .events = POLLIN };

	for (;;) {
		int n = poll(&fd, 1, PRUNE_MS);
		int signo = n > 0 ? next_signal(daemon) : 0;

		if (signo == SIGHUP)
			reload(daemon);
		else if (signo)
			return signo;
		else if (n == 0)
			prune(daemon);
	}
}

/* SIGTERM: calls may go on for drain_s. SIGINT, also as the second signal: they are ended now. */
static void drain_all(struct daemon *daemon, int signo)
{
	struct pollfd fds[] = {
		{ .fd = daemon->drained_fd, .events = POLLIN },
		{ .fd = daemon->signal_fd, .events = POLLIN },
	};
	int64_t drain_s = signo == SIGTERM ? config_int(daemon->config, "daemon", "drain_s") : 0;
	uint64_t until_ms = clock_mono_ms() + (uint64_t)drain_s * 1000 + DRAIN_SPARE_MS;

	log_info("draining", LOG_INT("seconds", drain_s));
	if (!drain(daemon, (unsigned)drain_s * 1000))
		return;
	for (uint64_t now_ms; (now_ms = clock_mono_ms()) < until_ms;) {
		int n = poll(fds, ARRAY_LEN(fds), (int)(until_ms - now_ms));

		if (n <= 0)
			continue;
		if (fds[0].revents)
			return;
		if (next_signal(daemon) == SIGINT && !drain(daemon, 0))
			return;
	}
	/* Its own deadlines are long over. */
	log_error("the call loop does not say that it is drained: ending all the same");
}

/* ---- end ---- */

/* Each part may have to wait for something: an end that takes long says for what. */
static void part_ended(const char *part, uint64_t *since_ms)
{
	uint64_t now_ms = clock_mono_ms();

	log_info("part ended", LOG_STR("part", part), LOG_INT("ms", now_ms - *since_ms));
	*since_ms = now_ms;
}

static void stop_all(struct daemon *daemon, int signo)
{
	bool drained = daemon->api != NULL;
	uint64_t since_ms = clock_mono_ms();

	daemon->sweep = sweep_stop(daemon->sweep);
	daemon->repair = repair_free(daemon->repair);
	daemon->api = api_stop(daemon->api);
	part_ended("http", &since_ms);
	daemon->core = core_stop(daemon->core, !drained		  ? 0
					       : signo == SIGTERM ? LINGER_MS
								  : LINGER_AT_ONCE_MS);
	part_ended("calls", &since_ms);
	daemon->journal = journal_free(daemon->journal);
	part_ended("journal", &since_ms);
	daemon->bus = event_bus_free(daemon->bus);
	daemon->db = db_close(daemon->db);
	daemon->seal = seal_free(daemon->seal);
	if (daemon->lock_fd >= 0)
		close(daemon->lock_fd);
	if (daemon->signal_fd >= 0)
		close(daemon->signal_fd);
	if (daemon->drained_fd >= 0)
		close(daemon->drained_fd);
}

int serve(const struct settings_flags *flags, struct config *config)
{
	struct daemon daemon = {
		.flags = flags, .config = config, .lock_fd = -1, .signal_fd = -1, .drained_fd = -1
	};
	uint64_t began_ms = clock_mono_ms();
	int signo = 0;
	int r;

	r = take_signals(&daemon);
	if (!r)
		r = start_all(&daemon);
	if (!r) {
		log_info("ready", LOG_STR("http", config_addr_text(config, "http", "listen")),
			 LOG_STR("sip", config_addr_text(config, "sip", "listen")),
			 LOG_STR("version", JACKFIELD_VERSION),
			 LOG_INT("ms", clock_mono_ms() - began_ms));
		signo = wait_for_end(&daemon);
		drain_all(&daemon, signo);
	}
	stop_all(&daemon, signo);
	log_info("ended");
	return r ? 1 : 0;
}
