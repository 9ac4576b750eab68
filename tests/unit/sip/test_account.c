/* What makes an account: whatever a person enters either has a next hop, or is refused. */
#include "kit.h"

#include "sip/account.h"
#include "sip/private.h"

static int made(const char *server, const char *proxy, struct hop *ret_hop)
{
	const struct account_setup setup = { .username = "alice",
					     .server = server,
					     .outbound_proxy = proxy };
	struct account *account;
	int r = account_new(&setup, &account);

	if (r)
		return r;
	assert_true(account_hop(account, false, ret_hop));
	account_unref(account);
	return 0;
}

static void every_account_has_a_next_hop_or_is_none(void **state)
{
	static const struct {
		const char *proxy, *host;
		uint16_t port;
		int outcome;
	} cases[] = {
		{ "sip.example.com:5060", "sip.example.com", 5060, 0 },
		{ "siphost:5080", "siphost", 5080, 0 },
		{ "proxy.example.com", "proxy.example.com", 0, 0 },
		{ "sip:proxy.example.com;transport=tcp", "proxy.example.com", 0, 0 },
		{ "sips:proxy.example.com", "proxy.example.com", 0, 0 },
		{ "[2001:db8::1]:5062", "2001:db8::1", 5062, 0 },
		{ "2001:db8::1", "2001:db8::1", 0, 0 },
		{ "sip:proxy.example.com;transport=pigeon", NULL, 0, ACCOUNT_E_PROXY },
		{ "proxy.example.com;transport=", NULL, 0, ACCOUNT_E_PROXY },
		{ "proxy.example.com?Route=x", NULL, 0, ACCOUNT_E_PROXY },
		{ "proxy>\r\nX: y", NULL, 0, ACCOUNT_E_PROXY },
	};
	struct hop hop;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(made("example.com", cases[i].proxy, &hop), cases[i].outcome);
		if (cases[i].outcome)
			continue;
		assert_string_equal(hop.host, cases[i].host);
		assert_int_equal(hop.port, cases[i].port);
	}
}

static void servers_are_names_or_addresses(void **state)
{
	static const char *const bad[] = { "", "-a", ".a", "a b", "[::1", "[]", "::x", "a:5060" };
	struct hop hop;

	(void)state;
	assert_int_equal(made("2001:db8::1", NULL, &hop), 0);
	assert_string_equal(hop.host, "2001:db8::1");
	assert_int_equal(made("[2001:db8::1]", NULL, &hop), 0);
	assert_string_equal(hop.host, "2001:db8::1");
	assert_int_equal(made("192.0.2.7", NULL, &hop), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(made(bad[i], NULL, &hop), ACCOUNT_E_SERVER);
}

/* The line token of an account like that, which lives as long as `keep`. */
static const char *line_of(struct id id, const char *password, struct account **keep)
{
	const struct account_setup setup = {
		.id = id, .username = "alice", .server = "example.com", .password = password
	};

	assert_int_equal(account_new(&setup, keep), 0);
	return (*keep)->line;
}

static void a_line_is_the_same_after_a_restart_and_nobody_elses(void **state)
{
	struct id one = id_new(), two = id_new();
	struct account *accounts[4];
	const char *line = line_of(one, "secret", &accounts[0]);

	(void)state;
	assert_string_equal(line_of(one, "secret", &accounts[1]), line);
	assert_string_not_equal(line_of(one, "secret2", &accounts[2]), line);
	assert_string_not_equal(line_of(two, "secret", &accounts[3]), line);
	assert_int_equal(strlen(line), ACCOUNT_LINE_SIZE - 1);
	for (size_t i = 0; i < ARRAY_LEN(accounts); i++)
		account_unref(accounts[i]);
}

static void routes_of(struct outmsg *msg, char *routes, size_t size)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1024);
	struct mbuf *mb = outmsg_response_bytes(msg); /* of a request: its header lines */

	assert_non_null(mb);
	for (size_t at = 0; at < mb->end;) {
		const char *line = (const char *)mb->buf + at;
		size_t len = strcspn(line, "\r");

		if (strncmp(line, "Route: ", 7) == 0)
			buf_addf(&text, "%.*s|", (int)len - 7, line + 7);
		at += len + 2;
	}
	mem_deref(mb);
	assert_true(str_copy(routes, size, text.data ? text.data : ""));
}

/* Where a call goes that has a proxy and what its registrar said (RFC 3608 5). */
static void the_service_route_lies_behind_the_proxy(void **state)
{
	static const struct {
		const char *proxy, *host, *routes;
	} cases[] = {
		{ NULL, "scscf.ims.example",
		  "<sip:orig@scscf.ims.example;lr>|<sip:as.ims.example;lr>|" },
		{ "pcscf.example:5062", "pcscf.example",
		  "<sip:pcscf.example:5062;lr>|<sip:orig@scscf.ims.example;lr>|<sip:as.ims.example;lr>|" },
		{ "SCSCF.ims.example", "scscf.ims.example",
		  "<sip:orig@scscf.ims.example;lr>|<sip:as.ims.example;lr>|" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct account_setup setup = { .username = "alice",
						     .server = "example.com",
						     .outbound_proxy = cases[i].proxy };
		auto_(account_unref) struct account *account = NULL;
		auto_(outmsg_deref) struct outmsg *msg =
			outmsg_request_str("INVITE", "sip:bob@example.com");
		struct hop hop;
		char routes[512];

		assert_int_equal(account_new(&setup, &account), 0);
		account->service_route[account->service_routes++] =
			xstrdup("<sip:orig@scscf.ims.example;lr>");
		account->service_route[account->service_routes++] =
			xstrdup("<sip:as.ims.example;lr>");
		assert_true(account_hop(account, true, &hop));
		assert_string_equal(hop.host, cases[i].host);
		account_routes(account, msg, true);
		routes_of(msg, routes, sizeof(routes));
		assert_string_equal(routes, cases[i].routes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_account_has_a_next_hop_or_is_none),
		cmocka_unit_test(servers_are_names_or_addresses),
		cmocka_unit_test(a_line_is_the_same_after_a_restart_and_nobody_elses),
		cmocka_unit_test(the_service_route_lies_behind_the_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
