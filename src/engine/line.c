/* Lines: the profiles' accounts, kept registered by sip/register.h. */
#include "engine/private.h"

#include "engine/json_text.h"

struct line *line_get(struct engine *engine, struct id id)
{
	for (struct hnode *node = hmap_first(&engine->lines, id_hash(id)); node;
	     node = hmap_same(node)) {
		struct line *line = container_of_(node, struct line, node);

		if (id_eq(line->id, id))
			return line;
	}
	return NULL;
}

enum session_id_mode line_id_mode(enum caller_id_mode mode)
{
	static const enum session_id_mode modes[] = {
		[CALLER_ID_FROM] = SESSION_ID_FROM, [CALLER_ID_FROM_PAI] = SESSION_ID_FROM_PAI,
		[CALLER_ID_PAI] = SESSION_ID_PAI,   [CALLER_ID_PPI] = SESSION_ID_PPI,
		[CALLER_ID_RPID] = SESSION_ID_RPID, [CALLER_ID_ANONYMOUS] = SESSION_ID_ANONYMOUS,
	};

	return modes[mode];
}

static struct account_setup account_of(const struct line_spec *spec)
{
	static const enum sip_transp transports[] = {
		[TRANSPORT_UDP] = SIP_TRANSP_UDP,
		[TRANSPORT_TCP] = SIP_TRANSP_TCP,
		[TRANSPORT_TLS] = SIP_TRANSP_TLS,
		[TRANSPORT_WS] = SIP_TRANSP_NONE,
	};

	return (struct account_setup){
		.id = spec->id,
		.username = spec->username,
		.server = spec->server,
		.port = (uint16_t)spec->port,
		.transport = transports[spec->transport],
		.auth_username = spec->auth_username,
		.password = spec->password,
		.outbound_proxy = spec->outbound_proxy[0] ? spec->outbound_proxy : NULL,
		.registers = spec->registers,
		.expires = spec->expires > 0 ? (unsigned)spec->expires : 0,
	};
}

static struct sdesc_taste taste_of(const struct line_spec *spec)
{
	struct sdesc_taste taste = { { MEDIA_CODEC_NONE } };
	unsigned count = 0;

	for (unsigned i = 0; i < ARRAY_LEN(spec->codecs) && spec->codecs[i][0]; i++)
		for (int codec = 1; codec < MEDIA_CODEC_COUNT; codec++) {
			const struct media_codec_info *info = media_codec_info(codec);

			if (info && info->audio && info->name &&
			    str_eq_nocase(info->name, spec->codecs[i]) &&
			    count < ARRAY_LEN(taste.codecs) - 1)
				taste.codecs[count++] = info->codec;
		}
	return count ? taste : SDESC_TASTE_DEFAULT;
}

static char *if_any(const char *text)
{
	return text[0] ? xstrdup(text) : NULL;
}

void engine_line_put(struct engine *engine, const struct line_spec *spec)
{
	struct account_setup account = account_of(spec);
	struct line *line = line_get(engine, spec->id);
	int r;

	engine_enter(engine);
	if (!line) {
		line = xzalloc(sizeof(*line));
		line->id = spec->id;
		hmap_add(&engine->lines, &line->node, id_hash(line->id));
	}
	free(line->caller_number);
	free(line->caller_name);
	line->caller_number = if_any(spec->caller_number);
	line->caller_name = if_any(spec->caller_name);
	line->caller_mode = spec->caller_mode;
	line->srtp = spec->srtp;
	line->dtmf = spec->dtmf;
	line->registers = spec->registers;
	line->taste = taste_of(spec);
	r = regs_put(ua_regs(engine->ua), &account);
	/* The API checks the same before it saves; a row from elsewhere may still be unfit. */
	if (r)
		log_warn("a profile cannot be used", LOG_ID("profile", spec->id),
			 LOG_INT("why", r));
	else if (!spec->enabled && spec->registers)
		(void)regs_unregister(ua_regs(engine->ua), spec->id);
	engine_leave(engine);
}

