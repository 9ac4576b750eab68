/* What the API tells and asks the call loop: rows become specs, replies are waited for */
#include "api/private.h"

#include <stdio.h>

#define ASK_MS 5000

struct asker api_asker(const struct api_req *req)
{
	static const int roles[] = {
		[USER_AGENT] = ASKER_AGENT,
		[USER_SUPERVISOR] = ASKER_SUPERVISOR,
		[USER_ADMIN] = ASKER_ADMIN,
	};

	return (struct asker){ .tenant = req->user->tenant,
			       .user = req->user->id,
			       .role = roles[req->user->role] };
}

struct reply *api_ask(struct api_req *req, struct command *command)
{
	command->asker = api_asker(req);
	return call_ask(req->api->setup.gate, command, ASK_MS);
}

struct api_done *api_list_live_of(struct api_req *req, struct command *command,
				  void (*row)(struct jot *out, const struct reply *reply,
					      unsigned i))
{
	struct db_page_info info = { 0 };
	struct db_page page;
	struct reply *reply;
	struct api_list_out list;
	struct api_done *no = api_page(req, &page);

	if (no) {
		command_fini(command);
		return no;
	}
	command->offset = (page.number - 1) * page.size;
	command->limit = page.size;
	reply = api_ask(req, command);
	if (!reply || reply->code != REPLY_OK)
		return api_fail_reply(req, reply);
	if (page.number > 1 && !reply->count) {
		reply_free(reply);
		return api_fail(req, DB_PAGE_E_RANGE);
	}
	info.count = reply->total;
	info.number = page.number;
	info.size = page.size;
	info.has_previous = page.number > 1;
	info.has_next = command->offset + reply->count < reply->total;
	api_list_begin(req, &info, &list);
	for (unsigned i = 0; i < reply->count; i++)
		row(&list.rows, reply, i);
	reply_free(reply);
	return api_list_end(req, &list);
}

struct api_done *api_list_live(struct api_req *req, enum command_type type,
			       void (*row)(struct jot *out, const struct reply *reply, unsigned i))
{
	return api_list_live_of(req, &(struct command){ .type = type }, row);
}

bool api_tell(struct api *api, struct command *command)
{
	return call_post(api->setup.gate, command);
}

bool api_tell_user(struct api *api, const struct user *user)
{
	struct command command = {
		.type = COMMAND_USER_PUT,
		.asker = { .tenant = user->tenant_id, .user = user->id, .role = ASKER_ADMIN },
		.user_id = user->id,
		.body = api_user_spec(user),
	};

	return api_tell(api, &command);
}

static void copy(char *dst, size_t size, const char *src)
{
	/* The tables' own limits are below the specs' sizes. */
	if (!str_copy(dst, size, src ? src : ""))
		log_error("a stored value is longer than its spec: cut");
}

struct user_spec *api_user_spec(const struct user *user)
{
	struct user_spec *spec = xzalloc(sizeof(*spec));

	spec->id = user->id;
	spec->tenant = user->tenant_id;
	spec->default_profile = user->default_profile_id;
	spec->active = user->active;
	spec->may_monitor = user->role != USER_AGENT;
	copy(spec->extension, sizeof(spec->extension), user->extension);
	copy(spec->name, sizeof(spec->name), user->name);
	return spec;
}

static void prefixes(char dst[DESTINATIONS_MAX][32], const char **src)
{
	for (unsigned i = 0; src && src[i] && i < DESTINATIONS_MAX; i++)
		copy(dst[i], sizeof(dst[i]), src[i]);
}

struct tenant_spec *api_tenant_spec(const struct tenant *tenant)
{
	struct tenant_spec *spec = xzalloc(sizeof(*spec));

	spec->id = tenant->id;
	spec->max_calls = tenant->max_calls;
	spec->calls_per_minute = tenant->calls_per_minute;
	spec->minutes_per_day = tenant->minutes_per_day;
	prefixes(spec->allowed, tenant->allowed);
	prefixes(spec->blocked, tenant->blocked);
	return spec;
}

struct device_spec *api_device_spec(const struct seal *seal, const struct device *device)
{
	char password[SEAL_MAX + 1];
	struct device_spec *spec;

	if (device_password(seal, device, password) != 0)
		return NULL;
	spec = xzalloc(sizeof(*spec));
	spec->id = device->id;
	spec->tenant = device->tenant_id;
	spec->user = device->user_id;
	copy(spec->username, sizeof(spec->username), device->username);
	copy(spec->password, sizeof(spec->password), password);
	copy(spec->name, sizeof(spec->name), device->name);
	seal_forget(password, sizeof(password));
	return spec;
}

