#include "sim.h"

#include "sip/digest.h"

#include <strings.h>

const char sim_sdp[] = "v=0\r\no=- 7 7 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
		       "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/* ---- messages ---- */

const char *sim_header(const char *message, const char *name)
{
	static char places[4][500];
	static unsigned turn;
	char *place = places[turn++ % 4];
	size_t len = strlen(name);

	place[0] = '\0';
	for (const char *line = strstr(message, "\r\n"); line && strncmp(line, "\r\n\r\n", 4);
	     line = strstr(line + 2, "\r\n")) {
		const char *at = line + 2;
		const char *end = strstr(at, "\r\n");

		if (strncasecmp(at, name, len) || at[len] != ':')
			continue;
		at += len + 1;
		at += strspn(at, " ");
		(void)snprintf(place, sizeof(places[0]), "%.*s", (int)(end - at), at);
		break;
	}
	return place;
}

const char *sim_body(const char *message)
{
	const char *blank = strstr(message, "\r\n\r\n");

	return blank ? blank + 4 : "";
}

static void put(struct sim_peer *peer, const struct buf *text)
{
	bug_on(text->failed);
	sim_raw_send(peer->sim->net, SIP_TRANSP_UDP, peer->addr, SIM_OURS, text->data, text->len);
}

static void finish(struct buf *out, const char *sdp)
{
	if (sdp)
		buf_adds(out, "Content-Type: application/sdp\r\n");
	buf_addf(out, "Content-Length: %zu\r\n\r\n%s", sdp ? strlen(sdp) : 0, sdp ? sdp : "");
}

/* Every line of that header, as it came. */
static void copy_all(struct buf *out, const char *message, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = strstr(message, "\r\n"); line && strncmp(line, "\r\n\r\n", 4);
	     line = strstr(line + 2, "\r\n")) {
		const char *at = line + 2;

		if (!strncasecmp(at, name, len) && at[len] == ':')
			buf_addf(out, "%.*s\r\n", (int)(strstr(at, "\r\n") - at), at);
	}
}

/* The Via of a request of ours, with what the peer sees of its source. */
static void via_seen(struct buf *out, const struct sim_peer *peer, const char *request)
{
	const char *via = sim_header(request, "Via"), *rport = strstr(via, ";rport");

	if (peer->sees && rport)
		buf_addf(out, "Via: %.*s%s\r\n", (int)(rport - via), via, peer->sees);
	else
		copy_all(out, request, "Via");
}

void sim_reply(struct sim_peer *peer, const char *request, int code, const char *tag,
	       const char *extra, const char *sdp)
{
	auto_(buf_fini) struct buf out = BUF_MAX(16384);
	const char *to = sim_header(request, "To");

	buf_addf(&out, "SIP/2.0 %d Whatever\r\n", code);
	via_seen(&out, peer, request);
	copy_all(&out, request, "From");
	buf_addf(&out, "To: %s%s%s\r\n", to, tag && !strstr(to, ";tag=") ? ";tag=" : "",
		 tag && !strstr(to, ";tag=") ? tag : "");
	copy_all(&out, request, "Call-ID");
	copy_all(&out, request, "CSeq");
	if (code > 100 && code < 300)
		buf_addf(&out, "Contact: <sip:peer@%s>\r\n", peer->addr);
	if (extra)
		buf_adds(&out, extra);
	finish(&out, sdp);
	put(peer, &out);
}

static void header_copy(char *dst, size_t size, const char *message, const char *name)
{
	(void)str_copy(dst, size, sim_header(message, name));
}

static void target_of(struct sim_dialog *dialog, const char *message)
{
	const char *contact = sim_header(message, "Contact"), *from = strchr(contact, '<');
	const char *to = from ? strchr(from, '>') : NULL;

	if (to)
		(void)snprintf(dialog->target, sizeof(dialog->target), "%.*s", (int)(to - from - 1),
			       from + 1);
}

