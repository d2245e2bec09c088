"""Service times against a server that logs the true ones, and the client's own share at one connection."""

from math import ceil
from statistics import median

import servers
from context import progress
from procs import BenchError
from report import MustHave, PartResult, Table

TITLE = "service times against a server's own log, and the client's own share of them"
NEEDS = ("nginx",)
RATE = 500
SHARES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE_US = 0.01, 50
OVERHEAD_TOLERANCE_US = 15


def run(bench):
    result = PartResult(TITLE)
    _compare_with_log(bench, result)
    if "wrk" in bench.peers:
        _compare_with_wrk(bench, result)
    return result


def _compare_with_log(bench, result):
    duration_s = 5 if bench.quick else 20
    table = Table(["tool", "answers in the log", *(f"{label} µs (true, off by)" for label in SHARES)])
    table.caption = f"known, {RATE}/s"
    result.tables.append(table)

    smoke_requests = 1
    finished, true_us = _run_against_known(bench, bench.loadgate, duration_s, smoke_requests)
    endpoint = bench.loadgate.endpoint(finished)
    seen_us = {label: endpoint[f"service_{label}_ms"] * 1000 for label in SHARES}
    table.rows.append(_row("loadgate", true_us, seen_us))
    result.must_haves += [_close(label, seen_us[label], _quantile(true_us, label)) for label in SHARES]
    if endpoint["requests"] != len(true_us):
        result.notes.append(f"the verdict has {endpoint['requests']} requests, the log {len(true_us)}")

    if "oha" in bench.peers:
        oha = bench.peers["oha"]
        finished, true_us = _run_against_known(bench, oha, duration_s, 0)
        oha.load(finished, duration_s)
        table.rows.append(_row("oha", true_us, {label: oha.latency_ms(finished, label) * 1000 for label in SHARES}))
    result.notes.append("a client that slept on an idle core is woken late: that share of the error is the machine's")


def _run_against_known(bench, tool, duration_s, not_load):
    """The finished client, and the server's log in µs, sorted, without the first `not_load` requests."""
    progress(f"accuracy: {tool.name} at {RATE}/s")
    log = bench.scratch / f"delivered-{tool.name}"
    with servers.known(bench, log) as (url, server):
        finished = bench.run_client(tool.open(url, RATE, duration_s), duration_s)
        server.stop()
    delivered_ns = [int(line) for line in log.read_text().split()[not_load:]]
    if not delivered_ns:
        raise BenchError(f"{tool.name} sent nothing")
    return finished, sorted(ns / 1000 for ns in delivered_ns)


def _quantile(sorted_us, label):
    return sorted_us[ceil(SHARES[label] * len(sorted_us)) - 1]


def _row(name, true_us, seen_us):
    figures = []
    for label in SHARES:
        true = _quantile(true_us, label)
        figures.append(f"{seen_us[label]:,.0f} ({true:,.0f}, {seen_us[label] - true:+,.0f})")
    return [name, len(true_us), *figures]


def _close(label, seen_us, true_us):
    tolerance_us = RELATIVE_TOLERANCE * true_us + ABSOLUTE_TOLERANCE_US
    off_us = seen_us - true_us
    limit = f"± {tolerance_us:.0f} µs (1% + {ABSOLUTE_TOLERANCE_US} µs)"
    return MustHave(f"service {label} off by", f"{off_us:+,.0f} µs", limit, abs(off_us) <= tolerance_us)


def _compare_with_wrk(bench, result):
    rounds, duration_s = (1, 2) if bench.quick else (3, 3)
    loadgate, wrk = bench.loadgate, bench.peers["wrk"]
    loadgate_p50s_us, wrk_p50s_us = [], []
    with servers.nginx(bench) as url:
        for round_index in range(rounds):
            progress(f"accuracy: one connection, round {round_index + 1} of {rounds}")
            finished = bench.run_client(loadgate.closed(url, 1, duration_s), duration_s)
            loadgate_p50s_us.append(loadgate.endpoint(finished)["service_p50_ms"] * 1000)
            finished = bench.run_client(wrk.closed(url, 1, duration_s), duration_s)
            wrk.load(finished, duration_s)
            wrk_p50s_us.append(wrk.latency_ms(finished, "p50") * 1000)
    own_us, wrk_us = median(loadgate_p50s_us), median(wrk_p50s_us)
    off_us = own_us - wrk_us
    table = Table(["tool", "service p50 µs", "off by"], caption="overhead, nginx, one connection")
    table.rows = [["wrk", f"{wrk_us:.1f}", "–"], ["loadgate", f"{own_us:.1f}", f"{off_us:+.1f}"]]
    result.tables.append(table)
    limit = f"≤ +{OVERHEAD_TOLERANCE_US} µs"
    result.must_haves.append(
        MustHave("service p50 − wrk's", f"{off_us:+.1f} µs", limit, off_us <= OVERHEAD_TOLERANCE_US)
    )
