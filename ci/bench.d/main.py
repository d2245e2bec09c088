"""Entry of ci/bench: runs the chosen parts, prints their tables, and writes benches/RESULTS.md at the end."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

import machine
import prepare
from context import progress
from parts import BY_DEFAULT, PARTS
from procs import BenchError
from report import PartResult, as_markdown, as_text

RESULTS = prepare.REPOSITORY / "benches/RESULTS.md"
SOAK = RESULTS.with_name("SOAK.md")  # by `--only soak` (ci/soak), which takes half an hour
LEGEND = [
    "Client and server each have a core of their own, on one machine, over loopback.",
    "Ratios hold across machines better than figures: both sides of a ratio come from the same run.",
    "A part during which other processes had more than a few percent of the machine should be run again.",
    "MISSED is a finding, not an error: `ci/bench` exits with 0 whatever the figures, and with 1 if a part failed.",
    "`truth` and `known` are servers that log what really happened: when requests arrived, how long answers took.",
]


def main():
    options = _parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the `with` blocks end the children
    with tempfile.TemporaryDirectory(prefix="loadgate-bench-") as scratch:
        bench, notes = prepare.prepare(
            Path(scratch),
            build=options.build,
            binary=options.binary,
            quick=options.quick,
            beside_peers=options.parts != ["soak"],
        )
        for note in notes:
            progress(note)
        environment = [*machine.description(bench), *notes]
        if options.quick:
            environment.append("**`--quick`: a test of the script; the figures mean nothing**")
        parts = {name: _run_part(name, bench) for name in options.parts}
    _write_results(options, environment, parts)
    if options.parts == ["soak"] and not options.quick and not all(must.met for must in parts["soak"].must_haves):
        return 1  # what peers do says nothing here: each of its must-haves is loadgate's alone
    return 1 if any(part.error for part in parts.values()) else 0


def _parse_arguments():
    parser = argparse.ArgumentParser(
        prog="ci/bench",
        description="Measures loadgate beside wrk, hey, oha, wrk2 and k6, as far as they are there. 5 to 8 minutes.",
    )
    parser.add_argument("--only", metavar="PART,…", help=f"of {', '.join(PARTS)}; keeps RESULTS.md as it is")
    parser.add_argument("--soak", action="store_true", help="also half an hour for memory, pacing and counts")
    parser.add_argument("--quick", action="store_true", help="short: tests the script; keeps RESULTS.md as it is")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md in any case")
    parser.add_argument("--no-build", dest="build", action="store_false", help="take target/dist/loadgate as it is")
    parser.add_argument("--binary", type=Path, metavar="FILE", help="measure this loadgate, and build none")
    options = parser.parse_args()
    options.parts = options.only.split(",") if options.only else list(BY_DEFAULT)
    if options.soak and "soak" not in options.parts:
        options.parts.append("soak")
    for name in options.parts:
        if name not in PARTS:
            parser.error(f"no part is called {name!r}: {', '.join(PARTS)}")
    return options


def _run_part(name, bench):
    part = PARTS[name]
    missing = [need for need in part.NEEDS if getattr(bench, need) is None]
    if missing:
        result = PartResult(part.TITLE, skipped=f"{', '.join(missing)} not found")
    else:
        disturbance = machine.Disturbance()
        try:
            result = part.run(bench)
        except Exception as error:  # whatever breaks one part must not cost the others
            kind = "" if isinstance(error, BenchError) else f"{type(error).__name__}: "
            result = PartResult(part.TITLE, error=f"{kind}{error}")
        result.notes.append(disturbance.until_now())
    result.commands = bench.take_commands()
    print(as_text(name, result), flush=True)
    return result


def _write_results(options, environment, parts):
    if list(parts) == ["soak"] and parts["soak"].complete and not options.quick:
        _write(SOAK, as_markdown(environment, parts, []))
        return
    complete = all(name in parts and parts[name].complete for name in BY_DEFAULT)
    if not options.write and (options.quick or not complete):
        progress("benches/RESULTS.md is left as it is (--write writes it in any case)")
        return
    _write(RESULTS, as_markdown(environment, parts, LEGEND))


def _write(path, text):
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(".md.new")
    unfinished.write_text(text)
    unfinished.replace(path)
    progress(f"benches/{path.name} is written")


if __name__ == "__main__":
    started_s = time.monotonic()
    try:
        exit_code = main()
    except BenchError as error:
        sys.exit(f"ci/bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    progress(f"done in {time.monotonic() - started_s:.0f} s")
    sys.exit(exit_code)
