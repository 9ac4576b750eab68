#include "media/private.h"

/* Players and silence: streams that are fed alone. */

void player_start(struct mstream *stream, struct mplayer *player)
{
	if (stream->player)
		player_end(stream, false);
	stream->player = player;
	player->rate = 0;
	plan_stream(stream);
}

static void finish(struct mstream *stream, bool complete)
{
	struct mplayer *player = stream->player;

	stream->player = NULL;
	player->note.event = (struct media_event){
		.type = MEDIA_EVENT_PLAYED,
		.stream = stream->object.id,
		.played = { .player = player->id,
			    .complete = complete,
			    .ms = (uint32_t)(player->played_us / 1000) },
	};
	mloop_note(stream->loop, &player->note);
}

void player_end(struct mstream *stream, bool complete)
{
	finish(stream, complete);
	plan_stream(stream);
}

/* The sound in the rate that the outlet takes now; a place in one rate becomes the same place in
 * another.
 */
static const int16_t *sound_at(struct mplayer *player, unsigned rate, size_t *ret_samples)
{
	const int16_t *pcm = sound_pcm(player->sound, rate, ret_samples);

	if (player->rate != rate) {
		player->at = player->rate ? (size_t)((uint64_t)player->at * rate / player->rate)
					  : (size_t)((uint64_t)player->offset_ms * rate / 1000);
		player->rate = rate;
	}
	return pcm;
}

/* Fills a tick. Return: false when the sound was over before. */
static bool player_read(struct mplayer *player, unsigned rate, int16_t *out)
{
	size_t total, want = rate / 1000 * TICK_MS, got = 0;
	const int16_t *pcm = sound_at(player, rate, &total);

	while (got < want) {
		size_t n = want - got;

		if (player->at >= total) {
			if (!player->loop || !total)
				break;
			player->at = 0;
		}
		if (n > total - player->at)
			n = total - player->at;
		memcpy(out + got, pcm + player->at, n * sizeof(*out));
		player->at += n;
		got += n;
	}
	memset(out + got, 0, (want - got) * sizeof(*out));
	player->played_us += (uint64_t)got * 1000000 / rate;
	return got > 0;
}

static void apply_gain(int16_t *pcm, unsigned samples, int gain)
{
	for (unsigned i = 0; i < samples; i++)
		pcm[i] = pcm_clip(pcm[i] * gain / GAIN_UNITY);
}

void player_tick(struct mstream *stream)
{
	unsigned rate = plan_feed_rate(stream), samples = rate / 1000 * TICK_MS;
	int16_t pcm[TICK_SAMPLES_MAX];

	if (stream->source != SOURCE_PLAYER && stream->source != SOURCE_SILENCE &&
	    !(stream->source == SOURCE_NONE && stream->player))
		return; /* it ticks for another's sake */
	if (!stream->player) {
		outlet_push(stream, NULL, samples);
		return;
	}
	if (!player_read(stream->player, rate, pcm)) {
		player_end(stream, true);
		return;
	}
	if (stream->player->gain != GAIN_UNITY)
		apply_gain(pcm, samples, stream->player->gain);
	outlet_push(stream, pcm, samples);
}
