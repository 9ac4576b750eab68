"""Attended transfers, by ear: the consult call, swapped, completed, called off; and the recording across a transfer."""
import time

import pytest

from peers import ear
from peers.ear import Ear
from peers.talk import hear_each_other, quiet_after, steady, wait_no_calls
from peers.transfers import (
    act, consult, heard, hears_music, hears_none_of, hears_ringing, in_their_legs, linked, settled,
    taken, transfer, wait_transferred)

# ---- attended ----


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
