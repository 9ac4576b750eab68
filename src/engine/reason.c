#include "engine/reason.h"

#include "base/mem.h"

/* What we say. A full profile answers 486, never 503: a provider would take us for broken. */
static const struct {
	int code, q850;
} said[] = {
	[END_NONE] = { 480, 0 },	  [END_COMPLETED] = { 200, 16 },
	[END_BUSY] = { 486, 17 },	  [END_NO_ANSWER] = { 480, 19 },
	[END_CANCELED] = { 487, 16 },	  [END_DECLINED] = { 603, 21 },
	[END_NOT_FOUND] = { 404, 1 },	  [END_UNAVAILABLE] = { 480, 20 },
	[END_MEDIA_FAILED] = { 488, 88 }, [END_AUTH_FAILED] = { 403, 57 },
	[END_TRUNK_FAILED] = { 503, 38 }, [END_TIMEOUT] = { 408, 102 },
	[END_INTERRUPTED] = { 500, 41 },
};

/* What a code means, with its cause from RFC 3398 section 7.2.4.1 where that has one. Sorted by code. */
static const struct code_row {
	int code, q850;
	enum end_reason reason;
	const char *phrase;
} codes[] = {
	{ 400, 127, END_TRUNK_FAILED, "Bad Request" },
	{ 401, 57, END_AUTH_FAILED, "Unauthorized" },
	{ 402, 21, END_TRUNK_FAILED, "Payment Required" },
	{ 403, 57, END_AUTH_FAILED, "Forbidden" },
	{ 404, 1, END_NOT_FOUND, "Not Found" },
	{ 405, 79, END_TRUNK_FAILED, "Method Not Allowed" },
	{ 406, 79, END_MEDIA_FAILED, "Not Acceptable" },
	{ 407, 57, END_AUTH_FAILED, "Proxy Authentication Required" },
	{ 408, 102, END_NO_ANSWER, "Request Timeout" },
	{ 410, 22, END_NOT_FOUND, "Gone" },
	{ 413, 127, END_TRUNK_FAILED, "Request Entity Too Large" },
	{ 414, 127, END_TRUNK_FAILED, "Request-URI Too Long" },
	{ 415, 79, END_MEDIA_FAILED, "Unsupported Media Type" },
	{ 420, 127, END_TRUNK_FAILED, "Bad Extension" },
	{ 480, 18, END_UNAVAILABLE, "Temporarily Unavailable" },
	{ 481, 41, END_TRUNK_FAILED, "Call Does Not Exist" },
	{ 482, 25, END_TRUNK_FAILED, "Loop Detected" },
	{ 483, 25, END_TRUNK_FAILED, "Too Many Hops" },
	{ 484, 28, END_NOT_FOUND, "Address Incomplete" },
	{ 485, 1, END_NOT_FOUND, "Ambiguous" },
	{ 486, 17, END_BUSY, "Busy Here" },
	{ 487, 16, END_CANCELED, "Request Terminated" },
	{ 488, 88, END_MEDIA_FAILED, "Not Acceptable Here" },
	{ 500, 41, END_TRUNK_FAILED, "Server Internal Error" },
	{ 501, 79, END_TRUNK_FAILED, "Not Implemented" },
	{ 502, 38, END_TRUNK_FAILED, "Bad Gateway" },
	{ 503, 41, END_TRUNK_FAILED, "Service Unavailable" },
	{ 504, 102, END_TRUNK_FAILED, "Server Time-out" },
	{ 600, 17, END_BUSY, "Busy Everywhere" },
	{ 603, 21, END_DECLINED, "Decline" },
	{ 604, 1, END_NOT_FOUND, "Does Not Exist Anywhere" },
	{ 606, 88, END_MEDIA_FAILED, "Not Acceptable" },
};

static const struct code_row *code_find(int code)
{
	size_t low = 0, high = ARRAY_LEN(codes);

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (codes[mid].code == code)
			return &codes[mid];
		if (codes[mid].code < code)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

int reason_code(enum end_reason reason)
{
	return said[reason].code;
}

int reason_q850(enum end_reason reason)
{
	return said[reason].q850;
}

const char *reason_phrase(int code)
{
	const struct code_row *row = code_find(code);

	return row ? row->phrase : code < 300 ? "OK" : "Failed";
}

enum end_reason reason_from_code(int code)
{
	const struct code_row *row = code_find(code);

	if (row)
		return row->reason;
	/* An unknown code counts as its class's x00 (RFC 3261 8.1.3.2). */
	return code >= 600 ? END_DECLINED : END_TRUNK_FAILED;
}

int reason_code_q850(int code)
{
	const struct code_row *row = code_find(code);

	return row ? row->q850 : code >= 600 ? 21 : 127;
}

enum end_reason reason_from_q850(int cause)
{
	switch (cause) {
	case 1:
	case 2:
	case 3:
	case 22:
	case 28:
		return END_NOT_FOUND;
	case 16:
		return END_COMPLETED;
	case 17:
		return END_BUSY;
	case 18:
	case 19:
		return END_NO_ANSWER;
	case 20:
	case 27:
		return END_UNAVAILABLE;
	case 21:
		return END_DECLINED;
	case 34:
	case 38:
	case 41:
	case 42:
	case 44:
	case 47:
		return END_TRUNK_FAILED;
	case 50:
	case 52:
	case 57:
		return END_AUTH_FAILED;
	case 65:
	case 79:
	case 88:
		return END_MEDIA_FAILED;
	case 102:
		return END_TIMEOUT;
	default:
		return END_NONE;
	}
}
