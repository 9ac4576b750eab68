"""What is done to calls that are up, heard by real ears."""
import time
import uuid

import pytest

from peers import ear, net
from peers.ear import Ear
from peers.talk import quiet_after, steady

EFFECT_S = 0.25  # from a reply to what is heard; the machine may be busy


def leg(tenant, call_id, role):
    return next(leg for leg in tenant.call(call_id)["legs"]
                if leg["role"] == role and leg["state"] != "ended")


def mute(tenant, call_id, leg_id, muted):
    return tenant.ok("POST", "/api/mute-call/",
                     {"call_id": call_id, "leg_id": leg_id, "muted": muted}, 200)


def settled():
    """From when on the last request must have taken effect."""
    return time.monotonic() + EFFECT_S


def test_a_leg_is_shown_as_it_was_after_its_end(tenant, talk):
    call_id, events, desk, remote = talk()
    desk.ear.wait_packets(60)  # long enough to be measured
    live = {each["id"]: each["address"] for each in tenant.call(call_id)["legs"]}
    remote.bye()
    ended = events.wait_ended(call_id)
    assert {each["id"]: each["address"] for each in ended["legs"]} == live
    assert {each["id"]: each["address"] for each in tenant.call(call_id)["legs"]} == live
    assert {each["id"]: each["address"] for each in tenant.log_row(call_id)["legs"]} == live


# ---- mute ----


@pytest.mark.core
@pytest.mark.parametrize("role", ["agent", "remote"])
def test_a_muted_leg_is_not_heard(tenant, talk, role):
    call_id, events, desk, remote = talk()
    muted, other = (desk, remote) if role == "agent" else (remote, desk)
    leg_id = leg(tenant, call_id, role)["id"]
    reply = mute(tenant, call_id, leg_id, True)
    since = settled()
    assert [each["muted"] for each in reply["legs"] if each["id"] == leg_id] == [True]
    assert not any(each["muted"] for each in reply["legs"] if each["id"] != leg_id)
    events.wait_call("updated", call_id, predicate=lambda m: any(
        each["muted"] for each in m["data"]["legs"] if each["id"] == leg_id))
    other.ear.wait_packets(50, since=since, timeout=15)
    quiet_after(other.ear, muted.ear.tone, since)
    assert muted.ear.hears(other.ear.tone, since), "it hears as before"
    count = len(events.all("call.updated", call_id=call_id))
    mute(tenant, call_id, leg_id, True)
    assert len(events.all("call.updated", call_id=call_id)) == count, "nothing happened"

    mute(tenant, call_id, leg_id, False)
    steady(desk.ear, remote.ear)
    for side in (desk, remote):
        assert side.ear.lost() == 0, "one continuous stream"
        assert len({packet.ssrc for packet in side.ear.audio()}) == 1
    remote.bye()
    events.wait_ended(call_id)


def test_what_cannot_be_muted(tenant, talk):
    call_id, events, desk, remote = talk()
    leg_id = leg(tenant, call_id, "agent")["id"]
    for body, field in (({"leg_id": leg_id, "muted": True}, "call_id"),
                        ({"call_id": call_id, "muted": True}, "leg_id"),
                        ({"call_id": call_id, "leg_id": leg_id}, "muted"),
                        ({"call_id": call_id, "leg_id": leg_id, "muted": "yes"}, "muted"),
                        ({"call_id": call_id, "leg_id": str(uuid.uuid4()), "muted": True},
                         "leg_id")):
        reply = tenant.post("/api/mute-call/", body)
        assert reply.status_code == 400 and field in reply.json(), (body, reply.text)
    remote.bye()
    events.wait_ended(call_id)
    reply = tenant.post("/api/mute-call/", {"call_id": call_id, "leg_id": leg_id, "muted": True})
    assert reply.status_code == 409 and reply.json()["state"] == "ended"


# ---- digits ----

ALL = "0123456789*#ABCD"
MANY = (ALL * 8)[:112] + "0011223344"  # 122, some of them twice in a row


