/* Reading steady streams by the clock: real datagrams, virtual time. */
#include "leg.h"
#include "unit.h"

#include <netinet/in.h>
#include <sys/epoll.h>

#define WORST_SLOTS 200

struct scene {
	struct world *world;
	struct mloop *loop;
	struct mstream *stream;
	int far; /* the far end's socket */
	union media_addr remote;
	uint16_t seq;
	unsigned sent, worst; /* worst: slots a packet waited */
	uint64_t at[WORST_SLOTS * 50];
};

static int udp_bind(union media_addr *addr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr->in);

	assert_int_equal(bind(fd, &addr->sa, sizeof(addr->in)), 0);
	assert_int_equal(getsockname(fd, &addr->sa, &len), 0);
	return fd;
}

/* Bound to a port by name, as media ports are: one that the kernel chose goes when it is let loose. */
static int udp_socket(const char *ip, union media_addr *ret_addr)
{
	*ret_addr = test_addr(ip, 0);
	close(udp_bind(ret_addr));
	return udp_bind(ret_addr);
}

static uint64_t taken(const struct scene *scene)
{
	return receiver_received(&scene->stream->receiver);
}

static void say(struct scene *scene)
{
	uint8_t data[PACKET_HEADER + 160];
	struct packet packet = { .ssrc = 7, .seq = ++scene->seq, .timestamp = scene->seq * 160u };

	memset(data, 0xd5, sizeof(data));
	packet_write_header(data, &packet);
	assert_int_equal(send(scene->far, data, sizeof(data), 0), sizeof(data));
	scene->at[scene->sent++] = scene->loop->now_us / PACE_SLOT_US;
}

/* What epoll tells of, as the loop's thread would take it. Return: whether it told of RTP. */
static bool epoll_once(struct scene *scene)
{
	struct epoll_event events[8];
	int n = epoll_wait(scene->loop->epoll_fd, events, 8, 0);

	for (int i = 0; i < n; i++)
		if (events[i].data.u64 == (uintptr_t)scene->stream) {
			stream_readable(scene->stream, false);
			return true;
		}
	return false;
}

static void slot(struct scene *scene)
{
	uint64_t before = taken(scene);

	scene->loop->now_us += PACE_SLOT_US;
	epoll_once(scene);
	pace_run(scene->loop);
	for (uint64_t i = before; i < taken(scene); i++) {
		uint64_t waited = scene->loop->now_us / PACE_SLOT_US - scene->at[i];

		if (waited > scene->worst)
			scene->worst = (unsigned)waited;
	}
}

static void talk(struct scene *scene, unsigned packets, unsigned slots_each)
{
	for (unsigned i = 0; i < packets; i++) {
		say(scene);
		for (unsigned j = 0; j < slots_each; j++)
			slot(scene);
	}
}

/* The stream is bound to `bound`, the far end sends to `sent_to`. */
static struct scene *scene_new(const char *bound, const char *sent_to)
{
	static struct scene scene;
	struct epoll_event event = { .events = EPOLLIN };
	union media_addr local, unused;
	struct leg *leg;
	int on = 1;

	scene = (struct scene){ .world = world_new() };
	scene.loop = scene.world->loop;
	scene.far = udp_socket("127.0.0.1", &scene.remote);
	leg = leg_new(scene.world, MEDIA_CODEC_PCMU, 440);
	leg->quiet = true;
	scene.stream = leg->stream;
	scene.stream->fd = udp_socket(bound, &local);
	scene.stream->rtcp_fd = udp_socket(bound, &unused);
	scene.stream->anywhere = media_addr_host_is_any(&local);
	setsockopt(scene.stream->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	local = test_addr(sent_to, media_addr_port(&local));
	event.data.u64 = (uintptr_t)scene.stream;
	assert_int_equal(epoll_ctl(scene.loop->epoll_fd, EPOLL_CTL_ADD, scene.stream->fd, &event),
			 0);
	event.data.u64 |= 1;
	assert_int_equal(
		epoll_ctl(scene.loop->epoll_fd, EPOLL_CTL_ADD, scene.stream->rtcp_fd, &event), 0);
	assert_int_equal(connect(scene.far, &local.sa, sizeof(local.in)), 0);
	leg->params.remote = scene.remote;
	stream_update(scene.stream, &leg->params);
	return &scene;
}

/* A stream that has talked for four seconds and is read by the clock. */
static struct scene *scene_paced(void)
{
	struct scene *scene = scene_new("127.0.0.1", "127.0.0.1");

