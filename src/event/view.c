#include "event/view.h"

const char *const call_direction_names[] = { "incoming", "outgoing", "internal", "conference",
					     NULL };
const char *const call_state_names[] = { "queued",	 "dialing",  "ringing",
					 "early_media",	 "answered", "held",
					 "transferring", "ended",    NULL };
/* The first is no reason at all: null outside. */
const char *const end_reason_names[] = { "",
					 "completed",
					 "busy",
					 "no_answer",
					 "canceled",
					 "declined",
					 "not_found",
					 "unavailable",
					 "media_failed",
					 "auth_failed",
					 "trunk_failed",
					 "timeout",
					 "interrupted",
					 NULL };
const char *const hangup_by_names[] = { "", "caller", "callee", "platform", "api", NULL };
const char *const recording_state_names[] = { "none", "recording", "paused", NULL };
const char *const leg_role_names[] = { "agent", "remote", "supervisor", "member", "consult", NULL };
const char *const leg_kind_names[] = { "profile", "device", "softphone", "platform", NULL };
const char *const leg_state_names[] = { "dialing", "ringing", "early_media", "answered",
					"held",	   "ended",   NULL };
const char *const registration_state_names[] = { "disabled",	"registering",	 "registered",
						 "retry_wait",	"auth_failed",	 "rejected",
						 "unreachable", "unregistering", NULL };

/* What follows a view in its allocation starts where its alignment allows. */
#define AFTER(view) (((sizeof(view)) + 15) & ~(size_t)15)

struct call_view *call_view_new(unsigned leg_count)
{
	struct call_view *view = xzalloc(AFTER(*view) + leg_count * sizeof(struct leg_view));

	view->leg_count = leg_count;
	view->legs = (struct leg_view *)(void *)((char *)view + AFTER(*view));
	return view;
}

struct registration_view *registration_view_new(unsigned history_count)
{
	struct registration_view *view =
		xzalloc(AFTER(*view) + history_count * sizeof(struct registration_change));

	view->history_count = history_count;
	view->history = (struct registration_change *)(void *)((char *)view + AFTER(*view));
	return view;
}

const char *const conference_state_names[] = { "open", "active", "ended", NULL };

struct conference_view *conference_view_new(unsigned member_count)
{
	struct conference_view *view =
		xzalloc(sizeof(*view) + member_count * sizeof(*view->members));

	view->members = (struct member_view *)(view + 1);
	view->member_count = member_count;
	return view;
}

bool conference_view_shows(const struct conference_view *view, struct id user)
{
	if (id_eq(view->created_by, user))
		return true;
	for (unsigned i = 0; i < view->member_count; i++)
		if (id_eq(view->members[i].user_id, user))
			return true;
	return false;
}

const char *const monitor_mode_names[] = { "listen", "whisper", "barge", NULL };
const char *const monitor_state_names[] = { "ringing", "active", "waiting", "ended", NULL };

const char *const record_state_names[] = { "recording", "paused", "processing",
					   "ready",	"failed", NULL };