def dial(tenant, call_id, digits, **fields):
    return tenant.ok("POST", "/api/dtmf/", {"call_id": call_id, "digits": digits, **fields},
                     202)["operation_id"]


def wait_sent(events, call_id, operation, timeout=60):
    sent = events.wait_call("dtmf_sent", call_id, timeout,
                            predicate=lambda m: m["detail"]["operation_id"] == operation)
    assert sent["detail"]["complete"] is True
    return sent["detail"]


def infos(call):
    """The digits that came as INFO, each request once."""
    found = {}
    for message in call.find("INFO"):
        fields = dict(line.split("=", 1) for line in message.body.split("\r\n") if "=" in line)
        assert message.get("content-type") == "application/dtmf-relay"
        found.setdefault(message.cseq, fields)
    return "".join(found[cseq]["Signal"] for cseq in sorted(found))


@pytest.mark.core
def test_digits_as_events_are_counted_at_the_far_end(tenant, talk):
    call_id, events, desk, remote = talk()
    operation = dial(tenant, call_id, MANY, duration_ms=60, gap_ms=40, method="rfc4733")
    sent = wait_sent(events, call_id, operation)
    assert sent["method"] == "rfc4733"
    assert remote.ear.digits() == MANY
    for packets in remote.ear.events_heard():
        assert [p.marker for p in packets] == [True] + [False] * (len(packets) - 1)
        assert [p.payload[1] >> 7 for p in packets[-3:]] == [1, 1, 1], "the end is said thrice"
        durations = [int.from_bytes(p.payload[2:4], "big") for p in packets]
        assert durations == sorted(durations) and durations[-1] == 480
    with_events = [p for p in remote.ear.packets]
    assert all((b.seq - a.seq) & 0xFFFF == 1 for a, b in zip(with_events, with_events[1:]))
    assert desk.ear.digits() == ""
    steady(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)


def test_digits_as_info_are_counted_at_the_far_end(tenant, talk):
    call_id, events, desk, remote = talk()
    operation = dial(tenant, call_id, MANY, duration_ms=60, gap_ms=40, method="info")
    assert wait_sent(events, call_id, operation)["method"] == "info"
    net.until(lambda: len(infos(remote)) >= len(MANY), 10, "all INFOs are there")
    assert infos(remote) == MANY
    assert remote.ear.digits() == "", "not twice"
    remote.bye()
    events.wait_ended(call_id)


def test_digits_as_tones_are_counted_at_the_far_end(tenant, talk):
    call_id, events, desk, remote = talk()
    operation = dial(tenant, call_id, MANY, duration_ms=80, gap_ms=60, method="inband")
    assert wait_sent(events, call_id, operation)["method"] == "inband"
    assert remote.ear.tones() == MANY
    assert remote.ear.digits() == ""
    assert remote.ear.lost() == 0
    steady(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)


def test_auto_takes_what_the_far_end_can(tenant, line, far_end):
    """Without telephone-events, by INFO; nobody needs to know."""
    events = tenant.events()
    call = tenant.make_call(line, far_end.number, {"echo": True})
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620, events=False)).answer()
    events.wait_call("answered", call["id"])
    operation = dial(tenant, call["id"], "1,w2")
    began = time.monotonic()
    assert wait_sent(events, call["id"], operation)["method"] == "info"
    assert time.monotonic() - began > 1.5, "a comma is a second, a w half of one"
    assert infos(remote) == "12"
    reply = tenant.post("/api/dtmf/", {"call_id": call["id"], "digits": "1", "method": "rfc4733"})
    assert reply.status_code == 400 and "method" in reply.json()
    remote.bye()
    events.wait_ended(call["id"])


def test_the_profile_says_how_digits_go(tenant, provider, far_end):
    line = tenant.registered_profile(provider, dtmf_mode="inband")
    events = tenant.events()
    call = tenant.make_call(line, far_end.number, {"say": "hello " * 40})
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=None)).answer()
    events.wait_call("answered", call["id"])
    operation = dial(tenant, call["id"], "159D", duration_ms=200)
    assert wait_sent(events, call["id"], operation)["method"] == "inband"
    assert remote.ear.tones() == "159D"
    remote.bye()
    events.wait_ended(call["id"])


