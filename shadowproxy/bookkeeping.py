"""From compared pairs to counted evidence: in the order of issue, per independent unit, against limits fixed before. Behind ``shadow``.

Evidence is published per rollout in the order in which the pairs were issued: a fast pair never counts before a slow one that was issued
earlier. So what is counted at any moment is a prefix of one fixed sequence, and looking at it at a moment that depends on how fast the
answers are cannot bias the verdict. A pair is published when it and all before it are resolved, at the latest when they have timed out.
"""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from shadowproxy.config import Gates, Slices, TailGate, Units
from shadowproxy.counts import CELLS, PAIRS_COUNTED, PAIRS_PENDING, TAIL_REFERENCE, UNITS, Counts
from shadowproxy.exchange import Asked, Comparison, Divergence, Outcome, Request, Severity, Side
from shadowproxy.verdict import checks
from shadowproxy.verdict.cells import observe
from shadowproxy.verdict.limits import DURATION, ITL, TTFT, Budget, Limits, Ratio, TailThreshold
from shadowproxy.verdict.slices import bounded, dimension_of, length_label, slice_label, yes_no
from shadowproxy.verdict.spacing import Spacing
from shadowproxy.verdict.units import Observed, Sessions, Window

#: Resolved pairs of a rollout that may wait for an older one to be published. The bound is minutes of heavy traffic.
LEDGER_BOUND = 100_000

#: Longest an identical prompt is remembered: a health check or a crawler asks in shorter circles.
_REPEATS_S = 3600.0

#: Told of a measured limit: rollout, route, measure, seconds.
OnFrozen = Callable[[str, str, str, float], None]


@dataclass(frozen=True, slots=True)
class PairRequest:
    """What is known of the request: its route, its session and prompt as digests, and its slices."""

    route: str
    session: str
    prompt: str
    slices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PairRecord:
    """What the evidence needs of a pair, and no word of its answers: some wait for minutes. ``came_s``: when its request came, in Unix
    time; None where it was read from a file."""

    request: PairRequest
    primary: Outcome
    candidate: Comparison
    control: Comparison | None
    came_s: float | None = None


class Entry:
    """One issued pair in a rollout's ledger. ``publish`` is set when it is resolved."""

    __slots__ = ("publish", "route")

    def __init__(self, route: str) -> None:
        self.route = route
        self.publish: Callable[[], None] | None = None


class Ledger:
    """Issued pairs of one rollout, oldest first; published in that order."""

    __slots__ = ("_entries", "pending")

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self.pending: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, route: str) -> Entry:
        entry = Entry(route)
        self._entries.append(entry)
        self.pending[route] = self.pending.get(route, 0) + 1
        return entry

    def resolve(self, entry: Entry, publish: Callable[[], None]) -> None:
        """The pair's end is known. Publish it and every resolved one directly behind, unless an older one is still open."""
        entry.publish = publish
        while self._entries and (ready := self._entries[0].publish) is not None:
            self.pending[self._entries.popleft().route] -= 1
            ready()


