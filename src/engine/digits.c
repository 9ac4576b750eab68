/* Digits (DTMF), both ways and by three methods: telephone-events (RFC 4733), SIP INFO, tones in the audio. One that
 * comes in by two of them is one.
 */
#include "engine/private.h"

#include "base/metric.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#define WAITING_MAX 1024 /* digits of a channel */
#define SLACK_MS 2000	 /* the media loops are trusted to say that a digit is out; to a point */
#define OVERLAP_MS 150
#define INFO_DURATION_MS 160

METRIC_COUNTER(info_failed, "jackfield_dtmf_info_failed_total",
	       "Digits sent by INFO that the far end refused or never answered", NULL);

/* Some digits of one channel_dtmf(). */
struct dialling {
	struct chain_link in_queue;
	uint32_t operation;
	unsigned at, duration_ms, gap_ms;
	unsigned sent; /* digits that went out */
	int code;      /* that refused one */
	enum dtmf_mode asked;
	char text[DTMF_DIGITS_MAX + 1];
};

/* ---- the method ---- */

static bool can(const struct channel *channel, enum dtmf_mode method)
{
	switch (method) {
	case DTMF_RFC4733:
		return channel->takes_events;
	case DTMF_INFO:
		return channel->state == CHANNEL_UP && channel->main &&
		       session_peer_allows(channel->main->session, "INFO");
	case DTMF_INBAND:
		/* Opus models speech: tones do not survive it for certain. */
		return channel->codec && channel->codec != MEDIA_CODEC_OPUS;
	case DTMF_AUTO:
		break;
	}
	return false;
}

/* Unless somebody insists on it, nothing that the far end has refused before. */
static bool suits(const struct channel *channel, enum dtmf_mode method)
{
	return can(channel, method) && !(method == DTMF_INFO && channel->digits.no_info);
}

/* Return: DTMF_AUTO when there is none. */
static enum dtmf_mode choose(const struct channel *channel, enum dtmf_mode asked)
{
	static const enum dtmf_mode best[] = { DTMF_RFC4733, DTMF_INFO, DTMF_INBAND };
	const struct line *line = line_get(channel->engine, channel->line);

	if (asked)
		return can(channel, asked) ? asked : DTMF_AUTO;
	if (line && line->dtmf && suits(channel, line->dtmf))
		return line->dtmf;
	for (unsigned i = 0; i < ARRAY_LEN(best); i++)
		if (suits(channel, best[i]))
			return best[i];
	return DTMF_AUTO;
}

/* ---- going out ---- */

static void over(struct channel *channel, struct dialling *dialling, bool ok)
{
	struct queued *queued = event_for(channel, ENGINE_DTMF_SENT);

	queued->event.operation = dialling->operation;
	queued->event.method = channel->digits.method;
	queued->event.ok = ok;
	queued->event.count = dialling->sent;
	queued->event.code = dialling->code;
	chain_remove(&channel->digits.queue, &dialling->in_queue);
	channel->digits.waiting -= (unsigned)strlen(dialling->text) - dialling->at;
	free(dialling);
	event_emit(channel->engine, queued);
}

/* One at a time: one that was lost on the way and comes after its successor is refused (RFC 3261 12.2.2). */
static bool send_info(struct channel *channel, char digit, unsigned duration_ms)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "Signal=%c\r\nDuration=%u\r\n", digit, duration_ms);
	struct session_body body = { "application/dtmf-relay", text, (size_t)len };

	channel->digits.info_open = session_info(channel->main->session, body);
	return channel->digits.info_open;
}

/* Return: milliseconds after which it is over even if nobody says so; 0: it cannot be sent. */
static unsigned send_digit(struct channel *channel, struct dialling *dialling, char digit)
{
	unsigned takes_ms = dialling->duration_ms + dialling->gap_ms;
	struct media_digit out = { .digit = digit,
				   .duration_ms = (uint16_t)dialling->duration_ms,
				   .gap_ms = (uint16_t)dialling->gap_ms };
	enum dtmf_mode method = choose(channel, dialling->asked);

	if (!method)
		return 0; /* what was agreed has changed */
	channel->digits.method = method;
	if (method == DTMF_INFO && !send_info(channel, digit, dialling->duration_ms))
		return 0;
	dialling->sent++;
	if (method == DTMF_INFO)
		return takes_ms;
	out.inband = method == DTMF_INBAND;
	media_digit_send(channel->engine->media, channel->stream, &out);
	return takes_ms + SLACK_MS;
}

static unsigned step(struct channel *channel, struct dialling *dialling)
{
	char c = dialling->text[dialling->at++];

	channel->digits.waiting--;
	if (c == ',')
		return 1000;
	if (c == 'w')
		return 500;
	return send_digit(channel, dialling, c);
}

