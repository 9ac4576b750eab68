/* bench/ws_ears.c - many WebSocket clients of the event stream in one small process: when each saw an event
 *
 *     ws_ears HOST PORT TOKEN[,TOKEN...] COUNT WORD SOURCE...
 *
 * COUNT clients, spread over the TOKENs and the SOURCE addresses, subscribe to calls; "ready" is printed when each has its
 * snapshot. From then on every read that holds WORD (an event's type) is a line of its own at the end of input: the time of
 * CLOCK_MONOTONIC in seconds at which the kernel gave it to us. An event lies in one read, since frames are written whole.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TIMES_MAX (4u << 20)
#define READ_SIZE 262144
#define TOKENS_MAX 1000

static int *socks;
static uint8_t *subscribed;
static double *times;
static size_t time_count;
static char data[READ_SIZE];

static void die(const char *what)
{
	fprintf(stderr, "ws_ears: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct sockaddr_in addr_of(const char *host, int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, host, &addr.sin_addr) != 1)
		die(host);
	return addr;
}

static void send_all(int fd, const void *bytes, size_t len)
{
	for (ssize_t n; len; bytes = (const char *)bytes + n, len -= (size_t)n) {
		n = send(fd, bytes, len, MSG_NOSIGNAL);
		if (n < 0)
			die("send");
	}
}

/* A masked text frame; a mask of zeros is one, too. */
static void send_text(int fd, const char *text)
{
	size_t len = strlen(text);
	char frame[160] = { (char)0x81, (char)(0x80 | len) };

	memcpy(frame + 6, text, len);
	send_all(fd, frame, 6 + len);
}

static int client_open(const char *host, int port, const char *token, const char *source)
{
	struct sockaddr_in from = addr_of(source, 0), to = addr_of(host, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	char head[8192];
	size_t len = 0;

	if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	len = (size_t)snprintf(
		head, sizeof(head),
		"GET /ws/events HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
		"Sec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Protocol: jackfield.v1, bearer.%s\r\n\r\n",
		host, port, token);
	send_all(fd, head, len);
	for (len = 0; len < sizeof(head) - 1;) {
		ssize_t n = recv(fd, head + len, 1, 0); /* not a byte of the first frame */

		if (n <= 0)
			die("handshake");
		len += (size_t)n;
		if (len >= 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	if (strncmp(head, "HTTP/1.1 101", 12) != 0) {
		fprintf(stderr, "ws_ears: %.*s\n", (int)len, head);
		exit(1);
	}
	send_text(fd, "{\"type\":\"subscribe\",\"topics\":[\"calls\"]}");
	return fd;
}

/* Return: 1 when it was the client's snapshot. */
static unsigned client_read(unsigned client, const char *word)
{
	ssize_t n = recv(socks[client], data, sizeof(data), MSG_DONTWAIT);
	double at = now();

	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("a client was closed");
	if (n < 0)
		return 0;
	if (!subscribed[client]) {
		subscribed[client] = memmem(data, (size_t)n, "\"snapshot\"", 10) != NULL;
		return subscribed[client];
	}
	if (time_count < TIMES_MAX && memmem(data, (size_t)n, word, strlen(word)))
		times[time_count++] = at;
	return 0;
}

static void listen_all(int epoll_fd, unsigned count, const char *word)
{
	struct epoll_event events[256];
	unsigned ready = 0;
	char input[64];

	for (;;) {
		int n = epoll_wait(epoll_fd, events, 256, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.u32 == UINT32_MAX) {
				if (read(0, input, sizeof(input)) <= 0)
					return;
				continue;
			}
			ready += client_read(events[i].data.u32, word);
			if (ready == count) {
				printf("ready\n");
				fflush(stdout);
				ready++; /* said once */
			}
		}
	}
}

int main(int argc, char **argv)
{
	static char *tokens[TOKENS_MAX];
	unsigned token_count = 0;
	struct rlimit limit;
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = UINT32_MAX };
	unsigned count;
	int epoll_fd = epoll_create1(0);

	if (argc < 7) {
		fprintf(stderr, "ws_ears HOST PORT TOKEN COUNT WORD SOURCE...\n");
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	count = (unsigned)atoi(argv[4]);
	for (char *token = strtok(argv[3], ","); token && token_count < TOKENS_MAX;
	     token = strtok(NULL, ","))
		tokens[token_count++] = token;
	socks = calloc(count, sizeof(*socks));
	subscribed = calloc(count, 1);
	times = calloc(TIMES_MAX, sizeof(*times));
	if (!socks || !subscribed || !times || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &event))
		die("start");
	for (unsigned i = 0; i < count; i++) {
		socks[i] = client_open(argv[1], atoi(argv[2]), tokens[i % token_count],
				       argv[6 + i % (unsigned)(argc - 6)]);
		event.data.u32 = i;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, socks[i], &event))
			die("epoll_ctl");
	}
	listen_all(epoll_fd, count, argv[5]);
	for (size_t i = 0; i < time_count; i++)
		printf("%.6f\n", times[i]);
	return 0;
}