class TailReferences:
    """t* of each tail gate, per rollout and route: measured over the first pairs, then frozen, so that it is fixed before the data it
    judges."""

    def __init__(self, gates: Mapping[str, TailGate], counts: Counts, on_frozen: OnFrozen) -> None:
        self._gates = gates
        self._counts = counts
        self._on_frozen = on_frozen
        self._seen: dict[tuple[str, str, str], list[float]] = {}
        self._frozen: dict[tuple[str, str, str], float] = {}

    def freeze(self, rollout: str, route: str, measure: str, seconds: float) -> None:
        """Set what an earlier boot measured."""
        self._frozen[rollout, route, measure] = seconds
        self._counts.set(TAIL_REFERENCE, rollout, route, measure, to=seconds)

    def thresholds(self, rollout: str, route: str, primary: Mapping[str, float | None]) -> dict[str, TailThreshold]:
        """By measure, the threshold for this pair; none while its own value still goes into the measurement."""
        found = {measure: self._threshold(rollout, route, measure, primary.get(measure)) for measure in self._gates}
        return {measure: threshold for measure, threshold in found.items() if threshold is not None}

    def _threshold(self, rollout: str, route: str, measure: str, primary_s: float | None) -> TailThreshold | None:
        gate = self._gates[measure]
        key = (rollout, route, measure)
        reference_s = gate.reference_s if gate.reference_s is not None else self._frozen.get(key)
        if reference_s is not None:
            limit_s = max(reference_s * gate.ratio, reference_s + gate.tolerance_s)
            return TailThreshold(primary_s=reference_s, candidate_s=limit_s)
        if primary_s is not None and primary_s > 0:
            seen = self._seen.setdefault(key, [])
            seen.append(primary_s)
            if len(seen) >= gate.calibration_pairs:
                del self._seen[key]
                self.freeze(rollout, route, measure, float(np.quantile(seen, gate.quantile)))
                self._on_frozen(rollout, route, measure, self._frozen[key])
        return None


def tail_gates(gates: Gates) -> dict[str, TailGate]:
    """The tail gates that are on, by measure."""
    return {measure: gate for measure, gate in ((TTFT, gates.ttft), (ITL, gates.itl), (DURATION, gates.duration)) if gate.enabled}


