"""Profiles and their registrations at a real registrar."""
import datetime
import socket

import pytest

from peers import net
from peers.ear import Ear
from peers.provider import Authority
from peers.talk import hear_each_other, steady

RESTING_FAILED = ("retry_wait", "unreachable")


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def now():
    return datetime.datetime.now(datetime.timezone.utc)


@pytest.mark.core
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_profile_registers(tenant, providers, transport, algorithm):
    provider = providers(algorithm=algorithm)
    events = tenant.events()
    profile = tenant.add_profile(provider, transport=transport)
    changed = events.wait_registration(profile["id"], "registered")
    registration = tenant.profile(profile["id"])["registration"]
    assert registration["state"] == "registered", registration
    assert provider.contacts(profile["username"]), "the registrar knows the contact"
    assert provider.count("REGISTER", profile["username"]) == 2, "one challenge, one answer"
    assert moment(registration["expires_at"]) > now()
    assert changed["data"]["registrar"]
    listed = tenant.ok("GET", "/api/list-sip-profiles/?state=registered")["results"]
    assert [p["id"] for p in listed] == [profile["id"]]


@pytest.mark.core
def test_two_tenants_register_side_by_side(tenants, provider):
    first, second = tenants(), tenants()
    one, other = first.registered_profile(provider), second.registered_profile(provider)
    assert len(provider.contacts(one["username"])) == 1
    assert len(provider.contacts(other["username"])) == 1
    assert [p["id"] for p in first.ok("GET", "/api/list-sip-profiles/")["results"]] == [one["id"]]


def test_a_new_profile_registers_by_itself(tenant, provider):
    events = tenant.events()
    profile = tenant.add_profile(provider)
    events.wait_registration(profile["id"], "registered", timeout=15)


@pytest.mark.core
def test_a_wrong_password_is_tried_at_most_three_times(tenant, provider):
    user = provider.add_user(net.token("line"), "the right one")
    events = tenant.events()
    profile = tenant.add_profile(provider, user, password="a wrong one")
    events.wait_registration(profile["id"], "auth_failed")
    registration = tenant.profile(profile["id"])["registration"]
    assert registration["state"] == "auth_failed", registration
    assert registration["code"] == 401
    assert registration["reason"] == "Unauthorized", "the provider's words"
    assert provider.count("REGISTER", user) <= 3
    again_at = tenant.profile(profile["id"])["registration"]["next_attempt_at"]
    assert again_at is None or moment(again_at) - now() > datetime.timedelta(seconds=50)
    # The right password makes it well again.
    tenant.ok("PATCH", f"/api/sip-profiles/{profile['id']}/", {"password": "the right one"})
    events.wait_registration(profile["id"], "registered")


def test_waiting_for_a_registered_profile_tells_what_the_provider_says_now(tenant, provider):
    profile = tenant.registered_profile(provider)
    provider.mode(profile["username"], "after 403 Account closed")
    answer = tenant.ok("POST", "/api/register-sip/", {"profile_id": profile["id"], "wait": 10})
    assert answer["registration"]["state"] == "rejected", answer
    assert answer["registration"]["reason"] == "Account closed"


def test_a_refusal_shows_the_providers_words(tenant, provider):
    user = provider.add_user(net.token("line"))
    provider.mode(user, "after 403 Account locked, call us")
    events = tenant.events()
    profile = tenant.add_profile(provider, user)
    events.wait_for("registration.changed", lambda m: m["data"]["code"] == 403)
    registration = tenant.profile(profile["id"])["registration"]
    assert registration["state"] in ("rejected", "auth_failed")
    assert registration["code"] == 403
    assert registration["reason"] == "Account locked, call us"
    assert provider.count("REGISTER", user) <= 3


def test_423_raises_the_expiry_at_once(tenant, provider):
    user = provider.add_user(net.token("line"))
    provider.mode(user, "min 900")
    profile = tenant.add_profile(provider, user, expires=60)
    registration = tenant.register(profile["id"])
    assert registration["state"] == "registered"
    assert moment(registration["expires_at"]) - now() > datetime.timedelta(seconds=800)


