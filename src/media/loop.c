/* A media loop: one thread that owns its streams and bridges.
 *
 * While packets and commands are few it sleeps in epoll until one comes. When they are many it sleeps to
 * the next 5 ms edge first, so that one wake-up serves dozens of them: at 200 calls the wake-ups would
 * otherwise cost as much as the packets. The 20 ms tick falls on every fourth edge.
 */
#include "media/private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BATCH 128
/* Packets and commands in a tenth of a second from which gathering pays (ten two-way calls, or calls
 * that come and go a hundred times a second), and below which it ends.
 */
#define LOAD_WINDOW_US 100000
#define BUSY_FROM 100
#define BUSY_UNTIL 50
#define COMMANDS 8192
#define NICE (-10)
/* Ticks that are made up for after a stall; older ones are lost, as their packets would be useless.
 */
#define TICKS_LATE_MAX 5

METRIC_COUNTER(events_lost, "jackfield_media_events_lost_total",
	       "Media events dropped because the call loop lags", NULL);
METRIC_COUNTER(ticks_lost, "jackfield_media_ticks_lost_total", "Media ticks skipped after a stall",
	       NULL);

/* ---- to the call loop ---- */

bool mloop_event(struct mloop *loop, const struct media_event *event)
{
	struct from_loop message = { .event = *event };

	if (ring_push(loop->events, &message))
		return true;
	metric_add(&events_lost, 1);
	return false;
}

static void flush_notes(struct mloop *loop)
{
	while (loop->unsent) {
		struct note *note = loop->unsent;
		struct note *next = note->next;
		struct from_loop message = { .note = note };

		if (!ring_push(loop->events, &message))
			return;
		loop->unsent = next; /* the note is the call loop's now */
		if (!next)
			loop->unsent_tail = &loop->unsent;
	}
}

void mloop_note(struct mloop *loop, struct note *note)
{
	note->next = NULL;
	*loop->unsent_tail = note;
	loop->unsent_tail = &note->next;
	flush_notes(loop);
}

/* ---- commands ---- */

static struct object *object_get(struct mloop *loop, struct media_id id, enum object_kind kind)
{
	struct object *object = id.index < loop->object_cap ? loop->objects[id.index] : NULL;

	return object && object->kind == kind && media_id_eq(object->id, id) ? object : NULL;
}

static struct mstream *stream_get(struct mloop *loop, struct media_id id)
{
	return (struct mstream *)object_get(loop, id, OBJECT_STREAM);
}

static struct mbridge *bridge_get(struct mloop *loop, struct media_id id)
{
	return (struct mbridge *)object_get(loop, id, OBJECT_BRIDGE);
}

static void object_add(struct mloop *loop, struct object *object)
{
	bug_on(object->id.index >= loop->object_cap || loop->objects[object->id.index]);
	loop->objects[object->id.index] = object;
}

static void stream_leave(struct mloop *loop, struct mstream *stream, enum note_kind kind)
{
	stream_detach(stream);
	loop->left++;
	loop->objects[stream->object.id.index] = NULL;
	stream->note.kind = kind;
	stream->note.object = stream;
}

static void stream_close(struct mloop *loop, struct mstream *stream)
{
	if (stream->player)
		player_end(stream, false);
	report_send(stream, true);
	stream_shut(stream);
	stream_leave(loop, stream, NOTE_CLOSED);
	stream->note.event =
		(struct media_event){ .type = MEDIA_EVENT_CLOSED, .stream = stream->object.id };
	report_quality(stream, &stream->note.event.quality);
	mloop_note(loop, &stream->note);
}

static void bridge_leave(struct mloop *loop, struct mbridge *bridge)
{
	mbridge_close(bridge);
	loop->objects[bridge->object.id.index] = NULL;
	bridge->note.kind = NOTE_BRIDGE;
	bridge->note.object = bridge;
	mloop_note(loop, &bridge->note);
}

static void command_hear(struct mloop *loop, struct mstream *listener,
			 const struct command *command)
{
	struct mbridge *bridge = bridge_get(loop, command->bridge);
	struct mstream *talker = stream_get(loop, command->other);

	if (bridge && talker && talker != listener && listener->bridge == bridge &&
	    talker->bridge == bridge)
		mbridge_hear(listener, talker, command->on);
}

