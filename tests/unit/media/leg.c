#include "leg.h"

#include <math.h>

static struct world *the_world;

union media_addr test_addr(const char *ip, uint16_t port)
{
	union media_addr addr = { 0 };

	assert_true(media_addr_parse(ip, port, &addr));
	return addr;
}

struct world *world_new(void)
{
	struct world *world = xzalloc(sizeof(*world));

	world->events = ring_new(sizeof(struct from_loop), 4096);
	world->loop = mloop_new(world->events, "test", 256);
	assert_non_null(world->loop);
	world->loop->now_us = 1000000000;
	wheel_free(world->loop->wheel);
	world->loop->wheel = wheel_new_virtual(world->loop->now_us / 1000, 0);
	world->bridge = xzalloc(sizeof(*world->bridge));
	world->bridge->object = (struct object){ OBJECT_BRIDGE, { 200, 1 } };
	mloop_command(world->loop,
		      &(struct command){ .kind = CMD_BRIDGE_ADOPT, .object = world->bridge });
	the_world = world;
	return world;
}

void world_collect(struct world *world)
{
	struct from_loop message;

	while (ring_pop(world->events, &message)) {
		if (message.note) {
			message.event = message.note->event;
			if (message.note->kind == NOTE_PLAYED)
				mplayer_free(message.note->object);
			else if (message.note->kind == NOTE_BRIDGE)
				mbridge_free(message.note->object);
			else
				mstream_free(message.note->object);
		}
		if (message.event.type && world->log_count < ARRAY_LEN(world->log))
			world->log[world->log_count++] = message.event;
	}
}

unsigned world_count(const struct world *world, enum media_event_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < world->log_count; i++)
		n += world->log[i].type == type;
	return n;
}

const struct media_event *world_last(const struct world *world, enum media_event_type type)
{
	for (unsigned i = world->log_count; i-- > 0;)
		if (world->log[i].type == type)
			return &world->log[i];
	fail();
	return NULL;
}

void world_free(struct world *world)
{
	for (unsigned i = 0; i < world->leg_count; i++) {
		struct leg *leg = &world->legs[i];

		if (leg->coder)
			codec_get(leg->codec)->coder_free(leg->coder);
		if (leg->decoder)
			codec_get(leg->decoder_codec)->decoder_free(leg->decoder);
		free(leg->heard);
		free(leg->packets);
	}
	world_collect(world);
	mloop_free(world->loop);
	world_collect(world);
	ring_free(world->events);
	free(world);
}

static struct leg *leg_of(const struct mstream *stream)
{
	for (unsigned i = 0; i < the_world->leg_count; i++)
		if (the_world->legs[i].stream == stream)
			return &the_world->legs[i];
	fail();
	return NULL;
}

static void hear(struct leg *leg, const struct packet *packet)
{
	const struct codec *codec = codec_get(leg->params.tx.codec);
	int16_t pcm[CODEC_SAMPLES_MAX];
	unsigned n;

	if (packet->pt != leg->params.tx.pt)
		return;
	if (leg->decoder_codec != leg->params.tx.codec) {
		if (leg->decoder)
			codec_get(leg->decoder_codec)->decoder_free(leg->decoder);
		leg->decoder_codec = leg->params.tx.codec;
		leg->decoder = codec->decoder_new(codec->best_rate);
		leg->heard_count = 0;
	}
	n = codec->decode(leg->decoder, packet->payload, packet->payload_len, pcm);
	assert_true(n > 0);
	if (leg->heard_count + n > HEARD_MAX)
		leg->heard_count = 0;
	memcpy(leg->heard + leg->heard_count, pcm, n * sizeof(*pcm));
	leg->heard_count += n;
}

static void tx_keep(struct mstream *stream, uint8_t *data, size_t len)
{
	struct leg *leg = leg_of(stream);
	struct heard_packet *kept;
	struct packet packet;

	assert_true(packet_parse(data, len, &packet));
	if (leg->packet_count < PACKETS_MAX) {
		kept = &leg->packets[leg->packet_count++];
		kept->header = packet;
		kept->at_us = stream->loop->now_us;
		kept->len = packet.payload_len;
		memcpy(kept->payload, packet.payload,
		       packet.payload_len < 160 ? packet.payload_len : 160);
	}
	hear(leg, &packet);
}

static uint8_t pt_of(enum media_codec codec)
{
	const struct media_codec_info *info = media_codec_info(codec);

	return info->static_pt >= 0 ? (uint8_t)info->static_pt : 111;
}

void leg_update(struct world *world, struct leg *leg)
{
	(void)world;
	stream_update(leg->stream, &leg->params);
	leg->stream->tx = tx_keep;
	leg->stream->latched = true; /* latching has tests of its own */
}

struct leg *leg_new(struct world *world, enum media_codec codec, double freq)
{
	struct leg *leg = &world->legs[world->leg_count];
	struct media_id id = { world->leg_count, 1 };
	struct coder_setup setup = { .rate = codec_get(codec)->best_rate, .ptime_ms = 20 };