void sim_answer(struct sim_peer *peer, const char *invite, struct sim_dialog *dialog,
		const char *sdp)
{
	char tag[20];

	(void)snprintf(tag, sizeof(tag), "peer%u", ++peer->tags);
	*dialog = (struct sim_dialog){ .peer = peer, .cseq = 100 };
	header_copy(dialog->call_id, sizeof(dialog->call_id), invite, "Call-ID");
	header_copy(dialog->remote, sizeof(dialog->remote), invite, "From");
	(void)snprintf(dialog->local, sizeof(dialog->local), "%.200s;tag=%s",
		       sim_header(invite, "To"), tag);
	target_of(dialog, invite);
	sim_reply(peer, invite, 200, tag, NULL, sdp);
}

void sim_confirm(struct sim_dialog *dialog, const char *response)
{
	header_copy(dialog->remote, sizeof(dialog->remote), response, "To");
	target_of(dialog, response);
}

static void request_lines(struct sim_dialog *dialog, struct buf *out, const char *method,
			  uint32_t cseq, const char *via)
{
	buf_addf(out, "%s %s SIP/2.0\r\nVia: %s\r\nMax-Forwards: 70\r\n", method, dialog->target,
		 via);
	buf_addf(out, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n", dialog->local,
		 dialog->remote, dialog->call_id, cseq, method);
	buf_addf(out, "Contact: <sip:peer@%s>\r\n", dialog->peer->addr);
}

static void new_via(struct sim_dialog *dialog)
{
	static unsigned branches;

	(void)snprintf(dialog->via, sizeof(dialog->via), "SIP/2.0/UDP %s;rport;branch=z9hG4bKsim%u",
		       dialog->peer->addr, ++branches);
}

void sim_request(struct sim_dialog *dialog, const char *method, const char *extra, const char *sdp)
{
	auto_(buf_fini) struct buf out = BUF_MAX(16384);

	new_via(dialog);
	request_lines(dialog, &out, method, ++dialog->cseq, dialog->via);
	if (extra)
		buf_adds(&out, extra);
	finish(&out, sdp);
	put(dialog->peer, &out);
}

