#include "fixture.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A migrated database with one tenant and its admin. */
struct base {
	struct db *db;
	struct arena *arena;
	struct seal *seal;
	struct tenant tenant;
	struct user admin;
};

static struct base *base_free(struct base *base)
{
	db_close(base->db);
	seal_free(base->seal);
	arena_free(base->arena);
	free(base);
	return NULL;
}
DEFINE_CLEANUP(struct base *, base_free)

static void sign_up(struct base *base, const char *email, struct tenant *tenant, struct user *user)
{
	*tenant = (struct tenant){ .name = "Acme" };
	*user = (struct user)USER_DEFAULTS;
	user->email = email;
	user->role = USER_ADMIN;
	user->password_hash = "hash";
	assert_int_equal(user_sign_up(base->db, tenant, user, base->arena), 0);
}

static struct base *base_new(void **state)
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

static int add_user(struct base *base, const char *email, const char *extension, struct user *ret)
{
	*ret = (struct user)USER_DEFAULTS;
	ret->tenant_id = base->tenant.id;
	ret->email = email;
	ret->extension = extension;
	return user_insert(base->db, ret, base->arena);
}

/* ---- tables agree with their statements ---- */

static void check_cols(const char *cols, const struct field *fields)
{
	char name[64];

	for (; fields->name; fields++) {
		size_t len = strcspn(cols, ",");

		if (fields->flags & FIELD_NO_DB)
			continue;
		if (*cols == '"')
			snprintf(name, sizeof(name), "%.*s", (int)len - 2, cols + 1);
		else
			snprintf(name, sizeof(name), "%.*s", (int)len, cols);
		assert_string_equal(name, fields->name);
		cols += len + strspn(cols + len, ", ");
	}
	assert_string_equal(cols, "");
}

static void columns_are_the_fields_in_order(void **state)
{
	(void)state;
	check_cols(TENANT_COLS, tenant_fields);
	check_cols(USER_COLS, user_fields);
	check_cols(USER_COLS, user_me_fields);
	check_cols(SESSION_COLS, session_fields);
	check_cols(PROFILE_COLS, profile_fields);
	check_cols(DEVICE_COLS, device_fields);
	check_cols(PROMPT_COLS, prompt_fields);
	check_cols(CALL_COLS, call_row_fields);
	check_cols(CALL_LEG_COLS, call_leg_fields);
	check_cols(CALL_EVENT_COLS, call_event_fields);
	check_cols(AUDIT_COLS, audit_fields);
	check_cols(ROOM_COLS, room_fields);
	check_cols(RECORDING_COLS, recording_fields);
}

/* ---- tenants and users ---- */

static void a_tenant_keeps_its_limits(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	const char *allowed[] = { "+49", "+43", NULL };
	struct tenant got;

	base->tenant.max_calls = 7;
	base->tenant.allowed = allowed;
	assert_int_equal(tenant_update(base->db, &base->tenant, base->arena), 0);
	assert_int_equal(tenant_get(base->db, base->arena, base->tenant.id, &got), 0);
	assert_int_equal(got.max_calls, 7);
	assert_string_equal(got.allowed[1], "+43");
	assert_null(got.blocked);
	assert_int_equal(tenant_get(base->db, base->arena, id_new(), &got), DB_E_NONE);
}

static void emails_are_one_over_all_tenants_in_any_case(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct tenant tenant = { .name = "Other" };
	struct user user = USER_DEFAULTS, got;

	user.email = "ADMIN@example.COM";
	assert_int_equal(user_sign_up(base->db, &tenant, &user, base->arena), USER_E_EMAIL);
	assert_int_equal(tenant_get(base->db, base->arena, tenant.id, &tenant), DB_E_NONE);
	assert_int_equal(user_by_email(base->db, base->arena, "aDMIN@example.com", &got), 0);
	assert_true(id_eq(got.id, base->admin.id));
	assert_int_equal(add_user(base, "admin@example.com", NULL, &user), USER_E_EMAIL);
}

static void extensions_count_up_around_chosen_ones(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct user a, b, c, d;

	assert_string_equal(base->admin.extension, "100");
	assert_int_equal(add_user(base, "a@x.y", "101", &a), 0);
	assert_int_equal(add_user(base, "b@x.y", NULL, &b), 0);
	assert_string_equal(b.extension, "102");
	assert_int_equal(add_user(base, "c@x.y", "102", &c), USER_E_EXTENSION);
	assert_int_equal(user_delete(base->db, base->tenant.id, b.id, ID_NONE), 0);
	assert_int_equal(add_user(base, "d@x.y", NULL, &d), 0);
	assert_string_equal(d.extension, "103");
	assert_int_equal(user_by_extension(base->db, base->arena, base->tenant.id, "103", &c), 0);
	assert_true(id_eq(c.id, d.id));
}

struct racer {
	void *fixture;
	struct id tenant;
	int number;
	pthread_t thread;
};

static void *race_users(void *arg)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct racer *racer = arg;
	auto_(db_close) struct db *db = fixture_open(racer->fixture);

	for (int i = 0; i < 10; i++) {
		struct user user = USER_DEFAULTS;

		user.tenant_id = racer->tenant;
		user.email = arena_printf(arena, "u%d-%d@x.y", racer->number, i);
		assert_int_equal(user_insert(db, &user, arena), 0);
	}
	return NULL;
}

