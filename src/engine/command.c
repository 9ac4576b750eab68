/* What call/ asks of channels and bridges. */
#include "engine/private.h"

#include "engine/reason.h"

#include <stdio.h>

/* ---- calling out ---- */

static const char *or_null(const char *text)
{
	return text[0] ? text : NULL;
}

static int outcome(int r)
{
	return r == SESSION_E_BAD ? ORIGINATE_E_NUMBER : ORIGINATE_E_LINE;
}

static int dial(struct channel *channel, struct session_dial *dial)
{
	struct branch *branch = branch_new(channel);
	int r;

	dial->fn = branch_on_event;
	dial->arg = branch;
	r = session_dial(channel->engine->ua, dial, &branch->session);
	if (!r) {
		if (!channel->reference)
			channel_refer(channel, branch->session);
		return 0;
	}
	branch->session = NULL;
	branch_drop(branch);
	return outcome(r);
}

static void prepare_line(struct channel *channel, const struct line *line,
			 const struct originate *what)
{
	channel->line = line->id;
	channel->taste = talk_taste_like(&line->taste, what->like);
	channel->must_secure = line->srtp == SRTP_REQUIRED;
	channel->local.profile = line->srtp == SRTP_REQUIRED   ? SDESC_SECURE
				 : line->srtp == SRTP_OPTIONAL ? SDESC_CRYPTO_OPTIONAL
							       : SDESC_PLAIN;
}

static int originate_line(struct channel *channel, const struct originate *what)
{
	struct engine *engine = channel->engine;
	const struct line *line = line_get(engine, what->line);
	struct account *account = regs_account(ua_regs(engine->ua), what->line);
	auto_(buf_fini) struct buf offer = BUF_MAX(SDESC_TEXT_MAX);
	struct session_dial call = { .account = account,
				     .to = what->to,
				     .ring_ms = what->ring_timeout_ms };

	if (!line || !account || !regs_usable(ua_regs(engine->ua), what->line))
		return ORIGINATE_E_LINE;
	prepare_line(channel, line, what);
	if (talk_open(channel, what->like))
		return ORIGINATE_E_PORTS;
	talk_offer(channel, &offer);
	call.offer = SESSION_SDP(offer.data, offer.len);
	call.id.number = what->from[0] ? what->from : line->caller_number;
	call.id.name = what->from_name[0] ? what->from_name : line->caller_name;
	call.id.mode = what->withheld ? SESSION_ID_ANONYMOUS : line_id_mode(line->caller_mode);
	(void)snprintf(channel->address, sizeof(channel->address), "sip:%.*s@%.*s", 120, what->to,
		       70, account->server);
	return dial(channel, &call);
}

static void prepare_device(struct channel *channel, const struct originate *what)
{
	const struct line *next = line_get(channel->engine, what->line_next);
	struct sdesc_taste taste = SDESC_TASTE_DEFAULT;

	/* The leg that will follow goes out through a line: what that line took last will probably do again. */
	if (next)
		sdesc_taste_first(&taste, next->last_codec);
	channel->is_device = true;
	channel->device = what->device;
	channel->taste = talk_taste_like(&taste, what->like);
}

static int originate_device(struct channel *channel, const struct originate *what)
{
	struct engine *engine = channel->engine;
	struct registrar *registrar = ua_registrar(engine->ua);
	const struct phone *phone = phone_get(engine, what->device);
	struct registrar_binding bindings[REGISTRAR_CONTACTS];
	auto_(buf_fini) struct buf offer = BUF_MAX(SDESC_TEXT_MAX);
	unsigned count, started = 0;

	count = registrar_bindings(registrar, what->device, bindings, ARRAY_LEN(bindings));
	if (!phone || !count)
		return ORIGINATE_E_OFFLINE;
	prepare_device(channel, what);
	if (talk_open(channel, what->like))
		return ORIGINATE_E_PORTS;
	talk_offer(channel, &offer);
	(void)str_copy(channel->address, sizeof(channel->address), bindings[0].contact);
	for (unsigned i = 0; i < count; i++) {
		struct session_place place = { bindings[i].contact, bindings[i].flow,
					       bindings[i].path };
		struct session_dial call = {
			.place = &place,
			.to = phone->username,
			.domain = registrar_realm(registrar),
			.id = { or_null(what->from), or_null(what->from_name), SESSION_ID_PLAIN },
			.offer = SESSION_SDP(offer.data, offer.len),
			.ring_ms = what->ring_timeout_ms,
		};

		if (what->withheld)
			call.id = (struct session_id){ "anonymous", "Anonymous", SESSION_ID_PLAIN };
		started += !dial(channel, &call);
	}
	return started ? 0 : ORIGINATE_E_OFFLINE;
}

