/* Channels: one party each. An outgoing one may ring at several places (branches) until one of them answers. */
#include "engine/private.h"

#include "base/metric.h"
#include "engine/reason.h"

METRIC_GAUGE(channels_gauge, "jackfield_channels", "Channels alive", NULL);
METRIC_COUNTER(no_codec_total, "jackfield_offers_refused_total",
	       "Offers without audio that can be had here", NULL);

/* ---- life ---- */

struct channel *channel_make(struct engine *engine)
{
	struct channel *channel = xzalloc(sizeof(*channel));

	channel->engine = engine;
	channel->number = ++engine->next_number;
	channel->taste = SDESC_TASTE_DEFAULT;
	digits_init(channel);
	hold_init(channel);
	hmap_add(&engine->channels, &channel->node, channel->number * 0x9e3779b97f4a7c15ull);
	metric_set(&channels_gauge, (int64_t)engine->channels.count);
	return channel;
}

struct channel *channel_get(struct engine *engine, uint64_t number)
{
	struct hnode *node = hmap_first(&engine->channels, number * 0x9e3779b97f4a7c15ull);

	for (; node; node = hmap_same(node)) {
		struct channel *channel = container_of_(node, struct channel, node);

		if (channel->number == number)
			return channel;
	}
	return NULL;
}

struct branch *branch_new(struct channel *channel)
{
	struct branch *branch = xzalloc(sizeof(*branch));

	branch->channel = channel;
	chain_append(&channel->branches, &branch->in_channel);
	return branch;
}

void branch_drop(struct branch *branch)
{
	struct channel *channel = branch->channel;

	if (branch->session)
		session_forget(branch->session);
	if (channel->main == branch)
		channel->main = NULL;
	chain_remove(&channel->branches, &branch->in_channel);
	free(branch);
}

static void let_go(struct channel *channel)
{
	struct branch *branch, *then;

	playing_end(channel, true);
	digits_fini(channel);
	hold_fini(channel);
	if (channel->bridge)
		bridge_remove(channel->bridge, channel);
	chain_each_safe(branch, then, &channel->branches, in_channel)
		branch_drop(branch);
	talk_close(channel);
}

void channel_gone(struct channel *channel, const struct channel_end *end)
{
	struct queued *queued;

	if (channel->state == CHANNEL_GONE)
		return;
	channel->state = CHANNEL_GONE;
	let_go(channel);
	queued = event_for(channel, ENGINE_ENDED);
	queued->end = *end;
	event_emit(channel->engine, queued);
}

void channel_free(struct channel *channel)
{
	struct engine *engine = channel->engine;

	let_go(channel);
	hmap_del(&engine->channels, &channel->node);
	metric_set(&channels_gauge, (int64_t)engine->channels.count);
	explicit_bzero(&channel->local.crypto, sizeof(channel->local.crypto));
	free(channel->offer);
	free(channel->reference);
	free(channel);
}

void channel_refer(struct channel *channel, const struct session *session)
{
	free(channel->reference);
	channel->reference = xstrdup(session_call_id(session));
}

/* ---- why it ended ---- */

static enum end_reason rejected(const struct session_end *end)
{
	/* A cause of their own, not the one that the code stands for. */
	bool own = end->q850 && end->q850 != session_q850_of(end->code);
	enum end_reason said = own ? reason_from_q850(end->q850) : END_NONE;

	/* A gateway's 480, 500 or 503 often carries the true cause of the telephone network (RFC 3326). */
	if ((end->code == 480 || end->code >= 500) && end->code < 600 && said &&
	    said != END_COMPLETED)
		return said;
	return reason_from_code(end->code);
}

static enum end_reason reason_of(const struct channel *channel, const struct session_end *end)
{
	switch (end->outcome) {
	case SESSION_COMPLETED:
		return END_COMPLETED;
	case SESSION_REJECTED:
		return rejected(end);
	case SESSION_CANCELED:
	case SESSION_LATE:
	case SESSION_ELSEWHERE:
		return END_CANCELED;
	case SESSION_AUTH_FAILED:
		return END_AUTH_FAILED;
	case SESSION_TIMED_OUT:
		if (end->answered)
			return channel->silent ? END_MEDIA_FAILED : END_TIMEOUT;
		if (channel->ringing || channel->early)
			return END_NO_ANSWER;
		break;
	case SESSION_FAILED:
		break;
	}
	return channel->is_device ? END_UNAVAILABLE : END_TRUNK_FAILED;
}

static void end_of(const struct channel *channel, const struct session_end *end,
		   struct channel_end *ret)
{
	*ret = (struct channel_end){
		.reason = reason_of(channel, end),
		.code = end->code,
		.q850 = end->q850,
		.by_far = end->by == SESSION_BY_THEM,
		.completed_elsewhere = end->outcome == SESSION_ELSEWHERE,
		.answered_late = end->outcome == SESSION_LATE,
	};
	(void)str_copy(ret->text, sizeof(ret->text), end->text);
	if (!ret->q850)
		ret->q850 =
			end->code >= 300 ? reason_code_q850(end->code) : reason_q850(ret->reason);
	if (channel->state == CHANNEL_LEAVING) {
		ret->reason = channel->leaving;
		ret->by_far = false;
		ret->completed_elsewhere = channel->leaving_elsewhere;
	}
}

