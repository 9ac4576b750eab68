/* Steady streams are read by the clock.
 *
 * A phone sends every 20 ms for as long as it talks. Being told of each packet costs more than half
 * of what reading it costs: epoll asks every socket again, and each packet *sent* goes through its
 * waiting list too. So once a stream's source is settled and packets flow, and the loop gathers
 * anyway (loop.c), its socket leaves epoll and is read in the 5 ms slot in which its next packet is
 * due. One that is late is tried again in every slot; every few packets the slot before is tried, so
 * that what comes earlier, or waits in line, moves the slot forward. After a tenth of a second
 * without packets the socket goes back to epoll.
 *
 * The same sockets are connected: that sends without looking up the route of every packet, which is
 * a sixth of its cost, and the kernel keeps strangers out. But a connected socket is deaf to a
 * source that has moved; so it is let loose half a second after packets stop. And one that is bound
 * to no address takes, once connected, that of the route to its peer: where a machine has several
 * and the peer sends to another of them, it would hear nothing more. Such a one stays as it is.
 */
#include "media/private.h"

#include <netinet/in.h>
#include <sys/epoll.h>

#define FLOWING_US 500000
#define MISSES_MAX 20 /* slots, beyond those in which nothing is due */
#define PERIOD_MAX 24 /* 120 ms: the longest packets in use */
#define MEASURED 32   /* packets over which the period is taken */
#define PROBE_EVERY 4 /* packets between two looks at the slot before */
#define BURST_MAX 32

_Static_assert(PERIOD_MAX + 1 < PACE_SLOTS, "a packet due later than the ring of slots is long");

static void unlink_slot(struct mstream *stream)
{
	struct pace *pace = &stream->pace;

	if (!pace->prev)
		return; /* it is being read */
	*pace->prev = pace->next;
	if (pace->next)
		pace->next->pace.prev = pace->prev;
	pace->prev = NULL;
}

static void link_slot(struct mstream *stream, struct mstream **head)
{
	struct pace *pace = &stream->pace;

	pace->next = *head;
	pace->prev = head;
	if (pace->next)
		pace->next->pace.prev = &pace->next;
	*head = stream;
}

static void read_at(struct mstream *stream, uint64_t slot)
{
	link_slot(stream, &stream->loop->paced[slot % PACE_SLOTS]);
}

static void join(struct mstream *stream)
{
	struct mloop *loop = stream->loop;
	unsigned period = stream->params.ptime_ms * 1000 / PACE_SLOT_US;

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, stream->fd, NULL))
		return;
	stream->pace = (struct pace){
		.on = true,
		.period = (uint8_t)(period < 1		  ? 1
				    : period > PERIOD_MAX ? PERIOD_MAX
							  : period),
		.from_slot = loop->slot,
	};
	loop->paced_count++;
	read_at(stream, loop->slot + 1);
}

static void leave(struct mstream *stream)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uintptr_t)stream };

	stream->pace.on = false;
	stream->loop->paced_count--;
	if (stream->fd >= 0)
		(void)epoll_ctl(stream->loop->epoll_fd, EPOLL_CTL_ADD, stream->fd, &event);
}

void pace_leave(struct mstream *stream)
{
	if (!stream->pace.on)
		return;
	unlink_slot(stream);
	leave(stream);
}

/* ---- reading ---- */

static bool read_one(struct mstream *stream)
{
	struct mloop *loop = stream->loop;
	ssize_t n = datagram_recv(stream->fd, loop->buffer, PACKET_MAX);

	if (n < 0)
		return false;
	loop->handled++;
	stream_take(stream, loop->buffer, (size_t)n, &stream->remote);
	return true;
}

static void measure(struct pace *pace, uint64_t slot)
{
	uint64_t period;

	if (pace->reads < MEASURED)
		return;
	period = (slot - pace->from_slot + pace->reads / 2) / pace->reads;
	pace->period = (uint8_t)(period < 1 ? 1 : period > PERIOD_MAX ? PERIOD_MAX : period);
	pace->from_slot = slot;
	pace->reads = 0;
}

static void take_due(struct mstream *stream, uint64_t slot, bool stalled)
{
	struct pace *pace = &stream->pace;
	bool late = pace->missed > pace->early;
	unsigned n = 1;

	if (!read_one(stream)) {
		if (++pace->missed > pace->period + MISSES_MAX)
			leave(stream);
		else
			read_at(stream, slot + 1);
		return;
	}
	/* More may wait where it came out of step, or was there before it was due. */
	if (stalled || pace->missed > pace->early + 1u || (pace->early && !pace->missed) ||
	    pace->period == 1)
		while (n < BURST_MAX && pace->on && read_one(stream))
			n++;
	if (!pace->on)
		return;
	pace->reads = (uint8_t)(pace->reads + n);
	measure(pace, slot);
	pace->early = pace->period > 1 && (late || pace->reads % PROBE_EVERY == 0);
	pace->missed = 0;
	read_at(stream, slot + pace->period - pace->early);
}

