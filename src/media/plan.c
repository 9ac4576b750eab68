/* What each stream sends, and what each must do with what it receives: decided here whenever
 * something changes, so that the packet path and the tick only follow pointers.
 *
 * A listener that hears one member in its own codec at its own level is relayed; any other is
 * mixed. Members that some mixed listener hears are decoded. The bridge's rate is the second
 * highest of its members': one wideband member among narrowband ones neither brings nor gets
 * anything beyond 8 kHz.
 */
#include "media/private.h"

/* ---- lists of the tick ---- */

static void tick_set(struct mstream *stream, bool on)
{
	struct mloop *loop = stream->loop;

	if (stream->ticked == on)
		return;
	stream->ticked = on;
	if (on) {
		stream->tick_next = loop->ticked;
		stream->tick_prev = &loop->ticked;
		if (loop->ticked)
			loop->ticked->tick_prev = &stream->tick_next;
		loop->ticked = stream;
		return;
	}
	*stream->tick_prev = stream->tick_next;
	if (stream->tick_next)
		stream->tick_next->tick_prev = stream->tick_prev;
}

static void mixing_set(struct mbridge *bridge, bool on)
{
	struct mloop *loop = bridge->loop;

	if (bridge->mixing == on)
		return;
	bridge->mixing = on;
	if (on) {
		bridge->mix_next = loop->mixing;
		bridge->mix_prev = &loop->mixing;
		if (loop->mixing)
			loop->mixing->mix_prev = &bridge->mix_next;
		loop->mixing = bridge;
		return;
	}
	*bridge->mix_prev = bridge->mix_next;
	if (bridge->mix_next)
		bridge->mix_next->mix_prev = bridge->mix_prev;
}

/* ---- one stream ---- */

static bool talks(const struct mstream *stream)
{
	return stream->params.recv && !stream->muted && codec_get(stream->rx_audio);
}

static bool can_relay(const struct mstream *from, const struct mstream *to)
{
	return from->rx_audio == to->params.tx.codec && !from->gain && !from->take_out &&
	       !to->bridge->watched && !to->bridge->chime;
}

static void choose_receive(struct mstream *stream)
{
	bool echo = stream->source == SOURCE_ECHO;
	bool one = stream->relay_to && !stream->relay_to->relay_next;

	if (!stream->relay_to && !stream->intake)
		stream->on_rtp = echo					    ? rx_echo
				 : stream->bridge && stream->bridge->mixing ? rx_full
									    : rx_idle;
	else
		stream->on_rtp = one && !echo && !stream->intake &&
						 !(stream->bridge && stream->bridge->mixing)
					 ? rx_relay
					 : rx_full;
}

static enum source source_alone(const struct mstream *stream)
{
	if (!stream->params.send || !codec_get(stream->params.tx.codec))
		return SOURCE_NONE;
	if (stream->dial.inband)
		return SOURCE_PLAYER;
	if (stream->player)
		return SOURCE_PLAYER;
	if (stream->echo)
		return SOURCE_ECHO;
	return stream->idle == MEDIA_IDLE_SILENCE ? SOURCE_SILENCE : SOURCE_NONE;
}

unsigned plan_feed_rate(const struct mstream *stream)
{
	const struct codec *codec = codec_get(stream->params.tx.codec);

	return codec && codec->best_rate > 8000 ? 16000
						: 8000; /* the rates that sounds are kept in */
}

/* Return: whether it was turned to another source. */
static bool set_source(struct mstream *stream, enum source source, struct mstream *only,
		       unsigned rate)
{
	bool changed = stream->source != source || (source == SOURCE_RELAY && stream->only != only);

	stream->source = source;
	stream->only = only;
	stream->fresh = changed && source == SOURCE_RELAY;
	if (changed)
		sender_switch(&stream->sender);
	if (source == SOURCE_MIX || source == SOURCE_PLAYER || source == SOURCE_SILENCE) {
		if (!stream->outlet)
			stream->outlet = outlet_new();
		outlet_set(stream->outlet, &stream->params, rate);
	} else {
		stream->outlet = outlet_free(stream->outlet);
	}
	tick_set(stream, source == SOURCE_PLAYER || source == SOURCE_SILENCE || stream->dial.digit);
	return changed;
}

