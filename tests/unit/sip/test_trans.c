/* tests/unit/sip/test_trans.c - RFC 3261 section 17 and RFC 6026, timer by timer */
#include "kit.h"

static int setup(void **state)
{
	struct kit *kit = xzalloc(sizeof(*kit));

	kit_open(kit);
	*state = kit;
	return 0;
}

static int teardown(void **state)
{
	kit_close(*state);
	free(*state);
	return 0;
}

/* ---- client ---- */

static void on_response(struct request *req, const struct inmsg *in, void *arg)
{
	struct kit *kit = arg;

	(void)req;
	kit->responses++;
	kit->last_code = in->msg->scode;
}

static void on_failed(struct request *req, enum request_failure failure, void *arg)
{
	struct kit *kit = arg;

	(void)req;
	kit->failed++;
	kit->failure = failure;
	kit->end_at_ms = kit_now(kit);
}

static const struct request_handlers client = { .on_response = on_response,
						.on_failed = on_failed };

static void send_to(struct kit *kit, const char *method, const char *uri)
{
	struct outmsg *msg = outmsg_request_str(method, uri);

	outmsg_ids(msg, "<sip:us@10.0.0.1>;tag=ours", "<sip:them@10.0.0.2>", "call-1", 7);
	request_send(kit->stack,
		     &(struct request_args){ .msg = msg, .handlers = &client, .arg = kit },
		     &kit->req);
	mem_deref(msg);
}

static void send_udp(struct kit *kit, const char *method)
{
	send_to(kit, method, "sip:them@10.0.0.2");
}

static void send_tcp(struct kit *kit, const char *method)
{
	send_to(kit, method, "sip:them@10.0.0.2;transport=tcp");
}

static void done(struct kit *kit)
{
	kit->req = request_free(kit->req);
	kit_run(kit, 40000);
	assert_int_equal(stack_live(kit->stack), 0);
}

static void an_invite_over_udp_is_resent_by_timer_a_until_timer_b(void **state)
{
	struct kit *kit = *state;

	send_udp(kit, "INVITE");
	kit_run(kit, 40000);
	kit_times(kit, 0, 500, 1500, 3500, 7500, 15500, 31500);
	assert_int_equal(kit->failed, 1);
	assert_int_equal(kit->failure, REQUEST_TIMEOUT);
	assert_int_equal(kit->end_at_ms, 32000);
	assert_string_equal(kit_heard(kit, 0), kit_heard(kit, 6));
	done(kit);
}

static void an_invite_over_tcp_is_sent_once_and_ends_by_timer_b(void **state)
{
	struct kit *kit = *state;

	send_tcp(kit, "INVITE");
	kit_run(kit, 31999);
	assert_int_equal(kit->seen_count, 1);
	assert_int_equal(kit->failed, 0);
	kit_run(kit, 1);
	assert_int_equal(kit->failed, 1);
	assert_int_equal(kit->failure, REQUEST_TIMEOUT);
	done(kit);
}

static void a_provisional_stops_the_resending_of_an_invite_and_its_time_limit(void **state)
{
	struct kit *kit = *state;

	send_udp(kit, "INVITE");
	kit_run(kit, 600);
	kit_respond(kit, SIP_TRANSP_UDP, kit_last(kit), 180, "theirs");
	kit_run(kit, 300000);
	kit_times(kit, 0, 500);
	assert_int_equal(kit->failed, 0);
	assert_int_equal(kit->last_code, 180);
	kit_respond(kit, SIP_TRANSP_UDP, kit_last(kit), 486, "theirs");
	kit_run(kit, 10);
	done(kit);
}

