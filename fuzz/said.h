/* fuzz/said.h - what a target's far end reads in the messages it got */
#pragma once

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The value of a header line, empty without one. Eight of them may be in use at once. */
static inline const char *header(const char *text, const char *name)
{
	static char values[8][1024];
	static unsigned turn;
	char *value = values[turn++ % 8];
	size_t len = strlen(name);

	value[0] = 0;
	for (const char *line = strstr(text, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
		if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':') {
			snprintf(value, 1024, "%.*s", (int)strcspn(line + 4 + len, "\r"),
				 line + 4 + len);
			break;
		}
	}
	return value;
}
