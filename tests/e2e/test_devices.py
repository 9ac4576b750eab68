"""A user's own phones: they register, ring, dial out and reach each other."""
import pytest

from peers import net
from peers.ear import Ear
from peers.talk import hear_each_other
from peers.ua import UserAgent, answer_challenge, token


@pytest.mark.core
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_baresip_registers_as_a_phone_and_is_called(tenant, authority, phones, desk_phones,
                                                    transport):
    device = tenant.add_device("kitchen")
    assert device["username"] and device["password"] and transport in device["transports"]
    port = 5061 if transport == "tls" else device["port"]
    phone = phones(device["username"], device["password"], f"{device['server']}:{port}",
                   transport=transport, trust=authority.bundle, tone=700)
    phone.wait_registered()
    listed = tenant.ok("GET", "/api/devices/")["results"]
    assert [d["id"] for d in listed] == [device["id"]]
    assert "password" not in listed[0], "shown once"
    caller = desk_phones(tenant.add_user("agent"))
    call = caller.invite(f"sip:{tenant.me()['extension']}@{caller.domain}",
                         ear=Ear(caller.address, tone=440))
    phone.wait_ringing()
    call.expect(180)
    phone.answer()
    call.expect(200)
    call.ear.wait_tone(700)
    call.ear.wait_packets(50)
    call.bye()
    phone.wait_closed()
    assert phone.hears(440, at_least_s=0.5)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_phone_may_choose_either_digest(tenant, algorithm):
    device = tenant.add_device()
    server = f"{device['server']}:{device['port']}"
    with UserAgent(net.fresh_address(), device["username"], device["password"],
                   domain=server) as agent:
        challenge = agent.register(authenticate=False)
        assert challenge.status == 401
        offered = challenge.all("www-authenticate")
        assert len(offered) == 2 and "SHA-256" in offered[0], "the stronger one first (RFC 8760)"
        challenge.headers = [(n, v) for n, v in challenge.headers
                             if n != "www-authenticate" or
                             ("SHA-256" in v) == (algorithm == "SHA-256")]
        request = agent.new_request("REGISTER", f"sip:{server}", token(size=20), 1,
                                    f"<{agent.aor}>;tag=1", f"<{agent.aor}>")
        request.add("contact", f"<{agent.contact}>")
        again = answer_challenge(challenge, request, device["username"], device["password"])
        again.set("via", agent.new_via())
        assert agent.transact(again, (device["server"], device["port"])).status == 200


def test_a_phone_leaves(tenant, desk_phones, line, far_end):
    phone = desk_phones(tenant)
    assert phone.register(expires=0).status == 200
    reply = tenant.post("/api/make-call/", {"profile_id": line["id"], "to": far_end.number})
    assert reply.status_code == 409 and reply.json()["code"] == "no_device"


def test_a_deleted_device_cannot_register(tenant, desk_phones):
    phone = desk_phones(tenant)
    assert tenant.delete(f"/api/devices/{phone.device['id']}/").status_code == 204
    try:
        assert phone.register(timeout=2).status in (401, 403, 404)
    except TimeoutError:
        pass  # a stranger's request may be dropped without a word


@pytest.mark.core
def test_a_wrong_password_is_throttled(own_daemon):
    daemon = own_daemon(env={"JACKFIELD_LOG_PERSONAL": "yes"})
    tenant = daemon.signup()
    device = tenant.add_device()
    server = f"{device['server']}:{device['port']}"
    with UserAgent(net.fresh_address(), device["username"], "wrong", domain=server) as thief:
        answers = []
        for _ in range(30):
            try:
                answers.append(thief.register(timeout=1).status)
            except TimeoutError:
                answers.append(None)
                break
            if answers[-1] not in (401, 403):
                break
        assert 200 not in answers
        assert answers[-1] in (None, 403, 429, 503) or answers[-1] not in (401,), answers
        assert len(answers) < 30, "guessing is cut off"
        assert f'"device with a wrong password" source={thief.address}:5060' in daemon.log()
    # The owner, elsewhere, is not locked out by it.
    with UserAgent(net.fresh_address(), device["username"], device["password"],
                   domain=server) as owner:
        assert owner.register().status == 200
    tenant.close()


@pytest.mark.core
def test_star_43_is_the_echo_test(tenant, desk_phones):
    phone = desk_phones(tenant)
    call = phone.invite(f"sip:*43@{phone.domain}", ear=Ear(phone.address, tone=440))
    call.expect(200)
    call.ear.wait_tone(440)
    since = call.ear.audio()[-1].at
    call.ear.wait_packets(50, since=since)
    assert call.ear.lost(since) == 0 and call.ear.dropouts(440, since) == 0
    call.bye()
    row, = net.until(lambda: [row for row in tenant.logs() if row["ended_at"]], 5, "its row")
    assert (row["direction"], row["to"], row["end_reason"]) == ("internal", "*43", "completed")


