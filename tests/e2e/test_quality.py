"""How a call is heard: told while it lasts, and in the log."""
import pytest

from peers import net
from peers.ear import Ear
from peers.talk import hear_each_other

LOST = 0.05


def quality(tenant, call_id, role):
    return next(leg["quality"] for leg in tenant.call(call_id)["legs"] if leg["role"] == role)


@pytest.fixture
def up(tenant, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    call_id = tenant.make_call(line, far_end.number)["id"]
    desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call_id)
    hear_each_other(desk.ear, remote.ear, remote.answered_at)
    return call_id, events, desk, remote


@pytest.mark.core
def test_lost_packets_are_counted_for_the_leg_that_loses_them(tenant, up):
    """What the far end sends loses every twentieth packet; the phone's loses none."""
    call_id, events, desk, remote = up
    remote.ear.loss = LOST
    sent, lost = remote.ear.sent, remote.ear.lost_here
    remote.ear.wait_packets(600, timeout=30)
    share = 100 * (remote.ear.lost_here - lost) / (remote.ear.sent - sent)
    assert 2 < share < 9
    remote.ear.loss = 0

    def told():
        heard = quality(tenant, call_id, "remote")
        return heard if heard["loss_pct"] else None
    heard = net.until(told, 15, "a report with the losses", 0.5)
    all_of_it = 100 * remote.ear.lost_here / remote.ear.sent
    assert abs(heard["loss_pct"] - all_of_it) < 1.5
    best = quality(tenant, call_id, "agent")
    assert best["loss_pct"] == 0
    assert 1 <= heard["mos"] < best["mos"] <= 4.5, "it is heard worse"
    assert best["mos"] > 4.2, "a call without fault"
    assert heard["jitter_ms"] < 30 and best["jitter_ms"] < 30
    remote.bye()
    events.wait_ended(call_id)
    logged = {leg["role"]: leg["quality"] for leg in tenant.log_row(call_id)["legs"]}
    assert abs(logged["remote"]["loss_pct"] - 100 * remote.ear.lost_here / remote.ear.sent) < 1.5
    assert logged["agent"]["loss_pct"] == 0 and logged["agent"]["mos"] > 4.2


def test_jitter_is_measured(tenant, up):
    call_id, events, desk, remote = up
    remote.ear.jitter_s = 0.03

    def told():
        heard = quality(tenant, call_id, "remote")
        return heard if (heard["jitter_ms"] or 0) > 5 else None
    heard = net.until(told, 20, "a report with the jitter", 0.5)
    assert heard["jitter_ms"] < 40 and heard["loss_pct"] == 0
    assert quality(tenant, call_id, "agent")["jitter_ms"] < heard["jitter_ms"]
    remote.bye()
    events.wait_ended(call_id)


@pytest.mark.parametrize("route, fields", [("hold-call", {"action": "hold"}),
                                           ("mute-call", {"muted": True}),
                                           ("record-call", {"action": "start"})])
def test_whatever_is_done_to_a_call_its_quality_is_known(tenant, line, up, route, fields):
    call_id, events, desk, remote = up
    tenant.patch(f"/api/sip-profiles/{line['id']}/", {"record": "on_demand"})
    agent = next(leg for leg in tenant.call(call_id)["legs"] if leg["role"] == "agent")
    tenant.ok("POST", f"/api/{route}/", {"call_id": call_id, "leg_id": agent["id"], **fields}, 200)
    for role in ("agent", "remote"):
        net.until(lambda: quality(tenant, call_id, role)["mos"], 20, f"{role} is known", 0.5)
    remote.bye()
    events.wait_ended(call_id)
    for leg in tenant.log_row(call_id)["legs"]:
        assert leg["quality"]["mos"] > 4