	assert_true(world->leg_count < LEGS_MAX);
	world->leg_count++;
	leg->stream = mstream_new(id);
	mloop_command(world->loop,
		      &(struct command){ .kind = CMD_STREAM_ADOPT, .object = leg->stream });
	leg->addr = test_addr("192.0.2.1", (uint16_t)(4000 + 2 * id.index));
	leg->codec = codec;
	leg->pt = pt_of(codec);
	leg->ptime_ms = 20;
	leg->rate = setup.rate;
	leg->freq = freq;
	leg->coder = codec_get(codec)->coder_new(&setup);
	leg->seq = (uint16_t)(65500 + id.index * 7); /* wraps on the way */
	leg->timestamp = 0xffffff00u;
	leg->ssrc = 0x1000u + id.index;
	leg->next_us = world->loop->now_us + 1000 * (id.index % 20);
	leg->heard = xzalloc_array(HEARD_MAX, sizeof(int16_t));
	leg->packets = xzalloc_array(PACKETS_MAX, sizeof(*leg->packets));
	leg->params = (struct media_params)MEDIA_PARAMS_INIT;
	leg->params.remote = leg->addr;
	leg->params.tx = leg->params.rx[0] = (struct media_format){ codec, leg->pt, 0 };
	leg->params.rx[1] = (struct media_format){ MEDIA_CODEC_EVENT, 101, 0 };
	leg->params.tx_event_pt = 101;
	leg_update(world, leg);
	return leg;
}

void leg_join(struct world *world, struct leg *leg)
{
	mloop_command(world->loop, &(struct command){ .kind = CMD_BRIDGE_ADD,
						      .id = leg->stream->object.id,
						      .bridge = world->bridge->object.id });
}

void leg_packet(struct leg *leg, const union media_addr *from, uint8_t pt, uint16_t seq,
		uint32_t timestamp, uint32_t ssrc, const void *payload, size_t len)
{
	uint8_t data[PACKET_MAX + PACKET_TRAILER];
	struct packet header = { .pt = pt, .seq = seq, .timestamp = timestamp, .ssrc = ssrc };

	packet_write_header(data, &header);
	memcpy(data + PACKET_HEADER, payload, len);
	stream_take(leg->stream, data, PACKET_HEADER + len, from);
}

static void speak(struct leg *leg)
{
	int16_t pcm[CODEC_SAMPLES_MAX];
	uint8_t payload[PACKET_PAYLOAD_MAX];
	unsigned samples = leg->rate / 1000 * leg->ptime_ms;
	size_t len;

	for (unsigned i = 0; i < samples; i++) {
		pcm[i] = leg->silent ? 0 : (int16_t)lround(6000 * sin(leg->phase));
		leg->phase += 2 * M_PI * leg->freq / leg->rate;
	}
	len = codec_get(leg->codec)->encode(leg->coder, pcm, samples, payload, sizeof(payload));
	assert_true(len > 0);
	leg_packet(leg, &leg->addr, leg->pt, leg->seq++, leg->timestamp, leg->ssrc, payload, len);
	leg->timestamp += codec_get(leg->codec)->info.clock_rate / 1000 * leg->ptime_ms;
}

void world_run(struct world *world, unsigned ms)
{
	for (; ms; ms--) {
		world->loop->now_us += 1000;
		for (unsigned i = 0; i < world->leg_count; i++) {
			struct leg *leg = &world->legs[i];

			if (world->loop->now_us < leg->next_us)
				continue;
			leg->next_us += leg->ptime_ms * 1000;
			leg->drifted_us += leg->drift_us;
			if (fabs(leg->drifted_us) >= 1000) {
				leg->next_us += (uint64_t)(int64_t)leg->drifted_us;
				leg->drifted_us -= trunc(leg->drifted_us);
			}
			if (!leg->quiet)
				speak(leg);
		}
		if (world->loop->now_us % TICK_US == 0) {
			world->loop->tick_us = world->loop->now_us;
			mloop_tick(world->loop);
		}
		wheel_advance_to(world->loop->wheel, world->loop->now_us / 1000);
	}
	world_collect(world);
}

void leg_forget(struct leg *leg)
{
	leg->heard_count = 0;
	leg->packet_count = 0;
}

double energy_rms(const int16_t *pcm, size_t samples)
{
	double sum = 0;

	for (size_t i = 0; i < samples; i++)
		sum += (double)pcm[i] * pcm[i];
	return samples ? sqrt(sum / (double)samples) : 0;
}

double tone_share(const int16_t *pcm, size_t samples, unsigned rate, double freq)
{
	double re = 0, im = 0, sum = 0;

	for (size_t i = 0; i < samples; i++) {
		double w = 0.5 - 0.5 * cos(2 * M_PI * (double)i / (double)samples);
		double a = 2 * M_PI * freq * (double)i / rate;

		re += w * pcm[i] * cos(a);
		im += w * pcm[i] * sin(a);
		sum += w * w * pcm[i] * pcm[i];
	}
	/* Of a pure tone: |X|^2 = (AN/4)^2 under the Hann window, whose energy is 3/16 A^2 N. */
	return sum > 0 ? 3 * (re * re + im * im) / ((double)samples * sum) : 0;
}

double leg_hears(const struct leg *leg, double freq)
{
	unsigned rate = codec_get(leg->params.tx.codec)->best_rate;
	size_t take = rate / 2; /* the last half second */

	if (leg->heard_count < take)
		return 0;
	return tone_share(leg->heard + leg->heard_count - take, take, rate, freq);
}

void assert_continuous(const struct leg *leg)
{
	assert_true(leg->packet_count > 1);
	for (size_t i = 1; i < leg->packet_count; i++) {
		const struct packet *was = &leg->packets[i - 1].header,
				    *is = &leg->packets[i].header;

		assert_int_equal((uint16_t)(is->seq - was->seq), 1);
		assert_int_equal(is->ssrc, was->ssrc);
		assert_true((int32_t)(is->timestamp - was->timestamp) >= 0);
	}
}