def test_operations_queue_one_behind_the_other(tenant, talk):
    call_id, events, desk, remote = talk()
    first = dial(tenant, call_id, "123", duration_ms=100)
    second = dial(tenant, call_id, "456", duration_ms=100)
    to_desk = dial(tenant, call_id, "9", leg_id=leg(tenant, call_id, "agent")["id"])
    for operation in (first, second, to_desk):
        wait_sent(events, call_id, operation)
    assert remote.ear.digits() == "123456" and desk.ear.digits() == "9"
    remote.bye()
    events.wait_ended(call_id)


def heard_digits(events, call_id, leg_id=None):
    return [(m["detail"]["digit"], m["detail"]["method"])
            for m in events.all("call.dtmf", call_id=call_id)
            if leg_id in (None, m["detail"]["leg_id"])]


@pytest.mark.core
def test_digits_of_the_far_end_are_told_once(tenant, talk):
    call_id, events, desk, remote = talk()
    for digit in ALL:
        remote.ear.press(digit)
    net.until(lambda: len(heard_digits(events, call_id)) >= 16, 20, "all digits were told")
    remote_leg = leg(tenant, call_id, "remote")["id"]
    assert heard_digits(events, call_id, remote_leg) == [(d, "rfc4733") for d in ALL]
    assert desk.ear.digits() == ALL, "the other party gets them as well"
    for digit, body, kind in (("7", "Signal=7\r\nDuration=200\r\n", "application/dtmf-relay"),
                              ("#", "#", "application/dtmf")):
        remote.request("INFO", body=body, content_type=kind)
        remote.expect(lambda m: m.method == "INFO" and m.status == 200)
        events.wait_call("dtmf", call_id,
                         predicate=lambda m: m["detail"]["digit"] == digit
                         and m["detail"]["method"] == "info")
    # A phone that says it both ways at once.
    before = len(heard_digits(events, call_id))
    remote.ear.press("4")
    remote.request("INFO", body="Signal=4\r\nDuration=160\r\n",
                   content_type="application/dtmf-relay")
    remote.ear.press("5")
    events.wait_call("dtmf", call_id, predicate=lambda m: m["detail"]["digit"] == "5"
                     and m["seq"] > before)
    net.until(lambda: heard_digits(events, call_id)[-1][0] == "5", 10, "5 was told last")
    assert [d for d, _ in heard_digits(events, call_id)[before:]] == ["4", "5"]
    remote.bye()
    events.wait_ended(call_id)


def test_tones_of_a_far_end_without_events_are_digits(tenant, line, far_end):
    events = tenant.events()
    call = tenant.make_call(line, far_end.number, {"echo": True})
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=None, events=False)).answer()
    events.wait_call("answered", call["id"])
    remote.ear.say(ear.dtmf(MANY))
    net.until(lambda: len(heard_digits(events, call["id"])) >= len(MANY), 40, "all were told")
    assert heard_digits(events, call["id"]) == [(d, "inband") for d in MANY]
    remote.bye()
    events.wait_ended(call["id"])


def test_tones_become_events_for_who_can_take_those_and_are_not_heard_twice(tenant, line, far_end,
                                                                             desk_phones):
    """The far end has only tones, the phone has telephone-events: it gets each digit once, and no
    tone, not even its beginning; and speech as ever."""
    phone = desk_phones(tenant)
    events = tenant.events()
    call_id = tenant.make_call(line, far_end.number)["id"]
    desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=None, events=False)).answer()
    events.wait_call("answered", call_id)
    desk.ear.wait_packets(25)
    since = desk.ear.audio()[-1].at
    gap = ear.numpy.zeros(ear.RATE // 5)
    for digit in ALL:
        remote.ear.say(ear.numpy.concatenate([ear.dtmf(digit, 0.06, 0.08), gap]))
    net.until(lambda: desk.ear.digits() == ALL, 20, "all came as events")
    assert heard_digits(events, call_id) == [(d, "inband") for d in ALL]
    assert max(abs(desk.ear.samples(since))) < 0.02, "no tone is left"
    remote.ear.say(ear.tone(620, 2.0))
    desk.ear.wait_tone(620, timeout=10, since=since)
    remote.bye()
    events.wait_ended(call_id)


def test_tones_of_who_has_events_are_sound(tenant, line, far_end):
    events = tenant.events()
    call = tenant.make_call(line, far_end.number, {"echo": True})
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=None)).answer()
    events.wait_call("answered", call["id"])
    remote.ear.say(ear.dtmf("123"))
    net.until(lambda: remote.ear.tones() == "123", 10, "the echo brings them back")
    remote.ear.press("8")
    events.wait_call("dtmf", call["id"])
    assert heard_digits(events, call["id"]) == [("8", "rfc4733")]
    remote.bye()
    events.wait_ended(call["id"])


