/* tests/sim/test_torture.c - the 49 situations of RFC 4475, each with what we make of it
 *
 * The messages are our own, made after the RFC's descriptions; the names are the RFC's. Where it
 * leaves a choice (to refuse, or to be liberal) the choice is noted.
 */
#include "kit.h"

#include <stdio.h>

enum fate {
	ACCEPTED,   /* a handler got it */
	IN_DIALOG,  /* the dialog hook got it */
	ANSWERED,   /* refused with a code */
	DROPPED,    /* without a word */
	RESPONSE,   /* it is a response, and our request got it */
	NO_RESPONSE /* it is a response, and nobody got it */
};

struct torture {
	const char *name;
	enum fate fate;
	unsigned code;
	const char *header, *value; /* the answer has it */
	const char *text;
};

#define VIA "Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKtort;rport\n"
#define FROM "From: \"Ann\" <sip:ann@a.example>;tag=f1\n"
#define TO "To: <sip:bob@b.example>\n"
#define IDS(method) FROM TO "Call-ID: torture@a\nCSeq: 3 " method "\n"
#define MF "Max-Forwards: 70\n"
#define THEIRS "\001" /* the lines that answer our request */
#define NOTHING "Content-Length: 0\n\n"
#define SDP                                                                                        \
	"v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
#define WITH_SDP "Content-Type: application/sdp\nContent-Length: 85\n\n" SDP

