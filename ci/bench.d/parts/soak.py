"""Half an hour at a rate: does memory grow, do sends get later, is any request counted wrongly?"""

import array
import json
import statistics
import time

import servers
from context import PATIENCE_S, progress
from procs import BenchError, rss_kb
from report import MustHave, PartResult, Table

TITLE = "half an hour at 5,000/s"
NEEDS = ("arrivals",)
RATE = 5000
SPREAD_LIMIT = 0.05
# A quarter of the distance between two arrivals, and all of it. What makes the first part late is not drift: only growth counts.
GROWTH_LIMITS_US = {"p50": 50, "p99": 200}
PARTS_OF_RUN = 6


def run(bench):
    duration_s, settled_after_s, every_s = (15, 5, 1) if bench.quick else (1800, 120, 5)
    result = PartResult(TITLE)
    progress(f"soak: {RATE}/s for {duration_s} s")
    log = bench.scratch / "arrivals.log"
    with servers.arrivals(bench, log) as (url, server):
        samples, verdict = _run(bench, url, duration_s, every_s)
        server.stop()
    endpoint = verdict["endpoints"][0]
    received, stamps = _arrivals(log)
    _memory(result, samples, settled_after_s, duration_s)
    _lateness(result, stamps)
    # Before the measurement goes one functional request, and there is no warm-up.
    sent = endpoint["requests"] + 1
    met = sent == received == RATE * duration_s + 1 and endpoint["errors"] == 0
    measured = f"{sent:,} against {received:,}; {endpoint['errors']} errors"
    result.must_haves.append(MustHave("requests that loadgate counts and that the server does", measured, "equal, as planned", met))
    lag_us = verdict["generator"]["send_lag_p99_us"]
    result.notes.append(f"send lag by loadgate itself: p99 {lag_us:.0f} µs; verdict: {verdict['outcome']}, exit code {verdict['exit_code']}")
    result.notes.append(f"response time p50 {endpoint['p50_ms']:.3f} ms, p99 {endpoint['p99_ms']:.3f} ms, max {endpoint['max_ms']:.1f} ms")
    return result


def _memory(result, samples, settled_after_s, duration_s):
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


def _lateness(result, stamps):
    """How late requests arrive by the grid of their rate, whose beginning is that of the earliest."""
    gap_ns = 1_000_000_000 // RATE
    late = array.array("q", (at - number * gap_ns for number, at in enumerate(stamps)))
    beginning = min(late)
    size = len(late) // PARTS_OF_RUN
    table = Table(["lateness of arrivals, µs", "p50", "p99", "p99.9"])
    shown = []
    for part in range(PARTS_OF_RUN):
        own = sorted(late[part * size : (part + 1) * size])
        shown.append([(own[int(share * (len(own) - 1))] - beginning) / 1000 for share in (0.5, 0.99, 0.999)])
        table.rows.append([f"part {part + 1} of {PARTS_OF_RUN}", *(f"{us:,.0f}" for us in shown[-1])])
    result.tables.append(table)
    for column, name in ((0, "p50"), (1, "p99")):
        # The median of what came before: a single part may have been disturbed.
        drift_us = shown[-1][column] - statistics.median(part[column] for part in shown[:-1])
        limit_us = GROWTH_LIMITS_US[name]
        met = drift_us <= limit_us
        what = f"growth of the {name} of lateness, last part from the median of those before"
        result.must_haves.append(MustHave(what, f"{drift_us:+.0f} µs", f"≤ {limit_us} µs", met))


def _arrivals(log):
    """How many requests arrived, and the stamps of the load: without the functional one before it."""
    numbers = array.array("q")
    numbers.frombytes(log.read_bytes())
    return numbers[0], numbers[2:]


def _run(bench, url, duration_s, every_s):
    """[(seconds since the start, KB)], and the verdict."""
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
    bench.loadgate.endpoint(finished)  # raises if there is none
    return samples, json.loads(finished.stdout)
