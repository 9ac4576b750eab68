/* A client for tests: plain blocking sockets with deadlines, so that every byte on the wire is the test's own */
#pragma once

#include "base/base.h"

int peer_connect(unsigned port);
void peer_send(int fd, const void *data, size_t len);
void peer_text(int fd, const char *text);
/* Reads until `want` bytes are there or the peer closes or a second passes. Return: bytes read. */
size_t peer_read(int fd, void *buf, size_t want);
/* One HTTP answer: head and body by Content-Length (none for `head_only`). Return: the status, 0 when cut short. */
int peer_answer(int fd, struct buf *ret_text, bool head_only);
/* True once the peer has closed (within ms). */
bool peer_closed(int fd, unsigned ms);
/* A masked client frame. */
void peer_frame(int fd, uint8_t first, const void *data, size_t len);
/* Reads a server's frame. Return: its first byte, -1 when there is none; *ret_len the payload's length. */
int peer_frame_read(int fd, uint8_t *buf, size_t size, size_t *ret_len);
