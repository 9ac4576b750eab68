/* event/view_text.h - texts of foreign peers on their way into JSON and the database, which take UTF-8 only */
#pragma once

#include <stdbool.h>

bool view_text_is_clean(const char *text);
/* Each byte that is not part of a well-formed character becomes '?'. */
void view_text_clean(char *text);
