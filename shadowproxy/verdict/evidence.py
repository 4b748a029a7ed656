"""Counts → e-values: how strongly the pairs seen so far speak against "at or beyond the margin" and against "within it". PURE.

Between ``cells`` (how often each value of D was seen) and ``gates`` (what that means for one rule).

The method is a betting martingale with fixed bets, mixed: 24 gamblers each stake the same fraction of their wealth on every pair
against the null hypothesis, and the evidence is their mean wealth. Under the null E[D | past] >= m every factor
1 + lambda (m - D) has conditional mean <= 1 and is positive, so the mean wealth is a non-negative supermartingale that starts at 1,
and the chance that it *ever* reaches 1/alpha is at most alpha (Ville 1939), however often anyone looks. No sample size is too small
and no event too rare for that. (Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting, JRSS-B 86, 2024.)

Fixed bets, rather than bets that learn, because then the wealth depends on the *counts* per value alone: replicas merge by adding,
in any order, and a restart loses nothing that was counted. It costs some pairs; the mixture over 24 bets keeps that small.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Support = tuple[float, float]

#: Fractions of the largest bet that cannot ruin, the same weight each. The best bet is about gap / (variance + gap^2): small for
#: differences that take ten thousand pairs to see, near 1 for a candidate that is down, which must be seen within ten. Neighbours differ by
#: a quarter, so some gambler always bets nearly right.
#: The smallest sets what is never decided: a gap below about 0.0025 variance / (b - m), far inside any useful margin.
FRACTIONS: Floats = np.geomspace(0.005, 0.99, 24)
FRACTIONS.setflags(write=False)

#: Width at which the search for a bound stops: a hundredth of the last digit that is printed. Decisions use the e-value at the margin.
RESOLUTION = 1e-6

#: Pairs put at each end of the support when the future is guessed. Without it ten equal pairs would promise that no difference
#: ever comes; with a whole pair at each end the guess stays three times longer through the first hundred pairs.
PRIOR = 0.25

#: Growth per pair that may be a rounding error of arithmetic: what grows by less is on its margin.
_ROUNDING = 1e-12


def log_e_promote(values: ArrayLike, counts: ArrayLike, margin: ArrayLike, support: Support = (-1.0, 1.0)) -> Floats:
    """Natural log of the e-value against "E[D | past] >= margin always": large means *shown to be better than the margin*.

    ``values`` (B) are the values D can take, within ``support`` = (a, b); ``counts`` (..., B) how often each was seen; a < margin < b.
    Leading axes of ``counts`` are kept, so a whole history is scored in one call, as are many gates where ``margin`` has those axes
    too; a single histogram gives a 0-d array.
    """
    seen_values, seen = _checked(values, counts, support)
    return _log_mean_exp(_wealth(seen_values, seen, _checked_margin(margin, support), support[1]))


def log_e_rollback(values: ArrayLike, counts: ArrayLike, margin: ArrayLike, support: Support = (-1.0, 1.0)) -> Floats:
    """Natural log of the e-value against "E[D | past] <= margin always": large means *shown to be worse than the margin*.

    The same bet in the mirror: D is worse than m exactly where -D is better than -m.
    """
    return log_e_promote(*_mirrored(values, counts, margin, support))


def bounds(values: ArrayLike, counts: ArrayLike, support: Support, alpha_lower: float, alpha_upper: float) -> tuple[Floats, Floats]:
    """Confidence sequence for the mean of D: (lower, upper), each one-sided at its own alpha and valid at all times at once.

    ``upper`` is the smallest margin whose promote e-value reaches 1/alpha_upper, so upper < margin and "promote" are one statement;
    ``lower`` likewise with rollback. Without data they are the ends of the support. Both are rounded outwards by up to ``RESOLUTION``.
    Leading axes of ``counts`` are kept: many histograms cost little more than one.
    """
    seen_values, seen = _checked(values, counts, support)
    low, high = support
    return -_upper(-seen_values, seen, (-high, -low), alpha_lower), _upper(seen_values, seen, support, alpha_upper)


def mean_and_variance(values: ArrayLike, counts: ArrayLike) -> tuple[float, float]:
    """Mean and (population) variance of D. Raises :class:`ValueError` where nothing was counted."""
    seen_values, seen = np.asarray(values, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    total = float(seen.sum())
    if total <= 0:
        raise ValueError("nothing was counted: there is no mean")
    mean = float(seen @ seen_values) / total
    return mean, float(seen @ (seen_values - mean) ** 2) / total


def pairs_to_promote(
    values: ArrayLike, counts: ArrayLike, margin: ArrayLike, support: Support, alpha: float, prior: float = PRIOR
) -> Floats:
    """About how many more pairs until the promote e-value reaches 1/alpha, if the future looks like the past.

    Future pairs are taken to come in the proportions seen so far, plus ``prior`` pairs at each end of the support. Infinite where that
    never gets there: the mean is at or beyond the margin, or nothing was counted. An estimate for people; no decision rests on it.
    """
    seen_values, seen = _checked(values, counts, support)
    margins = _checked_margin(margin, support)
    total = seen.sum(axis=-1)
    wealth = _wealth(seen_values, seen, margins, support[1])
    ends = _wealth(np.array(support), np.full(2, prior), margins, support[1])
    growth = (wealth + ends) / np.maximum(total + 2 * prior, 1e-9)[..., None]
    needed = _first_reaching(wealth, growth, math.log(1 / alpha))
    return np.where((total > 0) & (seen @ seen_values < margins * total), needed, np.inf)


def pairs_planned(values: ArrayLike, law: ArrayLike, margin: float, support: Support, alpha: float) -> Floats:
    """About how many pairs a promotion takes where D takes ``values`` with the chances ``law``; infinite where it will not come.

    The first n at which the wealth that is expected (in the logarithm) reaches 1/alpha; the median of rollouts is up to a third lower.
    """
    seen_values, chances = _checked(values, law, support)
    growth = _wealth(seen_values, chances, _checked_margin(margin, support), support[1])
    return _first_reaching(np.zeros_like(growth), growth, math.log(1 / alpha))


def pairs_planned_to_roll_back(values: ArrayLike, law: ArrayLike, margin: float, support: Support, alpha: float) -> Floats:
    """The same for a rollback."""
    mirrored_values, chances, mirrored_margin, mirrored_support = _mirrored(values, law, margin, support)
    return pairs_planned(mirrored_values, chances, float(mirrored_margin), mirrored_support, alpha)


def _mirrored(values: ArrayLike, counts: ArrayLike, margin: ArrayLike, support: Support) -> tuple[Floats, ArrayLike, Floats, Support]:
    return -np.asarray(values, dtype=np.float64), counts, -np.asarray(margin, dtype=np.float64), (-support[1], -support[0])


def _first_reaching(wealth: Floats, growth: Floats, target: float) -> Floats:
    """Smallest whole t >= 0 with log-mean-exp(wealth + t growth) >= target, over the last axis; infinite where no gambler gains.

    The left side is convex in t, so from below the target it crosses at most once, and bisection finds that crossing.
    """
    is_there = _log_mean_exp(wealth) >= target
    rising = growth > _ROUNDING
    # One gambler alone reaches the target here at the latest; the mean of all is never behind 1/24 of the best.
    alone = np.where(rising, (target + math.log(len(FRACTIONS)) - wealth) / np.where(rising, growth, 1.0), np.inf).min(axis=-1)
    can_reach = np.isfinite(alone)
    low, high = np.zeros(alone.shape), np.ceil(np.where(can_reach, np.maximum(alone, 0.0), 0.0)) + 1
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        has_reached = _log_mean_exp(wealth + middle[..., None] * growth) >= target
        is_open = high - low > 1
        low, high = np.where(is_open & ~has_reached, middle, low), np.where(is_open & has_reached, middle, high)
    return np.where(is_there, 0.0, np.where(can_reach, high, np.inf))


def _upper(values: Floats, counts: Floats, support: Support, alpha: float) -> Floats:
    """Smallest margin that is shown to be beaten, rounded up; of every histogram at once, by bisection.

    The e-value grows with the margin, and is <= 1 at the mean (Jensen), so the mean is a lower end. The upper end itself is not asked.
    """
    target = math.log(1 / alpha)
    total = counts.sum(axis=-1)
    is_seen = counts.reshape(-1, counts.shape[-1]).any(axis=0)
    values, counts = values[is_seen], counts[..., is_seen]
    low, high = np.where(total > 0, counts @ values / np.maximum(total, 1), support[1]), np.full(total.shape, support[1])
    for _ in range(math.ceil(math.log2((support[1] - support[0]) / RESOLUTION))):
        # A little below the end, where the bets have no limit; a bound that near the end is rounded up to it.
        middle = np.minimum((low + high) / 2, support[1] - RESOLUTION / 4)
        is_beaten = _log_mean_exp(_wealth(values, counts, middle, support[1])) >= target
        low, high = np.where(is_beaten, low, middle), np.where(is_beaten, middle, high)
    return high


def _wealth(values: Floats, counts: Floats, margin: Floats, high: float) -> Floats:
    """Log wealth of each gambler: sum over the values of count x log(1 + lambda_k (margin - value)), shape (..., 24).

    lambda_k = fraction_k / (b - margin), so that the worst value leaves 1 - fraction_k of the wealth.
    """
    stakes = np.multiply.outer((margin[..., None] - values) / (high - margin)[..., None], FRACTIONS)
    factors = np.log1p(stakes)
    return np.asarray(counts @ factors if margin.ndim == 0 else (counts[..., None, :] @ factors)[..., 0, :])


def _log_mean_exp(wealth: Floats) -> Floats:
    """log of the mean wealth over the last axis, without leaving the logarithm: wealth overflows after some thousand pairs."""
    top = wealth.max(axis=-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.exp(wealth - top).sum(axis=-1) / len(FRACTIONS)))


def _checked(values: ArrayLike, counts: ArrayLike, support: Support) -> tuple[Floats, Floats]:
    seen_values, seen = np.asarray(values, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if seen_values.size and not (support[0] <= seen_values.min() and seen_values.max() <= support[1]):
        raise ValueError(f"values {seen_values.min()}..{seen_values.max()} are outside the support {support}: the bets would not be safe")
    if seen.size and seen.min() < 0:
        raise ValueError("a count is negative")
    return seen_values, seen


def _checked_margin(margin: ArrayLike, support: Support) -> Floats:
    margins = np.asarray(margin, dtype=np.float64)
    if not np.all((support[0] < margins) & (margins < support[1])):
        raise ValueError(f"margin {margins} is not inside the support {support}")
    return margins
