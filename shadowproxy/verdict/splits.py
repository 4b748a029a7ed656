"""Shares that must come out as configured: a check on who got into the evidence at all (sample ratio mismatch). PURE.

Used by ``case``. Where 10 % of requests were to be mirrored and 12 % were, or the control answers more often than the candidate, something
chooses pairs that was not meant to, and no gate can be believed.

The test is the sequential multinomial test of Lindon & Malek, Anytime-valid inference for multinomial count data (NeurIPS 2022,
arXiv 2011.03567): a Dirichlet mixture over all other shares against the configured ones. Its e-value may be looked at any time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Concentration of the Dirichlet prior: how near to the configured share the alternatives lie. 100 puts them within some points.
_CONCENTRATION = 100.0

#: e-value that raises the alarm: one false alarm in 1000 rollouts at most. An alarm stops everything, so it must be rarer than a verdict.
ALARM = 1000.0


@dataclass(frozen=True, slots=True)
class Split:
    """``seen`` of ``total`` fell on one side, and ``share`` of them should have. ``name`` says which share: ``mirrored``, ``control`` …

    ``share`` is inside (0, 1): all or nothing is not a matter of chance, and needs no test. What is counted must have been chosen one by
    one: where sessions are in or out as wholes, how many of their requests that makes is no matter of this share, and most would alarm.
    """

    name: str
    seen: int
    total: int
    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"split {self.name}: share {self.share} is not inside 0..1")
        if not 0 <= self.seen <= self.total:
            raise ValueError(f"split {self.name}: {self.seen} of {self.total} is no share")


def log_e(split: Split) -> float:
    """Natural log of the e-value against "each falls on this side with chance ``share``"."""
    k, n = _CONCENTRATION, split.total
    sides = ((split.seen, split.share), (n - split.seen, 1 - split.share))
    return (
        math.lgamma(k)
        - math.lgamma(k + n)
        + math.fsum(math.lgamma(k * share + seen) - math.lgamma(k * share) - seen * math.log(share) for seen, share in sides)
    )
