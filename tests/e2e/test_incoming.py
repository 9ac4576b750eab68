"""Calls from the outside: to phones, to the API, to numbers."""
import pytest

from peers import net
from peers.ear import Ear
from peers.talk import hear_each_other, wait_no_calls

ELSEWHERE = "Call completed elsewhere"


def ring_in(provider, far_end, line, tone=620, **more):
    """Someone outside calls the line through its provider."""
    return far_end.invite(provider.uri(line["username"]), ear=Ear(far_end.address, tone=tone),
                          **more)


def parked_line(tenant, provider, **fields):
    return tenant.registered_profile(provider, incoming={"type": "api"}, **fields)


@pytest.mark.core
def test_two_phones_ring_and_one_answers(tenant, provider, line, far_end, desk_phones):
    winner, loser = desk_phones(tenant, "winner"), desk_phones(tenant, "loser")
    events = tenant.events()
    caller = ring_in(provider, far_end, line)
    at_winner = winner.expect_invite(ear=Ear(winner.address, tone=440))
    at_loser = loser.expect_invite()
    at_loser.ring()
    at_winner.ring()
    caller.expect(180)
    created = events.wait_for("call.created")
    assert created["data"]["direction"] == "incoming"
    assert created["profile_id"] == line["id"] and created["data"]["from"] == far_end.user
    call_id = created["call_id"]
    events.wait_call("ringing", call_id)
    at_winner.answer()
    caller.expect(200)
    at_loser.expect("CANCEL")
    assert ELSEWHERE in at_loser.end_reason_header and "200" in at_loser.end_reason_header
    at_loser.expect("ACK")
    events.wait_call("answered", call_id)
    hear_each_other(caller.ear, at_winner.ear, at_winner.answered_at)
    caller.bye()
    at_winner.wait_ended()
    ended = events.wait_ended(call_id)
    assert ended["end_reason"] == "completed" and ended["hangup_by"] == "caller"
    row = tenant.log_row(call_id)
    assert row["direction"] == "incoming" and row["talk_s"] >= 1
    assert row["ringing_at"] and row["answered_at"]