static void sift(struct mstream *stream)
{
	bool on = stream->take_out && stream->intake;

	if (on && !stream->sieve)
		stream->sieve = sieve_new();
	else if (!on && stream->sieve)
		stream->sieve = sieve_free(stream->sieve);
}

/* A player that may not send has its time pass all the same. */
static void plan_alone(struct mstream *stream)
{
	enum source source = source_alone(stream);

	set_source(stream, source, NULL, plan_feed_rate(stream));
	if (source == SOURCE_NONE && stream->player)
		tick_set(stream, true);
	stream->intake = intake_free(stream->intake);
	sift(stream);
	stream->relay_to = NULL;
	choose_receive(stream);
}

void plan_stream(struct mstream *stream)
{
	if (stream->bridge)
		plan_bridge(stream->bridge);
	else
		plan_alone(stream);
}

void plan_clear(struct mstream *stream)
{
	set_source(stream, SOURCE_NONE, NULL, 0);
	tick_set(stream, false);
	stream->intake = intake_free(stream->intake);
	sift(stream);
	stream->relay_to = NULL;
	stream->on_rtp = rx_idle;
}

/* ---- a bridge ---- */

struct talkers {
	unsigned count;
	struct mstream *first, *second;
};

static struct talkers find_talkers(const struct mbridge *bridge)
{
	struct talkers talkers = { 0 };

	for (unsigned i = 0; i < bridge->count; i++) {
		struct mstream *stream = bridge->members[i];

		if (!talks(stream) || stream->aside)
			continue;
		if (talkers.count == 0)
			talkers.first = stream;
		else if (talkers.count == 1)
			talkers.second = stream;
		talkers.count++;
	}
	return talkers;
}

static unsigned count_heard(const struct talkers *talkers, const struct mstream *listener)
{
	const struct mbridge *bridge = listener->bridge;
	unsigned heard = talkers->count - (talks(listener) && !listener->aside ? 1 : 0);

	for (unsigned i = 0; i < listener->deny_count; i++)
		if (talks(listener->deny[i]) && !listener->deny[i]->aside)
			heard--;
	for (unsigned i = 0; bridge->asides && i < bridge->count; i++)
		if (bridge->members[i]->aside && talks(bridge->members[i]) &&
		    mbridge_hears(listener, bridge->members[i]))
			heard++;
	return heard;
}

static struct mstream *find_only(const struct mbridge *bridge, const struct talkers *talkers,
				 const struct mstream *listener)
{
	if (talkers->count == 1 && !bridge->asides)
		return talkers->first;
	if (talkers->count == 2 && !listener->deny_count && !bridge->asides)
		return talkers->first == listener ? talkers->second : talkers->first;
	for (unsigned i = 0; i < bridge->count; i++) {
		struct mstream *talker = bridge->members[i];

		if (talker != listener && talks(talker) && mbridge_hears(listener, talker))
			return talker;
	}
	return NULL;
}

/* The one party it hears beside guests. Whoever hears more than one is told apart by the second. */
static struct mstream *find_sole(const struct mbridge *bridge, const struct mstream *listener)
{
	struct mstream *sole = NULL;

	for (unsigned i = 0; i < bridge->count; i++) {
		struct mstream *talker = bridge->members[i];

		if (talker == listener || talker->guest || !talks(talker) ||
		    !mbridge_hears(listener, talker))
			continue;
		if (sole)
			return NULL;
		sole = talker;
	}
	return sole;
}

static unsigned stream_rate(const struct mstream *stream)
{
	const struct codec *codec = codec_get(stream->params.tx.codec);

	return codec ? codec->best_rate : 8000;
}