static void command_aside(struct mloop *loop, struct mstream *stream, const struct command *command)
{
	struct mstream *to = command->on ? stream_get(loop, command->other) : NULL;

	if (stream->bridge)
		mbridge_aside(stream, command->on,
			      to && to->bridge == stream->bridge && to != stream ? to : NULL);
}

static void command_stream(struct mloop *loop, struct mstream *stream,
			   const struct command *command)
{
	struct mbridge *bridge;

	switch (command->kind) {
	case CMD_STREAM_MOVE:
		stream_leave(loop, stream, NOTE_MOVED);
		mloop_note(loop, &stream->note);
		break;
	case CMD_STREAM_UPDATE:
		stream_update(stream, command->object);
		break;
	case CMD_STREAM_DIRECTION:
		stream->params.send = command->on;
		if (command->on2 && !stream->params.recv)
			stream->heard_us = loop->now_us; /* the watchdog was suspended */
		stream->params.recv = command->on2;
		plan_stream(stream);
		break;
	case CMD_STREAM_IDLE:
		stream->idle = command->on ? MEDIA_IDLE_SILENCE : MEDIA_IDLE_NOTHING;
		plan_stream(stream);
		break;
	case CMD_STREAM_WATCHDOG:
		stream->params.watchdog_ms = command->ms;
		stream->heard_us = loop->now_us;
		stream->silent = false;
		break;
	case CMD_STREAM_ECHO:
		stream->echo = command->on;
		plan_stream(stream);
		break;
	case CMD_STREAM_CLOSE:
		stream_close(loop, stream);
		break;
	case CMD_DIGIT:
		dial_start(stream, &command->digit);
		break;
	case CMD_LISTEN:
		if (!command->on)
			stream->ear = ear_free(stream->ear);
		else if (!stream->ear)
			stream->ear = ear_new(stream);
		break;
	case CMD_TAKE_OUT:
		if (stream->take_out != command->on) {
			stream->take_out = command->on;
			plan_stream(stream);
		}
		break;
	case CMD_STREAM_TAP:
		tap_set(stream, command->object);
		break;
	case CMD_STOP:
		if (stream->player && media_id_eq(stream->player->id, command->other))
			player_end(stream, false);
		break;
	case CMD_BRIDGE_ADD:
		bridge = bridge_get(loop, command->bridge);
		if (bridge)
			mbridge_add(bridge, stream);
		break;
	case CMD_BRIDGE_REMOVE:
		mbridge_remove(stream);
		break;
	case CMD_BRIDGE_HEAR:
		command_hear(loop, stream, command);
		break;
	case CMD_BRIDGE_MUTE:
		stream->muted = command->on;
		stream->deaf = command->on2;
		plan_stream(stream);
		break;
	case CMD_BRIDGE_GAIN:
		stream->gain = command->gain_db;
		plan_stream(stream);
		break;
	case CMD_BRIDGE_GUEST:
		mbridge_guest(stream);
		break;
	case CMD_BRIDGE_ASIDE:
		command_aside(loop, stream, command);
		break;
	case CMD_BRIDGE_UNRECORDED:
		stream->unrecorded = command->on && stream->bridge;
		plan_stream(stream);
		break;
	case CMD_PLAY:
	case CMD_STREAM_ADOPT:
	case CMD_BRIDGE_ADOPT:
	case CMD_BRIDGE_CLOSE:
	case CMD_BRIDGE_WATCH:
	case CMD_BRIDGE_CHIME:
	case CMD_BRIDGE_TAPE:
	case CMD_QUIT:
		break;
	}
}