def test_star_44_speaks_the_number(tenant, desk_phones):
    phone = desk_phones(tenant)
    call = phone.invite(f"sip:*44@{phone.domain}", ear=Ear(phone.address, tone=None))
    call.expect(200)
    call.ear.wait_packets(75, since=0)
    net.until(lambda: max(abs(call.ear.samples()), default=0) > 0.05, 5, "speech")
    call.hangup()


@pytest.mark.core
def test_a_phone_dials_out(tenant, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    call = phone.invite(f"sip:{far_end.number}@{phone.domain}", ear=Ear(phone.address, tone=440))
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620))
    assert remote.invite.user("from") == line["username"]
    created = events.wait_for("call.created")
    assert created["data"]["direction"] == "outgoing" and created["profile_id"] == line["id"]
    remote.ring()
    call.expect(180)
    remote.answer()
    call.expect(200)
    hear_each_other(call.ear, remote.ear, remote.answered_at)
    call.bye()
    remote.wait_ended()
    row = tenant.log_row(created["call_id"])
    assert row["to"] == far_end.number and row["hangup_by"] == "caller"


def test_baresip_dials_out(tenant, line, far_end, phones):
    device = tenant.add_device()
    phone = phones(device["username"], device["password"],
                   f"{device['server']}:{device['port']}", tone=700)
    phone.wait_registered()
    phone.dial(far_end.number)
    remote = far_end.expect_invite(ear=Ear(far_end.address, tone=440))
    remote.ring()
    remote.answer()
    phone.wait_answered()
    remote.ear.wait_tone(700)
    remote.ear.wait_packets(50)
    remote.bye()
    phone.wait_closed()
    assert phone.hears(440, at_least_s=0.5)


@pytest.mark.parametrize("status", [486, 404])
def test_a_phone_is_told_why_a_number_cannot_be_reached(tenant, line, far_end, desk_phones,
                                                        status):
    phone = desk_phones(tenant)
    call = phone.invite(f"sip:{far_end.number}@{phone.domain}", ear=Ear(phone.address))
    far_end.expect_invite().reply(status)
    call.expect(status)


def test_a_phone_cancels(tenant, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    events = tenant.events()
    call = phone.invite(f"sip:{far_end.number}@{phone.domain}", ear=Ear(phone.address))
    remote = far_end.expect_invite()
    remote.ring()
    call.expect(180)
    call.cancel()
    call.expect(487)
    remote.expect("CANCEL")
    ended = events.wait_for("call.ended")["data"]
    assert ended["end_reason"] == "canceled" and ended["hangup_by"] == "caller"


def test_a_phone_chooses_the_profile_by_header(tenant, provider, line, far_end, desk_phones):
    other = tenant.registered_profile(provider)
    phone = desk_phones(tenant)
    phone.invite(f"sip:{far_end.number}@{phone.domain}", ear=Ear(phone.address),
                 headers=[("X-Profile-Id", other["id"])])
    remote = far_end.expect_invite()
    assert remote.invite.user("from") == other["username"]
    assert remote.invite.get("x-profile-id") is None, "an inner matter"
    remote.reply(486)


@pytest.mark.core
def test_an_extension_reaches_a_colleague(tenant, desk_phones):
    colleague = tenant.add_user("agent")
    extension = colleague.me()["extension"]
    mine, theirs = desk_phones(tenant), desk_phones(colleague)
    events = tenant.events()
    call = mine.invite(f"sip:{extension}@{mine.domain}", ear=Ear(mine.address, tone=440))
    at_colleague = theirs.expect_invite(ear=Ear(theirs.address, tone=620))
    at_colleague.ring()
    call.expect(180)
    at_colleague.answer()
    call.expect(200)
    hear_each_other(call.ear, at_colleague.ear, at_colleague.answered_at)
    call.bye()
    at_colleague.wait_ended()
    ended = events.wait_for("call.ended")["data"]
    assert ended["direction"] == "internal" and ended["end_reason"] == "completed"


def test_an_extension_of_another_tenant_is_not_reached(tenants, desk_phones):
    first, second = tenants(), tenants()
    mine, theirs = desk_phones(first), desk_phones(second)
    stranger = second.add_user("agent")
    strangers_phone = desk_phones(stranger)
    call = mine.invite(f"sip:{stranger.me()['extension']}@{mine.domain}", ear=Ear(mine.address))
    final = call.expect(lambda m: (m.status or 0) >= 300 and m.status != 407)
    assert final.status in (403, 404, 480, 503)
    assert strangers_phone.no_invite() and theirs.no_invite()


def test_an_invite_without_credentials_reaches_nobody(tenant, line, far_end, desk_phones):
    phone = desk_phones(tenant)
    phone.password = None
    call = phone.invite(f"sip:{far_end.number}@{phone.domain}", ear=Ear(phone.address))
    final = call.expect(lambda m: (m.status or 0) >= 300)
    assert final.status in (401, 407)
    assert far_end.no_invite()
