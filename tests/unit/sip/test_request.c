/* tests/unit/sip/test_request.c - next hops, failover, flows' keepalive, and what is built */
#include "kit.h"

#include <errno.h>
#include <stdio.h>

static struct kit kit;
static const char *answers[4]; /* addresses the resolver gives */
static unsigned resolved, on_flows, closed;
static enum resolve_outcome outcome;
static struct hop last_hop;

/* ---- a resolver that knows what it is told ---- */

static void answer(struct resolve_query *query, const struct hop *hop, void *arg)
{
	struct target targets[4];
	unsigned count = 0;

	(void)arg;
	resolved++;
	last_hop = *hop;
	for (; count < ARRAY_LEN(answers) && answers[count]; count++) {
		memset(&targets[count], 0, sizeof(targets[count]));
		targets[count].transport =
			hop->transport == SIP_TRANSP_NONE ? SIP_TRANSP_UDP : hop->transport;
		assert_int_equal(
			sa_decode(&targets[count].addr, answers[count], strlen(answers[count])), 0);
	}
	resolver_answer(query, outcome, targets, outcome == RESOLVE_OK ? count : 0);
}

static int setup(void **state)
{
	(void)state;
	kit_open(&kit);
	stack_free(kit.stack);
	resolver_free(kit.resolver);
	kit.resolver = resolver_new_fake(kit.wheel, answer, NULL);
	kit.stack = stack_new(&(struct stack_setup){ .wheel = kit.wheel,
						     .wire = kit.wire,
						     .resolver = kit.resolver,
						     .software = "Kit/1" });
	memset(answers, 0, sizeof(answers));
	resolved = on_flows = closed = 0;
	outcome = RESOLVE_OK;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kit.req = request_free(kit.req);
	kit_run(&kit, 70000);
	assert_int_equal(stack_live(kit.stack), 0);
	kit_close(&kit);
	return 0;
}

/* ---- asking ---- */

static void on_flow(struct request *req, struct flow *flow, struct outmsg *lines, void *arg)
{
	(void)req;
	(void)arg;
	on_flows++;
	outmsg_header(lines, "Contact", "<sip:us@%s%s>", flow_sent_by(flow), flow_uri_param(flow));
}

static void on_response(struct request *req, const struct inmsg *in, void *arg)
{
	(void)req;
	(void)arg;
	kit.responses++;
	kit.last_code = in->msg->scode;
}

static void on_failed(struct request *req, enum request_failure failure, void *arg)
{
	(void)req;
	(void)arg;
	kit.failed++;
	kit.failure = failure;
	kit.end_at_ms = kit_now(&kit);
}

static const struct request_handlers handlers = { .on_flow = on_flow,
						  .on_response = on_response,
						  .on_failed = on_failed };

static struct outmsg *request_make(const char *method, const char *uri)
{
	struct outmsg *msg = outmsg_request_str(method, uri);

	outmsg_ids(msg, "<sip:us@10.0.0.1>;tag=ours", "<sip:them@p.test>", "c", 1);
	return msg;
}

static void ask(struct outmsg *msg, struct request_args *args)
{
	args->msg = msg;
	args->handlers = &handlers;
	request_send(kit.stack, args, &kit.req);
	mem_deref(msg);
}

static void ask_uri(const char *method, const char *uri)
{
	ask(request_make(method, uri), &(struct request_args){ 0 });
}

/* ---- failover ---- */

static void a_503_leads_to_the_next_target(void **state)
{
	(void)state;
	sim_raw_bind(kit.net, "10.0.0.3:5060", NULL, NULL);
	answers[0] = KIT_PEER;
	answers[1] = KIT_PEER; /* the same again: a new attempt has a new branch */
	ask_uri("INVITE", "sip:them@p.test");
	kit_run(&kit, 10);
	kit_respond(&kit, SIP_TRANSP_UDP, kit_heard(&kit, 0), 503, "x");
	kit_run(&kit, 10);
	assert_int_equal(kit.seen_count, 3);
	assert_memory_equal(kit_heard(&kit, 1), "ACK ", 4);
	assert_memory_equal(kit_heard(&kit, 2), "INVITE ", 7);
	assert_string_not_equal(kit_header(kit_heard(&kit, 0), "Via"),
				kit_header(kit_heard(&kit, 2), "Via"));
	assert_int_equal(kit.responses, 0);
	assert_int_equal(on_flows, 2);
	kit_respond(&kit, SIP_TRANSP_UDP, kit_heard(&kit, 2), 503, "y");
	kit_run(&kit, 10);
	assert_int_equal(kit.responses, 1); /* nobody is left */
	assert_int_equal(kit.last_code, 503);
	assert_int_equal(kit.failed, 0);
}

