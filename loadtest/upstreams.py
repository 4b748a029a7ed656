"""The servers behind the proxies: started here, and asked how many requests they got."""

from __future__ import annotations

import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import messages
from machine import HERE, LOAD_CORE, LoadTestError, free_port, process, program, wait_for

REFUSING = "refusing"


class Upstream:
    """A running server, or for ``refusing`` a port on which nothing listens."""

    def __init__(self, port: int, kind: str) -> None:
        self.port, self.kind = port, kind
        self._own_questions = 0

    def requests(self) -> int:
        """How many arrived since its start, our own questions not counted."""
        if self.kind == REFUSING:
            return 0
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/count", timeout=10) as reply:
                text = reply.read().decode()
        except OSError as exc:
            raise LoadTestError(f"the {self.kind} server does not tell its count: {exc}") from exc
        if self.kind != "nginx":
            return int(text)
        self._own_questions += 1  # nginx counts this one, too
        return int(text.splitlines()[2].split()[2]) - self._own_questions


def fastest(stack: ExitStack, folder: Path, name: str, cores: list[int] | None = None) -> Upstream:
    """A 1 KB answer: from nginx where it is installed, to leave more of the shared core to the load, else from Python."""
    found = program("nginx")
    if found is None:
        return python(stack, folder, name, cores=cores)
    port = free_port()
    home = folder / name
    home.mkdir()
    reply = messages.answer("$connection-$connection_requests")
    (home / "nginx.conf").write_text(f"""
        daemon off; worker_processes 1; pid {home}/pid; error_log stderr crit; {nginx_user()}
        events {{ worker_connections 8192; }}
        http {{
          {nginx_paths(home)}
          access_log off; keepalive_requests 1000000000; keepalive_timeout 600; default_type application/json;
          server {{
            listen 127.0.0.1:{port} backlog=4096;
            location = /count {{ stub_status; }}
            location / {{ return 200 '{reply}'; }}
          }}
        }}""")
    log = folder / f"{name}.log"
    started = stack.enter_context(process([found, "-e", "stderr", "-p", home, "-c", home / "nginx.conf"], cores or [LOAD_CORE], log))
    wait_for(port, started, log)
    return Upstream(port, "nginx")


def python(
    stack: ExitStack, folder: Path, name: str, *, mode: str = "healthy", interval_ms: int = 20, cores: list[int] | None = None
) -> Upstream:
    """The server of ``upstream.py``: streams, and the ways to misbehave."""
    port = free_port()
    if mode == REFUSING:
        return Upstream(port, REFUSING)
    log = folder / f"{name}.log"
    arguments = [sys.executable, HERE / "upstream.py", str(port), "--mode", mode, "--interval-ms", str(interval_ms)]
    started = stack.enter_context(process(arguments, cores or [LOAD_CORE], log))
    wait_for(port, started, log)
    return Upstream(port, "python")


def nginx_user() -> str:
    """As root, nginx would give its worker to a user who cannot enter our folder."""
    import os

    return "user root;" if os.geteuid() == 0 else ""


def nginx_paths(home: Path) -> str:
    """Temporary files of its own, where the compiled-in places may not be writable."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {home}/{kind};" for kind in kinds)
