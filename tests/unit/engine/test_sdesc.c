/* Session descriptions: reading, offers, answers. */
#include "engine/sdesc.h"
#include "unit.h"

#include <stdio.h>

static const char plain_offer[] = "v=0\r\n"
				  "o=- 1 1 IN IP4 192.0.2.7\r\n"
				  "s=-\r\n"
				  "c=IN IP4 192.0.2.7\r\n"
				  "t=0 0\r\n"
				  "m=audio 4000 RTP/AVP 9 8 0 96 101\r\n"
				  "a=rtpmap:96 opus/48000/2\r\n"
				  "a=rtpmap:101 telephone-event/8000\r\n"
				  "a=ptime:30\r\n";

static struct sdesc_remote parsed(const char *text)
{
	struct sdesc_remote remote;

	assert_int_equal(sdesc_parse(text, strlen(text), &remote), 0);
	return remote;
}

static struct sdesc_local local_new(void)
{
	struct sdesc_local local = { .direction = SDESC_SENDRECV };

	assert_true(media_addr_parse("198.51.100.1", 20000, &local.addr));
	return local;
}

static struct sdesc_taste taste_of(enum media_codec a, enum media_codec b)
{
	return (struct sdesc_taste){ { a, b } };
}

/* Written into a static place: one at a time. */
static const char *written(struct sdesc_local *local)
{
	static char text[SDESC_TEXT_MAX];
	auto_(buf_fini) struct buf out = BUF_MAX(SDESC_TEXT_MAX);

	sdesc_write(local, &out);
	assert_false(out.failed);
	(void)str_copy(text, sizeof(text), out.data);
	return text;
}

static void an_ordinary_offer_is_read(void **state)
{
	struct sdesc_remote remote = parsed(plain_offer);
	char text[MEDIA_ADDR_STR_SIZE];

	(void)state;
	assert_int_equal(remote.audio, 0);
	assert_string_equal(media_addr_print(&remote.addr, text), "192.0.2.7:4000");
	assert_int_equal(remote.format_count, 5);
	assert_int_equal(remote.formats[0].codec, MEDIA_CODEC_G722);
	assert_int_equal(remote.formats[3].codec, MEDIA_CODEC_OPUS);
	assert_int_equal(remote.formats[4].codec, MEDIA_CODEC_EVENT);
	assert_int_equal(remote.ptime_ms, 30);
	assert_int_equal(remote.direction, SDESC_SENDRECV);
}

static const char *const bad[] = {
	"",
	"m=audio 1 RTP/AVP 0\r\n",	      /* no version */
	"v=1\r\nm=audio 1 RTP/AVP 0\r\n",     /* another version */
	"v=0\r\n",			      /* no media */
	"v=0\r\nm=audio\r\n",		      /* cut short */
	"v=0\r\nm=audio 70000 RTP/AVP 0\r\n", /* no port */
	"v=0\r\nm=audio -1 RTP/AVP 0\r\n",
	"v=0\r\nm=audio 1 RTP/AVP\r\n",			  /* no format */
	"v=0\r\nhello\r\nm=audio 1 RTP/AVP 0\r\n",	  /* no line of SDP */
	"v=0\r\nm=averyveryverylongkind 1 RTP/AVP 0\r\n", /* cannot be echoed */
};

static void what_is_no_description_is_refused(void **state)
{
	struct sdesc_remote remote;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(sdesc_parse(bad[i], strlen(bad[i]), &remote), SDESC_E_BAD);
	assert_int_equal(sdesc_parse("v=0\0", 4, &remote), SDESC_E_BAD);
}

static void more_lines_than_can_be_kept_are_refused(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(8192);
	struct sdesc_remote remote;

	(void)state;
	buf_adds(&text, "v=0\r\n");
	for (int i = 0; i <= SDESC_MEDIA_MAX; i++)
		buf_adds(&text, "m=video 1 RTP/AVP 99\r\n");
	assert_int_equal(sdesc_parse(text.data, text.len, &remote), SDESC_E_BAD);
}