/* Of several phones the most decided answer counts: one that declined says more than one that was not there. */
static bool tells_more(const struct channel_end *end, const struct channel_end *than)
{
	static const uint8_t weight[] = {
		[END_DECLINED] = 5,  [END_BUSY] = 4,	    [END_NO_ANSWER] = 3,
		[END_NOT_FOUND] = 2, [END_INTERRUPTED] = 0,
	};

	return weight[end->reason] > weight[than->reason];
}

static void branch_ended(struct branch *branch, const struct session_end *why)
{
	struct channel *channel = branch->channel;
	bool was_main = channel->main == branch;
	struct channel_end end;

	end_of(channel, why, &end);
	branch->session = NULL; /* gone after this event */
	branch_drop(branch);
	if (!channel->have_best || tells_more(&end, &channel->best)) {
		channel->best = end;
		channel->have_best = true;
	}
	if (was_main || !channel->branches.count)
		channel_gone(channel, was_main ? &end : &channel->best);
}

/* ---- what a session says ---- */

static void progress(struct branch *branch, const struct session_event *event)
{
	struct channel *channel = branch->channel;
	bool sound = event->body.data && !channel->is_device && !event->early_media_barred;

	if (channel->state != CHANNEL_NEW || event->code < 180)
		return;
	if (sound && !talk_accept(channel, &event->body)) {
		channel->early = true;
		event_emit(channel->engine, event_for(channel, ENGINE_EARLY_MEDIA));
	} else if (!channel->ringing) {
		channel->ringing = true;
		event_emit(channel->engine, event_for(channel, ENGINE_RINGING));
	}
}

static void end_for_media(struct channel *channel)
{
	struct channel_end end = { .reason = END_MEDIA_FAILED, .code = 488, .q850 = 88 };

	if (channel->main)
		session_hangup(channel->main->session, SESSION_WHY_MEDIA);
	channel_gone(channel, &end);
}

static void drop_losers(struct channel *channel)
{
	struct branch *branch, *then;

	chain_each_safe(branch, then, &channel->branches, in_channel) {
		if (branch == channel->main)
			continue;
		/* What still comes of it (an answer that crosses) the session sees to by itself. */
		session_hangup(branch->session, SESSION_WHY_ELSEWHERE);
	}
}

static void answered(struct branch *branch, const struct session_event *event)
{
	struct channel *channel = branch->channel;

	if (channel->state != CHANNEL_NEW || channel->main)
		return; /* we have left, or another was first: the session hangs up */
	channel->main = branch;
	channel->state = CHANNEL_UP;
	channel_refer(channel, branch->session);
	drop_losers(channel);
	if (!event->body.data ? !channel->have_media : talk_accept(channel, &event->body)) {
		end_for_media(channel);
		return;
	}
	event_emit(channel->engine, event_for(channel, ENGINE_ANSWERED));
}

static void confirmed(struct channel *channel, const struct session_event *event)
{
	if (event->body.data && talk_accept(channel, &event->body)) {
		end_for_media(channel);
		return;
	}
	/* Put on hold before there was anything to tell it by. */
	if (channel->holding.wanted != channel->holding.told)
		channel_hold(channel, channel->holding.wanted);
	event_emit(channel->engine, event_for(channel, ENGINE_ANSWERED));
}

/* The channel of that session, as long as somebody can speak on it. */
static struct channel *channel_of(const struct session *session)
{
	struct branch *branch = session ? session_user(session, branch_on_event) : NULL;
	struct channel *channel = branch ? branch->channel : NULL;

	return channel && channel->state < CHANNEL_LEAVING ? channel : NULL;
}

static void refer(struct branch *branch, const struct session_event *event)
{
	const struct session_refer *refer = event->refer;
	struct channel *channel = branch->channel, *other = channel_of(refer->replaces);
	struct queued *queued;

	/* Replaces of a call that is none of ours, or of this very one: nobody to put anybody through to. */
	if ((refer->replaces_value[0] && (!other || other == channel)) || !refer->number[0]) {
		session_refer_reply(branch->session, 603);
		return;
	}
	queued = event_for(channel, ENGINE_TRANSFER);
	queued->text = xstrdup(refer->number);
	queued->event.other = other;
	event_emit(channel->engine, queued);
}

static void refer_state(struct channel *channel, const struct session_event *event)
{
	struct queued *queued = event_for(channel, ENGINE_TRANSFER_STATE);

	queued->event.code = event->code;
	queued->event.last = event->last;
	event_emit(channel->engine, queued);
}

