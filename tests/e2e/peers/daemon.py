"""The daemon under test, its API's client and its event stream."""
import contextlib
import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import requests
import requests.adapters
import websocket

from . import contract, ear, net

ROOT = pathlib.Path(__file__).resolve().parents[3]
CONTRACT = contract.load()
PASSWORD = "correct horse battery"


def binary():
    """JACKFIELD_BIN, or what was built last."""
    if os.environ.get("JACKFIELD_BIN"):
        return pathlib.Path(os.environ["JACKFIELD_BIN"])
    built = sorted(ROOT.glob("build*/src/daemon/jackfield"), key=lambda p: p.stat().st_mtime)
    if not built:
        raise FileNotFoundError("no jackfield is built: meson setup build && ninja -C build")
    return built[-1]


class Daemon:
    """`jackfield serve` at an address of its own, with a data directory of its own."""

    def __init__(self, directory, database=None, authority=None, env=None, sip=None):
        self.address = net.fresh_address()
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.http = f"{self.address}:8080"
        self.sip = sip or f"{self.address}:5060"
        self.env = dict(os.environ)
        for name in list(self.env):
            if name.startswith("JACKFIELD_") and name != "JACKFIELD_BIN":
                del self.env[name]
        if database:
            self.env["JACKFIELD_DB"] = database
        if authority:
            certificate, key = authority.issue(self.directory, "jackfield", [self.address])
            self.env |= {"SSL_CERT_FILE": str(authority.bundle),
                         "JACKFIELD_SIP_TLS_LISTEN": f"{self.address}:5061",
                         "JACKFIELD_TLS_CERTIFICATE": str(certificate),
                         "JACKFIELD_TLS_KEY": str(key)}
        self.env.update(env or {})
        self.log_path = self.directory / "jackfield.log"
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self, timeout=20):
        self._log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [str(binary()), "serve", "--data", str(self.directory / "data"), "--http", self.http,
             "--sip", self.sip],
            stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, env=self.env,
            cwd=self.directory)
        net.until(self.ready, timeout, f"daemon at {self.address}; {self.log()[-3000:]}")
        return self

    def ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"daemon ended with {self.process.returncode}: "
                               f"{self.log()[-3000:]}")
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"http://{self.http}/readyz", timeout=2).status_code == 200
        return False

    def stop(self, how=signal.SIGINT, timeout=20):
        """Ask it to end; its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise TimeoutError(f"daemon did not end within {timeout} s: "
                               f"{self.log()[-3000:]}") from None
        finally:
            self._log.close()
            self.process = None
        self.check_sane()
        return code

    def check_sane(self):
        """A sanitizer's report is a failure, whatever the test saw."""
        log = self.log()
        for sign in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                     "WARNING: ThreadSanitizer"):
            at = log.find(sign)
            assert at < 0, log[at:at + 4000]

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self._log.close()
        self.process = None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def metrics(self):
        """Prometheus samples by name, labels included in the name."""
        text = requests.get(f"http://{self.http}/metrics", timeout=5).text
        found = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def routes(self):
        """[(method, path, operation, scope)] as `jackfield routes` prints them."""
        text = subprocess.run([str(binary()), "routes"], check=True, capture_output=True,
                              text=True, env=self.env, cwd=self.directory).stdout
        return [tuple((line.split() + ["", ""])[:4]) for line in text.splitlines() if line.strip()]

    def uri(self, user):
        return f"sip:{user}@{self.sip}"

    def client(self):
        return Client(self)

    def signup(self, **fields):
        """A new tenant; its admin's client."""
        client = Client(self)
        client.email = f"{net.token('admin')}@example.com"
        reply = client.post("/api/auth/signup/", {"email": client.email, "password": PASSWORD,
                                                  "organization": "Example", **fields})
        assert reply.status_code == 201, reply.text
        client.take(reply.json())
        return client


class _FromAddress(requests.adapters.HTTPAdapter):
    """Requests come from an address of the client's own, as limits count by address."""

    def __init__(self, address):
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, source_address=(self._address, 0), **kwargs)


class Refused(AssertionError):
    """A reply that a test did not expect."""


