#include "rig.h"

#include "../http/peer.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

struct rig *rig_new(void)
{
	struct rig *rig = xzalloc(sizeof(*rig));
	struct db *db = NULL;
	struct api_setup setup = { 0 };

	str_copy(rig->dir, sizeof(rig->dir), "/tmp/jackfield-api-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	rig->url = xasprintf("sqlite:%s/db.sqlite", rig->dir);
	assert_int_equal(db_open(rig->url, &(struct db_opts){ 0 }, &db), 0);
	assert_int_equal(store_migrate(db), 0);
	db_close(db);
	assert_int_equal(seal_load(rig->dir, &rig->seal), 0);
	rig->bus = event_bus_new(&(struct event_bus_opts){ 0 });
	rig->loop = fake_loop_new(rig->bus);
	setup = (struct api_setup){
		.listen = "127.0.0.1:0",
		.db_url = rig->url,
		.data_dir = rig->dir,
		.seal = rig->seal,
		.gate = fake_loop_gate(rig->loop),
		.bus = rig->bus,
		.allow_private = true,
		.sip_host = "sip.example.com",
		.sip_port = 5060,
		.sip_transports = "udp,tcp",
		.version = "test",
	};
	assert_int_equal(api_start(&setup, &rig->api), 0);
	rig->port = api_port(rig->api);
	return rig;
}

struct rig *rig_free(struct rig *rig)
{
	api_stop(rig->api);
	fake_loop_free(rig->loop);
	event_bus_free(rig->bus);
	seal_free(rig->seal);
	nftw(rig->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(rig->url);
	free(rig);
	return NULL;
}

int rig_setup(void **state)
{
	*state = rig_new();
	return 0;
}

int rig_teardown(void **state)
{
	rig_free(*state);
	return 0;
}

void got_fini(struct got *got)
{
	json_decref(got->json);
	free(got->text);
}

static size_t content_length(const char *head)
{
	const char *at = strcasestr(head, "\r\nContent-Length:");

	return at ? strtoul(at + 17, NULL, 10) : 0;
}

void ask(const struct rig *rig, const char *method, const char *path, const char *token,
	 const char *extra, const char *body, struct got *ret)
{
	auto_(buf_fini) struct buf request = BUF_MAX(1 << 20);
	int fd = peer_connect(rig->port);
	size_t len = 0, want;

	*ret = (struct got){ 0 };
	buf_addf(&request, "%s %s HTTP/1.1\r\nHost: api.example\r\n", method, path);
	if (token)
		buf_addf(&request, "Authorization: Bearer %s\r\n", token);
	if (body)
		buf_addf(&request, "Content-Length: %zu\r\n", strlen(body));
	if (body && !(extra && strcasestr(extra, "content-type:")))
		buf_adds(&request, "Content-Type: application/json\r\n");
	buf_addf(&request, "%s\r\n%s", extra ? extra : "", body ? body : "");
	peer_send(fd, request.data, request.len);
	while (len + 1 < sizeof(ret->head) && !strstr(ret->head, "\r\n\r\n") &&
	       peer_read(fd, ret->head + len, 1) == 1)
		len++;
	assert_int_equal(sscanf(ret->head, "HTTP/1.1 %d", &ret->status), 1);
	want = content_length(ret->head);
	ret->text = xzalloc(want + 1);
	assert_int_equal(peer_read(fd, ret->text, want), want);
	ret->json = json_loadb(ret->text, want, 0, NULL);
	close(fd);
}

const char *got_str(const struct got *got, const char *path)
{
	const json_t *at = got->json;

	while (*path) {
		size_t len = strcspn(path, ".");
		char name[64] = "";

		memcpy(name, path, len);
		at = json_object_get(at, name);
		path += len + (path[len] == '.');
	}
	return json_is_string(at) ? json_string_value(at) : "";
}

static void person_take(const struct got *got, const char *email, struct person *ret)
{
	str_copy(ret->email, sizeof(ret->email), email);
	str_copy(ret->access, sizeof(ret->access), got_str(got, "access"));
	str_copy(ret->refresh, sizeof(ret->refresh), got_str(got, "refresh"));
	str_copy(ret->id, sizeof(ret->id), got_str(got, "user.id"));
	str_copy(ret->tenant, sizeof(ret->tenant), got_str(got, "user.tenant.id"));
	assert_true(*ret->access && *ret->refresh && *ret->id && *ret->tenant);
}

void sign_up(const struct rig *rig, struct person *ret)
{
	auto_(free) char *body = NULL;
	char email[64];
	auto_got got;

	snprintf(email, sizeof(email), "u%s@example.com", id_str(id_new()));
	body = xasprintf("{\"email\": \"%s\", \"password\": \"" PASSWORD "\", \"name\": \"Ada\"}",
			 email);
	ask(rig, "POST", "/api/auth/signup/", NULL, NULL, body, &got);
	assert_int_equal(got.status, 201);
	person_take(&got, email, ret);
}

void log_in(const struct rig *rig, const char *email, const char *password, struct person *ret)
{
	auto_(free) char *body =
		xasprintf("{\"email\": \"%s\", \"password\": \"%s\"}", email, password);
	auto_got got;

	ask(rig, "POST", "/api/auth/login/", NULL, NULL, body, &got);
	assert_int_equal(got.status, 200);
	person_take(&got, email, ret);
}

void add_user(const struct rig *rig, const struct person *admin, const char *role,
	      struct person *ret)
{
	auto_(free) char *body = NULL;
	char email[64];
	auto_got got;

	snprintf(email, sizeof(email), "u%s@example.com", id_str(id_new()));
	body = xasprintf("{\"email\": \"%s\", \"password\": \"" PASSWORD
			 "\", \"name\": \"Bob\", \"role\": \"%s\"}",
			 email, role);
	ask(rig, "POST", "/api/users/", admin->access, NULL, body, &got);
	assert_int_equal(got.status, 201);
	log_in(rig, email, PASSWORD, ret);
}

void add_profile(const struct rig *rig, const struct person *person, const char *username,
		 char ret[static 40])
{
	auto_(free) char *body = xasprintf(
		"{\"name\": \"n\", \"server\": \"sip.example.com\", \"username\": \"%s\", \"password\": \"s3cret-word\"}",
		username);
	auto_got got;

	ask(rig, "POST", "/api/add-sip-profile/", person->access, NULL, body, &got);
	assert_int_equal(got.status, 201);
	str_copy(ret, 40, got_str(&got, "id"));
}