static void next(struct channel *channel)
{
	struct dialling *dialling;

	channel->digits.busy = false;
	timer_stop(&channel->digits.timer);
	while (!channel->digits.busy &&
	       (dialling = chain_owner(channel->digits.queue.head, struct dialling, in_queue))) {
		unsigned wait_ms;

		if (!dialling->text[dialling->at]) {
			over(channel, dialling, true);
			continue;
		}
		wait_ms = step(channel, dialling);
		if (!wait_ms) {
			over(channel, dialling, false);
			continue;
		}
		channel->digits.busy = true;
		timer_start(&channel->digits.timer, wait_ms);
	}
}

static void due(struct timer *timer, void *arg)
{
	struct channel *channel = arg;

	(void)timer;
	if (channel->state == CHANNEL_GONE || channel->state == CHANNEL_LEAVING ||
	    channel->digits.info_open)
		return;
	engine_enter(channel->engine);
	next(channel);
	engine_settle(channel->engine);
}

/* Not this digit, but the method. */
static bool refuses_info(uint16_t code)
{
	return code == 405 || code == 415 || code == 489 || code == 501;
}

/* The digit that was refused is still the last one taken from the head of the queue. */
static void info_refused(struct channel *channel, uint16_t code)
{
	struct dialling *dialling =
		chain_owner(channel->digits.queue.head, struct dialling, in_queue);

	metric_add(&info_failed, 1);
	/* What was never answered may have arrived all the same: it is not said again in another way. */
	channel->digits.no_info = channel->digits.no_info || refuses_info(code) || code == 408;
	if (!dialling || !dialling->at)
		return; /* it was stopped meanwhile */
	dialling->sent--;
	if (refuses_info(code) && !dialling->asked && choose(channel, DTMF_AUTO)) {
		dialling->at--; /* again, in another way */
		channel->digits.waiting++;
		return;
	}
	dialling->code = code;
	over(channel, dialling, false);
}

void digits_info_done(struct channel *channel, uint16_t code)
{
	if (!channel->digits.info_open)
		return;
	channel->digits.info_open = false;
	if (code >= 300) {
		info_refused(channel, code);
		next(channel);
	} else if (!timer_running(&channel->digits.timer)) {
		next(channel);
	}
}

int channel_dtmf(struct channel *channel, const struct dtmf_spec *spec, uint32_t *ret_operation)
{
	struct engine *engine = channel->engine;
	unsigned count = (unsigned)strlen(spec->digits);
	struct dialling *dialling;

	if (channel->state == CHANNEL_GONE || channel->state == CHANNEL_LEAVING ||
	    !channel->have_media || !choose(channel, spec->method))
		return DTMF_E_METHOD;
	if (count > DTMF_DIGITS_MAX || channel->digits.waiting + count > WAITING_MAX)
		return DTMF_E_FULL;
	dialling = xzalloc(sizeof(*dialling));
	dialling->operation = *ret_operation = ++engine->next_operation;
	dialling->duration_ms = spec->duration_ms;
	dialling->gap_ms = spec->gap_ms;
	dialling->asked = spec->method;
	(void)str_copy(dialling->text, sizeof(dialling->text), spec->digits);
	chain_append(&channel->digits.queue, &dialling->in_queue);
	channel->digits.waiting += count;
	engine_enter(engine);
	if (!channel->digits.busy)
		next(channel);
	engine_leave(engine);
	return 0;
}

void channel_dtmf_stop(struct channel *channel)
{
	struct dialling *dialling;

	engine_enter(channel->engine);
	while ((dialling = chain_owner(channel->digits.queue.head, struct dialling, in_queue)))
		over(channel, dialling, false);
	engine_leave(channel->engine);
}

/* ---- coming in ---- */

static uint64_t now_ms(const struct channel *channel)
{
	return wheel_now_ms(channel->engine->wheel);
}

/* The same key by another method at about the same time. */
static bool is_echo(struct channel *channel, char digit, enum dtmf_mode method, int duration_ms)
{
	uint64_t now = now_ms(channel), lasts = (uint64_t)duration_ms;
	uint64_t from = now > lasts ? now - lasts : 0;
	/* An INFO is sent when the key goes down, or when it comes up: nobody says which. */
	uint64_t to = method == DTMF_INFO ? now + lasts : now;
	bool echo = channel->digits.last.digit == digit && channel->digits.last.method != method &&
		    from <= channel->digits.last.to_ms + OVERLAP_MS &&
		    to + OVERLAP_MS >= channel->digits.last.from_ms;

	if (echo)
		return true;
	channel->digits.last.digit = digit;
	channel->digits.last.method = method;
	channel->digits.last.from_ms = from;
	channel->digits.last.to_ms = to;
	return false;
}

/* The other of the two in a bridge, guests aside. */
static struct channel *partner(const struct channel *channel)
{
	struct channel *other = NULL, *each;

	if (!channel->bridge || channel->bridge->watched || channel->guest)
		return NULL; /* in a conference digits are nobody else's business, however many are there */
	chain_each(each, &channel->bridge->channels, in_bridge) {
		if (each == channel || each->guest)
			continue;
		if (other)
			return NULL;
		other = each;
	}
	return other;
}