static void silence_leads_to_the_next_target_after_timer_f(void **state)
{
	(void)state;
	sim_net_silence(kit.net, "10.0.0.8:5060", true);
	answers[0] = "10.0.0.8:5060";
	answers[1] = KIT_PEER;
	ask_uri("OPTIONS", "sip:p.test");
	kit_run(&kit, 31990);
	assert_int_equal(kit.seen_count, 0);
	kit_run(&kit, 100);
	assert_int_equal(kit.seen_count, 1);
	kit_respond(&kit, SIP_TRANSP_UDP, kit_heard(&kit, 0), 200, "x");
	kit_run(&kit, 10);
	assert_int_equal(kit.last_code, 200);
	/* and is remembered */
	kit.req = request_free(kit.req);
	kit_forget(&kit);
	ask_uri("OPTIONS", "sip:p.test");
	kit_run(&kit, 10);
	assert_int_equal(kit.seen_count, 1);
	kit_respond(&kit, SIP_TRANSP_UDP, kit_heard(&kit, 0), 200, "x");
	kit_run(&kit, 10);
}

static void a_refusal_leads_to_the_next_target_at_once(void **state)
{
	(void)state;
	sim_net_refuse(kit.net, "10.0.0.8:5060", true);
	answers[0] = "10.0.0.8:5060";
	answers[1] = KIT_PEER;
	ask_uri("OPTIONS", "sip:p.test;transport=tcp");
	kit_run(&kit, 20);
	assert_int_equal(kit.seen_count, 1);
	assert_int_equal(request_attempts(kit.req), 2);
	assert_non_null(strstr(kit_header(kit_last(&kit), "Contact"), "transport=tcp"));
}

static void the_preferred_target_goes_first(void **state)
{
	struct way prefer = { .transport = SIP_TRANSP_UDP };

	(void)state;
	answers[0] = "10.0.0.8:5060";
	answers[1] = KIT_PEER;
	sa_decode(&prefer.addr, KIT_PEER, strlen(KIT_PEER));
	ask(request_make("OPTIONS", "sip:p.test"), &(struct request_args){ .prefer = &prefer });
	kit_run(&kit, 10);
	assert_int_equal(kit.seen_count, 1);
}

#define MANY 60000

static unsigned bounced;
static struct flow_watch *watches;

/* Takes its neighbour off as well, each time. */
static void on_bounced(struct flow_watch *watch, int errnum, void *arg)
{
	size_t n = (size_t)(watch - watches);

	(void)errnum;
	(void)arg;
	bounced++;
	if (n % 3 == 1)
		flow_watch_stop(&watches[n - 1]); /* the next in turn: the latest come first */
	if (n % 3 == 2)
		flow_watch_stop(watch);
}

static void never_closed(struct flow_watch *watch, int errnum, void *arg)
{
	(void)watch;
	(void)errnum;
	(void)arg;
	fail();
}

/* A dead peer that thousands of transactions wait for must not stop everybody else's. */
static void a_bounce_is_told_to_many_in_no_time(void **state)
{
	struct target target = { .transport = SIP_TRANSP_UDP };
	auto_(flow_unref) struct flow *flow = NULL;
	uint64_t start_us;

	(void)state;
	sa_decode(&target.addr, KIT_PEER, strlen(KIT_PEER));
	assert_int_equal(wire_open(stack_wire(kit.stack), &target, NULL, &flow), 0);
	watches = xzalloc_array(MANY, sizeof(*watches));
	for (size_t i = 0; i < MANY; i++) {
		flow_watch_start(&watches[i], flow, 0, never_closed, NULL);
		watches[i].on_bounced = on_bounced;
	}
	bounced = 0;
	start_us = clock_thread_cpu_us();
	flow_bounced(flow, ECONNREFUSED);
	assert_in_range(clock_thread_cpu_us() - start_us, 0, 500000);
	assert_int_equal(bounced, MANY / 3 * 2);
	for (size_t i = 0; i < MANY; i++)
		flow_watch_stop(&watches[i]);
	free(take(watches));
}

static void a_cancelled_request_tries_nobody_else(void **state)
{
	(void)state;
	answers[0] = KIT_PEER;
	answers[1] = KIT_PEER;
	ask_uri("INVITE", "sip:them@p.test");
	kit_run(&kit, 10);
	kit_respond(&kit, SIP_TRANSP_UDP, kit_heard(&kit, 0), 180, "x");
	kit_run(&kit, 10);
	request_cancel(kit.req, NULL);
	kit_respond(&kit, SIP_TRANSP_UDP, kit_heard(&kit, 0), 503, "x");
	kit_run(&kit, 10);
	assert_int_equal(kit.last_code, 503);
}

