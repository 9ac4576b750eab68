"""Supervisors on live calls, by ear: every party sends a tone of its own, and every ear is asked for each."""
import io
import itertools
import time
import uuid
import wave

import numpy
import pytest

from peers import ear, net
from peers.ear import Ear
from peers.talk import hear_each_other

AGENT, REMOTE, FIRST, SECOND = TONES = (440, 620, 850, 1130)
CHIME = 880
TOPICS = ("calls", "monitoring", "recordings")
# Who hears a supervisor: nobody, the agent, both.
MODES = {"listen": (), "whisper": (AGENT,), "barge": (AGENT, REMOTE)}


def heard(listener, tones, seconds=0.6, timeout=6):
    """The tones in what arrives from now on; waits for exactly these, and none faintly."""
    time_is_up = time.monotonic() + timeout
    while True:
        since = time.monotonic()
        listener.wait_packets(int(seconds / 0.02), timeout=timeout)
        samples = listener.samples(since)
        there = {tone for tone in TONES
                 if ear.hears(samples, tone, at_least_s=seconds * 0.7, min_share=0.12)}
        faint = {tone for tone in TONES if not ear.hears_not(samples, tone)}
        if there == faint == set(tones) or time.monotonic() > time_is_up:
            return there | faint


def ears_hear(pairs):
    for listener, tones in pairs:
        assert heard(listener, tones) == set(tones), listener.tone


class Desk:
    """A colleague with a phone at the desk."""

    def __init__(self, client, phone, tone):
        self.client, self.phone, self.tone = client, phone, tone

    def monitor(self, call_id, mode, answer=True, codecs=("PCMU", "PCMA"), **fields):
        """Rings this phone and answers it: (the monitor, the phone's call)."""
        body = {"mode": mode, **fields}
        body.update({"room": call_id[5:]} if call_id.startswith("room:") else {"call_id": call_id})
        monitor = self.client.ok("POST", "/api/live-monitoring/", body, 201)
        assert monitor["state"] == "ringing" and monitor["mode"] == mode
        assert monitor["leg"]["role"] == "supervisor" and monitor["reason"] is None
        call = self.phone.expect_invite(ear=Ear(self.phone.address, tone=self.tone, codecs=codecs))
        if answer:
            call.answer()
        return monitor["id"], call

    def change(self, monitor_id, status=200, **fields):
        return self.client.ok("PATCH", f"/api/live-monitoring/{monitor_id}/", fields, status)


@pytest.fixture
def desks(tenant, desk_phones):
    """desks(tone, role): a new colleague of that role at a phone of their own."""
    def make(tone, role="supervisor"):
        client = tenant.add_user(role)
        return Desk(client, desk_phones(client), tone)
    return make


class Talk:
    def __init__(self, call_id, events, desk, remote):
        self.id, self.events, self.desk, self.remote = call_id, events, desk, remote

    def hear(self, *supervisors, mode="listen", others=()):
        """What everybody hears with these supervisors' ears on the call, of whom the first is in that mode."""
        first = supervisors[0].tone
        ears_hear([(self.desk.ear, {REMOTE} | ({first} if AGENT in MODES[mode] else set()) | set(others)),
                   (self.remote.ear, {AGENT} | ({first} if REMOTE in MODES[mode] else set())),
                   (supervisors[0], {AGENT, REMOTE})])


@pytest.fixture
def talk(tenant, provider, far_end, desks):
    """talk(): an agent of the tenant (440 Hz) talks with somebody outside (620 Hz)."""
    def make(remote_codecs=("PCMU", "PCMA"), **profile):
        agent = desks(AGENT, "agent")
        line = agent.client.registered_profile(provider, **profile)
        events = tenant.events(TOPICS)
        call = agent.client.make_call(line, far_end.number)
        desk = agent.phone.expect_invite(ear=Ear(agent.phone.address, tone=AGENT)).answer()
        remote = far_end.expect_invite(
            ear=Ear(far_end.address, tone=REMOTE, codecs=remote_codecs)).answer()
        events.wait_call("answered", call["id"])
        hear_each_other(desk.ear, remote.ear, remote.answered_at)
        made = Talk(call["id"], events, desk, remote)
        made.agent, made.line = agent, line
        return made
    return make


def live(client, query=""):
    return client.ok("GET", f"/api/live-monitoring/{query}")["results"]


def stopped(events, monitor_id, reason, timeout=10):
    event = events.wait_for("monitor.stopped", lambda e: e["data"]["id"] == monitor_id, timeout)
    assert event["data"]["reason"] == reason and event["data"]["state"] == "ended"
    return event["data"]


