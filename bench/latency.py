"""From a request to what is heard: one call among many is probed, whose two ends are sockets of this process.

Each end sends a byte of its own over and over, so that a packet shows at once what it carries: the other end's
voice, silence, music, a telephone-event, or several voices. Arrival times are the kernel's, so that this process may be
late; the time of a request is taken just before its last byte is written.
"""
import http.client
import json
import random
import select
import socket
import struct
import threading
import time

SO_TIMESTAMPNS = 35
FRAME = 160
SILENCE = {0xFF, 0x7F}
EVENT = 101
EFFECT_S = 2.0


class Probe:
    """One end of the probed call: speaks all the time, remembers when the kernel got which kind of sound."""

    def __init__(self, address, port, voice):
        self.address, self.port = address, port
        self.voice = bytes([voice]) * FRAME
        self.other = None  # the probe at the other end
        self.remote, self.version = None, 1
        self.going = False
        self.news = threading.Condition()
        self.heard = []  # (time, kind), the last few seconds
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind((address, port))

    # what peers.ua asks of an ear

    def sdp(self):
        return "\r\n".join(["v=0", f"o=probe {self.port} {self.version} IN IP4 {self.address}", "s=-",
                            f"c=IN IP4 {self.address}", "t=0 0",
                            f"m=audio {self.port} RTP/AVP 0 {EVENT}", "a=rtpmap:0 PCMU/8000",
                            f"a=rtpmap:{EVENT} telephone-event/8000", "a=ptime:20", "a=sendrecv",
                            ""])

    def accept(self, sdp):
        host = next(line.split()[2] for line in sdp.splitlines() if line.startswith("c=IN IP4 "))
        port = next(line.split()[1] for line in sdp.splitlines() if line.startswith("m=audio "))
        self.remote = (host, int(port))

    def bump(self):
        self.version += 1

    def start(self):
        if self.going:
            return
        self.going = True
        self.threads = [threading.Thread(target=each, daemon=True)
                        for each in (self._speak, self._listen)]
        for thread in self.threads:
            thread.start()

    def close(self):
        if self.going:
            self.going = False
            for thread in self.threads:
                thread.join()
        self.socket.close()

    def _speak(self):
        number, at, ssrc = 0, time.monotonic(), random.getrandbits(32)
        while self.going:
            time.sleep(max(0, at - time.monotonic()))
            at += 0.02
            if self.remote:
                header = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * FRAME & 0xFFFFFFFF,
                                     ssrc)
                self.socket.sendto(header + self.voice, self.remote)
                number += 1

    def _kind(self, data):
        if data[1] & 0x7F == EVENT:
            return "event"
        if self.other and data[12:] == self.other.voice:
            return "voice"
        return "silence" if set(data[12:]) <= SILENCE else "other"

    def _listen(self):
        while self.going:
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            data, ancillary, _, _ = self.socket.recvmsg(2048, 256)
            seconds, nanos = struct.unpack("qq", ancillary[0][2][:16])
            with self.news:
                self.heard.append((seconds + nanos / 1e9, self._kind(data)))
                del self.heard[:-200]
                self.news.notify_all()

    def wait(self, kinds, since):
        """Seconds from `since` to the first packet of one of these kinds, or None."""
        deadline = time.monotonic() + EFFECT_S
        with self.news:
            while True:
                at = next((at for at, kind in self.heard if at > since and kind in kinds), None)
                if at is not None:
                    return at - since
                if time.monotonic() > deadline:
                    return None
                self.news.wait(deadline - time.monotonic())


class Requests:
    """One connection to the API, kept alive."""

    def __init__(self, address, token):
        self.connection = http.client.HTTPConnection(address)
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def send(self, method, path, body, expect=(200, 201, 202)):
        """The time when it went. Its answer is read, so that the next may follow."""
        self.connection.putrequest(method, path)
        text = json.dumps(body).encode()
        for name, value in {**self.headers, "Content-Length": str(len(text))}.items():
            self.connection.putheader(name, value)
        sent = time.time()
        self.connection.endheaders(text)
        reply = self.connection.getresponse()
        data = reply.read()
        assert reply.status in expect, (reply.status, data)
        self.reply = json.loads(data) if data else None
        return sent


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def figures(samples):
    """Milliseconds; `missed` are effects that did not come within two seconds."""
    good = [1000 * each for each in samples if each is not None]
    return {"count": len(samples), "missed": len(samples) - len(good),
            **{name: round(percentile(good, share), 1) if good else None
               for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1))}}


def table(results):
    lines = [f"{'':24}{'count':>7}{'p50':>8}{'p90':>8}{'p99':>8}{'max':>8}  ms"]
    lines += [f"{name:24}{row['count']:7}" + "".join(f"{row[key]!s:>8}" for key in
                                                     ("p50", "p90", "p99", "max"))
              for name, row in results.items()]
    return "\n".join(lines)


def probe(address, admin, probes, watch, repeat):
    """Seconds of each operation, `repeat` times, at moments that have nothing to do with the packets'. `watch`: puts a
    supervisor on the call, whose monitor it gives; it listens all the time but for what is measured of it."""
    requests = Requests(address, admin.access)
    call = max(admin.ok("GET", "/api/calls/?page_size=500")["results"],
               key=lambda each: each["created_at"])
    near_leg, far_leg = (leg["id"] for leg in sorted(call["legs"], key=lambda leg: leg["id"]))
    near, far = probes
    monitor, samples = watch(call), {}

    def measure(name, listener, kinds, path, **body):
        time.sleep(random.uniform(0.03, 0.09))
        since = requests.send("POST", path, {"call_id": call["id"], **body})
        samples.setdefault(name, []).append(listener.wait(kinds, since))

    def switch(name, listener, kinds, **body):
        time.sleep(random.uniform(0.03, 0.09))
        since = requests.send("PATCH", f"/api/live-monitoring/{monitor}/", body)
        samples.setdefault(name, []).append(listener.wait(kinds, since))

    for each in probes:
        assert each.wait(("voice",), time.time()) is not None, "the probes do not hear each other"
    requests.send("POST", "/api/hold-call/", {"call_id": call["id"], "action": "hold"})
    held = next(each for each in probes if each.wait(("other",), time.time()))
    requests.send("POST", "/api/hold-call/", {"call_id": call["id"], "action": "resume"})
    for _ in range(repeat):
        measure("mute to silence", far, ("silence",), "/api/mute-call/", leg_id=near_leg, muted=True)
        measure("unmute to voice", far, ("voice",), "/api/mute-call/", leg_id=near_leg, muted=False)
        measure("digit to wire", far, ("event",), "/api/dtmf/", leg_id=far_leg, digits="5",
                duration_ms=50, gap_ms=40)
        time.sleep(0.12)
        measure("hold to music", held, ("other",), "/api/hold-call/", action="hold")
        measure("resume to voice", held, ("voice",), "/api/hold-call/", action="resume")
        switch("whisper to ear", near, ("other",), mode="whisper", target_leg=near_leg)
        switch("barge to ear", far, ("other",), mode="barge")
        switch("listen to quiet", far, ("voice",), mode="listen")
    return samples
