#include "media/media.h"

#include "media/pool.h"
#include "media/recorder.h"

#include <unistd.h>

/* ---- objects ---- */

struct mstream *mstream_new(struct media_id id)
{
	struct mstream *stream = xzalloc_lines(sizeof(*stream));

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
	stream_shut(stream);
	mplayer_free(stream->player);
	intake_free(stream->intake);
	sieve_free(stream->sieve);
	tap_free(stream->tap);
	outlet_free(stream->outlet);
	ear_free(stream->ear);
	crypt_free(stream->crypt_tx);
	crypt_free(stream->crypt_rx);
	free(stream->deny);
	free(stream);
	return NULL;
}

struct mbridge *mbridge_free(struct mbridge *bridge)
{
	if (bridge) {
		sound_unref(bridge->chime);
		mix_tape_free(bridge->tape);
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
	stream->anywhere = media_addr_host_is_any(&slot->local);
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
	pool_count_stream(media, slot, 1);
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

void media_stream_update(struct media *media, struct media_id stream,
			 const struct media_params *params)
{
	dispatch_stream(media, (struct command){ .kind = CMD_STREAM_UPDATE,
						 .id = stream,
						 .object = xmemdup(params, sizeof(*params)) });
}

void media_stream_direction(struct media *media, struct media_id stream, bool send, bool recv)
{
	dispatch_stream(media, (struct command){ .kind = CMD_STREAM_DIRECTION,
						 .id = stream,
						 .on = send,
						 .on2 = recv });
}

void media_stream_watchdog(struct media *media, struct media_id stream, unsigned watchdog_ms)
{
	dispatch_stream(media, (struct command){ .kind = CMD_STREAM_WATCHDOG,
						 .id = stream,
						 .ms = watchdog_ms });
}

void media_stream_idle(struct media *media, struct media_id stream, enum media_idle idle)
{
	dispatch_stream(media, (struct command){ .kind = CMD_STREAM_IDLE,
						 .id = stream,
						 .on = idle == MEDIA_IDLE_SILENCE });
}

void media_stream_echo(struct media *media, struct media_id stream, bool on)
{
	dispatch_stream(media, (struct command){ .kind = CMD_STREAM_ECHO, .id = stream, .on = on });
}

bool media_stream_quality(const struct media *media, struct media_id stream,
			  struct media_quality *ret)
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
				     41,   46,	 52,   58,    65,    73,    82,	   92,	 103,
				     115,  130,	 145,  163,   183,   205,   230,   259,	 290,
				     326,  365,	 410,  460,   516,   579,   649,   728,	 817,
				     917,  1029, 1154, 1295,  1453,  1631,  1830,  2053, 2303,
				     2584, 2900, 3254, 3651,  4096,  4596,  5157,  5786, 6492,
				     7284, 8173, 9170, 10289, 11544, 12953, 14533, 16306
	};

	return steps[(gain_db < -40 ? -40 : gain_db > 12 ? 12 : gain_db) + 40];
}

struct media_id media_play(struct media *media, struct media_id stream,
			   const struct media_play *play)
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
	player->note.event = (struct media_event){ .type = MEDIA_EVENT_PLAYED,
						   .stream = stream,
						   .played = { .player = player->id } };
	id = player->id; /* the loop may be done with it before we return */
	dispatch_stream(media,
			(struct command){ .kind = CMD_PLAY, .id = stream, .object = player });
	return id;
}

void media_stop(struct media *media, struct media_id stream, struct media_id player)
{
	dispatch_stream(media, (struct command){ .kind = CMD_STOP, .id = stream, .other = player });
}

/* ---- digits ---- */

void media_digit_send(struct media *media, struct media_id stream, const struct media_digit *digit)
{
	dispatch_stream(media,
			(struct command){ .kind = CMD_DIGIT, .id = stream, .digit = *digit });
}

void media_digit_listen(struct media *media, struct media_id stream, bool on)
{
	dispatch_stream(media, (struct command){ .kind = CMD_LISTEN, .id = stream, .on = on });
}

void media_digit_take_out(struct media *media, struct media_id stream, bool on)
{
	dispatch_stream(media, (struct command){ .kind = CMD_TAKE_OUT, .id = stream, .on = on });
}

