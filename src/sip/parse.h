/* sip/parse.h - URIs, addresses, parameters and header values out of text
 *
 * One pass each over a slice, by a table of character classes; nothing is copied or allocated, results are slices
 * of the text. They fill libre's structs and stand for libre's decoders, which run a general pattern matcher over
 * each value and try it anew from every character at which it fails. Any thread.
 *
 * Return of the must_check ones: 0, or PARSE_E_BAD with *ret untouched.
 */
#pragma once

#include "base/base.h"

#include <re/re.h>

enum {
	PARSE_E_BAD = 1,
};

/* Without the white space around it, folds included. */
struct pl parse_trimmed(struct pl text);
/* "sip:user:password@host:port;params?headers", and tel: with the number as host. The host comes without the
 * brackets of an IPv6 address and af tells whether it is one; params begin with ';', headers with '?'.
 */
must_check int parse_uri(const struct pl *text, struct uri *ret);
/* Host without brackets; an empty port when there is none. Nothing may follow. */
must_check int parse_hostport(const struct pl *text, struct pl *ret_host, struct pl *ret_port);
/* name-addr or addr-spec (RFC 3261 25.1): display name without its quotes but with its escapes; params are the
 * header's. Outside of brackets everything from the first ';' is the header's (20.10).
 */
must_check int parse_addr(const struct pl *text, struct sip_addr *ret);
/* One value of a Via, with a branch. */
must_check int parse_via(const struct pl *text, struct sip_via *ret);
must_check int parse_cseq(const struct pl *text, struct sip_cseq *ret);
must_check int parse_content_type(const struct pl *text, struct msg_ctype *ret);

/* The value of ";name=value", without quotes, wherever it stands in `text` but inside of a quoted string. Return: false
 * when there is none, or it is empty.
 */
bool parse_param(const struct pl *text, const char *name, struct pl *ret);
/* Is ";name" there, with a value or without? */
bool parse_has_param(const struct pl *text, const char *name);
/* The value of "?name=value" or "&name=value" (RFC 3261 19.1.1, headers of a URI), with its escapes. */
bool parse_uri_header(const struct pl *headers, const char *name, struct pl *ret);
