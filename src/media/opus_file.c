#include "media/opus_file.h"

#include <errno.h>
#include <opusenc.h>
#include <unistd.h>

#define BITRATE 24000 /* a channel: speech */
#define COMPLEXITY 5
#define SERIAL 0x4a46 /* any, as long as it is always the same */
#define STEP_SAMPLES 4096

struct sink {
	int fd, error;
};

static int on_write(void *arg, const unsigned char *data, opus_int32 len)
{
	struct sink *sink = arg;

	while (len > 0 && !sink->error) {
		ssize_t n = write(sink->fd, data, (size_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			sink->error = n < 0 ? -errno : -EIO;
			break;
		}
		data += n;
		len -= (opus_int32)n;
	}
	return sink->error ? 1 : 0;
}

static int on_close(void *arg)
{
	(void)arg;
	return 0;
}

static int copy(struct vault_reader *reader, OggOpusEnc *encoder, unsigned channels,
		const struct sink *sink, const atomic_bool *stop)
{
	int16_t pcm[STEP_SAMPLES];
	uint64_t at = 0;
	size_t len;
	int r;

	/* A chunk is a whole number of samples of both channels, so is every piece. */
	_Static_assert(VAULT_CHUNK % 4 == 0, "no sample is cut");
	for (;; at += len) {
		r = vault_read(reader, at, pcm, sizeof(pcm), &len);
		if (r || !len)
			return r;
		if (atomic_load(stop))
			return OPUS_FILE_E_STOPPED;
		if (ope_encoder_write(encoder, pcm, (int)(len / 2 / channels)) != OPE_OK)
			return sink->error ? sink->error : -EIO;
	}
}

int opus_file_write(struct vault_reader *reader, int fd, const atomic_bool *stop)
{
	static const OpusEncCallbacks callbacks = { on_write, on_close };
	struct vault_form form = vault_form(reader);
	OggOpusComments *comments = ope_comments_create();
	struct sink sink = { .fd = fd };
	OggOpusEnc *encoder;
	int r;

	encoder = ope_encoder_create_callbacks(&callbacks, &sink, comments, (opus_int32)form.rate,
					       (int)form.channels, 0, &r);
	if (!encoder) {
		ope_comments_destroy(comments);
		return -EIO;
	}
	(void)ope_encoder_ctl(encoder, OPUS_SET_BITRATE((opus_int32)(BITRATE * form.channels)));
	(void)ope_encoder_ctl(encoder, OPUS_SET_COMPLEXITY(COMPLEXITY));
	(void)ope_encoder_ctl(encoder, OPE_SET_SERIALNO(SERIAL));
	r = copy(reader, encoder, form.channels, &sink, stop);
	if (!r && ope_encoder_drain(encoder) != OPE_OK)
		r = sink.error ? sink.error : -EIO;
	ope_encoder_destroy(encoder);
	ope_comments_destroy(comments);
	return r;
}