def test_a_digit_that_the_other_leg_cannot_get_so_it_gets_otherwise(tenant, line, far_end,
                                                                    desk_phones):
    """The phone has telephone-events, the far end has not; and the phone says some by INFO."""
    phone = desk_phones(tenant)
    events = tenant.events()
    call_id = tenant.make_call(line, far_end.number)["id"]
    desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620, events=False)).answer()
    events.wait_call("answered", call_id)
    for digit in "159#":
        desk.ear.press(digit)
    net.until(lambda: infos(remote) == "159#", 15, "all came as INFO")
    desk.request("INFO", body="Signal=0\r\nDuration=160\r\n",
                 content_type="application/dtmf-relay")
    net.until(lambda: infos(remote) == "159#0", 10, "INFO came as INFO")
    assert "".join(d for d, _ in heard_digits(events, call_id)) == "159#0"
    remote.bye()
    events.wait_ended(call_id)


def test_masked_digits_are_told_to_nobody(tenant, talk):
    call_id, events, desk, remote = talk(mask_dtmf=True)
    remote.ear.press("4")
    first = events.wait_call("dtmf", call_id)["detail"]
    assert first["masked"] is True and first["digit"] is None and first["method"] == "rfc4733"
    reply = tenant.ok("POST", "/api/dtmf/", {"call_id": call_id, "mask": False}, 202)
    assert reply == {"operation_id": None}
    remote.ear.press("5")
    net.until(lambda: len(events.all("call.dtmf", call_id=call_id)) == 2, 5, "5 was told")
    assert events.all("call.dtmf", call_id=call_id)[1]["detail"]["digit"] == "5"
    operation = dial(tenant, call_id, "77", mask=True)
    wait_sent(events, call_id, operation)
    assert remote.ear.digits() == "77", "what we send is not touched"
    remote.ear.press("6")
    net.until(lambda: len(events.all("call.dtmf", call_id=call_id)) == 3, 5, "6 was told")
    assert desk.ear.digits() == "456", "nor what the other party gets"
    remote.bye()
    events.wait_ended(call_id)

    def shown():
        timeline = tenant.get(f"/api/calls/{call_id}/timeline/").json()["results"]
        return [each["detail"]["digit"] for each in timeline if each["type"] == "call.dtmf"]
    net.until(lambda: shown() == [None, "5", None], 5, "the log shows no more")


def test_a_profile_masks_all_digits(tenant, line, talk):
    tenant.patch(f"/api/sip-profiles/{line['id']}/", {"mask_dtmf": True})
    call_id, events, desk, remote = talk()
    remote.ear.press("4")
    assert events.wait_call("dtmf", call_id)["detail"]["digit"] is None
    remote.bye()
    events.wait_ended(call_id)


