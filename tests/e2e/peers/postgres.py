"""A PostgreSQL server from Debian's package, in a temporary directory on loopback."""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

from . import net


def _programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise FileNotFoundError("PostgreSQL is not installed (script/setup)")
    return found[-1]


class Postgres:
    """Runs as the user postgres when the tests run as root, which PostgreSQL refuses."""

    def __init__(self):
        self.address, self.port = net.fresh_address(), 5432
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="jackfield-pg-", dir="/tmp"))
        self._as = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._names = iter(range(1, 1 << 30))
        self.process = None
        self._run("initdb", "-D", self.directory / "data", "-U", "jackfield", "--auth=trust",
                  "--encoding=UTF8", "--locale=C", "--no-sync")

    def _run(self, program, *words):
        subprocess.run([str(_programs() / program), *map(str, words)], check=True,
                       capture_output=True, cwd=self.directory, **self._as)

    def start(self):
        with open(self.directory / "log", "ab") as log:
            os.chmod(self.directory / "log", 0o666)
            self.process = subprocess.Popen(
                [str(_programs() / "postgres"), "-D", str(self.directory / "data"),
                 "-h", self.address, "-p", str(self.port), "-k", str(self.directory),
                 "-c", "fsync=off", "-c", "max_connections=60", "-c", "shared_buffers=16MB"],
                stdout=log, stderr=log, cwd=self.directory, **self._as)
        net.until(self._answers, 20, "PostgreSQL", 0.05)
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended: {(self.directory / 'log').read_text()[-1000:]}")
        try:
            socket.create_connection((self.address, self.port), timeout=1).close()
        except OSError:
            return False
        return subprocess.run([str(_programs() / "pg_isready"), "-q", "-h", self.address,
                               "-p", str(self.port)], check=False).returncode == 0

    def stop(self):
        """At once: connections are cut (fast shutdown)."""
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)
            self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def database(self):
        """A new, empty database; its URL."""
        name = f"jackfield{next(self._names)}"
        self._run("createdb", "-h", self.address, "-p", self.port, "-U", "jackfield", name)
        return f"postgresql://jackfield@{self.address}:{self.port}/{name}"

    def query(self, url, sql):
        """The rows of a query as text, for looking behind the API."""
        done = subprocess.run([str(_programs() / "psql"), "-X", "-A", "-t", "-c", sql, url],
                              check=True, capture_output=True, text=True)
        return done.stdout.strip().splitlines()
