/* fuzz/ws.c - WebSocket frames on a connection that echoes: whatever comes, it is closed in the end */
#include "http/ws.h"

#include "fuzz/target.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static void *on_open(struct ws_conn *conn, void *arg)
{
	(void)conn;
	return arg;
}

static void on_message(struct ws_conn *conn, void *state, bool text, const uint8_t *data,
		       size_t len)
{
	(void)state;
	if (text && !str_is_clean_utf8((const char *)data, 0))
		abort();
	if (text)
		ws_send_text(conn, (const char *)data, len);
	else
		ws_send_binary(conn, data, len);
}

static void on_closed(struct ws_conn *conn, void *state, int code)
{
	(void)conn;
	(void)state;
	if (code < 1000 || code > 4999)
		abort();
}

static const struct ws_endpoint endpoint = {
	.name = "fuzz",
	.message_max = 4096,
	.out_max = 65536,
	.open = on_open,
	.message = on_message,
	.closed = on_closed,
};

static struct ws *the_ws(void)
{
	static struct ws *ws;

	if (!ws) {
		log_init(&(struct log_setup){ .level = LOG_ERROR_ });
		if (ws_start(&(struct ws_setup){ .close_ms = 20 }, &ws))
			abort();
	}
	return ws;
}

/* The fuzzer's own alarm interrupts us once in a while. */
static int poll_again(struct pollfd *fd)
{
	int r;

	while ((r = poll(fd, 1, 5000)) < 0 && errno == EINTR)
		;
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ws_birth birth = { .endpoint = &endpoint, .peer = "127.0.0.1" };
	struct pollfd fd = { .events = POLLIN };
	char sink[4096];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		abort();
	birth.fd = pair[1];
	/* Some of it came with the handshake. */
	birth.early_len = size / 4;
	birth.early = birth.early_len ? (uint8_t *)xmemdup(data, birth.early_len) : NULL;
	ws_adopt(the_ws(), &birth);
	/* It may close on us meanwhile: fine. */
	(void)send(pair[0], data + birth.early_len, size - birth.early_len, MSG_NOSIGNAL);
	(void)shutdown(pair[0], SHUT_WR);
	fd.fd = pair[0];
	for (;;) {
		if (poll_again(&fd) != 1)
			abort(); /* neither data nor the end: it hangs */
		if (read(pair[0], sink, sizeof(sink)) <= 0)
			break;
	}
	close(pair[0]);
	return 0;
}
