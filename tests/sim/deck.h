/* tests/sim/deck.h - a whole user agent against a peer that the test plays by hand, or against a second one
 *
 * Builds on unit/sip/kit.h: ours is 10.0.0.1:5060, the peer 10.0.0.2:5060, time moves only in kit_run(). What happens to
 * a session is written down as words: "P183+ A200+ END/completed/them/200".
 */
#pragma once

#include "kit.h"

#include "sip/dialog.h"
#include "sip/ua.h"

#define DECK_SDP(version)                                                                          \
	"v=0\r\no=- 1 " version                                                                    \
	" IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
#define DECK_PEER_SDP(version)                                                                     \
	"v=0\no=- 7 " version                                                                      \
	" IN IP4 10.0.0.2\ns=-\nc=IN IP4 10.0.0.2\nt=0 0\nm=audio 6000 RTP/AVP 0\n"

/* One session's user. */
struct user {
	struct session *session;
	struct buf log; /* the words */
	bool gone;
	struct session_end end;
	struct session_peer peer;
	char last_body[2048];
	bool auto_answer;    /* answers offers itself */
	const char *answer;  /* with this */
	uint16_t refuse;     /* refuses offers instead */
	uint16_t refer_code; /* answers REFER with this; 0: later */
};

struct deck {
	struct kit kit;
	struct ua *ua;
	struct account *account; /* at the peer's, user "alice", password "secret" */
	struct user in, out;	 /* the last incoming session, and the dialled one */
	struct ua_incoming last_incoming;
	char called[128];
	unsigned incomings;
	size_t timers; /* running when all is quiet */
	struct reg_report report;
	char report_reason[128], report_registrar[64];
	struct buf states;	 /* words of the registration: "registering registered ..." */
	unsigned reports, moves; /* reports that it is reached another way */
	struct id only;		 /* reports of others are not written down */
	bool quiet_reports;
	unsigned bindings_reports, bindings_last;
	bool ignore_incoming; /* leave the session unbound */
};

void deck_open(struct deck *deck);
void deck_open_with(struct deck *deck, const struct ua_setup *setup);
/* Everything has run off: no transaction, dialog, session or timer is left. Then closes. */
void deck_close(struct deck *deck);
void deck_close_dirty(struct deck *deck); /* closes at once, in the middle of things */

/* Dials through the account. `offer` NULL: offerless. */
void deck_dial(struct deck *deck, const char *to, const char *offer);
void deck_dial_as(struct deck *deck, struct session_dial *dial);
void user_event(struct session *session, const struct session_event *event, void *arg);
const char *user_log(const struct user *user);
/* The words so far, and forgets them. */
#define assert_log(user, words)                                                                    \
	do {                                                                                       \
		assert_string_equal(user_log(user), (words));                                      \
		buf_reset(&(user)->log);                                                           \
	} while (0)

/* The last message of that method (or "SIP/2.0 180" for responses) that the peer got; NULL: none. */
const char *deck_got(const struct deck *deck, const char *start);
unsigned deck_count(const struct deck *deck, const char *start);
/* Answers a request the peer got: extra header lines and body may be NULL; with Contact. */
void deck_answer(struct deck *deck, const char *request, unsigned code, const char *tag,
		 const char *extra, const char *body);
/* A request of the peer inside the dialog that `invite` (a request we sent) made; tag: the peer's. */
void deck_say_inside(struct deck *deck, const char *invite, const char *tag, const char *method,
		     unsigned cseq, const char *extra, const char *body);
/* A new INVITE from the peer; and its requests inside the dialog once we have answered with a To tag. */
void deck_invite(struct deck *deck, const char *user, unsigned id, const char *extra,
		 const char *body);
void deck_say_in(struct deck *deck, unsigned id, const char *method, unsigned cseq,
		 const char *extra, const char *body);
/* CANCEL or ACK to a non-2xx for that INVITE: same branch. */
void deck_say_branch(struct deck *deck, unsigned id, const char *method, const char *extra);
/* Makes the peer a trunk of ours, so that its INVITEs are let in. */
void deck_trunk(struct deck *deck);
