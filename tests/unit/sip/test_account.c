/* What makes an account: whatever a person enters either has a next hop, or is refused. */
#include "kit.h"

#include "sip/account.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_account_has_a_next_hop_or_is_none),
		cmocka_unit_test(servers_are_names_or_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
