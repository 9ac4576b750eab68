"""Providers and phones that are odd, yet real: what comes of them in the call, its events and its log."""
import pytest

from peers import net
from peers.ear import Ear
from peers.talk import hear_each_other, steady, wait_no_calls
from peers.ua import Call, UserAgent, bare


@pytest.fixture
def trunk(tenant, agents):
    """(far, profile): a provider that is a user agent of the tests, with no proxy between."""
    far = agents("far")
    profile = tenant.add_profile(server=far.address, user="trunk", register=False,
                                 incoming={"type": "api"})
    return far, profile


def call_out(tenant, profile, number="+4930123"):
    return tenant.make_call(profile, number, {"echo": True})["id"]


def check_completed(tenant, events, call_id, by="callee"):
    ended = events.wait_ended(call_id)
    assert ended["end_reason"] == "completed" and ended["hangup_by"] == by
    row = tenant.log_row(call_id)
    assert row["end_reason"] == "completed" and row["answered_at"]
    wait_no_calls(tenant)


def bare_reply(call, status, sdp=True, drop=(), **more):
    """An answer from which some headers are left out."""
    response = call.ua.response_to(call.invite, status, call.local_tag)
    if sdp:
        response.add("content-type", "application/sdp")
        response.body = call.ear.sdp()
    for name, value in more.items():
        response.add(name, value)
    response.headers = [(n, v) for n, v in response.headers if n not in drop]
    call.final_sent = status >= 200
    call.ua.send(response, call.invite.source)


def test_a_200_without_contact(tenant, trunk):
    far, profile = trunk
    events = tenant.events()
    call_id = call_out(tenant, profile)
    remote = far.expect_invite(ear=Ear(far.address, tone=620))
    remote.ear.accept(remote.invite.body)
    remote.ear.start()
    bare_reply(remote, 200)
    remote.expect("ACK")
    remote.ear.wait_tone(620)
    events.wait_call("answered", call_id)
    tenant.hangup(call_id)
    remote.expect("BYE")
    check_completed(tenant, events, call_id, "api")


def test_progress_without_media_then_ringing(tenant, trunk):
    """183 without a description is no early media; the 180 rings; the events say no more than that."""
    far, profile = trunk
    events = tenant.events()
    call_id = call_out(tenant, profile)
    remote = far.expect_invite(ear=Ear(far.address, tone=620))
    remote.reply(183)
    remote.reply(181)
    remote.ring()
    events.wait_call("ringing", call_id)
    remote.ring()
    remote.answer()
    events.wait_call("answered", call_id)
    remote.ear.wait_tone(620)
    remote.bye()
    check_completed(tenant, events, call_id)
    kinds = [m["type"] for m in events.all(call_id=call_id) if m["type"] != "call.updated"]
    assert kinds == ["call.created", "call.ringing", "call.answered", "call.ended"]


@pytest.mark.parametrize("winner", ["first", "second"])
def test_two_early_dialogs_are_heard_and_one_answers(tenant, agents, desk_phones, trunk, winner):
    """Forked behind the provider: the newest is heard, the one that answers is the call."""
    far, profile = trunk
    phone = desk_phones(tenant)
    events = tenant.events()
    call_id = tenant.make_call(profile, "+4930123")["id"]
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    first = Ear(net.fresh_address(), tone=620)
    second = Ear(net.fresh_address(), tone=850)
    remote = far.expect_invite()
    for fork, tag in ((first, "forkone"), (second, "forktwo")):
        fork.accept(remote.invite.body)
        fork.start()
        remote.reply(183, sdp=fork.sdp(), to_tag=tag)
        at_desk.ear.wait_tone(fork.tone)
    assert tenant.call(call_id)["state"] == "early_media"
    chosen, other = (first, second) if winner == "first" else (second, first)
    remote.ear = chosen
    remote.local_tag = "forkone" if winner == "first" else "forktwo"
    remote.reply(200, sdp=chosen.sdp())
    ack = remote.expect("ACK")
    assert ack.tag("to") == remote.local_tag
    events.wait_call("answered", call_id)
    at_desk.ear.wait_tone(chosen.tone, since=events.wait_call("answered", call_id)["_at"])
    other.close()
    steady(at_desk.ear, chosen)
    remote.bye()
    check_completed(tenant, events, call_id)


