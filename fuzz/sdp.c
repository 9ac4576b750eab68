/* fuzz/sdp.c - session descriptions: as an offer that we answer, and as an answer to our offer */
#include "engine/sdesc.h"

#include "fuzz/target.h"

static struct sdesc_local local_new(void)
{
	struct sdesc_local local = { .session = 1, .version = 1, .direction = SDESC_SENDRECV };

	if (!media_addr_parse("192.0.2.1", 20000, &local.addr))
		abort();
	return local;
}

/* What we write can be read, by ourselves at least. */
static void check_text(struct sdesc_local *local)
{
	auto_(buf_fini) struct buf out = BUF_MAX(SDESC_TEXT_MAX);
	struct sdesc_remote back;

	sdesc_write(local, &out);
	if (out.failed || sdesc_parse(out.data, out.len, &back))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sdesc_taste taste = SDESC_TASTE_DEFAULT;
	struct sdesc_local answerer = local_new(), offerer = local_new();
	struct media_params params;
	struct sdesc_remote remote;

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	if (sdesc_parse(data, size, &remote))
		return 0;
	if (!sdesc_answer(&answerer, &remote, &taste, SDESC_SENDRECV, false)) {
		check_text(&answerer);
		sdesc_params(&answerer, &remote, false, &params);
	}
	sdesc_offer(&offerer, &taste);
	check_text(&offerer);
	if (!sdesc_accept(&offerer, &remote, false))
		sdesc_params(&offerer, &remote, true, &params);
	return 0;
}
