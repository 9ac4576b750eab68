/* daemon/core.c - puts together what lives on the call loop: wire, resolver, stack, engine, calls */
#include "daemon/core.h"

#include "base/work.h"
#include "call/app.h"
#include "daemon/loop.h"
#include "engine/builtin.h"

#include <errno.h>
#include <netdb.h>
#include <semaphore.h>
#include <unistd.h>

#define WORKERS 2
#define WORK_QUEUE 1024
#define GATE_CAPACITY 8192 /* commands: seconds of the busiest API */
#define FLUSH_MS 250
#define LINGER_STEP_MS 20
#define HAND_OVER_MS 10000

struct core {
	struct loop *loop;
	const struct config *config; /* read by begin() only, while its owner waits */
	struct event_bus *bus;
	const struct seal *seal;
	void (*before_files)(void *arg);
	void *before_files_arg;
	struct wire *wire;
	struct resolver *resolver;
	struct stack *stack;
	struct work_pool *pool;
	struct ring *home;
	struct engine *engine;
	struct call_app *app;
	struct timer flush, linger;
	uint64_t linger_until_ms;
	sem_t quiet;
};

/* ---- addresses ---- */

/* A listening address: a number as a rule, a name of this machine at times. Blocking is fine while starting. */
static int address_find(const char *host, uint16_t port, struct sa *ret)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_DGRAM };
	struct addrinfo *found;
	int r;

	if (sa_set_str(ret, host, port) == 0)
		return 0;
	r = getaddrinfo(host, NULL, &hints, &found);
	if (r)
		return err_newf(EADDRNOTAVAIL, "find %s: %s", host, gai_strerror(r));
	r = sa_set_sa(ret, found->ai_addr);
	sa_set_port(ret, port);
	freeaddrinfo(found);
	return r ? err_newf(r, "address of %s", host) : 0;
}

static const char *text_or_null(const struct config *config, const char *section, const char *key)
{
	const char *text = config_str(config, section, key);

	return *text ? text : NULL;
}

/* ---- parts ---- */

static int wire_make(struct core *core, struct loop *loop)
{
	const struct config *config = core->config;
	struct wire_listen listens[3] = { { .transport = SIP_TRANSP_UDP },
					  { .transport = SIP_TRANSP_TCP } };
	struct wire_net_setup setup = {
		.wheel = loop_wheel(loop),
		.listens = listens,
		.listen_count = 2,
		.public_addr = text_or_null(config, "sip", "public_address"),
		.cert_file = text_or_null(config, "tls", "certificate"),
		.key_file = text_or_null(config, "tls", "key"),
		.data_dir = settings_data_dir(config),
		.ca_file = text_or_null(config, "tls", "trust"),
		.limits.rate = (unsigned)config_int(config, "sip", "rate"),
		.limits.burst = (unsigned)config_int(config, "sip", "burst"),
	};
	struct config_addr addr;
	int r;

	bug_on(!config_addr(config, "sip", "listen", &addr));
	r = address_find(addr.host, addr.port, &listens[0].addr);
	if (r)
		return err_pass(r);
	listens[1].addr = listens[0].addr;
	if (config_addr(config, "sip", "tls_listen", &addr)) {
		listens[2].transport = SIP_TRANSP_TLS;
		r = address_find(addr.host, addr.port, &listens[2].addr);
		if (r)
			return err_pass(r);
		setup.listen_count = 3;
	}
	return wire_net_new(&setup, &core->wire);
}

static bool address_is_allowed(const struct sa *addr, void *arg)
{
	(void)arg;
	return !address_is_private(addr);
}

static int media_address(const struct config *config, union media_addr *ret)
{
	const char *host = config_str(config, "rtp", "address");
	struct config_addr sip;
	struct sa addr;
	int r;

	bug_on(!config_addr(config, "sip", "listen", &sip));
	r = address_find(*host ? host : sip.host, 0, &addr);
	if (r)
		return err_pass(r);
	memcpy(ret, &addr.u, addr.len < sizeof(*ret) ? addr.len : sizeof(*ret));
	return 0;
}

