/* Session timers, RFC 4028: calls whose other side has vanished end by themselves. */
#include "sip/session_private.h"

#define SE_MAX 86400u
#define RETRY_MS 10000

static void timers_start(struct session *session);

struct interval {
	uint32_t seconds; /* 0: the header is not there or is not understandable */
	bool by_uac, by_uas;
};

static struct interval interval_read(const struct sip_msg *msg)
{
	const struct sip_hdr *hdr = inmsg_header(msg, SIP_HDR_SESSION_EXPIRES);
	struct interval interval = { 0 };
	struct pl digits, refresher;

	if (!hdr)
		hdr = inmsg_header_named(msg, "x");
	if (!hdr)
		return interval;
	digits = hdr->val;
	for (digits.l = 0;
	     digits.l < hdr->val.l && digits.p[digits.l] >= '0' && digits.p[digits.l] <= '9';)
		digits.l++;
	if (!inmsg_u32(&digits, SE_MAX, &interval.seconds))
		interval.seconds = digits.l ? SE_MAX : 0;
	if (parse_param(&hdr->val, "refresher", &refresher)) {
		interval.by_uac = !pl_strcasecmp(&refresher, "uac");
		interval.by_uas = !pl_strcasecmp(&refresher, "uas");
	}
	return interval;
}

static uint32_t min_se_read(const struct sip_msg *msg)
{
	const struct sip_hdr *hdr = inmsg_header(msg, SIP_HDR_MIN_SE);
	uint32_t seconds;
	struct pl digits;

	if (!hdr)
		return 0;
	digits = hdr->val;
	for (digits.l = 0;
	     digits.l < hdr->val.l && digits.p[digits.l] >= '0' && digits.p[digits.l] <= '9';)
		digits.l++;
	return inmsg_u32(&digits, SE_MAX, &seconds) ? seconds : 0;
}

/* ---- header lines ---- */

void session_timer_request_lines(const struct session *session, struct buf *out)
{
	uint32_t se = session->se;

	if (session->ua->setup.no_session_timers)
		return;
	if (!se)
		se = session->ua->setup.session_expires;
	if (se < session->min_se)
		se = session->min_se;
	buf_addf(out, "Session-Expires: %u%s\r\nMin-SE: %u\r\n", se,
		 !session->was_up || !session->se ? ""
		 : session->we_refresh		  ? ";refresher=uac"
						  : ";refresher=uas",
		 session->min_se);
}

void session_timer_reply_lines(struct session *session, const struct sip_msg *request,
			       struct outmsg *reply)
{
	struct interval asked = interval_read(request);
	bool theirs = session->their_timer;

	if (session->ua->setup.no_session_timers || (!asked.seconds && !theirs)) {
		session->se = 0;
		timers_start(session);
		return;
	}
	session->se = asked.seconds ? asked.seconds : session->ua->setup.session_expires;
	if (session->se < min_se_read(request))
		session->se = min_se_read(request);
	if (session->se < session->min_se)
		session->se = session->min_se;
	/* RFC 4028 9, table 2: theirs to choose; else they who asked; else we */
	session->we_refresh = asked.by_uas || (!asked.by_uac && (!theirs || !asked.seconds));
	outmsg_header(reply, "Session-Expires", "%u;refresher=%s", session->se,
		      session->we_refresh ? "uas" : "uac");
	if (!session->we_refresh)
		outmsg_header(reply, "Require", "timer");
	timers_start(session);
}

bool session_timer_message_too_small(const struct ua *ua, const struct sip_msg *msg)
{
	struct interval asked = interval_read(msg);

	return !ua->setup.no_session_timers && asked.seconds && asked.seconds < ua->setup.min_se &&
	       inmsg_has_token(msg, SIP_HDR_SUPPORTED, "timer");
}

bool session_timer_too_small(struct session *session, struct strans *st)
{
	struct outmsg *reply;

	if (!session_timer_message_too_small(session->ua, strans_request(st)->msg))
		return false;
	reply = outmsg_reply(strans_request(st), 422, "Session Interval Too Small", NULL, false);
	outmsg_header(reply, "Min-SE", "%u", session->ua->setup.min_se);
	if (strans_reply(st, reply))
		strans_answer(st, 500, NULL);
	mem_deref(reply);
	return true;
}

void session_timer_take_reply(struct session *session, const struct sip_msg *reply)
{
	struct interval granted = interval_read(reply);

	session->se = session->ua->setup.no_session_timers ? 0 : granted.seconds;
	session->we_refresh = !granted.by_uas;
	timers_start(session);
}

bool session_timer_raise(struct session *session, const struct sip_msg *reply)
{
	uint32_t min = min_se_read(reply);

	if (!min || min <= session->min_se || session->ua->setup.no_session_timers)
		return false;
	session->min_se = min;
	if (session->se < min)
		session->se = min;
	return true;
}

/* ---- the clock ---- */

static void retry_soon(struct session *session)
{
	if (session->se && session->we_refresh)
		timer_start(&session->se_timer, RETRY_MS);
}

static void refreshed(struct session *session, struct errand *errand, uint16_t code,
		      const struct inmsg *in)
{
	(void)errand;
	if (!session_in(session, SESSION_UP))
		return;
	if (code == 408 || code == 481) {
		fsm_send(&session->fsm, SIG_DEAD, NULL);
	} else if (code < 300) {
		dialog_refresh(session->dialog, in->msg);
		session_take_caps(session, in->msg);
		session_timer_take_reply(session, in->msg);
	} else if (code == 405 || code == 501) {
		session->no_update = true;
		timer_start(&session->se_timer, 0);
	} else if (code == 422 && in && session_timer_raise(session, in->msg)) {
		timer_start(&session->se_timer, 0);
	} else {
		retry_soon(session); /* glare or a passing trouble: the expiry decides */
	}
}

static void refresh(struct timer *timer, void *arg)
{
	struct session *session = arg;
	auto_(buf_fini) struct buf lines = BUF_MAX(2048);
	bool started;

	(void)timer;
	if (!session_in(session, SESSION_UP) || !session->se)
		return;
	if (session->allow && session_peer_allows(session, "UPDATE") && !session->no_update) {
		session_common_lines(session, &lines);
		session_timer_request_lines(session, &lines);
		started = errand_start(session, session->dialog, "UPDATE", lines.data,
				       SESSION_NO_BODY, refreshed);
		if (!started)
			retry_soon(session);
	} else {
		/* ends in offer_accepted(), which restarts the clock; else it is tried again until the expiry */
		(void)!session_offer_refresh(session);
		retry_soon(session);
	}
}

static void expired(struct timer *timer, void *arg)
{
	struct session *session = arg;

	(void)timer;
	fsm_send(&session->fsm, SIG_DEAD, NULL);
}

/* RFC 4028 10: refresh at half time; without a refresh the end comes a little before the interval does. */
static void timers_start(struct session *session)
{
	uint32_t early = session->se / 3 < 32 ? session->se / 3 : 32;

	session_timer_fini(session);
	if (!session->se)
		return;
	timer_init(&session->se_timer, session->ua->wheel, refresh, session);
	timer_init(&session->se_expiry, session->ua->wheel, expired, session);
	if (session->we_refresh)
		timer_start(&session->se_timer, (uint64_t)session->se * 500);
	timer_start(&session->se_expiry, (uint64_t)(session->se - early) * 1000);
}

void session_timer_fini(struct session *session)
{
	timer_stop(&session->se_timer);
	timer_stop(&session->se_expiry);
}
