/* fuzz/range.c - Range, If-Range and the lists of entity tags, of a file of any size
 *
 * The first two bytes are the file's size; then the header's text.
 */
#include "fuzz/target.h"
#include "http/private.h"

#define ETAG "abc"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t length, at = UINT64_MAX, len = UINT64_MAX;
	auto_(free) char *text = NULL;

	if (size < 2)
		return 0;
	length = (uint64_t)data[0] << 8 | data[1];
	text = xstrndup((const char *)data + 2, size - 2);
	switch (file_range_parse(text, length, &at, &len)) {
	case RANGE_GOOD:
		if (!len || at >= length || len > length - at)
			abort();
		break;
	case RANGE_BEYOND:
	case RANGE_NONE:
		if (at != UINT64_MAX || len != UINT64_MAX)
			abort();
		break;
	}
	/* What is the same strongly is the same weakly. */
	if (file_etag_listed(text, ETAG, false) && !file_etag_listed(text, ETAG, true))
		abort();
	if (file_etag_listed(text, ETAG, true) && text[0] != '*' && !strstr(text, "\"" ETAG "\"") &&
	    !strchr(text, '*'))
		abort();
	return 0;
}