static void a_failure_is_acknowledged_in_the_transaction_and_again_until_timer_d(void **state)
{
	struct kit *kit = *state;
	char invite[2048];

	send_udp(kit, "INVITE");
	kit_run(kit, 10);
	snprintf(invite, sizeof(invite), "%s", kit_last(kit));
	kit_respond(kit, SIP_TRANSP_UDP, invite, 486, "theirs");
	kit_run(kit, 10);
	assert_int_equal(kit->seen_count, 2);
	assert_memory_equal(kit_last(kit), "ACK sip:them@10.0.0.2 SIP/2.0\r\n", 30);
	assert_string_equal(kit_header(kit_last(kit), "Via"), kit_header(invite, "Via"));
	assert_string_equal(kit_header(kit_last(kit), "To"), "<sip:them@10.0.0.2>;tag=theirs");
	assert_string_equal(kit_header(kit_last(kit), "From"), kit_header(invite, "From"));
	assert_string_equal(kit_header(kit_last(kit), "CSeq"), "7 ACK");
	assert_int_equal(kit->responses, 1);

	kit_run(kit, 20000);
	kit_respond(kit, SIP_TRANSP_UDP, invite, 486, "theirs");
	kit_run(kit, 10);
	assert_int_equal(kit->seen_count, 3);
	assert_int_equal(kit->responses, 1);
	assert_int_equal(stack_live(kit->stack), 1);
	kit_run(kit, 12000);
	assert_int_equal(stack_live(kit->stack), 0);
	kit_respond(kit, SIP_TRANSP_UDP, invite, 486, "theirs");
	kit_run(kit, 10);
	assert_int_equal(kit->seen_count, 3);
	done(kit);
}

static void over_tcp_timer_d_is_zero(void **state)
{
	struct kit *kit = *state;
	char from[64];

	send_tcp(kit, "INVITE");
	kit_run(kit, 10);
	re_snprintf(from, sizeof(from), "%J", &kit->seen[0].from);
	sim_raw_send(kit->net, SIP_TRANSP_TCP, KIT_PEER, from, "\r\n\r\n",
		     4); /* a ping meanwhile */
	kit_run(kit, 10);
	assert_string_equal(kit_last(kit), "\r\n");
	{
		char text[2048];
		int n = snprintf(
			text, sizeof(text),
			"SIP/2.0 603 No\r\nVia: %s\r\nFrom: %s\r\nTo: %s;tag=t\r\nCall-ID: %s\r\nCSeq: "
			"%s\r\nContent-Length: 0\r\n\r\n",
			kit_header(kit_heard(kit, 0), "Via"), kit_header(kit_heard(kit, 0), "From"),
			kit_header(kit_heard(kit, 0), "To"), "call-1", "7 INVITE");

		sim_raw_send(kit->net, SIP_TRANSP_TCP, KIT_PEER, from, text, (size_t)n);
	}
	kit_run(kit, 10);
	assert_int_equal(kit->last_code, 603);
	assert_memory_equal(kit_last(kit), "ACK ", 4);
	assert_int_equal(stack_live(kit->stack), 0);
	done(kit);
}

static void every_2xx_of_forks_is_handed_up_until_timer_m(void **state)
{
	struct kit *kit = *state;

	send_udp(kit, "INVITE");
	kit_run(kit, 10);
	kit_respond(kit, SIP_TRANSP_UDP, kit_heard(kit, 0), 200, "one");
	kit_run(kit, 10);
	kit_respond(kit, SIP_TRANSP_UDP, kit_heard(kit, 0), 200, "two");
	kit_run(kit, 10);
	assert_int_equal(kit->responses, 2);
	assert_int_equal(kit->seen_count, 1); /* the ACK is the dialog's */
	kit_run(kit, 31900);
	assert_int_equal(stack_live(kit->stack), 1);
	kit_run(kit, 200);
	assert_int_equal(stack_live(kit->stack), 0);
	done(kit);
}

static void other_requests_are_resent_by_timer_e_until_timer_f(void **state)
{
	struct kit *kit = *state;

	send_udp(kit, "OPTIONS");
	kit_run(kit, 40000);
	kit_times(kit, 0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500);
	assert_int_equal(kit->failure, REQUEST_TIMEOUT);
	assert_int_equal(kit->end_at_ms, 32000);
	done(kit);
}

static void a_provisional_slows_timer_e_but_does_not_stop_timer_f(void **state)
{
	struct kit *kit = *state;

	send_udp(kit, "OPTIONS");
	kit_run(kit, 600);
	kit_respond(kit, SIP_TRANSP_UDP, kit_heard(kit, 0), 100, NULL);
	kit_run(kit, 40000);
	kit_times(kit, 0, 500, 1500, 5500, 9500, 13500, 17500, 21500, 25500, 29500);
	assert_int_equal(kit->end_at_ms, 32000);
	done(kit);
}

static void a_final_response_is_absorbed_until_timer_k(void **state)
{
	struct kit *kit = *state;

	send_udp(kit, "OPTIONS");
	kit_run(kit, 10);
	kit_respond(kit, SIP_TRANSP_UDP, kit_heard(kit, 0), 200, "t");
	kit_respond(kit, SIP_TRANSP_UDP, kit_heard(kit, 0), 200, "t");
	kit_run(kit, 4990);
	assert_int_equal(kit->responses, 1);
	assert_int_equal(stack_live(kit->stack), 1);
	kit_run(kit, 20);
	assert_int_equal(stack_live(kit->stack), 0);
	done(kit);
}

