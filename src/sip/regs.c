#include "sip/register_private.h"

#include <stdio.h>

static struct reg *reg_find(const struct regs *regs, struct id id)
{
	for (struct hnode *node = hmap_first(&regs->by_id, id_hash(id)); node;
	     node = hmap_same(node)) {
		struct reg *reg = container_of_(node, struct reg, by_id);

		if (id_eq(reg->account->id, id) && !reg->removed)
			return reg;
	}
	return NULL;
}

/* ---- reports ---- */

void reg_changed(struct reg *reg)
{
	struct regs *regs = reg->regs;

	if (reg->dirty)
		return;
	reg->dirty = true;
	reg->next_dirty = regs->dirty;
	regs->dirty = reg;
	if (!timer_running(&regs->report_timer))
		timer_start(&regs->report_timer, 0);
}

static void report_fill(const struct reg *reg, struct reg_report *report, char registrar[static 64])
{
	enum registration_state state = (enum registration_state)reg->fsm.state;

	/* Whoever waits for the pacer has set out already: what was before is not where it rests. */
	if (reg->queued && state != REG_REGISTERED)
		state = REG_REGISTERING;
	registrar[0] = 0;
	if (sa_isset(&reg->registrar, SA_ALL))
		(void)re_snprintf(registrar, 64, "%J", &reg->registrar);
	*report = (struct reg_report){
		.id = reg->account->id,
		.state = state,
		.code = reg->code,
		.reason = reg->reason ? reg->reason : "",
		.registrar = registrar,
		.expires_us = reg->bound || reg->lingering ? reg->expires_us : 0,
		.next_attempt_us = reg->next_us,
		.changed_us = reg->changed_us,
		.other_bindings = reg->other_bindings,
		.gone = reg->removed,
		.moved = reg->moved,
		.asking = reg->exchange != NULL,
		.lingering = reg->lingering,
	};
}

static void reg_free(struct reg *reg)
{
	struct regs *regs = reg->regs;

	if (reg->fsm.state == REG_REGISTERED)
		reg_disable(reg); /* the gauge counts */
	hmap_del(&regs->by_id, &reg->by_id);
	hmap_del(&regs->by_line, &reg->by_line);
	places_remove(reg);
	reg_drop_flow(reg);
	exchange_free(reg->exchange);
	free(reg->redirect);
	digest_jar_free(reg->jar);
	fsm_fini(&reg->fsm);
	account_unref(reg->account);
	account_unref(reg->next_account);
	free(reg->contact_old);
	free(reg->contact_now);
	free(reg->reason);
	free(reg->history);
	free(reg);
}

/* Whoever waits for the pacer is registering for everybody else: that it then does so is no news. */
static bool is_news(struct reg *reg, const struct reg_report *report)
{
	bool registering = report->state == REG_REGISTERING && !report->gone && !report->moved;
	bool again = registering && reg->told_registering && reg->told_code == report->code;

	reg->told_registering = registering;
	reg->told_code = report->code;
	return !again;
}

static void report_fn(struct timer *timer, void *arg)
{
	struct regs *regs = arg;
	struct reg *list = take(regs->dirty);

	(void)timer;
	while (list) {
		struct reg *reg = list;
		struct reg_report report;
		char registrar[64];
		bool gone = reg->removed;

		list = reg->next_dirty;
		reg->dirty = false;
		report_fill(reg, &report, registrar);
		reg->moved = false;
		if (is_news(reg, &report) && regs->setup.handlers.on_report)
			regs->setup.handlers.on_report(&report, regs->setup.arg);
		if (gone)
			reg_free(reg);
	}
}

/* ---- life ---- */

static void index_add(struct reg *reg)
{
	places_add(reg);
	hmap_add(&reg->regs->by_line, &reg->by_line, hkey_text(reg->account->line));
}

void reg_adopt(struct reg *reg, struct account *account)
{
	struct regs *regs = reg->regs;

	hmap_del(&regs->by_line, &reg->by_line);
	places_remove(reg);
	/* Calls that are up keep the old account; a challenge finds the new secret there, and the old one once. */
	if (str_eq(reg->account->creds.username, account->creds.username) &&
	    str_eq(reg->account->server, account->server))
		digest_creds_change(&reg->account->creds, account->creds.username,
				    account->creds.secret);
	account_unref(reg->account);
	reg->account = account;
	digest_jar_clear(reg->jar);
	free(take(reg->contact_old));
	free(take(reg->contact_now));
	reg->failures = reg->auth_failures = reg->raises = 0;
	reg->min_expires = 0;
	free(take(reg->redirect));
	reg->plain = reg->bound = reg->lingering = false;
	index_add(reg);
}

