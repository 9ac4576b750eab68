/* tests/unit/event/make.h - events for tests */
#pragma once

#include "event/bus.h"
#include "event/view.h"
#include "unit.h"

/* A call with two legs in some state; seq is its call_seq. */
static inline struct call_view *make_call(struct id tenant, struct id call, uint32_t seq,
					  enum call_state state)
{
	struct call_view *view = call_view_new(2);

	view->id = call;
	view->tenant = tenant;
	view->seq = seq;
	view->direction = CALL_OUTGOING;
	view->state = state;
	view->created_at = 1700000000000000;
	strcpy(view->from, "+4930123");
	strcpy(view->to, "+4940456");
	for (unsigned i = 0; i < 2; i++) {
		/* The same in every event of the call. */
		view->legs[i].id = call;
		view->legs[i].id.byte[15] = (uint8_t)(view->legs[i].id.byte[15] + 1 + i);
		view->legs[i].role = i ? LEG_REMOTE : LEG_AGENT;
		view->legs[i].kind = i ? LEG_KIND_PROFILE : LEG_KIND_DEVICE;
		strcpy(view->legs[i].address, "sip:x@192.0.2.1");
	}
	if (state >= CALL_ANSWERED)
		view->answered_at = view->created_at + 2000000;
	if (state == CALL_ENDED) {
		view->ended_at = view->created_at + 12000000;
		view->talk_s = 10;
		view->end_reason = END_COMPLETED;
		view->hangup_by = HANGUP_CALLER;
		view->legs[0].state = view->legs[1].state = LEG_ENDED;
		view->legs[0].ended_at = view->legs[1].ended_at = view->ended_at;
	}
	return view;
}

static inline struct event *make_event(struct id tenant, struct id call, uint32_t seq,
				       enum event_type type, enum call_state state)
{
	struct event *event = event_new(type, tenant);

	event->call = make_call(tenant, call, seq, state);
	event->call_id = call;
	event->time = event->call->created_at + seq * 1000000ll;
	return event;
}

static inline void publish(struct event_bus *bus, struct id tenant, struct id call, uint32_t seq,
			   enum event_type type, enum call_state state)
{
	event_publish(bus, make_event(tenant, call, seq, type, state));
}
