"""The daemon ends when it is told to, whatever it is doing: calls coming in, readers, listeners."""
import signal
import threading
import time

import pytest
import requests

from peers import net
from peers.daemon import Daemon
from peers.ua import UserAgent

ROUNDS = 30
ENDS_IN_S = 10  # 2 s for BYEs, 1 s for the last transactions, and a busy machine


class Load:
    """Calls that come in and stay, and clients that read, until told to stop."""

    def __init__(self, daemon, admin, caller):
        self.daemon, self.admin, self.caller = daemon, admin, caller
        self.over = threading.Event()
        self.threads = [threading.Thread(target=run, daemon=True)
                        for run in (self._call, self._read, self._read)]
        for thread in self.threads:
            thread.start()

    def _call(self):
        with UserAgent(self.caller, "load") as near:
            while not self.over.is_set():
                near.invite(f"sip:100@{self.daemon.address}:5060")
                time.sleep(0.01)

    def _read(self):
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.admin.access}"
        while not self.over.is_set():
            try:
                session.get(f"http://{self.daemon.http}/api/calls/", timeout=5)
            except requests.RequestException:
                time.sleep(0.02)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(20)


@pytest.mark.timeout(400)
def test_it_ends_thirty_times_under_load(tmp_path):
    daemon = Daemon(tmp_path).start()
    admin = daemon.signup()
    caller = net.fresh_address()
    admin.add_profile(user="in", server=caller, register=False, max_calls=500,
                      incoming={"type": "api"})
    for number in range(ROUNDS):
        load = Load(daemon, admin, caller)
        try:
            time.sleep(0.1 + 0.03 * number)
            started = time.monotonic()
            code = daemon.stop(signal.SIGINT, 30)
            took = time.monotonic() - started
        finally:
            load.stop()
        assert code == 0
        assert took < ENDS_IN_S, daemon.log()[-3000:]
        daemon.start()
    daemon.stop()
