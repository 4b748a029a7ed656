"""Counts of values by bin, for pictures and quantiles of any number of values in a fixed amount of memory. PURE.

Filled by ``gathering``, drawn by ``pictures``. Two scales: shares from 0 to 1, and seconds, whose bins widen by the same factor so that a
quantile is within some percent of the value whether it is a millisecond or a minute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

_SHARE_BINS = 100
#: 32 bins a decade: neighbouring edges are 7.5 % apart, so a quantile is within 4 % of an observed value. 0.1 ms … 10 000 s.
_BINS_PER_DECADE = 32
_FIRST_DECADE, _LAST_DECADE = -4, 4


class Scale(Enum):
    """How a value becomes a place from 0 to 1."""

    SHARE = "share"
    SECONDS = "seconds"

    @property
    def bins(self) -> int:
        return _SHARE_BINS if self is Scale.SHARE else _BINS_PER_DECADE * (_LAST_DECADE - _FIRST_DECADE)

    def place(self, value: float) -> float:
        """Where on the scale; what is beyond an end is at it."""
        if self is Scale.SECONDS:
            decade = math.log10(value) if value > 0 else _FIRST_DECADE
            value = (decade - _FIRST_DECADE) / (_LAST_DECADE - _FIRST_DECADE)
        return min(max(value, 0.0), 1.0)

    def value_at(self, place: float) -> float:
        """The value at a place."""
        if self is Scale.SECONDS:
            return float(10 ** (_FIRST_DECADE + place * (_LAST_DECADE - _FIRST_DECADE)))
        return place


@dataclass(slots=True)
class Histogram:
    """Values by bin. ``counts`` has as many bins as the scale."""

    scale: Scale
    counts: list[int]

    @classmethod
    def empty(cls, scale: Scale) -> Histogram:
        return cls(scale, [0] * scale.bins)

    def add(self, value: float) -> None:
        """Count one value. Not a number is not counted."""
        if not math.isnan(value):
            bins = len(self.counts)
            self.counts[min(int(self.scale.place(value) * bins), bins - 1)] += 1

    @property
    def n(self) -> int:
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """The value that ``share`` of the values lie below, to within a bin; None without values."""
        target, before = share * self.n, 0
        for at, count in enumerate(self.counts):
            if count and before + count >= target:
                return self.scale.value_at((at + (target - before) / count) / len(self.counts))
            before += count
        return None
