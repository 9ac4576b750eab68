/* call/private.h - what the files of call/ share
 *
 *     tenant --< user --< profile, device          the directory: who and what there is (directory.c)
 *     call   --< leg -- channel                    a call's parties; one machine each (call.c, leg.c)
 *
 * A call has a `first` party (who called, or the phone that was rung first) and a `second` one (whom it was put
 * through to). While somebody is being rung there is a group of legs of which one will be that party.
 */
#pragma once

#include "base/base.h"
#include "base/chain.h"
#include "base/fsm.h"
#include "call/app.h"

#include <jansson.h>

#define CALL_LEGS_MAX 32    /* at once */
#define CALL_LEGS_ALL 128   /* with those that have ended: it is transferred so often and no more */
#define CALL_DEVICES_MAX 16 /* of one user, rung at once */
#define CALL_SETUP_MS 180000
#define CALL_TEARDOWN_MS 40000

/* ---- the directory ---- */

struct tenant {
	struct hnode node;
	struct id id;
	struct tenant_spec *spec; /* NULL: the operator's defaults */
	struct chain profiles, calls, rooms, recordings, monitors;
	unsigned calls_now;
	/* Outgoing legs begun in the running minute. */
	uint64_t minute_start_ms;
	int minute_count;
	/* Talk time of outgoing legs today (UTC): that of ended ones, and those running (their number and the
	 * sum of their starts), so that the use is known without a walk.
	 */
	int64_t day;
	int64_t used_us, running_since_us;
	unsigned running;
};

struct user {
	struct hnode node, extension_node;
	struct id id;
	struct tenant *tenant;
	struct user_spec spec;
	struct chain devices, profiles, seats; /* profiles: oldest first */
	unsigned refs;
	bool has_extension, dropped;
};

/* What calls need to know of a profile: one allocation with its texts, a fifth of a line_spec. */
struct profile_spec {
	struct id id, owner;
	struct id incoming_id; /* user or profile to go out through */
	struct id hold_music;
	const char *username, *caller_number, *caller_name, *incoming_target; /* never NULL */
	int max_calls;
	enum incoming_type incoming;
	__typeof__(((struct line_spec *)NULL)->record) record;
	bool mask_dtmf, record_beep;
};

struct profile {
	struct hnode node;
	struct chain_link in_tenant, in_owner;
	struct profile_spec *spec;
	struct tenant *tenant;
	struct user *owner;
	struct chain calls, waiters;
	unsigned refs, legs_now;
	bool dropped;
};

struct device {
	struct hnode node;
	struct chain_link in_user;
	struct id id;
	struct user *user;
};

/* ---- calls ---- */

/* Room in a call's user list: whose call it is, and who else takes part in an internal one. */
struct seat {
	struct chain_link in_user;
	struct user *user;
	struct call *call;
};

struct monitor;
struct room;
struct room_member;
struct transfer;

/* An outgoing leg that was let through (outbound.c); the only thing that can be dialled. */
struct outbound {
	struct profile *profile; /* counted in its legs_now until released; NULL: none */
	char number[VIEW_NUMBER_SIZE];
};

