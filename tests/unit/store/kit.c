#include "kit.h"

struct base *base_free(struct base *base)
{
	db_close(base->db);
	seal_free(base->seal);
	arena_free(base->arena);
	free(base);
	return NULL;
}

void sign_up(struct base *base, const char *email, struct tenant *tenant, struct user *user)
{
	*tenant = (struct tenant){ .name = "Acme" };
	*user = (struct user)USER_DEFAULTS;
	user->email = email;
	user->role = USER_ADMIN;
	user->password_hash = "hash";
	assert_int_equal(user_sign_up(base->db, tenant, user, base->arena), 0);
}

struct base *base_new(void **state)
{
	static const uint8_t key[32] = { 1, 2, 3 };
	struct base *base = xzalloc(sizeof(*base));

	base->db = fixture_open(*state);
	base->arena = arena_new();
	base->seal = seal_new(key);
	assert_int_equal(store_migrate(base->db), 0);
	sign_up(base, "Admin@Example.com", &base->tenant, &base->admin);
	return base;
}

int add_user(struct base *base, const char *email, const char *extension, struct user *ret)
{
	*ret = (struct user)USER_DEFAULTS;
	ret->tenant_id = base->tenant.id;
	ret->email = email;
	ret->extension = extension;
	return user_insert(base->db, ret, base->arena);
}

struct sip_profile new_profile(struct base *base, const char *server, const char *username)
{
	struct sip_profile profile = profile_defaults;

	profile.tenant_id = base->tenant.id;
	profile.owner = base->admin.id;
	profile.server = server;
	profile.username = username;
	profile.password = "pa55word";
	return profile;
}
