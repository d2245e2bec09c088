"""What every part is given: the programs, the cores, a scratch folder."""

import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from procs import Child
from tools import Loadgate

PATIENCE_S = 60  # beyond the load's own length, before a client counts as stuck


@dataclass
class Bench:
    scratch: Path
    quick: bool
    client_core: int
    server_core: int
    loadgate: Loadgate
    peers: dict  # name → tool, those found on this machine
    nginx: str | None
    known: Path
    arrivals: Path
    truth: Path | None
    pacing_script: Path | None
    commands: list = field(default_factory=list)

    def tools(self):
        return [self.loadgate, *self.peers.values()]

    def start_client(self, argv):
        self.note_command(argv, self.client_core)
        return Child(argv, self.client_core, self.scratch)

    def run_client(self, argv, duration_s):
        with self.start_client(argv) as client:
            return client.finish(duration_s + PATIENCE_S)

    def note_command(self, argv, core):
        """For the record: without this run's paths and ports, so that two runs' records can be compared."""
        shown = " ".join([Path(str(argv[0])).name, *map(str, argv[1:])])
        shown = shown.replace(str(self.scratch), "$TMP").replace(str(Path(__file__).parent), "ci/bench.d")
        shown = re.sub(r"(\$TMP/[a-z]+)-\d+", r"\1", shown)
        shown = f"taskset -c {core} " + re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", shown)
        if shown not in self.commands:
            self.commands.append(shown)

    def take_commands(self):
        taken, self.commands = self.commands, []
        return taken


def progress(message):
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)