/* A trunk is fit when its provider's addresses are known, which provider.c says by pace(). */
static void reg_begin(struct reg *reg)
{
	if (reg->wanted && (reg->account->registers || reg->provider->resolved))
		pace(reg);
}

void reg_stopped(struct reg *reg)
{
	struct regs *regs = reg->regs;

	reg_disable(reg);
	if (reg->removing) {
		reg->removed = true;
	} else if (reg->next_account) {
		reg_adopt(reg, take(reg->next_account));
		reg_begin(reg);
	} else if (reg->again) {
		reg->again = false;
		reg_begin(reg);
	}
	reg_changed(reg);
	if (reg->stopping) {
		reg->stopping = false;
		if (!--regs->stopping && regs->stop_done)
			timer_start(&regs->stop_timer, 0);
	}
}

static void stop_fn(struct timer *timer, void *arg)
{
	struct regs *regs = arg;
	void (*done)(void *) = regs->stop_done;

	(void)timer;
	regs->stop_done = NULL;
	if (done)
		done(regs->stop_arg);
}

struct regs *regs_new(struct ua *ua, const struct regs_setup *setup)
{
	struct regs *regs = xzalloc(sizeof(*regs));

	regs->ua = ua;
	regs->setup = *setup;
	if (!regs->setup.per_second)
		regs->setup.per_second = 200;
	if (!regs->setup.per_host_second)
		regs->setup.per_host_second = 20;
	if (!regs->setup.at_once)
		regs->setup.at_once = 20;
	regs->random = setup->seed;
	timer_init(&regs->report_timer, ua->wheel, report_fn, regs);
	timer_init(&regs->stop_timer, ua->wheel, stop_fn, regs);
	pace_init(regs);
	return regs;
}

struct regs *regs_free(struct regs *regs)
{
	struct hnode *node;
	size_t cursor = 0;

	if (!regs)
		return NULL;
	while ((node = hmap_iter(&regs->by_id, &cursor, NULL))) {
		reg_free(container_of_(node, struct reg, by_id));
		cursor = 0;
	}
	timer_stop(&regs->report_timer);
	timer_stop(&regs->stop_timer);
	timer_stop(&regs->pace_timer);
	provider_free_all(regs);
	hmap_fini(&regs->by_id);
	hmap_fini(&regs->by_line);
	hmap_fini(&regs->by_user);
	hmap_fini(&regs->providers);
	hmap_fini(&regs->addrs);
	free(regs);
	return NULL;
}

static void reg_new(struct regs *regs, struct account *account)
{
	struct reg *reg = xzalloc(sizeof(*reg));

	reg->regs = regs;
	reg->account = account;
	reg->jar = digest_jar_new();
	reg->wanted = true;
	reg->changed_us = wheel_wall_us(regs->ua->wheel);
	token_call_id(reg->call_id);
	token_tag(reg->from_tag);
	fsm_init(&reg->fsm, &reg_table, reg, regs->ua->wheel, REG_DISABLED);
	hmap_add(&regs->by_id, &reg->by_id, id_hash(account->id));
	index_add(reg);
	reg_changed(reg);
	reg_begin(reg);
}

static bool account_same(const struct account *a, const struct account *b)
{
	return str_eq(a->username, b->username) && str_eq(a->server, b->server) &&
	       str_eq(a->from_domain, b->from_domain) && str_eq(a->realm, b->realm) &&
	       str_eq(a->route, b->route) && a->port == b->port && a->transport == b->transport &&
	       a->unverified == b->unverified && a->registers == b->registers &&
	       a->expires == b->expires && str_eq(a->creds.username, b->creds.username) &&
	       str_eq(a->creds.secret, b->creds.secret);
}

