/* sip/session_private.h - what the files of a session share
 *
 *   session.c          its life: states, ending, events, requests inside the dialog by method
 *   session_user.c     what the user says to it
 *   session_out.c      dialled: INVITE, forks, PRACK, redirection, the first ACK
 *   session_in.c       incoming: provisional and final answers, reliable ones, ACK
 *   session_offer.c    offers while up: re-INVITE and UPDATE both ways, glare
 *   session_timer.c    RFC 4028
 *   session_refer.c    REFER, NOTIFY, Replaces
 *   identity.c         who calls: header lines out, header lines in, Reason
 *   errand.c           one request inside a dialog
 *   farewell.c         ACK and BYE for an answer that nobody wants any more
 */
#pragma once

#include "base/fsm.h"
#include "sip/dialog.h"
#include "sip/exchange.h"
#include "sip/ua_private.h"

#define SESSION_FORKS 16
#define SESSION_ERRANDS 16
#define SESSION_SETUP_MS 180000
#define SESSION_OFFER_MS 20000 /* the user's time for an answer */
#define SESSION_LEAVE_MS 40000
#define SESSION_CHECK_MS 1800000 /* a call without session timer is asked after so often */
#define SESSION_ACK_MS 32000	 /* 64*T1 */

enum session_state {
	SESSION_CALLING,    /* INVITE sent, nothing heard */
	SESSION_PROCEEDING, /* a provisional came */
	SESSION_CANCELLING, /* CANCEL asked for */
	SESSION_RINGING,    /* incoming, no final response yet */
	SESSION_ANSWERING,  /* 200 sent, ACK awaited */
	SESSION_UP,
	SESSION_LEAVING, /* BYE sent */
	SESSION_ENDED,
	SESSION_STATES,
};

enum session_signal {
	SIG_TIMEOUT,
	SIG_PROVISIONAL, /* struct inmsg: to our INVITE */
	SIG_ACCEPTED,	 /* struct inmsg: its 2xx */
	SIG_REJECTED,	 /* struct inmsg: another final response */
	SIG_UNSENT,	 /* enum request_failure: it has none */
	SIG_CANCEL,	 /* struct inmsg: theirs */
	SIG_ACK,	 /* struct inmsg: to our 200 */
	SIG_NO_ACK,
	SIG_BYE,  /* struct inmsg: theirs */
	SIG_GONE, /* our BYE's end */
	SIG_DEAD, /* the far end does not know the call, or answers no more */
};

struct saved_body {
	char *type;
	void *data;
	size_t len;
};

/* A far end that spoke up to our INVITE. */
struct fork {
	unsigned index;
	struct dialog *dialog;
	struct saved_body answer; /* its newest early answer */
	bool reliable;		  /* that answer came in a reliable 1xx: it counts */
	uint32_t rseq;		  /* of the last reliable 1xx taken; 0: none */
};

struct errand;
typedef void errand_fn(struct session *session, struct errand *errand, uint16_t code,
		       const struct inmsg *in);

/* One request of ours inside a dialog. */
struct errand {
	struct errand *next;
	struct session *session;
	struct dialog *dialog;
	char method[12];
	char *lines; /* "Name: value\r\n" ... */
	uint32_t cseq;
	struct exchange *exchange;
	errand_fn *
		done; /* final response, or `in` NULL and 408 or 503; the errand is freed after it */
	void *arg;
};

enum offer_state {
	OFFER_IDLE,   /* nobody has offered anything yet, or all offers are answered */
	OFFER_OURS,   /* we have offered, their answer is awaited */
	OFFER_THEIRS, /* they have offered, our user owes the answer */
	OFFER_WANTED, /* they asked us to offer */
};

struct refer_sent {
	bool open;
	bool accepted;
	struct timer timer; /* no NOTIFY for 60 s */
};

struct refer_taken {
	struct strans *st; /* unanswered */
	bool subscribed;   /* NOTIFYs are owed */
	bool silent;	   /* Refer-Sub: false */
	uint32_t id;	   /* the REFER's CSeq, the Event's id (RFC 3515 2.4.6) */
	uint16_t last;
	struct timer timer;
};

struct session {
	struct session *next, **pprev; /* the ua's */
	struct ua *ua;
	struct fsm fsm;
	struct timer reap;
	session_fn *fn;
	void *arg;
	bool outgoing, forgotten, told_end, bound;
	bool was_up, late, hangup_wanted;

