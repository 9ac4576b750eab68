#include "engine/sdesc.h"

#include "base/hmap.h"

#include <sodium.h>
#include <arpa/inet.h>

static const char *const direction_names[] = { "inactive", "recvonly", "sendonly", "sendrecv" };

void sdesc_taste_first(struct sdesc_taste *taste, enum media_codec codec)
{
	unsigned at = 0, last = ARRAY_LEN(taste->codecs) - 1;

	if (!codec)
		return;
	while (at < last && taste->codecs[at] && taste->codecs[at] != codec)
		at++;
	for (; at > 0; at--)
		taste->codecs[at] = taste->codecs[at - 1];
	taste->codecs[0] = codec;
	taste->codecs[last] = MEDIA_CODEC_NONE;
}

static const struct sdesc_format *local_find(const struct sdesc_local *local,
					     enum media_codec codec, unsigned rate)
{
	for (unsigned i = 0; i < local->format_count; i++)
		if (local->formats[i].codec == codec && local->formats[i].clock_rate == rate)
			return &local->formats[i];
	return NULL;
}

/* ---- offers ---- */

/* The number a codec has had in this session stays its own (RFC 3264 8.3.2). */
static uint8_t payload_for(const struct sdesc_local *old, enum media_codec codec, unsigned rate)
{
	const struct sdesc_format *had = local_find(old, codec, rate);
	const struct media_codec_info *info = media_codec_info(codec);

	if (had)
		return had->pt;
	if (info->static_pt >= 0)
		return (uint8_t)info->static_pt;
	for (uint8_t pt = codec == MEDIA_CODEC_EVENT ? 101 : 107; pt < 127; pt++) {
		bool taken = false;

		for (unsigned i = 0; i < old->format_count; i++)
			taken = taken || old->formats[i].pt == pt;
		if (!taken && !(codec == MEDIA_CODEC_EVENT && rate == 48000 && pt == 101))
			return pt;
	}
	return 127;
}

static void offer_format(struct sdesc_local *local, const struct sdesc_local *old,
			 enum media_codec codec, unsigned rate)
{
	if (local->format_count < ARRAY_LEN(local->formats) && !local_find(local, codec, rate))
		local->formats[local->format_count++] = (struct sdesc_format){
			.codec = codec,
			.pt = payload_for(old, codec, rate),
			.clock_rate = rate,
			.fec = codec == MEDIA_CODEC_OPUS,
		};
}

static void new_key(struct sdesc_local *local)
{
	if (local->profile == SDESC_PLAIN || local->crypto.suite)
		return;
	local->crypto.suite = MEDIA_CRYPTO_AES_CM_128_SHA1_80;
	randombytes_buf(local->crypto.key, media_crypto_key_len(local->crypto.suite));
	local->crypto_tag = 1;
}

void sdesc_offer(struct sdesc_local *local, const struct sdesc_taste *taste)
{
	struct sdesc_local old = *local;
	bool narrow = false, wide = false;

	local->format_count = 0;
	for (unsigned i = 0; i < ARRAY_LEN(taste->codecs) && taste->codecs[i]; i++) {
		const struct media_codec_info *info = media_codec_info(taste->codecs[i]);

		offer_format(local, &old, info->codec, info->clock_rate);
		wide = wide || info->clock_rate == 48000;
		narrow = narrow || info->clock_rate == 8000;
	}
	/* A digit's clock is that of the sound it comes in (RFC 4733 2.1). */
	if (narrow)
		offer_format(local, &old, MEDIA_CODEC_EVENT, 8000);
	if (wide)
		offer_format(local, &old, MEDIA_CODEC_EVENT, 48000);
	new_key(local);
}

/* ---- answers ---- */

static const struct sdesc_format *remote_find(const struct sdesc_remote *remote,
					      enum media_codec codec, unsigned rate)
{
	for (unsigned i = 0; i < remote->format_count; i++)
		if (remote->formats[i].codec == codec &&
		    (!rate || remote->formats[i].clock_rate == rate))
			return &remote->formats[i];
	return NULL;
}

