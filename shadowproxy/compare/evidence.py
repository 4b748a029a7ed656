"""What speaks for a changed fact between two sentences about the same thing, as counts. PURE.

``facts`` turns the counts into findings and, with the weights of ``facts_weights``, into a score. Every feature can be read off the two
sentences by a person; none knows a particular word beyond the closed classes of ``vocabulary``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shadowproxy.compare.alignment import AlignedPair
from shadowproxy.compare.conflicts import (
    Conflict,
    amounts_in_conflict,
    denies,
    exclusive_words,
    is_content,
    is_number,
    is_plain,
    names_in_conflict,
    swapped_names,
    turned,
    units_in_conflict,
    without_equal_values,
)
from shadowproxy.compare.edits import Difference, difference, with_phrases
from shadowproxy.compare.relations import Relation, relation
from shadowproxy.compare.sentences import Word
from shadowproxy.compare.vocabulary import CLASS_OF, CONCRETE, NEGATIONS
from shadowproxy.compare.words import Lexicon, Meaning

#: What a function word counts against a content word where sameness is measured.
FUNCTION_WEIGHT = 0.2

#: Content words that one side has in place of the other's: beyond these the sentences are not otherwise nearly the same, and pairing up
#: what is left would be a guess that costs the product of both.
REPLACED_WORDS = 8


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one aligned pair shows: facts in conflict, and the counts that are weighed.

    ``sameness`` is how much the sentences are otherwise the same, 0..1: the share of their words, function words at ``FUNCTION_WEIGHT``,
    that is common, means the same or is the conflict itself. ``replaced`` is the number of content words that are neither.
    """

    conflicts: tuple[Conflict, ...]
    counts: Counter[str]
    sameness: float
    replaced: int


class Weigher:
    """Reads evidence off aligned pairs, with the help of a lexicon."""

    __slots__ = ("_lexicon",)

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def meaning(self, word: Word) -> Meaning:
        return self._lexicon.meaning(word.text.lower())

    def evidence(self, pair: AlignedPair) -> Evidence:
        """What speaks for a changed fact between the two sentences of ``pair``."""
        found = difference(pair.primary.words, pair.other.words)
        counts: Counter[str] = Counter()
        conflicts = [*amounts_in_conflict(pair.primary, pair.other, counts), *units_in_conflict(found, counts)]
        conflicts += [*names_in_conflict(found, counts), *swapped_names(pair, found)]
        found = with_phrases(without_equal_values(found, counts), self._lexicon)
        counts["edits"], counts["moved"] = len(found.edits), found.moved
        antonyms, unexplained = self._words(found, counts)
        conflicts += turned(pair, found, antonyms, counts)
        conflicts += exclusive_words(found, counts)
        if counts["value_added"]:
            unexplained += [word for edit in found.edits for word in (*edit.primary, *edit.other) if is_number(word)]
        if counts["name_added"]:
            unexplained += [word for edit in found.edits for word in (*edit.primary, *edit.other) if word.is_name]
        return Evidence(tuple(conflicts), _folded(counts), _sameness(pair, unexplained), sum(is_content(word) for word in unexplained))

    def _words(self, found: Difference, counts: Counter[str]) -> tuple[list[Conflict], list[Word]]:
        """Pair up the content words that one side has in place of the other's, and count how they relate.

        Returns the antonyms, and the words without a partner that means the same or the contrary.
        """
        left = [(place, word) for place, edit in enumerate(found.edits) for word in edit.primary if is_plain(word)]
        right = [(place, word) for place, edit in enumerate(found.edits) for word in edit.other if is_plain(word)]
        antonyms, unexplained = [], []
        if len(left) <= REPLACED_WORDS and len(right) <= REPLACED_WORDS:
            for mine, theirs, how in list(self._partners(left, right)):
                left.remove(mine)
                right.remove(theirs)
                counts[self._feature(mine[1], theirs[1], how)] += 1
                if how in (Relation.ANTONYM, Relation.OPPOSED):
                    antonyms.append(Conflict("antonym", mine[1].text, theirs[1].text))
                elif how not in _CLOSE:
                    unexplained += [mine[1], theirs[1]]
        for _, word in (*left, *right):
            counts["added_verb" if self._lexicon.part(word.text.lower()) in ("verb", "adv") else "added_word"] += 1
        return antonyms, [*unexplained, *(word for _, word in (*left, *right) if not denies(word)), *_particles(found)]

    def _partners(
        self, left: Sequence[tuple[int, Word]], right: Sequence[tuple[int, Word]]
    ) -> Iterator[tuple[tuple[int, Word], tuple[int, Word], Relation]]:
        """Pairs by the closest relation first. Words of different places belong together only where they mean the same."""
        related = (
            (relation(self.meaning(mine[1]), self.meaning(theirs[1])), mine[0] == theirs[0], i, j)
            for i, mine in enumerate(left)
            for j, theirs in enumerate(right)
        )
        ranked = sorted((_RANK[how], not is_here, i, j) for how, is_here, i, j in related if is_here or how in _ELSEWHERE)
        used: set[int] = set()
        other_used: set[int] = set()
        for rank, _, i, j in ranked:
            if i not in used and j not in other_used:
                used.add(i)
                other_used.add(j)
                yield left[i], right[j], _BY_RANK[rank]

    def _feature(self, mine: Word, theirs: Word, how: Relation) -> str:
        """The count that a replaced word goes to: where the lexicon knows little of the two, by what kind of words they are."""
        if how not in (Relation.KIND, Relation.SIBLING, Relation.OTHER):
            return _COUNTED_AS[how]
        a, b = self.meaning(mine), self.meaning(theirs)
        if a.field in CONCRETE and b.field in CONCRETE:
            return f"{how}_thing"
        is_verb = next((part for part in b.parts if part in a.parts), "") == "verb"
        if how is Relation.KIND or (how is Relation.SIBLING and is_verb):
            return "near_word"
        return "other_verb" if is_verb and how is Relation.OTHER else "other_word"