	struct account *account;
	struct id device;
	struct dialog_policy policy;
	struct digest_jar *jar;
	struct session_peer peer;
	struct session_end end;
	char *allow; /* their Allow, or NULL */
	bool their_timer, their_100rel;

	struct dialog *dialog; /* the one that counts; dialled: from the 2xx on */

	/* dialled */
	char *call_id, *from, *to, *target;
	char from_tag[TOKEN_SIZE];
	char *routes; /* comma-separated Route values of a place, or NULL */
	char *id_lines, *extra_lines;
	struct flow *place_flow;
	bool has_hop;
	struct hop hop;
	uint32_t cseq;
	struct saved_body offer; /* in the INVITE */
	struct exchange *invite;
	unsigned redirects, raises;
	struct fork *forks[SESSION_FORKS];
	unsigned fork_count;
	struct fork *winner;
	uint64_t give_up_ms;

	/* the ACK to a 2xx of ours, kept for the 2xx that comes again */
	struct outmsg *ack;
	uint32_t ack_cseq;
	char *ack_credentials;
	bool ack_owed; /* the 2xx made an offer: the ACK waits for the user's answer */

	/* incoming */
	struct strans *invite_st; /* until on_end */
	uint32_t invite_cseq;
	bool offerless;
	bool answer_sent;	 /* reliably, in a 1xx */
	struct outmsg *reliable; /* an unacknowledged 1xx */
	bool reliable_has_body;
	uint16_t ring_waits; /* the provisional that waits for the PRACK before it; 0: none */
	struct saved_body ring_body;
	uint32_t rseq, reliable_wait_ms, reliable_sent_ms;
	struct timer reliable_timer;
	struct saved_body accept_body; /* the 200 that waits for a PRACK */
	bool accept_waits;

	/* offers */
	enum offer_state offer_state;
	struct strans *offer_st;    /* their re-INVITE or UPDATE or PRACK that awaits our user */
	struct strans *reinvite_st; /* their re-INVITE, answered 2xx, ACK awaited */
	uint32_t reinvite_cseq;
	bool reinvite_offered;	  /* our 2xx to it carried our offer */
	struct errand *our_offer; /* re-INVITE or UPDATE under way */
	bool our_offer_is_refresh;
	struct saved_body pending_offer; /* for the retry after 491 */
	bool overtaken; /* what we described since then is not what that offer says */
	unsigned glares;
	struct timer glare_timer, offer_timer;
	struct saved_body local_sdp, remote_sdp;

	/* session timer */
	uint32_t se, min_se;
	bool we_refresh, no_update;
	struct timer se_timer, se_expiry;

	char *shown_line; /* who the far end talks to now, if that has changed: in all our offers */
	bool shown_waits; /* until it can be told */

	struct refer_sent refer_sent;
	struct refer_taken refer_taken;
	struct errand *errands;
	unsigned errand_count;
};

/* session.c */
void session_free(struct session *session); /* without a word */
struct session *session_new(struct ua *ua, bool outgoing, enum session_state state);
void session_emit(struct session *session, struct session_event *event);
void session_emit_code(struct session *session, enum session_event_type type, uint16_t code,
		       const char *reason);
void session_finish(
	struct session *session); /* to ENDED: END goes out, the rest goes with the loop */
void session_end_set(struct session *session, enum session_side by, enum session_outcome outcome,
		     uint16_t code, const char *text); /* the first word counts */
void session_bye(struct session *session, const char *reason_line);
void session_on_request(struct dialog *dialog, const struct inmsg *in, void *arg);
void session_on_accepted_again(struct session *session, const struct inmsg *in);
void session_take_caps(struct session *session, const struct sip_msg *msg);
void session_common_lines(const struct session *session, struct buf *out); /* Allow, Supported */
void session_contact(struct session *session, const struct flow *flow, struct outmsg *lines);
void session_up(struct session *session);
/* Asks whether the far end is still there (OPTIONS, which everybody answers): if not, the session ends. */
void session_check(struct session *session);
/* The end of a request that only asks after the far end: "no such call" and silence are news. */
void session_checked(struct session *session, struct errand *errand, uint16_t code,
		     const struct inmsg *in);
bool session_in(const struct session *session, enum session_state state);
bool session_alive(const struct session *session); /* neither LEAVING nor ENDED */
extern const struct strans_handlers
	session_strans_quiet; /* for requests that need no word at their end */