	talk(scene, 200, 4);
	scene->loop->busy = true;
	pace_settle(scene->stream);
	assert_true(scene->stream->connected);
	assert_false(scene->stream->pace.on); /* a stranger's packet may wait there still */
	talk(scene, 50, 4);
	pace_settle(scene->stream);
	assert_true(scene->stream->pace.on);
	talk(scene, 1, 4);
	scene->worst = 0;
	return scene;
}

static void scene_free(struct scene *scene)
{
	close(scene->far);
	stream_shut(scene->stream);
	world_free(scene->world);
}

static void a_steady_stream_is_read_without_epoll(void **state)
{
	struct scene *scene = scene_paced();

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		say(scene);
		assert_false(epoll_once(scene));
		for (unsigned j = 0; j < 4; j++)
			slot(scene);
	}
	assert_int_equal(taken(scene), scene->sent);
	assert_in_range(scene->worst, 1, 2);
	assert_int_equal(scene->stream->pace.period, 4);
	scene_free(scene);
}

static void a_stream_is_left_to_epoll_while_the_loop_has_little_to_do(void **state)
{
	struct scene *scene = scene_new("127.0.0.1", "127.0.0.1");

	(void)state;
	talk(scene, 200, 4);
	pace_settle(scene->stream);
	talk(scene, 50, 4);
	pace_settle(scene->stream);
	assert_true(scene->stream->connected);
	assert_false(scene->stream->pace.on);
	scene_free(scene);
	scene = scene_paced();
	pace_end(scene->loop); /* as when calls have ended */
	assert_false(scene->stream->pace.on);
	say(scene);
	assert_true(epoll_once(scene));
	assert_int_equal(taken(scene), scene->sent);
	scene_free(scene);
}

static void a_packet_that_comes_earlier_is_soon_read_earlier(void **state)
{
	struct scene *scene = scene_paced();

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		slot(scene); /* half a packet late... */
	talk(scene, 20, 4);
	/* ...and back to where it was */
	say(scene);
	slot(scene);
	slot(scene);
	talk(scene, 12, 4);
	scene->worst = 0;
	talk(scene, 100, 4);
	assert_int_equal(taken(scene), scene->sent);
	assert_in_range(scene->worst, 1, 2);
	scene_free(scene);
}

static void what_was_held_up_is_read_at_once(void **state)
{
	struct scene *scene = scene_paced();

	(void)state;
	for (unsigned i = 0; i < 12; i++)
		slot(scene); /* 60 ms of nothing, then what was due in them */
	for (unsigned i = 0; i < 4; i++)
		say(scene);
	slot(scene);
	assert_int_equal(taken(scene), scene->sent);
	scene_free(scene);
}

static void two_in_line_do_not_stay_two(void **state)
{
	struct scene *scene = scene_paced();

	(void)state;
	talk(scene, 40, 4);
	say(scene); /* one too many, in step: a sender whose clock is fast, or a doubled packet */
	talk(scene, 16, 4);
	scene->worst = 0;
	talk(scene, 100, 4);
	assert_int_equal(taken(scene), scene->sent);
	assert_in_range(scene->worst, 1, 2);
	scene_free(scene);
}

static void other_packet_lengths_are_learnt(void **state)
{
	static const unsigned slots_each[] = { 2, 12, 6, 1, 4 };
	struct scene *scene = scene_paced();

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(slots_each); i++) {
		talk(scene, 100, slots_each[i]);
		scene->worst = 0;
		talk(scene, 100, slots_each[i]);
		assert_int_equal(scene->stream->pace.period, slots_each[i]);
		assert_in_range(scene->worst, 1, 2);
	}
	for (unsigned i = 0; i < 4; i++)
		slot(scene);
	assert_int_equal(taken(scene), scene->sent);
	scene_free(scene);
}

