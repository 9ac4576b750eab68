"""Loopback addresses of one's own, so that tests running side by side never share a port."""
import itertools
import os
import random
import socket
import string
import time

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").lstrip("gw") or 0)
_numbers = itertools.count(random.randrange(0, 60000))


def fresh_address():
    """An address of 127/8 that nothing else on this machine uses."""
    number = next(_numbers) % 60000
    return f"127.{100 + _worker}.{number // 250}.{1 + number % 250}"


def fresh_port_6():
    """A port of ::1 that nobody has now: of IPv6 there is only one loopback address."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        return probe.getsockname()[1]


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def host(address):
    """The address as it stands in a URI."""
    return f"[{address}]" if ":" in address else address


def token(prefix="", size=8):
    """A name that no other test uses."""
    return prefix + "".join(random.choices(string.ascii_lowercase + string.digits, k=size))


def digits(size):
    return "".join(random.choices(string.digits, k=size))


def until(condition, timeout, what, step=0.02):
    """Ask until condition() is true; its value. For peers that send no events of their own."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(step)


class Deadline:
    """A time by which something must have happened."""

    def __init__(self, seconds):
        self._at = time.monotonic() + seconds

    def passed(self):
        return time.monotonic() > self._at
