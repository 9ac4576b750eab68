"""What is wrong is named clearly, and hurts nobody."""
import json
import random
import socket

import pytest

from peers import net
from peers.ear import Ear

GOOD = {"name": "line", "server": "sip.example.com", "username": "u", "password": "p",
        "transport": "udp"}


@pytest.fixture
def tenant(daemon):
    """One tenant for all of this file: nothing here may leave a trace in it."""
    if not hasattr(daemon, "bad_input_tenant"):
        daemon.bad_input_tenant = daemon.signup()
    return daemon.bad_input_tenant


@pytest.fixture
def line(daemon, tenant, provider):
    if not hasattr(daemon, "bad_input_line"):
        daemon.bad_input_line = tenant.registered_profile(provider)
    return daemon.bad_input_line


def profile_count(tenant):
    return tenant.ok("GET", "/api/list-sip-profiles/")["count"]


def raw(tenant, path, data, content_type="application/json", method="POST"):
    return tenant.request(method, path, data=data, headers={"Content-Type": content_type})


@pytest.mark.parametrize("data", [
    b"", b"{", b"[1,2", b"nonsense", b'{"name": }', b"\xff\xfe\x00", b'{"name": "\xc3\x28"}',
    b'{"a":' * 5000, b"[" * 20000, b"7", b"[]", b"null", b'"text"', b'{"name": "a\\u0000b"}'])
def test_malformed_json(tenant, data):
    for path in ("/api/add-sip-profile/", "/api/make-call/"):
        reply = raw(tenant, path, data)
        assert reply.status_code == 400, (path, reply.text)
        assert reply.json(), "and says so in JSON"


@pytest.mark.parametrize("field, value", [
    ("name", 7), ("name", None), ("name", "x" * 10000), ("name", "a\r\nb"),
    ("server", ""), ("server", None), ("server", 5), ("server", ["a"]), ("server", "a b"),
    ("server", "x" * 300), ("server", "-bad-.example"), ("server", "a..b"),
    ("server", "sip.example.com\r\nVia: x"), ("server", "300.1.2.3:99999"), ("server", "<>"),
    ("port", 0), ("port", -1), ("port", 65536), ("port", "5060x"), ("port", 1e99),
    ("port", 5060.5), ("port", True), ("port", {}),
    ("transport", "carrier-pigeon"), ("transport", 1), ("transport", None), ("transport", "UDP;x"),
    ("username", ""), ("username", "a\nb"), ("username", "x" * 10000), ("username", "a@b>;x"),
    ("password", 9), ("password", "x" * 10000), ("password", "a\r\nb"),
    ("expires", -5), ("expires", 0), ("expires", "soon"), ("expires", 10 ** 12),
    ("codecs", "PCMU"), ("codecs", ["MP3"]), ("codecs", []), ("codecs", [1]),
    ("codecs", ["PCMU"] * 100),
    ("dtmf_mode", "shout"), ("srtp", "maybe"), ("record", "sometimes"),
    ("max_calls", 0), ("max_calls", -1), ("max_calls", 10 ** 9), ("max_calls", "many"),
    ("register", "yes"), ("register", 1),
    ("caller_id", "x"), ("caller_id", {"number": "1", "mode": "loud"}),
    ("caller_id", {"number": "+49\r\nX-Evil: 1", "name": "x", "mode": "from"}),
    ("caller_id", {"number": "1", "name": "x\r\nX-Evil: 1", "mode": "from"}),
    ("incoming", "owner"), ("incoming", {"type": "nowhere"}), ("incoming", {}),
    ("incoming", {"type": "number"}), ("incoming", {"type": "user", "user_id": "x"}),
    ("outbound_proxy", "a b\r\nc"), ("outbound_proxy", 7)])
def test_a_bad_field_of_a_profile_is_named(tenant, field, value):
    before = profile_count(tenant)
    reply = tenant.post("/api/add-sip-profile/", {**GOOD, field: value})
    assert reply.status_code == 400, reply.text
    body = reply.json()
    assert field in body, body
    messages = body[field]
    assert messages and json.dumps(messages).count(" ") >= 1, "a sentence"
    assert profile_count(tenant) == before


def test_all_bad_fields_are_named_at_once(tenant):
    reply = tenant.post("/api/add-sip-profile/", {"server": "", "port": 70000, "transport": "x"})
    assert reply.status_code == 400
    assert {"server", "port", "transport", "username"} <= set(reply.json())


@pytest.mark.parametrize("value", [
    "", None, 7, "x" * 10000, "1" * 10000, "100\r\nX-Evil: 1", "100>;evil", "sip:a@evil.example",
    "100;transport=tcp", "%0d%0a", ["100"], "a@b"])