def audited(client, monitor_id, *actions, timeout=3):
    """The audit of a monitor, oldest first, once it has these actions."""
    def rows():
        found = client.ok("GET", f"/api/audit/?object_id={monitor_id}")["results"][::-1]
        return found if [row["action"] for row in found] == [f"monitor.{a}" for a in actions] \
            else None
    return net.until(rows, timeout, f"the audit says {actions}")


# ---- modes ----


@pytest.mark.core
def test_listen_whisper_barge_and_back_in_one_call(tenant, talk, desks):
    call, boss = talk(), desks(FIRST)
    agent_events = call.agent.client.events(TOPICS)
    monitor, phone = boss.monitor(call.id, "listen")
    started = call.events.wait_for("monitor.started", call_id=call.id)
    assert started["data"]["id"] == monitor and started["data"]["state"] == "active"
    call.hear(phone.ear)
    # Every step from each mode to each other one.
    for mode in ("whisper", "barge", "listen", "barge", "whisper", "listen"):
        changed = boss.change(monitor, mode=mode)
        assert changed["mode"] == mode and changed["state"] == "active"
        call.hear(phone.ear, mode=mode)
    assert len(call.events.all("monitor.changed")) == 6
    # Muted and unmuted while barging; the same again changes nothing.
    boss.change(monitor, mode="barge", muted=True)
    call.hear(phone.ear, mode="listen")
    count = len(call.events.all("monitor.changed"))
    boss.change(monitor, muted=True)
    boss.change(monitor, muted=False)
    call.hear(phone.ear, mode="barge")
    assert len(call.events.all("monitor.changed")) == count + 1
    assert boss.client.delete(f"/api/live-monitoring/{monitor}/").status_code == 204
    phone.wait_ended()
    assert stopped(call.events, monitor, "stopped")["started_at"]
    ears_hear([(call.desk.ear, {REMOTE}), (call.remote.ear, {AGENT})])
    assert boss.client.delete(f"/api/live-monitoring/{monitor}/").status_code == 204
    assert boss.client.patch(f"/api/live-monitoring/{monitor}/",
                             {"mode": "listen"}).json()["state"] == "ended"
    for side in (call.desk, call.remote, phone):
        assert side.ear.lost() == 0, "one continuous stream"
        assert len({packet.ssrc for packet in side.ear.audio()}) == 1
    call.remote.bye()
    call.events.wait_ended(call.id)
    # The agent was told of nothing, and the log and the agent's own view know of two legs.
    assert agent_events.all("monitor.started") == []
    told = [m for m in agent_events.messages if "supervisor" in str(m)]
    assert told == []
    assert {leg["role"] for leg in tenant.log_row(call.id)["legs"]} == {"agent", "remote"}
    rows = audited(tenant, monitor, "requested", "started", *["changed"] * 8, "stopped")
    assert {row["user_id"] for row in rows} == {boss.client.user["id"]}
    assert rows[0]["client_addr"] == rows[2]["client_addr"] == rows[-1]["client_addr"] \
        == boss.client.address
    assert [row["detail"]["mode"] for row in rows[:4]] == ["listen", "listen", "whisper", "barge"]
    assert rows[-1]["detail"]["reason"] == "stopped"


@pytest.mark.parametrize("mode,muted", [("whisper", False), ("barge", False), ("barge", True)])
def test_each_mode_from_the_start(talk, desks, mode, muted):
    call, boss = talk(), desks(FIRST)
    since = time.monotonic()
    monitor, phone = boss.monitor(call.id, mode, muted=muted)
    call.hear(phone.ear, mode="listen" if muted else mode)
    for mine, other in ((call.desk.ear, REMOTE), (call.remote.ear, AGENT)):
        assert mine.lost() == 0
        assert mine.dropouts(other, since) <= (0 if muted else 5) or mode != "listen"
    phone.bye()
    assert stopped(call.events, monitor, "hung_up")
    ears_hear([(call.desk.ear, {REMOTE}), (call.remote.ear, {AGENT})])


def test_listening_takes_nothing_from_the_parties(talk, desks):
    """They go on being relayed: no gap, no dropout, while somebody comes, listens and goes."""
    call, boss = talk(), desks(FIRST)
    since = time.monotonic()
    monitor, phone = boss.monitor(call.id, "listen", codecs=("PCMA",))
    call.hear(phone.ear)
    boss.client.delete(f"/api/live-monitoring/{monitor}/")
    phone.wait_ended()
    ears_hear([(call.desk.ear, {REMOTE}), (call.remote.ear, {AGENT})])
    for mine, other in ((call.desk.ear, REMOTE), (call.remote.ear, AGENT)):
        assert mine.lost(since) == 0 and mine.dropouts(other, since) == 0
        assert not any(packet.marker for packet in mine.audio(since))


