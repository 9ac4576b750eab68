#include "fake_loop.h"

#include "base/base.h"
#include "base/wheel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define PROFILES 4096

struct call_gate {
	struct ring *ring;
};

struct fake_loop {
	struct call_gate gate;
	struct event_bus *bus;
	pthread_t thread;
	struct wheel *wheel;
	struct id profiles[PROFILES];
	unsigned profile_count;
	struct id last_call, last_tenant;
	atomic_uint counts[COMMAND_STATUS + 1];
	atomic_int answers[COMMAND_STATUS + 1];
	atomic_uint wait_ms;
};

struct waiting {
	struct timer timer;
	struct command command;
};

/* ---- What src/call/ gives the API, with this loop behind it ---- */

void command_fini(struct command *command)
{
	free(command->body);
	free(command->ids);
}

void reply_free(void *arg)
{
	struct reply *reply = arg;

	if (!reply)
		return;
	free(reply->call);
	for (unsigned i = 0; i < reply->count; i++) {
		if (reply->calls)
			free(reply->calls[i]);
		if (reply->registrations)
			free(reply->registrations[i]);
	}
	free(reply->calls);
	free(reply->registrations);
	free(reply->text);
	free(reply);
}

bool call_post(struct call_gate *gate, struct command *command)
{
	if (ring_push(gate->ring, command))
		return true;
	command_fini(command);
	return false;
}

struct reply *call_ask(struct call_gate *gate, struct command *command, unsigned timeout_ms)
{
	void *answer = NULL;

	command->ticket = ticket_new(reply_free);
	if (!call_post(gate, command)) {
		ticket_drop(command->ticket);
		return NULL;
	}
	return ticket_await(command->ticket, timeout_ms, &answer) ? answer : NULL;
}

bool call_ask_async(struct call_gate *gate, struct command *command,
		    void (*on_reply)(void *arg, struct reply *reply), void *arg)
{
	command->on_reply = on_reply;
	command->on_reply_arg = arg;
	return call_post(gate, command);
}

/* ---- The loop ---- */

static void give(struct command *command, struct reply *reply)
{
	if (command->ticket)
		ticket_give(command->ticket, reply);
	else if (command->on_reply)
		command->on_reply(command->on_reply_arg, reply);
	else
		reply_free(reply);
	command_fini(command);
}

static bool knows(const struct fake_loop *loop, struct id id)
{
	for (unsigned i = 0; i < loop->profile_count; i++)
		if (id_eq(loop->profiles[i], id))
			return true;
	return false;
}

static void registrations(const struct fake_loop *loop, const struct command *command,
			  struct reply *reply)
{
	reply->count = command->id_count;
	reply->registrations = xzalloc_array(command->id_count, sizeof(*reply->registrations));
	for (unsigned i = 0; i < command->id_count; i++) {
		if (!knows(loop, command->ids[i]))
			continue;
		reply->registrations[i] = registration_view_new(0);
		reply->registrations[i]->profile_id = command->ids[i];
		reply->registrations[i]->state = REG_REGISTERED;
	}
}

static struct call_view *make_view(const struct command *command)
{
	const struct make_call *make = command->body;
	struct call_view *view = call_view_new(0);

	view->id = id_new();
	view->tenant = command->asker.tenant;
	view->user_id = command->asker.user;
	view->profile_id = make->profile;
	view->direction = CALL_OUTGOING;
	view->state = CALL_DIALING;
	view->created_at = clock_wall_us();
	str_copy(view->to, sizeof(view->to), make->to);
	return view;
}

static void call_get(const struct fake_loop *loop, const struct command *command,
		     struct reply *reply)
{
	if (!id_eq(command->call_id, loop->last_call) ||
	    !id_eq(command->asker.tenant, loop->last_tenant)) {
		reply->code = REPLY_NOT_FOUND;
		return;
	}
	reply->call = call_view_new(0);
	reply->call->id = loop->last_call;
	reply->call->tenant = loop->last_tenant;
	reply->call->created_at = clock_wall_us();
}

static void on_waited(struct timer *timer, void *arg)
{
	struct waiting *waiting = arg;

	(void)timer;
	give(&waiting->command, xzalloc(sizeof(struct reply)));
	free(waiting);
}

static void wait_begin(struct fake_loop *loop, const struct command *command)
{
	struct waiting *waiting = xzalloc(sizeof(*waiting));

	waiting->command = *command;
	timer_init(&waiting->timer, loop->wheel, on_waited, waiting);
	timer_start(&waiting->timer, atomic_load(&loop->wait_ms));
}

