"""Memory of a virtual user that mostly thinks."""

import json
import time
from dataclasses import dataclass
from statistics import median

import servers
from context import PATIENCE_S, progress
from procs import BenchError, open_files, raise_open_files_limit, rss_kb
from report import MustHave, PartResult, Table
from tools import complaint

TITLE = "memory a virtual user, most of them thinking"
NEEDS = ("truth",)
FEW_USERS = 8
LIMIT_KB = 24
SCENARIO = """\
feature: idle
steps:
  - {{ name: page, get: / }}
  - think: {think_s}s
load:
  warmup: 1s
  stages: [ {{ vus: {users}, for: {window_s}s }} ]
"""


@dataclass(frozen=True)
class Sample:
    at_s: float
    rss_kb: int
    open_files: int


def run(bench):
    many_users, think_s, window_s = (500, 2, 6) if bench.quick else (8000, 10, 30)
    raise_open_files_limit(many_users + 1000)
    result = PartResult(TITLE)
    table = Table(["users", "RSS, MB", "open files", "requests", "errors"])
    rss_of = {}
    for users in (FEW_USERS, many_users):
        progress(f"users: {users}")
        with servers.truth(bench) as (url, _):
            middle, endpoint = _run(bench, url, users, think_s, window_s)
        rss_of[users] = middle.rss_kb
        table.rows.append(
            [users, f"{middle.rss_kb / 1024:.1f}", middle.open_files, endpoint["requests"], endpoint["errors"]]
        )
    result.tables.append(table)
    each_kb = (rss_of[many_users] - rss_of[FEW_USERS]) / many_users
    result.must_haves.append(MustHave("RSS a user", f"{each_kb:.1f} KB", f"≤ {LIMIT_KB} KB", each_kb <= LIMIT_KB))
    result.notes.append(f"in the middle of a window of {window_s} s, users thinking {think_s} s after each request")
    return result


def _run(bench, url, users, think_s, window_s):
    """The sample from the middle of the window, and the verdict's endpoint."""
    scenario = bench.scratch / f"idle-{users}.yaml"
    scenario.write_text(SCENARIO.format(users=users, think_s=think_s, window_s=window_s))
    out = bench.loadgate.out_dir()
    argv = [bench.loadgate.binary, "run", scenario, "--target", url, "--quiet", "--out", out]
    samples = []
    give_up_s = time.monotonic() + window_s + think_s + PATIENCE_S
    with bench.start_client(argv) as client:
        while not client.ended_within(0.25):
            resident_kb = rss_kb(client.pid)
            if resident_kb:
                samples.append(Sample(time.monotonic(), resident_kb, open_files(client.pid)))
            if time.monotonic() > give_up_s:
                raise BenchError(f"loadgate did not end with {users} users")
        finished = client.finish(1)
    verdict = out / "verdict.json"
    if not verdict.is_file():
        raise BenchError(f"loadgate exited with {finished.exit_code}: {complaint(finished)}")
    return _middle(samples, window_s), json.loads(verdict.read_text())["endpoints"][0]


def _middle(samples, window_s):
    """Medians over the window's middle third. Counted back from the end: how long the smoke pass took is unknown."""
    end_s = samples[-1].at_s
    middle = [s for s in samples if window_s / 3 <= end_s - s.at_s <= window_s * 2 / 3]
    if not middle:
        raise BenchError("loadgate ended before the middle of the window")
    return Sample(0, median(s.rss_kb for s in middle), round(median(s.open_files for s in middle)))