class Client:
    """A user of the API. get/post/patch/delete give the reply as it came; the helpers below them
    insist on success and give its JSON."""

    def __init__(self, daemon, access=None):
        self.daemon = daemon
        self.address = net.fresh_address()
        self.session = requests.Session()
        self.session.mount("http://", _FromAddress(self.address))
        self.session.trust_env = False
        self.access = access
        self.refresh = None
        self.user = None
        self.email = None
        self._streams = []

    def take(self, tokens):
        self.access, self.refresh = tokens["access"], tokens["refresh"]
        self.user = tokens.get("user", self.user)
        return self

    def close(self):
        for stream in self._streams:
            stream.close()
        self.session.close()

    # ---- requests ----

    def request(self, method, path, body=None, token=True, headers=None, check=True, **more):
        headers = dict(headers or {})
        if token and self.access:
            headers["Authorization"] = f"Bearer {self.access if token is True else token}"
        if body is not None:
            more["json"] = body
        reply = self.session.request(method, f"http://{self.daemon.http}{path}", headers=headers,
                                     timeout=40, allow_redirects=False, **more)
        if check and CONTRACT:
            CONTRACT.check(method, path.split("?")[0], reply)
        return reply

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, {} if body is None and "data" not in more else body,
                            **more)

    def patch(self, path, body, **more):
        return self.request("PATCH", path, body, **more)

    def delete(self, path, body=None, **more):
        return self.request("DELETE", path, body, **more)

    def ok(self, method, path, body=None, status=None, **more):
        reply = self.request(method, path, body, **more)
        good = reply.status_code == status if status else 200 <= reply.status_code < 300
        if not good:
            raise Refused(f"{method} {path} {json.dumps(body)[:300]}: {reply.status_code} "
                          f"{reply.text[:500]}")
        return reply.json() if reply.content else None

    # ---- accounts ----

    def login(self, email=None, password=PASSWORD):
        self.take(self.ok("POST", "/api/auth/login/",
                          {"email": email or self.email, "password": password}, 200, token=False))
        return self

    def me(self):
        return self.ok("GET", "/api/auth/me/")

    def add_user(self, role="agent", **fields):
        """A colleague, logged in."""
        email = f"{net.token(role)}@example.com"
        created = self.ok("POST", "/api/users/", {"email": email, "name": role, "role": role,
                                                  "password": PASSWORD, **fields}, 201)
        other = Client(self.daemon)
        other.email = email
        other.login()
        other.user = created
        return other

    # ---- profiles ----

    def add_profile(self, provider=None, user=None, password="secret", **fields):
        """A profile at the provider (of a user that is made there if none is given)."""
        if provider is not None:
            user = user or provider.add_user(net.token("line"), password)
            fields.setdefault("server", provider.address)
        transport = fields.setdefault("transport", "udp")
        fields.setdefault("port", 5061 if transport == "tls" else 5060)
        return self.ok("POST", "/api/add-sip-profile/",
                       {"name": fields.pop("name", user), "username": user, "password": password,
                        **fields}, 201)

    def profile(self, profile_id):
        return self.ok("GET", f"/api/sip-profiles/{profile_id}/")

    def register(self, profile_id, wait=15, **more):
        return self.ok("POST", "/api/register-sip/", {"profile_id": profile_id, "wait": wait,
                                                      **more})["registration"]

    def registered_profile(self, provider, **fields):
        profile = self.add_profile(provider, **fields)
        registration = self.register(profile["id"])
        assert registration["state"] == "registered", registration
        return self.profile(profile["id"])

    # ---- prompts ----

    def add_prompt(self, name, samples, rate=ear.RATE):
        """An upload, as a person would make it."""
        file = io.BytesIO()
        ear.write_wav(file, samples, rate)
        return self.ok("POST", "/api/prompts/", status=201, data={"name": name},
                       files={"file": ("sound.wav", file.getvalue(), "audio/wav")})

    # ---- devices ----

    def add_device(self, name="desk"):
        return self.ok("POST", "/api/devices/", {"name": name}, 201)

    # ---- calls ----

    def make_call(self, profile, to, connect=None, **fields):
        body = {"profile_id": profile["id"], "to": to, **fields}
        if connect is not None:
            body["connect"] = connect
        return self.ok("POST", "/api/make-call/", body, 201)

    def call(self, call_id):
        return self.ok("GET", f"/api/calls/{call_id}/")

    def calls(self):
        return self.ok("GET", "/api/calls/")["results"]

    def hangup(self, call_id, **more):
        return self.post("/api/hangup-call/", {"call_id": call_id, **more})

    def answer(self, call_id, connect):
        return self.ok("POST", "/api/answer-call/", {"call_id": call_id, "connect": connect})

    def log_row(self, call_id, timeout=5.0):
        """The call's row in the log, once it is complete."""
        def complete():
            reply = self.get(f"/api/calls/{call_id}/")
            row = reply.json() if reply.status_code == 200 else None
            if not row or row["state"] != "ended":
                return None
            listed = [entry for entry in self.logs(page_size=500) if entry["id"] == call_id]
            assert len(listed) <= 1, "a call is in the log once"
            return listed[0] if listed and listed[0].get("ended_at") else None
        return net.until(complete, timeout, f"call {call_id} complete in the log", 0.05)

    def logs(self, **query):
        words = "&".join(f"{k}={requests.utils.quote(str(v))}" for k, v in query.items())
        return self.ok("GET", f"/api/call-logs/?{words}")["results"]

    # ---- events ----

    def events(self, topics=("calls", "registrations"), since=None):
        stream = Events(self, topics, since)
        self._streams.append(stream)
        return stream


