/* The pool with real loops and sockets on loopback. */
#include "media/media.h"
#include "media/packet.h"
#include "media/port.h"
#include "unit.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define OWN_IP "127.0.77.11"
#define FAR_IP "127.0.77.12"
#define EVENTS_MAX 4096

struct scene {
	struct media *media;
	struct media_event log[EVENTS_MAX];
	unsigned count;
};

struct far_end {
	int fd, rtcp_fd;
	union media_addr own, to;
	struct media_id stream;
	uint16_t seq;
	uint32_t ssrc;
};

static void on_event(const struct media_event *event, void *arg)
{
	struct scene *scene = arg;

	if (scene->count < EVENTS_MAX)
		scene->log[scene->count++] = *event;
}

static union media_addr addr_of(const char *ip, uint16_t port)
{
	union media_addr addr = { 0 };

	assert_true(media_addr_parse(ip, port, &addr));
	return addr;
}

static void scene_init(struct scene *scene, unsigned threads, uint16_t min, uint16_t max)
{
	struct media_config config = { .threads = threads,
				       .address = addr_of(OWN_IP, 0),
				       .port_min = min,
				       .port_max = max,
				       .on_event = on_event,
				       .arg = scene };

	*scene = (struct scene){ 0 };
	scene->media = media_new(&config);
	assert_non_null(scene->media);
}

static const struct media_event *find(const struct scene *scene, enum media_event_type type,
				      struct media_id stream)
{
	for (unsigned i = 0; i < scene->count; i++)
		if (scene->log[i].type == type && media_id_eq(scene->log[i].stream, stream))
			return &scene->log[i];
	return NULL;
}

static const struct media_event *await(struct scene *scene, enum media_event_type type,
				       struct media_id stream)
{
	uint64_t until_ms = clock_mono_ms() + 5000;
	struct pollfd pfd = { .fd = media_fd(scene->media), .events = POLLIN };
	const struct media_event *event;

	while (!(event = find(scene, type, stream)) && clock_mono_ms() < until_ms)
		if (poll(&pfd, 1, 100) > 0)
			media_poll(scene->media);
	assert_non_null(event);
	return event;
}

static struct media_id open_stream(struct scene *scene, uint64_t owner, struct media_id near)
{
	struct media_open open = { .owner = owner, .near = near };
	struct media_id id;

	assert_int_equal(media_stream_open(scene->media, &open, &id), 0);
	return id;
}

static int bind_far(const char *ip, union media_addr *ret)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof(*ret);

	*ret = addr_of(ip, 0);
	assert_int_equal(bind(fd, &ret->sa, sizeof(ret->in)), 0);
	assert_int_equal(getsockname(fd, &ret->sa, &len), 0);
	return fd;
}

static struct media_params params_of(const struct far_end *far, enum media_codec codec, uint8_t pt)
{
	struct media_params params = MEDIA_PARAMS_INIT;

	params.remote = far->own;
	params.tx = params.rx[0] = (struct media_format){ codec, pt, 0 };
	return params;
}

static struct far_end far_new(struct scene *scene, struct media_id near)
{
	struct far_end far = { .seq = 65534 };
	struct media_params params;

	far.fd = bind_far(FAR_IP, &far.own);
	far.stream = open_stream(scene, 4711, near);
	far.ssrc = 0xabc00 + far.stream.index;
	assert_true(media_stream_local(scene->media, far.stream, &far.to));
	params = params_of(&far, MEDIA_CODEC_PCMU, 0);
	media_stream_update(scene->media, far.stream, &params);
	return far;
}

static void far_say(struct far_end *far, uint8_t value)
{
	uint8_t data[PACKET_HEADER + 160];
	struct packet header = { .seq = far->seq, .timestamp = far->seq * 160u, .ssrc = far->ssrc };

	far->seq++;
	memset(data, value, sizeof(data));
	packet_write_header(data, &header);
	assert_int_equal(sendto(far->fd, data, sizeof(data), 0, &far->to.sa, sizeof(far->to.in)),
			 sizeof(data));
}

