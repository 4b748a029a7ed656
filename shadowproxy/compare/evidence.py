"""What speaks for a changed fact between two sentences about the same thing, as counts. PURE.

``facts`` turns the counts into findings and, with the weights of ``facts_weights``, into a score. Every feature can be read off the two
sentences by a person; none knows a particular word beyond the closed classes below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shadowproxy.compare.edits import Difference, Edit, difference
from shadowproxy.compare.quantities import CALENDAR_WORDS, NUMBER_WORDS, VALUE_WORDS, Moment, Quantity, quantities
from shadowproxy.compare.sentences import AlignedPair, Sentence, Word
from shadowproxy.compare.words import Lexicon, Meaning, Relation, listed, relation

#: Words that deny. Prefixes (``unable``) are the lexicon's business: they make antonyms.
NEGATIONS = frozenset(listed("no not never none nothing nobody nowhere neither nor without cannot hardly barely scarcely rarely seldom"))

#: Words that deny what they stand with, without being a negation: where one side adds one of these, it says the contrary.
DENIALS = frozenset(
    listed(
        """fail refuse decline deny lack prevent avoid stop cease ban forbid prohibit reject exclude neglect omit ignore withhold discourage
        dissuade hinder deter refrain resist oppose doubt disallow abandon incapable unable impossible unlikely devoid absent missing
        despite except excluding instead false almost"""
    )
)

#: Function words that say how many, how sure, which bound, where, when; each class with those it excludes.
_CLASSES = {
    "all": "all every each always entire everyone everybody everything both whole completely fully",
    "some": "some several sometimes someone somebody partly partially",
    "few": "few little rarely seldom hardly infrequently occasionally",
    "most": "most mostly usually often frequently routinely commonly typically generally many much",
    "none": "no none never nobody nothing neither",
    "yes": "yes",
    "less": "less fewer below under maximum",
    "more": "more above over minimum",
    "almost": "almost nearly",
    "least": "least",
    "must": "must shall required have",
    "may": "may might could possibly maybe perhaps optionally",
    "before": "before",
    "after": "after",
    "inside": "in inside within into",
    "outside": "out outside beyond",
    "up": "up",
    "down": "down",
    "on": "on",
    "off": "off",
    "with": "with",
    "without": "without",
    "from": "from",
    "to": "to toward towards",
    "he": "he him his himself",
    "she": "she her hers herself",
    "first": "first",
    "last": "last final",
}
CLASS_OF = {word: name for name, words in _CLASSES.items() for word in listed(words)}
_QUANTIFIERS = frozenset({"all", "some", "few", "most", "none", "less", "more", "almost", "least", "must", "may"})
_EXCLUDED = frozenset(
    frozenset(listed(pair))
    for pair in (
        "all some",
        "all few",
        "all most",
        "all none",
        "some none",
        "most none",
        "most few",
        "few none",
        "less more",
        "almost more",
        "least most",
        "almost all",
        "must may",
        "before after",
        "inside outside",
        "up down",
        "yes none",
        "on off",
        "with without",
        "from to",
        "he she",
        "first last",
    )
)

#: WordNet's fields whose words name things that can be pointed at: another of them is another thing.
_CONCRETE = frozenset(
    f"noun.{name}" for name in listed("food animal artifact body location person plant substance time quantity possession object group")
)

#: What a function word counts against a content word where sameness is measured.
FUNCTION_WEIGHT = 0.2

#: A negation that comes at most so many words from where another one went is the same one: "is no proof", "is not any proof".
NEARBY = 3

#: Content words that one side has in place of the other's: beyond these the sentences are not otherwise nearly the same, and pairing up
#: what is left would be a guess that costs the product of both.
REPLACED_WORDS = 8


@dataclass(frozen=True, slots=True)
class Conflict:
    """The primary's and the other's word on the same thing. ``kind`` is the divergence it makes (``number``, ``date``, ``name`` ...)."""

    kind: str
    primary: str
    other: str


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
        conflicts = [*_amounts(pair.primary, pair.other, counts), *_names(found, counts), *_swapped(pair, found)]
        found = _without_equal_values(found, counts)
        counts["edits"], counts["moved"] = len(found.edits), found.moved
        antonyms, unexplained = self._words(found, counts)
        conflicts += _polarity(pair, found, antonyms, counts)
        conflicts += _classes(found, counts)
        if counts["value_added"]:
            unexplained += [word for edit in found.edits for word in (*edit.primary, *edit.other) if _is_number(word)]
        if counts["name_added"]:
            unexplained += [word for edit in found.edits for word in (*edit.primary, *edit.other) if word.is_name]
        return Evidence(tuple(conflicts), _folded(counts), _sameness(pair, unexplained), sum(_is_content(word) for word in unexplained))

    def _words(self, found: Difference, counts: Counter[str]) -> tuple[list[Conflict], list[Word]]:
        """Pair up the content words that one side has in place of the other's, and count how they relate.

        Returns the antonyms, and the words without a partner that means the same or the contrary.
        """
        left = [(place, word) for place, edit in enumerate(found.edits) for word in edit.primary if _is_plain(word)]
        right = [(place, word) for place, edit in enumerate(found.edits) for word in edit.other if _is_plain(word)]
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
        return antonyms, [*unexplained, *(word for _, word in (*left, *right) if word.lemma not in DENIALS), *_particles(found)]

    def _partners(
        self, left: Sequence[tuple[int, Word]], right: Sequence[tuple[int, Word]]
    ) -> Iterator[tuple[tuple[int, Word], tuple[int, Word], Relation]]:
        """Pairs by the closest relation first. Words of different places belong together only where the lexicon says so."""
        related = (
            (relation(self.meaning(mine[1]), self.meaning(theirs[1])), mine[0] == theirs[0], i, j)
            for i, mine in enumerate(left)
            for j, theirs in enumerate(right)
        )
        ranked = sorted((_RANK[how], not is_here, i, j) for how, is_here, i, j in related if is_here or how in _CLOSE)
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
        if a.field in _CONCRETE and b.field in _CONCRETE:
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


def _primary(edit: Edit) -> tuple[Word, ...]:
    return edit.primary


def _other(edit: Edit) -> tuple[Word, ...]:
    return edit.other


def _is_number(word: Word) -> bool:
    return word.text[0].isdigit() or word.text.lower() in NUMBER_WORDS


def _is_content(word: Word) -> bool:
    return not word.is_function


def _is_plain(word: Word) -> bool:
    """A content word that is neither a number nor a name: those are compared by value."""
    return not (word.is_function or word.is_name or _is_number(word) or word.text.lower() in CALENDAR_WORDS)


def _amounts(primary: Sentence, other: Sentence, counts: Counter[str]) -> Iterator[Conflict]:
    """Amounts, dates and times that are not the same on both sides."""
    mine, theirs = quantities(primary.text), quantities(other.text)
    amounts, other_amounts = _unequal(mine.amounts, theirs.amounts)
    moments, other_moments = _unequal_moments(mine.moments, theirs.moments)
    _drop_years_read_as_amounts(moments, other_amounts)
    _drop_years_read_as_amounts(other_moments, amounts)
    for a in list(amounts):
        b = next((b for b in other_amounts if a.is_comparable(b) and not (a.is_weak and b.is_weak)), None)
        if b is not None:
            amounts.remove(a)
            other_amounts.remove(b)
            counts["value"] += 1
            yield Conflict("money" if a.kind == "money" else "number", a.shown, b.shown)
    for moment in list(moments):
        another = next((another for another in other_moments if moment.is_comparable(another)), None)
        if another is not None:
            moments.remove(moment)
            other_moments.remove(another)
            counts["value"] += 1
            yield Conflict("date", moment.shown, another.shown)
    counts["value_added"] += sum(not a.is_weak for a in (*amounts, *other_amounts)) + len(moments) + len(other_moments)


def _unequal(mine: Sequence[Quantity], theirs: Sequence[Quantity]) -> tuple[list[Quantity], list[Quantity]]:
    """Both sides without what the other gives too. "5 million" and "$5 million" are the same amount."""
    left, right = list(mine), list(theirs)
    for a in mine:
        b = next((b for b in right if (a.is_comparable(b) or "ordinal" not in (a.kind, b.kind)) and a.equals(b)), None)
        if b is not None:
            left.remove(a)
            right.remove(b)
    return left, right


def _unequal_moments(mine: Sequence[Moment], theirs: Sequence[Moment]) -> tuple[list[Moment], list[Moment]]:
    left, right = list(mine), list(theirs)
    for a in mine:
        b = next((b for b in right if a.is_comparable(b) and not a.contradicts(b)), None)
        if b is not None:
            left.remove(a)
            right.remove(b)
    return left, right


def _drop_years_read_as_amounts(moments: list[Moment], amounts: list[Quantity]) -> None:
    """``2000`` alone looks like a year, ``2,000`` like an amount: of one value, they are the same."""
    for moment in [moment for moment in moments if moment.year is not None and moment.month is None]:
        amount = next((amount for amount in amounts if moment.year in amount.readings), None)
        if amount is not None:
            moments.remove(moment)
            amounts.remove(amount)


def _names(found: Difference, counts: Counter[str]) -> Iterator[Conflict]:
    """Names that one side has in place of the other's."""
    mine = [word.text for edit in found.edits for word in edit.primary if _is_plain_name(word)]
    theirs = [word.text for edit in found.edits for word in edit.other if _is_plain_name(word)]
    left = [name for name in mine if not any(_is_alias(name, another) for another in theirs)]
    right = [name for name in theirs if not any(_is_alias(name, another) for another in mine)]
    if left and right:
        counts["name"] += 1
        yield Conflict("name", " ".join(left), " ".join(right))
    elif left or right:
        counts["name_added"] += 1


