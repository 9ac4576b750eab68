#include "media/private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOUSEKEEPING_MS 1000
/* Packets nearer to each other than this are a burst: the shortest are 10 ms apart. */
#define BURST_US 7000
#define BURST_MAX 32
#define DTMF_CHECK_MS 100
#define CODEC_CHANGE_US 100000

METRIC_COUNTER(rx_bad, "jackfield_media_dropped_total", "RTP datagrams dropped",
	       "reason=\"malformed\"");
METRIC_COUNTER(rx_stranger, "jackfield_media_dropped_total", "RTP datagrams dropped",
	       "reason=\"source\"");
METRIC_COUNTER(rx_forged, "jackfield_media_dropped_total", "RTP datagrams dropped",
	       "reason=\"srtp\"");

void stream_emit(struct mstream *stream, struct media_event *event)
{
	event->stream = stream->object.id;
	(void)mloop_event(stream->loop, event);
}

/* ---- sending ---- */

void tx_plain(struct mstream *stream, uint8_t *data, size_t len)
{
	/* A full socket buffer or an unreachable network loses a packet, as the network itself may.
	 */
	(void)datagram_send(stream->fd, data, len, stream->connected ? NULL : &stream->remote.sa,
			    stream->connected ? 0 : stream->remote_len);
}

void tx_crypt(struct mstream *stream, uint8_t *data, size_t len)
{
	uint8_t copy[PACKET_MAX + PACKET_TRAILER]; /* the packet may be going to others as well */

	if (len > PACKET_MAX)
		return;
	memcpy(copy, data, len);
	if (crypt_protect(stream->crypt_tx, copy, &len, sizeof(copy), false) == 0)
		tx_plain(stream, copy, len);
}

static void tx_nothing(struct mstream *stream, uint8_t *data, size_t len)
{
	(void)stream;
	(void)data;
	(void)len;
}

void stream_set_remote(struct mstream *stream, const union media_addr *remote)
{
	bool mux = stream->params.rtcp_mux;

	pace_loosen(stream);
	stream->own = (union media_addr){ 0 };
	stream->detour = false;
	stream->remote = *remote;
	stream->remote_len = media_addr_is_any(remote)	       ? 0
			     : remote->sa.sa_family == AF_INET ? sizeof(remote->in)
							       : sizeof(remote->in6);
	if (!mux && !media_addr_is_any(&stream->params.remote_rtcp) &&
	    media_addr_ip_eq(&stream->params.remote_rtcp, remote)) {
		stream->remote_rtcp = stream->params.remote_rtcp;
		return;
	}
	stream->remote_rtcp = *remote;
	if (!mux)
		media_addr_set_port(&stream->remote_rtcp, (uint16_t)(media_addr_port(remote) + 1));
}

/* ---- receiving ---- */

static uint8_t pt_towards(const struct mstream *to, const struct packet *packet)
{
	if (packet->codec == to->params.tx.codec)
		return to->params.tx.pt;
	if (packet->codec == MEDIA_CODEC_EVENT)
		return to->params.tx_event_pt;
	return MEDIA_PT_NONE;
}

void rx_idle(struct mstream *stream, struct packet *packet)
{
	(void)stream;
	(void)packet;
}

void rx_relay(struct mstream *stream, struct packet *packet)
{
	sender_relay(stream->relay_to, packet, pt_towards(stream->relay_to, packet));
}

void rx_echo(struct mstream *stream, struct packet *packet)
{
	sender_relay(stream, packet, pt_towards(stream, packet));
}

/* An event reaches those for whom this is the only voice but for guests'; in a conference digits are nobody else's
 * business.
 */
static void event_fan(struct mstream *stream, const struct packet *packet)
{
	uint32_t rate = stream->sender.clock_rate;

	for (unsigned i = 0; i < MEDIA_MAX_FORMATS && stream->params.rx[i].codec; i++)
		if (stream->params.rx[i].pt == packet->pt && stream->params.rx[i].clock_rate)
			rate = stream->params.rx[i].clock_rate;
	for (unsigned i = 0; i < stream->bridge->count; i++) {
		struct mstream *to = stream->bridge->members[i];

		if (to->source == SOURCE_MIX && to->sole == stream)
			sender_event(to, packet, rate);
	}
}

