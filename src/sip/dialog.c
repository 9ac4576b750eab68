#include "sip/dialog.h"

#define TARGET_MAX 1024
#define VALUE_MAX 2048

struct dialog_table {
	struct stack *stack;
	struct hmap map;
};

struct dialog {
	struct hnode node;
	struct dialog_table *table;
	char *call_id, *local_tag, *remote_tag;
	char *local, *remote; /* whole From and To of our requests */
	char *target;
	char *routes[DIALOG_ROUTES];
	unsigned route_count;
	uint32_t local_seq, remote_seq;
	struct dialog_policy policy;
	struct flow *flow;
	dialog_request_fn *fn;
	void *arg;
};

/* ---- the table ---- */

struct dialog_table *dialog_table_new(struct stack *stack)
{
	struct dialog_table *table = xzalloc(sizeof(*table));

	table->stack = stack;
	hmap_init(&table->map);
	return table;
}

struct dialog_table *dialog_table_free(struct dialog_table *table)
{
	if (!table)
		return NULL;
	hmap_fini(&table->map);
	free(table);
	return NULL;
}

size_t dialog_table_count(const struct dialog_table *table)
{
	return table->map.count;
}

/* The local tag is ours and random: with the Call-ID it tells all dialogs apart but forks. */
static uint64_t ids_hash(const struct pl *call_id, const struct pl *local_tag)
{
	return hkey_bytes(call_id->p, call_id->l) ^ (hkey_bytes(local_tag->p, local_tag->l) * 31);
}

struct dialog *dialog_table_find(const struct dialog_table *table, const struct pl *call_id,
				 const struct pl *local_tag, const struct pl *remote_tag)
{
	struct hnode *node = hmap_first(&table->map, ids_hash(call_id, local_tag));

	for (; node; node = hmap_same(node)) {
		struct dialog *dialog = container_of_(node, struct dialog, node);

		if (!pl_strcmp(call_id, dialog->call_id) &&
		    !pl_strcmp(local_tag, dialog->local_tag) &&
		    !pl_strcmp(remote_tag, dialog->remote_tag))
			return dialog;
	}
	return NULL;
}

/* Out of order: RFC 3261 12.2.2. ACK repeats its INVITE's number. */
static bool seq_ok(struct dialog *dialog, const struct sip_msg *msg)
{
	if (inmsg_is(msg, "ACK"))
		return true;
	if (msg->cseq.num < dialog->remote_seq)
		return false;
	dialog->remote_seq = msg->cseq.num;
	return true;
}

bool dialog_table_receive(struct dialog_table *table, const struct inmsg *in)
{
	const struct sip_msg *msg = in->msg;
	struct dialog *dialog =
		dialog_table_find(table, &msg->callid, &msg->to.tag, &msg->from.tag);

	if (!dialog)
		return false;
	if (!seq_ok(dialog, msg)) {
		stack_reply(in, 500, "CSeq Out Of Order");
		return true;
	}
	dialog_set_flow(dialog, in->flow); /* what they send comes back the way it came */
	dialog->fn(dialog, in, dialog->arg);
	return true;
}

/* ---- making ---- */

static bool id_ok(const struct pl *id)
{
	return pl_isset(id) && id->l <= DIALOG_ID_MAX;
}

/* A From or To as it came, on one line: what we send has no folds (RFC 3261 7.3.1). */
static char *on_one_line(const struct pl *value)
{
	char *text = xstrndup(value->p, value->l);

	for (char *p = text; (p = strpbrk(p, "\r\n"));)
		*p = ' ';
	return text;
}

static void routes_clear(struct dialog *dialog)
{
	for (unsigned i = 0; i < dialog->route_count; i++)
		free(dialog->routes[i]);
	dialog->route_count = 0;
}

struct route_scan {
	struct dialog *dialog;
	bool bad;
};

static bool route_header(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct route_scan *scan = arg;
	struct dialog *dialog = scan->dialog;
	struct sip_addr addr;

	(void)msg;
	scan->bad = dialog->route_count == DIALOG_ROUTES || hdr->val.l > TARGET_MAX ||
		    parse_addr(&hdr->val, &addr);
	if (!scan->bad)
		dialog->routes[dialog->route_count++] = xstrndup(hdr->val.p, hdr->val.l);
	return scan->bad;
}

