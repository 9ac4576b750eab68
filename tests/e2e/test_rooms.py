"""Rooms made whole: their recording, what a restart leaves of them, codecs side by side, many members."""
import io
import signal
import time
import wave

import numpy
import pytest

from peers import ear, net
from peers.ear import Ear
from peers.rooms import (TONES, TOPICS, conference, everybody_hears_everybody, heard, hears_music,
                         look, refused)
from peers.talk import wait_no_calls

WITH_RECORDINGS = (*TOPICS, "recordings")


@pytest.fixture
def recordable(tenant, provider):
    return tenant.registered_profile(provider, record="on_demand")


def sound_of(client, query):
    """(samples, rate) of a recording in mono."""
    reply = client.get(f"/api/download-recording/?{query}")
    assert reply.status_code == 200, reply.text
    with wave.open(io.BytesIO(reply.content)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768, \
            file.getframerate()


class Clock:
    """Moments of a room's life as places in its recording."""

    def __init__(self):
        self.began = time.monotonic()

    def span(self, action, *listeners, packets=75):
        """(from, until) of what is heard after `action`, a fifth of a second from its edges."""
        action()
        start = time.monotonic() - self.began
        for listener in listeners:
            listener.wait_packets(packets)
        return start + 0.25, time.monotonic() - self.began - 0.1


def in_span(sound, rate, span):
    block = sound[int(span[0] * rate):int(span[1] * rate)]
    return {tone for tone in TONES if ear.hears(block, tone, rate, (span[1] - span[0]) * 0.7,
                                                min_share=0.12)}, \
        {tone for tone in TONES if not ear.hears_not(block, tone, rate, 0.1)}


def only(sound, rate, span, tones):
    there, faint = in_span(sound, rate, span)
    assert there == faint == set(tones), (span, there, faint)


# ---- recording ----


@pytest.mark.core
@pytest.mark.timeout(90)
def test_a_room_is_recorded_as_one(tenant, provider, recordable, add, room):
    never = tenant.registered_profile(provider, record="never")
    events = tenant.events(WITH_RECORDINGS)
    first, second = (add(room, tone, through=recordable) for tone in TONES[:2])
    refused(tenant, room, "record", 409, "wrong_state", record="stop")
    assert not look(tenant, room)["recording"]
    clock = Clock()
    both = clock.span(lambda: conference(tenant, room, "record", record="start"), second.ear)
    state = look(tenant, room)
    assert state["recording"] and [m["recorded"] for m in state["members"]] == [True, True]
    call = tenant.call(state["call_id"])
    assert call["recording"]["state"] == "recording"
    parties = []
    late = clock.span(lambda: parties.append(add(room, TONES[2], through=recordable)), second.ear)
    # Calls through this profile are never recorded: it is heard by all but the file.
    unheard = clock.span(lambda: parties.append(add(room, TONES[3], through=never)), second.ear)
    assert heard(second.ear, set(TONES) - {TONES[1]}) == set(TONES) - {TONES[1]}
    assert not look(tenant, room)["members"][3]["recorded"]
    held = clock.span(lambda: conference(tenant, room, "hold", member_id=second.member_id),
                      first.ear)
    resumed = clock.span(lambda: conference(tenant, room, "resume", member_id=second.member_id),
                         first.ear)
    paused = clock.span(lambda: conference(tenant, room, "record", record="pause"), first.ear)
    assert not look(tenant, room)["recording"]
    again = clock.span(lambda: conference(tenant, room, "record", record="resume"), first.ear)
    left = clock.span(first.call.bye, second.ear)
    stopped = conference(tenant, room, "record", record="stop")
    lasted = time.monotonic() - clock.began
    assert not stopped["recording"] and stopped["state"] == "active"
    done = events.wait_for("recording.ready", call_id=call["id"])["data"]
    assert done["layout"] == "mono" and done["rate"] == 16000 and done["state"] == "ready"
    assert abs(done["duration_ms"] / 1000 - lasted) < 0.25
    sound, rate = sound_of(tenant, f"recording_id={done['id']}")
    assert len(sound) * 1000 // rate == done["duration_ms"]
    only(sound, rate, both, TONES[:2])
    for span in (late, unheard, resumed, again):
        only(sound, rate, span, TONES[:3])
    only(sound, rate, held, (TONES[0], TONES[2]))
    assert ear.level_of(sound[int(paused[0] * rate):int(paused[1] * rate)]) < 0.001
    only(sound, rate, left, TONES[1:3])
    told = [m["detail"]["state"] for m in events.all("conference.member_changed")
            if m["detail"]["what"] == "recording"]
    assert told == ["recording", "paused", "recording", "none"], "each once"
    # Nobody is recorded any more; the log finds the room's row, and the sound by it.
    conference(tenant, room, "end")
    row = tenant.log_row(call["id"])
    assert row["direction"] == "conference" and row["recording"]["id"] == done["id"]
    assert [entry["id"] for entry in tenant.logs(type="conference,recorded")] == [call["id"]]
    assert len(sound_of(tenant, f"call_id={call['id']}")[0]) == len(sound)


def test_recorded_from_the_first_member_to_the_last(tenant, recordable, add, room):
    events = tenant.events(WITH_RECORDINGS)
    made = conference(tenant, room, "create", 201, record=True)
    assert made["record"] and not made["recording"]
    first = add(room, TONES[0], through=recordable)
    call = look(tenant, room)["call_id"]
    assert look(tenant, room)["recording"]
    second = add(room, TONES[1], through=recordable)
    everybody_hears_everybody([first, second])
    first.call.bye()
    hears_music(second.ear)  # alone again
    second.call.bye()
    done = events.wait_for("recording.ready", call_id=call)["data"]
    assert events.wait_for("conference.ended")["data"]["call_id"] == call
    sound, rate = sound_of(tenant, f"recording_id={done['id']}")
    assert ear.hears(sound, TONES[0], rate, 1.0, min_share=0.12)
    assert ear.hears(sound, TONES[1], rate, 1.0, min_share=0.12)
    refused(tenant, room, "record", 409, "wrong_state", record="start")
    # The next conference in it has a recording of its own.
    third = add(room, TONES[2], through=recordable)
    third.ear.wait_packets(50)
    conference(tenant, room, "end")
    newer = events.wait_for("recording.ready", lambda e: e["data"]["id"] != done["id"])["data"]
    sound, rate = sound_of(tenant, f"recording_id={newer['id']}")
    assert ear.hears(sound, TONES[2], rate, 0.5)


def test_a_recorded_call_becomes_a_room_and_goes_on_being_recorded(tenant, recordable, far_end,
                                                                   desk_phones, add, room):
    """The call's own recording: both of its parties, without a gap, and nobody who came later."""
    phone = desk_phones(tenant)
    events = tenant.events(WITH_RECORDINGS)
    call = tenant.make_call(recordable, far_end.number, record=True)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=TONES[0])).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=TONES[1])).answer()
    at_desk.ear.wait_tone(TONES[1])
    remote.ear.wait_tone(TONES[0])
    running = tenant.call(call["id"])["recording"]
    assert running["state"] == "recording"
    at_desk.ear.wait_packets(50)
    conference(tenant, room, "join", call_id=call["id"])
    add(room, TONES[2])
    assert heard(remote.ear, {TONES[0], TONES[2]}) == {TONES[0], TONES[2]}
    assert tenant.call(call["id"])["recording"] == running
    assert not look(tenant, room)["recording"], "the room itself is not"
    conference(tenant, room, "end")
    at_desk.wait_ended()
    done = events.wait_for("recording.ready")["data"]
    assert done["id"] == running["id"] and done["layout"] == "stereo"
    reply = tenant.get(f"/api/download-recording/?recording_id={done['id']}")
    with wave.open(io.BytesIO(reply.content)) as file:
        rate = file.getframerate()
        sides = (numpy.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768) \
            .reshape(-1, 2).T
    for side, tone in zip(sides, TONES[:2]):
        there = ear.frames_with(side[int(0.5 * rate):-int(0.3 * rate)], tone, rate)
        assert there.count(False) <= 0.03 * len(there) + 5, "without a gap where it was moved"
        assert all(ear.hears_not(side, other, rate, 0.1) for other in TONES[:3] if other != tone)


