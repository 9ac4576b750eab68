"""An RTP endpoint that sends one tone and judges, by listening, which tones reach it.

Each party of a test sends a tone of its own. Who hears whom is then not a matter of what the
signalling says but of what arrives: the tone's share of each frame's energy, the moment it was
first there, what was lost and how even the stream is.
"""
import contextlib
import random
import select
import socket
import struct
import threading
import time
import wave

import numpy

from . import net

RATE = 8000
FRAME = 160  # samples in 20 ms
FRAME_S = 0.020

PAYLOAD = {"PCMU": 0, "PCMA": 8}


def _ulaw_table():
    codes = numpy.arange(256, dtype=numpy.int32) ^ 0xFF
    magnitude = (((codes & 0x0F) << 3) + 0x84) << ((codes & 0x70) >> 4)
    magnitude -= 0x84
    return numpy.where(codes & 0x80, -magnitude, magnitude).astype(numpy.float64) / 32768


def _alaw_table():
    codes = numpy.arange(256, dtype=numpy.int32) ^ 0x55
    exponent = (codes & 0x70) >> 4
    mantissa = ((codes & 0x0F) << 4) + 8
    magnitude = numpy.where(exponent > 0, (mantissa + 0x100) << numpy.maximum(exponent - 1, 0),
                            mantissa)
    return numpy.where(codes & 0x80, magnitude, -magnitude).astype(numpy.float64) / 32768


DECODE = {0: _ulaw_table(), 8: _alaw_table()}


def encode(samples, payload_type):
    """G.711 octets of samples (-1..1): the code word nearest to each sample."""
    table = DECODE[payload_type]
    order = numpy.argsort(table, kind="stable")
    levels = table[order]
    right = numpy.clip(numpy.searchsorted(levels, samples), 1, 255)
    nearer_left = samples - levels[right - 1] < levels[right] - samples
    return order[right - nearer_left].astype(numpy.uint8).tobytes()


def tone(freq, seconds, level=0.3, rate=RATE):
    return level * numpy.sin(2 * numpy.pi * freq * numpy.arange(int(seconds * rate)) / rate)


def tone_share(samples, freq, rate=RATE):
    """Which part of the samples' energy lies at freq: 1 for a pure tone, about 0 for another."""
    energy = float(numpy.dot(samples, samples))
    if energy <= 0:
        return 0.0
    turn = numpy.exp(-2j * numpy.pi * freq * numpy.arange(len(samples)) / rate)
    return float(2 * abs(numpy.dot(samples, turn)) ** 2 / (len(samples) * energy))


def level_of(samples):
    """Root mean square of samples in -1..1."""
    return float(numpy.sqrt(numpy.mean(numpy.square(samples)))) if len(samples) else 0.0


def frames_with(samples, freq, rate=RATE, min_level=0.02, min_share=0.6):
    """For each 20 ms of samples: does it carry the tone?"""
    size = int(rate * FRAME_S)
    return [level_of(samples[i:i + size]) > min_level
            and tone_share(samples[i:i + size], freq, rate) > min_share
            for i in range(0, len(samples) - size + 1, size)]


KEYS = ("123A", "456B", "789C", "*0#D")
ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)


def dtmf(digits, on_s=0.1, off_s=0.08, level=0.2, rate=RATE):
    """Digits as their two tones."""
    parts = []
    for digit in digits:
        row = next(i for i, keys in enumerate(KEYS) if digit in keys)
        parts += [tone(ROWS[row], on_s, level, rate)
                  + tone(COLUMNS[KEYS[row].index(digit)], on_s, level, rate),
                  numpy.zeros(int(off_s * rate))]
    return numpy.concatenate(parts)


def dtmf_digits(samples, rate=RATE):
    """Which digits sound in the samples: a key for 30 ms or more, then 20 ms of none."""
    size, digits, held, misses, hits = rate // 100, [], None, 0, 0
    for i in range(0, len(samples) - 2 * size + 1, size):
        window = samples[i:i + 2 * size]  # 20 ms, every 10 ms
        rows = [tone_share(window, f, rate) for f in ROWS]
        columns = [tone_share(window, f, rate) for f in COLUMNS]
        key = None
        if level_of(window) > 0.02 and max(rows) > 0.2 and max(columns) > 0.2 \
                and max(rows) + max(columns) > 0.75:
            key = KEYS[rows.index(max(rows))][columns.index(max(columns))]
        if key and key == held:
            hits, misses = hits + 1, 0
            if hits == 2:
                digits.append(key)
        elif held and misses < 1:
            misses += 1
        else:
            held, hits, misses = key, 0, 0
    return "".join(digits)


