"""How evenly requests arrive at a fixed rate, by the stamps of the server."""

import re
import subprocess
import sys

import servers
from context import progress
from procs import BenchError
from report import MustHave, PartResult, Table

TITLE = "deviation of the arrivals from the even grid of their rate, by the server's stamps"
NEEDS = ("truth", "pacing_script")


def run(bench):
    rates, duration_s = ([1000], 4) if bench.quick else ([1000, 5000], 10)
    result = PartResult(TITLE)
    for rate in rates:
        deviations = {}
        for tool in bench.tools():
            if tool.open("", rate, duration_s) is None:
                continue
            progress(f"pacing: {tool.name} at {rate}/s")
            try:
                deviations[tool.name] = _deviation(bench, tool, rate, duration_s)
            except BenchError as error:
                if tool is bench.loadgate:
                    result.error = str(error)
                else:
                    result.notes.append(f"left out at {rate}/s: {error}")
        result.tables.append(_table(rate, deviations))
        result.must_haves += _must_haves(rate, deviations)
    result.notes.append(
        "without the first second and the last 0.2 s; the grid is fitted: a rate that is off does not count against a tool"
    )
    return result


def _deviation(bench, tool, rate, duration_s):
    """{"achieved": per s, "p50": µs, "p90": µs, "p99": µs, "max": µs}"""
    log = bench.scratch / f"arrivals-{tool.name}-{rate}"
    with servers.truth(bench, log=log) as (url, server):
        finished = bench.run_client(tool.open(url, rate, duration_s), duration_s)
        tool.load(finished, duration_s)  # raises if there were errors
        server.stop()
    if len(log.read_text().split()) < 2 * rate:
        raise BenchError(f"{tool.name}: too few arrivals at {rate}/s")
    done = subprocess.run([sys.executable, "-B", bench.pacing_script, log, str(rate)], capture_output=True, text=True)
    found = dict(re.findall(r"(\w+)=([\d.]+)", done.stdout))
    if "p99" not in found:
        raise BenchError(f"{bench.pacing_script.name}: {done.stderr.strip()[-200:]}")
    return {name: float(figure) for name, figure in found.items()}


def _table(rate, deviations):
    columns = ("p50", "p90", "p99", "max")
    table = Table(["tool", "achieved /s", *(f"{name} µs" for name in columns)], caption=f"{rate:,}/s")
    for name, found in deviations.items():
        table.rows.append([name, f"{found['achieved']:,.1f}", *(f"{found[column]:,.0f}" for column in columns)])
    return table


def _must_haves(rate, deviations):
    own = deviations.get("loadgate")
    peers = {name: found for name, found in deviations.items() if name != "loadgate"}
    if not own or not peers:
        return []
    return [_against_best(rate, own, peers, "p50", 1 / 4, "¼"), _against_best(rate, own, peers, "p99", 1 / 2, "½")]


def _against_best(rate, own, peers, figure, share, share_shown):
    name, best = min(((name, found[figure]) for name, found in peers.items()), key=lambda pair: pair[1])
    measured = f"{own[figure]:,.0f} µs ({own[figure] / max(best, 1):.2f} × {name}'s {best:,.0f} µs)"
    limit = f"≤ {share_shown} of the best peer's"
    return MustHave(f"{figure} deviation at {rate:,}/s", measured, limit, own[figure] <= share * best)
