"""1000 requests/s on a fixed schedule: what the production path adds, with healthy, slow, hanging, failing and refusing candidates.

Latency counts from the scheduled moment. The rows of this proxy differ only in the candidate behind it; the client must not notice.
"""

from __future__ import annotations

import argparse
import json
import sys

import own
import upstreams
from machine import HERE, LOAD_CORE, generator
from peers import DIRECT, ENVOY, ENVOY_MIRROR, OWN_0, Peer, Stage, envoy, shadowproxy
from rounds import Round, Row, choose, foreign_note, interleave, ratio, share, start_all, with_usage
from scenario import Run
from tables import number, percent, show

MODES = ("healthy", "slow", "hanging", "failing", "refusing")
_LIKE = {mode: f"Envoy mirror, {mode}" for mode in ("slow", "hanging")}
_FULL = shadowproxy(own.Setting(percent=100))
PEERS = (
    DIRECT,
    ENVOY,
    OWN_0,
    *(Peer(f"shadowproxy 100 %, {mode}", _FULL, mirror=1.0, against=_LIKE.get(mode)) for mode in MODES),
    Peer("shadowproxy 100 % embedding, healthy", shadowproxy(own.Setting(percent=100, embed="onnx")), mirror=1.0),
    ENVOY_MIRROR,
    Peer(_LIKE["slow"], envoy(mirror=True), mirror=1.0, needs="envoy", against=_LIKE["slow"]),
    Peer(_LIKE["hanging"], envoy(mirror=True), mirror=1.0, needs="envoy", against=_LIKE["hanging"]),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, default=1000, help="requests per second")


def run(run: Run) -> None:
    options = run.options
    primary = upstreams.fastest(run.stack, run.folder, "primary")
    stage = Stage(run.stack, run.folder, primary, primary)

    def candidate(peer: Peer) -> upstreams.Upstream:
        mode = next((mode for mode in MODES if peer.name.endswith(mode)), "healthy")
        name = f"candidate-{peer.name.replace(' ', '-')}"
        if mode == "healthy":
            return upstreams.fastest(run.stack, run.folder, name)
        return upstreams.python(run.stack, run.folder, name, mode=mode)

    def load(row: Row, seconds: float) -> Round:
        return with_usage(row, lambda: open_loop(row.running.port, options.rate, seconds, [LOAD_CORE]))

    rows = start_all(choose(PEERS, options.only, run.skipped), stage, candidate, run.skipped)
    interleave(rows, options.rounds, lambda row: load(row, options.seconds), warm_up=lambda row: load(row, 1))
    run.keep(rows)
    print_table(f"{options.rate:g} requests/s, open loop, {options.rounds} interleaved rounds of {options.seconds:g} s", rows)


def open_loop(port: int, rate: float, seconds: float, cores: list[int]) -> Round:
    out = generator([sys.executable, HERE / "steady_load.py", str(port), str(rate), str(seconds)], cores, seconds + 40)
    return dict(json.loads(out))


def print_table(title: str, rows: list[Row]) -> None:
    headings = (
        "",
        "p50 ms",
        "x 0 %",
        "p99 ms",
        "x 0 %",
        "p99.9 ms",
        "x Envoy p50",
        "x Envoy p99",
        "CPU-s per 10k",
        "copies in round",
        "after drain",
        "errors",
    )
    lines = []
    for row in [row for row in rows if row.rounds]:
        is_own = row.name.startswith("shadowproxy")
        cpu = sum(each["cpu_s"] for each in row.rounds) / max(row.total("requests"), 1) * 10_000
        lines.append(
            (
                row.name,
                number(row.median("p50_ms")),
                number(ratio(row, rows, "p50_ms", OWN_0.name) if is_own else None),
                number(row.median("p99_ms")),
                number(ratio(row, rows, "p99_ms", OWN_0.name) if is_own else None),
                number(row.median("p99.9_ms")),
                number(ratio(row, rows, "p50_ms")),
                number(ratio(row, rows, "p99_ms")),
                number(cpu if row.running.roles else None),
                percent(share(row, "copies_in_round")),
                percent(share(row, "copies")),
                str(row.total("errors")),
            )
        )
    lags = [lag for row in rows if (lag := row.median("generator_lag_p99_ms")) is not None]
    notes = (
        "Latency from the scheduled moment. x 0 %: against this proxy without mirroring, in the same rounds; smaller is better.",
        "x Envoy: slow and hanging rows against Envoy mirror before such a candidate, other mirroring rows against the healthy one.",
        f"The generator itself sent its requests up to {max(lags, default=0):.2f} ms late (p99, worst row); that is part of every row.",
        foreign_note(rows),
    )
    show(title, headings, lines, notes)
