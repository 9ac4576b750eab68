#include "base/base.h"
#include "base/hmap.h"
#include "unit.h"

static void a_buffer_grows_to_its_maximum_and_not_beyond(void **state)
{
	auto_(buf_fini) struct buf buf = BUF_MAX(10);

	(void)state;
	buf_adds(&buf, "12345");
	buf_addf(&buf, "%d", 67890);
	assert_string_equal(buf.data, "1234567890");
	assert_false(buf.failed);
	buf_addc(&buf, 'x');
	assert_true(buf.failed);
	assert_int_equal(buf.len, 10);
	buf_reset(&buf);
	assert_false(buf.failed);
	buf_adds(&buf, "again");
	assert_string_equal(buf.data, "again");
}

static void a_format_that_does_not_fit_leaves_what_was_there(void **state)
{
	auto_(buf_fini) struct buf buf = BUF_MAX(100);

	(void)state;
	buf_adds(&buf, "head");
	buf_addf(&buf, "%0200d", 1);
	assert_true(buf.failed);
	assert_string_equal(buf.data, "head");
	buf_addf(&buf, "%d", 1); /* a failed buffer stays failed */
	assert_string_equal(buf.data, "head");
}

static void formats_of_every_length_come_out_whole(void **state)
{
	(void)state;
	for (int width = 1; width < 300; width++) {
		auto_(buf_fini) struct buf buf = BUF_MAX(300);

		buf_adds(&buf, ">");
		buf_addf(&buf, "%0*d", width, 7);
		assert_false(buf.failed);
		assert_int_equal(buf.len, width + 1);
		assert_int_equal(strlen(buf.data), width + 1);
		assert_int_equal(buf.data[width], '7');
	}
}

static void an_absurd_length_fails_instead_of_wrapping(void **state)
{
	auto_(buf_fini) struct buf buf = BUF_MAX(100);

	(void)state;
	buf_adds(&buf, "abc");
	buf_add(&buf, "x", SIZE_MAX - 1);
	assert_true(buf.failed);
}

static void copies_are_cut_and_terminated(void **state)
{
	char dst[4] = "zzz";

	(void)state;
	assert_true(str_copy(dst, sizeof(dst), "abc"));
	assert_string_equal(dst, "abc");
	assert_false(str_copy(dst, sizeof(dst), "abcd"));
	assert_string_equal(dst, "abc");
	assert_true(str_copy(dst, sizeof(dst), NULL));
	assert_string_equal(dst, "");
	assert_false(str_copy(dst, 0, "x"));
}

static void numbers_are_whole_strings_within_a_range(void **state)
{
	int64_t n = 5;

	(void)state;
	assert_true(str_to_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &n));
	assert_true(n == INT64_MIN);
	assert_true(str_to_i64("65535", 1, 65535, &n));
	assert_int_equal(n, 65535);
	assert_false(str_to_i64("65536", 1, 65535, &n));
	assert_false(str_to_i64("0", 1, 65535, &n));
	assert_false(str_to_i64("9223372036854775808", INT64_MIN, INT64_MAX, &n));
	assert_false(str_to_i64("", 0, 10, &n));
	assert_false(str_to_i64(" 1", 0, 10, &n));
	assert_false(str_to_i64("1 ", 0, 10, &n));
	assert_false(str_to_i64("+1", 0, 10, &n));
	assert_false(str_to_i64("0x1", 0, 10, &n));
	assert_false(str_to_i64("-", -5, 10, &n));
	assert_false(str_to_i64(NULL, 0, 10, &n));
	assert_int_equal(n, 65535);
}

static void only_well_formed_text_without_controls_is_clean(void **state)
{
	static const char *const good[] = { "", "plain", "Grüße", "日本語", "😀", "a b~" };
	static const char *const bad[] = {
		"\r\nVia: x", "\x7f",	      "\x1b[31m",	  "\xc2\x85",
		"\xc0\xaf",   "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
		"\x80",	      "\xff",	      "\xf0\x80\x80\x80", "a\tb",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(good); i++)
		assert_true(str_is_clean_utf8(good[i], strlen(good[i])));
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(str_is_clean_utf8(bad[i], strlen(bad[i])));
	assert_false(str_is_clean_utf8("a\0b", 3));
	assert_false(str_is_clean_utf8("\xe2\x82\xac", 2)); /* cut in the middle */
}

