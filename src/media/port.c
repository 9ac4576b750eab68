#include "media/port.h"

#include "base/log.h"
#include "base/random.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Other programs may sit on a few ports of the range; one that has taken this many in a row has
 * taken it over.
 */
#define PORT_TRIES 256

struct port_pool {
	uint16_t *queue; /* ring of free even ports */
	unsigned size, head, left;
};

static uint32_t random_below(uint32_t n)
{
	return (uint32_t)((uint64_t)random_u32() * n >> 32);
}

struct port_pool *port_pool_new(uint16_t min, uint16_t max)
{
	struct port_pool *pool = xzalloc(sizeof(*pool));
	unsigned first = (min + 1u) & ~1u;

	pool->size = max > first ? (max - first + 1u) / 2 : 0;
	pool->left = pool->size;
	pool->queue = xzalloc_array(pool->size + 1, sizeof(*pool->queue));
	for (unsigned i = 0; i < pool->size; i++) { /* inside-out shuffle */
		unsigned j = random_below(i + 1);

		pool->queue[i] = pool->queue[j];
		pool->queue[j] = (uint16_t)(first + 2 * i);
	}
	return pool;
}

struct port_pool *port_pool_free(struct port_pool *pool)
{
	if (pool) {
		free(pool->queue);
		free(pool);
	}
	return NULL;
}

unsigned port_pool_left(const struct port_pool *pool)
{
	return pool->left;
}

unsigned port_pool_size(const struct port_pool *pool)
{
	return pool->size;
}

uint16_t port_take(struct port_pool *pool)
{
	uint16_t port;

	if (!pool->left)
		return 0;
	port = pool->queue[pool->head];
	pool->head = (pool->head + 1) % pool->size;
	pool->left--;
	return port;
}

void port_give(struct port_pool *pool, uint16_t port)
{
	bug_on(pool->left == pool->size);
	pool->queue[(pool->head + pool->left) % pool->size] = port;
	pool->left++;
}

static int bind_one(const union media_addr *address, unsigned port, int *ret_fd)
{
	union media_addr addr = *address;
	bool v6 = addr.sa.sa_family == AF_INET6;
	int fd = socket(addr.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int tos = 0xb8; /* expedited forwarding, RFC 4594 */
	int one = 1, r;

	if (fd < 0)
		return errno;
	(void)setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &tos,
			 sizeof(tos));
	if (v6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (media_addr_host_is_any(&addr)) /* pace.c wants to know which of them it was */
		(void)setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
				 v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &one, sizeof(one));
	media_addr_set_port(&addr, (uint16_t)port);
	if (bind(fd, &addr.sa, v6 ? sizeof(addr.in6) : sizeof(addr.in)) == 0) {
		*ret_fd = fd;
		return 0;
	}
	r = errno;
	close(fd);
	return r;
}

/* A quarter of the descriptors is not for sound: the API, the lines and the database go on, whatever calls take. The
 * lowest free number is what a new one gets.
 */
static bool is_reserved(int fd)
{
	struct rlimit files;

	return getrlimit(RLIMIT_NOFILE, &files) == 0 &&
	       (rlim_t)fd >= files.rlim_cur - files.rlim_cur / 4;
}

static bool is_shortage(int errnum)
{
	return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

static int bind_pair(const union media_addr *address, uint16_t port, int fds[static 2])
{
	int rtp, rtcp, r = bind_one(address, port, &rtp);

	if (r)
		return r;
	r = bind_one(address, port + 1u, &rtcp);
	if (!r && is_reserved(rtcp)) {
		close(rtcp);
		r = EMFILE;
	}
	if (r) {
		close(rtp);
		return r;
	}
	fds[0] = rtp;
	fds[1] = rtcp;
	return 0;
}

int port_bind(struct port_pool *pool, const union media_addr *address, uint16_t *ret_port,
	      int ret_fds[static 2])
{
	for (unsigned i = 0; i < PORT_TRIES; i++) {
		uint16_t port = port_take(pool);
		int r;

		if (!port)
			return MEDIA_E_NO_PORT;
		r = bind_pair(address, port, ret_fds);
		if (!r) {
			*ret_port = port;
			return 0;
		}
		port_give(pool, port);
		if (is_shortage(r)) {
			log_rated(LOG_ERROR_, "no descriptors left for sound",
				  LOG_STR("error", strerrorname_np(r)));
			return MEDIA_E_NO_PORT;
		}
		if (r != EADDRINUSE && r != EACCES) {
			(void)err_newf(r, "bind of a media port");
			return MEDIA_E_ADDRESS;
		}
		if (i + 1 >= pool->left)
			break; /* every free pair was tried once */
	}
	return MEDIA_E_NO_PORT;
}