static void a_cancel_waits_for_a_provisional(void **state)
{
	struct kit *kit = *state;
	char invite[2048];

	send_udp(kit, "INVITE");
	kit_run(kit, 10);
	snprintf(invite, sizeof(invite), "%s", kit_heard(kit, 0));
	request_cancel(kit->req, "SIP;cause=200;text=\"Call completed elsewhere\"");
	request_cancel(kit->req, NULL);
	kit_run(kit, 10);
	assert_int_equal(kit->seen_count, 1);
	kit_respond(kit, SIP_TRANSP_UDP, invite, 100, NULL);
	kit_run(kit, 10);
	assert_int_equal(kit->seen_count, 2);
	assert_memory_equal(kit_last(kit), "CANCEL sip:them@10.0.0.2 SIP/2.0\r\n", 33);
	assert_string_equal(kit_header(kit_last(kit), "Via"), kit_header(invite, "Via"));
	assert_string_equal(kit_header(kit_last(kit), "To"), kit_header(invite, "To"));
	assert_string_equal(kit_header(kit_last(kit), "CSeq"), "7 CANCEL");
	assert_string_equal(kit_header(kit_last(kit), "Reason"),
			    "SIP;cause=200;text=\"Call completed elsewhere\"");
	kit_respond(kit, SIP_TRANSP_UDP, kit_last(kit), 200, "x");
	kit_respond(kit, SIP_TRANSP_UDP, invite, 487, "x");
	kit_run(kit, 10);
	assert_int_equal(kit->last_code, 487);
	assert_memory_equal(kit_last(kit), "ACK ", 4);
	done(kit);
}

static void a_cancelled_invite_that_gets_no_final_response_ends_after_64_t1(void **state)
{
	struct kit *kit = *state;

	send_udp(kit, "INVITE");
	kit_run(kit, 10);
	kit_respond(kit, SIP_TRANSP_UDP, kit_heard(kit, 0), 180, "t");
	kit_run(kit, 990);
	request_cancel(kit->req, NULL);
	kit_run(kit, 31999);
	assert_int_equal(kit->failed, 0);
	kit_run(kit, 1);
	assert_int_equal(kit->failed, 1);
	assert_int_equal(kit->failure, REQUEST_TIMEOUT);
	done(kit);
}

static void a_2xx_that_crosses_the_cancel_is_handed_up(void **state)
{
	struct kit *kit = *state;

	send_udp(kit, "INVITE");
	kit_run(kit, 10);
	kit_respond(kit, SIP_TRANSP_UDP, kit_heard(kit, 0), 180, "t");
	kit_run(kit, 10);
	request_cancel(kit->req, NULL);
	kit_respond(kit, SIP_TRANSP_UDP, kit_heard(kit, 0), 200, "t");
	kit_run(kit, 10);
	assert_int_equal(kit->last_code, 200);
	assert_int_equal(kit->failed, 0);
	done(kit);
}

static void a_refused_connection_is_a_transport_failure(void **state)
{
	struct kit *kit = *state;

	sim_net_refuse(kit->net, "10.0.0.9:5060", true);
	send_to(kit, "OPTIONS", "sip:a@10.0.0.9;transport=tcp");
	kit_run(kit, 100);
	assert_int_equal(kit->failed, 1);
	assert_int_equal(kit->failure, REQUEST_TRANSPORT);
	done(kit);
}

static void a_datagram_that_bounces_is_a_transport_failure(void **state)
{
	struct kit *kit = *state;

	sim_net_refuse(kit->net, "10.0.0.9:5060", true);
	send_to(kit, "INVITE", "sip:a@10.0.0.9");
	kit_run(kit, 100);
	assert_int_equal(kit->failed, 1);
	assert_int_equal(kit->failure, REQUEST_TRANSPORT);
	done(kit);
}

static void a_stream_cut_before_any_answer_is_a_transport_failure(void **state)
{
	struct kit *kit = *state;

	send_tcp(kit, "OPTIONS");
	kit_run(kit, 100);
	sim_net_cut(kit->net, KIT_PEER);
	kit_run(kit, 10);
	assert_int_equal(kit->failed, 1);
	assert_int_equal(kit->failure, REQUEST_TRANSPORT);
	done(kit);
}

