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
	const char *env;	  /* a further name in the environment, or NULL */
	const char *help;
};
/* min, max: a number's range; a text's length in bytes (max 0: 1024). A text may be empty while min is 0, an
 * address if its default is.
 */

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
unsigned config_read_env(struct config *config, const char *const *env, struct buf *problems);
unsigned config_override(struct config *config, const char *section, const char *key,
			 const char *value, struct buf *problems);

/* Asking for a key that is not in the table, or with the wrong type, is our bug. */
const char *config_str(const struct config *config, const char *section, const char *key);
int64_t config_int(const struct config *config, const char *section, const char *key);
bool config_bool(const struct config *config, const char *section, const char *key);
int config_enum(const struct config *config, const char *section, const char *key);

struct config_addr {
	char host[256]; /* without brackets */
	uint16_t port;
};
/* Return: false when it is empty (only where the default is). */
must_check bool config_addr(const struct config *config, const char *section, const char *key,
			    struct config_addr *ret);

/* As it was written: "[::1]:5060". */
const char *config_addr_text(const struct config *config, const char *section, const char *key);

/* Two sets of one table (before and after SIGHUP): does a key say the same; which keys that need a restart differ;
 * taking over those that do not.
 */
must_check bool config_is_same(const struct config *a, const struct config *b, const char *section,
			       const char *key);
void config_each_fixed(const struct config *a, const struct config *b,
		       void (*each)(void *arg, const char *section, const char *key), void *arg);
void config_take_live(struct config *config, const struct config *from);

/* The commented INI file of all keys with their current values. */
void config_print(const struct config *config, struct buf *out);
