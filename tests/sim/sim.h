/* tests/sim/sim.h - the whole of signalling in one process: calls, engine and SIP on a net in memory, under a virtual
 * clock. The far ends are played by the test, message by message.
 *
 *     sim_make(s, "0301");                       anna's phones ring
 *     invite = sim_expect(phone, "INVITE");
 *     sim_answer(phone, invite, &dialog, SDP);   the dialogue goes on in `dialog`
 *     sim_run(s, 32000);
 *     sim_clean(s);                              nothing is left
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/base.h"
#include "call/app.h"
#include "engine/builtin.h"
#include "event/bus.h"
#include "sip/wire_sim.h"

#define SIM_OURS "10.0.0.1:5060"
#define SIM_PROVIDER "10.0.0.2:5060"
#define SIM_PHONE "10.0.0.3:5060"
#define SIM_PHONE2 "10.0.0.4:5060"
#define SIM_INBOX 2048
#define SIM_TEXT 4096

struct sim;

struct sim_message {
	char *text;
	uint64_t at_ms;
	bool taken;
};

struct sim_peer {
	struct sim *sim;
	const char *addr;
	struct sim_message inbox[SIM_INBOX];
	unsigned count;
	unsigned tags;
	bool deaf;	   /* hears, and answers nothing by itself */
	int register_code; /* of the provider; 0: 200 */
	const char *
		sees; /* ";received=...;rport=..." in place of our Via's ";rport"; NULL: as it came */
};

/* A dialogue from a peer's side. */
struct sim_dialog {
	struct sim_peer *peer;
	char call_id[200], local[300], remote[300], target[300], via[300];
	uint32_t cseq;
};

struct sim {
	struct wheel *wheel;
	uint64_t now_ms;
	struct sim_net *net;
	struct wire *wire;
	struct resolver *resolver;
	struct stack *stack;
	struct work_pool *pool;
	struct ring *home;
	struct engine *engine;
	struct event_bus *bus;
	struct call_app *app;
	struct sim_peer provider, phone, phone2;
	struct id tenant, anna, line, device;
	struct event *events[1024];
	unsigned event_count;
	struct reply *reply;
	char line_contact[300]; /* what the profile registered */
};

struct sim *sim_new(
	void); /* anna has a profile that is registered, and a device with two contacts: phone, phone2 */
/* With limits of its own; 0: the default. */
struct sim *sim_new_with(const struct call_limits *limits);
void sim_free(struct sim *sim);
void sim_run(struct sim *sim, uint64_t ms);
/* Everything that was begun has ended and is gone, after the longest of SIP's timers. */
void sim_clean(struct sim *sim);

/* ---- what we are told to do, and say of it ---- */
struct reply *sim_do(struct sim *sim, struct command *command);
struct reply *sim_make(struct sim *sim, const char *to, enum connect_kind kind);
struct reply *sim_hangup(struct sim *sim);
const struct call_view *sim_view(struct sim *sim);
unsigned sim_events(struct sim *sim, enum event_type type);
/* Whether the last of that type says so in its detail. */
bool sim_told(struct sim *sim, enum event_type type, const char *what);
void sim_ended(struct sim *sim, enum end_reason reason, int code, enum hangup_by by);

/* Anna's phone talks to somebody at the provider, who describes himself by `sdp`. */
void sim_talk(struct sim *sim, struct sim_dialog *phone, struct sim_dialog *far, const char *sdp);
/* And it is over: we hang up. */
void sim_over(struct sim *sim);

/* ---- the far ends ---- */

extern const char sim_sdp[]; /* PCMU, PCMA, telephone-event */

/* The next message not looked at yet that begins like this; fails the test when there is none. */
const char *sim_expect(struct sim_peer *peer, const char *start);
bool sim_heard(struct sim_peer *peer, const char *start); /* looks only */
unsigned sim_count(struct sim_peer *peer, const char *start);
/* A header's value (its first), into a static place for each of four calls. */
const char *sim_header(const char *message, const char *name);
const char *sim_body(const char *message);

/* Any response to a request; `tag`: NULL for 100. `extra`: whole header lines or NULL. */
void sim_reply(struct sim_peer *peer, const char *request, int code, const char *tag,
	       const char *extra, const char *sdp);
/* 200 to an INVITE: `dialog` goes on from there. */
void sim_answer(struct sim_peer *peer, const char *invite, struct sim_dialog *dialog,
		const char *sdp);
/* The dialogue that a provisional or final response of ours to that peer's INVITE began or confirmed. */
void sim_confirm(struct sim_dialog *dialog, const char *response);
/* A request inside the dialogue. */
void sim_request(struct sim_dialog *dialog, const char *method, const char *extra, const char *sdp);
/* An INFO with that body (application/dtmf-relay). */
void sim_info(struct sim_dialog *dialog, const char *body);
void sim_ack(struct sim_dialog *dialog, const char *sdp);
/* A call from the provider to the profile. */
void sim_call_in(struct sim *sim, struct sim_dialog *dialog, const char *from, const char *sdp);
/* A phone dials, and shows its password when it is asked. */
void sim_dial(struct sim_peer *phone, struct sim_dialog *dialog, const char *to);
void sim_cancel(struct sim_dialog *dialog);
