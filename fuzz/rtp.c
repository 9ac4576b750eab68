/* fuzz/rtp.c - datagrams to a stream: RTP and RTCP, relayed, mixed, echoed, from right and wrong
 * addresses
 *
 * The input is a list of datagrams: a byte of how (below), a byte of length, the bytes. Two streams
 * in a bridge, one of them decoded, so that parser, latch, jitter buffer, decoders and reports all
 * see them.
 */
#include "fuzz/target.h"
#include "media/private.h"

#define HOW_STREAM 1 /* which of the two */
#define HOW_RTCP 2
#define HOW_OTHER 4 /* from another address */
#define HOW_TICK 8  /* a tick first */
#define HOW_SKIP 16 /* two seconds first */
#define HOW_ECHO 32

static const struct media_format formats[MEDIA_MAX_FORMATS] = {
	{ MEDIA_CODEC_PCMU, 0, 0 },   { MEDIA_CODEC_PCMA, 8, 0 }, { MEDIA_CODEC_G722, 9, 0 },
	{ MEDIA_CODEC_OPUS, 111, 0 }, { MEDIA_CODEC_CN, 13, 0 },  { MEDIA_CODEC_EVENT, 101, 8000 },
};

static void tx_check(struct mstream *stream, uint8_t *data, size_t len)
{
	struct packet packet;

	(void)stream;
	if (!packet_parse(data, len, &packet) || packet.ssrc != stream->sender.ssrc)
		abort(); /* whatever came in, what goes out is well formed and ours */
}

static struct mstream *stream_make(struct mloop *loop, uint32_t index, enum media_codec codec,
				   uint8_t pt)
{
	struct mstream *stream = mstream_new((struct media_id){ index, 1 });
	struct media_params params = MEDIA_PARAMS_INIT;

	mloop_command(loop, &(struct command){ .kind = CMD_STREAM_ADOPT, .object = stream });
	if (!media_addr_parse("192.0.2.1", (uint16_t)(4000 + index), &params.remote))
		abort();
	memcpy(params.rx, formats, sizeof(formats));
	params.tx = (struct media_format){ codec, pt, 0 };
	params.tx_event_pt = 101;
	params.rtcp_mux = index;
	stream_update(stream, &params);
	stream->tx = tx_check;
	mloop_command(loop, &(struct command){ .kind = CMD_BRIDGE_ADD,
					       .id = stream->object.id,
					       .bridge = { 5, 1 } });
	return stream;
}

static void one(struct mstream *stream, uint8_t how, const uint8_t *data, size_t len)
{
	union media_addr from = stream->params.remote;
	/* Room behind as in the loop's buffer, and none before. */
	uint8_t *copy = xzalloc(len + PACKET_TRAILER);

	memcpy(copy, data, len);
	if (how & HOW_OTHER)
		media_addr_set_port(&from, 9999);
	if (stream->echo != !!(how & HOW_ECHO)) {
		stream->echo = how & HOW_ECHO;
		plan_stream(stream);
	}
	if (how & HOW_RTCP)
		stream_take_rtcp(stream, copy, len, &from);
	else
		stream_take(stream, copy, len, &from);
	free(copy);
}

static void drain(struct ring *events)
{
	struct from_loop message;

	while (ring_pop(events, &message))
		if (message.note)
			note_drop(message.note);
}

/* The loop is made once, as that is dear; streams and bridge are each input's own. */
static struct mloop *loop_get(void)
{
	static struct mloop *loop;

	if (!loop)
		loop = mloop_new(ring_new(sizeof(struct from_loop), 64), "fuzz", 8);
	if (!loop)
		abort();
	loop->now_us = 1000000;
	return loop;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mloop *loop = loop_get();
	struct mbridge *bridge = xzalloc(sizeof(*bridge));
	struct mstream *streams[2];

	bridge->object = (struct object){ OBJECT_BRIDGE, { 5, 1 } };
	mloop_command(loop, &(struct command){ .kind = CMD_BRIDGE_ADOPT, .object = bridge });
	streams[0] = stream_make(loop, 0, MEDIA_CODEC_PCMU, 0);
	streams[1] = stream_make(loop, 1, MEDIA_CODEC_OPUS, 111);
	while (size >= 2) {
		uint8_t how = data[0];
		size_t len = data[1] < size - 2 ? data[1] : size - 2;

		loop->now_us += how & HOW_SKIP ? 2000000 : 5000;
		if (how & HOW_TICK)
			mloop_tick(loop);
		one(streams[how & HOW_STREAM], how, data + 2, len);
		data += 2 + len;
		size -= 2 + len;
		drain(loop->events);
	}
	for (uint32_t i = 0; i < 2; i++)
		mloop_command(loop, &(struct command){ .kind = CMD_STREAM_CLOSE, .id = { i, 1 } });
	mloop_command(loop, &(struct command){ .kind = CMD_BRIDGE_CLOSE, .id = { 5, 1 } });
	drain(loop->events);
	if (loop->ticked || loop->mixing || wheel_count(loop->wheel))
		abort(); /* what is gone has left nothing running */
	return 0;
}
