/* tests/unit/store/kit.h - a migrated database of either engine with one tenant and its admin */
#pragma once

#include "fixture.h"
#include "store/store.h"

#define NOW 1700000000000000ll

struct base {
	struct db *db;
	struct arena *arena;
	struct seal *seal;
	struct tenant tenant;
	struct user admin;
};

/* On cmocka's state, a struct fixture. */
struct base *base_new(void **state);
struct base *base_free(struct base *base);
DEFINE_CLEANUP(struct base *, base_free)

/* One more tenant with its admin. */
void sign_up(struct base *base, const char *email, struct tenant *tenant, struct user *user);
/* A colleague of base's admin. `extension` may be NULL. Return: as user_insert(). */
int add_user(struct base *base, const char *email, const char *extension, struct user *ret);
/* The admin's, not yet inserted. */
struct sip_profile new_profile(struct base *base, const char *server, const char *username);