def hears(samples, freq, rate=RATE, at_least_s=0.2, **limits):
    """Whether samples carry the tone for at_least_s in total."""
    return sum(frames_with(samples, freq, rate, **limits)) * FRAME_S >= at_least_s


def hears_not(samples, freq, rate=RATE, at_most_s=0.04):
    """Whether the tone is not there, also not faintly under another sound."""
    return sum(frames_with(samples, freq, rate, min_level=0.002, min_share=0.05)) * FRAME_S \
        <= at_most_s


def read_wav(path):
    """The samples (-1..1, mono) and the rate of a 16-bit WAV file, also while it is written (its
    header does not know its length yet)."""
    with wave.open(str(path), "rb") as file:
        raw = path.read_bytes()
        raw = raw[raw.index(b"data") + 8:]
        samples = numpy.frombuffer(raw[:len(raw) & ~1], "<i2").astype(numpy.float64) / 32768
        samples = samples[:len(samples) - len(samples) % file.getnchannels()]
        if file.getnchannels() > 1:
            samples = samples.reshape(-1, file.getnchannels()).mean(axis=1)
        return samples, file.getframerate()


def write_wav(path, samples, rate=RATE):
    with wave.open(path if hasattr(path, "write") else str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((numpy.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


class Packet:
    """One RTP packet that arrived, at the monotonic time `at`."""

    __slots__ = ("at", "payload_type", "marker", "seq", "timestamp", "ssrc", "payload")

    def __init__(self, at, data):
        first, second, self.seq, self.timestamp, self.ssrc = struct.unpack_from("!BBHII", data)
        self.at = at
        self.marker = bool(second & 0x80)
        self.payload_type = second & 0x7F
        start = 12 + 4 * (first & 0x0F)
        if first & 0x10:
            start += 4 + 4 * struct.unpack_from("!H", data, start + 2)[0]
        end = len(data) - (data[-1] if first & 0x20 else 0)
        self.payload = data[start:end]

    def samples(self):
        table = DECODE.get(self.payload_type)
        if table is None:
            return numpy.zeros(0)
        return table[numpy.frombuffer(self.payload, dtype=numpy.uint8)]


class Ear:
    """One side's media: sends `tone` (Hz; None: silence) once connected, keeps what arrives."""

    def __init__(self, address, tone=440, codecs=("PCMU", "PCMA"), direction="sendrecv",
                 events=True):
        self.address = address
        self.loss = 0  # share of its packets that the network loses
        self.lost_here = 0  # how many it has lost so far
        self.jitter_s = 0  # each is late by something between nothing and this
        self.events = events  # whether it says that it takes telephone-events
        self.tone = tone
        self.codecs = list(codecs)
        self.direction = direction
        self.packets = []
        self.sent = 0
        self.ssrc = random.getrandbits(32)
        self._session = random.getrandbits(31)
        self._version = 1
        self._remote = None
        self._payload_type = PAYLOAD[self.codecs[0]]
        self._frames = {}
        self._event_type = 101
        self._sounds = []  # frames that are sent before the tone goes on
        self._digits = []  # packets of telephone-events that are still to be sent
        self._news = threading.Condition()
        self._open()
        self._thread = None
        self._running = False

    def _open(self):
        while True:
            port = random.randrange(30000, 60000, 2)
            self._socket = socket.socket(net.family(self.address), socket.SOCK_DGRAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            try:
                self._socket.bind((self.address, port))
            except OSError:
                self._socket.close()
                continue
            self.port = port
            return

    # ---- description ----

    def sdp(self, codecs=None, port=None, direction=None):
        """This side's offer or answer."""
        names = codecs or self.codecs
        at = f"IN {'IP6' if ':' in self.address else 'IP4'} {self.address}"
        lines = ["v=0", f"o=ear {self._session} {self._version} {at}", "s=-", f"c={at}", "t=0 0",
                 f"m=audio {self.port if port is None else port} RTP/AVP "
                 + " ".join([str(PAYLOAD[name]) for name in names] + ["101"] * self.events)]
        lines += [f"a=rtpmap:{PAYLOAD[name]} {name}/8000" for name in names]
        if self.events:
            lines += ["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15"]
        lines += ["a=ptime:20", f"a={direction or self.direction}"]
        return "\r\n".join(lines) + "\r\n"

    def bump(self):
        """The next description differs from the last one (RFC 3264, section 8)."""
        self._version += 1

    def accept(self, sdp):
        """Take the other side's description: where to send, and with which codec."""
        host, port, formats, names = None, None, [], {}
        for line in sdp.replace("\r", "").split("\n"):
            if line.startswith(("c=IN IP4 ", "c=IN IP6 ")):
                host = line.split()[2]
            elif line.startswith("m=audio "):
                words = line.split()
                port, formats = int(words[1]), [int(word) for word in words[3:]]
            elif line.startswith("a=rtpmap:"):
                number, name = line[len("a=rtpmap:"):].split()[:2]
                names[int(number)] = name.split("/")[0].upper()
        known = [PAYLOAD[name] for name in self.codecs]
        common = [number for number in formats
                  if number in known and names.get(number, "PCMU" if number == 0 else "PCMA")]
        if not common:
            raise ValueError(f"no codec in common: {formats} {names}")
        self._payload_type = common[0]
        self._event_type = next((number for number, name in names.items()
                                 if name == "TELEPHONE-EVENT"), None)
        self._remote = (host, port)

    @property
    def codec(self):
        return next(name for name, number in PAYLOAD.items() if number == self._payload_type)

    # ---- media ----

    def start(self):
        if not self._running:
            self._running = True
            self._thread = threading.Thread(target=self._run, daemon=True, name="ear")
            self._thread.start()
        return self

    def stop(self):
        self._running = False
        if self._thread:
            self._thread.join()
            self._thread = None

    def close(self):
        self.stop()
        self._socket.close()

    def _frame(self, number):
        frames = self._frames.get((self._payload_type, self.tone))
        if frames is None:
            second = tone(self.tone, 1.0) if self.tone else numpy.zeros(RATE)
            octets = encode(second, self._payload_type)
            frames = [octets[i:i + FRAME] for i in range(0, RATE, FRAME)]
            self._frames[(self._payload_type, self.tone)] = frames
        return frames[number % len(frames)]

    def press(self, digit, packets=8, only=None):
        """Send a digit as telephone-event (RFC 4733) in place of the tone. only: the one packet of it
        that is not lost on the way."""
        number = "0123456789*#ABCD".index(digit)
        event = [(number, n, False) for n in range(1, packets + 1)] + [(number, packets, True)] * 3
        self._digits.append([packet + (only is not None and at != only,)
                             for at, packet in enumerate(event)])

    def say(self, samples):
        """Send these samples in place of the tone."""
        samples = samples[:len(samples) - len(samples) % FRAME]
        octets = encode(samples, self._payload_type)
        self._sounds += [octets[i:i + FRAME] for i in range(0, len(octets), FRAME)]

    def tones(self, since=0.0):
        """The digits heard as tones in the audio."""
        return dtmf_digits(self.samples(since))

    def events_heard(self, since=0.0):
        """The packets of each telephone-event, one list an event."""
        found = {}
        with self._news:
            for packet in self.packets:
                if packet.payload_type == 101 and packet.at >= since:
                    found.setdefault((packet.ssrc, packet.timestamp), []).append(packet)
        return list(found.values())

    def digits(self, since=0.0):
        """The digits heard as telephone-events, each once."""
        found = {}
        with self._news:
            for packet in self.packets:
                if packet.payload_type == 101 and packet.at >= since and len(packet.payload) >= 4:
                    found.setdefault((packet.ssrc, packet.timestamp), packet.payload[0])
        return "".join("0123456789*#ABCD"[number] for number in found.values())

    def _next_payload(self):
        """(payload type, marker, frame its timestamp names, octets) of the next packet; no octets: it
        is lost."""
        if self._digits:
            event = self._digits[0]
            number, step, end, lost = event.pop(0)
            if step == 1 and not end:
                self._event_began = self.sent
            if not event:
                self._digits.pop(0)
            octets = struct.pack("!BBH", number, (0x80 if end else 0) | 10, step * FRAME)
            return self._event_type, step == 1, self._event_began, b"" if lost else octets
        if self._sounds:
            return self._payload_type, False, self.sent, self._sounds.pop(0)
        return self._payload_type, self.sent == 0, self.sent, self._frame(self.sent)

    def _run(self):
        start_seq, start_timestamp = random.getrandbits(16), random.getrandbits(32)
        next_at, late = time.monotonic(), 0
        while self._running:
            wait = next_at + late - time.monotonic()
            if wait > 0:
                ready, _, _ = select.select([self._socket], [], [], wait)
                if ready:
                    self._receive()
                continue
            if self._remote and self._remote[1]:
                payload_type, marker, began, octets = self._next_payload()
                header = struct.pack("!BBHII", 0x80, payload_type | (0x80 if marker else 0),
                                     (start_seq + self.sent) & 0xFFFF,
                                     (start_timestamp + FRAME * began) & 0xFFFFFFFF, self.ssrc)
                if octets and not self._lose():
                    # The other side may have closed its port; what it hears is its own matter.
                    with contextlib.suppress(OSError):
                        self._socket.sendto(header + octets, self._remote)
                self.sent += 1
            next_at += FRAME_S
            late = random.uniform(0, self.jitter_s)
            if time.monotonic() - next_at > 1:
                next_at = time.monotonic()  # the machine stood still: do not send a burst

    def _lose(self):
        """Whether this packet is one of the `loss` that never arrive."""
        lost = self.loss > 0 and random.random() < self.loss
        self.lost_here += lost
        return lost

    def _receive(self):
        try:
            data = self._socket.recv(2048)
        except OSError:
            return
        at = time.monotonic()
        if len(data) >= 12 and data[0] >> 6 == 2 and not 192 <= data[1] <= 223:
            with self._news:
                self.packets.append(Packet(at, data))
                self._news.notify_all()

    # ---- judging ----

    def audio(self, since=0.0):
        """The packets with speech (not telephone-event) that arrived after `since`."""
        with self._news:
            return [p for p in self.packets if p.at >= since and p.payload_type in DECODE]

    def samples(self, since=0.0):
        frames = [p.samples() for p in self.audio(since)]
        return numpy.concatenate(frames) if frames else numpy.zeros(0)

    def wait_sent(self, count, timeout=5.0):
        """Wait until it has sent count more packets, whoever hears them."""
        goal, deadline = self.sent + count, time.monotonic() + timeout
        while self.sent < goal:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.sent} of {goal} packets sent within {timeout} s")
            time.sleep(0.01)

    def wait_packets(self, count, timeout=5.0, since=None):
        """Wait until count more packets of speech are there (50 are one second)."""
        since = time.monotonic() if since is None else since
        deadline = time.monotonic() + timeout
        with self._news:
            while sum(p.at >= since and p.payload_type in DECODE for p in self.packets) < count:
                left = deadline - time.monotonic()
                if left <= 0:
                    got = sum(p.at >= since for p in self.packets)
                    raise TimeoutError(f"{got} of {count} packets within {timeout} s")
                self._news.wait(left)
        return self.audio(since)

    def first_heard(self, freq, since=0.0):
        """When the first of two successive frames with the tone arrived, or None."""
        before = None
        for packet in self.audio(since):
            samples = packet.samples()
            there = level_of(samples) > 0.02 and tone_share(samples, freq) > 0.6
            if there and before:
                return before.at
            before = packet if there else None
        return None

    def wait_tone(self, freq, timeout=5.0, since=0.0):
        """Wait until the tone is heard; the time it was first there."""
        deadline = time.monotonic() + timeout
        while True:
            with self._news:
                count = len(self.packets)
            at = self.first_heard(freq, since)
            if at is not None:
                return at
            with self._news:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{freq} Hz not heard within {timeout} s, "
                                       f"{len(self.packets)} packets arrived")
                if len(self.packets) == count:
                    self._news.wait(left)

    def hears(self, freq, since=0.0, at_least_s=0.2):
        return hears(self.samples(since), freq, at_least_s=at_least_s)

    def hears_not(self, freq, since=0.0):
        return hears_not(self.samples(since), freq)

    def lost(self, since=0.0):
        """Packets missing in the sequence numbers, summed over the senders heard."""
        missing, last = 0, {}
        for packet in self.audio(since):
            if packet.ssrc in last:
                step = (packet.seq - last[packet.ssrc]) & 0xFFFF
                if 0 < step < 0x8000:
                    missing += step - 1
                elif step >= 0x8000:
                    missing -= 1  # a late one fills its gap
                    continue
            last[packet.ssrc] = packet.seq
        return missing

    def longest_gap(self, since=0.0):
        """The longest time between two packets, in seconds."""
        times = [p.at for p in self.audio(since)]
        return max((b - a for a, b in zip(times, times[1:])), default=0.0)

    def dropouts(self, freq, since=0.0):
        """Frames without the tone between the first and the last frame that carries it."""
        there = frames_with(self.samples(since), freq)
        if True not in there:
            return len(there)
        first, last = there.index(True), len(there) - 1 - there[::-1].index(True)
        return there[first:last + 1].count(False)
