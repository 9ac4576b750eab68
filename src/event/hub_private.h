/* event/hub_private.h - what hub.c (places, histories) and hub_text.c (the protocol's texts) share */
#pragma once

#include "base/hmap.h"
#include "event/hub.h"

#define HUB_OWN_MAX 8	  /* frames for one client alone: hello, snapshot, answers */
#define HUB_TEXT_MAX 4096 /* of a client's text */

struct hub_entry {
	struct hub_frame *frame;
	struct id user, other; /* agents who see it */
	struct id *viewers;    /* and these: who is in the room; own */
	unsigned viewer_count;
	enum event_topic topic;
	int64_t at_s;
	uint64_t offset; /* bytes of the tenant's stream before it */
};

struct hub_tenant {
	struct hnode node;
	struct hub *hub;
	struct id id;
	struct hub_entry *entries; /* a circle: `count` from `first`, the last has next_seq - 1 */
	size_t room, first, count;
	uint64_t next_seq;
	uint64_t offset;
	size_t bytes;
	struct hub_client *clients;
	int64_t clients_left_at; /* when the last client went, seconds */
	bool keeps;		 /* a history: somebody is, or was not long ago, connected */
	bool touched;
	struct hub_tenant *next_touched;
};

enum hub_client_state { HUB_IDLE, HUB_ASKED, HUB_LIVE };

struct hub_client {
	struct hnode node;
	struct hub_client *next, *prev;
	struct hub *hub;
	struct hub_tenant *tenant;
	struct hub_who who;
	const struct hub_client_ops *ops;
	void *arg;
	uint64_t handle;
	enum hub_client_state state;
	bool full; /* refused the last frame; hub_client_ready() ends it */
	unsigned topics;
	uint64_t next_seq; /* the next to be sent, when live */
	struct hub_frame *own[HUB_OWN_MAX];
	unsigned own_count;
};

struct hub {
	struct hub_opts opts;
	struct event_bus *bus;
	struct hmap tenants, clients;
	uint64_t handles;
	size_t bytes;
	int64_t now_s;
	struct hub_tenant *touched;
};

static inline uint64_t hub_oldest(const struct hub_tenant *tenant)
{
	return tenant->next_seq - tenant->count;
}

static inline const struct hub_entry *hub_entry_at(const struct hub_tenant *tenant, uint64_t seq)
{
	return &tenant->entries[(tenant->first + (seq - hub_oldest(tenant))) % tenant->room];
}

struct hub_tenant *hub_tenant_get(struct hub *hub, struct id id);
void hub_tenant_forget(struct hub_tenant *tenant); /* its history */
void hub_client_close(struct hub_client *client, int code, const char *reason);
/* Takes the frame's reference. Return: false when the client was closed. */
must_check bool hub_client_own(struct hub_client *client, struct hub_frame *frame);
bool hub_client_go_live(struct hub_client *client, uint64_t next_seq);

/* hub_text.c: new frames */
struct hub_frame *hub_hello(const struct hub_client *client);
struct hub_frame *hub_event_frame(const struct event *event);
struct hub_frame *hub_snapshot_frame(const struct hub_client *client,
				     const struct event_snapshot *snapshot);
