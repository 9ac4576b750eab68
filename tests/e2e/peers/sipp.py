"""SIPp with the scenarios of tests/e2e/scenarios: a far end by other people, strict to the letter."""
import pathlib
import subprocess

from . import net

SCENARIOS = pathlib.Path(__file__).resolve().parent.parent / "scenarios"


class Sipp:
    """One SIPp process. As far end (`uas`) it waits for `calls` calls at address:port; as caller
    it is given `to` (host:port) and the user part to call. `words` replace @NAME@ in the scenario."""

    def __init__(self, directory, scenario, calls=1, to=None, service="100", words=None, rate=10,
                 timeout=60, limit=200):
        self.address, self.port = net.fresh_address(), 5060
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        text = (SCENARIOS / scenario).read_text()
        for name, value in (words or {}).items():
            text = text.replace(f"@{name}@", str(value))
        (self.directory / scenario).write_text(text)
        (self.directory / "quiet.raw").write_bytes(b"\xff" * 8000)  # for rtp_stream: PCMU silence
        command = ["sipp", "-sf", scenario, "-i", self.address,
                   "-mi", self.address, "-p", str(self.port), "-m", str(calls), "-nostdin",
                   "-timeout", str(timeout), "-timeout_error", "-l", str(limit), "-r", str(rate),
                   "-s", service, "-trace_err", "-error_file", str(self.directory / "errors.log"),
                   "-trace_msg", "-message_file", str(self.directory / "messages.log")]
        if to:
            command.append(to)
        self._output = open(self.directory / "sipp.log", "wb")
        self.process = subprocess.Popen(command, stdout=self._output, stderr=self._output,
                                        stdin=subprocess.DEVNULL, cwd=self.directory)
        if not to:
            net.until(self._listening, 5, f"SIPp at {self.address}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _listening(self):
        """Whether its port is taken (it says nothing when it is ready)."""
        if self.process.poll() is not None:
            raise RuntimeError(f"SIPp ended: {self.errors()}{self.output()[-1500:]}")
        wanted = "".join(f"{int(part):02X}" for part in reversed(self.address.split(".")))
        return f"{wanted}:{self.port:04X}" in pathlib.Path("/proc/net/udp").read_text()

    def wait(self, timeout=20):
        """Its verdict: 0 when each call went as the scenario says."""
        code = self.process.wait(timeout)
        if code:
            print(self.errors(), self.output()[-1500:])
        return code

    def errors(self):
        path = self.directory / "errors.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def messages(self):
        path = self.directory / "messages.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def output(self):
        return (self.directory / "sipp.log").read_text(errors="replace")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._output.close()
