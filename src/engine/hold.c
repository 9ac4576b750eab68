/* Hold as it is told (RFC 3264 8.4, RFC 6337 5.3): ours by offers of our own, theirs as their descriptions say. Each side
 * ends only its own. Two offers that cross are the session's business; one that must wait is tried again.
 */
#include "engine/private.h"

#define AGAIN_MS 200
#define PATIENCE_MS 40000 /* longer than any offer can be open */

enum sdesc_direction hold_wish(const struct channel *channel)
{
	return channel->holding.wanted ? SDESC_SENDONLY : SDESC_SENDRECV;
}

/* What we offer: never to send to who has us on hold. */
static enum sdesc_direction direction(const struct channel *channel)
{
	if (channel->holding.wanted)
		return channel->held ? SDESC_INACTIVE : SDESC_SENDONLY;
	return channel->held ? SDESC_RECVONLY : SDESC_SENDRECV;
}

static void modified(struct channel *channel, bool ok)
{
	struct queued *queued = event_for(channel, ENGINE_MODIFIED);

	queued->event.ok = ok;
	event_emit(channel->engine, queued);
}

static void ask(struct channel *channel)
{
	auto_(buf_fini) struct buf out = BUF_MAX(SDESC_TEXT_MAX);
	struct holding *holding = &channel->holding;
	struct sdesc_local before = channel->local;
	int r;

	if (holding->told == holding->wanted) {
		modified(channel, true);
		return;
	}
	channel->local.direction = direction(channel);
	sdesc_write(&channel->local, &out);
	r = session_offer(channel->main->session, SESSION_SDP(out.data, out.len));
	if (!r) {
		holding->offering = true;
		holding->overtaken = false;
		holding->asked = holding->wanted;
		holding->before = before.direction;
		return;
	}
	channel->local = before;
	if (r == SESSION_E_STATE && wheel_now_ms(channel->engine->wheel) < holding->until_ms)
		timer_start(&holding->again, AGAIN_MS);
	else
		modified(channel, false);
}

static void again(struct timer *timer, void *arg)
{
	struct channel *channel = arg;

	(void)timer;
	if (channel->state != CHANNEL_UP || !channel->main)
		return;
	engine_enter(channel->engine);
	ask(channel);
	engine_settle(channel->engine);
}

void channel_hold(struct channel *channel, bool hold)
{
	struct holding *holding = &channel->holding;

	holding->wanted = hold;
	if (channel->state != CHANNEL_UP || !channel->main || !channel->have_media)
		return;
	holding->until_ms = wheel_now_ms(channel->engine->wheel) + PATIENCE_MS;
	/* What is under way brings this one with its end. */
	if (holding->offering || timer_running(&holding->again))
		return;
	engine_enter(channel->engine);
	ask(channel);
	engine_leave(channel->engine);
}

void hold_done(struct channel *channel, bool ok)
{
	struct holding *holding = &channel->holding;

	if (!holding->offering)
		return;
	holding->offering = false;
	if (ok)
		holding->told = holding->asked;
	else if (!holding->overtaken)
		channel->local.direction = holding->before;
	if (!ok && !holding->overtaken && holding->asked == holding->wanted)
		modified(channel, false);
	else
		ask(channel);
}

void hold_answered(struct channel *channel)
{
	channel->holding.told = channel->holding.wanted;
	channel->holding.overtaken = true;
}

void hold_heard(struct channel *channel, const struct sdesc_remote *remote, bool offered)
{
	bool held = remote->null_addr || !(remote->direction & SDESC_RECVONLY);

	/* An answer can only narrow what was offered: it says of a hold of theirs only where we offered both ways. */
	if (offered && channel->local.direction != SDESC_SENDRECV)
		return;
	if (channel->state != CHANNEL_UP || held == channel->held)
		return;
	channel->held = held;
	event_emit(channel->engine, event_for(channel, held ? ENGINE_HELD : ENGINE_RESUMED));
}

void hold_init(struct channel *channel)
{
	timer_init(&channel->holding.again, channel->engine->wheel, again, channel);
}

void hold_fini(struct channel *channel)
{
	timer_stop(&channel->holding.again);
}
