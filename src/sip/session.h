/* sip/session.h - one call leg's signalling: an INVITE usage, either side
 *
 * A session is dialled with session_dial() or comes through ua.h's on_incoming. It speaks to its user by one stream
 * of events and is told what to do by the few functions below. Bodies (SDP) are opaque here, but who owes an
 * offer or an answer to whom (RFC 3264, 6337), what may be asked when, races, retransmission, forks, PRACK, session
 * timers and glare are all dealt with inside.
 *
 * Everything is on the call loop. Events are never delivered from inside session_dial(); they may be from inside the
 * other functions, and any function may be called from inside an event. A session belongs to the ua: the pointer is
 * good until SESSION_EV_END has been delivered, which happens exactly once for every session, whatever happens, unless
 * session_forget() came first. Every state has a deadline.
 */
#pragma once

#include "sip/account.h"

struct ua;
struct session;

struct session_body {
	const char *type; /* "application/sdp"; NULL: no body */
	const void *data;
	size_t len;
};
#define SESSION_NO_BODY ((struct session_body){ 0 })
#define SESSION_SDP(text, length) ((struct session_body){ "application/sdp", (text), (length) })
#define SESSION_BODY_MAX 16384 /* larger ones from outside are refused with 413 */

/* ---- identities ---- */

enum session_id_mode {		       /* how our own number is shown (API.md section 4) */
		       SESSION_ID_PPI, /* From is the account; the number in P-Preferred-Identity: the default */
		       SESSION_ID_FROM,
		       SESSION_ID_FROM_PAI,
		       SESSION_ID_PAI,
		       SESSION_ID_RPID,
		       SESSION_ID_ANONYMOUS, /* From anonymous, Privacy: id; the number only in PPI */
		       SESSION_ID_PLAIN, /* From is name and number, nothing else: towards our own devices */
};

struct session_id {
	const char *number; /* user part, or a whole sip: URI; NULL: the account's username */
	const char *name;   /* display name; NULL: none */
	enum session_id_mode mode;
};

/* What the other side said of itself. Strings live for the event. Empty, never NULL. */
struct session_peer {
	char number[128]; /* user part, unescaped: PAI (from a provider), else RPID, else From */
	char name[128];
	char uri[256];
	char forwarded_by[128]; /* Diversion's or History-Info's user */
	bool anonymous;		/* Privacy: id, or From anonymous.invalid */
};

/* ---- reasons ---- */

enum session_side { SESSION_BY_US, SESSION_BY_THEM, SESSION_BY_NETWORK /* timeouts, lost flows */ };

enum session_outcome {
	SESSION_COMPLETED, /* it was up; BYE */
	SESSION_REJECTED,  /* final response 300..699, ours or theirs */
	SESSION_CANCELED,  /* CANCEL, ours or theirs */
	SESSION_LATE, /* cancelled by us, answered by them: ACK and BYE were sent, nobody spoke */
	SESSION_TIMED_OUT,   /* no response, no ACK, no PRACK, no session refresh, ring time over */
	SESSION_FAILED,	     /* could not be sent, name not found, protocol broken */
	SESSION_AUTH_FAILED, /* our credentials were refused or the challenge cannot be answered */
	SESSION_ELSEWHERE,   /* cancelled because another took the call (Reason: SIP;cause=200) */
};

struct session_end {
	enum session_side by;
	enum session_outcome outcome;
	uint16_t
		code; /* SIP: the final response, or 487/408/... that stands for it; 200 after a BYE */
	uint16_t q850; /* from their Reason header, or ours; 0: none */
	char text[96]; /* reason phrase or Reason text, cleaned */
	bool answered; /* a 2xx was sent or taken (not for SESSION_LATE) */
};

/* ---- events ---- */

