/* A provider is a server name with the addresses it resolves to now: resolved once for all the profiles that have it,
 * again every five minutes, trusted by the flood guard while it has profiles.
 *
 * The pacer: one bucket for all and one for each provider. Who may not go at once waits in the provider's queue;
 * providers with a queue stand in a ring that is walked ten times a second, so nothing is linear in the number of
 * profiles and no crowded provider holds up another.
 */
#include "sip/register_private.h"

#include <stdio.h>

#define RESOLVE_MS 300000
#define RESOLVE_FAILED_MS 30000
#define PACE_MS 100

static uint64_t hop_hash(const struct hop *hop)
{
	return hkey_text_nocase(hop->host) ^ ((uint64_t)hop->port << 8) ^
	       (uint64_t)(hop->transport + 1);
}

static uint64_t addr_key(const struct sa *addr)
{
	if (sa_af(addr) == AF_INET) {
		uint32_t v4 = sa_in(addr);

		return hkey_bytes(&v4, sizeof(v4));
	} else {
		uint8_t v6[16];

		sa_in6(addr, v6);
		return hkey_bytes(v6, sizeof(v6));
	}
}

/* ---- addresses ---- */

static void resolve(struct provider *provider);
static void ring_remove(struct regs *regs, struct provider *provider);

static void again_fn(struct timer *timer, void *arg)
{
	(void)timer;
	resolve(arg);
}

static void addrs_clear(struct provider *provider)
{
	struct regs *regs = provider->regs;

	for (unsigned i = 0; i < provider->addr_count; i++) {
		wire_untrust(stack_wire(regs->ua->stack), &provider->addrs[i].addr);
		hmap_del(&regs->addrs, &provider->addrs[i].node);
	}
	provider->addr_count = 0;
}

static void addrs_set(struct provider *provider, const struct target *targets, unsigned count)
{
	struct regs *regs = provider->regs;

	addrs_clear(provider);
	for (unsigned i = 0; i < count && provider->addr_count < PROVIDER_ADDRS; i++) {
		struct provider_addr *slot = &provider->addrs[provider->addr_count];

		if (provider_has_addr(provider, &targets[i].addr))
			continue;
		slot->provider = provider;
		slot->addr = targets[i].addr;
		hmap_add(&regs->addrs, &slot->node, addr_key(&slot->addr));
		wire_trust(stack_wire(regs->ua->stack), &slot->addr);
		provider->addr_count++;
	}
}

static void resolved(enum resolve_outcome outcome, const struct target *targets, unsigned count,
		     void *arg)
{
	struct provider *provider = arg;
	bool first = !provider->resolved;

	provider->query = NULL;
	if (outcome == RESOLVE_OK) {
		addrs_set(provider, targets, count);
		provider->resolved = true;
	}
	/* On failure the old addresses stay: a name server that is away must not cut calls off. */
	timer_start(&provider->again, outcome == RESOLVE_OK
					      ? RESOLVE_MS + regs_random(provider->regs, 30000)
					      : RESOLVE_FAILED_MS);
	for (struct reg_place *place = first ? provider->first : NULL; place && provider->resolved;
	     place = place->next) {
		if (!place->reg->account->registers && place->reg->provider == provider)
			pace(place->reg);
	}
}

static void resolve(struct provider *provider)
{
	if (!provider->query)
		provider->query = resolver_start(stack_resolver(provider->regs->ua->stack),
						 &provider->hop, false, resolved, provider);
}

bool provider_has_addr(const struct provider *provider, const struct sa *addr)
{
	for (unsigned i = 0; i < provider->addr_count; i++) {
		if (sa_cmp(&provider->addrs[i].addr, addr, SA_ADDR))
			return true;
	}
	return false;
}

unsigned providers_at(const struct regs *regs, const struct sa *addr, struct provider **ret,
		      unsigned max)
{
	struct hnode *node = hmap_first(&regs->addrs, addr_key(addr));
	unsigned count = 0;

	for (; node && count < max; node = hmap_same(node)) {
		struct provider_addr *slot = container_of_(node, struct provider_addr, node);

		if (sa_cmp(&slot->addr, addr, SA_ADDR))
			ret[count++] = slot->provider;
	}
	return count;
}

bool regs_knows_source(const struct regs *regs, const struct sa *addr)
{
	struct provider *one[1];

	return providers_at(regs, addr, one, 1) > 0;
}

/* ---- life ---- */

uint64_t place_hash(const struct provider *provider, const struct pl *user)
{
	return hkey_bytes(user->p, user->l) ^ (uint64_t)(uintptr_t)provider;
}

static struct provider *provider_take(struct regs *regs, const struct hop *hop)
{
	struct provider *provider;

	for (struct hnode *node = hmap_first(&regs->providers, hop_hash(hop)); node;
	     node = hmap_same(node)) {
		provider = container_of_(node, struct provider, node);
		if (str_eq_nocase(provider->hop.host, hop->host) &&
		    provider->hop.port == hop->port && provider->hop.transport == hop->transport)
			return provider;
	}
	provider = xzalloc(sizeof(*provider));
	provider->regs = regs;
	provider->hop = *hop;
	provider->tokens = regs->setup.at_once;
	provider->tokens_at = wheel_now_ms(regs->ua->wheel);
	provider->queue_tail = &provider->queue;
	hmap_add(&regs->providers, &provider->node, hop_hash(hop));
	timer_init(&provider->again, regs->ua->wheel, again_fn, provider);
	resolve(provider);
	return provider;
}

static struct provider *place_add(struct reg *reg, struct reg_place *place, const struct hop *hop)
{
	struct provider *provider = provider_take(reg->regs, hop);
	struct pl user;

