/* Whom a transfer leads to, and the call in which the target is rung. */
#include "call/transfer.h"

/* ---- who it is ---- */

void aim_release(struct aim *aim)
{
	outbound_release(&aim->outbound);
}

static struct reply *no_phone(const char *detail)
{
	return reply_error(REPLY_NO_DEVICE, NULL, "%s", detail);
}

/* Through the call's own profile, if the asker may call by it, else through the asker's own choice. */
static struct profile *profile_for(struct call *call, const struct asker *asker, struct id wanted)
{
	struct user *user = known_user(call->app, asker->user);

	if (!id_is_none(wanted)) {
		struct profile *profile = known_profile(call->app, wanted);

		return profile && profile_may_use(profile, asker) ? profile : NULL;
	}
	if (call->profile && profile_may_use(call->profile, asker))
		return call->profile;
	return user ? known_profile_default(call->app, user) : NULL;
}

static struct reply *aim_number(struct call *call, const struct asker *asker, const char *number,
				struct id wanted, const char *field, struct aim *ret)
{
	struct profile *profile = profile_for(call, asker, wanted);
	int r;

	if (!profile && !id_is_none(wanted))
		return reply_error(REPLY_INVALID, field, "There is no such profile.");
	if (!profile)
		return reply_error(REPLY_PROFILE_NOT_USABLE, NULL,
				   "You have no profile to call this number through.");
	r = outbound_admit(call->app, profile, number, OUTBOUND_BY_USER, &ret->outbound);
	if (r)
		return reply_refused(call->app, r, field, profile);
	ret->kind = AIM_NUMBER;
	(void)str_copy(ret->shown, sizeof(ret->shown), ret->outbound.number);
	return NULL;
}

static unsigned online_but(struct call_app *app, struct user *user, const struct leg *goes)
{
	struct device *device;
	unsigned count = 0;

	chain_each(device, &user->devices, in_user)
		if (!goes || !id_eq(goes->device, device->id))
			count += engine_device_online(app->engine, device->id);
	return count;
}

static struct reply *aim_user(struct call *call, struct user *user, const struct leg *goes,
			      struct aim *ret)
{
	if (!user || !user->spec.active || !online_but(call->app, user, goes))
		return no_phone("No phone of that user is registered.");
	ret->kind = AIM_USER;
	ret->user = user;
	(void)str_copy(ret->shown, sizeof(ret->shown), user->spec.extension);
	return NULL;
}

static struct reply *aim_device(struct call *call, const struct asker *asker, struct id id,
				struct aim *ret)
{
	ret->device = known_device(call->app, id);
	if (!ret->device || !id_eq(ret->device->user->tenant->id, asker->tenant) ||
	    (asker->role == ASKER_AGENT && !id_eq(ret->device->user->id, asker->user)))
		return reply_error(REPLY_INVALID, "connect", "There is no such device.");
	if (!engine_device_online(call->app->engine, id))
		return no_phone("This phone is not registered.");
	ret->kind = AIM_DEVICE;
	(void)str_copy(ret->shown, sizeof(ret->shown), ret->device->user->spec.extension);
	return NULL;
}

static struct reply *aim_connect(struct call *call, const struct asker *asker,
				 const struct leg *goes, const struct connect_spec *connect,
				 struct aim *ret)
{
	switch (connect->kind) {
	case CONNECT_ANY_DEVICE:
		return aim_user(call, known_user(call->app, asker->user), goes, ret);
	case CONNECT_DEVICE:
		return aim_device(call, asker, connect->id, ret);
	case CONNECT_NUMBER:
		return aim_number(call, asker, connect->number, connect->profile, "connect", ret);
	case CONNECT_CONFERENCE:
		ret->kind = AIM_ROOM;
		ret->connect = connect;
		(void)str_copy(ret->shown, sizeof(ret->shown), connect->number);
		return room_refusal(call->app, call->tenant, connect->number);
	case CONNECT_SAY:
	case CONNECT_PLAY:
	case CONNECT_ECHO:
		ret->kind = AIM_SOUND;
		ret->connect = connect;
		return NULL;
	case CONNECT_IVR:
	case CONNECT_FLOW:
		break;
	}
	return reply_error(REPLY_UNSUPPORTED, "connect",
			   "Calls cannot be put through to this yet.");
}

struct reply *aim_find(struct call *call, const struct asker *asker, const struct leg *goes,
		       const struct transfer_wish *wish, struct aim *ret)
{
	struct user *user;

	if (!wish->to[0])
		return aim_connect(call, asker, goes, &wish->connect, ret);
	user = known_user_by_extension(call->app, call->tenant, wish->to);
	if (user)
		return aim_user(call, user, goes, ret);
	return aim_number(call, asker, wish->to, ID_NONE, "to", ret);
}

/* ---- its call ---- */

static struct user *user_of(struct transfer *transfer)
{
	return known_user(transfer->call->app, transfer->by);
}

void transfer_name(const struct leg *leg, const char **ret_number, const char **ret_name)
{
	const struct user *user = known_user(leg->call->app, leg->user);

	*ret_number = user && user->spec.extension[0] ? user->spec.extension : leg->address;
	*ret_name = user ? user->spec.name : leg->incoming ? leg->call->from_name : "";
}

/* Who consults is shown to the target; else whom it will talk to. */
static void describe(struct transfer *transfer, struct call *consult)
{
	const struct leg *who =
		transfer->mode == TRANSFER_ATTENDED ? transfer->goes : transfer->stays;
	const char *number, *name;

	transfer_name(who, &number, &name);
	(void)str_copy(consult->from, sizeof(consult->from), number);
	(void)str_copy(consult->from_name, sizeof(consult->from_name), name);
	(void)str_copy(consult->to, sizeof(consult->to), transfer->to);
}

static struct profile *profile_of(const struct aim *aim)
{
	return aim->kind == AIM_NUMBER ? aim->outbound.profile : NULL;
}

static void begin_target(struct call *consult)
{
	call_dial(consult);
	if (!consult->counted) {
		call_finish(consult, ENDING_LIMIT, NULL);
		return;
	}
	if (consult->next.profile) {
		call_dial_out(consult, &consult->next, LEG_REMOTE);
		return;
	}
	call_rings_or_ends(consult);
}

struct call *target_call(struct transfer *transfer, struct aim *aim)
{
	struct call *call = transfer->call;
	bool out = aim->kind == AIM_NUMBER;
	struct call *consult =
		call_new(call->app, call->tenant, out ? CALL_OUTGOING : CALL_INTERNAL);
	struct leg *goes = transfer->goes;
	struct user *by = user_of(transfer), *to = aim->device ? aim->device->user : aim->user;

	consult->counted = permit_call(call->app, call->tenant);
	consult->ring_timeout_ms = transfer->ring_ms;
	transfer_adopt(transfer, consult);
	if (profile_of(aim))
		call_set_profile(consult, profile_of(aim));
	if (by)
		call_add_user(consult, by);
	if (to)
		call_add_user(consult, to);
	describe(transfer, consult);
	if (call->shown_number && call->profile == consult->profile) {
		consult->shown_number = xstrdup(call->shown_number);
		consult->shown_name = call->shown_name ? xstrdup(call->shown_name) : NULL;
	}
	if (out)
		consult->next = aim->outbound;
	else if (aim->device)
		(void)party_device(consult, aim->device, LEG_REMOTE);
	else
		(void)party_user(consult, aim->user, LEG_REMOTE, goes ? goes->device : ID_NONE);
	aim->outbound = (struct outbound){ 0 };
	return consult;
}

void target_begin(struct call *consult)
{
	call_start(consult, begin_target);
}
