"""Blind transfers, by ear: who hears whom before, during and after; and which cannot be."""
import uuid

import pytest

from peers import net
from peers.ear import Ear
from peers.talk import hear_each_other, steady, wait_no_calls
from peers.transfers import (
    act, hears_music, hears_ringing, in_their_legs, linked, settled, taken, transfer,
    wait_transferred)

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
