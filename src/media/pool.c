/* The pool as the call loop sees it: ids, ports, which loop owns what, and what is on its way.
 *
 * Only the call loop sends commands, so their order is its own. A stream that moves to another loop
 * comes by way of here; what is ordered meanwhile waits in its slot and follows it.
 */
#include "media/pool.h"
#include "media/recorder.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENTS 8192
#define INDEX_NONE UINT32_MAX

METRIC_GAUGE(open_streams, "jackfield_media_streams", "RTP streams open", NULL);

/* ---- queues ---- */

static void queue_init(struct queue *queue)
{
	queue->first = NULL;
	queue->last = &queue->first;
}

static void queue_add(struct queue *queue, const struct command *command)
{
	struct waiting *waiting = xzalloc(sizeof(*waiting));

	waiting->command = *command;
	*queue->last = waiting;
	queue->last = &waiting->next;
}

static struct waiting *queue_pop(struct queue *queue)
{
	struct waiting *waiting = queue->first;

	if (waiting) {
		queue->first = waiting->next;
		if (!queue->first)
			queue->last = &queue->first;
	}
	return waiting;
}

void command_drop(const struct command *command)
{
	if (command->kind == CMD_PLAY)
		mplayer_free(command->object);
	else if (command->kind == CMD_STREAM_ADOPT)
		mstream_free(command->object);
	else if (command->kind == CMD_BRIDGE_ADOPT)
		mbridge_free(command->object);
	else if (command->kind == CMD_STREAM_UPDATE)
		free(command->object);
	else if (command->kind == CMD_BRIDGE_CHIME)
		sound_unref(command->object);
	else if (command->kind == CMD_STREAM_TAP)
		tap_free(command->object);
	else if (command->kind == CMD_BRIDGE_TAPE)
		mix_tape_free(command->object);
}

static void queue_drop(struct queue *queue)
{
	struct waiting *waiting;

	while ((waiting = queue_pop(queue))) {
		command_drop(&waiting->command);
		free(waiting);
	}
}

/* ---- slots ---- */

struct slot *slot_get(const struct media *media, struct media_id id, enum object_kind kind)
{
	struct slot *slot = id.gen && id.index < media->cap ? &media->slots[id.index] : NULL;

	return slot && slot->kind == kind && slot->gen == id.gen && !slot->closing ? slot : NULL;
}

struct slot *slot_take(struct media *media, enum object_kind kind, struct media_id *ret_id)
{
	struct slot *slot;

	if (media->first_free == INDEX_NONE)
		return NULL;
	*ret_id = (struct media_id){ .index = media->first_free };
	slot = &media->slots[media->first_free];
	media->first_free = slot->next_free;
	slot->gen++;
	if (!slot->gen)
		slot->gen = 1;
	ret_id->gen = slot->gen;
	*slot = (struct slot){ .gen = slot->gen, .kind = kind };
	queue_init(&slot->waiting);
	return slot;
}

void slot_give(struct media *media, struct slot *slot)
{
	queue_drop(&slot->waiting);
	slot->kind = 0;
	slot->next_free = media->first_free;
	media->first_free = (uint32_t)(slot - media->slots);
}

unsigned choose_loop(const struct media *media, struct media_id near)
{
	const struct slot *slot = slot_get(media, near, OBJECT_STREAM);
	unsigned best = 0;

	if (!slot)
		slot = slot_get(media, near, OBJECT_BRIDGE);
	if (slot)
		return slot->loop;
	for (unsigned i = 1; i < media->config.threads; i++)
		if (media->load[i] < media->load[best])
			best = i;
	return best;
}

/* ---- without loops ---- */

static void sim_event(struct media *media, const struct media_event *event)
{
	struct from_loop message = { .event = *event };

	if (!ring_push(media->events, &message))
		log_error("media events do not fit, nobody polls");
}

static void sim_play_end(struct media *media, struct slot *slot, struct media_id stream)
{
	struct media_event event = { .type = MEDIA_EVENT_PLAYED, .stream = stream };

	if (media_id_is_none(slot->player))
		return;
	event.played.player = slot->player;
	slot->player = MEDIA_NONE;
	sim_event(media, &event);
}

static void sim_command(struct media *media, struct slot *slot, const struct command *command)
{
	struct media_event closed = { .type = MEDIA_EVENT_CLOSED, .stream = command->id };

	if (command->kind == CMD_STREAM_CLOSE) {
		sim_event(media, &closed);
	} else if (command->kind == CMD_BRIDGE_CLOSE) {
		slot_give(media, slot);
	} else if (command->kind == CMD_PLAY) {
		sim_play_end(media, slot, command->id);
		slot->player = ((struct mplayer *)command->object)->id;
	} else if (command->kind == CMD_STOP && media_id_eq(slot->player, command->other)) {
		sim_play_end(media, slot, command->id);
	}
	command_drop(command);
}