static bool far_hear(struct far_end *far, int timeout_ms, struct packet *ret,
		     uint8_t data[static 2048])
{
	struct pollfd pfd = { .fd = far->fd, .events = POLLIN };
	ssize_t n;

	if (poll(&pfd, 1, timeout_ms) <= 0)
		return false;
	n = recv(far->fd, data, 2048, 0);
	return n > 0 && packet_parse(data, (size_t)n, ret);
}

static void relayed(struct far_end *from, struct far_end *to)
{
	uint8_t data[2048];
	struct packet packet = { 0 };
	uint16_t seq = 0;

	for (uint8_t i = 0; i < 20; i++) {
		far_say(from, i);
		assert_true(far_hear(to, 2000, &packet, data));
		assert_int_equal(packet.payload_len, 160);
		assert_int_equal(packet.payload[5], i);
		if (i)
			assert_int_equal(packet.seq, (uint16_t)(seq + 1));
		seq = packet.seq;
	}
}

static void two_far_ends_hear_each_other_through_a_bridge(void **state)
{
	struct scene scene;
	struct far_end a, b;
	struct media_id bridge;

	(void)state;
	scene_init(&scene, 1, 21000, 21099);
	a = far_new(&scene, MEDIA_NONE);
	b = far_new(&scene, a.stream);
	bridge = media_bridge_open(scene.media, a.stream);
	media_bridge_add(scene.media, bridge, a.stream);
	media_bridge_add(scene.media, bridge, b.stream);
	relayed(&a, &b);
	relayed(&b, &a);
	assert_int_equal(await(&scene, MEDIA_EVENT_STARTED, a.stream)->owner, 4711);
	media_bridge_close(scene.media, bridge);
	media_stream_close(scene.media, a.stream);
	media_stream_close(scene.media, b.stream);
	assert_int_equal(await(&scene, MEDIA_EVENT_CLOSED, a.stream)->quality.rx_packets, 20);
	assert_int_equal(await(&scene, MEDIA_EVENT_CLOSED, b.stream)->quality.tx_packets, 20);
	assert_int_equal(media_stream_count(scene.media), 0);
	assert_int_equal(media_ports_free(scene.media), 50);
	media_free(scene.media);
	close(a.fd);
	close(b.fd);
}

static void a_stream_moves_to_the_bridge_s_loop_and_back(void **state)
{
	struct scene scene;
	struct far_end a, b;
	struct media_id here, there;

	(void)state;
	scene_init(&scene, 2, 21100, 21199);
	a = far_new(&scene, MEDIA_NONE);
	b = far_new(&scene, MEDIA_NONE); /* the other loop: it has fewer */
	here = media_bridge_open(scene.media, a.stream);
	there = media_bridge_open(scene.media, b.stream);
	for (int i = 0; i < 20; i++) {
		struct media_id bridge = i % 2 ? here : there;

		media_bridge_add(scene.media, bridge, a.stream);
		media_bridge_add(scene.media, bridge, b.stream);
		/* commands given while it travels follow it */
		media_bridge_hear(scene.media, bridge, a.stream, b.stream, false);
		media_bridge_hear(scene.media, bridge, b.stream, a.stream, false);
		media_bridge_hear(scene.media, bridge, a.stream, b.stream, true);
		media_bridge_hear(scene.media, bridge, b.stream, a.stream, true);
		if (i % 5)
			continue; /* and on at once */
		for (int j = 0; j < 20; j++) {
			usleep(2000);
			media_poll(scene.media);
		}
		relayed(&a, &b);
		relayed(&b, &a);
	}
	media_stream_close(scene.media, a.stream);
	media_stream_close(scene.media, b.stream);
	await(&scene, MEDIA_EVENT_CLOSED, a.stream);
	await(&scene, MEDIA_EVENT_CLOSED, b.stream);
	media_free(scene.media);
	close(a.fd);
	close(b.fd);
}

