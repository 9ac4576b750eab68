/* call/room.h - conference rooms: private to call/
 *
 *     tenant --< room --< room_member -- leg      who is in it; each member has a call of its own
 *     room -- call (direction conference)         its row in the log, from the first member to the last
 *
 * A leg is in the room's bridge while it is a member; before that it may have to say the PIN (the lobby). Rooms that
 * were made on purpose stay, with their PIN, until they are ended, also over a restart (room_keep.c); others end with
 * their last member.
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
	bool kept, locked;
	unsigned unreadable; /* PINs nobody knows any more: it is shut until they are set again */
	bool kept_news, dropped; /* its row changes with the next event; goes with its end */
	bool ending;		 /* all are being sent away */
	bool alone, waiting;	 /* as its members know it */
	int64_t created_at, started_at;
	struct call *call; /* NULL: nobody is in it */
	struct bridge *bridge;
	struct chain members, lobby, guests,
		expected; /* expected: calls that will come in once they are answered */
	unsigned moderators;
	struct timer talk; /* runs: who speaks was told a moment ago */
	bool talk_news;
	enum recording_state recording_told;
	struct room_guesses *guesses; /* wrong PINs by phone, of late; NULL: none */
	struct timer grace; /* runs: the last moderator has gone, all others are about to */
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
	bool unrecorded;
	int volume; /* dB */
	int64_t joined_at;
	/* in the lobby: what it is asked for; in the room: the star of *6 */
	bool confirms, star;
	char digits[ROOM_PIN_SIZE];
	unsigned tries;
	struct timer timer;
};

enum {
	ROOM_E_LOCKED = 1,
	ROOM_E_FULL,
	ROOM_E_SHUT, /* its PIN is not known */
};

/* room.c */
struct room *room_get(struct call_app *app, struct tenant *tenant, const char *name);
struct room *room_new(struct call_app *app, struct tenant *tenant, const char *name,
		      struct id creator);
/* That room, made now if there is none. NULL: there are as many as there may be. */
struct room *room_want(struct call_app *app, struct tenant *tenant, const char *name,
		       struct id creator);
/* A new room with a name that no other has: calls that are put together without one being asked for. NULL: as above. */
struct room *room_want_any(struct call_app *app, struct tenant *tenant, struct id creator);
/* The room that a call's parties are in, or whose own call it is; or NULL. */
struct room *room_of(const struct call *call);
/* As a member, not in the lobby. */
bool room_has(const struct room *room, const struct leg *leg);
/* May so many more come in? Return: 0 or ROOM_E_*. */
must_check int room_admits(const struct room *room, unsigned more);
struct conference_view *room_view(const struct room *room, enum conference_state state);
/* `detail` is taken and may be NULL; `about`: whose doing it is, or NULL. */
void room_publish(struct room *room, enum event_type type, const struct room_member *about,
		  json_t *detail);
/* Somebody came, left, or changed: `member` alone, or (NULL) whoever is concerned. */
void room_settle(struct room *room, struct room_member *member);
/* Somebody in it must know when the room is recorded. */
bool room_wants_beep(const struct room *room);
/* Hangs up all who are in it or on the way; the room is empty then. */
void room_clear(struct room *room, enum ending_cause cause);
void room_free(struct room *room); /* an empty one */
/* Nobody is left: its conference is over. Frees it, unless it was made on purpose. */
void room_emptied(struct room *room);

/* room_take.c: a live call becomes part of a room; each party hears the others all the time, its recording goes on. */
/* Its parties that are not in that room yet. Return: how many, at most 2. */
unsigned room_movable(const struct call *call, const struct room *room, struct leg *ret[static 2]);
/* Puts them in. The caller has asked room_admits() and whether it may. Holds of the two end. Return: how many came. */
unsigned room_take_call(struct room *room, struct call *call);

/* room_guest.c: who hears a room, and may speak in it, without being a member of it (live monitoring). Nobody in the room
 * is told; guests count for nothing: not as members, not as company, not as moderators.
 */
enum room_guest_mode {
	ROOM_GUEST_LISTENS,  /* nobody hears it */
	ROOM_GUEST_WHISPERS, /* one member alone hears it, no recording does */
	ROOM_GUEST_BARGES,   /* all hear it */
};

struct room_guest {
	struct chain_link in_room;
	struct room *room; /* NULL: in none */
	struct leg *leg;   /* with a channel; of a call that is not in the room */
	enum room_guest_mode mode;
	struct leg *to; /* whom it whispers to */
	/* The conference is over (room NULL by then), or who was whispered to has left (it listens now). */
	void (*on_change)(struct room_guest *guest);
};

/* `guest` is the caller's; `leg` and `on_change` are set. The room has a conference going on (room->call). */
void room_guest_enter(struct room *room, struct room_guest *guest);
/* `to`: a member's leg, for WHISPERS. */
void room_guest_set(struct room_guest *guest, enum room_guest_mode mode, struct leg *to);
/* If it is in a room. Before the leg's channel goes. */
void room_guest_leave(struct room_guest *guest);
/* room.c and room_member.c tell of this. */
void room_guests_member_left(struct room *room, const struct leg *leg);
void room_guests_over(struct room *room);

/* room_keep.c: what a restart brings back. Call the first whenever something of it has changed: its event carries the row. */
void room_kept_changed(struct room *room, const char *what);
struct room_view *room_keep_view(const struct room *room, bool gone);
/* What of `wish->set` is given. */
void room_set(struct room *room, const struct conference_wish *wish);

/* room_lobby.c: the PIN, and pressing 1 */
void lobby_enter(struct room *room, struct leg *leg);
void lobby_digit(struct room_member *member, char digit);
void dismiss(struct leg *leg, enum ending_cause cause,
	     const char *words);		  /* a last word, then it ends */
bool pin_is(const char *pin, const char *digits); /* false for the empty one */

/* room_guesses.c: PINs that are tried out by phone */
/* Too many were wrong already, of this caller or in all: it is not asked for one. */
bool guesses_used_up(struct room *room, const struct leg *caller);
void guess_was_wrong(struct room *room, const struct leg *caller);

/* room_member.c */
struct room_member *room_enter(struct room *room, struct leg *leg);
struct room_member *member_new(struct room *room, struct leg *leg);
void member_come_in(struct room_member *member);	  /* a new one, or out of the lobby */
bool member_wants_beep(const struct room_member *member); /* when it is recorded */
void member_promote(struct room_member *member, bool moderator);
struct room_member *member_get(const struct room *room, struct id id);
void member_publish(struct room_member *member, const char *what);
void member_mute(struct room_member *member, bool muted);
void member_kick(struct room_member *member);
bool member_is_user(const struct room_member *member, struct id user);