static void on_stray(const struct inmsg *in, void *arg)
{
	struct kit *kit = arg;

	(void)in;
	kit->strays++;
}

static void a_2xx_that_nobody_waits_for_goes_to_the_stray_hook(void **state)
{
	struct kit *kit = *state;

	stack_set_stray_2xx_hook(kit->stack, on_stray, kit);
	send_udp(kit, "INVITE");
	kit_run(kit, 10);
	kit->req = request_free(kit->req);
	kit_respond(kit, SIP_TRANSP_UDP, kit_heard(kit, 0), 200, "t");
	kit_run(kit, 10);
	assert_int_equal(kit->strays, 1);
	assert_int_equal(kit->responses, 0);
	done(kit);
}

static void a_header_with_a_line_break_is_never_sent(void **state)
{
	struct kit *kit = *state;
	struct outmsg *msg = outmsg_request_str("OPTIONS", "sip:them@10.0.0.2");

	outmsg_ids(msg, "<sip:us@10.0.0.1>;tag=ours", "<sip:them@10.0.0.2>", "call-1", 7);
	outmsg_header(msg, "Subject", "%s", "hello\r\nEvil: yes");
	assert_true(outmsg_is_bad(msg));
	request_send(kit->stack,
		     &(struct request_args){ .msg = msg, .handlers = &client, .arg = kit },
		     &kit->req);
	mem_deref(msg);
	assert_int_equal(kit->failed, 0);
	kit_run(kit, 10);
	assert_int_equal(kit->seen_count, 0);
	assert_int_equal(kit->failure, REQUEST_BAD);
	done(kit);
}

/* ---- server ---- */

static void st_cancel(struct strans *st, const struct inmsg *cancel, void *arg)
{
	struct kit *kit = arg;

	(void)cancel;
	kit->cancels++;
	strans_answer(st, 487, NULL);
}

static void st_end(struct strans *st, enum trans_end end, void *arg)
{
	struct kit *kit = arg;

	(void)st;
	kit->ended++;
	kit->end = end;
	kit->end_at_ms = kit_now(kit);
	kit->st = NULL;
}

static const struct strans_handlers server = { .on_cancel = st_cancel, .on_end = st_end };

static void on_request(const struct inmsg *in, void *arg)
{
	struct kit *kit = arg;

	kit->requests++;
	if (strans_new(in, &server, kit, &kit->st) != 0)
		kit->st = NULL;
}

static bool on_dialog(const struct inmsg *in, void *arg)
{
	struct kit *kit = arg;

	kit->acks += inmsg_is(in->msg, "ACK");
	return true;
}

static void serve(struct kit *kit)
{
	stack_on_method(kit->stack, "INVITE", on_request, kit);
	stack_on_method(kit->stack, "OPTIONS", on_request, kit);
	stack_set_dialog_hook(kit->stack, on_dialog, kit);
}

static void ask(struct kit *kit, enum sip_transp transport, const char *method, const char *branch)
{
	kit_say(kit, transport,
		"%s sip:us@10.0.0.1 SIP/2.0\n"
		"Via: SIP/2.0/%s 10.0.0.2:5060;branch=%s;rport\n"
		"From: <sip:them@10.0.0.2>;tag=f\nTo: <sip:us@10.0.0.1>\nCall-ID: c\nCSeq: 1 %s\n"
		"Max-Forwards: 70\nContent-Length: 0\n\n",
		method, transport == SIP_TRANSP_UDP ? "UDP" : "TCP", branch, method);
}

#define ask_udp(kit, method) ask((kit), SIP_TRANSP_UDP, (method), "z9hG4bKa")

static void an_invite_gets_a_100_after_200_ms(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask_udp(kit, "INVITE");
	kit_run(kit, 1000);
	kit_times(kit, 201); /* it came at 1 */
	assert_memory_equal(kit_last(kit), "SIP/2.0 100 Trying\r\n", 20);
	assert_string_equal(kit_header(kit_last(kit), "To"), "<sip:us@10.0.0.1>");
	assert_string_equal(
		kit_header(kit_last(kit), "Via"),
		"SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKa;received=10.0.0.2;rport=5060");
	strans_answer(kit->st, 486, NULL);
}

