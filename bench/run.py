"""Measures the daemon: CPU for a unit of work, memory, start time; prints a table and one JSON object.

    script/bench                      all
    script/bench relay setup          some
    script/bench relay --calls 200    one size
    script/bench --json FILE          the JSON there too

The daemon is the release build; its peers (SIPp, Kamailio, bench/rtp_blast) run beside it on the same
machine, so figures are CPU time of the daemon alone, never wall-clock speed.
"""
import argparse
import bisect
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "bench")]

import latency  # noqa: E402
import load  # noqa: E402
from meter import Meter, machine  # noqa: E402
from peers import net  # noqa: E402
from peers.daemon import Daemon  # noqa: E402
from peers.provider import Provider  # noqa: E402
from peers.ua import UserAgent  # noqa: E402

# The limits that protect a tenant are not what is measured here.
LIMITS = {f"JACKFIELD_LIMITS_{key}": str(value) for key, value in (
    ("CALLS_PER_PROFILE", 20000), ("CALLS_PER_TENANT", 20000))}
NUMBER = "+493012345"
REGISTRARS = 10
TENANTS = 50
SETTLE_S = 6  # sources are latched for three seconds, and settle in the two after
KEEPALIVES_S = 30  # each profile keeps its path alive once in this time


def per_unit(threads, count):
    """Thread CPU in ms for each of count units of work."""
    return {name: round(1000 * value / count, 4) for name, value in threads.items()}