static void extensions_are_given_once_when_many_sign_up_at_once(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct racer racers[4];
	int64_t n;

	for (int i = 0; i < 4; i++) {
		racers[i] = (struct racer){ *state, base->tenant.id, i, 0 };
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race_users, &racers[i]),
				 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(racers[i].thread, NULL);
	assert_int_equal(db_num(base->db, "SELECT count(DISTINCT extension) FROM app_user",
				DB_NO_ARGS, &n),
			 0);
	assert_int_equal(n, 41);
	assert_int_equal(
		db_num(base->db, "SELECT max(length(extension)) FROM app_user", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 3);
}

static void a_tenant_is_never_left_without_an_admin(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct user other, admin = base->admin;

	admin.role = USER_AGENT;
	assert_int_equal(user_update(base->db, &admin, base->arena), USER_E_LAST_ADMIN);
	assert_int_equal(user_delete(base->db, base->tenant.id, admin.id, ID_NONE),
			 USER_E_LAST_ADMIN);
	assert_int_equal(add_user(base, "o@x.y", NULL, &other), 0);
	other.role = USER_ADMIN;
	assert_int_equal(user_update(base->db, &other, base->arena), 0);
	assert_int_equal(user_update(base->db, &admin, base->arena), 0);
	assert_int_equal(user_delete(base->db, base->tenant.id, other.id, ID_NONE),
			 USER_E_LAST_ADMIN);
	assert_int_equal(user_delete(base->db, base->tenant.id, admin.id, ID_NONE), 0);
}

static void another_tenants_user_is_not_there(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct tenant tenant;
	struct user stranger, got;

	sign_up(base, "else@where.org", &tenant, &stranger);
	assert_int_equal(user_get(base->db, base->arena, base->tenant.id, stranger.id, &got),
			 DB_E_NONE);
	assert_int_equal(user_delete(base->db, base->tenant.id, stranger.id, ID_NONE), DB_E_NONE);
	stranger.tenant_id = base->tenant.id;
	assert_int_equal(user_update(base->db, &stranger, base->arena), DB_E_NONE);
	assert_int_equal(user_by_id(base->db, base->arena, stranger.id, &got), 0);
	assert_string_equal(got.extension, "100");
}

static void users_are_listed_by_filter(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct user_filter filter = { .role = -1, .page = { .ordering = "-extension" } };
	struct db_page_info info;
	struct user user, *rows;

	assert_int_equal(add_user(base, "anna@x.y", NULL, &user), 0);
	assert_int_equal(add_user(base, "bert@x.y", NULL, &user), 0);
	assert_int_equal(user_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 3);
	assert_string_equal(rows[0].email, "bert@x.y");
	filter.search = "ANNA";
	assert_int_equal(user_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 1);
	filter.search = NULL;
	filter.role = USER_ADMIN;
	assert_int_equal(user_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 1);
	assert_string_equal(rows[0].email, "admin@example.com");
}

static bool user_body_ok(const char *text)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct user user = USER_DEFAULTS;
	json_t *body = json_loads(text, 0, NULL);
	json_t *bad = field_from_json(user_fields, body, true, arena, &user);
	bool ok = !bad;

	assert_non_null(body);
	json_decref(bad);
	json_decref(body);
	return ok;
}

static void user_bodies_are_checked(void **state)
{
	(void)state;
	assert_true(user_body_ok(
		"{\"email\": \"a.b+c@example.co.uk\", \"time_zone\": \"Europe/Berlin\"}"));
	assert_false(user_body_ok("{\"email\": \"nobody\"}"));
	assert_false(user_body_ok("{\"email\": \"a b@c.d\"}"));
	assert_false(user_body_ok("{\"email\": \"a@b..c\"}"));
	assert_false(user_body_ok("{\"email\": \"a@b.c\\r\\nBcc: x@y.z\"}"));
	assert_false(user_body_ok("{\"extension\": \"12a\"}"));
	assert_false(user_body_ok("{\"role\": \"root\"}"));
	assert_false(user_body_ok("{\"time_zone\": \"../../etc/passwd\"}"));
	assert_false(user_body_ok("{\"time_zone\": \"Mars/Olympus\"}"));
	assert_false(user_body_ok("{\"password\": \"short\"}"));
}

/* ---- sessions ---- */

#define NOW 1700000000000000ll

static void begin(struct base *base, char token[static SESSION_TOKEN_SIZE], struct session *ret)
{
	*ret = (struct session){ .tenant_id = base->tenant.id,
				 .user_id = base->admin.id,
				 .client_addr = "192.0.2.1" };
	assert_int_equal(session_start(base->db, ret, NOW, token), 0);
}

static int rotate(struct base *base, const char *token, int64_t now,
		  char next[static SESSION_TOKEN_SIZE])
{
	struct session session;

	return session_rotate(base->db, base->arena, token, "192.0.2.2", "test", now, &session,
			      next);
}

static void a_refresh_token_works_once(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char first[SESSION_TOKEN_SIZE], second[SESSION_TOKEN_SIZE], third[SESSION_TOKEN_SIZE];
	struct session session;

	begin(base, first, &session);
	assert_int_equal(rotate(base, first, NOW + 1000000, second), 0);
	assert_string_not_equal(first, second);
	assert_int_equal(rotate(base, second, NOW + 60000000, third), 0);
	/* The first again, a minute after its use: stolen. Everybody of that login is out. */
	assert_int_equal(rotate(base, first, NOW + 61000000, second), SESSION_E_REUSED);
	assert_int_equal(rotate(base, third, NOW + 61000000, second), SESSION_E_UNKNOWN);
	assert_int_equal(rotate(base, "no such token", NOW, second), SESSION_E_UNKNOWN);
}

static void a_lost_answer_is_forgiven_for_ten_seconds(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char first[SESSION_TOKEN_SIZE], a[SESSION_TOKEN_SIZE], b[SESSION_TOKEN_SIZE],
		c[SESSION_TOKEN_SIZE];
	struct session session;

	begin(base, first, &session);
	assert_int_equal(rotate(base, first, NOW, a), 0);
	assert_int_equal(rotate(base, first, NOW + SESSION_GRACE_US, b), 0);
	assert_string_not_equal(a, b);
	assert_int_equal(rotate(base, a, NOW + 20000000, c), 0);
	assert_int_equal(rotate(base, b, NOW + 20000000, c), 0);
}

