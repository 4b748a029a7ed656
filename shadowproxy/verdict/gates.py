"""Gates: a margin on the mean of one check's paired difference, and what the counts say about it. PURE.

Between ``evidence`` (e-values of a histogram) and ``decision`` (all findings together). What gates exist is a table: a new
gate is a row in :data:`_TEMPLATES`, a check in ``cells`` and its words in ``wording``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from shadowproxy.verdict import cells, evidence
from shadowproxy.verdict.wording import WORDINGS, count, duration


class Role(StrEnum):
    """What a gate's findings are for."""

    GUARD = "guard"
    """Judges the candidate: must pass for a promotion, and can cause a rollback."""
    NEGATIVE_CONTROL = "negative_control"
    """Judges our own instrument: where it fails nothing else can be believed."""


class GateOutcome(StrEnum):
    PASS = "pass"  # noqa: S105 - a word, not a secret
    """Shown to be within the margin."""
    FAIL = "fail"
    """Shown to be beyond the margin, counting that several gates were looked at."""
    INCONCLUSIVE = "inconclusive"
    """Neither, yet. It does not mean that there is no difference."""


@dataclass(frozen=True, slots=True)
class GateRule:
    """A rule on one check: H0 of promotion is E[D] >= ``margin``, H0 of rollback is E[D] <= ``margin``.

    ``support`` is the closed range of D. A rule that ``needs_control`` is in force only with a control arm; one that ``stands_in_for``
    another only where that other one cannot be, for want of control.
    """

    name: str
    check: str
    margin: float
    support: evidence.Support
    needs_control: bool = False
    stands_in_for: str = ""
    role: Role = Role.GUARD

    def __post_init__(self) -> None:
        if self.check not in cells.CHECKS:
            raise ValueError(f"gate {self.name}: check {self.check!r} is not one of {', '.join(cells.CHECKS)}")
        low, high = self.support
        if not low < self.margin < high:
            raise ValueError(f"gate {self.name}: margin {self.margin} is not inside the range {low}..{high} of the difference")
        if not all(low <= value <= high for value in cells.CHECKS[self.check].values()):
            raise ValueError(f"gate {self.name}: check {self.check!r} has values outside the range {low}..{high}")

    def is_in_force(self, has_control: bool) -> bool:
        if self.stands_in_for:
            return not has_control
        return has_control or not self.needs_control


_SIGNED: evidence.Support = (-1.0, 1.0)
_UNIT: evidence.Support = (0.0, 1.0)

#: Every gate there is, with its default margin. See ``cells`` for what each check measures.
_TEMPLATES: tuple[GateRule, ...] = (
    GateRule("error", cells.ERROR, 0.005, _SIGNED),
    GateRule("similarity", cells.SIMILARITY, 0.02, _SIGNED, needs_control=True),
    GateRule("similarity_absolute", cells.SIMILARITY_ABSOLUTE, 0.2, _UNIT, stands_in_for="similarity"),
    GateRule("ttft", cells.TTFT_TAIL, 0.0, _SIGNED),
    GateRule("aa_error", cells.AA_ERROR, 0.005, _SIGNED, needs_control=True, role=Role.NEGATIVE_CONTROL),
    GateRule("aa_ttft", cells.AA_TTFT, 0.0, _SIGNED, needs_control=True, role=Role.NEGATIVE_CONTROL),
)

#: Names of the gates that guard.
GATE_NAMES: tuple[str, ...] = tuple(rule.name for rule in _TEMPLATES if rule.role is Role.GUARD)


def rules(
    error_margin: float | None = 0.005,
    similarity_margin: float | None = 0.02,
    min_similarity: float = 0.8,
    ttft_margin: float | None = 0.0,
) -> tuple[GateRule, ...]:
    """The rules with these margins; None switches a gate off.

    ``min_similarity`` is the mean similarity that must be shown where there is no control arm. A negative control has the margin of
    its gate: an instrument that is off by less cannot cause that gate's failure. Raises :class:`ValueError` for a margin outside its range.
    """
    margins = {
        "error": error_margin,
        "similarity": similarity_margin,
        "similarity_absolute": None if similarity_margin is None else 1 - min_similarity,
        "ttft": ttft_margin,
        "aa_error": error_margin,
        "aa_ttft": ttft_margin,
    }
    return tuple(replace(rule, margin=margin) for rule in _TEMPLATES if (margin := margins[rule.name]) is not None)


@dataclass(frozen=True, slots=True)
class Levels:
    """How sure is sure. ``family`` is the number of findings of the same role: one among many must be that much surer to be named."""

    alpha_promote: float
    alpha_rollback: float
    family: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """What one stratum brought to one check: ``counts`` per cell, ``lost`` pairs of unknown outcome, and the present rate."""

    route: str
    counts: Mapping[str, int]
    lost: int = 0
    pairs_per_s: float = 0.0

    @property
    def n(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Finding:
    """What the counts of one stratum say about one gate.

    ``n``, ``mean`` and ``counts`` are as observed (``mean`` None without data). ``lower``, ``upper`` and the e-values take every lost
    pair at its worst: as a failure where passing is tested, as a success where failing is. ``pairs_needed`` estimates how many more
    pairs of this stratum a pass takes, None where it will not pass as things are; ``seconds_needed`` the same in time, None also where
    no pairs come.
    """

    route: str
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
    lost: int
    reason: str


def judge(rule: GateRule, sample: Sample, levels: Levels) -> Finding:
    """One gate on one stratum. Cells that the check does not have must have been taken out."""
    low, high = rule.support
    values = [*cells.CHECKS[rule.check].values(), low, high]
    counted = [sample.counts.get(cell, 0) for cell in cells.CHECKS[rule.check]]
    at_best, at_worst = [*counted, sample.lost, 0], [*counted, 0, sample.lost]
    log_e_promote = float(evidence.log_e_promote(values, at_worst, rule.margin, rule.support))
    log_e_rollback = float(evidence.log_e_rollback(values, at_best, rule.margin, rule.support))
    lower, _ = evidence.bounds(values, at_best, rule.support, levels.alpha_rollback, levels.alpha_promote)
    _, upper = evidence.bounds(values, at_worst, rule.support, levels.alpha_rollback, levels.alpha_promote)
    n = sample.n
    needed = evidence.pairs_to_promote(values, at_worst, rule.margin, rule.support, levels.alpha_promote) if n else None
    finding = Finding(
        route=sample.route,
        gate=rule.name,
        role=rule.role,
        outcome=_outcome(log_e_promote, log_e_rollback, levels),
        n=n,
        mean=evidence.mean_and_variance(values, [*counted, 0, 0])[0] if n else None,
        lower=lower,
        upper=upper,
        margin=rule.margin,
        log10_e_promote=log_e_promote / math.log(10),
        log10_e_rollback=log_e_rollback / math.log(10),
        pairs_needed=needed,
        seconds_needed=needed / sample.pairs_per_s if needed is not None and sample.pairs_per_s > 0 else None,
        counts=dict(sample.counts),
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
    words = WORDINGS[rule.check]
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