static void a_settled_stream_follows_a_source_that_moves(void **state)
{
	struct scene scene;
	struct far_end a;
	struct packet packet = { 0 };
	uint8_t data[2048];
	unsigned heard = 0;

	(void)state;
	scene_init(&scene, 1, 22100, 22119);
	a = far_new(&scene, MEDIA_NONE);
	media_stream_echo(scene.media, a.stream, true);
	for (unsigned i = 0; i < 230; i++) { /* beyond the window and the next housekeeping */
		far_say(&a, 1);
		heard += far_hear(&a, 20, &packet, data);
		usleep(20000);
	}
	while (far_hear(&a, 50, &packet, data))
		heard++;
	assert_int_equal(heard, 230);
	close(a.fd);
	a.fd = bind_far(FAR_IP, &a.own); /* the NAT has bound it to another port */
	for (heard = 0; heard < 5 && a.seq < 500 - 2; heard += far_hear(&a, 20, &packet, data)) {
		far_say(&a, 2);
		usleep(20000);
	}
	assert_int_equal(heard, 5);
	media_poll(scene.media);
	assert_true(media_addr_eq(&await(&scene, MEDIA_EVENT_REMOTE, a.stream)->remote, &a.own));
	media_free(scene.media);
	close(a.fd);
}

static void a_player_plays_at_the_pace_of_time_and_reports_its_end(void **state)
{
	struct sound *sound = sound_new_tone(&(struct sound_tone){ { 425, 0 }, { 300 } });
	struct scene scene;
	struct far_end a;
	struct media_id player;
	uint8_t data[2048];
	struct packet packet = { 0 };
	uint64_t begun_ms;
	unsigned n = 0;

	(void)state;
	scene_init(&scene, 1, 21200, 21299);
	a = far_new(&scene, MEDIA_NONE);
	begun_ms = clock_mono_ms();
	player = media_play(scene.media, a.stream, &(struct media_play){ .sound = sound });
	while (n < 15 && far_hear(&a, 2000, &packet, data)) {
		assert_int_equal(packet.marker, n == 0);
		n++;
	}
	assert_int_equal(n, 15);
	assert_in_range(clock_mono_ms() - begun_ms, 240,
			3000); /* not faster; a busy machine may be late */
	assert_true(
		media_id_eq(await(&scene, MEDIA_EVENT_PLAYED, a.stream)->played.player, player));
	assert_true(await(&scene, MEDIA_EVENT_PLAYED, a.stream)->played.complete);
	assert_int_equal(await(&scene, MEDIA_EVENT_PLAYED, a.stream)->played.ms, 300);
	sound_unref(sound);
	media_free(scene.media); /* with the stream open */
	close(a.fd);
}

static void closing_with_everything_running_leaves_nothing_behind(void **state)
{
	struct sound *sound = sound_new_ringback("gb");
	struct scene scene;

	(void)state;
	for (int round = 0; round < 3; round++) {
		struct media_id bridge, streams[6];

		scene_init(&scene, 2, 21300, 21399);
		for (unsigned i = 0; i < 6; i++)
			streams[i] = open_stream(&scene, i, MEDIA_NONE);
		bridge = media_bridge_open(scene.media, MEDIA_NONE);
		for (unsigned i = 0; i < 6; i++) {
			struct far_end far = { .own = addr_of(FAR_IP, (uint16_t)(9 + 2 * i)) };
			struct media_params params = params_of(
				&far, i % 2 ? MEDIA_CODEC_OPUS : MEDIA_CODEC_G722, i % 2 ? 111 : 9);

			media_stream_update(scene.media, streams[i], &params);
			media_bridge_add(scene.media, bridge, streams[i]);
			media_play(scene.media, streams[i],
				   &(struct media_play){ .sound = sound, .loop = true });
			media_play(scene.media, streams[i],
				   &(struct media_play){ .sound = sound, .loop = true });
		}
		if (round) { /* round 0: all of it may still be under way */
			usleep(100000);
			media_poll(scene.media);
		}
		if (round == 2) {
			media_bridge_close(scene.media, bridge);
			for (unsigned i = 0; i < 6; i++)
				media_stream_close(scene.media, streams[i]);
		}
		media_free(scene.media);
	}
	sound_unref(sound);
}

static void ids_of_what_is_gone_are_ignored(void **state)
{
	struct scene scene;
	struct media_id old, new;
	union media_addr addr;

	(void)state;
	scene_init(&scene, 1, 21400, 21499);
	old = open_stream(&scene, 1, MEDIA_NONE);
	media_stream_close(scene.media, old);
	assert_false(media_stream_local(scene.media, old, &addr));
	await(&scene, MEDIA_EVENT_CLOSED, old);
	new = open_stream(&scene, 2, MEDIA_NONE);
	assert_false(media_id_eq(old, new));
	media_stream_close(scene.media, old);
	media_stream_echo(scene.media, old, true);
	media_bridge_add(scene.media, old, new);
	assert_true(media_stream_local(scene.media, new, &addr));
	media_free(scene.media);
}

