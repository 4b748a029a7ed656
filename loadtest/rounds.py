"""Interleaved rounds: every peer once, then every peer again, so that the drift of a shared machine meets all of them alike."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from machine import CORES, LoadTestError, cpu_s, foreign_cpu_s, hurry, program
from peers import Peer, Running, Stage
from upstreams import Upstream

Round = dict[str, float]
Result = TypeVar("Result")
DRAIN_S = 4.0


@dataclass
class Row:
    """A peer, what runs of it, and what its rounds gave."""

    peer: Peer
    running: Running
    primary: Upstream
    candidate: Upstream
    rounds: list[Round] = field(default_factory=list)
    failure: str = ""

    @property
    def name(self) -> str:
        return self.peer.name

    def median(self, key: str) -> float | None:
        values = [each[key] for each in self.rounds if key in each]
        return statistics.median(values) if values else None

    def total(self, key: str) -> int:
        return int(sum(each.get(key, 0) for each in self.rounds))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def choose(peers: Sequence[Peer], only: Sequence[str] | None, skipped: dict[str, str]) -> list[Peer]:
    """Those asked for by the beginning of their name (a whole name means itself alone) and installed; why not the others."""
    names = [peer.name for peer in peers]
    chosen = []
    for peer in peers:
        if only and not any(peer.name == want or (want not in names and peer.name.startswith(want)) for want in only):
            continue
        if peer.needs and program(peer.needs) is None:
            skipped[peer.name] = f"{peer.needs} is not installed"
        else:
            chosen.append(peer)
    if only and not chosen and not skipped:
        raise SystemExit(f"--only {' '.join(only)}: none of {', '.join(names)}")
    return chosen


def start_all(
    peers: Sequence[Peer],
    stage: Stage,
    candidate: Callable[[Peer], Upstream],
    skipped: dict[str, str],
    *,
    is_shielded: bool = False,
) -> list[Row]:
    """Start every peer before a common primary, each mirroring one before a candidate of its own: no copy is counted for another.

    ``is_shielded``: what is on the clients' path goes before the machine's other work, in all peers alike.
    """
    rows = []
    for peer in peers:
        say(f"starting {peer.name}")
        own = replace(stage, candidate=candidate(peer)) if peer.mirror else stage
        try:
            running = peer.launch(own)
            for pid in running.on_path if is_shielded else ():
                hurry(pid)
            rows.append(Row(peer, running, own.primary, own.candidate))
        except LoadTestError as exc:
            skipped[peer.name] = str(exc)
    return rows


def interleave(rows: Sequence[Row], rounds: int, measure: Callable[[Row], Round], *, warm_up: Callable[[Row], object] | None) -> None:
    """Measure every row once per round. What fails is left out of later rounds, with its reason.

    Every second round goes backwards: what one row leaves behind, copies that still wait for instance, does not always meet the same next.
    """
    if warm_up is not None:
        for row in rows:
            _attempt(row, warm_up)
    for number in range(rounds):
        for row in rows if number % 2 == 0 else reversed(rows):
            if not row.failure and (result := _attempt(row, measure)) is not None:
                row.rounds.append(result)
                say(f"round {number + 1} of {rounds}: {row.name}")


def _attempt(row: Row, step: Callable[[Row], Result]) -> Result | None:
    try:
        return step(row)
    except LoadTestError as exc:
        row.failure = str(exc)
        say(f"{row.name}: {exc}")
        return None


def with_usage(row: Row, load: Callable[[], Round]) -> Round:
    """Run the load, wait for its copies, and add CPU seconds by role and the copies that arrived, within the round and after it."""
    cpu = {role: cpu_s(pids) for role, pids in row.running.roles.items()}
    copies, asked = row.candidate.counts().requests, row.primary.counts().from_clients
    foreign, began = foreign_cpu_s(), time.monotonic()
    result = dict(load())
    taken = sum(max(0.0, spent - foreign.get(pid, 0.0)) for pid, spent in foreign_cpu_s().items())
    result["foreign_share"] = taken / (time.monotonic() - began) / len(CORES)
    result["copies_in_round"] = row.candidate.counts().requests - copies
    drain(row)
    result["copies"] = row.candidate.counts().requests - copies
    # Also what the clients gave up at the end, and proxies may have copied; not what the control arm asked the primary again.
    result["asked"] = row.primary.counts().from_clients - asked
    for role, pids in row.running.roles.items():
        result[f"cpu_s_{role}"] = cpu_s(pids) - cpu[role]
    result["cpu_s"] = sum(result[f"cpu_s_{role}"] for role in row.running.roles)
    return result


def drain(row: Row) -> None:
    """Wait until no copy came for half a second and none is still being answered, a few seconds at most."""
    if not row.peer.mirror:
        return
    deadline = time.monotonic() + DRAIN_S
    seen = -1
    while time.monotonic() < deadline and ((now := row.candidate.counts()).requests != seen or now.answering):
        seen = now.requests
        time.sleep(0.5)


def share(row: Row, copies: str) -> float | None:
    """Copies that arrived at the candidate, of those that should have by what arrived at the primary."""
    wanted = row.total("asked") * row.peer.mirror
    return row.total(copies) / wanted if wanted else None


def foreign_note(rows: Sequence[Row]) -> str:
    """How quiet the machine was: what is busy beside the test is part of every tail."""
    shares = sorted(each["foreign_share"] for row in rows for each in row.rounds if "foreign_share" in each)
    if not shares:
        return ""
    return f"Others took {statistics.median(shares):.0%} of all cores during the rounds (median), {shares[-1]:.0%} in the worst."


def _same_rounds(row: Row, rows: Sequence[Row], key: str, yardstick: str) -> list[tuple[float, float]]:
    """This row's figure and the yardstick's, round by round."""
    other = next((each for each in rows if each.name == yardstick), None)
    pairs = zip(row.rounds, other.rounds, strict=False) if other is not None else ()
    return [(mine[key], theirs[key]) for mine, theirs in pairs if mine.get(key) is not None and theirs.get(key)]


def ratio(row: Row, rows: Sequence[Row], key: str, yardstick: str | None = None) -> float | None:
    """Median over the rounds of this row's figure over the yardstick's of the same round."""
    found = [mine / theirs for mine, theirs in _same_rounds(row, rows, key, yardstick or row.peer.yardstick)]
    return statistics.median(found) if found else None


def difference(row: Row, rows: Sequence[Row], key: str, yardstick: str) -> float | None:
    """Median over the rounds of this row's figure minus the yardstick's of the same round."""
    found = [mine - theirs for mine, theirs in _same_rounds(row, rows, key, yardstick)]
    return statistics.median(found) if found else None
