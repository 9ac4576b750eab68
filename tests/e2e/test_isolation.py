"""Every route, tried by those who may not: without a token, from another tenant, by role.

The table names each route that `jackfield routes` prints; a route that is not in it fails the
test, so nobody can add one without saying who may use it.
"""
import dataclasses
import re

import pytest

from peers import ear, net

NOBODY = "00000000-0000-7000-8000-000000000000"


@dataclasses.dataclass
class Route:
    """What is tried on a route. `thing`: whose id goes into the path (its first {parameter}) and,
    as `member`, into the body or the query. `role`: the least role that may use it at all.
    `own`: an agent may not touch a colleague's thing (403), nor a supervisor change it."""
    open: bool = False
    thing: str = None
    member: str = None
    query: str = None
    body: dict = dataclasses.field(default_factory=dict)
    role: str = "agent"
    own: bool = True


OPEN = Route(open=True)
CONNECT = {"connect": {"echo": True}}

TABLE = {
    "GET /healthz": OPEN, "GET /readyz": OPEN, "GET /metrics": OPEN,
    "GET /api/schema": OPEN, "GET /api/docs": OPEN, "GET /api/docs/docs.js": OPEN,
    "POST /api/auth/signup": OPEN, "POST /api/auth/login": OPEN, "POST /api/auth/refresh": OPEN,
    "POST /api/auth/logout": OPEN,
    "GET /api/auth/me": Route(), "PATCH /api/auth/me": Route(),
    "POST /api/auth/change-password": Route(),

    "GET /api/users": Route(role="admin"), "POST /api/users": Route(role="admin"),
    "GET /api/users/{}": Route(role="admin", thing="user"),
    "PATCH /api/users/{}": Route(role="admin", thing="user"),
    "DELETE /api/users/{}": Route(role="admin", thing="user"),

    "POST /api/add-sip-profile": Route(),
    "GET /api/list-sip-profiles": Route(),
    "GET /api/sip-profiles/{}": Route(thing="profile"),
    "PATCH /api/sip-profiles/{}": Route(thing="profile", body={"name": "mine now"}),
    "DELETE /api/sip-profiles/{}": Route(thing="profile"),
    "DELETE /api/delete-sip-profile": Route(thing="profile", query="profile_id"),
    "POST /api/register-sip": Route(thing="profile", member="profile_id"),
    "POST /api/set-caller-id": Route(thing="profile", member="profile_id",
                                     body={"number": "100"}),
    "POST /api/test-sip-profile": Route(),

    "GET /api/devices": Route(), "POST /api/devices": Route(),
    "DELETE /api/devices/{}": Route(thing="device"),

    "GET /api/prompts": Route(),
    "POST /api/prompts": Route(role="supervisor", body={"name": "x", "say": "x"}),
    "GET /api/prompts/{}": Route(thing="prompt", own=False),
    "DELETE /api/prompts/{}": Route(thing="prompt", own=False, role="supervisor"),
    "GET /api/prompts/{}/audio": Route(thing="prompt", own=False),

    "POST /api/make-call": Route(thing="profile", member="profile_id",
                                 body={"to": "100", **CONNECT}),
    "GET /api/calls": Route(),
    "GET /api/calls/{}": Route(thing="call"),
    "GET /api/calls/{}/timeline": Route(thing="call"),
    "POST /api/answer-call": Route(thing="call", member="call_id", body=CONNECT),
    "POST /api/hangup-call": Route(thing="call", member="call_id"),
    "POST /api/dtmf": Route(thing="call", member="call_id", body={"digits": "1"}),
    "POST /api/transfer-call": Route(thing="call", member="call_id", body={"to": "0301"}),
    "POST /api/hold-call": Route(thing="call", member="call_id", body={"action": "hold"}),
    "POST /api/mute-call": Route(thing="call", member="call_id",
                                 body={"leg_id": NOBODY, "muted": True}),

    "POST /api/conference": Route(thing="room", member="room", body={"action": "lock"}),
    "GET /api/conferences": Route(),
    "GET /api/conferences/{}": Route(thing="room"),

    "POST /api/record-call": Route(thing="call", member="call_id", body={"action": "stop"}),
    "GET /api/recordings": Route(),
    "GET /api/recordings/{}": Route(thing="recording"),
    "DELETE /api/recordings/{}": Route(thing="recording", role="admin"),
    "PATCH /api/recordings/{}": Route(thing="recording", role="admin",
                                      body={"legal_hold": False}),
    "GET /api/recording-settings": Route(),
    "PATCH /api/recording-settings": Route(role="admin", body={"retention_days": None}),
    "GET /api/download-recording": Route(thing="recording", query="recording_id"),

    "GET /api/live-monitoring": Route(role="supervisor"),
    "POST /api/live-monitoring": Route(thing="call", member="call_id", own=False,
                                       role="supervisor", body={"mode": "listen"}),
    "GET /api/live-monitoring/{}": Route(thing="monitor", role="supervisor"),
    "PATCH /api/live-monitoring/{}": Route(thing="monitor", role="supervisor",
                                           body={"mode": "barge"}),
    "DELETE /api/live-monitoring/{}": Route(thing="monitor", role="supervisor"),
    "GET /api/audit": Route(role="admin"),

    "GET /api/call-logs": Route(),
    "POST /api/ws-ticket": Route(),
    "GET /ws/events": Route(),
}