static void every_port_of_the_range_is_used_and_then_refused(void **state)
{
	struct media_id ids[10], one_more;
	bool seen[20] = { false };
	struct scene scene;
	union media_addr addr;

	(void)state;
	scene_init(&scene, 1, 21500, 21519);
	for (unsigned i = 0; i < 10; i++) {
		ids[i] = open_stream(&scene, i, MEDIA_NONE);
		assert_true(media_stream_local(scene.media, ids[i], &addr));
		assert_in_range(media_addr_port(&addr), 21500, 21518);
		assert_int_equal(media_addr_port(&addr) % 2, 0);
		assert_false(seen[media_addr_port(&addr) - 21500]);
		seen[media_addr_port(&addr) - 21500] = true;
	}
	assert_int_equal(media_stream_open(scene.media, &(struct media_open){ 0 }, &one_more),
			 MEDIA_E_NO_PORT);
	media_stream_close(scene.media, ids[3]);
	await(&scene, MEDIA_EVENT_CLOSED, ids[3]); /* free only now */
	assert_int_equal(media_stream_open(scene.media, &(struct media_open){ 0 }, &one_more), 0);
	media_free(scene.media);
}

static void ports_that_another_program_holds_are_passed_over(void **state)
{
	struct scene scene;
	int fds[9];

	(void)state;
	for (unsigned i = 0; i < 9; i++) { /* the RTCP port of 9 pairs out of 10 */
		union media_addr addr = addr_of(OWN_IP, (uint16_t)(21601 + 2 * i));

		fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
		assert_int_equal(bind(fds[i], &addr.sa, sizeof(addr.in)), 0);
	}
	scene_init(&scene, 1, 21600, 21619);
	for (unsigned round = 0; round < 5; round++) {
		struct media_id id = open_stream(&scene, 0, MEDIA_NONE), none;
		union media_addr addr;

		assert_true(media_stream_local(scene.media, id, &addr));
		assert_int_equal(media_addr_port(&addr), 21618);
		assert_int_equal(media_stream_open(scene.media, &(struct media_open){ 0 }, &none),
				 MEDIA_E_NO_PORT);
		media_stream_close(scene.media, id);
		await(&scene, MEDIA_EVENT_CLOSED, id);
	}
	media_free(scene.media);
	for (unsigned i = 0; i < 9; i++)
		close(fds[i]);
}