static void sessions_end_in_time_whatever_their_use(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char token[SESSION_TOKEN_SIZE], next[SESSION_TOKEN_SIZE];
	struct session session;
	int64_t now = NOW;
	int r = 0;

	begin(base, token, &session);
	assert_int_equal(rotate(base, token, NOW + SESSION_LIFE_US, next), SESSION_E_UNKNOWN);
	begin(base, token, &session);
	for (int i = 0; i < 12 && r == 0; i++) {
		now += SESSION_LIFE_US - 1000000;
		r = rotate(base, token, now, next);
		memcpy(token, next, sizeof(token));
	}
	assert_int_equal(r, SESSION_E_UNKNOWN);
	assert_true(now >= NOW + SESSION_FAMILY_US);
	assert_int_equal(store_prune(base->db, now + SESSION_FAMILY_US), 0);
	assert_int_equal(session_by_token(base->db, base->arena, token, &session),
			 SESSION_E_UNKNOWN);
}

static void logging_out_ends_one_family_a_new_password_all_others(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char a[SESSION_TOKEN_SIZE], b[SESSION_TOKEN_SIZE], c[SESSION_TOKEN_SIZE],
		next[SESSION_TOKEN_SIZE];
	struct session sa, sb, sc;
	struct user user;

	begin(base, a, &sa);
	begin(base, b, &sb);
	begin(base, c, &sc);
	assert_int_equal(session_end(base->db, a, NOW), 0);
	assert_int_equal(session_end(base->db, "unknown", NOW), 0);
	assert_int_equal(rotate(base, a, NOW, next), SESSION_E_UNKNOWN);
	assert_int_equal(user_set_password(base->db, base->tenant.id, base->admin.id, "new",
					   sb.family_id),
			 0);
	assert_int_equal(rotate(base, b, NOW, next), 0);
	assert_int_equal(rotate(base, c, NOW, next), SESSION_E_UNKNOWN);
	assert_int_equal(user_by_id(base->db, base->arena, base->admin.id, &user), 0);
	assert_string_equal(user.password_hash, "new");
	assert_int_equal(user.token_epoch, 1);
}

struct spinner {
	void *fixture;
	const char *token;
	pthread_barrier_t *barrier;
	int64_t now;
	int outcome;
	pthread_t thread;
};

static void *spin(void *arg)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct spinner *spinner = arg;
	auto_(db_close) struct db *db = fixture_open(spinner->fixture);
	char next[SESSION_TOKEN_SIZE];
	struct session session;

	pthread_barrier_wait(spinner->barrier);
	spinner->outcome =
		session_rotate(db, arena, spinner->token, NULL, NULL, spinner->now, &session, next);
	return NULL;
}

