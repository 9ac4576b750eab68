/* "127.0.0.1:8080", "[::1]:8080", ":8080" */
#include "http/private.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

static struct addrinfo *listen_lookup(const char *text)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	auto_(free) char *host = xstrdup(text);
	struct addrinfo *info = NULL;
	char *colon = strrchr(host, ':'), *name = host;
	int64_t port = 0;

	if (!colon || !str_to_i64(colon + 1, 0, 65535, &port))
		return NULL;
	*colon = '\0';
	if (*name == '[' && colon > name + 1 && colon[-1] == ']') {
		colon[-1] = '\0';
		name++;
	}
	if (getaddrinfo(*name ? name : NULL, colon + 1, &hints, &info) != 0)
		return NULL;
	return info;
}

int listen_open(const char *text, int *ret_fd, unsigned *ret_port)
{
	struct addrinfo *info = listen_lookup(text);
	struct sockaddr_storage bound = { 0 };
	socklen_t len = sizeof(bound);
	int one = 1, r, fd;

	if (!info)
		return WEB_E_ADDRESS;
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		freeaddrinfo(info);
		return err_newf(errno, "socket");
	}
	*ret_fd = fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	r = bind(fd, info->ai_addr, info->ai_addrlen);
	freeaddrinfo(info);
	if (r < 0 || listen(fd, 1024) < 0)
		return WEB_E_BUSY;
	if (getsockname(fd, (struct sockaddr *)&bound, &len) < 0)
		return err_newf(errno, "getsockname");
	*ret_port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
						      : ((struct sockaddr_in *)&bound)->sin_port);
	return 0;
}
