"""A small SIP user agent over UDP, under a test's full control.

SIPp and baresip judge interoperability; this one is for precision: a test decides which message
goes out when, what is never answered and what crosses what, and reads every message that came
in, with its time. It is deliberately literal: it sends what it is told, resends as RFC 3261
section 17 asks, and answers on its own only what a test has not taken over.

    ua = UserAgent(address, "alice", "secret")
    ua.register("sip:127.0.0.1:5060")
    call = ua.invite("sip:100@127.0.0.1:5060", ear=Ear(address, tone=440))
    call.expect(200)
    call.bye()
"""
import contextlib
import hashlib
import queue
import random
import re
import select
import socket
import threading
import time

from . import net
from .net import token

T1 = 0.5
T2 = 4.0
COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
           "c": "content-type", "s": "subject", "k": "supported", "e": "content-encoding",
           "r": "refer-to", "b": "referred-by", "x": "session-expires"}
REASONS = {100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued",
           183: "Session Progress", 200: "OK", 202: "Accepted", 301: "Moved Permanently",
           302: "Moved Temporarily", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
           404: "Not Found", 407: "Proxy Authentication Required", 408: "Request Timeout",
           423: "Interval Too Brief", 480: "Temporarily Unavailable", 481: "Call Does Not Exist",
           484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated",
           488: "Not Acceptable Here", 491: "Request Pending", 500: "Server Internal Error",
           503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline"}
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, PRACK, NOTIFY, REFER"


class Message:
    """A SIP message as text; headers keep their order and values."""

    def __init__(self, start, headers=(), body=""):
        self.start = start
        self.headers = [(name.lower(), value) for name, value in headers]
        self.body = body
        self.at = time.monotonic()
        self.source = None

    @classmethod
    def parse(cls, data):
        head, _, body = data.decode("utf-8", "surrogateescape").partition("\r\n\r\n")
        start, *lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            if colon:
                name = name.strip().lower()
                headers.append((COMPACT.get(name, name), value.strip()))
        return cls(start, headers, body)

    def __bytes__(self):
        body = self.body.encode("utf-8", "surrogateescape")
        lines = [self.start] + [f"{name.title()}: {value}" for name, value in self.headers
                                if name != "content-length"]
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body

    def __repr__(self):
        return f"<{self.start} / {self.get('cseq')}>"

    def get(self, name):
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def add(self, name, value):
        self.headers.append((name.lower(), str(value)))

    def set(self, name, value):
        self.headers = [(k, v) for k, v in self.headers if k != name.lower()]
        self.add(name, value)

    @property
    def status(self):
        """The status code of a response, None for a request."""
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0") else None

    @property
    def reason(self):
        return self.start.split(" ", 2)[2] if self.status else None

    @property
    def method(self):
        """The method of a request, or the one a response answers."""
        if self.status is not None:
            return self.get("cseq").split()[1]
        return self.start.split()[0]

    @property
    def uri(self):
        return self.start.split()[1]

    @property
    def cseq(self):
        return int(self.get("cseq").split()[0])

    @property
    def branch(self):
        found = re.search(r"branch=([^;,\s]+)", self.get("via") or "")
        return found.group(1) if found else None

    def tag(self, header):
        found = re.search(r";\s*tag=([^;,\s]+)", self.get(header) or "")
        return found.group(1) if found else None

    def user(self, header):
        """The user of the URI in a header ("from", "to", "request")."""
        value = self.uri if header == "request" else self.get(header) or ""
        value = re.sub(r'"(\\.|[^"\\])*"', "", value)  # a display name may look like a URI
        found = re.search(r"sips?:([^@>;]+)@", value)
        return found.group(1) if found else None


def address_of(uri):
    """(host, port) that a SIP URI names, for UDP."""
    found = re.search(r"sips?:(?:[^@>]*@)?(\[[^\]]+\]|[^:;>?\s]+)(?::(\d+))?", uri)
    return found.group(1).strip("[]"), int(found.group(2) or 5060)


def bare(value):
    """The URI inside a header's name-addr."""
    found = re.search(r"<([^>]+)>", value)
    return found.group(1) if found else value.split(";")[0].strip()


def authorization(challenge, method, uri, user, password, count=1):
    """The credentials for one challenge (RFC 2617, RFC 8760)."""
    field = dict((name.lower(), quoted or plain) for name, quoted, plain in
                 re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', challenge))
    algorithm = field.get("algorithm", "MD5")
    digest = hashlib.sha256 if algorithm.upper() == "SHA-256" else hashlib.md5

    def h(text):
        return digest(text.encode()).hexdigest()

    ha1, ha2 = h(f"{user}:{field['realm']}:{password}"), h(f"{method}:{uri}")
    parts = [f'username="{user}"', f'realm="{field["realm"]}"', f'nonce="{field["nonce"]}"',
             f'uri="{uri}"', f"algorithm={algorithm}"]
    if "auth" in field.get("qop", ""):
        nc, cnonce = f"{count:08x}", token()
        response = h(f"{ha1}:{field['nonce']}:{nc}:{cnonce}:auth:{ha2}")
        parts += ["qop=auth", f"nc={nc}", f'cnonce="{cnonce}"']
    else:
        response = h(f"{ha1}:{field['nonce']}:{ha2}")
    parts.append(f'response="{response}"')
    if "opaque" in field:
        parts.append(f'opaque="{field["opaque"]}"')
    return "Digest " + ", ".join(parts)


def answer_challenge(response, request, user, password):
    """A copy of request that answers the first supported challenge of a 401 or 407."""
    proxy = response.status == 407
    challenges = response.all("proxy-authenticate" if proxy else "www-authenticate")
    challenge = next(c for c in challenges
                     if re.search(r"algorithm", c) is None
                     or re.search(r'algorithm="?(MD5|SHA-256)"?\b(?!-)', c))
    again = Message(request.start, request.headers, request.body)
    again.set("authorization" if not proxy else "proxy-authorization",
              authorization(challenge, request.method, request.uri, user, password))
    again.set("cseq", f"{request.cseq + 1} {request.method}")
    return again


class Mailbox:
    """What came in for one dialog or transaction, in order; tests read it with expect()."""

    def __init__(self):
        self.messages = []
        self._read = 0
        self._news = threading.Condition()

    def put(self, message):
        with self._news:
            self.messages.append(message)
            self._news.notify_all()

    def expect(self, what, timeout=5.0):
        """The next unread message that is `what`: a status, a method or a predicate.

        Messages read past are not looked at again; `find` sees them all."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for index in range(self._read, len(self.messages)):
                    if _matches(self.messages[index], what):
                        self._read = index + 1
                        return self.messages[index]
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"no {what} within {timeout} s; came: {self.messages}")
                self._news.wait(left)

    def find(self, what):
        with self._news:
            return [m for m in self.messages if _matches(m, what)]


def _matches(message, what):
    if callable(what):
        return what(message)
    if isinstance(what, int):
        return message.status == what
    return message.status is None and message.method == what


class Call(Mailbox):
    """One INVITE dialog, either side."""

    def __init__(self, ua, call_id, outgoing, ear=None):
        super().__init__()
        self.ua = ua
        self.call_id = call_id
        self.outgoing = outgoing
        self.ear = ear
        self.local_tag = token()
        self.local = self.remote = None  # From/To values without our or their tag parameter
        self.remote_tag = None
        self.target = None  # the peer's Contact
        self.routes = []
        self.destination = None
        self.cseq = random.randrange(1, 1000)
        self.remote_cseq = 0
        self.invite = None  # the INVITE that made the dialog, ours or theirs
        self.auto_ack = True
        self.auto_bye = True  # answer a BYE with 200
        self.auto_cancel = True  # answer a CANCEL with 200 and the INVITE with 487
        self.auto_reinvite = True  # answer re-INVITE and UPDATE with our description
        self.final_sent = False
        self.acks = {}
        self._reinvites = {}  # ours, by their CSeq
        self.ended = threading.Event()

    # ---- as the one who is called ----

    def reply(self, status, sdp=None, headers=(), to_tag=None, request=None, reason=None):
        """Answer the INVITE (or another request). sdp=True: the ear's description."""
        request = request or self.invite
        response = self.ua.response_to(request, status, to_tag or self.local_tag, reason)
        for name, value in headers:
            response.add(name, value)
        if request.method == "INVITE" and status < 300:
            response.add("contact", f"<{self.ua.contact}>")
            response.add("allow", ALLOW)
        if sdp is True:
            sdp = self.ear.sdp()
        if sdp:
            response.add("content-type", "application/sdp")
            response.body = sdp
        if request.method == "INVITE" and status >= 200:
            self.final_sent = True
            self.ua.send_until_ack(self, response, request.source)
        else:
            self.ua.send(response, request.source)
        return response

    def ring(self, **more):
        return self.reply(180, **more)

    def answer(self, wait_ack=True, **more):
        """200 with the ear's answer; media runs from here on."""
        if self.ear:
            if self.invite.body:
                self.ear.accept(self.invite.body)
            self.ear.start()
        self.reply(200, sdp=self.ear.sdp() if self.ear else None, **more)
        self.answered_at = time.monotonic()
        if wait_ack:
            ack = self.expect("ACK")
            if not self.invite.body and ack.body and self.ear:
                self.ear.accept(ack.body)
        return self

    def early_media(self, **more):
        """183 with the ear's description; the ear starts to send."""
        self.ear.accept(self.invite.body)
        self.ear.start()
        return self.reply(183, sdp=self.ear.sdp(), **more)

    # ---- as the one who calls ----

    def ack(self, response=None):
        response = response or self.find(lambda m: m.status and 200 <= m.status < 300)[-1]
        ack = self.request("ACK", cseq=response.cseq, send=False)
        self.acks[response.cseq] = ack
        self.ua.send(ack, self.destination)

    def cancel(self):
        self.ua.stop_resending(self.invite)
        cancel = Message(f"CANCEL {self.invite.uri} SIP/2.0",
                         [(n, v) for n, v in self.invite.headers
                          if n in ("from", "to", "call-id", "route", "max-forwards")])
        cancel.headers.insert(0, ("via", self.invite.get("via")))
        cancel.add("cseq", f"{self.invite.cseq} CANCEL")
        self.ua.send(cancel, self.destination, resend="final")

    # ---- both ----

    def request(self, method, headers=(), body="", cseq=None, send=True, content_type=None):
        """A request inside the dialog."""
        if cseq is None:
            self.cseq += 1
        message = self.ua.new_request(method, self.target, self.call_id,
                                      self.cseq if cseq is None else cseq,
                                      self.local + f";tag={self.local_tag}",
                                      self.remote + (f";tag={self.remote_tag}"
                                                     if self.remote_tag else ""))
        for route in self.routes:
            message.add("route", route)
        for name, value in headers:
            message.add(name, value)
        if body:
            message.add("content-type", content_type or "application/sdp")
            message.body = body
        if send:
            self.destination = address_of(self.routes[0] if self.routes else self.target)
            self.ua.send(message, self.destination, resend="final")
        return message

    def bye(self, headers=(), expect=True):
        message = self.request("BYE", headers)
        self.ended.set()
        if expect:
            self.expect(lambda m: m.status and m.status >= 200 and m.method == "BYE")
        return message

    def reinvite(self, sdp=None, expect=True):
        """re-INVITE with a new description of the ear (or the one given)."""
        if sdp is None and self.ear:
            self.ear.bump()
            sdp = self.ear.sdp()
        message = self.request("INVITE", [("contact", f"<{self.ua.contact}>")], sdp, send=False)
        self._reinvites[message.cseq] = message
        self.destination = address_of(self.routes[0] if self.routes else self.target)
        self.ua.send(message, self.destination, resend="provisional")
        if expect:
            return self.expect(lambda m: m.method == "INVITE" and (m.status or 0) >= 200)
        return message

    def hangup(self):
        """End the call whatever state it is in."""
        if self.ended.is_set():
            return
        with contextlib.suppress(TimeoutError, TypeError):
            if self.outgoing and not self.find(lambda m: (m.status or 0) >= 200
                                               and m.method == "INVITE"):
                self.cancel()
            elif not self.outgoing and not self.final_sent:
                self.reply(480)
            else:
                self.bye()
        self.ended.set()

    def wait_ended(self, timeout=5.0):
        if not self.ended.wait(timeout):
            raise TimeoutError(f"call not ended within {timeout} s; came: {self.messages}")

    @property
    def end_reason_header(self):
        """The Reason header of the BYE or CANCEL that ended the call."""
        ends = self.find("BYE") + self.find("CANCEL")
        return ends[0].get("reason") if ends else None

    # ---- from the receiving thread ----

    def _learn(self, message, source_is_request):
        """Dialog state from a message that sets it (RFC 3261, section 12.1)."""
        if message.get("contact"):
            self.target = bare(message.get("contact"))
        routes = [r.strip() for value in message.all("record-route") for r in value.split(",")]
        if self.outgoing:
            routes.reverse()
        if not self.routes or source_is_request:
            self.routes = routes
        self.destination = address_of(self.routes[0] if self.routes
                                      else self.target or self.invite.uri)

    def on_response(self, message):
        if message.method == "INVITE":
            self.ua.stop_resending_branch(message.branch)
            if message.status >= 300:
                request = self._reinvites.get(message.cseq, self.invite)
                self.ua.send(self.ua.ack_to_failure(message, request), request.sent_to)
                if message.status in (401, 407) and self.ua.password and not self.invite.tried:
                    self._authenticate(message)
                    return
                if message.cseq == self.invite.cseq:
                    self.ended.set()
            elif message.status > 100:
                if message.status >= 200 or self.remote_tag is None:
                    self.remote_tag = message.tag("to") or self.remote_tag
                    self._learn(message, False)
                if message.body and self.ear and message.cseq >= self.invite.cseq:
                    self.ear.accept(message.body)
                    self.ear.start()
                if message.status >= 200 and self.auto_ack:
                    if message.cseq in self.acks:
                        self.ua.send(self.acks[message.cseq], self.destination)
                        return  # sent again since our ACK was late
                    self.ack(message)
        self.put(message)

    def _authenticate(self, challenge):
        again = answer_challenge(challenge, self.invite, self.ua.user, self.ua.password)
        again.set("via", self.ua.new_via())
        self.cseq = again.cseq
        again.tried = True
        again.sent_to = self.invite.sent_to
        self.invite = again
        self.ua.send(again, again.sent_to, resend="provisional")

    def on_request(self, message):
        method = message.method
        if method == "ACK":
            self.ua.stop_resending(self)
        elif method == "BYE":
            if self.auto_bye:
                self.ua.send(self.ua.response_to(message, 200), message.source)
            self.ended.set()
        elif method == "CANCEL" and self.auto_cancel:
            self.ua.send(self.ua.response_to(message, 200, self.local_tag), message.source)
            if not self.final_sent:
                self.reply(487)
                self.ended.set()
        elif method in ("INVITE", "UPDATE") and self.auto_reinvite and message.tag("to"):
            self._learn(message, True) if method == "INVITE" else None
            if message.body and self.ear:
                self.ear.accept(message.body)
            self.ear.bump() if self.ear else None
            sdp = self.ear.sdp() if self.ear and (message.body or method == "INVITE") else None
            response = self.ua.response_to(message, 200, self.local_tag)
            response.add("contact", f"<{self.ua.contact}>")
            if sdp:
                response.add("content-type", "application/sdp")
                response.body = sdp
            self.ua.send(response, message.source)
        elif method in ("INFO", "PRACK", "NOTIFY", "OPTIONS", "MESSAGE"):
            self.ua.send(self.ua.response_to(message, 200, self.local_tag), message.source)
        self.put(message)


class UserAgent:
    """A SIP endpoint at address:port. `on_invite(call)`, if set, runs in a thread of its own for
    each incoming call; otherwise tests take calls with expect_invite()."""

    def __init__(self, address, user=None, password=None, port=5060, domain=None, name=None):
        self.address, self.port = address, port
        self.user, self.password = user or "ear", password
        self.domain = domain or net.host(address)
        self.name = name
        self.on_invite = None
        self.challenge_realm = None
        self.log = []  # every message that came in, also repeated ones
        self.faults = []  # messages that this agent could not digest
        self.calls = {}
        self._incoming = queue.Queue()
        self._mailboxes = {}
        self._seen = {}
        self._resend = {}
        self._lock = threading.RLock()
        self._socket = socket.socket(net.family(address), socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((address, port))
        self._socket.setblocking(False)
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"ua {user}")
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self, hang_up=True):
        """hang_up=False: vanish without a word. Closing again does nothing."""
        if not self._running:
            return
        if hang_up:
            for call in list(self.calls.values()):
                call.hangup()
        for call in self.calls.values():
            if call.ear:
                call.ear.close()
        self._running = False
        self._thread.join()
        self._socket.close()
        assert not self.faults, self.faults

    @property
    def contact(self):
        return f"sip:{self.user}@{net.host(self.address)}:{self.port}"

    @property
    def aor(self):
        return f"sip:{self.user}@{self.domain}"

    # ---- messages ----

    def new_via(self):
        return f"SIP/2.0/UDP {net.host(self.address)}:{self.port};rport;branch=z9hG4bK{token()}"

    def new_request(self, method, uri, call_id, cseq, from_, to):
        return Message(f"{method} {uri} SIP/2.0", [
            ("via", self.new_via()), ("max-forwards", "70"), ("from", from_), ("to", to),
            ("call-id", call_id), ("cseq", f"{cseq} {method}"), ("user-agent", "ear")])

    def response_to(self, request, status, to_tag=None, reason=None):
        reason = reason or REASONS.get(status, "Whatever")
        response = Message(f"SIP/2.0 {status} {reason}",
                           [(n, v) for n, v in request.headers
                            if n in ("via", "from", "call-id", "cseq", "record-route")])
        to = request.get("to")
        if to_tag and status > 100 and not request.tag("to"):
            to += f";tag={to_tag}"
        response.add("to", to)
        return response

    def ack_to_failure(self, response, invite):
        ack = Message(f"ACK {invite.uri} SIP/2.0",
                      [("via", response.get("via").split(",")[0]), ("max-forwards", "70"),
                       ("from", response.get("from")), ("to", response.get("to")),
                       ("call-id", response.get("call-id")), ("cseq", f"{response.cseq} ACK")])
        for route in invite.all("route"):
            ack.add("route", route)
        return ack

    def send(self, message, destination, resend=None):
        """resend "provisional": until any response (INVITE); "final": until a final one."""
        data = bytes(message)
        message.sent_to = destination
        if resend:
            with self._lock:
                self._resend[message.branch] = [time.monotonic() + T1, T1, data, destination,
                                                time.monotonic() + 64 * T1]
        self._transmit(data, destination)

    def send_until_ack(self, call, response, destination):
        with self._lock:
            self._resend[call] = [time.monotonic() + T1, T1, bytes(response), destination,
                                  time.monotonic() + 64 * T1]
        self.send(response, destination)

    def stop_resending(self, message_or_call):
        self.stop_resending_branch(message_or_call.branch if isinstance(message_or_call, Message)
                                   else message_or_call)

    def stop_resending_branch(self, branch):
        with self._lock:
            self._resend.pop(branch, None)

    def _transmit(self, data, destination):
        with contextlib.suppress(OSError):
            self._socket.sendto(data, destination)

    # ---- requests outside a dialog ----

    def transact(self, request, destination, timeout=5.0, authenticate=True):
        """Send a non-INVITE request, answer a challenge once; the final response."""
        call_id = request.get("call-id")
        box = self._mailboxes.setdefault(call_id, Mailbox())
        self.send(request, destination, resend="final")
        response = box.expect(lambda m: (m.status or 0) >= 200 and m.cseq == request.cseq, timeout)
        if response.status in (401, 407) and authenticate and self.password is not None:
            again = answer_challenge(response, request, self.user, self.password)
            again.set("via", self.new_via())
            return self.transact(again, destination, timeout, authenticate=False)
        return response

    def register(self, server=None, expires=300, timeout=5.0, authenticate=True):
        """REGISTER at server (a SIP URI; default: our domain); the final response."""
        server = server or f"sip:{self.domain}"
        if not hasattr(self, "_register_id"):
            self._register_id, self._register_cseq = token(size=20), 0
        self._register_cseq += 2
        request = self.new_request("REGISTER", server.split(";")[0], self._register_id,
                                   self._register_cseq,
                                   f"<{self.aor}>;tag={token()}", f"<{self.aor}>")
        request.add("contact", f"<{self.contact}>")
        request.add("expires", expires)
        return self.transact(request, address_of(server), timeout, authenticate)

    def options(self, uri, timeout=5.0):
        request = self.new_request("OPTIONS", uri, token(size=20), 1,
                                   f"<{self.aor}>;tag={token()}", f"<{uri}>")
        return self.transact(request, address_of(uri), timeout)

    # ---- calls ----

    def invite(self, uri, ear=None, sdp=True, headers=(), destination=None, from_uri=None):
        """Start a call; the dialog, whose messages expect() reads."""
        call = Call(self, token(size=20), outgoing=True, ear=ear)
        call.destination = destination or address_of(uri)
        call.local = f'{self._display()}<{from_uri or self.aor}>'
        call.remote = f"<{uri}>"
        call.target = uri
        message = self.new_request("INVITE", uri, call.call_id, call.cseq,
                                   call.local + f";tag={call.local_tag}", call.remote)
        message.add("contact", f"<{self.contact}>")
        message.add("allow", ALLOW)
        for name, value in headers:
            message.add(name, value)
        if ear and sdp:
            message.add("content-type", "application/sdp")
            message.body = ear.sdp() if sdp is True else sdp
            ear.start()
        message.tried = False
        call.invite = message
        self.calls[call.call_id] = call
        self.send(message, call.destination, resend="provisional")
        return call

    def _display(self):
        return f'"{self.name}" ' if self.name else ""

    def expect_invite(self, timeout=5.0, ear=None):
        """The next incoming call (100 is already sent)."""
        try:
            call = self._incoming.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no INVITE within {timeout} s at {self.contact}; "
                               f"came: {self.log[-5:]}") from None
        call.ear = ear
        return call

    def no_invite(self):
        """True while no call waits to be taken."""
        return self._incoming.empty()

    # ---- the receiving thread ----

    def _run(self):
        while self._running:
            ready, _, _ = select.select([self._socket], [], [], 0.1)
            while ready:
                try:
                    data, source = self._socket.recvfrom(65535)
                except OSError:
                    break
                if len(data) > 10:
                    message = Message.parse(data)
                    message.source = source
                    try:
                        self._dispatch(message)
                    except Exception as error:  # noqa: BLE001 - kept for the test to see
                        self.faults.append((error, message))
            self._resend_due()

    def _resend_due(self):
        now = time.monotonic()
        with self._lock:
            for key, entry in list(self._resend.items()):
                due, interval, data, destination, until = entry
                if now >= until:
                    del self._resend[key]
                elif now >= due:
                    entry[1] = min(2 * interval, T2)
                    entry[0] = now + entry[1]
                    self._transmit(data, destination)

    def _dispatch(self, message):
        self.log.append(message)
        call_id = message.get("call-id")
        call = self.calls.get(call_id)
        if message.status is not None:
            if message.status >= 200 or message.method == "INVITE":
                self.stop_resending_branch(message.branch)
            if call:
                call.on_response(message)
            elif call_id in self._mailboxes:
                self._mailboxes[call_id].put(message)
            return
        key = (message.branch, message.method, message.cseq)
        if key in self._seen and message.method != "ACK":
            return
        self._seen[key] = True
        if call:
            call.on_request(message)
        elif message.method == "INVITE" and not message.tag("to"):
            self._incoming_call(message)
        elif message.method == "OPTIONS":
            self.send(self.response_to(message, 200, token()), message.source)
        elif message.method == "NOTIFY":
            self.send(self.response_to(message, 200, token()), message.source)
        elif message.method != "ACK":
            self.send(self.response_to(message, 481, token()), message.source)

    def _incoming_call(self, message):
        call = Call(self, message.get("call-id"), outgoing=False)
        call.invite = message
        call.local = re.sub(r";\s*tag=[^;]+", "", message.get("to"))
        call.remote = re.sub(r";\s*tag=[^;]+", "", message.get("from"))
        call.remote_tag = message.tag("from")
        call._learn(message, True)
        self.calls[call.call_id] = call
        self.send(self.response_to(message, 100), message.source)
        call.put(message)
        if self.on_invite:
            threading.Thread(target=self.on_invite, args=(call,), daemon=True).start()
        else:
            self._incoming.put(call)