def test_two_supervisors_do_not_hear_each_others_whispers(talk, desks):
    call, one, two = talk(), desks(FIRST), desks(SECOND)
    first, phone1 = one.monitor(call.id, "whisper")
    second, phone2 = two.monitor(call.id, "whisper")
    ears_hear([(call.desk.ear, {REMOTE, FIRST, SECOND}), (call.remote.ear, {AGENT}),
               (phone1.ear, {AGENT, REMOTE}), (phone2.ear, {AGENT, REMOTE})])
    two.change(second, mode="barge")
    ears_hear([(call.desk.ear, {REMOTE, FIRST, SECOND}), (call.remote.ear, {AGENT, SECOND}),
               (phone1.ear, {AGENT, REMOTE, SECOND}), (phone2.ear, {AGENT, REMOTE})])
    one.change(first, mode="listen")
    ears_hear([(call.desk.ear, {REMOTE, SECOND}), (phone1.ear, {AGENT, REMOTE, SECOND}),
               (phone2.ear, {AGENT, REMOTE})])
    watched, = [c for c in live(one.client) if c["id"] == call.id]
    assert {m["id"]: m["mode"] for m in watched["monitors"]} == {first: "listen", second: "barge"}
    assert [leg["role"] for leg in watched["legs"]].count("supervisor") == 2
    call.remote.bye()
    stopped(call.events, first, "call_ended")
    stopped(call.events, second, "call_ended")
    phone1.wait_ended()
    phone2.wait_ended()
    assert live(one.client) == []


def test_a_phone_that_listens_already_is_not_rung_again(talk, desks):
    call, boss = talk(), desks(FIRST)
    body = {"call_id": call.id, "mode": "listen"}
    monitor, phone = boss.monitor(call.id, "listen", answer=False)
    for _ in ("rings", "listens"):
        again = boss.client.post("/api/live-monitoring/", body)
        assert (again.status_code, again.json()["code"]) == (409, "no_device")
        named = boss.client.post("/api/live-monitoring/", {
            **body, "connect": {"device": boss.phone.device["id"]}})
        assert named.status_code == 400 and "connect" in named.json()
        if not call.events.all("monitor.started"):
            phone.answer()
            call.events.wait_for("monitor.started")
    assert boss.phone.no_invite()
    boss.client.delete(f"/api/live-monitoring/{monitor}/")
    phone.wait_ended()
    boss.monitor(call.id, "barge")


def test_a_whisper_to_a_leg_that_is_named(tenant, talk, desks):
    call, boss = talk(), desks(FIRST)
    legs = {leg["role"]: leg["id"] for leg in tenant.call(call.id)["legs"]}
    monitor, phone = boss.monitor(call.id, "whisper", target_leg=legs["remote"])
    ears_hear([(call.desk.ear, {REMOTE}), (call.remote.ear, {AGENT, FIRST}),
               (phone.ear, {AGENT, REMOTE})])
    assert boss.change(monitor, target_leg=None)["target_leg"] is None
    call.hear(phone.ear, mode="whisper")
    wrong = boss.client.patch(f"/api/live-monitoring/{monitor}/",
                              {"target_leg": str(uuid.uuid4())})
    assert wrong.status_code == 400 and "target_leg" in wrong.json()
    phone.bye()


# ---- what happens to the call meanwhile ----


def hold(client, call_id, action):
    client.ok("POST", "/api/hold-call/", {"call_id": call_id, "action": action}, 200)


@pytest.mark.parametrize("mode", ["listen", "whisper", "barge"])
def test_who_is_on_hold_is_not_heard(talk, desks, mode):
    call, boss = talk(), desks(FIRST)
    monitor, phone = boss.monitor(call.id, mode)
    call.hear(phone.ear, mode=mode)
    hold(call.agent.client, call.id, "hold")
    call.events.wait_call("held", call.id)
    to_agent = {FIRST} if AGENT in MODES[mode] else set()
    ears_hear([(phone.ear, {AGENT}), (call.desk.ear, to_agent)])
    since = time.monotonic()
    call.remote.ear.wait_packets(30, since=since)
    assert ear.hears_not(call.remote.ear.samples(since), FIRST), "music and nothing else"
    hold(call.agent.client, call.id, "resume")
    call.events.wait_call("resumed", call.id)
    call.hear(phone.ear, mode=mode)
    assert phone.ear.lost() == 0