static void a_quarter_of_the_descriptors_is_not_for_sound(void **state)
{
	struct media_id id;
	struct rlimit was, less;
	struct scene scene;
	int taken[40];
	rlim_t next;

	(void)state;
	scene_init(&scene, 1, 21800, 21819);
	for (unsigned i = 0; i < ARRAY_LEN(taken); i++)
		taken[i] = dup(0);
	next = (rlim_t)taken[ARRAY_LEN(taken) - 1] + 1;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	less = (struct rlimit){ next + next / 3, was.rlim_max };
	assert_true(less.rlim_cur > next + 2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
	assert_int_equal(media_stream_open(scene.media, &(struct media_open){ 0 }, &id),
			 MEDIA_E_NO_PORT);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(media_ports_free(scene.media), 10);
	assert_int_equal(media_stream_open(scene.media, &(struct media_open){ 0 }, &id), 0);
	media_free(scene.media);
	for (unsigned i = 0; i < ARRAY_LEN(taken); i++)
		close(taken[i]);
}

static void an_address_that_is_not_here_is_said_so(void **state)
{
	struct media_open open = { .bind = addr_of("192.0.2.1", 0) };
	struct media_id id;
	struct scene scene;

	(void)state;
	scene_init(&scene, 1, 21700, 21719);
	assert_int_equal(media_stream_open(scene.media, &open, &id), MEDIA_E_ADDRESS);
	assert_int_equal(media_ports_free(scene.media), 10);
	media_free(scene.media);
}

static void without_loops_commands_are_taken_and_events_injected(void **state)
{
	struct sound *sound = sound_new_ringback(NULL);
	struct media_event event = { .type = MEDIA_EVENT_STARTED };
	struct media_params params = MEDIA_PARAMS_INIT;
	struct media_id id, bridge, player;
	struct scene scene;

	(void)state;
	scene_init(&scene, 0, 21800, 21899);
	id = open_stream(&scene, 99, MEDIA_NONE);
	bridge = media_bridge_open(scene.media, id);
	media_bridge_add(scene.media, bridge, id);
	media_stream_update(scene.media, id, &params);
	event.stream = id;
	media_inject(scene.media, &event);
	player = media_play(scene.media, id, &(struct media_play){ .sound = sound });
	media_stop(scene.media, id, player);
	assert_int_equal(scene.count, 0); /* only from media_poll() */
	media_poll(scene.media);
	assert_int_equal(find(&scene, MEDIA_EVENT_STARTED, id)->owner, 99);
	assert_true(media_id_eq(find(&scene, MEDIA_EVENT_PLAYED, id)->played.player, player));
	media_stream_close(scene.media, id);
	media_bridge_close(scene.media, bridge);
	media_inject(scene.media, &event);
	media_poll(scene.media);
	assert_non_null(find(&scene, MEDIA_EVENT_CLOSED, id));
	assert_int_equal(scene.count, 3); /* nothing of a closed stream but CLOSED */
	assert_int_equal(media_ports_free(scene.media), 50);
	sound_unref(sound);
	media_free(scene.media);
}

static void srtp_is_relayed_to_plain_rtp_and_back(void **state)
{
	struct scene scene;
	struct far_end a, b, secret;
	struct media_params params;
	struct media_id bridge;

	(void)state;
	/* Two streams of the pool speak SRTP with each other; behind each is a plain one. */
	scene_init(&scene, 1, 21900, 21999);
	a = far_new(&scene, MEDIA_NONE);
	b = far_new(&scene, a.stream);
	for (int suite = MEDIA_CRYPTO_AES_CM_128_SHA1_80; suite <= MEDIA_CRYPTO_AEAD_AES_256_GCM;
	     suite++) {
		struct media_id left = open_stream(&scene, 1, a.stream),
				right = open_stream(&scene, 2, a.stream);
		union media_addr left_addr, right_addr;
		struct media_crypto one = { .suite = (enum media_crypto_suite)suite }, two = one;

		memset(one.key, 1, sizeof(one.key));
		memset(two.key, 2, sizeof(two.key));
		assert_true(media_stream_local(scene.media, left, &left_addr));
		assert_true(media_stream_local(scene.media, right, &right_addr));
		secret.own = right_addr;
		params = params_of(&secret, MEDIA_CODEC_PCMU, 0);
		params.tx_crypto = one;
		params.rx_crypto = two;
		media_stream_update(scene.media, left, &params);
		secret.own = left_addr;
		params = params_of(&secret, MEDIA_CODEC_PCMU, 0);
		params.tx_crypto = two;
		params.rx_crypto = one;
		media_stream_update(scene.media, right, &params);
		bridge = media_bridge_open(scene.media, a.stream);
		media_bridge_add(scene.media, bridge, a.stream);
		media_bridge_add(scene.media, bridge, left);
		bridge = media_bridge_open(scene.media, a.stream);
		media_bridge_add(scene.media, bridge, b.stream);
		media_bridge_add(scene.media, bridge, right);
		relayed(&a, &b);
		relayed(&b, &a);
		media_stream_close(scene.media, left);
		media_stream_close(scene.media, right);
		await(&scene, MEDIA_EVENT_CLOSED, left);
		await(&scene, MEDIA_EVENT_CLOSED, right);
	}
	media_free(scene.media);
	close(a.fd);
	close(b.fd);
}

static void with_wrong_keys_nothing_is_believed(void **state)
{
	struct scene scene;
	struct far_end a;
	struct media_params params;

	(void)state;
	scene_init(&scene, 1, 22000, 22019);
	a = far_new(&scene, MEDIA_NONE);
	params = params_of(&a, MEDIA_CODEC_PCMU, 0);
	params.tx_crypto.suite = params.rx_crypto.suite = MEDIA_CRYPTO_AES_CM_128_SHA1_80;
	media_stream_update(scene.media, a.stream, &params);
	media_stream_echo(scene.media, a.stream, true);
	for (int i = 0; i < 20; i++)
		far_say(&a, 1);
	usleep(50000);
	media_stream_close(scene.media, a.stream);
	assert_int_equal(await(&scene, MEDIA_EVENT_CLOSED, a.stream)->quality.rx_packets, 0);
	assert_int_equal(await(&scene, MEDIA_EVENT_CLOSED, a.stream)->quality.rx_dropped, 20);
	assert_null(find(&scene, MEDIA_EVENT_STARTED, a.stream));
	media_free(scene.media);
	close(a.fd);
}

/* SR with a block about what came, SDES with a CNAME, BYE: one compound packet (RFC 3550 6.1). */
static void check_goodbye(const uint8_t *data, size_t len, uint32_t far_ssrc)
{
	uint32_t ssrc = read_u32(data + 4);
	size_t at = 4u * (read_u16(data + 2) + 1);

	assert_int_equal(data[0], 0x81);
	assert_int_equal(data[1], 200);
	assert_int_equal(at, 52);
	assert_int_equal(read_u32(data + 20), 10);   /* packets sent */
	assert_int_equal(read_u32(data + 24), 1600); /* octets of payload */
	assert_int_equal(read_u32(data + 28), far_ssrc);
	assert_int_equal(read_u32(data + 32), 0); /* none lost */
	assert_int_equal(read_u32(data + 36), 0x10000 + 7);
	assert_int_equal(data[at + 1], 202);
	assert_int_equal(read_u32(data + at + 4), ssrc);
	assert_int_equal(data[at + 8], 1);
	at += 4u * (read_u16(data + at + 2) + 1);
	assert_int_equal(data[at + 1], 203);
	assert_int_equal(read_u32(data + at + 4), ssrc);
	assert_int_equal(at + 8, len);
}

static void closing_says_goodbye_by_rtcp(void **state)
{
	(void)state;
	for (int mux = 0; mux < 2; mux++) {
		struct scene scene;
		struct far_end a;
		struct media_params params;
		struct packet packet = { 0 };
		uint8_t data[2048];
		union media_addr rtcp;
		ssize_t n;

		scene_init(&scene, 1, 22400, 22419);
		a = far_new(&scene, MEDIA_NONE);
		a.rtcp_fd = mux ? dup(a.fd) : bind_far(FAR_IP, &rtcp);
		params = params_of(&a, MEDIA_CODEC_PCMU, 0);
		params.rtcp_mux = mux;
		if (!mux)
			params.remote_rtcp = rtcp;
		media_stream_update(scene.media, a.stream, &params);
		media_stream_echo(scene.media, a.stream, true);
		for (int i = 0; i < 10; i++) {
			far_say(&a, 3);
			assert_true(far_hear(&a, 2000, &packet, data));
		}
		media_stream_close(scene.media, a.stream);
		await(&scene, MEDIA_EVENT_CLOSED, a.stream);
		n = recv(a.rtcp_fd, data, sizeof(data), MSG_DONTWAIT);
		assert_true(n > 0);
		check_goodbye(data, (size_t)n, a.ssrc);
		media_free(scene.media);
		close(a.fd);
		close(a.rtcp_fd);
	}
}

/* ---- anything in any order ---- */

#define MANY 12

struct chaos {
	struct scene scene;
	struct far_end far[MANY];
	struct media_id bridges[4], players[MANY];
	char dir[32];
	uint64_t tapes[4]; /* 0: none */
	bool wide[4];
	unsigned made, ended;
	struct sound *sound;
	uint32_t seed;
};

static uint32_t pick(struct chaos *chaos, uint32_t below)
{
	chaos->seed = chaos->seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)(chaos->seed >> 8) * below >> 24);
}

