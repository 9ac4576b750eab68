/* URIs, addresses, parameters, headers: what is taken apart, what is refused, where libre's decoders differ. */
#include "kit.h"

#include "sip/msg.h"

#define P(text) ((struct pl){ .p = (text), .l = strlen(text) })

static void assert_slice(struct pl ours, const char *expected)
{
	char text[256];

	assert_true(ours.l < sizeof(text));
	memcpy(text, ours.l ? ours.p : "", ours.l);
	text[ours.l] = 0;
	assert_string_equal(text, expected);
}

static void a_uri_is_taken_apart(void **state)
{
	static const struct {
		const char *text, *scheme, *user, *password, *host;
		uint16_t port;
		int af;
		const char *params, *headers;
	} cases[] = {
		{ "sip:example.com", "sip", "", "", "example.com", 0, AF_UNSPEC, "", "" },
		{ "sip:a:b@192.0.2.1:5070;lr;x=y?s=1&t=2", "sip", "a", "b", "192.0.2.1", 5070,
		  AF_INET, ";lr;x=y", "?s=1&t=2" },
		{ "SIPS:[2001:db8::1]:5061;lr", "SIPS", "", "", "2001:db8::1", 5061, AF_INET6,
		  ";lr", "" },
		{ "sip:user;par=u%40example.net@example.com", "sip", "user;par=u%40example.net", "",
		  "example.com", 0, AF_UNSPEC, "", "" },
		{ "sip:@example.com", "sip", "", "", "example.com", 0, AF_UNSPEC, "", "" },
		{ "tel:+1-201;phone-context=x", "tel", "", "", "+1-201", 0, AF_UNSPEC,
		  ";phone-context=x", "" },
		{ "sip:2983792873", "sip", "", "", "2983792873", 0, AF_UNSPEC, "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pl text = P(cases[i].text);
		struct uri uri;

		assert_int_equal(parse_uri(&text, &uri), 0);
		assert_slice(uri.scheme, cases[i].scheme);
		assert_slice(uri.user, cases[i].user);
		assert_slice(uri.password, cases[i].password);
		assert_slice(uri.host, cases[i].host);
		assert_slice(uri.params, cases[i].params);
		assert_slice(uri.headers, cases[i].headers);
		assert_int_equal(uri.port, cases[i].port);
		assert_int_equal(uri.af, cases[i].af);
	}
}

static void what_is_no_uri_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"sip",
		":a",
		"sip:",
		"sip:a@",
		"sip:;lr",
		"sip:a b",
		"sip:h:65536",
		"sip:h:50x0",
		"sip:[::1",
		"sip:[::1]x",
		"sip:[]",
		"sip:h:5060 ;lr",
		"sip://192.0.2.1",
		"sip:[g::1]",
	};
	const struct uri before = { .port = 7 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pl text = P(cases[i]);
		struct uri uri = before;

		assert_int_equal(parse_uri(&text, &uri), PARSE_E_BAD);
		assert_int_equal(uri.port, 7);
	}
}