@pytest.mark.parametrize("side", ["desk", "remote"])
def test_a_party_changes_its_codec(talk, desks, side):
    call, boss = talk(), desks(FIRST)
    monitor, phone = boss.monitor(call.id, "whisper")
    call.hear(phone.ear, mode="whisper")
    party = getattr(call, side)
    for codec in ("PCMA", "PCMU"):
        party.ear.bump()
        answered = party.reinvite(sdp=party.ear.sdp(codecs=[codec]))
        party.ear.accept(answered.body)
        call.hear(phone.ear, mode="whisper")
    boss.change(monitor, mode="listen")
    call.hear(phone.ear)
    phone.bye()
    stopped(call.events, monitor, "hung_up")
    ears_hear([(call.desk.ear, {REMOTE}), (call.remote.ear, {AGENT})])


def test_digits_pass_between_the_parties_beside_a_supervisor(talk, desks):
    call, boss = talk(), desks(FIRST)
    monitor, phone = boss.monitor(call.id, "barge")
    call.hear(phone.ear, mode="barge")
    for digit in "15#":
        call.desk.ear.press(digit)
    net.until(lambda: call.remote.ear.digits() == "15#", 10, "the far end got them")
    phone.ear.press("9")
    call.hear(phone.ear, mode="barge")
    assert call.remote.ear.digits() == "15#" and call.desk.ear.digits() == ""
    assert "9" not in [m["detail"]["digit"] for m in call.events.all("call.dtmf")]


def test_a_supervisors_phone_on_hold_is_silent(talk, desks):
    """It may play music of its own: that is for nobody."""
    call, boss = talk(), desks(FIRST)
    monitor, phone = boss.monitor(call.id, "barge")
    call.hear(phone.ear, mode="barge")
    phone.ear.bump()
    phone.reinvite(sdp=phone.ear.sdp(direction="sendonly"))
    ears_hear([(call.desk.ear, {REMOTE}), (call.remote.ear, {AGENT})])
    assert call.events.all("call.held") == []
    phone.ear.bump()
    phone.reinvite(sdp=phone.ear.sdp())
    call.hear(phone.ear, mode="barge")


def transfer(client, call_id, **fields):
    return client.ok("POST", "/api/transfer-call/", {"call_id": call_id, **fields}, 202)


@pytest.mark.parametrize("mode", ["listen", "whisper", "barge"])
def test_an_attended_transfer_is_followed_and_its_consultation_is_not_heard(talk, desks, mode):
    call, boss, carla = talk(), desks(FIRST), desks(SECOND, "agent")
    monitor, phone = boss.monitor(call.id, mode)
    call.hear(phone.ear, mode=mode)
    transfer(call.agent.client, call.id, mode="attended", to=carla.client.user["extension"])
    at_carla = carla.phone.expect_invite(ear=Ear(carla.phone.address, tone=SECOND)).answer()
    ears_hear([(call.desk.ear, {SECOND}), (at_carla.ear, {AGENT}), (phone.ear, set())])
    transfer(call.agent.client, call.id, action="complete")
    call.desk.wait_ended()
    call.events.wait_call("transferred", call.id)
    to_carla = {FIRST} if AGENT in MODES[mode] else set()
    to_remote = {FIRST} if REMOTE in MODES[mode] else set()
    ears_hear([(at_carla.ear, {REMOTE} | to_carla), (call.remote.ear, {SECOND} | to_remote),
               (phone.ear, {REMOTE, SECOND})])
    assert phone.ear.lost() == 0
    call.remote.bye()
    stopped(call.events, monitor, "call_ended")


def test_a_transfer_that_is_called_off_is_followed_back(talk, desks):
    call, boss, carla = talk(), desks(FIRST), desks(SECOND, "agent")
    monitor, phone = boss.monitor(call.id, "whisper")
    transfer(call.agent.client, call.id, mode="attended", to=carla.client.user["extension"])
    at_carla = carla.phone.expect_invite(ear=Ear(carla.phone.address, tone=SECOND)).answer()
    ears_hear([(at_carla.ear, {AGENT}), (phone.ear, set())])
    transfer(call.agent.client, call.id, action="swap")
    call.hear(phone.ear, mode="whisper")
    assert SECOND not in heard(phone.ear, {AGENT, REMOTE})
    transfer(call.agent.client, call.id, action="cancel")
    at_carla.wait_ended()
    call.hear(phone.ear, mode="whisper")
    call.remote.bye()
    stopped(call.events, monitor, "call_ended")