/* session_out.c */
void session_out_provisional(struct session *session, const struct inmsg *in);
void session_out_accepted(struct session *session, const struct inmsg *in);
void session_out_rejected(struct session *session, const struct inmsg *in);
void session_out_unsent(struct session *session, enum request_failure failure);
void session_out_late(struct session *session, const struct inmsg *in);
void session_out_cancel(struct session *session, const char *reason);
void session_out_fini(struct session *session);
void session_ack(struct session *session, struct dialog *dialog, uint32_t cseq,
		 const char *credentials, struct session_body body);
bool session_fork_gone(struct session *session,
		       const struct dialog *dialog); /* BYE in an early dialog */

/* session_in.c */
must_check int session_in_new(struct ua *ua, const struct inmsg *in, struct dialog_policy policy,
			      struct session **ret_session);
void session_in_ack(struct session *session, const struct inmsg *in);
void session_in_prack(struct session *session, const struct inmsg *in);
void session_in_final(struct session *session, uint16_t code, const char *reason,
		      const char *lines);
void session_in_fini(struct session *session);

/* session_offer.c */
void session_offer_received(struct session *session, const struct inmsg *in); /* INVITE, UPDATE */
void session_offer_ack(struct session *session, const struct inmsg *in);
struct outmsg *session_reply_new(struct session *session, struct strans *st,
				 uint16_t code); /* with Contact and all */
void session_offer_given(struct session *session,
			 struct session_body body); /* our SDP is in force or on its way */
void session_offer_taken(struct session *session, struct session_body body); /* theirs is */
void session_offer_fini(struct session *session);
must_check int session_offer_refresh(struct session *session); /* re-INVITE with the same SDP */
void session_offer_watch(struct session *session); /* the user owes an answer: start its clock */

/* session_timer.c */
void session_timer_request_lines(const struct session *session, struct buf *out);
void session_timer_reply_lines(struct session *session, const struct sip_msg *request,
			       struct outmsg *reply);
/* A request's interval is too small: replies 422 (through st). Return: true when it did. */
bool session_timer_too_small(struct session *session, struct strans *st);
bool session_timer_message_too_small(const struct ua *ua, const struct sip_msg *msg);
void session_timer_take_reply(struct session *session, const struct sip_msg *reply);
bool session_timer_raise(struct session *session,
			 const struct sip_msg *reply); /* 422; false: no use */
void session_timer_fini(struct session *session);

/* session_refer.c */
void session_refer_received(struct session *session, const struct inmsg *in);
void session_notify_received(struct session *session, const struct inmsg *in);
void session_refer_fini(struct session *session);
/* "call-id;to-tag=..;from-tag=.." as the far end of `replaced` sees it. */
bool session_replaces_value(const struct session *replaced, struct buf *out);

/* identity.c */
void identity_read(const struct sip_msg *msg, bool trusted, struct session_peer *ret_peer);
bool identity_equal(const struct session_peer *a, const struct session_peer *b);
/* Return: SESSION_E_BAD or 0; *ret_from is the From value without tag. */
must_check int identity_lines(const struct session_id *id, const struct account *account,
			      const char *domain, struct buf *ret_from, struct buf *ret_lines);
/* Q.850 cause and text of a message's Reason headers; true when one says "SIP;cause=200". */
bool reason_read(const struct sip_msg *msg, uint16_t *ret_q850, char *text, size_t text_size);

/* errand.c */
struct errand *errand_start(struct session *session, struct dialog *dialog, const char *method,
			    const char *lines, struct session_body body, errand_fn *done);
void errand_free_all(struct session *session);
void errand_drop(struct errand *errand); /* no word any more */

/* farewell.c */
void farewell_ack(struct ua *ua, struct dialog *dialog, uint32_t cseq);
void session_free_all(struct ua *ua);
void farewell_free_all(struct ua *ua);
void farewell_start(struct ua *ua, struct account *account, struct dialog *dialog,
		    const char *reason_line);

void saved_body_set(struct saved_body *saved, struct session_body body);
struct session_body saved_body_get(const struct saved_body *saved);
void saved_body_fini(struct saved_body *saved);
struct session_body message_body(const struct sip_msg *msg);
void outmsg_put_body(struct outmsg *msg, struct session_body body);
