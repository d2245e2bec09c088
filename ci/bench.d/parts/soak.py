"""Does memory grow with the length of a run?"""

import time

import servers
from context import PATIENCE_S, progress
from procs import BenchError, rss_kb
from report import MustHave, PartResult, Table

TITLE = "memory over ten minutes"
NEEDS = ("nginx",)
RATE = 5000
SPREAD_LIMIT = 0.05


def run(bench):
    duration_s, settled_after_s, every_s = (15, 5, 1) if bench.quick else (600, 120, 5)
    result = PartResult(TITLE)
    progress(f"soak: {RATE}/s for {duration_s} s")
    with servers.nginx(bench) as url:
        samples, endpoint = _run(bench, url, duration_s, every_s)
    settled = [kb for at_s, kb in samples if settled_after_s <= at_s < duration_s]
    if not settled:
        raise BenchError("loadgate ended before its memory could settle")
    spread = (max(settled) - min(settled)) / min(settled)
    shown = {"at the start": samples[0][1], f"after {settled_after_s} s": settled[0], "at the end": settled[-1]}
    table = Table(["resident memory", "MB"])
    table.rows = [[when, f"{kb / 1024:.1f}"] for when, kb in shown.items()]
    result.tables.append(table)
    limit = f"≤ {SPREAD_LIMIT:.0%} from {settled_after_s} s on"
    result.must_haves.append(MustHave("(max − min) / min", f"{spread:.1%}", limit, spread <= SPREAD_LIMIT))
    result.notes.append(f"{endpoint['requests']:,} requests, {endpoint['errors']} errors; one sample in {every_s} s")
    return result


def _run(bench, url, duration_s, every_s):
    """[(seconds since the start, KB)], and the verdict's endpoint."""
    samples = []
    with bench.start_client(bench.loadgate.open(url, RATE, duration_s)) as client:
        start_s = time.monotonic()
        while not client.ended_within(every_s):
            at_s, resident_kb = time.monotonic() - start_s, rss_kb(client.pid)
            if resident_kb:
                samples.append((at_s, resident_kb))
            if at_s > duration_s + PATIENCE_S:
                raise BenchError("loadgate did not end")
        finished = client.finish(1)
    return samples, bench.loadgate.endpoint(finished)
