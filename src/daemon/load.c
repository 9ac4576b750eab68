/* daemon/load.c - at the start: from rows to commands, one reader, the call loop's ring as the pace */
#include "daemon/private.h"

#include "api/api.h"
#include "call/command.h"
#include "store/store.h"

#include <errno.h>
#include <time.h>

struct loader {
	const struct seal *seal;
	struct call_gate *gate;
	unsigned skipped;
};

static int post(struct loader *loader, struct command *command)
{
	struct timespec pause = { .tv_nsec = 2000000 };

	while (!call_gate_has_room(loader->gate))
		nanosleep(&pause, NULL);
	if (!call_post(loader->gate, command))
		return err_new(EAGAIN);
	return 0;
}

/* `body` was made for this command and is taken by it; NULL: the row's secret does not open. */
static int tell(struct loader *loader, enum command_type type, void *body, struct id id)
{
	struct command command = { .type = type, .body = body };

	if (!body) {
		loader->skipped++;
		log_error("a stored secret cannot be opened: wrong secret.key?", LOG_ID("row", id));
		return 0;
	}
	return post(loader, &command);
}

static int on_tenant(void *arg, const struct tenant *tenant)
{
	return tell(arg, COMMAND_TENANT_PUT, api_tenant_spec(tenant), tenant->id);
}

static int on_user(void *arg, const struct user *user)
{
	return tell(arg, COMMAND_USER_PUT, api_user_spec(user), user->id);
}

static int on_profile(void *arg, const struct sip_profile *profile)
{
	struct loader *loader = arg;

	return tell(loader, COMMAND_PROFILE_PUT, api_line_spec(loader->seal, profile), profile->id);
}

static int on_device(void *arg, const struct device *device)
{
	struct loader *loader = arg;

	return tell(loader, COMMAND_DEVICE_PUT, api_device_spec(loader->seal, device), device->id);
}

static int on_bindings(void *arg, const struct device_bindings *row)
{
	struct command command = { .type = COMMAND_DEVICE_RESTORE,
				   .device_id = row->id,
				   .body = json_dumps(row->bindings, JSON_COMPACT) };

	return command.body ? post(arg, &command) : 0;
}

static int on_room(void *arg, const struct room_row *row)
{
	struct loader *loader = arg;
	struct room_spec *spec = api_room_spec(loader->seal, row);

	if (spec->unreadable)
		log_error("a room's PINs cannot be opened, so that it stays shut: put the right "
			  "secret.key back and restart, or set its PINs again by `update`",
			  LOG_ID("room", row->id));
	return tell(loader, COMMAND_ROOM_PUT, spec, row->id);
}

int load_all(struct db *db, const struct seal *seal, struct call_gate *gate)
{
	struct loader loader = { .seal = seal, .gate = gate };
	int r;

	r = tenant_each(db, on_tenant, &loader);
	if (!r)
		r = user_each(db, on_user, &loader);
	if (!r)
		r = room_each(db, on_room, &loader); /* before calls can come in for them */
	if (!r)
		r = profile_each(db, on_profile, &loader);
	if (!r)
		r = device_each(db, on_device, &loader);
	if (!r)
		r = device_bindings_each(db, on_bindings, &loader);
	if (loader.skipped)
		log_error(
			"left out, since their passwords do not open: put the right secret.key back and "
			"restart, or set the passwords again",
			LOG_INT("rows", loader.skipped));
	return r ? err_pass(r) : 0;
}
