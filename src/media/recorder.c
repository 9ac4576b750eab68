#include "media/recorder.h"

#include "base/metric.h"
#include "base/hmap.h"
#include "media/private.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ORDERS 4096
#define FRAMES 32768 /* three seconds of a hundred recorded calls */
#define ROUND_US 50000
#define BEHIND 20 /* ticks that a frame may be late */
#define WINDOW 32 /* ticks kept open; more than BEHIND */
#define TICK_MAX (2 * RECORD_PART)
#define HASH_CHUNKS 32 /* a round: half a MiB */
#define FREE_CHECK_ROUNDS 20

METRIC_GAUGE(recordings_now, "jackfield_recordings", "Recordings being written", NULL);
METRIC_COUNTER(frames_lost, "jackfield_recording_frames_lost_total",
	       "Frames of 20 ms that became silence", "reason=\"ring\"");
METRIC_COUNTER(frames_late, "jackfield_recording_frames_lost_total",
	       "Frames of 20 ms that became silence", "reason=\"late\"");
METRIC_COUNTER(bytes_total, "jackfield_recording_bytes_total", "Bytes of sound recorded", NULL);
METRIC_COUNTER(failed_total, "jackfield_recordings_failed_total", "Recordings that broke off",
	       NULL);

enum order_kind { ORDER_OPEN, ORDER_PAUSE, ORDER_RESUME, ORDER_CLOSE, ORDER_QUIT };

struct order {
	enum order_kind kind;
	uint64_t number, tick;
	struct media_record *record; /* OPEN: handed over, path beside it */
};

/* An order that the ring did not take: none may be lost, least of all a pause. */
struct late_order {
	struct order order;
	struct late_order *next;
};

struct window_tick {
	bool said[2];
	int16_t pcm[2][TICK_MAX];
};

enum phase { WAITING, RUNNING, HASHING };

struct recording {
	struct hnode node;
	struct recording *next, **link;
	uint64_t number;
	struct media_record record; /* its path is ours */
	enum phase phase;
	struct vault *vault;
	uint64_t first, cursor, end; /* ticks; end: 0 while it runs */
	uint64_t paused_at, resumed_at;
	bool paused;
	int error;
	struct vault_reader *reader;
	struct wav_hash *hash;
	struct window_tick window[WINDOW];
};

struct recorder {
	struct recorder_setup setup;
	struct ring *orders;
	struct ring *frames;
	struct late_order *late, **late_end; /* the call loop's */
	pthread_t thread;
	bool started, manual, quit;
	struct hmap by_number;
	struct recording *all;
	unsigned rounds;
};

static uint64_t hash_of(uint64_t number)
{
	return number * 0x9e3779b97f4a7c15ull;
}

static struct recording *find(struct recorder *recorder, uint64_t number)
{
	for (struct hnode *node = hmap_first(&recorder->by_number, hash_of(number)); node;
	     node = hmap_same(node)) {
		struct recording *recording = container_of_(node, struct recording, node);

		if (recording->number == number)
			return recording;
	}
	return NULL;
}

static unsigned tick_samples(const struct recording *recording)
{
	return recording->record.wideband ? TICK_MAX : RECORD_PART;
}

static unsigned channels_of(const struct recording *recording)
{
	return recording->record.stereo ? 2 : 1;
}

static struct window_tick *window_at(struct recording *recording, uint64_t tick)
{
	return &recording->window[tick % WINDOW];
}

/* ---- its end ---- */

static void drop(struct recorder *recorder, struct recording *recording)
{
	hmap_del(&recorder->by_number, &recording->node);
	*recording->link = recording->next;
	if (recording->next)
		recording->next->link = recording->link;
	vault_free(recording->vault);
	wav_hash_free(recording->hash);
	vault_reader_free(recording->reader);
	free((char *)recording->record.path);
	explicit_bzero(recording, sizeof(*recording));
	free(recording);
	metric_add(&recordings_now, -1);
}

static void tell(struct recorder *recorder, struct recording *recording, uint64_t bytes)
{
	struct media_recorded end = {
		.number = recording->number,
		.owner = recording->record.owner,
		.error = recording->error,
		.bytes = bytes,
		.ms = bytes / (channels_of(recording) * 2u) * 1000 /
		      (recording->record.wideband ? 16000 : 8000),
	};

	if (recording->error)
		metric_add(&failed_total, 1);
	if (bytes && recording->hash)
		wav_hash_text(recording->hash, end.sha256);
	if (recorder->setup.on_end)
		recorder->setup.on_end(recorder->setup.end_arg, &end);
}