enum session_event_type {
	SESSION_EV_PROGRESS, /* dialled: a 1xx above 100. `code`, `fork`; `body`: early media's answer or none */
	SESSION_EV_ANSWERED, /* dialled: 2xx, already acknowledged. `body`: the answer (also when an earlier 1xx
				  * brought it), or after an offerless INVITE their offer: then answer with session_answer(),
				  * which sends the ACK */
	SESSION_EV_CONFIRMED, /* incoming: ACK came. `body`: their answer when our 200 made the offer */
	SESSION_EV_OFFER, /* they ask for other media: `body`; answer by session_answer() or session_refuse() within
				  * 20 s, at once if you can */
	SESSION_EV_OFFER_WANTED, /* an offerless re-INVITE: session_answer() gives our offer; their answer comes as
				  * SESSION_EV_OFFER_DONE */
	SESSION_EV_OFFER_DONE, /* our offer's fate: `code` 200 and `body` the answer, or the code that refused it: nothing
				  * has changed then. 491 is retried in here first, unless an offer of theirs was answered
				  * meanwhile: then what we describe is another by now, and yours to say */
	SESSION_EV_INFO,      /* INFO, answered 200 already: `body` */
	SESSION_EV_INFO_DONE, /* ours was answered: `code`; 408: it was not */
	SESSION_EV_REFER,     /* they ask us to call `refer`: decide with session_refer_reply() */
	SESSION_EV_REFER_STATE, /* our REFER: `code` is the far end's progress (100..699), 202 accepted; `last`. A last 202:
				 * accepted, but nothing tells how it went (no report within 60 s, or the call's end) */
	SESSION_EV_IDENTITY, /* the other side's identity changed: `peer` (RFC 4916, PAI in a later message) */
	SESSION_EV_END, /* `end`; the session is gone after this */
};

struct session_refer {
	const char *to;		    /* the URI without its headers */
	const char *number;	    /* its user part, unescaped */
	const char *referred_by;    /* the whole value, or "" */
	struct session *replaces;   /* Refer-To's Replaces names this session of ours, or NULL */
	const char *replaces_value; /* unescaped, "" when there is none: for another's dialog */
	bool no_subscription;	    /* Refer-Sub: false */
};

struct session_event {
	enum session_event_type type;
	uint16_t code;
	const char *reason; /* phrase, cleaned; "" without */
	struct session_body body;
	unsigned
		fork; /* which far end: 0.. in the order they spoke up; ANSWERED says which one won */
	bool early_media_barred; /* P-Early-Media: inactive or recvonly (RFC 5009) */
	bool same;		 /* OFFER: the o= line is the one we had: no media restart */
	bool last;
	const struct session_peer *peer; /* PROGRESS, ANSWERED, IDENTITY: who it is now, or NULL */
	const struct session_refer *refer;
	const struct session_end *end;
};

typedef void session_fn(struct session *session, const struct session_event *event, void *arg);

/* ---- dialling ---- */

/* A place where a device can be reached: from the registrar. */
struct session_place {
	const char *contact; /* URI */
	struct flow *flow;   /* NULL: by the contact's address */
	const char *path;    /* Route values, comma-separated, or NULL */
};

struct session_dial {
	struct account *account; /* through this profile; or NULL with `place` */
	const struct session_place *place;
	const char *
		to; /* account: number or URI that is dialled; place: the device's own name, for To */
	const char *domain; /* place: our side's domain, for From and To */
	struct session_id id;
	struct session_body offer; /* none: offerless */
	uint32_t
		ring_ms; /* give up when not answered by then (CANCEL); 0: 180 s, which is also the most */
	struct session *
		replaces; /* attended transfer: Replaces this session of ours at the far end, or NULL */
	const char *replaces_value; /* or a whole Replaces value */
	const char *referred_by;    /* NULL: none */
	const char *
		call_info; /* "answer-after=0" style Call-Info, Alert-Info: a whole header line, or NULL */
	const char *diversion; /* number it was forwarded by, or NULL */
	session_fn *fn;
	void *arg;
};

enum {
	SESSION_E_BAD =
		1, /* a number, name or URI with characters that cannot be sent, or too long */
	SESSION_E_STATE, /* not now: see the function */
	SESSION_E_LIMIT, /* too many sessions */
};

must_check int session_dial(struct ua *ua, const struct session_dial *dial,
			    struct session **ret_session);

/* ---- incoming, before the answer ---- */

/* The first of these binds the session to its user: call it from on_incoming (an unbound one is answered 480). */
void session_bind(struct session *session, session_fn *fn, void *arg);
/* 180 or 183 (or another 101..199), with an early answer or none. Sent reliably when there is a body and they can
 * (RFC 3262). SESSION_E_STATE: it has a final response.
 */
