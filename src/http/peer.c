/* A connection, from accept to close, and the time that its present phase may take */
#include "http/private.h"

#include "base/metric.h"

#include <sys/socket.h>

METRIC_COUNTER(slow_metric, "jackfield_http_timeouts_total",
	       "Connections cut because a phase took too long", NULL);
METRIC_GAUGE(conn_metric, "jackfield_http_connections", "Open HTTP connections", NULL);

struct peer {
	int fd;
	struct timer deadline;
};

static void on_deadline(struct timer *timer, void *arg)
{
	struct peer *peer = arg;

	(void)timer;
	metric_add(&slow_metric, 1);
	shutdown(peer->fd, SHUT_RDWR); /* MHD sees the end and cleans up */
}

static struct peer *conn_peer(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void peer_deadline(struct MHD_Connection *conn, unsigned seconds)
{
	struct peer *peer = conn_peer(conn);

	if (peer && seconds)
		timer_start(&peer->deadline, (uint64_t)seconds * 1000);
	else if (peer)
		timer_stop(&peer->deadline);
}

struct peer *peer_new(struct MHD_Connection *conn, struct wheel *wheel, unsigned seconds)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct peer *peer = xzalloc(sizeof(*peer));

	peer->fd = info->connect_fd;
	timer_init(&peer->deadline, wheel, on_deadline, peer);
	timer_start(&peer->deadline, (uint64_t)seconds * 1000);
	metric_add(&conn_metric, 1);
	return peer;
}

struct peer *peer_free(struct peer *peer)
{
	if (!peer)
		return NULL;
	timer_stop(&peer->deadline);
	free(peer);
	metric_add(&conn_metric, -1);
	return NULL;
}