void rx_full(struct mstream *stream, struct packet *packet)
{
	if (packet->codec == MEDIA_CODEC_EVENT) {
		if (stream->bridge && !stream->bridge->watched && !stream->guest)
			event_fan(stream, packet);
	} else if (stream->intake) {
		intake_put(stream->intake, packet, stream->loop->now_us);
	}
	for (struct mstream *to = stream->relay_to; to; to = to->relay_next)
		sender_relay(to, packet, pt_towards(to, packet));
	if (stream->source == SOURCE_ECHO)
		sender_relay(stream, packet, pt_towards(stream, packet));
}

static void heard(struct mstream *stream)
{
	struct media_event event = { .type = MEDIA_EVENT_BACK };

	stream->heard_us = stream->loop->now_us;
	if (stream->silent) {
		stream->silent = false;
		stream_emit(stream, &event);
	}
}

/* Anything but the payload type that the last audio packet had. Return: whether it goes on. */
static bool other_type(struct mstream *stream, struct packet *packet)
{
	if (packet->codec == MEDIA_CODEC_EVENT) {
		dtmf_take(stream, packet);
		return true;
	}
	if (packet->codec == MEDIA_CODEC_CN)
		return false; /* an intake treats the gap as silence; a relayed receiver as well */
	if (stream->rx_audio != packet->codec) {
		/* Planning anew allocates; nobody may make us do it for each packet. */
		if (stream->loop->now_us - stream->rx_audio_us < CODEC_CHANGE_US)
			return false;
		stream->rx_audio_us = stream->loop->now_us;
		stream->rx_audio = packet->codec;
		tap_follow(stream);
		plan_stream(stream);
	}
	stream->rx_audio_pt = packet->pt;
	return true;
}

static void drop(struct mstream *stream, struct metric *why)
{
	stream->dropped++;
	if (why)
		metric_add(why, 1);
}

static uint32_t clock_of(enum media_codec codec)
{
	return codec == MEDIA_CODEC_EVENT ? 0 : codec == MEDIA_CODEC_OPUS ? 48000 : 8000;
}

void stream_take(struct mstream *stream, uint8_t *data, size_t len, const union media_addr *from)
{
	struct media_event started = { .type = MEDIA_EVENT_STARTED };
	struct packet packet;

	if (stream->params.rtcp_mux && packet_is_rtcp(data, len)) {
		stream_take_rtcp(stream, data, len, from);
		return;
	}
	if (stream->crypt_rx && crypt_unprotect(stream->crypt_rx, data, &len, false)) {
		drop(stream, &rx_forged);
		return;
	}
	if (!packet_parse(data, len, &packet) || packet.payload_len > PACKET_PAYLOAD_MAX) {
		drop(stream, &rx_bad);
		return;
	}
	packet.codec = packet.pt == stream->rx_audio_pt ? (uint8_t)stream->rx_audio
							: stream->rx_codec[packet.pt];
	if (packet.codec == MEDIA_CODEC_NONE || !stream->params.recv) {
		drop(stream, NULL);
		return;
	}
	if ((!stream->latched ||
	     (from != &stream->remote && !media_addr_eq(&stream->remote, from))) &&
	    !latch_try(stream, &packet, from)) {
		drop(stream, &rx_stranger);
		return;
	}
	if (!receiver_take(&stream->receiver, &packet, clock_of(packet.codec),
			   stream->loop->now_us)) {
		drop(stream, NULL);
		return;
	}
	heard(stream);
	stream->rtp_us = stream->loop->now_us;
	if (!stream->started) {
		stream->started = true;
		stream_emit(stream, &started);
	}
	if (packet.pt != stream->rx_audio_pt && !other_type(stream, &packet))
		return;
	if (stream->ear && packet.codec != MEDIA_CODEC_EVENT)
		ear_take(stream->ear, &packet);
	if (stream->tap)
		tap_take(stream, &packet);
	stream->on_rtp(stream, &packet);
}