/* Why a call ends: each has its row in call_end.c. */
enum ending_cause {
	ENDING_HUNG_UP,	    /* one of two parties left (leg) */
	ENDING_CALLER_LEFT, /* before anybody answered (leg) */
	ENDING_FIRST_LOST,  /* nobody of the first group will answer (leg: the best of them) */
	ENDING_SECOND_LOST,
	ENDING_RING_TIMEOUT,
	ENDING_NO_DEVICE,
	ENDING_NO_ROUTE, /* nothing behind that number */
	ENDING_LIMIT,
	ENDING_REFUSED, /* the outbound policy */
	ENDING_LINE,	/* the profile cannot be used */
	ENDING_PORTS,	/* no media port */
	ENDING_OFFER,	/* it came in with no sound that we share */
	ENDING_PLAYED,	/* what was to be said has been said */
	ENDING_MAX_DURATION,
	ENDING_MAX_HOLD, /* without a break */
	ENDING_BUDGET,	 /* the day's minutes are used up */
	ENDING_MEDIA,	 /* no sound any more */
	ENDING_API,
	ENDING_API_CANCEL,
	ENDING_API_BUSY,
	ENDING_API_DECLINE,
	ENDING_ROOM_EMPTY, /* of a room's own call */
	ENDING_ROOM_ENDED,
	ENDING_ROOM_REFUSED, /* locked or full */
	ENDING_PIN,	     /* the wrong one, three times */
	ENDING_UNCONFIRMED,  /* nobody pressed 1 */
	ENDING_MODERATOR_LEFT,
	ENDING_KICKED,
	ENDING_TRANSFERRED,	/* its parties talk elsewhere now */
	ENDING_TRANSFER_OVER,	/* of a target's call: it is not wanted any more */
	ENDING_TRANSFER_FAILED, /* the target was not reached, nor the one who transferred */
	ENDING_INTERRUPTED,	/* drain, or a forced deletion */
	ENDING_COUNT,
};

struct leg {
	struct chain_link in_call;
	struct call *call;
	struct fsm fsm;
	struct channel *channel; /* NULL: not yet, or gone */
	struct id id, device, user;
	struct profile *profile; /* holds a permit of it while the channel lives */
	enum leg_role role;
	enum leg_kind kind;
	struct id recorded; /* the recording it is on, or none */
	bool in_group, incoming, outbound, held, answered, metered, is_caller, muted;
	bool holding; /* its user has put the other party on hold, by the API */
	bool on_hold; /* it hears music */
	enum {
		NEWS_NONE,
		NEWS_HELD,
		NEWS_RESUMED
	} hold_news; /* to be told once the far end has said yes or no */
	char address[VIEW_ADDR_SIZE], codec[16];
	char *uri;		     /* the far end's, once its channel is gone */
	struct quality_view quality; /* the last known, once the channel is gone */
	struct id profile_id;
	int64_t created_at, ringing_at, answered_at, ended_at;
	struct channel_end end;
	uint32_t sound_id, music_id;
	enum ending_cause
		after_sound;   /* what the sound that plays leads to; 0: what sounds usually do */
	struct chain sendings; /* digits.c: of digits that are on their way */
	struct room_member *member; /* of a room, or on its way in; or NULL */
};

/* What a call is put through to when it is not a party. */
struct sound_plan {
	enum { PLAN_NONE, PLAN_SAY, PLAN_PLAY, PLAN_ECHO, PLAN_ROOM } kind;
	char *text; /* what to say, or the file */
};

struct call {
	struct hnode node;
	struct chain_link in_tenant, in_profile;
	struct seat seats[2];
	struct call_app *app;
	struct tenant *tenant;
	struct profile *profile; /* the one it is logged under, or NULL */
	struct id id;
	struct fsm fsm;
	enum call_direction direction;
	enum call_state shown; /* public state before holds are looked at */
	char from[VIEW_NUMBER_SIZE], from_name[VIEW_NAME_SIZE], to[VIEW_NUMBER_SIZE];
	char *shown_number, *shown_name; /* caller id for this call alone */
	char *variables;
	int64_t created_at, ringing_at, answered_at, ended_at, held_since, held_us;
	enum end_reason end_reason;
	int sip_code, q850;
	enum hangup_by hangup_by;
	uint32_t seq;
	struct chain legs;
	unsigned channels; /* legs that have one */
	struct leg *first, *second;
	struct bridge *bridge;
	struct transfer *transfer; /* NULL: it never had one (transfer.h) */
	struct call *consult_of;   /* it is the target's call in that one's transfer; or NULL */
	struct id transferred_from, transferred_to;
	struct outbound next; /* click-to-call: dialled once the first party is there */
	struct sound_plan plan;
	struct recording *recording;	       /* that runs or is paused, or NULL */
	struct chain recordings;	       /* not finished yet, this one among them */
	struct id recording_id;		       /* the last one; or none */
	struct recording_view *last_recording; /* of that one; or NULL */
	bool record;			       /* from the answer on */
	/* PLAN_ROOM, until it is answered: where it is expected, and whether it need not say the PIN. */
	struct room *expected_in;
	struct chain_link in_expected;
	bool vouched;
	bool confirm;			/* it must press 1 first */
	bool as_moderator;		/* it has shown the moderator's PIN */
	struct room *conducts;		/* it is that room's own call */
	struct chain monitors;		/* supervisors on it */
	struct monitor *supervises;	/* it is that one's own call, and shows nowhere */
	char room_name[VIEW_NAME_SIZE]; /* that it is or was in; or empty */
	unsigned ring_timeout_ms, max_duration_ms;
	bool parked, counted, bridged, ringback;
	enum dtmf_mask mask;   /* of digits that come in */
	struct leg *recalling; /* who holds for too long already and is rung back; or NULL */
	struct timer budget, reap, hold_limit;
};

