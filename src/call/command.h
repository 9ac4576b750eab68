/* call/command.h - what the API asks of the call loop
 *
 * A command is a value with an owned body and a ticket; the call loop carries it out, in order of arrival, and
 * gives one reply. A worker waits at most 5 s for it (call_ask()). Nothing here touches the database: what must be
 * stored is stored by the worker before it tells the call loop (profiles, devices), or by the journal (calls).
 */
#pragma once

#include "base/ring.h"
#include "engine/spec.h"
#include "event/view.h"

enum command_type {
	COMMAND_PROFILE_PUT,  /* body: struct line_spec; a new profile, or a changed one */
	COMMAND_PROFILE_DROP, /* profile_id, force; reply IN_USE while calls are up and not forced */
	COMMAND_PROFILE_REGISTER, /* profile_id, on; reply: registration */
	COMMAND_PROFILE_WAIT, /* profile_id, timeout_ms: reply once a resting state is reached or time is up */
	COMMAND_REGISTRATIONS, /* ids, id_count (a page of profiles): reply: registrations, in that order */
	COMMAND_PROFILE_TEST, /* body: struct line_spec, not kept; reply: text (JSON steps), may take 20 s */
	COMMAND_DEVICE_PUT,	/* body: struct device_spec */
	COMMAND_DEVICE_RESTORE, /* device_id, body: JSON text, its bindings of before the start */
	COMMAND_DEVICE_DROP,	/* device_id */
	COMMAND_DEVICES,	/* ids: reply: text (JSON array of bindings, in that order) */
	COMMAND_USER_PUT, /* body: struct user_spec: extension, default profile; needed for routing */
	COMMAND_USER_DROP,   /* user_id: its devices and profiles were dropped one by one before */
	COMMAND_TENANT_PUT,  /* body: struct tenant_spec: limits and destination policy */
	COMMAND_MAKE_CALL,   /* body: struct make_call; reply: call */
	COMMAND_ANSWER_CALL, /* body: struct connect_spec, call_id; reply: call */
	COMMAND_HANGUP_CALL, /* call_id, leg_id?, hangup_reason; reply: call */
	COMMAND_DTMF,	     /* body: struct dtmf_request, call_id, leg_id?; reply: operation_id */
	COMMAND_HOLD_CALL,   /* call_id, on; reply: call */
	COMMAND_MUTE_LEG,    /* call_id, leg_id, on; reply: call */
	COMMAND_TRANSFER,    /* body: struct transfer_wish, call_id; reply: call, consult_id */
	COMMAND_RECORD,	     /* body: struct record_wish, call_id; reply: recording */
	COMMAND_RECORDING_REPAIRED, /* body: struct recording_view, of before the start */
	COMMAND_RECORDING_DELETED,  /* body: struct recording_deleted, call_id */
	COMMAND_ROOM_PUT,	    /* body: struct room_spec: one that is kept, at the start */
	COMMAND_CONFERENCE, /* body: struct conference_wish; reply: conferences (one), maybe call */
	COMMAND_CONFERENCES, /* rooms the asker may see: reply: conferences (page by offset, limit) */
	COMMAND_CONFERENCE_GET, /* body: struct conference_wish, its room; reply: conferences (one) */
	COMMAND_MONITOR,	/* body: struct monitor_wish; reply: monitor */
	COMMAND_MONITOR_CALLS, /* body: struct monitor_filter: reply: calls, monitors (page by offset, limit) */
	COMMAND_CALLS, /* live calls the asker may see, newest first: reply: calls (page by offset, limit) */
	COMMAND_CALL_GET, /* call_id; reply: call, or NOT_FOUND when it is not live */
	COMMAND_SNAPSHOT, /* client (the hub's handle): answered through the event bus, not here */
	COMMAND_DRAIN, /* no new calls; unregister; reply once no call is left or timeout_ms passed */
	COMMAND_STATUS, /* reply: text (JSON: counts for readyz and metrics) */
};

/* Outcomes; 0 is done. The API maps each to a status and code (API.md). */
enum reply_code {
	REPLY_OK,
	REPLY_NOT_FOUND,	  /* 404 */
	REPLY_FORBIDDEN,	  /* 403 */
	REPLY_NO_DEVICE,	  /* 409 no_device */
	REPLY_PROFILE_NOT_USABLE, /* 409 profile_not_usable; detail says why */
	REPLY_PROFILE_IN_USE,	  /* 409 profile_in_use */
	REPLY_WRONG_STATE,	  /* 409 wrong_state, with state */
	REPLY_CALL_HELD,	  /* 409 call_held */
	REPLY_DESTINATION,	  /* 403 destination_not_allowed */
	REPLY_NO_RECORDING,	  /* 403 recording_not_allowed */
	REPLY_LIMIT,		  /* 429 limit; retry_after_s */
	REPLY_INVALID,		  /* 400; field and detail name it */
	REPLY_ROOM_EXISTS,	  /* 409 room_exists */
	REPLY_ROOM_LOCKED,	  /* 409 room_locked */
	REPLY_ROOM_FULL,	  /* 409 room_full */
	REPLY_WRONG_PIN,	  /* 403 wrong_pin */
	REPLY_UNSUPPORTED,	  /* 409 not_supported: this connect kind is not built in yet */
	REPLY_DRAINING,		  /* 503 draining */
	REPLY_FAILED,		  /* 500 */
};