def test_a_bad_number_is_not_dialled(tenant, line, far_end, value):
    reply = tenant.post("/api/make-call/", {"profile_id": line["id"], "to": value,
                                            "connect": {"echo": True}})
    assert reply.status_code in (400, 403), reply.text
    assert reply.status_code == 403 or "to" in reply.json()
    assert tenant.calls() == []


@pytest.mark.parametrize("body", [
    {"connect": {}}, {"connect": {"teleport": 1}}, {"connect": "echo"}, {"connect": {"say": ""}},
    {"connect": {"say": "x" * 100000}}, {"connect": {"device": 7}},
    {"connect": {"number": "1\r\n2"}}, {"connect": {"play": "no-such"}},
    {"ring_timeout_s": -1}, {"ring_timeout_s": "long"}, {"max_duration_s": 0},
    {"max_duration_s": 10 ** 12}, {"caller_id": {"number": "1\r\nX: y"}},
    {"caller_id": {"number": "1", "name": "\r\nX: y"}}, {"variables": "x"},
    {"variables": {"a": "x" * 100000}}])
def test_a_bad_call_is_refused(tenant, line, body):
    reply = tenant.post("/api/make-call/", {"profile_id": line["id"], "to": "100",
                                            "connect": {"echo": True}, **body})
    assert reply.status_code in (400, 404, 413), reply.text
    assert tenant.calls() == []


@pytest.mark.parametrize("profile_id", ["00000000-0000-7000-8000-000000000000", "x", "", None, 7])
def test_an_unknown_profile(tenant, profile_id):
    for path, more in (("/api/make-call/", {"to": "100"}), ("/api/set-caller-id/",
                                                            {"number": "1"})):
        reply = tenant.post(path, {"profile_id": profile_id, **more})
        assert reply.status_code in (400, 404), reply.text
        assert reply.json().get("detail") or "profile_id" in reply.json()


def test_caller_ids_cannot_inject_headers(tenant, line, far_end):
    for body in ({"number": "+49\r\nX-Evil: 1"}, {"number": "1", "name": "a\r\nX-Evil: 1"},
                 {"number": "1", "name": "a\nb"}, {"number": "1", "name": "x" * 10000},
                 {"number": "1" * 10000}, {"number": "1", "name": "a\x00b"},
                 {"number": '1"<sip:evil@x>'}):
        reply = tenant.post("/api/set-caller-id/", {"profile_id": line["id"], **body})
        assert reply.status_code == 400, (body, reply.text)
    # What is allowed in a name is quoted, not interpreted.
    name = 'A "B" \\ <sip:evil@evil.example>;tag=1, "C'
    reply = tenant.post("/api/set-caller-id/", {"profile_id": line["id"], "number": "4711",
                                                "name": name, "mode": "from"})
    if reply.status_code == 200:
        tenant.make_call(line, far_end.number, {"echo": True})
        call = far_end.expect_invite()
        assert call.invite.user("from") != "evil"
        assert len(call.invite.all("from")) == 1 and not call.invite.all("x-evil")
        call.reply(486)
    else:
        assert reply.status_code == 400


def test_large_bodies_are_refused(tenant, daemon):
    for size in (1 << 20, 4 << 20):
        reply = raw(tenant, "/api/add-sip-profile/", b'{"name":"' + b"x" * size + b'"}')
        assert reply.status_code == 413, reply.text
    assert tenant.me()["id"]


def test_http_conventions(tenant):
    assert raw(tenant, "/api/add-sip-profile/", b"a=b",
               "application/x-www-form-urlencoded").status_code == 415
    reply = tenant.request("PUT", "/api/make-call/", {})
    assert reply.status_code == 405 and "POST" in reply.headers["Allow"]
    assert tenant.get("/api/no-such-thing/").status_code == 404
    assert tenant.get("/api/no-such-thing/").json()["detail"]
    for path in ("/api/list-sip-profiles", "/api/list-sip-profiles/"):
        assert tenant.get(path).status_code == 200, "with and without the slash"
    reply = tenant.get("/api/list-sip-profiles/?page=99")
    assert reply.status_code == 404 and reply.json()["detail"] == "Invalid page."
    assert tenant.get("/api/list-sip-profiles/?state=no-such").status_code == 400
    assert tenant.get("/api/call-logs/?type=no-such").status_code == 400
    assert tenant.get("/api/call-logs/?started_after=yesterday").status_code == 400
    for path in ("/api/sip-profiles/../../etc/passwd", "/api/sip-profiles/%00/",
                 "/api/sip-profiles/%ff%fe/", "/api/calls/" + "x" * 3000 + "/"):
        assert tenant.get(path, check=False).status_code in (400, 404, 414)


