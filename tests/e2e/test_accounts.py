"""Sign-up, sessions, roles: who is who."""
import base64
import json

import pytest

from peers import net
from peers.daemon import PASSWORD


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.mark.core
def test_sign_up_and_log_in(tenant, daemon):
    me = tenant.me()
    assert me["email"] == tenant.email and me["role"] == "admin" and me["extension"] == "100"
    held = claims(tenant.access)
    assert held["sub"] == me["id"] and held["role"] == "admin"
    assert held["tenant"] == me["tenant"]["id"]
    assert held["exp"] - held["iat"] == 600
    again = daemon.client().login(tenant.email)
    assert again.me()["id"] == me["id"]


def test_an_email_signs_up_once(tenant, daemon):
    reply = daemon.client().post("/api/auth/signup/",
                                 {"email": tenant.email.upper(), "password": PASSWORD})
    assert reply.status_code in (400, 409)


@pytest.mark.parametrize("body, field", [
    ({"email": "x", "password": PASSWORD}, "email"), ({"password": PASSWORD}, "email"),
    ({"email": "a@example.com"}, "password"), ({"email": "a@example.com", "password": "short"},
                                               "password"),
    ({"email": "a@example.com\r\nx", "password": PASSWORD}, "email")])
def test_a_bad_sign_up_names_the_field(daemon, body, field):
    reply = daemon.client().post("/api/auth/signup/", body)
    assert reply.status_code == 400 and field in reply.json()


@pytest.mark.core
def test_a_refresh_token_is_good_once(tenant):
    first = tenant.refresh
    one = tenant.ok("POST", "/api/auth/refresh/", {"refresh": first}, 200, token=False)
    assert one["refresh"] != first and one["access"] != tenant.access
    # Within the grace the old one may come once more (two tabs); the new ones stay good.
    two = tenant.ok("POST", "/api/auth/refresh/", {"refresh": one["refresh"]}, 200, token=False)
    assert tenant.get("/api/auth/me/", token=two["access"]).status_code == 200


@pytest.mark.core
@pytest.mark.timeout(60)
def test_a_stolen_refresh_token_ends_the_family(tenant):
    first = tenant.refresh
    one = tenant.ok("POST", "/api/auth/refresh/", {"refresh": first}, 200, token=False)

    def refused():
        return tenant.post("/api/auth/refresh/", {"refresh": first},
                           token=False).status_code == 401
    net.until(refused, 20, "the old one is refused after its grace", 1.0)
    assert tenant.post("/api/auth/refresh/", {"refresh": one["refresh"]},
                       token=False).status_code == 401, "and so is its child"


def test_logout_ends_the_session(tenant):
    assert tenant.post("/api/auth/logout/", {"refresh": tenant.refresh}).status_code == 204
    assert tenant.post("/api/auth/refresh/", {"refresh": tenant.refresh},
                       token=False).status_code == 401


@pytest.mark.core
def test_a_new_password_ends_other_sessions(tenant, daemon):
    other = daemon.client().login(tenant.email)
    wrong = tenant.post("/api/auth/change-password/",
                        {"old_password": "not it at all", "new_password": "another long one"})
    assert wrong.status_code in (400, 403)
    assert tenant.post("/api/auth/change-password/",
                       {"old_password": PASSWORD,
                        "new_password": "another long one"}).status_code == 204
    assert other.post("/api/auth/refresh/", {"refresh": other.refresh},
                      token=False).status_code == 401
    assert daemon.client().post("/api/auth/login/", {"email": tenant.email,
                                                     "password": PASSWORD}).status_code == 401
    daemon.client().login(tenant.email, "another long one")


@pytest.mark.core
def test_guessing_passwords_is_throttled(tenant, daemon):
    guesser = daemon.client()
    codes = []
    for _ in range(25):
        reply = guesser.post("/api/auth/login/", {"email": tenant.email, "password": "guess it"})
        codes.append(reply.status_code)
        if reply.status_code == 429:
            break
    assert codes[0] == 401 and codes[-1] == 429, codes
    assert int(reply.headers["Retry-After"]) > 0


def test_unknown_and_wrong_look_the_same(tenant, daemon):
    client = daemon.client()
    wrong = client.post("/api/auth/login/", {"email": tenant.email, "password": "wrong wrong"})
    unknown = client.post("/api/auth/login/", {"email": f"{net.token()}@example.com",
                                               "password": "wrong wrong"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json() and wrong.json()["code"] == "invalid_credentials"


@pytest.mark.core
def test_users_of_a_tenant(tenant):
    agent = tenant.add_user("agent", extension="250")
    supervisor = tenant.add_user("supervisor")
    assert agent.me()["extension"] == "250" and agent.me()["role"] == "agent"
    listed = {u["email"]: u["role"] for u in tenant.ok("GET", "/api/users/")["results"]}
    assert listed == {tenant.email: "admin", agent.email: "agent", supervisor.email: "supervisor"}
    taken = tenant.post("/api/users/", {"email": "b@example.com", "name": "b", "role": "agent",
                                        "password": PASSWORD, "extension": "250"})
    assert taken.status_code in (400, 409)
    path = f"/api/users/{agent.user['id']}/"
    assert tenant.ok("PATCH", path, {"role": "supervisor"})["role"] == "supervisor"
    assert tenant.delete(path).status_code == 204
    assert tenant.get(path).status_code == 404
    assert agent.post("/api/auth/refresh/", {"refresh": agent.refresh},
                      token=False).status_code == 401


def test_me_can_be_changed(tenant, line):
    changed = tenant.ok("PATCH", "/api/auth/me/", {"name": "Ada", "time_zone": "Europe/Berlin",
                                                   "default_profile_id": line["id"]})
    assert changed["name"] == "Ada" and changed["time_zone"] == "Europe/Berlin"
    assert tenant.me()["default_profile_id"] == line["id"]
    assert tenant.patch("/api/auth/me/", {"time_zone": "Mars/Olympus"}).status_code == 400


@pytest.mark.core
def test_an_operator_makes_an_admin_at_the_console(own_daemon):
    import subprocess
    from peers.daemon import binary
    daemon = own_daemon()
    email = f"{net.token()}@example.com"
    done = subprocess.run([str(binary()), "create-admin", email, "--data",
                           str(daemon.directory / "data")], input=f"{PASSWORD}\n", text=True,
                          capture_output=True, env=daemon.env, cwd=daemon.directory, check=False)
    assert done.returncode == 0, done.stderr
    assert daemon.client().login(email).me()["role"] == "admin"
