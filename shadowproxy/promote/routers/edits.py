"""What in a YAML file says how traffic is split: weights, or versions. Text in, values to write out.

Used by ``git``; ``manifest`` finds and replaces the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.json_patch import FieldChange
from shadowproxy.promote.present import Present, Share
from shadowproxy.promote.routers.manifest import Manifest, Place
from shadowproxy.promote.weights import Destination, Split

Values = Mapping[Place, str]


class Edits(Protocol):
    """What in the file says how traffic is split. PURE."""

    def present(self, text: str) -> Present: ...
    def weigh(self, text: str, percent: int) -> Values: ...
    def restore(self, text: str, found: object) -> Values: ...


@dataclass(frozen=True, slots=True)
class WeightEdits:
    """Two weights, or one that is a percentage where ``primary`` is None."""

    candidate: Place
    primary: Place | None = None

    def present(self, text: str) -> Present:
        split = self._split(text)
        return Present((split.share(),), split.found())

    def weigh(self, text: str, percent: int) -> Values:
        return self._values(self._split(text).weigh(percent))

    def restore(self, text: str, found: object) -> Values:
        return self._values(self._split(text).restore(found))

    def _split(self, text: str) -> Split:
        manifest = Manifest(text)
        candidate = _weight(manifest, self.candidate)
        rest = 100 - candidate.weight
        primary = _weight(manifest, self.primary) if self.primary else Destination("the rest", "", rest, rest)
        return Split(str(self.candidate), (candidate, primary), primary=1, candidate=0, most=0)

    def _values(self, changes: Sequence[FieldChange]) -> Values:
        places = {place.pointer: place for place in (self.candidate, self.primary) if place}
        return {places[change.pointer]: str(change.new) for change in changes if change.pointer in places}


def _weight(manifest: Manifest, place: Place) -> Destination:
    written = manifest.value(place).text
    if not (written.isascii() and written.isdigit()):
        raise RouterRefused(f"{place} is {written!r}, no weight", "write a whole number from 0")
    return Destination(str(place), place.pointer, int(written), int(written))


@dataclass(frozen=True, slots=True)
class VersionEdits:
    """Values that name a version: an image, a model, a prompt. ``candidate`` says what each is to be. There is nothing between 0 and 100
    %."""

    candidate: Mapping[Place, str]

    def present(self, text: str) -> Present:
        manifest = Manifest(text)
        written = {place: manifest.value(place).text for place in self.candidate}
        shares = tuple(Share(100 * (written[place] == value), 100, str(place)) for place, value in self.candidate.items())
        return Present(shares, [[str(place), value] for place, value in written.items()])

    def weigh(self, text: str, percent: int) -> Values:
        if percent != 100:
            raise RouterRefused(f"a version cannot be given to {percent} % of the traffic", "use steps: [100], or steer weights")
        return self.candidate

    def restore(self, text: str, found: object) -> Values:
        before = {entry[0]: str(entry[1]) for entry in found} if isinstance(found, list) else {}
        for place, version in self.candidate.items():
            if before.get(str(place), version) == version:
                raise RouterRefused(f"what was at {place} before {version} is not known", "write the former version there by hand")
        return {place: before[str(place)] for place in self.candidate}
