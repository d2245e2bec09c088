"""The load generators: for each, its command lines and how to read what it prints.

`closed` and `open` make the command lines of the two models (`open` is None for a tool without a rate); `load` reads
how much it sent, and raises if there were errors; `latency_ms` reads a figure of its own: "p50", "p95", "p99" or
"max", None where it does not print that one.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from procs import BenchError


@dataclass(frozen=True)
class Load:
    requests: int
    duration_s: float


class Loadgate:
    name = "loadgate"

    def __init__(self, binary, scratch):
        self.binary = binary
        self._scratch = scratch
        self._runs = 0

    def out_dir(self):
        """A folder that does not exist yet: loadgate never writes into an older run's."""
        self._runs += 1
        return self._scratch / f"loadgate-{self._runs}"

    def quick(self, url, load_flags, duration_s):
        flags = ["--for", f"{duration_s:g}s", "--warmup", "0s", "--quiet", "--json", "--out", self.out_dir()]
        return [self.binary, "quick", url, *load_flags, *flags]

    def closed(self, url, connections, duration_s):
        return self.quick(url, ["--vus", connections], duration_s)

    def open(self, url, rate, duration_s):
        return self.quick(url, ["--rate", f"{rate}/s"], duration_s)

    def load(self, finished, duration_s):
        endpoint = self.endpoint(finished)
        if endpoint["errors"]:
            raise BenchError(f"loadgate: {endpoint['errors']} errors")
        return Load(endpoint["requests"], duration_s)

    @staticmethod
    def endpoint(finished):
        """The only endpoint of the verdict. Exit code 3 is a hold for its own busy core: normal under full load."""
        if finished.exit_code not in (0, 3):
            raise BenchError(f"loadgate exited with {finished.exit_code}: {complaint(finished)}")
        try:
            return json.loads(finished.stdout)["endpoints"][0]
        except (ValueError, LookupError) as error:
            raise BenchError(f"loadgate printed no verdict: {complaint(finished)}") from error


class Wrk:
    name = "wrk"

    def __init__(self, binary):
        self.binary = binary

    def closed(self, url, connections, duration_s):
        return [self.binary, "-t1", f"-c{connections}", f"-d{duration_s:g}s", "--latency", url]

    def open(self, url, rate, duration_s):
        return None

    def load(self, finished, _duration_s):
        output = _successful(self.name, finished)
        trouble = re.search(r"(Socket errors|Non-2xx).*", output)
        if trouble:
            raise BenchError(f"{self.name}: {trouble[0]}")
        requests = int(_number_before(r" requests in ", output))
        # Its "in 2.00s" has two digits after the point; the rate tells the duration more exactly.
        return Load(requests, requests / float(_number_after(r"Requests/sec:\s+", output)))

    @staticmethod
    def latency_ms(finished, label):
        pattern = r"Latency\s+\S+\s+\S+\s+" if label == "max" else rf"\n\s+{label[1:]}(?:\.000)?%\s+"
        found = re.search(pattern + r"([\d.]+)(us|ms|s|m)\b", finished.stdout)
        return float(found[1]) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 60e3}[found[2]] if found else None


class Wrk2(Wrk):
    name = "wrk2"
    UNREACHABLE_RATE = 10_000_000  # it has no closed model; a rate nobody reaches comes to the same

    def closed(self, url, connections, duration_s):
        return [*super().closed(url, connections, duration_s), f"-R{self.UNREACHABLE_RATE}"]

    def open(self, url, rate, duration_s):
        return [*super().closed(url, 10, duration_s), f"-R{rate}"]


class Hey:
    name = "hey"

    def __init__(self, binary):
        self.binary = binary

    def closed(self, url, connections, duration_s):
        return [self.binary, "-c", connections, "-z", f"{duration_s:g}s", "-cpus", 1, url]

    def open(self, url, rate, duration_s):
        workers = 10  # its rate is one of each worker
        return [self.binary, "-c", workers, "-q", f"{rate / workers:g}", "-z", f"{duration_s:g}s", "-cpus", 1, url]

    def load(self, finished, _duration_s):
        output = _successful(self.name, finished)
        if "Error distribution" in output:
            raise BenchError("hey: errors")
        requests = sum(int(count) for count in re.findall(r"\[200\]\s+(\d+) responses", output))
        return Load(requests, float(_number_after(r"Total:\s+", output)))

    @staticmethod
    def latency_ms(finished, label):
        pattern = r"Slowest:\s+" if label == "max" else rf"\s{label[1:]}% in "
        return float(_number_after(pattern, finished.stdout)) * 1000


class Oha:
    name = "oha"
    DEADLINE = "aborted due to deadline"  # what was in flight at the end: not an error

    def __init__(self, binary):
        self.binary = binary

    def closed(self, url, connections, duration_s):
        return [self.binary, "--no-tui", "--output-format", "json", "-c", connections, "-z", f"{duration_s:g}s", url]

    def open(self, url, rate, duration_s):
        return [*self.closed(url, 10, duration_s)[:-1], "-q", rate, url]

    def load(self, finished, _duration_s):
        document = json.loads(_successful(self.name, finished))
        errors = sum(n for kind, n in document["errorDistribution"].items() if kind != self.DEADLINE)
        if errors or set(document["statusCodeDistribution"]) != {"200"}:
            raise BenchError(f"oha: {document['errorDistribution']} {document['statusCodeDistribution']}")
        return Load(document["statusCodeDistribution"]["200"], document["summary"]["total"])

    @staticmethod
    def latency_ms(finished, label):
        document = json.loads(finished.stdout)
        found_s = document["summary"]["slowest"] if label == "max" else document["latencyPercentiles"][label]
        return found_s * 1000


class K6:
    name = "k6"
    SCRIPT = Path(__file__).with_name("k6.js")

    def __init__(self, binary):
        self.binary = binary

    def closed(self, url, connections, duration_s):
        return self._run(url, 0, connections, duration_s)

    def open(self, url, rate, duration_s):
        return self._run(url, rate, 64, duration_s)

    def _run(self, url, rate, connections, duration_s):
        settings = {"URL": url, "RATE": rate, "CONNECTIONS": connections, "DURATION_S": duration_s}
        flags = [part for key, value in settings.items() for part in ("-e", f"{key}={value}")]
        # Without --no-usage-report it would call home.
        return [self.binary, "run", "--quiet", "--no-usage-report", *flags, self.SCRIPT]

    def load(self, finished, _duration_s):
        output = _successful(self.name, finished)
        document = json.loads(output[output.index("{") :])
        if document["failed"]:
            raise BenchError(f"k6: {document['failed']} failed requests")
        return Load(document["requests"], document["duration_s"])


PEERS = {tool.name: tool for tool in (Wrk, Wrk2, Hey, Oha, K6)}


def _successful(name, finished):
    if finished.exit_code:
        raise BenchError(f"{name} exited with {finished.exit_code}: {complaint(finished)}")
    return finished.stdout


def complaint(finished):
    """The line of its output that says what went wrong."""
    lines = (finished.stderr.strip() or finished.stdout.strip()).splitlines()
    errors = [line for line in lines if line.startswith("error")]
    return (errors or lines[-1:] or ["no output"])[0]


def _number_before(pattern, text):
    return _captured(rf"([\d.]+){pattern}", text)


def _number_after(pattern, text):
    return _captured(rf"{pattern}([\d.]+)", text)


def _captured(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise BenchError(f"expected `{pattern}` in: {text.strip()[-200:]}")
    return found[1]
