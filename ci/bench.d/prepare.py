"""Builds loadgate and the measuring servers, and finds the peers, installing what is missing where that is possible."""

import os
import shutil
import subprocess
from pathlib import Path

from context import Bench, progress
from procs import BenchError
from tools import PEERS, Loadgate

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
CARGO_BIN = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "bin"
NGINX_PLACES = ("nginx", "/usr/sbin/nginx")  # not on the PATH of an ordinary user on Debian
DEBIAN_PACKAGES = {"wrk": "wrk", "hey": "hey", "nginx": "nginx-light"}


def prepare(scratch, *, build, binary, quick, beside_peers):
    """Everything the parts need, and notes on what is missing."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("two cores are needed: one for the client, one for the server")
    if build and not binary:
        _build_loadgate()
    binary = binary or REPOSITORY / "target/dist/loadgate"
    if not binary.is_file():
        raise BenchError("there is no target/dist/loadgate; run without --no-build")
    notes, peers = _peers() if beside_peers else ([], {})
    truth_source, pacing_script = SHARED / "truth.c", SHARED / "pacing.py"
    bench = Bench(
        scratch=scratch,
        quick=quick,
        client_core=cores[0],
        server_core=cores[1],
        loadgate=Loadgate(binary.resolve(), scratch),
        peers=peers,
        nginx=_find("nginx"),
        known=_compile(Path(__file__).with_name("known.c"), scratch),
        arrivals=_compile(Path(__file__).with_name("arrivals.c"), scratch),
        truth=_compile(truth_source, scratch) if truth_source.is_file() else None,
        pacing_script=pacing_script if pacing_script.is_file() else None,
    )
    return bench, notes


def _peers():
    notes = [*_install_debian_packages(), *_install_oha()]
    peers = {name: tool(_find(name)) for name, tool in PEERS.items() if _find(name)}
    return [*notes, *(f"{name} is not installed: left out" for name in PEERS if name not in peers)], peers


def tool_versions(bench):
    """One line a tool, as the tool itself tells it where it does."""
    commands = {"loadgate": [bench.loadgate.binary, "--version"], "nginx": [bench.nginx, "-v"]}
    own_flags = {"wrk": "-v", "wrk2": "-v", "oha": "--version", "k6": "version"}
    for name, tool in bench.peers.items():
        if name in own_flags:
            commands[name] = [tool.binary, own_flags[name]]
        else:  # hey has no such flag: the package manager knows, if it came from there
            commands[name] = ["dpkg-query", "-Wf", f"{name} ${{Version}}", name]
    return {name: _first_line(argv) for name, argv in commands.items() if argv[0]}


def commit():
    described = _first_line(["git", "-C", REPOSITORY, "describe", "--always", "--dirty", "--exclude=*"])
    return described.replace("-dirty", " with uncommitted changes")


def _build_loadgate():
    progress("building loadgate")
    if subprocess.run(["cargo", "build", "--profile", "dist", "--locked", "--quiet"], cwd=REPOSITORY).returncode:
        raise BenchError("loadgate does not build")


def _install_debian_packages():
    missing = [package for name, package in DEBIAN_PACKAGES.items() if not _find(name)]
    if not missing or os.geteuid() != 0 or not shutil.which("apt-get"):
        return []
    progress(f"installing {', '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
        if subprocess.run(["apt-get", *argv], env=environment, stdout=subprocess.DEVNULL).returncode:
            return [f"apt-get could not install {', '.join(missing)}"]
    return []


def _install_oha():
    if _find("oha"):
        return []
    if not shutil.which("cargo"):
        return ["oha cannot be installed without cargo"]
    progress("installing oha")
    failed = subprocess.run(["cargo", "install", "oha", "--locked", "--quiet"]).returncode
    return ["oha could not be installed"] if failed else []


def _find(name):
    candidates = NGINX_PLACES if name == "nginx" else (name, str(CARGO_BIN / name))
    return next((found for found in map(shutil.which, candidates) if found), None)


def _compile(source, scratch):
    program = scratch / source.stem
    done = subprocess.run(["cc", "-O2", "-w", "-o", program, source, "-lm"], capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{source.name} does not compile: {done.stderr.strip()}")
    return program


def _first_line(argv):
    try:
        done = subprocess.run([str(part) for part in argv], capture_output=True, text=True)
    except OSError:
        return "unknown"
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()  # nginx tells it on stderr; wrk exits with 1
    return lines[0] if lines and done.returncode in (0, 1) else "unknown"
