"""How many pairs a decision will take, before the first is seen: by formula, without simulation. PURE.

Uses ``gates`` and ``evidence``. A plan starts from the *law* of D of a candidate that equals the primary (how the primary differs from
itself, from an earlier rollout, from a journal, or from two askings of a hundred prompts) and asks what the promotion of such a candidate
takes, and the rollback of one that is worse by a given loss.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from shadowproxy.verdict import checks, evidence
from shadowproxy.verdict.gates import GateRule

#: Cell → chance of seeing it.
Law = Mapping[str, float]

#: The slowest tenth of rollouts takes about this many times the planned pairs: what fits simulations of every kind of gate within a sixth.
_P90 = 1.7

#: Median pairs at alpha = 0.05 are about this many times 2 variance / gap^2; the same simulations.
_RULE_OF_THUMB = 5.0

#: A gap below this is a rounding error: the mean is on the margin.
_NO_GAP = 1e-9


def law_of_counts(counts: Mapping[str, int]) -> Law:
    """The law that was seen. Raises :class:`ValueError` where nothing was."""
    total = sum(counts.values())
    if total <= 0:
        raise ValueError("nothing was counted: there is no law")
    return {cell: n / total for cell, n in counts.items()}


def law_of_mismatch(share: float) -> Law:
    """Yes/no checks on two sides: in ``share`` of the pairs exactly one side is at fault, each equally often.

    Errors of a rate p on both sides, independent: 2 p (1 - p). Its variance is ``share``.
    """
    return {checks.CANDIDATE_ONLY: share / 2, checks.REFERENCE_ONLY: share / 2, checks.BOTH_OK: 1 - share}


def law_of_rate(rate: float) -> Law:
    """Yes/no checks on the candidate alone, and budgets: at fault in ``rate`` of the pairs."""
    return {checks.BAD: rate, checks.OK: 1 - rate}


def law_of_spread(sd: float, mean: float = 0.0) -> Law:
    """Checks on the grid: D is ``sd`` above or below its ``mean``, equally often, with the rounding to the grid that counting adds."""
    law: dict[str, float] = defaultdict(float)
    for value in (mean - sd, mean + sd):
        for cell, chance in _rounded(value).items():
            law[cell] += chance / 2
    return dict(law)


def worsened(check: str, law: Law, loss: float) -> Law:
    """The law of a candidate whose D is larger by ``loss`` on average."""
    return _worsen_of(check)(law, loss)


def greatest_loss(check: str, law: Law) -> float:
    """How much worse than this law a candidate can be: all that is good in it gone bad; on a scale, to its end."""
    values = checks.values_of(check)
    if values is checks.TRINOMIAL:
        return law.get(checks.BOTH_OK, 0.0)
    if values is checks.BINARY:
        return law.get(checks.OK, 0.0)
    return max(values.values()) - sum(values[cell] * chance for cell, chance in law.items())


def _worsen_of(check: str) -> Callable[[Law, float], Law]:
    values = checks.values_of(check)
    if values is checks.TRINOMIAL:
        return lambda law, loss: _moved(law, loss, checks.BOTH_OK, checks.CANDIDATE_ONLY)
    if values is checks.BINARY:
        return lambda law, loss: _moved(law, loss, checks.OK, checks.BAD)
    return lambda law, loss: _shifted(check, law, loss)


def _moved(law: Law, loss: float, good: str, bad: str) -> Law:
    if loss > law.get(good, 0.0):
        raise ValueError(f"a loss of {loss} is more than the {law.get(good, 0.0):g} of the pairs that are good")
    return {**law, good: law[good] - loss, bad: law.get(bad, 0.0) + loss}


def _shifted(check: str, law: Law, loss: float) -> Law:
    moved: dict[str, float] = defaultdict(float)
    for cell, chance in law.items():
        for neighbour, part in _rounded(checks.value_of(check, cell) + loss).items():
            moved[neighbour] += chance * part
    return dict(moved)


def _rounded(value: float) -> Law:
    """The two neighbours of a value on the grid, with the chances of stochastic rounding."""
    above, below = checks.grid_cell(value, 0.0), checks.grid_cell(value, 1 - 2**-53)
    high, low = checks.GRID[above], checks.GRID[below]
    chance = (min(max(value, -1.0), 1.0) - low) / (high - low) if high > low else 1.0
    return {above: chance, below: 1 - chance} if high > low else {above: 1.0}


@dataclass(frozen=True, slots=True)
class Plan:
    """About what one gate takes, in pairs; None where it will never be decided.

    Plain figures are where the expected wealth arrives: the median rollout needs that much or up to a third less. ``_p90``: nine of
    ten need no more. ``rule_of_thumb`` is ``to_promote`` from the variance alone, to be checked with a pocket calculator.
    """

    gate: str
    margin: float
    mean: float
    variance: float
    to_promote: int | None
    to_promote_p90: int | None
    rule_of_thumb: int | None
    loss: float
    to_roll_back: int | None
    to_roll_back_p90: int | None


def plan(rule: GateRule, law: Law, loss: float, alpha_promote: float = 0.05, alpha_rollback: float = 0.05, cells: int = 1) -> Plan:
    """What a candidate with this ``law`` needs to be promoted by ``rule``, and one that is worse by ``loss`` to be rolled back.

    ``cells`` is the number of (gate, stratum) that are judged: a rollback takes their mean e-value, so one that is bad among many must
    bring the evidence of all. A promotion is not held up by their number, but by the slowest of them. Raises :class:`ValueError` for cells
    the check does not have, and for a loss that the law has no room for.
    """
    values, chances = _histogram(rule, law)
    worse_values, worse_chances = _histogram(rule, worsened(rule.check, law, loss))
    mean, variance = evidence.mean_and_variance(values, chances)
    to_promote = _pairs(evidence.pairs_planned(values, chances, rule.margin, rule.support, alpha_promote))
    to_roll_back = _pairs(
        evidence.pairs_planned_to_roll_back(worse_values, worse_chances, rule.margin, rule.support, alpha_rollback / cells)
    )
    return Plan(
        gate=rule.name,
        margin=rule.margin,
        mean=mean,
        variance=variance,
        to_promote=to_promote,
        to_promote_p90=_slow(to_promote),
        rule_of_thumb=rule_of_thumb(variance, rule.margin - mean, alpha_promote),
        loss=loss,
        to_roll_back=to_roll_back,
        to_roll_back_p90=_slow(to_roll_back),
    )


def rule_of_thumb(variance: float, gap: float, alpha: float = 0.05) -> int | None:
    """Median pairs to show that a mean is ``gap`` better than the margin: 5 x 2 variance / gap^2 at alpha = 0.05. None at no gap."""
    if gap <= _NO_GAP:
        return None
    return math.ceil(_RULE_OF_THUMB * 2 * variance / gap**2 * math.log(alpha) / math.log(0.05))


def seconds_for(pairs: int | None, pairs_per_s: float) -> float | None:
    """How long so many pairs take; None where they never come."""
    return None if pairs is None or pairs_per_s <= 0 else pairs / pairs_per_s


def _histogram(rule: GateRule, law: Law) -> tuple[evidence.Floats, evidence.Floats]:
    known = checks.values_of(rule.check)
    if strange := sorted(set(law) - set(known)):
        raise ValueError(f"check {rule.check} has no cell {strange[0]!r}")
    return np.array([known[cell] for cell in law]), np.array(list(law.values()))


def _pairs(planned: evidence.Floats) -> int | None:
    return int(planned) if np.isfinite(planned) else None


def _slow(pairs: int | None) -> int | None:
    return None if pairs is None else math.ceil(_P90 * pairs)
