/* bench/media_relay.c - CPU of the media loops for relayed two-way G.711 calls
 *
 *     media_relay RTP_BLAST CALLS SECONDS
 *
 * Opens CALLS bridges of two streams in this process and has rtp_blast, another process whose CPU
 * does not count, be both ends of each. Prints one JSON object: CPU of all media threads as a
 * percentage of a core for each call, and what rtp_blast saw arrive.
 */
#include "media/media.h"

#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAR_PORT 31000
#define MEASURE_FROM_MS 6500 /* latching takes three seconds, settling two more */

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

int main(int argc, char **argv)
{
	struct media_config config = {
		.threads = 1, .port_min = 20000, .port_max = 29999, .on_event = on_event
	};
	unsigned calls = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	unsigned seconds = argc == 4 ? (unsigned)atoi(argv[3]) : 0;
	FILE *pairs = tmpfile(), *blast;
	char line[1024] = "null", blast_seconds[16];
	struct media *media;
	double cpu, wall;
	pid_t pid;
	int status;

	if (!calls || seconds < 3 || !pairs) {
		fprintf(stderr, "usage: media_relay RTP_BLAST CALLS SECONDS\n");
		return 2;
	}
	config.address = addr_of("127.0.77.1", 0);
	media = media_new(&config);
	calls_open(media, calls, pairs);
	rewind(pairs);
	snprintf(blast_seconds, sizeof(blast_seconds), "%u", seconds + MEASURE_FROM_MS / 1000 + 1);
	blast = blast_start(argv[1], blast_seconds, fileno(pairs), &pid);
	poll_for(media, MEASURE_FROM_MS);
	cpu = media_cpu_us();
	wall = (double)clock_mono_us();
	poll_for(media, seconds * 1000);
	cpu = media_cpu_us() - cpu;
	wall = (double)clock_mono_us() - wall;
	poll_for(media, 1500);
	if (!fgets(line, sizeof(line), blast))
		fprintf(stderr, "media_relay: rtp_blast said nothing\n");
	line[strcspn(line, "\n")] = '\0';
	waitpid(pid, &status, 0);
	printf("{\"calls\": %u, \"cpu_pct_per_call\": %.4f, \"us_per_packet\": %.2f, \"events\": %u, \"ends\": %s}\n",
	       calls, 100 * cpu / wall / calls, cpu / (wall / 1e6 * calls * 100), events_seen,
	       line);
	media_free(media);
	return status ? 1 : 0;
}