static void reg_edit(struct reg *reg, struct account *account)
{
	const struct account *present = reg->next_account ? reg->next_account : reg->account;

	if (account_same(present, account) && !reg->removing) {
		account_unref(account);
		return;
	}
	reg->removing = false;
	account_unref(reg->next_account);
	reg->next_account = account;
	reg->wanted = true;
	pace_forget(reg);
	fsm_send(&reg->fsm, REG_SIG_STOP,
		 NULL); /* with the old secret; then reg_stopped() takes the new account */
}

int regs_put(struct regs *regs, const struct account_setup *setup)
{
	struct reg *reg = reg_find(regs, setup->id);
	struct account *account;
	int r = account_new(setup, &account);

	if (r)
		return r;
	if (reg && !reg->removed)
		reg_edit(reg, account);
	else
		reg_new(regs, account);
	return 0;
}

void regs_remove(struct regs *regs, struct id id)
{
	struct reg *reg = reg_find(regs, id);

	if (!reg || reg->removing)
		return;
	reg->removing = true;
	reg->wanted = false;
	reg->next_account = account_unref(reg->next_account);
	fsm_send(&reg->fsm, REG_SIG_STOP, NULL);
}

bool regs_register(struct regs *regs, struct id id)
{
	struct reg *reg = reg_find(regs, id);

	if (!reg || reg->removing)
		return false;
	reg->wanted = true;
	reg->auth_failures = 0;
	reg->failures = 0;
	if (reg->fsm.state == REG_UNREGISTERING && !reg->next_account)
		reg->again = true;
	else if (reg->fsm.state != REG_REGISTERING)
		reg_begin(reg);
	return true;
}

bool regs_unregister(struct regs *regs, struct id id)
{
	struct reg *reg = reg_find(regs, id);

	if (!reg || reg->removing)
		return false;
	reg->wanted = false;
	reg->again = false;
	fsm_send(&reg->fsm, REG_SIG_STOP, NULL);
	return true;
}

void regs_stop(struct regs *regs, void (*done)(void *arg), void *arg)
{
	struct hnode *node = NULL;
	size_t cursor = 0;

	regs->stop_done = done;
	regs->stop_arg = arg;
	regs->stopping = 1; /* ours, so that it does not reach zero while we walk */
	while ((node = hmap_iter(&regs->by_id, &cursor, node))) {
		struct reg *reg = container_of_(node, struct reg, by_id);

		reg->wanted = false;
		if (reg->stopping)
			continue;
		reg->stopping = true;
		regs->stopping++;
		fsm_send(&reg->fsm, REG_SIG_STOP, NULL);
	}
	regs->stopping--;
	timer_start(&regs->stop_timer, regs->stopping ? REG_STOP_MS + 100 : 0);
}

/* ---- reading ---- */

struct account *regs_account(struct regs *regs, struct id id)
{
	struct reg *reg = reg_find(regs, id);

	return reg ? reg->account : NULL;
}

static bool reg_usable(const struct reg *reg)
{
	enum registration_state state = (enum registration_state)reg->fsm.state;
	bool bound = reg->bound && reg->expires_us > wheel_wall_us(reg->regs->ua->wheel);

	if (reg->removing || !reg->wanted)
		return false;
	return state == REG_REGISTERED ||
	       (bound &&
		(state == REG_RETRY_WAIT || state == REG_UNREACHABLE || state == REG_REGISTERING));
}

bool regs_usable(struct regs *regs, struct id id)
{
	struct reg *reg = reg_find(regs, id);

	return reg && reg_usable(reg);
}

bool regs_report(struct regs *regs, struct id id, struct reg_report *ret_report)
{
	static char registrar[64];
	struct reg *reg = reg_find(regs, id);

	if (!reg)
		return false;
	report_fill(reg, ret_report, registrar);
	return true;
}

unsigned regs_history(struct regs *regs, struct id id, struct reg_change *ret_changes, unsigned max)
{
	struct reg *reg = reg_find(regs, id);
	unsigned count = 0;

	for (; reg && count < max && count < reg->history_len; count++)
		ret_changes[count] =
			reg->history[(reg->history_at + REG_HISTORY - 1 - count) % REG_HISTORY];
	return count;
}

size_t regs_count(const struct regs *regs)
{
	return regs->by_id.count;
}

/* ---- whose is it ---- */