def test_tones_tell_who_comes_and_goes(tenant, add, room):
    conference(tenant, room, "create", 201, tones=True)
    first, second = add(room, TONES[0]), add(room, TONES[3])  # far from the two chimes

    def chimes(freq, since):
        samples = first.ear.samples(since)
        return sum(ear.frames_with(samples, freq, min_level=0.002, min_share=0.012)) * 0.02

    began = time.monotonic()
    third = add(room, 1700)
    first.ear.wait_packets(50)
    assert 0.08 <= chimes(880, began) <= 0.2
    assert chimes(587, began) <= 0.04
    began = time.monotonic()
    third.call.bye()
    first.ear.wait_packets(50)
    assert 0.08 <= chimes(587, began) <= 0.2
    assert heard(first.ear, {second.ear.tone}) == {second.ear.tone}
    conference(tenant, room, "end")


def test_what_is_whispered_is_not_on_the_recording(tenant, recordable, desk_phones, add, room):
    events = tenant.events(WITH_RECORDINGS)
    boss = tenant.add_user("supervisor")
    phone = desk_phones(boss)
    first, second = (add(room, tone, through=recordable) for tone in TONES[:2])
    clock = Clock()
    conference(tenant, room, "record", record="start")
    monitor = boss.ok("POST", "/api/live-monitoring/", {
        "room": room, "mode": "whisper",
        "target_leg": look(tenant, room)["members"][0]["leg_id"]}, 201)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=TONES[2])).answer()
    first.ear.wait_packets(25)
    assert heard(first.ear, set(TONES[1:3])) == set(TONES[1:3])
    assert heard(second.ear, {TONES[0]}) == {TONES[0]}
    whispered = clock.span(lambda: None, second.ear)
    barging = clock.span(lambda: boss.ok("PATCH", f"/api/live-monitoring/{monitor['id']}/",
                                         {"mode": "barge"}), second.ear)
    assert heard(second.ear, {TONES[0], TONES[2]}) == {TONES[0], TONES[2]}
    assert len(look(tenant, room)["members"]) == 2, "a guest is no member"
    conference(tenant, room, "end")
    at_desk.wait_ended()
    done = events.wait_for("recording.ready")["data"]
    sound, rate = sound_of(tenant, f"recording_id={done['id']}")
    only(sound, rate, whispered, TONES[:2])
    only(sound, rate, barging, TONES[:3])
    boss.close()


