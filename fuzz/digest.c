/* fuzz/digest.c - challenges and credentials as foreign header values
 *
 * The first byte picks the side: a client that answers them, or a server that checks them.
 */
#include "sip/digest.h"
#include "sip/msg.h"

#include "fuzz/target.h"

static struct sip_msg *message(const char *start, const char *name, const uint8_t *data,
			       size_t size)
{
	struct mbuf *mb = mbuf_alloc(size + 512);
	struct sip_msg *msg = NULL;

	(void)mbuf_printf(
		mb,
		"%s\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n"
		"Call-ID: c\r\nCSeq: 1 REGISTER\r\n%s: ",
		start, name);
	(void)mbuf_write_mem(mb, data, size);
	(void)mbuf_write_str(mb, "\r\nContent-Length: 0\r\n\r\n");
	mb->pos = 0;
	if (inmsg_decode(&msg, mb))
		msg = NULL;
	mem_deref(mb);
	return msg;
}

/* No line of ours may carry a control character that came from outside. */
static void lines_check(const struct buf *out)
{
	for (size_t i = 0; i < out->len; i++) {
		unsigned char c = (unsigned char)out->data[i];

		if (c < 0x20 && c != '\r' && c != '\n')
			abort();
		if (c == '\r' && (i + 1 == out->len || out->data[i + 1] != '\n'))
			abort();
	}
}

static void client(const uint8_t *data, size_t size)
{
	struct sip_msg *msg =
		message("SIP/2.0 401 No",
			size && (data[0] & 2) ? "Proxy-Authenticate" : "WWW-Authenticate", data,
			size);
	struct digest_creds creds = { 0 };
	struct digest_round round = { 0 };
	const struct digest_request request = { .method = "REGISTER", .uri = "sip:b" };
	struct digest_jar *jar = digest_jar_new();
	auto_(buf_fini) struct buf out = BUF_MAX(32768);

	digest_creds_set(&creds, "al\"ice\\", "secret");
	for (int i = 0; msg && i < 5; i++) {
		if (digest_jar_challenged(jar, &creds, &round, msg))
			break;
		digest_jar_sign(jar, &creds, &round, &request, &out);
	}
	lines_check(&out);
	if (out.len && strstr(out.data, "secret") && !memmem(data, size, "secret", 6))
		abort();
	digest_jar_free(jar);
	digest_creds_fini(&creds);
	mem_deref(msg);
}

static void server(const uint8_t *data, size_t size)
{
	static const struct digest_secret secret = { .plain = "secret" };
	struct wheel *wheel = wheel_new_virtual(1000000, 1700000000000000);
	struct digest_server *digest = digest_server_new(wheel);
	struct sip_msg *msg = message("REGISTER sip:b SIP/2.0", "Authorization", data, size);
	struct digest_claim claim;

	/* Nobody guesses a nonce of ours. */
	if (msg && !digest_server_read(msg, "b", false, &claim) &&
	    !digest_server_check(digest, msg, &claim, &secret))
		abort();
	mem_deref(msg);
	digest_server_free(digest);
	wheel_free(wheel);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size || size > 16384)
		return 0;
	if (data[0] & 1)
		client(data + 1, size - 1);
	else
		server(data + 1, size - 1);
	return 0;
}
