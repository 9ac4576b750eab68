#include "base/base.h"
#include "event/entry.h"
#include "event/spool.h"
#include "fixture.h"
#include "make.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

static char *new_path(void)
{
	static unsigned number;

	return xasprintf("%s/spool%u", fixture_dir(), ++number);
}

static struct spool *open_spool(const char *path, uint64_t max, uint64_t *ret_cut)
{
	struct spool *spool;

	assert_int_equal(spool_open(path, max, &spool, ret_cut), 0);
	return spool;
}

static int append(struct spool *spool, unsigned first, unsigned count, size_t size)
{
	auto_(buf_fini) struct buf framed = BUF_MAX(1 << 28);
	auto_(free) uint8_t *data = xzalloc(size);

	for (unsigned i = first; i < first + count; i++) {
		memset(data, (int)i, size);
		memcpy(data, &i, sizeof(i));
		spool_frame(&framed, data, size);
	}
	return spool_append(spool, &framed);
}

static void expect(struct spool *spool, unsigned first, unsigned count, size_t size)
{
	const uint8_t *data;
	size_t len;

	for (unsigned i = first; i < first + count; i++) {
		assert_int_equal(spool_read(spool, &data, &len), 0);
		assert_int_equal(len, size);
		assert_memory_equal(data, &i, sizeof(i));
		assert_int_equal(data[len - 1], i & 0xff);
	}
}

static void expect_end(struct spool *spool)
{
	const uint8_t *data;
	size_t len;

	assert_int_equal(spool_read(spool, &data, &len), SPOOL_E_END);
}

static void records_come_back_in_order_over_openings(void **state)
{
	auto_(free) char *path = new_path();
	struct spool *spool;
	struct stat st;
	uint64_t cut;

	(void)state;
	spool = open_spool(path, 1 << 30, &cut);
	expect_end(spool);
	assert_int_equal(access(path, F_OK), -1); /* not before it is needed */
	assert_int_equal(append(spool, 0, 100, 1000), 0);
	assert_int_equal(append(spool, 100, 10, SPOOL_RECORD_MAX), 0);
	expect(spool, 0, 50, 1000);
	assert_int_equal(append(spool, 110, 5, 10), 0); /* behind, while being read */
	spool_close(spool);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	spool = open_spool(path, 1 << 30, &cut);
	assert_int_equal(cut, 0);
	expect(spool, 0, 100, 1000);
	spool_mark(spool);
	expect(spool, 100, 10, SPOOL_RECORD_MAX);
	spool_rewind(spool);
	expect(spool, 100, 10, SPOOL_RECORD_MAX);
	expect(spool, 110, 5, 10);
	expect_end(spool);
	spool_mark(spool);
	assert_int_equal(spool_left(spool), 0);
	assert_int_equal(spool_clear(spool), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(append(spool, 7, 3, 20), 0);
	expect(spool, 7, 3, 20);
	spool_close(spool);
}

static void any_torn_end_is_cut_and_the_rest_is_whole(void **state)
{
	auto_(free) char *path = new_path();
	struct spool *spool;
	uint64_t cut;

	(void)state;
	for (unsigned torn = 1; torn < 108; torn++) {
		unlink(path);
		spool = open_spool(path, 1 << 30, &cut);
		assert_int_equal(append(spool, 0, 3, 100), 0);
		spool_close(spool);
		assert_int_equal(truncate(path, SPOOL_HEAD + 3 * 108 - torn), 0);
		spool = open_spool(path, 1 << 30, &cut);
		assert_int_equal(cut, 108 - torn);
		assert_int_equal(append(spool, 2, 1, 100), 0);
		expect(spool, 0, 3, 100);
		expect_end(spool);
		spool_close(spool);
	}
}

static void a_changed_byte_ends_the_reading_before_it(void **state)
{
	auto_(free) char *path = new_path();
	struct spool *spool;
	uint64_t cut;
	int fd;

	(void)state;
	spool = open_spool(path, 1 << 30, &cut);
	assert_int_equal(append(spool, 0, 3, 100), 0);
	spool_close(spool);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "!", 1, SPOOL_HEAD + 108 + 50), 1);
	close(fd);
	spool = open_spool(path, 1 << 30, &cut);
	assert_int_equal(cut, 2 * 108);
	expect(spool, 0, 1, 100);
	expect_end(spool);
	spool_close(spool);
}

