"""The load of all but the closed loop: an open loop of requests, and event streams; in C, else in Python with the same figures."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from compiled import tool
from machine import HERE, LOAD_CORE, generator

_GRACE_S = 40.0
_STREAMS_GRACE_S = 150.0
Arrival = tuple[float, int, int]
"""Second of the beginning, chunks asked for, bytes of the question."""


def steady(port: int, rate: float, seconds: float, *, spin_us: int = 0) -> dict[str, float]:
    """Requests on a fixed schedule. ``spin_us``: watch the clock for so long before each instead of sleeping; the C program only."""
    load = tool("load")
    arguments: list[object] = [sys.executable, HERE / "steady_load.py", port, rate, seconds]
    if load is not None:
        arguments = [load, "steady", "--port", port, "--rate", rate, "--seconds", seconds, "--spin-us", spin_us]
    return dict(json.loads(generator(arguments, [LOAD_CORE], seconds + _GRACE_S, is_urgent=True)))


def streams(port: int, streams: int, chunks: int, interval_ms: int, seconds: float) -> dict[str, float]:
    """So many event streams at once for so long."""
    order = {"port": port, "streams": streams, "chunks": chunks, "interval_ms": interval_ms, "seconds": seconds}
    load = tool("load")
    if load is None:
        return _python_streams(order, seconds)
    arguments: list[object] = [load, "streams"]
    for key, value in order.items():
        arguments += [f"--{key.replace('_', '-')}", value]
    return dict(json.loads(generator(arguments, [LOAD_CORE], seconds + _STREAMS_GRACE_S, is_urgent=True)))


def replay(port: int, arrivals: Sequence[Arrival]) -> dict[str, float]:
    """Event streams that begin at given moments."""
    seconds = max((at_s for at_s, _, _ in arrivals), default=0.0)
    load = tool("load")
    if load is None:
        return _python_streams({"port": port, "arrivals": list(arrivals)}, seconds)
    with tempfile.TemporaryDirectory(prefix="loadtest-") as folder:
        schedule = Path(folder) / "schedule"
        schedule.write_text("".join(f"{at_s:.9f} {chunks} {size}\n" for at_s, chunks, size in sorted(arrivals)))
        arguments = [load, "replay", "--port", port, "--schedule", schedule]
        return dict(json.loads(generator(arguments, [LOAD_CORE], seconds + _STREAMS_GRACE_S, is_urgent=True)))


def _python_streams(order: Mapping[str, object], seconds: float) -> dict[str, float]:
    arguments = [sys.executable, HERE / "stream_load.py"]
    return dict(json.loads(generator(arguments, [LOAD_CORE], seconds + _STREAMS_GRACE_S, json.dumps(order), is_urgent=True)))