/* Tones are sound as long as the other side has nothing better: then it gets the digit, and is spared the tone. In a
 * conference nobody wants to hear one.
 */
static void settle(struct channel *channel)
{
	const struct channel *other = partner(channel);
	bool on = channel->digits.listening && channel->bridge &&
		  (channel->bridge->watched || (other && other->takes_events));

	if (channel->digits.take_out == on)
		return;
	channel->digits.take_out = on;
	media_digit_take_out(channel->engine->media, channel->stream, on);
}

static void listen_to(struct channel *channel, bool on)
{
	channel->digits.listening = on;
	media_digit_listen(channel->engine->media, channel->stream, on);
	settle(channel);
}

/* What the other leg does not get with the sound it is sent it is to get in its own way. */
static void pass_on(struct channel *channel, char digit, enum dtmf_mode method, int duration_ms)
{
	struct channel *other = partner(channel);
	char text[2] = { digit, '\0' };
	struct dtmf_spec spec = { text, duration_ms > 50 ? (unsigned)duration_ms : 50, 80,
				  DTMF_AUTO };
	uint32_t operation;

	if (!other || channel->muted || channel->held || other->playing.id ||
	    (method == DTMF_INBAND && !channel->digits.take_out) ||
	    (method == DTMF_RFC4733 && other->takes_events))
		return;
	if (channel_dtmf(other, &spec, &operation))
		log_debug("a digit could not be passed on");
}

static void came(struct channel *channel, char digit, enum dtmf_mode method, int duration_ms)
{
	struct queued *queued;

	if (method != DTMF_INBAND && !channel->digits.no_tones) {
		channel->digits.no_tones = true;
		listen_to(channel, false);
	}
	if (is_echo(channel, digit, method, duration_ms))
		return;
	queued = event_for(channel, ENGINE_DTMF);
	queued->event.digit = digit;
	queued->event.duration_ms = duration_ms;
	queued->event.method = method;
	event_emit(channel->engine, queued);
	pass_on(channel, digit, method, duration_ms);
}

/* "Signal=5\r\nDuration=160" (application/dtmf-relay) or "5" (application/dtmf); some write * as 10 and # as 11. */
bool digits_of_info(const struct session_body *body, char *ret_digit, int *ret_duration_ms)
{
	char text[64] = "", *at, digit;
	size_t len = body->len < sizeof(text) - 1 ? body->len : sizeof(text) - 1;
	long duration = INFO_DURATION_MS;

	if (!body->data || !body->type || strncasecmp(body->type, "application/dtmf", 16))
		return false;
	memcpy(text, body->data, len);
	at = strcasestr(text, "Duration=");
	if (at)
		duration = strtol(at + 9, NULL, 10);
	at = strcasestr(text, "Signal=");
	at = at ? at + 7 : text;
	at += strspn(at, " ");
	digit = (char)toupper((unsigned char)*at);
	if (digit == '1' && (at[1] == '0' || at[1] == '1'))
		digit = at[1] == '0' ? '*' : '#';
	if (!digit || !strchr("0123456789*#ABCD", digit))
		return false;
	*ret_digit = digit;
	*ret_duration_ms = duration > 0 && duration <= 6000 ? (int)duration : INFO_DURATION_MS;
	return true;
}

void digits_on_info(struct channel *channel, const struct session_body *body)
{
	char digit;
	int duration_ms;

	if (digits_of_info(body, &digit, &duration_ms))
		came(channel, digit, DTMF_INFO, duration_ms);
}

void digits_on_media(struct channel *channel, const struct media_event *event)
{
	if (event->type == MEDIA_EVENT_DTMF_END)
		came(channel, event->dtmf.digit, event->dtmf.inband ? DTMF_INBAND : DTMF_RFC4733,
		     (int)event->dtmf.duration_ms);
	else if (channel->digits.busy && !channel->digits.info_open)
		next(channel);
}

/* ---- life ---- */

void digits_agreed(struct channel *channel, bool far_sends_events)
{
	const struct line *line = line_get(channel->engine, channel->line);
	bool tones = !far_sends_events || (line && line->dtmf == DTMF_INBAND);

	listen_to(channel, tones && !channel->digits.no_tones);
	if (channel->bridge)
		digits_bridged(channel->bridge);
}

/* Two, or one whom all of a conference hear. */
void digits_bridged(struct bridge *bridge)
{
	struct channel *channel;

	if (bridge->watched)
		return;
	chain_each(channel, &bridge->channels, in_bridge)
		settle(channel);
}

void digits_alone(struct channel *channel)
{
	settle(channel);
}

void digits_init(struct channel *channel)
{
	timer_init(&channel->digits.timer, channel->engine->wheel, due, channel);
}

void digits_fini(struct channel *channel)
{
	struct dialling *dialling, *then;

	timer_stop(&channel->digits.timer);
	chain_each_safe(dialling, then, &channel->digits.queue, in_queue) {
		chain_remove(&channel->digits.queue, &dialling->in_queue);
		free(dialling);
	}
	channel->digits.waiting = 0;
	channel->digits.busy = false;
}