static void an_address_is_taken_apart(void **state)
{
	static const struct {
		const char *text, *name, *uri, *params;
	} cases[] = {
		{ "sip:a@b;tag=1", "", "sip:a@b", ";tag=1" },
		{ "sip:a@b ;tag=1", "", "sip:a@b", ";tag=1" },
		{ "<sip:a@b;x=y>;tag=1", "", "sip:a@b;x=y", ";tag=1" },
		{ "\"A \\\"<q>\\\" B\" <sip:a@b>", "A \\\"<q>\\\" B", "sip:a@b", "" },
		{ "Alexander Bell  <sip:a@b>  ;tag=1", "Alexander Bell", "sip:a@b", "  ;tag=1" },
		{ "\"\" <sip:a@b>", "", "sip:a@b", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pl text = P(cases[i].text);
		struct sip_addr addr;

		assert_int_equal(parse_addr(&text, &addr), 0);
		assert_slice(addr.dname, cases[i].name);
		assert_slice(addr.auri, cases[i].uri);
		assert_slice(addr.params, cases[i].params);
	}
	for (size_t i = 0; i < 4; i++) {
		static const char *const bad[] = { "", "<sip:a@b", "\"open <sip:a@b>", "<>" };
		struct pl text = P(bad[i]);
		struct sip_addr addr;

		assert_int_equal(parse_addr(&text, &addr), PARSE_E_BAD);
	}
}

/* libre finds a parameter inside of another one's quoted string. */
static void a_parameter_is_found_but_not_in_a_string(void **state)
{
	static const struct {
		const char *text, *value;
	} cases[] = {
		{ ";tag=abc", "abc" },
		{ ";x=\"a;tag=no\";tag=yes", "yes" },
		{ ";x=\"a\\\";tag=no\";TAG = \r\n yes ;z", "yes" },
		{ "1800;tag=\"a;b\"", "a;b" },
		{ ";tagged=1;tag=2", "2" },
		{ ";tag", NULL },
		{ ";tag=", NULL },
		{ ";tag=\"\"", NULL },
		{ ";x=\"open;tag=1", NULL },
		{ "tag=1", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pl text = P(cases[i].text), value = pl_null;

		assert_int_equal(parse_param(&text, "tag", &value), cases[i].value != NULL);
		assert_slice(value, cases[i].value ? cases[i].value : "");
	}
	assert_true(parse_has_param(&P(";a;tag"), "tag"));
	assert_true(parse_has_param(&P(";a; tag=1"), "TAG"));
	assert_false(parse_has_param(&P(";a=\";tag\";tags"), "tag"));
}

static void a_via_is_taken_apart(void **state)
{
	struct pl text = P("SIP  / 2.0\r\n /UDP\r\n    192.0.2.2:5070 ; branch=390skdjuw;rport");
	static const char *const bad[] = {
		"SIP/2.0/UDP h",       "SIP/2.0/UDP ;branch=x",	    "SIP/3.0/UDP h;branch=x",
		"SIP/2.0/ h;branch=x", "SIP/2.0/UDP [::1;branch=x", "SIP/2.0/UDP h:99999;branch=x"
	};
	struct sip_via via;

	(void)state;
	assert_int_equal(parse_via(&text, &via), 0);
	assert_int_equal(via.tp, SIP_TRANSP_UDP);
	assert_slice(via.sentby, "192.0.2.2:5070");
	assert_slice(via.branch, "390skdjuw");
	assert_int_equal(sa_port(&via.addr), 5070);
	assert_int_equal(sa_in(&via.addr), 0xc0000202);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		text = P(bad[i]);
		assert_int_equal(parse_via(&text, &via), PARSE_E_BAD);
	}
}

static int message(const char *text, struct sip_msg **ret)
{
	struct mbuf *mb = mbuf_alloc(strlen(text) + 1);
	int r;

	assert_int_equal(mbuf_write_str(mb, text), 0);
	mb->pos = 0;
	r = inmsg_decode(ret, mb);
	mem_deref(mb);
	return r;
}

#define IDS "From: <sip:a@b>;tag=1\r\nt: <sip:c@d>\r\ni: x@y\r\nCSeq: 7 OPTIONS\r\n"

static void lists_are_split_and_lines_kept(void **state)
{
	struct sip_msg *msg = NULL;
	const struct le *le;
	static const char *const lines[] = {
		"SIP/2.0/UDP h;branch=1",
		"SIP/2.0/TCP i;branch=2",
		"<sip:a@b>;tag=1",
		"<sip:c@d>",
		"x@y",
		"7 OPTIONS",
		"<sip:p1;lr>,\r\n <sip:p2;lr>",
		"<sip:a,b@c>, \"x, y\" <sip:d>",
		"100rel",
		"",
	};

	(void)state;
	assert_int_equal(message("OPTIONS sip:b SIP/2.0\r\n"
				 "v : SIP/2.0/UDP h;branch=1 ,SIP/2.0/TCP i;branch=2\r\n" IDS
				 "Record-Route: <sip:p1;lr>,\r\n <sip:p2;lr>\r\n"
				 "m: <sip:a,b@c>, \"x, y\" <sip:d>\r\nRequire: 100rel\r\n"
				 "Subject:\r\n\r\nbody",
				 &msg),
			 0);
	le = list_head(&msg->hdrl);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++, le = le->next)
		assert_slice(((struct sip_hdr *)le->data)->val, lines[i]);
	assert_null(le);
	assert_int_equal(inmsg_count(msg, SIP_HDR_VIA), 2);
	assert_int_equal(inmsg_count(msg, SIP_HDR_RECORD_ROUTE), 2);
	assert_int_equal(inmsg_count(msg, SIP_HDR_CONTACT), 2);
	assert_slice(inmsg_header(msg, SIP_HDR_CONTACT)->val, "<sip:a,b@c>");
	assert_slice(inmsg_each(msg, false, SIP_HDR_RECORD_ROUTE, NULL, NULL)->val, "<sip:p2;lr>");
	assert_true(inmsg_has_token(msg, SIP_HDR_REQUIRE, "100REL"));
	assert_non_null(inmsg_header_named(msg, "subject"));
	assert_slice(msg->via.branch, "1");
	assert_slice(msg->from.tag, "1");
	assert_int_equal(msg->cseq.num, 7);
	assert_int_equal(mbuf_get_left(msg->mb), 4);
	mem_deref(msg);
}

