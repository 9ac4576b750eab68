/* store/profile_check.h - what may stand in a profile's members: field checks (base/field.h) */
#pragma once

#define ROOM_NAME_MAX 64 /* bytes */

/* A host name (RFC 1123, underscores allowed), an IPv4 address, or an IPv6 one with or without brackets. */
const char *profile_check_host(const void *value);
/* HOST, HOST:PORT or a sip: URI of them with parameters. */
const char *profile_check_proxy(const void *value);
/* What a SIP URI's user part may be without escaping. */
const char *profile_check_username(const void *value);
/* What a quoted string of a header may be without escaping. */
const char *profile_check_auth_username(const void *value);
/* A telephone number or extension as SIP accounts use them. */
const char *profile_check_number(const void *value);
/* A conference room's name: what its address at the API can hold. */
const char *profile_check_room(const void *value);
const char *profile_check_codecs(const void *value);