static void chaos_update(struct chaos *chaos, struct far_end *far)
{
	static const struct media_format formats[] = { { MEDIA_CODEC_PCMU, 0, 0 },
						       { MEDIA_CODEC_PCMA, 8, 0 },
						       { MEDIA_CODEC_G722, 9, 0 },
						       { MEDIA_CODEC_OPUS, 111, 0 } };
	struct media_format format = formats[pick(chaos, 4)];
	struct media_params params = params_of(far, format.codec, format.pt);

	params.rx[1] = formats[0];
	params.ptime_ms = 10 * (1 + pick(chaos, 6));
	params.send = pick(chaos, 8);
	params.recv = pick(chaos, 8);
	media_stream_update(chaos->scene.media, far->stream, &params);
}

/* A recording begins, is paused, has one more on it, or ends. */
static void chaos_record(struct chaos *chaos, struct far_end *far, unsigned t)
{
	struct media *media = chaos->scene.media;
	struct media_record record = { .stereo = pick(chaos, 2), .wideband = pick(chaos, 2) };
	char path[64];

	if (!chaos->tapes[t]) {
		(void)snprintf(path, sizeof(path), "%s/%u", chaos->dir, chaos->made++);
		record.path = path;
		chaos->wide[t] = record.wideband;
		chaos->tapes[t] = media_record_open(media, &record);
	} else if (!pick(chaos, 8)) {
		media_record_close(media, chaos->tapes[t]);
		chaos->tapes[t] = 0; /* its taps speak into the void */
	} else if (!pick(chaos, 4)) {
		media_record_pause(media, chaos->tapes[t], pick(chaos, 2));
	} else {
		media_record_tap(media, pick(chaos, 4) ? chaos->tapes[t] : 0, chaos->wide[t],
				 far->stream, (enum media_side)pick(chaos, 2));
	}
}

