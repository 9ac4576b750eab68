/* A channel's sound as agreed with its far end: its stream, its offers and answers. Each side of a call is answered
 * here and now; nothing waits for the other leg.
 */
#include "engine/private.h"

#include "base/metric.h"

#include <sys/socket.h>
#include <unistd.h>

METRIC_COUNTER(ports_out, "jackfield_media_ports_exhausted_total",
	       "Channels that got no media port", NULL);

/* ---- the address we tell ---- */

static bool same_host(const union media_addr *addr, const struct sa *sa)
{
	union media_addr other;

	memcpy(&other, &sa->u.sa, sa_af(sa) == AF_INET6 ? sizeof(other.in6) : sizeof(other.in));
	return media_addr_ip_eq(addr, &other);
}

static void put_host(union media_addr *addr, const union media_addr *host)
{
	uint16_t port = media_addr_port(addr);

	*addr = *host;
	media_addr_set_port(addr, port);
}

/* Which of our addresses packets to that peer leave from: asked of the kernel, nothing is sent. */
static bool local_toward(const struct sa *peer, union media_addr *ret)
{
	union media_addr local;
	socklen_t len = sizeof(local);
	int fd = socket(sa_af(peer), SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool good;

	if (fd < 0)
		return false;
	good = !connect(fd, &peer->u.sa, peer->len) && !getsockname(fd, &local.sa, &len);
	close(fd);
	if (good)
		*ret = local;
	return good;
}

/* "192.0.2.1:5060" or "[2001:db8::1]:5060" */
static bool learnt_host(const struct account *account, union media_addr *ret)
{
	struct sa sa;

	if (!account || !account->public_hostport ||
	    sa_decode(&sa, account->public_hostport, strlen(account->public_hostport)))
		return false;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, &sa.u.sa, sa_af(&sa) == AF_INET6 ? sizeof(ret->in6) : sizeof(ret->in));
	return true;
}

static const struct sa *peer_of(const struct channel *channel, const struct account *account)
{
	const struct sa *peer = channel->main ? session_peer_addr(channel->main->session) : NULL;

	if (!peer && account && account->has_sticky)
		peer = &account->sticky.addr;
	return peer;
}

static void tell_address(struct channel *channel)
{
	struct engine *engine = channel->engine;
	struct account *account = NULL;
	union media_addr host;
	const struct sa *peer;

	if (!channel->is_device)
		account = regs_account(ua_regs(engine->ua), channel->line);
	if (!media_addr_host_is_any(&engine->public_addr))
		put_host(&channel->local.addr, &engine->public_addr);
	else if (learnt_host(account, &host))
		put_host(&channel->local.addr, &host);
	else if (media_addr_host_is_any(&channel->local.addr) &&
		 (peer = peer_of(channel, account)) && local_toward(peer, &host))
		put_host(&channel->local.addr, &host);
}

int talk_open(struct channel *channel, const struct channel *near)
{
	struct media_open open = { .owner = channel->number,
				   .near = near ? near->stream : MEDIA_NONE };
	int r;

	if (!media_id_is_none(channel->stream))
		return 0;
	r = media_stream_open(channel->engine->media, &open, &channel->stream);
	if (r) {
		metric_add(&ports_out, 1);
		log_rated(LOG_ERROR_, "no media port for a call", LOG_INT("why", r));
		return r;
	}
	(void)!media_stream_local(channel->engine->media, channel->stream, &channel->local.addr);
	channel->local.direction = SDESC_SENDRECV;
	tell_address(channel);
	return 0;
}

static void take_quality(struct channel *channel)
{
	struct media_quality quality;

	if (media_stream_quality(channel->engine->media, channel->stream, &quality))
		channel->quality = quality;
}

void talk_close(struct channel *channel)
{
	if (media_id_is_none(channel->stream))
		return;
	take_quality(channel);
	media_stream_close(channel->engine->media, channel->stream);
	channel->stream = MEDIA_NONE;
}

/* ---- codecs ---- */

static bool has_codec(const struct sdesc_taste *taste, enum media_codec codec)
{
	for (unsigned i = 0; i < ARRAY_LEN(taste->codecs) && taste->codecs[i]; i++)
		if (taste->codecs[i] == codec)
			return true;
	return false;
}