static int engine_make(struct core *core)
{
	const struct config *config = core->config;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned threads = (unsigned)config_int(config, "rtp", "threads");
	struct engine_setup setup = {
		.stack = core->stack,
		.media = {
			.threads = threads ? threads : cores > 0 ? (unsigned)cores : 1,
			.port_min = (uint16_t)config_int(config, "rtp", "port_min"),
			.port_max = (uint16_t)config_int(config, "rtp", "port_max"),
			.before_files = core->before_files,
			.before_files_arg = core->before_files_arg,
			.disk_min_free = (uint64_t)config_int(config, "recordings", "min_free_mb") << 20,
		},
		.pool = core->pool,
		.home = core->home,
		.realm = config_str(config, "sip", "realm"),
		.public_addr = text_or_null(config, "sip", "public_address"),
		.voice = config_str(config, "speech", "voice"),
		.max_channels = (unsigned)config_int(config, "sip", "max_channels"),
		.first_registrations_per_s = (unsigned)config_int(config, "sip", "registrations_per_second"),
		.session_expires_s = (unsigned)config_int(config, "sip", "session_expires"),
		.watchdog_ms = (unsigned)config_int(config, "rtp", "silence_s") * 1000,
	};
	int r = media_address(config, &setup.media.address);

	if (r)
		return err_pass(r);
	core->engine = engine_new(&setup);
	return 0;
}

static void app_make(struct core *core)
{
	const struct config *config = core->config;
	auto_(free) char *recordings = settings_recordings_dir(config);
	auto_(free) char *prompts = xasprintf("%s/prompts", config_str(config, "daemon", "data"));
	const struct call_app_setup setup = {
		.seal = core->seal,
		.recordings_dir = recordings,
		.prompts_dir = prompts,
		.engine = core->engine,
		.bus = core->bus,
		.gate_capacity = GATE_CAPACITY,
		.limits = {
			.tenant_max_calls = (int)config_int(config, "limits", "calls_per_tenant"),
			.tenant_calls_per_minute = (int)config_int(config, "limits", "calls_per_minute"),
			.tenant_minutes_per_day = (int)config_int(config, "limits", "minutes_per_day"),
			.ring_timeout_s = (int)config_int(config, "limits", "ring_timeout_s"),
			.max_duration_s = (int)config_int(config, "limits", "max_duration_s"),
			.max_hold_s = (int)config_int(config, "limits", "max_hold_s"),
		},
	};

	core->app = call_app_new(&setup);
}

/* ---- what the loop does ---- */

static void on_commands(void *arg)
{
	call_app_run(((struct core *)arg)->app);
}

static void on_media(void *arg)
{
	engine_media_poll(((struct core *)arg)->engine);
}

static void on_work(void *arg)
{
	work_reap(((struct core *)arg)->home);
}

static void on_flush(struct timer *timer, void *arg)
{
	(void)event_bus_flush(((struct core *)arg)->bus);
	timer_start(timer, FLUSH_MS);
}

static int watch_all(struct core *core, struct loop *loop)
{
	int r = loop_watch(loop, call_app_fd(core->app), on_commands, core);

	if (!r)
		r = loop_watch(loop, engine_media_fd(core->engine), on_media, core);
	if (!r)
		r = loop_watch(loop, ring_fd(core->home), on_work, core);
	return r;
}

static int core_begin(struct loop *loop, void *arg)
{
	struct core *core = arg;
	struct resolver_setup resolver = { .wheel = loop_wheel(loop) };
	struct stack_setup stack = { .wheel = loop_wheel(loop),
				     .software = "Jackfield/" JACKFIELD_VERSION };
	int r = wire_make(core, loop);

	if (r)
		return err_pass(r);
	resolver.wire = core->wire;
	core->resolver = resolver_new(&resolver);
	if (!settings_allow_private(core->config))
		resolver_set_policy(core->resolver, address_is_allowed, NULL);
	stack.wire = core->wire;
	stack.resolver = core->resolver;
	core->stack = stack_new(&stack);
	core->pool = work_pool_new("worker", WORKERS, WORK_QUEUE);
	core->home = ring_new(sizeof(struct work), 2 * WORK_QUEUE);
	r = engine_make(core);
	if (r)
		return err_pass(r);
	app_make(core);
	timer_init(&core->flush, loop_wheel(loop), on_flush, core);
	timer_start(&core->flush, FLUSH_MS);
	return watch_all(core, loop);
}

