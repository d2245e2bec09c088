"""A server that stops for a while: who shows the wait of the requests that were due meanwhile?"""

from math import ceil
from statistics import median

import servers
from context import progress
from report import MustHave, PartResult, Table

TITLE = "a server that does nothing for a tenth of the run"
NEEDS = ("truth",)
RATE = 1000
CONNECTIONS = 10
LABELS = ("p95", "p99", "max")
SHOWN_PEERS = ("hey", "oha", "wrk")
NOTES = [
    "`arithmetic`: requests planned during the stall wait evenly between nothing and all of it, others not at all",
    "`server's log`: how long after its planned instant the server read each of loadgate's requests; what that is above "
    "the arithmetic is the server's time for the backlog",
    "hey and oha send the same rate and count from when a request did go out: the stall is in one request a connection",
    "wrk goes as fast as it can and, in version 4, corrects its percentiles afterwards from the mean interval; "
    "its requests during the stall were never sent",
]


def run(bench):
    duration_s, stall_at_s, stall_s = (5, 1, 0.5) if bench.quick else (10, 3, 1)
    stall = (stall_at_s, stall_s)
    expected_ms = _expected_ms(stall_s, stall_s / duration_s)
    endpoint, waits_ms = _loadgate_beside_log(bench, stall, duration_s)
    logged_ms = _quantiles(waits_ms)
    table = Table(["tool", "load", "requests", "achieved /s", *(f"{label} ms" for label in LABELS)])
    table.rows = [
        _row("arithmetic", f"{RATE}/s", RATE * duration_s, RATE, expected_ms),
        _row("server's log", f"{RATE}/s", len(waits_ms), RATE, logged_ms),
        _row("loadgate", f"{RATE}/s", endpoint["requests"], endpoint["rate_achieved"], _by_label(endpoint)),
    ]
    shown_peers = [bench.peers[name] for name in SHOWN_PEERS if name in bench.peers]
    table.rows += [_peer_row(bench, tool, stall, duration_s) for tool in shown_peers]
    must_haves = [
        _near("response p95, arithmetic", endpoint["p95_ms"], expected_ms["p95"], 0.05),
        _near("response p99, arithmetic", endpoint["p99_ms"], expected_ms["p99"], 0.02),
        _near("response p95, server's log", endpoint["p95_ms"], logged_ms["p95"], 0.01),
        _near("response p99, server's log", endpoint["p99_ms"], logged_ms["p99"], 0.01),
        _all_sent(endpoint, RATE * duration_s),
    ]
    return PartResult(TITLE, tables=[table], must_haves=must_haves, notes=list(NOTES))


def _expected_ms(stall_s, stalled_share):
    stall_ms = 1000 * stall_s
    return {
        "p95": stall_ms * (1 - 0.05 / stalled_share),
        "p99": stall_ms * (1 - 0.01 / stalled_share),
        "max": stall_ms,
    }


def _loadgate_beside_log(bench, stall, duration_s):
    """The verdict's endpoint, and by the server's log how long after its planned instant each request was read, ms."""
    progress("stall: loadgate")
    log = bench.scratch / "stall-arrivals"
    with servers.truth(bench, stall=stall, log=log) as (url, server):
        finished = bench.run_client(bench.loadgate.open(url, RATE, duration_s), duration_s)
        server.stop()
    smoke_requests = 1
    read_ns = sorted(int(line) for line in log.read_text().split()[smoke_requests:])
    late_ns = [at_ns - i * 1e9 / RATE for i, at_ns in enumerate(read_ns)]
    on_time_ns = median(late_ns)  # most requests are not stalled
    return bench.loadgate.endpoint(finished), sorted((ns - on_time_ns) / 1e6 for ns in late_ns)


def _quantiles(sorted_ms):
    shares = {"p95": 0.95, "p99": 0.99, "max": 1}
    return {label: sorted_ms[ceil(share * len(sorted_ms)) - 1] for label, share in shares.items()}


def _by_label(endpoint):
    return {label: endpoint[f"{label}_ms"] for label in LABELS}


def _peer_row(bench, tool, stall, duration_s):
    progress(f"stall: {tool.name}")
    with servers.truth(bench, stall=stall) as (url, _):
        at_rate = tool.open(url, RATE, duration_s)
        finished = bench.run_client(at_rate or tool.closed(url, CONNECTIONS, duration_s), duration_s)
    load_shown = f"{RATE}/s" if at_rate else f"{CONNECTIONS} connections"
    load = tool.load(finished, duration_s)
    found_ms = {label: tool.latency_ms(finished, label) for label in LABELS}
    return _row(tool.name, load_shown, load.requests, load.requests / load.duration_s, found_ms)


def _row(name, load_shown, requests, achieved_per_s, latency_ms):
    figures = ["–" if latency_ms[label] is None else f"{latency_ms[label]:,.1f}" for label in LABELS]
    return [name, load_shown, requests, f"{achieved_per_s:,.1f}", *figures]


def _near(what, measured_ms, expected_ms, tolerance):
    off = measured_ms / expected_ms - 1
    limit = f"{expected_ms:.0f} ms ± {tolerance:.0%}"
    return MustHave(what, f"{measured_ms:.1f} ms ({off:+.1%})", limit, abs(off) <= tolerance)


def _all_sent(endpoint, planned):
    offered, achieved = endpoint["rate_offered"], endpoint["rate_achieved"]
    met = endpoint["requests"] == planned and abs(achieved / offered - 1) <= 0.001
    measured = f"{endpoint['requests']} requests, {achieved:.1f}/s of {offered:.1f}/s"
    return MustHave("achieved = offered", measured, f"{planned} requests, ± 0.1%", met)