enum call_phase { PHASE_NEW, PHASE_GATHER, PHASE_DIAL, PHASE_UP, PHASE_CLEARING, PHASE_DONE };
enum call_event {
	CALL_EV_TIMEOUT,
	CALL_EV_START,	 /* void (*)(struct call *): begins */
	CALL_EV_RINGING, /* struct leg */
	CALL_EV_EARLY,
	CALL_EV_ANSWERED,
	CALL_EV_LOST, /* struct leg: its far end or network ended it */
	CALL_EV_HOLD, /* struct leg: held or resumed */
	CALL_EV_PLAYED,
	CALL_EV_CONNECT, /* struct connecting: answer-call */
	CALL_EV_CLEARED, /* a channel that we closed is gone */
	CALL_EV_HANGUP,	 /* struct ending */
};

struct ending {
	enum ending_cause cause;
	struct leg *leg;
};

struct connecting {
	const struct connect_spec *spec;
	struct user *user;
	struct device *device;
	const struct asker *asker;
	struct outbound outbound; /* what is left of it is released by who asked */
};

struct recording;
struct call_app {
	struct engine *engine;
	struct event_bus *bus;
	struct wheel *wheel;
	struct call_gate *gate;
	struct call_limits limits;
	struct hmap tenants, users, extensions, profiles, devices, calls, rooms, recordings,
		monitors;
	const struct seal *seal; /* NULL: nothing can be recorded */
	char *recordings_dir, *prompts_dir;
	unsigned legs;
	unsigned calls_up; /* not over yet, or with a channel left */
	bool draining;
	struct chain drainers;
};

/* directory.c; found or made on demand: PUT commands come in any order */
struct tenant *tenant_want(struct call_app *app, struct id id);
struct user *user_want(struct call_app *app, struct id id, struct tenant *tenant);
struct user *known_user(struct call_app *app, struct id id);
struct user *user_ref(struct user *user);
void user_unref(struct call_app *app, struct user *user);
struct user *known_user_by_extension(struct call_app *app, struct tenant *tenant,
				     const char *extension);
struct profile *known_profile(struct call_app *app, struct id id);
struct profile *profile_ref(struct profile *profile);
void profile_unref(struct profile *profile);
/* The user's chosen profile, else its oldest. NULL: none. */
struct profile *known_profile_default(struct call_app *app, struct user *user);
struct device *known_device(struct call_app *app, struct id id);
unsigned devices_online(struct call_app *app, struct user *user);
void directory_put_tenant(struct call_app *app, struct tenant_spec *spec); /* these take the spec */
void directory_put_user(struct call_app *app, struct user_spec *spec);
/* Takes the spec, whose secrets it forgets. */
void directory_put_profile(struct call_app *app, struct line_spec *line);
void directory_put_device(struct call_app *app, struct device_spec *spec);
void directory_drop_user(struct call_app *app, struct id id);
void directory_drop_profile(struct call_app *app, struct profile *profile);
void directory_drop_device(struct call_app *app, struct device *device);
void directory_fini(struct call_app *app);