# ---- what a restart leaves ----


def client_in(daemon, provider, **profile):
    client = daemon.signup()
    return client, client.registered_profile(provider, **profile)


@pytest.mark.core
@pytest.mark.timeout(120)
def test_rooms_outlive_a_restart(own_daemon, provider, far_ends):
    daemon = own_daemon()
    client, line = client_in(daemon, provider)
    agent = client.add_user("agent")
    conference(client, "sales", "create", 201, pin="271828", moderator_pin="3141592", tones=True,
               max_members=7, wait_for_moderator=True, end_on_moderator_exit=True, grace_s=9)
    conference(client, "gone", "create", 201)
    conference(client, "sales", "lock")
    changed = conference(client, "sales", "update", keys=True, wait_for_moderator=False)
    assert changed["keys"] and not changed["wait_for_moderator"] and changed["tones"]
    conference(client, "gone", "end")
    before = look(client, "sales")
    conference(client, "last", "create", 201)
    daemon.kill()  # at once: what was answered is there
    daemon.start()
    client.login()
    agent.login()
    assert look(client, "sales") == before
    rooms = client.ok("GET", "/api/conferences/")["results"]
    assert sorted(r["room"] for r in rooms) == ["last", "sales"]
    conference(client, "last", "end")
    far = far_ends()
    refused(client, "sales", "add", 409, "room_locked", profile_id=line["id"], to=far.number)
    refused(client, "sales", "create", 409, "room_exists")
    conference(client, "sales", "unlock")
    refused(agent, "sales", "join", 403, "wrong_pin", pin="271829")
    refused(agent, "sales", "join", 409, "no_device", pin="271828")
    conference(client, "sales", "update", pin=None)
    assert not look(client, "sales")["has_pin"] and look(client, "sales")["has_moderator_pin"]
    assert daemon.stop(signal.SIGTERM) == 0
    daemon.start()
    client.login()
    state = look(client, "sales")
    assert not state["locked"] and not state["has_pin"] and state["max_members"] == 7
    conference(client, "sales", "end")
    daemon.stop()
    daemon.start()
    client.login()
    assert client.ok("GET", "/api/conferences/")["results"] == []
    client.close()
    agent.close()
    kept = [path.read_bytes() for path in (daemon.directory / "data").iterdir() if path.is_file()]
    for secret in (b"271828", b"3141592"):
        assert secret not in daemon.log_path.read_bytes()
        assert not any(secret in data for data in kept), "not even on the disk"


