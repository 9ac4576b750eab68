/* make-call: what can be refused is refused before there is a call. */
#include "call/private.h"

bool profile_may_use(const struct profile *profile, const struct asker *asker)
{
	return id_eq(profile->tenant->id, asker->tenant) &&
	       (asker->role == ASKER_ADMIN || id_eq(profile->spec->owner, asker->user));
}

struct reply *reply_refused(struct call_app *app, int refused, const char *field,
			    struct profile *profile)
{
	const char *why = NULL;
	struct reply *reply;

	switch (refused) {
	case OUTBOUND_E_NUMBER:
		return reply_error(REPLY_INVALID, field, "%s", outbound_refusal(refused));
	case OUTBOUND_E_DESTINATION:
		return reply_error(REPLY_DESTINATION, field, "%s", outbound_refusal(refused));
	case OUTBOUND_E_LINE:
		why = engine_line_unusable(app->engine, profile->spec->id);
		return reply_error(REPLY_PROFILE_NOT_USABLE, NULL, "%s",
				   why ? why : outbound_refusal(refused));
	default:
		break;
	}
	reply = reply_error(REPLY_LIMIT, NULL, "%s", outbound_refusal(refused));
	reply->retry_after_s = refused == OUTBOUND_E_BUDGET ? 3600
			       : refused == OUTBOUND_E_RATE ? 60
							    : 10;
	return reply;
}

struct reply *reply_no_phone(void)
{
	return reply_error(REPLY_NO_DEVICE, NULL,
			   "None of your phones is registered. Sign one in, or say in connect what "
			   "else the call is put through to.");
}

/* A call in the making: all that was found out before it begins. */
struct making {
	const struct make_call *wish;
	struct user *user;
	struct profile *profile;
	struct device *device;	/* CONNECT_DEVICE */
	struct outbound to;	/* `to` through the profile */
	struct outbound number; /* CONNECT_NUMBER: who is rung first */
};

static struct reply *find_first(struct call_app *app, const struct asker *asker,
				struct making *making)
{
	const struct connect_spec *connect = &making->wish->connect;
	struct profile *profile = making->profile;
	int r;

	switch (connect->kind) {
	case CONNECT_ANY_DEVICE:
		if (!devices_online(app, making->user))
			return reply_no_phone();
		return NULL;
	case CONNECT_DEVICE:
		making->device = known_device(app, connect->id);
		if (!making->device || !id_eq(making->device->user->tenant->id, asker->tenant) ||
		    (asker->role != ASKER_ADMIN && making->device->user != making->user))
			return reply_error(REPLY_INVALID, "connect", "There is no such device.");
		if (!engine_device_online(app->engine, making->device->id))
			return reply_error(REPLY_NO_DEVICE, NULL, "This phone is not registered.");
		return NULL;
	case CONNECT_NUMBER:
		if (!id_is_none(connect->profile))
			profile = known_profile(app, connect->profile);
		if (!profile || !profile_may_use(profile, asker))
			return reply_error(REPLY_INVALID, "connect", "There is no such profile.");
		r = outbound_admit(app, profile, connect->number, OUTBOUND_BY_USER,
				   &making->number);
		return r ? reply_refused(app, r, "connect", profile) : NULL;
	case CONNECT_SAY:
	case CONNECT_PLAY:
	case CONNECT_ECHO:
		return NULL;
	case CONNECT_CONFERENCE:
		return room_refusal(app, making->profile->tenant, connect->number);
	case CONNECT_IVR:
	case CONNECT_FLOW:
		break;
	}
	return reply_error(REPLY_UNSUPPORTED, "connect",
			   "Calls cannot be put through to this yet.");
}

static struct reply *admit(struct call_app *app, const struct asker *asker, struct making *making)
{
	struct reply *bad;
	int r = outbound_admit(app, making->profile, making->wish->to, OUTBOUND_BY_USER,
			       &making->to);

	if (r)
		return reply_refused(app, r, "to", making->profile);
	bad = find_first(app, asker, making);
	if (!bad && !permit_call(app, making->profile->tenant))
		bad = permit_refusal();
	if (bad) {
		outbound_release(&making->to);
		outbound_release(&making->number);
	}
	return bad;
}

