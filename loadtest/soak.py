"""Hours of steady load with every request mirrored: does memory grow? Fails where the slope of any process is above a bound.

The first quarter is left out: caches, pools and allocators fill. A short run cannot tell growth from that; half an hour is the least.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import defaultdict
from functools import partial
from typing import Self

import loads
import numpy as np
import own
import upstreams
from machine import resident_mb
from peers import Peer, Stage, shadowproxy
from rounds import Round, Row, foreign_note, start_all, with_usage
from scenario import Run
from tables import number, percent, show


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=500, help="requests per second")
    parser.add_argument("--embed", choices=("none", "onnx"), default="none", help="onnx: with the default embedder")
    parser.add_argument("--mode", choices=("healthy", "slow", "hanging", "failing", "refusing"), default="healthy", help="candidate")
    parser.add_argument("--max-mb-per-hour", type=float, default=20, help="fails above this slope of any process")


def run(run: Run) -> None:
    options = run.options
    primary = upstreams.serve(run.stack, run.folder, "primary", is_urgent=True)
    peer = Peer("shadowproxy 100 %", shadowproxy(own.Setting(percent=100, embed=options.embed)), mirror=1.0)
    stage = Stage(run.stack, run.folder, primary, primary)
    rows = start_all([peer], stage, lambda _: upstreams.serve(run.stack, run.folder, "candidate", mode=options.mode), run.skipped)
    for row in rows:
        with Memory(row) as memory:
            row.rounds.append(with_usage(row, partial(whole, row, options.rate, options.minutes * 60)))
        report(run, row, memory)
    run.has_failed |= not rows


def whole(row: Row, rate: float, seconds: float) -> Round:
    """The whole time in pieces of a minute: a generator that kept every latency of an hour would itself grow."""
    pieces: list[Round] = []
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 1:
        pieces.append(loads.steady(row.running.port, rate, min(60.0, left)))
    sums = {key: sum(piece[key] for piece in pieces) for key in ("requests", "errors", "seconds")}
    return {**sums, **{key: float(np.median([piece[key] for piece in pieces])) for key in ("p50_ms", "p99_ms")}}


class Memory:
    """Resident memory of every process, once a second, by role."""

    def __init__(self, row: Row) -> None:
        self.samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._row = row
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        started = time.monotonic()
        while not self._end.wait(1):
            for role, pids in self._row.running.roles.items():
                self.samples[role].append((time.monotonic() - started, resident_mb(pids)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join()


def slope_mb_per_hour(samples: list[tuple[float, float]]) -> float:
    """Least squares over what follows the first quarter."""
    kept = np.array(samples[len(samples) // 4 :])
    return float(np.polyfit(kept[:, 0], kept[:, 1], 1)[0]) * 3600 if len(kept) > 2 else 0.0


def report(run: Run, row: Row, memory: Memory) -> None:
    options, result = run.options, row.rounds[0]
    slopes = {role: slope_mb_per_hour(samples) for role, samples in memory.samples.items()}
    lines = []
    for role, samples in memory.samples.items():
        sizes = [mb for _, mb in samples]
        lines.append((role, *(number(mb, 1) for mb in (sizes[0], sizes[len(sizes) // 4], sizes[-1], max(sizes), slopes[role]))))
    has_died = any(mb == 0 for samples in memory.samples.values() for _, mb in samples)
    run.has_failed |= has_died or max(slopes.values()) > options.max_mb_per_hour
    run.keep([row], memory=dict(memory.samples), slopes_mb_per_hour=slopes)
    notes = (
        f"{result['requests']:,.0f} requests, {result['errors']:.0f} errors, p50 {result['p50_ms']:.2f} ms, p99 {result['p99_ms']:.2f} ms, "
        f"{percent(result['copies'] / max(result['asked'], 1))} of the copies delivered.",
        f"{'FAILED' if run.has_failed else 'Passed'}: the bound is {options.max_mb_per_hour:g} MB/h for every process, none may end.",
        foreign_note([row]),
    )
    title = f"Resident MB over {options.minutes:g} min at {options.rate:g} requests/s, candidate {options.mode}, embedder {options.embed}"
    show(title, ("", "first", "after a quarter", "last", "most", "MB/h after a quarter"), lines, notes)