def _swapped(pair: AlignedPair, found: Difference) -> Iterator[Conflict]:
    """The same words in another order, and names among those that moved: who did it to whom. "Ann and Mike" may be turned round."""
    if found.edits or not found.moved:
        return
    both = tuple(zip(pair.primary.words, pair.other.words, strict=True))
    places = [i for i, (a, b) in enumerate(both) if a.lemma != b.lemma]
    region = pair.primary.words[places[0] : places[-1] + 1] if places else ()
    if any(word.is_name for word in region) and any(_is_content(word) and not word.is_name for word in region):
        yield Conflict("name", " ".join(word.text for word in region), " ".join(b.text for _, b in both[places[0] : places[-1] + 1]))


def _without_equal_values(found: Difference, counts: Counter[str]) -> Difference:
    """``found`` without the edits that only write an equal amount, date or name in another way."""
    same_values, same_names = not (counts["value"] or counts["value_added"]), not (counts["name"] or counts["name_added"])

    def is_equal(word: Word) -> bool:
        return (same_values and _is_value(word)) or (same_names and word.is_name) or (word.is_function and word.lemma not in NEGATIONS)

    def is_notation(edit: Edit) -> bool:
        words = (*edit.primary, *edit.other)
        return all(map(is_equal, words)) and any(_is_value(word) or word.is_name for word in words)

    left = tuple(edit for edit in found.edits if not is_notation(edit))
    return Difference(left, found.moved if left or not found.edits else 0)