static const struct sdesc_format *choose(const struct sdesc_remote *offer,
					 const struct sdesc_taste *taste)
{
	for (unsigned i = 0; i < ARRAY_LEN(taste->codecs) && taste->codecs[i]; i++) {
		const struct sdesc_format *format = remote_find(offer, taste->codecs[i], 0);

		if (format)
			return format;
	}
	return NULL;
}

static int secure_answer(struct sdesc_local *local, const struct sdesc_remote *offer,
			 bool must_secure)
{
	if ((offer->secure || must_secure) && !offer->crypto.suite)
		return SDESC_E_SECURITY;
	if (!offer->crypto.suite) {
		local->profile = SDESC_PLAIN;
		local->crypto = (struct media_crypto){ MEDIA_CRYPTO_NONE };
		return 0;
	}
	local->profile = offer->secure ? SDESC_SECURE : SDESC_CRYPTO_OPTIONAL;
	if (local->crypto.suite != offer->crypto.suite) {
		local->crypto.suite = offer->crypto.suite;
		randombytes_buf(local->crypto.key, media_crypto_key_len(local->crypto.suite));
	}
	local->crypto_tag = offer->crypto_tag;
	return 0;
}

/* What they send we may receive, and the other way round. */
static enum sdesc_direction mirrored(enum sdesc_direction direction)
{
	return (enum sdesc_direction)(((direction & 1) << 1) | ((direction >> 1) & 1));
}

int sdesc_answer(struct sdesc_local *local, const struct sdesc_remote *offer,
		 const struct sdesc_taste *taste, enum sdesc_direction wish, bool must_secure)
{
	const struct sdesc_format *audio, *event;
	enum sdesc_direction theirs =
		offer->null_addr ? SDESC_SENDONLY & offer->direction : offer->direction;
	int r;

	if (offer->audio < 0 || (!offer->null_addr && offer->addr.sa.sa_family == AF_UNSPEC))
		return SDESC_E_NO_AUDIO;
	audio = choose(offer, taste);
	if (!audio)
		return SDESC_E_NO_CODEC;
	r = secure_answer(local, offer, must_secure);
	if (r)
		return r;
	local->format_count = 0;
	local->formats[local->format_count++] = *audio;
	event = remote_find(offer, MEDIA_CODEC_EVENT, audio->clock_rate);
	if (!event)
		event = remote_find(offer, MEDIA_CODEC_EVENT, 0);
	if (event)
		local->formats[local->format_count++] = *event;
	local->direction = wish & mirrored(theirs);
	local->mux = offer->mux;
	local->line_count = offer->line_count;
	local->audio = offer->audio;
	memcpy(local->lines, offer->lines, sizeof(local->lines));
	return 0;
}

int sdesc_accept(const struct sdesc_local *local, const struct sdesc_remote *answer,
		 bool must_secure)
{
	if (answer->audio < 0 || (!answer->null_addr && answer->addr.sa.sa_family == AF_UNSPEC))
		return SDESC_E_NO_AUDIO;
	for (unsigned i = 0; i < local->format_count; i++)
		if (media_codec_info(local->formats[i].codec)->audio &&
		    remote_find(answer, local->formats[i].codec, local->formats[i].clock_rate))
			return (must_secure || answer->secure) && !answer->crypto.suite
				       ? SDESC_E_SECURITY
				       : 0;
	return SDESC_E_NO_CODEC;
}

/* ---- text ---- */

