/* mute-call: the others do not hear a leg. Its own phone knows nothing of it. */
#include "call/private.h"

struct reply *do_mute_leg(struct call_app *app, struct command *command)
{
	struct call *call;
	struct leg *leg;
	struct reply *no = call_for(app, command, &call);

	if (!no)
		no = leg_for(call, command, &leg);
	if (no)
		return no;
	if (leg->muted == command->on)
		return reply_call(call);
	if (!command->on && room_keeps_mute(leg))
		return reply_error(REPLY_FORBIDDEN, NULL, "A moderator has muted this member.");
	leg->muted = command->on;
	if (leg->member)
		room_leg_changed(leg);
	else
		channel_mute(leg->channel, leg->muted);
	call_publish_leg(call, leg, leg->muted ? "muted" : "unmuted");
	return reply_call(call);
}