/* outbound.c: the one way out. The number is normalised into ret->number; a permit of the profile is taken. */
enum {
	OUTBOUND_E_NUMBER = 1,	/* not a number or a user name */
	OUTBOUND_E_DESTINATION, /* the tenant does not allow it */
	OUTBOUND_E_LINE,	/* the profile cannot be used now */
	OUTBOUND_E_PROFILE_FULL,
	OUTBOUND_E_RATE,   /* calls a minute */
	OUTBOUND_E_BUDGET, /* minutes a day */
};
enum outbound_cause { OUTBOUND_BY_USER, OUTBOUND_BY_OUTSIDE };
must_check int outbound_admit(struct call_app *app, struct profile *profile, const char *number,
			      enum outbound_cause cause, struct outbound *ret);
const char *outbound_refusal(int refused); /* a sentence of ours */
enum ending_cause outbound_ending(int refused);
void outbound_release(struct outbound *outbound);
/* Makes `leg` the outgoing leg; takes what `outbound` holds. Return: 0 or ORIGINATE_E_*. */
must_check int outbound_dial(struct leg *leg, struct outbound *outbound, struct leg *like);

/* permit.c */
must_check bool permit_call(struct call_app *app, struct tenant *tenant); /* at its limit: false */
struct reply *permit_refusal(void); /* permit_call() said no */
void permit_call_end(struct tenant *tenant);
must_check bool permit_leg(struct profile *profile);
void permit_leg_end(struct profile *profile);
must_check bool permit_rate(struct call_app *app, struct tenant *tenant);
/* Talk time that is left today; INT64_MAX without a limit. */
int64_t budget_left_us(struct call_app *app, struct tenant *tenant);
void budget_begin(struct call *call, struct leg *leg);
void budget_end(struct call *call, struct leg *leg);

/* leg.c */
struct leg *leg_new(struct call *call, enum leg_role role, enum leg_kind kind);
void leg_attach(struct leg *leg, struct channel *channel); /* its channel exists from here on */
void leg_close(struct leg *leg, enum end_reason reason,
	       bool elsewhere);	    /* any state; again is fine */
void leg_answered(struct leg *leg); /* an incoming one: by us */
void leg_event(struct leg *leg, const struct engine_event *event);
void leg_forget(struct leg *leg); /* without a word to the engine */
bool leg_is_live(const struct leg *leg);
bool leg_is_there(const struct leg *leg); /* live, and with a channel; NULL is fine: false */
bool leg_is_local(const struct leg *leg); /* an agent's, also while he consults */
/* An answered leg goes on as one of another call, as the leg that is returned; `old` has ended. */
struct leg *leg_move(struct leg *old, struct call *call, enum leg_role role);
struct leg *leg_get(const struct call *call, struct id id); /* NULL: the call has no such leg */
enum leg_state leg_shown(const struct leg *leg);

/* The party that the asker talks to: the other one of their own leg, else the one outside. NULL: nobody is there. */
struct leg *leg_far(const struct call *call, const struct asker *asker);
/* hold.c */
bool call_is_held(const struct call *call); /* by either side */
/* Its phone or far end holds, or does not any more. */
void hold_changed(struct call *call, struct leg *leg);
/* The parties are there: whoever of them held already before does so now. */
void hold_begin(struct call *call);
void hold_told(struct leg *leg, bool signalled); /* the far end has agreed, or not */
/* The music that is played to `leg` is over. Return: whether it was that. */
void hold_music(
	struct leg *leg); /* what its profile has for those who wait; until channel_play_stop() */