static void a_retransmitted_request_gets_the_last_provisional_again(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask_udp(kit, "INVITE");
	kit_run(kit, 10);
	strans_answer(kit->st, 180, NULL);
	ask_udp(kit, "INVITE");
	kit_run(kit, 1000);
	assert_int_equal(kit->requests, 1);
	assert_int_equal(kit->seen_count, 2);
	assert_string_equal(kit_heard(kit, 0), kit_heard(kit, 1));
	strans_answer(kit->st, 486, NULL);
}

static void a_failure_is_resent_by_timer_g_until_timer_h(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask_udp(kit, "INVITE");
	kit_run(kit, 10);
	strans_answer(kit->st, 486, NULL);
	kit_run(kit, 40000);
	kit_times(kit, 10, 510, 1510, 3510, 7510, 11510, 15510, 19510, 23510, 27510, 31510);
	assert_int_equal(kit->ended, 1);
	assert_int_equal(kit->end, TRANS_TIMEOUT);
	assert_int_equal(kit->end_at_ms, 32010);
	assert_int_equal(stack_live(kit->stack), 0);
}

static void an_ack_ends_timer_g_and_is_absorbed_until_timer_i(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask_udp(kit, "INVITE");
	kit_run(kit, 10);
	strans_answer(kit->st, 486, NULL);
	kit_run(kit, 90);
	ask_udp(kit, "ACK");
	kit_run(kit, 4900);
	ask_udp(kit, "ACK");
	ask_udp(kit, "INVITE");
	kit_run(kit, 10);
	assert_int_equal(kit->seen_count, 1);
	assert_int_equal(kit->requests, 1);
	assert_int_equal(kit->acks, 0);
	kit_run(kit, 200);
	assert_int_equal(kit->end, TRANS_DONE);
	assert_int_equal(kit->end_at_ms, 5101);
}

static void over_tcp_timers_g_and_i_do_not_run(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask(kit, SIP_TRANSP_TCP, "INVITE", "z9hG4bKa");
	kit_run(kit, 10);
	strans_answer(kit->st, 486, NULL);
	kit_run(kit, 10000);
	assert_int_equal(kit->seen_count, 1);
	ask(kit, SIP_TRANSP_TCP, "ACK", "z9hG4bKa");
	kit_run(kit, 10);
	assert_int_equal(kit->end, TRANS_DONE);
	assert_int_equal(stack_live(kit->stack), 0);
}

static void a_2xx_is_resent_until_it_is_acknowledged(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask(kit, SIP_TRANSP_TCP, "INVITE", "z9hG4bKa"); /* on streams too */
	kit_run(kit, 10);
	strans_answer(kit->st, 200, NULL);
	kit_run(kit, 2000);
	kit_times(kit, 10, 510, 1510);
	ask_udp(kit, "INVITE"); /* absorbed: RFC 6026 */
	strans_acked(kit->st);
	kit_run(kit, 20000);
	assert_int_equal(kit->seen_count, 3);
	assert_int_equal(kit->ended, 0);
	kit_run(kit, 12000);
	assert_int_equal(kit->end, TRANS_DONE);
}

static void a_2xx_without_ack_ends_after_64_t1(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask_udp(kit, "INVITE");
	kit_run(kit, 10);
	strans_answer(kit->st, 200, NULL);
	kit_run(kit, 40000);
	kit_times(kit, 10, 510, 1510, 3510, 7510, 11510, 15510, 19510, 23510, 27510, 31510);
	assert_int_equal(kit->end, TRANS_NO_ACK);
	assert_int_equal(kit->end_at_ms, 32010);
}

static void the_ack_to_a_2xx_is_the_dialogs_even_with_the_invites_branch(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask_udp(kit, "INVITE");
	kit_run(kit, 10);
	strans_answer(kit->st, 200, NULL);
	ask_udp(kit, "ACK");
	kit_run(kit, 10);
	assert_int_equal(kit->acks, 1);
	ask(kit, SIP_TRANSP_UDP, "ACK", "z9hG4bKother");
	kit_run(kit, 10);
	assert_int_equal(kit->acks, 2);
	strans_acked(kit->st);
}