/* ---- commands ---- */

static void flush_backlog(struct media *media, unsigned loop)
{
	struct queue *queue = &media->backlog[loop];

	while (queue->first && ring_push(media->loops[loop]->commands, &queue->first->command))
		free(queue_pop(queue));
}

static void loop_send(struct media *media, unsigned loop, const struct command *command)
{
	struct queue *queue = &media->backlog[loop];

	flush_backlog(media, loop);
	if (!queue->first && ring_push(media->loops[loop]->commands, command))
		return;
	queue_add(queue, command);
	/* It answers with a wake-up once it has drained its ring; a push may have failed just
	 * before that.
	 */
	atomic_store_explicit(&media->loops[loop]->hungry, true, memory_order_release);
	flush_backlog(media, loop);
}

void dispatch(struct media *media, const struct command *command)
{
	struct slot *slot = &media->slots[command->id.index];
	struct slot *other = command->kind == CMD_BRIDGE_HEAR
				     ? slot_get(media, command->other, OBJECT_STREAM)
				     : NULL;

	if (!media->config.threads)
		sim_command(media, slot, command);
	else if (slot->moving)
		queue_add(&slot->waiting, command);
	else if (other && other->moving)
		queue_add(&other->waiting, command);
	else
		loop_send(media, slot->loop, command);
}

void dispatch_stream(struct media *media, struct command command)
{
	if (slot_get(media, command.id, OBJECT_STREAM))
		dispatch(media, &command);
	else
		command_drop(&command);
}

void stream_move(struct media *media, struct media_id stream, unsigned to)
{
	struct command move = { .kind = CMD_STREAM_MOVE, .id = stream };
	struct slot *slot = &media->slots[stream.index];

	if (!slot->moving)
		loop_send(media, slot->loop, &move);
	media->load[slot->loop]--;
	media->load[to]++;
	slot->loop = to;
	slot->moving = true;
}

void pool_count_stream(struct media *media, struct slot *slot, int change)
{
	media->load[slot->loop] += (unsigned)change;
	media->streams += (unsigned)change;
	metric_add(&open_streams, change);
}

/* ---- the pool ---- */

/* On the recorder's thread, which may wait. While the pool ends nobody polls any more. */
static void on_recorded(void *arg, const struct media_recorded *end)
{
	struct media *media = arg;
	struct from_loop message = { .event = { .type = MEDIA_EVENT_RECORDED, .recorded = *end } };

	while (!ring_push(media->events, &message) && !atomic_load(&media->ending))
		usleep(1000);
}

static struct recorder *recorder_make(struct media *media)
{
	const struct recorder_setup setup = {
		.before_files = media->config.before_files,
		.arg = media->config.before_files_arg,
		.on_end = on_recorded,
		.end_arg = media,
		.min_free = media->config.disk_min_free,
	};

	return recorder_new(&setup);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void slots_init(struct media *media, unsigned streams)
{
	media->cap = 2 * streams + 1; /* each stream may have a bridge of its own */
	media->slots = xzalloc_array(media->cap, sizeof(*media->slots));
	media->first_free = INDEX_NONE;
	for (uint32_t i = media->cap; i-- > 0;) {
		media->slots[i].next_free = media->first_free;
		media->first_free = i;
	}
}

static bool loops_start(struct media *media)
{
	for (unsigned i = 0; i < media->config.threads; i++) {
		queue_init(&media->backlog[i]);
		media->loops[i] = mloop_new(media->events, media->cname, media->cap);
		if (!media->loops[i])
			return false;
	}
	for (; media->running < media->config.threads; media->running++)
		if (mloop_start(media->loops[media->running]))
			return false;
	return true;
}

struct media *media_new(const struct media_config *config)
{
	struct media *media = xzalloc(sizeof(*media));

	media->config = *config;
	if (config->cname)
		str_copy(media->cname, sizeof(media->cname), config->cname);
	else
		snprintf(media->cname, sizeof(media->cname), "%08x%08x%08x", random_u32(),
			 random_u32(), random_u32());
	media->ports = port_pool_new(config->port_min, config->port_max);
	if (!media->config.max_streams || media->config.max_streams > port_pool_size(media->ports))
		media->config.max_streams = port_pool_size(media->ports);
	media->events = ring_new(sizeof(struct from_loop), EVENTS);
	media->loops = xzalloc_array(config->threads + 1, sizeof(*media->loops));
	media->backlog = xzalloc_array(config->threads + 1, sizeof(*media->backlog));
	media->load = xzalloc_array(config->threads + 1, sizeof(*media->load));
	media->recorder = recorder_make(media);
	slots_init(media, media->config.max_streams);
	if (config->threads)
		raise_descriptor_limit();
	return loops_start(media) ? media : media_free(media);
}

static void drop_notes(struct media *media)
{
	struct from_loop message;

	while (ring_pop(media->events, &message))
		if (message.note)
			note_drop(message.note);
}

struct media *media_free(struct media *media)
{
	struct command quit = { .kind = CMD_QUIT };

