"""What must survive: the daemon's sudden death, the database's absence, a stop."""
import json
import signal
import time
import uuid
from datetime import datetime, timezone

import pytest
import requests

from peers import net
from peers.ear import Ear
from peers.talk import echo_call, wait_no_calls


def answer_silently(agent, call):
    call.ear = Ear(agent.address, tone=None)
    call.ring()
    call.answer()


def tenants_with_lines(daemon, provider, count):
    """[(client, registered profile)]"""
    made = []
    for _ in range(count):
        client = daemon.signup()
        made.append((client, client.registered_profile(provider)))
    return made


@pytest.mark.core
@pytest.mark.timeout(120)
def test_killed_in_the_middle_of_fifty_calls(own_daemon, provider, sipp):
    daemon = own_daemon()
    answering, ringing = sipp("answer.xml", calls=100), sipp("ring.xml", calls=100)
    answered_number = provider.add_number(f"+4940{net.digits(7)}", answering.address)
    ringing_number = provider.add_number(f"+4940{net.digits(7)}", ringing.address)
    homes = tenants_with_lines(daemon, provider, 5)
    streams = [client.events() for client, _ in homes]
    made = []
    for index in range(50):
        client, line = homes[index % 5]
        number = ringing_number if index >= 40 else answered_number
        made.append((client, client.make_call(line, number, {"echo": True})["id"]))
    for index, (_, call_id) in enumerate(made):
        streams[index % 5].wait_call("ringing" if index >= 40 else "answered", call_id, 20)
    over = made[:5]
    for stream, (client, call_id) in zip(streams, over):
        client.hangup(call_id)
        stream.wait_ended(call_id)
        client.log_row(call_id)
    before = {client: provider.count("REGISTER", line["username"]) for client, line in homes}
    time.sleep(3)  # nothing is heard of the calls in it
    killed = datetime.now(timezone.utc)
    daemon.kill()
    daemon.start()
    for client, line in homes:
        client.login()
        events = client.events()
        if client.profile(line["id"])["registration"]["state"] != "registered":
            events.wait_registration(line["id"], "registered", timeout=20)
        assert provider.count("REGISTER", line["username"]) > before[client]
        assert provider.contacts(line["username"])
        assert client.calls() == [], "none is open"
        expected = sorted(call_id for owner, call_id in made if owner is client)
        rows = {}
        for row in client.logs(page_size=100):
            assert row["id"] not in rows, "once in the log"
            rows[row["id"]] = row
        assert sorted(rows) == expected, "each call is in the log"
        finished = [call_id for owner, call_id in over if owner is client]
        for call_id, row in rows.items():
            assert row["ended_at"], "none is open"
            assert row["state"] == "ended"
            assert row["end_reason"] == ("completed" if call_id in finished else "interrupted")
            if row["answered_at"]:
                assert row["answered_at"] <= row["ended_at"]
            if call_id not in finished:
                lasted = datetime.fromisoformat(row["ended_at"].replace("Z", "+00:00"))
                assert abs((killed - lasted).total_seconds()) < 2.5, "as long as the daemon lived"
        client.close()


@pytest.mark.core
def test_a_new_call_works_after_a_crash(own_daemon, provider, far_ends):
    daemon = own_daemon()
    (client, line), = tenants_with_lines(daemon, provider, 1)
    far = far_ends()
    daemon.kill()
    daemon.start()
    client.login()
    events = client.events()
    if client.profile(line["id"])["registration"]["state"] != "registered":
        events.wait_registration(line["id"], "registered", timeout=20)
    call = client.make_call(line, far.number, {"echo": True})
    remote = far.expect_invite(ear=Ear(far.address, tone=620)).answer()
    remote.ear.wait_tone(620)
    remote.bye()
    events.wait_ended(call["id"])
    assert client.log_row(call["id"])["end_reason"] == "completed"
    client.close()


