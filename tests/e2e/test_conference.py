"""Conference rooms, by ear: every party sends a tone of its own, and every ear is asked for each."""
import time

from peers import net
from peers.ear import Ear
from peers.rooms import (TONES, TOPICS, Party, conference, everybody_hears_everybody, heard,
                         hears_music, look, refused)
from peers.talk import wait_no_calls


def test_three_in_a_room_hear_each_other(tenant, add, room):
    events = tenant.events(TOPICS)
    parties = [add(room, tone) for tone in TONES[:3]]
    everybody_hears_everybody(parties)
    state = look(tenant, room)
    assert state["state"] == "active" and len(state["members"]) == 3
    assert [m["call_id"] for m in state["members"]] == [p.call_id for p in parties]
    assert len(events.all("conference.member_joined")) == 3
    events.wait_for("conference.talking",
                    lambda e: all(m["talking"] for m in e["data"]["members"]))
    assert all(e["seq"] is None for e in events.all("conference.talking"))
    for party in parties:
        party.call.bye()
    ended = events.wait_for("conference.ended")
    assert ended["data"]["state"] == "ended" and ended["data"]["members"] == []
    assert tenant.get(f"/api/conferences/{room}/").status_code == 404
    # One row for the room, one for each member, and the filter finds all of them.
    row = tenant.log_row(state["call_id"])
    assert row["direction"] == "conference" and row["room"] == room
    for party in parties:
        assert tenant.log_row(party.call_id)["room"] == room
    logged = {entry["id"] for entry in tenant.logs(type="conference")}
    assert logged == {row["id"], *(p.call_id for p in parties)}


def test_mute_deaf_hold_and_kick(tenant, add, room):
    first, second, third = parties = [add(room, tone) for tone in TONES[:3]]

    def member(action, party):
        state = conference(tenant, room, action, member_id=party.member_id)
        return next((m for m in state["members"] if m["id"] == party.member_id), None)

    assert member("mute", first)["muted"]
    assert heard(second.ear, {third.ear.tone}) == {third.ear.tone}
    assert heard(first.ear, {second.ear.tone, third.ear.tone}) == {second.ear.tone, third.ear.tone}
    assert not member("unmute", first)["muted"]
    assert member("deaf", first)["deaf"]
    assert heard(first.ear, set()) == set()
    assert heard(second.ear, {first.ear.tone, third.ear.tone}) == {first.ear.tone, third.ear.tone}
    member("undeaf", first)
    assert member("hold", first)["held"]
    net.until(lambda: first.ear.hears_not(third.ear.tone, time.monotonic() - 0.3), 3, "nobody")
    hears_music(first.ear)
    assert heard(second.ear, {third.ear.tone}) == {third.ear.tone}
    member("resume", first)
    everybody_hears_everybody(parties)
    assert member("kick", first) is None
    first.call.wait_ended(timeout=15)
    everybody_hears_everybody([second, third])
    refused(tenant, room, "mute", 404, "not_found", member_id=first.member_id)
    conference(tenant, room, "end")
    second.call.wait_ended()
    third.call.wait_ended()
    wait_no_calls(tenant)


def test_a_call_of_two_becomes_a_room_without_a_gap(tenant, line, far_end, desk_phones, add, room):
    phone = desk_phones(tenant)
    events = tenant.events(TOPICS)
    call = tenant.make_call(line, far_end.number)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=TONES[0])).answer()
    outside = far_end.expect_invite(ear=Ear(far_end.address, tone=TONES[1]))
    outside.answer()
    events.wait_call("answered", call["id"])
    pairs = ((at_desk.ear, outside.ear), (outside.ear, at_desk.ear))
    for listener, speaker in pairs:
        listener.wait_tone(speaker.tone)
    since = max(listener.audio()[-1].at for listener, _ in pairs)
    for listener, _ in pairs:
        listener.wait_packets(25)
    state = conference(tenant, room, "join", call_id=call["id"])
    assert {m["call_id"] for m in state["members"]} == {call["id"]}
    assert [m["moderator"] for m in state["members"]] == [True, False]
    for listener, speaker in pairs:
        listener.wait_packets(75)
        assert listener.lost(since) == 0
        assert listener.longest_gap(since) < 0.15
        assert listener.dropouts(speaker.tone, since) <= 5, "at most 100 ms while it is moved"
    third = add(room, TONES[2])
    for listener, other in pairs:
        assert heard(listener, {other.tone, TONES[2]}) == {other.tone, TONES[2]}
    # Who made the call goes; the others stay.
    at_desk.bye()
    assert heard(outside.ear, {TONES[2]}) == {TONES[2]}
    assert tenant.call(call["id"])["state"] == "answered"
    outside.bye()
    assert events.wait_ended(call["id"])["end_reason"] == "completed"
    third.call.bye()
    wait_no_calls(tenant)


def test_who_does_not_answer_is_told(tenant, line, far_end, room):
    events = tenant.events(TOPICS)
    conference(tenant, room, "add", 202, profile_id=line["id"], to=far_end.number)
    far_end.expect_invite().reply(486)
    failed = events.wait_for("conference.member_failed")
    assert failed["detail"]["sip_code"] == 486 and failed["detail"]["end_reason"] == "busy"
    assert tenant.get(f"/api/conferences/{room}/").status_code == 404