	pl_set_str(&user, reg->account->username);
	place->reg = reg;
	place->provider = provider;
	place->next = provider->first;
	place->pprev = &provider->first;
	if (place->next)
		place->next->pprev = &place->next;
	provider->first = place;
	provider->place_count++;
	hmap_add(&reg->regs->by_user, &place->by_user, place_hash(provider, &user));
	return provider;
}

void places_add(struct reg *reg)
{
	struct hop way, server;

	bug_on(!account_hop(reg->account, false, &way));
	reg->provider = place_add(reg, &reg->places[PLACE_WAY], &way);
	if (reg->account->route && account_server_hop(reg->account, &server) &&
	    !(str_eq_nocase(server.host, way.host) && server.port == way.port &&
	      server.transport == way.transport))
		(void)place_add(reg, &reg->places[PLACE_SERVER], &server);
}

static void provider_free(struct provider *provider)
{
	struct regs *regs = provider->regs;

	ring_remove(regs, provider);
	resolver_cancel(provider->query);
	timer_stop(&provider->again);
	addrs_clear(provider);
	hmap_del(&regs->providers, &provider->node);
	free(provider);
}

static void place_remove(struct reg_place *place)
{
	struct provider *provider = take(place->provider);

	if (!provider)
		return;
	hmap_del(&provider->regs->by_user, &place->by_user);
	*place->pprev = place->next;
	if (place->next)
		place->next->pprev = place->pprev;
	if (!--provider->place_count)
		provider_free(provider);
}

void places_remove(struct reg *reg)
{
	if (reg->provider)
		pace_forget(reg);
	reg->provider = NULL;
	for (size_t i = 0; i < PLACES; i++)
		place_remove(&reg->places[i]);
}

/* ---- the pacer ---- */

static void refill(double *tokens, uint64_t *at, double rate, double most, uint64_t now)
{
	*tokens += (double)(now - *at) * rate / 1000.0;
	if (*tokens > most)
		*tokens = most;
	*at = now;
}

static bool may_go(struct regs *regs, struct provider *provider)
{
	uint64_t now = wheel_now_ms(regs->ua->wheel);

	refill(&regs->tokens, &regs->tokens_at, regs->setup.per_second, regs->setup.at_once, now);
	refill(&provider->tokens, &provider->tokens_at, regs->setup.per_host_second,
	       regs->setup.at_once, now);
	if (regs->tokens < 1 || provider->tokens < 1)
		return false;
	regs->tokens--;
	provider->tokens--;
	return true;
}

static void ring_add(struct regs *regs, struct provider *provider)
{
	provider->next_waiting = NULL;
	provider->pprev_waiting = regs->waiting_tail;
	*regs->waiting_tail = provider;
	regs->waiting_tail = &provider->next_waiting;
}

static void ring_remove(struct regs *regs, struct provider *provider)
{
	if (!provider->pprev_waiting)
		return;
	*provider->pprev_waiting = provider->next_waiting;
	if (provider->next_waiting)
		provider->next_waiting->pprev_waiting = provider->pprev_waiting;
	else
		regs->waiting_tail = provider->pprev_waiting;
	provider->pprev_waiting = NULL;
}

static void queue_remove(struct provider *provider, struct reg *reg)
{
	*reg->pprev_queued = reg->next_queued;
	if (reg->next_queued)
		reg->next_queued->pprev_queued = reg->pprev_queued;
	else
		provider->queue_tail = reg->pprev_queued;
	reg->queued = false;
}

static void pace_tick(struct timer *timer, void *arg)
{
	struct regs *regs = arg;
	struct provider *stuck = NULL; /* the first that was passed over: once round is enough */

	while (regs->waiting && regs->waiting != stuck) {
		struct provider *provider = regs->waiting;
		bool go = may_go(regs, provider);
		struct reg *reg = go ? provider->queue : NULL;

		if (reg)
			queue_remove(provider, reg);
		ring_remove(regs, provider);
		if (provider->queue)
			ring_add(regs, provider);
		if (!go && !stuck)
			stuck = provider;
		if (reg)
			reg_start(reg);
		if (regs->tokens < 1)
			break;
	}
	if (regs->waiting)
		timer_start(timer, PACE_MS);
}

void pace_init(struct regs *regs)
{
	regs->waiting_tail = &regs->waiting;
	regs->tokens = regs->setup.at_once;
	regs->tokens_at = wheel_now_ms(regs->ua->wheel);
	timer_init(&regs->pace_timer, regs->ua->wheel, pace_tick, regs);
}

void pace(struct reg *reg)
{
	struct provider *provider = reg->provider;
	struct regs *regs = reg->regs;

	if (reg->queued)
		return;
	reg->queued = true;
	reg->next_queued = NULL;
	reg->pprev_queued = provider->queue_tail;
	*provider->queue_tail = reg;
	provider->queue_tail = &reg->next_queued;
	if (!provider->pprev_waiting)
		ring_add(regs, provider);
	/* never from inside the caller: regs_put() promises so */
	if (!timer_running(&regs->pace_timer))
		timer_start(&regs->pace_timer, 0);
}

void pace_forget(struct reg *reg)
{
	if (!reg->queued)
		return;
	queue_remove(reg->provider, reg);
	if (!reg->provider->queue)
		ring_remove(reg->regs, reg->provider);
}

void provider_free_all(struct regs *regs)
{
	struct hnode *node;
	size_t cursor = 0;

	while ((node = hmap_iter(&regs->providers, &cursor, NULL))) {
		provider_free(container_of_(node, struct provider, node));
		cursor = 0;
	}
}
