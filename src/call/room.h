/* call/room.h - conference rooms: private to call/
 *
 *     tenant --< room --< room_member -- leg      who is in it; each member has a call of its own
 *     room -- call (direction conference)         its row in the log, from the first member to the last
 *
 * A leg is in the room's bridge while it is a member; before that it may have to say the PIN (the lobby). Rooms that
 * were made on purpose stay, with their PIN, until they are ended; others end with their last member.
 */
#pragma once

#include "call/private.h"

#define MEMBER_SILENT_MS 30000 /* without a packet: gone without a word */

struct room {
	struct hnode node;
	struct chain_link in_tenant;
	struct call_app *app;
	struct tenant *tenant;
	struct id id, created_by;
	char name[VIEW_NAME_SIZE];
	struct room_settings set;
	bool kept, locked, recording;
	bool ending;	     /* all are being sent away */
	bool alone, waiting; /* as its members know it */
	int64_t created_at, started_at;
	struct call *call; /* NULL: nobody is in it */
	struct bridge *bridge;
	struct chain members, lobby,
		expected; /* expected: calls that will come in once they are answered */
	unsigned moderators;
	struct timer talk; /* runs: who speaks was told a moment ago */
	bool talk_news;
};

struct room_member {
	struct chain_link in_room;
	struct room *room;
	struct leg *leg;
	struct id id;
	char name[VIEW_NAME_SIZE];
	bool in_lobby, moderator, deaf, held, talking;
	bool kept_mute; /* by a moderator: it may not speak by its own decision */
	bool music;	/* hears that instead of the room */
	int64_t joined_at;
	/* in the lobby */
	char digits[ROOM_PIN_SIZE];
	unsigned tries;
	struct timer timer;
};

enum {
	ROOM_E_LOCKED = 1,
	ROOM_E_FULL,
};

/* room.c */
struct room *room_get(struct call_app *app, struct tenant *tenant, const char *name);
struct room *room_new(struct call_app *app, struct tenant *tenant, const char *name,
		      struct id creator);
/* That room, made now if there is none. */
struct room *room_want(struct call_app *app, struct tenant *tenant, const char *name,
		       struct id creator);
/* May so many more come in? Return: 0 or ROOM_E_*. */
must_check int room_admits(const struct room *room, unsigned more);
struct conference_view *room_view(const struct room *room, enum conference_state state);
/* `detail` is taken and may be NULL; `about`: whose doing it is, or NULL. */
void room_publish(struct room *room, enum event_type type, const struct room_member *about,
		  json_t *detail);
/* Somebody came, left, or changed: `member` alone, or (NULL) whoever is concerned. */
void room_settle(struct room *room, struct room_member *member);
/* Hangs up all who are in it or on the way; the room is empty then. */
void room_clear(struct room *room);
void room_free(struct room *room); /* an empty one */
/* Nobody is left: its conference is over. Frees it, unless it was made on purpose. */
void room_emptied(struct room *room);

/* room_member.c */
struct room_member *room_enter(struct room *room, struct leg *leg);
struct room_member *member_get(const struct room *room, struct id id);
void member_publish(struct room_member *member, const char *what);
void member_mute(struct room_member *member, bool muted);
void member_kick(struct room_member *member);
bool member_is_user(const struct room_member *member, struct id user);