class Events:
    """An open /ws/events. Messages are kept in order; wait_for() looks at all of them."""

    def __init__(self, client, topics, since=None, subscribe=True, ticket=None, token=None):
        self.messages = []
        self.close_code = None
        self._news = threading.Condition()
        raw = socket.create_connection(tuple(client.daemon.http.split(":")), timeout=10,
                                       source_address=(client.address, 0))
        url = f"ws://{client.daemon.http}/ws/events" + (f"?ticket={ticket}" if ticket else "")
        protocols = ["jackfield.v1"] + ([] if ticket else [f"bearer.{token or client.access}"])
        self.socket = websocket.create_connection(url, socket=raw, subprotocols=protocols,
                                                  timeout=None)
        self.socket.settimeout(None)
        self._thread = threading.Thread(target=self._read, daemon=True, name="events")
        self._thread.start()
        self.hello = self.wait_for("hello")
        if subscribe:
            self.subscribe(topics, since)

    def subscribe(self, topics, since=None):
        message = {"type": "subscribe", "topics": list(topics)}
        if since is not None:
            message["since"] = since
        self.socket.send(json.dumps(message))
        if since is None:
            self.snapshot = self.wait_for("snapshot")

    def _read(self):
        try:
            while True:
                opcode, data = self.socket.recv_data()
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    self._closed(int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005)
                    return
                if opcode == websocket.ABNF.OPCODE_TEXT:
                    message = json.loads(data)
                    message["_at"] = time.monotonic()
                    with self._news:
                        self.messages.append(message)
                        self._news.notify_all()
        except (OSError, websocket.WebSocketException):
            self._closed(1006)

    def _closed(self, code):
        with self._news:
            if self.close_code is None:
                self.close_code = code
            self._news.notify_all()

    def close(self):
        with contextlib.suppress(OSError, websocket.WebSocketException):
            self.socket.close(timeout=1)

    def all(self, kind=None, **match):
        with self._news:
            return [m for m in self.messages if (kind is None or m["type"] == kind)
                    and all(m.get(key) == value for key, value in match.items())]

    def wait_for(self, kind, predicate=None, timeout=10.0, after=0, **match):
        """The first message of that type, with those members, later than seq `after`."""
        def found():
            for message in self.messages:
                if message["type"] == kind and (not after or message.get("seq", 0) > after) \
                        and all(message.get(k) == v for k, v in match.items()) \
                        and (predicate is None or predicate(message)):
                    return message
            return None
        deadline = time.monotonic() + timeout
        with self._news:
            while (message := found()) is None:
                left = deadline - time.monotonic()
                if left <= 0 or self.close_code is not None:
                    seen = [(m["type"], (m.get("data") or {}).get("state"))
                            for m in self.messages]
                    raise TimeoutError(f"no {kind} {match} within {timeout} s "
                                       f"(close code {self.close_code}), came: {seen}")
                self._news.wait(left)
            return message

    def wait_closed(self, timeout=10.0):
        with self._news:
            if not self._news.wait_for(lambda: self.close_code is not None, timeout):
                raise TimeoutError("the stream is still open")
        return self.close_code

    def wait_call(self, kind, call_id, timeout=10.0, **more):
        """The call's event "call.KIND"."""
        return self.wait_for(f"call.{kind}", timeout=timeout, call_id=call_id, **more)

    def wait_ended(self, call_id, timeout=10.0):
        return self.wait_call("ended", call_id, timeout)["data"]

    def wait_registration(self, profile_id, state, timeout=10.0, after=0):
        return self.wait_for("registration.changed", lambda m: m["data"]["state"] == state,
                             timeout, after, profile_id=profile_id)

    @property
    def last_seq(self):
        with self._news:
            return max((m.get("seq") or 0 for m in self.messages), default=0)
