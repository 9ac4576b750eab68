/* The API on a real database in a temporary directory, with a fake call loop, asked over real sockets */
#pragma once

#include "api/api.h"
#include "fake_loop.h"
#include "store/store.h"

#include <jansson.h>

#define PASSWORD "a long enough password"

struct rig {
	char dir[64];
	char *url;
	struct seal *seal;
	struct event_bus *bus;
	struct fake_loop *loop;
	struct api *api;
	unsigned port;
};

struct rig *rig_new(void);
struct rig *rig_free(struct rig *rig);
/* cmocka's: one rig for all the tests of a file. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* An answer. */
struct got {
	int status;
	char head[4096];
	json_t *json; /* NULL when the body is none */
	char *text;
};
/* `token` and `body` may be NULL. `extra`: further header lines with their ends, or NULL. Each on a connection of its own. */
void ask(const struct rig *rig, const char *method, const char *path, const char *token,
	 const char *extra, const char *body, struct got *ret);
void got_fini(struct got *got);
#define auto_got __attribute__((cleanup(got_fini))) struct got

/* A string member of the answer, "" when it is not there. Dots go down: "tenant.id". */
const char *got_str(const struct got *got, const char *path);

struct person {
	char email[64], access[2048], refresh[128], id[40], tenant[40];
};
/* A new tenant with its admin. */
void sign_up(const struct rig *rig, struct person *ret);
void log_in(const struct rig *rig, const char *email, const char *password, struct person *ret);
/* A colleague of `admin`, logged in. */
void add_user(const struct rig *rig, const struct person *admin, const char *role,
	      struct person *ret);
/* Return: the id, in `ret`. */
void add_profile(const struct rig *rig, const struct person *person, const char *username,
		 char ret[static 40]);