static void one_that_falls_silent_goes_back_to_epoll(void **state)
{
	struct scene *scene = scene_paced();

	(void)state;
	for (unsigned i = 0; i < 22; i++)
		slot(scene);
	assert_true(scene->stream->pace.on);
	for (unsigned i = 0; i < 8; i++)
		slot(scene);
	assert_false(scene->stream->pace.on);
	assert_int_equal(scene->loop->paced_count, 0);
	say(scene);
	assert_true(epoll_once(scene));
	assert_int_equal(taken(scene), scene->sent);
	for (unsigned i = 0; i < 110; i++)
		slot(scene);
	pace_settle(scene->stream);
	assert_false(scene->stream->connected); /* it may come back from another address */
	scene_free(scene);
}

static void another_remote_loosens_it(void **state)
{
	struct scene *scene = scene_paced();
	struct media_params params = scene->stream->params;

	(void)state;
	params.remote = test_addr("127.0.0.1", 9);
	stream_update(scene->stream, &params);
	assert_false(scene->stream->pace.on);
	assert_false(scene->stream->connected);
	say(scene); /* the signalled IP from another port: heard, not locked out */
	assert_true(epoll_once(scene));
	assert_int_equal(taken(scene), scene->sent);
	scene_free(scene);
}

/* Of a machine with several addresses the route's is not always the one that the far end was told. */
static void a_socket_of_all_addresses_is_not_tied_to_another_than_it_hears(void **state)
{
	static const struct {
		const char *sent_to;
		bool connected;
	} cases[] = { { "127.0.0.1", true }, { "127.0.0.9", false } };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct scene *scene = scene_new("0.0.0.0", cases[i].sent_to);

		pace_settle(scene->stream);
		talk(scene, 200, 4);
		for (unsigned j = 0; j < 3; j++) {
			pace_settle(scene->stream);
			assert_int_equal(scene->stream->connected, cases[i].connected);
			talk(scene, 50, 4);
		}
		assert_int_equal(taken(scene), scene->sent);
		scene_free(scene);
	}
}

static void a_stalled_loop_catches_up(void **state)
{
	struct scene *scene = scene_paced();
	uint64_t before = taken(scene);

	(void)state;
	for (unsigned i = 0; i < 25; i++) {
		scene->loop->now_us += 20000;
		say(scene);
	}
	slot(scene);
	for (unsigned i = 0; i < 6; i++)
		slot(scene);
	assert_int_equal(taken(scene) - before, 25);
	scene_free(scene);
}

static void a_stream_that_closes_leaves_its_slot(void **state)
{
	struct scene *scene = scene_paced();

	(void)state;
	mloop_command(scene->loop, &(struct command){ .kind = CMD_STREAM_CLOSE,
						      .id = scene->stream->object.id });
	assert_int_equal(scene->loop->paced_count, 0);
	for (unsigned i = 0; i < PACE_SLOTS; i++)
		assert_null(scene->loop->paced[i]);
	close(scene->far);
	world_free(scene->world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_steady_stream_is_read_without_epoll),
		cmocka_unit_test(a_stream_is_left_to_epoll_while_the_loop_has_little_to_do),
		cmocka_unit_test(a_packet_that_comes_earlier_is_soon_read_earlier),
		cmocka_unit_test(what_was_held_up_is_read_at_once),
		cmocka_unit_test(two_in_line_do_not_stay_two),
		cmocka_unit_test(other_packet_lengths_are_learnt),
		cmocka_unit_test(one_that_falls_silent_goes_back_to_epoll),
		cmocka_unit_test(another_remote_loosens_it),
		cmocka_unit_test(a_socket_of_all_addresses_is_not_tied_to_another_than_it_hears),
		cmocka_unit_test(a_stalled_loop_catches_up),
		cmocka_unit_test(a_stream_that_closes_leaves_its_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
