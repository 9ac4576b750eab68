"""Many clients at once on one call, which ends in the middle of it: every request is answered in
an orderly way, and nothing of the call is left."""
import random
import threading
import time

import pytest

from peers import net
from peers.daemon import Client
from peers.ear import Ear
from peers.talk import live_calls, steady

CLIENTS = 20
MODES = ("listen", "whisper", "barge")
ALONE_S, ROOMS_S = 1.2, 1.5  # a call of two; then it may be moved into rooms


class Storm:
    """Clients of one user that each do one thing after the other, at random."""

    def __init__(self, tenant, call_id, rooms, seed, targets=(), listens=False):
        self.call_id, self.rooms, self.targets = call_id, rooms, targets
        self.listens, self.monitors = listens, []
        self.legs = [leg["id"] for leg in tenant.call(call_id)["legs"] if leg["state"] != "ended"]
        self.over, self.rooms_open = threading.Event(), threading.Event()
        self.wrong, self.done = [], {}
        self.threads = []
        for i in range(CLIENTS):
            client = Client(tenant.daemon, tenant.access)
            self.threads.append(threading.Thread(target=self._run, daemon=True,
                                                 args=(client, random.Random(seed * 100 + i))))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a request was never answered"
        assert not self.wrong, self.wrong[:5]

    def _run(self, client, dice):
        while not self.over.is_set():
            what, method, path, body = self._request(client, dice)
            try:
                reply = client.request(method, path, body)
                text = reply.text
            except Exception as error:
                self.wrong.append((what, repr(error)))
                break
            key = (what, reply.status_code)
            self.done[key] = self.done.get(key, 0) + 1
            if what == "monitor" and reply.status_code == 201:
                self.monitors.append(reply.json()["id"])
            if reply.status_code >= 500:
                self.wrong.append((what, body, reply.status_code, text))
        client.close()

    def _member(self, client, dice, room):
        reply = client.get(f"/api/conferences/{room}/")
        members = reply.json().get("members", []) if reply.status_code == 200 else []
        return dice.choice(members)["id"] if members else self.legs[0]

    def _request(self, client, dice):
        call = {"call_id": self.call_id}
        room = {"room": dice.choice(self.rooms)}
        what = dice.choice(("hold", "hold", "hold", "mute", "mute", "dtmf", "record", "record",
                            "read")
                           + (("join", "member", "member", "member", "member", "lock")
                              if self.rooms_open.is_set() else ())
                           + (("transfer", "go on", "go on", "go on") if self.targets else ())
                           + (("monitor", "switch", "switch", "leave") if self.listens else ()))
        if what == "hold":
            return what, "POST", "/api/hold-call/", {**call,
                                                     "action": dice.choice(("hold", "resume"))}
        if what == "mute":
            return what, "POST", "/api/mute-call/", {**call, "leg_id": dice.choice(self.legs),
                                                     "muted": dice.random() < 0.5}
        if what == "dtmf":
            return what, "POST", "/api/dtmf/", {
                **call, "digits": dice.choice(("1", "56", "#")), "duration_ms": 50, "gap_ms": 40,
                "method": dice.choice(("auto", "info", "inband", "rfc4733"))}
        if what == "record":
            return what, "POST", "/api/record-call/", {
                **call, "action": dice.choice(("start", "stop", "pause", "resume"))}
        if what == "monitor":
            return what, "POST", "/api/live-monitoring/", {
                **(room if dice.random() < 0.3 else call), "muted": dice.random() < 0.3,
                "mode": dice.choice(MODES), "beep": dice.random() < 0.3}
        if what == "switch" and self.monitors:
            return what, "PATCH", f"/api/live-monitoring/{dice.choice(self.monitors)}/", {
                "mode": dice.choice(MODES), "muted": dice.random() < 0.3,
                "target_leg": dice.choice((None, *self.legs))}
        if what == "leave" and self.monitors:
            return what, "DELETE", f"/api/live-monitoring/{dice.choice(self.monitors)}/", None
        if what == "transfer":
            return what, "POST", "/api/transfer-call/", {
                **call, "to": dice.choice(self.targets), "release": dice.choice(("ringing", "now")),
                "mode": dice.choice(("blind", "attended", "attended")),
                "ring_timeout_s": 1}
        if what == "go on":
            return what, "POST", "/api/transfer-call/", {
                **call, "action": dice.choice(("complete", "cancel", "swap", "swap", "conference"))}
        if what == "join":
            return what, "POST", "/api/conference/", {**room, **call, "action": "join"}
        if what == "member":
            action = dice.choice(("mute", "unmute", "deaf", "undeaf", "hold", "resume", "mute",
                                  "hold", "resume"))
            return what, "POST", "/api/conference/", {
                **room, "action": action, "member_id": self._member(client, dice, room["room"])}
        if what == "lock":
            return what, "POST", "/api/conference/", {**room,
                                                      "action": dice.choice(("lock", "unlock"))}
        return what, "GET", dice.choice((f"/api/calls/{self.call_id}/", "/api/calls/",
                                         f"/api/calls/{self.call_id}/timeline/",
                                         "/api/conferences/", "/api/recordings/")), None


