"""Loopback addresses of one's own, so that tests running side by side never share a port."""
import itertools
import os
import random
import string
import time

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").lstrip("gw") or 0)
_numbers = itertools.count(random.randrange(0, 60000))


def fresh_address():
    """An address of 127/8 that nothing else on this machine uses."""
    number = next(_numbers) % 60000
    return f"127.{100 + _worker}.{number // 250}.{1 + number % 250}"


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