static void a_cancel_before_anything_was_sent_sends_nothing(void **state)
{
	(void)state;
	answers[0] = KIT_PEER;
	ask_uri("INVITE", "sip:them@p.test");
	request_cancel(kit.req, NULL);
	assert_int_equal(kit.failed, 0);
	kit_run(&kit, 100);
	assert_int_equal(kit.failed, 1);
	assert_int_equal(kit.failure, REQUEST_CANCELLED);
	assert_int_equal(kit.seen_count, 0);
}

static void an_unknown_name_is_unresolved(void **state)
{
	(void)state;
	outcome = RESOLVE_E_NOT_FOUND;
	ask_uri("OPTIONS", "sip:p.test");
	assert_int_equal(kit.failed, 0);
	kit_run(&kit, 10);
	assert_int_equal(kit.failure, REQUEST_UNRESOLVED);
	assert_int_equal(request_resolve_outcome(kit.req), RESOLVE_E_NOT_FOUND);
	assert_string_equal(resolve_outcome_words(request_resolve_outcome(kit.req)),
			    "No such name in DNS");
}

static void a_freed_request_calls_nobody(void **state)
{
	(void)state;
	answers[0] = KIT_PEER;
	ask_uri("OPTIONS", "sip:p.test");
	kit.req = request_free(kit.req); /* while resolving */
	ask_uri("OPTIONS", "sip:p.test");
	kit_run(&kit, 10);
	kit.req = request_free(kit.req); /* while waiting */
	kit_respond(&kit, SIP_TRANSP_UDP, kit_last(&kit), 200, "x");
	kit_run(&kit, 10);
	assert_int_equal(kit.seen_count, 1);
	assert_int_equal(kit.responses + kit.failed, 0);
}

static void requests_outlive_their_stack(void **state)
{
	(void)state;
	answers[0] = KIT_PEER;
	ask_uri("OPTIONS", "sip:p.test");
	kit_run(&kit, 10);
	stack_free(kit.stack);
	kit.req = request_free(kit.req);
	assert_int_equal(kit.responses + kit.failed, 0);
	kit.stack = stack_new(&(struct stack_setup){ .wheel = kit.wheel,
						     .wire = kit.wire,
						     .resolver = kit.resolver,
						     .software = "Kit/1" });
}

/* ---- the next hop ---- */

static void the_first_loose_route_is_the_next_hop(void **state)
{
	const struct pl routes[] = { PL("<sip:edge.test;lr>"), PL("<sip:core.test;lr>") };
	struct outmsg *msg = request_make("OPTIONS", "sip:them@far.test");

	(void)state;
	answers[0] = KIT_PEER;
	outmsg_routes(msg, routes, 2);
	ask(msg, &(struct request_args){ 0 });
	kit_run(&kit, 10);
	assert_string_equal(last_hop.host, "edge.test");
	assert_memory_equal(kit_last(&kit), "OPTIONS sip:them@far.test SIP/2.0\r\n", 35);
	assert_non_null(strstr(kit_last(&kit),
			       "Route: <sip:edge.test;lr>\r\nRoute: <sip:core.test;lr>\r\n"));
}

static void a_strict_route_takes_the_place_of_the_request_uri(void **state)
{
	const struct pl routes[] = { PL("<sip:old.test>"), PL("<sip:core.test;lr>") };
	struct outmsg *msg = request_make("OPTIONS", "sip:them@far.test");

	(void)state;
	answers[0] = KIT_PEER;
	outmsg_routes(msg, routes, 2);
	ask(msg, &(struct request_args){ 0 });
	kit_run(&kit, 10);
	assert_string_equal(last_hop.host, "old.test");
	assert_memory_equal(kit_last(&kit), "OPTIONS sip:old.test SIP/2.0\r\n", 30);
	assert_non_null(strstr(kit_last(&kit),
			       "Route: <sip:core.test;lr>\r\nRoute: <sip:them@far.test>\r\n"));
}

static void a_given_flow_needs_no_resolving(void **state)
{
	struct target target = { .transport = SIP_TRANSP_UDP };
	struct flow *flow;

	(void)state;
	sa_decode(&target.addr, KIT_PEER, strlen(KIT_PEER));
	assert_int_equal(wire_open(kit.wire, &target, NULL, &flow), 0);
	ask(request_make("OPTIONS", "sip:them@nowhere.test"),
	    &(struct request_args){ .flow = flow });
	kit_run(&kit, 10);
	assert_int_equal(kit.seen_count, 1);
	assert_int_equal(resolved, 0);
	flow_unref(flow);
}

