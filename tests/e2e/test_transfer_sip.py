"""Transfers that are asked for by SIP: REFER from and to the far end, a phone's own keys, Replaces."""
import time

import pytest

from peers import net
from peers.ear import Ear
from peers.talk import hear_each_other, steady, wait_no_calls
from peers.transfers import (
    act, hears_music, hears_ringing, in_their_legs, linked, refer, settled, taken, transfer,
    wait_transferred)

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
