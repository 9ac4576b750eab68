/* bench/media_relay.c - CPU of the media loops for relayed two-way G.711 calls, beside the least that can do it
 *
 *     media_relay RTP_BLAST CALLS SECONDS
 *
 * Opens CALLS bridges of two streams in this process and has rtp_blast, another process whose CPU
 * does not count, be both ends of each. Then the same once more without media loops: a bare loop that
 * receives and sends and knows nothing, which shows what the kernel alone takes on this machine at this
 * hour. Prints one JSON object: CPU as a percentage of a core for each call, of all media threads and of the
 * bare loop, and what rtp_blast saw arrive from each.
 */
#include "media/media.h"

#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAR_PORT 31000
#define CALLS_MAX 2000
#define MEASURE_FROM_MS 6500 /* latching takes three seconds, settling two more */
#define BARE_SETTLE_MS 1500
#define BARE_SLOT_US 5000

static unsigned events_seen;

static void on_event(const struct media_event *event, void *arg)
{
	(void)event;
	(void)arg;
	events_seen++;
}

static union media_addr addr_of(const char *ip, unsigned port)
{
	union media_addr addr = { 0 };

	if (!media_addr_parse(ip, (uint16_t)port, &addr))
		abort();
	return addr;
}

static struct media_id leg_open(struct media *media, unsigned far_port, FILE *pairs)
{
	struct media_open open = { 0 };
	struct media_params params = MEDIA_PARAMS_INIT;
	union media_addr local;
	struct media_id id;

	if (media_stream_open(media, &open, &id) || !media_stream_local(media, id, &local)) {
		fprintf(stderr, "media_relay: no port\n");
		exit(2);
	}
	params.remote = addr_of("127.0.77.2", far_port);
	params.tx = params.rx[0] = (struct media_format){ .codec = MEDIA_CODEC_PCMU, .pt = 0 };
	media_stream_update(media, id, &params);
	fprintf(pairs, "127.0.77.2:%u 127.0.77.1:%u pcmu\n", far_port, media_addr_port(&local));
	return id;
}

static void calls_open(struct media *media, unsigned calls, FILE *pairs)
{
	for (unsigned i = 0; i < calls; i++) {
		struct media_id a = leg_open(media, FAR_PORT + i * 4, pairs);
		struct media_id bridge = media_bridge_open(media, a);

		media_bridge_add(media, bridge, a);
		media_bridge_add(media, bridge, leg_open(media, FAR_PORT + i * 4 + 2, pairs));
	}
}

static double cpu_us(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* All threads but this one. */
static double media_cpu_us(void)
{
	return cpu_us(RUSAGE_SELF) - cpu_us(RUSAGE_THREAD);
}

static void poll_for(struct media *media, unsigned ms)
{
	uint64_t until_ms = clock_mono_ms() + ms, now_ms;
	struct pollfd pfd = { .fd = media_fd(media), .events = POLLIN };

	while ((now_ms = clock_mono_ms()) < until_ms)
		if (poll(&pfd, 1, (int)(until_ms - now_ms)) > 0)
			media_poll(media);
}

static FILE *blast_start(const char *program, const char *seconds, int pairs_fd, pid_t *ret_pid)
{
	const char *const argv[] = { program, seconds, NULL };
	posix_spawn_file_actions_t files;
	int out[2];

	if (pipe(out))
		exit(2);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, pairs_fd, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&files, out[0]);
	if (posix_spawn(ret_pid, program, &files, NULL, (char *const *)(uintptr_t)argv, environ)) {
		perror("media_relay: rtp_blast");
		exit(2);
	}
	posix_spawn_file_actions_destroy(&files);
	close(out[1]);
	return fdopen(out[0], "r");
}

struct run {
	const char *blast_program;
	unsigned calls, seconds;
	FILE *pairs, *blast;
	pid_t pid;
	double pct_per_call;
	char ends[1024]; /* what rtp_blast said */
};

static void run_begin(struct run *run, unsigned settle_ms)
{
	char seconds[16];

	rewind(run->pairs);
	snprintf(seconds, sizeof(seconds), "%u", run->seconds + settle_ms / 1000 + 1);
	run->blast = blast_start(run->blast_program, seconds, fileno(run->pairs), &run->pid);
}

static void run_end(struct run *run, double cpu_us, double wall_us)
{
	int status;

	if (!fgets(run->ends, sizeof(run->ends), run->blast))
		snprintf(run->ends, sizeof(run->ends), "null");
	run->ends[strcspn(run->ends, "\n")] = '\0';
	fclose(run->blast);
	waitpid(run->pid, &status, 0);
	if (status)
		fprintf(stderr, "media_relay: rtp_blast did not keep its pace\n");
	run->pct_per_call = 100 * cpu_us / wall_us / run->calls;
}

