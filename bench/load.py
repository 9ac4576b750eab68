"""Load on the API and ears on the event stream: bare sockets, so that the client's own cost stays small."""
import asyncio
import subprocess
import time


def percentiles(samples_s):
    """{"p50": ms, ...} of latencies in seconds."""
    ordered = sorted(samples_s)
    return {name: round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)
            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1))}


async def _read_reply(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    at = lower.find(b"content-length:")
    length = int(lower[at + 15:lower.find(b"\r\n", at)])
    body = await reader.readexactly(length)
    return int(head[9:12]), body


async def _client(host, port, token, paths, times, results):
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
    for number, at in enumerate(times):
        await asyncio.sleep(max(0, at - time.monotonic()))
        request = (f"GET {paths[number % len(paths)]} HTTP/1.1\r\nHost: {host}\r\n"
                   f"Authorization: Bearer {token}\r\n\r\n").encode()
        sent = time.monotonic()
        writer.write(request)
        status, body = await _read_reply(reader)
        results.append((time.monotonic() - sent, status, len(body), sent - at))
    writer.close()


def http_load(address, token, paths, rate, seconds, clients=16):
    """GETs at a steady rate over keep-alive connections. (latency, status, bytes, late) of each."""
    host, _, port = address.rpartition(":")
    results = []

    async def run():
        start = time.monotonic() + 0.2
        await asyncio.gather(*(
            _client(host, int(port), token, paths,
                    [start + (n * clients + client) / rate
                     for n in range(int(rate * seconds / clients))], results)
            for client in range(clients)))
    asyncio.run(run())
    return results


class Ears:
    """Many WebSocket clients, spread over these users, in a process of their own (bench/ws_ears.c)."""

    def __init__(self, program, address, tokens, count, word, sources):
        host, _, port = address.rpartition(":")
        self.process = subprocess.Popen(
            [str(program), host, port, ",".join(tokens), str(count), word, *sources],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", "the clients could not subscribe"

    def end(self):
        """When each saw the word, in seconds of time.monotonic(), in order."""
        text, _ = self.process.communicate("", timeout=60)
        return sorted(float(line) for line in text.split())