class Bench:
    """A daemon with a tenant whose two trunks join a calling side and a called side."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        started = time.monotonic()
        self.daemon = Daemon(self.directory / "daemon", env=LIMITS).start()
        self.start_s = time.monotonic() - started
        self.meter = Meter(self.daemon.process.pid)
        self.admin = self.daemon.signup()

    def trunks(self, out_codec="PCMU", **fields):
        """Calls from the returned first address to NUMBER go out to the second."""
        caller, callee = net.fresh_address(), net.fresh_address()
        out = self.admin.add_profile(user="out", server=callee, register=False, max_calls=10000,
                                     codecs=[out_codec])
        self.admin.add_profile(user="in", server=caller, register=False, max_calls=10000,
                               codecs=["PCMU"], **fields,
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


def settled_rss_kb(meter, wait_s=8):
    """Memory once the last transactions are over; what the heap keeps for itself is counted."""
    time.sleep(wait_s)
    return meter.rss_kb()


def bench_registrations(bench, options):
    """Profiles registered at Kamailio with digest; then what keeping them costs.

    Each registrar gets no more than 20 a second, so Kamailio listens at ten addresses.
    """
    count = options.registrations
    servers = [net.fresh_address() for _ in range(REGISTRARS)]
    provider = Provider(bench.directory / "provider", max_expires=3600, shared_mb=512, children=1,
                        address=servers[0], also=servers[1:]).start()
    try:
        before = bench.meter.rss_kb()
        users = [provider.add_user(f"r{number}", "secret") for number in range(count)]
        window = bench.meter.window()
        started = time.monotonic()
        for number, user in enumerate(users):
            bench.admin.add_profile(provider, user=user, check=False,
                                    server=servers[number % REGISTRARS])
        created_s = time.monotonic() - started
        net.until(lambda: bench.daemon.metrics().get("jackfield_sip_registered", 0) >= count,
                  60 + count / 20, f"{count} registrations", 0.5)
        register_s, cpu, threads = window.end()
        after = settled_rss_kb(bench.meter)
        window = bench.meter.window()
        time.sleep(max(options.seconds, KEEPALIVES_S))
        wall, keep, _ = window.end()
        return {"profiles": count, "created_per_s": round(count / created_s),
                "until_registered_s": round(register_s, 1),
                "create_and_register_cpu_ms_each": round(1000 * cpu / count, 3),
                "threads_ms_each": per_unit(threads, count),
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
                        "core_pct_at_2000_per_s": round(200000 * cpu / count),
                        "threads_ms_per_call": per_unit(threads, count)})
    return results


def bench_live(bench, options):
    """Memory of a call that is up, with both its legs and no sound."""
    caller, callee = bench.trunks()
    count = max(options.calls) * 5
    directory = bench.directory / "live"
    before = bench.meter.rss_kb()
    far = sipp(directory, "callee.xml", callee, m=count, l=20000)
    time.sleep(0.5)
    near = sipp(directory, "caller.xml", caller, m=count, l=20000, r=200, s=NUMBER, d=60000,
                to=f"{bench.daemon.address}:5060")
    try:
        net.until(lambda: bench.daemon.metrics().get("jackfield_channels", 0) >= 2 * count, 60,
                  f"{count} calls", 0.5)
        after = settled_rss_kb(bench.meter, 2)
        window = bench.meter.window()
        time.sleep(options.seconds)
        wall, cpu, _ = window.end()
    finally:
        for process in (near, far):
            process.kill()
            process.wait()
    return {"calls": count, "kb_per_call": round((after - before) / count, 1),
            "silent_cpu_pct_per_call": round(100 * cpu / wall / count, 4)}


def bench_api(bench, options):
    """Reads of live calls and of the log at a steady rate, over keep-alive connections."""
    caller, callee = bench.trunks()
    directory = bench.directory / "api"
    far = sipp(directory, "callee.xml", callee, m=2000, l=20000)
    time.sleep(0.5)
    to = f"{bench.daemon.address}:5060"
    sipp(directory, "caller.xml", caller, m=500, l=20000, r=200, s=NUMBER, d=50, to=to).wait(60)
    live = sipp(directory, "caller.xml", caller, m=50, l=20000, r=100, s=NUMBER, d=90000, to=to,
                p=5062)
    net.until(lambda: bench.admin.ok("GET", "/api/calls/")["count"] == 50, 20, "50 live calls")
    results = []
    try:
        for path in ("/api/calls/", "/api/call-logs/", "/api/call-logs/?page_size=5", "/readyz"):
            window = bench.meter.window()
            replies = load.http_load(bench.daemon.http, bench.admin.access, [path],
                                     options.api_rate, options.seconds)
            wall, cpu, threads = window.end()
            good = sum(status == 200 for _, status, _, _ in replies)
            results.append({"path": path, "requests": len(replies), "good": good,
                            "achieved_per_s": round(len(replies) / wall),
                            "bytes": replies[0][2], "cpu_ms_each": round(1000 * cpu / len(replies), 3),
                            "threads_ms_each": per_unit(threads, len(replies)),
                            "latency_ms": load.percentiles([r[0] for r in replies]),
                            "client_late_ms": load.percentiles([r[3] for r in replies])})
    finally:
        for process in (live, far):
            process.kill()
            process.wait()
    return results


def bench_events(bench, options):
    """From an INVITE at our socket to call.created at each of many WebSocket clients: all of the call's tenant, and
    spread over many tenants."""
    caller, callee = bench.trunks()
    program = bench.directory / "ws_ears"
    subprocess.run(["gcc", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-o", str(program),
                    str(ROOT / "bench/ws_ears.c")], check=True)
    others = [bench.daemon.signup().access for _ in range(TENANTS - 1)]
    return [events_seen_by(bench, program, clients, [bench.admin.access, *more], caller, callee)
            for clients in options.clients for more in ([], others)]


def events_seen_by(bench, program, clients, tokens, caller, callee):
    ears = load.Ears(program, bench.daemon.http, tokens, clients, '"call.created"',
                     [net.fresh_address() for _ in range(1 + clients // 400)])
    listeners = len(range(0, clients, len(tokens)))
    sent = []
    time.sleep(1)
    try:
        with UserAgent(caller, "bench") as near, UserAgent(callee, "bench"):
            window = bench.meter.window()
            for _ in range(30):
                sent.append(time.monotonic())
                near.invite(f"sip:{NUMBER}@{bench.daemon.address}:5060", ear=BlastEnd(caller, 10000))
                time.sleep(0.5)
            _, cpu, threads = window.end()
    finally:
        seen = ears.end()
    latencies = [at - sent[bisect.bisect(sent, at) - 1] for at in seen]
    return {"clients": clients, "tenants": len(tokens), "calls": len(sent),
            "missed": listeners * len(sent) - len(seen),
            "latency_ms": load.percentiles(latencies),
            "cpu_us_per_delivery": round(1e6 * cpu / max(1, len(latencies)), 1),
            "threads_ms_per_call": per_unit(threads, len(sent))}


class BlastEnd:
    """An ear's description without its sound: that is left to rtp_blast. It has telephone-events, as all phones and
    providers do: else tones would be listened for in its sound."""

    def __init__(self, address, port, opus=False, mixed=False):
        self.address, self.port, self.remote, self.opus = address, port, None, opus
        self.mixed = mixed
        self.payload_type = 111 if opus else 0

    def sdp(self):
        kind = "opus/48000/2" if self.opus else "PCMU/8000"
        return "\r\n".join(["v=0", f"o=bench {self.port} 1 IN IP4 {self.address}", "s=-",
                            f"c=IN IP4 {self.address}", "t=0 0",
                            f"m=audio {self.port} RTP/AVP {self.payload_type} 101",
                            f"a=rtpmap:{self.payload_type} {kind}",
                            "a=rtpmap:101 telephone-event/8000", "a=ptime:20", "a=sendrecv", ""])

    def accept(self, sdp):
        if self.opus:
            self.payload_type = int(re.search(r"a=rtpmap:(\d+) opus/48000", sdp)[1])
        host = next(line.split()[2] for line in sdp.splitlines() if line.startswith("c=IN IP4 "))
        port = next(line.split()[1] for line in sdp.splitlines() if line.startswith("m=audio "))
        self.remote = f"{host}:{port}"

    def start(self):
        pass

    def close(self):
        pass

    def pair(self):
        codec = f"opus:{self.payload_type}" if self.opus else "mixed" if self.mixed else "pcmu"
        return f"{self.address}:{self.port} {self.remote} {codec}"


def build_blast(bench):
    blast = bench.directory / "rtp_blast"
    subprocess.run(["gcc", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-o", str(blast),
                    str(ROOT / "bench/rtp_blast.c"), "-lopus", "-lm"], check=True)
    return blast


def blasted(bench, blast, ends, seconds):
    """All these ends speak; what the daemon used meanwhile, and how the sound fared."""
    holder = {}

    def measure():
        time.sleep(SETTLE_S)
        window = bench.meter.window()
        time.sleep(seconds)
        holder["window"] = window.end()
    thread = threading.Thread(target=measure)
    thread.start()
    run = subprocess.run([str(blast), str(seconds + SETTLE_S + 1)], input="\n".join(e.pair() for e in ends),
                         text=True, capture_output=True, check=False)
    thread.join()
    return holder["window"], run


def bench_conference(bench, options):
    """One room of G.711 members who all speak at once."""
    blast = build_blast(bench)
    caller = net.fresh_address()
    bench.admin.add_profile(user="in", server=caller, register=False, max_calls=10000,
                            codecs=["PCMU"], incoming={"type": "conference", "room": "bench"})
    ends, results = [], []
    with UserAgent(caller, "bench") as near:
        for size in sorted(options.members):
            while len(ends) < size:
                ends.append(BlastEnd(caller, 10000 + 2 * len(ends)))
                call = near.invite(f"sip:{NUMBER}@{bench.daemon.address}:5060", ear=ends[-1])
                reply = call.expect(lambda m: (m.status or 0) >= 200, 10)
                assert reply.status == 200, reply
                if ends[-1].remote is None:
                    ends[-1].accept(reply.body)
            room = bench.admin.ok("GET", "/api/conferences/bench/")
            assert len(room["members"]) == size
            (wall, cpu, threads), run = blasted(bench, blast, ends, options.seconds)
            results.append({"members": size, "cpu_pct_per_member": round(100 * cpu / wall / size, 4),
                            "pace_kept": run.returncode == 0,
                            "threads_pct": {n: round(100 * v / wall, 2) for n, v in threads.items()}})
    return results


def bench_relay(bench, options):
    """Two-way G.711 calls between two trunks; every packet is accounted for."""
    return two_way(bench, options, *bench.trunks())


def bench_loops(bench, options):
    """The media loops alone, and a bare loop beside them, in turn: what is ours and what the kernel's. The middle of
    three rounds, since a virtual machine's speed changes by the minute."""
    build = pathlib.Path(os.environ["JACKFIELD_BIN"]).parents[2]
    subprocess.run(["ninja", "-C", build, "bench/media_relay"], check=True, stdout=subprocess.DEVNULL)
    blast = build_blast(bench)
    results = []
    for calls in options.calls:
        rounds = []
        for _ in range(3):
            done = subprocess.run([build / "bench/media_relay", blast, str(calls), str(options.seconds)],
                                  check=True, capture_output=True, text=True)
            rounds.append(json.loads(done.stdout))
        ours, bare = (sorted(each[key] for each in rounds)
                      for key in ("cpu_pct_per_call", "bare_pct_per_call"))
        results.append({"calls": calls, "cpu_pct_per_call": ours, "bare_pct_per_call": bare,
                        "ratio": round(ours[1] / bare[1], 2),
                        "lost": sum(each["ends"]["lost"] for each in rounds)})
    return results