static const struct torture tortures[] = {
	/* ---- 3.1.1: valid ---- */
	{ "wsinv", IN_DIALOG, 0, NULL, NULL,
	  "INVITE sip:bob@b.example;strangeparam SIP/2.0\n"
	  "TO :\n sip:bob@b.example ;   tag    = 77q1\n"
	  "from   : \"A \\\\\\\"nn\"       <sip:ann@a.example>\n  ;\n  tag = 9q8\n"
	  "MaX-fOrWaRdS: 0070\n"
	  "Call-ID: ws.0ha0isnda977644900765@10.0.0.2\n"
	  "Content-Length   : 85\n"
	  "cseq: 0009\n  INVITE\n"
	  "Via  : SIP  /   2.0\n /UDP\n    10.0.0.2;rport;branch=z9hG4bKws1\n"
	  "s :\n"
	  "NewHeader:   some value\n continued here\n"
	  "UnknownHeaderWithUnusualValue: ;;,,;;,;\n"
	  "Content-Type: application/sdp\n"
	  "Route:\n <sip:route.example;lr;odd=value;odder>\n"
	  "v:  SIP  / 2.0  / TCP     up.example   ;\n  branch  =   z9hG4bKws2  ,\n"
	  " SIP  /    2.0   / UDP  10.9.9.9   ; branch=\n z9hG4bKws3\n"
	  "m:\"Odd \\\"\\\" name\" <sip:ann@a.example> ; new =\n      value ;\n  second ; q = 0.33\n\n" SDP },
	{ "intmeth", ANSWERED, 405, "Allow", "INVITE",
	  "!odd-Method987_*+`.%really'~ sip:1_odd.user~(isn't!it)&so+on$/mad?,/;;*:&pa+ss=1,w!*rd$~_t.(oo)@b.example "
	  "SIP/2.0\n"
	  "Via: SIP/2.0/UDP 10.0.0.2:5060;rport;branch=z9hG4bK-.!%66*_+`'~\n"
	  "To: \"B\\u00e9\" <sip:1_odd.user~(isn't!it)&so+on$/mad?,/;;*@b.example>\n"
	  "From: ann%20example~%20tok*_!en <sip:ann@a.example>;odd-param`%'~=1;tag=_token~1'+`*%!-.\n"
	  "Call-ID: odd%word'~.+-_\"'\\:?{}[]<>()@odd\nCSeq: 139122385 !odd-Method987_*+`.%really'~\n" MF
	  "extensionHeader-!.%*+_`'~: \xef\xbb\xbf\xe5\xa4\xa7\n" NOTHING },
	{ "esc01", ACCEPTED, 0, NULL, NULL,
	  "INVITE sip:sips%3Abob%40b.example@c.example SIP/2.0\n" VIA IDS("INVITE") MF
	  "Contact: <sip:ann%2Ework@10.0.0.2>\n" WITH_SDP },
	{ "escnull", ACCEPTED, 0, NULL, NULL,
	  "REGISTER sip:b.example SIP/2.0\n" VIA
	  "From: sip:no%00thing@b.example;tag=1\nTo: sip:no%00thing@b.example\nCall-ID: nul\nCSeq: 1 REGISTER\n" MF
	  "Contact: <sip:%00@10.0.0.2>\nContact: <sip:%00%00@10.0.0.2>\n" NOTHING },
	{ "esc02", ANSWERED, 405, NULL, NULL,
	  "OP%54IONS sip:b.example SIP/2.0\n" VIA IDS("OP%54IONS") MF NOTHING },
	{ "lwsdisp", ACCEPTED, 0, NULL, NULL,
	  "OPTIONS sip:bob@b.example SIP/2.0\n" VIA "From: ann<sip:ann@a.example>;tag=1\n" TO
	  "Call-ID: lws\nCSeq: 1 OPTIONS\n" MF NOTHING },
	/* longreq: a test of its own below */
	{ "dblreq", ACCEPTED, 0, NULL, NULL,
	  "REGISTER sip:b.example SIP/2.0\n" VIA IDS("REGISTER") MF
	  "Contact: <sip:ann@10.0.0.2>\n" NOTHING
	  "INVITE sip:bob@b.example SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKsecond\n" IDS(
		  "INVITE") MF NOTHING },
	{ "semiuri", ACCEPTED, 0, NULL, NULL,
	  "OPTIONS sip:bob;day=mon%40x@b.example SIP/2.0\n" VIA IDS("OPTIONS") MF NOTHING },
	{ "transports", ACCEPTED, 0, NULL, NULL,
	  "OPTIONS sip:bob@b.example SIP/2.0\n" VIA
	  "Via: SIP/2.0/SCTP s.example;branch=z9hG4bKs\nVia: SIP/2.0/TLS t.example;branch=z9hG4bKt\n"
	  "Via: SIP/2.0/PIGEON p.example;branch=z9hG4bKp\nVia: SIP/2.0/TCP c.example;branch=z9hG4bKc\n" IDS(
		  "OPTIONS") MF NOTHING },
	{ "mpart01", ACCEPTED, 0, NULL, NULL,
	  "MESSAGE sip:bob@b.example SIP/2.0\n" VIA IDS("MESSAGE") MF
	  "Content-Type: multipart/mixed; boundary=7a9cbec02ceef655\nContent-Length: 115\n\n"
	  "--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\nHello\r\n--7a9cbec02ceef655\r\n\r\n\x01\x02\x80\xff"
	  "binary....\r\n--7a9cbec02ceef655--\r\n" },
	{ "unreason", RESPONSE, 200, NULL, NULL,
	  "SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe \xd1\x81\xd1\x82\xd0\xbe\n" THEIRS NOTHING },
	{ "noreason", RESPONSE, 100, NULL, NULL, "SIP/2.0 100 \n" THEIRS NOTHING },

	/* ---- 3.1.2: invalid ---- */
	{ "badinv01", ANSWERED, 400, NULL, NULL,
	  "INVITE sip:bob@b.example SIP/2.0\n" IDS("INVITE") MF
	  "Via: SIP/2.0/UDP 10.0.0.2:5060;;,;,,\n"
	  "Contact: \"\" <sip:ann@10.0.0.2>;;,,;,;\n" WITH_SDP },
	{ "clerr", ANSWERED, 400, NULL, NULL,
	  "INVITE sip:bob@b.example SIP/2.0\n" VIA IDS("INVITE") MF
	  "Content-Type: application/sdp\n"
	  "Content-Length: 9999\n\n" SDP },
	{ "ncl", ANSWERED, 400, NULL, NULL,
	  "INVITE sip:bob@b.example SIP/2.0\n" VIA IDS("INVITE") MF
	  "Content-Type: application/sdp\n"
	  "Content-Length: -999\n\n" SDP },
	{ "scalar02", ANSWERED, 400, NULL, NULL,
	  "REGISTER sip:b.example SIP/2.0\n" VIA FROM TO
	  "Call-ID: scalar\nCSeq: 36893488147419103232 REGISTER\n"
	  "Max-Forwards: 300\nExpires: 10000000000000000000000000000000\n"
	  "Contact: <sip:ann@10.0.0.2>;expires=280297596632815\n" NOTHING },
	{ "scalarlg", NO_RESPONSE, 0, NULL, NULL,
	  "SIP/2.0 503 Service Unavailable\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKlg;rport\n" FROM
	  "To: <sip:bob@b.example>;tag=2\nCall-ID: scalar\nCSeq: 9292394834772304023312 OPTIONS\n"
	  "Retry-After: 949302838503028349304023988\nWarning: 1812 overture \"In Progress\"\n" NOTHING },
	{ "quotbal", ANSWERED, 400, NULL, NULL,
	  "INVITE sip:bob@b.example SIP/2.0\n" VIA FROM
	  "To: \"Mr. Bob <sip:bob@b.example>\nCall-ID: quot\nCSeq: 1 INVITE\n" MF WITH_SDP },
	{ "ltgtruri", ANSWERED, 400, NULL, NULL,
	  "INVITE <sip:bob@b.example> SIP/2.0\n" VIA IDS("INVITE") MF WITH_SDP },
	{ "lwsruri", ANSWERED, 400, NULL, NULL,
	  "INVITE sip:bob@b.example; lr SIP/2.0\n" VIA IDS("INVITE") MF WITH_SDP },
	{ "lwsstart", ANSWERED, 400, NULL, NULL,
	  "INVITE  sip:bob@b.example  SIP/2.0\n" VIA IDS("INVITE") MF WITH_SDP },
	{ "trws", ANSWERED, 400, NULL, NULL, /* we refuse */
	  "OPTIONS sip:bob@b.example SIP/2.0  \n" VIA IDS("OPTIONS") MF NOTHING },
	{ "escruri", ANSWERED, 400, NULL, NULL,
	  "INVITE sip:bob@b.example?Route=%3Csip:evil.example%3E SIP/2.0\n" VIA IDS("INVITE")
		  MF WITH_SDP },
	{ "baddate", ACCEPTED, 0, NULL, NULL, /* we have no use for it */
	  "INVITE sip:bob@b.example SIP/2.0\n" VIA IDS("INVITE") MF
	  "Date: Sun, 22 Nov 2026 12:00:00 CET\n" WITH_SDP },
	{ "regbadct", ANSWERED, 400, NULL, NULL,
	  "REGISTER sip:b.example SIP/2.0\n" VIA IDS("REGISTER") MF
	  "Contact: sip:ann@10.0.0.2?Route=%3Csip:p.example%3E\n" NOTHING },
	{ "badaspec", ANSWERED, 400, NULL, NULL, /* we refuse */
	  "OPTIONS sip:bob@b.example SIP/2.0\n" VIA FROM
	  "To: \"Bob, B.\" < sip:bob@b.example >\nCall-ID: aspec\nCSeq: 1 OPTIONS\n" MF NOTHING },
	{ "baddn", ACCEPTED, 0, NULL, NULL, /* we are liberal: what is meant is clear */
	  "OPTIONS sip:bob@b.example SIP/2.0\n" VIA "From: Ann, A. <sip:ann@a.example>;tag=43\n" TO
	  "Call-ID: dn\nCSeq: 1 OPTIONS\n" MF NOTHING },
	{ "badvers", ANSWERED, 505, NULL, NULL,
	  "OPTIONS sip:bob@b.example SIP/7.0\n" VIA IDS("OPTIONS") MF NOTHING },
	{ "mismatch01", ANSWERED, 400, NULL, NULL,
	  "OPTIONS sip:bob@b.example SIP/2.0\n" VIA IDS("INVITE") MF NOTHING },
	{ "mismatch02", ANSWERED, 400, NULL, NULL,
	  "NEWMETHOD sip:bob@b.example SIP/2.0\n" VIA IDS("INVITE") MF NOTHING },
	{ "bigcode", NO_RESPONSE, 0, NULL, NULL,
	  "SIP/2.0 4294967496 wraps to 200\n" THEIRS NOTHING },

	/* ---- 3.2: transactions ---- */
	{ "badbranch", ACCEPTED, 0, NULL, NULL,
	  "OPTIONS sip:bob@b.example SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK;rport\n" IDS(
		  "OPTIONS") MF NOTHING },

	/* ---- 3.3: applications ---- */
	{ "insuf", DROPPED, 0, NULL, NULL, /* an answer would lack as much */
	  "INVITE sip:bob@b.example SIP/2.0\n" VIA "CSeq: 1 INVITE\n" MF WITH_SDP },
	{ "unkscm", ANSWERED, 416, NULL, NULL,
	  "OPTIONS whatSchemeIsThis:opaque-to-all SIP/2.0\n" VIA IDS("OPTIONS") MF NOTHING },
	{ "novelsc", ANSWERED, 416, NULL, NULL,
	  "OPTIONS soap.beep://10.0.0.7:3002 SIP/2.0\n" VIA IDS("OPTIONS") MF NOTHING },
	{ "unksm2", ANSWERED, 400, NULL, NULL,
	  "REGISTER sip:b.example SIP/2.0\n" VIA
	  "To: isbn:2983792873\nFrom: <http://www.a.example>;tag=3\nCall-ID: sm2\nCSeq: 1 REGISTER\n" MF
	  "Contact: <name:Ann_Example>\n" NOTHING },
	{ "bext01", ANSWERED, 420, "Unsupported", "nobodyHasThis, norThat",
	  "OPTIONS sip:bob@b.example SIP/2.0\n" VIA IDS("OPTIONS") MF
	  "Require: nobodyHasThis, norThat\n"
	  "Proxy-Require: noProxyHasThis\n" NOTHING },
	{ "invut", ACCEPTED, 0, NULL, NULL, /* 415 is the call's to say */
	  "INVITE sip:bob@b.example SIP/2.0\n" VIA IDS("INVITE") MF
	  "Content-Type: application/unheard-of\nContent-Length: 7\n\n<audio>" },
	{ "regaut01", ACCEPTED, 0, NULL, NULL, /* the registrar challenges */
	  "REGISTER sip:b.example SIP/2.0\n" VIA IDS("REGISTER") MF
	  "Authorization: UnknownScheme data=here\n" NOTHING },
	{ "multi01", ANSWERED, 400, NULL, NULL,
	  "INVITE sip:bob@b.example SIP/2.0\n" VIA
	  "CSeq: 5 INVITE\nCSeq: 59 INVITE\nCall-ID: multi1\nCall-ID: multi2\n" FROM
	  "From: \"Eve\" <sip:eve@c.example>;tag=2\n" TO
	  "To: <sip:eve@c.example>\nMax-Forwards: 70\nMax-Forwards: 5\n"
	  "Content-Type: application/sdp\nContent-Length: 0\n\n" },
	{ "mcl01", ANSWERED, 400, NULL, NULL,
	  "OPTIONS sip:bob@b.example SIP/2.0\n" VIA IDS("OPTIONS") MF
	  "Content-Length: 13\nContent-Length: 5\n\nThere's no way" },
	{ "bcast", NO_RESPONSE, 0, NULL, NULL,
	  "SIP/2.0 200 OK\n" THEIRS "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKb\n" NOTHING },
	{ "zeromf", ACCEPTED, 0, NULL, NULL,
	  "OPTIONS sip:bob@b.example SIP/2.0\n" VIA IDS("OPTIONS") "Max-Forwards: 0\n" NOTHING },
	{ "zeromf, to be passed on", ANSWERED, 483, NULL, NULL,
	  "INVITE sip:bob@b.example SIP/2.0\n" VIA IDS("INVITE") "Max-Forwards: 0\n" NOTHING },
	{ "cparam01", ACCEPTED, 0, NULL, NULL,
	  "REGISTER sip:b.example SIP/2.0\n" VIA IDS("REGISTER") MF
	  "Contact: sip:+15550100@b.example;odd\n" NOTHING },
	{ "cparam02", ACCEPTED, 0, NULL, NULL,
	  "REGISTER sip:b.example SIP/2.0\n" VIA IDS("REGISTER") MF
	  "Contact: <sip:+15550100@b.example;odd>\n" NOTHING },
	{ "regescrt", ACCEPTED, 0, NULL, NULL,
	  "REGISTER sip:b.example SIP/2.0\n" VIA IDS("REGISTER") MF
	  "Contact: <sip:ann@10.0.0.2?Route=%3Csip:p.example%3E>\n" NOTHING },
	{ "sdp01", ACCEPTED, 0, NULL, NULL, /* 406 is the call's to say */
	  "INVITE sip:bob@b.example SIP/2.0\n" VIA IDS("INVITE") MF
	  "Accept: text/unheard-of\n" WITH_SDP },

	/* ---- 3.4: RFC 2543 ---- */
	{ "inv2543", ANSWERED, 400, NULL, NULL, /* no branch, no tag: we do not go back that far */
	  "INVITE sip:bob@b.example SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2\nFrom: <sip:+15550101@a.example;user=phone>\n"
	  "To: sip:+15550102@b.example;user=phone\nCall-ID: old\nCSeq: 1 INVITE\n" WITH_SDP },
};