void mloop_command(struct mloop *loop, const struct command *command)
{
	struct mstream *stream;
	struct mbridge *bridge;
	struct mplayer *player;

	switch (command->kind) {
	case CMD_QUIT:
		loop->quit = true;
		return;
	case CMD_STREAM_ADOPT:
		stream = command->object;
		object_add(loop, &stream->object);
		stream_attach(stream, loop);
		return;
	case CMD_BRIDGE_ADOPT:
		bridge = command->object;
		bridge->loop = loop;
		object_add(loop, &bridge->object);
		return;
	case CMD_BRIDGE_CLOSE:
		bridge = bridge_get(loop, command->id);
		if (bridge)
			bridge_leave(loop, bridge);
		return;
	case CMD_BRIDGE_WATCH:
		bridge = bridge_get(loop, command->id);
		if (bridge) {
			bridge->watched = command->on;
			plan_bridge(bridge);
		}
		return;
	case CMD_BRIDGE_CHIME:
		bridge = bridge_get(loop, command->id);
		if (bridge)
			mix_chime(bridge, command->object);
		else
			sound_unref(command->object);
		return;
	case CMD_BRIDGE_TAPE:
		bridge = bridge_get(loop, command->id);
		if (bridge)
			mix_tape_set(bridge, command->object);
		else
			mix_tape_free(command->object);
		return;
	case CMD_PLAY:
		player = command->object;
		stream = stream_get(loop, command->id);
		if (stream)
			player_start(stream, player);
		else
			mloop_note(loop, &player->note);
		return;
	case CMD_STREAM_MOVE:
	case CMD_STREAM_UPDATE:
	case CMD_STREAM_DIRECTION:
	case CMD_STREAM_IDLE:
	case CMD_STREAM_WATCHDOG:
	case CMD_STREAM_ECHO:
	case CMD_STREAM_CLOSE:
	case CMD_DIGIT:
	case CMD_LISTEN:
	case CMD_TAKE_OUT:
	case CMD_STREAM_TAP:
	case CMD_STOP:
	case CMD_BRIDGE_ADD:
	case CMD_BRIDGE_REMOVE:
	case CMD_BRIDGE_HEAR:
	case CMD_BRIDGE_MUTE:
	case CMD_BRIDGE_GAIN:
	case CMD_BRIDGE_ASIDE:
	case CMD_BRIDGE_GUEST:
	case CMD_BRIDGE_UNRECORDED:
		stream = stream_get(loop, command->id);
		if (stream)
			command_stream(loop, stream, command);
		else if (command->kind == CMD_STREAM_TAP)
			tap_free(command->object);
		if (command->kind == CMD_STREAM_UPDATE)
			free(command->object);
	}
}

static void run_commands(struct mloop *loop)
{
	struct from_loop wake = { .event = { 0 } };
	struct command command;

	ring_ack(loop->commands);
	while (!loop->quit && ring_pop(loop->commands, &command)) {
		/* A stream that moves here has times of its old loop: ours must not be behind them. */
		loop->now_us = clock_mono_us();
		loop->handled++;
		mloop_command(loop, &command);
	}
	if (atomic_exchange_explicit(&loop->hungry, false, memory_order_acq_rel) &&
	    !ring_push(loop->events, &wake))
		atomic_store(&loop->hungry, true);
}

/* ---- time ---- */

void mloop_tick(struct mloop *loop)
{
	struct mstream *stream, *next;

	for (stream = loop->ticked; stream; stream = next) {
		next = stream->tick_next; /* a player that ends may take its stream off the list */
		if (!stream->dial.inband)
			player_tick(stream);
		if (stream->dial.digit)
			dial_tick(stream);
	}
	for (struct mbridge *bridge = loop->mixing, *then; bridge; bridge = then) {
		then = bridge->mix_next; /* it may not be mixed any more */
		mix_tick(bridge);
	}
}

static void run_ticks(struct mloop *loop)
{
	uint64_t late;

	if (loop->now_us < loop->tick_us)
		return;
	late = (loop->now_us - loop->tick_us) / TICK_US;
	if (late > TICKS_LATE_MAX) {
		loop->tick_us += late * TICK_US;
		metric_add(&ticks_lost, (int64_t)late);
	}
	for (; loop->tick_us <= loop->now_us; loop->tick_us += TICK_US)
		if (loop->ticked || loop->mixing)
			mloop_tick(loop);
	wheel_advance(loop->wheel);
	flush_notes(loop);
}

/* ---- the thread ---- */

static int wait_ms(const struct mloop *loop)
{
	uint64_t now_us = clock_mono_us();
	uint64_t tick_ms = loop->tick_us > now_us ? (loop->tick_us - now_us + 999) / 1000 : 0;
	uint64_t timer_ms;

	if (loop->ticked || loop->mixing || loop->unsent)
		return (int)tick_ms;
	timer_ms = wheel_wait_ms(loop->wheel);
	return timer_ms > 1000 ? 1000 : (int)(timer_ms > tick_ms ? timer_ms : tick_ms);
}

