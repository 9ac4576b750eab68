/* fuzz/talk.c - whole calls: the engine between a far end that says anything and a user that does anything
 *
 * The input is a script of chunks that end with a zero byte. A chunk's first byte says what happens, the second how, the
 * rest is a session description (newline is CRLF; none: a sound one), so that offers and answers change again and again in
 * dialogs that are otherwise well kept. Channels are bridged, held, sent digits and spoken to meanwhile; in the end
 * everybody hangs up, and nothing may be left.
 */
#include "engine/builtin.h"
#include "sip/wire_sim.h"

#include "fuzz/said.h"
#include "fuzz/target.h"

#include <stdio.h>

#define OURS "10.0.0.1:5060"
#define PEER "10.0.0.2:5060"
#define STEPS_MAX 64
#define CHANNELS 4
#define SOUND_SDP                                                                                  \
	"v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\n"                  \
	"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"

struct fuzz {
	struct sim_net *net;
	struct wheel *wheel;
	struct engine *engine;
	struct bridge *bridge;
	struct channel *channels[CHANNELS];
	struct ring *home;
	struct id line;
	char request[8192], reply[8192]; /* the last that the far end got */
	unsigned branch, cseq;
};

static void run(struct fuzz *fuzz, uint64_t ms)
{
	wheel_advance_to(fuzz->wheel, wheel_now_ms(fuzz->wheel) + ms);
	engine_media_poll(fuzz->engine);
	work_reap(fuzz->home);
	wheel_advance_to(fuzz->wheel, wheel_now_ms(fuzz->wheel));
}

/* ---- the user ---- */

static void on_event(void *arg, const struct engine_event *event)
{
	struct fuzz *fuzz = arg;
	unsigned at = 0;

	while (at < CHANNELS && fuzz->channels[at] != event->channel)
		at++;
	if (event->type == ENGINE_INCOMING || event->type == ENGINE_REPLACES) {
		for (at = 0; at < CHANNELS && fuzz->channels[at]; at++)
			;
		channel_set_user(event->channel, fuzz); /* or it is not told of */
		if (at < CHANNELS)
			fuzz->channels[at] = event->channel;
		else
			channel_hangup(event->channel, END_BUSY, false);
	} else if (event->type == ENGINE_ENDED && at < CHANNELS) {
		fuzz->channels[at] = NULL;
	} else if (event->type == ENGINE_TRANSFER) {
		channel_transfer_reply(event->channel, 0);
		channel_transfer_progress(event->channel, 200);
	}
}

static void dial(struct fuzz *fuzz, struct channel **slot, struct channel *like)
{
	struct originate what = { .line = fuzz->line, .to = "123", .like = like, .user = fuzz };
	struct channel *channel;

	if (!channel_originate(fuzz->engine, &what, &channel))
		*slot = channel;
}

static void user(struct fuzz *fuzz, uint8_t how)
{
	struct channel **slot = &fuzz->channels[how >> 4 & 3], *channel = *slot;
	struct channel *other = fuzz->channels[(how >> 4 & 3) ^ 1];
	const struct dtmf_spec digits = { "1,#", 100, 50, (enum dtmf_mode)(how >> 6) };
	const struct sound_spec sound = { .kind = how & 64 ? SOUND_RINGBACK : SOUND_ECHO };
	uint32_t operation;

	if (!channel) {
		dial(fuzz, slot, how & 64 ? other : NULL);
		return;
	}
	switch (how & 15) {
	case 0:
	case 1:
		channel_answer(channel, other);
		break;
	case 2:
		channel_ring(channel);
		break;
	case 3:
		channel_progress(channel);
		break;
	case 4:
	case 5:
		channel_hold(channel, !(how & 1));
		break;
	case 6:
	case 7:
		bridge_add(fuzz->bridge, channel);
		break;
	case 8:
		bridge_remove(fuzz->bridge, channel);
		break;
	case 9:
		(void)!channel_dtmf(channel, &digits, &operation);
		break;
	case 10:
		(void)channel_play(channel, &sound);
		break;
	case 11:
		channel_mute(channel, how & 64);
		break;
	case 12:
		(void)!channel_transfer(channel, "456");
		break;
	case 13:
		channel_identify(channel, "789", "Seven");
		break;
	default:
		channel_hangup(channel, how & 64 ? END_BUSY : END_COMPLETED, false);
	}
}