static void race(void **state, const char *token, int64_t now, int outcomes[4])
{
	struct spinner spinners[4];
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, 4);
	for (int i = 0; i < 4; i++) {
		spinners[i] = (struct spinner){
			.fixture = *state, .token = token, .barrier = &barrier, .now = now
		};
		assert_int_equal(pthread_create(&spinners[i].thread, NULL, spin, &spinners[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(spinners[i].thread, NULL);
		outcomes[i] = spinners[i].outcome;
	}
	pthread_barrier_destroy(&barrier);
}

static void tabs_that_refresh_at_once_all_stay_signed_in(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char token[SESSION_TOKEN_SIZE];
	struct session session;
	int outcomes[4];

	begin(base, token, &session);
	race(state, token, NOW + 5000000, outcomes);
	for (int i = 0; i < 4; i++)
		assert_int_equal(outcomes[i], 0);
}

static void thieves_at_once_end_the_family_once(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char token[SESSION_TOKEN_SIZE], next[SESSION_TOKEN_SIZE];
	struct session session;
	int outcomes[4], reused = 0;

	begin(base, token, &session);
	assert_int_equal(rotate(base, token, NOW, next), 0);
	race(state, token, NOW + 60000000, outcomes);
	for (int i = 0; i < 4; i++) {
		assert_true(outcomes[i] == SESSION_E_REUSED || outcomes[i] == SESSION_E_UNKNOWN);
		reused += outcomes[i] == SESSION_E_REUSED;
	}
	assert_true(reused >= 1);
	assert_int_equal(rotate(base, next, NOW + 61000000, token), SESSION_E_UNKNOWN);
}

/* ---- sealing ---- */

static void a_secret_opens_only_where_it_was_sealed(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();
	static const uint8_t key[32] = { 7 }, other_key[32] = { 8 };
	auto_(seal_free) struct seal *seal = seal_new(key);
	auto_(seal_free) struct seal *other = seal_new(other_key);
	struct id row = id_new();
	char plain[SEAL_MAX + 1];
	const char *sealed = seal_text(seal, "sip_profile", row, "s3cret", arena);

	(void)state;
	assert_null(strstr(sealed, "s3cret"));
	assert_int_equal(seal_unseal(seal, "sip_profile", row, sealed, plain), 0);
	assert_string_equal(plain, "s3cret");
	assert_int_equal(seal_unseal(seal, "sip_profile", id_new(), sealed, plain), SEAL_E_BAD);
	assert_string_equal(plain, "");
	assert_int_equal(seal_unseal(seal, "device", row, sealed, plain), SEAL_E_BAD);
	assert_int_equal(seal_unseal(other, "sip_profile", row, sealed, plain), SEAL_E_BAD);
	assert_string_not_equal(sealed, seal_text(seal, "sip_profile", row, "s3cret", arena));
	assert_int_equal(seal_unseal(seal, "sip_profile", row, NULL, plain), 0);
	assert_null(seal_text(seal, "sip_profile", row, NULL, arena));
}

static void any_changed_byte_is_noticed(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();
	static const uint8_t key[32] = { 7 };
	auto_(seal_free) struct seal *seal = seal_new(key);
	struct id row = id_new();
	char plain[SEAL_MAX + 1], *sealed;

	(void)state;
	sealed = arena_strdup(arena, seal_text(seal, "t", row, "a secret of some length", arena));
	for (size_t i = 0; sealed[i]; i++) {
		char was = sealed[i];

		sealed[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(seal_unseal(seal, "t", row, sealed, plain), SEAL_E_BAD);
		sealed[i] = was;
	}
	for (size_t len = strlen(sealed); len-- > 0;) {
		sealed[len] = '\0';
		assert_int_equal(seal_unseal(seal, "t", row, sealed, plain), SEAL_E_BAD);
	}
}

static char *key_dir(const char *name)
{
	char *dir = xasprintf("%s/%s", fixture_dir(), name);

	assert_int_equal(mkdir(dir, 0700), 0);
	return dir;
}

static void the_key_file_is_made_once_and_for_its_owner(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();
	auto_(free) char *dir = key_dir("key1");
	auto_(free) char *path = xasprintf("%s/" SEAL_FILE, dir);
	auto_(seal_free) struct seal *first = NULL;
	auto_(seal_free) struct seal *second = NULL;
	char plain[SEAL_MAX + 1];
	struct stat st;

	(void)state;
	assert_int_equal(seal_load(dir, &first), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 32);
	assert_int_equal(seal_load(dir, &second), 0);
	assert_int_equal(seal_unseal(second, "t", ID_NONE,
				     seal_text(first, "t", ID_NONE, "x", arena), plain),
			 0);
	assert_string_equal(plain, "x");
}

static void a_key_that_others_can_read_or_that_is_none_is_refused(void **state)
{
	auto_(free) char *dir = key_dir("key2");
	auto_(free) char *path = xasprintf("%s/" SEAL_FILE, dir);
	struct seal *seal = NULL;
	int fd;

	(void)state;
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "short", 5), 5);
	close(fd);
	assert_int_equal(seal_load(dir, &seal), -EBADMSG);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(seal_load(dir, &seal), -EPERM);
	assert_int_equal(seal_load("/no/such/dir", &seal), -ENOENT);
	assert_null(seal);
}

static void *load_key(void *arg)
{
	struct seal *seal = NULL;

	assert_int_equal(seal_load(arg, &seal), 0);
	return seal;
}

static void daemons_that_start_at_once_share_one_key(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();
	auto_(free) char *dir = key_dir("key3");
	char plain[SEAL_MAX + 1];
	const char *sealed = NULL;
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, load_key, dir), 0);
	for (int i = 0; i < 4; i++) {
		void *seal;

		pthread_join(threads[i], &seal);
		if (!sealed)
			sealed = seal_text(seal, "t", ID_NONE, "x", arena);
		assert_int_equal(seal_unseal(seal, "t", ID_NONE, sealed, plain), 0);
		seal_free(seal);
	}
}

/* ---- profiles and devices ---- */

static struct sip_profile new_profile(struct base *base, const char *server, const char *username)
{
	struct sip_profile profile = profile_defaults;

	profile.tenant_id = base->tenant.id;
	profile.owner = base->admin.id;
	profile.server = server;
	profile.username = username;
	profile.password = "pa55word";
	return profile;
}

static void a_profile_keeps_everything_and_its_password_sealed(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile profile = new_profile(base, "sip.example.com", "alice"), got;
	const char *codecs[] = { "PCMA", "opus", NULL };
	char plain[SEAL_MAX + 1];

	profile.port = 5061;
	profile.transport = PROFILE_TLS;
	profile.caller_number = "+491234";
	profile.caller_mode = 3;
	profile.codecs = codecs;
	profile.incoming_type = PROFILE_INCOMING_NUMBER;
	profile.incoming_target = "+4999";
	assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, profile.id, &got), 0);
	assert_string_equal(got.name, "alice@sip.example.com");
	assert_int_equal(got.port, 5061);
	assert_int_equal(got.transport, PROFILE_TLS);
	assert_string_equal(got.codecs[0], "PCMA");
	assert_null(got.codecs[2]);
	assert_string_equal(got.incoming_target, "+4999");
	assert_int_equal(strlen(got.line_token), 24);
	assert_null(got.password);
	assert_null(strstr(got.secret, "pa55"));
	assert_int_equal(profile_password(base->seal, &got, plain), 0);
	assert_string_equal(plain, "pa55word");
}

static void an_update_without_a_password_keeps_it(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile profile = new_profile(base, "sip.example.com", "alice"), got;
	char plain[SEAL_MAX + 1];

	assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
	profile.password = NULL;
	profile.secret = NULL;
	profile.name = "renamed";
	assert_int_equal(profile_update(base->db, base->seal, &profile, base->arena), 0);
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, profile.id, &got), 0);
	assert_string_equal(got.name, "renamed");
	assert_int_equal(profile_password(base->seal, &got, plain), 0);
	assert_string_equal(plain, "pa55word");
	profile.password = "other";
	assert_int_equal(profile_update(base->db, base->seal, &profile, base->arena), 0);
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, profile.id, &got), 0);
	assert_int_equal(profile_password(base->seal, &got, plain), 0);
	assert_string_equal(plain, "other");
}