static struct kit kit;
static unsigned accepted, in_dialog;

static void on_request(const struct inmsg *in, void *arg)
{
	(void)arg;
	accepted++;
	stack_reply(in, 200, NULL);
}

static bool on_dialog(const struct inmsg *in, void *arg)
{
	(void)arg;
	in_dialog++;
	stack_reply(in, 200, NULL);
	return true;
}

static void on_response(struct request *req, const struct inmsg *in, void *arg)
{
	(void)req;
	(void)arg;
	kit.responses++;
	kit.last_code = in->msg->scode;
}

static void open_kit(void)
{
	static const char *const methods[] = { "INVITE", "REGISTER", "OPTIONS", "MESSAGE" };

	kit_open(&kit);
	accepted = in_dialog = 0;
	for (unsigned i = 0; i < ARRAY_LEN(methods); i++)
		stack_on_method(kit.stack, methods[i], on_request, NULL);
	stack_set_dialog_hook(kit.stack, on_dialog, NULL);
}

/* Responses are answers to a request of ours. */
static void ask(void)
{
	static const struct request_handlers handlers = { .on_response = on_response };
	struct outmsg *msg = outmsg_request_str("OPTIONS", "sip:bob@10.0.0.2");

	outmsg_ids(msg, "<sip:us@10.0.0.1>;tag=1", "<sip:bob@b.example>", "asked", 1);
	request_send(kit.stack, &(struct request_args){ .msg = msg, .handlers = &handlers },
		     &kit.req);
	mem_deref(msg);
	kit_run(&kit, 10);
}

