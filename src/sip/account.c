#include "sip/account.h"

#include <openssl/sha.h>
#include <stdio.h>

#define USERNAME_MAX 128
#define HOSTNAME_MAX 253
#define URI_TEXT_MAX 512

static bool host_ok(const char *host)
{
	size_t len = strlen(host);
	struct sa addr;

	if (!len || len > HOSTNAME_MAX)
		return false;
	if (host[0] == '[') {
		const struct pl inside = { .p = host + 1, .l = len - 2 };

		return len > 2 && host[len - 1] == ']' && !sa_set(&addr, &inside, 0) &&
		       sa_af(&addr) == AF_INET6;
	}
	for (const char *c = host; *c; c++) {
		bool alnum = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			     (*c >= '0' && *c <= '9');

		if (!alnum && *c != '.' && *c != '-' && *c != '_')
			return false;
	}
	return host[0] != '.' && host[0] != '-';
}

/* An IPv6 literal gets its brackets. Return: a new string, or NULL for what is no host. */
static char *host_copy(const char *host)
{
	struct sa addr;
	char *copy;

	if (!host)
		return NULL;
	if (strchr(host, ':') && host[0] != '[' && !sa_set_str(&addr, host, 0))
		copy = xasprintf("[%s]", host);
	else
		copy = xstrdup(host);
	if (!host_ok(copy)) {
		free(copy);
		return NULL;
	}
	return copy;
}

static bool text_ok(const char *text, size_t max)
{
	size_t len = text ? strlen(text) : 0;

	return len <= max && (!len || str_is_clean_utf8(text, len));
}

static const char *transport_param(enum sip_transp transport)
{
	return transport == SIP_TRANSP_TCP   ? ";transport=tcp"
	       : transport == SIP_TRANSP_TLS ? ";transport=tls"
					     : "";
}

/* "host", "host:port" or "sip:..." into "<sip:host:port;transport=x;lr>". */
static char *proxy_route(const char *proxy, enum sip_transp transport)
{
	bool whole = !strncasecmp(proxy, "sip:", 4) || !strncasecmp(proxy, "sips:", 5);
	auto_(buf_fini) struct buf text = BUF_MAX(URI_TEXT_MAX);
	struct sa addr;
	struct uri uri;
	struct pl pl;

	if (strlen(proxy) > HOSTNAME_MAX || strpbrk(proxy, "<>\" \t,"))
		return NULL;
	if (!whole && !sa_set_str(&addr, proxy, 0) && sa_af(&addr) == AF_INET6)
		buf_addf(&text, "sip:[%s]", proxy);
	else
		buf_addf(&text, "%s%s", whole ? "" : "sip:", proxy);
	pl_set_str(&pl, text.data);
	if (parse_uri(&pl, &uri) || pl_isset(&uri.headers) || !pl_isset(&uri.host))
		return NULL;
	if (parse_param(&uri.params, "transport", &pl))
		transport = SIP_TRANSP_NONE;
	return xasprintf("<%s%s%s>", text.data, transport_param(transport),
			 parse_has_param(&uri.params, "lr") ? "" : ";lr");
}

static const char *or_none(const char *text)
{
	return text ? text : "";
}

/* Nobody can guess it who does not know the profile's id and password, and it is the same after a restart: with another
 * one a provider that was not told good-bye would ring us twice, at the old Contact and the new, until the old expires.
 */
static void line_make(const struct account_setup *setup, char line[static ACCOUNT_LINE_SIZE])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char *text = xasprintf("%s\n%s\n%s\n%u\n%d\n%s\n%s\n%s\n%u", id_str(setup->id),
			       setup->username, setup->server, setup->port, setup->transport,
			       or_none(setup->auth_username), or_none(setup->password),
			       or_none(setup->outbound_proxy), setup->expires);

	SHA256((const unsigned char *)text, strlen(text), hash);
	explicit_bzero(text, strlen(text));
	free(text);
	for (size_t i = 0; i < ACCOUNT_LINE_SIZE - 1; i++)
		line[i] = digits[hash[i] & 31];
	line[ACCOUNT_LINE_SIZE - 1] = 0;
}

static int setup_check(const struct account_setup *setup)
{
	if (!setup->username || !*setup->username || !text_ok(setup->username, USERNAME_MAX) ||
	    strpbrk(setup->username, " \"<>"))
		return ACCOUNT_E_USERNAME;
	if (!text_ok(setup->auth_username, 255) || !text_ok(setup->password, 255) ||
	    !text_ok(setup->realm, 255))
		return ACCOUNT_E_TEXT;
	return 0;
}

int account_new(const struct account_setup *setup, struct account **ret_account)
{
	auto_(account_unref) struct account *account = NULL;
	bool own_name = setup->auth_username && *setup->auth_username;
	struct hop hop;
	int r = setup_check(setup);

	if (r)
		return r;
	account = xzalloc(sizeof(*account));
	account->refs = 1;
	account->id = setup->id;
	account->server = host_copy(setup->server);
	account->from_domain = setup->from_domain && *setup->from_domain
				       ? host_copy(setup->from_domain)
				       : host_copy(setup->server);
	if (!account->server || !account->from_domain)
		return ACCOUNT_E_SERVER;
	if (setup->outbound_proxy && *setup->outbound_proxy) {
		account->route = proxy_route(setup->outbound_proxy, setup->transport);
		if (!account->route)
			return ACCOUNT_E_PROXY;
	}
	account->username = xstrdup(setup->username);
	account->realm = setup->realm && *setup->realm ? xstrdup(setup->realm) : NULL;
	account->port = setup->port;
	account->transport = setup->transport;
	account->unverified = setup->unverified;
	/* Everybody else relies on there being a next hop. */
	if (!account_hop(account, false, &hop))
		return account->route ? ACCOUNT_E_PROXY : ACCOUNT_E_SERVER;
	account->registers = setup->registers;
	account->expires = setup->expires ? setup->expires : 3600;
	digest_creds_set(&account->creds, own_name ? setup->auth_username : setup->username,
			 setup->password);
	line_make(setup, account->line);
	*ret_account = take(account);
	return 0;
}