def test_an_offer_is_asked_for_in_the_middle(tenant, trunk):
    """A re-INVITE without a description: the 200 offers, the ACK answers, the sound goes on."""
    far, profile = trunk
    events = tenant.events()
    call_id = call_out(tenant, profile)
    remote = far.expect_invite(ear=Ear(far.address, tone=620)).answer()
    remote.ear.wait_tone(620)
    remote.auto_ack = False
    request = remote.request("INVITE", [("contact", f"<{far.contact}>")], send=False)
    remote._reinvites[request.cseq] = request
    far.send(request, remote.destination or remote.invite.source, resend="provisional")
    offer = remote.expect(lambda m: m.status == 200 and m.cseq == request.cseq)
    assert "m=audio" in offer.body
    ack = remote.request("ACK", cseq=offer.cseq, send=False)
    ack.add("content-type", "application/sdp")
    ack.body = remote.ear.sdp()
    far.send(ack, remote.destination)
    remote.ear.wait_packets(10)
    since = remote.ear.audio()[-1].at
    remote.ear.wait_packets(50, since=since)
    assert remote.ear.lost(since) == 0 and remote.ear.dropouts(620, since) == 0
    assert tenant.call(call_id)["state"] == "answered"
    remote.bye()
    check_completed(tenant, events, call_id)


def test_a_phone_that_answers_and_hangs_up_in_one_breath(tenant, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    call_id = tenant.make_call(line, far_end.number)["id"]
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440))
    at_desk.answer(wait_ack=False)
    at_desk.bye()
    ended = events.wait_ended(call_id)
    assert ended["end_reason"] == "canceled" and ended["hangup_by"] == "caller", ended
    assert ended["talk_s"] == 0
    with pytest.raises(TimeoutError):
        far_end.expect_invite(timeout=0.5).expect("ACK", timeout=0)
    wait_no_calls(tenant)


def test_an_incoming_call_whose_phone_answers_and_hangs_up(tenant, provider, line, far_end,
                                                           desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    caller = far_end.invite(provider.uri(line["username"]), ear=Ear(far_end.address, tone=620))
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440))
    at_desk.answer(wait_ack=False)
    at_desk.bye()
    caller.expect(200)
    caller.wait_ended()
    ended = events.wait_for("call.ended")["data"]
    assert ended["end_reason"] == "completed" and ended["hangup_by"] == "callee", ended
    wait_no_calls(tenant)


def test_a_redirection_at_home_is_followed(tenant, trunk):
    far, profile = trunk
    events = tenant.events()
    call_id = call_out(tenant, profile, "+4930111")
    first = far.expect_invite()
    response = far.response_to(first.invite, 302, "moved")
    response.add("contact", f"<sip:+4930222@{far.address}>")
    far.send(response, first.invite.source)
    net.until(lambda: [m for m in far.log if m.method == "ACK"], 5, "the ACK to the 302")
    first.final_sent = True
    again = net.until(lambda: [m for m in far.log if m.method == "INVITE"
                               and m.user("request") == "+4930222"], 5, "the second INVITE")[0]
    far.calls.clear()
    far._incoming_call(again)
    remote = far.expect_invite(ear=Ear(far.address, tone=620)).answer()
    remote.ear.wait_tone(620)
    assert tenant.call(call_id)["to"] == "+4930111"
    remote.bye()
    check_completed(tenant, events, call_id)