/* What was written is read back: that it can be, and what its hash is. */
static void begin_hashing(struct recorder *recorder, struct recording *recording)
{
	int r = 0;

	if (recording->vault) {
		r = vault_finish(recording->vault);
		recording->vault = vault_free(recording->vault);
	}
	if (!recording->error)
		recording->error = r;
	recording->phase = HASHING;
	r = vault_open(recording->record.path, recording->record.key, recording->record.label,
		       &recording->reader);
	if (!r && vault_size(recording->reader)) {
		recording->hash = wav_hash_new(recording->reader);
		return;
	}
	if (r && !recording->error)
		recording->error = -EIO;
	tell(recorder, recording, 0);
	drop(recorder, recording);
}

static void hash_on(struct recorder *recorder, struct recording *recording, unsigned chunks)
{
	if (!wav_hash_step(recording->hash, chunks))
		return;
	if (wav_hash_damaged(recording->hash) && !recording->error)
		recording->error = -EIO;
	tell(recorder, recording, vault_size(recording->reader));
	drop(recorder, recording);
}

/* ---- from frames to the file ---- */

/* One tick as it goes to the file; silence where nobody spoke. */
static unsigned weave(const struct recording *recording, const struct window_tick *tick,
		      int16_t out[static 2 * TICK_MAX])
{
	unsigned samples = tick_samples(recording);

	for (unsigned i = 0; i < samples; i++) {
		int left = tick->said[0] ? tick->pcm[0][i] : 0;
		int right = tick->said[1] ? tick->pcm[1][i] : 0;

		if (recording->record.stereo) {
			out[2 * i] = (int16_t)left;
			out[2 * i + 1] = (int16_t)right;
		} else {
			out[i] = pcm_clip(left + right);
		}
	}
	return samples * channels_of(recording) * 2;
}

static void advance(struct recording *recording, uint64_t until)
{
	int16_t out[2 * TICK_MAX];

	if (recording->end && until > recording->end)
		until = recording->end;
	for (; recording->cursor < until && !recording->error; recording->cursor++) {
		struct window_tick *tick = window_at(recording, recording->cursor);
		unsigned bytes = weave(recording, tick, out);

		tick->said[0] = tick->said[1] = false;
		recording->error = vault_append(recording->vault, out, bytes);
		metric_add(&bytes_total, bytes);
	}
}

struct frame_part {
	uint64_t tick;
	unsigned side, from, count;
	const int16_t *pcm;
};

static bool is_paused_at(const struct recording *recording, uint64_t tick)
{
	return tick >= recording->paused_at && (recording->paused || tick < recording->resumed_at);
}

/* Several who share a side (a conference in mono) are heard together. */
static void add(struct window_tick *tick, const struct frame_part *part, unsigned samples)
{
	int16_t *to = tick->pcm[part->side] + part->from;

	if (!tick->said[part->side]) {
		memset(tick->pcm[part->side], 0, samples * sizeof(*to));
		tick->said[part->side] = true;
		memcpy(to, part->pcm, part->count * sizeof(*to));
		return;
	}
	for (unsigned i = 0; i < part->count; i++)
		to[i] = pcm_clip(to[i] + part->pcm[i]);
}

static void take_part(struct recording *recording, const struct frame_part *part)
{
	uint64_t tick = part->tick;

	if (tick < recording->first || is_paused_at(recording, tick) ||
	    (recording->end && tick >= recording->end))
		return;
	if (tick < recording->cursor) {
		metric_add(&frames_late, 1);
		return;
	}
	if (tick >= recording->cursor + WINDOW)
		advance(recording, tick - WINDOW + 1);
	add(window_at(recording, tick), part, tick_samples(recording));
}

/* A frame may lie across two ticks. */
static void take_frame(struct recorder *recorder, const struct record_frame *frame)
{
	struct recording *recording = find(recorder, frame->number);
	struct frame_part part = { .side = frame->side, .pcm = frame->pcm };
	unsigned samples, left = frame->count;

	if (!recording || recording->phase != RUNNING || frame->side > 1 ||
	    frame->count > RECORD_PART)
		return;
	samples = tick_samples(recording);
	part.tick = frame->at / samples;
	part.from = (unsigned)(frame->at % samples);
	for (; left; left -= part.count) {
		part.count = left < samples - part.from ? left : samples - part.from;
		take_part(recording, &part);
		part.pcm += part.count;
		part.from = 0;
		part.tick++;
	}
}

/* ---- orders ---- */

/* The directory of a file, and the one above it. */
static void make_dirs(const char *path)
{
	auto_(free) char *dir = xstrdup(path);
	char *last = strrchr(dir, '/'), *above;

	if (!last)
		return;
	*last = '\0';
	above = strrchr(dir, '/');
	if (above && above != dir) {
		*above = '\0';
		(void)!mkdir(dir, 0700);
		*above = '/';
	}
	(void)!mkdir(dir, 0700); /* what could not be made shows when the file is */
}

