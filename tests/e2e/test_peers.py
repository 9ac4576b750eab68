"""The harness proves itself: the peers find, hear and understand each other without the daemon."""
import pytest

from peers import ear, net
from peers.ear import Ear
from peers.ua import UserAgent


def test_an_ear_tells_its_tone_from_others():
    mixed = ear.tone(440, 1.0) + ear.tone(620, 1.0)
    assert ear.hears(ear.tone(440, 1.0), 440)
    assert not ear.hears(ear.tone(620, 1.0), 440)
    assert ear.hears_not(ear.tone(620, 1.0), 440)
    assert not ear.hears_not(mixed, 440), "a tone under another is not absent"
    assert not ear.hears(ear.tone(440, 1.0, level=0.001), 440), "too faint to count as heard"


def test_an_ear_counts_what_is_lost():
    with_gaps = Ear(net.fresh_address())
    sender = Ear(net.fresh_address(), tone=620)
    try:
        sender.accept(with_gaps.sdp())
        with_gaps.start()
        sender.start()
        with_gaps.wait_packets(25)
        assert with_gaps.lost() == 0 and with_gaps.dropouts(620) == 0
        with with_gaps._news:
            del with_gaps.packets[10:13]
        assert with_gaps.lost() == 3
    finally:
        sender.close()
        with_gaps.close()


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_the_provider_registers_and_connects_accounts(providers, algorithm):
    provider = providers(algorithm=algorithm)
    users = [provider.add_user(net.token("user"), "secret") for _ in range(2)]
    with UserAgent(net.fresh_address(), users[0], "secret", domain=provider.address) as alice, \
            UserAgent(net.fresh_address(), users[1], "secret", domain=provider.address) as bob:
        assert alice.register().status == 200
        assert bob.register().status == 200
        assert provider.count("REGISTER", users[1]) == 2, "one without, one with credentials"
        assert bob.contact in provider.contacts(users[1])
        call = alice.invite(provider.uri(users[1]), ear=Ear(alice.address, tone=440))
        taken = bob.expect_invite(ear=Ear(bob.address, tone=620))
        taken.ring()
        call.expect(180)
        taken.answer()
        call.expect(200)
        assert taken.ear.wait_tone(440) - taken.answered_at < 0.3
        assert call.ear.wait_tone(620) - taken.answered_at < 0.3
        assert taken.ear.hears_not(620) and call.ear.hears_not(440)
        taken.bye()
        call.wait_ended()


def test_the_provider_refuses_a_wrong_password(provider):
    user = provider.add_user(net.token("user"), "secret")
    with UserAgent(net.fresh_address(), user, "wrong", domain=provider.address) as agent:
        assert agent.register().status == 401
        assert provider.contacts(user) == []


@pytest.mark.parametrize("mode, status, header", [
    ("reply 503/7 Overloaded", 503, ("retry-after", "7")),
    ("min 90", 423, ("min-expires", "90")),
    ("after 403 Not from here", 403, None)])
def test_the_provider_misbehaves_on_request(provider, mode, status, header):
    user = provider.add_user(net.token("user"), "secret")
    with UserAgent(net.fresh_address(), user, "secret", domain=provider.address) as agent:
        provider.mode(user, mode)
        response = agent.register(expires=60)
        assert response.status == status
        assert header is None or response.get(header[0]) == header[1]
        provider.mode(user, None)
        assert agent.register(expires=60).status == 200


def test_the_provider_dies_and_comes_back(providers):
    provider = providers(own=True)
    user = provider.add_user(net.token("user"), "secret")
    with UserAgent(net.fresh_address(), user, "secret", domain=provider.address) as agent:
        assert agent.register().status == 200
        provider.kill()
        with pytest.raises(TimeoutError):
            agent.register(timeout=0.5)
        provider.start()
        assert provider.contacts(user) == []
        assert agent.register().status == 200, "the account is still known"


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_baresip_registers_and_each_side_hears_the_other(provider, phones, far_end, transport):
    user = provider.add_user(net.token("user"), "secret")
    port = 5061 if transport == "tls" else 5060
    phone = phones(user, "secret", f"{provider.address}:{port}", transport=transport, tone=700,
                   trust=provider.tls.bundle)
    phone.wait_registered()
    phone.dial(far_end.number)
    call = far_end.expect_invite(ear=Ear(far_end.address, tone=440))
    call.ring()
    call.answer()
    phone.wait_answered()
    call.ear.wait_tone(700)
    call.ear.wait_packets(50)
    call.bye()
    phone.wait_closed()
    assert call.ear.hears_not(440)
    assert phone.hears(440, at_least_s=0.5)
    assert not phone.hears(700)


def test_baresip_answers_a_call_from_outside(provider, phones, far_end):
    user = provider.add_user(net.token("user"), "secret")
    phone = phones(user, "secret", provider.address, tone=700)
    phone.wait_registered()
    call = far_end.invite(provider.uri(user), ear=Ear(far_end.address, tone=440))
    phone.wait_ringing()
    call.expect(180)
    phone.answer()
    call.expect(200)
    call.ear.wait_tone(700)
    phone.hangup()
    call.wait_ended()


def test_sipp_answers_and_calls(provider, sipp):
    sink = sipp("answer.xml")
    provider.add_number("4930777", sink.address, sink.port)
    user = provider.add_user(net.token("user"), "secret")
    with UserAgent(net.fresh_address(), user, "secret", domain=provider.address) as agent:
        call = agent.invite(provider.uri("4930777"), ear=Ear(agent.address))
        call.expect(180)
        call.expect(200)
        call.bye()
    assert sink.wait() == 0
