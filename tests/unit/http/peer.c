#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int peer_connect(unsigned port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval second = { .tv_sec = 3 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	bug_on(fd < 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second));
	bug_on(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0);
	return fd;
}

void peer_send(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);

		if (sent <= 0)
			return; /* the other side may well have closed: the test looks at what it reads */
		at += sent;
		len -= (size_t)sent;
	}
}

void peer_text(int fd, const char *text)
{
	peer_send(fd, text, strlen(text));
}

size_t peer_read(int fd, void *buf, size_t want)
{
	size_t len = 0;

	while (len < want) {
		ssize_t got = recv(fd, (char *)buf + len, want - len, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	return len;
}

int peer_answer(int fd, struct buf *ret_text, bool head_only)
{
	size_t length = 0;
	const char *at;
	int status = 0;
	char c;

	buf_reset(ret_text);
	while (!ret_text->data || !strstr(ret_text->data, "\r\n\r\n")) {
		if (peer_read(fd, &c, 1) != 1)
			return 0;
		buf_addc(ret_text, c);
	}
	if (sscanf(ret_text->data, "HTTP/1.%*d %d", &status) != 1)
		return 0;
	at = strcasestr(ret_text->data, "\r\nContent-Length:");
	if (at && !head_only)
		length = strtoul(at + 17, NULL, 10);
	for (size_t i = 0; i < length; i++) {
		if (peer_read(fd, &c, 1) != 1)
			return 0;
		buf_addc(ret_text, c);
	}
	return status;
}

bool peer_closed(int fd, unsigned ms)
{
	uint64_t end = clock_mono_ms() + ms;
	char waste[4096];

	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		uint64_t now = clock_mono_ms();
		ssize_t got;

		if (now >= end || poll(&pfd, 1, (int)(end - now)) <= 0)
			return false;
		got = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			return true;
	}
}

void peer_frame(int fd, uint8_t first, const void *data, size_t len)
{
	uint8_t head[14] = { first }, mask[4] = { 0x11, 0x22, 0x33, 0x44 };
	auto_(free) uint8_t *body = xzalloc(len + 1);
	size_t head_len;

	if (len < 126) {
		head[1] = (uint8_t)(0x80 | len);
		head_len = 2;
	} else if (len < 65536) {
		head[1] = 0x80 | 126;
		head[2] = (uint8_t)(len >> 8);
		head[3] = (uint8_t)len;
		head_len = 4;
	} else {
		head[1] = 0x80 | 127;
		for (unsigned i = 0; i < 8; i++)
			head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
		head_len = 10;
	}
	memcpy(head + head_len, mask, 4);
	for (size_t i = 0; i < len; i++)
		body[i] = ((const uint8_t *)data)[i] ^ mask[i % 4];
	peer_send(fd, head, head_len + 4);
	peer_send(fd, body, len);
}

int peer_frame_read(int fd, uint8_t *buf, size_t size, size_t *ret_len)
{
	uint8_t head[10];
	size_t len;

	if (peer_read(fd, head, 2) != 2)
		return -1;
	len = head[1] & 0x7f;
	if (len == 126) {
		if (peer_read(fd, head + 2, 2) != 2)
			return -1;
		len = (size_t)head[2] << 8 | head[3];
	} else if (len == 127) {
		if (peer_read(fd, head + 2, 8) != 8)
			return -1;
		len = 0;
		for (unsigned i = 2; i < 10; i++)
			len = len << 8 | head[i];
	}
	if (len > size || peer_read(fd, buf, len) != len)
		return -1;
	*ret_len = len;
	return head[0];
}