/* Our own choice in the other leg's order, so that the two can be relayed. */
struct sdesc_taste talk_taste_like(const struct sdesc_taste *own, const struct channel *like)
{
	struct sdesc_taste taste = *own;

	if (!like)
		return taste;
	if (like->offer)
		for (unsigned i = like->offer->format_count; i-- > 0;)
			if (has_codec(own, like->offer->formats[i].codec))
				sdesc_taste_first(&taste, like->offer->formats[i].codec);
	if (like->codec && has_codec(own, like->codec))
		sdesc_taste_first(&taste, like->codec);
	return taste;
}

/* ---- what was agreed ---- */

/* A phone whose packets come from elsewhere than it says is behind NAT: take the first source that speaks. */
static enum media_latch latch_for(const struct channel *channel, const struct sdesc_remote *remote)
{
	const struct sa *peer = peer_of(channel, NULL);

	if (channel->is_device && peer && remote->addr.sa.sa_family != AF_UNSPEC &&
	    !same_host(&remote->addr, peer))
		return MEDIA_LATCH_OPEN;
	return MEDIA_LATCH_WINDOW;
}

static bool takes_events(const struct media_params *params)
{
	for (unsigned i = 0; i < ARRAY_LEN(params->rx) && params->rx[i].codec; i++)
		if (params->rx[i].codec == MEDIA_CODEC_EVENT)
			return true;
	return false;
}

static void apply(struct channel *channel, const struct sdesc_remote *remote, bool offered)
{
	struct line *line = line_get(channel->engine, channel->line);
	struct media_params params;

	sdesc_params(&channel->local, remote, offered, &params);
	params.latch = latch_for(channel, remote);
	params.watchdog_ms = channel->expect_ms ? channel->expect_ms : channel->engine->watchdog_ms;
	channel->codec = params.tx.codec;
	channel->have_media = true;
	if (line)
		line->last_codec = channel->codec;
	channel->takes_events = params.tx_event_pt != MEDIA_PT_NONE;
	media_stream_update(channel->engine->media, channel->stream, &params);
	digits_agreed(channel, takes_events(&params));
	explicit_bzero(&params.tx_crypto, sizeof(params.tx_crypto));
	explicit_bzero(&params.rx_crypto, sizeof(params.rx_crypto));
	hold_heard(channel, remote, offered);
}

void talk_offer(struct channel *channel, struct buf *out)
{
	sdesc_offer(&channel->local, &channel->taste);
	sdesc_write(&channel->local, out);
}

int talk_answer(struct channel *channel, const struct sdesc_remote *remote, struct buf *out)
{
	struct sdesc_taste taste = channel->taste;
	int r;

	sdesc_taste_first(&taste, channel->codec); /* no change of codec without need */
	r = sdesc_answer(&channel->local, remote, &taste, hold_wish(channel), channel->must_secure);
	if (r)
		return r;
	hold_answered(channel);
	apply(channel, remote, false);
	sdesc_write(&channel->local, out);
	return 0;
}

int talk_accept(struct channel *channel, const struct session_body *body)
{
	struct sdesc_remote remote;
	int r;

	if (sdesc_parse(body->data, body->len, &remote))
		return SDESC_E_NO_AUDIO;
	r = sdesc_accept(&channel->local, &remote, channel->must_secure);
	if (r)
		return r;
	apply(channel, &remote, true);
	return 0;
}

/* ---- changes while up ---- */

static void answer_offer(struct channel *channel, const struct session_event *event)
{
	struct session *session = channel->main->session;
	auto_(buf_fini) struct buf out = BUF_MAX(SDESC_TEXT_MAX);
	struct sdesc_local before = channel->local;
	struct sdesc_remote remote;
	int r;

	if (event->same && channel->have_media && channel->local.format_count) {
		/* Nothing new (a session refresh): the same answer, and the stream goes on undisturbed. */
		sdesc_write(&channel->local, &out);
	} else if (sdesc_parse(event->body.data, event->body.len, &remote)) {
		session_refuse(session, 400, NULL);
		return;
	} else {
		r = talk_answer(channel, &remote, &out);
		if (r) {
			channel->local = before;
			session_refuse(session, 488, sdesc_warning(r));
			return;
		}
	}
	if (session_answer(session, SESSION_SDP(out.data, out.len)))
		log_debug("an answer came too late");
}