@pytest.mark.core
@pytest.mark.timeout(120)
def test_killed_while_in_a_room(own_daemon, provider, far_ends):
    daemon = own_daemon()
    client, line = client_in(daemon, provider, record="on_demand")
    conference(client, "sales", "create", 201, record=True, join_muted=False)

    def add_far(tone):
        agent = far_ends()
        added = conference(client, "sales", "add", 202, profile_id=line["id"], to=agent.number)
        call = agent.expect_invite(ear=Ear(agent.address, tone=tone))
        call.answer()
        net.until(lambda: [m for m in look(client, "sales")["members"]
                           if m["call_id"] == added["call"]["id"]], 5, "a new member")
        return added["call"]["id"], call

    calls = [add_far(tone) for tone in TONES[:2]]
    own = look(client, "sales")["call_id"]
    recording = client.call(own)["recording"]["id"]
    for _, call in calls:
        call.ear.wait_packets(150, timeout=10)
    daemon.kill()
    for _, call in calls:
        call.ear.stop()
    daemon.start()
    client.login()
    state = look(client, "sales")
    assert state["state"] == "open" and state["members"] == [] and not state["recording"]
    for call_id in (own, *(call_id for call_id, _ in calls)):
        row = client.log_row(call_id)
        assert row["end_reason"] == "interrupted" and row["room"] == "sales"

    def repaired():
        found = client.ok("GET", f"/api/recordings/{recording}/")
        return found if found["state"] == "ready" else None

    found = net.until(repaired, 20, "the recording is repaired")
    assert found["repaired"] and found["call_id"] == own
    sound, rate = sound_of(client, f"recording_id={recording}")
    assert len(sound) > rate
    assert ear.hears(sound, TONES[0], rate, 0.8, min_share=0.12)
    assert ear.hears(sound, TONES[1], rate, 0.8, min_share=0.12)
    # And the room works as before.
    if client.profile(line["id"])["registration"]["state"] != "registered":
        client.register(line["id"])
    _, again = add_far(TONES[2])
    _, other = add_far(TONES[3])
    again.ear.wait_tone(TONES[3])
    other.ear.wait_tone(TONES[2])
    conference(client, "sales", "end")
    again.wait_ended()
    client.close()


# ---- codecs ----


@pytest.fixture
def wide_phone(tenant, phones):
    """wide_phone(room, codec, tone): a baresip of the tenant's, in the room."""
    def make(room, codec, tone):
        device = tenant.add_device(net.token("wide"))
        phone = phones(device["username"], device["password"],
                       f"{device['server']}:{device['port']}", codec=codec, tone=tone,
                       answer="auto")
        phone.wait_registered()
        joining = conference(tenant, room, "join", 202, connect={"device": device["id"]})
        net.until(lambda: [m for m in look(tenant, room)["members"]
                           if m["call_id"] == joining["call"]["id"]], 10, "the phone in the room")
        return phone
    return make


def last_seconds(phone, seconds):
    samples, rate = phone.heard()
    return samples[-int(seconds * rate):], rate