def bench_recorded(bench, options):
    """The same, each call recorded in stereo from its answer on; then what became of the files."""
    results = two_way(bench, options, *bench.trunks(record="always"))
    net.until(lambda: not bench.daemon.metrics().get("jackfield_recordings", 0), 60, "all finished")
    return results + [{name: value for name, value in bench.daemon.metrics().items()
                       if name.startswith("jackfield_recording")}]


def bench_transcoded(bench, options):
    """G.711 on one side, Opus on the other, both speaking: each way is decoded and encoded."""
    return two_way(bench, options, *bench.trunks(out_codec="opus"), opus=True)


def bench_monitored(bench, options):
    """The same, a supervisor listening to each call: the two go on being relayed, the third hears both mixed."""
    trunks, address = bench.trunks(), net.fresh_address()
    line = bench.admin.add_profile(user="boss", server=address, register=False, max_calls=10000,
                                   codecs=["PCMU"])
    ends = []

    def answered(call):
        ends.append(BlastEnd(address, 10000 + 2 * len(ends), mixed=True))
        call.ear = ends[-1]
        call.answer(wait_ack=False)

    def watch():
        call, = bench.admin.ok("GET", "/api/live-monitoring/?page_size=1")["results"]
        bench.admin.ok("POST", "/api/live-monitoring/",
                       {"call_id": call["id"], "mode": "listen",
                        "connect": {"number": NUMBER, "profile_id": line["id"]}}, 201)
        net.until(lambda: bench.admin.ok("GET", "/api/live-monitoring/?page_size=1")["results"][0]
                  ["monitors"][0]["state"] == "active", 5, "a supervisor")
        return ends

    with UserAgent(address, "bench") as boss:
        boss.on_invite = answered
        return two_way(bench, options, *trunks, watch=watch)


