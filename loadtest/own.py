"""This proxy as a peer: its configuration, and its three kinds of process on their cores."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from machine import CORES, PROXY_CORE, SHADOW_CORE, LoadTestError, command_line, descendants, free_port, move, process, wait_for


@dataclass(frozen=True)
class Setting:
    """What differs between the rows of this proxy."""

    percent: float
    embed: str = "none"
    workers: int = 1
    cores: Literal["split", "one", "free"] = "split"
    """``split``: gateway on the core of the proxy under test, the rest beside it; ``one``: everything on that core; ``free``: unpinned."""
    timeout_s: float = 10.0
    compared: float = 100
    """Percent of the copies whose answers are compared; the rest is only sent."""
    keeps_journal: bool = False
    """Requests and answers are redacted and written beside it."""


def _config(setting: Setting, folder: Path, port: int, primary: int, candidate: int) -> dict[str, object]:
    embeds = setting.embed != "none"
    journal = {"journal": {"to": str(folder / f"journal-{port}"), "max_bytes": 256 * 1024 * 1024}} if setting.keeps_journal else {}
    return {
        **journal,
        "listen": f"127.0.0.1:{port}",
        "workers": setting.workers,
        "primary": {"url": f"http://127.0.0.1:{primary}", "max_idle_connections": 2048},
        "candidates": [
            {"name": "v2", "url": f"http://127.0.0.1:{candidate}", "concurrency": 2048, "queue": 2304, "timeout_s": setting.timeout_s}
        ],
        "mirror": {"percent": setting.percent},
        "compare": {"percent": setting.compared},
        "embed": {"backend": setting.embed},
        "gates": {"similarity": {"enabled": embeds}, "ttft": {"enabled": embeds}},
        "admin": {"listen": f"127.0.0.1:{free_port()}", "pairs": 100 if embeds else 0},
        "limits": {"drain_s": 1},
        "log": {"level": "warning"},
    }


def start(setting: Setting, stack: ExitStack, folder: Path, primary: int, candidate: int) -> tuple[int, int]:
    """Start it and return (port, supervisor's pid) at once."""
    port = free_port()
    file = folder / f"shadowproxy-{port}.yaml"
    file.write_text(json.dumps(_config(setting, folder, port, primary, candidate)))
    cores = {"split": [SHADOW_CORE], "one": [PROXY_CORE], "free": CORES}[setting.cores]
    log = folder / f"shadowproxy-{port}.log"
    serve = stack.enter_context(process([sys.executable, "-m", "shadowproxy", "serve", "-c", file], cores, log, end_within_s=20))
    wait_for(port, serve, log)
    return port, serve.pid


def launch(setting: Setting, stack: ExitStack, folder: Path, primary: int, candidate: int) -> tuple[int, dict[str, list[int]]]:
    """Start it, wait for every child, and give the gateway the core of the proxy under test; the rest stays beside the load."""
    port, supervisor = start(setting, stack, folder, primary, candidate)
    deadline = time.monotonic() + 30
    while (roles := roles_of(supervisor)) and (len(roles["gateway"]) < setting.workers or not roles["shadow"]):
        if time.monotonic() > deadline:
            raise LoadTestError("shadowproxy did not start its children within 30 s")
        time.sleep(0.05)
    if setting.cores == "split":
        for gateway in roles["gateway"]:
            move(gateway, [PROXY_CORE])
    time.sleep(1.0 if setting.embed == "none" else 3.0)  # the shadow process loads its model; nothing tells from outside
    return port, roles


def roles_of(supervisor: int) -> dict[str, list[int]]:
    """The gateway workers, and the shadow process with the supervisor, which does next to nothing."""
    roles: dict[str, list[int]] = {"gateway": [], "shadow": [], "supervisor": [supervisor]}
    for pid in descendants(supervisor):
        line = command_line(pid)
        for role in ("gateway", "shadow"):
            if f"shadowproxy.processes.{role}" in line:
                roles[role].append(pid)
    return roles