must_check int session_ring(struct session *session, uint16_t code, struct session_body answer);
/* 200 with the answer (or with our offer, if the INVITE had none; no body when a reliable 1xx carried the answer
 * already). Kept until an outstanding PRACK comes. SESSION_E_STATE: cancelled or answered already.
 */
must_check int session_accept(struct session *session, struct session_body body);
/* 300..699; q850 0: none. `warning`: "304 jackfield \"...\"" or NULL. */
void session_reject(struct session *session, uint16_t code, const char *reason, uint16_t q850,
		    const char *warning);

/* ---- any time ---- */

enum session_why {
	SESSION_WHY_NORMAL,
	SESSION_WHY_BUSY,
	SESSION_WHY_DECLINED,
	SESSION_WHY_ELSEWHERE,
	SESSION_WHY_MEDIA,
	SESSION_WHY_SHUTDOWN,
	SESSION_WHY_TIMEOUT
};
/* Ends it, whatever state it is in: CANCEL, BYE, or a final response, with a Reason header that fits. Idempotent.
 * SESSION_EV_END follows when the far end has agreed or time has run out.
 */
void session_hangup(struct session *session, enum session_why why);
/* The user goes away: hangs up if needed; no event comes any more, not even END. */
void session_forget(struct session *session);

/* ---- media changes while up (re-INVITE, or UPDATE before the answer if both sides have it) ---- */

/* Our offer. SESSION_E_STATE: an offer is open already in either direction: wait for its end (OFFER_DONE, or your own
 * answer) and ask again.
 */
must_check int session_offer(struct session *session, struct session_body offer);
/* The answer to EV_OFFER, the offer to EV_OFFER_WANTED, or the answer to an ANSWERED that brought an offer. */
must_check int session_answer(struct session *session, struct session_body body);
/* Refuses EV_OFFER (488, 491, 500). The session stays as it was. */
void session_refuse(struct session *session, uint16_t code, const char *warning);
/* A re-INVITE that changes no media but our Contact and flow: after the flow was lost or the address changed. */
must_check int session_refresh(struct session *session);

/* ---- mid-call requests ---- */

/* INFO with a body (DTMF). EV_INFO_DONE follows unless the session ends; false when it cannot be sent: their Allow lacks
 * INFO, or too many requests are open.
 */
bool session_info(struct session *session, struct session_body body);
/* REFER: `to` a URI; `replaces`: attended, a session of ours whose far end is to be replaced. Progress as
 * EV_REFER_STATE; with `last` exactly once for each that was accepted here. SESSION_E_STATE: not up, or one is open.
 */
must_check int session_refer(struct session *session, const char *to,
			     const struct session *replaces, const char *referred_by);
/* Tells the far end who it talks to now (RFC 4916's use, by P-Asserted-Identity): UPDATE where they take it, else a
 * re-INVITE that changes nothing else. `domain`: of the number; NULL: the account's. SESSION_E_STATE: an offer is open;
 * it is told after that.
 */
must_check int session_identify(struct session *session, const struct session_id *id,
				const char *domain);
/* The answer to EV_REFER: 202 accepts and opens the implicit subscription; else the refusal. */
void session_refer_reply(struct session *session, uint16_t code);
/* Progress of what an accepted REFER asked for: 100..199, or a final code which ends the subscription. */
void session_refer_notify(struct session *session, uint16_t code, const char *reason);

/* ---- reading ---- */

bool session_is_up(const struct session *session); /* answered, and not being ended */
bool session_is_outgoing(const struct session *session);
const char *session_call_id(const struct session *session);
const struct session_peer *session_peer(const struct session *session);
struct account *session_account(const struct session *session); /* NULL for devices; no reference */
struct ua *session_ua(const struct session *session);
void *session_user(const struct session *session, session_fn *fn); /* NULL: it has another user */
const struct sa *session_peer_addr(const struct session *session); /* of the packets, or NULL yet */
/* Their last Allow had it (INFO, UPDATE, REFER); true when they never said. */
bool session_peer_allows(const struct session *session, const char *method);
/* The codes of Q.850 that a final response stands for, and back (0: none). */
uint16_t session_q850_of(uint16_t code);