def two_way(bench, options, caller, callee, opus=False, watch=None):
    blast = build_blast(bench)
    ends, third = {side: [] for side in (caller, callee)}, []
    # What was transcoded or mixed is no packet of the other side: it has a place of its own in the flow, and no stamp.
    counted = ("sent", "received", "header_gaps") + (() if opus or watch else ("lost", "out_of_order"))

    def end(side):
        ends[side].append(BlastEnd(side, 10000 + 2 * len(ends[side]), opus and side == callee))
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
                if watch:
                    third = watch()
            net.until(lambda: all(e.remote for side in ends.values() for e in side), 5, "answers")
            rss = bench.meter.rss_kb()
            window, run = blasted(bench, blast, [e for side in ends.values() for e in side] + third,
                                  options.seconds)
            wall, cpu, threads = window
            sound = json.loads(run.stdout)
            results.append({"calls": size, "cpu_pct_per_call": round(100 * cpu / wall / size, 4),
                            "rss_kb_per_call": round((rss - rss_before) / size, 1),
                            "packets": {name: sound[name] for name in counted},
                            "late_ms": None if opus or watch else sound["late_ms"], "pace_kept": run.returncode == 0,
                            "threads_pct": {n: round(100 * v / wall, 2) for n, v in threads.items()}})
    return results