def of_us(metrics):
    return {name: metrics[name] for name in ("jackfield_channels", "jackfield_media_streams",
                                             "jackfield_recordings")}


def phone_of(client, agents):
    device = client.add_device()
    phone = agents(device["username"], device["password"],
                   domain=f"{device['server']}:{device['port']}")
    assert phone.register().status == 200
    return phone


@pytest.fixture
def torn(own_daemon, provider, agents, far_end):
    """A tenant with a daemon of its own, and a call of two that is up."""
    daemon = own_daemon()
    tenant = daemon.signup()
    line = tenant.registered_profile(provider, record="on_demand")
    phone = phone_of(tenant, agents)
    events = tenant.events(("calls", "conferences", "recordings"))
    call_id = tenant.make_call(line, far_end.number)["id"]
    desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call_id)
    yield tenant, events, call_id, desk, remote
    tenant.close()


def calm(tenant, call_id, rooms):
    """Whatever was done is taken back."""
    call = {"call_id": call_id}
    tenant.post("/api/hold-call/", {**call, "action": "resume"})
    for room in rooms:
        reply = tenant.get(f"/api/conferences/{room}/")
        for member in reply.json().get("members", []):
            for action in ("unmute", "undeaf", "resume"):
                tenant.ok("POST", "/api/conference/", {"room": room, "action": action,
                                                       "member_id": member["id"]})
    for leg in tenant.call(call_id)["legs"]:
        if leg["state"] != "ended":
            tenant.ok("POST", "/api/mute-call/", {**call, "leg_id": leg["id"], "muted": False})
    tenant.post("/api/record-call/", {**call, "action": "stop"})


@pytest.mark.timeout(120)
@pytest.mark.parametrize("with_rooms", [False, True])
def test_after_the_storm_they_hear_each_other(torn, with_rooms):
    tenant, events, call_id, desk, remote = torn
    rooms = [net.token("room"), net.token("room")]
    with Storm(tenant, call_id, rooms, seed=3) as storm:
        if with_rooms:
            storm.rooms_open.set()
        time.sleep(ROOMS_S)
    calm(tenant, call_id, rooms)
    # Digits that still wait, and the last hold's offer.
    net.until(lambda: len(events.all("call.dtmf_sent")) >= storm.done.get(("dtmf", 202), 0), 60,
              "every digit has been sent or given up")
    steady(desk.ear, remote.ear)
    for side in (desk, remote):
        packets = side.ear.packets
        assert len({p.ssrc for p in packets}) == 1
        assert all((b.seq - a.seq) & 0xFFFF == 1 for a, b in zip(packets, packets[1:]))
        steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in zip(packets, packets[1:])]
        assert all(step < 0x80000000 for step in steps), "time never goes back"
    held = [m["type"] for m in events.messages if m["type"] in ("call.held", "call.resumed")]
    assert all(a != b for a, b in zip(held, held[1:])), "held and resumed take turns"
    call = tenant.call(call_id)
    assert call["state"] == "answered" and call["hold"] == {"local": False, "remote": False}
    tenant.hangup(call_id)
    events.wait_ended(call_id)


class Picker:
    """Answers, refuses or lets ring whoever calls that phone."""

    def __init__(self, agent, seed, moods=("answer", "answer", "answer", "busy", "ring")):
        self.agent, self.dice, self.over = agent, random.Random(seed), threading.Event()
        self.moods = moods
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            try:
                call = self.agent.expect_invite(timeout=0.2, ear=Ear(self.agent.address, tone=850))
                what = self.dice.choice(self.moods)
                if what == "busy":
                    call.reply(486)
                    continue
                call.ring()
                if what == "answer":
                    time.sleep(self.dice.random() * 0.1)
                    call.answer()
            except (TimeoutError, AssertionError, OSError):
                pass  # cancelled, or nobody called

    def close(self):
        self.over.set()
        self.thread.join(10)


