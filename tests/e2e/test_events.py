"""The live stream: complete, in order, resumable, and never waiting for anybody."""
import json
import socket

import pytest
import websocket

from peers import net
from peers.daemon import Events
from peers.ear import Ear


def one_call(tenant, line, far_end, events):
    call = tenant.make_call(line, far_end.number, {"echo": True})
    remote = far_end.expect_invite(ear=Ear(far_end.address))
    remote.ring()
    events.wait_call("ringing", call["id"])
    remote.answer()
    events.wait_call("answered", call["id"])
    remote.bye()
    events.wait_ended(call["id"])
    return call["id"]


@pytest.mark.core
def test_hello_snapshot_and_events_in_order(tenant, line, far_end):
    events = tenant.events()
    assert events.hello["session"] and events.hello["heartbeat_ms"] > 0
    assert events.hello["oldest_seq"] <= events.hello["seq"], "with nothing kept: the newest"
    assert events.snapshot["as_of_seq"] >= 0
    registrations = {r["profile_id"]: r["state"] for r in events.snapshot["registrations"]}
    assert registrations[line["id"]] == "registered"
    call_id = one_call(tenant, line, far_end, events)
    live = [m for m in events.all() if "seq" in m and m["type"] not in ("hello", "snapshot")]
    seqs = [m["seq"] for m in live]
    assert seqs == sorted(set(seqs)) and seqs[0] > events.snapshot["as_of_seq"]
    of_call = [m for m in live if m["call_id"] == call_id]
    types = [m["type"] for m in of_call]
    wanted = ["call.created", "call.ringing", "call.answered", "call.ended"]
    assert [t for t in types if t in wanted] == wanted
    call_seqs = [m["call_seq"] for m in of_call]
    assert call_seqs == sorted(set(call_seqs))
    assert len({m["id"] for m in live}) == len(live)
    for message in of_call:
        assert message["profile_id"] == line["id"]
        assert message["data"]["id"] == call_id and message["data"]["legs"] is not None


@pytest.mark.core
def test_a_client_resumes_where_it_was(tenant, line, far_end):
    witness = tenant.events()
    leaver = tenant.events()
    seen = leaver.snapshot["as_of_seq"]
    leaver.close()
    one_call(tenant, line, far_end, witness)
    expected = [m["id"] for m in witness.all() if m.get("seq", 0) > seen
                and m["type"] not in ("hello", "snapshot")]
    back = tenant.events(since=seen)
    back.wait_for("call.ended")
    got = [m["id"] for m in back.all() if m["type"] not in ("hello", "snapshot")]
    assert got == expected, "all of them, in order, none twice"
    assert back.all("snapshot") == []


def test_a_live_call_is_in_the_snapshot(tenant, line, far_end):
    first = tenant.events()
    call = tenant.make_call(line, far_end.number, {"echo": True})
    remote = far_end.expect_invite(ear=Ear(far_end.address)).answer()
    first.wait_call("answered", call["id"])
    second = tenant.events()
    shown = {c["id"]: c["state"] for c in second.snapshot["calls"]}
    assert shown == {call["id"]: "answered"}
    remote.bye()
    second.wait_ended(call["id"])


def test_topics_select(tenant, provider, far_end):
    calls_only = tenant.events(topics=["calls"])
    everything = tenant.events()
    line = tenant.registered_profile(provider)
    everything.wait_registration(line["id"], "registered")
    one_call(tenant, line, far_end, calls_only)
    assert calls_only.all("registration.changed") == []


def test_tenants_see_only_their_own(tenants, provider, far_ends):
    first, second = tenants(), tenants()
    theirs = second.events()
    line = first.registered_profile(provider)
    own = first.events()
    one_call(first, line, far_ends(), own)
    other_line = second.registered_profile(provider)
    one_call(second, other_line, far_ends(), theirs)
    assert all(m["profile_id"] == other_line["id"] for m in theirs.all() if m.get("profile_id"))


def test_an_agent_sees_only_own_calls(tenant, line, far_end):
    agent = tenant.add_user("agent")
    supervisor = tenant.add_user("supervisor")
    agents_view, supervisors_view, own = agent.events(), supervisor.events(), tenant.events()
    call_id = one_call(tenant, line, far_end, own)
    supervisors_view.wait_ended(call_id)
    # What the agent gets next is the agent's own: so nothing of the call came before.
    device = agent.add_device()
    assert device["id"]
    assert agents_view.all(call_id=call_id) == []


def test_a_ticket_opens_the_stream_once(tenant):
    ticket = tenant.ok("POST", "/api/ws-ticket/", {})["ticket"]
    assert Events(tenant, ["calls"], ticket=ticket).snapshot
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        Events(tenant, ["calls"], ticket=ticket)
    assert refused.value.status_code == 401


def test_a_bad_token_does_not_open_it(tenant):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        Events(tenant, ["calls"], token="nonsense")
    assert refused.value.status_code == 401


def test_a_foreign_origin_is_refused(tenant):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"ws://{tenant.daemon.http}/ws/events",
                                    subprotocols=["jackfield.v1", f"bearer.{tenant.access}"],
                                    origin="https://evil.example", timeout=5)
    assert refused.value.status_code == 403


def test_nonsense_does_not_hurt(tenant, line, far_end):
    events = tenant.events()
    for text in ("", "{", "[]", '"x"', '{"type":"subscribe","topics":"calls"}',
                 '{"type":"subscribe","topics":["no-such"],"since":-1}', '{"type":7}',
                 json.dumps({"type": "subscribe", "topics": ["calls"] * 5000})):
        other = Events(tenant, [], subscribe=False)
        other.socket.send(text)
        other.socket.send_binary(b"\xff\xfe")
    one_call(tenant, line, far_end, events)


@pytest.mark.core
@pytest.mark.timeout(120)
def test_a_slow_client_is_closed_and_nobody_waits(own_daemon, provider, agents):
    """Many events, a client that never reads: it is closed with 4408, the others go on."""
    daemon = own_daemon()
    tenant = daemon.signup()
    line = tenant.registered_profile(provider)
    far = agents(net.token("far"))
    number = provider.add_number(f"+4930{net.digits(7)}", far.address)
    far.on_invite = lambda call: call.reply(486)
    events = tenant.events()
    slow = socket.create_connection(tuple(daemon.http.split(":")), timeout=10)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client = websocket.create_connection(
        f"ws://{daemon.http}/ws/events", socket=slow,
        subprotocols=["jackfield.v1", f"bearer.{tenant.access}"])
    client.send(json.dumps({"type": "subscribe", "topics": ["calls"]}))

    def closed():
        return any(value > 0 for name, value in daemon.metrics().items()
                   if "slow" in name)
    made = 0
    deadline = net.Deadline(50)
    while not closed() and not deadline.passed():
        for _ in range(20):
            reply = tenant.post("/api/make-call/", {
                "profile_id": line["id"], "to": number, "connect": {"echo": True},
                "variables": {"note": "x" * 1500}})
            made += reply.status_code == 201
    assert closed(), f"after {made} calls"
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    slow.settimeout(10)
    codes = []
    with pytest.raises((OSError, websocket.WebSocketException, StopIteration)):
        while True:
            opcode, data = client.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                codes.append(int.from_bytes(data[:2], "big"))
                raise StopIteration
    assert codes in ([4408], []), "told why, when the close still fits"
    net.until(lambda: len(events.all("call.ended")) == made, 20, "the other client got all")
    assert events.close_code is None
    tenant.close()