static void write_format(const struct sdesc_format *format, struct buf *out)
{
	const struct media_codec_info *info = media_codec_info(format->codec);

	buf_adds(out, "a=rtpmap:");
	buf_addu(out, format->pt);
	buf_addc(out, ' ');
	buf_adds(out, info->name);
	buf_addc(out, '/');
	buf_addu(out, format->clock_rate);
	buf_adds(out, info->channels > 1 ? "/2\r\n" : "\r\n");
	if (format->codec != MEDIA_CODEC_EVENT && format->codec != MEDIA_CODEC_OPUS)
		return;
	buf_adds(out, "a=fmtp:");
	buf_addu(out, format->pt);
	buf_adds(out, format->codec == MEDIA_CODEC_EVENT ? " 0-16\r\n"
							 : " minptime=10;useinbandfec=1\r\n");
}

static const char *suite_name(enum media_crypto_suite suite)
{
	switch (suite) {
	case MEDIA_CRYPTO_AES_CM_128_SHA1_80:
		return "AES_CM_128_HMAC_SHA1_80";
	case MEDIA_CRYPTO_AES_CM_128_SHA1_32:
		return "AES_CM_128_HMAC_SHA1_32";
	case MEDIA_CRYPTO_AEAD_AES_128_GCM:
		return "AEAD_AES_128_GCM";
	case MEDIA_CRYPTO_AEAD_AES_256_GCM:
		return "AEAD_AES_256_GCM";
	case MEDIA_CRYPTO_NONE:
		break;
	}
	return "";
}

static void write_crypto(const struct sdesc_local *local, struct buf *out)
{
	char text[sodium_base64_ENCODED_LEN(MEDIA_CRYPTO_KEY_MAX, sodium_base64_VARIANT_ORIGINAL)];

	if (local->profile == SDESC_PLAIN || !local->crypto.suite)
		return;
	sodium_bin2base64(text, sizeof(text), local->crypto.key,
			  media_crypto_key_len(local->crypto.suite),
			  sodium_base64_VARIANT_ORIGINAL);
	buf_addf(out, "a=crypto:%u %s inline:%s\r\n", local->crypto_tag,
		 suite_name(local->crypto.suite), text);
	sodium_memzero(text, sizeof(text));
}

static void write_audio(const struct sdesc_local *local, const char *proto, struct buf *out)
{
	buf_adds(out, "m=audio ");
	buf_addu(out, media_addr_port(&local->addr));
	buf_addc(out, ' ');
	buf_adds(out, proto ? proto : local->profile == SDESC_SECURE ? "RTP/SAVP" : "RTP/AVP");
	for (unsigned i = 0; i < local->format_count; i++) {
		buf_addc(out, ' ');
		buf_addu(out, local->formats[i].pt);
	}
	buf_adds(out, "\r\n");
	for (unsigned i = 0; i < local->format_count; i++)
		write_format(&local->formats[i], out);
	write_crypto(local, out);
	buf_adds(out, "a=ptime:20\r\n");
	if (local->mux)
		buf_adds(out, "a=rtcp-mux\r\n");
	buf_adds(out, "a=");
	buf_adds(out, direction_names[local->direction]);
	buf_adds(out, "\r\n");
}

static void write_lines(const struct sdesc_local *local, struct buf *out)
{
	if (!local->line_count)
		write_audio(local, NULL, out);
	for (unsigned i = 0; i < local->line_count; i++) {
		const struct sdesc_refused *line = &local->lines[i];

		if ((int)i == local->audio)
			write_audio(local, line->proto, out);
		else
			buf_addf(out, "m=%s 0 %s %s\r\n", line->kind, line->proto, line->format);
	}
}

static const char *host_of(const union media_addr *addr, char text[static INET6_ADDRSTRLEN])
{
	const void *raw = addr->sa.sa_family == AF_INET6 ? (const void *)&addr->in6.sin6_addr
							 : (const void *)&addr->in.sin_addr;

	text[0] = '\0';
	(void)inet_ntop(addr->sa.sa_family, raw, text, INET6_ADDRSTRLEN);
	return text;
}