static bool disk_has_room(const struct recorder *recorder, const char *path)
{
	auto_(free) char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	struct statvfs disk;

	if (slash)
		*slash = '\0';
	return statvfs(dir, &disk) ||
	       (uint64_t)disk.f_bavail * disk.f_frsize >= recorder->setup.min_free;
}

static void order_open(struct recorder *recorder, const struct order *order)
{
	struct recording *recording = xzalloc(sizeof(*recording));

	recording->number = order->number;
	recording->record = *order->record;
	recording->first = recording->cursor = order->tick;
	recording->paused_at = UINT64_MAX;
	recording->phase = WAITING;
	explicit_bzero(order->record, sizeof(*order->record));
	free(order->record);
	hmap_add(&recorder->by_number, &recording->node, hash_of(recording->number));
	recording->next = recorder->all;
	recording->link = &recorder->all;
	if (recording->next)
		recording->next->link = &recording->next;
	recorder->all = recording;
	metric_add(&recordings_now, 1);
}

static void order_pause(struct recording *recording, const struct order *order)
{
	recording->paused = order->kind == ORDER_PAUSE;
	if (!recording->paused) {
		recording->resumed_at = order->tick;
		return;
	}
	recording->paused_at = order->tick;
	for (uint64_t tick = order->tick > recording->cursor ? order->tick : recording->cursor;
	     tick < recording->cursor + WINDOW; tick++)
		window_at(recording, tick)->said[0] = window_at(recording, tick)->said[1] = false;
}

static void take_orders(struct recorder *recorder)
{
	struct recording *recording;
	struct order order;

	while (ring_pop(recorder->orders, &order)) {
		if (order.kind == ORDER_QUIT) {
			recorder->quit = true;
			continue;
		}
		if (order.kind == ORDER_OPEN) {
			order_open(recorder, &order);
			continue;
		}
		recording = find(recorder, order.number);
		if (!recording)
			continue;
		if (order.kind == ORDER_CLOSE)
			recording->end = order.tick;
		else
			order_pause(recording, &order);
	}
}

/* Files are made together, after what is known of them was kept. */
static void begin_files(struct recorder *recorder)
{
	bool kept = false;

	for (struct recording *recording = recorder->all; recording; recording = recording->next) {
		struct vault_form form = { recording->record.wideband ? 16000 : 8000,
					   channels_of(recording) };

		if (recording->phase != WAITING)
			continue;
		if (!kept && recorder->setup.before_files)
			recorder->setup.before_files(recorder->setup.arg);
		kept = true;
		recording->phase = RUNNING;
		make_dirs(recording->record.path);
		recording->error =
			disk_has_room(recorder, recording->record.path)
				? vault_create(recording->record.path, recording->record.key,
					       recording->record.label, &form, &recording->vault)
				: -ENOSPC;
	}
}

/* ---- the thread ---- */

static void check_disk(struct recorder *recorder)
{
	if (++recorder->rounds % FREE_CHECK_ROUNDS)
		return;
	for (struct recording *recording = recorder->all; recording; recording = recording->next)
		if (recording->phase == RUNNING && !recording->error &&
		    !disk_has_room(recorder, recording->record.path))
			recording->error = -ENOSPC;
}

static void step_all(struct recorder *recorder, uint64_t now_tick)
{
	struct recording *recording, *next;

	for (recording = recorder->all; recording; recording = next) {
		next = recording->next;
		if (recording->phase == HASHING) {
			hash_on(recorder, recording, HASH_CHUNKS);
			continue;
		}
		if (!recording->error)
			advance(recording, now_tick > BEHIND ? now_tick - BEHIND : 0);
		if (recording->error || (recording->end && now_tick >= recording->end + BEHIND)) {
			if (!recording->error)
				advance(recording, recording->end);
			begin_hashing(recorder, recording);
		}
	}
}

void recorder_round(struct recorder *recorder, uint64_t now_tick)
{
	struct record_frame frame;

	take_orders(recorder);
	begin_files(recorder);
	while (ring_pop(recorder->frames, &frame))
		take_frame(recorder, &frame);
	check_disk(recorder);
	step_all(recorder, now_tick);
}

static uint64_t tick_now(void)
{
	return clock_mono_us() / TICK_US;
}

static void finish_all(struct recorder *recorder)
{
	for (struct recording *recording = recorder->all; recording; recording = recording->next)
		if (!recording->end)
			recording->end = tick_now();
	while (recorder->all)
		recorder_round(recorder, tick_now() + BEHIND);
}

