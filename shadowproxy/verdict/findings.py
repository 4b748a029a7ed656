"""Findings: what the counts of one stratum say about one gate. PURE.

Between ``evidence`` (e-values of a histogram) and ``case`` (all findings of a rollout together).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from shadowproxy.verdict import checks, evidence
from shadowproxy.verdict.gates import GateRule, Role
from shadowproxy.verdict.spacing import all_of, apart_of
from shadowproxy.verdict.wording import count, duration, wording_of


class GateOutcome(StrEnum):
    PASS = "pass"  # noqa: S105 - a word, not a secret
    """Shown to be within the margin."""
    FAIL = "fail"
    """Shown to be beyond the margin, counting that several gates were looked at."""
    INCONCLUSIVE = "inconclusive"
    """Neither, yet. It does not mean that there is no difference."""


@dataclass(frozen=True, slots=True)
class Levels:
    """How sure is sure. ``family`` is the number of findings of the same role: one among many must be that much surer to be named."""

    alpha_promote: float
    alpha_rollback: float
    family: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """What one stratum brought to one check: ``counts`` per cell, crowded ones by their own name, ``lost`` pairs of unknown outcome, and
    the present rate.

    The stratum is a route, or a ``slice`` of all routes. ``role`` is that of the finding, where it is not the gate's own.
    """

    route: str
    counts: Mapping[str, int]
    lost: int = 0
    pairs_per_s: float = 0.0
    slice: str = ""
    role: Role | None = None

    @property
    def n(self) -> int:
        return sum(self.counts.values())


#: One gate, and the counts that it is to judge.
Task = tuple[GateRule, Sample]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the counts of one stratum say about one gate.

    ``n``, ``mean`` and ``counts`` are as observed (``mean`` None without data). ``lower``, ``upper`` and the e-values take every lost
    pair at its worst: as a failure where passing is tested, as a success where failing is. ``pairs_needed`` estimates how many more
    pairs of this stratum a pass takes, None where it will not pass as things are; ``seconds_needed`` the same in time, None also where
    no pairs come. Of ``route`` and ``slice`` one is empty. ``counts_rollback``: the part of the ``counts`` that must show by
    itself, too, what ``lower`` and the rollback e-value say; None where it is all of them (see ``spacing``).
    """

    route: str
    slice: str
    gate: str
    role: Role
    outcome: GateOutcome
    n: int
    mean: float | None
    lower: float
    upper: float
    margin: float
    log10_e_promote: float
    log10_e_rollback: float
    pairs_needed: int | None
    seconds_needed: float | None
    counts: Mapping[str, int]
    counts_rollback: Mapping[str, int] | None
    lost: int
    reason: str

    @property
    def stratum(self) -> str:
        return self.slice or self.route


