"""Arithmetic of weights: proportions in whole numbers. PURE.

Used by the routers whose objects list destinations with weights: VirtualService, HTTPRoute, Knative Service, a pair of
LLMInferenceServices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.json_patch import FieldChange
from shadowproxy.promote.present import Share


@dataclass(frozen=True, slots=True)
class Destination:
    """One entry of a list of destinations: ``key`` tells it from others, ``written`` is its weight as it stands (None: absent), ``weight``
    what that means. ``pointer`` leads to the weight in object number ``document``."""

    key: str
    pointer: str
    written: int | None
    weight: int
    document: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """All destinations of one place, with the positions of the primary and of the candidate among them.

    Weights are proportions, whatever they add up to; the sum of the pair stays, and so do the others. Where a share is no whole number all
    weights are multiplied, up to ``most``; 0: they must not be, because they are percentages.
    """

    where: str
    destinations: tuple[Destination, ...]
    primary: int
    candidate: int
    most: int

    def __post_init__(self) -> None:
        if self._pair == 0:
            raise RouterRefused(f"{self.where}: neither primary nor candidate has a weight", "give the primary a weight of 100")

    @property
    def _pair(self) -> int:
        return self.destinations[self.primary].weight + self.destinations[self.candidate].weight

    def share(self) -> Share:
        return Share(self.destinations[self.candidate].weight, self._pair, self.where)

    def found(self) -> list[Any]:
        """The weights as they are written, by destination."""
        return [[each.key, each.written] for each in self.destinations]

    def weigh(self, percent: int, total: int = 0) -> tuple[FieldChange, ...]:
        """The changes that give the candidate ``percent`` of the pair, which is to have ``total`` together (0: what it has).

        Raises :class:`~shadowproxy.errors.RouterRefused` where whole numbers cannot say it.
        """
        pair = total or self._pair
        factor = 100 // gcd(pair * percent, 100)
        if factor > 1 and (self.most == 0 or factor * max(pair, *(each.weight for each in self.destinations)) > self.most):
            problem = f"{self.where}: {percent} % of {pair} is no whole number"
            raise RouterRefused(problem, "let the weights of primary and candidate add up to 100, or choose other steps")
        weights = [each.weight * factor for each in self.destinations]
        weights[self.candidate] = pair * factor * percent // 100
        weights[self.primary] = pair * factor - weights[self.candidate]
        return self._changes([_shown(each, weight) for each, weight in zip(self.destinations, weights, strict=True)])

    def restore(self, found: object, total: int = 0) -> tuple[FieldChange, ...]:
        """The changes that bring back the weights of before, if the destinations are still the same and the candidate had nothing then."""
        before = _before(found, [each.key for each in self.destinations])
        if before is None or before[self.candidate]:
            return self.weigh(0, total)
        return self._changes(before)

    def _changes(self, weights: Sequence[int | None]) -> tuple[FieldChange, ...]:
        """The candidate's first: where objects are written one after the other, it never has more than it is to have."""
        order = sorted(range(len(weights)), key=lambda place: place != self.candidate)
        pairs = ((self.destinations[place], weights[place]) for place in order)
        return tuple(FieldChange(each.document, each.pointer, each.written, weight) for each, weight in pairs if weight != each.written)


def position(keys: Sequence[str], key: str, where: str) -> int:
    """Where ``key`` stands. Raises :class:`~shadowproxy.errors.RouterRefused` unless it is there once."""
    match keys.count(key):
        case 1:
            return keys.index(key)
        case 0:
            raise RouterRefused(f"{where} has no destination {key}", "add it with weight: 0")
        case _:
            raise RouterRefused(f"{where} has {key} more than once", "merge the two, or name a route that has it once")


def _shown(destination: Destination, weight: int) -> int | None:
    """How the weight is written: an absent field stays absent where it means the same."""
    return destination.written if weight == destination.weight else weight


def _before(found: object, keys: Sequence[str]) -> list[int | None] | None:
    """The remembered weights in the order of ``keys``; None where other destinations are remembered."""
    match found:
        case list() if [entry[0] for entry in found if isinstance(entry, list) and len(entry) == 2] == list(keys):
            return [entry[1] for entry in found]
        case _:
            return None
