/* The protocol of /ws/events: what the server writes and what clients may say (API.md section 9) */
#include "base/base.h"
#include "event/hub_private.h"

#include <jansson.h>

#define REAL_DIGITS 6
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS))
#define FRAME_MAX (16u << 20) /* far above the largest event */

struct hub_frame *hub_frame_ref(struct hub_frame *frame)
{
	frame->refs++;
	return frame;
}

struct hub_frame *hub_frame_unref(struct hub_frame *frame)
{
	if (frame && --frame->refs == 0)
		free(frame);
	return NULL;
}

/* Takes the object. */
static struct hub_frame *frame_of(json_t *json)
{
	size_t len = json_dumpb(json, NULL, 0, DUMP_FLAGS);
	struct hub_frame *frame = xzalloc(sizeof(*frame) + len + 1);

	frame->refs = 1;
	frame->len = json_dumpb(json, frame->text, len, DUMP_FLAGS);
	json_decref(json);
	return frame;
}

static json_t *id_json(struct id id)
{
	return id_is_none(id) ? json_null() : json_string(id_str(id));
}

struct hub_frame *hub_hello(const struct hub_client *client)
{
	const struct hub_tenant *tenant = client->tenant;
	uint64_t seq = tenant->next_seq - 1;
	/* Never beyond the newest: with nothing kept, there is nothing older to be had than now. */
	uint64_t oldest = tenant->count ? hub_oldest(tenant) : seq;

	return frame_of(json_pack("{s:s, s:o, s:i, s:I, s:I, s:o}", "type", "hello", "session",
				  id_json(id_new()), "heartbeat_ms", HUB_HEARTBEAT_MS, "oldest_seq",
				  (json_int_t)oldest, "seq", (json_int_t)seq, "time",
				  json_string(time_str(clock_wall_us()))));
}

/* Takes the text. */
static struct hub_frame *frame_of_text(struct buf *text)
{
	struct hub_frame *frame = xzalloc(sizeof(*frame) + text->len + 1);

	bug_on(text->failed);
	frame->refs = 1;
	frame->len = text->len;
	memcpy(frame->text, text->data, text->len);
	buf_fini(text);
	return frame;
}

static json_t *event_object(const struct event *event, json_t *detail)
{
	if (event->conference)
		return conference_view_json(event->conference);
	if (event->recording)
		return recording_view_json(event->recording);
	if (event->monitor)
		return monitor_view_json(event->monitor);
	return detail ? json_incref(detail) : json_object();
}

static void event_data(struct jot *out, const struct event *event, json_t *detail)
{
	json_t *json;

	if (event->call || event->registration) {
		jot_open(out, "data", '{');
		if (event->call)
			call_view_jot(out, event->call);
		else
			registration_view_jot(out, event->registration, false);
		jot_close(out, '}');
		return;
	}
	json = event_object(event, detail);
	jot_json(out, "data", json);
	json_decref(json);
}

struct hub_frame *hub_event_frame(const struct event *event)
{
	json_t *detail = event->detail ? json_loads(event->detail, JSON_DECODE_ANY, NULL) : NULL;
	struct buf text = BUF_MAX(FRAME_MAX);
	struct jot out = { .buf = &text, .digits = REAL_DIGITS };

	jot_open(&out, NULL, '{');
	if (event->seq)
		jot_int(&out, "seq", (int64_t)event->seq);
	else
		jot_null(&out, "seq");
	jot_id(&out, "id", event->id);
	jot_word(&out, "type", event_type_names[event->type]);
	jot_time(&out, "time", event->time);
	jot_id(&out, "profile_id", event->profile_id);
	jot_id(&out, "call_id", event->call_id);
	if (event->call)
		jot_int(&out, "call_seq", event->call->seq);
	else
		jot_null(&out, "call_seq");
	event_data(&out, event, detail);
	if (detail)
		jot_json(&out, "detail", detail);
	jot_close(&out, '}');
	json_decref(detail);
	return frame_of_text(&text);
}

static json_t *calls_json(const struct event_snapshot *snapshot)
{
	json_t *list = json_array();

	for (size_t i = 0; i < snapshot->call_count; i++)
		json_array_append_new(list, call_view_json(snapshot->calls[i]));
	return list;
}

static json_t *registrations_json(const struct event_snapshot *snapshot)
{
	json_t *list = json_array();

	for (size_t i = 0; i < snapshot->registration_count; i++)
		json_array_append_new(list,
				      registration_view_json(snapshot->registrations[i], false));
	return list;
}

static json_t *conferences_json(const struct event_snapshot *snapshot)
{
	json_t *list = json_array();

	for (size_t i = 0; i < snapshot->conference_count; i++)
		json_array_append_new(list, conference_view_json(snapshot->conferences[i]));
	return list;
}