def test_bad_digits(tenant, talk):
    call_id, events, desk, remote = talk()
    for fields, name in (({"digits": "12x"}, "digits"), ({"digits": ""}, "digits"),
                         ({}, "digits"), ({"digits": 5}, "digits"),
                         ({"digits": "1" * 257}, "digits"),
                         ({"digits": "1", "duration_ms": 49}, "duration_ms"),
                         ({"digits": "1", "duration_ms": 6001}, "duration_ms"),
                         ({"digits": "1", "gap_ms": 1}, "gap_ms"),
                         ({"digits": "1", "method": "smoke"}, "method"),
                         ({"digits": "1", "mask": "yes"}, "mask"),
                         ({"digits": "1", "leg_id": str(uuid.uuid4())}, "leg_id")):
        reply = tenant.post("/api/dtmf/", {"call_id": call_id, **fields})
        assert reply.status_code == 400 and list(reply.json()) == [name], (fields, reply.text)
    for _ in range(4):
        dial(tenant, call_id, "," * 256)
    reply = tenant.post("/api/dtmf/", {"call_id": call_id, "digits": ",,,"})
    assert reply.status_code == 429 and reply.json()["code"] == "limit"
    remote.bye()
    events.wait_ended(call_id)
    reply = tenant.post("/api/dtmf/", {"call_id": call_id, "digits": "1"})
    assert reply.status_code == 409 and reply.json()["state"] == "ended"


def test_digits_before_the_answer_are_refused(tenant, line, far_end):
    call = tenant.make_call(line, far_end.number, {"echo": True})
    remote = far_end.expect_invite(ear=Ear(far_end.address))
    remote.ring()
    reply = tenant.post("/api/dtmf/", {"call_id": call["id"], "digits": "1"})
    assert reply.status_code == 409 and reply.json()["code"] == "wrong_state"
    tenant.hangup(call["id"])


# ---- hold ----


def hold(tenant, call_id, action="hold"):
    return tenant.ok("POST", "/api/hold-call/", {"call_id": call_id, "action": action}, 200)


def blocks(listener, since):
    samples = listener.samples(since)
    return [samples[i:i + 4000] for i in range(0, len(samples) - 3999, 4000)]


def hears_music(listener, since, *tones):
    """Two seconds of sound that is none of the parties' tones."""
    listener.wait_packets(100, timeout=20, since=since)
    heard = blocks(listener, since)
    assert len(heard) >= 3
    for block in heard:
        assert ear.level_of(block) > 0.01, "music is there all the time"
        assert all(ear.tone_share(block, freq) < 0.02 for freq in tones)


def hears_nothing(listener, since):
    """It is sent silence, so that it does not take the line for dead."""
    listener.wait_packets(75, timeout=20, since=since)
    assert ear.level_of(listener.samples(since)) < 0.001


def one_stream(*sides):
    for side in sides:
        packets = [p for p in side.ear.packets if p.payload_type != 101]
        assert len({p.ssrc for p in packets}) == 1
        assert side.ear.lost() == 0
        steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in zip(packets, packets[1:])]
        assert all(step < 0x80000000 for step in steps), "time never goes back"


@pytest.mark.core
@pytest.mark.parametrize("codecs", [("PCMU", "PCMA"), ("PCMA",)])
def test_hold_and_resume(tenant, line, far_end, desk_phones, codecs):
    phone = desk_phones(tenant)
    events = tenant.events()
    call_id = tenant.make_call(line, far_end.number)["id"]
    desk = phone.expect_invite(ear=Ear(phone.address, tone=440, codecs=("PCMU",))).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620, codecs=codecs)).answer()
    events.wait_call("answered", call_id)
    steady(desk.ear, remote.ear)

    remote.ear.direction = "recvonly"
    held = hold(tenant, call_id)
    since = settled()
    assert held["state"] == "held" and held["hold"] == {"local": True, "remote": False}
    assert "a=sendonly" in remote.expect("INVITE").body
    told = events.wait_call("held", call_id)
    assert told["detail"]["by"] == "local" and told["detail"]["signalled"] is True
    hears_music(remote.ear, since, 440, 620)
    hears_nothing(desk.ear, since)
    assert len(desk.find("INVITE")) == 1, "the phone is left alone"
    assert hold(tenant, call_id)["state"] == "held"
    assert len(events.all("call.held", call_id=call_id)) == 1, "nothing happened"
    reply = tenant.post("/api/dtmf/", {"call_id": call_id, "digits": "1"})
    assert reply.status_code == 409 and reply.json()["code"] == "call_held"

    remote.ear.direction = "sendrecv"
    assert hold(tenant, call_id, "resume")["state"] == "answered"
    assert "a=sendrecv" in remote.expect("INVITE").body
    assert events.wait_call("resumed", call_id)["detail"]["signalled"] is True
    steady(desk.ear, remote.ear)
    one_stream(desk, remote)
    assert tenant.call(call_id)["hold_s"] >= 1
    remote.bye()
    events.wait_ended(call_id)
    assert tenant.log_row(call_id)["hold_s"] >= 1