static void arenas_give_aligned_zeroed_memory_of_any_size(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (size_t size = 0; size < 10000; size += 37) {
			char *mem = arena_alloc(arena, size);

			assert_int_equal((uintptr_t)mem % 16, 0);
			for (size_t i = 0; i < size; i++)
				assert_int_equal(mem[i], 0);
			memset(mem, 0xa5, size);
		}
		assert_string_equal(arena_printf(arena, "%s-%d", "n", 7), "n-7");
		assert_string_equal(arena_strndup(arena, "abcdef", 3), "abc");
		assert_string_equal(arena_strndup(arena, "ab", 30), "ab");
		assert_null(arena_strdup(arena, NULL));
		arena_reset(arena);
	}
}

static char order[8];

static void note(void *arg)
{
	strcat(order, (const char *)arg);
}

static void deferred_calls_run_latest_first_and_once(void **state)
{
	struct arena *arena = arena_new();

	(void)state;
	order[0] = '\0';
	arena_defer(arena, note, (char[]){ "1" });
	arena_defer(arena, note, (char[]){ "2" });
	arena_reset(arena);
	assert_string_equal(order, "21");
	arena_defer(arena, note, (char[]){ "3" });
	arena_free(arena);
	assert_string_equal(order, "213");
}

struct entry {
	struct hnode node;
	unsigned key;
};

static struct entry *entry_find(const struct hmap *map, uint64_t hash, unsigned key)
{
	for (struct hnode *n = hmap_first(map, hash); n; n = hmap_same(n)) {
		struct entry *entry = container_of_(n, struct entry, node);

		if (entry->key == key)
			return entry;
	}
	return NULL;
}

static void a_map_finds_what_it_holds_though_hashes_clash(void **state)
{
	enum { N = 5000 };
	auto_(free) struct entry *entries = xzalloc_array(N, sizeof(*entries));
	struct hmap map = { 0 };
	size_t cursor = 0, seen = 0;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		entries[i].key = i;
		hmap_add(&map, &entries[i].node,
			 hkey_bytes(&(unsigned){ i / 2 }, sizeof(unsigned)));
	}
	for (unsigned i = 0; i < N; i += 3)
		hmap_del(&map, &entries[i].node);
	for (unsigned i = 0; i < N; i++) {
		uint64_t hash = hkey_bytes(&(unsigned){ i / 2 }, sizeof(unsigned));

		assert_ptr_equal(entry_find(&map, hash, i), i % 3 ? &entries[i] : NULL);
	}
	for (struct hnode *n = hmap_iter(&map, &cursor, NULL); n; n = hmap_iter(&map, &cursor, n))
		seen++;
	assert_int_equal(seen, map.count);
	assert_int_equal(seen, N - (N + 2) / 3);
	hmap_fini(&map);
}

static void text_keys_may_ignore_case(void **state)
{
	char lower[400], upper[400];

	(void)state;
	memset(lower, 'q', sizeof(lower) - 1);
	memset(upper, 'Q', sizeof(upper) - 1);
	lower[399] = upper[399] = '\0';
	assert_true(hkey_text_nocase(lower) == hkey_text_nocase(upper));
	upper[398] = 'R';
	assert_false(hkey_text_nocase(lower) == hkey_text_nocase(upper));
	assert_false(hkey_text("a") == hkey_text("A"));
	assert_true(hkey_text_nocase("z9b4bK") == hkey_text_nocase("Z9B4bk"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_grows_to_its_maximum_and_not_beyond),
		cmocka_unit_test(a_format_that_does_not_fit_leaves_what_was_there),
		cmocka_unit_test(formats_of_every_length_come_out_whole),
		cmocka_unit_test(an_absurd_length_fails_instead_of_wrapping),
		cmocka_unit_test(copies_are_cut_and_terminated),
		cmocka_unit_test(numbers_are_whole_strings_within_a_range),
		cmocka_unit_test(only_well_formed_text_without_controls_is_clean),
		cmocka_unit_test(arenas_give_aligned_zeroed_memory_of_any_size),
		cmocka_unit_test(deferred_calls_run_latest_first_and_once),
		cmocka_unit_test(a_map_finds_what_it_holds_though_hashes_clash),
		cmocka_unit_test(text_keys_may_ignore_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