def key_of(method, path):
    return f"{method} {re.sub(r'{[^}]*}', '{}', path.rstrip('/')) or '/'}"


@pytest.fixture
def routes(daemon):
    return [key_of(method, path) for method, path, *_ in daemon.routes()]


def test_every_route_is_in_the_table(routes):
    assert routes, "jackfield routes prints them"
    assert sorted(set(routes) - set(TABLE)) == [], "say in TABLE who may use the new route"


def attempt(client, key, things=None, **more):
    """The request of a table's row with the given things' ids."""
    method, path = key.split()
    row = TABLE[key]
    wanted = (things or {}).get(row.thing, NOBODY)
    path = path.replace("{}", wanted, 1)
    if path != "/healthz" and not path.startswith(("/ws", "/metrics", "/readyz")):
        path += "/"
    if row.query:
        path += f"?{row.query}={wanted}"
    body = None
    if method in ("POST", "PATCH", "PUT"):
        body = dict(row.body)
        if row.member:
            body[row.member] = wanted
    return client.request(method, path, body, **more)


@pytest.mark.core
@pytest.mark.parametrize("token", [None, "nonsense", "expired"])
def test_without_a_token_every_route_is_closed(daemon, tenant, routes, token):
    bad = {None: False, "nonsense": "nonsense",
           "expired": tenant.access[:-6] + "AAAAAA"}[token]
    wrong = []
    for key in routes:
        if TABLE.get(key, OPEN).open:
            continue
        reply = attempt(tenant, key, token=bad)
        if reply.status_code != 401 or "Bearer" not in reply.headers.get("WWW-Authenticate", ""):
            wrong.append((key, reply.status_code))
    assert wrong == []


def recorded(tenant, line, far_end):
    """A recording that is ready: its id."""
    call = tenant.make_call(line, far_end.number, {"echo": True}, record=True)
    remote = far_end.expect_invite(ear=ear.Ear(far_end.address)).answer()
    remote.ear.wait_packets(20)
    tenant.hangup(call["id"])
    remote.wait_ended()
    return net.until(lambda: tenant.ok("GET", f"/api/recordings/?call_id={call['id']}&state=ready")
                     ["results"], 5, "the recording is ready")[0]["id"]


def monitored(tenant, line, far_end, supervisor):
    """Somebody was about to listen to a call that has ended: the monitor's id."""
    call = tenant.make_call(line, far_end.number, {"echo": True})["id"]
    remote = far_end.expect_invite(ear=ear.Ear(far_end.address)).answer()
    net.until(lambda: tenant.call(call)["state"] == "answered", 5, "it is answered")
    monitor = tenant.ok("POST", "/api/live-monitoring/",
                        {"call_id": call, "mode": "listen",
                         "connect": {"number": supervisor.number, "profile_id": line["id"]}}, 201)
    supervisor.expect_invite()
    tenant.hangup(call)
    remote.wait_ended()
    tenant.log_row(call)
    return monitor["id"]


@pytest.fixture
def things(tenant, provider, far_end, far_ends):
    """One thing of each kind that belongs to `tenant`, with a live call."""
    line = tenant.registered_profile(provider, record="on_demand")
    recording = recorded(tenant, line, far_ends())
    monitor = monitored(tenant, line, far_ends(), far_ends())
    call = tenant.make_call(line, far_end.number, {"echo": True})
    remote = far_end.expect_invite()
    remote.ring()
    room = net.token("room")
    tenant.ok("POST", "/api/conference/", {"room": room, "action": "create"}, 201)
    yield {"room": room, "profile": line["id"], "recording": recording, "call": call["id"], "monitor": monitor,
           "device": tenant.add_device()["id"], "user": tenant.add_user("agent").user["id"],
           "prompt": tenant.add_prompt("Tone", ear.tone(850, 0.5))["id"]}
    tenant.hangup(call["id"])
    tenant.ok("POST", "/api/conference/", {"room": room, "action": "end"})


@pytest.mark.core
def test_another_tenants_things_are_not_there(tenants, tenant, routes, things):
    intruder = tenants()
    wrong = []
    for key in routes:
        if TABLE.get(key, OPEN).thing:
            reply = attempt(intruder, key, things)
            if reply.status_code != 404:
                wrong.append((key, reply.status_code, reply.text[:200]))
    assert wrong == []
    # The same requests with ids that never were give the very same answer.
    for key in routes:
        if TABLE.get(key, OPEN).thing:
            foreign, nowhere = attempt(intruder, key, things), attempt(intruder, key)
            assert (foreign.status_code, foreign.text) == (nowhere.status_code, nowhere.text), key
    assert tenant.profile(things["profile"])["registration"]["state"] == "registered"
    assert tenant.call(things["call"])["state"] != "ended"


