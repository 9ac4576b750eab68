"""What is done to calls that are up, heard by real ears."""
import time
import uuid

import pytest

from peers import ear, net
from peers.ear import Ear
from peers.talk import hear_each_other, quiet_after, steady

EFFECT_S = 0.25  # from a reply to what is heard; the machine may be busy


@pytest.fixture
def talk(tenant, line, far_end, desk_phones):
    """talk(): a call between the tenant's admin at a desk phone (440 Hz) and somebody outside (620 Hz)."""
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


def leg(tenant, call_id, role):
    return next(leg for leg in tenant.call(call_id)["legs"]
                if leg["role"] == role and leg["state"] != "ended")


def mute(tenant, call_id, leg_id, muted):
    return tenant.ok("POST", "/api/mute-call/",
                     {"call_id": call_id, "leg_id": leg_id, "muted": muted}, 200)


def settled():
    """From when on the last request must have taken effect."""
    return time.monotonic() + EFFECT_S


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