void sdesc_write(struct sdesc_local *local, struct buf *out)
{
	auto_(buf_fini) struct buf rest = BUF_MAX(SDESC_TEXT_MAX);
	const char *family = local->addr.sa.sa_family == AF_INET6 ? "IP6" : "IP4";
	char host[INET6_ADDRSTRLEN];
	uint64_t hash;

	(void)host_of(&local->addr, host);
	buf_addf(&rest, "s=-\r\nc=IN %s %s\r\nt=0 0\r\n", family, host);
	write_lines(local, &rest);
	hash = hkey_bytes(rest.data, rest.len);
	/* RFC 3264 8: the version goes up by one when the description changed, and only then. */
	if (!local->session) {
		local->session = randombytes_random() | 1u;
		local->version = local->session;
	} else if (hash != local->written) {
		local->version++;
	}
	local->written = hash;
	buf_addf(out, "v=0\r\no=- %llu %llu IN %s %s\r\n", (unsigned long long)local->session,
		 (unsigned long long)local->version, family, host);
	buf_add(out, rest.data, rest.len);
	sodium_memzero(rest.data, rest.len);
}

/* ---- what it comes to ---- */

static unsigned sane_ptime(unsigned ptime_ms)
{
	switch (ptime_ms) {
	case 10:
	case 20:
	case 30:
	case 40:
	case 60:
		return ptime_ms;
	default:
		return 20;
	}
}

/* What may arrive has our numbers, what we send has theirs. */
static void formats(const struct sdesc_local *local, const struct sdesc_remote *remote,
		    struct media_params *ret)
{
	const struct sdesc_format *tx = NULL, *event;
	unsigned count = 0;

	for (unsigned i = 0; i < local->format_count && count < MEDIA_MAX_FORMATS - 1; i++)
		if (remote_find(remote, local->formats[i].codec, local->formats[i].clock_rate))
			ret->rx[count++] = (struct media_format){ local->formats[i].codec,
								  local->formats[i].pt,
								  local->formats[i].clock_rate };
	for (unsigned i = 0; i < remote->format_count && !tx; i++) {
		const struct media_codec_info *info = media_codec_info(remote->formats[i].codec);

		if (info && info->audio &&
		    local_find(local, info->codec, remote->formats[i].clock_rate))
			tx = &remote->formats[i];
	}
	if (!tx)
		return;
	ret->tx = (struct media_format){ tx->codec, tx->pt, tx->clock_rate };
	ret->opus_fec = tx->fec;
	event = remote_find(remote, MEDIA_CODEC_EVENT, tx->clock_rate);
	if (!event)
		event = remote_find(remote, MEDIA_CODEC_EVENT, 0);
	if (event) {
		ret->tx_event_pt = event->pt;
		ret->tx_event_rate = event->clock_rate;
	}
}

void sdesc_params(const struct sdesc_local *local, const struct sdesc_remote *remote, bool offered,
		  struct media_params *ret)
{
	enum sdesc_direction theirs =
		remote->null_addr ? SDESC_SENDONLY & remote->direction : remote->direction;
	enum sdesc_direction ours = local->direction & mirrored(theirs);

	*ret = (struct media_params)MEDIA_PARAMS_INIT;
	ret->remote = remote->addr;
	ret->remote_rtcp = remote->rtcp;
	ret->rtcp_mux = offered ? local->mux && remote->mux : local->mux;
	ret->send = ours & SDESC_SENDONLY;
	ret->recv = ours & SDESC_RECVONLY;
	ret->ptime_ms = sane_ptime(remote->ptime_ms);
	if (remote->crypto.suite && local->crypto.suite && local->profile != SDESC_PLAIN) {
		ret->tx_crypto = local->crypto;
		ret->rx_crypto = remote->crypto;
	}
	formats(local, remote, ret);
}

const char *sdesc_warning(int refusal)
{
	switch (refusal) {
	case SDESC_E_NO_AUDIO:
		return "304 jackfield \"No audio stream that can be used\"";
	case SDESC_E_SECURITY:
		return "399 jackfield \"No common way to encrypt the media\"";
	default:
		return "305 jackfield \"No common audio codec\"";
	}
}