struct room_spec *api_room_spec(const struct seal *seal, const struct room_row *row)
{
	char pin[SEAL_MAX + 1] = "", moderator_pin[SEAL_MAX + 1] = "";
	struct room_spec *spec = xzalloc(sizeof(*spec));

	if (room_open_pin(seal, row, ROOM_PIN, pin)) {
		spec->unreadable |= ROOM_SET_PIN;
		pin[0] = '\0';
	}
	if (room_open_pin(seal, row, ROOM_MODERATOR_PIN, moderator_pin)) {
		spec->unreadable |= ROOM_SET_MODERATOR_PIN;
		moderator_pin[0] = '\0';
	}
	spec->id = row->id;
	spec->tenant = row->tenant_id;
	spec->created_by = row->created_by;
	copy(spec->name, sizeof(spec->name), row->name);
	copy(spec->set.pin, sizeof(spec->set.pin), pin);
	copy(spec->set.moderator_pin, sizeof(spec->set.moderator_pin), moderator_pin);
	spec->set.max_members = row->max_members;
	spec->set.grace_s = row->grace_s;
	spec->set.join_muted = row->join_muted;
	spec->set.tones = row->tones;
	spec->set.wait_for_moderator = row->wait_for_moderator;
	spec->set.end_on_moderator_exit = row->end_on_moderator_exit;
	spec->set.record = row->record;
	spec->set.keys = row->keys;
	spec->locked = row->locked;
	spec->created_at = row->created_at;
	seal_forget(pin, sizeof(pin));
	seal_forget(moderator_pin, sizeof(moderator_pin));
	return spec;
}

_Static_assert((int)PROFILE_TLS == (int)TRANSPORT_TLS, "the table's order is the engine's");
_Static_assert((int)PROFILE_INCOMING_CONFERENCE == (int)INCOMING_CONFERENCE,
	       "the table's order is the engine's");
_Static_assert((int)PROFILE_RECORD_ON_DEMAND == (int)RECORD_ON_DEMAND,
	       "the table's order is the engine's");

static void line_names(struct line_spec *spec, const struct sip_profile *profile)
{
	copy(spec->server, sizeof(spec->server), profile->server);
	copy(spec->outbound_proxy, sizeof(spec->outbound_proxy), profile->outbound_proxy);
	copy(spec->username, sizeof(spec->username), profile->username);
	copy(spec->auth_username, sizeof(spec->auth_username), profile->auth_username);
	copy(spec->caller_number, sizeof(spec->caller_number), profile->caller_number);
	copy(spec->caller_name, sizeof(spec->caller_name), profile->caller_name);
	copy(spec->incoming_target, sizeof(spec->incoming_target), profile->incoming_target);
	for (unsigned i = 0; profile->codecs && profile->codecs[i] && i < ARRAY_LEN(spec->codecs);
	     i++)
		copy(spec->codecs[i], sizeof(spec->codecs[i]), profile->codecs[i]);
}

struct line_spec *api_line_spec(const struct seal *seal, const struct sip_profile *profile)
{
	char password[SEAL_MAX + 1] = "";
	struct line_spec *spec;

	/* A profile that was never stored (a test) has its password in the clear. */
	if (profile->password)
		copy(password, sizeof(password), profile->password);
	else if (profile_password(seal, profile, password) != 0)
		return NULL;

	spec = xzalloc(sizeof(*spec));
	spec->id = profile->id;
	spec->tenant = profile->tenant_id;
	spec->owner = profile->owner;
	spec->port = profile->port;
	spec->transport = (enum transport_kind)profile->transport;
	spec->caller_mode = (enum caller_id_mode)profile->caller_mode;
	spec->registers = profile->register_;
	spec->enabled = profile->enabled;
	spec->expires = profile->expires;
	spec->dtmf = (enum dtmf_mode)profile->dtmf_mode;
	spec->srtp = (enum srtp_mode)profile->srtp;
	spec->max_calls = profile->max_calls;
	spec->record = (__typeof__(spec->record))profile->record;
	spec->incoming = (enum incoming_type)profile->incoming_type;
	spec->incoming_id = profile->incoming_id;
	spec->mask_dtmf = profile->mask_dtmf;
	spec->record_beep = profile->record_beep;
	spec->hold_music = profile->hold_music;
	line_names(spec, profile);
	copy(spec->password, sizeof(spec->password), password);
	seal_forget(password, sizeof(password));
	return spec;
}