/* What a conference does with its bridge. */
static void chaos_room(struct chaos *chaos, struct far_end *far, unsigned b)
{
	struct media *media = chaos->scene.media;
	struct media_id other = chaos->far[pick(chaos, MANY)].stream;
	unsigned tape = pick(chaos, 4);

	switch (pick(chaos, 6)) {
	case 0:
		media_bridge_watch(media, chaos->bridges[b], pick(chaos, 2));
		break;
	case 1:
		media_bridge_chime(media, chaos->bridges[b], chaos->sound);
		break;
	case 2:
		media_bridge_unrecorded(media, far->stream, pick(chaos, 2));
		break;
	case 3:
		media_bridge_guest(media, far->stream);
		break;
	case 4:
		media_bridge_aside(media, far->stream, pick(chaos, 3) ? other : MEDIA_NONE);
		break;
	default:
		media_bridge_record(media, chaos->bridges[b], chaos->tapes[tape],
				    chaos->wide[tape]);
	}
}

static void chaos_poll(struct chaos *chaos)
{
	chaos->scene.count = 0;
	media_poll(chaos->scene.media);
	for (unsigned i = 0; i < chaos->scene.count; i++) {
		if (chaos->scene.log[i].type != MEDIA_EVENT_RECORDED)
			continue;
		assert_int_equal(chaos->scene.log[i].recorded.error, 0);
		chaos->ended++;
	}
}

static void chaos_step(struct chaos *chaos)
{
	struct media *media = chaos->scene.media;
	unsigned n = pick(chaos, MANY), b = pick(chaos, 4);
	struct far_end *far = &chaos->far[n];

	switch (pick(chaos, 21)) {
	case 0:
		media_stream_close(media, far->stream);
		far->stream = open_stream(&chaos->scene, n, MEDIA_NONE);
		assert_true(media_stream_local(media, far->stream, &far->to));
		chaos_update(chaos, far);
		break;
	case 1:
		chaos_update(chaos, far);
		break;
	case 2:
		chaos->players[n] =
			media_play(media, far->stream,
				   &(struct media_play){ .sound = chaos->sound,
							 .loop = pick(chaos, 2),
							 .offset_ms = pick(chaos, 6000) });
		break;
	case 3:
		media_stop(media, far->stream, chaos->players[n]);
		break;
	case 4:
		media_bridge_close(media, chaos->bridges[b]);
		chaos->bridges[b] = media_bridge_open(media, MEDIA_NONE);
		break;
	case 5:
		media_bridge_remove(media, far->stream);
		break;
	case 6:
		media_bridge_mute(media, far->stream, pick(chaos, 2), pick(chaos, 2));
		break;
	case 7:
		media_bridge_gain(media, far->stream, (int)pick(chaos, 3) * 6 - 6);
		break;
	case 8:
		media_stream_echo(media, far->stream, pick(chaos, 2));
		break;
	case 9:
		media_stream_idle(media, far->stream, pick(chaos, 2));
		break;
	case 10:
		media_bridge_hear(media, chaos->bridges[b], far->stream,
				  chaos->far[pick(chaos, MANY)].stream, pick(chaos, 2));
		break;
	case 11:
	case 12:
	case 13:
		chaos_record(chaos, far, b);
		break;
	case 14:
	case 15:
	case 16:
		chaos_room(chaos, far, b);
		break;
	default:
		media_bridge_add(media, chaos->bridges[b], far->stream);
	}
}