@pytest.mark.core
def test_roles(tenant, routes, things):
    agent, supervisor = tenant.add_user("agent"), tenant.add_user("supervisor")
    wrong = []
    for key in routes:
        row = TABLE.get(key, OPEN)
        if row.open:
            continue
        for client, role in ((agent, "agent"), (supervisor, "supervisor")):
            reading = key.startswith("GET ")
            forbidden = row.role == "admin" or (row.role, role) == ("supervisor", "agent") or (
                row.thing and row.own and (role == "agent" or not reading))
            if forbidden:
                reply = attempt(client, key, things)
                if reply.status_code != 403:
                    wrong.append((role, key, reply.status_code, reply.text[:200]))
            elif reading and key != "GET /ws/events":
                reply = attempt(client, key, things)
                if reply.status_code != 200:
                    wrong.append((role, key, reply.status_code, reply.text[:200]))
    assert wrong == []
    assert tenant.profile(things["profile"])["registration"]["state"] == "registered"
    assert tenant.call(things["call"])["state"] != "ended"


def test_a_colleagues_call_is_not_to_be_moved_into_a_room(tenant, tenants, things):
    agent, stranger = tenant.add_user("agent"), tenants()
    body = {"action": "join", "room": "mine", "call_id": things["call"]}
    for extra in ({}, {"pin": "1234"}):
        assert agent.post("/api/conference/", {**body, **extra}).status_code == 403
        assert stranger.post("/api/conference/", {**body, **extra}).status_code == 404
    tenant.hangup(things["call"])
    tenant.log_row(things["call"])
    gone = tenant.post("/api/conference/", body)
    assert (gone.status_code, gone.json()["state"]) == (409, "ended")
    assert agent.post("/api/conference/", body).status_code == 403


def test_an_agents_lists_hold_only_what_is_theirs(tenant, things):
    agent = tenant.add_user("agent")
    supervisor = tenant.add_user("supervisor")
    tenant.hangup(things["call"])
    tenant.log_row(things["call"])
    for path in ("/api/list-sip-profiles/", "/api/call-logs/"):
        assert agent.ok("GET", path)["results"] == [], path
        assert supervisor.ok("GET", path)["results"], path
    assert agent.ok("GET", "/api/devices/")["results"] == []


def test_an_agent_does_not_see_a_colleagues_live_call(tenant, things):
    agent, supervisor = tenant.add_user("agent"), tenant.add_user("supervisor")
    assert agent.calls() == []
    assert [c["id"] for c in supervisor.calls()] == [things["call"]]


def test_a_body_cannot_name_another_tenants_things(tenants, tenant, things, provider, far_end):
    """Ids inside a body: devices, users and profiles of others are as good as unknown."""
    intruder = tenants()
    line = intruder.registered_profile(provider)
    tries = [
        ("POST", "/api/make-call/", {"profile_id": line["id"], "to": far_end.number,
                                     "connect": {"device": things["device"]}}),
        ("POST", "/api/make-call/", {"profile_id": line["id"], "to": far_end.number,
                                     "connect": {"number": "100",
                                                 "profile_id": things["profile"]}}),
        ("PATCH", f"/api/sip-profiles/{line['id']}/",
         {"incoming": {"type": "user", "user_id": things["user"]}}),
        ("PATCH", f"/api/sip-profiles/{line['id']}/",
         {"incoming": {"type": "number", "number": "100", "profile_id": things["profile"]}}),
        ("PATCH", "/api/auth/me/", {"default_profile_id": things["profile"]}),
        ("POST", "/api/make-call/", {"profile_id": line["id"], "to": far_end.number,
                                     "connect": {"play": things["prompt"]}}),
    ]
    for method, path, body in tries:
        assert intruder.request(method, path, body).status_code in (400, 404), (path, body)


def test_what_a_body_may_not_set(tenant, tenants):
    """Members that belong to the platform are not taken from a body."""
    other = tenants()
    agent = tenant.add_user("agent")
    agent.patch("/api/auth/me/", {"role": "admin", "tenant": other.me()["tenant"],
                                  "tenant_id": other.me()["tenant"]["id"]})
    me = agent.me()
    assert me["role"] == "agent" and me["tenant"] == tenant.me()["tenant"]
    profile = tenant.add_profile(server=net.fresh_address(), user="trunk", register=False,
                                 id=NOBODY, tenant=NOBODY)
    assert profile["id"] != NOBODY
    # An owner elsewhere is as unknown as one that never was.
    for stranger in (other.user["id"], NOBODY):
        reply = tenant.post("/api/add-sip-profile/",
                            {"server": net.fresh_address(), "username": "given", "password": "x",
                             "owner": stranger})
        assert (reply.status_code, reply.json()) == (400, {"owner": ["There is no such user."]})
    assert other.ok("GET", "/api/list-sip-profiles/")["count"] == 0