static void the_answer_has_the_codec_we_like_best_alone(void **state)
{
	struct sdesc_remote offer = parsed(plain_offer);
	struct sdesc_local local = local_new();
	struct sdesc_taste taste = taste_of(MEDIA_CODEC_PCMA, MEDIA_CODEC_G722);
	struct media_params params;

	(void)state;
	assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, false), 0);
	assert_non_null(strstr(written(&local), "m=audio 20000 RTP/AVP 8 101\r\n"));
	assert_non_null(strstr(written(&local), "c=IN IP4 198.51.100.1\r\n"));
	assert_non_null(strstr(written(&local), "a=sendrecv\r\n"));
	sdesc_params(&local, &offer, false, &params);
	assert_int_equal(params.tx.codec, MEDIA_CODEC_PCMA);
	assert_int_equal(params.tx.pt, 8);
	assert_int_equal(params.tx_event_pt, 101);
	assert_int_equal(params.ptime_ms, 30);
	assert_true(params.send && params.recv);
	assert_int_equal(params.rx[0].codec, MEDIA_CODEC_PCMA);
	assert_int_equal(params.rx[1].codec, MEDIA_CODEC_EVENT);
	assert_int_equal(params.rx[2].codec, MEDIA_CODEC_NONE);
}

static void dynamic_numbers_are_the_offerers(void **state)
{
	struct sdesc_remote offer = parsed(plain_offer);
	struct sdesc_local local = local_new();
	struct sdesc_taste taste = taste_of(MEDIA_CODEC_OPUS, MEDIA_CODEC_NONE);

	(void)state;
	assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, false), 0);
	assert_non_null(strstr(written(&local), "RTP/AVP 96 101\r\n"));
	assert_non_null(strstr(written(&local), "a=rtpmap:96 opus/48000/2\r\n"));
}

static void without_a_common_codec_there_is_no_answer(void **state)
{
	struct sdesc_remote offer =
		parsed("v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 18\r\n");
	struct sdesc_local local = local_new();
	struct sdesc_taste taste = SDESC_TASTE_DEFAULT;

	(void)state;
	assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, false),
			 SDESC_E_NO_CODEC);
	assert_non_null(strstr(sdesc_warning(SDESC_E_NO_CODEC), "305 "));
	offer = parsed("v=0\r\nc=IN IP4 192.0.2.7\r\nm=video 4000 RTP/AVP 99\r\n");
	assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, false),
			 SDESC_E_NO_AUDIO);
	offer = parsed("v=0\r\nc=IN IP4 phone.example\r\nm=audio 4000 RTP/AVP 0\r\n");
	assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, false),
			 SDESC_E_NO_AUDIO);
}

static void lines_we_do_not_want_are_refused_in_their_place(void **state)
{
	struct sdesc_remote offer =
		parsed("v=0\r\nc=IN IP4 192.0.2.7\r\n"
		       "m=video 5000 RTP/AVP 99 100\r\na=rtpmap:99 H264/90000\r\n"
		       "m=audio 4000 RTP/AVP 0\r\n"
		       "m=audio 4002 RTP/AVP 8\r\n"
		       "m=application 9 UDP/BFCP *\r\n");
	struct sdesc_local local = local_new();
	struct sdesc_taste taste = SDESC_TASTE_DEFAULT;
	const char *text, *video, *audio, *second, *other;

	(void)state;
	assert_int_equal(offer.audio, 1);
	assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, false), 0);
	text = written(&local);
	video = strstr(text, "m=video 0 RTP/AVP 99\r\n");
	audio = strstr(text, "m=audio 20000 RTP/AVP 0\r\n");
	second = strstr(text, "m=audio 0 RTP/AVP 8\r\n");
	other = strstr(text, "m=application 0 UDP/BFCP *\r\n");
	assert_true(video && audio && second && other);
	assert_true(video < audio && audio < second && second < other);
}