class OneTimeNonces:
    """A registrar and proxy that takes each nonce once, and calls nothing stale."""

    def __init__(self, agent, user, password):
        self.agent, self.asked, self.taken, self.refused = agent, {}, 0, 0
        self._dispatch, agent._dispatch = agent._dispatch, self.dispatch

    def dispatch(self, message):
        status = message.status
        if status is not None or message.method not in ("REGISTER", "INVITE") or \
                message.tag("to"):
            return self._dispatch(message)
        header = "authorization" if message.method == "REGISTER" else "proxy-authorization"
        sent = message.get(header) or ""
        nonce = next((n for n in self.asked if f'nonce="{n}"' in sent), None)
        if nonce and self.asked[nonce] in (None, message.branch):
            self.asked[nonce] = message.branch
            self.taken += 1
            if message.method == "INVITE":
                return self._dispatch(message)
            response = self.agent.response_to(message, 200, "r")
            expires = 2 if self.taken < 4 else 300
            response.set("contact", f"<{bare(message.get('contact'))}>;expires={expires}")
            return self.agent.send(response, message.source)
        self.refused += bool(sent)
        fresh = net.token("n", 20)
        self.asked[fresh] = None
        invite = message.method == "INVITE"
        response = self.agent.response_to(message, 407 if invite else 401, "r")
        response.add("proxy-authenticate" if invite else "www-authenticate",
                     f'Digest realm="odd", nonce="{fresh}", algorithm=MD5, qop="auth"')
        self.agent.send(response, message.source)
        return None


def test_a_provider_that_takes_each_nonce_once(tenant, agents):
    far = agents("far")
    nonces = OneTimeNonces(far, "line", "secret")
    events = tenant.events()
    profile = tenant.add_profile(server=far.address, user="line")
    assert tenant.register(profile["id"])["state"] == "registered"
    net.until(lambda: nonces.taken >= 4, 20, "refreshed three times")
    assert tenant.profile(profile["id"])["registration"]["state"] == "registered"
    states = {m["data"]["state"] for m in events.all("registration.changed")}
    assert states <= {"registering", "registered"}, states
    for _ in range(2):
        call_id = call_out(tenant, profile)
        remote = far.expect_invite(ear=Ear(far.address, tone=620)).answer()
        remote.ear.wait_tone(620)
        remote.bye()
        check_completed(tenant, events, call_id)