/* Who asks: decides what may be seen and touched. */
struct asker {
	struct id tenant, user;
	enum { ASKER_AGENT, ASKER_SUPERVISOR, ASKER_ADMIN } role;
};

/* Bodies are one malloc with fixed arrays, freed by command_fini() after their secrets were zeroed. */
struct user_spec {
	struct id id, tenant, default_profile;
	char extension[16], name[VIEW_NAME_SIZE];
	bool active, may_monitor;
};

#define DESTINATIONS_MAX 64
struct tenant_spec {
	struct id id;
	int max_calls, calls_per_minute, minutes_per_day; /* 0: the operator's default */
	char allowed[DESTINATIONS_MAX][32],
		blocked[DESTINATIONS_MAX][32]; /* number prefixes; empty ends */
};

enum connect_kind {
	CONNECT_ANY_DEVICE,
	CONNECT_DEVICE,
	CONNECT_NUMBER,
	CONNECT_SAY,
	CONNECT_PLAY,
	CONNECT_ECHO,
	CONNECT_IVR,
	CONNECT_FLOW,
	CONNECT_CONFERENCE
};

struct connect_spec {
	enum connect_kind kind;
	struct id id;		       /* device, prompt, ivr */
	char number[VIEW_NUMBER_SIZE]; /* number or room */
	struct id profile;	       /* CONNECT_NUMBER: through which; none: the call's own */
	char text[4096];	       /* say */
	char path[512];		       /* play: the prompt's file, found by the API */
};

/* Which digits come in is told to nobody: as the profile says, or as was said of this call. */
enum dtmf_mask { MASK_PROFILE, MASK_ON, MASK_OFF };

struct make_call {
	struct id profile;
	char to[VIEW_NUMBER_SIZE];
	struct connect_spec connect;
	int ring_timeout_s, max_duration_s; /* 0: the default */
	bool record;
	enum dtmf_mask mask;
	bool confirm; /* CONNECT_CONFERENCE: who answers is in the room once they have pressed 1 */
	char caller_number[VIEW_NUMBER_SIZE],
		caller_name[VIEW_NAME_SIZE]; /* empty: the profile's */
	char variables[2048];
};

struct dtmf_request {
	char digits[DTMF_DIGITS_MAX + 1]; /* 0-9 * # A-D , w; empty: only the mask is set */
	enum dtmf_mask mask;		  /* from now on; MASK_PROFILE: as it is */
	int duration_ms, gap_ms;
	enum dtmf_mode method;
};

struct record_wish {
	enum { RECORD_START, RECORD_STOP, RECORD_PAUSE, RECORD_RESUME } action;
	bool stereo;
};

struct recording_deleted {
	struct id id, left; /* left: the newest of its call that is there still; or none */
};

struct transfer_wish {
	enum transfer_action {
		TRANSFER_START,
		TRANSFER_COMPLETE,
		TRANSFER_CANCEL,
		TRANSFER_SWAP,
		TRANSFER_CONFERENCE,
	} action;
	/* to start one */
	enum transfer_mode { TRANSFER_BLIND, TRANSFER_ATTENDED, TRANSFER_REFER } mode;
	char to[VIEW_NUMBER_SIZE]; /* a number or an extension; empty: */
	struct connect_spec connect;
	bool hangup_on_fail;	   /* else the one who transferred is called again */
	bool release_now;	   /* blind: does not wait until the target rings */
	int ring_timeout_s;	   /* of the target; 0: the default */
	char room[VIEW_NAME_SIZE]; /* conference: empty: any */
};

#define ROOM_PIN_SIZE 20
#define ROOM_MEMBERS_MAX 500
#define TENANT_ROOMS_MAX 1000

struct room_settings {
	char pin[ROOM_PIN_SIZE], moderator_pin[ROOM_PIN_SIZE]; /* digits; empty: none */
	int max_members, grace_s; /* grace_s: of end_on_moderator_exit */
	bool join_muted, tones, wait_for_moderator, record;
	bool end_on_moderator_exit; /* the last one's: grace_s later everybody else is sent home */
	bool keys;		    /* members mute themselves by *6 */
};

/* One that is kept. */
struct room_spec {
	struct id id, tenant, created_by;
	char name[VIEW_NAME_SIZE];
	struct room_settings set;
	unsigned
		unreadable; /* enum room_setting: of the two PINs, those whose seal does not open */
	bool locked;
	int64_t created_at;
};

enum room_setting {
	ROOM_SET_PIN = 1 << 0,
	ROOM_SET_MODERATOR_PIN = 1 << 1,
	ROOM_SET_MAX_MEMBERS = 1 << 2,
	ROOM_SET_GRACE = 1 << 3,
	ROOM_SET_JOIN_MUTED = 1 << 4,
	ROOM_SET_TONES = 1 << 5,
	ROOM_SET_WAIT = 1 << 6,
	ROOM_SET_RECORD = 1 << 7,
	ROOM_SET_END = 1 << 8,
	ROOM_SET_KEYS = 1 << 9,
};

