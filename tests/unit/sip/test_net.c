/* tests/unit/sip/test_net.c - the real wire: datagrams, connections, framing, TLS, bounds, on
 * loopback
 */
#include "kit.h"

#include "base/poller.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define OURS "127.0.51.1"
#define THEIRS "127.0.51.2"

struct side {
	struct wire *wire;
	struct resolver *resolver;
	struct stack *stack;
	unsigned requests, closed;
	int closed_errnum;
	enum sip_transp last_transport;
	struct flow_watch watch;
};

struct world {
	struct wheel *wheel;
	struct side a, b;
	struct request *req;
	unsigned responses, failed;
	uint16_t code;
	enum request_failure failure;
	char why[200], via[300];
	struct poller *poller;
	char dir[64];
};

static struct world world;

/* ---- the loop ---- */

/* Return: whether it came true in time. */
static bool wait_for(bool (*until)(struct world *w), unsigned ms)
{
	uint64_t deadline_ms = clock_mono_ms() + ms;

	while (!until(&world) && clock_mono_ms() <= deadline_ms) {
		(void)poller_wait(1);
		wheel_advance(world.wheel);
	}
	return until(&world);
}

static bool never(struct world *w)
{
	(void)w;
	return false;
}

static bool answered(struct world *w)
{
	return w->responses || w->failed;
}

/* ---- two sides ---- */

static void on_request(const struct inmsg *in, void *arg)
{
	struct side *side = arg;

	side->requests++;
	side->last_transport = flow_transport(in->flow);
	stack_reply(in, 200, NULL);
}

static void side_open(struct side *side, const char *addr, const char *cert,
		      const struct wire_limits *limits)
{
	struct wire_listen listens[3];
	char ca[100], hosts[100];
	struct wire_net_setup setup = { .wheel = world.wheel,
					.listens = listens,
					.listen_count = 3 };

	for (unsigned i = 0; i < 3; i++) {
		listens[i].transport = (enum sip_transp)i;
		sa_set_str(&listens[i].addr, addr, 0);
	}
	snprintf(ca, sizeof(ca), "%s/ca.pem", world.dir);
	snprintf(hosts, sizeof(hosts), "%s/hosts", world.dir);
	setup.ca_file = ca;
	setup.data_dir = world.dir;
	setup.cert_file = cert;
	if (limits)
		setup.limits = *limits;
	assert_int_equal(wire_net_new(&setup, &side->wire), 0);
	side->resolver = resolver_new(&(struct resolver_setup){ .wheel = world.wheel,
								.wire = side->wire,
								.hosts_file = hosts,
								.servers = &listens[0].addr });
	side->stack = stack_new(&(struct stack_setup){ .wheel = world.wheel,
						       .wire = side->wire,
						       .resolver = side->resolver,
						       .software = "Net/1" });
	stack_on_method(side->stack, "OPTIONS", on_request, side);
}

static void side_close(struct side *side)
{
	flow_watch_stop(&side->watch);
	stack_free(side->stack);
	resolver_free(side->resolver);
	wire_free(side->wire);
	memset(side, 0, sizeof(*side));
}

static void open_with(const char *cert, const struct wire_limits *limits)
{
	char path[100];

	if (cert)
		snprintf(path, sizeof(path), "%s/%s", world.dir, cert);
	world.wheel = wheel_new();
	side_open(&world.a, OURS, NULL, NULL);
	side_open(&world.b, THEIRS, cert ? path : NULL, limits);
	world.responses = world.failed = 0;
	world.why[0] = '\0';
}

