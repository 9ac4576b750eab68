"""Load on the API and ears on the event stream: bare sockets, so that the client's own cost stays small."""
import asyncio
import base64
import json
import os
import selectors
import socket
import threading
import time

HANDSHAKE_S = 10


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
    """Many WebSocket clients of one user, read by one thread: when each saw an event first."""

    def __init__(self, address, token, count, sources):
        self.selector = selectors.EpollSelector()
        self.seen = {}  # text looked for: [time.monotonic() of each client]
        self.lock = threading.Lock()
        self.sockets = [self._connect(address, token, sources[n % len(sources)])
                        for n in range(count)]
        self.going = True
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _connect(self, address, token, source):
        host, _, port = address.rpartition(":")
        sock = socket.create_connection((host, int(port)), HANDSHAKE_S, (source, 0))
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall((f"GET /ws/events HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n"
                      f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                      "Sec-WebSocket-Version: 13\r\n"
                      f"Sec-WebSocket-Protocol: jackfield.v1, bearer.{token}\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            more = sock.recv(4096)
            assert more, head
            head += more
        assert b" 101 " in head.split(b"\r\n")[0], head
        self._send(sock, json.dumps({"type": "subscribe", "topics": ["calls"]}).encode())
        sock.setblocking(False)
        self.selector.register(sock, selectors.EVENT_READ)
        return sock

    @staticmethod
    def _send(sock, payload):
        assert len(payload) < 126
        mask = os.urandom(4)
        sock.sendall(bytes([0x81, 0x80 | len(payload)]) + mask +
                     bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload)))

    def _listen(self):
        while self.going:
            for key, _ in self.selector.select(0.2):
                try:
                    data = key.fileobj.recv(65536)
                except BlockingIOError:
                    continue
                now = time.monotonic()
                if not data:
                    self.selector.unregister(key.fileobj)
                    continue
                with self.lock:
                    for text, times in self.seen.items():
                        if text in data:
                            times.append(now)

    def watch(self, text):
        with self.lock:
            self.seen = {text: []}
            return self.seen[text]

    def close(self):
        self.going = False
        self.thread.join()
        for sock in self.sockets:
            sock.close()