def end_it(end, tenant, call_id, desk, remote):
    if end == "bye":
        remote.bye()
    elif end == "phone":
        desk.bye()
    elif end == "api":
        tenant.hangup(call_id)


def nothing_is_left(tenant, events, call_id, rooms):
    """Once everything was hung up and ended; and every call, and every recording, has one end."""
    def nobody():
        for call in live_calls(tenant):
            tenant.hangup(call["id"])
        return not live_calls(tenant)

    def recordings():
        return tenant.ok("GET", "/api/recordings/?page_size=500")["results"]

    net.until(nobody, 15, "all calls are over")
    for room in rooms:
        tenant.post("/api/conference/", {"room": room, "action": "end"})
    assert tenant.ok("GET", "/api/conferences/")["results"] == []
    net.until(lambda: not any(of_us(tenant.daemon.metrics()).values()), 15, "nothing is left")
    net.until(lambda: all(r["state"] in ("ready", "failed") for r in recordings()), 10,
              "every recording has come to its end")
    assert all(r["state"] == "ready" or r["reason"] == "empty" for r in recordings())
    events.wait_ended(call_id)
    ended = [m["call_id"] for m in events.all("call.ended")]
    assert len(ended) == len(set(ended)), "each ends once"
    assert "level=error" not in tenant.daemon.log()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", ["bye", "phone", "api"])
def test_a_call_that_is_sent_everywhere(torn, far_ends, agents, end):
    tenant, events, call_id, desk, remote = torn
    colleague, outside, rooms = tenant.add_user("agent"), far_ends(), [net.token("room")]
    pickers = [Picker(phone_of(colleague, agents), 1), Picker(outside, 2),
               Picker(desk.ua, 3, ("answer",))]
    with Storm(tenant, call_id, rooms, seed=len(end),
               targets=(colleague.user["extension"], outside.number)) as storm:
        time.sleep(3 * ALONE_S)
        storm.rooms_open.set()
        time.sleep(ROOMS_S)
        end_it(end, tenant, call_id, desk, remote)
        time.sleep(0.5)
    for picker in pickers:
        picker.close()
    nothing_is_left(tenant, events, call_id, rooms)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", ["bye", "phone", "api"])
def test_a_call_that_is_listened_to_by_many(torn, far_ends, agents, end):
    """The admin's second phone is the supervisors'; the call is moved and sent about meanwhile."""
    tenant, events, call_id, desk, remote = torn
    colleague, outside, rooms = tenant.add_user("agent"), far_ends(), [net.token("room")]
    pickers = [Picker(phone_of(colleague, agents), 1), Picker(outside, 2),
               Picker(desk.ua, 3, ("answer",)),
               Picker(phone_of(tenant, agents), 4, ("answer", "answer", "answer", "busy"))]
    with Storm(tenant, call_id, rooms, seed=len(end), listens=True,
               targets=(colleague.user["extension"], outside.number)) as storm:
        time.sleep(2 * ALONE_S)
        storm.rooms_open.set()
        time.sleep(2 * ROOMS_S)
        end_it(end, tenant, call_id, desk, remote)
        time.sleep(0.5)
    for picker in pickers:
        picker.close()
    nothing_is_left(tenant, events, call_id, rooms)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", ["bye", "phone", "api", "leg", "kick", "room"])
def test_a_call_that_everybody_pulls_at(torn, end):
    tenant, events, call_id, desk, remote = torn
    rooms = [net.token("room"), net.token("room")]
    with Storm(tenant, call_id, rooms, seed=len(end)) as storm:
        time.sleep(ALONE_S)
        storm.rooms_open.set()
        time.sleep(ROOMS_S)
        end_it(end, tenant, call_id, desk, remote)
        if end == "leg":
            tenant.hangup(call_id, leg_id=storm.legs[0])
        for room in rooms:
            if end == "room":
                tenant.post("/api/conference/", {"room": room, "action": "end"})
            elif end == "kick":
                for member in tenant.get(f"/api/conferences/{room}/").json().get("members", []):
                    tenant.post("/api/conference/", {"room": room, "action": "kick",
                                                     "member_id": member["id"]})
        time.sleep(0.5)
    nothing_is_left(tenant, events, call_id, rooms)