static void a_server_and_user_name_are_one_profile_a_tenant(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile one = new_profile(base, "s.example", "u"),
			   two = new_profile(base, "s.example", "u");
	struct sip_profile stray = new_profile(base, "t.example", "u");
	struct tenant tenant;
	struct user other;

	sign_up(base, "o@x.y", &tenant, &other);
	assert_int_equal(profile_insert(base->db, base->seal, &one, base->arena), 0);
	assert_int_equal(profile_insert(base->db, base->seal, &two, base->arena), PROFILE_E_EXISTS);
	stray.owner = other.id;
	assert_int_equal(profile_insert(base->db, base->seal, &stray, base->arena),
			 PROFILE_E_OWNER);
	two = new_profile(base, "s.example", "u");
	two.tenant_id = tenant.id;
	two.owner = other.id;
	assert_int_equal(profile_insert(base->db, base->seal, &two, base->arena), 0);
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, two.id, &one),
			 DB_E_NONE);
	assert_int_equal(profile_delete(base->db, base->tenant.id, two.id), DB_E_NONE);
}

struct editor {
	void *fixture;
	struct base *base;
	struct id id;
	bool first;
	int outcome;
	pthread_t thread;
};

static int edit_body(struct db *db, void *arg)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct editor *editor = arg;
	struct sip_profile profile;
	int r = profile_get_locked(db, arena, editor->base->tenant.id, editor->id, &profile);

	if (r)
		return r;
	if (editor->first)
		profile.max_calls++;
	else
		profile.expires++;
	return profile_update(db, editor->base->seal, &profile, arena);
}

static void *edit(void *arg)
{
	struct editor *editor = arg;
	auto_(db_close) struct db *db = fixture_open(editor->fixture);

	for (int i = 0; i < 40 && !editor->outcome; i++)
		editor->outcome = db_transact(db, edit_body, editor);
	return NULL;
}

static void edits_at_once_of_one_profile_all_last(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile one = new_profile(base, "s.example", "u"), got;
	struct editor editors[4];

	one.max_calls = 1;
	one.expires = 1000;
	assert_int_equal(profile_insert(base->db, base->seal, &one, base->arena), 0);
	for (int i = 0; i < 4; i++) {
		editors[i] = (struct editor){
			.fixture = *state, .base = base, .id = one.id, .first = i < 2
		};
		assert_int_equal(pthread_create(&editors[i].thread, NULL, edit, &editors[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(editors[i].thread, NULL);
		assert_int_equal(editors[i].outcome, 0);
	}
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, one.id, &got), 0);
	assert_int_equal(got.max_calls, 81);
	assert_int_equal(got.expires, 1080);
}

static void the_default_profile_is_the_chosen_or_the_oldest(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile one = new_profile(base, "a.example", "u"),
			   two = new_profile(base, "b.example", "u"), got;
	struct id tenant = base->tenant.id, user = base->admin.id;

	assert_int_equal(profile_default(base->db, base->arena, tenant, user, &got), DB_E_NONE);
	assert_int_equal(profile_insert(base->db, base->seal, &one, base->arena), 0);
	assert_int_equal(profile_insert(base->db, base->seal, &two, base->arena), 0);
	assert_int_equal(profile_default(base->db, base->arena, tenant, user, &got), 0);
	assert_true(id_eq(got.id, one.id));
	base->admin.default_profile_id = two.id;
	assert_int_equal(user_update(base->db, &base->admin, base->arena), 0);
	assert_int_equal(profile_default(base->db, base->arena, tenant, user, &got), 0);
	assert_true(id_eq(got.id, two.id));
	assert_int_equal(profile_delete(base->db, tenant, two.id), 0);
	assert_int_equal(profile_default(base->db, base->arena, tenant, user, &got), 0);
	assert_true(id_eq(got.id, one.id));
}

static void profiles_are_listed_by_filter(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct profile_filter filter = { .page = { .ordering = "-server" } };
	struct sip_profile *rows, profile;
	struct id first = ID_NONE, *ids;
	struct db_page_info info;
	size_t count;

	for (int i = 0; i < 5; i++) {
		profile = new_profile(base, arena_printf(base->arena, "s%d.example", i), "u");
		assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
		if (i == 0)
			first = profile.id;
	}
	assert_int_equal(
		profile_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info), 0);
	assert_int_equal(info.count, 5);
	assert_string_equal(rows[0].server, "s4.example");
	filter.search = "S3.";
	assert_int_equal(
		profile_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info), 0);
	assert_int_equal(info.count, 1);
	filter = (struct profile_filter){ .ids = &first, .id_count = 1, .owner = base->admin.id };
	assert_int_equal(
		profile_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info), 0);
	assert_int_equal(info.count, 1);
	assert_true(id_eq(rows[0].id, first));
	filter.owner = id_new();
	assert_int_equal(
		profile_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info), 0);
	assert_int_equal(info.count, 0);
	assert_int_equal(
		profile_ids(base->db, base->arena, base->tenant.id, ID_NONE, 3, &ids, &count), 0);
	assert_int_equal(count, 3);
	assert_true(id_eq(ids[0], first));
}

static void a_user_with_profiles_goes_only_with_an_heir(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile profile = new_profile(base, "a.example", "u"), got;
	struct user agent;

	assert_int_equal(add_user(base, "agent@x.y", NULL, &agent), 0);
	profile.owner = agent.id;
	assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
	assert_int_equal(user_delete(base->db, base->tenant.id, agent.id, ID_NONE), DB_E_REF);
	assert_int_equal(user_delete(base->db, base->tenant.id, agent.id, base->admin.id), 0);
	assert_int_equal(profile_get(base->db, base->arena, base->tenant.id, profile.id, &got), 0);
	assert_true(id_eq(got.owner, base->admin.id));
}