static const struct direction {
	const char *line;
	const char *answer;
	bool send, recv;
} directions[] = {
	{ "a=sendrecv\r\n", "a=sendrecv\r\n", true, true },
	{ "a=sendonly\r\n", "a=recvonly\r\n", false, true },
	{ "a=recvonly\r\n", "a=sendonly\r\n", true, false },
	{ "a=inactive\r\n", "a=inactive\r\n", false, false },
	{ "c=IN IP4 0.0.0.0\r\n", "a=inactive\r\n", false, false },
};

static void a_direction_is_answered_by_its_mirror(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(directions); i++) {
		struct sdesc_local local = local_new();
		struct sdesc_taste taste = SDESC_TASTE_DEFAULT;
		struct media_params params;
		struct sdesc_remote offer;
		char text[512];

		(void)snprintf(text, sizeof(text),
			       "v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 0\r\n%s",
			       directions[i].line);
		offer = parsed(text);
		assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, false), 0);
		if (!offer.null_addr)
			assert_non_null(strstr(written(&local), directions[i].answer));
		sdesc_params(&local, &offer, false, &params);
		assert_int_equal(params.send, directions[i].send);
		if (!offer.null_addr)
			assert_int_equal(params.recv, directions[i].recv);
	}
}

static void the_old_way_of_holding_sends_nothing(void **state)
{
	struct sdesc_remote offer = parsed("v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\n");
	struct sdesc_local local = local_new();
	struct sdesc_taste taste = SDESC_TASTE_DEFAULT;
	struct media_params params;

	(void)state;
	assert_true(offer.null_addr);
	assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, false), 0);
	sdesc_params(&local, &offer, false, &params);
	assert_false(params.send);
	assert_true(media_addr_is_any(&params.remote));
}

static void the_version_rises_only_with_a_change(void **state)
{
	struct sdesc_local local = local_new();
	struct sdesc_taste taste = SDESC_TASTE_DEFAULT;
	uint64_t first;

	(void)state;
	sdesc_offer(&local, &taste);
	(void)written(&local);
	first = local.version;
	(void)written(&local);
	assert_int_equal(local.version, first);
	local.direction = SDESC_SENDONLY;
	(void)written(&local);
	assert_int_equal(local.version, first + 1);
}

static void an_offer_has_digits_for_each_clock(void **state)
{
	struct sdesc_local local = local_new();
	struct sdesc_taste taste = taste_of(MEDIA_CODEC_OPUS, MEDIA_CODEC_PCMA);
	const char *text;

	(void)state;
	sdesc_offer(&local, &taste);
	text = written(&local);
	assert_non_null(strstr(text, "m=audio 20000 RTP/AVP 107 8 101 102\r\n"));
	assert_non_null(strstr(text, "a=rtpmap:101 telephone-event/8000\r\n"));
	assert_non_null(strstr(text, "a=rtpmap:102 telephone-event/48000\r\n"));
	assert_non_null(strstr(text, "a=rtpmap:107 opus/48000/2\r\n"));
}

static void an_answer_is_taken_with_its_own_numbers(void **state)
{
	struct sdesc_local local = local_new();
	struct sdesc_taste taste = taste_of(MEDIA_CODEC_OPUS, MEDIA_CODEC_PCMA);
	struct sdesc_remote answer =
		parsed("v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 120 101\r\n"
		       "a=rtpmap:120 opus/48000/2\r\na=fmtp:120 useinbandfec=1\r\n"
		       "a=rtpmap:101 telephone-event/8000\r\n");
	struct media_params params;

	(void)state;
	sdesc_offer(&local, &taste);
	assert_int_equal(sdesc_accept(&local, &answer, false), 0);
	sdesc_params(&local, &answer, true, &params);
	assert_int_equal(params.tx.pt, 120);	/* what they want to get */
	assert_int_equal(params.rx[0].pt, 107); /* what we said we take */
	assert_true(params.opus_fec);
	answer = parsed("v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 0\r\n");
	assert_int_equal(sdesc_accept(&local, &answer, false), SDESC_E_NO_CODEC);
}