static void other_requests_are_answered_again_until_timer_j(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask_udp(kit, "OPTIONS");
	kit_run(kit, 10);
	ask_udp(kit, "OPTIONS"); /* nothing to say yet */
	kit_run(kit, 10);
	assert_int_equal(kit->seen_count, 0);
	strans_answer(kit->st, 200, NULL);
	kit_run(kit, 10);
	ask_udp(kit, "OPTIONS");
	kit_run(kit, 31000);
	assert_int_equal(kit->seen_count, 2);
	assert_string_equal(kit_heard(kit, 0), kit_heard(kit, 1));
	assert_int_equal(kit->requests, 1);
	kit_run(kit, 1000);
	assert_int_equal(kit->ended, 1);
	assert_int_equal(kit->end_at_ms, 32020);
	ask_udp(kit, "OPTIONS");
	kit_run(kit, 10);
	assert_int_equal(kit->requests, 2);
	strans_answer(kit->st, 200, NULL);
}

static void over_tcp_timer_j_is_zero(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask(kit, SIP_TRANSP_TCP, "OPTIONS", "z9hG4bKa");
	kit_run(kit, 10);
	strans_answer(kit->st, 200, NULL);
	assert_int_equal(kit->ended, 1);
	assert_int_equal(stack_live(kit->stack), 0);
}

static void a_cancel_is_answered_and_handed_up_once(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask_udp(kit, "INVITE");
	kit_run(kit, 10);
	strans_answer(kit->st, 180, NULL);
	kit_run(kit, 10);
	kit_forget(kit);
	ask_udp(kit, "CANCEL");
	kit_run(kit, 10);
	assert_int_equal(kit->cancels, 1);
	assert_int_equal(kit->seen_count, 2);
	assert_memory_equal(kit_heard(kit, 0), "SIP/2.0 200 OK", 14);
	assert_string_equal(kit_header(kit_heard(kit, 0), "CSeq"), "1 CANCEL");
	assert_memory_equal(kit_heard(kit, 1), "SIP/2.0 487 Request Terminated", 30);
	assert_string_equal(kit_header(kit_heard(kit, 0), "To"),
			    kit_header(kit_heard(kit, 1), "To"));
	ask_udp(kit, "CANCEL");
	kit_run(kit, 10);
	assert_int_equal(kit->cancels, 1);
	assert_memory_equal(kit_last(kit), "SIP/2.0 200 OK", 14);
	ask_udp(kit, "ACK");
	kit_run(kit, 10);
}

static void a_cancel_after_the_2xx_has_no_effect(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask_udp(kit, "INVITE");
	kit_run(kit, 10);
	strans_answer(kit->st, 200, NULL);
	ask_udp(kit, "CANCEL");
	kit_run(kit, 10);
	assert_int_equal(kit->cancels, 0);
	assert_memory_equal(kit_last(kit), "SIP/2.0 200 OK", 14);
	strans_acked(kit->st);
}

static void a_cancel_without_invite_is_481(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask_udp(kit, "CANCEL");
	kit_run(kit, 10);
	assert_memory_equal(kit_last(kit), "SIP/2.0 481 ", 12);
}

static void a_merged_request_is_482(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask(kit, SIP_TRANSP_UDP, "INVITE", "z9hG4bKa");
	kit_run(kit, 10);
	ask(kit, SIP_TRANSP_UDP, "INVITE", "z9hG4bKb");
	kit_run(kit, 10);
	assert_memory_equal(kit_last(kit), "SIP/2.0 482 ", 12);
	assert_int_equal(stack_live(kit->stack), 1);
}

static void an_old_branch_is_matched_by_the_whole_request(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask(kit, SIP_TRANSP_UDP, "INVITE", "1");
	ask(kit, SIP_TRANSP_UDP, "INVITE", "1");
	kit_run(kit, 10);
	assert_int_equal(kit->requests, 1);
	strans_answer(kit->st, 486, NULL);
	ask(kit, SIP_TRANSP_UDP, "ACK", "1");
	kit_run(kit, 10);
	kit_run(kit, 6000);
	assert_int_equal(kit->end, TRANS_DONE);
}

static void a_detached_invite_is_answered_500(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	ask_udp(kit, "INVITE");
	kit_run(kit, 10);
	strans_detach(kit->st);
	kit_run(kit, 10);
	assert_memory_equal(kit_last(kit), "SIP/2.0 500 ", 12);
	kit_run(kit, 40000);
	assert_int_equal(kit->ended, 0);
	assert_int_equal(stack_live(kit->stack), 0);
}

/* ---- where responses go ---- */

