/* daemon/settings.h - the one table of everything an operator can set */
#pragma once

#include "base/config.h"

extern const struct config_item settings[];

/* What the command line said; NULL: nothing. */
struct settings_flags {
	const char *config_file, *data, *http, *sip;
};

/* Reads file, environment and flags into a new config, in rising order of strength, and checks what one key cannot
 * know of another. Return: 0 with *ret_config, or the number of problems, which are lines in `problems`.
 */
must_check unsigned settings_read(const struct settings_flags *flags, struct buf *problems,
				  struct config **ret_config);

/* Where the data are, and what the database's address is when none is set. */
const char *settings_data_dir(const struct config *config);
/* Where recordings are kept. Return: malloc. */
char *settings_recordings_dir(const struct config *config);
void settings_db_url(const struct config *config, struct buf *out);
/* `[security] allow_private`, with `auto` resolved. */
bool settings_allow_private(const struct config *config);
void settings_log(const struct config *config);
