"""The case of one rollout: its counts by stratum, what every gate finds in them, and what has to be said beside it. PURE.

Between ``findings`` (one gate on some strata) and ``decision`` (the table that makes a verdict of a case).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from shadowproxy.verdict import checks
from shadowproxy.verdict.book import Book, Losses, Stratum
from shadowproxy.verdict.cells import Cells
from shadowproxy.verdict.findings import Finding, Levels, Sample, judge
from shadowproxy.verdict.gates import GateRule, Role, gate_rules
from shadowproxy.verdict.reasons import Reason
from shadowproxy.verdict.splits import Split
from shadowproxy.verdict.strata import MIN_SHARE
from shadowproxy.verdict.wording import count

#: Pairs of a stratum without one value of a check, after which the check is taken not to apply there (similarity of embeddings,
#: say). Until then silence holds. 1000 is five times the pairs over which the TTFT limit is measured by default.
UNMEASURED_AFTER = 1000

#: Mean similarity of the primary to itself from which on a note is made: at temperature 0 a margin of 0.02 asks for the same words.
_VERBATIM = 0.99


class OnTimeout(StrEnum):
    """What becomes of a rollout that is still undecided at its end."""

    HOLD = "hold"
    ROLLBACK = "rollback"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Rules:
    """When evidence becomes a verdict. Meaning and reasons of the defaults: the ``verdict`` section of the configuration.

    ``max_unresolved`` is a fraction of the issued pairs, ``min_share`` the share of pairs from which on a route or slice is judged on its
    own. ``min_sessions`` and ``min_hours`` are asked for only where :class:`Evidence` knows them. The end of a rollout is ``max_pairs``, or
    ``max_age_s`` where that is given. ``attempt`` counts the rollouts of one and the same candidate, from 1; None promises
    both error rates for each rollout by itself.
    """

    alpha_promote: float = 0.05
    alpha_rollback: float = 0.05
    min_pairs: int = 100
    soak_s: float = 1800.0
    max_pairs: int = 50_000
    max_unresolved: float = 0.01
    gates: tuple[GateRule, ...] = field(default_factory=gate_rules)
    min_share: float = MIN_SHARE
    min_sessions: int = 30
    min_hours: int = 0
    max_age_s: float | None = None
    on_timeout: OnTimeout = OnTimeout.HOLD
    attempt: int | None = None

    def __post_init__(self) -> None:
        if not (0 < self.alpha_promote < 1 and 0 < self.alpha_rollback < 1):
            raise ValueError("alpha_promote and alpha_rollback must be in (0, 1)")
        if not any(rule.role is Role.GUARD for rule in self.gates):
            raise ValueError("no gate guards: every candidate would be promoted")
        if self.attempt is not None and self.attempt < 1:
            raise ValueError(f"attempts are counted from 1, not {self.attempt}")

    @property
    def levels(self) -> Levels:
        """The error rates of this attempt."""
        return Levels(spent(self.alpha_promote, self.attempt), spent(self.alpha_rollback, self.attempt))


def spent(alpha: float, attempt: int | None) -> float:
    """What of ``alpha`` the ``attempt``-th try of one candidate may use: alpha 6/(pi k)^2, which adds up to alpha over all tries.

    Without that, a bad candidate would only have to be tried often enough.
    """
    return alpha if attempt is None else alpha * 6 / (math.pi * attempt) ** 2


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is known about one rollout at one moment.

    ``issued`` counts the candidate's pairs that were decided on, ``unresolved`` those lost on our side. ``unresolved_by_route`` says where,
    as far as it is known; what it leaves open may have been lost anywhere and counts in every stratum; ``unresolved_by_slice``
    likewise. ``age_s`` is the time since the first pair, ``pairs_per_s`` the present rate over all routes. ``state_gap`` is True where
    counts were lost or went backwards. ``sessions`` and ``hours`` count distinct sessions and clock hours with pairs; None where nobody
    counts them. ``splits`` are the shares that must come out as configured.
    """

    cells: Cells
    issued: int
    unresolved: int
    age_s: float
    pairs_per_s: float
    has_control: bool
    state_gap: bool = False
    unresolved_by_route: Mapping[str, int] = field(default_factory=dict)
    unresolved_by_slice: Mapping[str, int] = field(default_factory=dict)
    sessions: int | None = None
    hours: int | None = None
    splits: tuple[Split, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A rollout's findings by role, and the notes that go with any verdict.

    ``pairs`` counts judged pairs over all routes, ``strata`` the routes and slices that are judged on their own.
    """

    rules: Rules
    evidence: Evidence
    guards: tuple[Finding, ...]
    watched: tuple[Finding, ...]
    controls: tuple[Finding, ...]
    notes: tuple[Reason, ...]
    pairs: int
    strata: int

    @property
    def suspects(self) -> tuple[Finding, ...]:
        """Everything that can cause a rollback."""
        return self.guards + self.watched

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.suspects + self.controls

    def rule(self, finding: Finding) -> GateRule:
        return next(rule for rule in self.rules.gates if rule.name == finding.gate)

    def say(self, code: str, finding: Finding, text: str, **numbers: float) -> Reason:
        """A reason about one finding; the stratum is named where there is more than one."""
        where = f"{finding.stratum}, {finding.gate}: " if self.strata > 1 else f"{finding.gate}: "
        seen = {"mean": finding.mean} if finding.mean is not None else {}
        shown = {**seen, "n": finding.n, "lower": finding.lower, "upper": finding.upper, "margin": finding.margin}
        return Reason(code, where + text, {**shown, **numbers}, finding.route, finding.gate, finding.slice)


def open_case(rules: Rules, evidence: Evidence) -> Case:
    """Judge every gate in force on every stratum."""
    losses = Losses(evidence.unresolved, evidence.unresolved_by_route, evidence.unresolved_by_slice)
    book = Book.of(evidence.cells, losses, evidence.pairs_per_s, rules.min_share)
    in_force = [rule for rule in rules.gates if rule.is_in_force(evidence.has_control)]
    assigned = {rule: _assign(rule, book, rules.min_share) for rule in in_force}
    notes = (*_notes_without_control(rules, evidence), *_notes_on_measuring(assigned, book), *_note_noise_floor(rules, evidence, book))
    suspects = _judged(rules, assigned, are_controls=False)
    return Case(
        rules=rules,
        evidence=evidence,
        guards=tuple(each for each in suspects if each.role is Role.GUARD),
        watched=tuple(each for each in suspects if each.role is Role.WATCH),
        controls=_judged(rules, assigned, are_controls=True),
        notes=(*notes, *_note_unknown(evidence.cells)),
        pairs=book.pairs,
        strata=len(book.sizes),
    )


def _judged(rules: Rules, assigned: Mapping[GateRule, _Assigned], *, are_controls: bool) -> tuple[Finding, ...]:
    chosen = [
        (rule, sample) for rule, each in assigned.items() if (rule.role is Role.NEGATIVE_CONTROL) is are_controls for sample in each.samples
    ]
    return judge(chosen, replace(rules.levels, family=len(chosen)))


# --- which gate judges which stratum -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Assigned:
    """The samples that one gate is to judge; the strata where it was ``unseen``, and those where it is seen too ``seldom`` to guard."""

    samples: tuple[Sample, ...]
    unseen: tuple[Stratum, ...]
    seldom: tuple[Stratum, ...]


def _assign(rule: GateRule, book: Book, min_share: float) -> _Assigned:
    is_measured = any(book.seen(stratum, rule.check) for stratum in book.sizes)
    role_in = _role_when_seen if rule.when_seen else _role_always
    strata = [each for each in book.strata if not (each.slice and rule.role is Role.NEGATIVE_CONTROL)]
    if not strata and not rule.when_seen:
        strata = [Stratum("")]
    roles = {stratum: role_in(rule, stratum, book, min_share, is_measured) for stratum in strata}
    return _Assigned(
        tuple(_sample(rule, stratum, role, book) for stratum, role in roles.items() if role is not None),
        tuple(stratum for stratum, role in roles.items() if role is None),
        tuple(stratum for stratum, role in roles.items() if role is Role.WATCH),
    )


def _sample(rule: GateRule, stratum: Stratum, role: Role, book: Book) -> Sample:
    counts, rate = book.counts(stratum, rule.check), book.rate(stratum, rule.check)
    return Sample(stratum.route, counts, _lost(rule, stratum, book), rate, stratum.slice, role)


def _lost(rule: GateRule, stratum: Stratum, book: Book) -> int:
    """How many lost pairs this gate takes at their worst: all of the stratum, for what every pair is asked.

    A gate that guards where it is seen takes as many as would have been seen, if what is lost is like what is not: else a few lost pairs
    would weigh twenty times as much against the JSON that one request in twenty asks for. Lost copies of the candidate say nothing
    about the control; leaving them out keeps the alarm on our instrument sharp.
    """
    lost = book.lost.get(stratum, 0)
    if rule.role is Role.NEGATIVE_CONTROL or not lost:
        return 0
    return math.ceil(lost * book.seen(stratum, rule.check) / book.sizes[stratum]) if rule.when_seen else lost


def _role_always(rule: GateRule, stratum: Stratum, book: Book, _min_share: float, is_measured: bool) -> Role | None:
    """A gate that was never measured anywhere is judged on nothing, and silence holds; elsewhere it may find nothing to measure."""
    is_silent = not book.seen(stratum, rule.check)
    return None if is_silent and is_measured and book.sizes.get(stratum, 0) >= UNMEASURED_AFTER else rule.role


def _role_when_seen(rule: GateRule, stratum: Stratum, book: Book, min_share: float, _is_measured: bool) -> Role | None:
    """Guards where the check is seen in at least ``min_share`` of the pairs, like a route that stands alone from that share on.

    Whether it is seen depends on requests and on both answers, but a candidate can only raise it, by giving more to judge.
    """
    seen = book.seen(stratum, rule.check)
    if not seen:
        return None
    return Role.GUARD if seen >= min_share * book.sizes[stratum] else Role.WATCH


# --- notes ----------------------------------------------------------------------------------------------------------------


def _notes_without_control(rules: Rules, evidence: Evidence) -> Iterator[Reason]:
    idle = [rule for rule in rules.gates if rule.role is Role.GUARD and rule.needs_control and not rule.is_in_force(evidence.has_control)]
    if idle:
        names = ", ".join(rule.name for rule in idle)
        yield Reason("no_control", f"without a control arm the noise floor is unknown; fixed thresholds judge instead: {names}")


def _notes_on_measuring(assigned: Mapping[GateRule, _Assigned], book: Book) -> Iterator[Reason]:
    """Gates that find nothing to measure, one note for those of the same strata; and those seen too seldom to hold anything back.

    That a slice without tools has no tool calls is not worth saying.
    """
    silent: dict[tuple[Stratum, ...], list[str]] = defaultdict(list)
    for rule, each in assigned.items():
        strata = tuple(stratum for stratum in each.unseen if not (stratum.slice and rule.when_seen))
        if strata and rule.role is Role.GUARD:
            silent[strata].append(rule.name)
    for strata, names in silent.items():
        yield _note_unmeasured(names, strata, sum(book.sizes[stratum] for stratum in strata))
    for rule, each in assigned.items():
        for stratum in each.seldom:
            yield _note_seldom(rule, stratum, book)


def _note_unmeasured(names: Sequence[str], strata: Sequence[Stratum], pairs: int) -> Reason:
    shown = ", ".join(stratum.label for stratum in strata[:5]) + (" …" if len(strata) > 5 else "")
    text = f"{shown}: nothing to measure in {count(pairs)} {'pair' if pairs == 1 else 'pairs'} for {', '.join(names)}; no guard there"
    only = strata[0] if len(strata) == 1 else Stratum("")
    return Reason("unmeasured", text, {"pairs": pairs}, only.route, names[0] if len(names) == 1 else "", only.slice)


def _note_seldom(rule: GateRule, stratum: Stratum, book: Book) -> Reason:
    seen, pairs = book.seen(stratum, rule.check), book.sizes[stratum]
    text = f"{stratum.label}, {rule.name}: seen in {count(seen)} of {count(pairs)} pairs; can roll back, does not hold back"
    return Reason("seldom", text, {"seen": seen, "pairs": pairs}, stratum.route, rule.name, stratum.slice)


def _note_noise_floor(rules: Rules, evidence: Evidence, book: Book) -> Iterator[Reason]:
    counts = book.total(checks.NOISE_FLOOR)
    n = sum(counts.values())
    margin = next((rule.margin for rule in rules.gates if rule.check == checks.SIMILARITY), None)
    if margin is None or not evidence.has_control or n < rules.min_pairs:
        return
    mean = 1 - sum(checks.value_of(checks.NOISE_FLOOR, cell) * seen for cell, seen in counts.items()) / n
    if mean > _VERBATIM:
        text = f"the primary is {mean:.3f} similar to itself: a margin of {margin:g} asks the candidate for nearly the same words"
        yield Reason("noise_floor", text, {"similarity": mean, "margin": margin}, gate="similarity")


def _note_unknown(cells: Cells) -> Iterable[Reason]:
    unknown = sorted({f"{key.check}/{key.cell}" for key in cells if not key.is_known})
    if unknown:
        shown = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
        yield Reason("unknown_cells", f"counts of unknown cells are left out: {shown}", {"cells": len(unknown)})