static void line_free(struct line *line)
{
	free(line->caller_number);
	free(line->caller_name);
	free(line);
}

static void count_registered(struct engine *engine, struct id id, bool now)
{
	struct line *line = line_get(engine, id);

	if (!line || line->registered == now)
		return;
	line->registered = now;
	engine->lines_registered += now ? 1 : -1u;
}

void engine_line_drop(struct engine *engine, struct id id)
{
	struct line *line = line_get(engine, id);

	if (!line)
		return;
	engine_enter(engine);
	count_registered(engine, id, false);
	regs_remove(ua_regs(engine->ua), id);
	hmap_del(&engine->lines, &line->node);
	line_free(line);
	engine_leave(engine);
}

void engine_line_register(struct engine *engine, struct id id, bool on)
{
	engine_enter(engine);
	if (on)
		(void)regs_register(ua_regs(engine->ua), id);
	else
		(void)regs_unregister(ua_regs(engine->ua), id);
	engine_leave(engine);
}

static void view_fill(struct registration_view *view, const struct reg_report *report)
{
	view->profile_id = report->id;
	view->state = report->state;
	view->code = report->code;
	(void)str_copy(view->reason, sizeof(view->reason), report->reason);
	(void)str_copy(view->registrar, sizeof(view->registrar), report->registrar);
	view->expires_at = report->expires_us;
	view->next_attempt_at = report->next_attempt_us;
	view->changed_at = report->changed_us;
}

struct registration_view *engine_line_state(struct engine *engine, struct id id)
{
	struct regs *regs = ua_regs(engine->ua);
	struct reg_change changes[REG_HISTORY_MAX];
	struct registration_view *view;
	struct reg_report report;
	unsigned count;

	if (!regs_report(regs, id, &report))
		return NULL;
	count = regs_history(regs, id, changes, ARRAY_LEN(changes));
	view = registration_view_new(count);
	view_fill(view, &report);
	/* Newest last in a view. */
	for (unsigned i = 0; i < count; i++) {
		struct registration_change *change = &view->history[count - 1 - i];

		change->at = changes[i].at_us;
		change->state = changes[i].state;
		change->code = changes[i].code;
	}
	return view;
}

bool engine_line_asks(struct engine *engine, struct id id)
{
	struct reg_report report;

	return regs_report(ua_regs(engine->ua), id, &report) && report.asking;
}

const char *engine_line_unusable(struct engine *engine, struct id id)
{
	struct regs *regs = ua_regs(engine->ua);
	struct reg_report report;

	if (regs_usable(regs, id))
		return NULL;
	if (!regs_report(regs, id, &report))
		return "The profile is not known here.";
	switch (report.state) {
	case REG_DISABLED:
		return "The profile is not registered: ask for it with register-sip. (A trunk: its server is not known yet.)";
	case REG_REGISTERING:
		return "The profile is still registering.";
	case REG_AUTH_FAILED:
		return "The provider refuses the profile's user name or password.";
	case REG_REJECTED:
		return "The provider rejects the profile's registration.";
	case REG_UNREACHABLE:
		return "The profile's server does not answer.";
	case REG_UNREGISTERING:
		return "The profile is being unregistered.";
	case REG_RETRY_WAIT:
	case REG_REGISTERED:
		break;
	}
	return "The profile is not registered at the moment.";
}

/* ---- a line that moved ---- */

#define MOVED_MS                                                                                   \
	50 /* thousands may lose the same connection: their calls are looked at in one go */
#define MOVED_AGAIN_MS 3000 /* for calls that were in the middle of another offer */

static bool has_moved(struct channel *channel)
{
	const struct line *line =
		channel->is_device ? NULL : line_get(channel->engine, channel->line);

	return channel->moved || (line && line->moved);
}

