"""Which sentence of one text speaks of the same thing as which sentence of another. PURE.

``facts`` judges only within what is aligned here: two draws of one model tell different things in different words, and a number
that only one of them gives contradicts nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shadowproxy.compare.sentences import FUNCTION_WORDS, SENTENCES, WORDS, Sentence

#: At most this many candidates are weighed for one sentence, those with the rarest words in common first.
CANDIDATES = 12

#: Two answers of one sentence each, at most so many words long, are compared whatever they have in common: "Paris." and "Lyon."
SHORT = 12

#: Below this share of common weight two sentences are about different things.
ALIGNED = 0.4

#: What a neighbour has to add to the common share to be joined to a sentence.
JOINED = 0.05


@dataclass(frozen=True, slots=True)
class AlignedPair:
    """Two sentences about the same thing. ``overlap`` is the share of their weight that is common, 0..1.

    ``is_whole``: they are the whole of two short answers, and so about what was asked, whatever they have in common.
    """

    primary: Sentence
    other: Sentence
    overlap: float
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Alignment:
    """What speaks of the same thing, and what only one side says. Of sentences with the very same words only the counts are kept."""

    pairs: tuple[AlignedPair, ...]
    only_primary: tuple[Sentence, ...]
    only_other: tuple[Sentence, ...]
    same: int
    same_words: int


def align(primary: Sequence[Sentence], other: Sequence[Sentence]) -> Alignment:
    """Pair up sentences, best overlap first; each is used once. Ties go to those that stand closest to the same place."""
    mine, theirs = _unequal(primary, other)
    is_whole = len(primary) == len(other) == 1 and max(len(primary[0].words), len(other[0].words)) <= SHORT
    weights = _weights([*mine, *theirs])
    bags, other_bags = [_bag(s, weights) for s in mine], [_bag(s, weights) for s in theirs]
    postings = _postings(other_bags)
    ranked = sorted(
        (-overlap, abs(i - j), i, j)
        for i, bag in enumerate(bags)
        for j in _candidates(bag, postings, weights)
        if (overlap := _overlap(bag, other_bags[j], weights)) >= ALIGNED
    )
    if is_whole and mine and not ranked:
        ranked = [(0.0, 0, 0, 0)]
    partner: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for negative, _, i, j in ranked:
        if i not in partner and j not in taken:
            partner[i] = (j, -negative)
            taken.add(j)
    pairs = [_Pair([i], [j], overlap) for i, (j, overlap) in sorted(partner.items())]
    alone, other_alone = set(range(len(mine))) - partner.keys(), set(range(len(theirs))) - taken
    for pair in pairs:
        _take_in_neighbours(pair, (bags, other_bags), (alone, other_alone), weights)
    return Alignment(
        pairs=tuple(AlignedPair(_united(mine, pair.places), _united(theirs, pair.other_places), pair.overlap, is_whole) for pair in pairs),
        only_primary=tuple(mine[i] for i in sorted(alone)),
        only_other=tuple(theirs[j] for j in sorted(other_alone)),
        same=len(primary) - len(mine),
        same_words=sum(len(s.words) for s in primary) - sum(len(s.words) for s in mine),
    )


@dataclass(slots=True)
class _Pair:
    """The places of what is aligned on both sides: one sentence, or two where the other side says them in one."""

    places: list[int]
    other_places: list[int]
    overlap: float


def _take_in_neighbours(
    pair: _Pair, bags: tuple[Sequence[_Bag], Sequence[_Bag]], alone: tuple[set[int], set[int]], weights: dict[str, float]
) -> None:
    """Join the sentence before or after, where it found no partner of its own and makes the two sides more alike."""
    for side, places in enumerate((pair.places, pair.other_places)):
        opposite = bags[1 - side][(pair.other_places, pair.places)[side][0]]
        for place in (places[0] - 1, places[0] + 1):
            if place in alone[side] and len(pair.places) == len(pair.other_places) == 1:
                overlap = _overlap(_both(bags[side][places[0]], bags[side][place]), opposite, weights)
                if overlap > pair.overlap + JOINED:
                    pair.overlap = overlap
                    places[:] = sorted((places[0], place))
                    alone[side].remove(place)


def _both(a: _Bag, b: _Bag) -> _Bag:
    return _Bag({lemma: a.counts.get(lemma, 0) + b.counts.get(lemma, 0) for lemma in {**a.counts, **b.counts}}, a.weight + b.weight)


def _united(side: Sequence[Sentence], places: Sequence[int]) -> Sentence:
    if len(places) == 1:
        return side[places[0]]
    words = tuple(word for place in places for word in side[place].words)
    return Sentence(" ".join(side[place].text for place in places), words[:WORDS])


def _unequal(primary: Sequence[Sentence], other: Sequence[Sentence]) -> tuple[list[Sentence], list[Sentence]]:
    """Both sides without the sentences that the other has too, word for word."""
    mine, theirs = (Counter(_key(s) for s in side) for side in (primary, other))
    return list(_without(primary, mine & theirs)), list(_without(other, mine & theirs))


def _without(side: Sequence[Sentence], common: Counter[tuple[str, ...]]) -> Iterable[Sentence]:
    left = Counter(common)
    for sentence in side:
        if left[_key(sentence)] > 0:
            left[_key(sentence)] -= 1
        else:
            yield sentence


def _key(sentence: Sentence) -> tuple[str, ...]:
    return tuple(word.text.lower() for word in sentence.words)


@dataclass(frozen=True, slots=True)
class _Bag:
    """A sentence without its order: how often it has each lemma, and what all of them weigh together."""

    counts: dict[str, int]
    weight: float


def _bag(sentence: Sentence, weights: dict[str, float]) -> _Bag:
    counts: dict[str, int] = {}
    for word in sentence.words:
        counts[word.lemma] = counts.get(word.lemma, 0) + 1
    return _Bag(counts, sum([weights[lemma] * count for lemma, count in counts.items()]))


def _weights(group: Sequence[Sentence]) -> dict[str, float]:
    """What a word says about the subject: little for function words, less the more sentences have it."""
    seen_in: Counter[str] = Counter()
    for sentence in group:
        seen_in.update({word.lemma for word in sentence.words})
    return {
        lemma: (0.2 if lemma in FUNCTION_WORDS or not lemma[0].isalnum() else 1.0) / (1 + 0.1 * seen) for lemma, seen in seen_in.items()
    }


def _overlap(a: _Bag, b: _Bag, weights: dict[str, float]) -> float:
    """Dice's coefficient of two weighted bags, 0..1."""
    theirs = b.counts
    common = sum([weights[lemma] * min(count, theirs[lemma]) for lemma, count in a.counts.items() if lemma in theirs])
    return min(1.0, 2 * common / (a.weight + b.weight)) if a.weight + b.weight > 0 else 0.0


def _postings(bags: Sequence[_Bag]) -> dict[str, list[int]]:
    """Which sentences have a word, at most ``SENTENCES`` / 6 of them: a word in more than that finds nothing."""
    found: dict[str, list[int]] = {}
    for number, bag in enumerate(bags):
        for lemma in bag.counts:
            places = found.setdefault(lemma, [])
            if len(places) < SENTENCES // 6:
                places.append(number)
    return found


def _candidates(bag: _Bag, postings: dict[str, list[int]], weights: dict[str, float]) -> list[int]:
    """The sentences that share most with ``bag``, at most ``CANDIDATES``."""
    shared: dict[int, float] = {}
    for lemma in bag.counts:
        for number in postings.get(lemma, ()):
            shared[number] = shared.get(number, 0.0) + weights[lemma]
    return sorted(shared, key=lambda number: (-shared[number], number))[:CANDIDATES]
