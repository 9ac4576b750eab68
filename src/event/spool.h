/* event/spool.h - a file of records that survives crashes, for the time the database is away
 *
 * Records are a length, a checksum and bytes. What was appended is on the disk when spool_append() returns. A record that a
 * crash left half written is cut off at the next opening. One thread.
 */
#pragma once

#include "base/base.h"

#define SPOOL_MAGIC "JFSPOOL1"
#define SPOOL_HEAD 8
#define SPOOL_RECORD_HEAD 8
#define SPOOL_RECORD_MAX (1u << 20)

enum {
	SPOOL_E_FULL = 1, /* the configured size is reached: nothing was written */
	SPOOL_E_END,	  /* nothing left to read */
};

struct spool;

/* The file need not be there; it is made by the first append and removed by spool_clear(). What cannot be read in it
 * is cut off; *ret_cut: how many bytes.
 */
must_check int spool_open(const char *path, uint64_t max, struct spool **ret_spool,
			  uint64_t *ret_cut);
struct spool *spool_close(struct spool *spool);
DEFINE_CLEANUP(struct spool *, spool_close)

/* Adds a record to what the next spool_append() writes. */
void spool_frame(struct buf *out, const void *data, size_t len);
/* Writes framed records and syncs. After a negative error the file is as before. */
must_check int spool_append(struct spool *spool, const struct buf *framed);
/* The next unread record, valid until the next call. Return: 0, SPOOL_E_END. */
must_check int spool_read(struct spool *spool, const uint8_t **ret_data, size_t *ret_len);
/* Reads again from where spool_mark() was last called, or the start. */
void spool_rewind(struct spool *spool);
void spool_mark(struct spool *spool);
/* Everything was read and applied: the file goes. */
must_check int spool_clear(struct spool *spool);
/* Bytes that were not marked yet. */
uint64_t spool_left(const struct spool *spool);

/* One step through records in memory: 0 with the record and *offset moved behind it, SPOOL_E_END at the end or where
 * the rest is no whole record.
 */
must_check int spool_parse(const uint8_t *data, size_t len, size_t *offset,
			   const uint8_t **ret_data, size_t *ret_len);
