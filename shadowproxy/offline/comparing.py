"""Pairs from a file through the embedder and the comparators, some at a time. Used by every offline command.

The live pipeline does the same per request as exchanges come in; here a batch of pairs shares its calls of the embedder.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from shadowproxy.compare.means import Means
from shadowproxy.compare.pair import compare, texts_to_embed
from shadowproxy.compare.view import View, view
from shadowproxy.embed.loading import Embedder
from shadowproxy.embed.windows import Vectors
from shadowproxy.exchange import CONTROL, Asked, Comparison
from shadowproxy.offline.given import Given

#: Pairs whose texts are embedded together. Enough that equal texts meet and short ones fill a call; few enough to show progress.
BATCH_PAIRS = 32

#: Vectors kept of texts seen before, 1.5 kB each: primaries come again in every comparison of an evaluation.
_KEPT = 4096

_CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class Pair:
    """One request's answers. ``control`` is the primary asked a second time, None where it was not."""

    id: str | int
    asked: Asked
    primary: Given
    candidate: Given
    control: Given | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """A pair with what was found. ``control`` is the control against the primary: the noise floor of this request."""

    pair: Pair
    candidate: Comparison
    control: Comparison | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A pair read, with the texts of each arm whose likeness only vectors can tell."""

    pair: Pair
    primary: View
    others: dict[str, View]
    wanted: dict[str, tuple[str, str]]


class Bench:
    """The comparator with its means and its embedder; without one (None) similarity stays unknown."""

    def __init__(self, means: Means, embedder: Embedder | None) -> None:
        self._means = means
        self._embedder = embedder
        self._kept: OrderedDict[bytes, Vectors] = OrderedDict()

    def compare_all(self, pairs: Iterable[Pair]) -> Iterator[Compared]:
        """Every pair, in order."""
        source = iter(pairs)
        while batch := list(islice(source, BATCH_PAIRS)):
            yield from self._compare_batch(batch)

    def _compare_batch(self, pairs: Sequence[Pair]) -> Iterator[Compared]:
        seen = [self._seen(pair) for pair in pairs]
        vectors = self._vectors([text for each in seen for texts in each.wanted.values() for text in texts])
        for each in seen:
            control = self._compare(each, CONTROL, vectors) if CONTROL in each.others else None
            yield Compared(each.pair, self._compare(each, _CANDIDATE, vectors), control)

    def _seen(self, pair: Pair) -> _Seen:
        primary = self._view(pair, pair.primary)
        others = {_CANDIDATE: self._view(pair, pair.candidate)}
        if pair.control is not None:
            others[CONTROL] = self._view(pair, pair.control)
        wanted = {arm: texts_to_embed(primary, other) for arm, other in others.items()} if self._embedder is not None else {}
        return _Seen(pair, primary, others, {arm: texts for arm, texts in wanted.items() if texts is not None})

    def _view(self, pair: Pair, given: Given) -> View:
        return view(given.exchange, given.answer, pair.asked, self._means)

    def _compare(self, seen: _Seen, arm: str, vectors: dict[bytes, Vectors]) -> Comparison:
        texts = seen.wanted.get(arm)
        both = (vectors[_key(texts[0])], vectors[_key(texts[1])]) if texts else None
        return compare(seen.primary, seen.others[arm], both, seen.pair.asked, self._means)

    def _vectors(self, texts: Sequence[str]) -> dict[bytes, Vectors]:
        """Digest → vector, each distinct text embedded once."""
        by_key = {_key(text): text for text in texts}
        found = {key: self._kept[key] for key in by_key if key in self._kept}
        fresh = [key for key in by_key if key not in found]
        if fresh and self._embedder is not None:
            rows = self._embedder.encode([by_key[key] for key in fresh])
            found |= {key: row.copy() for key, row in zip(fresh, rows, strict=True)}
        for key, vector in found.items():
            self._kept[key] = vector
            self._kept.move_to_end(key)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
