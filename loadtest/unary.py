"""POST 1 KB in, 1 KB out over keep-alive connections, as fast as it goes: throughput, latency, CPU and what became of the copies.

A closed loop at full load: latencies here are what saturation gives; ``steady`` tells what a proxy adds in daily life.
"""

from __future__ import annotations

import argparse

import upstreams
from peers import EVERYONE, Peer, Stage
from rounds import Round, Row, choose, foreign_note, interleave, ratio, share, start_all, with_usage
from scenario import Run
from tables import number, percent, show
from wrk import closed_loop


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, default=64)


def run(run: Run) -> None:
    options = run.options
    primary = upstreams.serve(run.stack, run.folder, "primary")
    stage = Stage(run.stack, run.folder, primary, primary)

    def candidate(peer: Peer) -> upstreams.Upstream:
        return upstreams.serve(run.stack, run.folder, f"candidate-{peer.name.replace(' ', '-')}")

    def load(row: Row, seconds: float) -> Round:
        def closed() -> Round:
            return closed_loop(row.running.port, options.connections, seconds, run.folder)

        result = with_usage(row, closed)
        return {**result, **figures(result)}

    rows = start_all(choose(EVERYONE, options.only, run.skipped), stage, candidate, run.skipped)
    interleave(rows, options.rounds, lambda row: load(row, options.seconds), warm_up=lambda row: load(row, 1))
    run.keep(rows)
    print_table(f"POST 1 KB / 1 KB, {options.connections} connections, {options.rounds} interleaved rounds of {options.seconds:g} s", rows)


def figures(result: Round) -> Round:
    """Rates out of sums. CPU seconds run until the last copy is through."""
    asked, copies = result["requests"], result["copies"]
    rates = {"rate": asked / result["seconds"]}
    for key in [key for key in result if key.startswith("cpu_s")]:
        rates[key.replace("cpu_s", "cpu_per_10k")] = result[key] / asked * 10_000
    if copies:
        rates["cpu_per_10k_copies"] = result["cpu_s"] / copies * 10_000
    return rates


PINNED = "Proxy under test on one core; load, servers and, on two cores, this proxy's shadow process share the other: copies slow the load."
HEADINGS = (
    "",
    "req/s",
    "x Envoy",
    "x nginx",
    "p50 ms",
    "p99 ms",
    "CPU-s per 10k",
    "gateway",
    "shadow",
    "CPU-s per 10k copies",
    "copies in round",
    "after drain",
    "copies/s",
    "x Envoy",
    "errors",
)


def print_table(title: str, rows: list[Row], placing: str = PINNED) -> None:
    for row in rows:
        row.rounds = [{**each, "copies_rate": each["copies_in_round"] / each["seconds"]} for each in row.rounds]
    lines = []
    for row in [row for row in rows if row.rounds]:
        mirrors = row.peer.mirror > 0
        lines.append(
            (
                row.name,
                number(row.median("rate"), 0),
                number(ratio(row, rows, "rate")),
                number(ratio(row, rows, "rate", "nginx mirror" if mirrors else "nginx")),
                number(row.median("p50_ms")),
                number(row.median("p99_ms")),
                number(row.median("cpu_per_10k") if row.running.roles else None),
                number(row.median("cpu_per_10k_gateway")),
                number(row.median("cpu_per_10k_shadow")),
                number(row.median("cpu_per_10k_copies") if mirrors else None),
                percent(share(row, "copies_in_round")),
                percent(share(row, "copies")),
                number(row.median("copies_rate") if mirrors else None, 0),
                number(ratio(row, rows, "copies_rate") if mirrors else None),
                str(row.total("errors")),
            )
        )
    notes = (
        "x: median of the rounds' ratios; mirroring rows against Envoy mirror and nginx mirror, the others against Envoy and nginx.",
        "CPU-s: user + system of the proxy's processes until the last copy is through, per 10,000 client requests or delivered copies.",
        placing,
        foreign_note(rows),
    )
    show(title, HEADINGS, lines, notes)