static int setup(void **state)
{
	(void)state;
	open_with("good.pem", NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world.req = request_free(world.req);
	side_close(&world.a);
	side_close(&world.b);
	wheel_free(world.wheel);
	return 0;
}

static uint16_t port_of(const struct side *side, enum sip_transp transport)
{
	struct sa addr;

	assert_true(wire_net_bound(side->wire, transport, &addr));
	return sa_port(&addr);
}

static void on_response(struct request *req, const struct inmsg *in, void *arg)
{
	(void)arg;
	(void)req;
	world.responses++;
	world.code = in->msg->scode;
	pl_strcpy(&in->msg->via.val, world.via, sizeof(world.via));
}

static void on_failed(struct request *req, enum request_failure failure, void *arg)
{
	(void)arg;
	world.failed++;
	world.failure = failure;
	if (request_flow(req))
		str_copy(world.why, sizeof(world.why), flow_why(request_flow(req)));
}

static void ask(const char *host, enum sip_transp transport, bool unverified)
{
	static const struct request_handlers handlers = { .on_response = on_response,
							  .on_failed = on_failed };
	static const char *const names[] = { "udp", "tcp", "tls" };
	char uri[200];
	struct outmsg *msg;

	snprintf(uri, sizeof(uri), "sip:%s:%u;transport=%s", host, port_of(&world.b, transport),
		 names[transport]);
	msg = outmsg_request_str("OPTIONS", uri);
	outmsg_ids(msg, "<sip:a@a>;tag=1", "<sip:b@b>", "net", 1);
	world.responses = world.failed = 0;
	world.req = request_free(world.req);
	request_send(world.a.stack,
		     &(struct request_args){
			     .msg = msg, .handlers = &handlers, .unverified = unverified },
		     &world.req);
	mem_deref(msg);
	assert_true(wait_for(answered, 5000));
}

static void assert_answered_over(enum sip_transp transport)
{
	assert_int_equal(world.code, 200);
	assert_int_equal(world.responses, 1);
	assert_int_equal(world.b.last_transport, transport);
}

static void a_request_is_answered_over_udp(void **state)
{
	(void)state;
	ask(THEIRS, SIP_TRANSP_UDP, false);
	assert_answered_over(SIP_TRANSP_UDP);
	assert_non_null(strstr(world.via, "SIP/2.0/UDP " OURS ":"));
	assert_non_null(strstr(world.via, ";received=" OURS ";rport="));
}

static void a_request_is_answered_over_tcp_and_the_connection_is_used_again(void **state)
{
	(void)state;
	ask(THEIRS, SIP_TRANSP_TCP, false);
	assert_answered_over(SIP_TRANSP_TCP);
	assert_int_equal(wire_flow_count(world.a.wire), 1);
	ask(THEIRS, SIP_TRANSP_TCP, false);
	assert_answered_over(SIP_TRANSP_TCP);
	assert_int_equal(wire_flow_count(world.a.wire), 1);
	assert_int_equal(wire_flow_count(world.b.wire), 1);
}

static void nobody_listening_is_a_transport_failure(void **state)
{
	(void)state;
	side_close(&world.b);
	side_open(&world.b, THEIRS, NULL, NULL);
	ask("127.0.51.9", SIP_TRANSP_TCP, false);
	assert_int_equal(world.failed, 1);
	assert_int_equal(world.failure, REQUEST_TRANSPORT);
	assert_string_equal(world.why, "Connection refused");
}

static void a_port_that_nobody_has_is_a_transport_failure_at_once(void **state)
{
	(void)state;
	side_close(&world.b);
	side_open(&world.b, THEIRS, NULL, NULL);
	ask("127.0.51.9", SIP_TRANSP_UDP, false);
	assert_int_equal(world.failed, 1);
	assert_int_equal(world.failure, REQUEST_TRANSPORT);
	ask(THEIRS, SIP_TRANSP_UDP, false); /* and harms nobody else */
	assert_answered_over(SIP_TRANSP_UDP);
}

static void a_tls_peer_with_the_right_name_is_believed(void **state)
{
	(void)state;
	ask("good.test", SIP_TRANSP_TLS, false);
	assert_answered_over(SIP_TRANSP_TLS);
}

static void a_tls_peer_with_another_name_is_not(void **state)
{
	(void)state;
	ask("bad.test", SIP_TRANSP_TLS, false);
	assert_int_equal(world.failed, 1);
	assert_int_equal(world.failure, REQUEST_TRANSPORT);
	assert_non_null(strstr(world.why, "hostname mismatch"));
	assert_int_equal(world.b.requests, 0);
}

static void a_tls_peer_is_not_believed_for_its_address(void **state)
{
	(void)state;
	ask(THEIRS, SIP_TRANSP_TLS, false);
	assert_int_equal(world.failed, 1);
	assert_non_null(strstr(world.why, "IP address mismatch"));
}

static void a_connection_of_one_name_does_not_serve_another(void **state)
{
	(void)state;
	ask("good.test", SIP_TRANSP_TLS, false);
	assert_answered_over(SIP_TRANSP_TLS);
	ask("bad.test", SIP_TRANSP_TLS, false);
	assert_int_equal(world.failed, 1);
}

static void a_self_signed_peer_is_refused_unless_told_otherwise(void **state)
{
	(void)state;
	teardown(NULL);
	open_with(NULL, NULL);
	ask("good.test", SIP_TRANSP_TLS, false);
	assert_int_equal(world.failed, 1);
	assert_non_null(strstr(world.why, "self-signed"));
	ask("good.test", SIP_TRANSP_TLS, true);
	assert_answered_over(SIP_TRANSP_TLS);
	ask("good.test", SIP_TRANSP_TLS,
	    false); /* nor does that connection serve one who wants proof */
	assert_int_equal(world.failed, 1);
}

static void our_own_key_is_kept_from_others(void **state)
{
	char path[100];
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "stat -c %%a %s/sip.pem", world.dir);
	file = popen(path, "r");
	assert_non_null(fgets(path, sizeof(path), file));
	assert_string_equal(path, "600\n");
	pclose(file);
}