struct account *account_ref(struct account *account)
{
	if (account)
		account->refs++;
	return account;
}

struct account *account_unref(struct account *account)
{
	if (!account || --account->refs)
		return NULL;
	for (unsigned i = 0; i < account->service_routes; i++)
		free(account->service_route[i]);
	free(account->username);
	free(account->server);
	free(account->from_domain);
	free(account->realm);
	free(account->route);
	free(account->public_hostport);
	digest_creds_fini(&account->creds);
	free(account);
	return NULL;
}

void account_aor(const struct account *account, struct buf *out)
{
	buf_adds(out, "sip:");
	header_user(out, account->username);
	buf_addf(out, "@%s", account->from_domain);
}

static void add_hostport(const struct account *account, struct buf *out)
{
	buf_adds(out, account->server);
	if (account->port)
		buf_addf(out, ":%u", account->port);
}

void account_registrar_uri(const struct account *account, struct buf *out)
{
	buf_adds(out, "sip:");
	add_hostport(account, out);
	buf_adds(out, transport_param(account->transport));
}

bool account_dial_uri(const struct account *account, const char *dialled, struct buf *out)
{
	bool whole = !strncasecmp(dialled, "sip:", 4) || !strncasecmp(dialled, "sips:", 5) ||
		     !strncasecmp(dialled, "tel:", 4);
	struct uri uri;
	struct pl pl;

	if (!*dialled || !text_ok(dialled, 255) || strpbrk(dialled, " <>\","))
		return false;
	if (whole || strchr(dialled, '@')) {
		buf_addf(out, "%s%s", whole ? "" : "sip:", dialled);
	} else {
		buf_adds(out, "sip:");
		header_user(out, dialled);
		buf_addc(out, '@');
		add_hostport(account, out);
	}
	if (out->failed)
		return false;
	pl_set_str(&pl, out->data);
	/* headers in a URI would become headers of the request */
	return !parse_uri(&pl, &uri) && !pl_isset(&uri.headers);
}

void account_contact_uri(const struct account *account, const struct flow *flow, struct buf *out)
{
	bool learnt = account->public_hostport && account->public_transport == flow_transport(flow);

	buf_adds(out, "sip:");
	buf_adds(out, account->line);
	buf_addc(out, '@');
	buf_adds(out, learnt ? account->public_hostport : flow_sent_by(flow));
	buf_adds(out, flow_uri_param(flow));
}

/* A proxy that was asked for comes before the Service-Route (RFC 3608 5): where that names what stands behind the
 * proxy, as in an IMS, nobody but the proxy reaches it. Not where it begins with the proxy itself.
 */
static bool goes_by_proxy(const struct account *account, bool with_service_route)
{
	struct sip_addr proxy, first;
	struct pl text;

	if (!account->route || !with_service_route || !account->service_routes)
		return account->route;
	pl_set_str(&text, account->route);
	if (parse_addr(&text, &proxy))
		return true;
	pl_set_str(&text, account->service_route[0]);
	return parse_addr(&text, &first) || pl_casecmp(&proxy.uri.host, &first.uri.host);
}

void account_routes(const struct account *account, struct outmsg *msg, bool with_service_route)
{
	struct pl routes[1 + ACCOUNT_ROUTES];
	size_t count = 0;

	if (goes_by_proxy(account, with_service_route))
		pl_set_str(&routes[count++], account->route);
	for (unsigned i = 0; with_service_route && i < account->service_routes; i++)
		pl_set_str(&routes[count++], account->service_route[i]);
	if (count)
		outmsg_routes(msg, routes, count);
}

static bool hop_take(const struct account *account, const struct uri *uri, struct hop *ret_hop)
{
	struct hop hop;

	if (!hop_from_uri(uri, &hop))
		return false;
	if (hop.transport == SIP_TRANSP_NONE)
		hop.transport = account->transport;
	hop.unverified = account->unverified;
	*ret_hop = hop;
	return true;
}

bool account_server_hop(const struct account *account, struct hop *ret_hop)
{
	auto_(buf_fini) struct buf text = BUF_MAX(URI_TEXT_MAX);
	struct uri uri;
	struct pl pl;

	account_registrar_uri(account, &text);
	pl_set_str(&pl, text.data);
	return !parse_uri(&pl, &uri) && hop_take(account, &uri, ret_hop);
}

bool account_hop(const struct account *account, bool with_service_route, struct hop *ret_hop)
{
	const char *route = goes_by_proxy(account, with_service_route) ? account->route
			    : with_service_route && account->service_routes
				    ? account->service_route[0]
				    : NULL;
	struct sip_addr addr;
	struct pl pl;

	if (!route)
		return account_server_hop(account, ret_hop);
	pl_set_str(&pl, route);
	return !parse_addr(&pl, &addr) && hop_take(account, &addr.uri, ret_hop);
}

bool account_owns_host(const struct account *account, const struct pl *host)
{
	return !pl_strcasecmp(host, account->server) || !pl_strcasecmp(host, account->from_domain);
}