static void anything_in_any_order_is_survived(void **state)
{
	struct chaos *chaos = xzalloc(sizeof(*chaos));

	(void)state;
	chaos->seed = 20;
	(void)snprintf(chaos->dir, sizeof(chaos->dir), "/tmp/jf-chaos-XXXXXX");
	assert_non_null(mkdtemp(chaos->dir));
	chaos->sound = sound_new_ringback("de");
	scene_init(&chaos->scene, 2, 22200, 22399);
	for (unsigned i = 0; i < MANY; i++)
		chaos->far[i] = far_new(&chaos->scene, MEDIA_NONE);
	for (unsigned i = 0; i < 4; i++)
		chaos->bridges[i] = media_bridge_open(chaos->scene.media, MEDIA_NONE);
	for (unsigned i = 0; i < 4000; i++) {
		chaos_step(chaos);
		far_say(&chaos->far[pick(chaos, MANY)], (uint8_t)i);
		if (i % 16 == 0) {
			usleep(2000);
			chaos_poll(chaos);
		}
	}
	for (unsigned i = 0; i < ARRAY_LEN(chaos->tapes); i++)
		if (chaos->tapes[i] && i) /* one is left to be ended with the pool */
			media_record_close(chaos->scene.media, chaos->tapes[i]);
	for (unsigned i = 0; i < MANY; i++)
		media_stream_close(chaos->scene.media, chaos->far[i].stream);
	for (unsigned i = 0; i < 1000 && (media_stream_count(chaos->scene.media) ||
					  chaos->ended + !!chaos->tapes[0] < chaos->made);
	     i++) {
		usleep(5000);
		chaos_poll(chaos);
	}
	assert_int_equal(chaos->ended + !!chaos->tapes[0], chaos->made);
	assert_true(chaos->made > 4);
	assert_int_equal(media_stream_count(chaos->scene.media), 0);
	assert_int_equal(media_ports_free(chaos->scene.media), 100); /* nothing was lost */
	for (unsigned i = 0; i < MANY; i++)
		close(chaos->far[i].fd);
	media_free(chaos->scene.media);
	for (unsigned i = 0; i < chaos->made; i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "%s/%u", chaos->dir, i);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(chaos->dir), 0);
	sound_unref(chaos->sound);
	free(chaos);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_far_ends_hear_each_other_through_a_bridge),
		cmocka_unit_test(a_stream_moves_to_the_bridge_s_loop_and_back),
		cmocka_unit_test(a_settled_stream_follows_a_source_that_moves),
		cmocka_unit_test(a_player_plays_at_the_pace_of_time_and_reports_its_end),
		cmocka_unit_test(closing_with_everything_running_leaves_nothing_behind),
		cmocka_unit_test(ids_of_what_is_gone_are_ignored),
		cmocka_unit_test(every_port_of_the_range_is_used_and_then_refused),
		cmocka_unit_test(ports_that_another_program_holds_are_passed_over),
		cmocka_unit_test(a_quarter_of_the_descriptors_is_not_for_sound),
		cmocka_unit_test(an_address_that_is_not_here_is_said_so),
		cmocka_unit_test(without_loops_commands_are_taken_and_events_injected),
		cmocka_unit_test(srtp_is_relayed_to_plain_rtp_and_back),
		cmocka_unit_test(closing_says_goodbye_by_rtcp),
		cmocka_unit_test(anything_in_any_order_is_survived),
		cmocka_unit_test(with_wrong_keys_nothing_is_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
