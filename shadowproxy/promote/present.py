"""What a router found: how the traffic is split now. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Share:
    """The candidate's weight, and that of primary and candidate together, in one place (``where`` is for people)."""

    candidate: int
    total: int
    where: str

    @property
    def percent(self) -> float:
        return 100 * self.candidate / self.total


@dataclass(frozen=True, slots=True)
class Present:
    """The present state of what is steered.

    ``found`` is what brings these weights back (JSON, the router's own form). ``identity`` names what stands behind the candidate, "" where
    the router cannot tell. ``problem`` says why the candidate must not get more traffic now, "" where it may. ``memory`` is the record that
    was found with the weights, None where there is none or it is kept elsewhere. ``source`` is what was read, for the router itself.
    """

    shares: tuple[Share, ...]
    found: Any
    identity: str = ""
    problem: str = ""
    memory: str | None = None
    source: Any = None

    def is_at(self, percent: int) -> bool:
        """True where the candidate has exactly this share everywhere."""
        return all(share.candidate * 100 == percent * share.total for share in self.shares)

    def is_between(self, one: int, other: int) -> bool:
        """True where the candidate has one of these shares, or something between them, everywhere."""
        low, high = sorted((one, other))
        return all(low * share.total <= share.candidate * 100 <= high * share.total for share in self.shares)

    @property
    def totals(self) -> tuple[int, ...]:
        return tuple(share.total for share in self.shares)

    @property
    def percent(self) -> int:
        """The candidate's largest share, rounded up."""
        return max(-(-100 * share.candidate // share.total) for share in self.shares)

    def __str__(self) -> str:
        return ", ".join(f"{share.percent:g} % in {share.where}" for share in self.shares)
