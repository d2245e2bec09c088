"""The machine a run was made on, and how much of it went to others meanwhile."""

import os
import platform
import resource
from datetime import datetime, timezone
from pathlib import Path

import prepare

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def description(bench):
    """Lines for the head of the results."""
    return [
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, commit {prepare.commit()}",
        f"{_cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        f"client on core {bench.client_core}, server on core {bench.server_core}",
        *(f"{name}: {version}" for name, version in prepare.tool_versions(bench).items()),
    ]


def busy_s(core=None):
    """CPU time spent since boot, by one core or all of them."""
    ticks = _ticks(core)
    return (sum(ticks.values()) - ticks["idle"] - ticks["iowait"] - ticks["steal"]) / TICKS_PER_S


class Disturbance:
    """What others took since this was made: the host, and processes that are not the benchmark's."""

    def __init__(self):
        self._ticks = _ticks(None)
        self._busy_s = busy_s()
        self._own_s = _own_cpu_s()

    def until_now(self):
        ticks = _ticks(None)
        available_s = max(sum(ticks.values()) - sum(self._ticks.values()), 1) / TICKS_PER_S
        stolen_s = (ticks["steal"] - self._ticks["steal"]) / TICKS_PER_S
        others_s = max(busy_s() - self._busy_s - (_own_cpu_s() - self._own_s), 0)
        return (
            f"CPU time meanwhile that went to other processes: {others_s / available_s:.1%}, "
            f"that the host withheld: {stolen_s / available_s:.1%}"
        )


def _own_cpu_s():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _ticks(core):
    name = "cpu" if core is None else f"cpu{core}"
    kinds = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    for line in Path("/proc/stat").read_text().splitlines():
        label, *figures = line.split()
        if label == name:
            return dict(zip(kinds, map(int, figures)))
    raise LookupError(name)


def _cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