/* The empty line is not folded by it. */
static void a_body_may_begin_with_white_space(void **state)
{
	struct sip_msg *msg = NULL;

	(void)state;
	assert_int_equal(message("OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=1\r\n" IDS
				 "\r\n  \tbody\r\n\r\n",
				 &msg),
			 0);
	assert_int_equal(mbuf_get_left(msg->mb), 11);
	mem_deref(msg);
}

static void more_headers_than_the_message_has_room_for_are_kept(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(65536);
	struct sip_msg *msg = NULL;

	(void)state;
	buf_adds(&text, "OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=1\r\n" IDS);
	for (unsigned i = 0; i < 100; i++)
		buf_addf(&text, "X-%u: %u\r\n", i, i);
	buf_adds(&text, "Supported: a,b\r\nSupported: c,d,e\r\n\r\n");
	assert_int_equal(message(text.data, &msg), 0);
	assert_slice(inmsg_header_named(msg, "X-99")->val, "99");
	assert_int_equal(inmsg_count(msg, SIP_HDR_SUPPORTED), 5);
	mem_deref(msg);
	text.len -= 2;
	text.data[text.len] = 0;
	buf_adds(&text, "Allow: a");
	for (unsigned i = 0; i < 1024; i++)
		buf_adds(&text, ",a");
	buf_adds(&text, "\r\n\r\n");
	assert_int_equal(message(text.data, &msg), INMSG_E_MANY);
}

static void what_is_no_message_is_refused(void **state)
{
	static const char *const cases[] = {
		"OPTIONS  sip:b SIP/2.0\r\n" IDS "\r\n",
		"OPTIONS sip:b SIP/2.0\r\n" IDS,
		"OPTIONS sip:b SIP/2.0\r\nno colon\r\n\r\n",
		"OPTIONS sip:b SIP/2.0\r\n: empty\r\n\r\n",
		"OPTIONS sip: SIP/2.0\r\n" IDS "\r\n",
		"OPTIONS sip:b SIP/2.0\r\nFrom: <sip:a\r\n\r\n",
		"OPTIONS sip:b SIP/2.0\r\nCSeq: OPTIONS\r\n\r\n",
		"OPTIONS sip:b SIP/2.0\r\nVia: x\r\n\r\n",
		"SIP/2.0 abc OK\r\n" IDS "\r\n",
	};
	struct sip_msg *msg = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(message(cases[i], &msg), PARSE_E_BAD);
	assert_null(msg);
	/* answered with 416, so it must come that far */
	assert_int_equal(message("OPTIONS soap.beep://192.0.2.1 SIP/2.0\r\n" IDS "\r\n", &msg), 0);
	assert_slice(msg->uri.scheme, "soap.beep");
	mem_deref(msg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_uri_is_taken_apart),
		cmocka_unit_test(what_is_no_uri_is_refused),
		cmocka_unit_test(an_address_is_taken_apart),
		cmocka_unit_test(a_parameter_is_found_but_not_in_a_string),
		cmocka_unit_test(a_via_is_taken_apart),
		cmocka_unit_test(lists_are_split_and_lines_kept),
		cmocka_unit_test(a_body_may_begin_with_white_space),
		cmocka_unit_test(more_headers_than_the_message_has_room_for_are_kept),
		cmocka_unit_test(what_is_no_message_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
