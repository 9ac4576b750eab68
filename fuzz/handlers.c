/* fuzz/handlers.c - a body to each handler that takes one, over HTTP, on a real database
 *
 * The first byte chooses the route, the rest is the body, or the query of a GET. Whatever comes, there is an answer, it
 * is none of the server's own errors (500), and what is refused is refused in JSON.
 */
#include "api/private.h"

#include "fuzz/target.h"

#include <errno.h>
#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX (256 * 1024)

/* ---- A call loop that has nothing to say ---- */

struct call_gate {
	int unused;
};

static struct call_gate gate;

void command_fini(struct command *command)
{
	free(command->body);
	free(command->ids);
}

void reply_free(void *arg)
{
	struct reply *reply = arg;

	if (reply)
		free(reply->text);
	free(reply);
}

static struct reply *answer(struct command *command)
{
	struct reply *reply = xzalloc(sizeof(*reply));

	switch (command->type) {
	case COMMAND_MAKE_CALL:
		reply->code = REPLY_LIMIT;
		break;
	case COMMAND_CALL_GET:
	case COMMAND_HANGUP_CALL:
	case COMMAND_DTMF:
	case COMMAND_HOLD_CALL:
	case COMMAND_MUTE_LEG:
	case COMMAND_TRANSFER:
	case COMMAND_RECORD:
	case COMMAND_ANSWER_CALL:
	case COMMAND_ROOM_PUT:
	case COMMAND_CONFERENCE:
	case COMMAND_CONFERENCE_GET:
	case COMMAND_MONITOR:
		reply->code = REPLY_NOT_FOUND;
		break;
	case COMMAND_PROFILE_TEST:
		reply->text = xstrdup("{}");
		break;
	case COMMAND_REGISTRATIONS:
		reply->code = REPLY_FAILED;
		break;
	case COMMAND_PROFILE_PUT:
	case COMMAND_PROFILE_DROP:
	case COMMAND_PROFILE_REGISTER:
	case COMMAND_PROFILE_WAIT:
	case COMMAND_DEVICE_PUT:
	case COMMAND_DEVICE_RESTORE:
	case COMMAND_DEVICE_DROP:
	case COMMAND_DEVICES:
	case COMMAND_USER_PUT:
	case COMMAND_USER_DROP:
	case COMMAND_TENANT_PUT:
	case COMMAND_RECORDING_REPAIRED:
	case COMMAND_RECORDING_DELETED:
	case COMMAND_MONITOR_CALLS:
	case COMMAND_CALLS:
	case COMMAND_CONFERENCES:
	case COMMAND_SNAPSHOT:
	case COMMAND_DRAIN:
	case COMMAND_STATUS:
		break;
	}
	command_fini(command);
	return reply;
}

bool call_post(struct call_gate *to, struct command *command)
{
	(void)to;
	command_fini(command);
	return true;
}

struct reply *call_ask(struct call_gate *to, struct command *command, unsigned timeout_ms)
{
	(void)to;
	(void)timeout_ms;
	return answer(command);
}

bool call_ask_async(struct call_gate *to, struct command *command,
		    void (*on_reply)(void *arg, struct reply *reply), void *arg)
{
	(void)to;
	on_reply(arg, answer(command));
	return true;
}

/* ---- The server, once a process ---- */

