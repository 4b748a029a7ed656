"""Concurrent event streams: time to the first byte, transit of every chunk, CPU per chunk and memory per stream.

Each chunk carries the moment it was sent on the clock that both ends share, so its transit is measured and not inferred from gaps.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from typing import Self

import upstreams
from machine import HERE, LOAD_CORE, generator, resident_mb
from peers import EVERYONE, Peer, Stage
from rounds import Round, Row, choose, foreign_note, interleave, ratio, share, start_all, with_usage
from scenario import Run
from tables import number, percent, show


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--streams", type=int, nargs="+", default=[200, 1000], help="concurrent streams; each number is a table")
    parser.add_argument("--chunks", type=int, default=100, help="per stream")
    parser.add_argument("--interval-ms", type=int, default=20, help="between the chunks of a stream")


def run(run: Run) -> None:
    options = run.options
    primary = upstreams.python(run.stack, run.folder, "primary", interval_ms=options.interval_ms)
    stage = Stage(run.stack, run.folder, primary, primary)

    def candidate(peer: Peer) -> upstreams.Upstream:
        return upstreams.python(run.stack, run.folder, f"candidate-{peer.name.replace(' ', '-')}", interval_ms=options.interval_ms)

    rows = start_all(choose(EVERYONE, options.only, run.skipped), stage, candidate, run.skipped)
    idle_mb = {row.name: resident_mb(row.running.pids) for row in rows}
    for streams in options.streams:
        for row in rows:
            row.rounds = []
        order = {"streams": streams, "chunks": options.chunks, "interval_ms": options.interval_ms}

        def load(row: Row, order: dict[str, int] = order) -> Round:
            return measure(row, {**order, "seconds": options.seconds}, idle_mb[row.name])

        def warm_up(row: Row, order: dict[str, int] = order) -> Round:
            return measure(row, {**order, "seconds": 1}, idle_mb[row.name])

        interleave(rows, options.rounds, load, warm_up=warm_up)
        run.keep(rows, streams=streams)
        title = f"{streams} streams of {options.chunks} chunks, one per {options.interval_ms} ms"
        print_table(f"{title}, {options.rounds} interleaved rounds of {options.seconds:g} s", rows)


def measure(row: Row, order: dict[str, object], idle_mb: float) -> Round:
    """One run of the stream clients, with the proxy's memory watched meanwhile."""
    text = json.dumps({"port": row.running.port, **order})
    within_s = 150.0 + float(str(order.get("seconds", 0)))

    def load() -> Round:
        return dict(json.loads(generator([sys.executable, HERE / "stream_load.py"], [LOAD_CORE], within_s, text)))

    with PeakMemory(row.running.pids) as peak:
        result = with_usage(row, load)
    result["resident_mb"] = peak.mb
    if "streams" in order:
        result["mb_per_1000_streams"] = max(0.0, peak.mb - idle_mb) / float(str(order["streams"])) * 1000
    for key in [key for key in result if key.startswith("cpu_s")]:
        result[key.replace("cpu_s", "cpu_per_100k")] = result[key] / max(result["chunks"], 1) * 100_000
    return result


class PeakMemory:
    """Watches resident memory from a thread while the block runs."""

    def __init__(self, pids: list[int]) -> None:
        self.mb = resident_mb(pids)
        self._pids = pids
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._end.wait(0.25):
            self.mb = max(self.mb, resident_mb(self._pids))

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
    "transit p50 ms",
    "p99",
    "x Envoy p50",
    "x Envoy p99",
    "CPU-s per 100k chunks",
    "x Envoy",
    "gateway",
    "shadow",
    "MB",
    "MB per 1000 streams",
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
                number(row.median("transit_p50_ms")),
                number(row.median("transit_p99_ms"), 1),
                number(ratio(row, rows, "transit_p50_ms")),
                number(ratio(row, rows, "transit_p99_ms")),
                number(row.median("cpu_per_100k") if has_processes else None),
                number(ratio(row, rows, "cpu_per_100k") if has_processes else None),
                number(row.median("cpu_per_100k_gateway")),
                number(row.median("cpu_per_100k_shadow")),
                number(row.median("resident_mb") if has_processes else None, 0),
                number(row.median("mb_per_1000_streams") if has_processes else None, 0),
                str(row.total("streams")),
                percent(share(row, "copies")),
                str(row.total("errors")),
            )
        )
    notes = (
        "x Envoy: smaller is better; mirroring rows against Envoy mirror, the others against Envoy. Copies: streams asked of it.",
        "Clients, servers and this proxy's shadow process share one core: at 1000 streams with mirroring that core is full, and its queues",
        "are part of every mirroring row. Compare rows, not absolute values.",
        foreign_note(rows),
    )
    show(title, HEADINGS, lines, notes)
