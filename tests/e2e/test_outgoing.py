"""Calls to the outside, heard by real ears."""
import pytest

from peers import ear, net
from peers.ear import Ear
from peers.talk import hear_each_other, quiet_after, steady, wait_no_calls


def dial_with_echo(tenant, line, number, **fields):
    return tenant.make_call(line, number, {"echo": True}, **fields)


@pytest.mark.core
def test_the_phone_rings_first_then_the_number(tenant, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    call = tenant.make_call(line, far_end.number)
    assert call["state"] in ("queued", "dialing") and call["direction"] == "outgoing"
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440))
    at_desk.ring()
    assert far_end.no_invite(), "the number is dialled once the phone has answered"
    at_desk.answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620))
    assert remote.invite.user("from") == line["username"]
    remote.ring()
    events.wait_call("ringing", call["id"])
    remote.answer()
    answered = events.wait_call("answered", call["id"])
    assert answered["_at"] - remote.answered_at < 0.3
    hear_each_other(at_desk.ear, remote.ear, remote.answered_at)

    live = tenant.call(call["id"])
    assert live["state"] == "answered" and live["to"] == far_end.number
    assert {leg["role"] for leg in live["legs"]} == {"agent", "remote"}
    assert {leg["kind"] for leg in live["legs"]} == {"device", "profile"}
    assert [c["id"] for c in tenant.calls()] == [call["id"]]

    assert tenant.hangup(call["id"]).status_code == 202
    at_desk.wait_ended()
    remote.wait_ended()
    ended = events.wait_ended(call["id"])
    assert ended["end_reason"] == "completed" and ended["hangup_by"] == "api"
    row = tenant.log_row(call["id"])
    assert row["direction"] == "outgoing" and row["end_reason"] == "completed"
    assert row["talk_s"] >= 1
    assert row["created_at"] <= row["ringing_at"] <= row["answered_at"] <= row["ended_at"]
    assert tenant.hangup(call["id"]).status_code == 200, "ending an ended call does nothing"


@pytest.mark.parametrize("who, by", [("desk", "caller"), ("remote", "callee")])
def test_either_side_hangs_up(tenant, line, far_end, desk_phones, who, by):
    phone = desk_phones(tenant)
    events = tenant.events()
    call = tenant.make_call(line, far_end.number)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call["id"])
    (at_desk if who == "desk" else remote).bye()
    (remote if who == "desk" else at_desk).wait_ended()
    ended = events.wait_ended(call["id"])
    assert ended["hangup_by"] == by and ended["end_reason"] == "completed"


def test_both_hang_up_at_once(tenant, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    call = tenant.make_call(line, far_end.number)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call["id"])
    at_desk.bye(expect=False)
    remote.bye(expect=False)
    for side in (at_desk, remote):
        side.expect(lambda m: m.status in (200, 481) and m.method == "BYE")
    events.wait_ended(call["id"])
    assert len(events.all("call.ended", call_id=call["id"])) == 1
    wait_no_calls(tenant)


@pytest.mark.core
def test_say_is_heard(tenant, line, far_end):
    events = tenant.events()
    call = tenant.make_call(line, far_end.number,
                            {"say": "Good morning. This is a test of the telephone."})
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=None)).answer()
    remote.ear.wait_packets(75, since=0)
    samples = remote.ear.samples()
    loud = [ear.level_of(samples[i:i + 160]) > 0.01 for i in range(0, len(samples) - 160, 160)]
    assert sum(loud) > 25, "half a second of speech"
    assert not any(ear.hears(samples, f, at_least_s=1) for f in (440, 620, 1000)), "not a tone"
    ended = events.wait_for("call.ended", timeout=20, call_id=call["id"])["data"]
    assert ended["end_reason"] == "completed" and ended["hangup_by"] == "platform"
    remote.wait_ended()


@pytest.mark.core
def test_echo_brings_the_own_tone_back(tenant, line, far_end):
    events = tenant.events()
    call = dial_with_echo(tenant, line, far_end.number)
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    heard_at = remote.ear.wait_tone(620)
    assert heard_at - remote.answered_at < 0.3
    since = remote.ear.audio()[-1].at
    remote.ear.wait_packets(50, since=since)
    assert remote.ear.lost(since) == 0 and remote.ear.dropouts(620, since) == 0
    remote.bye()
    assert events.wait_ended(call["id"])["hangup_by"] == "callee"


