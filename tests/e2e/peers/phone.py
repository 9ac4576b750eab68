"""baresip as a phone or a far end: an endpoint by other people, driven over its control socket.

It sends a tone from a WAV file and writes what it hears to another, which heard() reads.
"""
import contextlib
import json
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import numpy

from . import ear, net

CODECS = {"PCMU": ("g711", "PCMU/8000/1", 8000, 1), "PCMA": ("g711", "PCMA/8000/1", 8000, 1),
          "G722": ("g722", "G722/16000/1", 16000, 1), "opus": ("opus", "opus/48000/2", 48000, 2)}
MODULE_DIRECTORIES = ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules")

CONFIG = """
poll_method epoll
call_local_timeout 120
call_max_calls 8
sip_listen {address}:5060
net_interface {address}
{trust}
audio_source aufile,{tone}
audio_player aubridge,nil
audio_alert aubridge,nil
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
rtp_ports 40000-59000
rtcp_mux no
jitter_buffer_type off
jitter_buffer_delay 1-10
dns_server {address}:53
module_path {modules}
module {codec}.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
snd_path {heard}
ctrl_tcp_listen {address}:4444
"""


def _write_tone(path, freq, rate, channels, seconds=60):
    """A long WAV with the tone: baresip is silent once its file has ended."""
    second = (ear.tone(freq, 1.0, rate=rate) * 32767).astype("<i2")
    if channels > 1:
        second = numpy.repeat(second, channels)
    with ear.wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(second.tobytes() * seconds)


