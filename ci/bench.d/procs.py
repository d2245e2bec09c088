"""Child processes: pinned to a core, accounted for by the kernel, and gone when their `with` block ends."""

import os
import random
import resource
import select
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path


class BenchError(Exception):
    """A measurement could not be made; the message is for the user."""


@dataclass(frozen=True)
class Finished:
    exit_code: int
    stdout: str
    stderr: str
    cpu_s: float  # user and system time, with that of its own children


class Child:
    """A process pinned to one core. Its output goes to files, so that nobody needs to wake up to drain a pipe."""

    def __init__(self, argv, core, scratch):
        self.name = Path(str(argv[0])).name
        self._finished = None
        self._stdout = tempfile.TemporaryFile(dir=scratch)
        self._stderr = tempfile.TemporaryFile(dir=scratch)
        self._process = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=self._stderr,
            cwd=scratch,
            env=_neutral_environment(),
        )
        self.pid = self._process.pid  # taskset becomes the program: the same pid
        self._pidfd = os.pidfd_open(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        os.close(self._pidfd)
        self._stdout.close()
        self._stderr.close()

    def ended_within(self, timeout_s):
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))

    def finish(self, timeout_s):
        if not self.ended_within(timeout_s):
            raise BenchError(f"{self.name} did not end within {timeout_s:.0f} s")
        return self._reap()

    def stop(self):
        """SIGTERM, then SIGKILL; harmless on a process that has ended."""
        for ending, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            if self.ended_within(0):
                break
            signal.pidfd_send_signal(self._pidfd, ending)
            self.ended_within(patience_s)
        return self._reap()

    def _reap(self):
        # Not Popen.wait: only wait4 tells the CPU time of this child rather than of all children together.
        if self._finished is None:
            _, status, usage = os.wait4(self.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._finished = Finished(
                self._process.returncode,
                _text_of(self._stdout),
                _text_of(self._stderr),
                usage.ru_utime + usage.ru_stime,
            )
        return self._finished


def _neutral_environment():
    """Without the user's own LOADGATE_… and K6_… settings, which would change what is measured."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("LOADGATE_", "K6_"))}


def _text_of(file):
    file.seek(0)
    return file.read().decode(errors="replace")


def rss_kb(pid):
    """Resident memory, or None for a process that has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except OSError:
        pass
    return None


def open_files(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def raise_open_files_limit(wanted):
    """For this process and the children it starts from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (ValueError, OSError) as error:
        raise BenchError(f"{wanted} open files are needed and the limit is {hard}: {error}") from error


_given_ports = set()


def free_port():
    """Below the ephemeral range, where a client's own end of a connection cannot sit on it."""
    for _ in range(1000):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given_ports:
            _given_ports.add(port)
            return port
    raise BenchError("no free port on loopback")
