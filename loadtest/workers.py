"""This proxy with one and with two gateway workers, nothing pinned: what a second core gives when it also carries the load.

On two cores load, servers and workers compete, so the figures say that workers share a port, not how far they scale.
"""

from __future__ import annotations

import argparse

import own
import unary
import upstreams
from machine import CORES
from peers import DIRECT, Peer, Stage, shadowproxy
from rounds import Round, Row, choose, interleave, start_all, with_usage
from scenario import Run
from wrk import closed_loop

PEERS = (
    DIRECT,
    *(
        Peer(
            f"{workers} worker{'s' * (workers > 1)}, mirror {percent} %",
            shadowproxy(own.Setting(percent=percent, workers=workers, cores="free")),
            mirror=percent / 100,
        )
        for percent in (0, 100)
        for workers in (1, 2)
    ),
)
_UNPINNED = "Nothing is pinned: load, servers and all processes of this proxy share the cores."


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, default=64)


def run(run: Run) -> None:
    options = run.options
    primary = upstreams.serve(run.stack, run.folder, "primary", cores=CORES)
    stage = Stage(run.stack, run.folder, primary, primary)

    def candidate(peer: Peer) -> upstreams.Upstream:
        return upstreams.serve(run.stack, run.folder, f"candidate-{peer.name.replace(' ', '-').replace('%', '')}", cores=CORES)

    def load(row: Row, seconds: float) -> Round:
        result = with_usage(row, lambda: closed_loop(row.running.port, options.connections, seconds, run.folder, CORES))
        return {**result, **unary.figures(result)}

    rows = start_all(choose(PEERS, options.only, run.skipped), stage, candidate, run.skipped)
    interleave(rows, options.rounds, lambda row: load(row, options.seconds), warm_up=lambda row: load(row, 1))
    run.keep(rows)
    title = f"Workers, unpinned on {len(CORES)} cores that also carry the load, {options.connections} connections"
    unary.print_table(
        f"{title}, {options.rounds} interleaved rounds of {options.seconds:g} s",
        rows,
        _UNPINNED,
    )