	if (!media)
		return NULL;
	for (unsigned i = 0; i < media->running; i++) {
		while (!ring_push(media->loops[i]->commands, &quit))
			usleep(1000); /* it drains */
		pthread_join(media->loops[i]->thread, NULL);
	}
	atomic_store(&media->ending, true);
	drop_notes(media);
	for (unsigned i = 0; i < media->config.threads; i++) {
		if (media->backlog[i].last)
			queue_drop(&media->backlog[i]);
		mloop_free(media->loops[i]);
	}
	drop_notes(media); /* a loop ends its players when it goes */
	for (uint32_t i = 0; i < media->cap; i++)
		if (media->slots[i].kind)
			queue_drop(&media->slots[i].waiting);
	/* After the streams, whose taps have a last word. */
	recorder_free(media->recorder);
	drop_notes(media);
	metric_add(&open_streams, -(int64_t)media->streams);
	ring_free(media->events);
	port_pool_free(media->ports);
	free(media->slots);
	free(media->load);
	free(media->backlog);
	free(media->loops);
	free(media);
	return NULL;
}

int media_fd(const struct media *media)
{
	return ring_fd(media->events);
}

unsigned media_stream_count(const struct media *media)
{
	return media->streams;
}

unsigned media_ports_free(const struct media *media)
{
	return port_pool_left(media->ports);
}

/* ---- from the loops ---- */

static void stream_closed(struct media *media, struct slot *slot)
{
	port_give(media->ports, slot->port);
	pool_count_stream(media, slot, -1);
	slot_give(media, slot);
}

static void deliver_recorded(struct media *media, const struct media_event *from)
{
	struct media_event event = *from;

	event.owner = event.recorded.owner;
	if (media->config.on_event)
		media->config.on_event(&event, media->config.arg);
}

static void deliver(struct media *media, const struct media_event *from)
{
	struct media_event event = *from;
	struct slot *slot =
		event.stream.index < media->cap ? &media->slots[event.stream.index] : NULL;

	if (!slot || slot->kind != OBJECT_STREAM || slot->gen != event.stream.gen)
		return;
	if (slot->closing && event.type != MEDIA_EVENT_CLOSED)
		return;
	event.owner = slot->owner;
	if (event.type == MEDIA_EVENT_QUALITY)
		slot->quality = event.quality;
	if (event.type == MEDIA_EVENT_CLOSED)
		stream_closed(media, slot);
	if (event.type == MEDIA_EVENT_PLAYED && media_id_eq(slot->player, event.played.player))
		slot->player = MEDIA_NONE;
	if (media->config.on_event)
		media->config.on_event(&event, media->config.arg);
}

static void stream_moved(struct media *media, struct mstream *stream)
{
	struct slot *slot = &media->slots[stream->object.id.index];
	struct command adopt = { .kind = CMD_STREAM_ADOPT,
				 .id = stream->object.id,
				 .object = stream };
	struct waiting *waiting;

	loop_send(media, slot->loop, &adopt);
	slot->moving = false;
	while (!slot->moving && (waiting = queue_pop(&slot->waiting))) {
		dispatch(media, &waiting->command);
		free(waiting);
	}
}

static void take_note(struct media *media, struct note *note)
{
	struct media_event event = note->event;

	switch (note->kind) {
	case NOTE_CLOSED:
		mstream_free(note->object);
		deliver(media, &event);
		break;
	case NOTE_PLAYED:
		mplayer_free(note->object);
		deliver(media, &event);
		break;
	case NOTE_MOVED:
		stream_moved(media, note->object);
		break;
	case NOTE_BRIDGE:
		slot_give(media, &media->slots[((struct mbridge *)note->object)->object.id.index]);
		mbridge_free(note->object);
		break;
	case NOTE_EVENT:
	case NOTE_WAKE:
		break;
	}
}

void media_poll(struct media *media)
{
	struct from_loop message;

	ring_ack(media->events);
	while (ring_pop(media->events, &message)) {
		if (message.note)
			take_note(media, message.note);
		else if (message.event.type == MEDIA_EVENT_RECORDED)
			deliver_recorded(media, &message.event);
		else if (message.event.type)
			deliver(media, &message.event);
	}
	for (unsigned i = 0; i < media->config.threads; i++)
		flush_backlog(media, i);
	recorder_flush(media->recorder);
}

void media_inject(struct media *media, const struct media_event *event)
{
	sim_event(media, event);
}