static char *profile_complaint(const char *text)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct sip_profile profile = profile_defaults;
	json_t *body = json_loads(text, 0, NULL);
	json_t *bad;
	char *ret;

	assert_non_null(body);
	bad = profile_from_json(body, true, arena, &profile);
	ret = bad ? json_dumps(bad, JSON_COMPACT) : NULL;
	json_decref(bad);
	json_decref(body);
	return ret;
}

static void profile_bodies_are_checked(void **state)
{
	static const struct {
		const char *body, *complaint; /* a part of it; NULL: fine */
	} cases[] = {
		{ "{\"server\": \"sip.example.com\", \"port\": null}", NULL },
		{ "{\"server\": \"192.0.2.1\"}", NULL },
		{ "{\"server\": \"[2001:db8::1]\"}", NULL },
		{ "{\"server\": \"2001:db8::1\"}", NULL },
		{ "{\"server\": \"localhost\"}", NULL },
		{ "{\"server\": \"sip.example.com.\"}", NULL },
		{ "{\"server\": \"999.1.1.1\"}", "server" },
		{ "{\"server\": \"a..b\"}", "server" },
		{ "{\"server\": \"-a.example\"}", "server" },
		{ "{\"server\": \"a b\"}", "server" },
		{ "{\"server\": \"a:5060\"}", "server" },
		{ "{\"server\": \"a\\r\\nb\"}", "server" },
		{ "{\"server\": \"\"}", "server" },
		{ "{\"port\": 0}", "port" },
		{ "{\"port\": 70000}", "port" },
		{ "{\"transport\": \"sctp\"}", "transport" },
		{ "{\"username\": \"a@b\"}", "username" },
		{ "{\"username\": \"a b\"}", "username" },
		{ "{\"auth_username\": \"a@b\"}", NULL },
		{ "{\"auth_username\": \"a\\\"b\"}", "auth_username" },
		{ "{\"outbound_proxy\": \"sip:proxy.example:5070;transport=tcp;lr\"}", NULL },
		{ "{\"outbound_proxy\": \"proxy.example:5070\"}", NULL },
		{ "{\"outbound_proxy\": \"[::1]:5070\"}", NULL },
		{ "{\"outbound_proxy\": \"proxy:0\"}", "outbound_proxy" },
		{ "{\"outbound_proxy\": \"sip:a b\"}", "outbound_proxy" },
		{ "{\"outbound_proxy\": \"sip:user@host\"}", "outbound_proxy" },
		{ "{\"codecs\": []}", "codecs" },
		{ "{\"codecs\": [\"GSM\"]}", "codecs" },
		{ "{\"codecs\": [\"opus\", \"opus\"]}", "codecs" },
		{ "{\"caller_id\": {\"number\": \"+49 30\"}}", "{\"caller_id\":{\"number\":" },
		{ "{\"caller_id\": {\"number\": \"+4930\", \"name\": \"A\\u000aB\"}}",
		  "{\"caller_id\":{\"name\":" },
		{ "{\"caller_id\": {\"mode\": \"fake\"}}", "{\"caller_id\":{\"mode\":" },
		{ "{\"caller_id\": 5}", "caller_id" },
		{ "{\"caller_id\": null}", NULL },
		{ "{\"incoming\": {\"type\": \"owner\"}}", NULL },
		{ "{\"incoming\": {\"type\": \"number\"}}", "{\"incoming\":{\"number\":" },
		{ "{\"incoming\": {\"type\": \"user\", \"user_id\": \"x\"}}",
		  "{\"incoming\":{\"user_id\":" },
		{ "{\"incoming\": {\"type\": \"conference\", \"room\": \"sales\"}}", NULL },
		{ "{\"incoming\": {}}", "{\"incoming\":{\"type\":" },
		{ "{\"incoming\": \"owner\"}", "incoming" },
		{ "[]", "non_field_errors" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *got = profile_complaint(cases[i].body);

		if (!cases[i].complaint && got)
			fail_msg("%s: %s", cases[i].body, got);
		if (cases[i].complaint && (!got || !strstr(got, cases[i].complaint)))
			fail_msg("%s: %s", cases[i].body, got ? got : "no complaint");
		free(got);
	}
}

static void a_profiles_json_says_all_but_secrets(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct sip_profile profile = new_profile(base, "a.example", "u");
	json_t *body = json_loads("{\"caller_id\": {\"number\": \"100\", \"mode\": \"pai\"},"
				  "\"incoming\": {\"type\": \"number\", \"number\": \"+49\"}}",
				  0, NULL);
	char *text;
	json_t *json;

	assert_null(profile_from_json(body, true, base->arena, &profile));
	json_decref(body);
	assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
	json = profile_to_json(&profile);
	text = json_dumps(json, 0);
	assert_null(strstr(text, "pa55word"));
	assert_null(strstr(text, profile.secret));
	assert_null(strstr(text, profile.line_token));
	assert_true(json_is_null(json_object_get(json, "port")));
	assert_true(json_is_true(json_object_get(json, "register")));
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(json, "caller_id"), "mode")),
		"pai");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(json, "incoming"), "number")),
		"+49");
	free(text);
	json_decref(json);
}