def test_a_blind_transfer_is_followed(talk, desks, far_ends):
    call, boss, target = talk(), desks(FIRST), far_ends()
    monitor, phone = boss.monitor(call.id, "barge")
    transfer(call.agent.client, call.id, mode="blind", to=target.number)
    third = target.expect_invite(ear=Ear(target.address, tone=SECOND))
    third.ring()
    call.desk.wait_ended()
    third.answer()
    call.events.wait_call("transferred", call.id)
    ears_hear([(third.ear, {REMOTE, FIRST}), (call.remote.ear, {SECOND, FIRST}),
               (phone.ear, {REMOTE, SECOND})])
    phone.bye()
    stopped(call.events, monitor, "hung_up")
    ears_hear([(third.ear, {REMOTE}), (call.remote.ear, {SECOND})])


def test_a_call_with_an_announcement_is_heard(tenant, provider, line, far_end, desks):
    boss = desks(FIRST)
    events = tenant.events(TOPICS)
    call_id = tenant.make_call(line, far_end.number, {"echo": True})["id"]
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=REMOTE)).answer()
    events.wait_call("answered", call_id)
    monitor, phone = boss.monitor(call_id, "listen")
    ears_hear([(phone.ear, {REMOTE}), (remote.ear, {REMOTE})])
    refused = boss.client.patch(f"/api/live-monitoring/{monitor}/", {"mode": "whisper"})
    assert refused.status_code == 400 and "target_leg" in refused.json()
    remote.bye()
    stopped(events, monitor, "call_ended")


# ---- recordings ----


def sides(content):
    with wave.open(io.BytesIO(content)) as file:
        samples = numpy.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        return samples.reshape(-1, file.getnchannels()).T, file.getframerate()


@pytest.mark.parametrize("layout", ["stereo", "mono"])
def test_only_who_barges_in_is_recorded(tenant, talk, desks, layout):
    call, boss = talk(record="on_demand"), desks(FIRST)
    monitor, phone = boss.monitor(call.id, "listen")
    call.hear(phone.ear)
    recording = call.agent.client.ok(
        "POST", "/api/record-call/", {"call_id": call.id, "action": "start", "layout": layout},
        200)["recording"]
    began = time.monotonic()
    spans = []
    for fields in ({"mode": "whisper"}, {"mode": "barge"}, {"mode": "whisper"},
                   {"mode": "barge", "muted": True}, {"muted": False}, {"mode": "listen"}):
        at = time.monotonic() - began
        state = boss.change(monitor, **fields)
        loud = state["mode"] == "barge" and not state["muted"]
        phone.ear.wait_packets(50, since=time.monotonic())
        spans.append((at, time.monotonic() - began, loud))
    call.agent.client.ok("POST", "/api/record-call/", {"call_id": call.id, "action": "stop"}, 200)
    call.events.wait_for("recording.ready", call_id=call.id)
    content = tenant.get(f"/api/download-recording/?recording_id={recording['id']}").content
    channels, rate = sides(content)
    left = channels[0]
    for start, end, loud in spans:
        for channel, others in ((left, {AGENT} | ({REMOTE} if layout == "mono" else set())),
                                (channels[-1], {REMOTE})):
            part = channel[int((start + 0.35) * rate):int((end - 0.1) * rate)]
            here = {tone for tone in TONES
                    if ear.hears(part, tone, rate, at_least_s=0.4, min_share=0.12)}
            wanted = others | ({FIRST} if loud and channel is left else set())
            if layout == "mono":
                wanted |= {AGENT} | ({FIRST} if loud else set())
            assert here == wanted, (start, loud)
            if not loud:
                assert ear.hears_not(part, FIRST, rate)
    # Whatever the moments of switching were like: as long as it whispered or listened nothing of it is there.
    quiet = left[:int(spans[1][0] * rate)]
    assert ear.hears_not(quiet, FIRST, rate)


# ---- rooms ----