def online(client):
    return [device for device in client.ok("GET", "/api/devices/")["results"]
            if device["registered"]]


def rings_and_is_heard(client, line, provider, far, desk):
    """A call to the line, taken at the desk; it is in the log, and so is all before it on the disk."""
    calling = far.invite(f"sip:{line['username']}@{provider.address}",
                         ear=Ear(far.address, tone=440))
    desk.expect_invite(ear=Ear(desk.address, tone=620)).answer()
    calling.expect(200)
    calling.ear.wait_tone(620)
    call, = client.calls()
    calling.bye()
    client.log_row(call["id"])


@pytest.mark.core
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_phones_ring_after_a_restart_without_registering_again(own_daemon, provider, agents,
                                                               desk_phones, end):
    daemon = own_daemon()
    (client, line), = tenants_with_lines(daemon, provider, 1)
    desk, gone = desk_phones(client), desk_phones(client, "gone")
    assert gone.register(expires=0).status == 200
    far = agents(net.token("far"))
    rings_and_is_heard(client, line, provider, far, desk)
    before = online(client)
    assert [device["id"] for device in before] == [desk.device["id"]]
    getattr(daemon, end)()
    daemon.start()
    client.login()
    assert online(client) == before
    net.until(lambda: client.profile(line["id"])["registration"]["state"] == "registered", 20,
              "the line is registered again")
    assert len(provider.contacts(line["username"])) == 1, "it is not called twice"
    rings_and_is_heard(client, line, provider, far, desk)
    client.close()


@pytest.mark.timeout(150)
def test_the_database_is_away_for_thirty_seconds(_make_daemon, _postgres, provider, agents, far_ends):
    postgres = _postgres(own=True)
    daemon = _make_daemon("postgresql", postgres=postgres)
    client = daemon.signup()
    line = client.registered_profile(provider)
    device = client.add_device()
    phone = agents(device["username"], device["password"],
                   domain=f"{device['server']}:{device['port']}")
    assert phone.register().status == 200
    far = far_ends()
    events = client.events()

    up_before = client.make_call(line, far.number, {"echo": True})
    remote = far.expect_invite(ear=Ear(far.address, tone=620)).answer()
    events.wait_call("answered", up_before["id"])
    stays_up = client.make_call(line, far.number, {"echo": True})
    staying = far.expect_invite(ear=Ear(far.address, tone=850)).answer()
    events.wait_call("answered", stays_up["id"])

    postgres.stop()
    outage = net.Deadline(30)
    remote.bye()
    assert events.wait_ended(up_before["id"])["end_reason"] == "completed"
    during = []
    while not outage.passed():
        seq = events.last_seq
        caller = far.invite(provider.uri(line["username"]), ear=Ear(far.address, tone=620))
        at_desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
        caller.expect(200)
        call_id = events.wait_for("call.answered", after=seq)["call_id"]
        at_desk.ear.wait_tone(620)
        at_desk.ear.wait_packets(50)
        caller.bye()
        events.wait_ended(call_id)
        during.append(call_id)
        caller.ear.close()
        at_desk.ear.close()
    assert len(during) >= 5
    staying.ear.wait_packets(25)
    assert staying.ear.lost() == 0, "the sound of a call goes on"
    postgres.start()

    net.until(lambda: client.get("/api/auth/me/", check=False).status_code == 200, 30,
              "the API is back", 0.2)
    for call_id in [up_before["id"], *during]:
        row = client.log_row(call_id, timeout=20)
        assert row["end_reason"] == "completed" and row["answered_at"]
    staying.bye()
    events.wait_ended(stays_up["id"])
    client.log_row(stays_up["id"])
    rows = [row["id"] for row in client.logs(page_size=200)]
    assert sorted(rows) == sorted([up_before["id"], stays_up["id"], *during]), "nothing lost"
    seqs = [m["seq"] for m in events.all() if m["type"] not in ("hello", "snapshot")]
    assert seqs == sorted(set(seqs)), "no event missing its place"
    timeline = client.ok("GET", f"/api/calls/{during[0]}/timeline/")
    entries = timeline["results"] if isinstance(timeline, dict) else timeline
    assert "call.answered" in [e["type"] for e in entries]
    client.close()
    daemon.stop()