void sim_info(struct sim_dialog *dialog, const char *body)
{
	auto_(buf_fini) struct buf out = BUF_MAX(16384);

	new_via(dialog);
	request_lines(dialog, &out, "INFO", ++dialog->cseq, dialog->via);
	buf_addf(&out, "Content-Type: application/dtmf-relay\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(body), body);
	put(dialog->peer, &out);
}

void sim_ack(struct sim_dialog *dialog, const char *sdp)
{
	auto_(buf_fini) struct buf out = BUF_MAX(16384);

	new_via(dialog);
	request_lines(dialog, &out, "ACK", dialog->cseq, dialog->via);
	finish(&out, sdp);
	put(dialog->peer, &out);
}

void sim_call_in(struct sim *sim, struct sim_dialog *dialog, const char *from, const char *sdp)
{
	static unsigned calls;

	*dialog = (struct sim_dialog){ .peer = &sim->provider };
	(void)snprintf(dialog->call_id, sizeof(dialog->call_id), "in%u@provider", ++calls);
	(void)snprintf(dialog->local, sizeof(dialog->local), "<sip:%s@10.0.0.2>;tag=in%u", from,
		       calls);
	(void)snprintf(dialog->remote, sizeof(dialog->remote), "<sip:4930100@10.0.0.2>");
	(void)str_copy(dialog->target, sizeof(dialog->target), sim->line_contact);
	sim_request(dialog, "INVITE",
		    "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\nSupported: timer\r\n",
		    sdp);
}

void sim_cancel(struct sim_dialog *dialog)
{
	auto_(buf_fini) struct buf out = BUF_MAX(16384);
	char to[300];

	(void)str_copy(to, sizeof(to), dialog->remote);
	if (strstr(to, ";tag="))
		*strstr(to, ";tag=") = '\0';
	buf_addf(
		&out,
		"CANCEL %s SIP/2.0\r\nVia: %s\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\n",
		dialog->peer->sim->line_contact, dialog->via, dialog->local, to, dialog->call_id);
	buf_addf(&out, "CSeq: %u CANCEL\r\n", dialog->cseq);
	finish(&out, NULL);
	put(dialog->peer, &out);
}

/* ---- peers ---- */

static bool begins(const char *text, const char *start)
{
	return !strncmp(text, start, strlen(start));
}

/* What every far end does by itself: BYE, OPTIONS, CANCEL and UPDATE are answered; REGISTER as it was told. */
static void automatic(struct sim_peer *peer, const char *text)
{
	char extra[400];

	if (peer->deaf)
		return;
	if (begins(text, "REGISTER ")) {
		const char *contact = sim_header(text, "Contact");

		(void)snprintf(extra, sizeof(extra), "Contact: %s;expires=3600\r\n", contact);
		if (contact[0] == '<')
			(void)snprintf(peer->sim->line_contact, sizeof(peer->sim->line_contact),
				       "%.*s", (int)(strchr(contact, '>') - contact - 1),
				       contact + 1);
		sim_reply(peer, text, peer->register_code ? peer->register_code : 200, "reg", extra,
			  NULL);
	} else if (begins(text, "BYE ") || begins(text, "OPTIONS ") || begins(text, "CANCEL ")) {
		sim_reply(peer, text, 200, "auto", NULL, NULL);
	}
}

static void on_raw(enum sip_transp transport, const struct sa *from, const char *text, size_t len,
		   void *arg)
{
	struct sim_peer *peer = arg;
	struct sim_message *message;

	(void)transport;
	(void)from;
	if (len <= 4)
		return; /* a keepalive */
	bug_on(peer->count >= SIM_INBOX);
	message = &peer->inbox[peer->count++];
	message->text = xstrndup(text, len);
	message->at_ms = peer->sim->now_ms;
	automatic(peer, message->text);
}

static struct sim_message *find(struct sim_peer *peer, const char *start)
{
	for (unsigned i = 0; i < peer->count; i++)
		if (!peer->inbox[i].taken && begins(peer->inbox[i].text, start))
			return &peer->inbox[i];
	return NULL;
}

const char *sim_expect(struct sim_peer *peer, const char *start)
{
	struct sim_message *message = find(peer, start);

	if (!message) {
		for (unsigned i = 0; i < peer->count; i++)
			if (!peer->inbox[i].taken)
				print_message("%s has: %.40s\n", peer->addr, peer->inbox[i].text);
		fail_msg("%s did not get %s", peer->addr, start);
	}
	message->taken = true;
	return message->text;
}

bool sim_heard(struct sim_peer *peer, const char *start)
{
	return find(peer, start) != NULL;
}

unsigned sim_count(struct sim_peer *peer, const char *start)
{
	unsigned count = 0;

	for (unsigned i = 0; i < peer->count; i++)
		count += begins(peer->inbox[i].text, start);
	return count;
}

static void peer_init(struct sim *sim, struct sim_peer *peer, const char *addr)
{
	peer->sim = sim;
	peer->addr = addr;
	sim_raw_bind(sim->net, addr, on_raw, peer);
}

static void peer_fini(struct sim_peer *peer)
{
	for (unsigned i = 0; i < peer->count; i++)
		free(peer->inbox[i].text);
}

/* ---- our side ---- */

static void take_events(struct sim *sim)
{
	struct event_msg msg;

	while (ring_pop(event_bus_journal_ring(sim->bus), &msg)) {
		bug_on(sim->event_count >= ARRAY_LEN(sim->events));
		sim->events[sim->event_count++] = msg.event;
	}
	while (ring_pop(event_bus_hub_ring(sim->bus), &msg))
		event_unref(msg.event);
}

void sim_run(struct sim *sim, uint64_t ms)
{
	sim->now_ms += ms;
	wheel_advance_to(sim->wheel, sim->now_ms);
	/* Media loops answer from other threads; here they have none. */
	engine_media_poll(sim->engine);
	work_reap(sim->home);
	wheel_advance_to(sim->wheel, sim->now_ms);
	take_events(sim);
}

static void on_reply(void *arg, struct reply *reply)
{
	struct sim *sim = arg;

	reply_free(sim->reply);
	sim->reply = reply;
}

struct reply *sim_do(struct sim *sim, struct command *command)
{
	reply_free(sim->reply);
	sim->reply = NULL;
	command->asker = (struct asker){ sim->tenant, sim->anna, ASKER_ADMIN };
	command->on_reply = on_reply;
	command->on_reply_arg = sim;
	call_app_do(sim->app, command);
	take_events(sim);
	return sim->reply;
}

struct reply *sim_make(struct sim *sim, const char *to, enum connect_kind kind)
{
	struct make_call *body = xzalloc(sizeof(*body));

	body->profile = sim->line;
	(void)str_copy(body->to, sizeof(body->to), to);
	body->connect.kind = kind;
	sim_do(sim, &(struct command){ .type = COMMAND_MAKE_CALL, .body = body });
	sim_run(sim, 5);
	return sim->reply;
}

const struct call_view *sim_view(struct sim *sim)
{
	take_events(sim);
	for (unsigned i = sim->event_count; i-- > 0;)
		if (sim->events[i]->call)
			return sim->events[i]->call;
	fail_msg("nothing was said of any call");
	return NULL;
}

struct reply *sim_hangup(struct sim *sim)
{
	sim_do(sim, &(struct command){ .type = COMMAND_HANGUP_CALL, .call_id = sim_view(sim)->id });
	sim_run(sim, 5);
	return sim->reply;
}

unsigned sim_events(struct sim *sim, enum event_type type)
{
	unsigned count = 0;

	take_events(sim);
	for (unsigned i = 0; i < sim->event_count; i++)
		count += sim->events[i]->type == type;
	return count;
}

bool sim_told(struct sim *sim, enum event_type type, const char *what)
{
	take_events(sim);
	for (unsigned i = sim->event_count; i-- > 0;)
		if (sim->events[i]->type == type)
			return sim->events[i]->detail && strstr(sim->events[i]->detail, what);
	return false;
}

void sim_talk(struct sim *sim, struct sim_dialog *phone, struct sim_dialog *far, const char *sdp)
{
	assert_int_equal(sim_make(sim, "0301", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	sim_answer(&sim->phone, sim_expect(&sim->phone, "INVITE"), phone, sim_sdp);
	sim_run(sim, 5);
	(void)sim_expect(&sim->phone, "ACK");
	sim_answer(&sim->provider, sim_expect(&sim->provider, "INVITE sip:0301@"), far, sdp);
	sim_run(sim, 5);
	(void)sim_expect(&sim->provider, "ACK");
	assert_int_equal(sim_view(sim)->state, CALL_ANSWERED);
}

void sim_over(struct sim *sim)
{
	(void)sim_hangup(sim);
	sim_run(sim, 20);
	(void)sim_expect(&sim->provider, "BYE");
	assert_int_equal(sim_events(sim, EVENT_CALL_ENDED), 1);
}

void sim_ended(struct sim *sim, enum end_reason reason, int code, enum hangup_by by)
{
	const struct call_view *view = sim_view(sim);

	assert_string_equal(call_state_names[view->state], "ended");
	assert_string_equal(end_reason_names[view->end_reason], end_reason_names[reason]);
	assert_int_equal(view->sip_code, code);
	assert_int_equal(view->hangup_by, by);
	assert_int_equal(sim_events(sim, EVENT_CALL_CREATED), sim_events(sim, EVENT_CALL_ENDED));
}

/* ---- the stage ---- */

static void put_user(struct sim *sim)
{
	struct user_spec *user = xzalloc(sizeof(*user));
	struct line_spec *line = xzalloc(sizeof(*line));
	struct device_spec *device = xzalloc(sizeof(*device));

	user->id = sim->anna;
	user->tenant = sim->tenant;
	user->active = true;
	(void)str_copy(user->extension, sizeof(user->extension), "100");
	sim_do(sim, &(struct command){ .type = COMMAND_USER_PUT, .body = user });

	line->id = sim->line;
	line->tenant = sim->tenant;
	line->owner = sim->anna;
	line->registers = line->enabled = true;
	line->max_calls = 100;
	line->transport = TRANSPORT_UDP;
	line->port = 5060;
	(void)str_copy(line->server, sizeof(line->server), "10.0.0.2");
	(void)str_copy(line->username, sizeof(line->username), "4930100");
	(void)str_copy(line->password, sizeof(line->password), "secret");
	sim_do(sim, &(struct command){ .type = COMMAND_PROFILE_PUT, .body = line });

	device->id = sim->device;
	device->tenant = sim->tenant;
	device->user = sim->anna;
	(void)str_copy(device->username, sizeof(device->username), "anna1");
	(void)str_copy(device->password, sizeof(device->password), "phone-secret");
	sim_do(sim, &(struct command){ .type = COMMAND_DEVICE_PUT, .body = device });
}

static void quoted(const char *header, const char *name, char *ret, size_t size)
{
	const char *at = strstr(header, name), *end;

	bug_on(!at);
	at += strlen(name) + 2;
	end = strchr(at, '"');
	(void)snprintf(ret, size, "%.*s", (int)(end - at), at);
}

static void credentials(struct buf *out, const char *challenge, const char *method, const char *uri,
			const char *header)
{
	struct digest_input in = { .alg = DIGEST_SHA256, .qop = DIGEST_QOP_AUTH };
	char realm[100], nonce[300], response[DIGEST_HEX_SIZE];

	quoted(challenge, "realm", realm, sizeof(realm));
	quoted(challenge, "nonce", nonce, sizeof(nonce));
	pl_set_str(&in.username, "anna1");
	pl_set_str(&in.realm, realm);
	pl_set_str(&in.nonce, nonce);
	pl_set_str(&in.cnonce, "c");
	pl_set_str(&in.nc, "00000001");
	pl_set_str(&in.secret, "phone-secret");
	pl_set_str(&in.method, method);
	pl_set_str(&in.uri, uri);
	digest_compute(&in, response);
	buf_addf(
		out,
		"%s: Digest username=\"anna1\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", algorithm=SHA-256, qop=auth, "
		"nc=00000001, cnonce=\"c\", response=\"%s\"\r\n",
		header, realm, nonce, uri, response);
}

/* To a refusal: in the INVITE's own transaction. */
static void refusal_ack(struct sim_dialog *dialog, const char *response)
{
	auto_(buf_fini) struct buf out = BUF_MAX(4096);

	buf_addf(&out, "ACK %s SIP/2.0\r\nVia: %s\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\n",
		 dialog->target, dialog->via, dialog->local, sim_header(response, "To"));
	buf_addf(&out, "Call-ID: %s\r\nCSeq: %u ACK\r\n", dialog->call_id, dialog->cseq);
	finish(&out, NULL);
	put(dialog->peer, &out);
}

static void phone_register(struct sim *sim, struct sim_peer *phone)
{
	auto_(buf_fini) struct buf extra = BUF_MAX(2048);
	struct sim_dialog dialog = { .peer = phone };

	(void)snprintf(dialog.call_id, sizeof(dialog.call_id), "reg@%s", phone->addr);
	(void)snprintf(dialog.local, sizeof(dialog.local), "<sip:anna1@jackfield>;tag=r");
	(void)snprintf(dialog.remote, sizeof(dialog.remote), "<sip:anna1@jackfield>");
	(void)snprintf(dialog.target, sizeof(dialog.target), "sip:jackfield");
	sim_request(&dialog, "REGISTER", "Expires: 3600\r\n", NULL);
	sim_run(sim, 5);
	credentials(&extra, sim_header(sim_expect(phone, "SIP/2.0 401"), "WWW-Authenticate"),
		    "REGISTER", "sip:jackfield", "Authorization");
	buf_adds(&extra, "Expires: 3600\r\n");
	sim_request(&dialog, "REGISTER", extra.data, NULL);
	sim_run(sim, 5);
	(void)sim_expect(phone, "SIP/2.0 200");
}

void sim_dial(struct sim_peer *phone, struct sim_dialog *dialog, const char *to)
{
	static unsigned calls;
	auto_(buf_fini) struct buf extra = BUF_MAX(2048);
	const char *challenge;

	*dialog = (struct sim_dialog){ .peer = phone };
	(void)snprintf(dialog->call_id, sizeof(dialog->call_id), "dial%u@phone", ++calls);
	(void)snprintf(dialog->local, sizeof(dialog->local), "<sip:anna1@jackfield>;tag=d");
	(void)snprintf(dialog->remote, sizeof(dialog->remote), "<sip:%s@jackfield>", to);
	(void)snprintf(dialog->target, sizeof(dialog->target), "sip:%s@10.0.0.1", to);
	sim_request(dialog, "INVITE", NULL, sim_sdp);
	sim_run(phone->sim, 5);
	challenge = sim_expect(phone, "SIP/2.0 407");
	refusal_ack(dialog, challenge);
	credentials(&extra, sim_header(challenge, "Proxy-Authenticate"), "INVITE", dialog->target,
		    "Proxy-Authorization");
	sim_request(dialog, "INVITE", extra.data, sim_sdp);
	sim_run(phone->sim, 5);
}

static void engine_make(struct sim *sim, const struct call_limits *limits)
{
	struct engine_setup setup = {
		.stack = sim->stack,
		.media = { .threads = 0, .port_min = 20000, .port_max = 21999 },
		.pool = sim->pool,
		.home = sim->home,
	};
	struct call_app_setup app = { .bus = sim->bus, .limits = *limits };

	bug_on(!media_addr_parse("10.0.0.1", 0, &setup.media.address));
	sim->engine = engine_new(&setup);
	app.engine = sim->engine;
	sim->app = call_app_new(&app);
}

struct sim *sim_new(void)
{
	return sim_new_with(&(struct call_limits){ 0 });
}

struct sim *sim_new_with(const struct call_limits *limits)
{
	struct sim *sim = xzalloc(sizeof(*sim));
	struct wire_limits open = { .rate = 1000000, .burst = 1000000 };
	struct stack_setup stack = { .software = "Jackfield" };
	struct resolver_setup resolver = { 0 };

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	sim->now_ms = 1000;
	sim->wheel = wheel_new_virtual(sim->now_ms, 1800000000ll * 1000000);
	sim->net = sim_net_new(sim->wheel, 1);
	sim->wire = wire_sim_new(sim->net, SIM_OURS, &open);
	resolver.wheel = sim->wheel;
	resolver.wire = sim->wire;
	sim->resolver = resolver_new(&resolver);
	stack.wheel = sim->wheel;
	stack.wire = sim->wire;
	stack.resolver = sim->resolver;
	sim->stack = stack_new(&stack);
	sim->pool = work_pool_new("sim", 1, 16);
	sim->home = ring_new(sizeof(struct work), 16);
	sim->bus = event_bus_new(&(struct event_bus_opts){ 0 });
	sim->tenant = id_new();
	sim->anna = id_new();
	sim->line = id_new();
	sim->device = id_new();
	engine_make(sim, limits);
	peer_init(sim, &sim->provider, SIM_PROVIDER);
	peer_init(sim, &sim->phone, SIM_PHONE);
	peer_init(sim, &sim->phone2, SIM_PHONE2);
	put_user(sim);
	sim_run(sim, 3000);
	(void)sim_expect(&sim->provider, "REGISTER");
	phone_register(sim, &sim->phone);
	phone_register(sim, &sim->phone2);
	return sim;
}

void sim_clean(struct sim *sim)
{
	struct engine_counts engine;
	struct call_counts calls;

	sim_run(sim, 80000);
	sim_run(sim, 5);
	engine_count(sim->engine, &engine);
	call_app_count(sim->app, &calls);
	assert_int_equal(calls.calls, 0);
	assert_int_equal(calls.legs, 0);
	assert_int_equal(engine.channels, 0);
	assert_int_equal(engine.bridges, 0);
	assert_int_equal(engine.streams, 0);
	assert_int_equal(engine.dialogs, 0);
	assert_int_equal(engine.transactions, 0);
	assert_int_equal(engine.lines_registered, 1);
	assert_int_equal(sim_events(sim, EVENT_CALL_CREATED), sim_events(sim, EVENT_CALL_ENDED));
}

void sim_free(struct sim *sim)
{
	reply_free(sim->reply);
	call_app_free(sim->app);
	engine_free(sim->engine);
	work_pool_free(sim->pool);
	work_reap(sim->home);
	ring_free(sim->home);
	stack_free(sim->stack);
	resolver_free(sim->resolver);
	wire_free(sim->wire);
	sim_net_free(sim->net);
	take_events(sim);
	for (unsigned i = 0; i < sim->event_count; i++)
		event_unref(sim->events[i]);
	event_bus_free(sim->bus);
	peer_fini(&sim->provider);
	peer_fini(&sim->phone);
	peer_fini(&sim->phone2);
	wheel_free(sim->wheel);
	free(sim);
}