def test_who_still_rings_when_the_room_is_ended_was_called_off(tenant, line, far_end, add, room):
    events = tenant.events(TOPICS)
    first = add(room, 440)
    ringing = conference(tenant, room, "add", 202, profile_id=line["id"],
                         to=far_end.number)["call"]["id"]
    other = far_end.expect_invite()
    other.ring()
    events.wait_call("ringing", ringing)
    conference(tenant, room, "end")
    other.expect("CANCEL")
    first.call.wait_ended()
    ended = events.wait_ended(ringing)
    assert (ended["end_reason"], ended["sip_code"], ended["hangup_by"]) == ("canceled", 487, "api")
    told = events.wait_for("conference.member_failed")["detail"]
    assert (told["call_id"], told["end_reason"]) == (ringing, "canceled")
    assert tenant.log_row(ringing)["status"] == "canceled"


def test_a_caller_says_the_pin(tenant, provider, far_end, room):
    line = tenant.registered_profile(provider, incoming={"type": "conference", "room": room})
    conference(tenant, room, "create", 201, pin="1234", max_members=2)
    events = tenant.events(TOPICS)
    caller = far_end.invite(provider.uri(line["username"]), ear=Ear(far_end.address, tone=None))
    caller.expect(200)
    caller.ear.wait_packets(20)
    assert look(tenant, room)["members"] == []
    for digit in "9999#1234#":
        caller.ear.press(digit)
    joined = events.wait_for("conference.member_joined", timeout=20)
    assert joined["data"]["members"][0]["name"]
    assert events.all("call.dtmf") == [], "a PIN is nobody's business"
    caller.bye()
    events.wait_for("conference.ended")
    assert look(tenant, room)["state"] == "open", "it keeps its PIN"
    conference(tenant, room, "end")


def test_three_wrong_pins(tenant, provider, far_end, room):
    line = tenant.registered_profile(provider, incoming={"type": "conference", "room": room})
    conference(tenant, room, "create", 201, pin="1234")
    caller = far_end.invite(provider.uri(line["username"]), ear=Ear(far_end.address, tone=None))
    caller.expect(200)
    caller.ear.wait_packets(20)
    for digit in "1#2#3#":
        caller.ear.press(digit)
    caller.wait_ended(timeout=20)
    assert look(tenant, room)["members"] == []


def test_a_phone_is_rung_and_a_full_or_locked_room_is_closed(tenant, tenants, line, far_end,
                                                             desk_phones, room):
    phone = desk_phones(tenant)
    conference(tenant, room, "create", 201, max_members=2)
    refused(tenant, room, "create", 409, "room_exists")
    ringing = conference(tenant, room, "join", 202, connect={"device": phone.device["id"]})
    assert ringing["call"]["room"] is None or ringing["call"]["room"] == room
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=TONES[0])).answer()
    net.until(lambda: look(tenant, room)["members"], 5, "the phone in the room")
    conference(tenant, room, "lock")
    refused(tenant, room, "add", 409, "room_locked", profile_id=line["id"], to=far_end.number)
    conference(tenant, room, "unlock")
    other = tenant.make_call(line, far_end.number, {"conference": room})
    outside = far_end.expect_invite(ear=Ear(far_end.address, tone=TONES[1]))
    outside.answer()
    everybody_hears_everybody([Party(phone, at_desk), Party(far_end, outside)])
    refused(tenant, room, "join", 409, "room_full", connect={"device": "any"})
    agent, stranger = tenant.add_user("agent"), tenants()
    refused(agent, room, "mute", 403, "permission_denied",
            member_id=look(tenant, room)["members"][0]["id"])
    assert agent.ok("GET", "/api/conferences/")["results"] == []
    assert tenant.ok("GET", "/api/conferences/")["results"][0]["room"] == room
    for action in ("lock", "end"):
        refused(stranger, room, action, 404, "not_found")
    conference(tenant, room, "end")
    at_desk.wait_ended()
    outside.wait_ended()
    assert tenant.log_row(other["id"])["room"] == room


def test_bad_requests_are_named(tenant):
    for body, field in (({"action": "lock"}, "room"), ({"room": "a"}, "action"),
                        ({"room": "a", "action": "dance"}, "action"),
                        ({"room": "a/b", "action": "lock"}, "room"),
                        ({"room": "a", "action": "create", "pin": "12x"}, "pin"),
                        ({"room": "a", "action": "create", "max_members": 1}, "max_members"),
                        ({"room": "a", "action": "mute"}, "member_id"),
                        ({"room": "a", "action": "add"}, "to")):
        reply = tenant.post("/api/conference/", body)
        assert reply.status_code == 400 and field in reply.json(), (body, reply.text)


def test_a_snapshot_holds_rooms(tenant, room):
    conference(tenant, room, "create", 201)
    events = tenant.events(TOPICS)
    snapshot = events.wait_for("snapshot")
    assert [r["room"] for r in snapshot["conferences"]] == [room]
    conference(tenant, room, "end")


def test_a_member_that_vanished_is_removed(tenant, add, room):
    """No packet for 30 s, and no goodbye either."""
    events = tenant.events(TOPICS)
    gone, stays = add(room, TONES[0]), add(room, TONES[1])
    gone.ear.close()
    stays.ear.wait_packets(25)
    left = events.wait_for("conference.member_left", timeout=45)
    assert [m["id"] for m in left["data"]["members"]] == [stays.member_id]
    assert events.wait_ended(gone.call_id)["end_reason"] == "media_failed"
    stays.call.bye()
