"""The servers behind the proxies: started here, and asked how many requests they got."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from compiled import tool
from machine import HERE, LOAD_CORE, LoadTestError, free_port, process, wait_for

REFUSING = "refusing"
CLIENTS = "none"
"""The arm of a request that carries no ``x-shadowproxy-arm``."""


@dataclass(frozen=True)
class Counts:
    """What a server got since its start, and how many streams and late answers it is still busy with."""

    requests: int = 0
    answering: int = 0
    from_clients: int = 0


class Upstream:
    """A running server, or for ``refusing`` a port on which nothing listens."""

    def __init__(self, port: int, mode: str) -> None:
        self.port, self.mode = port, mode

    def counts(self) -> Counts:
        if self.mode == REFUSING:
            return Counts()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/counts", timeout=10) as reply:
                said = json.load(reply)
        except OSError as exc:
            raise LoadTestError(f"the {self.mode} server does not tell its counts: {exc}") from exc
        return Counts(said["requests"], said["answering"], said["arms"].get(CLIENTS, 0))


def serve(
    stack: ExitStack,
    folder: Path,
    name: str,
    *,
    mode: str = "healthy",
    interval_ms: int = 20,
    cores: list[int] | None = None,
    is_urgent: bool = False,
) -> Upstream:
    """A model server: 1 KB answers, event streams, and the ways to misbehave. ``is_urgent``: runs before all others of its core."""
    port = free_port()
    if mode == REFUSING:
        return Upstream(port, REFUSING)
    log = folder / f"{name}.log"
    compiled = tool("upstream")
    command: list[object] = [compiled] if compiled else [sys.executable, HERE / "upstream.py"]
    arguments = [*command, port, "--mode", mode, "--interval-ms", interval_ms]
    started = stack.enter_context(process(arguments, cores or [LOAD_CORE], log, is_urgent=is_urgent))
    wait_for(port, started, log)
    return Upstream(port, mode)


def nginx_user() -> str:
    """As root, nginx would give its worker to a user who cannot enter our folder."""
    return "user root;" if os.geteuid() == 0 else ""


def nginx_paths(home: Path) -> str:
    """Temporary files of its own, where the compiled-in places may not be writable."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {home}/{kind};" for kind in kinds)