@pytest.mark.core
def test_a_provider_that_refuses_the_hold(tenant, talk):
    call_id, events, desk, remote = talk()
    remote.auto_reinvite = False
    assert hold(tenant, call_id)["state"] == "held"
    since = settled()
    remote.reply(488, request=remote.expect("INVITE"))
    assert events.wait_call("held", call_id)["detail"]["signalled"] is False
    hears_music(remote.ear, since, 440, 620)
    hears_nothing(desk.ear, since)
    assert hold(tenant, call_id, "resume")["state"] == "answered"
    events.wait_call("resumed", call_id)
    steady(desk.ear, remote.ear)
    one_stream(desk, remote)
    remote.bye()
    events.wait_ended(call_id)


@pytest.mark.core
def test_the_far_end_holds(tenant, talk):
    call_id, events, desk, remote = talk()
    remote.ear.bump()
    answer = remote.reinvite(remote.ear.sdp(direction="sendonly"))
    since = settled()
    assert "a=recvonly" in answer.body
    assert events.wait_call("held", call_id)["detail"]["by"] == "remote"
    desk.ear.wait_packets(75, timeout=20, since=since)
    assert desk.ear.hears(620, since), "its own music, not ours over it"
    assert remote.ear.audio(since) == [], "it is sent nothing"

    # Now we hold as well, and resume: that ends only ours.
    remote.ear.direction = "inactive"
    both = hold(tenant, call_id)
    assert both["hold"] == {"local": True, "remote": True}
    assert "a=inactive" in remote.expect("INVITE").body
    remote.ear.direction = "sendonly"
    assert hold(tenant, call_id, "resume")["state"] == "held"
    assert "a=recvonly" in remote.expect("INVITE").body
    remote.ear.direction = "sendrecv"
    answer = remote.reinvite()
    assert "a=sendrecv" in answer.body
    net.until(lambda: tenant.call(call_id)["state"] == "answered", 5, "nobody holds")
    steady(desk.ear, remote.ear)
    one_stream(desk, remote)
    remote.bye()
    events.wait_ended(call_id)


@pytest.mark.core
def test_the_phones_own_hold_key(tenant, talk):
    call_id, events, desk, remote = talk()
    remote.ear.direction = "recvonly"
    desk.ear.bump()
    answer = desk.reinvite(desk.ear.sdp(direction="sendonly"))
    since = settled()
    assert "a=recvonly" in answer.body
    assert events.wait_call("held", call_id)["detail"]["by"] == "local"
    assert "a=sendonly" in remote.expect("INVITE").body
    hears_music(remote.ear, since, 440, 620)
    remote.ear.direction = "sendrecv"
    desk.ear.bump()
    desk.reinvite(desk.ear.sdp())
    events.wait_call("resumed", call_id)
    steady(desk.ear, remote.ear)
    one_stream(desk, remote)
    remote.bye()
    events.wait_ended(call_id)


@pytest.fixture
def short_holds(own_daemon, provider, agents, far_end):
    """(tenant, call_id, events, desk, remote): a call of which no hold may last longer than 2 s."""
    daemon = own_daemon(env={"JACKFIELD_LIMITS_MAX_HOLD_S": "2",
                             "JACKFIELD_LIMITS_RING_TIMEOUT_S": "5"})
    tenant = daemon.signup()
    line = tenant.registered_profile(provider)
    device = tenant.add_device()
    phone = agents(device["username"], device["password"],
                   domain=f"{device['server']}:{device['port']}")
    assert phone.register().status == 200
    events = tenant.events()
    call_id = tenant.make_call(line, far_end.number)["id"]
    desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call_id)
    yield tenant, call_id, events, desk, remote
    tenant.close()


