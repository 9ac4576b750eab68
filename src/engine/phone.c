/* Devices: the users' own phones, registered at sip/registrar.h. Passwords are not kept, only their hashes. */
#include "engine/private.h"

#include "engine/json_text.h"

struct phone *phone_get(struct engine *engine, struct id id)
{
	for (struct hnode *node = hmap_first(&engine->phones, id_hash(id)); node;
	     node = hmap_same(node)) {
		struct phone *phone = container_of_(node, struct phone, node);

		if (id_eq(phone->keys.id, id))
			return phone;
	}
	return NULL;
}

static struct phone *phone_named(struct engine *engine, const char *username)
{
	struct hnode *node = hmap_first(&engine->phone_names, hkey_text(username));

	for (; node; node = hmap_same(node)) {
		struct phone *phone = container_of_(node, struct phone, name_node);

		if (str_eq(phone->username, username))
			return phone;
	}
	return NULL;
}

bool phone_lookup(const char *username, struct registrar_device *ret, void *arg)
{
	struct phone *phone = phone_named(arg, username);

	if (phone)
		*ret = phone->keys;
	return phone != NULL;
}

static void hash_keys(struct registrar_device *keys, const struct device_spec *spec,
		      const char *realm)
{
	struct pl user, domain, secret;
	char hex[DIGEST_HEX_SIZE];

	pl_set_str(&user, spec->username);
	pl_set_str(&domain, realm);
	pl_set_str(&secret, spec->password);
	digest_ha1(DIGEST_MD5, user, domain, secret, hex);
	(void)str_copy(keys->ha1_md5, sizeof(keys->ha1_md5), hex);
	digest_ha1(DIGEST_SHA256, user, domain, secret, hex);
	(void)str_copy(keys->ha1_sha256, sizeof(keys->ha1_sha256), hex);
}

void engine_device_put(struct engine *engine, const struct device_spec *spec)
{
	struct registrar *registrar = ua_registrar(engine->ua);
	struct registrar_device keys = { .id = spec->id };
	struct phone *phone = phone_get(engine, spec->id);

	engine_enter(engine);
	hash_keys(&keys, spec, registrar_realm(registrar));
	if (!phone) {
		phone = xzalloc(sizeof(*phone));
		phone->keys.id = spec->id;
		hmap_add(&engine->phones, &phone->node, id_hash(spec->id));
	} else {
		hmap_del(&engine->phone_names, &phone->name_node);
		if (memcmp(&keys, &phone->keys, sizeof(keys)))
			registrar_forget(registrar, spec->id);
	}
	phone->keys = keys;
	(void)str_copy(phone->username, sizeof(phone->username), spec->username);
	hmap_add(&engine->phone_names, &phone->name_node, hkey_text(phone->username));
	engine_leave(engine);
}

void engine_device_drop(struct engine *engine, struct id id)
{
	struct phone *phone = phone_get(engine, id);

	if (!phone)
		return;
	engine_enter(engine);
	registrar_forget(ua_registrar(engine->ua), id);
	engine->devices_online -= phone->bindings > 0;
	hmap_del(&engine->phones, &phone->node);
	hmap_del(&engine->phone_names, &phone->name_node);
	explicit_bzero(phone, sizeof(*phone));
	free(phone);
	engine_leave(engine);
}

bool engine_device_online(struct engine *engine, struct id id)
{
	struct phone *phone = phone_get(engine, id);

	return phone && phone->bindings;
}

void engine_device_restore(struct engine *engine, struct id id, const struct device_binding *old)
{
	struct phone *phone = phone_get(engine, id);
	struct sa source;
	struct registrar_binding binding = {
		.device = id,
		.contact = old->contact,
		.path = old->path,
		.user_agent = old->user_agent,
		.source = &source,
		.expires_us = old->expires_at,
	};

	if (!phone || sa_decode(&source, old->address, strlen(old->address)))
		return;
	engine_enter(engine);
	(void)registrar_restore(ua_registrar(engine->ua), phone->username,
				str_eq(old->transport, "UDP") ? SIP_TRANSP_UDP : SIP_TRANSP_NONE,
				&binding);
	engine_leave(engine);
}

static void binding_text(const struct registrar_binding *binding, struct buf *out)
{
	char address[80] = "";

	if (binding->source)
		(void)re_snprintf(address, sizeof(address), "%J", binding->source);
	buf_adds(out, "{\"address\":");
	json_text_str(out, address);
	buf_adds(out, ",\"transport\":");
	json_text_str(out, binding->flow ? sip_transp_name(flow_transport(binding->flow)) : "");
	buf_adds(out, ",\"user_agent\":");
	json_text_str(out, binding->user_agent);
	buf_adds(out, ",\"contact\":");
	json_text_str(out, binding->contact);
	buf_adds(out, ",\"path\":");
	if (binding->path)
		json_text_str(out, binding->path);
	else
		buf_adds(out, "null");
	buf_adds(out, ",\"expires_at\":");
	json_text_str(out, time_str(binding->expires_us));
	buf_addc(out, '}');
}

char *engine_device_state(struct engine *engine, struct id id)
{
	struct registrar_binding bindings[REGISTRAR_CONTACTS];
	unsigned count =
		registrar_bindings(ua_registrar(engine->ua), id, bindings, ARRAY_LEN(bindings));
	struct buf out = BUF_MAX(16384);

	buf_addc(&out, '[');
	for (unsigned i = 0; i < count; i++) {
		if (i)
			buf_addc(&out, ',');
		binding_text(&bindings[i], &out);
	}
	buf_addc(&out, ']');
	if (out.failed) {
		buf_fini(&out);
		return xstrdup("[]");
	}
	return out.data;
}

void phone_on_bindings(struct id device, unsigned count, const struct registrar_binding *newest,
		       void *arg)
{
	struct engine *engine = arg;
	struct phone *phone = phone_get(engine, device);
	struct queued *queued;

	(void)newest;
	if (!phone)
		return;
	if (!count != !phone->bindings)
		engine->devices_online += count ? 1 : -1u;
	phone->bindings = count;
	engine_enter(engine);
	queued = event_of(engine, ENGINE_DEVICE_STATE);
	queued->event.id = device;
	queued->text = engine_device_state(engine, device);
	event_emit(engine, queued);
	engine_settle(engine);
}

void phones_fini(struct engine *engine)
{
	size_t cursor = 0;
	struct hnode *node = hmap_iter(&engine->phones, &cursor, NULL), *then;

	for (; node; node = then) {
		struct phone *phone = container_of_(node, struct phone, node);

		then = hmap_iter(&engine->phones, &cursor, node);
		explicit_bzero(phone, sizeof(*phone));
		free(phone);
	}
	hmap_fini(&engine->phones);
	hmap_fini(&engine->phone_names);
}
