"""The harness proves itself: the peers find, hear and understand each other without the daemon."""
import time

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


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_baresip_answers_a_call_from_outside(provider, phones, far_end, transport):
    user = provider.add_user(net.token("user"), "secret")
    port = 5061 if transport == "tls" else 5060
    phone = phones(user, "secret", f"{provider.address}:{port}", transport=transport, tone=700,
                   trust=provider.tls.bundle)
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


@pytest.fixture
def caller(provider, agents):
    user = provider.add_user(net.token("user"), "secret")
    agent = agents(user, "secret", domain=provider.address)
    assert agent.register().status == 200
    return agent


@pytest.mark.parametrize("status, phrase", [(486, "Busy Here"), (603, "Decline")])
def test_sipp_refuses(provider, sipp, caller, status, phrase):
    refuser = sipp("refuse.xml", words={"status": status, "phrase": phrase})
    number = provider.add_number(net.digits(8), refuser.address)
    caller.invite(provider.uri(number), ear=Ear(caller.address)).expect(status)
    assert refuser.wait() == 0


def test_sipp_rings_until_it_is_cancelled(provider, sipp, caller):
    ringing = sipp("ring.xml")
    number = provider.add_number(net.digits(8), ringing.address)
    call = caller.invite(provider.uri(number), ear=Ear(caller.address))
    call.expect(180)
    call.cancel()
    call.expect(487)
    assert ringing.wait() == 0


@pytest.mark.parametrize("scenario, provisional", [("early.xml", 183), ("fork.xml", 180)])
def test_sipp_answers_in_other_ways(provider, sipp, caller, scenario, provisional):
    far = sipp(scenario)
    number = provider.add_number(net.digits(8), far.address)
    call = caller.invite(provider.uri(number), ear=Ear(caller.address))
    call.expect(provisional)
    call.expect(200)
    time.sleep(0.3)  # the provider's workers may let a BYE overtake the ACK, which SIPp takes ill
    call.bye()
    assert far.wait() == 0


def test_sipp_redirects(provider, sipp, caller):
    far = sipp("redirect.xml", words={"elsewhere": "sip:x@127.0.0.1"})
    number = provider.add_number(net.digits(8), far.address)
    moved = caller.invite(provider.uri(number), ear=Ear(caller.address)).expect(302)
    assert "sip:x@127.0.0.1" in moved.get("contact")
    assert far.wait() == 0


def test_sipp_calls_an_account(provider, sipp, caller):
    from_outside = sipp("call_bye.xml", calls=3, to=f"{provider.address}:5060",
                        service=caller.user)
    for _ in range(3):
        call = caller.expect_invite(ear=Ear(caller.address, tone=None))
        call.ring()
        call.answer()
    assert from_outside.wait() == 0


def test_the_agent_lets_a_200_cross_the_cancel(provider, caller, far_end):
    call = caller.invite(provider.uri(far_end.number), ear=Ear(caller.address))
    remote = far_end.expect_invite(ear=Ear(far_end.address))
    remote.auto_cancel = False
    remote.ring()
    call.expect(180)
    call.cancel()
    remote.reply(200, request=remote.expect("CANCEL"))
    remote.answer(wait_ack=False)
    call.expect(lambda m: m.status == 200 and m.method == "INVITE")
    remote.expect("ACK")
    call.bye()
    remote.wait_ended()


def test_the_agent_sends_a_200_until_it_is_acknowledged(provider, caller, far_end):
    call = caller.invite(provider.uri(far_end.number), ear=Ear(caller.address))
    call.auto_ack = False
    remote = far_end.expect_invite(ear=Ear(far_end.address))
    remote.answer(wait_ack=False)
    call.expect(200)
    call.ack(call.expect(200))
    remote.expect("ACK")
    count = len(call.find(200))
    remote.ear.wait_packets(75)
    assert len(call.find(200)) == count, "no more after the ACK"
    remote.bye()


def test_baresip_speaks_wide_codecs_to_itself(provider, phones):
    for codec in ("G722", "opus"):
        users = [provider.add_user(net.token("user"), "secret") for _ in range(2)]
        one = phones(users[0], "secret", provider.address, codec=codec, tone=700)
        two = phones(users[1], "secret", provider.address, codec=codec, tone=850, answer="auto")
        one.wait_registered()
        two.wait_registered()
        one.dial(users[1])
        one.wait_answered()
        one.wait_recorded(1)
        two.wait_recorded(1)
        one.hangup()
        two.wait_closed()
        one.wait_closed()
        assert one.hears(850, at_least_s=0.8) and two.hears(700, at_least_s=0.8)


def test_the_contract_check_finds_what_is_wrong(tmp_path):
    from peers.contract import Contract
    (tmp_path / "openapi.yaml").write_text("""
paths:
  /api/things/{id}/:
    get:
      responses:
        "200":
          content:
            application/json:
              schema: {$ref: "#/components/schemas/Thing"}
components:
  schemas:
    Thing: {type: object, required: [id], properties: {id: {type: string}}}
""")
    contract = Contract(tmp_path / "openapi.yaml")

    class Reply:
        status_code, headers, content = 200, {"Content-Type": "application/json"}, b"{}"
        body = {"id": "x"}

        def json(self):
            return self.body
    reply = Reply()
    contract.check("GET", "/api/things/7/", reply)
    contract.check("GET", "/api/things/7", reply)
    for broken in ({}, {"id": 7}, []):
        reply.body = broken
        with pytest.raises(AssertionError):
            contract.check("GET", "/api/things/7/", reply)
    reply.body, reply.status_code = {"id": "x"}, 201
    with pytest.raises(AssertionError):
        contract.check("GET", "/api/things/7/", reply)


def test_ears_send_digits_between_their_tones():
    left, right = Ear(net.fresh_address(), tone=440), Ear(net.fresh_address(), tone=620)
    try:
        left.accept(right.sdp())
        right.accept(left.sdp())
        left.start()
        right.start()
        right.wait_tone(440)
        for digit in "15#5":
            left.press(digit)
        net.until(lambda: len(right.digits()) == 4, 5, "four digits")
        assert right.digits() == "15#5"
        right.wait_packets(10)
        assert right.hears_not(620)
    finally:
        left.close()
        right.close()