_BY_RANK = (
    Relation.SAME,
    Relation.SYNONYM,
    Relation.ANTONYM,
    Relation.DERIVED,
    Relation.OPPOSED,
    Relation.SIMILAR,
    Relation.KIND,
    Relation.SIBLING,
    Relation.OTHER,
    Relation.UNKNOWN,
)
#: Few counts, for few pairs teach their weights: what weighs alike on one half of the data and not on the other is not told apart.
_COUNTED_AS = {
    Relation.SAME: "same_word",
    Relation.SYNONYM: "same_word",
    Relation.DERIVED: "same_word",
    Relation.SIMILAR: "same_word",
    Relation.ANTONYM: "opposite_word",
    Relation.OPPOSED: "opposite_word",
    Relation.UNKNOWN: "other_word",
}
_FOLDED = {
    "value": "changed",
    "name": "changed",
    "negation": "turned",
    "negation_moved": "turned",
    "antonyms": "turned",
    "quantifier": "turned",
    "function": "turned",
    "value_added": "fact_added",
    "name_added": "fact_added",
}
_RANK = {how: rank for rank, how in enumerate(_BY_RANK)}
_CLOSE = frozenset({Relation.SAME, Relation.SYNONYM, Relation.ANTONYM, Relation.DERIVED})
#: What holds between words of different places too. Opposites there are mostly each of something else: sales dropped, prices rose.
_ELSEWHERE = _CLOSE - {Relation.ANTONYM}


def _particles(found: Difference) -> list[Word]:
    """Function words in the edits, other than those that deny or quantify: they are compared as conflicts."""
    words = (word for edit in found.edits for word in (*edit.primary, *edit.other))
    return [word for word in words if word.is_function and word.lemma not in NEGATIONS and word.text.lower() not in CLASS_OF]


def _sameness(pair: AlignedPair, unexplained: Sequence[Word]) -> float:
    total = sum(_weight(word) for sentence in (pair.primary, pair.other) for word in sentence.words)
    return 1 - sum(map(_weight, unexplained)) / total if total else 1.0


def _weight(word: Word) -> float:
    return FUNCTION_WEIGHT if word.is_function else 1.0


def _folded(counts: Counter[str]) -> Counter[str]:
    folded: Counter[str] = Counter()
    for name, count in counts.items():
        folded[_FOLDED.get(name, name)] += count
    return folded