def test_a_room_of_three_with_a_listener_a_whisperer_and_a_barger(tenant, line, far_ends, desks):
    room = net.token("room")
    events = tenant.events(("conferences", *TOPICS))
    parties = []
    for tone in (AGENT, REMOTE):
        agent = far_ends()
        tenant.ok("POST", "/api/conference/", {"room": room, "action": "add", "to": agent.number,
                                               "profile_id": line["id"]}, 202)
        parties.append(agent.expect_invite(ear=Ear(agent.address, tone=tone)).answer())
    net.until(lambda: len(tenant.ok("GET", f"/api/conferences/{room}/")["members"]) == 2, 5,
              "two members")
    boss = desks(FIRST)
    one, two = parties
    monitor, phone = boss.monitor(f"room:{room}", "listen")
    ears_hear([(one.ear, {REMOTE}), (two.ear, {AGENT}), (phone.ear, {AGENT, REMOTE})])
    state = tenant.ok("GET", f"/api/conferences/{room}/")
    assert len(state["members"]) == 2, "a supervisor is no member"
    legs = {m["leg_id"]: m for m in state["members"]}
    assert boss.client.patch(f"/api/live-monitoring/{monitor}/", {"mode": "whisper"}).status_code \
        == 400
    target = state["members"][0]["leg_id"]
    boss.change(monitor, mode="whisper", target_leg=target)
    assert legs[target]["muted"] is False
    ears_hear([(one.ear, {REMOTE, FIRST}), (two.ear, {AGENT}), (phone.ear, {AGENT, REMOTE})])
    # Who comes now does not hear the whisper either.
    late = far_ends()
    tenant.ok("POST", "/api/conference/", {"room": room, "action": "add", "to": late.number,
                                           "profile_id": line["id"]}, 202)
    three = late.expect_invite(ear=Ear(late.address, tone=SECOND)).answer()
    ears_hear([(three.ear, {AGENT, REMOTE}), (one.ear, {REMOTE, SECOND, FIRST}),
               (phone.ear, {AGENT, REMOTE, SECOND})])
    boss.change(monitor, mode="barge")
    ears_hear([(one.ear, {REMOTE, SECOND, FIRST}), (two.ear, {AGENT, SECOND, FIRST}),
               (three.ear, {AGENT, REMOTE, FIRST}), (phone.ear, {AGENT, REMOTE, SECOND})])
    watched, = [c for c in live(boss.client, "?direction=conference") if c["room"] == room]
    assert [m["id"] for m in watched["monitors"]] == [monitor]
    tenant.ok("POST", "/api/conference/", {"room": room, "action": "end"})
    stopped(events, monitor, "call_ended")
    phone.wait_ended()


def test_a_watched_call_becomes_a_room(tenant, talk, desks):
    call, boss = talk(), desks(FIRST)
    monitor, phone = boss.monitor(call.id, "whisper")
    call.hear(phone.ear, mode="whisper")
    room = net.token("room")
    call.agent.client.ok("POST", "/api/conference/",
                         {"room": room, "action": "join", "call_id": call.id})
    call.hear(phone.ear, mode="whisper")
    boss.change(monitor, mode="barge")
    call.hear(phone.ear, mode="barge")
    boss.change(monitor, mode="listen")
    call.hear(phone.ear)
    call.desk.bye()
    ears_hear([(phone.ear, {REMOTE})])
    call.remote.bye()
    stopped(call.events, monitor, "call_ended")


# ---- who, when, and what is refused ----


def test_who_may(tenant, tenants, talk, desks):
    call, boss, other = talk(), desks(FIRST), desks(SECOND)
    stranger = tenants()
    path = "/api/live-monitoring/"
    monitor, phone = boss.monitor(call.id, "listen")
    own = f"{path}{monitor}/"
    agent = call.agent.client
    for reply in (agent.get(path), agent.post(path, {"call_id": call.id, "mode": "listen"}),
                  agent.get(own), agent.patch(own, {"mode": "barge"}), agent.delete(own),
                  other.client.patch(own, {"mode": "barge"}), other.client.delete(own),
                  agent.get("/api/audit/"), other.client.get("/api/audit/")):
        assert reply.status_code == 403, reply.text
    assert other.client.ok("GET", own)["id"] == monitor
    for reply in (stranger.post(path, {"call_id": call.id, "mode": "listen"}), stranger.get(own),
                  stranger.patch(own, {"mode": "barge"}), stranger.delete(own),
                  stranger.get(own.replace(monitor, str(uuid.uuid4())))):
        assert reply.status_code == 404, reply.text
    assert live(stranger) == []
    tried, = stranger.ok("GET", "/api/audit/")["results"]
    assert tried["action"] == "monitor.requested" and tried["user_id"] == stranger.user["id"]
    assert agent.ok("GET", f"/api/calls/{call.id}/")["legs"][-1]["role"] != "supervisor"
    assert tenant.call(call.id)["legs"][-1]["role"] == "supervisor"
    call.hear(phone.ear)
    assert tenant.ok("PATCH", own, {"mode": "barge"})["mode"] == "barge", "an admin may"
    call.hear(phone.ear, mode="barge")
    # A supervisor who is none any more is off the call.
    tenant.ok("PATCH", f"/api/users/{boss.client.user['id']}/", {"role": "agent"})
    stopped(call.events, monitor, "not_allowed")
    phone.wait_ended()
    ears_hear([(call.desk.ear, {REMOTE}), (call.remote.ear, {AGENT})])