static void options_via(struct kit *kit, const char *from, const char *via)
{
	kit_say_from(
		kit, SIP_TRANSP_UDP, from,
		"OPTIONS sip:us@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP %s\n"
		"From: <sip:them@10.0.0.2>;tag=f\nTo: <sip:us@10.0.0.1>\nCall-ID: c\nCSeq: 1 OPTIONS\n"
		"Content-Length: 0\n\n",
		via);
	kit_run(kit, 10);
	if (kit->st)
		strans_answer(kit->st, 200, NULL);
	kit_run(kit, 10);
}

static void without_rport_the_answer_goes_to_the_port_of_sent_by(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	options_via(kit, "10.0.0.2:33333", "10.0.0.2;branch=z9hG4bKa");
	assert_int_equal(kit->seen_count, 1);
	assert_string_equal(kit_header(kit_last(kit), "Via"),
			    "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKa");
}

static void a_different_host_is_marked_and_not_believed(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	options_via(kit, "10.0.0.2:33333",
		    "192.168.7.7:5060;received=1.2.3.4;branch=z9hG4bKa;maddr=10.9.9.9");
	assert_int_equal(kit->seen_count, 1);
	assert_string_equal(
		kit_header(kit_last(kit), "Via"),
		"SIP/2.0/UDP 192.168.7.7:5060;branch=z9hG4bKa;maddr=10.9.9.9;received=10.0.0.2");
}

static void with_rport_the_answer_goes_where_the_request_came_from(void **state)
{
	struct kit *kit = *state;

	serve(kit);
	options_via(kit, KIT_PEER, "192.168.7.7:7777;rport;branch=z9hG4bKa");
	assert_int_equal(kit->seen_count, 1);
	assert_string_equal(
		kit_header(kit_last(kit), "Via"),
		"SIP/2.0/UDP 192.168.7.7:7777;branch=z9hG4bKa;received=10.0.0.2;rport=5060");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_invite_over_udp_is_resent_by_timer_a_until_timer_b),
		TEST(an_invite_over_tcp_is_sent_once_and_ends_by_timer_b),
		TEST(a_provisional_stops_the_resending_of_an_invite_and_its_time_limit),
		TEST(a_failure_is_acknowledged_in_the_transaction_and_again_until_timer_d),
		TEST(over_tcp_timer_d_is_zero),
		TEST(every_2xx_of_forks_is_handed_up_until_timer_m),
		TEST(other_requests_are_resent_by_timer_e_until_timer_f),
		TEST(a_provisional_slows_timer_e_but_does_not_stop_timer_f),
		TEST(a_final_response_is_absorbed_until_timer_k),
		TEST(a_cancel_waits_for_a_provisional),
		TEST(a_cancelled_invite_that_gets_no_final_response_ends_after_64_t1),
		TEST(a_2xx_that_crosses_the_cancel_is_handed_up),
		TEST(a_refused_connection_is_a_transport_failure),
		TEST(a_datagram_that_bounces_is_a_transport_failure),
		TEST(a_stream_cut_before_any_answer_is_a_transport_failure),
		TEST(a_2xx_that_nobody_waits_for_goes_to_the_stray_hook),
		TEST(a_header_with_a_line_break_is_never_sent),
		TEST(an_invite_gets_a_100_after_200_ms),
		TEST(a_retransmitted_request_gets_the_last_provisional_again),
		TEST(a_failure_is_resent_by_timer_g_until_timer_h),
		TEST(an_ack_ends_timer_g_and_is_absorbed_until_timer_i),
		TEST(over_tcp_timers_g_and_i_do_not_run),
		TEST(a_2xx_is_resent_until_it_is_acknowledged),
		TEST(a_2xx_without_ack_ends_after_64_t1),
		TEST(the_ack_to_a_2xx_is_the_dialogs_even_with_the_invites_branch),
		TEST(other_requests_are_answered_again_until_timer_j),
		TEST(over_tcp_timer_j_is_zero),
		TEST(a_cancel_is_answered_and_handed_up_once),
		TEST(a_cancel_after_the_2xx_has_no_effect),
		TEST(a_cancel_without_invite_is_481),
		TEST(a_merged_request_is_482),
		TEST(an_old_branch_is_matched_by_the_whole_request),
		TEST(a_detached_invite_is_answered_500),
		TEST(without_rport_the_answer_goes_to_the_port_of_sent_by),
		TEST(a_different_host_is_marked_and_not_believed),
		TEST(with_rport_the_answer_goes_where_the_request_came_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
