/* bench/rtp_blast.c - both ends' sound of many calls, from one process whose CPU is not counted
 *
 *     rtp_blast SECONDS < pairs
 *
 * Each line of standard input is `LOCAL_IP:PORT REMOTE_IP:PORT CODEC`: a socket bound to the first sends a
 * packet every 20 ms to the second (the daemon's port of that leg). CODEC is `pcmu`, `mixed` or `opus:PT`. Where all are
 * pcmu, the payload carries the sender's index, a serial number and the time it left, so that the receiver,
 * behind the relay, can tell what arrived, in what order and how late. With opus or a mixed one (PCMU) among them there is
 * a transcoder or a mixer in between: ends say something like a voice, and packets are only counted, by their headers.
 *
 * Prints one JSON object. Exit 1 when its own pace failed (the machine was too busy for the figures to mean anything).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <opus/opus.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define PTIME_MS 20
#define PAYLOAD 160
#define HEADER 12
#define MAX_ENDS 20000
#define LATE_BUCKETS 2000 /* 0.1 ms each */
#define LOOKS_MAX 1000	  /* sockets read in a millisecond */
#define SETTLE_MS 500	  /* latching and start-up: not counted */
#define VOICE_FRAMES 100  /* said over and over */
#define OPUS_RATE 48000
#define OPUS_FRAME (OPUS_RATE / 1000 * PTIME_MS)
#define OPUS_MAX 400

struct end {
	int fd;
	struct sockaddr_in remote;
	uint8_t opus_pt; /* 0: G.711 */
	uint16_t seq;
	uint32_t timestamp, ssrc;
	uint32_t sent_from; /* first serial that counts */
	uint32_t serial;
	uint32_t received, out_of_order, header_gaps;
	uint32_t last_serial;
	uint16_t last_seq;
	uint32_t last_ssrc;
};

struct stamp {
	uint32_t index, serial;
	uint64_t sent_us;
};

struct frame {
	size_t len;
	uint8_t data[OPUS_MAX];
};

static struct frame opus_voice[VOICE_FRAMES], g711_voice[VOICE_FRAMES];
static bool stamped = true; /* nobody transcodes */
static struct end ends[MAX_ENDS];
static unsigned end_count;
static uint32_t late[LATE_BUCKETS + 1];
static uint64_t late_max_us, overruns;

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static struct sockaddr_in addr_parse(char *text)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	char *colon = strrchr(text, ':');

	if (!colon) {
		fprintf(stderr, "rtp_blast: not IP:PORT: %s\n", text);
		exit(2);
	}
	*colon = '\0';
	sa.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, text, &sa.sin_addr) != 1) {
		fprintf(stderr, "rtp_blast: not an address: %s\n", text);
		exit(2);
	}
	return sa;
}

static void end_open(struct end *end, struct sockaddr_in local, struct sockaddr_in remote)
{
	int size = 1 << 20;

	end->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	setsockopt(end->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(end->fd, (struct sockaddr *)&local, sizeof(local)) < 0) {
		perror("rtp_blast: bind");
		exit(2);
	}
	end->remote = remote;
	end->ssrc = 0x4a460000u + (uint32_t)(end - ends);
}

/* A pitch that glides, its harmonics, four syllables a second, a pause now and then. */
static double voice_at(double t)
{
	double pitch = 120 + 30 * sin(2 * M_PI * 0.7 * t), v = 0;
	double syllable = 0.5 - 0.5 * cos(2 * M_PI * 4 * t);

	for (int k = 1; k < 20; k++)
		v += sin(2 * M_PI * k * pitch * t) / k;
	return fmod(t, 2) < 1.6 ? 4000 * syllable * v : 0;
}

static uint8_t ulaw(int v)
{
	int sign = v < 0 ? 0x80 : 0, segment = 7;

	v = (v < 0 ? -v : v) + 0x84;
	v = v > 32767 ? 32767 : v;
	while (segment && !(v & (0x80 << segment)))
		segment--;
	return (uint8_t) ~(sign | segment << 4 | ((v >> (segment + 3)) & 0x0f));
}

