"""Transfers, by ear: who hears whom before, during and after. 440 Hz at the desk that transfers, 620 Hz outside, 880 Hz
at the target."""
import time
import uuid

import pytest

from peers import ear, net
from peers.ear import Ear
from peers.talk import hear_each_other, quiet_after, steady, wait_no_calls

EFFECT_S = 0.25  # from a reply to what is heard; the machine may be busy
RINGING = 425


@pytest.fixture
def talk(tenant, line, far_end, desk_phones):
    """talk(): the tenant's admin at a desk phone talks to somebody outside."""
    def make(**fields):
        phone = desk_phones(tenant)
        events = tenant.events()
        call = tenant.make_call(line, far_end.number, **fields)
        desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
        remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
        events.wait_call("answered", call["id"])
        hear_each_other(desk.ear, remote.ear, remote.answered_at)
        return call["id"], events, desk, remote
    return make


@pytest.fixture
def colleague(tenant, desk_phones):
    """Another user of the tenant, with a phone."""
    other = tenant.add_user(name="Carla")
    other.phone = desk_phones(other)
    yield other
    other.close()


def transfer(client, call_id, status=202, **fields):
    return client.ok("POST", "/api/transfer-call/", {"call_id": call_id, **fields}, status)


def act(client, call_id, action, **fields):
    return transfer(client, call_id, action=action, **fields)


def taken(agent, tone=880):
    """The INVITE that rings at an agent, with an ear."""
    return agent.expect_invite(ear=Ear(agent.address, tone=tone))


def settled():
    return time.monotonic() + EFFECT_S


def hears_music(listener, since, *tones):
    listener.wait_packets(60, timeout=20, since=since)
    samples = listener.samples(since)
    assert ear.level_of(samples) > 0.01, "music is there"
    assert all(ear.tone_share(samples, freq) < 0.05 for freq in tones)


def hears_ringing(listener, since):
    listener.wait_tone(RINGING, timeout=8, since=since)


def hears_none_of(listener, since, *tones):
    listener.wait_packets(40, timeout=20, since=since)
    for freq in tones:
        quiet_after(listener, freq, since)


def heard(listener, tones, seconds=0.8, timeout=6):
    """Within the timeout, a while of exactly these of the three tones."""
    def exactly():
        since = time.monotonic()
        listener.wait_packets(int(seconds * 50), timeout=20, since=since)
        samples = listener.samples(since)
        return tones == {tone for tone in (440, 620, 880)
                         if ear.hears(samples, tone, at_least_s=seconds * 0.7, min_share=0.12)}
    net.until(exactly, timeout, f"hears {tones}")


def in_their_legs(call, role):
    return [leg for leg in call["legs"] if leg["role"] == role and leg["state"] != "ended"]


def linked(tenant, call_id, consult_id, reason="completed"):
    """The two rows of the log name each other."""
    row, target = tenant.log_row(call_id), tenant.log_row(consult_id)
    assert row["transferred_to"] == consult_id and target["transferred_from"] == call_id
    assert row["end_reason"] == reason and target["end_reason"] == "completed"
    return row, target


def wait_transferred(events, call_id):
    return events.wait_call("transferred", call_id)["detail"]["consult_call_id"]


# ---- blind ----