def test_filters_of_the_list(tenant, talk, desks, provider):
    call, boss = talk(), desks(FIRST)
    other = tenant.registered_profile(provider)
    client = boss.client
    for query, found in ((f"?profile_id={call.line['id']}", True),
                         (f"?profile_id={other['id']}", False),
                         (f"?profile_id={other['id']}&profile_id={call.line['id']}", True),
                         (f"?user_id={call.agent.client.user['id']}", True),
                         (f"?user_id={client.user['id']}", False), ("?state=answered", True),
                         ("?state=ringing", False), ("?direction=outgoing", True),
                         ("?direction=incoming", False)):
        assert [c["id"] for c in live(client, query)] == [call.id] * found, query
    for query in ("?profile_id=x", "?user_id=x", "?state=x", "?direction=x"):
        assert client.get(f"/api/live-monitoring/{query}").status_code == 400
    assert client.get("/api/live-monitoring/?page=2").status_code == 404


@pytest.mark.parametrize("code,reason", [(486, "busy"), (603, "declined"), (480, "unavailable")])
def test_a_phone_that_does_not_want(tenant, talk, desks, code, reason):
    call, boss = talk(), desks(FIRST)
    monitor, phone = boss.monitor(call.id, "barge", answer=False)
    phone.reply(code)
    ended = stopped(call.events, monitor, reason)
    assert ended["started_at"] is None and ended["leg"]["sip_code"] == code
    audited(tenant, monitor, "requested", "stopped")
    assert boss.client.ok("GET", f"/api/live-monitoring/{monitor}/")["reason"] == reason
    ears_hear([(call.desk.ear, {REMOTE}), (call.remote.ear, {AGENT})])


def test_what_cannot_be(tenant, tenants, line, talk, desks, far_ends):
    boss, path = desks(FIRST), "/api/live-monitoring/"
    far = far_ends()
    ringing = tenant.make_call(line, far.number, {"echo": True})["id"]
    invite = far.expect_invite()
    invite.ring()
    early = boss.client.post(path, {"call_id": ringing, "mode": "listen"})
    assert early.status_code == 409 and early.json()["code"] == "wrong_state"
    tenant.hangup(ringing)
    tenant.log_row(ringing)
    late = boss.client.post(path, {"call_id": ringing, "mode": "listen"})
    assert late.status_code == 409 and late.json()["state"] == "ended"
    call = talk()
    for body, field in (({"mode": "listen"}, "call_id"), ({"call_id": call.id}, "mode"),
                        ({"call_id": call.id, "mode": "shout"}, "mode"),
                        ({"call_id": call.id, "room": "x", "mode": "listen"}, "call_id"),
                        ({"call_id": "x", "mode": "listen"}, "call_id"),
                        ({"call_id": call.id, "mode": "listen", "muted": "no"}, "muted"),
                        ({"call_id": call.id, "mode": "whisper",
                          "target_leg": str(uuid.uuid4())}, "target_leg"),
                        ({"call_id": call.id, "mode": "listen", "connect": {"echo": True}},
                         "connect"),
                        ({"call_id": call.id, "mode": "listen",
                          "connect": {"device": call.agent.phone.device["id"]}}, "connect")):
        reply = boss.client.post(path, body)
        assert reply.status_code == 400 and field in reply.json(), (body, reply.text)
    on_it = tenant.post(path, {"call_id": call.id, "mode": "listen",
                               "connect": {"device": call.agent.phone.device["id"]}})
    assert on_it.status_code == 400 and "on the call already" in on_it.text
    for body in ({"call_id": str(uuid.uuid4()), "mode": "listen"},
                 {"room": "nowhere", "mode": "listen"}):
        assert boss.client.post(path, body).status_code == 404
    # Nobody of the admin's own phones is there.
    none = tenant.post(path, {"call_id": call.id, "mode": "listen"})
    assert none.status_code == 409 and none.json()["code"] == "no_device"
    assert boss.client.patch(f"{path}{uuid.uuid4()}/", {"mode": "listen"}).status_code == 404
    call.remote.bye()
    call.events.wait_ended(call.id)


def test_a_supervisor_by_number(tenant, talk, desks, provider, far_ends):
    """Somebody outside is dialled through a profile of the admin's."""
    call, line, outside = talk(), tenant.registered_profile(provider), far_ends()
    monitor = tenant.ok("POST", "/api/live-monitoring/",
                        {"call_id": call.id, "mode": "whisper",
                         "connect": {"number": outside.number, "profile_id": line["id"]}}, 201)
    phone = outside.expect_invite(ear=Ear(outside.address, tone=FIRST)).answer()
    call.hear(phone.ear, mode="whisper")
    held = tenant.delete(f"/api/sip-profiles/{line['id']}/")
    assert held.status_code == 409 and held.json()["code"] == "profile_in_use"
    phone.bye()
    stopped(call.events, monitor["id"], "hung_up")


