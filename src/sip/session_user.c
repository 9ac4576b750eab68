/* What the user says to a session, and what it may read of it. */
#include "sip/session_private.h"

#include <stdio.h>

void session_bind(struct session *session, session_fn *fn, void *arg)
{
	session->fn = fn;
	session->arg = arg;
	session->bound = true;
}

static const struct {
	uint16_t code;
	const char *cancel, *bye;
	uint16_t q850;
} whys[] = {
	[SESSION_WHY_NORMAL] = { 480, "Q.850;cause=16;text=\"Normal call clearing\"",
				 "Q.850;cause=16;text=\"Normal call clearing\"", 16 },
	[SESSION_WHY_BUSY] = { 486, "Q.850;cause=17;text=\"User busy\"",
			       "Q.850;cause=17;text=\"User busy\"", 17 },
	[SESSION_WHY_DECLINED] = { 603, "Q.850;cause=21;text=\"Call rejected\"",
				   "Q.850;cause=21;text=\"Call rejected\"", 21 },
	[SESSION_WHY_ELSEWHERE] = { 480, "SIP;cause=200;text=\"Call completed elsewhere\"",
				    "SIP;cause=200;text=\"Call completed elsewhere\"", 26 },
	[SESSION_WHY_MEDIA] = { 488, "Q.850;cause=65;text=\"Media not possible\"",
				"Q.850;cause=65;text=\"Media not possible\"", 65 },
	[SESSION_WHY_SHUTDOWN] = { 480, "Q.850;cause=41;text=\"Temporary failure\"",
				   "Q.850;cause=41;text=\"Temporary failure\"", 41 },
	[SESSION_WHY_TIMEOUT] = { 480, "Q.850;cause=19;text=\"No answer\"",
				  "Q.850;cause=102;text=\"Recovery on timer expiry\"", 102 },
};

static void hangup_bye(struct session *session, enum session_why why)
{
	char line[96];

	snprintf(line, sizeof(line), "Reason: %s\r\n", whys[why].bye);
	session->end.q850 = session->end.q850 ? session->end.q850 : whys[why].q850;
	session_end_set(session, SESSION_BY_US, SESSION_COMPLETED, 200, NULL);
	session_bye(session, line);
}

void session_hangup(struct session *session, enum session_why why)
{
	enum session_state state = (enum session_state)session->fsm.state;

	switch (state) {
	case SESSION_CALLING:
	case SESSION_PROCEEDING:
		session_end_set(session, SESSION_BY_US,
				why == SESSION_WHY_ELSEWHERE ? SESSION_ELSEWHERE
				: why == SESSION_WHY_TIMEOUT ? SESSION_TIMED_OUT
							     : SESSION_CANCELED,
				why == SESSION_WHY_TIMEOUT ? 408 : 487, NULL);
		session_out_cancel(session, whys[why].cancel);
		break;
	case SESSION_RINGING:
		session_reject(session, whys[why].code, NULL, whys[why].q850, NULL);
		break;
	case SESSION_ANSWERING: /* no BYE before the ACK came (15.1.1) */
		session->hangup_wanted = true;
		session->end.q850 = whys[why].q850;
		session_end_set(session, SESSION_BY_US, SESSION_COMPLETED, 200, NULL);
		break;
	case SESSION_UP:
		hangup_bye(session, why);
		break;
	case SESSION_CANCELLING:
	case SESSION_LEAVING:
	case SESSION_ENDED:
	case SESSION_STATES:
		break;
	}
}

void session_forget(struct session *session)
{
	session->forgotten = true;
	session_hangup(session, SESSION_WHY_NORMAL);
}

/* A provider that swallows INFOs has not hung up: silence is looked into by a question that everybody answers. */
static void info_done(struct session *session, struct errand *errand, uint16_t code,
		      const struct inmsg *in)
{
	struct session_event event = { .type = SESSION_EV_INFO_DONE, .code = code };

	if (!session_alive(session))
		return;
	if (code == 481) {
		session_checked(session, errand, code, in);
		return;
	}
	if (code == 408)
		session_check(session);
	session_emit(session, &event);
}

bool session_info(struct session *session, struct session_body body)
{
	if (!session_in(session, SESSION_UP) || !session_peer_allows(session, "INFO"))
		return false;
	return errand_start(session, session->dialog, "INFO", NULL, body, info_done) != NULL;
}

bool session_is_up(const struct session *session)
{
	return session_in(session, SESSION_UP) || session_in(session, SESSION_ANSWERING);
}

bool session_is_outgoing(const struct session *session)
{
	return session->outgoing;
}

const char *session_call_id(const struct session *session)
{
	return session->call_id	 ? session->call_id
	       : session->dialog ? dialog_call_id(session->dialog)
				 : "";
}

const struct session_peer *session_peer(const struct session *session)
{
	return &session->peer;
}

void *session_user(const struct session *session, session_fn *fn)
{
	return session->bound && session->fn == fn && !session->forgotten ? session->arg : NULL;
}

struct account *session_account(const struct session *session)
{
	return session->account;
}

struct ua *session_ua(const struct session *session)
{
	return session->ua;
}

const struct sa *session_peer_addr(const struct session *session)
{
	struct flow *flow = NULL;

	if (session->dialog)
		flow = dialog_flow(session->dialog);
	else if (session->invite && exchange_request(session->invite))
		flow = request_flow(exchange_request(session->invite));
	return flow ? flow_remote(flow) : NULL;
}