/* The journal takes what still waits, into its file if need be; where neither database nor disk takes
 * anything, an end must come all the same.
 */
static void hand_over(struct event_bus *bus)
{
	uint64_t until_ms = clock_mono_ms() + HAND_OVER_MS;
	size_t left;

	while ((left = event_bus_flush(bus)) && clock_mono_ms() < until_ms)
		usleep(1000);
	if (left)
		log_error("events are lost: neither database nor disk took them",
			  LOG_INT("events", left));
}

static void core_end(struct loop *loop, void *arg)
{
	struct core *core = arg;

	(void)loop;
	timer_stop(&core->flush);
	timer_stop(&core->linger);
	core->app = call_app_free(core->app);
	core->engine = engine_free(core->engine);
	core->pool = work_pool_free(core->pool);
	if (core->home)
		work_reap(core->home); /* what finished meanwhile lets go of what it holds */
	core->home = ring_free(core->home);
	core->stack = stack_free(core->stack);
	core->resolver = resolver_free(core->resolver);
	core->wire = wire_free(core->wire);
	hand_over(core->bus);
}

/* ---- for the main thread ---- */

int core_start(const struct core_setup *given, struct core **ret_core)
{
	struct core *core = xzalloc(sizeof(*core));
	const struct loop_setup setup = {
		.begin = core_begin,
		.end = core_end,
		.arg = core,
	};
	int r;

	core->config = given->config;
	core->bus = given->bus;
	core->seal = given->seal;
	core->before_files = given->before_files;
	core->before_files_arg = given->before_files_arg;
	sem_init(&core->quiet, 0, 0);
	r = loop_start(&setup, &core->loop);
	core->config = NULL;
	if (r) {
		sem_destroy(&core->quiet);
		free(core);
		return r;
	}
	*ret_core = core;
	return 0;
}

static bool is_quiet(const struct core *core)
{
	struct engine_counts counts;

	engine_count(core->engine, &counts);
	return !counts.lines_registered && !counts.transactions && !counts.channels &&
	       !counts.tapes;
}

static void on_linger(struct timer *timer, void *arg)
{
	struct core *core = arg;

	if (is_quiet(core) || clock_mono_ms() >= core->linger_until_ms)
		sem_post(&core->quiet);
	else
		timer_start(timer, LINGER_STEP_MS);
}

static void linger_begin(void *arg)
{
	struct core *core = arg;

	timer_init(&core->linger, loop_wheel(core->loop), on_linger, core);
	timer_start(&core->linger, LINGER_STEP_MS);
}

struct core *core_stop(struct core *core, unsigned linger_ms)
{
	if (!core)
		return NULL;
	if (linger_ms) {
		core->linger_until_ms = clock_mono_ms() + linger_ms;
		loop_post(core->loop, linger_begin, core);
		while (sem_wait(&core->quiet) < 0 && errno == EINTR)
			;
	}
	loop_stop(core->loop);
	sem_destroy(&core->quiet);
	free(core);
	return NULL;
}

struct call_gate *core_gate(struct core *core)
{
	return call_app_gate(core->app);
}

static void reload(void *arg)
{
	struct core *core = arg;
	int r = wire_net_reload_tls(core->wire);

	if (r)
		log_error("the certificate stays as it was", LOG_INT("outcome", r));
	resolver_flush(core->resolver);
}

void core_reload(struct core *core)
{
	loop_post(core->loop, reload, core);
}

uint64_t core_lag_ms(const struct core *core)
{
	return loop_lag_ms(core->loop);
}