static void snapshot(struct fake_loop *loop, const struct command *command)
{
	struct event_snapshot *snap = xzalloc(sizeof(*snap));

	snap->client = command->client;
	snap->tenant = command->asker.tenant;
	snap->user_id = command->asker.role == ASKER_AGENT ? command->asker.user : ID_NONE;
	event_snapshot_send(loop->bus, snap);
}

static void carry_out(struct fake_loop *loop, struct command *command)
{
	struct reply *reply = xzalloc(sizeof(*reply));
	int code = atomic_load(&loop->answers[command->type]);

	atomic_fetch_add(&loop->counts[command->type], 1);
	reply->code = (enum reply_code)code;
	if (code != REPLY_OK) {
		reply->state = "ended";
		give(command, reply);
		return;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
	switch (command->type) {
	case COMMAND_PROFILE_PUT:
		if (!knows(loop, command->profile_id) && loop->profile_count < PROFILES)
			loop->profiles[loop->profile_count++] =
				((struct line_spec *)command->body)->id;
		break;
	case COMMAND_REGISTRATIONS:
		registrations(loop, command, reply);
		break;
	case COMMAND_PROFILE_WAIT:
		reply_free(reply);
		wait_begin(loop, command);
		return;
	case COMMAND_PROFILE_TEST:
		reply->text = xstrdup("{\"ok\": true, \"steps\": []}");
		break;
	case COMMAND_DEVICES:
		reply->text = xstrdup("[[{\"contact\": \"sip:a@b\"}]]");
		break;
	case COMMAND_STATUS:
		reply->text = xstrdup("{\"calls\": 0}");
		break;
	case COMMAND_MAKE_CALL:
		reply->call = make_view(command);
		loop->last_call = reply->call->id;
		loop->last_tenant = reply->call->tenant;
		break;
	case COMMAND_CALL_GET:
	case COMMAND_HANGUP_CALL:
	case COMMAND_ANSWER_CALL:
		call_get(loop, command, reply);
		break;
	case COMMAND_SNAPSHOT:
		snapshot(loop, command);
		break;
	default:
		break;
	}
#pragma GCC diagnostic pop
	give(command, reply);
}

static void *loop_main(void *arg)
{
	struct fake_loop *loop = arg;
	struct command command;

	for (;;) {
		struct pollfd pfd = { .fd = ring_fd(loop->gate.ring), .events = POLLIN };
		uint64_t wait = wheel_wait_ms(loop->wheel);

		(void)poll(&pfd, 1, wait > 1000 ? 1000 : (int)wait);
		wheel_advance(loop->wheel);
		ring_ack(loop->gate.ring);
		while (ring_pop(loop->gate.ring, &command)) {
			if (command.type == COMMAND_DRAIN)
				return NULL;
			carry_out(loop, &command);
		}
	}
}

struct fake_loop *fake_loop_new(struct event_bus *bus)
{
	struct fake_loop *loop = xzalloc(sizeof(*loop));

	loop->bus = bus;
	loop->gate.ring = ring_new(sizeof(struct command), 4096);
	loop->wheel = wheel_new();
	bug_on(pthread_create(&loop->thread, NULL, loop_main, loop) != 0);
	return loop;
}

struct fake_loop *fake_loop_free(struct fake_loop *loop)
{
	struct command command = { .type = COMMAND_DRAIN };

	bug_on(!ring_push(loop->gate.ring, &command));
	pthread_join(loop->thread, NULL);
	while (ring_pop(loop->gate.ring, &command))
		command_fini(&command);
	ring_free(loop->gate.ring);
	wheel_free(loop->wheel);
	free(loop);
	return NULL;
}

struct call_gate *fake_loop_gate(struct fake_loop *loop)
{
	return &loop->gate;
}

unsigned fake_loop_count(const struct fake_loop *loop, enum command_type type)
{
	return atomic_load(&((struct fake_loop *)(uintptr_t)loop)->counts[type]);
}

void fake_loop_answer(struct fake_loop *loop, enum command_type type, enum reply_code code)
{
	atomic_store(&loop->answers[type], (int)code);
}

void fake_loop_wait_ms(struct fake_loop *loop, unsigned ms)
{
	atomic_store(&loop->wait_ms, ms);
}
