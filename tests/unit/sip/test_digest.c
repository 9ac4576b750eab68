/* Digest: the RFCs' own examples, the choice among challenges, what counts as refused, and the server's side. */
#include "kit.h"

#include "sip/digest.h"

#include <stdio.h>

#define P(text) ((struct pl)PL(text))

static format_printf(1, 2) struct sip_msg *decode(const char *fmt, ...)
{
	static char text[8192], wire_text[16384];
	struct sip_msg *msg = NULL;
	struct mbuf *mb = mbuf_alloc(1024);
	size_t out = 0;
	va_list ap;

	va_start(ap, fmt);
	assert_true(vsnprintf(text, sizeof(text), fmt, ap) < (int)sizeof(text));
	va_end(ap);
	for (const char *c = text; *c; c++) {
		if (*c == '\n')
			wire_text[out++] = '\r';
		wire_text[out++] = *c;
	}
	assert_int_equal(mbuf_write_mem(mb, (uint8_t *)wire_text, out), 0);
	mb->pos = 0;
	assert_int_equal(inmsg_decode(&msg, mb), 0);
	mem_deref(mb);
	return msg;
}

#define IDS                                                                                        \
	"Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx\nFrom: <sip:a@b>;tag=1\nTo: <sip:a@b>\nCall-ID: c\nCSeq: 1 REGISTER\n"

static struct sip_msg *challenge(const char *lines)
{
	return decode("SIP/2.0 401 Unauthorized\n" IDS "%sContent-Length: 0\n\n", lines);
}

