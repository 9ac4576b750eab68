/* The lobby: who has been called into a room presses 1 if that was asked for (an answering machine does not); who needs it
 * says the room's PIN.
 */
#include "call/room.h"

#include <sodium.h>

#define FIRST_DIGIT_MS 10000 /* after the question */
#define NEXT_DIGIT_MS 5000
#define TRIES 3

#define PIN_WANTED "Please enter the conference number, then press the pound key."
#define CONFIRM_WANTED "You are invited to a conference. To join it, please press 1."

void dismiss(struct leg *leg, enum ending_cause cause, const char *words)
{
	struct sound_spec sound = { .kind = SOUND_SAY, .say = words };

	leg->after_sound = cause;
	leg->sound_id = channel_play(leg->channel, &sound);
}

bool pin_is(const char *pin, const char *digits)
{
	char padded[2][ROOM_PIN_SIZE] = { 0 };
	bool same;

	(void)str_copy(padded[0], ROOM_PIN_SIZE, pin);
	(void)str_copy(padded[1], ROOM_PIN_SIZE, digits);
	same = sodium_memcmp(padded[0], padded[1], ROOM_PIN_SIZE) == 0;
	explicit_bzero(padded, sizeof(padded));
	return pin[0] && same;
}

static void ask(struct room_member *member, const char *words)
{
	struct sound_spec sound = { .kind = SOUND_SAY, .say = words };

	member->digits[0] = '\0';
	(void)channel_play(member->leg->channel, &sound);
	timer_start(&member->timer, FIRST_DIGIT_MS);
}

static bool needs_pin(const struct room_member *member)
{
	const struct room_settings *set = &member->room->set;

	return !member->leg->call->vouched && (set->pin[0] || set->moderator_pin[0]);
}

static void refuse(struct room_member *member, enum ending_cause cause, const char *words)
{
	struct leg *leg = member->leg;

	room_leave(leg);
	dismiss(leg, cause, words);
}

static void let_in(struct room_member *member)
{
	struct room *room = member->room;

	if (room_admits(room, 1)) {
		refuse(member, ENDING_ROOM_REFUSED,
		       "Nobody else can join this conference. Goodbye.");
		return;
	}
	chain_remove(&room->lobby, &member->in_room);
	member_come_in(member);
}

static void ask_pin(struct room_member *member)
{
	if (!guesses_used_up(member->room, member->leg))
		ask(member, PIN_WANTED);
	else if (member->room->set.pin[0])
		refuse(member, ENDING_ROOM_REFUSED, "Please try again later. Goodbye.");
	else
		let_in(member); /* as one who says none: it would only make a moderator */
}

static void pin_check(struct room_member *member)
{
	struct room *room = member->room;
	bool moderator = pin_is(room->set.moderator_pin, member->digits);
	/* A room with a moderator's PIN alone is open to all. */
	bool right = moderator || pin_is(room->set.pin, member->digits) ||
		     (!room->set.pin[0] && !member->digits[0]);

	if (!right && member->digits[0])
		guess_was_wrong(room, member->leg);
	explicit_bzero(member->digits, sizeof(member->digits));
	if (right) {
		member->moderator = moderator;
		let_in(member);
	} else if (++member->tries < TRIES && !guesses_used_up(room, member->leg)) {
		ask(member, "That is not the right number. Please try again.");
	} else {
		refuse(member, ENDING_PIN, "That is not the right number. Goodbye.");
	}
}

static void unconfirmed(struct room_member *member)
{
	struct room *room = member->room;
	const struct call *call = member->leg->call;

	if (++member->tries < TRIES) {
		ask(member, CONFIRM_WANTED);
		return;
	}
	room_publish(room, EVENT_CONFERENCE_FAILED, NULL,
		     json_pack("{s:s, s:s, s:s, s:i}", "call_id", id_str(call->id), "to", call->to,
			       "end_reason", end_reason_names[END_DECLINED], "sip_code", 0));
	refuse(member, ENDING_UNCONFIRMED, "Goodbye.");
}

static void confirmed(struct room_member *member)
{
	member->confirms = false;
	member->tries = 0;
	if (needs_pin(member))
		ask_pin(member);
	else
		let_in(member);
}

static void time_is_up(struct timer *timer, void *arg)
{
	struct room_member *member = arg;

	(void)timer;
	channel_play_stop(member->leg->channel);
	if (member->confirms)
		unconfirmed(member);
	else
		pin_check(member);
}

static size_t longest_pin(const struct room_settings *set)
{
	size_t pin = strlen(set->pin), moderator = strlen(set->moderator_pin);

	return pin > moderator ? pin : moderator;
}

void lobby_digit(struct room_member *member, char digit)
{
	size_t len = strlen(member->digits);

	timer_stop(&member->timer);
	channel_play_stop(member->leg->channel);
	if (member->confirms) {
		if (digit == '1')
			confirmed(member);
		else
			unconfirmed(member);
		return;
	}
	if (digit != '#' && len + 1 < sizeof(member->digits)) {
		member->digits[len++] = digit;
		member->digits[len] = '\0';
	}
	if (digit == '#' || len >= longest_pin(&member->room->set))
		pin_check(member);
	else
		timer_start(&member->timer, NEXT_DIGIT_MS);
}

void lobby_enter(struct room *room, struct leg *leg)
{
	struct room_member *member = member_new(room, leg);

	member->in_lobby = true;
	member->confirms = leg->call->confirm;
	chain_append(&room->lobby, &member->in_room);
	timer_init(&member->timer, room->app->wheel, time_is_up, member);
	if (member->confirms)
		ask(member, CONFIRM_WANTED);
	else
		ask_pin(member);
}