def test_the_agent_hangs_up(tenant, provider, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    caller = ring_in(provider, far_end, line)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    caller.expect(200)
    call_id = events.wait_for("call.answered")["call_id"]
    at_desk.bye()
    caller.wait_ended()
    assert events.wait_ended(call_id)["hangup_by"] == "callee"


def test_baresip_phones_ring_and_one_answers(tenant, provider, line, far_end, phones):
    devices = [tenant.add_device(name) for name in ("one", "two")]
    first, second = (phones(d["username"], d["password"], f"{d['server']}:{d['port']}",
                            transport=t, tone=700 + 150 * i)
                     for i, (d, t) in enumerate(zip(devices, ("udp", "tcp"))))
    first.wait_registered()
    second.wait_registered()
    caller = ring_in(provider, far_end, line, tone=440)
    first.wait_ringing()
    second.wait_ringing()
    second.answer()
    caller.expect(200)
    first.wait_closed()
    caller.ear.wait_tone(850)
    since = caller.ear.audio()[-1].at
    caller.ear.wait_packets(50, since=since)
    assert caller.ear.hears_not(700, since=since)
    second.hangup()
    caller.wait_ended()
    assert second.hears(440, at_least_s=0.5)


@pytest.mark.core
def test_nobody_answers_and_the_caller_gives_up(tenant, provider, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    caller = ring_in(provider, far_end, line)
    at_desk = phone.expect_invite()
    at_desk.ring()
    caller.expect(180)
    caller.cancel()
    caller.expect(487)
    at_desk.expect("CANCEL")
    at_desk.expect("ACK")
    ended = events.wait_ended(events.wait_for("call.created")["call_id"])
    assert ended["end_reason"] == "canceled" and ended["hangup_by"] == "caller"
    tenant.log_row(ended["id"])
    assert [r["id"] for r in tenant.logs(status="missed")] == [ended["id"]]
    assert not (at_desk.end_reason_header and ELSEWHERE in at_desk.end_reason_header)


def test_without_any_phone_the_caller_is_told_at_once(tenant, provider, line, far_end):
    events = tenant.events()
    caller = ring_in(provider, far_end, line)
    caller.expect(480)
    ended = events.wait_for("call.ended")["data"]
    assert ended["end_reason"] == "unavailable"
    tenant.log_row(ended["id"])
    assert [r["id"] for r in tenant.logs(status="missed")] == [ended["id"]]


@pytest.mark.parametrize("status, end_reason", [(486, "busy"), (603, "declined")])
def test_every_phone_refuses(tenant, provider, line, far_end, desk_phones, status, end_reason):
    one, two = desk_phones(tenant, "one"), desk_phones(tenant, "two")
    events = tenant.events()
    caller = ring_in(provider, far_end, line)
    one.expect_invite().reply(status)
    two.expect_invite().reply(status)
    caller.expect(status)
    assert events.wait_for("call.ended")["data"]["end_reason"] == end_reason


def test_one_phone_is_busy_and_the_other_goes_on_ringing(tenant, provider, line, far_end,
                                                         desk_phones):
    one, two = desk_phones(tenant, "one"), desk_phones(tenant, "two")
    caller = ring_in(provider, far_end, line)
    one.expect_invite().reply(486)
    at_two = two.expect_invite(ear=Ear(two.address, tone=440))
    at_two.ring()
    caller.expect(180)
    at_two.answer()
    caller.expect(200)
    hear_each_other(caller.ear, at_two.ear, at_two.answered_at)
    caller.bye()
    at_two.wait_ended()


# ---- parked for the API ----


@pytest.mark.core
def test_a_parked_call_waits_for_the_api(tenant, provider, far_end):
    line = parked_line(tenant, provider)
    events = tenant.events()
    caller = ring_in(provider, far_end, line)
    created = events.wait_for("call.created", profile_id=line["id"])
    caller.expect(180)
    assert [c["id"] for c in tenant.calls()] == [created["call_id"]]
    tenant.answer(created["call_id"], {"echo": True})
    caller.expect(200)
    events.wait_call("answered", created["call_id"])
    caller.ear.wait_tone(620)
    caller.bye()
    assert events.wait_ended(created["call_id"])["end_reason"] == "completed"


def test_a_parked_call_is_put_through_to_a_phone(tenant, provider, far_end, desk_phones):
    line, phone = parked_line(tenant, provider), desk_phones(tenant)
    events = tenant.events()
    caller = ring_in(provider, far_end, line)
    call_id = events.wait_for("call.created")["call_id"]
    assert phone.no_invite()
    tenant.answer(call_id, {"device": phone.device["id"]})
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    caller.expect(200)
    events.wait_call("answered", call_id)
    hear_each_other(caller.ear, at_desk.ear, at_desk.answered_at)
    at_desk.bye()
    caller.wait_ended()


def test_a_ringing_call_is_taken_by_the_api(tenant, provider, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    caller = ring_in(provider, far_end, line)
    at_desk = phone.expect_invite()
    at_desk.ring()
    caller.expect(180)
    tenant.answer(events.wait_for("call.created")["call_id"], {"echo": True})
    caller.expect(200)
    at_desk.expect("CANCEL")
    caller.ear.wait_tone(620)
    caller.bye()
    wait_no_calls(tenant)


@pytest.mark.parametrize("reason, status", [("busy", 486), ("declined", 603)])
def test_the_api_refuses_a_parked_call(tenant, provider, far_end, reason, status):
    line = parked_line(tenant, provider)
    events = tenant.events()
    caller = ring_in(provider, far_end, line)
    call_id = events.wait_for("call.created")["call_id"]
    assert tenant.hangup(call_id, reason=reason).status_code == 202
    caller.expect(status)
    ended = events.wait_ended(call_id)
    assert ended["end_reason"] == reason and ended["hangup_by"] == "api"


def test_an_answered_call_cannot_be_answered_again(tenant, provider, far_end):
    line = parked_line(tenant, provider)
    events = tenant.events()
    caller = ring_in(provider, far_end, line)
    call_id = events.wait_for("call.created")["call_id"]
    tenant.answer(call_id, {"echo": True})
    caller.expect(200)
    events.wait_call("answered", call_id)
    reply = tenant.post("/api/answer-call/", {"call_id": call_id, "connect": {"echo": True}})
    assert reply.status_code == 409 and reply.json()["state"] == "answered"
    caller.bye()


def test_what_a_live_call_does_not_have_is_not_the_calls_end(tenant, provider, far_end):
    line = parked_line(tenant, provider)
    events = tenant.events()
    caller = ring_in(provider, far_end, line)
    call_id = events.wait_for("call.created")["call_id"]
    nothing = "0198a1b2-0000-7000-8000-000000000002"
    for path, member, value in (
            ("answer-call", "connect", {"device": nothing}),
            ("answer-call", "connect", {"number": "100", "profile_id": nothing}),
            ("hangup-call", "leg_id", nothing)):
        reply = tenant.post(f"/api/{path}/", {"call_id": call_id, member: value})
        assert reply.status_code == 400 and member in reply.json(), (path, value, reply.text)
    assert tenant.call(call_id)["state"] == "ringing"
    caller.cancel()


# ---- other ways in ----


def test_an_incoming_call_goes_out_again_to_a_number(tenant, provider, far_ends):
    outside, mobile = far_ends(), far_ends()
    line = tenant.registered_profile(provider,
                                     incoming={"type": "number", "number": mobile.number})
    events = tenant.events()
    caller = ring_in(provider, outside, line)
    at_mobile = mobile.expect_invite(ear=Ear(mobile.address, tone=440))
    at_mobile.ring()
    caller.expect(180)
    at_mobile.answer()
    caller.expect(200)
    hear_each_other(caller.ear, at_mobile.ear, at_mobile.answered_at)
    at_mobile.bye()
    caller.wait_ended()
    assert events.wait_for("call.ended")["data"]["direction"] == "incoming"


def test_an_incoming_call_rings_another_user(tenant, provider, far_end, desk_phones):
    colleague = tenant.add_user("agent")
    phone, own = desk_phones(colleague), desk_phones(tenant)
    line = tenant.registered_profile(provider,
                                     incoming={"type": "user", "user_id": colleague.user["id"]})
    caller = ring_in(provider, far_end, line)
    at_colleague = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    caller.expect(200)
    assert own.no_invite()
    at_colleague.bye()
    caller.wait_ended()


def test_an_invite_without_an_offer_is_answered_with_one(tenant, provider, far_end):
    line = parked_line(tenant, provider)
    events = tenant.events()
    call = far_end.invite(provider.uri(line["username"]), ear=Ear(far_end.address, tone=620),
                          sdp=None)
    call.auto_ack = False
    tenant.answer(events.wait_for("call.created")["call_id"], {"echo": True})
    offer = call.expect(200)
    assert "m=audio" in offer.body
    ack = call.request("ACK", cseq=offer.cseq, send=False)
    ack.add("content-type", "application/sdp")
    ack.body = call.ear.sdp(codecs=["PCMU"])
    far_end.send(ack, call.destination)
    call.ear.wait_tone(620)
    call.bye()


@pytest.mark.timeout(75)
def test_a_200_that_nobody_acknowledges_ends_the_call(tenant, provider, far_end):
    line = parked_line(tenant, provider)
    events = tenant.events()
    call = ring_in(provider, far_end, line)
    call.auto_ack = False
    call_id = events.wait_for("call.created")["call_id"]
    tenant.answer(call_id, {"echo": True})
    call.expect(200)
    call.expect(200)
    call.expect(200)  # RFC 3261 13.3.1.4: sent again until the ACK
    call.expect("BYE", timeout=45)
    assert events.wait_ended(call_id)["end_reason"] != "interrupted"
    wait_no_calls(tenant)


def test_the_last_ack_may_be_late(tenant, provider, far_end):
    line = parked_line(tenant, provider)
    events = tenant.events()
    call = ring_in(provider, far_end, line)
    call.auto_ack = False
    call_id = events.wait_for("call.created")["call_id"]
    tenant.answer(call_id, {"echo": True})
    call.expect(200)
    second = call.expect(200)
    call.ack(second)
    call.ear.wait_tone(620)
    call.ear.wait_packets(50)
    assert call.ear.dropouts(620, since=call.ear.audio()[-50].at) == 0
    call.bye()
    events.wait_ended(call_id)


def test_the_callers_name_is_shown(tenant, provider, line, agents, desk_phones):
    caller_agent = agents("+493088", name="Ada Lovelace")
    phone = desk_phones(tenant)
    events = tenant.events()
    ring_in(provider, caller_agent, line)
    created = events.wait_for("call.created")["data"]
    assert created["from"] == "+493088" and created["from_name"] == "Ada Lovelace"
    at_desk = phone.expect_invite()
    assert "Ada Lovelace" in at_desk.invite.get("from") and "+493088" in at_desk.invite.get("from")
    at_desk.reply(486)


def test_a_hidden_caller_stays_hidden(tenant, provider, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    ring_in(provider, far_end, line, from_uri="sip:anonymous@anonymous.invalid",
            headers=[("privacy", "id"), ("p-asserted-identity", "<sip:+4930777@example.com>")])
    created = events.wait_for("call.created")["data"]
    assert "+4930777" not in (created["from"] or "")
    at_desk = phone.expect_invite()
    assert "+4930777" not in at_desk.invite.get("from")
    at_desk.reply(486)


@pytest.mark.core
def test_sipp_calls_ten_times(tenant, provider, sipp, desk_phones):
    line = tenant.registered_profile(provider, max_calls=10)
    phone = desk_phones(tenant)
    phone.on_invite = lambda call: answer_silently(phone, call)
    events = tenant.events()
    caller = sipp("call_bye.xml", calls=10, rate=10, to=f"{provider.address}:5060",
                  service=line["username"])
    assert caller.wait(30) == 0, caller.errors()
    net.until(lambda: len(events.all("call.ended")) == 10, 10, "ten calls ended")
    reasons = [m["data"]["end_reason"] for m in events.all("call.ended")]
    assert reasons == ["completed"] * 10
    assert len({m["call_id"] for m in events.all("call.ended")}) == 10


def answer_silently(agent, call):
    call.ear = Ear(agent.address, tone=None)
    call.ring()
    call.answer()