static void an_ack_sees_to_itself(void **state)
{
	struct outmsg *msg = request_make("ACK", "sip:them@10.0.0.2");

	(void)state;
	request_send(kit.stack, &(struct request_args){ .msg = msg }, NULL);
	request_send(kit.stack, &(struct request_args){ .msg = msg },
		     NULL); /* for a 2xx that came again */
	mem_deref(msg);
	kit_run(&kit, 10);
	assert_int_equal(kit.seen_count, 2);
	assert_int_equal(stack_live(kit.stack), 0);
	msg = request_make("ACK", "sip:them@gone.test");
	outcome = RESOLVE_E_TIMEOUT;
	request_send(kit.stack, &(struct request_args){ .msg = msg }, NULL);
	mem_deref(msg);
	kit_run(&kit, 10);
	assert_int_equal(kit.seen_count, 2);
}

static void a_large_request_goes_by_tcp(void **state)
{
	struct outmsg *msg = request_make("OPTIONS", "sip:them@10.0.0.2");
	char body[1400];

	(void)state;
	memset(body, 'b', sizeof(body));
	outmsg_body(msg, "text/plain", body, sizeof(body));
	ask(msg, &(struct request_args){ 0 });
	kit_run(&kit, 10);
	assert_int_equal(kit.seen_count, 1);
	assert_int_equal(kit.seen[0].transport, SIP_TRANSP_TCP);
	assert_non_null(strstr(kit_last(&kit), "Via: SIP/2.0/TCP "));
}

static void a_large_request_falls_back_when_tcp_goes_nowhere(void **state)
{
	struct outmsg *msg = request_make("OPTIONS", "sip:them@10.0.0.2");
	char body[1400];

	(void)state;
	sim_net_silence(kit.net, KIT_PEER, true);
	memset(body, 'b', sizeof(body));
	outmsg_body(msg, "text/plain", body, sizeof(body));
	ask(msg, &(struct request_args){ 0 });
	kit_run(&kit, 1990);
	sim_net_silence(kit.net, KIT_PEER, false);
	kit_run(&kit, 100);
	assert_int_equal(kit.seen_count, 1);
	assert_int_equal(kit.seen[0].transport, SIP_TRANSP_UDP);
}

/* ---- keepalive ---- */

static void on_closed(struct flow_watch *watch, int errnum, void *arg)
{
	(void)watch;
	(void)arg;
	closed++;
	kit.end_at_ms = kit_now(&kit);
	kit.ended = (unsigned)errnum;
}

static struct flow *flow_to_peer(enum sip_transp transport)
{
	struct target target = { .transport = transport };
	struct flow *flow;

	sa_decode(&target.addr, KIT_PEER, strlen(KIT_PEER));
	assert_int_equal(wire_open(kit.wire, &target, NULL, &flow), 0);
	kit_run(&kit, 10);
	return flow;
}

static void a_watched_flow_is_kept_alive_and_an_unwatched_one_is_not(void **state)
{
	struct flow *flow = flow_to_peer(SIP_TRANSP_UDP);
	struct flow_watch slow = { 0 }, quick = { 0 };

	(void)state;
	flow_watch_start(&slow, flow, 100, on_closed, NULL);
	flow_watch_start(&quick, flow, 25, on_closed, NULL);
	kit_run(&kit, 100000);
	assert_in_range(kit.seen_count, 4, 5); /* every 20 to 25 s */
	assert_string_equal(kit_last(&kit), "\r\n\r\n");
	flow_watch_stop(&quick);
	kit_forget(&kit);
	kit_run(&kit, 100000);
	assert_int_equal(kit.seen_count, 1);
	flow_watch_stop(&slow);
	kit_forget(&kit);
	kit_run(&kit, 300000);
	assert_int_equal(kit.seen_count, 0);
	assert_int_equal(wire_flow_count(kit.wire), 1);
	flow_unref(flow);
	assert_int_equal(wire_flow_count(kit.wire), 0);
}