def test_the_agent_is_followed_to_the_next_call(tenant, talk, desks, far_ends):
    call, boss = talk(), desks(FIRST)
    monitor, phone = boss.monitor(call.id, "whisper", follow_agent=True)
    call.hear(phone.ear, mode="whisper")
    call.remote.bye()
    call.desk.wait_ended()
    waiting = call.events.wait_for("monitor.changed", lambda e: e["data"]["state"] == "waiting")
    assert waiting["data"]["id"] == monitor
    phone.ear.wait_packets(20, since=time.monotonic())
    far = far_ends()
    second = call.agent.client.make_call(call.line, far.number)["id"]
    desk = call.agent.phone.expect_invite(ear=Ear(call.agent.phone.address, tone=AGENT)).answer()
    remote = far.expect_invite(ear=Ear(far.address, tone=REMOTE)).answer()
    call.events.wait_call("answered", second)
    ears_hear([(desk.ear, {REMOTE, FIRST}), (remote.ear, {AGENT}), (phone.ear, {AGENT, REMOTE})])
    assert tenant.ok("GET", f"/api/live-monitoring/{monitor}/")["call_id"] == second
    phone.bye()
    stopped(call.events, monitor, "hung_up")


def test_a_beep_is_for_who_asks_for_one(talk, desks):
    """By default nobody hears anything but voices when a supervisor comes in; with beep, everybody does."""
    call, boss = talk(), desks(None)
    for fields, wanted in (({}, False), ({"beep": True}, True)):
        since = time.monotonic()
        monitor, phone = boss.monitor(call.id, "barge", **fields)
        call.remote.ear.wait_packets(60, since=time.monotonic())
        samples = call.remote.ear.samples(since)
        blocks = [samples[i:i + 160] for i in range(0, len(samples) - 159, 160)]
        chimes = sum(ear.level_of(b) > 0.02 and ear.tone_share(b, CHIME) > 0.02 for b in blocks)
        assert (chimes >= 4) is wanted, chimes
        phone.bye()
        stopped(call.events, monitor, "hung_up")


@pytest.mark.core
def test_a_crash_closes_what_was_open(own_daemon, provider, far_end, desk_phones):
    daemon = own_daemon()
    admin = daemon.signup()
    agent, boss = admin.add_user("agent"), admin.add_user("supervisor")
    line = agent.registered_profile(provider)
    at_desk, at_boss = desk_phones(agent), desk_phones(boss)
    events = admin.events(TOPICS)
    call = agent.make_call(line, far_end.number)["id"]
    at_desk.expect_invite(ear=Ear(at_desk.address, tone=AGENT)).answer()
    far_end.expect_invite(ear=Ear(far_end.address, tone=REMOTE)).answer()
    events.wait_call("answered", call)
    monitor, _ = Desk(boss, at_boss, FIRST).monitor(call, "listen")
    events.wait_for("monitor.started")
    audited(admin, monitor, "requested", "started")
    daemon.kill()
    daemon.start()
    admin.login()
    rows = audited(admin, monitor, "requested", "started", "stopped")
    assert rows[-1]["detail"]["reason"] == "interrupted" and rows[-1]["user_id"] is None
    ended = admin.ok("GET", f"/api/live-monitoring/{monitor}/")
    assert ended["state"] == "ended" and ended["reason"] == "interrupted"
    assert ended["user_id"] == boss.user["id"] and live(admin) == []
    admin.close()


def test_events_and_snapshot_are_for_those_who_may(tenant, talk, desks):
    call, boss = talk(), desks(FIRST)
    monitor, phone = boss.monitor(call.id, "listen")
    call.events.wait_for("monitor.started")
    seen = boss.client.events(("monitoring",)).snapshot["monitoring"]
    assert [(m["id"], m["state"], m["mode"]) for m in seen] == [(monitor, "active", "listen")]
    assert call.agent.client.events(("monitoring",)).snapshot["monitoring"] == []
    since = call.agent.client.events(("calls", "monitoring"), since=0)
    phone.bye()
    stopped(call.events, monitor, "hung_up")
    call.remote.bye()
    since.wait_call("ended", call.id)
    assert [m for m in since.messages if m["type"].startswith("monitor.")] == []


def test_all_modes_pairwise_are_in_the_table():
    """The first test walks every step from each mode to each other one."""
    walk = ["listen", "whisper", "barge", "listen", "barge", "whisper", "listen"]
    assert set(zip(walk, walk[1:])) == set(itertools.permutations(MODES, 2))