def judge(tasks: Sequence[Task], levels: Levels) -> tuple[Finding, ...]:
    """A finding for each task, in their order. Cells that the check does not have must have been taken out.

    Tasks whose D takes the same values are computed at once: arithmetic on many histograms costs little more than on one.
    """
    alike: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for at, (rule, _) in enumerate(tasks):
        alike[tuple(sorted({*checks.values_of(rule.check).values(), *rule.support}))].append(at)
    found: dict[int, Finding] = {}
    for values, members in alike.items():
        chosen = [tasks[at] for at in members]
        found |= dict(zip(members, _judge_alike(np.array(values), chosen, levels), strict=True))
    return tuple(found[at] for at in range(len(tasks)))


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What was computed for one task; ``needed`` is infinite where a pass will not come."""

    lower: float
    upper: float
    log_e_promote: float
    log_e_rollback: float
    needed: float


def _judge_alike(values: evidence.Floats, tasks: Sequence[Task], levels: Levels) -> Iterator[Finding]:
    support = (float(values[0]), float(values[-1]))
    column = {value: at for at, value in enumerate(values.tolist())}
    everything, apart = [all_of(sample.counts) for _, sample in tasks], [apart_of(sample.counts) for _, sample in tasks]
    seen = _by_value(column, tasks, everything)
    at_worst, at_best, at_best_apart = seen.copy(), seen.copy(), _by_value(column, tasks, apart)
    unknown = _unknown([sample.lost for _, sample in tasks], everything)
    at_worst[:, -1] += unknown
    at_best[:, 0] += unknown
    at_best_apart[:, 0] += _unknown([_lost_apart(sample, part) for (_, sample), part in zip(tasks, apart, strict=True)], apart)
    margins = np.array([rule.margin for rule, _ in tasks])
    rollback = _at_least(values, at_best, margins, support, levels)
    is_crowded = np.array([part != whole for part, whole in zip(apart, everything, strict=True)])
    if is_crowded.any():
        # Both must show it: what stood alone, and all together.
        of_apart = _at_least(values, at_best_apart[is_crowded], margins[is_crowded], support, levels)
        for found, other in zip(rollback, of_apart, strict=True):
            found[is_crowded] = np.minimum(found[is_crowded], other)
    lower, log_e_rollback = rollback
    columns = (
        lower,
        evidence.bounds(values, at_worst, support, levels.alpha_rollback, levels.alpha_promote)[1],
        evidence.log_e_promote(values, at_worst, margins, support),
        log_e_rollback,
        evidence.pairs_to_promote(values, at_worst, margins, support, levels.alpha_promote),
    )
    totals = seen.sum(axis=-1)
    means = np.where(totals > 0, seen @ values / np.maximum(totals, 1), np.nan)
    for (rule, sample), mean, *numbers in zip(tasks, means.tolist(), *(column.tolist() for column in columns), strict=True):
        yield _finding(rule, sample, levels, None if math.isnan(mean) else mean, _Numbers(*numbers))


def _at_least(
    values: evidence.Floats, counts: evidence.Floats, margins: evidence.Floats, support: evidence.Support, levels: Levels
) -> tuple[evidence.Floats, evidence.Floats]:
    """For each row of ``counts`` the lower bound, and the log e-value of a rollback."""
    lower, _ = evidence.bounds(values, counts, support, levels.alpha_rollback, levels.alpha_promote)
    return lower, evidence.log_e_rollback(values, counts, margins, support)


def _by_value(column: Mapping[float, int], tasks: Sequence[Task], counts: Sequence[Mapping[str, int]]) -> evidence.Floats:
    """How often each value of D was seen, a row for each task."""
    rows = np.zeros((len(tasks), len(column)))
    for row, (rule, _), of_cells in zip(rows, tasks, counts, strict=True):
        labels = checks.values_of(rule.check)
        for cell, n in of_cells.items():
            if cell in labels:
                row[column[labels[cell]]] += n
    return rows


def _unknown(lost: Sequence[int], counts: Sequence[Mapping[str, int]]) -> list[int]:
    """Pairs without a D, for each task."""
    return [n + of_cells.get(checks.UNREPORTED, 0) for n, of_cells in zip(lost, counts, strict=True)]


def _lost_apart(sample: Sample, apart: Mapping[str, int]) -> int:
    """Lost pairs that would have counted for a rollback, if what is lost is like what is not."""
    return math.ceil(sample.lost * sum(apart.values()) / sample.n) if sample.n else sample.lost


def _finding(rule: GateRule, sample: Sample, levels: Levels, mean: float | None, numbers: _Numbers) -> Finding:
    counts, apart = all_of(sample.counts), apart_of(sample.counts)
    needed = int(numbers.needed) if sample.n and math.isfinite(numbers.needed) else None
    finding = Finding(
        route=sample.route,
        slice=sample.slice,
        gate=rule.name,
        role=sample.role or rule.role,
        outcome=_outcome(numbers.log_e_promote, numbers.log_e_rollback, levels),
        n=sample.n,
        mean=mean,
        lower=numbers.lower,
        upper=numbers.upper,
        margin=rule.margin,
        log10_e_promote=numbers.log_e_promote / math.log(10),
        log10_e_rollback=numbers.log_e_rollback / math.log(10),
        pairs_needed=needed,
        seconds_needed=needed / sample.pairs_per_s if needed is not None and sample.pairs_per_s > 0 else None,
        counts=counts,
        counts_rollback=None if apart == counts else apart,
        lost=sample.lost,
        reason="",
    )
    return replace(finding, reason=_say(finding, rule))


def as_failed(finding: Finding, rule: GateRule) -> Finding:
    """The same finding, named as the one that caused a rollback."""
    failed = replace(finding, outcome=GateOutcome.FAIL)
    return replace(failed, reason=_say(failed, rule))


def _outcome(log_e_promote: float, log_e_rollback: float, levels: Levels) -> GateOutcome:
    """Never both: the bounds lie on both sides of the mean."""
    if log_e_promote >= -math.log(levels.alpha_promote):
        return GateOutcome.PASS
    if log_e_rollback >= math.log(levels.family / levels.alpha_rollback):
        return GateOutcome.FAIL
    return GateOutcome.INCONCLUSIVE


def _say(finding: Finding, rule: GateRule) -> str:
    """``candidate fails 12.0 % of requests, primary 0.4 %: at least 8.1 points worse, margin 0.5``."""
    if finding.mean is None:
        return "no pair yet"
    words = wording_of(rule.check)
    lower, upper, margin = words.amount(finding.lower), words.amount(finding.upper), words.amount(rule.margin)
    at_most = (
        f"at most {upper}{words.unit} {words.worse}"
        if finding.upper >= 0
        else f"at least {words.amount(-finding.upper)}{words.unit} better"
    )
    says = {
        GateOutcome.PASS: at_most,
        GateOutcome.FAIL: f"at least {lower}{words.unit} {words.worse}",
        GateOutcome.INCONCLUSIVE: f"between {lower} and {upper}{words.unit} {words.worse}",
    }
    needed = _say_needed(finding) if finding.outcome is GateOutcome.INCONCLUSIVE and finding.role is Role.GUARD else ""
    return f"{words.shown(finding.counts, finding.mean)}: {says[finding.outcome]}, margin {margin}{needed}"


def _say_needed(finding: Finding) -> str:
    if finding.pairs_needed is None:
        return "; will not pass as things are"
    in_time = f" ({duration(finding.seconds_needed)})" if finding.seconds_needed is not None else ""
    return f"; about {count(finding.pairs_needed)} more pairs{in_time}"
