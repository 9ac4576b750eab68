/* event/view.h - what the outside sees of live things: plain values, made by the call loop
 *
 * A view is the whole resource as the API shows it (API.md sections 4 and 6) at one moment. It travels inside
 * events and replies, is never changed after it was made, and holds no pointer to anything live.
 * Times are wall microseconds, 0 = null. Empty strings are null in JSON.
 */
#pragma once

#include "base/id.h"
#include "base/jot.h"

/* As jansson.h has it: libre's headers, which many readers of views need, cannot stand beside jansson's. */
typedef struct json_t json_t;

#define VIEW_NUMBER_SIZE 132 /* a number, extension or SIP user part: at most 128 bytes */
#define VIEW_NAME_SIZE 132   /* a display name: at most 128 bytes */
#define VIEW_ADDR_SIZE 200   /* a leg's far address as a URI */
#define VIEW_REASON_SIZE 132 /* a provider's words */

enum call_direction { CALL_INCOMING, CALL_OUTGOING, CALL_INTERNAL, CALL_CONFERENCE };
enum call_state {
	CALL_QUEUED,
	CALL_DIALING,
	CALL_RINGING,
	CALL_EARLY_MEDIA,
	CALL_ANSWERED,
	CALL_HELD,
	CALL_TRANSFERRING,
	CALL_ENDED,
};
enum end_reason {
	END_NONE, /* still up: null */
	END_COMPLETED,
	END_BUSY,
	END_NO_ANSWER,
	END_CANCELED,
	END_DECLINED,
	END_NOT_FOUND,
	END_UNAVAILABLE,
	END_MEDIA_FAILED,
	END_AUTH_FAILED,
	END_TRUNK_FAILED,
	END_TIMEOUT,
	END_INTERRUPTED,
};
enum hangup_by { HANGUP_NONE, HANGUP_CALLER, HANGUP_CALLEE, HANGUP_PLATFORM, HANGUP_API };
enum recording_state { RECORDING_NONE, RECORDING_ON, RECORDING_PAUSED };
enum leg_role { LEG_AGENT, LEG_REMOTE, LEG_SUPERVISOR, LEG_MEMBER, LEG_CONSULT };
enum leg_kind { LEG_KIND_PROFILE, LEG_KIND_DEVICE, LEG_KIND_SOFTPHONE, LEG_KIND_PLATFORM };
/* A leg's own state; the call's is derived from its legs'. */
enum leg_state { LEG_DIALING, LEG_RINGING, LEG_EARLY_MEDIA, LEG_ANSWERED, LEG_HELD, LEG_ENDED };
enum registration_state {
	REG_DISABLED,
	REG_REGISTERING,
	REG_REGISTERED,
	REG_RETRY_WAIT,
	REG_AUTH_FAILED,
	REG_REJECTED,
	REG_UNREACHABLE,
	REG_UNREGISTERING,
};

/* A room that was made and in which nobody is now is open. */
enum conference_state { CONFERENCE_OPEN, CONFERENCE_ACTIVE, CONFERENCE_ENDED };

/* The API's words for each, NULL-terminated. */
extern const char *const call_direction_names[],
	*const call_state_names[],
		*const end_reason_names[],
			*const hangup_by_names[],
				*const recording_state_names[],
					*const leg_role_names[],
						*const leg_kind_names[],
							*const leg_state_names[],
								*const registration_state_names[],
									*const conference_state_names
										[];

struct quality_view {
	bool known;
	float mos, jitter_ms, loss_pct, rtt_ms;
};

struct leg_view {
	struct id id;
	enum leg_role role;
	enum leg_kind kind;
	enum leg_state state;
	bool muted;
	char address[VIEW_ADDR_SIZE];
	char codec[16];
	struct id profile_id, device_id, user_id; /* whichever apply */
	int64_t created_at, ringing_at, answered_at, ended_at;
	enum end_reason end_reason;
	int sip_code;
	struct quality_view quality;
};

struct call_view {
	struct id id, tenant, profile_id, user_id;
	enum call_direction direction;
	enum call_state state;
	char from[VIEW_NUMBER_SIZE], to[VIEW_NUMBER_SIZE], from_name[VIEW_NAME_SIZE];
	int64_t created_at, ringing_at, answered_at, ended_at;
	int ring_s, talk_s, hold_s;
	bool hold_local, hold_remote;
	enum recording_state recording;
	struct id recording_id;
	char room[VIEW_NAME_SIZE];
	enum end_reason end_reason;
	int sip_code, q850; /* 0: null */
	enum hangup_by hangup_by;
	struct id transferred_from, transferred_to;
	char variables[2048]; /* the caller's own JSON object, or empty */
	uint32_t seq;	      /* call_seq: rises with every event of this call */
	unsigned leg_count;
	struct leg_view *legs; /* part of the same allocation */
};