@pytest.mark.timeout(120)
def test_killed_while_the_database_is_away(_make_daemon, _postgres, provider, far_ends):
    """What happened since the database went is in the spool file, and the next start puts it into the log."""
    postgres = _postgres(own=True)
    daemon = _make_daemon("postgresql", postgres=postgres)
    (client, line), = tenants_with_lines(daemon, provider, 1)
    far = far_ends()
    events = client.events()
    known = client.make_call(line, far.number, {"echo": True})
    before = far.expect_invite(ear=Ear(far.address, tone=620)).answer()
    events.wait_call("answered", known["id"])
    staying = client.make_call(line, far.number, {"echo": True})
    far.expect_invite(ear=Ear(far.address, tone=850)).answer()
    events.wait_call("answered", staying["id"])
    postgres.stop()
    before.bye()
    events.wait_ended(known["id"])
    seq = events.last_seq
    caller = far.invite(provider.uri(line["username"]), ear=Ear(far.address))
    missed = events.wait_for("call.ended", after=seq)["call_id"]
    caller.expect(480)
    spool = daemon.directory / "data"
    net.until(lambda: any(uuid.UUID(missed).bytes in p.read_bytes() for p in spool.iterdir()
                          if p.is_file()), 5, "the missed call in a file")
    assert requests.get(f"http://{daemon.http}/readyz", timeout=10).status_code == 503
    daemon.kill()
    postgres.start()
    daemon.start()
    client.login()
    rows = {row["id"]: row for row in client.logs(page_size=100)}
    assert sorted(rows) == sorted([known["id"], staying["id"], missed])
    assert rows[known["id"]]["end_reason"] == "completed"
    assert rows[staying["id"]]["end_reason"] == "interrupted"
    assert rows[missed]["end_reason"] == "unavailable"
    assert rows[missed]["direction"] == "incoming"
    client.close()
    daemon.stop()


@pytest.mark.core
def test_a_stop_hangs_up_unregisters_and_closes_the_log(own_daemon, provider, far_ends):
    daemon = own_daemon()
    (client, line), = tenants_with_lines(daemon, provider, 1)
    far = far_ends()
    events = client.events()
    call_id, remote = echo_call(client, line, far, events)
    assert daemon.stop(signal.SIGINT) == 0
    remote.wait_ended()
    assert provider.contacts(line["username"]) == []
    assert events.wait_closed() in (1001, 1012, 1006)
    daemon.start()
    client.login()
    row = client.log_row(call_id)
    assert row["end_reason"] in ("completed", "interrupted") and row["hangup_by"] == "platform"
    client.close()


def test_a_drain_lets_calls_finish(own_daemon, provider, far_ends):
    daemon = own_daemon(env={"JACKFIELD_DAEMON_DRAIN_S": "20"})
    (client, line), = tenants_with_lines(daemon, provider, 1)
    far = far_ends()
    events = client.events()
    _, remote = echo_call(client, line, far, events)
    daemon.process.send_signal(signal.SIGTERM)
    net.until(lambda: provider.contacts(line["username"]) == [], 10, "unregistered")
    reply = client.post("/api/make-call/", {"profile_id": line["id"], "to": far.number,
                                            "connect": {"echo": True}}, check=False)
    assert reply.status_code in (503, 409), "no new calls"
    remote.ear.wait_packets(50)
    assert not remote.ended.is_set(), "the call goes on"
    daemon.process.send_signal(signal.SIGTERM)
    remote.ear.wait_packets(25)
    assert not remote.ended.is_set() and daemon.process.poll() is None, "it is draining already"
    remote.bye()
    assert daemon.process.wait(10) == 0, "ends once the last call has ended"
    client.close()