static void a_peer_that_once_answered_a_ping_must_go_on(void **state)
{
	struct flow *flow = flow_to_peer(SIP_TRANSP_TCP);
	struct flow_watch watch = { 0 };
	char ours[64];

	(void)state;
	re_snprintf(ours, sizeof(ours), "%J", flow_local(flow));
	flow_watch_start(&watch, flow, 100, on_closed, NULL);
	kit_run(&kit, 400000); /* never answered, never required */
	assert_true(kit.seen_count >= 4);
	assert_int_equal(closed, 0);
	sim_raw_send(kit.net, SIP_TRANSP_TCP, KIT_PEER, ours, "\r\n", 2);
	kit_run(&kit, 10);
	kit_forget(&kit);
	kit_run(&kit, 120000);
	assert_int_equal(closed, 1);
	assert_int_equal(kit.ended, ETIMEDOUT);
	assert_int_equal(kit.end_at_ms, kit.seen[0].at_ms + 10000);
	assert_false(flow_is_open(flow));
	flow_unref(flow);
}

static void a_watch_on_a_dead_flow_fires_too(void **state)
{
	struct flow *flow = flow_to_peer(SIP_TRANSP_TCP);
	struct flow_watch watch = { 0 };
	struct mbuf mb = { .buf = (uint8_t *)"x", .size = 1, .end = 1 };

	(void)state;
	flow_close(flow);
	assert_int_equal(flow_send(flow, &mb), FLOW_E_CLOSED);
	assert_null(wire_flow_by_id(kit.wire, flow_id(flow)));
	flow_watch_start(&watch, flow, 0, on_closed, NULL);
	assert_int_equal(closed, 0);
	kit_run(&kit, 1);
	assert_int_equal(closed, 1);
	flow_unref(flow);
}

/* ---- what is built ---- */

static void names_and_users_are_quoted_and_escaped(void **state)
{
	auto_(buf_fini) struct buf out = BUF_MAX(400);

	(void)state;
	header_name_addr(&out, "A \"b\" \\ c\r\nX: y\x7f", "sip:a@b>\r\n<x");
	assert_string_equal(out.data, "\"A \\\"b\\\" \\\\ cX: y\" <sip:a@bx>");
	buf_reset(&out);
	header_name_addr(&out, "", "sip:a@b");
	assert_string_equal(out.data, "<sip:a@b>");
	buf_reset(&out);
	header_user(&out, "+1 5%@:\xc3\xa9#~");
	assert_string_equal(out.data, "+1%205%25%40%3A%C3%A9%23~");
}

static void every_way_in_refuses_a_line_break(void **state)
{
	static const struct pl evil = PL("a\r\nX: y"), fold = PL("a,\r\n b"), bare = PL("a\rb");
	struct outmsg *msg[6];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(msg); i++)
		msg[i] = request_make("OPTIONS", i == 0 ? "sip:a@b\r\nX: y" : "sip:a@b");
	outmsg_header_pl(msg[1], "X", &evil);
	outmsg_header_re(msg[2], "X", "%r", &evil);
	outmsg_header_pl(msg[3], "X", &bare);
	outmsg_body(msg[4], "text/plain\r\nX: y", "", 0);
	outmsg_header_pl(msg[5], "X", &fold);
	for (unsigned i = 0; i < ARRAY_LEN(msg); i++) {
		assert_int_equal(outmsg_is_bad(msg[i]), i < 5);
		mem_deref(msg[i]);
	}
}

static void tokens_do_not_repeat(void **state)
{
	char a[TOKEN_SIZE], b[TOKEN_SIZE];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		assert_string_not_equal(token_tag(a), token_tag(b));
		assert_string_not_equal(token_call_id(a), token_call_id(b));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_503_leads_to_the_next_target),
		TEST(silence_leads_to_the_next_target_after_timer_f),
		TEST(a_refusal_leads_to_the_next_target_at_once),
		TEST(the_preferred_target_goes_first),
		TEST(a_bounce_is_told_to_many_in_no_time),
		TEST(a_cancelled_request_tries_nobody_else),
		TEST(a_cancel_before_anything_was_sent_sends_nothing),
		TEST(an_unknown_name_is_unresolved),
		TEST(a_freed_request_calls_nobody),
		TEST(requests_outlive_their_stack),
		TEST(the_first_loose_route_is_the_next_hop),
		TEST(a_strict_route_takes_the_place_of_the_request_uri),
		TEST(a_given_flow_needs_no_resolving),
		TEST(an_ack_sees_to_itself),
		TEST(a_large_request_goes_by_tcp),
		TEST(a_large_request_falls_back_when_tcp_goes_nowhere),
		TEST(a_watched_flow_is_kept_alive_and_an_unwatched_one_is_not),
		TEST(a_peer_that_once_answered_a_ping_must_go_on),
		TEST(a_watch_on_a_dead_flow_fires_too),
		TEST(names_and_users_are_quoted_and_escaped),
		TEST(every_way_in_refuses_a_line_break),
		TEST(tokens_do_not_repeat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