static void voice_make(void)
{
	int r;
	OpusEncoder *encoder = opus_encoder_create(OPUS_RATE, 1, OPUS_APPLICATION_VOIP, &r);
	int16_t pcm[OPUS_FRAME];

	opus_encoder_ctl(encoder, OPUS_SET_BITRATE(24000));
	for (int frame = 0; frame < VOICE_FRAMES; frame++) {
		struct frame *g711 = &g711_voice[frame], *opus = &opus_voice[frame];

		for (int i = 0; i < OPUS_FRAME; i++)
			pcm[i] = (int16_t)fmax(
				-32000, fmin(32000, voice_at((double)(frame * OPUS_FRAME + i) /
							     OPUS_RATE)));
		for (int i = 0; i < PAYLOAD; i++)
			g711->data[i] = ulaw(pcm[i * OPUS_RATE / 8000]);
		g711->len = PAYLOAD;
		r = opus_encode(encoder, pcm, OPUS_FRAME, opus->data, OPUS_MAX);
		opus->len = r > 0 ? (size_t)r : 0;
	}
	opus_encoder_destroy(encoder);
}

/* Return: the payload's length. */
static size_t voice_put(const struct end *end, uint8_t *out)
{
	unsigned at = (end->serial + (unsigned)(end - ends) * 7) % VOICE_FRAMES;
	const struct frame *frame = end->opus_pt ? &opus_voice[at] : &g711_voice[at];

	memcpy(out, frame->data, frame->len);
	return frame->len;
}

static void end_send(struct end *end, bool counts)
{
	uint8_t packet[HEADER + OPUS_MAX];
	size_t len = PAYLOAD;
	struct stamp stamp = { (uint32_t)(end - ends), end->serial++, now_us() };
	uint16_t seq = htons(end->seq++);
	uint32_t timestamp = htonl(end->timestamp), ssrc = htonl(end->ssrc);

	memset(packet, 0xd5, sizeof(packet));
	packet[0] = 0x80;
	packet[1] = end->opus_pt;
	memcpy(packet + 2, &seq, 2);
	memcpy(packet + 4, &timestamp, 4);
	memcpy(packet + 8, &ssrc, 4);
	if (stamped)
		memcpy(packet + HEADER, &stamp, sizeof(stamp));
	else
		len = voice_put(end, packet + HEADER);
	end->timestamp += end->opus_pt ? OPUS_FRAME : PAYLOAD;
	if (!counts)
		end->sent_from = end->serial;
	if (sendto(end->fd, packet, HEADER + len, 0, (struct sockaddr *)&end->remote,
		   sizeof(end->remote)) < 0 &&
	    errno != ECONNREFUSED) {
		perror("rtp_blast: sendto");
		exit(2);
	}
}

static void header_check(struct end *end, const uint8_t *packet)
{
	uint16_t seq;
	uint32_t ssrc;

	memcpy(&seq, packet + 2, 2);
	memcpy(&ssrc, packet + 8, 4);
	seq = ntohs(seq);
	if (end->received && ((uint16_t)(seq - end->last_seq) != 1 || ssrc != end->last_ssrc))
		end->header_gaps++;
	end->last_seq = seq;
	end->last_ssrc = ssrc;
	end->received++;
}

static void end_receive(struct end *end)
{
	uint8_t packet[2048];
	ssize_t n;

	while ((n = recv(end->fd, packet, sizeof(packet), 0)) >= 0) {
		struct stamp stamp;
		uint64_t took_us;

		if (!stamped) {
			if (n > HEADER && packet[1] < 192 && end->sent_from != end->serial)
				header_check(end, packet);
			continue;
		}
		if (n != HEADER + PAYLOAD)
			continue; /* RTCP or comfort noise */
		memcpy(&stamp, packet + HEADER, sizeof(stamp));
		if (stamp.index >= end_count || stamp.serial < ends[stamp.index].sent_from)
			continue;
		took_us = now_us() - stamp.sent_us;
		late[took_us / 100 < LATE_BUCKETS ? took_us / 100 : LATE_BUCKETS]++;
		if (took_us > late_max_us)
			late_max_us = took_us;
		if (end->received && stamp.serial <= end->last_serial)
			end->out_of_order++;
		end->last_serial = stamp.serial;
		header_check(end, packet);
	}
}