enum conference_action {
	CONFERENCE_CREATE,
	CONFERENCE_JOIN,
	CONFERENCE_ADD,
	CONFERENCE_MUTE,
	CONFERENCE_UNMUTE,
	CONFERENCE_DEAF,
	CONFERENCE_UNDEAF,
	CONFERENCE_HOLD,
	CONFERENCE_RESUME,
	CONFERENCE_KICK, /* up to here a member may do it to itself */
	CONFERENCE_PROMOTE,
	CONFERENCE_DEMOTE,
	CONFERENCE_VOLUME, /* up to here it is done to a member */
	CONFERENCE_LOCK,
	CONFERENCE_UNLOCK,
	CONFERENCE_RECORD,
	CONFERENCE_UPDATE,
	CONFERENCE_END,
};

struct conference_wish {
	enum conference_action action;
	char room[VIEW_NAME_SIZE];
	struct room_settings set;  /* create, update */
	unsigned given;		   /* update: enum room_setting: what of `set` */
	struct id call, device;	   /* join: a live call, or the phone (none: any of the asker's) */
	struct record_wish record; /* record */
	char pin[ROOM_PIN_SIZE];   /* join: of a room that has one */
	struct id profile;	   /* add: through which, */
	char to[VIEW_NUMBER_SIZE]; /* and whom */
	bool confirm;		   /* add: whoever answers must press 1 */
	struct id member;	   /* mute and so on */
	int volume;		   /* dB */
};

struct monitor_wish {
	enum { MONITOR_START, MONITOR_GET, MONITOR_CHANGE, MONITOR_STOP } action;
	struct id monitor; /* START: what its id shall be */
	/* start */
	struct id call;
	char room[VIEW_NAME_SIZE]; /* instead of a call */
	struct connect_spec connect;
	bool follow_agent;
	/* start; change: those that are there */
	bool has_mode, has_muted, has_beep, has_target;
	enum monitor_mode mode;
	bool muted, beep;
	struct id target; /* none: our side's leg */
	char client_addr[48];
	struct id actor; /* set by the call loop */
};

#define MONITOR_FILTER_IDS 32
struct monitor_filter {
	struct id profiles[MONITOR_FILTER_IDS];
	unsigned profile_count; /* 0: all */
	struct id user;
	bool has_state, has_direction;
	enum call_state state;
	enum call_direction direction;
};

enum hangup_reason { HANGUP_NORMAL, HANGUP_BUSY, HANGUP_DECLINED };

struct reply;

struct command {
	enum command_type type;
	struct asker asker;
	struct ticket *ticket; /* where the reply goes: this, */
	void (*on_reply)(void *arg,
			 struct reply *reply); /* or this, on the call loop's thread; or nowhere */
	void *on_reply_arg;
	void *body; /* owned, by type above; NULL where none is named */
	struct id profile_id, device_id, user_id, call_id, leg_id;
	bool force, on;
	unsigned timeout_ms, offset, limit;
	uint64_t client;
	enum hangup_reason hangup_reason;
	struct id *ids; /* owned */
	unsigned id_count;
};

struct reply {
	enum reply_code code;
	char field[32], detail[200];
	int retry_after_s;
	const char *
		state; /* WRONG_STATE, and HANGUP_CALL of what had ended before: a static name; else NULL */
	struct call_view *call;
	struct id operation_id, consult_id;
	struct recording_view *recording;
	struct monitor_view *monitor;
	struct monitor_view **monitors; /* of the calls beside them, in their order */
	unsigned monitor_count;
	unsigned count; /* of calls, registrations or conferences */
	unsigned total; /* CALLS, CONFERENCES: how many there are in all */
	struct call_view **calls;
	struct registration_view **registrations;
	struct conference_view **conferences;
	char *text;
};

void reply_free(void *reply);		    /* with all it owns */
void command_fini(struct command *command); /* zeroes secrets, frees body and ids */

struct call_gate; /* the ring into the call loop */

/* Any thread. For who sends very many and can wait: would call_post() take one now (were it alone)? */
bool call_gate_has_room(const struct call_gate *gate);
/* Any thread. Takes what the command owns in every case. Return: true when it was queued. */
must_check bool call_post(struct call_gate *gate, struct command *command);
/* A worker: posts and waits. Return: the reply (free with reply_free), or NULL when the call loop did not
 * answer in time or its queue is full: answer 503.
 */
struct reply *call_ask(struct call_gate *gate, struct command *command, unsigned timeout_ms)
	must_check;
/* Like call_ask but hands the reply to `on_reply` on the call loop's thread, which must only pass it on
 * (a parked HTTP request). Return: false when it was not queued; on_reply is then never called.
 */
must_check bool call_ask_async(struct call_gate *gate, struct command *command,
			       void (*on_reply)(void *arg, struct reply *reply), void *arg);