def test_a_drain_is_cut_short(own_daemon, provider, far_ends):
    """SIGTERM, then SIGINT: the call is hung up at once, in an orderly way."""
    daemon = own_daemon(env={"JACKFIELD_DAEMON_DRAIN_S": "600"})
    (client, line), = tenants_with_lines(daemon, provider, 1)
    far = far_ends()
    events = client.events()
    _, remote = echo_call(client, line, far, events)
    daemon.process.send_signal(signal.SIGTERM)
    net.until(lambda: provider.contacts(line["username"]) == [], 10, "unregistered")
    assert daemon.stop(signal.SIGINT) == 0
    remote.wait_ended()
    client.close()


@pytest.mark.core
def test_thirty_calls_come_and_go_at_once(daemon, provider, far_ends):
    homes = tenants_with_lines(daemon, provider, 3)
    far = far_ends()
    far.on_invite = lambda call: answer_silently(far, call)
    streams = [client.events() for client, _ in homes]
    made = []
    for index in range(30):
        client, line = homes[index % 3]
        made.append((index % 3, client.make_call(line, far.number, {"echo": True})["id"]))
    for home, call_id in made:
        streams[home].wait_call("answered", call_id, 20)
    for home, call_id in made:
        homes[home][0].hangup(call_id)
    for home, call_id in made:
        assert streams[home].wait_ended(call_id)["end_reason"] == "completed"
    for client, _ in homes:
        wait_no_calls(client)
        client.close()


@pytest.mark.timeout(90)
def test_a_far_end_that_vanishes_does_not_hold_the_call(own_daemon, provider, far_ends):
    """Neither sound nor an answer any more: the call ends by itself."""
    daemon = own_daemon(env={"JACKFIELD_RTP_SILENCE_S": "5"})
    (client, line), = tenants_with_lines(daemon, provider, 1)
    far = far_ends()
    events = client.events()
    call = client.make_call(line, far.number, {"echo": True})
    remote = far.expect_invite(ear=Ear(far.address, tone=620)).answer()
    remote.ear.wait_tone(620)
    far.close(hang_up=False)
    ended = events.wait_for("call.ended", timeout=60, call_id=call["id"])["data"]
    assert ended["hangup_by"] == "platform"
    assert ended["end_reason"] in ("media_failed", "timeout")
    wait_no_calls(client)
    client.close()


def test_every_line_of_the_log_is_json_and_names_its_call(own_daemon, provider, far_ends):
    daemon = own_daemon(env={"JACKFIELD_LOG_FORMAT": "json", "JACKFIELD_LOG_LEVEL": "debug"})
    (client, line), = tenants_with_lines(daemon, provider, 1)
    far = far_ends()
    events = client.events()
    call_id, remote = echo_call(client, line, far, events)
    remote.bye()
    events.wait_ended(call_id)
    client.log_row(call_id)
    client.close()
    daemon.stop()
    lines = [json.loads(text) for text in daemon.log().splitlines()]
    assert all({"time", "level", "msg"} <= set(entry) for entry in lines)
    of_call = [entry for entry in lines if entry.get("call") == call_id]
    assert [entry["cause"] for entry in of_call if entry["msg"] == "call ended"] == ["hung_up"]
    states = [entry["state"] for entry in lines if entry["msg"] == "registration"
              and entry["profile"] == line["id"]]
    assert states[0] == "registered"
    leg, = [entry for entry in of_call if entry["msg"] == "leg ended"]
    assert leg["role"] == "remote" and leg["kind"] == "profile" and leg["reason"] == "completed"
    assert leg["sip_call_id"] == remote.call_id, "as the provider knows it"
    assert far.number not in daemon.log(), "whom somebody calls is theirs (personal data is marked)"
    assert "secret" not in [entry.get("password") for entry in lines]