/* ---- recordings ---- */

static uint64_t tick_now(void)
{
	return clock_mono_us() / TICK_US;
}

uint64_t media_record_open(struct media *media, const struct media_record *record)
{
	recorder_open(media->recorder, ++media->records, record, tick_now());
	return media->records;
}

void media_record_tap(struct media *media, uint64_t number, bool wideband, struct media_id stream,
		      enum media_side side)
{
	struct tap *tap =
		number ? tap_new(media->recorder, number, side, wideband ? 16000 : 8000) : NULL;

	dispatch_stream(media,
			(struct command){ .kind = CMD_STREAM_TAP, .id = stream, .object = tap });
}

void media_record_pause(struct media *media, uint64_t number, bool paused)
{
	recorder_pause(media->recorder, number, paused, tick_now());
}

void media_record_close(struct media *media, uint64_t number)
{
	recorder_close(media->recorder, number, tick_now());
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
	dispatch_stream(media, (struct command){ .kind = CMD_BRIDGE_REMOVE, .id = stream });
}

void media_bridge_hear(struct media *media, struct media_id bridge, struct media_id listener,
		       struct media_id talker, bool hears)
{
	if (slot_get(media, bridge, OBJECT_BRIDGE) && slot_get(media, talker, OBJECT_STREAM))
		dispatch_stream(media, (struct command){ .kind = CMD_BRIDGE_HEAR,
							 .id = listener,
							 .bridge = bridge,
							 .other = talker,
							 .on = hears });
}

void media_bridge_mute(struct media *media, struct media_id stream, bool muted, bool deaf)
{
	dispatch_stream(media,
			(struct command){
				.kind = CMD_BRIDGE_MUTE, .id = stream, .on = muted, .on2 = deaf });
}

void media_bridge_watch(struct media *media, struct media_id bridge, bool on)
{
	struct command command = { .kind = CMD_BRIDGE_WATCH, .id = bridge, .on = on };

	if (slot_get(media, bridge, OBJECT_BRIDGE))
		dispatch(media, &command);
}

void media_bridge_chime(struct media *media, struct media_id bridge, struct sound *sound)
{
	struct command command = { .kind = CMD_BRIDGE_CHIME, .id = bridge };

	if (!slot_get(media, bridge, OBJECT_BRIDGE))
		return;
	command.object = sound_ref(sound);
	dispatch(media, &command);
}

void media_bridge_aside(struct media *media, struct media_id stream, struct media_id to)
{
	dispatch_stream(media, (struct command){ .kind = CMD_BRIDGE_ASIDE,
						 .id = stream,
						 .other = to,
						 .on = !media_id_is_none(to) });
}

void media_bridge_hush(struct media *media, struct media_id stream)
{
	dispatch_stream(media,
			(struct command){ .kind = CMD_BRIDGE_ASIDE, .id = stream, .on = true });
}

void media_bridge_guest(struct media *media, struct media_id stream)
{
	dispatch_stream(media, (struct command){ .kind = CMD_BRIDGE_GUEST, .id = stream });
}

void media_bridge_unrecorded(struct media *media, struct media_id stream, bool unrecorded)
{
	dispatch_stream(media, (struct command){ .kind = CMD_BRIDGE_UNRECORDED,
						 .id = stream,
						 .on = unrecorded });
}

void media_bridge_record(struct media *media, struct media_id bridge, uint64_t number,
			 bool wideband)
{
	struct command command = { .kind = CMD_BRIDGE_TAPE, .id = bridge };
	struct mix_tape *tape;

	if (!slot_get(media, bridge, OBJECT_BRIDGE))
		return;
	if (number) {
		tape = xzalloc(sizeof(*tape));
		tape->recorder = media->recorder;
		tape->number = number;
		tape->rate = wideband ? 16000 : 8000;
		command.object = tape;
	}
	dispatch(media, &command);
}

void media_bridge_gain(struct media *media, struct media_id stream, int gain_db)
{
	gain_db = gain_db < -40 ? -40 : gain_db > 12 ? 12 : gain_db;
	dispatch_stream(media, (struct command){
				       .kind = CMD_BRIDGE_GAIN, .id = stream, .gain_db = gain_db });
}