static void rfc7616_examples(void **state)
{
	struct digest_input in = {
		.alg = DIGEST_MD5,
		.qop = DIGEST_QOP_AUTH,
		.username = P("Mufasa"),
		.secret = P("Circle of Life"),
		.realm = P("http-auth@example.org"),
		.nonce = P("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"),
		.cnonce = P("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
		.nc = P("00000001"),
		.method = P("GET"),
		.uri = P("/dir/index.html"),
	};
	char hex[DIGEST_HEX_SIZE];

	(void)state;
	digest_compute(&in, hex);
	assert_string_equal(hex, "8ca523f5e9506fed4657c9700eebdbec");
	in.alg = DIGEST_SHA256;
	digest_compute(&in, hex);
	assert_string_equal(hex,
			    "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
}

static void rfc2617_example_and_a_prepared_hash(void **state)
{
	struct digest_input in = {
		.alg = DIGEST_MD5,
		.qop = DIGEST_QOP_AUTH,
		.username = P("Mufasa"),
		.secret = P("Circle Of Life"),
		.realm = P("testrealm@host.com"),
		.nonce = P("dcd98b7102dd2f0e8b11d0f600bfb0c093"),
		.cnonce = P("0a4f113b"),
		.nc = P("00000001"),
		.method = P("GET"),
		.uri = P("/dir/index.html"),
	};
	char hex[DIGEST_HEX_SIZE], ha1[DIGEST_HEX_SIZE];

	(void)state;
	digest_compute(&in, hex);
	assert_string_equal(hex, "6629fae49393a05397450978507c4ef1");
	digest_ha1(DIGEST_MD5, in.username, in.realm, in.secret, ha1);
	assert_string_equal(ha1, "939e7578ed9e3c518a452acee763bce9");
	in.ha1 = ha1;
	in.secret = pl_null;
	digest_compute(&in, hex);
	assert_string_equal(hex, "6629fae49393a05397450978507c4ef1");
	in.qop = DIGEST_QOP_NONE;
	digest_compute(&in, hex);
	assert_string_equal(hex, "670fd8c2df070c60b045671b8b24ff02");
}

static void a_body_and_a_session_change_the_answer(void **state)
{
	struct digest_input in = {
		.alg = DIGEST_SHA256,
		.qop = DIGEST_QOP_AUTH_INT,
		.username = P("u"),
		.secret = P("s"),
		.realm = P("r"),
		.nonce = P("n"),
		.cnonce = P("c"),
		.nc = P("00000001"),
		.method = P("INVITE"),
		.uri = P("sip:x"),
		.body = "v=0",
		.body_len = 3,
	};
	char with[DIGEST_HEX_SIZE], without[DIGEST_HEX_SIZE];

	(void)state;
	digest_compute(&in, with);
	in.body_len = 2;
	digest_compute(&in, without);
	assert_string_not_equal(with, without);
	in.alg = DIGEST_SHA256_SESS;
	digest_compute(&in, with);
	assert_string_not_equal(with, without);
	in.alg = DIGEST_SHA512_256;
	digest_compute(&in, with);
	assert_int_equal(strlen(with), 64);
}

struct client {
	struct digest_creds creds;
	struct digest_jar *jar;
	struct digest_round round;
	struct buf out;
};

static void client_open(struct client *client)
{
	*client = (struct client){ .jar = digest_jar_new(), .out = BUF_MAX(8192) };
	digest_creds_set(&client->creds, "alice", "secret");
}

static void client_close(struct client *client)
{
	digest_creds_fini(&client->creds);
	digest_jar_free(client->jar);
	buf_fini(&client->out);
}

static int client_hears(struct client *client, const char *lines)
{
	struct sip_msg *msg = challenge(lines);
	int r = digest_jar_challenged(client->jar, &client->creds, &client->round, msg);

	mem_deref(msg);
	return r;
}

static const char *client_says(struct client *client)
{
	struct digest_request request = { .method = "REGISTER", .uri = "sip:b" };

	buf_reset(&client->out);
	digest_jar_sign(client->jar, &client->creds, &client->round, &request, &client->out);
	return client->out.data ? client->out.data : "";
}

static unsigned occurrences(const char *text, const char *part)
{
	unsigned count = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		count++;
	return count;
}

#define MD5_N(n)                                                                                   \
	"WWW-Authenticate: Digest realm=\"b\", nonce=\"" n "\", algorithm=MD5, qop=\"auth\"\n"
#define SHA_N(n)                                                                                   \
	"WWW-Authenticate: Digest realm=\"b\", nonce=\"" n                                         \
	"\", algorithm=SHA-256, qop=\"auth,auth-int\"\n"

static void the_topmost_supported_challenge_is_answered(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	assert_int_equal(
		client_hears(
			&client,
			"WWW-Authenticate: Digest realm=\"b\", nonce=\"x\", algorithm=SHA3-512\n" SHA_N(
				"n1") MD5_N("n2")),
		0);
	assert_non_null(strstr(client_says(&client), "algorithm=SHA-256"));
	assert_non_null(strstr(client.out.data, "nonce=\"n1\""));
	assert_non_null(strstr(client.out.data, "qop=auth,"));
	assert_int_equal(occurrences(client.out.data, "Authorization: "), 1);
	client_close(&client);
}

static void several_challenges_may_share_a_line(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	assert_int_equal(
		client_hears(
			&client,
			"WWW-Authenticate: Basic realm=\"x\", Digest realm=\"b, c\",nonce=\"n\\\"1\" , "
			"opaque=\"o\", Digest realm=\"d\", nonce=n2\n"),
		0);
	assert_int_equal(occurrences(client_says(&client), "Authorization: "), 2);
	assert_non_null(strstr(client.out.data, "realm=\"b, c\", nonce=\"n\\\"1\""));
	assert_non_null(strstr(client.out.data, "opaque=\"o\""));
	assert_non_null(strstr(client.out.data, "realm=\"d\""));
	client_close(&client);
}

static void a_proxy_and_a_server_are_both_answered(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	assert_int_equal(
		client_hears(&client,
			     MD5_N("n1") "Proxy-Authenticate: Digest realm=\"p\", nonce=\"n2\"\n"),
		0);
	assert_int_equal(occurrences(client_says(&client), "Authorization: "), 2);
	assert_int_equal(occurrences(client.out.data, "Proxy-Authorization: "), 1);
	client_close(&client);
}

static void a_nonce_is_reused_with_a_rising_count(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	assert_int_equal(client_hears(&client, MD5_N("n1")), 0);
	assert_non_null(strstr(client_says(&client), "nc=00000001"));
	client.round = (struct digest_round){ 0 };
	assert_non_null(strstr(client_says(&client), "nc=00000002"));
	/* a new nonce starts again */
	assert_int_equal(client_hears(&client, MD5_N("n2")), 0);
	assert_non_null(strstr(client_says(&client), "nc=00000001"));
	client_close(&client);
}

static void a_second_challenge_means_refused_unless_stale(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	assert_int_equal(client_hears(&client, MD5_N("n1")), 0);
	assert_int_equal(
		client_hears(&client,
			     "WWW-Authenticate: Digest realm=\"b\", nonce=\"n2\", stale=TRUE\n"),
		0);
	assert_int_equal(client_hears(&client, MD5_N("n3")), DIGEST_E_REFUSED);
	client_close(&client);
}

static void a_cached_nonce_that_is_refused_gets_one_fresh_try(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	assert_int_equal(client_hears(&client, MD5_N("n1")), 0);
	client.round = (struct digest_round){ 0 }; /* a later request, signed with n1 beforehand */
	assert_int_equal(client_hears(&client, MD5_N("n2")), 0);
	assert_int_equal(client_hears(&client, MD5_N("n3")), DIGEST_E_REFUSED);
	client_close(&client);
}

static void stale_for_ever_is_a_loop(void **state)
{
	const char *stale = "WWW-Authenticate: Digest realm=\"b\", nonce=\"n2\", stale=true\n";
	struct client client;

	(void)state;
	client_open(&client);
	assert_int_equal(client_hears(&client, MD5_N("n1")), 0);
	assert_int_equal(client_hears(&client, stale), 0);
	assert_int_equal(client_hears(&client, stale), 0);
	assert_int_equal(client_hears(&client, stale), DIGEST_E_LOOP);
	client_close(&client);
}

static void after_an_edit_the_old_secret_is_tried_once(void **state)
{
	struct client client;
	char first[256];

	(void)state;
	client_open(&client);
	digest_creds_change(&client.creds, "alice", "new");
	assert_int_equal(client_hears(&client, MD5_N("n1")), 0);
	str_copy(first, sizeof(first), strstr(client_says(&client), "response="));
	assert_int_equal(client_hears(&client, MD5_N("n1")), 0);
	assert_string_not_equal(first, strstr(client_says(&client), "response="));
	assert_int_equal(client_hears(&client, MD5_N("n1")), DIGEST_E_REFUSED);
	client_close(&client);
}

static void auth_int_only_when_it_is_offered_alone(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	assert_int_equal(
		client_hears(
			&client,
			"WWW-Authenticate: Digest realm=\"b\", nonce=\"n\", qop=\"auth-int\"\n"),
		0);
	assert_non_null(strstr(client_says(&client), "qop=auth-int"));
	assert_int_equal(
		client_hears(&client,
			     "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", qop=\"token\"\n"),
		DIGEST_E_UNSUPPORTED);
	client_close(&client);
}

static void what_cannot_be_understood_is_not_answered(void **state)
{
	static const char *const bad[] = {
		"WWW-Authenticate: Basic realm=\"b\"\n",
		"WWW-Authenticate: Digest nonce=\"n\"\n",
		"WWW-Authenticate: Digest realm=\"b\"\n",
		"WWW-Authenticate: Digest realm=\"b, nonce=\"n\n",
		"WWW-Authenticate: Digest realm=\"b\", nonce=\"n\", algorithm=ROT13\n",
		"WWW-Authenticate: Digest realm=\"b\x01\", nonce=\"n\"\n",
		"WWW-Authenticate: \n",
		"",
	};
	struct client client;

	(void)state;
	client_open(&client);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(client_hears(&client, bad[i]), DIGEST_E_UNSUPPORTED);
	assert_string_equal(client_says(&client), "");
	client_close(&client);
}

static void a_fifth_realm_does_not_grow_the_jar(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	assert_int_equal(
		client_hears(
			&client,
			"WWW-Authenticate: Digest realm=1,nonce=n, Digest realm=2,nonce=n, "
			"Digest realm=3,nonce=n, Digest realm=4,nonce=n, Digest realm=5,nonce=n\n"),
		0);
	assert_int_equal(occurrences(client_says(&client), "Authorization: "), DIGEST_REALMS);
	client_close(&client);
}

/* ---- server ---- */

struct server {
	struct wheel *wheel;
	struct digest_server *server;
	struct client client;
};

static void server_open(struct server *server)
{
	server->wheel = wheel_new_virtual(1000, 0);
	server->server = digest_server_new(server->wheel);
	client_open(&server->client);
}

static void server_close(struct server *server)
{
	client_close(&server->client);
	digest_server_free(server->server);
	wheel_free(server->wheel);
}

static int server_challenges(struct server *server, enum digest_offer offer)
{
	auto_(buf_fini) struct buf lines = BUF_MAX(2048);
	char text[2048];
	size_t out = 0;

	digest_server_challenge(server->server, "b", false, false, offer, &lines);
	for (size_t i = 0; i < lines.len; i++) {
		if (lines.data[i] != '\r')
			text[out++] = lines.data[i];
	}
	text[out] = 0;
	return client_hears(&server->client, text);
}

static int server_hears(struct server *server, const char *says, const struct digest_secret *secret)
{
	struct sip_msg *msg;
	struct digest_claim claim;
	char line[2048];
	int r;

	snprintf(line, sizeof(line), "%.*s\n", (int)strcspn(says, "\r"), says);
	msg = decode("REGISTER sip:b SIP/2.0\n" IDS "%sContent-Length: 0\n\n", line);
	r = digest_server_read(msg, "b", false, &claim);
	if (!r)
		r = digest_server_check(server->server, msg, &claim, secret);
	mem_deref(msg);
	return r;
}

static const struct digest_secret right = { .plain = "secret" }, wrong = { .plain = "Secret" };

static void the_right_secret_passes_once(void **state)
{
	struct server server;
	char says[1024];

	(void)state;
	for (int offer = DIGEST_OFFER_BOTH; offer <= DIGEST_OFFER_MD5; offer++) {
		server_open(&server);
		assert_int_equal(server_challenges(&server, (enum digest_offer)offer), 0);
		str_copy(says, sizeof(says), client_says(&server.client));
		assert_non_null(strstr(says, offer == DIGEST_OFFER_BOTH ? "SHA-256" : "MD5"));
		assert_int_equal(server_hears(&server, says, &wrong), DIGEST_E_WRONG);
		assert_int_equal(server_hears(&server, says, NULL), DIGEST_E_WRONG);
		assert_int_equal(server_hears(&server, says, &right), 0);
		assert_int_equal(server_hears(&server, says, &right),
				 DIGEST_E_STALE); /* a replay */
		assert_int_equal(server_hears(&server, client_says(&server.client), &right),
				 0); /* nc=2 */
		server_close(&server);
	}
}

static void kept_hashes_do_as_well_as_the_secret(void **state)
{
	struct digest_secret hashes = { 0 };
	char md5[DIGEST_HEX_SIZE], sha256[DIGEST_HEX_SIZE];
	struct server server;

	(void)state;
	digest_ha1(DIGEST_MD5, P("alice"), P("b"), P("secret"), md5);
	digest_ha1(DIGEST_SHA256, P("alice"), P("b"), P("secret"), sha256);
	server_open(&server);
	hashes.ha1_sha256 = sha256;
	assert_int_equal(server_challenges(&server, DIGEST_OFFER_BOTH), 0);
	assert_int_equal(server_hears(&server, client_says(&server.client), &hashes), 0);
	hashes = (struct digest_secret){ .ha1_md5 = md5 };
	assert_int_equal(server_hears(&server, client_says(&server.client), &hashes),
			 DIGEST_E_WRONG);
	server_close(&server);
}

static void an_old_nonce_is_stale_and_a_made_up_one_too(void **state)
{
	struct server server;

	(void)state;
	server_open(&server);
	assert_int_equal(server_challenges(&server, DIGEST_OFFER_BOTH), 0);
	wheel_advance_to(server.wheel, 1000 + 301 * 1000);
	assert_int_equal(server_hears(&server, client_says(&server.client), &right),
			 DIGEST_E_STALE);
	server.client.round = (struct digest_round){ 0 };
	assert_int_equal(client_hears(&server.client, MD5_N("00112233")), 0);
	assert_int_equal(server_hears(&server, client_says(&server.client), &right),
			 DIGEST_E_STALE);
	assert_int_equal(server_hears(&server, client_says(&server.client), &wrong),
			 DIGEST_E_WRONG);
	server_close(&server);
}

static void requests_may_overtake_each_other(void **state)
{
	struct server server;
	char first[1024], second[1024];

	(void)state;
	server_open(&server);
	assert_int_equal(server_challenges(&server, DIGEST_OFFER_BOTH), 0);
	assert_int_equal(server_hears(&server, client_says(&server.client), &right), 0);
	str_copy(first, sizeof(first), client_says(&server.client));
	str_copy(second, sizeof(second), client_says(&server.client));
	assert_int_equal(server_hears(&server, second, &right), 0);
	assert_int_equal(server_hears(&server, first, &right), 0);
	assert_int_equal(server_hears(&server, first, &right), DIGEST_E_STALE);
	server_close(&server);
}

static void credentials_that_are_none_are_told_apart(void **state)
{
	struct server server;

	(void)state;
	server_open(&server);
	assert_int_equal(server_hears(&server, "Subject: none", &right), DIGEST_E_MISSING);
	assert_int_equal(server_hears(&server, "Authorization: Digest realm=\"other\", nonce=\"x\"",
				      &right),
			 DIGEST_E_MISSING);
	assert_int_equal(server_hears(&server, "Authorization: Digest realm=\"b\", nonce=\"x\"",
				      &right),
			 DIGEST_E_MALFORMED);
	assert_int_equal(
		server_hears(
			&server,
			"Authorization: Digest realm=\"b\", nonce=\"x\", username=\"a\", uri=\"sip:b\", "
			"response=\"1\", qop=auth, nc=1, cnonce=\"c\"",
			&right),
		DIGEST_E_MALFORMED);
	server_close(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc7616_examples),
		cmocka_unit_test(rfc2617_example_and_a_prepared_hash),
		cmocka_unit_test(a_body_and_a_session_change_the_answer),
		cmocka_unit_test(the_topmost_supported_challenge_is_answered),
		cmocka_unit_test(several_challenges_may_share_a_line),
		cmocka_unit_test(a_proxy_and_a_server_are_both_answered),
		cmocka_unit_test(a_nonce_is_reused_with_a_rising_count),
		cmocka_unit_test(a_second_challenge_means_refused_unless_stale),
		cmocka_unit_test(a_cached_nonce_that_is_refused_gets_one_fresh_try),
		cmocka_unit_test(stale_for_ever_is_a_loop),
		cmocka_unit_test(after_an_edit_the_old_secret_is_tried_once),
		cmocka_unit_test(auth_int_only_when_it_is_offered_alone),
		cmocka_unit_test(what_cannot_be_understood_is_not_answered),
		cmocka_unit_test(a_fifth_realm_does_not_grow_the_jar),
		cmocka_unit_test(the_right_secret_passes_once),
		cmocka_unit_test(kept_hashes_do_as_well_as_the_secret),
		cmocka_unit_test(an_old_nonce_is_stale_and_a_made_up_one_too),
		cmocka_unit_test(requests_may_overtake_each_other),
		cmocka_unit_test(credentials_that_are_none_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