def _is_value(word: Word) -> bool:
    return word.text[0].isdigit() or word.text.lower() in VALUE_WORDS


def _is_plain_name(word: Word) -> bool:
    return word.is_name and word.text.lower() not in CALENDAR_WORDS and not _is_number(word)


#: What the most frequent names are also called: no rule derives these.
_ALIASES = (
    frozenset({"us", "usa", "america", "american", "americans", "united", "states"}),
    frozenset({"uk", "britain", "british", "britons", "united", "kingdom", "great"}),
    frozenset({"eu", "european", "europe", "union"}),
    frozenset({"un", "united", "nations"}),
)


def _is_alias(a: str, b: str) -> bool:
    """The same name in another form: ``U.S.`` and ``US``, ``Russia`` and ``Russian``, ``Rob`` and ``Robert``."""
    a, b = a.replace(".", "").lower(), b.replace(".", "").lower()
    shorter = min(len(a), len(b))
    return (
        a == b
        or (shorter >= 3 and a[: max(3, shorter - 1)] == b[: max(3, shorter - 1)])
        or any(a in group and b in group for group in _ALIASES)
    )


def _polarity(pair: AlignedPair, found: Difference, antonyms: list[Conflict], counts: Counter[str]) -> Iterator[Conflict]:
    """Negations and antonyms: one turns the meaning round; one of each cancel ("not bad", "good")."""
    opposite = {word for antonym in antonyms for word in (antonym.primary, antonym.other)}
    gone, come = (
        [(edit.at, word.text) for edit in found.edits for word in side(edit) if _denies(word) and word.text not in opposite]
        for side in (_primary, _other)
    )
    for place, word in list(gone):
        partner = next((other for other in come if abs(other[0] - place) <= NEARBY), None)
        if partner is not None:
            gone.remove((place, word))
            come.remove(partner)
    turns = len(gone) + len(come)
    cancelled = min(turns, len(antonyms))
    if turns > cancelled:
        counts["negation"] += 1
        yield Conflict("negation", " ".join(word for _, word in gone), " ".join(word for _, word in come))
    if len(antonyms) > cancelled:
        counts["antonyms"] += 1
        yield from antonyms[cancelled:]
    elif not turns and found.moved and _denied(pair.primary).isdisjoint(_denied(pair.other)) and _denied(pair.primary):
        counts["negation_moved"] += 1
        yield Conflict("negation", *(f"not {', '.join(sorted(_denied(side)))}" for side in (pair.primary, pair.other)))


def _denies(word: Word) -> bool:
    return word.lemma in NEGATIONS or word.lemma in DENIALS


def _denied(sentence: Sentence) -> set[str]:
    """What the negations of a sentence stand before: each one's next content word."""
    words = sentence.words
    following = (
        next((w.lemma for w in words[i + 1 :] if not w.is_function), "") for i, word in enumerate(words) if word.lemma in NEGATIONS
    )
    return set(filter(None, following))


def _classes(found: Difference, counts: Counter[str]) -> Iterator[Conflict]:
    """Function words that exclude each other: all and some, at least and at most, before and after."""
    mine = {CLASS_OF[word.text.lower()]: word.text for edit in found.edits for word in edit.primary if word.text.lower() in CLASS_OF}
    theirs = {CLASS_OF[word.text.lower()]: word.text for edit in found.edits for word in edit.other if word.text.lower() in CLASS_OF}
    for a, b in ((a, b) for a in mine if a not in theirs for b in theirs if b not in mine):
        if frozenset({a, b}) in _EXCLUDED:
            is_quantifier = {a, b} <= _QUANTIFIERS
            counts["quantifier" if is_quantifier else "function"] += 1
            yield Conflict("quantifier" if is_quantifier else "antonym", mine[a], theirs[b])
    for edit in found.edits:
        if not any(_is_content(word) for word in (*edit.primary, *edit.other)):
            counts["function_edits"] += 1