static void a_new_certificate_is_taken_without_losing_connections(void **state)
{
	char command[300];

	(void)state;
	teardown(NULL);
	snprintf(command, sizeof(command), "cp %s/bad.pem %s/live.pem", world.dir, world.dir);
	assert_int_equal(system(command), 0);
	open_with("live.pem", NULL);
	ask("bad.test", SIP_TRANSP_TLS, false);
	assert_answered_over(SIP_TRANSP_TLS);
	snprintf(command, sizeof(command), "cp %s/good.pem %s/live.pem", world.dir, world.dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(wire_net_reload_tls(world.b.wire), 0);
	ask("bad.test", SIP_TRANSP_TLS, false); /* the connection that is up */
	assert_answered_over(SIP_TRANSP_TLS);
	ask("good.test", SIP_TRANSP_TLS, false);
	assert_answered_over(SIP_TRANSP_TLS);
	snprintf(command, sizeof(command), "echo nonsense > %s/live.pem", world.dir);
	assert_int_equal(system(command), 0);
	assert_true(wire_net_reload_tls(world.b.wire) < 0);
	ask("good.test", SIP_TRANSP_TLS, false);
	assert_answered_over(SIP_TRANSP_TLS);
}

/* ---- bytes by hand ---- */

static int hand_connect(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(port_of(&world.b, SIP_TRANSP_TCP)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, THEIRS, &addr.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void hand_send(int fd, const char *text, size_t len)
{
	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* What came within `ms`; NULL when the other side has closed without a word. */
static const char *hand_read(int fd, unsigned ms)
{
	static char text[70000];
	ssize_t n;

	wait_for(never, ms);
	n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return NULL;
	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static size_t options_text(char *text, size_t size, const char *length, const char *body,
			   unsigned cseq)
{
	return (size_t)snprintf(
		text, size,
		"OPTIONS sip:b@b SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.51.3;branch=z9hG4bK%u\r\n"
		"From: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: hand\r\nCSeq: %u OPTIONS\r\n%s\r\n%s",
		cseq, cseq, length, body);
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void a_message_in_single_bytes_is_put_together(void **state)
{
	char text[600];
	size_t len = options_text(text, sizeof(text), "Content-Length: 5\r\n", "hello", 1);
	int fd = hand_connect();

	(void)state;
	for (size_t i = 0; i < len; i++) {
		hand_send(fd, text + i, 1);
		if (i % 40 == 0)
			wait_for(never, 2);
	}
	assert_int_equal(count(hand_read(fd, 50), "SIP/2.0 200 OK"), 1);
	close(fd);
}

static void three_messages_and_a_half_in_one_segment_are_three(void **state)
{
	char text[3000];
	size_t len = 0, half;
	int fd = hand_connect();

	(void)state;
	len += options_text(text + len, sizeof(text) - len, "Content-Length: 5\r\n", "hello", 1);
	len += options_text(text + len, sizeof(text) - len, "l: 0\r\n", "\r\n",
			    2); /* and an empty line between */
	len += options_text(text + len, sizeof(text) - len, "CONTENT-LENGTH :  3 \r\n", "abc", 3);
	half = len;
	len += options_text(text + len, sizeof(text) - len, "Content-Length: 0\r\n", "", 4);
	hand_send(fd, text, half + 100);
	assert_int_equal(count(hand_read(fd, 50), "SIP/2.0 200 OK"), 3);
	hand_send(fd, text + half + 100, len - half - 100);
	assert_int_equal(count(hand_read(fd, 50), "SIP/2.0 200 OK"), 1);
	close(fd);
}

static void a_ping_is_answered_even_in_halves(void **state)
{
	int fd = hand_connect();

	(void)state;
	hand_send(fd, "\r\n\r\n", 4);
	assert_string_equal(hand_read(fd, 30), "\r\n");
	hand_send(fd, "\r\n\r", 3);
	assert_string_equal(hand_read(fd, 30), "");
	hand_send(fd, "\n", 1);
	assert_string_equal(hand_read(fd, 30), "\r\n");
	close(fd);
}

static void a_stream_message_without_length_is_400_and_the_end(void **state)
{
	static const char *const lengths[] = { "", "Content-Length: -1\r\n",
					       "Content-Length: x\r\n",
					       "Content-Length: 1\r\nContent-Length: 2\r\n",
					       "Content-Length: 99999999999999999999\r\n" };
	char text[600];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
		int fd = hand_connect();
		const char *answer;

		hand_send(fd, text, options_text(text, sizeof(text), lengths[i], "", 1));
		answer = hand_read(fd, 50);
		assert_non_null(answer);
		assert_memory_equal(answer, "SIP/2.0 400 ", 12);
		assert_null(hand_read(fd, 10));
		close(fd);
	}
	assert_int_equal(world.b.requests, 0);
}

static void headers_without_end_are_the_end(void **state)
{
	int fd = hand_connect();
	char junk[1024];

	(void)state;
	memset(junk, 'x', sizeof(junk));
	hand_send(fd, "OPTIONS sip:b SIP/2.0\r\nX: ", 26);
	for (unsigned i = 0; i < 33; i++)
		if (send(fd, junk, sizeof(junk), MSG_NOSIGNAL) < 0)
			break;
	assert_null(hand_read(fd, 100));
	close(fd);
}

static void a_body_beyond_the_bound_is_the_end(void **state)
{
	char text[600];
	int fd = hand_connect();

	(void)state;
	hand_send(fd, text, options_text(text, sizeof(text), "Content-Length: 65530\r\n", "", 1));
	assert_memory_equal(hand_read(fd, 50), "SIP/2.0 400 ", 12);
	assert_null(hand_read(fd, 10));
	close(fd);
}

static void a_connection_that_says_nothing_is_closed(void **state)
{
	int fd;

	(void)state;
	teardown(NULL);
	open_with("good.pem", &(struct wire_limits){ .first_message_s = 1 });
	fd = hand_connect();
	assert_string_equal(hand_read(fd, 500), "");
	assert_null(hand_read(fd, 1000));
	close(fd);
}

static void one_source_gets_so_many_connections_and_no_more(void **state)
{
	int fds[5];

	(void)state;
	teardown(NULL);
	open_with("good.pem", &(struct wire_limits){ .per_source = 4 });
	for (unsigned i = 0; i < 5; i++)
		fds[i] = hand_connect();
	for (unsigned i = 0; i < 4; i++)
		assert_string_equal(hand_read(fds[i], 20), "");
	assert_null(hand_read(fds[4], 20));
	close(fds[0]);
	wait_for(never, 20);
	fds[0] = hand_connect();
	assert_string_equal(hand_read(fds[0], 20), "");
	for (unsigned i = 0; i < 5; i++)
		close(fds[i]);
}

static void a_flood_from_one_source_is_dropped_but_not_from_a_trusted_one(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(port_of(&world.b, SIP_TRANSP_UDP)) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sa source;
	char text[600];
	size_t len = options_text(text, sizeof(text), "Content-Length: 0\r\n", "", 1);

	(void)state;
	inet_pton(AF_INET, THEIRS, &addr.sin_addr);
	for (unsigned i = 0; i < 500; i++)
		sendto(fd, text, len, 0, (struct sockaddr *)&addr, sizeof(addr));
	wait_for(never, 200);
	assert_in_range(world.b.requests, 60, 70);

	world.b.requests = 0;
	sa_set_str(&source, "127.0.0.1", 0);
	wire_trust(world.b.wire, &source);
	for (unsigned i = 0; i < 200; i++)
		sendto(fd, text, len, 0, (struct sockaddr *)&addr, sizeof(addr));
	wait_for(never, 200);
	assert_int_equal(world.b.requests, 200);
	wire_untrust(world.b.wire, &source);
	assert_false(wire_is_trusted(world.b.wire, &source));
	close(fd);
}

static void on_closed(struct flow_watch *watch, int errnum, void *arg)
{
	struct side *side = arg;

	(void)watch;
	side->closed++;
	side->closed_errnum = errnum;
}

static bool a_closed(struct world *w)
{
	return w->a.closed > 0;
}

static void the_users_of_a_flow_learn_that_it_died(void **state)
{
	(void)state;
	ask(THEIRS, SIP_TRANSP_TCP, false);
	flow_watch_start(&world.a.watch, request_flow(world.req), 0, on_closed, &world.a);
	side_close(&world.b);
	assert_true(wait_for(a_closed, 1000));
	assert_int_equal(world.a.closed, 1);
	assert_int_equal(world.a.closed_errnum, ECONNRESET);
	assert_false(flow_is_open(request_flow(world.req)));
	side_open(&world.b, THEIRS, NULL, NULL);
}

static void a_large_request_goes_by_tcp_and_falls_back_to_udp(void **state)
{
	static const struct request_handlers handlers = { .on_response = on_response,
							  .on_failed = on_failed };
	char body[3000], uri[100];
	struct outmsg *msg;

	(void)state;
	memset(body, 'b', sizeof(body));
	/* The peer's UDP port: nobody listens there for TCP. */
	snprintf(uri, sizeof(uri), "sip:" THEIRS ":%u", port_of(&world.b, SIP_TRANSP_UDP));
	msg = outmsg_request_str("OPTIONS", uri);
	outmsg_ids(msg, "<sip:a@a>;tag=1", "<sip:b@b>", "net", 1);
	outmsg_body(msg, "text/plain", body, sizeof(body));
	request_send(world.a.stack, &(struct request_args){ .msg = msg, .handlers = &handlers },
		     &world.req);
	mem_deref(msg);
	assert_true(wait_for(answered, 3000));
	assert_answered_over(SIP_TRANSP_UDP);
	assert_int_equal(request_attempts(world.req), 2);
}

/* ---- certificates ---- */

static void command(const char *fmt, ...) format_printf(1, 2);
static void command(const char *fmt, ...)
{
	char line[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	assert_int_equal(system(line), 0);
}

static void certificate(const char *name)
{
	command("cd %s && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key "
		"-subj /CN=%s.test -out %s.csr 2>/dev/null",
		world.dir, name, name, name);
	command("cd %s && printf 'subjectAltName=DNS:%s.test' > %s.ext && openssl x509 -req -in %s.csr -CA ca.pem "
		"-CAkey ca.key -CAcreateserial -days 2 -extfile %s.ext -out %s.crt 2>/dev/null && cat %s.crt %s.key > "
		"%s.pem",
		world.dir, name, name, name, name, name, name, name, name);
}

static int prepare(void **state)
{
	(void)state;
	snprintf(world.dir, sizeof(world.dir), "/tmp/sip-net-XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	command("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key "
		"-subj /CN=Testing -days 2 -out ca.pem 2>/dev/null",
		world.dir);
	certificate("good");
	certificate("bad");
	/* bad.test leads to the place that can only prove good.test */
	command("printf '" THEIRS " good.test bad.test\\n' > %s/hosts", world.dir);
	assert_int_equal(libre_init(), 0);
	world.poller = poller_new();
	return 0;
}

static int clean(void **state)
{
	(void)state;
	command("rm -r %s", world.dir);
	poller_free(world.poller);
	libre_close();
	return 0;
}

static struct flow *opening;

static bool is_up(struct world *w)
{
	(void)w;
	return flow_is_open(opening);
}

/* Its window is shut and our own socket is full: what we keep for it is bounded, and nothing that was taken is lost. */
static void who_does_not_read_gets_whole_messages_later_or_none(void **state)
{
	static char message[16384];
	struct mbuf mb = { .buf = (uint8_t *)message,
			   .size = sizeof(message),
			   .end = sizeof(message) };
	struct target target = { .transport = SIP_TRANSP_TCP };
	int server = socket(AF_INET, SOCK_STREAM, 0), peer, small = 4096, r = 0;
	size_t taken = 0, came = 0;
	auto_(flow_unref) struct flow *flow = NULL;

	(void)state;
	(void)setsockopt(server, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	sa_set_str(&target.addr, "127.0.51.9", 0);
	assert_int_equal(bind(server, &target.addr.u.sa, target.addr.len), 0);
	target.addr.len = sizeof(target.addr.u);
	assert_int_equal(getsockname(server, &target.addr.u.sa, &target.addr.len), 0);
	assert_int_equal(listen(server, 1), 0);
	assert_int_equal(wire_open(world.a.wire, &target, NULL, &flow), 0);
	opening = flow;
	assert_true(wait_for(is_up, 2000));
	peer = accept(server, NULL, NULL);
	memset(message, 'x', sizeof(message));
	while (!(r = flow_send(flow, &mb)) && taken < (64u << 20))
		taken += sizeof(message);
	assert_int_equal(r, FLOW_E_FULL);
	assert_int_equal(flow_send(flow, &mb), FLOW_E_FULL);
	assert_true(flow_is_open(flow));
	while (came < taken) {
		ssize_t n = recv(peer, message, sizeof(message), MSG_DONTWAIT);

		if (n > 0)
			came += (size_t)n;
		else
			(void)poller_wait(1);
	}
	assert_int_equal(flow_send(flow, &mb), 0);
	close(peer);
	close(server);
	opening = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_is_answered_over_udp),
		TEST(a_request_is_answered_over_tcp_and_the_connection_is_used_again),
		TEST(nobody_listening_is_a_transport_failure),
		TEST(who_does_not_read_gets_whole_messages_later_or_none),
		TEST(a_port_that_nobody_has_is_a_transport_failure_at_once),
		TEST(a_tls_peer_with_the_right_name_is_believed),
		TEST(a_tls_peer_with_another_name_is_not),
		TEST(a_tls_peer_is_not_believed_for_its_address),
		TEST(a_connection_of_one_name_does_not_serve_another),
		TEST(a_self_signed_peer_is_refused_unless_told_otherwise),
		TEST(our_own_key_is_kept_from_others),
		TEST(a_new_certificate_is_taken_without_losing_connections),
		TEST(a_message_in_single_bytes_is_put_together),
		TEST(three_messages_and_a_half_in_one_segment_are_three),
		TEST(a_ping_is_answered_even_in_halves),
		TEST(a_stream_message_without_length_is_400_and_the_end),
		TEST(headers_without_end_are_the_end),
		TEST(a_body_beyond_the_bound_is_the_end),
		TEST(a_connection_that_says_nothing_is_closed),
		TEST(one_source_gets_so_many_connections_and_no_more),
		TEST(a_flood_from_one_source_is_dropped_but_not_from_a_trusted_one),
		TEST(the_users_of_a_flow_learn_that_it_died),
		TEST(a_large_request_goes_by_tcp_and_falls_back_to_udp),
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