static void say_response(const char *text)
{
	const char *request = kit_heard(&kit, 0), *mark = strstr(text, THEIRS);

	if (!mark) {
		kit_say(&kit, SIP_TRANSP_UDP, "%s", text);
		return;
	}
	kit_say(&kit, SIP_TRANSP_UDP,
		"%.*sVia: %s\nFrom: %s\nTo: %s;tag=2\nCall-ID: asked\nCSeq: 1 OPTIONS\n%s",
		(int)(mark - text), text, kit_header(request, "Via"), kit_header(request, "From"),
		kit_header(request, "To"), mark + 1);
}

static void check_answer(const struct torture *t)
{
	char start[20];

	assert_int_equal(kit.seen_count, 1);
	snprintf(start, sizeof(start), "SIP/2.0 %u ", t->code);
	assert_memory_equal(kit_last(&kit), start, strlen(start));
	if (t->header)
		assert_non_null(strstr(kit_header(kit_last(&kit), t->header), t->value));
	assert_int_equal(accepted + in_dialog, 0);
}

static void check(const struct torture *t)
{
	switch (t->fate) {
	case ACCEPTED:
		assert_int_equal(accepted, 1);
		assert_memory_equal(kit_last(&kit), "SIP/2.0 200 OK", 14);
		break;
	case IN_DIALOG:
		assert_int_equal(in_dialog, 1);
		break;
	case ANSWERED:
		check_answer(t);
		break;
	case DROPPED:
		assert_int_equal(kit.seen_count, 0);
		assert_int_equal(accepted + in_dialog, 0);
		break;
	case RESPONSE:
		assert_int_equal(kit.responses, 1);
		assert_int_equal(kit.last_code, t->code);
		break;
	case NO_RESPONSE:
		assert_int_equal(kit.responses, 0);
		break;
	}
}

