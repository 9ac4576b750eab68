"""Measures the daemon: CPU for a unit of work, memory, start time; prints a table and one JSON object.

    script/bench                      all
    script/bench relay setup          some
    script/bench relay --calls 200    one size
    script/bench --json FILE          the JSON there too

The daemon is the release build; its peers (SIPp, Kamailio, bench/rtp_blast) run beside it on the same
machine, so figures are CPU time of the daemon alone, never wall-clock speed.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "bench")]

from meter import Meter, machine  # noqa: E402
from peers import net  # noqa: E402
from peers.daemon import Daemon  # noqa: E402
from peers.provider import Provider  # noqa: E402
from peers.ua import UserAgent  # noqa: E402

# The limits that protect a tenant are not what is measured here.
LIMITS = {f"JACKFIELD_LIMITS_{key}": str(value) for key, value in (
    ("CALLS_PER_PROFILE", 20000), ("CALLS_PER_TENANT", 20000))}
NUMBER = "+493012345"


class Bench:
    """A daemon with a tenant whose two trunks join a calling side and a called side."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        started = time.monotonic()
        self.daemon = Daemon(self.directory / "daemon", env=LIMITS).start()
        self.start_s = time.monotonic() - started
        self.meter = Meter(self.daemon.process.pid)
        self.admin = self.daemon.signup()

    def trunks(self):
        """Calls from the returned first address to NUMBER go out to the second."""
        caller, callee = net.fresh_address(), net.fresh_address()
        out = self.admin.add_profile(user="out", server=callee, register=False, max_calls=10000,
                                     codecs=["PCMU"])
        self.admin.add_profile(user="in", server=caller, register=False, max_calls=10000,
                               codecs=["PCMU"],
                               incoming={"type": "number", "number": NUMBER,
                                         "profile_id": out["id"]})
        return caller, callee

    def close(self):
        self.admin.close()
        self.daemon.stop()


def bench_start(bench, options):
    time.sleep(1)
    rss = bench.meter.rss_kb()
    window = bench.meter.window()
    time.sleep(5)
    wall, cpu, _ = window.end()
    return {"start_s": round(bench.start_s, 3), "idle_rss_mb": round(rss / 1024, 1),
            "idle_cpu_pct": round(100 * cpu / wall, 2)}


def bench_registrations(bench, options):
    """Profiles registered at Kamailio with digest; then what keeping them costs."""
    count = options.registrations
    provider = Provider(bench.directory / "provider", max_expires=3600, shared_mb=512).start()
    try:
        before = bench.meter.rss_kb()
        for number in range(count):
            bench.admin.add_profile(provider, user=provider.add_user(f"r{number}", "secret"),
                                    check=False)
        window = bench.meter.window()
        net.until(lambda: bench.daemon.metrics().get("jackfield_lines_registered", 0) >= count,
                  60 + count / 50, f"{count} registrations", 0.5)
        wall, cpu, _ = window.end()
        register_s = wall
        after = bench.meter.rss_kb()
        window = bench.meter.window()
        time.sleep(options.seconds)
        wall, keep, _ = window.end()
        return {"profiles": count, "until_registered_s": round(register_s, 1),
                "register_cpu_ms_each": round(1000 * cpu / count, 3),
                "keep_cpu_pct": round(100 * keep / wall, 2),
                "keep_cpu_pct_per_10000": round(100 * keep / wall * 10000 / count, 2),
                "kb_each": round((after - before) / count, 2)}
    finally:
        provider.stop()


def sipp(directory, scenario, address, **flags):
    directory.mkdir(parents=True, exist_ok=True)
    command = ["sipp", "-sf", str(ROOT / "bench/scenarios" / scenario), "-i", address, "-mi", address,
               "-p", "5060", "-nostdin", "-timeout", "120", "-buff_size", "4194304"]
    for name, value in flags.items():
        words = value if isinstance(value, list) else [value]
        command += ([] if name == "to" else [f"-{name}"]) + [str(word) for word in words]
    log = open(directory / f"{scenario}.log", "wb")
    return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=directory)


