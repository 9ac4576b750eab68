/* Who and what there is: tenants, users with their extensions, profiles, devices. PUT commands arrive in any
 * order (the daemon loads table by table), so whoever is named before it is known gets an empty place.
 */
#include "call/private.h"

static uint64_t extension_key(const struct tenant *tenant, const char *extension)
{
	return id_hash(tenant->id) ^ hkey_text(extension);
}

struct tenant *tenant_want(struct call_app *app, struct id id)
{
	struct tenant *tenant;

	for (struct hnode *node = hmap_first(&app->tenants, id_hash(id)); node;
	     node = hmap_same(node)) {
		tenant = container_of_(node, struct tenant, node);
		if (id_eq(tenant->id, id))
			return tenant;
	}
	tenant = xzalloc(sizeof(*tenant));
	tenant->id = id;
	hmap_add(&app->tenants, &tenant->node, id_hash(id));
	return tenant;
}

struct user *known_user(struct call_app *app, struct id id)
{
	for (struct hnode *node = hmap_first(&app->users, id_hash(id)); node;
	     node = hmap_same(node)) {
		struct user *user = container_of_(node, struct user, node);

		if (id_eq(user->id, id))
			return user;
	}
	return NULL;
}

struct user *user_want(struct call_app *app, struct id id, struct tenant *tenant)
{
	struct user *user = known_user(app, id);

	if (user)
		return user;
	user = xzalloc(sizeof(*user));
	user->id = id;
	user->tenant = tenant;
	user->refs = 1; /* the directory's own */
	hmap_add(&app->users, &user->node, id_hash(id));
	return user;
}

struct user *user_ref(struct user *user)
{
	user->refs++;
	return user;
}

void user_unref(struct call_app *app, struct user *user)
{
	(void)app;
	if (user && !--user->refs)
		free(user);
}

struct user *known_user_by_extension(struct call_app *app, struct tenant *tenant,
				     const char *extension)
{
	struct hnode *node = hmap_first(&app->extensions, extension_key(tenant, extension));

	for (; node; node = hmap_same(node)) {
		struct user *user = container_of_(node, struct user, extension_node);

		if (user->tenant == tenant && str_eq(user->spec.extension, extension))
			return user;
	}
	return NULL;
}

static void extension_remove(struct call_app *app, struct user *user)
{
	if (user->has_extension)
		hmap_del(&app->extensions, &user->extension_node);
	user->has_extension = false;
}

void directory_put_user(struct call_app *app, struct user_spec *spec)
{
	struct user *user = user_want(app, spec->id, tenant_want(app, spec->tenant));

	extension_remove(app, user);
	user->spec = *spec;
	free(spec);
	if (user->spec.extension[0] && user->spec.active) {
		hmap_add(&app->extensions, &user->extension_node,
			 extension_key(user->tenant, user->spec.extension));
		user->has_extension = true;
	}
	if (!user->spec.active || !user->spec.may_monitor)
		monitors_of_user_end(app, user);
}

void directory_drop_user(struct call_app *app, struct id id)
{
	struct user *user = known_user(app, id);

	if (!user)
		return;
	extension_remove(app, user);
	hmap_del(&app->users, &user->node);
	user->dropped = true;
	user->spec.active = false;
	monitors_of_user_end(app, user);
	user_unref(app, user);
}

void directory_put_tenant(struct call_app *app, struct tenant_spec *spec)
{
	struct tenant *tenant = tenant_want(app, spec->id);

	free(tenant->spec);
	tenant->spec = spec;
}

/* ---- profiles ---- */

struct profile *known_profile(struct call_app *app, struct id id)
{
	for (struct hnode *node = hmap_first(&app->profiles, id_hash(id)); node;
	     node = hmap_same(node)) {
		struct profile *profile = container_of_(node, struct profile, node);

		if (id_eq(profile->spec->id, id))
			return profile;
	}
	return NULL;
}

struct profile *profile_ref(struct profile *profile)
{
	profile->refs++;
	return profile;
}

void profile_unref(struct profile *profile)
{
	if (!profile || --profile->refs)
		return;
	user_unref(NULL, profile->owner);
	free(profile->spec);
	free(profile);
}

/* A user's profiles are in the order of their ids, which is that of their making: the place of a new one is looked for
 * from the end.
 */
static void owner_set(struct profile *profile, struct user *owner)
{
	struct chain_link *before = owner->profiles.tail, *after = NULL;

	if (profile->owner == owner)
		return;
	if (profile->owner) {
		chain_remove(&profile->owner->profiles, &profile->in_owner);
		user_unref(NULL, profile->owner);
	}
	profile->owner = user_ref(owner);
	for (; before; after = before, before = before->prev)
		if (id_cmp(chain_owner(before, struct profile, in_owner)->spec->id,
			   profile->spec->id) < 0)
			break;
	chain_insert(&owner->profiles, after, &profile->in_owner);
}

/* Behind `at`. Return: the copy; *at moves on. */
static const char *text_put(char **at, const char *text)
{
	char *copy = *at;

	*at = stpcpy(copy, text) + 1;
	return copy;
}

static struct profile_spec *spec_of_line(const struct line_spec *line)
{
	size_t texts = strlen(line->username) + strlen(line->caller_number) +
		       strlen(line->caller_name) + strlen(line->incoming_target) + 4;
	struct profile_spec *spec = xzalloc(sizeof(*spec) + texts);
	char *at = (char *)(spec + 1);