static void each_torture_message_meets_its_fate(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(tortures); i++) {
		const struct torture *t = &tortures[i];

		print_message("  %s\n", t->name);
		open_kit();
		if (t->fate == RESPONSE || t->fate == NO_RESPONSE) {
			ask();
			say_response(t->text);
		} else {
			kit_say(&kit, SIP_TRANSP_UDP, "%s", t->text);
		}
		kit_run(&kit, 20);
		check(t);
		kit.req = request_free(kit.req);
		kit_close(&kit);
	}
}

/* longreq: everything is long, nothing is wrong */
static void a_message_of_long_values_is_accepted(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(60000);

	(void)state;
	open_kit();
	buf_adds(&text, "INVITE sip:bob@b.example SIP/2.0\n" VIA);
	for (unsigned i = 0; i < 34; i++)
		buf_addf(&text, "Via: SIP/2.0/TCP hop%02u.example;branch=z9hG4bK%0200u\n", i, i);
	buf_addf(&text, "From: \"%s", "");
	for (unsigned i = 0; i < 100; i++)
		buf_adds(&text, "a long name ");
	buf_addf(&text, "\" <sip:%0500u@a.example>;tag=%0300u;%0200u=%0200u\n", 1, 2, 3, 4);
	buf_addf(&text, TO "Call-ID: %0400u\nCSeq: 1 INVITE\n" MF "Unknown-%0300u: %0800u\n", 5, 6,
		 7);
	buf_addf(&text, "Contact: <sip:%0400u@10.0.0.2:5060>\n" NOTHING, 8);
	assert_false(text.failed);
	kit_say(&kit, SIP_TRANSP_UDP, "%s", text.data);
	kit_run(&kit, 20);
	assert_int_equal(accepted, 1);
	assert_memory_equal(kit_last(&kit), "SIP/2.0 200 OK", 14);
	assert_string_equal(kit_header(kit_last(&kit), "CSeq"), "1 INVITE");
	kit_close(&kit);
}

