#include "call/private.h"

#include <stdio.h>

struct call_gate {
	struct ring *ring;
	size_t capacity;
};

struct call_gate *call_gate_new(size_t capacity)
{
	struct call_gate *gate = xzalloc(sizeof(*gate));

	gate->ring = ring_new(sizeof(struct command), capacity);
	gate->capacity = capacity;
	return gate;
}

void call_gate_free(struct call_gate *gate)
{
	struct command command;

	while (ring_pop(gate->ring, &command)) {
		answer_give(answer_of(&command), reply_new(REPLY_DRAINING));
		command_fini(&command);
	}
	ring_free(gate->ring);
	free(gate);
}

int call_gate_fd(const struct call_gate *gate)
{
	return ring_fd(gate->ring);
}

bool call_gate_next(struct call_gate *gate, struct command *ret)
{
	return ring_pop(gate->ring, ret);
}

void call_gate_rearm(struct call_gate *gate)
{
	ring_ack(gate->ring);
}

void call_gate_again(struct call_gate *gate)
{
	ring_wake(gate->ring);
}

bool call_gate_has_room(const struct call_gate *gate)
{
	return ring_depth(gate->ring) < gate->capacity - gate->capacity / 8;
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
	struct ticket *ticket = ticket_new(reply_free);
	void *reply = NULL;

	command->ticket = ticket;
	if (!call_post(gate, command)) {
		ticket_drop(ticket);
		return NULL;
	}
	if (!ticket_await(ticket, timeout_ms, &reply))
		return NULL;
	return reply;
}

bool call_ask_async(struct call_gate *gate, struct command *command,
		    void (*on_reply)(void *arg, struct reply *reply), void *arg)
{
	command->on_reply = on_reply;
	command->on_reply_arg = arg;
	return call_post(gate, command);
}

static size_t body_size(enum command_type type)
{
	switch (type) {
	case COMMAND_PROFILE_PUT:
	case COMMAND_PROFILE_TEST:
		return sizeof(struct line_spec);
	case COMMAND_DEVICE_PUT:
		return sizeof(struct device_spec);
	case COMMAND_USER_PUT:
		return sizeof(struct user_spec);
	case COMMAND_TENANT_PUT:
		return sizeof(struct tenant_spec);
	case COMMAND_MAKE_CALL:
		return sizeof(struct make_call);
	case COMMAND_ANSWER_CALL:
		return sizeof(struct connect_spec);
	case COMMAND_DTMF:
		return sizeof(struct dtmf_request);
	case COMMAND_TRANSFER:
		return sizeof(struct transfer_wish);
	case COMMAND_RECORD:
		return sizeof(struct record_wish);
	case COMMAND_RECORDING_REPAIRED:
		return sizeof(struct recording_view);
	case COMMAND_RECORDING_DELETED:
		return sizeof(struct recording_deleted);
	case COMMAND_ROOM_PUT:
		return sizeof(struct room_spec);
	case COMMAND_MONITOR:
		return sizeof(struct monitor_wish);
	case COMMAND_MONITOR_CALLS:
		return sizeof(struct monitor_filter);
	case COMMAND_CONFERENCE:
	case COMMAND_CONFERENCE_GET:
		return sizeof(struct conference_wish);
	case COMMAND_PROFILE_DROP:
	case COMMAND_PROFILE_REGISTER:
	case COMMAND_PROFILE_WAIT:
	case COMMAND_REGISTRATIONS:
	case COMMAND_DEVICE_RESTORE:
	case COMMAND_DEVICE_DROP:
	case COMMAND_DEVICES:
	case COMMAND_USER_DROP:
	case COMMAND_HANGUP_CALL:
	case COMMAND_HOLD_CALL:
	case COMMAND_MUTE_LEG:
	case COMMAND_CALLS:
	case COMMAND_CONFERENCES:
	case COMMAND_CALL_GET:
	case COMMAND_SNAPSHOT:
	case COMMAND_DRAIN:
	case COMMAND_STATUS:
		break;
	}
	return 0;
}

void command_fini(struct command *command)
{
	if (command->body) {
		explicit_bzero(command->body, body_size(command->type));
		free(command->body);
	}
	free(command->ids);
	command->body = NULL;
	command->ids = NULL;
}

struct answer answer_of(const struct command *command)
{
	return (struct answer){ command->ticket, command->on_reply, command->on_reply_arg };
}

void answer_give(struct answer answer, struct reply *reply)
{
	if (answer.ticket)
		ticket_give(answer.ticket, reply);
	else if (answer.fn)
		answer.fn(answer.arg, reply);
	else
		reply_free(reply);
}

struct reply *reply_new(enum reply_code code)
{
	struct reply *reply = xzalloc(sizeof(*reply));

	reply->code = code;
	return reply;
}

struct reply *reply_error(enum reply_code code, const char *field, const char *fmt, ...)
{
	struct reply *reply = reply_new(code);
	va_list args;

	if (field)
		(void)str_copy(reply->field, sizeof(reply->field), field);
	va_start(args, fmt);
	(void)vsnprintf(reply->detail, sizeof(reply->detail), fmt, args);
	va_end(args);
	return reply;
}

struct reply *reply_wrong_state(const char *state, const char *detail)
{
	struct reply *reply = reply_error(REPLY_WRONG_STATE, NULL, "%s", detail);

	reply->state = state;
	return reply;
}

struct reply *reply_call(struct call *call)
{
	struct reply *reply = reply_new(REPLY_OK);

	reply->call = call_view_make(call);
	return reply;
}

void reply_free(void *arg)
{
	struct reply *reply = arg;

	if (!reply)
		return;
	free(reply->call);
	free(reply->recording);
	free(reply->monitor);
	for (unsigned i = 0; i < reply->monitor_count; i++)
		free(reply->monitors[i]);
	free(reply->monitors);
	for (unsigned i = 0; reply->calls && i < reply->count; i++)
		free(reply->calls[i]);
	free(reply->calls);
	for (unsigned i = 0; reply->registrations && i < reply->count; i++)
		free(reply->registrations[i]);
	free(reply->registrations);
	for (unsigned i = 0; reply->conferences && i < reply->count; i++)
		free(reply->conferences[i]);
	free(reply->conferences);
	free(reply->text);
	free(reply);
}