int channel_originate(struct engine *engine, const struct originate *what, struct channel **ret)
{
	struct channel *channel;
	int r;

	if (engine->draining || engine->channels.count >= engine->max_channels)
		return ORIGINATE_E_LINE;
	engine_enter(engine);
	channel = channel_make(engine);
	channel->user = what->user;
	r = id_is_none(what->device) ? originate_line(channel, what)
				     : originate_device(channel, what);
	if (r)
		channel_free(channel);
	else
		*ret = channel;
	engine_leave(engine);
	return r;
}

/* ---- coming in ---- */

void channel_ring(struct channel *channel)
{
	if (!channel->incoming || channel->state != CHANNEL_NEW || channel->early)
		return;
	engine_enter(channel->engine);
	(void)!session_ring(channel->main->session, 180, SESSION_NO_BODY);
	engine_leave(channel->engine);
}

/* Whom it is bridged with, to agree on that one's codec. */
static const struct channel *partner(const struct channel *channel)
{
	struct channel *other;

	if (channel->bridge)
		chain_each(other, &channel->bridge->channels, in_bridge)
			if (other != channel)
				return other;
	return NULL;
}

/* The answer to the offer it came with; made once, since an answer cannot be changed before the next offer. */
static int first_answer(struct channel *channel, const struct channel *like, struct buf *out)
{
	int r = talk_open(channel, like);

	if (r)
		return r;
	if (channel->have_media) {
		sdesc_write(&channel->local, out);
		return 0;
	}
	channel->taste = talk_taste_like(&channel->taste, like);
	if (!channel->offer) {
		talk_offer(channel, out);
		return 0;
	}
	r = talk_answer(channel, channel->offer, out);
	free(take(channel->offer));
	return r;
}

void channel_progress(struct channel *channel)
{
	auto_(buf_fini) struct buf answer = BUF_MAX(SDESC_TEXT_MAX);

	if (!channel->incoming || channel->state != CHANNEL_NEW || channel->early)
		return;
	engine_enter(channel->engine);
	/* Without their offer there is nothing to answer early: it just rings. */
	if (!channel->offer) {
		(void)!session_ring(channel->main->session, 180, SESSION_NO_BODY);
	} else if (!first_answer(channel, partner(channel), &answer)) {
		channel->early = true;
		(void)!session_ring(channel->main->session, 183,
				    SESSION_SDP(answer.data, answer.len));
	}
	engine_leave(channel->engine);
}

static void fail_answer(struct channel *channel)
{
	/* Not 500: a provider must not take the whole of us for broken. */
	struct channel_end end = { .reason = END_MEDIA_FAILED, .code = 480, .q850 = 47 };

	channel->state = CHANNEL_LEAVING;
	channel->leaving = END_MEDIA_FAILED;
	session_reject(channel->main->session, 480, NULL, 47, NULL);
	channel_gone(channel, &end);
}

void channel_answer(struct channel *channel, struct channel *like)
{
	auto_(buf_fini) struct buf answer = BUF_MAX(SDESC_TEXT_MAX);

	if (!channel->incoming || channel->state != CHANNEL_NEW)
		return;
	engine_enter(channel->engine);
	if (first_answer(channel, like, &answer)) {
		fail_answer(channel);
	} else {
		channel->state = CHANNEL_UP;
		/* Refused only when it was cancelled meanwhile: its end is on the way. */
		(void)!session_accept(channel->main->session, SESSION_SDP(answer.data, answer.len));
	}
	engine_leave(channel->engine);
}

/* ---- leaving ---- */

static enum session_why why_of(enum end_reason reason, bool elsewhere)
{
	if (elsewhere)
		return SESSION_WHY_ELSEWHERE;
	switch (reason) {
	case END_BUSY:
		return SESSION_WHY_BUSY;
	case END_DECLINED:
		return SESSION_WHY_DECLINED;
	case END_MEDIA_FAILED:
		return SESSION_WHY_MEDIA;
	case END_INTERRUPTED:
		return SESSION_WHY_SHUTDOWN;
	case END_TIMEOUT:
		return SESSION_WHY_TIMEOUT;
	case END_NONE:
	case END_COMPLETED:
	case END_NO_ANSWER:
	case END_CANCELED:
	case END_NOT_FOUND:
	case END_UNAVAILABLE:
	case END_AUTH_FAILED:
	case END_TRUNK_FAILED:
		break;
	}
	return SESSION_WHY_NORMAL;
}

static void leave(struct channel *channel, enum end_reason reason, bool elsewhere)
{
	struct branch *branch, *then;

	if (channel->incoming) {
		int code = reason_code(reason);

		session_reject(channel->main->session, (uint16_t)code, reason_phrase(code),
			       (uint16_t)reason_q850(reason), channel->unfit);
		return;
	}
	chain_each_safe(branch, then, &channel->branches, in_channel)
		session_hangup(branch->session, why_of(reason, elsewhere));
}

