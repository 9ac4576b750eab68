/* engine/json_text.h - a little JSON as text, for files that see libre's headers (which clash with jansson's) */
#pragma once

#include "base/buf.h"

/* A string with its quotes. What is not clean UTF-8 becomes "". */
void json_text_str(struct buf *out, const char *text);