static void a_file_that_is_no_spool_is_emptied(void **state)
{
	auto_(free) char *path = new_path();
	struct spool *spool;
	uint64_t cut;
	FILE *file = fopen(path, "w");

	(void)state;
	fputs("hello, this is somebody's diary", file);
	fclose(file);
	spool = open_spool(path, 1 << 30, &cut);
	assert_int_equal(cut, 31);
	assert_int_equal(append(spool, 0, 1, 10), 0);
	expect(spool, 0, 1, 10);
	spool_close(spool);
}

static void the_configured_size_is_kept(void **state)
{
	auto_(free) char *path = new_path();
	struct spool *spool;
	uint64_t cut;

	(void)state;
	spool = open_spool(path, SPOOL_HEAD + 2 * 108, &cut);
	assert_int_equal(append(spool, 0, 3, 100), SPOOL_E_FULL);
	assert_int_equal(append(spool, 0, 2, 100), 0);
	assert_int_equal(append(spool, 2, 1, 1 + sizeof(unsigned)), SPOOL_E_FULL);
	expect(spool, 0, 2, 100);
	expect_end(spool);
	spool_close(spool);
}

/* A disk that takes half a record: RLIMIT_FSIZE does as ENOSPC would. */
static void a_full_disk_leaves_whole_records(void **state)
{
	auto_(free) char *path = new_path();
	struct rlimit was, small;
	struct spool *spool;
	uint64_t cut;

	(void)state;
	spool = open_spool(path, 1 << 30, &cut);
	assert_int_equal(append(spool, 0, 2, 100), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = was;
	small.rlim_cur = SPOOL_HEAD + 2 * 108 + 50;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_true(append(spool, 2, 1, 100) < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(append(spool, 2, 1, 100), 0);
	expect(spool, 0, 3, 100);
	spool_close(spool);
	spool = open_spool(path, 1 << 30, &cut);
	assert_int_equal(cut, 0);
	expect(spool, 0, 3, 100);
	spool_close(spool);
}

static void encoded(struct buf *out)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct event *event = make_event(id_new(), id_new(), 3, EVENT_CALL_DTMF, CALL_ANSWERED);
	struct entry entry;

	event->detail = xstrdup("{\"digits\":\"12#\"}");
	event->seq = 77;
	entry_of_event(event, arena, &entry);
	entry_encode(&entry, out);
	event_unref(event);
}

static void an_entry_is_read_as_it_was_written(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();
	auto_(buf_fini) struct buf first = BUF_MAX(ENTRY_MAX);
	auto_(buf_fini) struct buf second = BUF_MAX(ENTRY_MAX);
	struct entry entry;

	(void)state;
	encoded(&first);
	assert_true(entry_decode((const uint8_t *)first.data, first.len, arena, &entry));
	assert_int_equal(entry.seq, 77);
	assert_int_equal(entry.leg_count, 2);
	assert_string_equal(entry.event.type, "call.dtmf");
	assert_string_equal(json_string_value(json_object_get(entry.event.detail, "digits")),
			    "12#");
	assert_string_equal(entry.call.from, "+4930123");
	entry_encode(&entry, &second);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.data, second.data, first.len);
}

static void a_cut_or_changed_entry_is_refused_or_still_whole(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();
	auto_(buf_fini) struct buf bytes = BUF_MAX(ENTRY_MAX);
	struct entry entry;

	(void)state;
	encoded(&bytes);
	for (size_t len = 0; len < bytes.len; len++) {
		void *copy = xmemdup(bytes.data, len ? len : 1); /* ASan sees a step too far */

		assert_false(entry_decode(copy, len, arena, &entry));
		free(copy);
	}
	for (size_t i = 0; i < bytes.len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			bytes.data[i] = (char)(bytes.data[i] ^ (1 << bit));
			if (entry_decode((const uint8_t *)bytes.data, bytes.len, arena, &entry) &&
			    entry.has_call) {
				assert_non_null(entry.call.state);
				assert_false(id_is_none(entry.call.id));
			}
			bytes.data[i] = (char)(bytes.data[i] ^ (1 << bit));
		}
		arena_reset(arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_back_in_order_over_openings),
		cmocka_unit_test(any_torn_end_is_cut_and_the_rest_is_whole),
		cmocka_unit_test(a_changed_byte_ends_the_reading_before_it),
		cmocka_unit_test(a_file_that_is_no_spool_is_emptied),
		cmocka_unit_test(the_configured_size_is_kept),
		cmocka_unit_test(a_full_disk_leaves_whole_records),
		cmocka_unit_test(an_entry_is_read_as_it_was_written),
		cmocka_unit_test(a_cut_or_changed_entry_is_refused_or_still_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