static struct {
	char dir[64], *token;
	struct api *api;
	struct seal *seal;
	struct event_bus *bus;
} rig;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void rig_end(void)
{
	api_stop(rig.api);
	event_bus_free(rig.bus);
	seal_free(rig.seal);
	free(rig.token);
	nftw(rig.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define must(good)                                                                                 \
	do {                                                                                       \
		if (!(good)) {                                                                     \
			fprintf(stderr, "not so: %s\n", #good);                                    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* An admin and a token for the admin, past the throttled and slow way in. */
static void rig_sign_in(struct db *db)
{
	auto_(arena_free) struct arena *arena = arena_new();
	auto_(token_key_free) struct token_key *key = NULL;
	struct user user = USER_DEFAULTS;
	struct tenant tenant = { .name = "fuzz" };
	struct token_claims claims = { .jti = id_new(),
				       .role = USER_ADMIN,
				       .scopes = api_role_scopes(USER_ADMIN) };

	user.email = "fuzz@example.com";
	user.role = USER_ADMIN;
	user.password_hash = "$argon2id$none";
	must(user_sign_up(db, &tenant, &user, arena) == 0);
	must(token_key_load(rig.dir, &key) == 0);
	claims.user = user.id;
	claims.tenant = user.tenant_id;
	claims.family = id_new();
	claims.epoch = user.token_epoch;
	claims.issued_at = clock_wall_us() / 1000000;
	claims.expires_at = claims.issued_at + 86400;
	rig.token = token_make(key, &claims);
}

static void rig_begin(void)
{
	auto_(free) char *url = NULL;
	struct db *db = NULL;
	struct api_setup setup = {
		.listen = "127.0.0.1:0", .gate = &gate, .workers = 1, .hashers = 1
	};

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	str_copy(rig.dir, sizeof(rig.dir), "/tmp/jackfield-fuzz-XXXXXX");
	must(mkdtemp(rig.dir) != NULL);
	url = xasprintf("sqlite:%s/db.sqlite", rig.dir);
	must(db_open(url, &(struct db_opts){ 0 }, &db) == 0 && store_migrate(db) == 0);
	must(seal_load(rig.dir, &rig.seal) == 0);
	rig_sign_in(db);
	db_close(db);
	rig.bus = event_bus_new(&(struct event_bus_opts){ 0 });
	setup.db_url = url;
	setup.data_dir = rig.dir;
	setup.seal = rig.seal;
	setup.bus = rig.bus;
	must(api_start(&setup, &rig.api) == 0);
	atexit(rig_end);
}

/* ---- One request ---- */

#define FORM "multipart/form-data; boundary=b"
#define FILE_HEAD "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n"
#define FILE_TAIL "\r\n--b--\r\n"

static const struct {
	const char *method, *path;
	const char *type;	 /* NULL: JSON */
	const char *head, *tail; /* around the input; NULL: none */
} targets[] = {
	{ "POST", "/api/add-sip-profile/" },
	{ "POST", "/api/make-call/" },
	{ "POST", "/api/register-sip/" },
	{ "POST", "/api/set-caller-id/" },
	{ "POST", "/api/test-sip-profile/" },
	{ "POST", "/api/answer-call/" },
	{ "POST", "/api/hangup-call/" },
	{ "POST", "/api/devices/" },
	{ "PATCH", "/api/auth/me/" },
	{ "POST", "/api/users/" },
	{ "POST", "/api/auth/refresh/" },
	{ "POST", "/api/auth/logout/" },
	{ "POST", "/api/auth/login/" },
	{ "POST", "/api/auth/signup/" },
	{ "DELETE", "/api/delete-sip-profile/" },
	{ "POST", "/api/auth/change-password/" },
	{ "POST", "/api/prompts/" },
	{ "POST", "/api/prompts/", FORM },
	{ "POST", "/api/prompts/", FORM, FILE_HEAD, FILE_TAIL }, /* the decoders */
	{ "POST", "/api/dtmf/" },
	{ "POST", "/api/hold-call/" },
	{ "POST", "/api/mute-call/" },
	{ "POST", "/api/record-call/" },
	{ "POST", "/api/conference/" },
	{ "GET", "/api/call-logs/" },
	{ "GET", "/api/recordings/" },
	{ "GET", "/api/download-recording/" },
	{ "GET", "/api/conferences/" },
};

static int server_connect(void)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)api_port(rig.api)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	must(fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static bool is_whole(const char *text, size_t len)
{
	const char *body = strstr(text, "\r\n\r\n"),
		   *length = strcasestr(text, "\r\nContent-Length:");

	return body &&
	       (!length || len >= (size_t)(body + 4 - text) + strtoul(length + 17, NULL, 10));
}

/* The fuzzer's own alarm interrupts us once in a while. */
static int poll_again(struct pollfd *pfd)
{
	int r;

	while ((r = poll(pfd, 1, 30000)) < 0 && errno == EINTR)
		;
	return r;
}

static void read_answer(int fd, char *text)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	ssize_t got = 1;

	text[0] = '\0';
	while (got > 0 && len < ANSWER_MAX && !is_whole(text, len)) {
		must(poll_again(&pfd) == 1); /* neither data nor the end: it hangs */
		got = recv(fd, text + len, ANSWER_MAX - len, 0);
		len += got > 0 ? (size_t)got : 0;
		text[len] = '\0';
	}
}

static void check(const char *text)
{
	const char *body = strstr(text, "\r\n\r\n");
	int status = 0;
	json_t *json;

	must(body && sscanf(text, "HTTP/1.1 %d", &status) == 1);
	if (status < 200 || status == 500)
		fprintf(stderr, "%s\n", text);
	must(status >= 200 && status != 500);
	if (status < 400)
		return;
	json = json_loads(body + 4, 0, NULL);
	must(json_is_object(json));
	json_decref(json);
}

/* As it is, but for what would end the request's first line. */
static void put_query(struct buf *request, const uint8_t *data, size_t size)
{
	buf_addc(request, '?');
	for (size_t i = 0; i < size && i < 4000; i++)
		buf_addc(request, data[i] > ' ' && data[i] < 0x7f ? (char)data[i] : '+');
}

static void put_request(struct buf *request, size_t target, const uint8_t *data, size_t size)
{
	const char *head = targets[target].head ?: "", *tail = targets[target].tail ?: "";
	bool query = str_eq(targets[target].method, "GET");

	buf_addf(request, "%s %s", targets[target].method, targets[target].path);
	if (query)
		put_query(request, data, size);
	buf_addf(request, " HTTP/1.1\r\nHost: f\r\nAuthorization: Bearer %s\r\n", rig.token);
	if (query) {
		buf_adds(request, "\r\n");
		return;
	}
	buf_addf(request, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
		 targets[target].type ?: "application/json", strlen(head) + size + strlen(tail),
		 head);
	buf_add(request, data, size);
	buf_adds(request, tail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[ANSWER_MAX + 1];
	auto_(buf_fini) struct buf request = BUF_MAX(128 * 1024);
	struct linger now = { .l_onoff = 1 }; /* ports are few */
	int fd;

	if (!size || size > 60000)
		return 0;
	if (!rig.api)
		rig_begin();
	put_request(&request, data[0] % ARRAY_LEN(targets), data + 1, size - 1);
	fd = server_connect();
	must(send(fd, request.data, request.len, MSG_NOSIGNAL) == (ssize_t)request.len);
	read_answer(fd, text);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	check(text);
	return 0;
}
