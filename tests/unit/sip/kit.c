/* tests/unit/sip/kit.c */
#include "kit.h"

#include <stdio.h>

static void on_raw(enum sip_transp transport, const struct sa *from, const char *text, size_t len,
		   void *arg)
{
	struct kit *kit = arg;
	struct kit_seen *seen = &kit->seen[kit->seen_count];

	assert_true(kit->seen_count < KIT_SEEN);
	kit->seen_count++;
	seen->at_ms = kit_now(kit) - 1; /* the net takes a millisecond */
	seen->transport = transport;
	seen->from = *from;
	seen->text = xstrndup(text, len);
}

void kit_open(struct kit *kit)
{
	memset(kit, 0, sizeof(*kit));
	kit->start_ms = 1000000;
	kit->wheel = wheel_new_virtual(kit->start_ms, 1700000000000000);
	kit->net = sim_net_new(kit->wheel, 1);
	kit->wire = wire_sim_new(kit->net, KIT_OURS, NULL);
	kit->resolver =
		resolver_new(&(struct resolver_setup){ .wheel = kit->wheel, .wire = kit->wire });
	kit->stack = stack_new(&(struct stack_setup){ .wheel = kit->wheel,
						      .wire = kit->wire,
						      .resolver = kit->resolver,
						      .software = "Kit/1" });
	sim_raw_bind(kit->net, KIT_PEER, on_raw, kit);
}

void kit_forget(struct kit *kit)
{
	while (kit->seen_count)
		free(kit->seen[--kit->seen_count].text);
}

void kit_close(struct kit *kit)
{
	kit_forget(kit);
	stack_free(kit->stack);
	resolver_free(kit->resolver);
	wire_free(kit->wire);
	sim_net_free(kit->net);
	wheel_free(kit->wheel);
}

uint64_t kit_now(const struct kit *kit)
{
	return wheel_now_ms(kit->wheel) - kit->start_ms;
}

void kit_run(struct kit *kit, uint64_t ms)
{
	wheel_advance_to(kit->wheel, wheel_now_ms(kit->wheel) + ms);
}

static format_printf(4, 0) void say(struct kit *kit, enum sip_transp transport, const char *from,
				    const char *fmt, va_list ap)
{
	static char text[200000], wire_text[400000];
	size_t out = 0;
	int len = vsnprintf(text, sizeof(text), fmt, ap);

	assert_true(len >= 0 && (size_t)len < sizeof(text));
	for (int i = 0; i < len; i++) {
		if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r'))
			wire_text[out++] = '\r';
		wire_text[out++] = text[i];
	}
	sim_raw_send(kit->net, transport, from, KIT_OURS, wire_text, out);
}

void kit_say(struct kit *kit, enum sip_transp transport, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(kit, transport, KIT_PEER, fmt, ap);
	va_end(ap);
}

void kit_say_from(struct kit *kit, enum sip_transp transport, const char *from, const char *fmt,
		  ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(kit, transport, from, fmt, ap);
	va_end(ap);
}

const char *kit_heard(const struct kit *kit, unsigned n)
{
	assert_true(n < kit->seen_count);
	return kit->seen[n].text;
}

const char *kit_last(const struct kit *kit)
{
	assert_true(kit->seen_count > 0);
	return kit->seen[kit->seen_count - 1].text;
}

void kit_assert_times(const struct kit *kit, const uint64_t *times)
{
	unsigned n = 0;

	for (; times[n] != UINT64_MAX; n++) {
		assert_true(n < kit->seen_count);
		assert_int_equal(kit->seen[n].at_ms, times[n]);
	}
	assert_int_equal(kit->seen_count, n);
}

const char *kit_header(const char *text, const char *name)
{
	static char values[8][2048];
	static unsigned turn;
	char *value = values[turn++ % 8];
	size_t len = strlen(name);

	value[0] = '\0';
	for (const char *line = strstr(text, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
		if (strncasecmp(line + 2, name, len) != 0 || line[2 + len] != ':')
			continue;
		snprintf(value, sizeof(values[0]), "%.*s", (int)strcspn(line + 4 + len, "\r"),
			 line + 4 + len);
		break;
	}
	return value;
}

void kit_respond(struct kit *kit, enum sip_transp transport, const char *request, unsigned code,
		 const char *to_tag)
{
	kit_say(kit, transport,
		"SIP/2.0 %u Because\nVia: %s\nFrom: %s\nTo: %s%s%s\nCall-ID: %s\nCSeq: %s\nContent-Length: 0\n\n",
		code, kit_header(request, "Via"), kit_header(request, "From"),
		kit_header(request, "To"), to_tag ? ";tag=" : "", to_tag ? to_tag : "",
		kit_header(request, "Call-ID"), kit_header(request, "CSeq"));
}