def supervisor(bench, probe):
    """One whose sound is the probe's: the user agent that answers for it, and what puts it on a call."""
    line = bench.admin.add_profile(user="boss", server=probe.address, register=False,
                                   codecs=["PCMU"])
    agent = UserAgent(probe.address, "bench")

    def answered(call):
        call.ear = probe
        call.answer(wait_ack=False)

    def watch(call):
        agent.on_invite = answered
        monitor = bench.admin.ok("POST", "/api/live-monitoring/",
                                 {"call_id": call["id"], "mode": "listen",
                                  "connect": {"number": NUMBER, "profile_id": line["id"]}}, 201)
        net.until(lambda: bench.admin.ok("GET", f"/api/live-monitoring/{monitor['id']}/")["state"]
                  == "active", 5, "a supervisor")
        return monitor["id"]
    return agent, watch


def bench_latency(bench, options):
    """From a request to what is heard, with many relayed calls up (latency.py)."""
    blast = build_blast(bench)
    caller, callee = bench.trunks()
    boss, watch = supervisor(bench, latency.Probe(net.fresh_address(), 9000, 0x40))
    calls = max(1, options.latency_calls)
    ends, probes = [], [latency.Probe(caller, 9000, 0x15), latency.Probe(callee, 9000, 0x2A)]
    probes[0].other, probes[1].other = probes[1], probes[0]

    def end(side, number):
        if number == calls - 1:
            return probes[side == callee]
        ends.append(BlastEnd(side, 10000 + 2 * number))
        return ends[-1]

    with UserAgent(caller, "bench") as near, UserAgent(callee, "bench") as far, boss:
        answered = iter(range(calls))

        def answer(call):
            call.ear = end(callee, next(answered))
            call.answer(wait_ack=False)
        far.on_invite = answer
        for number in range(calls):
            call = near.invite(f"sip:{NUMBER}@{bench.daemon.address}:5060", ear=end(caller, number))
            reply = call.expect(lambda m: (m.status or 0) >= 200, 10)
            assert reply.status == 200, reply
            net.until(lambda: all(e.remote for e in ends) and
                      (number < calls - 1 or all(p.remote for p in probes)), 5, "answers")
        blaster = subprocess.Popen([str(blast), "600"], stdin=subprocess.PIPE, text=True,
                                   stdout=subprocess.DEVNULL)
        try:
            blaster.stdin.write("\n".join(e.pair() for e in ends))
            blaster.stdin.close()
            window = bench.meter.window()
            samples = latency.probe(bench.daemon.http, bench.admin, probes, watch,
                                    options.operations)
            wall, cpu, threads = window.end()
        finally:
            blaster.kill()
            blaster.wait()
    results = {name: latency.figures(values) for name, values in samples.items()}
    print(latency.table(results), file=sys.stderr)
    return {"calls": calls, "operations_ms": results, "cpu_pct": round(100 * cpu / wall, 1),
            "threads_pct": {n: round(100 * v / wall, 2) for n, v in threads.items()}}


BENCHES = {"start": bench_start, "registrations": bench_registrations, "setup": bench_setup,
           "live": bench_live, "relay": bench_relay, "loops": bench_loops, "recorded": bench_recorded,
           "monitored": bench_monitored, "transcoded": bench_transcoded,
           "conference": bench_conference, "api": bench_api, "events": bench_events,
           "latency": bench_latency}


def main():
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *BENCHES], help="default: all")
    parser.add_argument("--calls", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--members", type=int, nargs="+", default=[10, 50, 100, 200])
    parser.add_argument("--rates", type=int, nargs="+", default=[200, 600, 1000, 1500])
    parser.add_argument("--registrations", type=int, default=10000)
    parser.add_argument("--seconds", type=int, default=10, help="length of each measurement")
    parser.add_argument("--api-rate", type=int, default=1000, help="requests a second")
    parser.add_argument("--clients", type=int, nargs="+", default=[1000, 5000],
                        help="WebSocket clients")
    parser.add_argument("--latency-calls", type=int, default=100, help="up while latency is measured")
    parser.add_argument("--operations", type=int, default=200, help="of each kind, for latency")
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
