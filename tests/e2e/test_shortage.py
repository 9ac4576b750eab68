"""What the machine or a peer withholds for a while: descriptors, the database, a reader at the other
end. Calls that are up go on, what cannot be done is refused in words, and all is well afterwards."""
import contextlib
import os
import resource
import socket
import sqlite3
import threading
import time

import pytest

from peers import net
from peers.ear import Ear
from peers.talk import echo_call, wait_no_calls

WITHHELD_S = 6


class Mute:
    """A TCP server that takes connections and says and reads nothing."""

    def __init__(self, port, backlog=8):
        self.address = net.fresh_address()
        self.socket = socket.create_server((self.address, port), backlog=backlog)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.taken = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                self.taken.append(self.socket.accept()[0])

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for taken in self.taken:
            taken.close()


@pytest.fixture
def mutes():
    made = []

    def make(port):
        made.append(Mute(port))
        return made[-1]

    yield make
    for server in made:
        server.close()


def descriptors(pid):
    return [int(name) for name in os.listdir(f"/proc/{pid}/fd")]


@pytest.mark.timeout(90)
def test_descriptors_run_out_and_come_back(own_daemon, provider, far_ends):
    daemon = own_daemon()
    tenant = daemon.signup()
    line = tenant.registered_profile(provider, incoming={"type": "api"})
    events = tenant.events()
    far = far_ends()
    call_id, remote = echo_call(tenant, line, far, events)
    pid = daemon.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(descriptors(pid)) + 1, limits[1]))
    waiting = []
    try:
        refused = tenant.make_call(line, far.number, {"echo": True})
        ended = events.wait_ended(refused["id"])
        assert ended["hangup_by"] == "platform" and ended["end_reason"] == "media_failed"
        caller = far.invite(provider.uri(line["username"]), ear=Ear(far.address, tone=440))
        caller.expect(180)
        offered = events.wait_for("call.ringing",
                                  lambda m: m["data"]["direction"] == "incoming")["call_id"]
        tenant.answer(offered, {"echo": True})
        caller.expect(480)
        events.wait_ended(offered)
        waiting = [socket.create_connection(tuple(daemon.http.split(":")), timeout=5)
                   for _ in range(5)]
        assert tenant.me()["id"] == tenant.user["id"], "who is connected is served"
        remote.ear.wait_packets(50)
        assert remote.ear.lost() == 0 and not remote.ended.is_set(), "the call goes on"
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    for connection in waiting:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.settimeout(5)
        assert connection.recv(100).startswith(b"HTTP/1.1 200"), "taken once there is room"
        connection.close()
    other = far_ends()
    second, there = echo_call(tenant, line, other, events, tone=850)
    for side, ends in ((remote, call_id), (there, second)):
        side.bye()
        events.wait_ended(ends)
    wait_no_calls(tenant)
    tenant.close()


@pytest.mark.timeout(90)
def test_another_process_holds_the_database(own_daemon, provider, far_ends):
    """SQLite, locked for writing: calls come and go, and are in the log when it is free again."""
    daemon = own_daemon(env={"JACKFIELD_DB_STATEMENT_MS": "1000"})
    tenant = daemon.signup()
    line = tenant.registered_profile(provider)
    events = tenant.events()
    far = far_ends()
    other = sqlite3.connect(daemon.directory / "data" / "jackfield.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    made = []
    try:
        deadline = net.Deadline(WITHHELD_S)
        while not deadline.passed():
            call_id, remote = echo_call(tenant, line, far, events)
            remote.bye()
            assert events.wait_ended(call_id)["end_reason"] == "completed"
            made.append(call_id)
        began = time.monotonic()
        reply = tenant.post("/api/devices/", {"name": "desk"})
        assert reply.status_code == 503, reply.text
        assert time.monotonic() - began < 5
        assert tenant.me()["id"] == tenant.user["id"], "what only reads is answered"
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert made
    for call_id in made:
        assert tenant.log_row(call_id, timeout=20)["end_reason"] == "completed"
    assert tenant.add_device()["id"]
    rows = [row["id"] for row in tenant.logs(page_size=200)]
    assert sorted(rows) == sorted(made), "each once"
    tenant.close()


@pytest.mark.timeout(150)
def test_the_database_starts_anew_again_and_again(_make_daemon, _postgres, provider, far_ends):
    postgres = _postgres(own=True)
    daemon = _make_daemon("postgresql", postgres=postgres)
    tenant = daemon.signup()
    line = tenant.registered_profile(provider)
    events = tenant.events()
    far, steady_far = far_ends(), far_ends()
    stays, staying = echo_call(tenant, line, steady_far, events, tone=850)
    made = []
    for _ in range(4):
        caller_id, remote = echo_call(tenant, line, far, events)
        postgres.stop()
        postgres.start()
        remote.bye()
        assert events.wait_ended(caller_id)["end_reason"] == "completed"
        made.append(caller_id)
        net.until(lambda: tenant.get("/api/auth/me/", check=False).status_code == 200, 20,
                  "the API is back")
    staying.ear.wait_packets(50)
    assert staying.ear.lost() == 0 and not staying.ended.is_set()
    staying.bye()
    events.wait_ended(stays)
    for call_id in [*made, stays]:
        assert tenant.log_row(call_id, timeout=20)["end_reason"] == "completed"
    rows = [row["id"] for row in tenant.logs(page_size=200)]
    assert sorted(rows) == sorted([*made, stays]), "nothing lost, nothing twice"
    assert daemon.metrics()["jackfield_journal_dropped_total"] == 0
    tenant.close()
    daemon.stop()
    postgres.stop()


def test_a_provider_that_stalls_in_the_handshake(own_daemon, provider, far_ends, mutes):
    daemon = own_daemon()
    tenant = daemon.signup()
    events = tenant.events()
    mute = mutes(5061)
    stuck = [tenant.add_profile(user=net.token("stuck"), server=mute.address, transport="tls")
             for _ in range(20)]
    line = tenant.registered_profile(provider)
    call_id, remote = echo_call(tenant, line, far_ends(), events)
    for profile in stuck:
        state = events.wait_for("registration.changed",
                                lambda m: m["data"]["state"] != "registering",
                                timeout=20, profile_id=profile["id"])["data"]
        assert state["state"] == "unreachable" and state["reason"]
    assert remote.ear.lost() == 0, "others never notice"
    remote.bye()
    events.wait_ended(call_id)
    wait_no_calls(tenant)
    tenant.close()