static json_t *recordings_json(const struct event_snapshot *snapshot)
{
	json_t *list = json_array();

	for (size_t i = 0; i < snapshot->recording_count; i++)
		json_array_append_new(list, recording_view_json(snapshot->recordings[i]));
	return list;
}

static json_t *monitors_json(const struct event_snapshot *snapshot)
{
	json_t *list = json_array();

	for (size_t i = 0; i < snapshot->monitor_count; i++)
		json_array_append_new(list, monitor_view_json(snapshot->monitors[i]));
	return list;
}

struct hub_frame *hub_snapshot_frame(const struct hub_client *client,
				     const struct event_snapshot *snapshot)
{
	json_t *json = json_pack("{s:s, s:I}", "type", "snapshot", "as_of_seq",
				 (json_int_t)snapshot->as_of_seq);

	for (unsigned topic = 0; topic < TOPIC_COUNT; topic++) {
		json_t *list;

		if (!(client->topics & (1u << topic)))
			continue;
		list = topic == TOPIC_CALLS	      ? calls_json(snapshot)
		       : topic == TOPIC_REGISTRATIONS ? registrations_json(snapshot)
		       : topic == TOPIC_CONFERENCES   ? conferences_json(snapshot)
		       : topic == TOPIC_RECORDINGS    ? recordings_json(snapshot)
		       : topic == TOPIC_MONITORING    ? monitors_json(snapshot)
						      : json_array();
		json_object_set_new(json, event_topic_names[topic], list);
	}
	return frame_of(json);
}

static bool say_error(struct hub_client *client, const char *code, const char *detail)
{
	return hub_client_own(client, frame_of(json_pack("{s:s, s:s, s:s}", "type", "error", "code",
							 code, "detail", detail)));
}

/* No topics at all means all of them. */
static bool topics_parse(const json_t *list, unsigned *ret_topics)
{
	unsigned topics = 0;

	if (!list) {
		*ret_topics = (1u << TOPIC_COUNT) - 1;
		return true;
	}
	if (!json_is_array(list) || json_array_size(list) > 32)
		return false;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		unsigned topic = 0;

		while (topic < TOPIC_COUNT &&
		       !(name && strcmp(event_topic_names[topic], name) == 0))
			topic++;
		if (topic == TOPIC_COUNT)
			return false;
		topics |= 1u << topic;
	}
	*ret_topics = topics;
	return topics != 0;
}

/* Every event after `since` is still there, or there was none. */
static bool can_resume(const struct hub_tenant *tenant, json_int_t since)
{
	return since >= 0 && (uint64_t)since + 1 >= hub_oldest(tenant) &&
	       (uint64_t)since < tenant->next_seq;
}

static bool on_subscribe(struct hub_client *client, const json_t *message)
{
	struct hub *hub = client->hub;
	const json_t *since = json_object_get(message, "since");
	unsigned topics;

	if (!topics_parse(json_object_get(message, "topics"), &topics))
		return say_error(client, "unknown_topic", "topics is a list of known topics.");
	if (since && !json_is_null(since) && !json_is_integer(since))
		return say_error(client, "invalid_since", "since is the seq of an event.");
	if (client->state == HUB_ASKED) /* the answer on its way serves the new topics too */
		return client->topics = topics, true;

	client->topics = topics;
	if (json_is_integer(since) && can_resume(client->tenant, json_integer_value(since)))
		return hub_client_go_live(client, (uint64_t)json_integer_value(since) + 1);
	client->state = HUB_ASKED;
	if (hub->opts.ask_snapshot(hub->opts.arg, client->handle, client->who.tenant,
				   client->who.user))
		return true;
	hub_client_close(client, HUB_CLOSE_RESYNC, "no snapshot now");
	return false;
}

bool hub_client_text(struct hub_client *client, const char *text, size_t len)
{
	json_t *message = len <= HUB_TEXT_MAX ? json_loadb(text, len, 0, NULL) : NULL;
	const char *type = json_string_value(json_object_get(message, "type"));
	bool alive;

	if (!json_is_object(message) || !type) {
		json_decref(message);
		hub_client_close(client, HUB_CLOSE_BAD_TEXT, "not a message of this protocol");
		return false;
	}
	if (strcmp(type, "subscribe") == 0)
		alive = on_subscribe(client, message);
	else if (strcmp(type, "ping") == 0)
		alive = hub_client_own(client, frame_of(json_pack("{s:s}", "type", "pong")));
	else if (strcmp(type, "pong") == 0)
		alive = true;
	else
		alive = say_error(client, "unknown_type", "Known types: subscribe, ping, pong.");
	json_decref(message);
	return alive;
}