/* ---- the far end ---- */

static void on_text(enum sip_transp transport, const struct sa *from, const char *text, size_t len,
		    void *arg)
{
	struct fuzz *fuzz = arg;
	char *slot = len > 8 && !memcmp(text, "SIP/2.0 ", 8) ? fuzz->reply : fuzz->request;

	(void)transport;
	(void)from;
	if (len < sizeof(fuzz->reply)) {
		memcpy(slot, text, len);
		slot[len] = 0;
	}
}

static void say(struct fuzz *fuzz, struct buf *out, bool has_body, const char *text)
{
	auto_(buf_fini) struct buf body = BUF_MAX(40000);

	buf_adds(&body, has_body && !*text ? SOUND_SDP : "");
	for (; has_body && *text; text++)
		buf_adds(&body, *text == '\n' ? "\r\n" : (char[]){ *text, 0 });
	buf_addf(out, "%sContent-Length: %zu\r\n\r\n",
		 has_body ? "Content-Type: application/sdp\r\n" : "", body.len);
	buf_add(out, body.data ? body.data : "", body.len);
	if (!out->failed && !body.failed)
		sim_raw_send(fuzz->net, SIP_TRANSP_UDP, PEER, OURS, out->data, out->len);
}

static void respond(struct fuzz *fuzz, uint8_t how, const char *body)
{
	static const unsigned codes[] = { 100, 180, 183, 200, 200, 202, 401, 422,
					  481, 486, 487, 488, 491, 500, 200, 183 };
	auto_(buf_fini) struct buf out = BUF_MAX(60000);
	const char *text = fuzz->request, *to = header(text, "To");

	buf_addf(&out,
		 "SIP/2.0 %u X\r\nVia: %s\r\nFrom: %s\r\nTo: %s%s\r\nCall-ID: %s\r\nCSeq: %s\r\n",
		 codes[how & 15], header(text, "Via"), header(text, "From"), to,
		 strstr(to, "tag=") ? "" : ";tag=b", header(text, "Call-ID"), header(text, "CSeq"));
	buf_adds(&out, "Contact: <sip:b@10.0.0.2>\r\n");
	if (how & 64)
		buf_addf(&out, "Require: 100rel\r\nRSeq: %u\r\n", 1u + (how >> 7));
	say(fuzz, &out, how & 32, body);
}

/* Inside the dialog of the last request of ours, or of the last reply to theirs. */
static void ask(struct fuzz *fuzz, uint8_t how, const char *body)
{
	static const char *const methods[] = { "INVITE", "UPDATE", "ACK", "BYE" };
	auto_(buf_fini) struct buf out = BUF_MAX(60000);
	bool theirs = how & 8;
	const char *text = theirs ? fuzz->reply : fuzz->request;
	const char *method = methods[how & 3];

	if ((how & 3) != 2)
		fuzz->cseq++;
	buf_addf(
		&out,
		"%s sip:x@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK%u\r\nMax-Forwards: 70\r\n"
		"From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\nContact: <sip:b@10.0.0.2>\r\n",
		method, ++fuzz->branch, header(text, theirs ? "From" : "To"),
		header(text, theirs ? "To" : "From"), header(text, "Call-ID"), fuzz->cseq, method);
	say(fuzz, &out, how & 16, body);
}

static void invite(struct fuzz *fuzz, uint8_t how, const char *body)
{
	auto_(buf_fini) struct buf out = BUF_MAX(60000);
	unsigned n = ++fuzz->branch;

	fuzz->cseq = 1;
	buf_addf(
		&out,
		"INVITE sip:trunk@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKi%u\r\n"
		"Max-Forwards: 70\r\nFrom: <sip:b@10.0.0.2>;tag=t%u\r\nTo: <sip:trunk@10.0.0.1>\r\nCall-ID: i%u\r\n"
		"CSeq: 1 INVITE\r\nContact: <sip:b@10.0.0.2>\r\n%s",
		n, n, n, how & 2 ? "Supported: 100rel, timer\r\n" : "");
	say(fuzz, &out, how & 1, body);
}

/* ---- the script ---- */

