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

#: Width at which the search for a bound stops. Bounds are for reading; decisions use the e-value at the margin itself.
RESOLUTION = 1e-7

#: Pairs put at each end of the support when the future is guessed. Without it ten equal pairs would promise that no difference
#: ever comes; with a whole pair at each end the guess stays three times longer through the first hundred pairs.
PRIOR = 0.25


def log_e_promote(values: ArrayLike, counts: ArrayLike, margin: float, support: Support = (-1.0, 1.0)) -> Floats:
    """Natural log of the e-value against "E[D | past] >= margin always": large means *shown to be better than the margin*.

    ``values`` (B) are the values D can take, within ``support`` = (a, b); ``counts`` (..., B) how often each was seen; a < margin < b.
    Leading axes of ``counts`` are kept, so a whole history is scored in one call; a single histogram gives a 0-d array.
    """
    seen_values, seen = _checked(values, counts, support)
    _check_margin(margin, support)
    return _log_mean_exp(seen @ _log_factors(seen_values, margin, support[1]))


def log_e_rollback(values: ArrayLike, counts: ArrayLike, margin: float, support: Support = (-1.0, 1.0)) -> Floats:
    """Natural log of the e-value against "E[D | past] <= margin always": large means *shown to be worse than the margin*.

    The same bet in the mirror: D is worse than m exactly where -D is better than -m.
    """
    return log_e_promote(-np.asarray(values, dtype=np.float64), counts, -margin, (-support[1], -support[0]))


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
    values: ArrayLike, counts: ArrayLike, margin: float, support: Support, alpha: float, prior: float = PRIOR
) -> int | None:
    """About how many more pairs until the promote e-value reaches 1/alpha, if the future looks like the past.

    Future pairs are taken to come in the proportions seen so far, plus ``prior`` pairs at each end of the support. None where that never
    gets there: the mean is at or beyond the margin, or nothing was counted. An estimate for people; no decision rests on it.
    """
    seen_values, seen = _checked(values, counts, support)
    _check_margin(margin, support)
    if seen.sum() <= 0 or mean_and_variance(seen_values, seen)[0] >= margin:
        return None
    log_factors = _log_factors(seen_values, margin, support[1])
    wealth = seen @ log_factors
    ends = _log_factors(np.array(support), margin, support[1])
    growth = (wealth + prior * ends.sum(axis=0)) / (seen.sum() + 2 * prior)
    return first_reaching(wealth, growth, math.log(1 / alpha))


def growth_to_promote(values: ArrayLike, law: ArrayLike, margin: float, support: Support) -> Floats:
    """Expected growth of each gambler's log wealth per pair, where D takes ``values`` with the chances ``law``."""
    seen_values, chances = _checked(values, law, support)
    _check_margin(margin, support)
    return np.asarray(chances @ _log_factors(seen_values, margin, support[1]))


def growth_to_roll_back(values: ArrayLike, law: ArrayLike, margin: float, support: Support) -> Floats:
    """The same for the gamblers on rollback."""
    return growth_to_promote(-np.asarray(values, dtype=np.float64), law, -margin, (-support[1], -support[0]))


def first_reaching(wealth: Floats, growth: Floats, target: float) -> int | None:
    """Smallest whole t >= 0 with log-mean-exp(wealth + t growth) >= target; None where no gambler gains.

    The left side is convex in t, so from below the target it crosses at most once, and bisection finds that crossing.
    """
    if _log_mean_exp(wealth) >= target:
        return 0
    rising = growth > 0
    if not rising.any():
        return None
    # One gambler alone reaches the target here at the latest; the mean of all is never behind 1/24 of the best.
    alone = (target + math.log(len(FRACTIONS)) - wealth[rising]) / growth[rising]
    low, high = 0, math.ceil(float(alone.min())) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if _log_mean_exp(wealth + middle * growth) >= target:
            high = middle
        else:
            low = middle
    return high


def _upper(values: Floats, counts: Floats, support: Support, alpha: float) -> Floats:
    """Smallest margin that is shown to be beaten, rounded up; of every histogram at once, by bisection.

    The e-value grows with the margin, and is <= 1 at the mean (Jensen), so the mean is a lower end. The upper end itself is not asked.
    """
    target = math.log(1 / alpha)
    total = counts.sum(axis=-1)
    low, high = np.where(total > 0, counts @ values / np.maximum(total, 1), support[1]), np.full(total.shape, support[1])
    for _ in range(math.ceil(math.log2((support[1] - support[0]) / RESOLUTION))):
        middle = (low + high) / 2
        # The floor is for histograms whose bound is the end itself; any other middle is further from it.
        room = np.maximum(support[1] - middle, RESOLUTION / 4)
        stakes = np.multiply.outer((middle[..., None] - values) / room[..., None], FRACTIONS)
        is_beaten = _log_mean_exp(np.einsum("...b,...bk->...k", counts, np.log1p(stakes))) >= target
        low, high = np.where(is_beaten, low, middle), np.where(is_beaten, middle, high)
    return high


def _log_factors(values: Floats, margin: float, high: float) -> Floats:
    """log(1 + lambda_k (margin - v_b)), shape (B, 24), with lambda_k = fraction_k / (b - margin): the worst value leaves 1 - fraction_k."""
    return np.asarray(np.log1p(np.multiply.outer((margin - values) / (high - margin), FRACTIONS)))


def _log_mean_exp(wealth: Floats) -> Floats:
    """log of the mean wealth over the last axis, without leaving the logarithm: wealth overflows after some thousand pairs."""
    top = wealth.max(axis=-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.exp(wealth - top).mean(axis=-1)))


def _checked(values: ArrayLike, counts: ArrayLike, support: Support) -> tuple[Floats, Floats]:
    seen_values, seen = np.asarray(values, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if seen_values.size and not (support[0] <= seen_values.min() and seen_values.max() <= support[1]):
        raise ValueError(f"values {seen_values.min()}..{seen_values.max()} are outside the support {support}: the bets would not be safe")
    if seen.size and seen.min() < 0:
        raise ValueError("a count is negative")
    return seen_values, seen


def _check_margin(margin: float, support: Support) -> None:
    if not support[0] < margin < support[1]:
        raise ValueError(f"margin {margin} is not inside the support {support}")