def bench_setup(bench, options):
    """Two-legged calls set up and torn down, no sound: SIPp to a trunk, out of the other to SIPp."""
    caller, callee = bench.trunks()
    results = []
    for rate in options.rates:
        count = rate * options.seconds
        directory = bench.directory / f"setup{rate}"
        far = sipp(directory, "callee.xml", callee, m=count, l=20000)
        net.until(lambda: f":{5060:04X}" in pathlib.Path("/proc/net/udp").read_text(), 5, "SIPp")
        time.sleep(0.3)
        window = bench.meter.window()
        near = sipp(directory, "caller.xml", caller, m=count, l=20000, r=rate, s=NUMBER,
                    d=50, to=f"{bench.daemon.address}:5060")
        code = near.wait(180)
        wall, cpu, threads = window.end()
        far.terminate()
        far.wait()
        results.append({"rate": rate, "calls": count, "sipp_exit": code,
                        "achieved_per_s": round(count / wall, 1),
                        "cpu_ms_per_call": round(1000 * cpu / count, 4),
                        "threads_ms_per_call": {name: round(1000 * value / count, 4)
                                                for name, value in threads.items()}})
    return results


class BlastEnd:
    """An ear's description without its sound: that is left to rtp_blast."""

    def __init__(self, address, port):
        self.address, self.port, self.remote = address, port, None

    def sdp(self):
        return "\r\n".join(["v=0", f"o=bench {self.port} 1 IN IP4 {self.address}", "s=-",
                            f"c=IN IP4 {self.address}", "t=0 0",
                            f"m=audio {self.port} RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=ptime:20",
                            "a=sendrecv", ""])

    def accept(self, sdp):
        host = next(line.split()[2] for line in sdp.splitlines() if line.startswith("c=IN IP4 "))
        port = next(line.split()[1] for line in sdp.splitlines() if line.startswith("m=audio "))
        self.remote = f"{host}:{port}"

    def start(self):
        pass

    def close(self):
        pass

    def pair(self):
        return f"{self.address}:{self.port} {self.remote}"


def bench_relay(bench, options):
    """Two-way G.711 calls between two trunks; every packet is accounted for."""
    blast = bench.directory / "rtp_blast"
    subprocess.run(["gcc", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-o", str(blast),
                    str(ROOT / "bench/rtp_blast.c")], check=True)
    caller, callee = bench.trunks()
    ends = {side: [] for side in (caller, callee)}

    def end(side):
        ends[side].append(BlastEnd(side, 10000 + 2 * len(ends[side])))
        return ends[side][-1]

    results = []
    rss_before = bench.meter.rss_kb()
    with UserAgent(caller, "bench") as near, UserAgent(callee, "bench") as far:
        def answered(call):
            call.ear = end(callee)
            call.answer(wait_ack=False)
        far.on_invite = answered
        calls = []
        for size in sorted(options.calls):
            while len(calls) < size:
                call = near.invite(f"sip:{NUMBER}@{bench.daemon.address}:5060", ear=end(caller))
                reply = call.expect(lambda m: (m.status or 0) >= 200, 10)
                assert reply.status == 200, reply
                if call.ear.remote is None:
                    call.ear.accept(reply.body)
                calls.append(call)
            net.until(lambda: all(e.remote for side in ends.values() for e in side), 5, "answers")
            rss = bench.meter.rss_kb()
            pairs = "\n".join(e.pair() for side in ends.values() for e in side)
            holder = {}

            def measure():
                time.sleep(1.5)
                window = bench.meter.window()
                time.sleep(options.seconds)
                holder["window"] = window.end()
            thread = threading.Thread(target=measure)
            thread.start()
            run = subprocess.run([str(blast), str(options.seconds + 3)], input=pairs, text=True,
                                 capture_output=True, check=False)
            thread.join()
            wall, cpu, threads = holder["window"]
            sound = json.loads(run.stdout)
            results.append({"calls": size, "cpu_pct_per_call": round(100 * cpu / wall / size, 4),
                            "rss_kb_per_call": round((rss - rss_before) / size, 1),
                            "packets": {k: sound[k] for k in ("sent", "received", "lost",
                                                              "out_of_order", "header_gaps")},
                            "late_ms": sound["late_ms"], "pace_kept": run.returncode == 0,
                            "threads_pct": {n: round(100 * v / wall, 2) for n, v in threads.items()}})
    return results


BENCHES = {"start": bench_start, "registrations": bench_registrations, "setup": bench_setup,
           "relay": bench_relay}


def main():
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *BENCHES], help="default: all")
    parser.add_argument("--calls", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--rates", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--registrations", type=int, default=10000)
    parser.add_argument("--seconds", type=int, default=10, help="length of each measurement")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    results = {"machine": machine()}
    for name in options.what or BENCHES:
        with tempfile.TemporaryDirectory(prefix="jackfield-bench-") as directory:
            bench = Bench(directory)
            try:
                print(f"{name} ...", file=sys.stderr, flush=True)
                results[name] = BENCHES[name](bench, options)
            finally:
                bench.close()
        print(json.dumps({name: results[name]}, indent=2), file=sys.stderr, flush=True)
    print(json.dumps(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