def test_only_codecs_that_nobody_has(tenant, provider, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    ear = Ear(far_end.address, tone=620)
    offer = ear.sdp().replace(" 0 8 101", " 3 18").replace("rtpmap:0 PCMU", "rtpmap:3 GSM") \
        .replace("rtpmap:8 PCMA", "rtpmap:18 G729")
    caller = far_end.invite(provider.uri(line["username"]), ear=ear, sdp=offer)
    final = caller.expect(488)
    assert final.get("warning"), "says what is wrong (RFC 3261 20.43)"
    ended = events.wait_for("call.ended")["data"]
    assert ended["end_reason"] == "media_failed" and ended["sip_code"] == 488
    assert phone.no_invite()
    row = tenant.log_row(ended["id"])
    assert row["end_reason"] == "media_failed" and row["direction"] == "incoming"
    wait_no_calls(tenant)


def invite_text(far, tenant, call_id, ear, **more):
    """An INVITE of the far end's own making, to be sent as it is."""
    message = far.new_request("INVITE", tenant.daemon.uri("trunk"), call_id, 1,
                              f"<{far.aor}>;tag=odd", f"<{tenant.daemon.uri('trunk')}>")
    message.add("contact", f"<{far.contact}>")
    message.add("content-type", more.get("type", "application/sdp"))
    message.body = more.get("body", ear.sdp())
    return message


def invite_as(far, tenant, message, ear):
    """Sends that INVITE; its dialog."""
    call = Call(far, message.get("call-id"), outgoing=True, ear=ear)
    call.local_tag = message.tag("from")
    call.local, call.remote = f"<{far.aor}>", f"<{tenant.daemon.uri('trunk')}>"
    call.target, call.destination = tenant.daemon.uri("trunk"), (tenant.daemon.address, 5060)
    call.invite, call.cseq, message.tried = message, 1, False
    far.calls[call.call_id] = call
    far.send(message, call.destination, resend="provisional")
    return call


def test_a_very_long_call_id(tenant, trunk):
    far, profile = trunk
    events = tenant.events()
    ear = Ear(far.address, tone=620)
    long_id = net.token(size=240) + "@" + far.address
    call = invite_as(far, tenant, invite_text(far, tenant, long_id, ear), ear)
    created = events.wait_for("call.created")
    tenant.answer(created["call_id"], {"echo": True})
    assert call.expect(200).get("call-id") == long_id
    ear.wait_tone(620)
    call.bye()
    check_completed(tenant, events, created["call_id"], "caller")
    # Beyond any reason it is refused, with words, and whole.
    endless = net.token(size=4000)
    call = invite_as(far, tenant, invite_text(far, tenant, endless, ear), ear)
    final = call.expect(400)
    assert final.get("call-id") == endless and final.reason == "Bad Dialog Information"
    assert tenant.calls() == []


def test_an_asserted_identity_is_who_calls(tenant, provider, line, far_end, desk_phones):
    """P-Asserted-Identity of a registered provider goes before From (RFC 3325 5)."""
    phone = desk_phones(tenant)
    events = tenant.events()
    far_end.invite(provider.uri(line["username"]), ear=Ear(far_end.address),
                   from_uri="sip:unknown@example.com",
                   headers=[("p-asserted-identity", '"Ada" <sip:+4930777@example.com>')])
    created = events.wait_for("call.created")["data"]
    assert created["from"] == "+4930777" and created["from_name"] == "Ada"
    at_desk = phone.expect_invite()
    assert "+4930777" in at_desk.invite.get("from")
    at_desk.reply(486)


def test_an_answer_in_the_183_only(tenant, trunk):
    """The 200 has no description, as some gateways do: the one in the 183 holds."""
    far, profile = trunk
    events = tenant.events()
    call_id = call_out(tenant, profile)
    remote = far.expect_invite(ear=Ear(far.address, tone=620))
    remote.early_media()
    events.wait_call("early_media", call_id)
    remote.reply(200)
    remote.expect("ACK")
    events.wait_call("answered", call_id)
    remote.ear.wait_tone(620)
    remote.bye()
    check_completed(tenant, events, call_id)


def test_video_is_declined_and_the_sound_flows(tenant, trunk):
    far, profile = trunk
    events = tenant.events()
    ear = Ear(far.address, tone=620)
    offer = ear.sdp() + "m=video 40000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n" \
        "m=image 40002 udptl t38\r\n"
    call = far.invite(tenant.daemon.uri("trunk"), ear=ear, sdp=offer)
    created = events.wait_for("call.created")
    tenant.answer(created["call_id"], {"echo": True})
    answer = call.expect(200).body
    assert "m=video 0 " in answer and "m=image 0 " in answer, "as many lines as were offered"
    ear.wait_tone(620)
    call.bye()
    check_completed(tenant, events, created["call_id"], "caller")


def test_a_message_of_compact_and_folded_headers(tenant, trunk):
    far, profile = trunk
    events = tenant.events()
    call_id = call_out(tenant, profile)
    remote = far.expect_invite(ear=Ear(far.address, tone=620))
    remote.ear.accept(remote.invite.body)
    remote.ear.start()
    invite, body = remote.invite, remote.ear.sdp()
    text = ("SIP/2.0 200 Oll Korrect\r\n"
            + "".join(f"v:{v}\r\n" for v in invite.all("via"))
            + f"f:{invite.get('from')}\r\nt :{invite.get('to')}\r\n ;tag={remote.local_tag}\r\n"
            f"i:{invite.get('call-id')}\r\nCSEQ:   {invite.cseq}\r\n\tINVITE\r\n"
            f"m:<{far.contact}>\r\nc:application/SDP;charset=utf-8\r\nX-Odd:\r\n"
            f"l:{len(body)}\r\n\r\n{body}")
    far._transmit(text.encode(), invite.source)
    remote.final_sent = True
    remote.expect("ACK")
    events.wait_call("answered", call_id)
    remote.ear.wait_tone(620)
    remote.bye()
    check_completed(tenant, events, call_id)


@pytest.mark.parametrize("status", [401, 407])
def test_a_provider_asks_who_hangs_up(tenant, trunk, status):
    """In-dialog requests are challenged as well."""
    far, profile = trunk
    events = tenant.events()
    call_id = call_out(tenant, profile)
    remote = far.expect_invite(ear=Ear(far.address, tone=620)).answer()
    remote.auto_bye = False
    events.wait_call("answered", call_id)
    tenant.hangup(call_id)
    bye = remote.expect("BYE")
    response = far.response_to(bye, status)
    name = "www-authenticate" if status == 401 else "proxy-authenticate"
    response.add(name, 'Digest realm="odd", nonce="n1", algorithm=MD5, qop="auth"')
    far.send(response, bye.source)
    again = remote.expect("BYE")
    assert again.get("authorization" if status == 401 else "proxy-authorization")
    assert again.cseq > bye.cseq
    far.send(far.response_to(again, 200), again.source)
    check_completed(tenant, events, call_id, "api")


def test_an_invite_that_is_refused_again_and_again(tenant, trunk):
    """Credentials that the provider does not take for calls: auth_failed, and no storm."""
    far, profile = trunk
    events = tenant.events()
    seen = []

    def incoming(message):
        seen.append(message)
        response = far.response_to(message, 407, "x")
        response.add("proxy-authenticate",
                     f'Digest realm="odd", nonce="{net.token()}", algorithm=MD5, qop="auth"')
        far.send(response, message.source)
    far._incoming_call = incoming
    call_id = call_out(tenant, profile)
    ended = events.wait_ended(call_id)
    assert ended["end_reason"] == "auth_failed" and ended["sip_code"] == 407
    assert len(seen) <= 3
    assert tenant.log_row(call_id)["end_reason"] == "auth_failed"


def test_reliable_progress_is_acknowledged(tenant, trunk):
    """183 with Require: 100rel gets a PRACK (RFC 3262), once, and the call goes on."""
    far, profile = trunk
    events = tenant.events()
    call_id = call_out(tenant, profile)
    remote = far.expect_invite(ear=Ear(far.address, tone=620))
    assert "100rel" in (remote.invite.get("supported") or "")
    remote.early_media(headers=[("require", "100rel"), ("rseq", "7")])
    prack = remote.expect("PRACK")
    assert prack.get("rack") == f"7 {remote.invite.cseq} INVITE"
    remote.reply(183, sdp=True, headers=[("require", "100rel"), ("rseq", "7")])  # sent again
    remote.reply(180, headers=[("require", "100rel"), ("rseq", "8")])
    assert remote.expect("PRACK").get("rack") == f"8 {remote.invite.cseq} INVITE"
    remote.answer()
    events.wait_call("answered", call_id)
    remote.ear.wait_tone(620)
    assert len(remote.find("PRACK")) == 2
    remote.bye()
    check_completed(tenant, events, call_id)


def test_a_caller_who_insists_on_reliable_progress(tenant, trunk):
    """Require: 100rel: our 180 is reliable, comes again until its PRACK, and the 200 after it."""
    far, profile = trunk
    events = tenant.events()
    call = far.invite(tenant.daemon.uri("trunk"), ear=Ear(far.address, tone=620),
                      headers=[("require", "100rel"), ("supported", "100rel")])
    created = events.wait_for("call.created")
    ringing = call.expect(180)
    assert "100rel" in ringing.get("require")
    assert call.expect(180).get("rseq") == ringing.get("rseq"), "until it is acknowledged"
    call.request("PRACK", [("rack", f"{ringing.get('rseq')} {call.invite.cseq} INVITE")])
    call.expect(lambda m: m.status == 200 and m.method == "PRACK")
    tenant.answer(created["call_id"], {"echo": True})
    call.expect(lambda m: m.status == 200 and m.method == "INVITE")
    call.ear.wait_tone(620)
    call.bye()
    check_completed(tenant, events, created["call_id"], "caller")


def test_a_session_that_is_refreshed_by_update(tenant, trunk):
    """The far end refreshes by UPDATE without a description (RFC 4028, RFC 3311): nothing is heard of it."""
    far, profile = trunk
    events = tenant.events()
    call_id = call_out(tenant, profile)
    remote = far.expect_invite(ear=Ear(far.address, tone=620))
    remote.answer(headers=[("session-expires", "90;refresher=uas"), ("require", "timer")])
    events.wait_call("answered", call_id)
    remote.ear.wait_tone(620)
    remote.request("UPDATE", [("contact", f"<{far.contact}>"), ("supported", "timer"),
                              ("session-expires", "90;refresher=uac")])
    fresh = remote.expect(lambda m: m.method == "UPDATE" and (m.status or 0) >= 200)
    assert fresh.status == 200 and fresh.get("session-expires").startswith("90;refresher=uac")
    since = remote.ear.audio()[-1].at
    remote.ear.wait_packets(25, since=since)
    assert remote.ear.lost(since) == 0
    remote.bye()
    check_completed(tenant, events, call_id)


def test_one_calls_own_caller_id(tenant, trunk):
    """caller_id of a call is for that call alone."""
    far, profile = trunk
    tenant.ok("POST", "/api/set-caller-id/", {"profile_id": profile["id"], "mode": "from_pai",
                                              "number": "+493055501", "name": "Reception"}, 200)
    events = tenant.events()
    call_id = tenant.make_call(profile, "+493099", {"echo": True},
                               caller_id={"number": "+493055502", "name": "Sales"})["id"]
    remote = far.expect_invite(ear=Ear(far.address))
    for header in ("from", "p-asserted-identity"):
        assert remote.invite.user(header) == "+493055502", remote.invite.get(header)
        assert '"Sales"' in remote.invite.get(header)
    assert tenant.call(call_id)["from"] == "+493055502"
    remote.reply(486)
    events.wait_ended(call_id)
    assert tenant.log_row(call_id)["from"] == "+493055502"
    tenant.make_call(profile, "+493099", {"echo": True})
    remote = far.expect_invite(ear=Ear(far.address))
    assert remote.invite.user("from") == "+493055501"
    remote.reply(486)


def test_trying_and_then_nothing(tenant, trunk):
    """100 and silence: it ends when the ringing time is over, as no answer, with a CANCEL."""
    far, profile = trunk
    events = tenant.events()
    call_id = tenant.make_call(profile, "+4930123", {"echo": True}, ring_timeout_s=2)["id"]
    remote = far.expect_invite()
    remote.expect("CANCEL")
    ended = events.wait_ended(call_id)
    assert ended["end_reason"] == "no_answer"
    assert ended["ringing_at"] is None and ended["answered_at"] is None
    tenant.log_row(call_id)


def test_a_contact_of_the_other_family(tenant, trunk):
    """An IPv6 literal as the Contact of who speaks IPv4 with us: requests take the way the call came."""
    far, profile = trunk
    events = tenant.events()
    call_id = call_out(tenant, profile)
    remote = far.expect_invite(ear=Ear(far.address, tone=620))
    remote.ear.accept(remote.invite.body)
    remote.ear.start()
    bare_reply(remote, 200, contact="<sip:far@[2001:db8::7]:5062;transport=udp>")
    assert remote.expect("ACK").uri == "sip:far@[2001:db8::7]:5062;transport=udp"
    events.wait_call("answered", call_id)
    remote.ear.wait_tone(620)
    tenant.hangup(call_id)
    remote.expect("BYE")
    check_completed(tenant, events, call_id, "api")


def test_a_provider_and_a_phone_of_ipv6(own_daemon):
    daemon = own_daemon(sip=f"[::1]:{net.fresh_port_6()}")
    tenant = daemon.signup()
    with UserAgent("::1", "far", port=net.fresh_port_6()) as far:
        profile = tenant.add_profile(server="::1", port=far.port, user="trunk", register=False)
        device = tenant.add_device()
        assert f"[{device['server']}]:{device['port']}" == daemon.sip
        with UserAgent("::1", device["username"], device["password"], port=net.fresh_port_6(),
                       domain=daemon.sip) as phone:
            assert phone.register().status == 200
            events = tenant.events()
            call_id = tenant.make_call(profile, "+4930123")["id"]
            at_desk = phone.expect_invite(ear=Ear("::1", tone=440)).answer()
            remote = far.expect_invite(ear=Ear("::1", tone=620)).answer()
            assert "c=IN IP6 ::1" in remote.invite.body
            events.wait_call("answered", call_id)
            hear_each_other(at_desk.ear, remote.ear, remote.answered_at)
            at_desk.bye()
            remote.wait_ended()
            check_completed(tenant, events, call_id, "caller")

            caller = far.invite(daemon.uri("trunk"), ear=Ear("::1", tone=620))
            at_desk = phone.expect_invite(ear=Ear("::1", tone=440))
            at_desk.ring()
            caller.expect(180)
            at_desk.answer()
            caller.expect(200)
            hear_each_other(caller.ear, at_desk.ear, at_desk.answered_at)
            caller.bye()
            at_desk.wait_ended()
    tenant.close()
