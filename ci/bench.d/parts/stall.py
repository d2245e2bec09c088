"""A server that stops for a while: who shows the wait of the requests that were due meanwhile?"""

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
    "`arithmetic`: requests planned during the stall wait evenly between nothing and all of it, the others not at all",
    "hey and oha send the same rate and count from when a request did go out: the stall is in one request a connection",
    "wrk goes as fast as it can and, in version 4, corrects its percentiles afterwards from the mean interval; "
    "its requests during the stall were never sent",
]


def run(bench):
    duration_s, stall_at_s, stall_s = (5, 1, 0.5) if bench.quick else (10, 3, 1)
    stall = (stall_at_s, stall_s)
    expected_ms = _expected_ms(stall_s, stall_s / duration_s)
    endpoint = _loadgate_endpoint(bench, stall, duration_s)
    table = Table(["tool", "load", "requests", "achieved /s", *(f"{label} ms" for label in LABELS)])
    table.rows = [
        _row("arithmetic", f"{RATE}/s", RATE * duration_s, RATE, expected_ms),
        _row("loadgate", f"{RATE}/s", endpoint["requests"], endpoint["rate_achieved"], _by_label(endpoint)),
    ]
    table.rows += [_peer_row(bench, bench.peers[name], stall, duration_s) for name in SHOWN_PEERS if name in bench.peers]
    must_haves = [
        _near("response p95", endpoint["p95_ms"], expected_ms["p95"], 0.05),
        _near("response p99", endpoint["p99_ms"], expected_ms["p99"], 0.02),
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


def _loadgate_endpoint(bench, stall, duration_s):
    progress("stall: loadgate")
    with servers.truth(bench, stall=stall) as (url, _):
        return bench.loadgate.endpoint(bench.run_client(bench.loadgate.open(url, RATE, duration_s), duration_s))


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