bool hold_music_done(struct leg *leg, const struct engine_event *event);
struct leg *hold_partner(const struct call *call, const struct leg *leg); /* whom it can hold */
/* `leg` is the party that `old` was, which held: it does not. */
void hold_taken_over(struct leg *old, struct leg *leg);
void hold_settle(struct call *call);  /* its time is counted; it ends */
void hold_release(struct call *call); /* its two parties go where there is no holding each other */
/* By the user of `holder`, a party, or not any more. Again is fine. */
void hold_set(struct call *call, struct leg *holder, bool on);
/* Who talks to whom has changed: whose phones hold somebody hold the new one. */
void hold_rejoin(struct call *call);
void hold_alone(struct leg *leg, bool on); /* music for one to whom nobody talks, and word of it */
void hold_limit_init(struct call *call);
/* recall.c: who holds for too long is rung back. While it lasts call->recalling says who. */
must_check bool recall_begin(struct call *call); /* false: nobody can be */
void recall_end(struct call *call); /* nobody holds any more, or it ends; may be repeated */
void recall_answered(struct call *call, struct leg *leg); /* one of the phones that were rung */
void recall_lost(struct call *call);
bool recall_key(struct leg *leg); /* any key takes the call back. Return: whether it did */
/* digits.c */
void digits_sent(struct leg *leg, const struct engine_event *event);
void digits_came(struct leg *leg, const struct engine_event *event);
void digits_forget(struct leg *leg);
void digits_abandon(struct leg *leg); /* its call ends: what is on its way is told to be lost */

/* call.c */
struct call *call_new(struct call_app *app, struct tenant *tenant, enum call_direction direction);
void call_set_profile(struct call *call, struct profile *profile);
void call_add_user(struct call *call, struct user *user);
void call_start(struct call *call, void (*begin)(struct call *call));
void call_forget(struct call *call);
struct call *call_get(struct call_app *app, struct id id);
/* From within a handler of the call's machine. */
void call_gather(struct call *call);
void call_dial(struct call *call);
void call_finish(struct call *call, enum ending_cause cause, struct leg *leg);
void call_up(struct call *call); /* the parties are there: first, second or both */
/* Takes every leg that is being rung out of the running, but for `winner` and those of `keep` (NULL: nobody). */
void call_drop_group(struct call *call, const struct leg *winner, enum end_reason reason,
		     bool elsewhere);
unsigned call_group_live(const struct call *call); /* how many are still being rung */
void call_group_settled(struct call *call, const struct leg *winner); /* the others need not ring */
bool call_is_over(const struct call *call);
void answer_connect(struct call *call, struct connecting *connecting); /* answer.c */
/* record.c */
void record_start(struct call *call, bool stereo); /* does nothing while one runs */
void record_stop(struct call *call);
/* Into a room, somebody who has to be told by a beep if it is recorded: now, and from now on. */
void record_joined(struct call *call);
/* Call it whenever a leg became a party of the call, or its role changed: who is a party is recorded. */
void record_follow(struct call *call);
void record_leave(struct leg *leg); /* it is on no recording any more */
void record_done(struct call_app *app, struct id id, const struct tape_end *end);
void record_forget(struct call *call); /* the call goes */
/* Calls of this profile are never recorded; or NULL. */
struct reply *record_refusal(const struct profile *profile);
/* What the API asks for. Return: NULL when it is done, or the refusal. */
struct reply *record_act(struct call *call, const struct record_wish *wish);
enum recording_state record_shown(const struct call *call);
/* Those that run, are paused or are being finished, as far as the asker may see them; malloc'd. */
struct recording_view **record_views(struct call_app *app, const struct asker *asker,
				     unsigned *ret_count);
void recordings_fini(struct call_app *app);
/* call_end.c */
struct leg *call_best_loss(struct call *call);
void call_set_ending(struct call *call, const struct ending *ending);

/* transfer.c: what a call tells of itself and of its target's call */
bool transfer_runs(const struct call *call); /* its parties are being changed */
void transfer_rings(struct call *consult);
void transfer_early(struct call *consult, struct leg *leg);
void transfer_answered(struct call *consult); /* its second party is there */
/* Somebody of a call that is up left. Return: whether the call goes on. */
must_check bool transfer_lost(struct call *call, struct leg *leg);
/* Who transfers is hung up: the transfer goes on without him. Return: whether that is who the leg is. */
bool transfer_left(struct call *call, struct leg *leg);
void transfer_recalled(struct call *call, struct leg *leg); /* who was rung again has answered */
void transfer_asked_far(struct leg *leg, const struct engine_event *event); /* how a REFER goes */
void transfer_over(struct call *call);					    /* it ends */
void transfer_target_over(struct call *consult);			    /* it has ended */
void transfer_forget(struct call *call);
/* Who speaks in that call though its leg is another's: the one who consults. Or NULL. */
struct leg *transfer_guest(const struct call *call);
/* refer.c */
void refer_asked(struct leg *leg, const struct engine_event *event);
void replaces_begin(struct call_app *app, const struct engine_event *event);

