/* fuzz/session.c - a far end that says anything, to a user agent with calls both ways and a registration
 *
 * The input is a script: chunks that end with a zero byte. A chunk's first byte says what happens, the rest is header
 * lines (newline is CRLF) that the far end puts into an otherwise sound message, so that the fuzzer spends its time
 * in dialogs and sessions and not in tags and branches. In the end an hour passes, and nothing may be left.
 */
#include "sip/dialog.h"
#include "sip/ua.h"
#include "sip/wire_sim.h"

#include "fuzz/said.h"
#include "fuzz/target.h"

#include <stdio.h>

#define OURS "10.0.0.1:5060"
#define PEER "10.0.0.2:5060"
#define SDP                                                                                        \
	"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
#define OUR_SDP SESSION_SDP(SDP, strlen(SDP))

struct fuzz {
	struct sim_net *net;
	struct wheel *wheel;
	struct ua *ua;
	char request[8192], reply[8192]; /* the last that the far end got */
	struct session *sessions[4];
	unsigned count, branch, cseq;
	struct account *account;
};

static void on_text(enum sip_transp transport, const struct sa *from, const char *text, size_t len,
		    void *arg)
{
	struct fuzz *fuzz = arg;
	bool response = len > 8 && !memcmp(text, "SIP/2.0 ", 8);
	char *slot = response ? fuzz->reply : fuzz->request;

	(void)transport;
	(void)from;
	if (len > 16 && len < sizeof(fuzz->reply)) {
		memcpy(slot, text, len);
		slot[len] = 0;
	}
}

static void on_event(struct session *session, const struct session_event *event, void *arg)
{
	struct fuzz *fuzz = arg;

	if (event->type == SESSION_EV_OFFER || event->type == SESSION_EV_OFFER_WANTED) {
		(void)!session_answer(session, OUR_SDP);
	} else if (event->type == SESSION_EV_REFER) {
		session_refer_reply(session, 202);
		session_refer_notify(session, 200, NULL);
	} else if (event->type == SESSION_EV_END) {
		for (unsigned i = 0; i < fuzz->count; i++) {
			if (fuzz->sessions[i] == session)
				fuzz->sessions[i] = fuzz->sessions[--fuzz->count];
		}
	}
}

static void on_incoming(struct session *session, const struct ua_incoming *incoming, void *arg)
{
	struct fuzz *fuzz = arg;

	(void)incoming;
	if (fuzz->count == ARRAY_LEN(fuzz->sessions))
		return;
	fuzz->sessions[fuzz->count++] = session;
	session_bind(session, on_event, fuzz);
}

static void run(struct fuzz *fuzz, unsigned ms)
{
	wheel_advance_to(fuzz->wheel, wheel_now_ms(fuzz->wheel) + ms);
}

static void say(struct fuzz *fuzz, const char *head, const char *lines, bool body)
{
	auto_(buf_fini) struct buf out = BUF_MAX(60000);

	buf_adds(&out, head);
	for (; *lines; lines++)
		buf_adds(&out, *lines == '\n' ? "\r\n" : (char[]){ *lines, 0 });
	buf_addf(&out, "%sContent-Length: %zu\r\n\r\n%s",
		 body ? "Content-Type: application/sdp\r\n" : "", body ? strlen(SDP) : 0,
		 body ? SDP : "");
	if (!out.failed)
		sim_raw_send(fuzz->net, SIP_TRANSP_UDP, PEER, OURS, out.data, out.len);
	run(fuzz, 3);
}

static void respond(struct fuzz *fuzz, uint8_t how, const char *lines)
{
	static const unsigned codes[] = { 100, 180, 183, 200, 202, 302, 401, 407,
					  408, 422, 423, 481, 487, 491, 500, 503 };
	const char *text = fuzz->request, *to = header(text, "To");
	char head[8192];

	snprintf(
		head, sizeof(head),
		"SIP/2.0 %u X\r\nVia: %s\r\nFrom: %s\r\nTo: %s%s\r\nCall-ID: %s\r\nCSeq: %s\r\nContact: <sip:b@10.0.0.2>\r\n",
		codes[how & 15], header(text, "Via"), header(text, "From"), to,
		strstr(to, "tag=") ? ""
		: how & 16	   ? ";tag=b"
				   : ";tag=c",
		header(text, "Call-ID"), header(text, "CSeq"));
	say(fuzz, head, lines, how & 32);
}

/* Inside the dialog of the last request of ours, or of the last reply to theirs. */
static void ask(struct fuzz *fuzz, uint8_t how, const char *lines)
{
	static const char *const methods[] = { "INVITE", "UPDATE", "BYE",   "ACK",
					       "PRACK",	 "INFO",   "REFER", "NOTIFY" };
	bool theirs = how & 8;
	const char *text = theirs ? fuzz->reply : fuzz->request;
	const char *method = methods[how & 7];
	char head[8192];

	snprintf(
		head, sizeof(head),
		"%s sip:x@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK%u\r\nMax-Forwards: 70\r\nFrom: %s\r\n"
		"To: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\nContact: <sip:b@10.0.0.2>\r\n",
		method, ++fuzz->branch, header(text, theirs ? "From" : "To"),
		header(text, theirs ? "To" : "From"), header(text, "Call-ID"),
		!strcmp(method, "ACK") ? fuzz->cseq : ++fuzz->cseq, method);
	say(fuzz, head, lines, how & 16);
}