void channel_hangup(struct channel *channel, enum end_reason reason, bool elsewhere)
{
	struct channel_end end = { .reason = reason,
				   .q850 = reason_q850(reason),
				   .completed_elsewhere = elsewhere };
	bool up = channel->state == CHANNEL_UP;

	if (channel->state == CHANNEL_GONE || channel->state == CHANNEL_LEAVING)
		return;
	engine_enter(channel->engine);
	channel->state = CHANNEL_LEAVING;
	channel->leaving = reason;
	channel->leaving_elsewhere = elsewhere;
	playing_end(channel, true);
	if (up) {
		/* The BYE is the session's business; nobody needs to wait for its answer. */
		session_hangup(channel->main->session, why_of(reason, elsewhere));
		channel_gone(channel, &end);
	} else {
		talk_close(channel);
		leave(channel, reason, elsewhere);
		if (!channel->branches.count)
			channel_gone(channel, &end);
	}
	engine_leave(channel->engine);
}

/* ---- reading ---- */

void channel_set_user(struct channel *channel, void *user)
{
	channel->user = user;
}

void *channel_user(const struct channel *channel)
{
	return channel->user;
}

void channel_address(const struct channel *channel, char buf[static VIEW_ADDR_SIZE])
{
	(void)str_copy(buf, VIEW_ADDR_SIZE, channel->address);
}

const char *channel_reference(const struct channel *channel)
{
	return channel->reference ? channel->reference : "";
}

const char *channel_codec(const struct channel *channel)
{
	return channel->codec ? media_codec_info(channel->codec)->name : "";
}

void channel_quality(const struct channel *channel, struct quality_view *ret)
{
	const struct media_quality *quality = &channel->quality;

	*ret = (struct quality_view){
		.known = quality->mos_x100 > 0,
		.mos = (float)quality->mos_x100 / 100,
		.jitter_ms = (float)quality->jitter_us / 1000,
		.loss_pct = (float)quality->loss_permille / 10,
		.rtt_ms = (float)quality->rtt_us / 1000,
	};
}

/* ---- transfer ---- */

bool channel_transfer(struct channel *channel, const char *number)
{
	struct account *account = regs_account(ua_regs(channel->engine->ua), channel->line);
	auto_(buf_fini) struct buf uri = BUF_MAX(512), own = BUF_MAX(512);
	bool done;

	if (channel->state != CHANNEL_UP || channel->is_device || !account ||
	    !session_peer_allows(channel->main->session, "REFER") ||
	    !account_dial_uri(account, number, &uri))
		return false;
	account_aor(account, &own);
	engine_enter(channel->engine);
	done = !session_refer(channel->main->session, uri.data, NULL, own.data);
	engine_leave(channel->engine);
	return done;
}

void channel_identify(struct channel *channel, const char *number, const char *name)
{
	struct engine *engine = channel->engine;
	const struct line *line = line_get(engine, channel->line);
	const struct session_id id = { or_null(number), or_null(name), SESSION_ID_PAI };
	bool told = line &&
		    (line->caller_mode == CALLER_ID_PAI || line->caller_mode == CALLER_ID_FROM_PAI);

	if (channel->state != CHANNEL_UP || !channel->main || !number[0] ||
	    (!channel->is_device && !told))
		return;
	engine_enter(engine);
	/* While an offer is open it waits for the next. */
	if (session_identify(channel->main->session, &id,
			     registrar_realm(ua_registrar(engine->ua))))
		log_debug("the new party is not told yet");
	engine_leave(engine);
}

void channel_transfer_reply(struct channel *channel, int code)
{
	if (channel->state != CHANNEL_UP)
		return;
	engine_enter(channel->engine);
	session_refer_reply(channel->main->session, (uint16_t)(code ? code : 202));
	engine_leave(channel->engine);
}

void channel_transfer_progress(struct channel *channel, int code)
{
	if (channel->state != CHANNEL_UP)
		return;
	engine_enter(channel->engine);
	session_refer_notify(channel->main->session, (uint16_t)code,
			     code < 300 ? NULL : reason_phrase(code));
	engine_leave(channel->engine);
}

/* ---- bridges ---- */

struct bridge *bridge_new(struct engine *engine)
{
	struct bridge *bridge = xzalloc(sizeof(*bridge));

	bridge->engine = engine;
	engine->bridges++;
	return bridge;
}

void bridge_free(struct bridge *bridge)
{
	struct channel *channel, *then;

	chain_each_safe(channel, then, &bridge->channels, in_bridge)
		bridge_remove(bridge, channel);
	if (!media_id_is_none(bridge->id))
		media_bridge_close(bridge->engine->media, bridge->id);
	bridge->engine->bridges--;
	free(bridge);
}