static void prompts_belong_to_their_tenant_up_to_a_limit(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct prompt greeting = { .name = "Greeting",
				   .source = PROMPT_SPEECH,
				   .say = "Good morning",
				   .voice = "en",
				   .duration_ms = 900,
				   .size = 28844,
				   .sha256 = "00",
				   .tenant_id = base->tenant.id,
				   .created_by = base->admin.id };
	struct prompt second = greeting, got, *rows;
	struct prompt_filter filter = { .search = "MORN" };
	struct db_page_info info;

	second.name = "Closing";
	second.say = NULL;
	second.source = PROMPT_UPLOAD;
	assert_int_equal(prompt_insert(base->db, &greeting, 2, base->arena), 0);
	assert_int_equal(prompt_insert(base->db, &second, 2, base->arena), 0);
	got = (struct prompt){ .name = "Third", .sha256 = "00", .tenant_id = base->tenant.id };
	assert_int_equal(prompt_insert(base->db, &got, 2, base->arena), PROMPT_E_FULL);
	assert_int_equal(prompt_get(base->db, base->arena, base->tenant.id, greeting.id, &got), 0);
	assert_string_equal(got.say, "Good morning");
	assert_int_equal(got.size, 28844);
	assert_int_equal(prompt_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 1);
	assert_string_equal(rows[0].name, "Greeting");
	assert_int_equal(prompt_get(base->db, base->arena, id_new(), greeting.id, &got), DB_E_NONE);
	assert_int_equal(prompt_delete(base->db, id_new(), greeting.id), DB_E_NONE);
	assert_int_equal(prompt_delete(base->db, base->tenant.id, greeting.id), 0);
	assert_int_equal(prompt_get(base->db, base->arena, base->tenant.id, greeting.id, &got),
			 DB_E_NONE);
}

static void a_device_gets_its_credentials_once(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct device device = { .tenant_id = base->tenant.id,
				 .user_id = base->admin.id,
				 .name = "Desk" },
		      got, *rows;
	struct device_filter filter = { .user = base->admin.id, .search = "desk" };
	char password[DEVICE_PASSWORD_SIZE], plain[SEAL_MAX + 1];
	struct db_page_info info;
	struct device stray = { .tenant_id = base->tenant.id, .user_id = id_new(), .name = "x" };

	assert_int_equal(device_insert(base->db, base->seal, &device, base->arena, password), 0);
	assert_int_equal(device_by_username(base->db, base->arena, device.username, &got), 0);
	assert_true(id_eq(got.id, device.id));
	assert_int_equal(device_password(base->seal, &got, plain), 0);
	assert_string_equal(plain, password);
	device.name = "Kitchen desk";
	assert_int_equal(device_update(base->db, &device, base->arena), 0);
	assert_int_equal(device_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 1);
	assert_string_equal(rows[0].name, "Kitchen desk");
	assert_int_equal(device_insert(base->db, base->seal, &stray, base->arena, password),
			 DB_E_REF);
	assert_int_equal(device_get(base->db, base->arena, id_new(), device.id, &got), DB_E_NONE);
	assert_int_equal(device_delete(base->db, base->tenant.id, device.id), 0);
	assert_int_equal(device_by_username(base->db, base->arena, device.username, &got),
			 DB_E_NONE);
}

static int count_one(void *count)
{
	++*(int *)count;
	return 0;
}

static int on_tenant(void *arg, const struct tenant *tenant)
{
	return tenant->name ? count_one(arg) : 1;
}

static int on_user(void *arg, const struct user *user)
{
	return user->email ? count_one(arg) : 1;
}

static int on_profile(void *arg, const struct sip_profile *profile)
{
	return profile->line_token ? count_one(arg) : 1;
}

static int on_device(void *arg, const struct device *device)
{
	return device->username ? count_one(arg) : 1;
}

