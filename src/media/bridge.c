#include "media/private.h"

static void set_aside(struct mstream *stream, bool on, struct mstream *to)
{
	stream->bridge->asides += (unsigned)on - (unsigned)stream->aside;
	stream->aside = on;
	stream->aside_to = to;
}

void mbridge_add(struct mbridge *bridge, struct mstream *stream)
{
	if (stream->bridge == bridge || bridge->count == MEDIA_BRIDGE_MAX)
		return;
	mbridge_remove(stream);
	if (bridge->count == bridge->cap) {
		bridge->cap = bridge->cap ? bridge->cap * 2 : 4;
		bridge->members = xrealloc(bridge->members, bridge->cap * sizeof(*bridge->members));
	}
	stream->bridge = bridge;
	if (stream->guest)
		set_aside(stream, true, NULL);
	stream->member = bridge->count;
	bridge->members[bridge->count++] = stream;
	plan_bridge(bridge);
}

static int deny_find(const struct mstream *listener, const struct mstream *talker)
{
	for (unsigned i = 0; i < listener->deny_count; i++)
		if (listener->deny[i] == talker)
			return (int)i;
	return -1;
}

bool mbridge_hears(const struct mstream *listener, const struct mstream *talker)
{
	return (!talker->aside || talker->aside_to == listener) && deny_find(listener, talker) < 0;
}

static void deny_remove(struct mstream *listener, const struct mstream *talker)
{
	int at = deny_find(listener, talker);

	if (at >= 0)
		listener->deny[at] = listener->deny[--listener->deny_count];
}

static void deny_add(struct mstream *listener, struct mstream *talker)
{
	if (deny_find(listener, talker) >= 0)
		return;
	if (listener->deny_count == listener->deny_cap) {
		listener->deny_cap = listener->deny_cap ? listener->deny_cap * 2 : 2;
		listener->deny =
			xrealloc(listener->deny, listener->deny_cap * sizeof(*listener->deny));
	}
	listener->deny[listener->deny_count++] = talker;
}

void mbridge_hear(struct mstream *listener, struct mstream *talker, bool hears)
{
	if (hears)
		deny_remove(listener, talker);
	else
		deny_add(listener, talker);
	plan_bridge(listener->bridge);
}

void mbridge_guest(struct mstream *stream)
{
	stream->guest = true;
	plan_stream(stream);
}

void mbridge_aside(struct mstream *stream, bool on, struct mstream *to)
{
	set_aside(stream, on, to);
	plan_bridge(stream->bridge);
}

static void member_forget(struct mstream *stream)
{
	set_aside(stream, false, NULL);
	stream->unrecorded = false;
	stream->bridge = NULL;
	stream->only = stream->sole = NULL;
	stream->frame = NULL;
	stream->deny_count = 0;
	stream->muted = stream->deaf = false;
	stream->gain = 0;
	stream->talking = false;
	stream->loud = 0;
}

void mbridge_remove(struct mstream *stream)
{
	struct mbridge *bridge = stream->bridge;
	struct mstream *last;

	if (!bridge)
		return;
	plan_clear(stream);
	last = bridge->members[--bridge->count];
	bridge->members[stream->member] = last;
	last->member = stream->member;
	for (unsigned i = 0; i < bridge->count; i++) {
		deny_remove(bridge->members[i], stream);
		if (bridge->members[i]->aside_to == stream)
			bridge->members[i]->aside_to = NULL;
	}
	member_forget(stream);
	plan_bridge(bridge);
	plan_stream(stream);
}

void mbridge_close(struct mbridge *bridge)
{
	while (bridge->count)
		mbridge_remove(bridge->members[bridge->count - 1]);
	plan_bridge(bridge);
}