/* The public state. */
enum call_state call_shown(const struct call *call);
/* One of the two whom it is about. NULL is fine: false. */
bool call_has_party(const struct call *call, const struct leg *leg);
/* The party of a conversation, or who waits for one, that somebody is rung for. NULL: nobody yet. */
struct leg *call_waiting(const struct call *call);

/* party.c: ringing somebody: how many legs were begun */
unsigned party_user(struct call *call, struct user *user, enum leg_role role, struct id but_not);
unsigned party_device(struct call *call, struct device *device, enum leg_role role);
must_check int party_number(struct call *call, struct outbound *outbound, enum leg_role role);
/* The same, from within a handler of the call's machine: where it cannot be dialled the call ends. */
void call_dial_out(struct call *call, struct outbound *outbound, enum leg_role role);
/* Likewise: phones were rung before the machine began; without one the call ends. */
void call_rings_or_ends(struct call *call);
void party_sound(struct call *call, struct leg *leg);
void plan_set(struct sound_plan *plan, const struct connect_spec *spec);
bool profile_may_use(const struct profile *profile, const struct asker *asker);
struct reply *reply_refused(struct call_app *app, int refused, const char *field,
			    struct profile *profile);
struct reply *reply_no_phone(void); /* none of the asker's */
bool call_may_see(const struct call *call, const struct asker *asker);
bool call_may_touch(const struct call *call, const struct asker *asker);
/* The live call that a command is about, if its asker may act on it. Return: NULL with *ret_call, or the refusal. */
struct reply *call_for(struct call_app *app, const struct command *command, struct call **ret_call);
/* The one of its legs that the command names. */
struct reply *leg_for(const struct call *call, const struct command *command, struct leg **ret_leg);

/* incoming.c, phone.c */
void incoming_begin(struct call_app *app, struct profile *profile,
		    const struct engine_event *event);
void phone_begin(struct call_app *app, struct device *device, const struct engine_event *event);

/* room.c, room_member.c, conference.c; call/room.h has more */
void rooms_fini(struct call_app *app); /* after the calls */
/* The call goes to that room once it is answered. `by`: who wants it so, NULL: somebody from outside who dialled in. */
void room_expect(struct call *call, const char *name, struct id creator, const struct asker *by);
void room_expect_no_more(struct call *call);
void room_receive(struct call *call, struct leg *leg); /* it is answered */
/* `name`: may somebody of this tenant be put through to it? Return: NULL, or the refusal. */
struct reply *room_refusal(struct call_app *app, struct tenant *tenant, const char *name);
void room_leave(struct leg *leg);	/* if it is in one; the leg goes on */
void room_forget(struct leg *leg);	/* without a word */
void room_ended(struct call *call);	/* the room's own call was hung up */
void room_failed(struct call *call);	/* who was expected did not answer */
void room_leg_changed(struct leg *leg); /* muted, or held by its far end */
/* The room's own call: all that is said in the room goes to that tape (NULL: to none). */
void room_tape(struct call *call, struct tape *tape);
void room_recording_changed(struct call *call);
bool room_leg_waits(const struct leg *leg);	/* it hears music instead of its room */
bool room_leg_is_paused(const struct leg *leg); /* so is the recording of its room */
/* A moderator of its room has muted it: only one can take that back, in the room. */
bool room_keeps_mute(const struct leg *leg);
void room_leg_talks(struct leg *leg, bool talks);
void room_leg_lost(struct leg *leg); /* nothing comes from it any more */
/* Return: whether the digit was part of a PIN, and nobody else's business. */
bool room_leg_digit(struct leg *leg, char digit);
/* Somebody of the same call is in a room besides `leg`. */
bool room_has_others(const struct call *call, const struct leg *leg);
struct conference_view **room_views(struct call_app *app, const struct asker *asker,
				    unsigned offset, unsigned limit, unsigned *ret_count,
				    unsigned *ret_total);