@pytest.mark.timeout(90)
def test_three_codecs_in_one_room(tenant, wide_phone, add, room):
    """PCMU, G.722 and Opus: every pair, and nobody hears himself."""
    narrow = add(room, TONES[0], codecs=("PCMU",))
    g722 = wide_phone(room, "G722", TONES[1])
    opus = wide_phone(room, "opus", TONES[2])
    legs = {tenant.call(m["call_id"])["legs"][0]["codec"]
            for m in look(tenant, room)["members"]}
    assert legs == {"PCMU", "G722", "opus"}
    assert heard(narrow.ear, set(TONES[1:3])) == set(TONES[1:3])
    narrow.ear.wait_packets(150, timeout=10)
    narrow.call.bye()  # the last whole seconds of the others are without it
    for phone, own in ((g722, TONES[1]), (opus, TONES[2])):
        phone.wait_recorded(4)
        phone.hangup()
        phone.wait_closed()
        samples, rate = phone.heard()
        others = set(TONES[:3]) - {own}
        for tone in others:
            assert ear.hears(samples, tone, rate, 1.5, min_share=0.12), (own, tone)
        assert ear.hears_not(samples, own, rate, 0.1)
    wait_no_calls(tenant)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("codecs", [("G722", "G722"), ("opus", "G722"), ("opus", "opus")])
def test_wideband_is_heard_by_who_has_it(tenant, wide_phone, add, room, codecs):
    """Tones beyond what a telephone carries, between two who can: also beside one who cannot."""
    narrow = add(room, TONES[0], codecs=("PCMU",))
    one = wide_phone(room, codecs[0], 5200)
    two = wide_phone(room, codecs[1], 6300)
    since = time.monotonic()
    narrow.ear.wait_packets(150, timeout=10)
    assert ear.level_of(narrow.ear.samples(since)[-8000:]) < 0.01, "nothing is folded into its band"
    narrow.call.bye()
    for phone, other, own in ((one, 6300, 5200), (two, 5200, 6300)):
        phone.wait_recorded(3)
        phone.hangup()
        phone.wait_closed()
        samples, rate = phone.heard()
        assert rate >= 16000
        assert ear.hears(samples, other, rate, 1.5, min_share=0.12), (codecs, other)
        assert ear.hears(samples, TONES[0], rate, 0.8, min_share=0.12)
        assert ear.hears_not(samples, own, rate, 0.1)


# ---- members ----


def test_a_member_can_be_made_quieter_and_mute_itself(tenant, add, room):
    conference(tenant, room, "create", 201, keys=True)
    first, second, third = (add(room, tone) for tone in TONES[:3])

    def balance():
        """How much louder the first is than the second, to the third, in dB."""
        since = time.monotonic()
        third.ear.wait_packets(60)
        samples = third.ear.samples(since)[-8000:]
        shares = [ear.tone_share(samples, tone) for tone in TONES[:2]]
        return 10 * numpy.log10(shares[0] / shares[1])

    assert abs(balance()) < 1
    state = conference(tenant, room, "volume", member_id=first.member_id, volume=-12)
    assert state["members"][0]["volume"] == -12
    net.until(lambda: abs(balance() + 12) < 1, 6, "12 dB less")
    conference(tenant, room, "volume", member_id=first.member_id, volume=0)
    events = tenant.events(TOPICS)
    for digit in "*6":
        second.ear.press(digit)
    events.wait_for("conference.member_changed",
                    lambda e: [m["muted"] for m in e["data"]["members"]] == [False, True, False])
    assert heard(third.ear, {TONES[0]}) == {TONES[0]}
    assert events.all("call.dtmf") == []
    conference(tenant, room, "mute", member_id=second.member_id)
    for digit in "*6":
        second.ear.press(digit)
    second.ear.wait_packets(60)
    assert look(tenant, room)["members"][1]["muted"], "the moderator's word counts"
    conference(tenant, room, "unmute", member_id=second.member_id)
    net.until(lambda: heard(third.ear, set(TONES[:2])) == set(TONES[:2]), 8, "both again")
    everybody_hears_everybody([first, second, third])
    conference(tenant, room, "end")