def test_503_is_tried_again_after_retry_after(tenant, provider):
    user = provider.add_user(net.token("line"))
    provider.mode(user, "reply 503/3 Overloaded")
    events = tenant.events()
    profile = tenant.add_profile(provider, user)
    waiting = events.wait_registration(profile["id"], "retry_wait")
    assert waiting["data"]["code"] == 503
    assert waiting["data"]["reason"] == "Overloaded"
    pause = moment(waiting["data"]["next_attempt_at"]) - moment(waiting["time"])
    assert 2.9 <= pause.total_seconds() <= 8
    provider.mode(user, None)
    good = events.wait_registration(profile["id"], "registered", timeout=15)
    assert good["_at"] - waiting["_at"] >= 2.9, "not before Retry-After is over"


def test_stale_nonces_are_not_a_wrong_password(tenant, providers):
    provider = providers(own=True, tls=False, nonce_expire=1, max_expires=4)
    events = tenant.events()
    profile = tenant.registered_profile(provider)
    seq = events.last_seq
    net.until(lambda: provider.count("REGISTER", profile["username"]) >= 6, 30,
              "refreshed twice with stale nonces", 0.1)
    assert tenant.profile(profile["id"])["registration"]["state"] == "registered"
    states = {m["data"]["state"] for m in events.all("registration.changed")
              if m["seq"] > seq and m["profile_id"] == profile["id"]}
    assert states <= {"registered", "registering"}, states


@pytest.mark.timeout(100)
def test_a_dead_provider_is_found_when_it_comes(tenant, providers):
    provider = providers(own=True, tls=False, start=False)
    user = provider.add_user(net.token("line"))
    events = tenant.events()
    profile = tenant.add_profile(provider, user)
    down = events.wait_for("registration.changed",
                           lambda m: m["data"]["state"] in RESTING_FAILED, 40,
                           profile_id=profile["id"])
    assert down["data"]["reason"]
    assert moment(down["data"]["next_attempt_at"]) > moment(down["time"])
    provider.start()
    events.wait_registration(profile["id"], "registered", timeout=35)



@pytest.mark.core
@pytest.mark.timeout(120)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_provider_dies_and_comes_back_under_a_call(tenant, providers, agents, desk_phones,
                                                     transport):
    provider = providers(own=True, tls=False, max_expires=8)
    far = agents("far")
    provider.add_number("4930123", far.address)
    profile = tenant.registered_profile(provider, transport=transport)
    phone = desk_phones(tenant)
    events = tenant.events()
    call = tenant.make_call(profile, "4930123")
    at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
    remote = far.expect_invite(ear=Ear(far.address, tone=620)).answer()
    events.wait_call("answered", call["id"])
    hear_each_other(at_desk.ear, remote.ear, remote.answered_at)
    provider.kill()
    lost = events.wait_for("registration.changed",
                           lambda m: m["data"]["state"] not in ("registered", "registering"), 50,
                           profile_id=profile["id"])
    steady(at_desk.ear, remote.ear)
    assert tenant.call(call["id"])["state"] == "answered"
    provider.start()
    events.wait_registration(profile["id"], "registered", timeout=35, after=lost["seq"])
    steady(at_desk.ear, remote.ear)
    assert tenant.hangup(call["id"]).status_code == 202
    remote.wait_ended()
    at_desk.wait_ended()


def test_unregister_and_register_again(tenant, provider):
    profile = tenant.registered_profile(provider)
    gone = tenant.register(profile["id"], action="unregister")
    assert gone["state"] == "disabled"
    assert provider.contacts(profile["username"]) == []
    assert tenant.register(profile["id"])["state"] == "registered"
    assert len(provider.contacts(profile["username"])) == 1


@pytest.mark.core
def test_a_deleted_profile_is_unregistered(tenant, provider, line):
    assert tenant.delete(f"/api/delete-sip-profile/?profile_id={line['id']}").status_code == 204
    net.until(lambda: provider.contacts(line["username"]) == [], 5, "unregistered")
    assert provider.count("unregister", line["username"]) == 1
    assert tenant.get(f"/api/sip-profiles/{line['id']}/").status_code == 404


def test_delete_takes_the_id_in_the_body_too(tenant, line):
    assert tenant.delete("/api/delete-sip-profile/",
                         {"profile_id": line["id"]}).status_code == 204


