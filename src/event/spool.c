#include "event/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW (2 * (SPOOL_RECORD_MAX + SPOOL_RECORD_HEAD))

struct spool {
	char *path;
	int fd; /* -1: no file */
	uint64_t max, size;
	uint64_t at, marked; /* the next record to read; how far all is applied */
	/* A part of the file in memory: whole records are read from it. */
	uint8_t *window;
	uint64_t window_at;
	size_t window_len;
};

/* CRC-32 (IEEE 802.3), a nibble a step: enough for records that are rarely written. */
static uint32_t crc(const uint8_t *data, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t sum = 0xffffffff;

	for (size_t i = 0; i < len; i++) {
		sum = table[(sum ^ data[i]) & 15] ^ (sum >> 4);
		sum = table[(sum ^ (data[i] >> 4)) & 15] ^ (sum >> 4);
	}
	return ~sum;
}

static void put_u32(uint8_t *at, uint32_t num)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(num >> (8 * i));
}

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

void spool_frame(struct buf *out, const void *data, size_t len)
{
	uint8_t head[SPOOL_RECORD_HEAD];

	bug_on(len == 0 || len > SPOOL_RECORD_MAX);
	put_u32(head, (uint32_t)len);
	put_u32(head + 4, crc(data, len));
	buf_add(out, head, sizeof(head));
	buf_add(out, data, len);
}

int spool_parse(const uint8_t *data, size_t len, size_t *offset, const uint8_t **ret_data,
		size_t *ret_len)
{
	const uint8_t *at = data + *offset;
	size_t left = len - *offset;
	uint32_t size;

	if (left < SPOOL_RECORD_HEAD)
		return SPOOL_E_END;
	size = get_u32(at);
	if (size == 0 || size > SPOOL_RECORD_MAX || size > left - SPOOL_RECORD_HEAD)
		return SPOOL_E_END;
	if (crc(at + SPOOL_RECORD_HEAD, size) != get_u32(at + 4))
		return SPOOL_E_END;
	*ret_data = at + SPOOL_RECORD_HEAD;
	*ret_len = size;
	*offset += SPOOL_RECORD_HEAD + size;
	return 0;
}