class Slicer:
    """Which slices a pair belongs to. Labels come from requests, so their number is bounded: the first ones get a label of their own."""

    def __init__(self, section: Slices) -> None:
        self._section = section
        self._known: dict[str, frozenset[str]] = {}

    def labels(self, request: Request, asked: Asked, primary: Side) -> tuple[str, ...]:
        """The pair's slices, at most one of each dimension, after those of every pair before it."""
        return self.bounded(self.found(request, asked, primary))

    def bounded(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The labels, those beyond the bound as the rest. Depends on what was seen before: ask in the order of the requests."""
        return tuple([self._bounded(label) for label in labels])

    def found(self, request: Request, asked: Asked, primary: Side) -> tuple[str, ...]:
        """The pair's slices by themselves."""
        section, found = self._section, []
        if section.tenant is not None:
            found.append(slice_label("tenant", _header(request, section.tenant)))
        if section.prompt_length:
            found.append(length_label("prompt_length", len(asked.prompt)))
        if section.language:
            found.append(slice_label("language", primary.language or "unknown"))
        if section.tools:
            found.append(yes_no("tools", bool(asked.tools)))
        if section.streamed:
            found.append(yes_no("streamed", asked.is_streamed))
        return tuple(found)

    def _bounded(self, label: str) -> str:
        dimension = dimension_of(label)
        shown, self._known[dimension] = bounded(label, self._known.get(dimension, frozenset()))
        return shown


def _header(request: Request, key: str) -> str:
    value = request.header(key.removeprefix("header:").lower().encode("latin-1"))
    return (value or b"").decode("utf-8", "replace")


def session_of(request: Request, asked: Asked, section: Units) -> str:
    """The session a request belongs to, as a digest; empty where it says none."""
    if section.session == "none":
        return ""
    name = asked.session if section.session == "auto" else _header(request, section.session)
    return _digest(name.encode("utf-8", "surrogatepass")) if name else ""


def prompt_of(request: Request, asked: Asked) -> str:
    """What was asked, as a digest: the prompt where one was read, else the body."""
    return _digest(asked.prompt.encode("utf-8", "surrogatepass") if asked.prompt else request.body)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def without_words(comparison: Comparison) -> Comparison:
    """The part of a comparison that is counted: a pair may wait for minutes behind a slow one, and its words would fill memory."""
    serious = tuple(_kind_alone(each) for each in comparison.divergences if each.severity in (Severity.MAJOR, Severity.CRITICAL))
    return replace(comparison, divergences=serious, suppressed={})


def _kind_alone(each: Divergence) -> Divergence:
    return _KINDS_ALONE.setdefault((each.kind, each.severity), Divergence(each.kind, each.severity, "", ""))


#: Every pair with the same kind of divergence shares one value. Kinds are ours, and few.
_KINDS_ALONE: dict[tuple[str, Severity], Divergence] = {}


class Book:
    """The evidence of one rollout in one process: its ledger, its open sessions, and what it is measured against."""

    def __init__(
        self,
        rollout: str,
        candidate: str,
        gates: Gates,
        units: Units,
        references: TailReferences,
        counts: Counts,
        chance: random.Random,
        *,
        has_control: bool,
    ) -> None:
        self.rollout = rollout
        self.candidate = candidate
        self.ledger = Ledger()
        self._references = references
        self._counts = counts
        self._chance = chance
        self._has_control = has_control
        self._drops_repeats = units.drop_repeats
        window = Window(idle_s=units.idle_s, max_s=max(units.idle_s, _REPEATS_S), max_pairs=units.max_pairs)
        self._limits = Limits(ratios=_ratios(gates), budgets=budgets_of(gates))
        self._sessions = Sessions(window, chance.random, Spacing(units.stall_s, self._limits.budgets))
        self._published = 0
        self._reported: set[str] = set()

    def publish(self, pair: PairRecord, now_s: float) -> None:
        """Add a pair to the evidence. Called in the order of issue."""
        timing = pair.candidate.primary_timing
        tails = self._references.thresholds(
            self.rollout, pair.request.route, {TTFT: timing.ttft_s, ITL: timing.itl_mean_s, DURATION: timing.duration_s}
        )
        keys = observe(
            pair.request.route,
            pair.primary,
            pair.candidate,
            pair.control,
            self._has_control,
            replace(self._limits, tails=tails),
            self._chance.random(),
            pair.request.slices,
        )
        if not keys:
            return  # lost on our side: it stays issued and uncounted
        self._published += 1
        prompt = pair.request.prompt if self._drops_repeats else str(self._published)
        self._count(self._sessions.add(pair.request.route, pair.request.session, prompt, keys, now_s, pair.came_s))

    def judged(self, route: str, cell: str) -> None:
        """Add what a model judge found: later than the pair's other evidence, and an observation by itself."""
        self._counts.add(CELLS, self.rollout, route, "", checks.JUDGE, cell)

    def expire(self, now_s: float) -> None:
        """Publish sessions that have been silent for long."""
        self._count(self._sessions.expire(now_s))

    def close(self) -> None:
        """Publish every open session: this process ends."""
        self._count(self._sessions.close())

    def report(self) -> None:
        """Write what is on its way into the counts."""
        waiting = dict(self.ledger.pending)
        for route, pairs in self._sessions.pending_pairs().items():
            waiting[route] = waiting.get(route, 0) + pairs
        for route in {*waiting, *self._reported}:
            self._counts.set(PAIRS_PENDING, self.rollout, self.candidate, route, to=waiting.get(route, 0))
        self._reported = set(waiting)

    def _count(self, observed: Observed) -> None:
        for key in observed.cells:
            self._counts.add(CELLS, self.rollout, key.route, key.slice, key.check, key.cell)
        for route, pairs in observed.pairs.items():
            self._counts.add(PAIRS_COUNTED, self.rollout, route, by=pairs)
        if observed.units:
            self._counts.add(UNITS, self.rollout, by=observed.units)


def budgets_of(gates: Gates) -> tuple[Budget, ...]:
    """The configured absolute budgets."""
    return tuple(Budget(each.name, each.measure, each.limit, each.share) for each in gates.budgets)


def _ratios(gates: Gates) -> dict[str, Ratio]:
    return {name: Ratio(gate.ratio, gate.cap) for name, gate in (("cost", gates.cost), ("tokens", gates.tokens)) if gate.enabled}