static void *recorder_main(void *arg)
{
	struct recorder *recorder = arg;
	struct pollfd fd = { .fd = ring_fd(recorder->orders), .events = POLLIN };

	prctl(PR_SET_NAME, "recorder");
	while (!recorder->quit) {
		if (!recorder->all) {
			if (poll(&fd, 1, -1) > 0)
				ring_ack(recorder->orders);
		} else {
			usleep(ROUND_US); /* frames are gathered; their ring's bell stays silent */
		}
		/* The clock before the ring: what was said by then is in it. */
		recorder_round(recorder, tick_now());
	}
	finish_all(recorder);
	return NULL;
}

/* ---- for others ---- */

struct recorder *recorder_new_manual(const struct recorder_setup *setup)
{
	struct recorder *recorder = xzalloc(sizeof(*recorder));

	recorder->setup = *setup;
	recorder->orders = ring_new(sizeof(struct order), ORDERS);
	recorder->frames = ring_new(sizeof(struct record_frame), FRAMES);
	recorder->late_end = &recorder->late;
	recorder->manual = true;
	return recorder;
}

struct recorder *recorder_new(const struct recorder_setup *setup)
{
	struct recorder *recorder = recorder_new_manual(setup);

	recorder->manual = false;
	return recorder;
}

/* Orders are few and their ring is read every 50 ms: when it is full the disk hangs, and the call loop must not. */
static void order(struct recorder *recorder, const struct order *order)
{
	struct late_order *late;

	recorder_flush(recorder);
	if (!recorder->late && ring_push(recorder->orders, order))
		return;
	log_rated(LOG_ERROR_, "the recorder does not take orders: is the disk stuck?");
	late = xzalloc(sizeof(*late));
	late->order = *order;
	*recorder->late_end = late;
	recorder->late_end = &late->next;
}

void recorder_flush(struct recorder *recorder)
{
	struct late_order *late;

	while ((late = recorder->late) && ring_push(recorder->orders, &late->order)) {
		recorder->late = late->next;
		free(late);
	}
	if (!recorder->late)
		recorder->late_end = &recorder->late;
}

static void start(struct recorder *recorder)
{
	if (recorder->started || recorder->manual)
		return;
	bug_on(pthread_create(&recorder->thread, NULL, recorder_main, recorder) != 0);
	recorder->started = true;
}

struct recorder *recorder_free(struct recorder *recorder)
{
	struct order quit = { .kind = ORDER_QUIT };

	if (!recorder)
		return NULL;
	order(recorder, &quit);
	if (recorder->started) {
		for (; recorder->late; recorder_flush(recorder))
			usleep(1000);
		pthread_join(recorder->thread, NULL);
	} else {
		for (; !recorder->quit; recorder_flush(recorder))
			take_orders(recorder);
		finish_all(recorder);
	}
	hmap_fini(&recorder->by_number);
	ring_free(recorder->orders);
	ring_free(recorder->frames);
	free(recorder);
	return NULL;
}

void recorder_open(struct recorder *recorder, uint64_t number, const struct media_record *record,
		   uint64_t tick)
{
	struct order open = { .kind = ORDER_OPEN, .number = number, .tick = tick };

	open.record = (void *)xmemdup(record, sizeof(*record));
	open.record->path = xstrdup(record->path);
	start(recorder);
	order(recorder, &open);
}

void recorder_pause(struct recorder *recorder, uint64_t number, bool paused, uint64_t tick)
{
	order(recorder, &(struct order){ .kind = paused ? ORDER_PAUSE : ORDER_RESUME,
					 .number = number,
					 .tick = tick });
}

void recorder_close(struct recorder *recorder, uint64_t number, uint64_t tick)
{
	order(recorder, &(struct order){ .kind = ORDER_CLOSE, .number = number, .tick = tick });
}

void recorder_give(struct recorder *recorder, const struct record_frame *frame)
{
	if (!ring_push(recorder->frames, frame))
		metric_add(&frames_lost, 1);
}

void recorder_give_pcm(struct recorder *recorder, const struct record_frame *first,
		       const int16_t *pcm, unsigned samples)
{
	struct record_frame frame;

	frame.number = first->number;
	frame.side = first->side;
	frame.at = first->at;
	for (; samples; samples -= frame.count) {
		frame.count = (uint16_t)(samples < RECORD_PART ? samples : RECORD_PART);
		memcpy(frame.pcm, pcm, frame.count * sizeof(*pcm));
		recorder_give(recorder, &frame);
		frame.at += frame.count;
		pcm += frame.count;
	}
}
