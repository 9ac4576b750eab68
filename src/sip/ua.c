#include "sip/session_private.h"

#include "base/hmap.h"
#include "base/metric.h"

#include <openssl/rand.h>
#include <stdio.h>

METRIC_COUNTER(metric_strangers, "jackfield_sip_dropped_total",
	       "Requests dropped without an answer", "reason=\"stranger\"");
METRIC_COUNTER(metric_stray, "jackfield_sip_stray_answers_total",
	       "2xx that belonged to no call any more", NULL);

uint32_t ua_random(uint32_t below)
{
	uint32_t value;

	bug_on(RAND_bytes((unsigned char *)&value, sizeof(value)) != 1);
	return below ? (uint32_t)(((uint64_t)value * below) >> 32) : 0;
}

/* ---- Replaces ---- */

/* A dialog's ids as Replaces has them. */
struct replaced_ids {
	struct pl call_id, to_tag, from_tag;
	bool early_only;
};

static bool replaces_decode(const char *value, struct replaced_ids *ret)
{
	struct pl whole, params;
	const char *semicolon = strchr(value, ';');

	if (!semicolon)
		return false;
	pl_set_str(&whole, value);
	ret->call_id = (struct pl){ .p = value, .l = (size_t)(semicolon - value) };
	while (ret->call_id.l && ret->call_id.p[ret->call_id.l - 1] == ' ')
		ret->call_id.l--;
	params = (struct pl){ .p = semicolon, .l = whole.l - (size_t)(semicolon - value) };
	if (!parse_param(&params, "to-tag", &ret->to_tag) ||
	    !parse_param(&params, "from-tag", &ret->from_tag))
		return false;
	ret->early_only = parse_has_param(&params, "early-only");
	return true;
}

static struct session *session_of_ids(const struct ua *ua, const struct replaced_ids *ids)
{
	struct dialog *dialog =
		dialog_table_find(ua->dialogs, &ids->call_id, &ids->to_tag, &ids->from_tag);

	return dialog ? dialog_owner(dialog) : NULL;
}

struct session *ua_replaced(struct ua *ua, const char *value)
{
	struct replaced_ids ids;

	return replaces_decode(value, &ids) ? session_of_ids(ua, &ids) : NULL;
}

static uint64_t hash_of(const struct pl *call_id, const struct pl *ours, const struct pl *theirs)
{
	const struct pl *parts[] = { call_id, ours, theirs };
	uint64_t hashes[ARRAY_LEN(parts)];

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		hashes[i] = hkey_bytes(parts[i]->p, parts[i]->l);
	return hkey_bytes(hashes, sizeof(hashes));
}

void ua_ended(struct ua *ua, const struct dialog *dialog)
{
	struct pl call_id, ours, theirs;

	pl_set_str(&call_id, dialog_call_id(dialog));
	pl_set_str(&ours, dialog_local_tag(dialog));
	pl_set_str(&theirs, dialog_remote_tag(dialog));
	ua->ended[ua->ended_next++ % UA_ENDED] = hash_of(&call_id, &ours, &theirs);
}

/* Looked through only for somebody known here who asks for a call that is not. */
static bool has_ended(const struct ua *ua, const struct replaced_ids *ids)
{
	uint64_t hash = hash_of(&ids->call_id, &ids->to_tag, &ids->from_tag);

	for (size_t i = 0; i < UA_ENDED; i++)
		if (ua->ended[i] == hash)
			return true;
	return false;
}

/* RFC 3891 3. Whoever may not replace a call does not learn that there is one. Return: 0, or the refusal. */
static uint16_t replaces_refusal(const struct ua *ua, const struct replaced_ids *ids,
				 const struct session *replaced, const struct account *account)
{
	if (!replaced)
		return has_ended(ua, ids) ? 603 : 481;
	if (replaced->account != account)
		return 481;
	if (!session_alive(replaced))
		return 603;
	if (session_is_up(replaced))
		return ids->early_only ? 486 : 0;
	return session_is_outgoing(replaced) ? 0 : 481; /* only early dialogs that we began */
}

/* Return: false when the INVITE was answered already. */
static bool replaces_check(struct ua *ua, const struct inmsg *in, const struct account *account,
			   struct session **ret_replaced)
{
	const struct sip_hdr *hdr = inmsg_header(in->msg, SIP_HDR_REPLACES);
	auto_(free) char *value = NULL;
	struct session *replaced;
	struct replaced_ids ids;
	uint16_t code;