def test_sql_and_scripts_are_only_text(tenants, provider):
    tenant = tenants()
    name = "'; DROP TABLE sip_profile; -- <script>alert(1)</script> \U0001F600"
    user = provider.add_user(net.token("line"))
    profile = tenant.add_profile(provider, user, name=name)
    assert tenant.profile(profile["id"])["name"] == name
    assert tenant.ok("GET", "/api/list-sip-profiles/?search=%27%3B%20DROP")["count"] == 1
    assert tenant.ok("GET", "/api/list-sip-profiles/?search=%25")["count"] == 0, "no wildcard"


# ---- the SIP side ----


def drops(daemon):
    return sum(value for name, value in daemon.metrics().items()
               if "sip" in name and any(word in name for word in ("drop", "unknown", "reject",
                                                                  "ignored", "refused")))


def flood(daemon, make, count, seconds=20):
    """Send count datagrams from an unknown address; how many answers came."""
    answers = 0
    deadline = net.Deadline(seconds)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((net.fresh_address(), 5060))
        sender.setblocking(False)
        for number in range(count):
            if deadline.passed():
                break
            try:
                sender.sendto(make(number, sender.getsockname()), (daemon.address, 5060))
                sender.recv(4096)
                answers += 1
            except BlockingIOError:
                pass
    return answers


def stray(method):
    def make(number, source):
        return (f"{method} sip:admin@x SIP/2.0\r\nVia: SIP/2.0/UDP {source[0]}:{source[1]};"
                f"branch=z9hG4bKf{number}\r\nFrom: <sip:evil@x>;tag={number}\r\n"
                f"To: <sip:admin@x>\r\nCall-ID: flood{number}\r\nCSeq: 1 {method}\r\n"
                f"Contact: <sip:evil@{source[0]}>\r\nMax-Forwards: 70\r\n"
                "Content-Length: 0\r\n\r\n").encode()
    return make


@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "OPTIONS"])
def test_a_flood_from_unknown_sources_is_dropped(own_daemon, provider, agents, method):
    daemon = own_daemon(env={"JACKFIELD_LOG_PERSONAL": "yes"})
    tenant = daemon.signup()
    line = tenant.registered_profile(provider)
    before = drops(daemon)
    answers = flood(daemon, stray(method), 5000)
    assert answers < 2500, f"most are not even answered ({answers})"
    net.until(lambda: drops(daemon) > before, 5, "a metric counts them")
    told = [text for text in daemon.log().splitlines() if '"stranger dropped"' in text]
    assert 0 < len(told) < 300, "a few lines a second, not one for each"
    assert not any(f"source={daemon.address}:" in text for text in told), "who it was, not we"
    # Those who belong here notice nothing.
    far = agents(net.token("far"))
    number = provider.add_number(f"+4930{net.digits(7)}", far.address)
    events = tenant.events()
    call = tenant.make_call(line, number, {"echo": True})
    remote = far.expect_invite(ear=Ear(far.address, tone=620)).answer()
    remote.ear.wait_tone(620)
    remote.bye()
    events.wait_ended(call["id"])
    tenant.log_row(call["id"])
    assert [r["id"] for r in tenant.logs()] == [call["id"]], "nothing of the flood is in the log"
    tenant.close()


def test_garbage_on_the_sip_ports_is_survived(own_daemon):
    daemon = own_daemon()
    rng = random.Random(5060)

    def garbage(number, source):
        kind = number % 5
        good = stray("INVITE")(number, source)
        if kind == 0:
            return rng.randbytes(rng.randrange(1, 1400))
        if kind == 1:
            return good[:rng.randrange(1, len(good))]
        if kind == 2:
            return good.replace(b"Call-ID", b"Call-ID: x\r\n" * 200 + b"Call-ID", 1)[:8000]
        if kind == 3:
            return good.replace(b"Content-Length: 0", b"Content-Length: -1")
        return bytes(b if rng.random() > 0.02 else rng.randrange(256) for b in good)
    flood(daemon, garbage, 2000)
    for data in (rng.randbytes(5000), b"\r\n\r\n" * 1000, b"INVITE sip:x SIP/2.0\r\n" * 2000,
                 b"INVITE sip:x SIP/2.0\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100000):
        with socket.create_connection((daemon.address, 5060), timeout=5) as stream:
            try:
                stream.sendall(data)
            except OSError:
                pass  # it may close on us
    assert daemon.ready()
    tenant = daemon.signup()
    assert tenant.me()["role"] == "admin"
    assert daemon.process.poll() is None
    tenant.close()
