/* media/port.h - RTP/RTCP port pairs out of a range
 *
 * A queue of free pairs, shuffled once: taking and giving are O(1) at any fill, a pair given back
 * rests until all others were used, so that a late packet of the last call does not meet the next
 * one. Call loop.
 */
#pragma once

#include "media/media.h"

struct port_pool;

struct port_pool *port_pool_new(uint16_t min, uint16_t max);
struct port_pool *port_pool_free(struct port_pool *pool);
DEFINE_CLEANUP(struct port_pool *, port_pool_free)

unsigned port_pool_left(const struct port_pool *pool);
unsigned port_pool_size(const struct port_pool *pool);
/* Return: the even port of a pair, or 0 when none is left. */
uint16_t port_take(struct port_pool *pool);
void port_give(struct port_pool *pool, uint16_t port);

/* Takes a pair and binds both, going on with the next pair when another program sits on one.
 * Return: 0 with the port and non-blocking sockets, or MEDIA_E_NO_PORT or MEDIA_E_ADDRESS.
 */
must_check int port_bind(struct port_pool *pool, const union media_addr *address,
			 uint16_t *ret_port, int ret_fds[static 2]);