/* Packets came, keys were pressed, or nothing has come for long. */
static void sound(struct fuzz *fuzz, uint8_t how)
{
	static const enum media_event_type types[] = { MEDIA_EVENT_STARTED, MEDIA_EVENT_DTMF,
						       MEDIA_EVENT_DTMF_END, MEDIA_EVENT_SILENT };
	struct media_event event = { .type = types[how & 3],
				     .stream = { how >> 2 & 3, how >> 4 & 3 } };

	if (event.type == MEDIA_EVENT_SILENT)
		event.silent_ms = 60000;
	else if (event.type != MEDIA_EVENT_STARTED)
		event.dtmf.digit = "0123456789*#ABCD"[how >> 4];
	media_inject(engine_media(fuzz->engine), &event);
}

static void step(struct fuzz *fuzz, uint8_t what, uint8_t how, const char *body)
{
	switch (what % 6) {
	case 0:
		respond(fuzz, how, body);
		break;
	case 1:
		ask(fuzz, how, body);
		break;
	case 2:
		invite(fuzz, how, body);
		break;
	case 3:
		user(fuzz, how);
		break;
	case 4:
		sound(fuzz, how);
		break;
	default:
		run(fuzz, 200u * how);
	}
	run(fuzz, 3);
}

static void play(struct fuzz *fuzz, const uint8_t *data, size_t size)
{
	for (unsigned steps = 0; size && steps < STEPS_MAX; steps++) {
		size_t len = strnlen((const char *)data, size);
		auto_(free) char *body =
			xstrndup(len > 2 ? (const char *)data + 2 : "", len > 2 ? len - 2 : 0);

		if (len >= 2)
			step(fuzz, data[0], data[1], body);
		data += len < size ? len + 1 : len;
		size -= len < size ? len + 1 : len;
	}
}

static void engine_make(struct fuzz *fuzz, struct stack *stack)
{
	struct line_spec line = { .id = { { 1 } }, .enabled = true, .max_calls = 100 };
	struct engine_setup setup = {
		.stack = stack,
		.media = { .port_min = 20000, .port_max = 20099 },
		.pool = work_pool_new("fuzz", 1, 16),
		.home = fuzz->home = ring_new(sizeof(struct work), 32),
	};

	if (!media_addr_parse("10.0.0.1", 0, &setup.media.address))
		abort();
	fuzz->engine = engine_new(&setup);
	engine_set_handler(fuzz->engine, on_event, fuzz);
	strcpy(line.server, "10.0.0.2");
	strcpy(line.username, "trunk");
	engine_line_put(fuzz->engine, &line);
	fuzz->line = line.id;
}

/* Made once, as its tones and its music are dear; calls, bridge and what the far end knows are each input's own. */
static struct fuzz *fuzz_get(void)
{
	static struct fuzz *fuzz;
	struct wire *wire;
	const struct wire_limits open = { .rate = 1000000, .burst = 1000000 };
	struct resolver_setup resolver = { 0 };
	struct stack_setup stack = { .software = "Fuzz" };

	if (!fuzz) {
		log_init(&(struct log_setup){ .level = LOG_ERROR_ });
		fuzz = xzalloc(sizeof(*fuzz));
		stack.wheel = resolver.wheel = fuzz->wheel =
			wheel_new_virtual(1000000, 1700000000000000);
		fuzz->net = sim_net_new(fuzz->wheel, 1);
		wire = wire_sim_new(fuzz->net, OURS, &open);
		stack.wire = wire;
		resolver.wire = wire;
		stack.resolver = resolver_new(&resolver);
		sim_raw_bind(fuzz->net, PEER, on_text, fuzz);
		engine_make(fuzz, stack_new(&stack));
		run(fuzz, 50);
	}
	memset(fuzz->channels, 0, sizeof(fuzz->channels));
	fuzz->request[0] = fuzz->reply[0] = 0;
	fuzz->branch = fuzz->cseq = 0;
	fuzz->bridge = bridge_new(fuzz->engine);
	return fuzz;
}

static void nothing_is_left(struct fuzz *fuzz)
{
	struct engine_counts counts;

	for (unsigned i = 0; i < CHANNELS; i++)
		if (fuzz->channels[i])
			channel_hangup(fuzz->channels[i], END_COMPLETED, false);
	run(fuzz, 100000);
	run(fuzz, 5);
	bridge_free(fuzz->bridge);
	engine_count(fuzz->engine, &counts);
	if (counts.channels || counts.streams || counts.dialogs || counts.transactions)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *fuzz = fuzz_get();

	if (size <= 16384)
		play(fuzz, data, size);
	nothing_is_left(fuzz);
	return 0;
}