void stream_take_rtcp(struct mstream *stream, uint8_t *data, size_t len,
		      const union media_addr *from)
{
	if (!media_addr_ip_eq(&stream->remote, from)) {
		drop(stream, &rx_stranger);
		return;
	}
	if (stream->crypt_rx && crypt_unprotect(stream->crypt_rx, data, &len, true)) {
		drop(stream, &rx_forged);
		return;
	}
	if (stream->latch.mode != MEDIA_LATCH_STRICT && !stream->params.rtcp_mux)
		stream->remote_rtcp = *from; /* symmetric as well */
	heard(stream);
	report_take(stream, data, len);
}

static bool read_one(struct mstream *stream, bool rtcp)
{
	struct mloop *loop = stream->loop;
	union media_addr from;
	socklen_t from_len = sizeof(from);
	ssize_t n;

	if (!rtcp && stream->anywhere && !stream->own.sa.sa_family)
		n = datagram_recv_own(stream->fd, loop->buffer, PACKET_MAX, &from, &stream->own);
	else
		n = recvfrom(rtcp ? stream->rtcp_fd : stream->fd, loop->buffer, PACKET_MAX,
			     MSG_DONTWAIT, &from.sa, &from_len);
	if (n < 0)
		return false;
	loop->handled++;
	if (rtcp)
		stream_take_rtcp(stream, loop->buffer, (size_t)n, &from);
	else
		stream_take(stream, loop->buffer, (size_t)n, &from);
	return true;
}

/* One datagram for each readiness: level-triggered epoll brings a second one back, while a try that
 * finds nothing costs a system call for every packet. Only where the last one came so recently that
 * more must be waiting (the network had held them up) is the socket drained.
 */
void stream_readable(struct mstream *stream, bool rtcp)
{
	uint64_t now_us = stream->loop->now_us;
	unsigned most = now_us - stream->read_us < BURST_US ? BURST_MAX : 1;

	stream->read_us = now_us;
	while (most-- && read_one(stream, rtcp))
		;
}

/* ---- housekeeping ---- */

static void watchdog(struct mstream *stream)
{
	uint64_t limit_us = stream->params.watchdog_ms * 1000ull;
	uint64_t silent_us = stream->loop->now_us - stream->heard_us;
	struct media_event event = { .type = MEDIA_EVENT_SILENT,
				     .silent_ms = (uint32_t)(silent_us / 1000) };

	if (!limit_us || stream->silent || !stream->params.recv || silent_us < limit_us)
		return;
	event.stream = stream->object.id;
	stream->silent = mloop_event(stream->loop, &event); /* else again next time */
}

static void on_timer(struct timer *timer, void *arg)
{
	struct mstream *stream = arg;
	struct media_event event = { .type = MEDIA_EVENT_QUALITY };
	uint64_t now_us = stream->loop->now_us, wait_ms = HOUSEKEEPING_MS, due_ms;
	bool sounds;

	pace_settle(stream);
	watchdog(stream);
	dtmf_expire(stream);
	sounds = stream->ear && ear_expire(stream->ear, now_us);
	if (now_us >= stream->reports.due_us) {
		report_send(stream, false);
		stream->reports.due_us = now_us + report_interval_us();
		report_quality(stream, &event.quality);
		stream_emit(stream, &event);
	}
	due_ms = (stream->reports.due_us - now_us) / 1000;
	if (due_ms < wait_ms)
		wait_ms = due_ms;
	timer_start(timer, stream->dtmf_digit || sounds ? DTMF_CHECK_MS : wait_ms + 1);
}

/* ---- settings ---- */

static void map_formats(struct mstream *stream)
{
	const struct media_params *params = &stream->params;

	memset(stream->rx_codec, MEDIA_CODEC_NONE, sizeof(stream->rx_codec));
	stream->rx_audio = MEDIA_CODEC_NONE;
	stream->rx_audio_pt = MEDIA_PT_NONE;
	for (unsigned i = 0; i < MEDIA_MAX_FORMATS && params->rx[i].codec; i++) {
		const struct media_format *format = &params->rx[i];

		if (format->pt > 127 || format->codec >= MEDIA_CODEC_COUNT)
			continue;
		stream->rx_codec[format->pt] = (uint8_t)format->codec;
		if (!stream->rx_audio && codec_get(format->codec)) {
			stream->rx_audio = format->codec;
			stream->rx_audio_pt = format->pt;
		}
	}
}