def test_play_is_heard(tenant, line, far_end):
    prompt = tenant.add_prompt("A tone", ear.tone(850, 2.0))["id"]
    events = tenant.events()
    call = tenant.make_call(line, far_end.number, {"play": prompt})
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=None)).answer()
    remote.ear.wait_tone(850)
    events.wait_ended(call["id"])
    assert remote.ear.hears(850, at_least_s=1.8), "to its end"


def test_the_caller_is_put_through_to_a_second_number(tenant, line, far_ends):
    first, second = far_ends(), far_ends()
    events = tenant.events()
    call = tenant.make_call(line, second.number, {"number": first.number})
    one = first.expect_invite(ear=Ear(first.address, tone=440)).answer()
    other = second.expect_invite(ear=Ear(second.address, tone=620)).answer()
    events.wait_call("answered", call["id"])
    hear_each_other(one.ear, other.ear, other.answered_at)
    one.bye()
    other.wait_ended()
    events.wait_ended(call["id"])


def test_a_given_device_rings_alone(tenant, line, far_end, desk_phones):
    chosen, other = desk_phones(tenant, "chosen"), desk_phones(tenant, "other")
    tenant.make_call(line, far_end.number, {"device": chosen.device["id"]})
    at_desk = chosen.expect_invite(ear=Ear(chosen.address)).answer()
    far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    assert other.no_invite()
    at_desk.bye()


def test_without_a_device_there_is_no_call(tenant, line, far_end):
    reply = tenant.post("/api/make-call/", {"profile_id": line["id"], "to": far_end.number})
    assert reply.status_code == 409 and reply.json()["code"] == "no_device"
    assert far_end.no_invite()


def test_an_unregistered_profile_is_not_usable(tenant, provider, far_end):
    profile = tenant.registered_profile(provider)
    tenant.register(profile["id"], action="unregister")
    reply = tenant.post("/api/make-call/", {"profile_id": profile["id"], "to": far_end.number,
                                            "connect": {"echo": True}})
    assert reply.status_code == 409 and reply.json()["code"] == "profile_not_usable"


# ---- how calls fail ----


@pytest.mark.core
@pytest.mark.parametrize("status, phrase, end_reason", [
    (486, "Busy Here", "busy"), (600, "Busy Everywhere", "busy"), (603, "Decline", "declined"),
    (404, "Not Found", "not_found"), (480, "Temporarily Unavailable", "unavailable"),
    (488, "Not Acceptable Here", "media_failed"), (502, "Bad Gateway", "trunk_failed")])
def test_each_refusal_has_its_reason(tenant, provider, line, sipp, status, phrase, end_reason):
    refuser = sipp("refuse.xml", words={"status": status, "phrase": phrase})
    number = provider.add_number(f"+4940{net.digits(7)}", refuser.address)
    events = tenant.events()
    call = dial_with_echo(tenant, line, number)
    ended = events.wait_ended(call["id"])
    assert ended["end_reason"] == end_reason and ended["sip_code"] == status
    assert ended["answered_at"] is None and ended["talk_s"] == 0
    assert refuser.wait() == 0
    row = tenant.log_row(call["id"])
    assert row["end_reason"] == end_reason and row["sip_code"] == status


def test_a_number_nobody_has(tenant, line):
    events = tenant.events()
    call = dial_with_echo(tenant, line, "+49309999999")
    ended = events.wait_ended(call["id"])
    assert ended["end_reason"] == "not_found" and ended["sip_code"] == 404


@pytest.mark.core
def test_nobody_answers(tenant, provider, line, sipp):
    ringing = sipp("ring.xml")
    number = provider.add_number(f"+4940{net.digits(7)}", ringing.address)
    events = tenant.events()
    call = dial_with_echo(tenant, line, number, ring_timeout_s=2)
    events.wait_call("ringing", call["id"])
    ended = events.wait_ended(call["id"])
    assert ended["end_reason"] == "no_answer" and ended["answered_at"] is None
    assert 1 <= ended["ring_s"] <= 4
    assert ringing.wait() == 0, "cancelled properly"
    tenant.log_row(call["id"])
    assert [r["id"] for r in tenant.logs(status="no_answer")] == [call["id"]]