static void begin_sound(struct call *call)
{
	call_dial(call);
	call_dial_out(call, &call->next, call->expected_in ? LEG_MEMBER : LEG_REMOTE);
}

/* The first group was begun before the machine started; nothing of it can have been heard yet. */
static void begin_gather(struct call *call)
{
	call_gather(call);
	call_rings_or_ends(call);
}

static void begin(struct call *call, struct making *making, const struct asker *asker)
{
	enum connect_kind kind = making->wish->connect.kind;
	int r = 0;

	call->next = making->to;
	if (kind == CONNECT_CONFERENCE) {
		room_expect(call, making->wish->connect.number, asker->user, asker);
		call->confirm = making->wish->confirm;
		call_start(call, begin_sound);
		return;
	}
	if (kind == CONNECT_SAY || kind == CONNECT_PLAY || kind == CONNECT_ECHO) {
		plan_set(&call->plan, &making->wish->connect);
		call_start(call, begin_sound);
		return;
	}
	if (kind == CONNECT_DEVICE)
		(void)party_device(call, making->device, LEG_AGENT);
	else if (kind == CONNECT_NUMBER)
		r = party_number(call, &making->number, LEG_AGENT);
	else
		(void)party_user(call, making->user, LEG_AGENT, ID_NONE);
	if (r)
		log_warn("the number to be put through to cannot be dialled",
			 LOG_ID("call", call->id));
	call_start(call, begin_gather);
}

static char *copy_if_any(const char *text)
{
	return text[0] ? xstrdup(text) : NULL;
}

static void describe(struct call *call, const struct making *making)
{
	const struct make_call *wish = making->wish;
	const struct profile_spec *spec = making->profile->spec;
	const char *from = wish->caller_number[0]   ? wish->caller_number
			   : spec->caller_number[0] ? spec->caller_number
						    : spec->username;

	(void)str_copy(call->from, sizeof(call->from), from);
	(void)str_copy(call->from_name, sizeof(call->from_name),
		       wish->caller_name[0] ? wish->caller_name : spec->caller_name);
	(void)str_copy(call->to, sizeof(call->to), making->to.number);
	call->shown_number = copy_if_any(wish->caller_number);
	call->shown_name = copy_if_any(wish->caller_name);
	call->variables = copy_if_any(wish->variables);
	call->record = wish->record;
	call->mask = wish->mask;
	if (wish->ring_timeout_s > 0)
		call->ring_timeout_ms = wish->ring_timeout_s < CALL_SETUP_MS / 1000
						? (unsigned)wish->ring_timeout_s * 1000
						: CALL_SETUP_MS;
	if (wish->max_duration_s > 0 && wish->max_duration_s < (int)(call->max_duration_ms / 1000))
		call->max_duration_ms = (unsigned)wish->max_duration_s * 1000;
}

struct reply *do_make_call(struct call_app *app, struct command *command)
{
	const struct asker *asker = &command->asker;
	struct making making = { .wish = command->body };
	struct call *call;
	struct reply *bad;

	if (app->draining)
		return reply_new(REPLY_DRAINING);
	making.profile = known_profile(app, making.wish->profile);
	if (!making.profile || !id_eq(making.profile->tenant->id, asker->tenant))
		return reply_error(REPLY_INVALID, "profile_id", "There is no such profile.");
	if (!profile_may_use(making.profile, asker))
		return reply_error(REPLY_FORBIDDEN, "profile_id",
				   "This profile belongs to somebody else.");
	making.user = user_want(app, asker->user, making.profile->tenant);
	bad = making.wish->record ? record_refusal(making.profile) : NULL;
	if (!bad)
		bad = admit(app, asker, &making);
	if (bad)
		return bad;

	call = call_new(app, making.profile->tenant, CALL_OUTGOING);
	call->counted = true;
	call_set_profile(call, making.profile);
	call_add_user(call, making.user);
	describe(call, &making);
	begin(call, &making, asker);
	return reply_call(call);
}