static void sleep_to_edge(uint64_t now_us)
{
	uint64_t edge_us = (now_us / PACE_SLOT_US + 1) * PACE_SLOT_US;
	struct timespec at = { (time_t)(edge_us / 1000000), (long)(edge_us % 1000000 * 1000) };

	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Commands first, as they were given before the packets beside them came. If one took a stream
 * away, the rest of the batch may point to it: level-triggered, what was left undone comes back at
 * once.
 */
static void take_events(struct mloop *loop, const struct epoll_event *events, int n)
{
	unsigned left = loop->left;

	for (int i = 0; i < n; i++)
		if (!events[i].data.u64)
			run_commands(loop);
	for (int i = 0; i < n && loop->left == left; i++) {
		uint64_t tag = events[i].data.u64;

		if (tag)
			stream_readable((struct mstream *)(uintptr_t)(tag & ~1ull), tag & 1);
	}
}

static void wake_up(struct mloop *loop, int timeout_ms)
{
	struct epoll_event events[BATCH];
	int n;

	n = epoll_wait(loop->epoll_fd, events, BATCH, timeout_ms);
	loop->now_us = clock_mono_us();
	take_events(loop, events, n);
	while (n == BATCH) {
		n = epoll_wait(loop->epoll_fd, events, BATCH, 0);
		take_events(loop, events, n);
	}
	pace_run(loop);
	run_ticks(loop);
}

static void measure_load(struct mloop *loop)
{
	if (loop->now_us - loop->window_us < LOAD_WINDOW_US)
		return;
	loop->busy = loop->handled >= (loop->busy ? BUSY_UNTIL : BUSY_FROM);
	if (!loop->busy)
		pace_end(loop);
	loop->handled = 0;
	loop->window_us = loop->now_us;
}

static void *loop_thread(void *arg)
{
	struct mloop *loop = arg;

	prctl(PR_SET_NAME, "media");
	/* Sound cannot wait for a busy machine. Without the right to it things go on as they are. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	while (!loop->quit) {
		if (loop->busy)
			sleep_to_edge(clock_mono_us());
		wake_up(loop, loop->busy ? 0 : wait_ms(loop));
		measure_load(loop);
	}
	return NULL;
}

struct mloop *mloop_new(struct ring *events, const char *cname, uint32_t objects)
{
	struct mloop *loop = xzalloc(sizeof(*loop));
	struct epoll_event event = { .events = EPOLLIN };

	loop->events = events;
	loop->cname = cname;
	loop->object_cap = objects;
	loop->objects = xzalloc_array(objects, sizeof(*loop->objects));
	loop->unsent_tail = &loop->unsent;
	loop->wheel = wheel_new();
	loop->now_us = clock_mono_us();
	loop->tick_us = (loop->now_us / TICK_US + 1) * TICK_US;
	loop->commands = ring_new(sizeof(struct command), COMMANDS);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd >= 0 &&
	    !epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, ring_fd(loop->commands), &event))
		return loop;
	(void)err_newf(errno, "epoll of a media loop");
	return mloop_free(loop);
}

int mloop_start(struct mloop *loop)
{
	int r = pthread_create(&loop->thread, NULL, loop_thread, loop);

	return r ? err_newf(r, "thread of a media loop") : 0;
}

static void drop_commands(struct mloop *loop)
{
	struct command command;

	while (ring_pop(loop->commands, &command))
		command_drop(&command);
}

void note_drop(struct note *note)
{
	if (note->kind == NOTE_PLAYED)
		mplayer_free(note->object);
	else if (note->kind == NOTE_BRIDGE)
		mbridge_free(note->object);
	else if (note->kind == NOTE_CLOSED || note->kind == NOTE_MOVED)
		mstream_free(note->object);
}

struct mloop *mloop_free(struct mloop *loop)
{
	if (!loop)
		return NULL;
	drop_commands(loop);
	for (uint32_t i = 0; i < loop->object_cap; i++) {
		struct object *object = loop->objects[i];

		if (!object || object->kind != OBJECT_STREAM)
			continue;
		stream_leave(loop, (struct mstream *)object, NOTE_CLOSED);
		mstream_free((struct mstream *)object);
	}
	for (uint32_t i = 0; i < loop->object_cap; i++)
		if (loop->objects[i])
			mbridge_free((struct mbridge *)loop->objects[i]);
	while (loop->unsent) {
		struct note *note = loop->unsent;

		loop->unsent = note->next;
		note_drop(note);
	}
	ring_free(loop->commands);
	wheel_free(loop->wheel);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	free(loop->objects);
	free(loop);
	return NULL;
}
