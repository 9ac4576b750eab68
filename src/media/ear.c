/* Digits in the audio (ITU-T Q.24) as it comes from the network, by spandsp. It listens to packets
 * in the order of their arrival: a lost one costs nothing but its own 20 ms.
 */
#include "media/private.h"

#include <spandsp.h>

#define RATE 8000
#define END_US 200000 /* without audio for so long, a digit has ended */

struct ear {
	struct mstream *stream;
	dtmf_rx_state_t *rx;
	const struct codec *codec;
	void *decoder;
	uint16_t seq;
	bool any;
	char digit;	    /* that sounds, or NUL */
	uint64_t at, began; /* samples */
	uint64_t taken_us;
	int16_t pcm[CODEC_SAMPLES_MAX];
};

static void say(struct ear *ear, enum media_event_type type, uint32_t duration_ms)
{
	struct media_event event = { .type = type };

	event.dtmf.digit = ear->digit;
	event.dtmf.inband = true;
	event.dtmf.duration_ms = duration_ms;
	stream_emit(ear->stream, &event);
}

/* Told only once a block is through, whose length is the detector's: so are these times. */
static void heard(void *arg, int code, int level, int delay)
{
	struct ear *ear = arg;

	(void)level;
	(void)delay;
	if (ear->digit)
		say(ear, MEDIA_EVENT_DTMF_END, (uint32_t)((ear->at - ear->began) / (RATE / 1000)));
	ear->digit = (char)code;
	ear->began = ear->at;
	if (!ear->digit)
		return;
	say(ear, MEDIA_EVENT_DTMF, 0);
	timer_start(&ear->stream->timer, END_US / 1000);
}

struct ear *ear_new(struct mstream *stream)
{
	struct ear *ear = xzalloc(sizeof(*ear));

	ear->stream = stream;
	ear->rx = dtmf_rx_init(NULL, NULL, NULL);
	bug_on(!ear->rx);
	dtmf_rx_set_realtime_callback(ear->rx, heard, ear);
	return ear;
}

struct ear *ear_free(struct ear *ear)
{
	if (!ear)
		return NULL;
	if (ear->decoder)
		ear->codec->decoder_free(ear->decoder);
	dtmf_rx_free(ear->rx);
	free(ear);
	return NULL;
}

static bool follow_codec(struct ear *ear, enum media_codec id)
{
	if (ear->codec && ear->codec->info.codec == id)
		return true;
	if (ear->decoder)
		ear->codec->decoder_free(ear->decoder);
	ear->decoder = NULL;
	/* A codec that models speech does not carry tones as they are. */
	ear->codec = id == MEDIA_CODEC_OPUS ? NULL : codec_get(id);
	if (ear->codec)
		ear->decoder = ear->codec->decoder_new(RATE);
	return ear->codec;
}

void ear_take(struct ear *ear, const struct packet *packet)
{
	unsigned samples;

	if (!follow_codec(ear, packet->codec) ||
	    (ear->any && (int16_t)(packet->seq - ear->seq) <= 0 &&
	     (int16_t)(packet->seq - ear->seq) > -100))
		return;
	ear->any = true;
	ear->seq = packet->seq;
	ear->taken_us = ear->stream->loop->now_us;
	samples = ear->codec->decode(ear->decoder, packet->payload, packet->payload_len, ear->pcm);
	ear->at += samples;
	dtmf_rx(ear->rx, ear->pcm, (int)samples);
}

bool ear_expire(struct ear *ear, uint64_t now_us)
{
	static const int16_t silence[RATE / 20];

	if (ear->digit && now_us - ear->taken_us >= END_US)
		dtmf_rx(ear->rx, silence, ARRAY_LEN(silence));
	return ear->digit;
}
