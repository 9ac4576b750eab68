/* call/transfer.h - a party is put through to somebody else: private to call/
 *
 *     call --- transfer --- consult      the target is rung in a call of its own, the consult
 *
 * One party of the call `stays`, the other one, who transfers, `goes`. When the target is there its leg moves into the
 * call, in the place of who goes, and the consult ends: the call keeps its id, its recording, who listens to it and its
 * row in the log; the two rows name each other. Blind, attended and half attended differ only in when who goes is let
 * go, and in whom he talks to meanwhile. A transfer stays with its call once it was made, and is IDLE between.
 */
#pragma once

#include "call/private.h"

#define TRANSFER_RING_MS                                                                           \
	25000 /* for a target that nobody waits for at the phone, and for who is rung again */

enum transfer_state {
	TRANSFER_IDLE,
	TRANSFER_CALLING,    /* blind: the target has not been heard of */
	TRANSFER_RINGING,    /* blind: it rings */
	TRANSFER_CONSULTING, /* who goes talks to the target, or waits for it */
	TRANSFER_SWAPPED,    /* he talks to who stays, the target is held */
	TRANSFER_REFERRED,   /* the far end of who stays was asked to do it */
	TRANSFER_RETURNING,  /* it failed; who went is rung again */
};

enum transfer_event {
	TRANSFER_EV_TIMEOUT,
	TRANSFER_EV_RINGS,    /* the target */
	TRANSFER_EV_EARLY,    /* struct leg: it is heard before it answers */
	TRANSFER_EV_ANSWERED, /* it */
	TRANSFER_EV_LOST,     /* it; its call has ended */
	TRANSFER_EV_LEFT,     /* who goes has hung up */
	TRANSFER_EV_COMPLETE,
	TRANSFER_EV_CANCEL,
	TRANSFER_EV_SWAP,
	TRANSFER_EV_CONFERENCE, /* struct transfer_meeting */
	TRANSFER_EV_REPORT,	/* struct engine_event: how a REFER goes */
	TRANSFER_EV_BACK,	/* struct leg: who was rung again has answered */
	TRANSFER_EV_NOBODY,	/* of those who were rung again is left */
	TRANSFER_EV_OVER,	/* the call ends */
};

/* Where a call is to be put through to, found before anything happens. */
struct aim {
	enum { AIM_NUMBER, AIM_USER, AIM_DEVICE, AIM_ROOM, AIM_SOUND } kind;
	struct outbound outbound;
	struct user *user;
	struct device *device;
	const struct connect_spec *connect; /* ROOM, SOUND */
	char shown[VIEW_NUMBER_SIZE];
};

struct transfer {
	struct call *call;
	struct fsm fsm;
	struct call *consult;	  /* NULL: none, or none any more */
	struct id consult_id;	  /* also after that */
	struct leg *stays, *goes; /* goes: may have ended; NULL: the call had one party alone */
	enum leg_role goes_role;
	enum transfer_mode mode;
	struct id by; /* the user */
	char to[VIEW_NUMBER_SIZE];
	struct outbound outbound; /* REFERRED: for when we have to do it ourselves */
	unsigned ring_ms;
	bool returns; /* on failure, who went is rung again */
	bool now;     /* who goes need not wait for the target's ringing */
	bool reports; /* he asked by REFER: he is told how it goes, and waits for it */
	/* Of the target's call, once that has ended. */
	enum end_reason why;
	int why_code;
};

struct transfer_meeting {
	struct room *room;
};

/* transfer.c */
/* Both parties as the asker sees them, if a transfer can begin. `alone`: one without the other will do. Return: NULL
 * with the two set, or the refusal.
 */
struct reply *transfer_may_start(struct call *call, const struct asker *asker, bool alone,
				 struct leg **ret_stays, struct leg **ret_goes);
struct transfer *transfer_prepare(struct call *call, struct leg *stays, struct leg *goes,
				  enum transfer_mode mode, const char *to);
/* These take what the aim holds. */
void transfer_blind(struct transfer *transfer, struct aim *aim);
void transfer_refer(struct transfer *transfer, struct aim *aim);
void transfer_consult(struct transfer *transfer, struct aim *aim); /* refer.c, consult.c */
void referred_handle(struct fsm *fsm, void *owner, int event, void *data);
/* Room or sound: needs no answer, so it is done at once. */
void transfer_at_once(struct transfer *transfer, const struct aim *aim, const struct asker *asker);
void transfer_send(struct transfer *transfer, enum transfer_event event, void *data);
bool transfer_accepts(const struct transfer *transfer, enum transfer_event event);
/* For the machine's handlers. */
void transfer_wait(struct transfer *transfer); /* both parties, for the target */
void transfer_start_blind(struct transfer *transfer, struct aim *aim);
void transfer_put_through(struct transfer *transfer);
void transfer_let_go(struct transfer *transfer);
void transfer_rejoin(struct transfer *transfer); /* who goes is back with who stays */
/* Who went is back at once if he is there, else rung again or (as was asked) everybody is let go. `why` is set. */
void transfer_failed(struct transfer *transfer);
void transfer_sound(struct leg *leg, int kind);
struct leg *transfer_target(const struct transfer *transfer); /* its leg, once it has answered */
void transfer_publish(struct transfer *transfer, enum event_type type);
void transfer_adopt(struct transfer *transfer, struct call *consult); /* in it the target is */
void transfer_drop_consult(struct transfer *transfer);
void transfer_ring_blind(
	struct transfer *transfer); /* it rings already; nobody waits for it any more */
/* Who goes speaks neither in the call nor on its recording. */
void transfer_put_aside(struct transfer *transfer);
void transfer_identify(struct transfer *transfer, struct leg *target);

/* consult.c */
void consult_handle(struct fsm *fsm, void *owner, int event, void *data);
void swapped_handle(struct fsm *fsm, void *owner, int event, void *data);

/* transfer_target.c: calls to targets */
/* By what others know it: a user's extension, else its number. Of its strings nothing is the caller's. */
void transfer_name(const struct leg *leg, const char **ret_number, const char **ret_name);
/* Made, and rung where that is a phone; it may end from within target_begin(). Takes what the aim holds. */
struct call *target_call(struct transfer *transfer, struct aim *aim);
void target_begin(struct call *consult);
void aim_release(struct aim *aim);
/* What the wish says, if the asker may have it. Return: NULL with *ret, or the refusal. */
struct reply *aim_find(struct call *call, const struct asker *asker, const struct leg *goes,
		       const struct transfer_wish *wish, struct aim *ret);