	if (!hdr)
		return true;
	value = xstrndup(hdr->val.p, hdr->val.l);
	if (inmsg_count(in->msg, SIP_HDR_REPLACES) != 1 || !replaces_decode(value, &ids)) {
		stack_reply(in, 400, NULL);
		return false;
	}
	replaced = session_of_ids(ua, &ids);
	code = replaces_refusal(ua, &ids, replaced, account);
	if (code)
		stack_reply(in, code, NULL);
	else
		*ret_replaced = replaced;
	return !code;
}

/* ---- INVITE ---- */

void user_copy(char *dst, size_t size, const struct pl *user)
{
	struct session_peer peer;
	auto_(free) char *uri = xasprintf("<sip:%.*s@x>", (int)user->l, user->p);
	struct sip_msg fake = { .req = true };

	pl_set_str(&fake.from.val, uri);
	identity_read(&fake, false, &peer);
	str_copy(dst, size, peer.number);
}

/* The number that was called: what the provider says it was, not the token we gave it. */
static void called_of(const struct account *account, const struct sip_msg *msg, char *dst,
		      size_t size)
{
	const struct sip_hdr *hdr = account ? inmsg_header(msg, SIP_HDR_P_CALLED_PARTY_ID) : NULL;
	struct sip_addr addr;

	if (hdr && !parse_addr(&hdr->val, &addr) && pl_isset(&addr.uri.user))
		user_copy(dst, size, &addr.uri.user);
	else if (account && !pl_strcmp(&msg->uri.user, account->line))
		user_copy(dst, size, &msg->to.uri.user);
	else
		user_copy(dst, size, &msg->uri.user);
}

/* A parameter of the number (3GPP TS 24.229 7.2A.20); some put it behind the address. */
static bool verstat_in(const struct uri *uri, const struct pl *params, struct pl *ret)
{
	return parse_param(&uri->user, "verstat", ret) ||
	       parse_param(&uri->params, "verstat", ret) || parse_param(params, "verstat", ret);
}

static void verstat_of(const struct sip_msg *msg, char *dst, size_t size)
{
	const struct sip_hdr *pai = inmsg_header(msg, SIP_HDR_P_ASSERTED_IDENTITY);
	struct sip_addr addr;
	struct pl value;

	dst[0] = 0;
	if ((pai && !parse_addr(&pai->val, &addr) && verstat_in(&addr.uri, &addr.params, &value)) ||
	    verstat_in(&msg->from.uri, &msg->from.params, &value))
		text_clean(dst, size, value.p, value.l);
}

/* Never 503: a provider would take the whole of us for broken and call elsewhere for a while. */
static bool refused_early(struct ua *ua, const struct inmsg *in)
{
	struct session_body body = message_body(in->msg);
	struct outmsg *reply = NULL;

	if (ua->draining) {
		reply = outmsg_reply(in, 480, NULL, NULL, false);
		outmsg_header(reply, "Retry-After", "%u", 30 + ua_random(30));
	} else if (ua->session_count >= ua->setup.max_sessions) {
		reply = outmsg_reply(in, 486, NULL, NULL, false);
		outmsg_header(reply, "Reason", "Q.850;cause=42");
	} else if (mbuf_get_left(in->msg->mb) > SESSION_BODY_MAX) {
		reply = outmsg_reply(in, 413, NULL, NULL, false);
	} else if (body.type && strncasecmp(body.type, "application/sdp", 15)) {
		reply = outmsg_reply(in, 415, NULL, NULL, false);
		outmsg_header(reply, "Accept", "application/sdp");
	} else if (session_timer_message_too_small(ua, in->msg)) {
		reply = outmsg_reply(in, 422, "Session Interval Too Small", NULL, false);
		outmsg_header(reply, "Min-SE", "%u", ua->setup.min_se);
	}
	if (!reply)
		return false;
	stack_reply_msg(in, reply);
	mem_deref(reply);
	return true;
}

static void incoming(struct ua *ua, const struct inmsg *in, struct account *account,
		     struct id device)
{
	struct dialog_policy policy = {
		.pinned = !account,
		.any_address = !account,
		.unverified = account && account->unverified,
	};
	const struct sip_hdr *profile = inmsg_header_named(in->msg, "X-Profile-Id");
	char called[128], verstat[48], profile_text[ID_STR_SIZE] = "";
	auto_(free) char *uri = xstrndup(in->msg->ruri.p, in->msg->ruri.l);
	struct ua_incoming info = { .account = account,
				    .device = device,
				    .called = called,
				    .called_uri = uri,
				    .verstat = verstat };
	struct session *session;

