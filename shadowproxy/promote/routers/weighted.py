"""Routes that list weighted destinations, whatever the kind calls them. PURE. Used by ``istio`` and ``gateway_api``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.json_patch import ObjectRef
from shadowproxy.promote.reading import sections, whole
from shadowproxy.promote.weights import Destination, Split, position


@dataclass(frozen=True, slots=True)
class Weighted:
    """How one kind writes weighted destinations.

    ``noun`` is what a route is called in messages, ``routes`` and ``destinations`` are the fields that list them; an absent weight means
    ``absent``, the largest allowed is ``most``. ``key`` gives the same text for the same destination, ``refuse`` raises
    :class:`~shadowproxy.errors.RouterRefused` where weights mean nothing.
    """

    noun: str
    routes: str
    destinations: str
    absent: int
    most: int
    key: Callable[[Mapping[str, Any]], str]
    refuse: Callable[[Mapping[str, Any], str], None]

    def splits(self, ref: ObjectRef, spec: Mapping[str, Any], primary: str, candidate: str, names: Sequence[str]) -> tuple[Split, ...]:
        """Every route that is steered: those called ``names``, or all that have both destinations.

        Raises :class:`~shadowproxy.errors.RouterRefused` where there is none, or one that is not understood.
        """
        routes = list(enumerate(sections(spec, self.routes)))
        missing = set(names) - {str(route.get("name")) for _, route in routes}
        if missing:
            remedy = f"correct {self._word}s, or name the {self._word}"
            raise RouterRefused(f"{ref} has no {self.noun} called {', '.join(sorted(missing))}", remedy)
        meant = [
            (index, route)
            for index, route in routes
            if (route.get("name") in names if names else {primary, candidate} <= set(self._keys(route)))
        ]
        if not meant:
            remedy = f"add {candidate} to the {self._word}'s destinations with weight: 0"
            raise RouterRefused(f"{ref} has no {self.noun} with both {primary} and {candidate}", remedy)
        return tuple(self._split(ref, index, route, primary, candidate) for index, route in meant)

    @property
    def _word(self) -> str:
        return self.noun.rpartition(" ")[2]

    def _keys(self, route: Mapping[str, Any]) -> list[str]:
        return [self.key(entry) for entry in sections(route, self.destinations)]

    def _split(self, ref: ObjectRef, index: int, route: Mapping[str, Any], primary: str, candidate: str) -> Split:
        where = f"{ref} {self._word} {route.get('name') or index}"
        self.refuse(route, where)
        pointer = f"/spec/{self.routes}/{index}/{self.destinations}"
        entries = sections(route, self.destinations)
        destinations = tuple(self._destination(entry, f"{pointer}/{place}/weight", where) for place, entry in enumerate(entries))
        keys = [destination.key for destination in destinations]
        return Split(where, destinations, position(keys, primary, where), position(keys, candidate, where), self.most)

    def _destination(self, entry: Mapping[str, Any], pointer: str, where: str) -> Destination:
        written = whole(entry.get("weight"), f"{where}: a weight")
        return Destination(self.key(entry), pointer, written, self.absent if written is None else written)
