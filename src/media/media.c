/* The pool as the call loop sees it: ids, ports, which loop owns what, and what is on its way.
 *
 * Only the call loop sends commands, so their order is its own. A stream that moves to another loop comes by
 * way of here; what is ordered meanwhile waits in its slot and follows it.
 */
#include "media/media.h"

#include "media/port.h"
#include "media/private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENTS 8192
#define CNAME_SIZE 32
#define INDEX_NONE UINT32_MAX

struct waiting {
	struct waiting *next;
	struct command command;
};

struct queue {
	struct waiting *first, **last;
};

struct slot {
	uint32_t gen;
	uint32_t next_free;
	enum object_kind kind; /* 0: free */
	unsigned loop;
	bool closing, moving;
	struct queue waiting; /* while moving */
	/* streams */
	uint64_t owner;
	uint16_t port;
	union media_addr local;
	struct media_quality quality;
	struct media_id player; /* without loops: what would be playing */
};

struct media {
	struct media_config config;
	char cname[CNAME_SIZE];
	struct port_pool *ports;
	struct ring *events;
	struct mloop **loops;
	struct queue *backlog; /* a loop: commands that did not fit its ring */
	unsigned *load;	       /* streams of a loop */
	struct slot *slots;
	uint32_t cap, first_free;
	uint32_t players;
	unsigned streams;
	unsigned running; /* loops whose threads run */
};

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

static void command_drop(const struct command *command)
{
	if (command->kind == CMD_PLAY)
		mplayer_free(command->object);
	else if (command->kind == CMD_STREAM_ADOPT)
		mstream_free(command->object);
	else if (command->kind == CMD_BRIDGE_ADOPT)
		mbridge_free(command->object);
	else if (command->kind == CMD_STREAM_UPDATE)
		free(command->object);
}

static void queue_drop(struct queue *queue)
{
	struct waiting *waiting;

	while ((waiting = queue_pop(queue))) {
		command_drop(&waiting->command);
		free(waiting);
	}
}

/* ---- objects ---- */

struct mstream *mstream_new(struct media_id id)
{
	struct mstream *stream = xzalloc(sizeof(*stream));

	stream->object.kind = OBJECT_STREAM;
	stream->object.id = id;
	stream->fd = stream->rtcp_fd = -1;
	stream->on_rtp = rx_idle;
	stream->tx = tx_plain;
	stream->params = (struct media_params)MEDIA_PARAMS_INIT;
	stream->rx_audio_pt = MEDIA_PT_NONE;
	sender_init(&stream->sender);
	return stream;
}

struct mstream *mstream_free(struct mstream *stream)
{
	if (!stream)
		return NULL;
	if (stream->fd >= 0) {
		close(stream->fd);
		close(stream->rtcp_fd);
	}
	mplayer_free(stream->player);
	intake_free(stream->intake);
	outlet_free(stream->outlet);
	crypt_free(stream->crypt_tx);
	crypt_free(stream->crypt_rx);
	free(stream->deny);
	free(stream);
	return NULL;
}

struct mbridge *mbridge_free(struct mbridge *bridge)
{
	if (bridge) {
		free(bridge->members);
		free(bridge);
	}
	return NULL;
}

struct mplayer *mplayer_free(struct mplayer *player)
{
	if (player) {
		sound_unref(player->sound);
		free(player);
	}
	return NULL;
}

/* ---- slots ---- */

static struct slot *slot_get(const struct media *media, struct media_id id, enum object_kind kind)
{
	struct slot *slot = id.gen && id.index < media->cap ? &media->slots[id.index] : NULL;

	return slot && slot->kind == kind && slot->gen == id.gen && !slot->closing ? slot : NULL;
}

static struct slot *slot_take(struct media *media, enum object_kind kind, struct media_id *ret_id)
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

static void slot_give(struct media *media, struct slot *slot)
{
	queue_drop(&slot->waiting);
	slot->kind = 0;
	slot->next_free = media->first_free;
	media->first_free = (uint32_t)(slot - media->slots);
}

static unsigned choose_loop(const struct media *media, struct media_id near)
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
	/* It answers with a wake-up once it has drained its ring; a push may have failed just before that. */
	atomic_store_explicit(&media->loops[loop]->hungry, true, memory_order_release);
	flush_backlog(media, loop);
}

static void dispatch(struct media *media, const struct command *command)
{
	struct slot *slot = &media->slots[command->id.index];
	struct slot *other = command->kind == CMD_BRIDGE_HEAR ? slot_get(media, command->other, OBJECT_STREAM) : NULL;

	if (!media->config.threads)
		sim_command(media, slot, command);
	else if (slot->moving)
		queue_add(&slot->waiting, command);
	else if (other && other->moving)
		queue_add(&other->waiting, command);
	else
		loop_send(media, slot->loop, command);
}

static void send_stream(struct media *media, struct command command)
{
	if (slot_get(media, command.id, OBJECT_STREAM))
		dispatch(media, &command);
	else
		command_drop(&command);
}

