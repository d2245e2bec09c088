"""The targets: nginx, `truth` (behaviour known exactly), `known` (service times known exactly), `arrivals` (stamps)."""

import socket
import time
from contextlib import contextmanager

from procs import BenchError, Child, free_port

# Keep-alive without end: a client that has to reconnect would be charged for the server's settings.
NGINX_CONFIG = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      return 200 '{body}';
    }}
  }}
}}
"""
BODY = '{"risk_score":0.42,"tenant":"t1","model":"churn-7","factors":["usage","tickets","tenure"],"ok":true}'


@contextmanager
def nginx(bench):
    """Yields the URL."""
    port = free_port()
    folder = bench.scratch / f"nginx-{port}"
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(folder=folder, port=port, body=BODY))
    # -e: else nginx opens its compiled-in log before it has read the file.
    argv = [bench.nginx, "-c", config, "-p", folder, "-e", folder / "error.log"]
    with _listening(bench, argv, port) as (url, _):
        yield url


@contextmanager
def truth(bench, stall=(), log=None):
    """Yields the URL and the process; `stall` is (at_s, for_s) after the first request."""
    port = free_port()
    argv = [bench.truth, port, *stall, *(["-l", log] if log else [])]
    with _listening(bench, argv, port) as served:
        yield served


@contextmanager
def known(bench, log):
    """Yields the URL and the process."""
    port = free_port()
    with _listening(bench, [bench.known, port, log], port) as served:
        yield served


@contextmanager
def arrivals(bench, log):
    """Yields the URL and the process."""
    port = free_port()
    with _listening(bench, [bench.arrivals, port, log], port) as served:
        yield served


@contextmanager
def _listening(bench, argv, port):
    bench.note_command(["PORT" if part == port else part for part in argv], bench.server_core)
    with Child(argv, bench.server_core, bench.scratch) as server:
        deadline_s = time.monotonic() + 5
        while not _accepts(port):
            if server.ended_within(0.02):
                raise BenchError(f"{server.name} did not start: {server.stop().stderr.strip()}")
            if time.monotonic() > deadline_s:
                raise BenchError(f"{server.name} does not listen on port {port}")
        yield f"http://127.0.0.1:{port}/", server


def _accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
