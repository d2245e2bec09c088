"""CPU time a request and throughput of one core, against nginx over keep-alive connections."""

from dataclasses import dataclass
from statistics import median

import machine
import servers
from context import progress
from procs import BenchError
from report import MustHave, PartResult, Table

TITLE = "CPU a request and one-core throughput, closed model, 64 connections, nginx"
NEEDS = ("nginx",)
CONNECTIONS = 64
FULL = 0.95  # a core this busy has no room


@dataclass(frozen=True)
class Cost:
    cpu_us: float  # a request
    requests_per_s: float
    client_core: float  # its share in use by the client
    server_core: float  # its share in use by anyone


def run(bench):
    rounds, short_s, long_s = (1, 1, 2) if bench.quick else (5, 2, 6)
    result = PartResult(TITLE)
    with servers.nginx(bench) as url:
        costs = _measure_in_turns(bench, url, rounds, short_s, long_s, result)
    result.tables.append(_table(costs))
    result.notes.append(
        f"slopes between runs of {short_s} s and {long_s} s, so start and end cost nothing; medians of {rounds} rounds "
        "in which the tools take turns; ratios are medians of each round's ratio; `one core` is "
        "what the CPU time a request allows, whatever the server can take; the cores' figures tell how full they were"
    )
    result.must_haves += _must_haves(costs)
    bound = [name for name, rounds_of in costs.items() if _middle(rounds_of, "server_core") >= FULL]
    if bound:
        result.notes.append(f"nginx's core was full, so requests/s is as much nginx's figure for: {', '.join(bound)}")
    return result


def _measure_in_turns(bench, url, rounds, short_s, long_s, result):
    """Costs by tool, one a round. The tools alternate so that a drift of the machine hits all of them alike."""
    tools = bench.tools()
    costs = {tool.name: [] for tool in tools}
    for round_index in range(rounds):
        progress(f"cpu: round {round_index + 1} of {rounds}")
        first = round_index % len(tools)
        for tool in tools[first:] + tools[:first]:
            try:
                if tool.name in costs:
                    costs[tool.name].append(_cost(bench, tool, url, short_s, long_s))
            except BenchError as error:
                del costs[tool.name]
                if tool is bench.loadgate:
                    result.error = str(error)
                else:
                    result.notes.append(f"left out: {error}")
    return costs


def _cost(bench, tool, url, short_s, long_s):
    short_load, short_cpu_s = _run(bench, tool, url, short_s)
    server_busy_s = machine.busy_s(bench.server_core)
    long_load, long_cpu_s = _run(bench, tool, url, long_s)
    server_busy_s = machine.busy_s(bench.server_core) - server_busy_s
    requests = long_load.requests - short_load.requests
    if requests <= 0:
        raise BenchError(f"{tool.name}: no more requests in {long_s} s than in {short_s} s")
    cpu_s = long_cpu_s - short_cpu_s
    duration_s = long_load.duration_s - short_load.duration_s
    return Cost(cpu_s / requests * 1e6, requests / duration_s, cpu_s / duration_s, server_busy_s / long_load.duration_s)


def _run(bench, tool, url, duration_s):
    finished = bench.run_client(tool.closed(url, CONNECTIONS, duration_s), duration_s)
    return tool.load(finished, duration_s), finished.cpu_s


def _table(costs):
    cpu_columns = ["CPU µs/request", "min–max", "× wrk", "one core /s"]
    table = Table(["tool", *cpu_columns, "requests/s", "× wrk", "client core", "server core"])
    for name, rounds_of in costs.items():
        cpu_us = [cost.cpu_us for cost in rounds_of]
        table.rows.append(
            [
                name,
                f"{_middle(rounds_of, 'cpu_us'):.2f}",
                f"{min(cpu_us):.2f}–{max(cpu_us):.2f}",
                _shown(_ratio(costs, name, "wrk", "cpu_us")),
                f"{1e6 / _middle(rounds_of, 'cpu_us'):,.0f}",
                f"{_middle(rounds_of, 'requests_per_s'):,.0f}",
                _shown(_ratio(costs, name, "wrk", "requests_per_s")),
                f"{_middle(rounds_of, 'client_core'):.0%}",
                f"{_middle(rounds_of, 'server_core'):.0%}",
            ]
        )
    return table


def _middle(rounds_of, figure):
    return median(getattr(cost, figure) for cost in rounds_of)


def _ratio(costs, name, reference, figure):
    if name not in costs or reference not in costs:
        return None
    return median(getattr(a, figure) / getattr(b, figure) for a, b in zip(costs[name], costs[reference]))


def _shown(ratio):
    return "–" if ratio is None else f"{ratio:.2f}"


def _must_haves(costs):
    found = []
    cpu = _ratio(costs, "loadgate", "wrk", "cpu_us")
    if cpu is not None:
        goal = "reached" if cpu <= 1 else "not reached"
        found.append(MustHave("CPU a request × wrk", f"{cpu:.2f}", f"≤ 1.15 (goal ≤ 1.00: {goal})", cpu <= 1.15))
    against_oha = _ratio(costs, "loadgate", "oha", "cpu_us")
    if against_oha is not None:
        found.append(MustHave("CPU a request × oha", f"{against_oha:.2f}", "< 1.00", against_oha < 1))
    throughput = _ratio(costs, "loadgate", "wrk", "requests_per_s")
    if throughput is not None:
        found.append(MustHave("requests/s × wrk", f"{throughput:.2f}", "≥ 0.87", throughput >= 0.87))
    return found