/* The client takes Record-Route from below, the server from above (12.1). */
static bool routes_take(struct dialog *dialog, const struct sip_msg *msg, bool forward)
{
	struct route_scan scan = { .dialog = dialog };

	routes_clear(dialog);
	(void)inmsg_each(msg, forward, SIP_HDR_RECORD_ROUTE, route_header, &scan);
	return !scan.bad;
}

/* Return: false when there is a Contact that is no URI. */
static bool target_take(struct dialog *dialog, const struct sip_msg *msg)
{
	const struct sip_hdr *contact = inmsg_header(msg, SIP_HDR_CONTACT);
	struct sip_addr addr;

	if (!contact)
		return true;
	if (parse_addr(&contact->val, &addr) || addr.auri.l > TARGET_MAX ||
	    !pl_isset(&addr.uri.host))
		return false;
	free(dialog->target);
	dialog->target = xstrndup(addr.auri.p, addr.auri.l);
	return true;
}

static void dialog_add(struct dialog_table *table, struct dialog *dialog)
{
	struct pl call_id, tag;

	dialog->table = table;
	pl_set_str(&call_id, dialog->call_id);
	pl_set_str(&tag, dialog->local_tag);
	hmap_add(&table->map, &dialog->node, ids_hash(&call_id, &tag));
}

int dialog_new_client(struct dialog_table *table, const struct dialog_local *local,
		      const struct inmsg *response, dialog_request_fn *fn, void *arg,
		      struct dialog **ret_dialog)
{
	const struct sip_msg *msg = response->msg;
	auto_(dialog_free) struct dialog *dialog = NULL;
	struct pl call_id, tag;

	pl_set_str(&call_id, local->call_id);
	pl_set_str(&tag, local->from_tag);
	if (!id_ok(&msg->to.tag) || msg->to.val.l > VALUE_MAX)
		return DIALOG_E_BAD;
	if (dialog_table_find(table, &call_id, &tag, &msg->to.tag))
		return DIALOG_E_EXISTS;
	dialog = xzalloc(sizeof(*dialog));
	dialog->call_id = xstrdup(local->call_id);
	dialog->local_tag = xstrdup(local->from_tag);
	dialog->remote_tag = xstrndup(msg->to.tag.p, msg->to.tag.l);
	dialog->local = xstrdup(local->from);
	dialog->remote = on_one_line(&msg->to.val);
	dialog->target = xstrdup(local->target);
	dialog->local_seq = local->cseq;
	dialog->policy = local->policy;
	dialog->flow = flow_ref(response->flow);
	dialog->fn = fn;
	dialog->arg = arg;
	if (!target_take(dialog, msg) || !routes_take(dialog, msg, false))
		return DIALOG_E_BAD;
	dialog_add(table, dialog);
	*ret_dialog = take(dialog);
	return 0;
}

int dialog_new_server(struct dialog_table *table, const struct inmsg *request, const char *to_tag,
		      struct dialog_policy policy, dialog_request_fn *fn, void *arg,
		      struct dialog **ret_dialog)
{
	const struct sip_msg *msg = request->msg;
	auto_(dialog_free) struct dialog *dialog = NULL;
	auto_(free) char *to = NULL;

	if (!id_ok(&msg->callid) || !id_ok(&msg->from.tag) || msg->from.val.l > VALUE_MAX ||
	    msg->to.val.l > VALUE_MAX)
		return DIALOG_E_BAD;
	dialog = xzalloc(sizeof(*dialog));
	dialog->call_id = xstrndup(msg->callid.p, msg->callid.l);
	dialog->local_tag = xstrdup(to_tag);
	dialog->remote_tag = xstrndup(msg->from.tag.p, msg->from.tag.l);
	to = on_one_line(&msg->to.val);
	dialog->local = xasprintf("%s;tag=%s", to, to_tag);
	dialog->remote = on_one_line(&msg->from.val);
	dialog->target = xstrndup(msg->from.auri.p, msg->from.auri.l);
	dialog->remote_seq = msg->cseq.num;
	dialog->policy = policy;
	dialog->flow = flow_ref(request->flow);
	dialog->fn = fn;
	dialog->arg = arg;
	if (!target_take(dialog, msg) || !routes_take(dialog, msg, true))
		return DIALOG_E_BAD;
	dialog_add(table, dialog);
	*ret_dialog = take(dialog);
	return 0;
}

struct dialog *dialog_free(struct dialog *dialog)
{
	if (!dialog)
		return NULL;
	if (dialog->table)
		hmap_del(&dialog->table->map, &dialog->node);
	routes_clear(dialog);
	free(dialog->call_id);
	free(dialog->local_tag);
	free(dialog->remote_tag);
	free(dialog->local);
	free(dialog->remote);
	free(dialog->target);
	flow_unref(dialog->flow);
	free(dialog);
	return NULL;
}