	if (!account && in->msg->uri.user.l >= sizeof(called)) {
		stack_reply(in, 414, NULL); /* dialled as it is, or not at all */
		return;
	}
	if (refused_early(ua, in) || !replaces_check(ua, in, account, &info.replaces) ||
	    session_in_new(ua, in, policy, &session))
		return;
	session->account = account_ref(account);
	session->device = device;
	identity_read(in->msg, account != NULL, &session->peer);
	called_of(account, in->msg, called, sizeof(called));
	verstat_of(in->msg, verstat, sizeof(verstat));
	if (profile && !account) {
		text_clean(profile_text, sizeof(profile_text), profile->val.p, profile->val.l);
		if (!id_parse(profile_text, &info.profile))
			info.profile = ID_NONE;
	}
	info.offer = message_body(in->msg);
	session_offer_taken(session, info.offer);
	if (ua->setup.handlers.on_incoming)
		ua->setup.handlers.on_incoming(session, &info, ua->setup.arg);
	if (!session->bound)
		session_reject(session, 480, NULL, 0, NULL);
}

static void stranger(struct ua *ua, const struct inmsg *in)
{
	metric_add(&metric_strangers, 1);
	wire_penalize(stack_wire(ua->stack), &in->msg->src, 5);
	log_rated(LOG_INFO_, "stranger dropped", LOG_PII("source", inmsg_source(in)));
}

static void on_invite(const struct inmsg *in, void *arg)
{
	struct ua *ua = arg;
	struct account *account = regs_identify(ua->regs, in);
	struct id device = ID_NONE;
	int r = REGISTRAR_E_STRANGER;

	if (account) {
		incoming(ua, in, account, ID_NONE);
		return;
	}
	if (ua->registrar)
		r = registrar_authenticate(ua->registrar, in, &device);
	if (!r)
		incoming(ua, in, NULL, device);
	else if (r == REGISTRAR_E_STRANGER && regs_knows_source(ua->regs, &in->msg->src))
		stack_reply(in, ua->draining ? 480 : 404, NULL); /* a provider's, but for whom? */
	else if (r == REGISTRAR_E_STRANGER)
		stranger(ua, in);
}

static void on_options(const struct inmsg *in, void *arg)
{
	struct ua *ua = arg;
	struct outmsg *reply = outmsg_reply(in, ua->draining ? 503 : 200, NULL, NULL, false);

	outmsg_header(reply, "Allow", "%s", stack_allowed(ua->stack));
	outmsg_header(reply, "Supported", "%s", stack_supported(ua->stack));
	outmsg_header(reply, "Accept", "application/sdp");
	stack_reply_msg(in, reply);
	mem_deref(reply);
}

static void on_register(const struct inmsg *in, void *arg)
{
	struct ua *ua = arg;

	registrar_receive(ua->registrar, in);
}

/* ---- hooks ---- */

static bool on_dialog(const struct inmsg *in, void *arg)
{
	struct ua *ua = arg;

	return dialog_table_receive(ua->dialogs, in);
}

static bool known_source(const struct ua *ua, const struct inmsg *in)
{
	return regs_knows_source(ua->regs, &in->msg->src) ||
	       (ua->registrar && registrar_knows(ua->registrar, in));
}

/* Providers, devices that registered, and who wants to register or shows credentials: nobody else is looked at. */
static bool admit(const struct inmsg *in, void *arg)
{
	struct ua *ua = arg;

	if (known_source(ua, in))
		return true;
	if (ua->registrar && registrar_may_be_device(ua->registrar, in))
		return true;
	stranger(ua, in);
	return false;
}

static void stray_new(struct ua *ua, const struct inmsg *in)
{
	const struct sip_msg *msg = in->msg;
	auto_(free) char *from = xstrndup(msg->from.val.p, msg->from.val.l);
	auto_(free) char *call_id = xstrndup(msg->callid.p, msg->callid.l);
	auto_(free) char *tag = xstrndup(msg->from.tag.p, msg->from.tag.l);
	auto_(free) char *target = xstrndup(msg->to.auri.p, msg->to.auri.l);
	/* Nothing is known of it any more: the answer goes back where the 2xx came from, and nowhere else. */
	const struct dialog_local local = {
		.from = from,
		.target = target,
		.call_id = call_id,
		.from_tag = tag,
		.cseq = msg->cseq.num,
		.policy = { .pinned = true },
	};
	struct dialog *dialog;

	if (dialog_new_client(ua->dialogs, &local, in, NULL, NULL, &dialog))
		return;
	farewell_ack(ua, dialog, msg->cseq.num);
	farewell_start(ua, NULL, dialog,
		       "Reason: Q.850;cause=31;text=\"Answered after the end\"\r\n");
}