def test_the_agents_phone_refuses(tenant, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    call = tenant.make_call(line, far_end.number)
    phone.expect_invite().reply(486)
    assert events.wait_ended(call["id"])["end_reason"] in ("busy", "declined")
    assert far_end.no_invite()


@pytest.mark.core
@pytest.mark.parametrize("who, by", [("api", "api"), ("desk", "caller")])
def test_the_caller_cancels(tenant, line, far_end, desk_phones, who, by):
    phone = desk_phones(tenant)
    events = tenant.events()
    call = tenant.make_call(line, far_end.number)
    at_desk = phone.expect_invite(ear=Ear(phone.address)).answer()
    remote = far_end.expect_invite()
    remote.ring()
    events.wait_call("ringing", call["id"])
    if who == "api":
        tenant.hangup(call["id"])
    else:
        at_desk.bye()
    remote.expect("CANCEL")
    remote.expect("ACK")
    at_desk.wait_ended()
    ended = events.wait_ended(call["id"])
    assert ended["end_reason"] == "canceled" and ended["hangup_by"] == by
    assert ended["talk_s"] == 0


@pytest.mark.core
def test_a_200_that_crosses_the_cancel(tenant, line, far_end):
    events = tenant.events()
    call = dial_with_echo(tenant, line, far_end.number)
    remote = far_end.expect_invite(ear=Ear(far_end.address))
    remote.auto_cancel = False
    remote.ring()
    events.wait_call("ringing", call["id"])
    tenant.hangup(call["id"])
    cancel = remote.expect("CANCEL")
    remote.reply(200, request=cancel)
    remote.answer(wait_ack=False)
    remote.expect("ACK")
    remote.expect("BYE")
    ended = events.wait_ended(call["id"])
    assert ended["end_reason"] == "canceled" and ended["talk_s"] == 0
    wait_no_calls(tenant)


def test_a_cancel_waits_for_the_first_answer(tenant, agents):
    far = agents("far")
    profile = tenant.add_profile(server=far.address, user="trunk", register=False)
    events = tenant.events()
    far._incoming_call = lambda message: seen.append(message)  # say nothing at all to INVITEs
    seen = []
    call = dial_with_echo(tenant, profile, "+4930123")
    net.until(lambda: seen, 5, "the INVITE")
    tenant.hangup(call["id"])
    net.until(lambda: len([m for m in far.log if m.method == "INVITE"]) >= 2, 5, "sent again")
    assert not [m for m in far.log if m.method == "CANCEL"], "none before a provisional answer"
    far.send(far.response_to(seen[0], 180, "late"), seen[0].source)
    net.until(lambda: [m for m in far.log if m.method == "CANCEL"], 5, "now it is cancelled")
    far.send(far.response_to(seen[0], 487, "late"), seen[0].source)
    assert events.wait_ended(call["id"])["end_reason"] == "canceled"


def test_a_lost_bye_does_not_keep_the_call(tenant, agents):
    far = agents("far")
    profile = tenant.add_profile(server=far.address, user="trunk", register=False)
    events = tenant.events()
    call = dial_with_echo(tenant, profile, "+4930123")
    remote = far.expect_invite(ear=Ear(far.address)).answer()
    remote.auto_bye = False
    remote.ear.wait_packets(5, since=0)
    tenant.hangup(call["id"])
    assert events.wait_ended(call["id"])["end_reason"] == "completed"
    net.until(lambda: len([m for m in far.log if m.method == "BYE"]) >= 3, 10, "BYE sent again")
    since = remote.ear.audio()[-1].at
    assert not remote.ear.audio(since + 0.2), "no sound any more"
    wait_no_calls(tenant)


# ---- sound ----


@pytest.mark.core
def test_early_media_is_heard_before_the_answer(tenant, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    call = tenant.make_call(line, far_end.number)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620))
    remote.early_media()
    events.wait_call("early_media", call["id"])
    at_desk.ear.wait_tone(620)
    assert tenant.call(call["id"])["state"] == "early_media"
    assert tenant.call(call["id"])["answered_at"] is None
    remote.ring()  # a later 180 without a description does not stop it
    steady_since = at_desk.ear.wait_packets(25)[0].at
    assert at_desk.ear.hears(620, since=steady_since, at_least_s=0.3)
    remote.answer()
    events.wait_call("answered", call["id"])
    hear_each_other(at_desk.ear, remote.ear, remote.answered_at)
    remote.bye()
    at_desk.wait_ended()