static bool crypto_same(const struct media_crypto *a, const struct media_crypto *b)
{
	return a->suite == b->suite && !memcmp(a->key, b->key, media_crypto_key_len(a->suite));
}

/* Keys that stay keep their context: a fresh one would forget the roll-over counter and the replay
 * list.
 */
static void set_crypto(struct crypt **crypt, const struct media_crypto *old,
		       const struct media_crypto *new)
{
	if (crypto_same(old, new))
		return;
	*crypt = crypt_free(*crypt);
	if (new->suite != MEDIA_CRYPTO_NONE)
		*crypt = crypt_new(new);
}

static tx_fn *tx_choose(const struct mstream *stream)
{
	if (stream->params.tx_crypto.suite == MEDIA_CRYPTO_NONE)
		return tx_plain;
	return stream->crypt_tx ? tx_crypt
				: tx_nothing; /* never in the clear when keys were agreed */
}

void stream_update(struct mstream *stream, struct media_params *params)
{
	const struct codec *codec = codec_get(params->tx.codec);
	enum media_codec was = stream->params.tx.codec;
	/* The signalled address is as it was, and somebody was latched: see latch.c. */
	bool stays = stream->latched && params->latch == stream->params.latch &&
		     params->latch != MEDIA_LATCH_STRICT &&
		     media_addr_eq(&params->remote, &stream->params.remote);
	union media_addr remote = stays ? stream->remote : params->remote;

	set_crypto(&stream->crypt_tx, &stream->params.tx_crypto, &params->tx_crypto);
	set_crypto(&stream->crypt_rx, &stream->params.rx_crypto, &params->rx_crypto);
	if (!params->ptime_ms)
		params->ptime_ms = 20;
	stream->params = *params;
	if (codec && was != params->tx.codec) {
		stream->sender.clock_rate = codec->info.clock_rate;
		stream->sender.frame = codec->info.clock_rate / 50;
		sender_switch(&stream->sender);
	}
	stream->tx = tx_choose(stream);
	stream->heard_us = stream->loop->now_us; /* the watchdog starts anew */
	map_formats(stream);
	latch_reset(stream);
	stream_set_remote(stream, &remote);
	tap_follow(stream);
	plan_stream(stream);
}

void stream_attach(struct mstream *stream, struct mloop *loop)
{
	struct epoll_event rtp = { .events = EPOLLIN, .data.u64 = (uintptr_t)stream };
	struct epoll_event rtcp = { .events = EPOLLIN, .data.u64 = (uintptr_t)stream | 1 };

	stream->loop = loop;
	if (!stream->heard_us)
		stream->heard_us = loop->now_us;
	if (!stream->reports.due_us)
		stream->reports.due_us =
			loop->now_us + report_interval_us() / 2; /* the first comes sooner, 6.2 */
	if (stream->fd >= 0) {
		if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, stream->fd, &rtp) ||
		    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, stream->rtcp_fd, &rtcp))
			(void)err_newf(errno, "epoll_ctl for a stream");
	}
	timer_init(&stream->timer, loop->wheel, on_timer, stream);
	timer_start(&stream->timer, HOUSEKEEPING_MS);
	plan_stream(stream);
}

void stream_shut(struct mstream *stream)
{
	if (stream->fd >= 0) {
		close(stream->fd);
		close(stream->rtcp_fd);
	}
	stream->fd = stream->rtcp_fd = -1;
}

/* An open socket leaves the loop's epoll as well; closing does that by itself. */
void stream_detach(struct mstream *stream)
{
	mbridge_remove(stream);
	plan_clear(stream);
	timer_stop(&stream->timer);
	pace_leave(stream);
	if (stream->fd >= 0) {
		(void)epoll_ctl(stream->loop->epoll_fd, EPOLL_CTL_DEL, stream->fd, NULL);
		(void)epoll_ctl(stream->loop->epoll_fd, EPOLL_CTL_DEL, stream->rtcp_fd, NULL);
	}
}