def test_a_profile_with_calls_is_deleted_by_force_only(tenant, provider, line, far_end):
    call = tenant.make_call(line, far_end.number, {"echo": True})
    remote = far_end.expect_invite(ear=Ear(far_end.address)).answer()
    reply = tenant.delete(f"/api/delete-sip-profile/?profile_id={line['id']}")
    assert reply.status_code == 409 and reply.json()["code"] == "profile_in_use"
    assert not remote.ended.is_set()
    assert tenant.delete(
        f"/api/delete-sip-profile/?profile_id={line['id']}&force=true").status_code == 204
    remote.wait_ended()
    net.until(lambda: provider.contacts(line["username"]) == [], 5, "unregistered")
    assert tenant.log_row(call["id"])["end_reason"]


def test_new_credentials_take_over_while_registered(tenant, provider, line, far_end):
    events = tenant.events()
    call = tenant.make_call(line, far_end.number, {"echo": True})
    remote = far_end.expect_invite(ear=Ear(far_end.address)).answer()
    other = provider.add_user(net.token("line"), "other secret")
    tenant.ok("PATCH", f"/api/sip-profiles/{line['id']}/",
              {"username": other, "password": "other secret"})
    net.until(lambda: provider.contacts(other) and not provider.contacts(line["username"]), 10,
              "the old contact gone, the new one there")
    assert tenant.profile(line["id"])["registration"]["state"] == "registered"
    assert not remote.ended.is_set() and tenant.call(call["id"])["state"] == "answered"
    remote.bye()
    events.wait_ended(call["id"])


def test_a_name_alone_changes_without_registering_again(tenant, provider, line):
    before = provider.count("REGISTER", line["username"])
    changed = tenant.ok("PATCH", f"/api/sip-profiles/{line['id']}/", {"name": "Front desk"})
    assert changed["name"] == "Front desk"
    assert tenant.profile(line["id"])["registration"]["state"] == "registered"
    assert provider.count("REGISTER", line["username"]) == before


def test_a_profile_exists_once_in_a_tenant(tenants, provider):
    first, second = tenants(), tenants()
    profile = first.registered_profile(provider)
    again = {"name": "again", "server": provider.address, "username": profile["username"],
             "password": "secret", "transport": "udp"}
    reply = first.post("/api/add-sip-profile/", again)
    assert reply.status_code == 409 and reply.json()["code"] == "profile_exists"
    assert second.post("/api/add-sip-profile/", again).status_code == 201


def test_register_sip_creates_a_profile_from_its_fields(tenant, provider):
    user = provider.add_user(net.token("line"))
    reply = tenant.ok("POST", "/api/register-sip/", {
        "name": "at once", "server": provider.address, "username": user, "password": "secret",
        "transport": "udp", "wait": 15})
    assert reply["registration"]["state"] == "registered"
    assert tenant.profile(reply["profile_id"])["username"] == user


def test_register_sip_without_waiting_is_accepted(tenant, provider):
    events = tenant.events()
    profile = tenant.add_profile(provider)
    reply = tenant.post("/api/register-sip/", {"profile_id": profile["id"]})
    assert reply.status_code == 202
    assert reply.json()["profile_id"] == profile["id"] and reply.json()["registration"]["state"]
    events.wait_registration(profile["id"], "registered")


def test_the_password_is_never_shown(tenant, provider, daemon):
    secret = net.token("secret")
    user = provider.add_user(net.token("line"), secret)
    profile = tenant.add_profile(provider, user, password=secret)
    tenant.register(profile["id"])
    for path in ("/api/list-sip-profiles/", f"/api/sip-profiles/{profile['id']}/"):
        text = tenant.get(path).text
        assert secret not in text and '"password"' not in text
    assert secret not in daemon.log()
    stored = b"".join(p.read_bytes() for p in (daemon.directory / "data").rglob("*")
                      if p.is_file())
    assert secret.encode() not in stored, "sealed at rest"


