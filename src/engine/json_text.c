#include "engine/json_text.h"

/* str_is_clean_utf8() lets no control character through, so two characters are all that needs escaping. */
void json_text_str(struct buf *out, const char *text)
{
	buf_addc(out, '"');
	if (text && str_is_clean_utf8(text, strlen(text)))
		for (; *text; text++) {
			if (*text == '"' || *text == '\\')
				buf_addc(out, '\\');
			buf_addc(out, *text);
		}
	buf_addc(out, '"');
}