/* A profile whose calls we take: what is switched off or refused by its provider takes none. */
static bool reg_takes_calls(const struct reg *reg)
{
	enum registration_state state = (enum registration_state)reg->fsm.state;

	return !reg->removing && reg->wanted && state != REG_DISABLED && state != REG_AUTH_FAILED &&
	       state != REG_REJECTED;
}

static struct reg *by_line(const struct regs *regs, const struct pl *user)
{
	if (user->l != ACCOUNT_LINE_SIZE - 1)
		return NULL;
	for (struct hnode *node = hmap_first(&regs->by_line, hkey_bytes(user->p, user->l)); node;
	     node = hmap_same(node)) {
		struct reg *reg = container_of_(node, struct reg, by_line);

		if (!pl_strcmp(user, reg->account->line))
			return reg;
	}
	return NULL;
}

/* Who claims a call. A registration proves that the name is the profile's own; a trunk, or a profile that the provider
 * has not let in, only says so. What is proved wins, so that nobody takes another's calls by naming a trunk
 * after it; two claims of one kind cannot be told apart: nobody's.
 */
struct claim {
	struct reg *reg;
	bool proved, contested;
};

static void claim_add(struct claim *claim, struct reg *reg)
{
	bool proved = reg->account->registers && reg->fsm.state == REG_REGISTERED;

	if (!claim->reg || (proved && !claim->proved))
		*claim = (struct claim){ reg, proved, false };
	else if (reg != claim->reg && proved == claim->proved)
		claim->contested = true;
}

static void claims_of_user(const struct regs *regs, const struct provider *provider,
			   const struct pl *user, struct claim *claim)
{
	if (!pl_isset(user))
		return;
	for (struct hnode *node = hmap_first(&regs->by_user, place_hash(provider, user)); node;
	     node = hmap_same(node)) {
		struct reg_place *place = container_of_(node, struct reg_place, by_user);

		if (place->provider == provider &&
		    !pl_strcmp(user, place->reg->account->username) && reg_takes_calls(place->reg))
			claim_add(claim, place->reg);
	}
}

/* The only profile that all of these have. */
static struct reg *only_one(struct provider *const *providers, unsigned count)
{
	struct reg *only = NULL;

	for (unsigned i = 0; i < count; i++) {
		if (providers[i]->place_count != 1 || (only && providers[i]->first->reg != only))
			return NULL;
		only = providers[i]->first->reg;
	}
	return only && reg_takes_calls(only) ? only : NULL;
}

static struct reg *by_source(const struct regs *regs, const struct inmsg *in)
{
	const struct sip_hdr *called = inmsg_header(in->msg, SIP_HDR_P_CALLED_PARTY_ID);
	struct provider *providers[PROVIDER_MATCHES];
	unsigned count = providers_at(regs, &in->msg->src, providers, PROVIDER_MATCHES);
	struct sip_addr addr = { 0 };
	const struct pl *users[] = { &in->msg->uri.user, &in->msg->to.uri.user, &addr.uri.user };

	if (called && parse_addr(&called->val, &addr))
		addr.uri.user = pl_null;
	for (size_t u = 0; u < ARRAY_LEN(users); u++) {
		struct claim claim = { 0 };

		for (unsigned i = 0; i < count; i++)
			claims_of_user(regs, providers[i], users[u], &claim);
		if (claim.reg)
			return claim.contested ? NULL : claim.reg;
	}
	/* A number we do not know, but there is only one profile it can be for. */
	return only_one(providers, count);
}

static bool reg_has_addr(const struct reg *reg, const struct sa *addr)
{
	for (size_t i = 0; i < PLACES; i++)
		if (reg->places[i].provider && provider_has_addr(reg->places[i].provider, addr))
			return true;
	return false;
}

struct account *regs_identify(struct regs *regs, const struct inmsg *in)
{
	struct reg *reg = by_line(regs, &in->msg->uri.user);

	if (reg) {
		bool known = (reg->flow && reg->flow == in->flow) ||
			     reg_has_addr(reg, &in->msg->src) ||
			     (sa_isset(&reg->registrar, SA_ADDR) &&
			      sa_cmp(&reg->registrar, &in->msg->src, SA_ADDR));

		return known && reg_takes_calls(reg) ? reg->account : NULL;
	}
	reg = by_source(regs, in);
	return reg ? reg->account : NULL;
}
