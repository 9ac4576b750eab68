/* fuzz/tape.c - what a far end sends while it is recorded: any order, any timestamps, any codec, at any time
 *
 * The input is a list of steps of 4 bytes: what, and three of how. Whatever comes, the recording is exactly as long as it
 * lasted, and a pause in it is silent.
 */
#include "fuzz/target.h"
#include "media/private.h"
#include "media/recorder.h"

#include <stdio.h>
#include <unistd.h>

#define STEPS_MAX 400

enum { WHAT_PACKET, WHAT_LATER, WHAT_CODEC, WHAT_PAUSE, WHAT_MUTE, WHAT_ROUND, WHAT_SOURCE, WHATS };

static const enum media_codec codecs[] = { MEDIA_CODEC_PCMU, MEDIA_CODEC_PCMA, MEDIA_CODEC_G722,
					   MEDIA_CODEC_OPUS };

struct scene {
	struct mstream *stream;
	uint64_t number;
	uint16_t seq;
	uint32_t timestamp, ssrc;
	uint64_t began_tick, paused_tick, resumed_tick;
	bool paused;
};

/* The loop and the recorder are made once, as their rings are large. */
static char path[64];
static struct mloop *loop;
static struct recorder *recorder;
static struct media_recorded last_end;
static unsigned ends;

static void on_end(void *arg, const struct media_recorded *end)
{
	(void)arg;
	last_end = *end;
	ends++;
}

static uint64_t tick_now(void)
{
	return loop->now_us / TICK_US;
}

static void packet(struct scene *scene, const uint8_t *how)
{
	uint8_t payload[PACKET_PAYLOAD_MAX];
	struct packet packet = {
		.payload = payload,
		.payload_len = how[2] < 250 ? how[2] : 1400,
		.seq = (uint16_t)(scene->seq + (int8_t)how[0]),
		.timestamp = scene->timestamp + 160u * (uint32_t)(int8_t)how[1],
		.ssrc = scene->ssrc,
		.codec = (uint8_t)scene->stream->rx_audio,
	};

	memset(payload, how[0] ^ how[2], sizeof(payload));
	tap_take(scene->stream, &packet);
	scene->seq++;
	scene->timestamp += 160;
}

static void pause_it(struct scene *scene, bool paused)
{
	if (scene->paused == paused || scene->resumed_tick)
		return; /* one pause, so that it is known where silence must be */
	scene->paused = paused;
	if (paused)
		scene->paused_tick = tick_now();
	else
		scene->resumed_tick = tick_now();
	recorder_pause(recorder, scene->number, paused, tick_now());
}

static void step(struct scene *scene, const uint8_t *data)
{
	switch (data[0] % WHATS) {
	case WHAT_PACKET:
		packet(scene, data + 1);
		break;
	case WHAT_LATER:
		loop->now_us += 1000u * data[1] + 20u * data[2];
		break;
	case WHAT_CODEC:
		scene->stream->rx_audio = codecs[data[1] % ARRAY_LEN(codecs)];
		tap_follow(scene->stream);
		break;
	case WHAT_PAUSE:
		pause_it(scene, data[1] & 1);
		break;
	case WHAT_MUTE:
		scene->stream->muted = data[1] & 1;
		break;
	case WHAT_ROUND:
		recorder_round(recorder, tick_now());
		break;
	default:
		scene->ssrc = data[1];
		scene->seq = (uint16_t)(data[2] << 8 | data[3]);
		scene->timestamp = (uint32_t)data[3] << 24 | data[2];
		break;
	}
}

static void check(const struct scene *scene, const struct media_record *record, uint64_t ticks)
{
	unsigned frame = record->wideband ? 640 : 320;
	struct vault_reader *reader = NULL;
	uint64_t at, until;
	uint8_t byte;
	size_t n;

	if (ends != 1 || last_end.error || last_end.bytes != ticks * frame)
		abort();
	if (!ticks || vault_open(path, record->key, record->label, &reader))
		return;
	at = (scene->paused_tick - scene->began_tick) * frame;
	until = (scene->paused ? scene->began_tick + ticks : scene->resumed_tick) -
		scene->began_tick;
	for (; scene->paused_tick && at < until * frame; at += 31)
		if (vault_read(reader, at, &byte, 1, &n) || n != 1 || byte)
			abort();
	vault_reader_free(reader);
}

static void make(void)
{
	struct recorder_setup setup = { .on_end = on_end };

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	loop = mloop_new(ring_new(sizeof(struct from_loop), 64), "fuzz", 8);
	recorder = recorder_new_manual(&setup);
	if (!loop)
		abort();
	(void)snprintf(path, sizeof(path), "%s/fuzz-tape-%d",
		       access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t number;
	struct scene scene = { .number = ++number };
	struct media_record record = { .path = path, .wideband = size && data[0] & 1 };
	struct mstream *stream = mstream_new((struct media_id){ 0, 1 });
	uint64_t ticks;

	if (!loop)
		make();
	loop->now_us = 1000000000;
	ends = 0;
	(void)unlink(path);
	scene.stream = stream;
	mloop_command(loop, &(struct command){ .kind = CMD_STREAM_ADOPT, .object = stream });
	stream->rx_audio = MEDIA_CODEC_PCMU;
	recorder_open(recorder, scene.number, &record, tick_now());
	scene.began_tick = tick_now();
	recorder_round(recorder, tick_now());
	tap_set(stream,
		tap_new(recorder, scene.number, MEDIA_SIDE_LEFT, record.wideband ? 16000 : 8000));
	for (unsigned i = 0; i < STEPS_MAX && size >= 4; i++, data += 4, size -= 4)
		step(&scene, data);
	ticks = tick_now() - scene.began_tick;
	recorder_close(recorder, scene.number, tick_now());
	tap_set(stream, NULL);
	for (unsigned i = 0; !ends && i < 1000; i++)
		recorder_round(recorder, tick_now() + 100 + i);
	check(&scene, &record, ticks);
	mloop_command(loop, &(struct command){ .kind = CMD_STREAM_CLOSE, .id = { 0, 1 } });
	for (struct from_loop message; ring_pop(loop->events, &message);)
		if (message.note)
			note_drop(message.note);
	(void)unlink(path);
	return 0;
}