/* Who hears nobody for a while is sent silence: a far end that gets no packets takes the line for dead. */
static void bridge_keep_sending(struct bridge *bridge)
{
	struct channel *channel;
	bool muted = false;

	chain_each(channel, &bridge->channels, in_bridge)
		muted = muted || (channel->muted && !channel->guest);
	if (!muted)
		return;
	chain_each(channel, &bridge->channels, in_bridge)
		media_stream_idle(bridge->engine->media, channel->stream, MEDIA_IDLE_SILENCE);
}

static void tell_mute(const struct channel *channel)
{
	struct bridge *bridge = channel->bridge;

	if (!bridge)
		return;
	media_bridge_mute(bridge->engine->media, channel->stream, channel->muted, channel->deaf);
	if (!bridge->watched) /* there, everybody was seen to when he came */
		bridge_keep_sending(bridge);
}

void channel_mute(struct channel *channel, bool muted)
{
	channel->muted = muted;
	tell_mute(channel);
}

void channel_deafen(struct channel *channel, bool deaf)
{
	channel->deaf = deaf;
	tell_mute(channel);
}

static void bridge_open(struct bridge *bridge, const struct channel *first)
{
	bridge->id = media_bridge_open(bridge->engine->media, first->stream);
	if (bridge->watched)
		media_bridge_watch(bridge->engine->media, bridge->id, true);
	if (bridge->tape)
		media_bridge_record(bridge->engine->media, bridge->id, bridge->tape,
				    bridge->tape_wideband);
}

void bridge_add(struct bridge *bridge, struct channel *channel)
{
	if (channel->bridge == bridge || channel->state == CHANNEL_GONE ||
	    channel->state == CHANNEL_LEAVING)
		return;
	if (talk_open(channel, chain_owner(bridge->channels.head, struct channel, in_bridge)))
		return; /* it will be told so when it is answered */
	if (channel->bridge)
		bridge_remove(channel->bridge, channel);
	if (media_id_is_none(bridge->id))
		bridge_open(bridge, channel);
	channel->bridge = bridge;
	chain_append(&bridge->channels, &channel->in_bridge);
	media_bridge_add(bridge->engine->media, bridge->id, channel->stream);
	if (bridge->watched || channel->guest)
		media_stream_idle(bridge->engine->media, channel->stream, MEDIA_IDLE_SILENCE);
	if (channel->muted || channel->deaf)
		media_bridge_mute(bridge->engine->media, channel->stream, channel->muted,
				  channel->deaf);
	if (!bridge->watched)
		bridge_keep_sending(bridge);
	digits_alone(channel);
	digits_bridged(bridge);
}

void bridge_remove(struct bridge *bridge, struct channel *channel)
{
	if (channel->bridge != bridge)
		return;
	channel->bridge = NULL;
	chain_remove(&bridge->channels, &channel->in_bridge);
	media_bridge_remove(bridge->engine->media, channel->stream);
	digits_alone(channel);
	digits_bridged(bridge);
}

void bridge_hear(struct bridge *bridge, struct channel *listener, struct channel *source,
		 bool hears)
{
	if (listener->bridge == bridge && source->bridge == bridge)
		media_bridge_hear(bridge->engine->media, bridge->id, listener->stream,
				  source->stream, hears);
	/* As with a muted one: who hears nobody is sent silence. */
	if (!hears && listener->bridge == bridge && listener->state == CHANNEL_UP)
		media_stream_idle(bridge->engine->media, listener->stream, MEDIA_IDLE_SILENCE);
}

void bridge_watch(struct bridge *bridge)
{
	bridge->watched = true;
	if (!media_id_is_none(bridge->id))
		media_bridge_watch(bridge->engine->media, bridge->id, true);
}

void bridge_chime(struct bridge *bridge, enum bridge_chime chime)
{
	if (!media_id_is_none(bridge->id))
		media_bridge_chime(bridge->engine->media, bridge->id,
				   bridge->engine->chimes[chime]);
}

void channel_guest(struct channel *channel)
{
	channel->guest = true;
	media_bridge_guest(channel->engine->media, channel->stream);
}

void channel_aside(struct channel *channel, struct channel *to)
{
	media_bridge_aside(channel->engine->media, channel->stream, to ? to->stream : MEDIA_NONE);
}

void channel_hush(struct channel *channel)
{
	media_bridge_hush(channel->engine->media, channel->stream);
}

void channel_volume(struct channel *channel, int gain_db)
{
	media_bridge_gain(channel->engine->media, channel->stream, gain_db);
}

void channel_expect(struct channel *channel, unsigned within_ms)
{
	struct engine *engine = channel->engine;

	channel->expect_ms = within_ms;
	if (channel->have_media)
		media_stream_watchdog(engine->media, channel->stream,
				      within_ms ? within_ms : engine->watchdog_ms);
}