/* Calls outlive their flow: a re-INVITE brings the new Contact, and a new address if there is one (RFC 3261 14). */
void lines_moved(struct timer *timer, void *arg)
{
	struct engine *engine = arg;
	struct hnode *node;
	bool again = false;
	size_t cursor = 0;

	engine_enter(engine);
	for (node = hmap_iter(&engine->channels, &cursor, NULL); node;
	     node = hmap_iter(&engine->channels, &cursor, node)) {
		struct channel *channel = container_of_(node, struct channel, node);

		if (has_moved(channel))
			channel->moved = !talk_moved(channel);
		again = again || channel->moved;
	}
	cursor = 0;
	for (node = hmap_iter(&engine->lines, &cursor, NULL); node;
	     node = hmap_iter(&engine->lines, &cursor, node))
		container_of_(node, struct line, node)->moved = false;
	if (again)
		timer_start(timer, MOVED_AGAIN_MS);
	engine_settle(engine);
}

static void line_moved(struct engine *engine, struct id id)
{
	struct line *line = line_get(engine, id);

	if (!line || !engine->channels.count)
		return;
	line->moved = true;
	timer_start(&engine->moved, MOVED_MS);
}

void line_on_report(const struct reg_report *report, void *arg)
{
	struct engine *engine = arg;
	struct queued *queued;

	count_registered(engine, report->id, report->state == REG_REGISTERED && !report->gone);
	if (report->gone || !line_get(engine, report->id))
		return;
	if (report->moved)
		line_moved(engine, report->id);
	engine_enter(engine);
	queued = event_of(engine, ENGINE_LINE_STATE);
	queued->event.id = report->id;
	queued->registration = registration_view_new(0);
	view_fill(queued->registration, report);
	event_emit(engine, queued);
	engine_settle(engine);
}

void lines_fini(struct engine *engine)
{
	size_t cursor = 0;
	struct hnode *node = hmap_iter(&engine->lines, &cursor, NULL), *then;

	for (; node; node = then) {
		then = hmap_iter(&engine->lines, &cursor, node);
		line_free(container_of_(node, struct line, node));
	}
	hmap_fini(&engine->lines);
}

/* ---- trying an account ---- */

struct testing {
	void (*done)(void *arg, const char *json);
	void *arg;
};

static void step_jot(struct jot *out, const struct probe_step *step)
{
	jot_open(out, NULL, '{');
	jot_text(out, "name", step->name);
	jot_bool(out, "ok", step->ok);
	jot_int(out, "ms", step->ms);
	jot_text(out, "detail", step->detail);
	jot_text(out, "sent", step->sent);
	jot_text(out, "received", step->received);
	jot_close(out, '}');
}

static void tested(const struct probe_result *result, void *arg)
{
	struct testing *testing = arg;
	static const char *const nat[] = { "unknown", "none", "behind" };
	auto_(buf_fini) struct buf text = BUF_MAX(131072);
	struct jot out = { .buf = &text };

	jot_open(&out, NULL, '{');
	jot_bool(&out, "ok", result->ok);
	jot_text(&out, "nat", nat[result->nat]);
	jot_text(&out, "seen_as", result->seen_as);
	jot_open(&out, "steps", '[');
	for (unsigned i = 0; i < result->count; i++)
		if (result->steps[i].ran)
			step_jot(&out, &result->steps[i]);
	jot_close(&out, ']');
	jot_close(&out, '}');
	testing->done(testing->arg, text.failed ? "{\"ok\":false,\"steps\":[]}" : text.data);
	free(testing);
}

void engine_line_test(struct engine *engine, const struct line_spec *spec,
		      void (*done)(void *arg, const char *json), void *arg)
{
	struct account_setup account = account_of(spec);
	struct testing *testing = xzalloc(sizeof(*testing));
	struct probe_result unfit = {
		.count = 1,
		.steps = { { .name = "profile",
			     .ran = true,
			     .detail = "A name, server or proxy cannot be used." } },
	};
	struct probe *probe;

	testing->done = done;
	testing->arg = arg;
	engine_enter(engine);
	if (probe_start(engine->ua, &account, tested, testing, &probe))
		tested(&unfit, testing);
	engine_leave(engine);
}