def test_sipp_sends_early_media_and_answers(tenant, provider, line, sipp, desk_phones):
    early = sipp("early.xml")
    number = provider.add_number(f"+4940{net.digits(7)}", early.address)
    events = tenant.events()
    call = dial_with_echo(tenant, line, number)
    events.wait_call("early_media", call["id"])
    events.wait_call("answered", call["id"])
    tenant.hangup(call["id"])
    assert early.wait() == 0


def test_of_two_early_dialogs_the_one_that_answers_is_the_call(tenant, provider, line, sipp):
    fork = sipp("fork.xml")
    number = provider.add_number(f"+4940{net.digits(7)}", fork.address)
    events = tenant.events()
    call = dial_with_echo(tenant, line, number)
    events.wait_call("answered", call["id"])
    tenant.hangup(call["id"])
    assert fork.wait() == 0


def test_a_redirection_elsewhere_is_not_followed(tenant, provider, line, sipp, agents):
    stranger = agents("stranger")
    redirect = sipp("redirect.xml", words={"elsewhere": stranger.contact})
    number = provider.add_number(f"+4940{net.digits(7)}", redirect.address)
    events = tenant.events()
    call = dial_with_echo(tenant, line, number)
    ended = events.wait_ended(call["id"])
    assert ended["sip_code"] == 302 and ended["answered_at"] is None
    assert redirect.wait() == 0 and stranger.no_invite()


def test_pcma_and_pcmu_are_converted(tenant, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    call = tenant.make_call(line, far_end.number)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440, codecs=["PCMA"])).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620, codecs=["PCMU"])).answer()
    events.wait_call("answered", call["id"])
    hear_each_other(at_desk.ear, remote.ear, remote.answered_at)
    assert {p.payload_type for p in at_desk.ear.audio()} == {8}
    assert {p.payload_type for p in remote.ear.audio()} == {0}
    codecs = {leg["role"]: leg["codec"] for leg in tenant.call(call["id"])["legs"]}
    assert codecs == {"agent": "PCMA", "remote": "PCMU"}
    remote.bye()


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722", "opus"])
def test_baresip_speaks_each_codec_with_a_g711_party(tenant, line, far_end, phones, codec):
    device = tenant.add_device()
    phone = phones(device["username"], device["password"],
                   f"{device['server']}:{device['port']}", codec=codec, tone=700)
    phone.wait_registered()
    events = tenant.events()
    call = tenant.make_call(line, far_end.number)
    phone.wait_ringing()
    phone.answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=440, codecs=["PCMU"])).answer()
    events.wait_call("answered", call["id"])
    remote.ear.wait_tone(700)
    since = remote.ear.audio()[-1].at
    remote.ear.wait_packets(50, since=since)
    assert remote.ear.hears(700, since=since, at_least_s=0.9)
    assert remote.ear.hears_not(440, since=since)
    agent = next(leg for leg in tenant.call(call["id"])["legs"] if leg["role"] == "agent")
    assert agent["codec"].lower() == codec.lower()
    remote.bye()
    phone.wait_closed()
    assert phone.hears(440, at_least_s=0.8)


def test_sound_follows_a_party_that_moves(tenant, line, far_end, desk_phones):
    """A re-INVITE with another address: both keep hearing each other."""
    phone = desk_phones(tenant)
    events = tenant.events()
    call = tenant.make_call(line, far_end.number)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call["id"])
    hear_each_other(at_desk.ear, remote.ear, remote.answered_at)
    old, remote.ear = remote.ear, Ear(far_end.address, tone=850)
    old.stop()
    remote.ear._session = old._session
    remote.reinvite()
    remote.ear.start()
    at_desk.ear.wait_tone(850)
    remote.ear.wait_tone(440)
    steady(at_desk.ear, remote.ear)
    old.close()
    remote.bye()
    at_desk.wait_ended()


