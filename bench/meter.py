"""What a process costs: CPU time by thread, memory; and the machine it was measured on."""
import os
import pathlib
import platform
import time

TICK = os.sysconf("SC_CLK_TCK")


class Meter:
    """CPU and memory of one process, read from /proc."""

    def __init__(self, pid):
        self.proc = pathlib.Path(f"/proc/{pid}")

    def cpu_s(self):
        """User and system time of the whole process so far, in seconds."""
        fields = (self.proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def threads_cpu_s(self):
        """The same by thread name; threads of one name are added up."""
        total = {}
        for task in (self.proc / "task").iterdir():
            try:
                text = (task / "stat").read_text()
            except OSError:
                continue
            fields = text.rpartition(")")[2].split()
            name = text.partition("(")[2].rpartition(")")[0]
            total[name] = total.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICK
        return total

    def rss_kb(self):
        for line in (self.proc / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def window(self):
        return Window(self)


class Window:
    """CPU spent between its making and its end."""

    def __init__(self, meter):
        self.meter = meter
        self.cpu, self.threads = meter.cpu_s(), meter.threads_cpu_s()
        self.started = time.monotonic()

    def end(self):
        """(wall seconds, CPU seconds, CPU seconds by thread)"""
        wall = time.monotonic() - self.started
        threads = {name: round(value - self.threads.get(name, 0), 3)
                   for name, value in self.meter.threads_cpu_s().items()
                   if value - self.threads.get(name, 0) > 0}
        return wall, self.meter.cpu_s() - self.cpu, threads


def machine():
    model = next((line.partition(":")[2].strip()
                  for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}
