"""Calls both ways over each transport to the provider, with each digest."""
import pytest

from peers import net
from peers.ear import Ear
from peers.talk import wait_no_calls


@pytest.fixture(params=["MD5", "SHA-256"])
def home(request, providers):
    return providers(algorithm=request.param)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_calls_go_out_and_come_in(tenant, home, far_ends, transport):
    far = far_ends(at=home)
    line = tenant.registered_profile(home, transport=transport, incoming={"type": "api"})
    events = tenant.events()

    call = tenant.make_call(line, far.number, {"echo": True})
    remote = far.expect_invite(ear=Ear(far.address, tone=620))
    remote.ring()
    events.wait_call("ringing", call["id"])
    remote.answer()
    assert remote.ear.wait_tone(620) - remote.answered_at < 0.3
    remote.bye()
    assert events.wait_ended(call["id"])["hangup_by"] == "callee"

    incoming = far.invite(home.uri(line["username"]), ear=Ear(far.address, tone=440))
    created = events.wait_for("call.created", lambda m: m["data"]["direction"] == "incoming")
    call_id = created["call_id"]
    tenant.answer(call_id, {"echo": True})
    incoming.expect(200)
    incoming.ear.wait_tone(440)
    assert tenant.hangup(call_id).status_code == 202
    incoming.wait_ended()
    events.wait_ended(call_id)
    wait_no_calls(tenant)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_call_is_cancelled_over_a_stream(tenant, provider, far_end, transport):
    line = tenant.registered_profile(provider, transport=transport)
    events = tenant.events()
    call = tenant.make_call(line, far_end.number, {"echo": True})
    remote = far_end.expect_invite()
    remote.ring()
    events.wait_call("ringing", call["id"])
    tenant.hangup(call["id"])
    remote.expect("CANCEL")
    assert events.wait_ended(call["id"])["end_reason"] == "canceled"


@pytest.mark.timeout(90)
@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_broken_stream_is_rebuilt(tenant, providers, transport):
    """The provider's connections are cut: the profile registers again at once, as another flow."""
    provider = providers(own=True)
    line = tenant.registered_profile(provider, transport=transport)
    before = provider.count("REGISTER", line["username"])
    provider.stop()
    provider.start()
    # A Kamailio that was started again knows nobody: what it has now came after.
    net.until(lambda: provider.contacts(line["username"]), 60, "the profile at the provider again",
              0.1)
    net.until(lambda: tenant.profile(line["id"])["registration"]["state"] == "registered", 5,
              "registered here, too")
    assert provider.count("REGISTER", line["username"]) >= 1 and before >= 2


def test_digits_pass_through_a_relayed_call(tenant, provider, far_end, desk_phones):
    line = tenant.registered_profile(provider)
    phone = desk_phones(tenant)
    events = tenant.events()
    call = tenant.make_call(line, far_end.number)
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
    events.wait_call("answered", call["id"])
    remote.ear.wait_tone(440)
    for digit in "159#":
        at_desk.ear.press(digit)
    net.until(lambda: len(remote.ear.digits()) >= 4, 5, "four digits")
    remote.ear.wait_packets(25)
    assert remote.ear.digits() == "159#"
    assert at_desk.ear.digits() == ""
    remote.bye()