def test_a_stranger_cannot_speak_into_a_call(tenant, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    call = tenant.make_call(line, far_end.number)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call["id"])
    hear_each_other(at_desk.ear, remote.ear, remote.answered_at)
    stranger = Ear(net.fresh_address(), tone=1000)
    stranger._remote = at_desk.ear._remote
    stranger.start()
    since = at_desk.ear.audio()[-1].at
    remote.ear.wait_packets(50)
    stranger.close()
    quiet_after(remote.ear, 1000, since)
    assert not stranger.packets
    steady(at_desk.ear, remote.ear)
    remote.bye()


# ---- limits ----


def test_a_call_ends_at_its_longest_duration(tenant, line, far_end):
    events = tenant.events()
    call = dial_with_echo(tenant, line, far_end.number, max_duration_s=2)
    remote = far_end.expect_invite(ear=Ear(far_end.address)).answer()
    ended = events.wait_ended(call["id"])
    assert ended["end_reason"] == "timeout" and ended["hangup_by"] == "platform"
    assert 1.5 <= events.wait_call("ended", call["id"])["_at"] - remote.answered_at <= 3
    remote.wait_ended()


def test_calls_at_once_are_limited_by_profile(tenant, provider, far_end):
    line = tenant.registered_profile(provider, max_calls=1)
    events = tenant.events()
    call = dial_with_echo(tenant, line, far_end.number)
    first = far_end.expect_invite(ear=Ear(far_end.address)).answer()
    reply = tenant.post("/api/make-call/", {"profile_id": line["id"], "to": far_end.number,
                                            "connect": {"echo": True}})
    assert reply.status_code == 429 and reply.json()["code"] == "limit"
    first.bye()
    events.wait_ended(call["id"])
    dial_with_echo(tenant, line, far_end.number)
    far_end.expect_invite().reply(486)


def test_calls_at_once_are_limited_by_tenant(own_daemon, provider, far_end):
    daemon = own_daemon(env={"JACKFIELD_LIMITS_CALLS_PER_TENANT": "1"})
    full, other = daemon.signup(), daemon.signup()
    line, second = full.registered_profile(provider), full.registered_profile(provider)
    events = full.events()
    call = dial_with_echo(full, line, far_end.number)
    first = far_end.expect_invite(ear=Ear(far_end.address)).answer()
    reply = full.post("/api/make-call/", {"profile_id": second["id"], "to": far_end.number,
                                          "connect": {"echo": True}})
    assert reply.status_code == 429 and reply.json()["code"] == "limit"
    assert int(reply.headers["Retry-After"]) > 0
    refused = far_end.invite(provider.uri(second["username"]), ear=Ear(far_end.address))
    refused.expect(486)
    theirs = other.registered_profile(provider)
    dial_with_echo(other, theirs, far_end.number)
    far_end.expect_invite().reply(486)
    first.bye()
    events.wait_ended(call["id"])
    dial_with_echo(full, second, far_end.number)
    far_end.expect_invite().reply(486)
    for client in (full, other):
        client.close()


def test_an_idempotency_key_makes_one_call(tenant, line, far_end):
    body = {"profile_id": line["id"], "to": far_end.number, "connect": {"echo": True}}
    key = {"Idempotency-Key": net.token("key")}
    one = tenant.post("/api/make-call/", body, headers=key)
    two = tenant.post("/api/make-call/", body, headers=key)
    assert one.status_code == 201 and two.json()["id"] == one.json()["id"]
    far_end.expect_invite(ear=Ear(far_end.address)).answer().bye()
    assert far_end.no_invite()


def test_the_timeline_tells_the_whole_call(tenant, line, far_end):
    events = tenant.events()
    call = dial_with_echo(tenant, line, far_end.number)
    remote = far_end.expect_invite(ear=Ear(far_end.address))
    remote.ring()
    events.wait_call("ringing", call["id"])
    remote.answer()
    events.wait_call("answered", call["id"])
    remote.bye()
    events.wait_ended(call["id"])
    tenant.log_row(call["id"])
    timeline = tenant.ok("GET", f"/api/calls/{call['id']}/timeline/")
    entries = timeline["results"] if isinstance(timeline, dict) else timeline
    types = [entry["type"] for entry in entries]
    wanted = ["call.created", "call.ringing", "call.answered", "call.ended"]
    assert [t for t in types if t in wanted] == wanted