static void branch_event(struct branch *branch, const struct session_event *event)
{
	struct channel *channel = branch->channel;
	bool ours = channel->state == CHANNEL_UP && channel->main == branch;

	switch (event->type) {
	case SESSION_EV_PROGRESS:
		progress(branch, event);
		break;
	case SESSION_EV_ANSWERED:
		answered(branch, event);
		break;
	case SESSION_EV_CONFIRMED:
		if (ours)
			confirmed(channel, event);
		break;
	case SESSION_EV_OFFER:
	case SESSION_EV_OFFER_WANTED:
	case SESSION_EV_OFFER_DONE:
		if (ours)
			talk_on_offer(channel, event);
		else if (event->type == SESSION_EV_OFFER)
			session_refuse(branch->session, 491, NULL);
		break;
	case SESSION_EV_INFO:
		if (ours)
			digits_on_info(channel, &event->body);
		break;
	case SESSION_EV_INFO_DONE:
		if (ours)
			digits_info_done(channel, event->code);
		break;
	case SESSION_EV_REFER:
		if (ours)
			refer(branch, event);
		else
			session_refer_reply(branch->session, 603);
		break;
	case SESSION_EV_REFER_STATE:
		if (ours)
			refer_state(channel, event);
		break;
	case SESSION_EV_IDENTITY:
		break;
	case SESSION_EV_END:
		branch_ended(branch, event->end);
		break;
	}
}

void branch_on_event(struct session *session, const struct session_event *event, void *arg)
{
	struct branch *branch = arg;
	struct engine *engine = branch->channel->engine;

	(void)session;
	engine_enter(engine);
	branch_event(branch, event);
	engine_settle(engine);
}

/* ---- coming in ---- */

/* What is no description is refused here and now; an offer that cannot be answered is noted: who is called is told of
 * the call all the same. Return: false when it was refused.
 */
static bool read_offer(struct channel *channel, struct session *session,
		       const struct session_body *body)
{
	struct sdesc_local trial = { 0 };
	int r;

	if (!body->data)
		return true;
	channel->offer = xzalloc(sizeof(*channel->offer));
	if (sdesc_parse(body->data, body->len, channel->offer)) {
		session_reject(session, 400, "Bad session description", 0, NULL);
		return false;
	}
	r = sdesc_answer(&trial, channel->offer, &channel->taste, SDESC_SENDRECV,
			 channel->must_secure);
	if (r) {
		metric_add(&no_codec_total, 1);
		channel->unfit = sdesc_warning(r);
	}
	return true;
}

static struct channel_info *info_of(struct session *session, const struct ua_incoming *incoming)
{
	const struct session_peer *peer = session_peer(session);
	struct channel_info *info = xzalloc(sizeof(*info));

	if (incoming->account)
		info->line_id = incoming->account->id;
	info->device_id = incoming->device;
	info->wanted_profile = incoming->profile;
	(void)str_copy(info->from, sizeof(info->from), peer->number);
	(void)str_copy(info->from_name, sizeof(info->from_name), peer->name);
	(void)str_copy(info->to, sizeof(info->to), incoming->called);
	(void)str_copy(info->forwarded_by, sizeof(info->forwarded_by), peer->forwarded_by);
	(void)str_copy(info->far, sizeof(info->far), peer->uri);
	info->withheld = peer->anonymous;
	return info;
}

static void follow_line(struct channel *channel)
{
	const struct line *line = line_get(channel->engine, channel->line);

	if (!line)
		return;
	channel->taste = line->taste;
	channel->must_secure = line->srtp == SRTP_REQUIRED;
}

void incoming_session(struct session *session, const struct ua_incoming *incoming, void *arg)
{
	struct engine *engine = arg;
	struct channel *channel, *replaced = channel_of(incoming->replaces);
	struct queued *queued;

	if (engine->channels.count >= engine->max_channels) {
		session_reject(session, 486, NULL, 42, NULL);
		return;
	}
	if (incoming->replaces && !replaced) {
		session_reject(session, 603, NULL, 0, NULL); /* it is just ending */
		return;
	}
	channel = channel_make(engine);
	channel->incoming = true;
	channel->is_device = !incoming->account;
	channel->device = incoming->device;
	if (incoming->account)
		channel->line = incoming->account->id;
	follow_line(channel);
	(void)str_copy(channel->address, sizeof(channel->address), session_peer(session)->uri);
	if (!read_offer(channel, session, &incoming->offer)) {
		channel_free(channel);
		return;
	}
	if (channel->unfit && replaced) {
		session_reject(session, 488, NULL, 88, channel->unfit);
		channel_free(channel);
		return;
	}
	channel->main = branch_new(channel);
	channel->main->session = session;
	channel_refer(channel, session);
	session_bind(session, branch_on_event, channel->main);
	engine_enter(engine);
	queued = event_for(channel, replaced ? ENGINE_REPLACES : ENGINE_INCOMING);
	queued->event.other = replaced;
	queued->info = info_of(session, incoming);
	queued->info->unfit = channel->unfit != NULL;
	event_emit(engine, queued);
	engine_settle(engine);
}