static void run_media(struct run *run)
{
	struct media_config config = {
		.threads = 1, .port_min = 20000, .port_max = 29999, .on_event = on_event
	};
	struct media *media;
	double cpu, wall;

	config.address = addr_of("127.0.77.1", 0);
	media = media_new(&config);
	calls_open(media, run->calls, run->pairs);
	run_begin(run, MEASURE_FROM_MS);
	poll_for(media, MEASURE_FROM_MS);
	cpu = media_cpu_us();
	wall = (double)clock_mono_us();
	poll_for(media, run->seconds * 1000);
	cpu = media_cpu_us() - cpu;
	wall = (double)clock_mono_us() - wall;
	poll_for(media, 1500);
	run_end(run, cpu, wall);
	media_free(media);
}

/* ---- the bare loop ---- */

static int *bare_open(struct run *run)
{
	int *fds = calloc(2 * run->calls, sizeof(*fds));

	for (unsigned i = 0; fds && i < 2 * run->calls; i++) {
		union media_addr local = addr_of("127.0.78.1", 20000 + 2 * i);
		union media_addr remote = addr_of("127.0.78.2", FAR_PORT + 2 * i);

		fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
		if (bind(fds[i], &local.sa, sizeof(local.in)) ||
		    connect(fds[i], &remote.sa, sizeof(remote.in))) {
			perror("media_relay: a port of the bare loop");
			exit(2);
		}
		fprintf(run->pairs, "127.0.78.2:%u 127.0.78.1:%u pcmu\n", FAR_PORT + 2 * i,
			20000 + 2 * i);
	}
	return fds;
}

/* Each socket is read every 20 ms, a fourth of them in each slot of 5 ms. */
static void bare_relay(const int *fds, unsigned count, double until_us)
{
	uint64_t slot = clock_mono_us() / BARE_SLOT_US;
	uint8_t packet[2048];

	while ((double)clock_mono_us() < until_us) {
		uint64_t at_us = ++slot * BARE_SLOT_US;
		struct timespec at = { (time_t)(at_us / 1000000), (long)(at_us % 1000000 * 1000) };

		(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		for (unsigned i = slot % 4; i < count; i += 4) {
			ssize_t n = recv(fds[i], packet, sizeof(packet), MSG_DONTWAIT);

			if (n > 0)
				(void)send(fds[i ^ 1], packet, (size_t)n, MSG_DONTWAIT);
		}
	}
}

static void run_bare(struct run *run)
{
	int *fds = bare_open(run);
	double cpu, wall;

	run_begin(run, BARE_SETTLE_MS);
	bare_relay(fds, 2 * run->calls, (double)clock_mono_us() + BARE_SETTLE_MS * 1000);
	cpu = cpu_us(RUSAGE_THREAD);
	wall = (double)clock_mono_us();
	bare_relay(fds, 2 * run->calls, wall + run->seconds * 1e6);
	cpu = cpu_us(RUSAGE_THREAD) - cpu;
	wall = (double)clock_mono_us() - wall;
	bare_relay(fds, 2 * run->calls, (double)clock_mono_us() + 1.5e6);
	run_end(run, cpu, wall);
	for (unsigned i = 0; i < 2 * run->calls; i++)
		close(fds[i]);
	free(fds);
}

int main(int argc, char **argv)
{
	struct run media = { .pairs = tmpfile() }, bare = { .pairs = tmpfile() };

	if (argc == 4) {
		media.blast_program = argv[1];
		media.calls = (unsigned)atoi(argv[2]);
		media.seconds = (unsigned)atoi(argv[3]);
	}
	if (!media.calls || media.calls > CALLS_MAX || media.seconds < 3 || !media.pairs ||
	    !bare.pairs) {
		fprintf(stderr, "usage: media_relay RTP_BLAST CALLS SECONDS\n");
		return 2;
	}
	bare.blast_program = media.blast_program;
	bare.calls = media.calls;
	bare.seconds = media.seconds;
	run_media(&media);
	run_bare(&bare);
	printf("{\"calls\": %u, \"cpu_pct_per_call\": %.4f, \"bare_pct_per_call\": %.4f, "
	       "\"events\": %u, \"ends\": %s, \"bare_ends\": %s}\n",
	       media.calls, media.pct_per_call, bare.pct_per_call, events_seen, media.ends,
	       bare.ends);
	return 0;
}