/* Two names that libre's hash takes for the same header do not pass for each other. */
static void a_header_that_only_looks_like_another_is_a_stranger(void **state)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	char name[8] = { 0 };

	(void)state;
	for (uint32_t n = 0; n < 26 * 26 * 26 * 26; n++) {
		uint32_t rest = n;

		for (unsigned i = 0; i < 4; i++, rest /= 26)
			name[i] = letters[rest % 26];
		if ((hash_joaat_ci(name, 4) & 0xfff) == SIP_HDR_CONTENT_LENGTH)
			break;
	}
	assert_int_equal(hash_joaat_ci(name, 4) & 0xfff, SIP_HDR_CONTENT_LENGTH);
	open_kit();
	kit_say(&kit, SIP_TRANSP_UDP,
		"OPTIONS sip:b.example SIP/2.0\n" VIA IDS("OPTIONS") MF
		"%s: 99\nContent-Length: 4\n\nbody",
		name);
	kit_run(&kit, 20);
	assert_int_equal(accepted, 1);
	kit_close(&kit);
}

static void an_ack_is_never_answered_however_bad(void **state)
{
	(void)state;
	open_kit();
	kit_say(&kit, SIP_TRANSP_UDP,
		"ACK sip:b.example SIP/2.0\n" VIA FROM TO "Call-ID: a\nCSeq: 1 INVITE\n" NOTHING);
	kit_say(&kit, SIP_TRANSP_UDP, "ACK  sip:b.example SIP/2.0\n" VIA IDS("ACK") NOTHING);
	kit_say(&kit, SIP_TRANSP_UDP, "ACK mailto:b.example SIP/2.0\n" VIA IDS("ACK") NOTHING);
	kit_run(&kit, 20);
	assert_int_equal(kit.seen_count, 0);
	kit_close(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_torture_message_meets_its_fate),
		cmocka_unit_test(a_message_of_long_values_is_accepted),
		cmocka_unit_test(a_header_that_only_looks_like_another_is_a_stranger),
		cmocka_unit_test(an_ack_is_never_answered_however_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
