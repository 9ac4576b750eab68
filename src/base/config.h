/* base/config.h - the daemon's settings: one schema table
 *
 * Each row names section, key, type, default, range, whether it may change on SIGHUP, and a sentence. The
 * table reads the file (INI), the environment (JACKFIELD_<SECTION>_<KEY>) and the command line's
 * overrides, in rising order of strength; checks them all; and prints itself as documentation.
 */
#pragma once

#include "base/buf.h"

enum config_type { CONFIG_STR, CONFIG_INT, CONFIG_BOOL, CONFIG_ENUM, CONFIG_ADDR /* host:port */ };

struct config_item {
	const char *section, *key;
	enum config_type type;
	const char *dflt;
	int64_t min, max;
	const char *const *names; /* CONFIG_ENUM */
	bool live;		  /* SIGHUP applies it */
	bool secret;		  /* printed as *** */
	const char *help;
};

/* A set of values for a table. Written while starting and on SIGHUP by the main thread; each other thread is
 * given what it needs by value.
 */
struct config;

/* `schema` ends with a NULL section and outlives the config. All defaults. */
struct config *config_new(const struct config_item *schema);
struct config *config_free(struct config *config);
DEFINE_CLEANUP(struct config *, config_free)

/* Each adds a line a problem to `problems` ("jackfield.conf:12: [sip] port: 70000 is not in 1..65535") and
 * goes on, so that one run names every bad key. Return: number of problems added.
 */
unsigned config_read_file(struct config *config, const char *path, struct buf *problems);
unsigned config_read_env(struct config *config, char *const *env, struct buf *problems);
unsigned config_override(struct config *config, const char *section, const char *key, const char *value,
			 struct buf *problems);

/* Asking for a key that is not in the table, or with the wrong type, is our bug. */
const char *config_str(const struct config *config, const char *section, const char *key);
int64_t config_int(const struct config *config, const char *section, const char *key);
bool config_bool(const struct config *config, const char *section, const char *key);
int config_enum(const struct config *config, const char *section, const char *key);

/* The commented INI file of all keys with their current values. */
void config_print(const struct config *config, struct buf *out);
