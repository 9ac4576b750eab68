/* fuzz/spool.c - the journal's spool file: any bytes on the disk, and entries that were read once */
#include "event/entry.h"
#include "event/spool.h"
#include "fuzz/target.h"

#include <unistd.h>

/* What was understood is written and understood again, the same. */
static void round_trip(const struct entry *entry, struct arena *arena)
{
	auto_(buf_fini) struct buf first = BUF_MAX(4 << 20);
	auto_(buf_fini) struct buf second = BUF_MAX(4 << 20);
	struct entry again;

	entry_encode(entry, &first);
	if (first.failed || !entry_decode((const uint8_t *)first.data, first.len, arena, &again))
		abort();
	entry_encode(&again, &second);
	if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
		abort();
}

static void read_entry(const uint8_t *data, size_t size)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct entry entry;

	if (entry_decode(data, size, arena, &entry))
		round_trip(&entry, arena);
}

/* The file as a start finds it: opened, cut to what is whole, read, and opened again without a further cut. */
static void read_file(const uint8_t *data, size_t size)
{
	char path[] = "/tmp/fuzz-spool-XXXXXX";
	struct spool *spool = NULL;
	uint64_t cut = 0;
	const uint8_t *record;
	size_t len, seen = 0;
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
	if (spool_open(path, 1 << 30, &spool, &cut))
		abort();
	while (spool_read(spool, &record, &len) == 0)
		seen += len + SPOOL_RECORD_HEAD;
	if (cut > size || (seen && seen + SPOOL_HEAD + cut != size))
		abort();
	spool_close(spool);
	if (spool_open(path, 1 << 30, &spool, &cut) || cut)
		abort();
	spool_close(spool);
	unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *record;
	size_t offset = 0, len;

	/* The first byte says what the rest is: records, one entry without its checksum, or a whole file. */
	if (size < 1)
		return 0;
	if (data[0] == 'e')
		read_entry(data + 1, size - 1);
	else if (data[0] == 'f')
		read_file(data + 1, size - 1);
	else
		while (spool_parse(data, size, &offset, &record, &len) == 0)
			read_entry(record, len);
	return 0;
}
