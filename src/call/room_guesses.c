/* PINs that are tried out by phone: whoever calls again and again finds a short one in hours. Wrong ones are counted by
 * caller, so that nobody shuts the door on others; and all together, since a number that calls proves nothing, and who
 * tries them out may come under many. Those who need no PIN, or show it by the API, are not concerned.
 */
#include "call/room.h"

#define OF_ONE_MAX 9   /* three calls' worth */
#define IN_ALL_MAX 300 /* then nobody is asked any more */
#define WINDOW_MS 600000

struct room_guesses {
	uint64_t until_ms;
	unsigned total, caller_count;
	struct {
		uint64_t key;
		unsigned wrong;
	} callers[IN_ALL_MAX];
};

/* A phone of ours is its user's; anybody else is a number and where it came in. */
static uint64_t caller_key(const struct leg *caller)
{
	if (!id_is_none(caller->user))
		return id_hash(caller->user);
	return id_hash(caller->profile_id) ^ hkey_text(caller->address);
}

/* Those of the running ten minutes, or NULL. */
static struct room_guesses *of_late(struct room *room)
{
	if (room->guesses && wheel_now_ms(room->app->wheel) >= room->guesses->until_ms)
		free(take(room->guesses));
	return room->guesses;
}

static unsigned *count_of(struct room_guesses *guesses, uint64_t key)
{
	for (unsigned i = 0; i < guesses->caller_count; i++)
		if (guesses->callers[i].key == key)
			return &guesses->callers[i].wrong;
	return NULL;
}

bool guesses_used_up(struct room *room, const struct leg *caller)
{
	struct room_guesses *guesses = of_late(room);
	const unsigned *wrong = guesses ? count_of(guesses, caller_key(caller)) : NULL;

	return guesses && (guesses->total >= IN_ALL_MAX || (wrong && *wrong >= OF_ONE_MAX));
}

void guess_was_wrong(struct room *room, const struct leg *caller)
{
	struct room_guesses *guesses = of_late(room);
	uint64_t key = caller_key(caller);
	unsigned *wrong;

	if (!guesses) {
		guesses = room->guesses = xzalloc(sizeof(*guesses));
		guesses->until_ms = wheel_now_ms(room->app->wheel) + WINDOW_MS;
	}
	if (guesses->total >= IN_ALL_MAX)
		return; /* of those who had been asked before */
	wrong = count_of(guesses, key);
	if (!wrong) {
		guesses->callers[guesses->caller_count].key = key;
		wrong = &guesses->callers[guesses->caller_count++].wrong;
	}
	if (++*wrong == OF_ONE_MAX)
		log_warn("a room's PIN is being tried out: this caller is not asked for a while",
			 LOG_ID("room", room->id), LOG_ID("call", caller->call->id));
	if (++guesses->total == IN_ALL_MAX)
		log_warn("a room's PIN is being tried out: nobody is asked for it for a while",
			 LOG_ID("room", room->id));
}