	spec->id = line->id;
	spec->owner = line->owner;
	spec->incoming_id = line->incoming_id;
	spec->hold_music = line->hold_music;
	spec->username = text_put(&at, line->username);
	spec->caller_number = text_put(&at, line->caller_number);
	spec->caller_name = text_put(&at, line->caller_name);
	spec->incoming_target = text_put(&at, line->incoming_target);
	spec->max_calls = line->max_calls;
	spec->incoming = line->incoming;
	spec->record = line->record;
	spec->mask_dtmf = line->mask_dtmf;
	spec->record_beep = line->record_beep;
	return spec;
}

void directory_put_profile(struct call_app *app, struct line_spec *line)
{
	struct profile *profile = known_profile(app, line->id);
	struct tenant *tenant = tenant_want(app, line->tenant);

	engine_line_put(app->engine, line);
	if (!profile) {
		profile = xzalloc(sizeof(*profile));
		profile->refs = 1; /* the directory's own */
		profile->tenant = tenant;
		hmap_add(&app->profiles, &profile->node, id_hash(line->id));
		chain_append(&tenant->profiles, &profile->in_tenant);
	}
	free(profile->spec);
	profile->spec = spec_of_line(line);
	explicit_bzero(line->password, sizeof(line->password));
	free(line);
	owner_set(profile, user_want(app, profile->spec->owner, tenant));
}

void directory_drop_profile(struct call_app *app, struct profile *profile)
{
	profile->dropped = true;
	waiters_tell(app, profile, true);
	engine_line_drop(app->engine, profile->spec->id);
	hmap_del(&app->profiles, &profile->node);
	chain_remove(&profile->tenant->profiles, &profile->in_tenant);
	chain_remove(&profile->owner->profiles, &profile->in_owner);
	profile_unref(profile);
}

struct profile *known_profile_default(struct call_app *app, struct user *user)
{
	struct profile *chosen = known_profile(app, user->spec.default_profile);

	if (chosen && chosen->owner == user)
		return chosen;
	return chain_owner(user->profiles.head, struct profile, in_owner);
}

/* ---- devices ---- */

struct device *known_device(struct call_app *app, struct id id)
{
	for (struct hnode *node = hmap_first(&app->devices, id_hash(id)); node;
	     node = hmap_same(node)) {
		struct device *device = container_of_(node, struct device, node);

		if (id_eq(device->id, id))
			return device;
	}
	return NULL;
}

void directory_put_device(struct call_app *app, struct device_spec *spec)
{
	struct device *device = known_device(app, spec->id);

	engine_device_put(app->engine, spec);
	if (!device) {
		device = xzalloc(sizeof(*device));
		device->id = spec->id;
		device->user = user_ref(user_want(app, spec->user, tenant_want(app, spec->tenant)));
		hmap_add(&app->devices, &device->node, id_hash(spec->id));
		chain_append(&device->user->devices, &device->in_user);
	}
	explicit_bzero(spec, sizeof(*spec));
	free(spec);
}

void directory_drop_device(struct call_app *app, struct device *device)
{
	engine_device_drop(app->engine, device->id);
	hmap_del(&app->devices, &device->node);
	chain_remove(&device->user->devices, &device->in_user);
	user_unref(app, device->user);
	free(device);
}

unsigned devices_online(struct call_app *app, struct user *user)
{
	struct device *device;
	unsigned count = 0;

	chain_each(device, &user->devices, in_user)
		count += engine_device_online(app->engine, device->id);
	return count;
}

/* ---- the end ---- */

/* The maps are emptied by forgetting them whole, so an entry's successor is looked up before it goes. */
#define EACH_ENTRY(node, then, map)                                                                \
	for (size_t cursor = 0, once = (((node) = hmap_iter((map), &cursor, NULL)), 1); once;      \
	     once = 0)                                                                             \
		for (; (node) && ((then) = hmap_iter((map), &cursor, (node)), true);               \
		     (node) = (then))

static void devices_fini(struct call_app *app)
{
	struct hnode *node, *then;

	EACH_ENTRY(node, then, &app->devices)
	{
		struct device *device = container_of_(node, struct device, node);

		user_unref(app, device->user);
		free(device);
	}
	hmap_fini(&app->devices);
}

static void profiles_fini(struct call_app *app)
{
	struct hnode *node, *then;

	EACH_ENTRY(node, then, &app->profiles)
	{
		struct profile *profile = container_of_(node, struct profile, node);

		waiters_tell(app, profile, true);
		profile_unref(profile);
	}
	hmap_fini(&app->profiles);
}

void directory_fini(struct call_app *app)
{
	struct hnode *node, *then;

	devices_fini(app);
	profiles_fini(app);
	EACH_ENTRY(node, then, &app->users)
	user_unref(app, container_of_(node, struct user, node));
	EACH_ENTRY(node, then, &app->tenants)
	{
		struct tenant *tenant = container_of_(node, struct tenant, node);

		free(tenant->spec);
		free(tenant);
	}
	hmap_fini(&app->users);
	hmap_fini(&app->extensions);
	hmap_fini(&app->tenants);
}