def test_who_is_called_in_presses_1_first(tenant, line, far_end, add, room):
    first = add(room, TONES[0])
    conference(tenant, room, "add", 202, profile_id=line["id"], to=far_end.number, confirm=True)
    call = far_end.expect_invite(ear=Ear(far_end.address, tone=TONES[1]))
    call.answer()
    call.ear.wait_packets(100)
    assert heard(call.ear, set()) == set(), "nobody of the room yet"
    assert len(look(tenant, room)["members"]) == 1
    call.ear.press("1")
    everybody_hears_everybody([first, type(first)(far_end, call)])
    conference(tenant, room, "end")


def test_waiting_for_the_moderator_and_going_with_it(tenant, desk_phones, add, room):
    phone = desk_phones(tenant)
    conference(tenant, room, "create", 201, wait_for_moderator=True, end_on_moderator_exit=True,
               grace_s=1)
    first, second = (add(room, tone) for tone in TONES[:2])
    for party in (first, second):
        hears_music(party.ear)
    conference(tenant, room, "join", 202, connect={"device": phone.device["id"]})
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=TONES[2])).answer()
    everybody_hears_everybody([first, second, type(first)(phone, at_desk)])
    assert [m["moderator"] for m in look(tenant, room)["members"]] == [False, False, True]
    conference(tenant, room, "promote", member_id=second.member_id)
    at_desk.bye()
    everybody_hears_everybody([first, second])
    conference(tenant, room, "demote", member_id=second.member_id)
    hears_music(first.ear)  # nobody leads it now
    conference(tenant, room, "promote", member_id=second.member_id)
    second.call.bye()
    first.call.wait_ended(timeout=6)
    assert look(tenant, room)["state"] == "open"
    conference(tenant, room, "end")


# ---- many ----


class Deaf(Ear):
    """Takes part without costing anything: it neither sends nor reads."""

    def start(self):
        return self


@pytest.mark.timeout(150)
def test_fifty_members_by_sample(tenant, provider, agents, room):
    line = tenant.registered_profile(provider, max_calls=10, record="on_demand",
                                     incoming={"type": "conference", "room": room})
    tenant.ok("PATCH", f"/api/sip-profiles/{line['id']}/", {"max_calls": 60})
    conference(tenant, room, "create", 201, record=True)
    caller = agents(net.token("many"))
    talkers = {0: TONES[0], 17: TONES[1], 34: TONES[2], 49: TONES[3]}
    listeners = (5, 23, 41)
    calls = []
    for i in range(50):
        if i in talkers or i in listeners:
            listener = Ear(caller.address, tone=talkers.get(i))
        else:
            listener = Deaf(caller.address, tone=None)
        call = caller.invite(provider.uri(line["username"]), ear=listener)
        call.expect(200, timeout=10)
        calls.append(call)
    state = net.until(lambda: len(look(tenant, room)["members"]) == 50 and look(tenant, room), 10,
                      "fifty members")
    everybody = set(TONES)
    for i in listeners:
        assert heard(calls[i].ear, everybody) == everybody
    for i, tone in talkers.items():
        assert heard(calls[i].ear, everybody - {tone}) == everybody - {tone}
    speaking = net.until(lambda: [m["talking"] for m in look(tenant, room)["members"]].count(True)
                         == 4, 5, "four of them speak")
    assert speaking
    assert len({m["id"] for m in state["members"]}) == 50
    refused(tenant, room, "join", 409, "no_device", connect={"device": "any"})
    events = tenant.events(WITH_RECORDINGS)
    conference(tenant, room, "end")
    for call in calls:
        call.wait_ended(timeout=15)
    wait_no_calls(tenant)
    done = events.wait_for("recording.ready")["data"]
    sound, rate = sound_of(tenant, f"recording_id={done['id']}")
    last = sound[-int(1.5 * rate):-int(0.5 * rate)]
    assert all(ear.hears(last, tone, rate, 0.7, min_share=0.12) for tone in TONES)
    assert len(tenant.logs(type="conference", page_size=100)) == 51