static void encryption_that_must_be_is_insisted_on(void **state)
{
	struct sdesc_remote offer = parsed(
		"v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/SAVP 0\r\n"
		"a=crypto:3 F8_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5\r\n"
		"a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5|2^20\r\n");
	struct sdesc_local local = local_new();
	struct sdesc_taste taste = SDESC_TASTE_DEFAULT;
	struct media_params params;

	(void)state;
	assert_int_equal(offer.crypto.suite, MEDIA_CRYPTO_AES_CM_128_SHA1_80);
	assert_memory_equal(offer.crypto.key, "012345678901234567890123456789", 30);
	assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, true), 0);
	assert_non_null(strstr(written(&local), "RTP/SAVP 0\r\n"));
	assert_non_null(strstr(written(&local), "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:"));
	sdesc_params(&local, &offer, false, &params);
	assert_memory_equal(params.rx_crypto.key, "012345678901234567890123456789", 30);
	assert_memory_not_equal(params.tx_crypto.key, params.rx_crypto.key, 30);

	offer = parsed("v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 0\r\n");
	assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, true),
			 SDESC_E_SECURITY);
	offer = parsed("v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/SAVP 0\r\n");
	assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, false),
			 SDESC_E_SECURITY);
}

static void a_preference_is_moved_to_the_front(void **state)
{
	struct sdesc_taste taste = SDESC_TASTE_DEFAULT;

	(void)state;
	sdesc_taste_first(&taste, MEDIA_CODEC_OPUS);
	assert_int_equal(taste.codecs[0], MEDIA_CODEC_OPUS);
	assert_int_equal(taste.codecs[1], MEDIA_CODEC_PCMU);
	assert_int_equal(taste.codecs[4], MEDIA_CODEC_NONE);
	sdesc_taste_first(&taste, MEDIA_CODEC_NONE);
	assert_int_equal(taste.codecs[0], MEDIA_CODEC_OPUS);
}

static void rtcp_may_be_elsewhere_or_with_the_sound(void **state)
{
	struct sdesc_remote offer =
		parsed("v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 0\r\na=rtcp:4005\r\n"
		       "a=rtcp-mux\r\n");
	struct sdesc_local local = local_new();
	struct sdesc_taste taste = SDESC_TASTE_DEFAULT;
	struct media_params params;
	char text[MEDIA_ADDR_STR_SIZE];

	(void)state;
	assert_int_equal(sdesc_answer(&local, &offer, &taste, SDESC_SENDRECV, false), 0);
	assert_non_null(strstr(written(&local), "a=rtcp-mux\r\n"));
	sdesc_params(&local, &offer, false, &params);
	assert_true(params.rtcp_mux);
	assert_string_equal(media_addr_print(&params.remote_rtcp, text), "192.0.2.7:4005");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ordinary_offer_is_read),
		cmocka_unit_test(what_is_no_description_is_refused),
		cmocka_unit_test(more_lines_than_can_be_kept_are_refused),
		cmocka_unit_test(the_answer_has_the_codec_we_like_best_alone),
		cmocka_unit_test(dynamic_numbers_are_the_offerers),
		cmocka_unit_test(without_a_common_codec_there_is_no_answer),
		cmocka_unit_test(lines_we_do_not_want_are_refused_in_their_place),
		cmocka_unit_test(a_direction_is_answered_by_its_mirror),
		cmocka_unit_test(the_old_way_of_holding_sends_nothing),
		cmocka_unit_test(the_version_rises_only_with_a_change),
		cmocka_unit_test(an_offer_has_digits_for_each_clock),
		cmocka_unit_test(an_answer_is_taken_with_its_own_numbers),
		cmocka_unit_test(encryption_that_must_be_is_insisted_on),
		cmocka_unit_test(a_preference_is_moved_to_the_front),
		cmocka_unit_test(rtcp_may_be_elsewhere_or_with_the_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