/* ---- living ---- */

void dialog_refresh(struct dialog *dialog, const struct sip_msg *msg)
{
	(void)target_take(dialog, msg); /* a bad one changes nothing */
}

void dialog_confirm(struct dialog *dialog, const struct inmsg *response)
{
	(void)target_take(dialog, response->msg);
	(void)routes_take(dialog, response->msg, false);
	dialog_set_flow(dialog, response->flow);
}

bool dialog_matches(const struct dialog *dialog, const struct sip_msg *response)
{
	return !pl_strcmp(&response->to.tag, dialog->remote_tag) &&
	       !pl_strcmp(&response->callid, dialog->call_id);
}

struct outmsg *dialog_request(struct dialog *dialog, const char *method, uint32_t cseq)
{
	struct outmsg *msg = outmsg_request_str(method, dialog->target);
	struct pl routes[DIALOG_ROUTES];

	for (unsigned i = 0; i < dialog->route_count; i++)
		pl_set_str(&routes[i], dialog->routes[i]);
	if (dialog->route_count)
		outmsg_routes(msg, routes, dialog->route_count);
	if (!cseq)
		cseq = ++dialog->local_seq;
	outmsg_ids(msg, dialog->local, dialog->remote, dialog->call_id, cseq);
	return msg;
}

static bool next_hop(const struct dialog *dialog, struct hop *ret_hop)
{
	struct pl text;

	pl_set_str(&text, dialog->route_count ? dialog->routes[0] : dialog->target);
	if (dialog->route_count) {
		struct sip_addr addr;

		return !parse_addr(&text, &addr) && hop_from_uri(&addr.uri, ret_hop);
	} else {
		struct uri uri;

		return !parse_uri(&text, &uri) && hop_from_uri(&uri, ret_hop);
	}
}

/* The hop is the very peer the flow leads to, or a private address behind the public one that the flow leads to (a
 * far end that does not know its NAT), or of the other IP version than it speaks with us.
 */
static bool flow_serves(const struct flow *flow, const struct hop *hop)
{
	const struct sa *remote = flow_remote(flow);
	struct sa addr;

	if (sa_set_str(&addr, hop->host, hop->port))
		return false;
	if (hop->port && sa_cmp(&addr, remote, SA_ALL) &&
	    (hop->transport == SIP_TRANSP_NONE || hop->transport == flow_transport(flow)))
		return true;
	return sa_af(&addr) != sa_af(remote) ||
	       (address_is_private(&addr) && !address_is_private(remote));
}

void dialog_path(const struct dialog *dialog, struct dialog_way *ret_way)
{
	bool alive = dialog->flow && flow_is_open(dialog->flow);
	struct dialog_way way = {
		.flow = alive ? dialog->flow : NULL,
		.any_address = dialog->policy.any_address,
		.unverified = dialog->policy.unverified,
	};

	if (next_hop(dialog, &way.hop) &&
	    !(alive && (dialog->policy.pinned || flow_serves(dialog->flow, &way.hop)))) {
		way.has_hop = true;
		way.hop.unverified = way.unverified;
	}
	*ret_way = way;
}

struct flow *dialog_flow(const struct dialog *dialog)
{
	return dialog->flow;
}

void dialog_set_flow(struct dialog *dialog, struct flow *flow)
{
	if (flow == dialog->flow)
		return;
	flow_unref(dialog->flow);
	dialog->flow = flow_ref(flow);
}

uint32_t dialog_local_seq(const struct dialog *dialog)
{
	return dialog->local_seq;
}

const char *dialog_call_id(const struct dialog *dialog)
{
	return dialog->call_id;
}

const char *dialog_local_tag(const struct dialog *dialog)
{
	return dialog->local_tag;
}

const char *dialog_remote_tag(const struct dialog *dialog)
{
	return dialog->remote_tag;
}

const char *dialog_remote_target(const struct dialog *dialog)
{
	return dialog->target;
}

const char *dialog_remote_uri(const struct dialog *dialog)
{
	return dialog->remote;
}

void *dialog_owner(const struct dialog *dialog)
{
	return dialog->arg;
}

void dialog_set_owner(struct dialog *dialog, dialog_request_fn *fn, void *arg)
{
	dialog->fn = fn;
	dialog->arg = arg;
}