static void invite(struct fuzz *fuzz, uint8_t how, const char *lines)
{
	char head[1024];

	fuzz->cseq = 1;
	fuzz->branch++;
	snprintf(
		head, sizeof(head),
		"INVITE sip:trunk@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKi%u\r\nMax-Forwards: 70\r\n"
		"From: <sip:b@10.0.0.2>;tag=t%u\r\nTo: <sip:trunk@10.0.0.1>\r\nCall-ID: i%u\r\nCSeq: 1 INVITE\r\n"
		"Contact: <sip:b@10.0.0.2>\r\n",
		fuzz->branch, fuzz->branch, fuzz->branch);
	say(fuzz, head, lines, how & 1);
}

static void user(struct fuzz *fuzz, uint8_t how)
{
	struct session *session = fuzz->count ? fuzz->sessions[(how >> 4) % fuzz->count] : NULL;
	struct session_dial dial = {
		.account = fuzz->account, .to = "1", .fn = on_event, .arg = fuzz
	};

	if (!session || (how & 15) == 0) {
		if (fuzz->count == ARRAY_LEN(fuzz->sessions))
			return;
		dial.offer = how & 16 ? OUR_SDP : SESSION_NO_BODY;
		if (!session_dial(fuzz->ua, &dial, &session))
			fuzz->sessions[fuzz->count++] = session;
	} else if ((how & 15) == 1) {
		(void)!session_ring(session, 183, OUR_SDP);
	} else if ((how & 15) == 2) {
		(void)!session_accept(session, OUR_SDP);
	} else if ((how & 15) == 3) {
		(void)!session_offer(session, OUR_SDP);
	} else if ((how & 15) == 4) {
		(void)!session_refer(session, "sip:z@10.0.0.2", session, NULL);
	} else if ((how & 15) == 5) {
		(void)session_info(session, OUR_SDP);
	} else if ((how & 15) == 6) {
		(void)!session_answer(session, OUR_SDP);
	} else {
		session_hangup(session, (enum session_why)(how % 7));
	}
	run(fuzz, 3);
}

static void step(struct fuzz *fuzz, uint8_t what, uint8_t how, const char *lines)
{
	switch (what % 6) {
	case 0:
		respond(fuzz, how, lines);
		break;
	case 1:
		ask(fuzz, how, lines);
		break;
	case 2:
		invite(fuzz, how, lines);
		break;
	case 3:
		user(fuzz, how);
		break;
	case 4:
		run(fuzz, 100u * how);
		break;
	default:
		(void)regs_register(ua_regs(fuzz->ua), (struct id){ { 1 } });
		run(fuzz, 300);
		break;
	}
}

static void play(struct fuzz *fuzz, const uint8_t *data, size_t size)
{
	for (unsigned steps = 0; size && steps < 64; steps++) {
		size_t len = strnlen((const char *)data, size);
		auto_(free) char *lines =
			xstrndup(len > 2 ? (const char *)data + 2 : "", len > 2 ? len - 2 : 0);

		if (len >= 2)
			step(fuzz, data[0], data[1], lines);
		data += len < size ? len + 1 : len;
		size -= len < size ? len + 1 : len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz fuzz = { .wheel = wheel_new_virtual(1000000, 1700000000000000) };
	struct sim_net *net = sim_net_new(fuzz.wheel, 1);
	struct wire *wire = wire_sim_new(net, OURS, NULL);
	struct resolver *resolver =
		resolver_new(&(struct resolver_setup){ .wheel = fuzz.wheel, .wire = wire });
	struct stack *stack = stack_new(&(struct stack_setup){
		.wheel = fuzz.wheel, .wire = wire, .resolver = resolver, .software = "Fuzz" });
	const struct account_setup account = {
		.id = { { 1 } },
		.username = "alice",
		.password = "secret",
		.server = "10.0.0.2",
		.registers = true,
	};
	const struct account_setup trunk = { .id = { { 2 } },
					     .username = "trunk",
					     .server = "10.0.0.2" };

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	fuzz.net = net;
	sim_raw_bind(net, PEER, on_text, &fuzz);
	fuzz.ua = ua_new(&(struct ua_setup){
		.stack = stack, .handlers = { on_incoming }, .arg = &fuzz, .regs = { .seed = 1 } });
	(void)!regs_put(ua_regs(fuzz.ua), &account);
	(void)!regs_put(ua_regs(fuzz.ua), &trunk);
	run(&fuzz, 50);
	fuzz.account = account_ref(regs_account(ua_regs(fuzz.ua), account.id));
	if (size <= 16384)
		play(&fuzz, data, size);
	while (fuzz.count)
		session_forget(fuzz.sessions[--fuzz.count]);
	regs_remove(ua_regs(fuzz.ua), account.id);
	run(&fuzz, 3600 * 1000);
	if (ua_sessions(fuzz.ua) || dialog_table_count(ua_dialogs(fuzz.ua)) || stack_live(stack))
		abort();
	account_unref(fuzz.account);
	ua_free(fuzz.ua);
	stack_free(stack);
	resolver_free(resolver);
	wire_free(wire);
	sim_net_free(net);
	wheel_free(fuzz.wheel);
	return 0;
}
