"""Concurrent event streams: time to the first byte, transit of every chunk, CPU per chunk and memory per stream.

Each chunk carries the moment it was sent on the clock that both ends share, so its transit is measured and not inferred from gaps.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from functools import partial
from typing import Self

import loads
import upstreams
from machine import resident_mb
from peers import EVERYONE, Peer, Running, Stage
from rounds import Round, Row, choose, foreign_note, interleave, ratio, share, start_all, with_usage
from scenario import Run, add_shield
from tables import number, percent, show


def add_options(parser: argparse.ArgumentParser) -> None:
    add_shield(parser)
    parser.add_argument("--streams", type=int, nargs="+", default=[200, 1000], help="concurrent streams; each number is a table")
    parser.add_argument("--chunks", type=int, default=100, help="per stream")
    parser.add_argument("--interval-ms", type=int, default=20, help="between the chunks of a stream")


def run(run: Run) -> None:
    options = run.options
    primary = upstreams.serve(run.stack, run.folder, "primary", interval_ms=options.interval_ms, is_urgent=True)
    stage = Stage(run.stack, run.folder, primary, primary)

    def candidate(peer: Peer) -> upstreams.Upstream:
        return upstreams.serve(run.stack, run.folder, f"candidate-{peer.name.replace(' ', '-')}", interval_ms=options.interval_ms)

    rows = start_all(choose(EVERYONE, options.only, run.skipped), stage, candidate, run.skipped, is_shielded=options.shield)
    idle_mb = {row.name: resident_mb(row.running.pids) for row in rows}
    for streams in options.streams:
        for row in rows:
            row.rounds = []

        def load(row: Row, streams: int = streams, seconds: float = options.seconds) -> Round:
            order = partial(loads.streams, row.running.port, streams, options.chunks, options.interval_ms, seconds)
            return measure(row, order, idle_mb[row.name], streams)

        interleave(rows, options.rounds, load, warm_up=partial(load, seconds=1))
        run.keep(rows, streams=streams)
        title = f"{streams} streams of {options.chunks} chunks, one per {options.interval_ms} ms"
        print_table(f"{title}, {options.rounds} interleaved rounds of {options.seconds:g} s", rows)


def measure(row: Row, load: Callable[[], Round], idle_mb: float, streams: int | None = None) -> Round:
    """One run of the stream clients, with the proxy's memory watched meanwhile."""
    with PeakMemory(row.running) as peak:
        result = with_usage(row, load)
    result["peak_mb"] = peak.mb
    result.update({f"peak_mb_{role}": mb for role, mb in peak.by_role.items()})
    if streams is not None:
        result["mb_per_1000_streams"] = max(0.0, peak.mb - idle_mb) / streams * 1000
    for key in [key for key in result if key.startswith("cpu_s")]:
        result[key.replace("cpu_s", "cpu_per_100k")] = result[key] / max(result["chunks"], 1) * 100_000
    return result


class PeakMemory:
    """Watches resident memory from a thread while the block runs: the most of all processes together, and of each role."""

    def __init__(self, running: Running) -> None:
        self.mb = 0.0
        self.by_role = dict.fromkeys(running.roles, 0.0)
        self._roles = running.roles
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._look()

    def _look(self) -> None:
        now = {role: resident_mb(pids) for role, pids in self._roles.items()}
        self.mb = max(self.mb, sum(now.values()))
        self.by_role = {role: max(self.by_role[role], mb) for role, mb in now.items()}

    def _watch(self) -> None:
        while not self._end.wait(0.25):
            self._look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join()


HEADINGS = (
    "",
    "TTFB p50 ms",
    "p99",
    "x Envoy p99",
    "transit p50 ms",
    "p99",
    "x Envoy p50",
    "x Envoy p99",
    "gap p99",
    "CPU-s per 100k chunks",
    "x Envoy",
    "gateway",
    "shadow",
    "peak MB",
    "per 1000 streams",
    "streams",
    "copies",
    "errors",
)


def print_table(title: str, rows: list[Row]) -> None:
    lines = []
    for row in [row for row in rows if row.rounds]:
        has_processes = bool(row.running.roles)
        lines.append(
            (
                row.name,
                number(row.median("ttft_p50_ms")),
                number(row.median("ttft_p99_ms"), 1),
                number(ratio(row, rows, "ttft_p99_ms")),
                number(row.median("transit_p50_ms")),
                number(row.median("transit_p99_ms"), 1),
                number(ratio(row, rows, "transit_p50_ms")),
                number(ratio(row, rows, "transit_p99_ms")),
                number(row.median("gap_p99_ms"), 1),
                number(row.median("cpu_per_100k") if has_processes else None),
                number(ratio(row, rows, "cpu_per_100k") if has_processes else None),
                number(row.median("cpu_per_100k_gateway")),
                number(row.median("cpu_per_100k_shadow")),
                number(row.median("peak_mb") if has_processes else None, 0),
                number(row.median("mb_per_1000_streams") if has_processes else None, 0),
                str(row.total("streams")),
                percent(share(row, "copies")),
                str(row.total("errors")),
            )
        )
    notes = (
        "x Envoy: smaller is better; mirroring rows against Envoy mirror, the others against Envoy. Copies: streams asked of it.",
        "Clients, servers and, on two cores, this proxy's shadow process share one core; clients and primary go first there.",
        "MB: resident, over all of a peer's processes; per 1000 streams: the most during the rounds less what it held before the first.",
        foreign_note(rows),
    )
    show(title, HEADINGS, lines, notes)
