/* dtmf: digits to a leg, and those that come from one. */
#include "call/private.h"

/* An operation of ours and the engine's number of it. */
struct sending {
	struct chain_link in_leg;
	struct id id;
	uint32_t operation;
};

static const char *method_name(enum dtmf_mode method)
{
	static const char *const names[] = { [DTMF_AUTO] = "none",
					     [DTMF_RFC4733] = "rfc4733",
					     [DTMF_INFO] = "info",
					     [DTMF_INBAND] = "inband" };

	return names[method];
}

/* While somebody says a card's number or a PIN: that a key was pressed is told, not which one. */
static bool is_masked(const struct leg *leg)
{
	const struct call *call = leg->call;

	if (record_shown(call) == RECORDING_PAUSED || room_leg_is_paused(leg))
		return true;
	if (call->mask)
		return call->mask == MASK_ON;
	return call->profile && call->profile->spec->mask_dtmf;
}

void digits_came(struct leg *leg, const struct engine_event *event)
{
	bool masked = is_masked(leg);
	char text[2] = { event->digit, '\0' };

	call_publish(leg->call, EVENT_CALL_DTMF,
		     json_pack("{s:s, s:s?, s:i, s:s, s:b}", "leg_id", id_str(leg->id), "digit",
			       masked ? NULL : text, "duration_ms", event->duration_ms, "method",
			       method_name(event->method), "masked", masked));
}

static void sending_free(struct leg *leg, struct sending *sending)
{
	chain_remove(&leg->sendings, &sending->in_leg);
	free(sending);
}

void digits_sent(struct leg *leg, const struct engine_event *event)
{
	struct sending *sending, *then;

	chain_each_safe(sending, then, &leg->sendings, in_leg) {
		if (sending->operation != event->operation)
			continue;
		call_publish(leg->call, EVENT_CALL_DTMF_SENT,
			     json_pack("{s:s, s:s, s:s, s:b, s:i, s:o}", "operation_id",
				       id_str(sending->id), "leg_id", id_str(leg->id), "method",
				       method_name(event->method), "complete", event->ok, "sent",
				       (int)event->count, "sip_code",
				       event->code ? json_integer(event->code) : json_null()));
		sending_free(leg, sending);
	}
}

void digits_abandon(struct leg *leg)
{
	struct sending *sending, *then;

	chain_each_safe(sending, then, &leg->sendings, in_leg) {
		call_publish(leg->call, EVENT_CALL_DTMF_SENT,
			     json_pack("{s:s, s:s, s:n, s:b, s:n, s:n}", "operation_id",
				       id_str(sending->id), "leg_id", id_str(leg->id), "method",
				       "complete", false, "sent", "sip_code"));
		sending_free(leg, sending);
	}
}

void digits_forget(struct leg *leg)
{
	struct sending *sending, *then;

	chain_each_safe(sending, then, &leg->sendings, in_leg)
		sending_free(leg, sending);
}

static struct reply *refused(int r, enum dtmf_mode method)
{
	if (r == DTMF_E_FULL)
		return reply_error(REPLY_LIMIT, NULL, "Too many digits wait on this leg already.");
	if (method)
		return reply_error(REPLY_INVALID, "method",
				   "This leg cannot take digits that way.");
	return reply_error(REPLY_UNSUPPORTED, NULL, "This leg cannot take digits.");
}

static struct reply *send_digits(struct leg *leg, const struct dtmf_request *request)
{
	struct dtmf_spec spec = { request->digits, (unsigned)request->duration_ms,
				  (unsigned)request->gap_ms, request->method };
	struct sending *sending;
	struct reply *reply;
	uint32_t operation;
	int r = channel_dtmf(leg->channel, &spec, &operation);

	if (r)
		return refused(r, request->method);
	sending = xzalloc(sizeof(*sending));
	sending->id = id_new();
	sending->operation = operation;
	chain_append(&leg->sendings, &sending->in_leg);
	reply = reply_new(REPLY_OK);
	reply->operation_id = sending->id;
	return reply;
}

/* All or nothing: what could not be sent changes no mask either. */
static struct reply *carry_out(struct call *call, struct leg *leg,
			       const struct dtmf_request *request)
{
	struct reply *reply = request->digits[0] ? send_digits(leg, request) : reply_new(REPLY_OK);

	if (reply->code == REPLY_OK && request->mask)
		call->mask = request->mask;
	return reply;
}

static struct reply *not_now(const struct call *call, const struct leg *leg)
{
	if (call_is_held(call))
		return reply_error(REPLY_CALL_HELD, NULL, "The call is on hold.");
	if (leg && (leg_shown(leg) == LEG_ANSWERED || leg_shown(leg) == LEG_EARLY_MEDIA))
		return NULL;
	return reply_wrong_state(leg ? leg_state_names[leg_shown(leg)]
				     : call_state_names[call->shown],
				 "This leg has not been answered.");
}

struct reply *do_dtmf(struct call_app *app, struct command *command)
{
	const struct dtmf_request *request = command->body;
	struct call *call;
	struct leg *leg;
	struct reply *no = call_for(app, command, &call);

	if (no)
		return no;
	if (id_is_none(command->leg_id))
		leg = leg_far(call, &command->asker);
	else
		no = leg_for(call, command, &leg);
	if (!no && request->digits[0])
		no = not_now(call, leg);
	return no ? no : carry_out(call, leg, request);
}