static void a_start_reads_everything(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct device device = { .tenant_id = base->tenant.id,
				 .user_id = base->admin.id,
				 .name = "Desk" };
	struct sip_profile profile = new_profile(base, "a.example", "u");
	char password[DEVICE_PASSWORD_SIZE];
	struct tenant tenant;
	struct user user;
	int count = 0;

	sign_up(base, "o@x.y", &tenant, &user);
	assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
	assert_int_equal(device_insert(base->db, base->seal, &device, base->arena, password), 0);
	assert_int_equal(tenant_each(base->db, on_tenant, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(user_each(base->db, on_user, &count), 0);
	assert_int_equal(count, 4);
	assert_int_equal(profile_each(base->db, on_profile, &count), 0);
	assert_int_equal(device_each(base->db, on_device, &count), 0);
	assert_int_equal(count, 6);
}

/* ---- small ones ---- */

static void settings_are_a_tenants_own(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	json_t *one = json_pack("{s:i}", "n", 1), *two = json_string("two"), *got = NULL;

	assert_int_equal(setting_get(base->db, base->tenant.id, "k", &got), DB_E_NONE);
	assert_int_equal(setting_put(base->db, base->tenant.id, "k", one, NOW), 0);
	assert_int_equal(setting_get(base->db, ID_NONE, "k", &got), DB_E_NONE);
	assert_int_equal(setting_init(base->db, base->tenant.id, "k", two, NOW, &got), 0);
	assert_true(json_equal(got, one));
	json_decref(got);
	assert_int_equal(setting_put(base->db, base->tenant.id, "k", two, NOW), 0);
	assert_int_equal(setting_get(base->db, base->tenant.id, "k", &got), 0);
	assert_true(json_equal(got, two));
	json_decref(got);
	assert_int_equal(setting_init(base->db, ID_NONE, "k", one, NOW, &got), 0);
	assert_true(json_equal(got, one));
	json_decref(got);
	assert_int_equal(setting_delete(base->db, base->tenant.id, "k"), 0);
	assert_int_equal(setting_delete(base->db, base->tenant.id, "k"), DB_E_NONE);
	json_decref(one);
	json_decref(two);
}

static void a_key_answers_again_what_it_answered_first(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct idempotency request = { .tenant = base->tenant.id,
				       .user = base->admin.id,
				       .key = "abc",
				       .route = "makeCall",
				       .request_hash = "h1" };
	struct idempotency other = request;
	struct idempotency_answer answer = { 0 };

	other.request_hash = "h2";
	assert_int_equal(idempotency_claim(base->db, base->arena, &request, NOW, &answer), 0);
	assert_int_equal(idempotency_claim(base->db, base->arena, &request, NOW + 1, &answer),
			 IDEMPOTENCY_E_RUNNING);
	assert_int_equal(idempotency_claim(base->db, base->arena, &other, NOW + 1, &answer),
			 IDEMPOTENCY_E_OTHER);
	assert_int_equal(idempotency_finish(base->db, &request, 201, "{}", "/x/"), 0);
	assert_int_equal(idempotency_claim(base->db, base->arena, &request, NOW + 2, &answer),
			 IDEMPOTENCY_E_DONE);
	assert_int_equal(answer.status, 201);
	assert_string_equal(answer.body, "{}");
	assert_string_equal(answer.location, "/x/");
	assert_int_equal(idempotency_drop(base->db, &request), 0); /* an answer is not dropped */
	assert_int_equal(idempotency_claim(base->db, base->arena, &request, NOW + 2, &answer),
			 IDEMPOTENCY_E_DONE);
	assert_int_equal(idempotency_claim(base->db, base->arena, &other,
					   NOW + IDEMPOTENCY_LIFE_US + 1, &answer),
			 0);
	/* Its request dies: after a minute the key is free again. */
	assert_int_equal(idempotency_claim(base->db, base->arena, &other,
					   NOW + IDEMPOTENCY_LIFE_US + IDEMPOTENCY_STALE_US + 2,
					   &answer),
			 0);
	assert_int_equal(idempotency_drop(base->db, &other), 0);
	assert_int_equal(idempotency_claim(base->db, base->arena, &request, NOW, &answer), 0);
	assert_int_equal(idempotency_prune(base->db, NOW + 2 * IDEMPOTENCY_LIFE_US), 0);
}

static void what_was_done_is_on_record(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct audit audit = { .tenant_id = base->tenant.id,
			       .user_id = base->admin.id,
			       .action = "profile.create",
			       .object = "sip_profile",
			       .object_id = id_new() },
		     *rows;
	struct audit_filter filter = { .action = "profile.create" };
	struct db_page_info info;

	audit.detail = json_pack("{s:s}", "server", "x");
	assert_int_equal(audit_insert(base->db, &audit, base->arena), 0);
	assert_int_equal(audit_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 1);
	assert_true(json_equal(rows[0].detail, audit.detail));
	assert_int_equal(audit_list(base->db, base->arena, id_new(), &filter, &rows, &info), 0);
	assert_int_equal(info.count, 0);
	json_decref(audit.detail);
}

static void a_newer_schema_is_left_alone(void **state)
{
	auto_(base_free) struct base *base = base_new(state);

	assert_int_equal(store_migrate(base->db), 0);
	assert_int_equal(
		db_exec(base->db,
			"INSERT INTO schema_version (version, name, applied_at) VALUES (999, 'x', 1)",
			DB_NO_ARGS, NULL),
		0);
	assert_int_equal(store_migrate(base->db), DB_MIGRATE_E_NEWER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_the_fields_in_order),
		BOTH_ENGINES(a_tenant_keeps_its_limits),
		BOTH_ENGINES(emails_are_one_over_all_tenants_in_any_case),
		BOTH_ENGINES(extensions_count_up_around_chosen_ones),
		BOTH_ENGINES(extensions_are_given_once_when_many_sign_up_at_once),
		BOTH_ENGINES(a_tenant_is_never_left_without_an_admin),
		BOTH_ENGINES(another_tenants_user_is_not_there),
		BOTH_ENGINES(users_are_listed_by_filter),
		cmocka_unit_test(user_bodies_are_checked),
		BOTH_ENGINES(a_refresh_token_works_once),
		BOTH_ENGINES(a_lost_answer_is_forgiven_for_ten_seconds),
		BOTH_ENGINES(sessions_end_in_time_whatever_their_use),
		BOTH_ENGINES(logging_out_ends_one_family_a_new_password_all_others),
		BOTH_ENGINES(tabs_that_refresh_at_once_all_stay_signed_in),
		BOTH_ENGINES(thieves_at_once_end_the_family_once),
		cmocka_unit_test(a_secret_opens_only_where_it_was_sealed),
		cmocka_unit_test(any_changed_byte_is_noticed),
		cmocka_unit_test(the_key_file_is_made_once_and_for_its_owner),
		cmocka_unit_test(a_key_that_others_can_read_or_that_is_none_is_refused),
		cmocka_unit_test(daemons_that_start_at_once_share_one_key),
		BOTH_ENGINES(a_profile_keeps_everything_and_its_password_sealed),
		BOTH_ENGINES(an_update_without_a_password_keeps_it),
		BOTH_ENGINES(a_server_and_user_name_are_one_profile_a_tenant),
		BOTH_ENGINES(edits_at_once_of_one_profile_all_last),
		BOTH_ENGINES(the_default_profile_is_the_chosen_or_the_oldest),
		BOTH_ENGINES(profiles_are_listed_by_filter),
		BOTH_ENGINES(a_user_with_profiles_goes_only_with_an_heir),
		cmocka_unit_test(profile_bodies_are_checked),
		BOTH_ENGINES(a_profiles_json_says_all_but_secrets),
		BOTH_ENGINES(prompts_belong_to_their_tenant_up_to_a_limit),
		BOTH_ENGINES(a_device_gets_its_credentials_once),
		BOTH_ENGINES(a_start_reads_everything),
		BOTH_ENGINES(settings_are_a_tenants_own),
		BOTH_ENGINES(a_key_answers_again_what_it_answered_first),
		BOTH_ENGINES(what_was_done_is_on_record),
		BOTH_ENGINES(a_newer_schema_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