static unsigned choose_rate(const struct mbridge *bridge)
{
	unsigned highest = 8000, second = 8000;

	for (unsigned i = 0; i < bridge->count; i++) {
		unsigned rate = stream_rate(bridge->members[i]);

		if (rate > highest) {
			second = highest;
			highest = rate;
		} else if (rate > second) {
			second = rate;
		}
	}
	return second;
}

static void plan_listener(struct mbridge *bridge, const struct talkers *talkers,
			  struct mstream *listener)
{
	enum source source = source_alone(listener);
	unsigned heard = listener->deaf ? 0 : count_heard(talkers, listener);
	struct mstream *only = heard == 1 ? find_only(bridge, talkers, listener) : NULL;
	unsigned rate = plan_feed_rate(listener);

	if ((source == SOURCE_NONE || source == SOURCE_SILENCE) && heard && listener->params.send &&
	    codec_get(listener->params.tx.codec)) {
		source = only && can_relay(only, listener) ? SOURCE_RELAY : SOURCE_MIX;
		rate = bridge->rate;
	}
	set_source(listener, source, only, rate);
	listener->sole = bridge->guests && heard > 1 ? find_sole(bridge, listener) : only;
	if (source == SOURCE_NONE && listener->player)
		tick_set(listener, true);
	if (source == SOURCE_RELAY) {
		listener->relay_next = only->relay_to;
		only->relay_to = listener;
	}
}

/* How many mixed listeners hear this one; each listener was counted once for everybody before. */
static bool is_decoded(const struct mstream *talker, unsigned mixed)
{
	if (talks(talker) && talker->bridge->tape && !talker->aside && !talker->unrecorded)
		return true;
	if (!talks(talker) || !mixed)
		return false;
	if (talker->guest)
		return true; /* so that it is there at once when somebody is to hear it */
	if (talker->source == SOURCE_MIX)
		mixed--;
	for (unsigned i = 0; mixed && i < talker->bridge->count; i++) {
		const struct mstream *listener = talker->bridge->members[i];

		if (listener != talker && listener->source == SOURCE_MIX &&
		    mbridge_hears(listener, talker))
			return true;
	}
	return false;
}

/* What waits in a jitter buffer goes out ahead of what follows, so that turning to relaying loses
 * nothing.
 */
static void unload(struct mstream *stream)
{
	struct packet packet;

	while (stream->relay_to && intake_unload(stream->intake, &packet))
		for (struct mstream *to = stream->relay_to; to; to = to->relay_next)
			/* Others had these packets when they came; and what is still in the codec that the
			 * talker has just left would be noise in this one.
			 */
			if (to->fresh && packet.codec == to->params.tx.codec)
				sender_relay(to, &packet, to->params.tx.pt);
}

static void plan_talker(struct mbridge *bridge, struct mstream *stream, unsigned mixed)
{
	if (is_decoded(stream, mixed)) {
		if (!stream->intake)
			stream->intake = intake_new();
		intake_set(stream->intake, stream->rx_audio, bridge->rate);
	} else if (stream->intake) {
		unload(stream);
		stream->intake = intake_free(stream->intake);
		stream->frame = NULL;
		voice_forget(stream); /* nobody listens */
	}
	sift(stream);
	choose_receive(stream);
}

void plan_bridge(struct mbridge *bridge)
{
	struct talkers talkers = find_talkers(bridge);
	unsigned mixed = 0;

	bridge->guests = 0;
	for (unsigned i = 0; i < bridge->count; i++)
		bridge->guests += bridge->members[i]->guest;
	bridge->rate = choose_rate(bridge);
	mix_tape_follow(bridge);
	for (unsigned i = 0; i < bridge->count; i++)
		bridge->members[i]->relay_to = NULL;
	for (unsigned i = 0; i < bridge->count; i++) {
		plan_listener(bridge, &talkers, bridge->members[i]);
		mixed += bridge->members[i]->source == SOURCE_MIX;
	}
	mixing_set(bridge, mixed > 0 || (bridge->tape && bridge->count));
	for (unsigned i = 0; i < bridge->count; i++)
		plan_talker(bridge, bridge->members[i], mixed);
}
