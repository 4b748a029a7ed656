"""Streams that begin when real requests began and are as long as real answers were, faster by a factor.

The Azure LLM inference trace of 2023 (conversations) is read from a folder beside the checkout where it is present; else two synthetic
traces stand in: Poisson, and bursts of ten times the mean rate.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path

import loads
import upstreams
from loads import Arrival
from machine import ROOT, resident_mb
from peers import DIRECT, ENVOY, ENVOY_MIRROR, OWN_0, OWN_100, Peer, Stage
from rounds import Round, Row, choose, interleave, start_all
from scenario import Run, add_shield
from sse import measure, print_table

AZURE = ROOT.parent / "shared/data/traces/azure2023/AzureLLMInferenceTrace_conv.csv.gz"
PEERS = (DIRECT, ENVOY, OWN_0, ENVOY_MIRROR, OWN_100)
_TOKEN_BYTES = 4
_RATE = 5.5  # of the Azure trace, for the synthetic ones
_MEAN_CONTEXT, _MEAN_GENERATED = 1155, 211


def add_options(parser: argparse.ArgumentParser) -> None:
    add_shield(parser)
    parser.set_defaults(seconds=20)
    parser.add_argument("--trace", choices=("azure", "poisson", "bursty"), nargs="+", help="default: azure where present, else the others")
    parser.add_argument("--speedup", type=float, default=10, help="arrivals come this many times faster; streams keep their pace")
    parser.add_argument("--interval-ms", type=int, default=20, help="between the chunks (tokens) of a stream")
    parser.add_argument("--max-chunks", type=int, default=500, help="longer answers are cut here")


def run(run: Run) -> None:
    options = run.options
    traces = options.trace or (["azure"] if AZURE.exists() else ["poisson", "bursty"])
    if "azure" in traces and not AZURE.exists():
        run.skipped["trace azure"] = f"{AZURE.name} is not in a folder beside the checkout"
        traces.remove("azure")
    primary = upstreams.serve(run.stack, run.folder, "primary", interval_ms=options.interval_ms, is_urgent=True)
    stage = Stage(run.stack, run.folder, primary, primary)

    def candidate(peer: Peer) -> upstreams.Upstream:
        return upstreams.serve(run.stack, run.folder, f"candidate-{peer.name.replace(' ', '-')}", interval_ms=options.interval_ms)

    rows = start_all(choose(PEERS, options.only, run.skipped), stage, candidate, run.skipped, is_shielded=options.shield)
    idle_mb = {row.name: resident_mb(row.running.pids) for row in rows}
    for trace in traces:
        chosen = within(arrivals(trace), options.seconds, options.speedup, options.max_chunks)
        for row in rows:
            row.rounds = []

        def replay(row: Row, chosen: list[Arrival] = chosen) -> Round:
            return measure(row, partial(loads.replay, row.running.port, chosen), idle_mb[row.name])

        interleave(rows, options.rounds, replay, warm_up=None)
        run.keep(rows, trace=trace, arrivals=len(chosen))
        chunks = sum(arrival[1] for arrival in chosen)
        title = f"Arrivals of {trace}, {options.speedup:g} x: {len(chosen)} streams, {chunks} chunks, begun within {options.seconds:g} s"
        print_table(f"{title}, {options.rounds} interleaved rounds", rows)


def within(arrivals: Iterable[Arrival], seconds: float, speedup: float, max_chunks: int) -> list[Arrival]:
    """The first so many seconds of the faster trace. Bodies stop at 256 KB: longer ones measure the loopback."""
    chosen = []
    for at_s, chunks, body_bytes in arrivals:
        if at_s / speedup > seconds:
            break
        chosen.append((at_s / speedup, max(1, min(chunks, max_chunks)), min(body_bytes, 262_144)))
    return chosen


def arrivals(trace: str) -> Iterator[Arrival]:
    if trace == "azure":
        return azure(AZURE)
    return synthetic(random.Random(7), is_bursty=trace == "bursty")


def azure(file: Path) -> Iterator[Arrival]:
    """Seconds since the first request, tokens generated, bytes of the question."""
    with gzip.open(file, "rt", newline="") as lines:
        first: datetime | None = None
        for line in csv.DictReader(lines):
            at = datetime.fromisoformat(line["TIMESTAMP"][:26])
            first = first or at
            yield (at - first).total_seconds(), int(line["GeneratedTokens"]), int(line["ContextTokens"]) * _TOKEN_BYTES


def synthetic(chance: random.Random, *, is_bursty: bool) -> Iterator[Arrival]:
    """Exponential gaps and lengths; bursty: one second in twenty at ten times the rate, the rest slower, the mean the same."""
    at_s = 0.0
    for _ in islice(iter(int, 1), 1_000_000):
        rate = _RATE
        if is_bursty:
            rate = _RATE * 10 if int(at_s) % 20 == 0 else _RATE * 10 / 19
        at_s += chance.expovariate(rate)
        yield at_s, 1 + int(chance.expovariate(1 / _MEAN_GENERATED)), int(chance.expovariate(1 / _MEAN_CONTEXT)) * _TOKEN_BYTES
