#include "media/codec.h"

#include <strings.h>

static const struct media_codec_info event_info = {
	MEDIA_CODEC_EVENT, "telephone-event", 8000, 1, -1, false
};
static const struct media_codec_info cn_info = { MEDIA_CODEC_CN, "CN", 8000, 1, 13, false };

static const struct codec *const codecs[MEDIA_CODEC_COUNT] = {
	[MEDIA_CODEC_PCMU] = &codec_pcmu,
	[MEDIA_CODEC_PCMA] = &codec_pcma,
	[MEDIA_CODEC_G722] = &codec_g722,
	[MEDIA_CODEC_OPUS] = &codec_opus,
};

const struct codec *codec_get(enum media_codec codec)
{
	return (unsigned)codec < ARRAY_LEN(codecs) ? codecs[codec] : NULL;
}

const struct media_codec_info *media_codec_info(enum media_codec codec)
{
	if (codec == MEDIA_CODEC_EVENT)
		return &event_info;
	if (codec == MEDIA_CODEC_CN)
		return &cn_info;
	return codec_get(codec) ? &codec_get(codec)->info : NULL;
}

const struct media_codec_info *media_codec_find(const char *name, unsigned clock_rate)
{
	for (int i = MEDIA_CODEC_PCMU; i < MEDIA_CODEC_COUNT; i++) {
		const struct media_codec_info *info = media_codec_info((enum media_codec)i);

		if (strcasecmp(info->name, name))
			continue;
		/* telephone-event runs on the clock of the audio it goes with (RFC 4733 2.1) */
		if (info->clock_rate == clock_rate ||
		    (i == MEDIA_CODEC_EVENT && clock_rate == 48000))
			return info;
	}
	return NULL;
}
