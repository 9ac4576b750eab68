/* sip/register_private.h - what the files of registration share
 *
 *   register.c         the machine of one profile and its REGISTERs
 *   register_answer.c  what their answers mean, and what follows
 *   regs.c             the table of profiles, edits, reports, the API
 *   provider.c         servers as addresses: whose source is this, and the pacer
 *   probe.c            trying a profile
 */
#pragma once

#include "base/fsm.h"
#include "base/hmap.h"
#include "sip/exchange.h"
#include "sip/ua_private.h"

#define PROVIDER_ADDRS 16
#define PROVIDER_MATCHES 8 /* providers on one address that are looked through */
#define REG_STOP_MS 4000

struct reg;
struct provider;

struct provider_addr {
	struct hnode node; /* regs->addrs */
	struct provider *provider;
	struct sa addr;
};

/* One server (host, port, transport) and the profiles that have it. */
struct provider {
	struct hnode node; /* regs->providers */
	struct regs *regs;
	struct hop hop;
	unsigned place_count;
	struct reg_place *first; /* its profiles */
	struct provider_addr addrs[PROVIDER_ADDRS];
	unsigned addr_count;
	bool resolved;
	struct resolve_query *query;
	struct timer again;
	/* pacer */
	struct provider *next_waiting, **pprev_waiting;
	struct reg *queue, **queue_tail;
	double tokens;
	uint64_t tokens_at;
};

/* A profile at a provider: at its outbound proxy, or its server where it has none; and at the server besides the proxy,
 * since calls may come from there too.
 */
struct reg_place {
	struct hnode by_user;
	struct reg *reg;
	struct provider *provider; /* NULL: no such place */
	struct reg_place *next, **pprev;
};

enum { PLACE_WAY, PLACE_SERVER, PLACES };

enum reg_signal {
	REG_SIG_TIMEOUT,
	REG_SIG_GO,	 /* the pacer lets it register */
	REG_SIG_OK,	 /* struct inmsg: 2xx */
	REG_SIG_REFUSED, /* struct inmsg: other final */
	REG_SIG_UNSENT,	 /* enum request_failure */
	REG_SIG_STOP,	 /* unregister */
	REG_SIG_FLOW,	 /* the flow broke */
};

struct reg {
	struct hnode by_id, by_line;
	struct reg_place places[PLACES];
	struct regs *regs;
	struct fsm fsm;
	struct account *account, *next_account; /* next: after the old one is unregistered */
	struct provider *provider;		/* where it registers: places[PLACE_WAY]'s */
	struct reg *next_queued, **pprev_queued;
	struct reg *next_dirty;
	struct digest_jar *jar;
	struct exchange *exchange;
	struct flow_watch watch;
	struct flow *flow;
	char *contact_old; /* the address of a Contact that was replaced: taken off in the next REGISTER */
	char *contact_now;
	char call_id[TOKEN_SIZE], from_tag[TOKEN_SIZE];
	uint32_t cseq;
	bool queued, dirty, wanted, removing, removed, stopping, again, lingering, plain, bound;
	bool flow_lost;	       /* since the last 200 */
	bool moved;	       /* to be reported, once */
	bool told_registering; /* that was the last report, with told_code */
	struct hop *redirect;  /* of a 301 or 302, until it has answered */
	uint16_t code, told_code;
	uint8_t failures, auth_failures, raises;
	uint32_t min_expires;
	char *reason;
	struct sa registrar;
	int64_t expires_us, next_us, changed_us;
	unsigned other_bindings;
	struct reg_change *history; /* a ring */
	uint8_t history_cap, history_len, history_at;
};

struct regs {
	struct ua *ua;
	struct regs_setup setup;
	struct hmap by_id, by_line, by_user, providers, addrs;
	struct reg *dirty;
	struct timer report_timer;
	struct provider *waiting, **waiting_tail;
	struct timer pace_timer;
	double tokens;
	uint64_t tokens_at;
	uint64_t random;
	struct timer stop_timer;
	void (*stop_done)(void *arg);
	void *stop_arg;
	size_t stopping;
};

/* register.c */
extern const struct fsm_table reg_table;
void reg_start(struct reg *reg);   /* the pacer's word */
void reg_changed(struct reg *reg); /* to be reported */
void reg_drop_flow(struct reg *reg);
void reg_disable(struct reg *reg);
uint32_t regs_random(struct regs *regs, uint32_t below);
bool reg_in(const struct reg *reg, enum registration_state state);
int64_t reg_wall(const struct reg *reg);
void reg_go(struct reg *reg, enum registration_state state, uint16_t code, const char *reason);
void reg_wait(struct reg *reg, uint32_t ms); /* in the present state until then */
void reg_send(struct reg *reg);
uint32_t reg_expires_asked(const struct reg *reg);
void reg_learn_address(struct reg *reg, const struct inmsg *in);

/* register_answer.c: each leaves the profile in its next state, or with the next REGISTER on its way */
void reg_accepted(struct reg *reg, const struct inmsg *in);
void reg_refused(struct reg *reg, const struct inmsg *in);
void reg_unsent(struct reg *reg, enum request_failure failure);

/* regs.c */
void reg_stopped(struct reg *reg);			  /* unregistering is over */
void reg_adopt(struct reg *reg, struct account *account); /* takes the reference */

/* provider.c */
void places_add(struct reg *reg);
void places_remove(struct reg *reg);
uint64_t place_hash(const struct provider *provider, const struct pl *user);
bool provider_has_addr(const struct provider *provider, const struct sa *addr);
unsigned providers_at(const struct regs *regs, const struct sa *addr, struct provider **ret,
		      unsigned max);
void pace(struct reg *reg); /* wants to register: now or in its turn */
void pace_forget(struct reg *reg);
void pace_init(struct regs *regs);
void provider_free_all(struct regs *regs);