static void on_stray(const struct inmsg *in, void *arg)
{
	struct ua *ua = arg;
	const struct sip_msg *msg = in->msg;
	struct dialog *dialog =
		dialog_table_find(ua->dialogs, &msg->callid, &msg->from.tag, &msg->to.tag);

	metric_add(&metric_stray, 1);
	if (!dialog && !known_source(ua, in))
		stranger(ua, in); /* ACK and BYE to a forged source would make us a reflector */
	else if (!dialog)
		stray_new(ua, in);
	else if (dialog_owner(dialog))
		session_on_accepted_again(dialog_owner(dialog), in);
	else
		farewell_ack(ua, dialog, msg->cseq.num);
}

/* ---- life ---- */

static void stack_setup_hooks(struct ua *ua)
{
	static const char *const in_dialog[] = { "ACK",	   "CANCEL", "BYE",   "PRACK",
						 "UPDATE", "INFO",   "REFER", "NOTIFY" };

	stack_on_method(ua->stack, "INVITE", on_invite, ua);
	for (size_t i = 0; i < ARRAY_LEN(in_dialog); i++)
		stack_allow(ua->stack, in_dialog[i]);
	stack_on_method(ua->stack, "OPTIONS", on_options, ua);
	if (ua->registrar)
		stack_on_method(ua->stack, "REGISTER", on_register, ua);
	stack_support(ua->stack, "100rel");
	if (!ua->setup.no_session_timers)
		stack_support(ua->stack, "timer");
	stack_support(ua->stack, "replaces");
	stack_support(ua->stack, "norefersub");
	stack_set_dialog_hook(ua->stack, on_dialog, ua);
	stack_set_admit_hook(ua->stack, admit, ua);
	stack_set_stray_2xx_hook(ua->stack, on_stray, ua);
}

struct ua *ua_new(const struct ua_setup *setup)
{
	struct ua *ua = xzalloc(sizeof(*ua));

	ua->setup = *setup;
	ua->stack = setup->stack;
	ua->wheel = stack_wheel(setup->stack);
	if (!ua->setup.max_sessions)
		ua->setup.max_sessions = 20000;
	if (!ua->setup.session_expires)
		ua->setup.session_expires = 1800;
	if (!ua->setup.min_se)
		ua->setup.min_se = 90;
	ua->dialogs = dialog_table_new(ua->stack);
	ua->regs = regs_new(ua, &setup->regs);
	if (setup->registrar.realm)
		ua->registrar = registrar_new(ua->stack, &setup->registrar);
	stack_setup_hooks(ua);
	return ua;
}

struct ua *ua_free(struct ua *ua)
{
	if (!ua)
		return NULL;
	stack_on_method(ua->stack, "INVITE", NULL, NULL);
	stack_on_method(ua->stack, "OPTIONS", NULL, NULL);
	stack_on_method(ua->stack, "REGISTER", NULL, NULL);
	stack_set_dialog_hook(ua->stack, NULL, NULL);
	stack_set_admit_hook(ua->stack, NULL, NULL);
	stack_set_stray_2xx_hook(ua->stack, NULL, NULL);
	session_free_all(ua);
	farewell_free_all(ua);
	regs_free(ua->regs);
	registrar_free(ua->registrar);
	dialog_table_free(ua->dialogs);
	free(ua);
	return NULL;
}

struct stack *ua_stack(const struct ua *ua)
{
	return ua->stack;
}

struct wheel *ua_wheel(const struct ua *ua)
{
	return ua->wheel;
}

struct regs *ua_regs(const struct ua *ua)
{
	return ua->regs;
}

struct registrar *ua_registrar(const struct ua *ua)
{
	return ua->registrar;
}

struct dialog_table *ua_dialogs(const struct ua *ua)
{
	return ua->dialogs;
}

size_t ua_sessions(const struct ua *ua)
{
	return ua->session_count;
}

void ua_drain(struct ua *ua, bool draining)
{
	ua->draining = draining;
}