def recalled(events, call_id):
    return events.wait_call("updated", call_id,
                            predicate=lambda m: (m.get("detail") or {}).get("what")
                            == "hold_recall")


def test_who_holds_for_too_long_hears_ringing_and_takes_the_call_with_a_key(short_holds):
    tenant, call_id, events, desk, remote = short_holds
    hold(tenant, call_id)
    recalled(events, call_id)
    desk.ear.wait_tone(425)
    hears_music(remote.ear, settled(), 440, 620)
    desk.ear.press("1")
    events.wait_call("resumed", call_id)
    steady(desk.ear, remote.ear)
    assert desk.ear.hears_not(425, settled())
    assert not events.all("call.dtmf", call_id=call_id)
    remote.bye()
    events.wait_ended(call_id)


def test_a_phone_that_holds_for_too_long_is_rung_back(short_holds):
    tenant, call_id, events, desk, remote = short_holds
    desk.ear.bump()
    desk.reinvite(desk.ear.sdp(direction="sendonly"))
    events.wait_call("held", call_id)
    recalled(events, call_id)
    again = desk.ua.expect_invite(ear=Ear(desk.ua.address, tone=530)).answer()
    events.wait_call("resumed", call_id)
    desk.wait_ended()
    steady(again.ear, remote.ear)
    assert remote.ear.lost() == 0
    remote.bye()
    assert events.wait_ended(call_id)["end_reason"] == "completed"


def test_the_music_of_the_profile(tenant, line, talk, tmp_path):
    """Any prompt of the organisation; deleted, the daemon's own again."""
    prompt = tenant.add_prompt("music", ear.tone(770, 1.0))
    reply = tenant.patch(f"/api/sip-profiles/{line['id']}/", {"hold_music": str(uuid.uuid4())})
    assert reply.status_code == 400 and list(reply.json()) == ["hold_music"]
    reply = tenant.patch(f"/api/sip-profiles/{line['id']}/", {"hold_music": prompt["id"]})
    assert reply.status_code == 200 and reply.json()["hold_music"] == prompt["id"]
    call_id, events, desk, remote = talk()
    for _ in range(2):
        hold(tenant, call_id)
        since = remote.ear.wait_tone(770, since=settled())
        remote.ear.wait_packets(120, since=since)
        assert remote.ear.dropouts(770, since) <= 1, "over and over, without a gap"
        hold(tenant, call_id, "resume")
        steady(desk.ear, remote.ear)
    assert tenant.delete(f"/api/prompts/{prompt['id']}/").status_code == 204
    assert tenant.profile(line["id"])["hold_music"] is None
    remote.bye()
    events.wait_ended(call_id)


def test_a_call_is_not_held_for_ever(short_holds):
    tenant, call_id, events, desk, remote = short_holds
    hold(tenant, call_id)
    recalled(events, call_id)
    ended = events.wait_call("ended", call_id, timeout=15)["data"]
    assert ended["end_reason"] == "timeout" and ended["hold_s"] in (6, 7, 8)
    remote.wait_ended()


def test_what_cannot_be_held(tenant, line, far_end):
    call_id = tenant.make_call(line, far_end.number, {"echo": True})["id"]
    events = tenant.events()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=None)).answer()
    net.until(lambda: tenant.call(call_id)["state"] == "answered", 10, "it is answered")
    reply = tenant.post("/api/hold-call/", {"call_id": call_id, "action": "hold"})
    assert reply.status_code == 409 and reply.json()["code"] == "wrong_state"
    for body, field in (({"call_id": call_id}, "action"), ({"action": "hold"}, "call_id"),
                        ({"call_id": call_id, "action": "squeeze"}, "action")):
        reply = tenant.post("/api/hold-call/", body)
        assert reply.status_code == 400 and field in reply.json()
    remote.bye()
    events.wait_ended(call_id)
    reply = tenant.post("/api/hold-call/", {"call_id": call_id, "action": "hold"})
    assert reply.status_code == 409 and reply.json()["state"] == "ended"
