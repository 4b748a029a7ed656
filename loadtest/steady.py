"""1000 requests/s on a fixed schedule: what the production path adds, with healthy, slow, hanging, failing and refusing candidates.

Latency counts from the scheduled moment. The rows of this proxy differ only in the candidate behind it; the client must not notice. The
row that does not mirror runs twice, so that the table also shows how much two equal rows differ.
"""

from __future__ import annotations

import argparse

import loads
import own
import upstreams
from peers import DIRECT, ENVOY, ENVOY_MIRROR, OWN_0, Peer, Stage, envoy, shadowproxy
from rounds import Round, Row, choose, difference, foreign_note, interleave, ratio, share, start_all, with_usage
from scenario import Run, add_shield
from tables import number, percent, show

MODES = ("healthy", "slow", "hanging", "failing", "refusing")
WITHIN_SHARE, WITHIN_MS = 0.05, 0.2
"""What the client does not notice: either is enough, for the median and for the tail."""
_LIKE = {mode: f"Envoy mirror, {mode}" for mode in ("slow", "hanging")}
_FULL = shadowproxy(own.Setting(percent=100))
PEERS = (
    DIRECT,
    ENVOY,
    OWN_0,
    Peer(f"{OWN_0.name} again", shadowproxy(own.Setting(percent=0))),
    *(Peer(f"shadowproxy 100 %, {mode}", _FULL, mirror=1.0, against=_LIKE.get(mode)) for mode in MODES),
    Peer("shadowproxy 100 % journal, healthy", shadowproxy(own.Setting(percent=100, keeps_journal=True)), mirror=1.0),
    Peer("shadowproxy 100 % embedding, healthy", shadowproxy(own.Setting(percent=100, embed="onnx")), mirror=1.0),
    ENVOY_MIRROR,
    Peer(_LIKE["slow"], envoy(mirror=True), mirror=1.0, needs="envoy", against=_LIKE["slow"]),
    Peer(_LIKE["hanging"], envoy(mirror=True), mirror=1.0, needs="envoy", against=_LIKE["hanging"]),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, default=1000, help="requests per second")
    add_shield(parser)
    parser.add_argument("--spin-us", type=int, default=0, help="watch the clock so long before each request; for a core with nothing else")


def run(run: Run) -> None:
    options = run.options
    primary = upstreams.serve(run.stack, run.folder, "primary", is_urgent=True)
    stage = Stage(run.stack, run.folder, primary, primary)

    def candidate(peer: Peer) -> upstreams.Upstream:
        mode = next((mode for mode in MODES if peer.name.endswith(mode)), "healthy")
        return upstreams.serve(run.stack, run.folder, f"candidate-{peer.name.replace(' ', '-')}", mode=mode)

    def load(row: Row, seconds: float) -> Round:
        return with_usage(row, lambda: loads.steady(row.running.port, options.rate, seconds, spin_us=options.spin_us))

    rows = start_all(choose(PEERS, options.only, run.skipped), stage, candidate, run.skipped, is_shielded=options.shield)
    interleave(rows, options.rounds, lambda row: load(row, options.seconds), warm_up=lambda row: load(row, 1))
    run.keep(rows)
    for kept, row in zip(run.results, rows, strict=True):
        kept["against_0"] = against_0(row, rows)
    print_table(f"{options.rate:g} requests/s, open loop, {options.rounds} interleaved rounds of {options.seconds:g} s", rows)


def against_0(row: Row, rows: list[Row]) -> dict[str, object]:
    """What the client notices beside a row that does not mirror: medians of the rounds' ratios and differences, and where both are big."""
    found: dict[str, object] = {}
    noticed = []
    for name in ("p50", "p99"):
        times, more_ms = (compare(row, rows, f"{name}_ms", OWN_0.name) for compare in (ratio, difference))
        if not row.name.startswith("shadowproxy") or row.name == OWN_0.name or times is None or more_ms is None:
            return {}
        found |= {f"{name}_ratio": times, f"{name}_more_ms": more_ms}
        if times > 1 + WITHIN_SHARE and more_ms > WITHIN_MS:
            noticed.append(name)
    return {**found, "noticed": noticed}


def print_table(title: str, rows: list[Row]) -> None:
    headings = (
        "",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "late p99",
        "p50 more ms",
        "p99 more ms",
        "x 0 % p50",
        "x 0 % p99",
        f"within {WITHIN_SHARE:.0%} or {WITHIN_MS * 1000:.0f} µs",
        "x Envoy p50",
        "x Envoy p99",
        "CPU-s per 10k",
        "copies in round",
        "after drain",
        "errors",
    )
    lines = []
    for row in [row for row in rows if row.rounds]:
        against = against_0(row, rows)
        cpu = sum(each["cpu_s"] for each in row.rounds) / max(row.total("requests"), 1) * 10_000
        lines.append(
            (
                row.name,
                *(number(row.median(key), 3) for key in ("p50_ms", "p99_ms", "p99.9_ms", "generator_lag_p99_ms")),
                *(signed(against.get(key)) for key in ("p50_more_ms", "p99_more_ms")),
                *(number(value if isinstance(value := against.get(key), float) else None) for key in ("p50_ratio", "p99_ratio")),
                verdict(against),
                number(ratio(row, rows, "p50_ms")),
                number(ratio(row, rows, "p99_ms")),
                number(cpu if row.running.roles else None),
                percent(share(row, "copies_in_round")),
                percent(share(row, "copies")),
                str(row.total("errors")),
            )
        )
    late = [max((row.median(f"generator_lag_{name}_ms") or 0.0 for row in rows), default=0.0) for name in ("p50", "p99", "max")]
    notes = (
        "Latency from the scheduled moment. More, x 0 %: against this proxy without mirroring, medians over the same rounds. Within: p50",
        "and p99 are each at most that much above it. How far 'again' is from it is what two equal rows differ by here.",
        "x Envoy: slow and hanging rows against Envoy mirror before such a candidate, other mirroring rows against the healthy one.",
        "Late: how late the generator was itself, which is part of the latency; in the worst row (medians of the rounds):",
        f"p50 {late[0]:.3f}, p99 {late[1]:.3f}, at most {late[2]:.2f} ms.",
        foreign_note(rows),
    )
    show(title, headings, lines, notes)


def signed(value: object) -> str:
    return f"{value:+.3f}" if isinstance(value, float) else "-"


def verdict(against: dict[str, object]) -> str:
    noticed = against.get("noticed")
    if not isinstance(noticed, list):
        return "-"
    return f"no: {', '.join(noticed)}" if noticed else "yes"