/* ---- the pool ---- */

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
		snprintf(media->cname, sizeof(media->cname), "%08x%08x%08x", random_u32(), random_u32(),
			 random_u32());
	media->ports = port_pool_new(config->port_min, config->port_max);
	if (!media->config.max_streams || media->config.max_streams > port_pool_size(media->ports))
		media->config.max_streams = port_pool_size(media->ports);
	media->events = ring_new(sizeof(struct from_loop), EVENTS);
	media->loops = xzalloc_array(config->threads + 1, sizeof(*media->loops));
	media->backlog = xzalloc_array(config->threads + 1, sizeof(*media->backlog));
	media->load = xzalloc_array(config->threads + 1, sizeof(*media->load));
	slots_init(media, media->config.max_streams);
	if (config->threads)
		raise_descriptor_limit();
	return loops_start(media) ? media : media_free(media);
}

static void drop_notes(struct media *media)
{
	struct from_loop message;

	while (ring_pop(media->events, &message)) {
		if (!message.note)
			continue;
		if (message.note->kind == NOTE_PLAYED)
			mplayer_free(message.note->object);
		else if (message.note->kind == NOTE_BRIDGE)
			mbridge_free(message.note->object);
		else
			mstream_free(message.note->object);
	}
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
	media->load[slot->loop]--;
	media->streams--;
	metric_add(&open_streams, -1);
	slot_give(media, slot);
}

static void deliver(struct media *media, const struct media_event *from)
{
	struct media_event event = *from;
	struct slot *slot = event.stream.index < media->cap ? &media->slots[event.stream.index] : NULL;

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
	struct command adopt = { .kind = CMD_STREAM_ADOPT, .id = stream->object.id, .object = stream };
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
		else if (message.event.type)
			deliver(media, &message.event);
	}
	for (unsigned i = 0; i < media->config.threads; i++)
		flush_backlog(media, i);
}

void media_inject(struct media *media, const struct media_event *event)
{
	sim_event(media, event);
}

/* ---- streams ---- */

static int stream_bind(struct media *media, struct slot *slot, struct mstream *stream)
{
	int fds[2], r;

	if (!media->config.threads) {
		slot->port = port_take(media->ports);
		return slot->port ? 0 : MEDIA_E_NO_PORT;
	}
	r = port_bind(media->ports, &slot->local, &slot->port, fds);
	if (r)
		return r;
	stream->fd = fds[0];
	stream->rtcp_fd = fds[1];
	return 0;
}

int media_stream_open(struct media *media, const struct media_open *open, struct media_id *ret_id)
{
	struct command adopt = { .kind = CMD_STREAM_ADOPT };
	struct mstream *stream;
	struct media_id id;
	struct slot *slot;
	int r;

	if (media->streams >= media->config.max_streams)
		return port_pool_left(media->ports) ? MEDIA_E_FULL : MEDIA_E_NO_PORT;
	slot = slot_take(media, OBJECT_STREAM, &id);
	if (!slot)
		return MEDIA_E_FULL;
	stream = mstream_new(id);
	slot->owner = open->owner;
	slot->local = open->bind.sa.sa_family ? open->bind : media->config.address;
	r = stream_bind(media, slot, stream);
	if (r) {
		mstream_free(stream);
		slot_give(media, slot);
		return r;
	}
	media_addr_set_port(&slot->local, slot->port);
	slot->loop = choose_loop(media, open->near);
	media->load[slot->loop]++;
	media->streams++;
	metric_add(&open_streams, 1);
	adopt.id = id;
	adopt.object = stream;
	dispatch(media, &adopt);
	*ret_id = id;
	return 0;
}

bool media_stream_local(const struct media *media, struct media_id stream, union media_addr *ret)
{
	const struct slot *slot = slot_get(media, stream, OBJECT_STREAM);

	if (slot)
		*ret = slot->local;
	return slot;
}

void media_stream_update(struct media *media, struct media_id stream, const struct media_params *params)
{
	send_stream(media, (struct command){ .kind = CMD_STREAM_UPDATE,
					     .id = stream,
					     .object = xmemdup(params, sizeof(*params)) });
}

void media_stream_direction(struct media *media, struct media_id stream, bool send, bool recv)
{
	send_stream(media,
		    (struct command){ .kind = CMD_STREAM_DIRECTION, .id = stream, .on = send, .on2 = recv });
}

void media_stream_idle(struct media *media, struct media_id stream, enum media_idle idle)
{
	send_stream(media, (struct command){
				   .kind = CMD_STREAM_IDLE, .id = stream, .on = idle == MEDIA_IDLE_SILENCE });
}

void media_stream_echo(struct media *media, struct media_id stream, bool on)
{
	send_stream(media, (struct command){ .kind = CMD_STREAM_ECHO, .id = stream, .on = on });
}

bool media_stream_quality(const struct media *media, struct media_id stream, struct media_quality *ret)
{
	const struct slot *slot = slot_get(media, stream, OBJECT_STREAM);

	if (slot)
		*ret = slot->quality;
	return slot;
}