/* monitor.c, monitor_do.c; call/monitor.h has more */
/* Supervisors are where the parties are and hear whom they may: call it whenever a call's parties were joined in another
 * way (its first, second or bridge is another; one came to a room or left it; a hold began or ended).
 */
void monitor_follow(struct call *call);
void monitor_bridge_goes(struct call *call); /* before call->bridge is freed */
void monitors_call_over(struct call *call);
void monitors_next_call(struct call *call); /* it is up: somebody may have waited for its agent */
void monitors_forget_call(struct call *call);
void monitors_of_user_end(struct call_app *app, struct user *user); /* they may not any more */
bool monitors_use(const struct tenant *tenant, const struct profile *profile, bool end);
void monitors_drain(struct call_app *app);
/* Of a supervisor's own call. */
void monitor_answered(struct call *own);
void monitor_held(struct call *own);
void monitor_lost(struct call *own);
void monitor_forget(struct call *own);
struct monitor_view **monitor_views(struct call_app *app, const struct asker *asker,
				    size_t *ret_count);

/* view.c, publish.c */
struct call_view *call_view_make(const struct call *call);
/* With its supervisors' legs: for those who may know of them. */
struct call_view *call_view_watched(const struct call *call);
void call_publish(struct call *call, enum event_type type,
		  json_t *detail); /* takes detail; may be NULL */
void call_publish_leg(struct call *call, const struct leg *leg, const char *what);
/* As it is now, malloc'd; NULL: the engine does not know that line yet. resource.c */
struct registration_view *registration_view_of(struct call_app *app, const struct profile *profile);
void registration_publish(struct call_app *app, struct profile *profile,
			  const struct registration_view *view);
void device_publish(struct call_app *app, struct device *device, const char *json);

/* gate.c */
struct answer {
	struct ticket *ticket;
	void (*fn)(void *arg, struct reply *reply);
	void *arg;
};
struct answer answer_of(const struct command *command);
void answer_give(struct answer answer, struct reply *reply); /* takes it */
struct reply *reply_new(enum reply_code code);
struct reply *reply_error(enum reply_code code, const char *field, const char *fmt, ...)
	format_printf(3, 4);
struct reply *reply_wrong_state(const char *state, const char *detail); /* state: a static name */
struct reply *reply_call(struct call *call);
struct call_gate *call_gate_new(size_t capacity);
void call_gate_free(struct call_gate *gate);
int call_gate_fd(const struct call_gate *gate);
must_check bool call_gate_next(struct call_gate *gate, struct command *ret);
void call_gate_rearm(struct call_gate *gate);
/* Some are left: call_gate_fd() is to tell so again. */
void call_gate_again(struct call_gate *gate);

/* A command's handler. Return: the reply, or NULL: it will be given later (answer_of()). It may take the body. */
typedef struct reply *command_fn(struct call_app *app, struct command *command);
command_fn do_make_call, do_answer_call, do_hangup_call, do_mute_leg, do_dtmf, do_hold_call,
	do_calls, do_call_get, do_snapshot, do_status, do_drain, do_profile_put, do_profile_drop,
	do_profile_register, do_profile_wait, do_profile_test, do_registrations, do_device_put,
	do_device_restore, do_device_drop, do_devices, do_user_put, do_user_drop, do_tenant_put,
	do_conference, do_conferences, do_conference_get, do_room_put, do_record,
	do_recording_repaired, do_recording_deleted, do_transfer_call, do_monitor, do_monitor_calls;
unsigned page_limit(const struct command *command); /* query.c: entries of one reply */
void waiters_tell(struct call_app *app, struct profile *profile, bool over);
void drainers_tell(struct call_app *app, bool over);