/* What reading from `stream` will touch, and the first lines of the next one: both arrive while the
 * kernel is asked for the packet.
 */
static void fetch_ahead(const struct mstream *stream, const struct mstream *next)
{
	const struct mstream *to = stream->relay_to;

	__builtin_prefetch(&stream->receiver, 1);
	__builtin_prefetch(&stream->remote_len);
	if (to) {
		__builtin_prefetch(&to->fd);
		__builtin_prefetch(&to->tx);
		__builtin_prefetch(&to->sender, 1);
		__builtin_prefetch(&to->remote_len);
	}
	if (next) {
		__builtin_prefetch(&next->pace, 1);
		__builtin_prefetch(&next->on_rtp, 1);
	}
}

static void take_slot(struct mstream **slot, uint64_t now, bool stalled)
{
	struct mstream *due = *slot, *stream;

	*slot = NULL;
	if (due)
		due->pace.prev = &due;
	while ((stream = due)) {
		unlink_slot(stream);
		fetch_ahead(stream, due);
		take_due(stream, now, stalled);
	}
}

void pace_run(struct mloop *loop)
{
	uint64_t now = loop->now_us / PACE_SLOT_US;

	if (!loop->paced_count || now - loop->slot > PACE_SLOTS)
		loop->slot = loop->paced_count ? now - PACE_SLOTS : now;
	while (loop->slot < now) {
		uint64_t slot = ++loop->slot;

		take_slot(&loop->paced[slot % PACE_SLOTS], now, slot + 1 < now);
	}
}

void pace_end(struct mloop *loop)
{
	for (unsigned i = 0; i < PACE_SLOTS; i++)
		while (loop->paced[i])
			pace_leave(loop->paced[i]);
}

/* ---- sources that are settled ---- */

void pace_loosen(struct mstream *stream)
{
	static const struct sockaddr loose = { .sa_family = AF_UNSPEC };

	pace_leave(stream);
	if (stream->connected && stream->fd >= 0)
		stream->connected = connect(stream->fd, &loose, sizeof(loose)) != 0;
}

static void own_address(struct cmsghdr *part, union media_addr *ret)
{
	if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo info;

		memcpy(&info, CMSG_DATA(part), sizeof(info));
		ret->in.sin_family = AF_INET;
		ret->in.sin_addr = info.ipi_addr;
	} else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo info;

		memcpy(&info, CMSG_DATA(part), sizeof(info));
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_addr = info.ipi6_addr;
	}
}

ssize_t datagram_recv_own(int fd, void *data, size_t cap, union media_addr *ret_from,
			  union media_addr *ret_own)
{
	_Alignas(struct cmsghdr) uint8_t control[128];
	struct iovec vec = { .iov_base = data, .iov_len = cap };
	struct msghdr msg = {
		.msg_name = ret_from,
		.msg_namelen = sizeof(*ret_from),
		.msg_iov = &vec,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);

	if (n < 0)
		return n;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&msg); part; part = CMSG_NXTHDR(&msg, part))
		own_address(part, ret_own);
	return n;
}

/* Return: false when the system sends from another address of ours than they send to. */
static bool hears_on_route(const struct mstream *stream)
{
	union media_addr route;
	socklen_t len = sizeof(route);

	return !stream->anywhere || (getsockname(stream->fd, &route.sa, &len) == 0 &&
				     media_addr_ip_eq(&route, &stream->own));
}

static void connect_socket(struct mstream *stream)
{
	if (stream->anywhere && (stream->detour || !stream->own.sa.sa_family))
		return;
	stream->connected = connect(stream->fd, &stream->remote.sa, stream->remote_len) == 0;
	if (!stream->connected || hears_on_route(stream))
		return;
	stream->detour = true;
	pace_loosen(stream);
}

static bool is_settled(const struct mstream *stream)
{
	uint64_t now_us = stream->loop->now_us;

	return stream->latched && stream->remote_len && now_us >= stream->latch.until_us &&
	       now_us - stream->rtp_us < FLOWING_US;
}

/* Once connected for a second, nothing of a stranger is in its queue: reading without asking for
 * the source is safe then.
 */
void pace_settle(struct mstream *stream)
{
	if (stream->fd < 0)
		return;
	if (!is_settled(stream))
		pace_loosen(stream);
	else if (!stream->connected)
		connect_socket(stream);
	else if (stream->loop->busy && !stream->pace.on)
		join(stream);
}
