"""The way a candidate takes into the traffic: steps and who must agree. PURE.

Made from the configuration, used by ``decision``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Approval(StrEnum):
    """Which steps wait for a person's approval."""

    NONE = "none"
    """None: the verdict is enough."""
    LAST = "last"
    """The last, to 100 %."""
    EVERY = "every"
    """Every one."""


@dataclass(frozen=True, slots=True)
class Step:
    """``percent`` of the traffic (1..100) for at least ``min_age_s`` seconds, and until ``min_pairs`` more pairs were judged.

    The last step asks for no pairs: with the primary out of the traffic there may be none.
    """

    percent: int
    min_age_s: float
    min_pairs: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.percent <= 100:
            raise ValueError(f"a step of {self.percent} % is not within 1..100")


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps that rise to 100 %. Raises :class:`ValueError` for others."""

    steps: tuple[Step, ...]
    approval: Approval = Approval.NONE

    def __post_init__(self) -> None:
        if any(later.percent <= earlier.percent for earlier, later in pairwise(self.steps)):
            raise ValueError("has steps that do not rise; write them in ascending order")
        if not self.steps or self.steps[-1].percent != 100:
            raise ValueError("does not end with a step of 100; add it")

    def asks_before(self, step: int) -> bool:
        """True where a person must approve step number ``step`` (from 0)."""
        return self.approval is Approval.EVERY or (self.approval is Approval.LAST and step == len(self.steps) - 1)
