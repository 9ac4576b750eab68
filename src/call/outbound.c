/* The one way out: every outgoing leg, whatever caused it (the API, a phone, a forward, later a transfer or a
 * flow), is let through here and dialled here, and nowhere else is a line dialled.
 */
#include "call/private.h"

#include "base/metric.h"

#include <ctype.h>
#include <stdio.h>

METRIC_COUNTER(refused_total, "jackfield_outbound_refused_total",
	       "Outgoing legs that the policy did not let through", NULL);

/* What may stand in a user part that we send: nothing that could end a URI, a header or a line. */
static bool is_user_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("+*#-_.~!$&'()", c));
}

static bool is_dialled_number(const char *text)
{
	return text[strspn(text, "0123456789+*#-. ()/")] == '\0' && strpbrk(text, "0123456789*#");
}

/* A number loses what people write between digits; anything else must be a plain user name. */
static bool normalise(const char *text, char *ret, size_t size)
{
	bool number = is_dialled_number(text);
	size_t len = 0;

	for (const char *at = text; *at; at++) {
		if (number && strchr("-. ()/", *at))
			continue;
		/* A plus sign is a prefix or nothing. */
		if (!is_user_char(*at) || (number && *at == '+' && len) || len + 1 >= size)
			return false;
		ret[len++] = *at;
	}
	ret[len] = '\0';
	return len > 0 && !str_eq(ret, "+");
}

/* Both sides of a comparison in one form: 0049... is +49... */
static void canonical(const char *number, char *ret, size_t size)
{
	if (str_has_prefix(number, "00"))
		(void)snprintf(ret, size, "+%s", number + 2);
	else
		(void)str_copy(ret, size, number);
}

/* Return: length of the longest prefix of the list that fits, -1 without one. "*" alone fits everything. */
static int longest_prefix(const char (*list)[32], const char *number)
{
	int longest = -1;

	for (unsigned i = 0; i < DESTINATIONS_MAX && list[i][0]; i++) {
		char prefix[34];
		int len;

		canonical(list[i], prefix, sizeof(prefix));
		len = str_eq(prefix, "*") ? 0 : (int)strlen(prefix);
		if (len > longest && (!len || str_has_prefix(number, prefix)))
			longest = len;
	}
	return longest;
}

/* The longest prefix decides between the two lists; without any, a user may call and an outsider may not. */
static bool destination_allowed(const struct tenant *tenant, const char *number,
				enum outbound_cause cause)
{
	char full[VIEW_NUMBER_SIZE + 1];
	int allowed, blocked;

	if (!tenant->spec)
		return cause == OUTBOUND_BY_USER;
	canonical(number, full, sizeof(full));
	allowed = longest_prefix(tenant->spec->allowed, full);
	blocked = longest_prefix(tenant->spec->blocked, full);
	if (blocked >= 0 && blocked >= allowed)
		return false;
	return allowed >= 0 || (cause == OUTBOUND_BY_USER && !tenant->spec->allowed[0][0]);
}

static int check(struct call_app *app, struct profile *profile, const char *number,
		 enum outbound_cause cause, struct outbound *ret)
{
	char normal[VIEW_NUMBER_SIZE];

	if (!normalise(number, normal, sizeof(normal)))
		return OUTBOUND_E_NUMBER;
	if (!destination_allowed(profile->tenant, normal, cause))
		return OUTBOUND_E_DESTINATION;
	if (profile->dropped || engine_line_unusable(app->engine, profile->spec->id))
		return OUTBOUND_E_LINE;
	if (budget_left_us(app, profile->tenant) <= 0)
		return OUTBOUND_E_BUDGET;
	if (!permit_leg(profile))
		return OUTBOUND_E_PROFILE_FULL;
	if (!permit_rate(app, profile->tenant)) {
		permit_leg_end(profile);
		return OUTBOUND_E_RATE;
	}
	ret->profile = profile;
	(void)str_copy(ret->number, sizeof(ret->number), normal);
	return 0;
}

int outbound_admit(struct call_app *app, struct profile *profile, const char *number,
		   enum outbound_cause cause, struct outbound *ret)
{
	int r = check(app, profile, number, cause, ret);

	if (r)
		metric_add(&refused_total, 1);
	return r;
}

static const struct {
	const char *words;
	enum ending_cause ending;
} refusals[] = {
	[OUTBOUND_E_NUMBER] = { "That is not a number or user name that can be called.",
				ENDING_NO_ROUTE },
	[OUTBOUND_E_DESTINATION] = { "Calls to this destination are not allowed here.",
				     ENDING_REFUSED },
	[OUTBOUND_E_LINE] = { "The profile cannot be used for calls now.", ENDING_LINE },
	[OUTBOUND_E_PROFILE_FULL] = { "The profile already has as many calls as it may have.",
				      ENDING_LIMIT },
	[OUTBOUND_E_RATE] = { "Too many calls were begun within this minute.", ENDING_LIMIT },
	[OUTBOUND_E_BUDGET] = { "The minutes of this day are used up.", ENDING_LIMIT },
};

const char *outbound_refusal(int refused)
{
	return refusals[refused].words;
}

enum ending_cause outbound_ending(int refused)
{
	return refusals[refused].ending;
}

void outbound_release(struct outbound *outbound)
{
	if (outbound->profile)
		permit_leg_end(outbound->profile);
	outbound->profile = NULL;
}

int outbound_dial(struct leg *leg, struct outbound *outbound, struct leg *like)
{
	struct call *call = leg->call;
	struct originate what = {
		.line = outbound->profile->spec->id,
		.like = like ? like->channel : NULL,
		.ring_timeout_ms = CALL_SETUP_MS,
		.user = leg,
	};
	struct channel *channel;
	int r;

	(void)str_copy(what.to, sizeof(what.to), outbound->number);
	if (call->shown_number)
		(void)str_copy(what.from, sizeof(what.from), call->shown_number);
	if (call->shown_name)
		(void)str_copy(what.from_name, sizeof(what.from_name), call->shown_name);
	leg->outbound = true;
	leg->profile_id = outbound->profile->spec->id;
	leg->profile = take(outbound->profile); /* its permit with it */
	(void)snprintf(leg->address, sizeof(leg->address), "%s", outbound->number);
	r = channel_originate(call->app->engine, &what, &channel);
	if (r) {
		permit_leg_end(take(leg->profile));
		return r;
	}
	leg_attach(leg, channel);
	return 0;
}