static double late_percentile_ms(double share)
{
	uint64_t total = 0, seen = 0;

	for (unsigned i = 0; i <= LATE_BUCKETS; i++)
		total += late[i];
	for (unsigned i = 0; i <= LATE_BUCKETS; i++) {
		seen += late[i];
		if (total && (double)seen >= share * (double)total)
			return i / 10.0;
	}
	return 0;
}

static void sleep_until(uint64_t at_us)
{
	struct timespec at = { (time_t)(at_us / 1000000), (long)(at_us % 1000000 * 1000) };

	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Neither waits for packets nor has itself told of them: on one machine, waking a process, and even telling
 * its epoll of a packet, is work of the one that sends, the daemon (7 % of a relayed packet); a far end across a
 * network costs it nothing like that. Looks into so many sockets a millisecond, all of them where they are fewer:
 * with more ends, lateness is less exact.
 */
static void pump(void)
{
	static unsigned at;
	unsigned n = end_count < LOOKS_MAX ? end_count : LOOKS_MAX;

	while (n--) {
		end_receive(&ends[at]);
		at = (at + 1) % end_count;
	}
}

static void report(unsigned seconds)
{
	uint64_t sent = 0, received = 0, out_of_order = 0, gaps = 0;

	for (unsigned i = 0; i < end_count; i++) {
		sent += ends[i].serial - ends[i].sent_from;
		received += ends[i].received;
		out_of_order += ends[i].out_of_order;
		gaps += ends[i].header_gaps;
	}
	printf("{\"ends\": %u, \"seconds\": %u, \"sent\": %llu, \"received\": %llu, \"lost\": %lld, \"out_of_order\": %llu, "
	       "\"header_gaps\": %llu, \"late_ms\": {\"p50\": %.1f, \"p99\": %.1f, \"max\": %.1f}, \"overruns\": %llu}\n",
	       end_count, seconds, (unsigned long long)sent, (unsigned long long)received,
	       (long long)(sent - received), (unsigned long long)out_of_order,
	       (unsigned long long)gaps, late_percentile_ms(0.5), late_percentile_ms(0.99),
	       (double)late_max_us / 1000.0, (unsigned long long)overruns);
}

/* The ends are dealt to the PTIME_MS milliseconds of a frame, as the calls of real people are. */
static void run(unsigned seconds)
{
	uint64_t start_us = now_us();

	for (uint64_t tick = 0; tick < (uint64_t)seconds * 1000 + SETTLE_MS; tick++) {
		uint64_t due_us = start_us + tick * 1000, now = now_us();

		if (now > due_us + PTIME_MS * 1000)
			overruns++;
		for (unsigned i = (unsigned)(tick % PTIME_MS); i < end_count; i += PTIME_MS)
			end_send(&ends[i], tick >= SETTLE_MS);
		sleep_until(due_us + 1000);
		pump();
	}
	for (uint64_t end_us = now_us() + 300000; now_us() < end_us;) {
		sleep_until(now_us() + 1000);
		pump();
	}
}

int main(int argc, char **argv)
{
	char local[64], remote[64], codec[16];
	unsigned seconds = argc == 2 ? (unsigned)atoi(argv[1]) : 0;

	if (!seconds || seconds > 600) {
		fprintf(stderr, "usage: rtp_blast SECONDS < pairs\n");
		return 2;
	}
	while (end_count < MAX_ENDS && scanf("%63s %63s %15s", local, remote, codec) == 3) {
		if (strncmp(codec, "opus:", 5) == 0) {
			ends[end_count].opus_pt = (uint8_t)atoi(codec + 5);
			stamped = false;
		} else if (strcmp(codec, "mixed") == 0) {
			stamped = false;
		}
		end_open(&ends[end_count], addr_parse(local), addr_parse(remote));
		end_count++;
	}
	if (!stamped)
		voice_make();
	run(seconds);
	report(seconds);
	return overruns > seconds * 10 ? 1 : 0;
}