void media_stream_close(struct media *media, struct media_id stream)
{
	struct command command = { .kind = CMD_STREAM_CLOSE, .id = stream };
	struct slot *slot = slot_get(media, stream, OBJECT_STREAM);

	if (!slot)
		return;
	slot->closing = true;
	dispatch(media, &command);
}

/* ---- players ---- */

static int gain_of(int gain_db)
{
	static const int steps[] = { /* 20 log10, for -40..12 dB, times GAIN_UNITY */
		41, 46, 52, 58, 65, 73, 82, 92, 103, 115, 130, 145, 163, 183, 205, 230, 259, 290, 326, 365, 410, 460,
		516, 579, 649, 728, 817, 917, 1029, 1154, 1295, 1453, 1631, 1830, 2053, 2303, 2584, 2900, 3254, 3651,
		4096, 4596, 5157, 5786, 6492, 7284, 8173, 9170, 10289, 11544, 12953, 14533, 16306
	};

	return steps[(gain_db < -40 ? -40 : gain_db > 12 ? 12 : gain_db) + 40];
}

struct media_id media_play(struct media *media, struct media_id stream, const struct media_play *play)
{
	struct mplayer *player = xzalloc(sizeof(*player));
	struct media_id id;

	media->players++;
	if (!media->players)
		media->players = 1;
	player->id = (struct media_id){ .index = stream.index, .gen = media->players };
	player->sound = sound_ref(play->sound);
	player->loop = play->loop;
	player->offset_ms = play->offset_ms;
	player->gain = gain_of(play->gain_db);
	player->note.kind = NOTE_PLAYED;
	player->note.object = player;
	player->note.event = (struct media_event){
		.type = MEDIA_EVENT_PLAYED, .stream = stream, .played = { .player = player->id }
	};
	id = player->id; /* the loop may be done with it before we return */
	send_stream(media, (struct command){ .kind = CMD_PLAY, .id = stream, .object = player });
	return id;
}

void media_stop(struct media *media, struct media_id stream, struct media_id player)
{
	send_stream(media, (struct command){ .kind = CMD_STOP, .id = stream, .other = player });
}

/* ---- bridges ---- */

struct media_id media_bridge_open(struct media *media, struct media_id near)
{
	struct command command = { .kind = CMD_BRIDGE_ADOPT };
	struct mbridge *bridge;
	struct slot *slot = slot_take(media, OBJECT_BRIDGE, &command.id);

	if (!slot)
		return MEDIA_NONE;
	slot->loop = choose_loop(media, near);
	bridge = xzalloc(sizeof(*bridge));
	bridge->object.kind = OBJECT_BRIDGE;
	bridge->object.id = command.id;
	bridge->rate = 8000;
	command.object = bridge;
	dispatch(media, &command);
	return command.id;
}

void media_bridge_close(struct media *media, struct media_id bridge)
{
	struct command command = { .kind = CMD_BRIDGE_CLOSE, .id = bridge };
	struct slot *slot = slot_get(media, bridge, OBJECT_BRIDGE);

	if (!slot)
		return;
	slot->closing = true;
	dispatch(media, &command);
}

static void stream_move(struct media *media, struct media_id stream, unsigned to)
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

void media_bridge_add(struct media *media, struct media_id bridge, struct media_id stream)
{
	struct command command = { .kind = CMD_BRIDGE_ADD, .id = stream, .bridge = bridge };
	struct slot *home = slot_get(media, bridge, OBJECT_BRIDGE);
	struct slot *slot = slot_get(media, stream, OBJECT_STREAM);

	if (!home || !slot)
		return;
	if (slot->loop != home->loop)
		stream_move(media, stream, home->loop);
	dispatch(media, &command);
}

void media_bridge_remove(struct media *media, struct media_id stream)
{
	send_stream(media, (struct command){ .kind = CMD_BRIDGE_REMOVE, .id = stream });
}

void media_bridge_hear(struct media *media, struct media_id bridge, struct media_id listener, struct media_id talker,
		       bool hears)
{
	if (slot_get(media, bridge, OBJECT_BRIDGE) && slot_get(media, talker, OBJECT_STREAM))
		send_stream(media, (struct command){ .kind = CMD_BRIDGE_HEAR,
						     .id = listener,
						     .bridge = bridge,
						     .other = talker,
						     .on = hears });
}

void media_bridge_mute(struct media *media, struct media_id stream, bool muted, bool deaf)
{
	send_stream(media, (struct command){ .kind = CMD_BRIDGE_MUTE, .id = stream, .on = muted, .on2 = deaf });
}

void media_bridge_gain(struct media *media, struct media_id stream, int gain_db)
{
	gain_db = gain_db < -40 ? -40 : gain_db > 12 ? 12 : gain_db;
	send_stream(media, (struct command){ .kind = CMD_BRIDGE_GAIN, .id = stream, .gain_db = gain_db });
}