struct member_view {
	struct id id, call_id, leg_id, user_id; /* user_id: none for somebody from outside */
	char name[VIEW_NAME_SIZE];
	bool muted, deaf, held, talking, moderator;
	int volume;    /* dB */
	bool recorded; /* when the room is */
	int64_t joined_at;
};

struct conference_view {
	struct id id, tenant, created_by,
		call_id; /* call_id: the room's own call while somebody is in it */
	char room[VIEW_NAME_SIZE];
	enum conference_state state;
	bool locked, recording, join_muted, tones, wait_for_moderator, has_pin, has_moderator_pin;
	bool end_on_moderator_exit, record, keys;
	int max_members, grace_s;
	int64_t created_at, started_at;
	unsigned member_count;
	struct member_view *members; /* part of the same allocation */
};

#define REG_HISTORY_MAX 50

struct registration_change {
	int64_t at;
	enum registration_state state;
	int code;
	char reason[VIEW_REASON_SIZE];
};

struct registration_view {
	struct id profile_id, tenant, user_id;
	enum registration_state state;
	int code; /* of the provider's last answer, 0: none */
	char reason[VIEW_REASON_SIZE];
	char registrar[VIEW_ADDR_SIZE]; /* the address that answered */
	int64_t expires_at, next_attempt_at, changed_at;
	unsigned history_count;		     /* newest last; only in replies, events carry none */
	struct registration_change *history; /* part of the same allocation */
};

enum record_state {
	RECORD_RECORDING,
	RECORD_PAUSED,
	RECORD_PROCESSING,
	RECORD_READY,
	RECORD_FAILED
};
extern const char *const record_state_names[];

#define RECORD_WAV_HEADER 44

/* A recording of a call: one allocation, free() frees it. */
struct recording_view {
	struct id id, tenant, call_id, profile_id, user_id, other_user_id;
	enum record_state state;
	bool stereo, repaired;
	int rate;
	int64_t started_at, ended_at, duration_ms;
	int64_t size; /* of the WAV file */
	char sha256[65], reason[32];
	char storage[40];  /* the file's name; not shown */
	char secret[200];  /* its key, sealed; not shown */
	uint32_t call_seq; /* of the call when it changed last */
};

/* A conference room that stays, as the journal keeps it: one allocation, free() frees it. */
struct room_view {
	struct id id, tenant, created_by;
	char name[VIEW_NAME_SIZE];
	char pin[200], moderator_pin[200]; /* sealed; empty: none */
	int max_members, grace_s;
	bool join_muted, tones, wait_for_moderator, end_on_moderator_exit, record, keys, locked;
	bool gone; /* it was ended: its row goes */
	int64_t created_at;
};

enum monitor_mode { MONITOR_LISTEN, MONITOR_WHISPER, MONITOR_BARGE };
/* Waiting: for the next call of the agent that it follows. */
enum monitor_state { MONITOR_RINGING, MONITOR_ACTIVE, MONITOR_WAITING, MONITOR_ENDED };
extern const char *const monitor_mode_names[], *const monitor_state_names[];

/* A supervisor on a call: one allocation, free() frees it. */
struct monitor_view {
	struct id id, tenant, call_id, profile_id, user_id, target_leg;
	enum monitor_mode mode;
	enum monitor_state state;
	bool muted, beep, follow_agent;
	char room[VIEW_NAME_SIZE];
	char reason[32]; /* why it ended */
	int64_t created_at, started_at, ended_at;
	bool has_leg;
	struct leg_view leg; /* the supervisor's */
	/* for the audit; not shown */
	struct id actor;      /* whose doing the last change was; none: nobody's */
	char client_addr[48]; /* from where */
};

/* Return: a new zeroed view with room for that many legs or changes; free() frees it whole. */
struct call_view *call_view_new(unsigned leg_count);
struct registration_view *registration_view_new(unsigned history_count);
struct conference_view *conference_view_new(unsigned member_count);

/* The API's JSON (new references). Any thread. */
/* May an agent see it: who made the room, or is in it. */
bool conference_view_shows(const struct conference_view *view, struct id user);
json_t *conference_view_json(const struct conference_view *view);
/* The members of a call, of a registration, as text in the object that is open; the objects below have the same. */
void call_view_jot(struct jot *out, const struct call_view *view);
void registration_view_jot(struct jot *out, const struct registration_view *view,
			   bool with_history);
json_t *call_view_json(const struct call_view *view);
json_t *recording_view_json(const struct recording_view *view);
json_t *monitor_view_json(const struct monitor_view *view);
json_t *registration_view_json(const struct registration_view *view, bool with_history);