@pytest.mark.core
def test_blind_to_somebody_outside(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    reply = transfer(tenant, call_id, to=target.number)
    since = settled()
    assert reply["id"] == call_id and reply["state"] == "transferring"
    assert reply["consult_call_id"] is None
    assert events.wait_call("transferring", call_id)["detail"]["to"] == target.number
    third = taken(target)
    hears_music(remote.ear, since, 440, 620)
    assert not desk.ended.is_set(), "until the target rings"
    third.ring()
    since = settled()
    desk.wait_ended()
    hears_ringing(remote.ear, since)
    assert tenant.call(call_id)["state"] == "transferring"
    third.answer()
    consult_id = wait_transferred(events, call_id)
    hear_each_other(remote.ear, third.ear, third.answered_at)
    now = tenant.call(call_id)
    assert now["state"] == "answered" and now["transferred_to"] == consult_id
    assert [target.number in leg["address"] for leg in in_their_legs(now, "agent")] == [True]
    assert remote.ear.lost() == 0 and len({p.ssrc for p in remote.ear.audio()}) == 1
    remote.bye()
    third.wait_ended()
    events.wait_ended(call_id)
    row, target_row = linked(tenant, call_id, consult_id)
    assert row["hangup_by"] == "callee" and target_row["to"] == target.number
    kinds = [e["type"] for e in
             tenant.ok("GET", f"/api/calls/{call_id}/timeline/")["results"]]
    assert kinds.index("call.transferring") < kinds.index("call.transferred")
    wait_no_calls(tenant)


def test_blind_releases_at_once_when_asked(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    transfer(tenant, call_id, to=target.number, release="now")
    desk.wait_ended()
    third = taken(target).answer()
    wait_transferred(events, call_id)
    hear_each_other(remote.ear, third.ear, third.answered_at)
    third.bye()
    remote.wait_ended()
    assert events.wait_ended(call_id)["end_reason"] == "completed"


@pytest.mark.core
@pytest.mark.parametrize("code, reason", [(486, "busy"), (404, "not_found"), (603, "declined")])
def test_a_target_that_refuses_at_once_brings_the_two_together_again(tenant, talk, far_ends, code,
                                                                     reason):
    call_id, events, desk, remote = talk()
    target = far_ends()
    transfer(tenant, call_id, to=target.number)
    target.expect_invite().reply(code)
    failed = events.wait_call("transfer_failed", call_id)
    assert failed["detail"]["end_reason"] == reason and failed["detail"]["sip_code"] == code
    assert failed["detail"]["returning"] is False and failed["data"]["state"] == "answered"
    steady(desk.ear, remote.ear)
    remote.bye()
    ended = events.wait_ended(call_id)
    assert ended["transferred_to"] is None
    assert tenant.log_row(failed["detail"]["consult_call_id"])["end_reason"] == reason


@pytest.mark.core
def test_a_target_that_rings_and_is_busy_returns_the_call(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    phone = desk.ua
    target = far_ends()
    transfer(tenant, call_id, to=target.number)
    third = target.expect_invite()
    third.ring()
    desk.wait_ended()
    third.reply(486)
    again = phone.expect_invite(ear=Ear(phone.address, tone=440))
    assert again.invite.user("from") == remote.ua.number, "who is there to be talked to"
    failed = events.wait_call("transfer_failed", call_id)
    assert failed["detail"]["returning"] is True and failed["data"]["state"] == "transferring"
    since = settled()
    hears_ringing(remote.ear, since)
    again.answer()
    hear_each_other(again.ear, remote.ear, again.answered_at)
    net.until(lambda: tenant.call(call_id)["state"] == "answered", 5, "they talk")
    again.bye()
    remote.wait_ended()
    events.wait_ended(call_id)
    wait_no_calls(tenant)


def test_nobody_answers_and_the_call_ends_when_that_was_asked(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    transfer(tenant, call_id, to=target.number, on_fail="hangup", ring_timeout_s=2)
    third = target.expect_invite()
    third.ring()
    desk.wait_ended()
    third.expect("CANCEL")
    ended = events.wait_ended(call_id)
    remote.wait_ended()
    assert ended["end_reason"] == "no_answer" and ended["hangup_by"] == "platform"
    wait_no_calls(tenant)


@pytest.mark.core
def test_who_transfers_hangs_up_first_and_it_goes_on(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    transfer(tenant, call_id, to=target.number)
    third = taken(target)
    desk.bye()
    assert tenant.call(call_id)["state"] == "transferring"
    third.ring()
    third.answer()
    wait_transferred(events, call_id)
    hear_each_other(remote.ear, third.ear, third.answered_at)
    remote.bye()
    third.wait_ended()
    events.wait_ended(call_id)


@pytest.mark.core
def test_the_other_party_hangs_up_while_the_target_rings(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    transfer(tenant, call_id, to=target.number)
    third = target.expect_invite()
    third.ring()
    desk.wait_ended()
    remote.bye()
    third.expect("CANCEL")
    third.expect("ACK")
    assert events.wait_ended(call_id)["end_reason"] == "completed"
    wait_no_calls(tenant)
    net.until(lambda: [row["end_reason"] for row in tenant.logs() if row["to"] == target.number]
              == ["canceled"], 5, "the target's call is in the log")


def test_a_blind_transfer_is_called_off(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    transfer(tenant, call_id, to=target.number)
    third = target.expect_invite()
    act(tenant, call_id, "cancel")
    third.ring()
    third.expect("CANCEL")
    events.wait_call("transfer_failed", call_id)
    steady(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)


@pytest.mark.core
def test_a_colleague_gets_the_call_and_sees_who_it_is(tenant, talk, colleague):
    call_id, events, desk, remote = talk()
    theirs = colleague.events()
    extension = colleague.user["extension"]
    transfer(tenant, call_id, to=extension)
    third = taken(colleague.phone)
    assert third.invite.user("from") == remote.ua.number, "whom it will be"
    assert colleague.get(f"/api/calls/{call_id}/").status_code in (403, 404), "not theirs yet"
    third.ring()
    desk.wait_ended()
    third.answer()
    wait_transferred(events, call_id)
    hear_each_other(remote.ear, third.ear, third.answered_at)
    theirs.wait_call("updated", call_id)
    mine = colleague.call(call_id)
    assert mine["state"] == "answered" and mine["user_id"] == colleague.user["id"]
    assert colleague.hangup(call_id).status_code == 202
    remote.wait_ended()
    row = tenant.log_row(call_id)
    assert row["hangup_by"] == "api"
    users = {leg["user_id"] for leg in row["legs"] if leg["role"] == "agent"}
    assert colleague.user["id"] in users and len(row["legs"]) == 3


@pytest.mark.parametrize("connect", [{"echo": True}, {"say": "one moment " * 20}])
def test_to_a_sound(tenant, talk, connect):
    call_id, events, desk, remote = talk()
    assert transfer(tenant, call_id, connect=connect)["state"] == "answered"
    desk.wait_ended()
    since = settled()
    events.wait_call("transferred", call_id)
    if "echo" in connect:
        remote.ear.wait_tone(620, since=since)
    else:
        hears_music(remote.ear, since, 440, 620)
    remote.bye()
    events.wait_ended(call_id)


def test_to_one_device_and_to_a_number_through_another_profile(tenant, provider, talk, far_ends,
                                                                desk_phones):
    call_id, events, desk, remote = talk()
    mobile = desk_phones(tenant, "mobile")
    transfer(tenant, call_id, connect={"device": mobile.device["id"]}, mode="attended")
    there = taken(mobile).answer()
    steady(desk.ear, there.ear)
    act(tenant, call_id, "cancel")
    there.wait_ended()
    steady(desk.ear, remote.ear)
    other, target = tenant.registered_profile(provider), far_ends()
    transfer(tenant, call_id, connect={"number": target.number, "profile_id": other["id"]})
    third = taken(target)
    assert third.invite.user("from") == other["username"]
    third.answer()
    consult_id = wait_transferred(events, call_id)
    steady(remote.ear, third.ear)
    remote.bye()
    events.wait_ended(call_id)
    assert tenant.log_row(consult_id)["profile_id"] == other["id"]


def test_to_a_room(tenant, talk, far_ends, line):
    room = net.token("room")
    call_id, events, desk, remote = talk()
    other = far_ends()
    tenant.ok("POST", "/api/conference/", {"action": "add", "room": room,
                                           "profile_id": line["id"], "to": other.number})
    third = taken(other).answer()
    net.until(lambda: tenant.ok("GET", f"/api/conferences/{room}/")["members"], 5, "it is in")
    transfer(tenant, call_id, connect={"conference": room})
    desk.wait_ended()
    net.until(lambda: len(tenant.ok("GET", f"/api/conferences/{room}/")["members"]) == 2, 5,
              "both are in")
    steady(remote.ear, third.ear)
    remote.bye()
    third.bye()
    events.wait_ended(call_id)


# ---- attended ----


def consult(tenant, events, call_id, target, answer=True):
    """(consult id, the target's call)"""
    reply = transfer(tenant, call_id, to=target.number, mode="attended")
    assert reply["state"] == "transferring" and reply["consult_call_id"]
    third = taken(target)
    if answer:
        third.answer()
        events.wait_call("answered", reply["consult_call_id"])
    return reply["consult_call_id"], third


def apart(desk, remote, third, since):
    """The desk and the target talk; the other one hears music and is heard by nobody."""
    steady(desk.ear, third.ear)
    hears_music(remote.ear, since, 440, 620, 880)
    hears_none_of(desk.ear, since, 620)
    hears_none_of(third.ear, since, 620)


@pytest.mark.core
def test_attended_and_completed(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    consult_id, third = consult(tenant, events, call_id, target)
    since = settled()
    apart(desk, remote, third, since)
    assert tenant.call(consult_id)["transferred_from"] == call_id
    assert tenant.call(call_id)["hold"]["local"] is True
    assert "a=sendonly" in remote.expect("INVITE").body, "it is told that it is on hold"
    act(tenant, call_id, "complete")
    since = settled()
    assert wait_transferred(events, call_id) == consult_id
    desk.wait_ended()
    steady(remote.ear, third.ear)
    hears_none_of(third.ear, since, 440)
    assert events.wait_ended(consult_id)["end_reason"] == "completed"
    assert tenant.call(call_id)["state"] == "answered"
    third.bye()
    remote.wait_ended()
    row, target_row = linked(tenant, call_id, consult_id)
    assert row["hold_s"] >= 1 and target_row["talk_s"] >= 1
    wait_no_calls(tenant)


def test_hanging_up_completes(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    consult_id, third = consult(tenant, events, call_id, far_ends())
    steady(desk.ear, third.ear)
    desk.bye()
    assert wait_transferred(events, call_id) == consult_id
    steady(remote.ear, third.ear)
    remote.bye()
    third.wait_ended()
    events.wait_ended(call_id)


def test_hung_up_by_request_completes_as_well(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    consult_id, third = consult(tenant, events, call_id, far_ends())
    steady(desk.ear, third.ear)
    leg = in_their_legs(tenant.call(call_id), "consult")[0]
    assert tenant.hangup(call_id, leg_id=leg["id"]).status_code == 202
    desk.wait_ended()
    assert wait_transferred(events, call_id) == consult_id
    steady(remote.ear, third.ear)
    remote.bye()
    third.wait_ended()
    events.wait_ended(call_id)


@pytest.mark.core
def test_attended_and_called_off(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    consult_id, third = consult(tenant, events, call_id, far_ends())
    steady(desk.ear, third.ear)
    act(tenant, call_id, "cancel")
    third.wait_ended()
    assert events.wait_call("transfer_failed", call_id)["detail"]["end_reason"] == "canceled"
    steady(desk.ear, remote.ear)
    assert tenant.call(call_id)["state"] == "answered"
    remote.bye()
    events.wait_ended(call_id)
    assert tenant.log_row(call_id)["transferred_to"] is None
    wait_no_calls(tenant)


@pytest.mark.core
def test_swapped_twice_and_completed(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    consult_id, third = consult(tenant, events, call_id, far_ends())
    steady(desk.ear, third.ear)
    act(tenant, call_id, "swap")
    since = settled()
    steady(desk.ear, remote.ear)
    hears_music(third.ear, since, 440, 620, 880)
    assert tenant.call(call_id)["state"] == "transferring"
    act(tenant, consult_id, "swap")
    since = settled()
    apart(desk, remote, third, since)
    act(tenant, call_id, "swap")
    steady(desk.ear, remote.ear)
    act(tenant, call_id, "complete")
    wait_transferred(events, call_id)
    desk.wait_ended()
    steady(remote.ear, third.ear)
    for side in (desk, remote, third):
        assert side.ear.lost() == 0 and len({p.ssrc for p in side.ear.audio()}) == 1
    remote.bye()
    third.wait_ended()
    events.wait_ended(call_id)


@pytest.mark.core
def test_a_consult_becomes_a_conference(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    consult_id, third = consult(tenant, events, call_id, far_ends())
    steady(desk.ear, third.ear)
    room = act(tenant, call_id, "conference")["room"]
    assert len(tenant.ok("GET", f"/api/conferences/{room}/")["members"]) == 3
    for listener, others in ((desk, {620, 880}), (remote, {440, 880}), (third, {440, 620})):
        heard(listener.ear, others)
    desk.bye()
    heard(remote.ear, {880})
    heard(third.ear, {620})
    steady(remote.ear, third.ear)
    remote.bye()
    third.bye()
    for each in (call_id, consult_id):
        events.wait_ended(each)
    wait_no_calls(tenant)


@pytest.mark.core
def test_completed_while_it_rings(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    consult_id, third = consult(tenant, events, call_id, target, answer=False)
    third.ring()
    hears_ringing(desk.ear, settled())
    hears_music(remote.ear, settled(), 440, 620)
    reply = tenant.post("/api/transfer-call/", {"call_id": call_id, "action": "swap"})
    assert reply.status_code == 409 and reply.json()["state"] == "transferring"
    act(tenant, call_id, "complete")
    since = settled()
    desk.wait_ended()
    hears_ringing(remote.ear, since)
    third.answer()
    assert wait_transferred(events, call_id) == consult_id
    steady(remote.ear, third.ear)
    remote.bye()
    third.wait_ended()
    linked(tenant, call_id, consult_id)
    wait_no_calls(tenant)


def test_completed_while_it_rings_and_refused_then(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    phone = desk.ua
    consult_id, third = consult(tenant, events, call_id, far_ends(), answer=False)
    third.ring()
    events.wait_call("ringing", consult_id)
    act(tenant, call_id, "complete")
    desk.wait_ended()
    third.reply(486)
    again = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    hear_each_other(again.ear, remote.ear, again.answered_at)
    remote.bye()
    again.wait_ended()
    events.wait_ended(call_id)


@pytest.mark.core
def test_the_target_hangs_up_and_the_two_are_together_again(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    consult_id, third = consult(tenant, events, call_id, far_ends())
    steady(desk.ear, third.ear)
    third.bye()
    events.wait_call("transfer_failed", call_id)
    steady(desk.ear, remote.ear)
    now = tenant.call(call_id)
    assert now["state"] == "answered" and now["hold"]["local"] is False
    # And again, refused this time.
    other = far_ends()
    other_id, fourth = consult(tenant, events, call_id, other, answer=False)
    fourth.reply(486)
    events.wait_call("transfer_failed", call_id,
                     predicate=lambda m: m["detail"]["consult_call_id"] == other_id)
    steady(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)


@pytest.mark.core
@pytest.mark.parametrize("swapped", [False, True])
def test_the_other_party_hangs_up_and_the_consult_goes_on(tenant, talk, far_ends, swapped):
    call_id, events, desk, remote = talk()
    consult_id, third = consult(tenant, events, call_id, far_ends())
    steady(desk.ear, third.ear)
    if swapped:
        act(tenant, call_id, "swap")
        steady(desk.ear, remote.ear)
    remote.bye()
    assert events.wait_ended(call_id)["end_reason"] == "completed"
    steady(desk.ear, third.ear)
    now = tenant.call(consult_id)
    assert now["state"] == "answered" and in_their_legs(now, "agent")
    desk.bye()
    third.wait_ended()
    events.wait_ended(consult_id)
    wait_no_calls(tenant)


def test_attended_from_hold_and_back_into_it(tenant, talk, far_ends):
    """Held before, called off: it is resumed, as the one who transfers is there again."""
    call_id, events, desk, remote = talk()
    tenant.ok("POST", "/api/hold-call/", {"call_id": call_id, "action": "hold"}, 200)
    events.wait_call("held", call_id)
    reply = transfer(tenant, call_id, to=(target := far_ends()).number)
    assert reply["state"] == "transferring"
    third = taken(target)
    third.ring()
    third.answer()
    wait_transferred(events, call_id)
    steady(remote.ear, third.ear)
    now = tenant.call(call_id)
    assert now["hold"] == {"local": False, "remote": False} and now["state"] == "answered"
    remote.bye()
    events.wait_ended(call_id)


@pytest.mark.core
def test_what_the_target_says_before_it_answers_is_for_who_consults(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    consult_id, third = consult(tenant, events, call_id, far_ends(), answer=False)
    third.early_media()
    since = settled()
    desk.ear.wait_tone(880, since=since)
    hears_music(remote.ear, since, 440, 620, 880)
    hears_none_of(desk.ear, since, 620)
    quiet_after(third.ear, 440, since)
    assert tenant.call(consult_id)["state"] == "early_media"
    third.answer()
    events.wait_call("answered", consult_id)
    steady(desk.ear, third.ear)
    act(tenant, call_id, "complete")
    steady(remote.ear, third.ear)
    remote.bye()
    third.wait_ended()
    events.wait_ended(call_id)


# ---- other people's ends ----


def test_a_number_nobody_has(tenant, talk):
    call_id, events, desk, remote = talk()
    transfer(tenant, call_id, to="+49309999999")
    failed = events.wait_call("transfer_failed", call_id)["detail"]
    assert failed["end_reason"] == "not_found" and failed["sip_code"] == 404
    steady(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)


def test_sipp_as_targets(tenant, provider, talk, sipp):
    call_id, events, desk, remote = talk()
    phone = desk.ua
    ringing, early = sipp("ring.xml"), sipp("early.xml")
    never = provider.add_number(f"+4940{net.digits(7)}", ringing.address)
    soon = provider.add_number(f"+4940{net.digits(7)}", early.address)
    transfer(tenant, call_id, to=never, ring_timeout_s=1)
    desk.wait_ended()
    again = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    assert ringing.wait() == 0, "cancelled properly"
    hear_each_other(again.ear, remote.ear, again.answered_at)
    net.until(lambda: tenant.call(call_id)["state"] == "answered", 5, "they talk again")
    transfer(tenant, call_id, to=soon)
    wait_transferred(events, call_id)
    again.wait_ended()
    tenant.hangup(call_id)
    assert early.wait() == 0
    remote.wait_ended()
    events.wait_ended(call_id)
    wait_no_calls(tenant)


# ---- recording, across it ----


@pytest.mark.core
def test_the_recording_goes_on_across_a_transfer(tenant, provider, far_end, far_ends, desk_phones):
    from test_recordings import download, ready, seconds, sides
    line = tenant.registered_profile(provider, record="on_demand")
    phone = desk_phones(tenant)
    events = tenant.events(topics=("calls", "recordings"))
    call_id = tenant.make_call(line, far_end.number)["id"]
    desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call_id)
    steady(desk.ear, remote.ear)
    recording = tenant.ok("POST", "/api/record-call/", {"call_id": call_id, "action": "start"},
                          200)["recording"]
    began = time.monotonic()
    steady(desk.ear, remote.ear, 60)
    apart_at = time.monotonic() - began
    consult_id, third = consult(tenant, events, call_id, far_ends())
    steady(desk.ear, third.ear, 60)
    together_at = time.monotonic() - began
    act(tenant, call_id, "complete")
    wait_transferred(events, call_id)
    steady(remote.ear, third.ear, 80)
    lasted = time.monotonic() - began
    remote.bye()
    done = ready(tenant, call_id)
    assert done["id"] == recording["id"] and done["state"] == "ready"
    (left, right), rate = sides(download(tenant, f"recording_id={recording['id']}").content)
    assert len(left) == len(right) and abs(len(left) / rate - lasted) < 0.5
    before = (0.3, apart_at - 0.1)
    during = (apart_at + 0.5, together_at - 0.1)
    after = (together_at + 0.5, lasted - 0.2)
    assert ear.hears(seconds(left, rate, *before), 440, rate)
    assert ear.hears_not(seconds(left, rate, *during), 440, rate), "nobody hears the consult"
    assert ear.hears_not(seconds(left, rate, *during), 880, rate)
    assert ear.hears(seconds(left, rate, *after), 880, rate), "the agents' side"
    assert ear.hears_not(seconds(left, rate, *after), 440, rate)
    assert ear.hears(seconds(right, rate, *before), 620, rate)
    assert ear.hears(seconds(right, rate, *after), 620, rate)


# ---- by the far end's provider ----


def notify(call, refer, status, reason, over=True):
    call.request("NOTIFY", [("event", f"refer;id={refer.cseq}"),
                            ("contact", f"<{call.ua.contact}>"),
                            ("subscription-state",
                             "terminated;reason=noresource" if over else "active;expires=60")],
                 f"SIP/2.0 {status} {reason}\r\n", content_type="message/sipfrag;version=2.0")


@pytest.mark.core
def test_a_refer_that_is_done_by_the_far_end(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    number = far_ends().number
    assert transfer(tenant, call_id, to=number, mode="refer")["state"] == "transferring"
    refer = remote.expect("REFER")
    assert number in refer.get("refer-to") and refer.get("referred-by")
    remote.reply(202, request=refer)
    notify(remote, refer, 100, "Trying", over=False)
    notify(remote, refer, 200, "OK")
    events.wait_call("transferred", call_id)
    remote.wait_ended()
    desk.wait_ended()
    assert events.wait_ended(call_id)["end_reason"] == "completed"
    wait_no_calls(tenant)


@pytest.mark.parametrize("how", ["refused", "failed"])
def test_a_refer_that_is_not_done_is_done_here(tenant, talk, far_ends, how):
    call_id, events, desk, remote = talk()
    target = far_ends()
    transfer(tenant, call_id, to=target.number, mode="refer")
    refer = remote.expect("REFER")
    if how == "refused":
        remote.reply(603, request=refer)
    else:
        remote.reply(202, request=refer)
        notify(remote, refer, 486, "Busy Here")
    third = taken(target)
    third.ring()
    desk.wait_ended()
    third.answer()
    wait_transferred(events, call_id)
    hear_each_other(remote.ear, third.ear, third.answered_at)
    remote.bye()
    third.wait_ended()
    events.wait_ended(call_id)


def test_a_refer_whose_call_ends_without_a_word(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    transfer(tenant, call_id, to=far_ends().number, mode="refer")
    remote.reply(202, request=remote.expect("REFER"))
    net.until(lambda: tenant.call(call_id)["state"] == "transferring", 5, "it is asked")
    time.sleep(0.1)
    remote.bye()
    events.wait_call("transfer_unconfirmed", call_id)
    events.wait_ended(call_id)
    desk.wait_ended()


# ---- by a phone's own keys ----


def refer(call, to, headers=(), replaces=None):
    value = f"<sip:{to}@{call.ua.domain}>"
    if replaces is not None:
        quoted = (f"{replaces.call_id};to-tag={replaces.remote_tag};"
                  f"from-tag={replaces.local_tag}").replace("@", "%40").replace(";", "%3B") \
            .replace("=", "%3D")
        value = f"<sip:{to}@{call.ua.domain}?Replaces={quoted}>"
    return call.request("REFER", [("refer-to", value), ("contact", f"<{call.ua.contact}>"),
                                  ("referred-by", f"<{call.ua.aor}>"), *headers])


def sipfrags(call):
    return [int(m.body.split()[1]) for m in call.find("NOTIFY")]


@pytest.mark.core
def test_a_phone_transfers_blindly(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    refer(desk, target.number)
    desk.expect(202)
    third = taken(target)
    since = settled()
    hears_music(remote.ear, since, 440, 620)
    third.ring()
    hears_ringing(remote.ear, settled())
    assert not desk.ended.is_set(), "it is told how it goes"
    third.answer()
    wait_transferred(events, call_id)
    net.until(lambda: sipfrags(desk)[-1:] == [200], 5, "the last report")
    assert sipfrags(desk) == [100, 180, 200]
    states = [m.get("subscription-state") for m in desk.find("NOTIFY")]
    assert states[-1] == "terminated;reason=noresource"
    assert all(s.startswith("active") for s in states[:-1])
    desk.wait_ended()
    hear_each_other(remote.ear, third.ear, third.answered_at)
    remote.bye()
    third.wait_ended()
    events.wait_ended(call_id)


def test_a_phone_transfers_to_somebody_busy(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    refer(desk, target.number)
    desk.expect(202)
    third = target.expect_invite()
    third.ring()
    third.reply(486)
    net.until(lambda: sipfrags(desk)[-1:] == [486], 5, "the last report")
    events.wait_call("transfer_failed", call_id)
    steady(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)


def test_a_phone_holds_and_transfers_as_phones_do(tenant, talk, far_ends):
    """On hold by the phone's own key first; the target is busy: the phone resumes. Then it works."""
    call_id, events, desk, remote = talk()
    remote.ear.direction = "recvonly"
    desk.ear.bump()
    desk.reinvite(desk.ear.sdp(direction="sendonly"))
    events.wait_call("held", call_id)
    assert "a=sendonly" in remote.expect("INVITE").body
    remote.ear.direction = "sendrecv"
    first, second = far_ends(), far_ends()
    refer(desk, first.number)
    desk.expect(202)
    first.expect_invite().reply(486)
    net.until(lambda: sipfrags(desk)[-1:] == [486], 5, "the last report")
    assert tenant.call(call_id)["state"] == "held", "the phone still holds"
    hears_music(remote.ear, settled(), 440, 620)
    desk.ear.bump()
    desk.reinvite(desk.ear.sdp())
    net.until(lambda: tenant.call(call_id)["state"] == "answered", 5, "the phone has resumed")
    steady(desk.ear, remote.ear)
    desk.ear.bump()
    desk.reinvite(desk.ear.sdp(direction="sendonly"))
    refer(desk, second.number)
    third = taken(second)
    third.answer()
    wait_transferred(events, call_id)
    desk.wait_ended()
    steady(remote.ear, third.ear)
    assert tenant.call(call_id)["hold"] == {"local": False, "remote": False}
    remote.bye()
    third.wait_ended()
    events.wait_ended(call_id)


@pytest.mark.core
def test_each_phone_is_told_who_is_there_now(tenant, desk_phones, colleague):
    """All inside: the desk calls Anton, and puts him through to Carla."""
    anton = tenant.add_user(name="Anton")
    his, desk_ua = desk_phones(anton), desk_phones(tenant)
    events = tenant.events()
    desk = desk_ua.invite(f"sip:{anton.user['extension']}@{desk_ua.domain}",
                          ear=Ear(desk_ua.address, tone=440))
    remote = taken(his, 620).answer()
    desk.expect(200)
    call_id = events.wait_for("call.answered")["call_id"]
    hear_each_other(desk.ear, remote.ear, remote.answered_at)
    transfer(tenant, call_id, to=colleague.user["extension"], mode="attended")
    third = taken(colleague.phone)
    assert third.invite.user("from") == tenant.me()["extension"], "who consults"
    third.answer()
    steady(desk.ear, third.ear)
    assert events.wait_for("call.created", predicate=lambda m: m["call_id"] != call_id)[
        "data"]["direction"] == "internal"
    act(tenant, call_id, "complete")
    desk.wait_ended()
    for call, user, name in ((remote, colleague.user, "Carla"), (third, anton.user, "Anton")):
        told = call.expect(lambda m: m.status is None and m.get("p-asserted-identity"))
        assert told.user("p-asserted-identity") == user["extension"]
        assert name in told.get("p-asserted-identity")
    steady(remote.ear, third.ear)
    mine = colleague.call(call_id)
    assert mine["state"] == "answered"
    third.bye()
    remote.wait_ended()
    events.wait_ended(call_id)
    wait_no_calls(tenant)
    anton.close()


def test_a_phone_transfers_and_leaves_at_once_and_without_reports(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    refer(desk, target.number, [("refer-sub", "false"), ("require", "norefersub")])
    accepted = desk.expect(202)
    assert accepted.get("refer-sub") == "false"
    desk.bye()
    third = taken(target)
    third.ring()
    third.answer()
    wait_transferred(events, call_id)
    hear_each_other(remote.ear, third.ear, third.answered_at)
    assert sipfrags(desk) == []
    remote.bye()
    events.wait_ended(call_id)


def second_call(tenant, desk, target, ear_tone=445):
    """The phone's own second call: it dials the target itself."""
    phone = desk.ua
    own = phone.invite(f"sip:{target.number}@{phone.domain}",
                       ear=Ear(phone.address, tone=ear_tone))
    return own, taken(target)


@pytest.mark.core
def test_a_phone_transfers_attended(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    own, third = second_call(tenant, desk, target)
    third.answer()
    own.expect(200)
    steady(own.ear, third.ear)
    refer(desk, target.number, replaces=own)
    desk.expect(202)
    consult_id = wait_transferred(events, call_id)
    steady(remote.ear, third.ear)
    net.until(lambda: sipfrags(desk)[-1:] == [200], 5, "the last report")
    desk.wait_ended()
    own.wait_ended()
    remote.bye()
    third.wait_ended()
    linked(tenant, call_id, consult_id)
    wait_no_calls(tenant)


def test_a_phone_transfers_attended_while_it_rings(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    own, third = second_call(tenant, desk, target)
    third.ring()
    own.expect(180)
    refer(desk, target.number, replaces=own)
    desk.expect(202)
    own.expect(lambda m: (m.status or 0) >= 300)
    hears_ringing(remote.ear, settled())
    third.answer()
    wait_transferred(events, call_id)
    net.until(lambda: sipfrags(desk)[-1:] == [200], 5, "the last report")
    desk.wait_ended()
    steady(remote.ear, third.ear)
    remote.bye()
    third.wait_ended()
    events.wait_ended(call_id)
    wait_no_calls(tenant)


def test_a_phone_cannot_transfer_to_a_call_that_is_none_of_its_own(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    fake = type("Fake", (), {"call_id": "x@y", "remote_tag": "a", "local_tag": "b"})
    refer(desk, "0301", replaces=fake)
    desk.expect(603)
    refer(desk, "0301", replaces=desk)
    desk.expect(603)
    refer(desk, "%20%22")
    desk.expect(603)
    steady(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)


@pytest.mark.core
def test_a_provider_must_not_make_us_dial(tenant, talk, far_ends):
    call_id, events, desk, remote = talk()
    target = far_ends()
    remote.request("REFER", [("refer-to", f"<sip:{target.number}@{remote.ua.address}>"),
                             ("contact", f"<{remote.ua.contact}>")])
    remote.expect(603)
    assert target.no_invite()
    steady(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)


def test_baresip_transfers_blindly(tenant, provider, line, far_end, far_ends, phones):
    device = tenant.add_device()
    desk = phones(device["username"], device["password"], f"{device['server']}:{device['port']}",
                  tone=440)
    desk.wait_registered()
    events = tenant.events()
    call_id = tenant.make_call(line, far_end.number)["id"]
    desk.wait_ringing()
    desk.answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call_id)
    remote.ear.wait_tone(440)
    target = far_ends()
    desk.command("transfer", f"sip:{target.number}@{device['server']}:{device['port']}")
    third = taken(target)
    third.ring()
    third.answer()
    wait_transferred(events, call_id)
    steady(remote.ear, third.ear)
    desk.wait_closed()
    remote.bye()
    third.wait_ended()
    events.wait_ended(call_id)


# ---- Replaces ----


def replacing(phone, call, extra="", **more):
    """The phone takes the place of a call's own end of the dialog."""
    value = f"{call.call_id};to-tag={call.remote_tag};from-tag={call.local_tag}{extra}"
    return phone.invite(f"sip:any@{phone.domain}", ear=Ear(phone.address, tone=880),
                        headers=[("replaces", value), ("require", "replaces")], **more)


@pytest.mark.core
def test_another_phone_of_the_user_takes_the_call_over(tenant, talk, desk_phones):
    call_id, events, desk, remote = talk()
    mobile = desk_phones(tenant, "mobile")
    early = replacing(mobile, desk, ";early-only")
    early.expect(486)
    taking = replacing(mobile, desk)
    taking.expect(200)
    desk.wait_ended()
    steady(taking.ear, remote.ear)
    now = tenant.call(call_id)
    assert now["state"] == "answered" and len(in_their_legs(now, "agent")) == 1
    assert in_their_legs(now, "agent")[0]["device_id"] == mobile.device["id"]
    late = replacing(mobile, desk)
    late.expect(603)
    taking.local_tag, real = "unknown", taking.local_tag
    nobody = replacing(mobile, taking)
    taking.local_tag = real
    nobody.expect(481)
    remote.bye()
    taking.wait_ended()
    events.wait_ended(call_id)
    wait_no_calls(tenant)


def test_another_phone_picks_up_what_rings(tenant, provider, line, far_end, desk_phones):
    desk, mobile = desk_phones(tenant), desk_phones(tenant, "mobile")
    events = tenant.events()
    caller = far_end.invite(provider.uri(line["username"]), ear=Ear(far_end.address, tone=620))
    ringing = desk.expect_invite()
    mobile.expect_invite().reply(486)
    ringing.ring()
    caller.expect(180)
    taking = replacing(mobile, ringing, ";early-only")
    taking.expect(200)
    ringing.expect("CANCEL")
    caller.expect(200)
    steady(taking.ear, caller.ear)
    caller.bye()
    taking.wait_ended()
    assert events.wait_for("call.ended")["data"]["end_reason"] == "completed"


def test_a_strangers_phone_takes_nothing_over(tenant, talk, tenants, desk_phones, colleague):
    call_id, events, desk, remote = talk()
    stranger = tenants()
    for phone in (desk_phones(stranger), colleague.phone):
        replacing(phone, desk).expect(603)
    steady(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)


# ---- what cannot be ----


@pytest.mark.core
def test_what_cannot_be_transferred(tenant, talk, far_ends, tenants):
    call_id, events, desk, remote = talk()
    number = far_ends().number
    post = "/api/transfer-call/"
    for fields, name in (({}, "to"), ({"to": "030", "connect": {"echo": True}}, "to"),
                         ({"to": "0301", "mode": "loud"}, "mode"),
                         ({"to": "0301", "on_fail": "cry"}, "on_fail"),
                         ({"to": "0301", "release": "never"}, "release"),
                         ({"to": "0301", "ring_timeout_s": 0}, "ring_timeout_s"),
                         ({"to": "a b c"}, "to"), ({"action": "explode"}, "action"),
                         ({"connect": {"number": "0301", "profile_id": str(uuid.uuid4())}},
                          "connect"),
                         ({"connect": {"echo": True}, "mode": "attended"}, "connect"),
                         ({"connect": {"device": str(uuid.uuid4())}}, "connect")):
        reply = tenant.post(post, {"call_id": call_id, **fields})
        assert reply.status_code == 400 and name in reply.json(), (fields, reply.text)
    assert tenant.post(post, {"to": number}).status_code == 400
    assert tenant.post(post, {"call_id": str(uuid.uuid4()), "to": number}).status_code == 404
    for action in ("complete", "cancel", "swap", "conference"):
        reply = tenant.post(post, {"call_id": call_id, "action": action})
        assert reply.status_code == 409 and reply.json()["code"] == "wrong_state"
        assert reply.json()["state"] == "answered"
    agent, supervisor = tenant.add_user(), tenant.add_user(role="supervisor")
    reply = tenant.post(post, {"call_id": call_id, "to": agent.user["extension"]})
    assert reply.status_code == 409 and reply.json()["code"] == "no_device"
    reply = tenant.post(post, {"call_id": call_id,
                               "connect": {"ivr": str(uuid.uuid4())}})
    assert reply.status_code == 409 and reply.json()["code"] == "not_supported"
    assert agent.post(post, {"call_id": call_id, "to": number}).status_code in (403, 404)
    assert supervisor.post(post, {"call_id": call_id, "to": number}).status_code == 403
    assert tenants().post(post, {"call_id": call_id, "to": number}).status_code == 404

    transfer(tenant, call_id, to=number, mode="attended")
    for body in ({"to": number}, {"to": number, "mode": "attended"}):
        reply = tenant.post(post, {"call_id": call_id, **body})
        assert reply.status_code == 409 and reply.json()["state"] == "transferring"
    reply = tenant.post("/api/hold-call/", {"call_id": call_id, "action": "resume"})
    assert reply.status_code == 409 and reply.json()["state"] == "transferring"
    reply = tenant.post("/api/conference/", {"action": "join", "room": "x", "call_id": call_id})
    assert reply.status_code == 409
    act(tenant, call_id, "cancel")
    events.wait_call("transfer_failed", call_id)
    steady(desk.ear, remote.ear)
    remote.bye()
    events.wait_ended(call_id)
    reply = tenant.post(post, {"call_id": call_id, "to": number})
    assert reply.status_code == 409 and reply.json()["state"] == "ended"
    for other in (agent, supervisor):
        other.close()


def test_the_outbound_policy_holds_for_transfers(tenant, provider, far_end, far_ends, desk_phones):
    """As many lines as the profile has, and not one more."""
    line = tenant.registered_profile(provider, max_calls=1)
    phone = desk_phones(tenant)
    events = tenant.events()
    call_id = tenant.make_call(line, far_end.number)["id"]
    phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call_id)
    for mode in ("blind", "attended", "refer"):
        reply = tenant.post("/api/transfer-call/", {"call_id": call_id, "mode": mode,
                                                    "to": far_ends().number})
        assert reply.status_code == 429 and reply.json()["code"] == "limit"
    assert tenant.call(call_id)["state"] == "answered"
    remote.bye()
    events.wait_ended(call_id)