static int window_fill(struct spool *spool)
{
	size_t have = 0;

	if (!spool->window)
		spool->window = xzalloc(WINDOW);
	spool->window_at = spool->at;
	spool->window_len = 0;
	while (have < WINDOW) {
		ssize_t n = pread(spool->fd, spool->window + have, WINDOW - have,
				  (off_t)(spool->at + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_newf(errno, "read %s", spool->path);
		if (n == 0)
			break;
		have += (size_t)n;
	}
	if (have > spool->size - spool->at)
		have = (size_t)(spool->size - spool->at);
	spool->window_len = have;
	return 0;
}

int spool_read(struct spool *spool, const uint8_t **ret_data, size_t *ret_len)
{
	size_t offset;
	int r;

	if (spool->fd < 0 || spool->at >= spool->size)
		return SPOOL_E_END;
	for (int tries = 0; tries < 2; tries++) {
		if (spool->window_len && spool->at >= spool->window_at &&
		    spool->at < spool->window_at + spool->window_len) {
			offset = (size_t)(spool->at - spool->window_at);
			if (spool_parse(spool->window, spool->window_len, &offset, ret_data,
					ret_len) == 0) {
				spool->at = spool->window_at + offset;
				return 0;
			}
		}
		r = window_fill(spool);
		if (r)
			return err_pass(r);
	}
	return SPOOL_E_END;
}

void spool_rewind(struct spool *spool)
{
	spool->at = spool->marked;
}

void spool_mark(struct spool *spool)
{
	spool->marked = spool->at;
}

uint64_t spool_left(const struct spool *spool)
{
	return spool->fd < 0 ? 0 : spool->size - spool->marked;
}

static int dir_sync(const char *path)
{
	auto_(free) char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	int fd, r = 0;

	if (slash)
		*slash = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		r = err_newf(errno, "fsync %s", dir);
	if (fd >= 0)
		close(fd);
	return r;
}

static int write_all(int fd, const void *data, size_t len, uint64_t at)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_new(n < 0 ? errno : EIO);
		p += n;
		at += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int spool_create(struct spool *spool)
{
	int r;

	spool->fd = open(spool->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (spool->fd < 0)
		return err_newf(errno, "create %s", spool->path);
	r = write_all(spool->fd, SPOOL_MAGIC, SPOOL_HEAD, 0);
	if (r == 0)
		r = dir_sync(spool->path);
	if (r) {
		close(spool->fd);
		spool->fd = -1;
		return err_pass(r);
	}
	spool->size = spool->at = spool->marked = SPOOL_HEAD;
	spool->window_len = 0;
	return 0;
}

int spool_append(struct spool *spool, const struct buf *framed)
{
	int r;

	if (framed->len == 0)
		return 0;
	if ((spool->fd < 0 ? SPOOL_HEAD : spool->size) + framed->len > spool->max)
		return SPOOL_E_FULL;
	if (spool->fd < 0) {
		r = spool_create(spool);
		if (r)
			return err_pass(r);
	}
	r = write_all(spool->fd, framed->data, framed->len, spool->size);
	if (r == 0 && fdatasync(spool->fd))
		r = err_newf(errno, "fsync %s", spool->path);
	if (r) {
		if (ftruncate(spool->fd, (off_t)spool->size))
			log_error("cannot cut the spool back", LOG_STR("path", spool->path));
		return err_pass(r);
	}
	spool->size += framed->len;
	return 0;
}

int spool_clear(struct spool *spool)
{
	if (spool->fd < 0)
		return 0;
	close(spool->fd);
	spool->fd = -1;
	spool->size = spool->at = spool->marked = 0;
	spool->window_len = 0;
	if (unlink(spool->path))
		return err_newf(errno, "unlink %s", spool->path);
	return 0;
}

/* Walks through all records and cuts off what follows the last whole one. */
static int spool_check(struct spool *spool, uint64_t *ret_cut)
{
	const uint8_t *data;
	struct stat st;
	size_t len;
	int r;

	if (fstat(spool->fd, &st))
		return err_newf(errno, "stat %s", spool->path);
	spool->size = (uint64_t)st.st_size;
	spool->at = 0;
	r = window_fill(spool);
	if (r)
		return err_pass(r);
	if (spool->window_len < SPOOL_HEAD || memcmp(spool->window, SPOOL_MAGIC, SPOOL_HEAD) != 0) {
		*ret_cut = spool->size;
		return spool_clear(spool);
	}
	spool->at = spool->marked = SPOOL_HEAD;
	do {
		r = spool_read(spool, &data, &len);
	} while (r == 0);
	if (r != SPOOL_E_END)
		return err_pass(r);
	*ret_cut = spool->size - spool->at;
	if (*ret_cut && (ftruncate(spool->fd, (off_t)spool->at) || fsync(spool->fd)))
		return err_newf(errno, "truncate %s", spool->path);
	spool->size = spool->at;
	spool->window_len = 0;
	spool_rewind(spool);
	return 0;
}

int spool_open(const char *path, uint64_t max, struct spool **ret_spool, uint64_t *ret_cut)
{
	auto_(spool_close) struct spool *spool = xzalloc(sizeof(*spool));
	uint64_t cut = 0;
	int r = 0;

	spool->path = xstrdup(path);
	spool->max = max;
	spool->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (spool->fd < 0 && errno != ENOENT)
		return err_newf(errno, "open %s", path);
	if (spool->fd >= 0)
		r = spool_check(spool, &cut);
	if (r)
		return err_pass(r);
	*ret_spool = take(spool);
	*ret_cut = cut;
	return 0;
}

struct spool *spool_close(struct spool *spool)
{
	if (!spool)
		return NULL;
	if (spool->fd >= 0)
		close(spool->fd);
	free(spool->window);
	free(spool->path);
	free(spool);
	return NULL;
}