@pytest.mark.parametrize("transport", ["udp", "tls"])
def test_the_test_button_names_each_step(tenant, provider, transport):
    user = provider.add_user(net.token("line"))
    fields = {"name": "try", "server": provider.address, "username": user, "password": "secret",
              "transport": transport, "port": 5061 if transport == "tls" else 5060}
    good = tenant.ok("POST", "/api/test-sip-profile/", fields, 200)
    assert good["ok"] is True, good
    assert "register" in " ".join(step["name"] for step in good["steps"]).lower()
    assert all(step["ok"] and step["ms"] >= 0 for step in good["steps"])
    last = good["steps"][-1]
    assert last["sent"].startswith("REGISTER sip:") and last["received"].startswith("SIP/2.0 200")
    assert 'response="(hidden)"' in last["sent"]
    assert good["nat"] in ("none", "unknown"), good
    bad = tenant.ok("POST", "/api/test-sip-profile/", {**fields, "password": "wrong"}, 200)
    assert bad["ok"] is False and not bad["steps"][-1]["ok"] and bad["steps"][-1]["detail"]
    assert tenant.ok("GET", "/api/list-sip-profiles/")["count"] == 0, "nothing is saved"
    assert provider.contacts(user) == [], "nothing stays registered"


def test_the_test_button_knows_a_port_without_tls_and_a_missing_password(tenant, provider):
    fields = {"name": "try", "server": provider.address,
              "username": provider.add_user(net.token("line"))}
    with socket.create_server((net.fresh_address(), 0)) as silent:
        host, port = silent.getsockname()
        last = tenant.ok("POST", "/api/test-sip-profile/", {
            **fields, "server": host, "port": port, "transport": "tls"}, 200)["steps"][-1]
    assert last["name"] == "TLS" and "nothing answers in TLS" in last["detail"], last
    last = tenant.ok("POST", "/api/test-sip-profile/", fields, 200)["steps"][-1]
    assert last["name"] == "REGISTER" and "none was given" in last["detail"], last


def test_a_certificate_of_strangers_is_refused(tenant, tmp_path, authority):
    from peers.provider import Provider
    strange = Authority(tmp_path)
    with Provider(tmp_path / "provider", tls=strange) as provider:
        profile = tenant.add_profile(provider, transport="tls")
        registration = tenant.register(profile["id"])
        assert registration["state"] in RESTING_FAILED
        assert "certificate" in registration["reason"].lower(), registration["reason"]
        assert provider.count("REGISTER", profile["username"]) == 0


CALLER_ID = {
    "from": ("from", None),
    "from_pai": ("from", "p-asserted-identity"),
    "pai": (None, "p-asserted-identity"),
    "ppi": (None, "p-preferred-identity"),
    "rpid": (None, "remote-party-id"),
}


@pytest.mark.parametrize("mode", [*CALLER_ID, "anonymous"])
def test_the_caller_id_is_sent_in_every_mode(tenant, agents, mode):
    # A trunk without registration shows the daemon's own headers, untouched by a proxy.
    far = agents("far")
    profile = tenant.add_profile(server=far.address, user="trunk", register=False)
    changed = tenant.ok("POST", "/api/set-caller-id/", {
        "profile_id": profile["id"], "number": "+493055501", "name": "Reception", "mode": mode},
        200)
    assert changed["caller_id"] == {"number": "+493055501", "name": "Reception", "mode": mode}
    tenant.make_call(profile, "+493099", {"echo": True})
    call = far.expect_invite(ear=Ear(far.address))
    invite = call.invite
    if mode == "anonymous":
        assert "anonymous@anonymous.invalid" in invite.get("from")
        assert invite.get("privacy") and "id" in invite.get("privacy")
        assert "Reception" not in invite.get("from") and "3055501" not in invite.get("from")
        assert "+493055501" in invite.get("p-preferred-identity"), "the provider still knows who calls"
        assert invite.get("p-asserted-identity") is None and invite.get("remote-party-id") is None
    else:
        in_from, header = CALLER_ID[mode]
        assert (invite.user("from") == "+493055501") == bool(in_from), invite.get("from")
        if header:
            assert "+493055501" in invite.get(header) and "Reception" in invite.get(header)
        for other in ("p-asserted-identity", "p-preferred-identity", "remote-party-id"):
            assert other == header or invite.get(other) is None
    call.reply(486)


def test_a_trunk_known_by_address_takes_calls(tenant, agents):
    far = agents("far")
    profile = tenant.add_profile(server=far.address, user="trunk", register=False,
                                 incoming={"type": "api"})
    events = tenant.events()
    call = far.invite(tenant.daemon.uri("trunk"), ear=Ear(far.address))
    created = events.wait_for("call.created", profile_id=profile["id"])
    tenant.answer(created["call_id"], {"echo": True})
    call.expect(200)
    call.ear.wait_tone(call.ear.tone)
    call.bye()
    events.wait_ended(created["call_id"])