class Phone:
    """A running baresip with one account user:password at server (host or host:port).

    answer: "manual" or "auto". trust: a CA file for TLS (verified when given). sound: samples (8 kHz)
    that it sends, once, in place of a tone.
    """

    def __init__(self, directory, user, password, server, transport="udp", tone=700,
                 codec="PCMU", answer="manual", register=True, trust=None, expires=300,
                 sound=None):
        self.address = net.fresh_address()
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.heard_directory = self.directory / "heard"
        self.heard_directory.mkdir()
        self.tone = tone
        self.server = server
        module, format_, rate, channels = CODECS[codec]
        self._bytes_a_second = 2 * rate * channels
        if sound is None:
            _write_tone(self.directory / "tone.wav", tone, rate, channels)
        else:
            ear.write_wav(self.directory / "tone.wav", sound)
        (self.directory / "config").write_text(CONFIG.format(
            address=self.address, tone=self.directory / "tone.wav", codec=module,
            modules=next(d for d in MODULE_DIRECTORIES if pathlib.Path(d).is_dir()),
            heard=self.heard_directory, trust=f"sip_cafile {trust}" if trust else ""))
        (self.directory / "accounts").write_text(
            f"<sip:{user}@{server};transport={transport}>;auth_user={user};auth_pass={password};"
            f"answermode={answer};audio_codecs={format_};regint={expires if register else 0};"
            "ptime=20\n")
        (self.directory / "contacts").write_text("")
        self.events = []
        self._news = threading.Condition()
        self._tokens = iter(range(1, 1 << 30))
        self._responses = {}
        self._log_path = self.directory / "baresip.log"
        self._log = open(self._log_path, "wb")
        self.process = subprocess.Popen(["baresip", "-4", "-f", str(self.directory)],
                                        stdin=subprocess.DEVNULL, stdout=self._log,
                                        stderr=self._log)
        self._control = net.until(self._connect, 10, f"baresip at {self.address}")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _connect(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"baresip ended: {self.log()[-2000:]}")
        try:
            return socket.create_connection((self.address, 4444), timeout=1)
        except OSError:
            return None

    def close(self):
        """End it as a user would: calls are hung up, the account is unregistered."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(4)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._control.close()
        self._log.close()
        self.process = None

    def kill(self):
        """Vanish without a word (a phone whose battery is empty)."""
        self.process.kill()
        self.process.wait()

    def log(self):
        """Without the line that it repaints ten times a second."""
        return re.sub(r"\[\d+:\d\d:\d\d\] audio=\S+ \(bit/s\)\s*", "",
                      self._log_path.read_text(errors="replace"))

    # ---- control ----

    def _read(self):
        self._control.settimeout(None)
        buffer = b""
        with contextlib.suppress(OSError):
            while data := self._control.recv(65536):
                buffer += data
                while b":" in buffer:
                    size, _, rest = buffer.partition(b":")
                    if len(rest) < int(size) + 1:
                        break
                    self._take(json.loads(rest[:int(size)]))
                    buffer = rest[int(size) + 1:]

    def _take(self, message):
        message["at"] = time.monotonic()
        with self._news:
            if message.get("event"):
                self.events.append(message)
            elif "token" in message:
                self._responses[message["token"]] = message
            self._news.notify_all()

    def command(self, name, parameters="", timeout=5.0):
        number = str(next(self._tokens))
        text = json.dumps({"command": name, "params": parameters, "token": number}).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))
        with self._news:
            if not self._news.wait_for(lambda: number in self._responses, timeout):
                raise TimeoutError(f"baresip did not answer {name}; {self.log()[-1000:]}")
            return self._responses.pop(number).get("data", "")

    def wait_event(self, kind, timeout=10.0, after=0.0):
        """The first event of that type (CALL_INCOMING, CALL_ESTABLISHED, …) later than after."""
        def found():
            return next((e for e in self.events if e["type"] == kind and e["at"] > after), None)
        with self._news:
            if not self._news.wait_for(found, timeout):
                seen = [e["type"] for e in self.events]
                raise TimeoutError(f"baresip: no {kind} within {timeout} s, came {seen}; "
                                   f"{self.log()[-1500:]}")
            return found()

    # ---- what a person does with a phone ----

    def wait_registered(self, timeout=10.0):
        """Its log tells: the event may be gone before the control socket is up."""
        net.until(lambda: re.search(r"200 OK .*\[\d+ binding", self.log()), timeout,
                  f"baresip registered; {self.log()[-1500:]}")

    def dial(self, number):
        uri = number if number.startswith("sip:") else f"sip:{number}@{self.server}"
        self.command("dial", uri)

    def wait_ringing(self, timeout=10.0, after=0.0):
        return self.wait_event("CALL_INCOMING", timeout, after)

    def answer(self):
        self.command("accept")
        return self.wait_event("CALL_ESTABLISHED")

    def hangup(self):
        self.command("hangup")

    def wait_answered(self, timeout=10.0, after=0.0):
        return self.wait_event("CALL_ESTABLISHED", timeout, after)

    def wait_closed(self, timeout=10.0, after=0.0):
        return self.wait_event("CALL_CLOSED", timeout, after)

    def digits(self):
        """The digits that it says were pressed at the other end, telephone-events and INFOs."""
        with self._news:
            return "".join(e["param"] for e in self.events if e["type"] == "CALL_DTMF_START")

    def press(self, digit):
        """A key of its own, as telephone-event."""
        self.command("sndcode", digit)

    def wait_recorded(self, seconds, timeout=15.0):
        """Wait until it has written so much of a call down (the file's header comes last)."""
        def enough():
            return any(path.stat().st_size > seconds * self._bytes_a_second
                       for path in self.heard_directory.glob("dump-*-dec.wav"))
        net.until(enough, timeout, f"baresip has heard {seconds} s", 0.1)

    def heard(self):
        """(samples, rate) of all it has heard, call after call; complete after a call's end."""
        parts, rate = [], 8000
        for path in sorted(self.heard_directory.glob("dump-*-dec.wav")):
            with contextlib.suppress(EOFError, ValueError, ear.wave.Error):
                samples, rate = ear.read_wav(path)
                parts.append(samples)
        return (numpy.concatenate(parts) if parts else numpy.zeros(0)), rate

    def hears(self, freq, at_least_s=0.2):
        samples, rate = self.heard()
        return ear.hears(samples, freq, rate, at_least_s=at_least_s)