static void offer_wanted(struct channel *channel)
{
	auto_(buf_fini) struct buf out = BUF_MAX(SDESC_TEXT_MAX);

	channel->local.direction = hold_wish(channel);
	hold_answered(channel);
	talk_offer(channel, &out);
	if (session_answer(channel->main->session, SESSION_SDP(out.data, out.len)))
		log_debug("an offer came too late");
}

static void offer_done(struct channel *channel, const struct session_event *event)
{
	bool good = event->code >= 200 && event->code < 300;

	if (good && event->body.data && talk_accept(channel, &event->body))
		good = false;
	hold_done(channel, good);
}

void talk_on_offer(struct channel *channel, const struct session_event *event)
{
	if (event->type == SESSION_EV_OFFER)
		answer_offer(channel, event);
	else if (event->type == SESSION_EV_OFFER_WANTED)
		offer_wanted(channel);
	else
		offer_done(channel, event);
}

bool talk_moved(struct channel *channel)
{
	auto_(buf_fini) struct buf out = BUF_MAX(SDESC_TEXT_MAX);
	struct sdesc_local before = channel->local;

	if (channel->state == CHANNEL_GONE || channel->state == CHANNEL_LEAVING)
		return true;
	/* Ringing as yet, or without sound of its own: once it is up it can say so. */
	if (channel->state != CHANNEL_UP || !channel->main || !channel->have_media)
		return false;
	(void)!media_stream_local(channel->engine->media, channel->stream, &channel->local.addr);
	tell_address(channel);
	if (media_addr_eq(&channel->local.addr, &before.addr))
		return !session_refresh(channel->main->session);
	sdesc_write(&channel->local, &out);
	if (!session_offer(channel->main->session, SESSION_SDP(out.data, out.len)))
		return true;
	channel->local = before;
	return false;
}

/* ---- from the media loops ---- */

static void fell_silent(struct channel *channel)
{
	if (channel->expect_ms) {
		event_emit(channel->engine, event_for(channel, ENGINE_MEDIA_LOST));
		return;
	}
	/* Silence alone ends nothing: ask the far end whether it is still there. If it is not, the session
	 * ends by itself.
	 */
	channel->silent = true;
	if (channel->state == CHANNEL_UP && channel->main)
		(void)!session_refresh(channel->main->session);
}

static void talking(struct channel *channel, bool on)
{
	struct queued *queued = event_for(channel, ENGINE_TALKING);

	queued->event.ok = on;
	event_emit(channel->engine, queued);
}

static void media_event(struct channel *channel, const struct media_event *event)
{
	switch (event->type) {
	case MEDIA_EVENT_STARTED:
		event_emit(channel->engine, event_for(channel, ENGINE_AUDIO));
		break;
	case MEDIA_EVENT_DTMF_END:
	case MEDIA_EVENT_DTMF_SENT:
		digits_on_media(channel, event);
		break;
	case MEDIA_EVENT_SILENT:
		fell_silent(channel);
		break;
	case MEDIA_EVENT_TALK:
		if (channel->bridge)
			talking(channel, event->talking);
		break;
	case MEDIA_EVENT_PLAYED:
		playing_done(channel, event->played.player, event->played.complete);
		break;
	case MEDIA_EVENT_QUALITY:
		channel->quality = event->quality;
		break;
	case MEDIA_EVENT_REMOTE:
		log_debug("a stream's far address was learnt", LOG_ID("line", channel->line));
		break;
	case MEDIA_EVENT_BACK:
		channel->silent = false;
		break;
	case MEDIA_EVENT_DTMF:
	case MEDIA_EVENT_RECORDED:
	case MEDIA_EVENT_CLOSED:
		break;
	}
}

void talk_on_media(const struct media_event *event, void *arg)
{
	struct engine *engine = arg;
	struct channel *channel;

	if (event->type == MEDIA_EVENT_RECORDED) {
		tape_on_media(engine, &event->recorded);
		return;
	}
	channel = channel_get(engine, event->owner);
	if (!channel || !media_id_eq(channel->stream, event->stream))
		return; /* it has left already */
	engine_enter(engine);
	media_event(channel, event);
	engine_settle(engine);
}
