"""Where two aligned sentences do not say the same: amounts, dates, names, negations, quantifiers. PURE.

``evidence`` asks for these and counts them; each function adds to the counts what it found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from shadowproxy.compare.alignment import AlignedPair
from shadowproxy.compare.edits import Difference, Edit
from shadowproxy.compare.measures import CALENDAR_WORDS, NUMBER_WORDS, UNITS, VALUE_WORDS
from shadowproxy.compare.moments import Moment
from shadowproxy.compare.quantities import Quantity, quantities
from shadowproxy.compare.sentences import Sentence, Word
from shadowproxy.compare.vocabulary import ALIASES, CLASS_OF, DENIALS, EXCLUDED, NEGATIONS, QUANTIFIERS

#: A negation that comes at most so many words from where another one went is the same one: "is no proof", "is not any proof".
NEARBY = 3


@dataclass(frozen=True, slots=True)
class Conflict:
    """The primary's and the other's word on the same thing. ``kind`` is the divergence it makes (``number``, ``date``, ``name`` ...)."""

    kind: str
    primary: str
    other: str


def is_number(word: Word) -> bool:
    return word.text[0].isdigit() or word.text.lower() in NUMBER_WORDS


def is_content(word: Word) -> bool:
    return not word.is_function


def is_plain(word: Word) -> bool:
    """A content word that is neither a number nor a name: those are compared by value."""
    return not (word.is_function or word.is_name or is_number(word) or word.text.lower() in CALENDAR_WORDS)


def amounts_in_conflict(primary: Sentence, other: Sentence, counts: Counter[str]) -> Iterator[Conflict]:
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


def units_in_conflict(found: Difference, counts: Counter[str]) -> Iterator[Conflict]:
    """Another unit in the place of one, where no number says how many: "for several days", "for several years"."""
    for edit in found.edits:
        if len(edit.primary) == len(edit.other) == 1 and not counts["value"]:
            mine, theirs = UNITS.get(edit.primary[0].lemma), UNITS.get(edit.other[0].lemma)
            if mine is not None and theirs is not None and mine != theirs:
                counts["value"] += 1
                yield Conflict("number", edit.primary[0].text, edit.other[0].text)


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


def names_in_conflict(found: Difference, counts: Counter[str]) -> Iterator[Conflict]:
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


def swapped_names(pair: AlignedPair, found: Difference) -> Iterator[Conflict]:
    """The same words in another order, and names among those that moved: who did it to whom. "Ann and Mike" may be turned round."""
    if found.edits or not found.moved:
        return
    both = tuple(zip(pair.primary.words, pair.other.words, strict=True))
    places = [i for i, (a, b) in enumerate(both) if a.lemma != b.lemma]
    region = pair.primary.words[places[0] : places[-1] + 1] if places else ()
    if any(word.is_name for word in region) and any(is_content(word) and not word.is_name for word in region):
        yield Conflict("name", " ".join(word.text for word in region), " ".join(b.text for _, b in both[places[0] : places[-1] + 1]))


def without_equal_values(found: Difference, counts: Counter[str]) -> Difference:
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
    return word.is_name and word.text.lower() not in CALENDAR_WORDS and not is_number(word)


def _is_alias(a: str, b: str) -> bool:
    """The same name in another form: ``U.S.`` and ``US``, ``Russia`` and ``Russian``, ``Rob`` and ``Robert``."""
    a, b = a.replace(".", "").lower(), b.replace(".", "").lower()
    shorter = min(len(a), len(b))
    return (
        a == b
        or (shorter >= 3 and a[: max(3, shorter - 1)] == b[: max(3, shorter - 1)])
        or any(a in group and b in group for group in ALIASES)
    )


def turned(pair: AlignedPair, found: Difference, antonyms: list[Conflict], counts: Counter[str]) -> Iterator[Conflict]:
    """Negations and antonyms: one turns the meaning round; one of each cancel ("not bad", "good")."""
    opposite = {word for antonym in antonyms for word in (antonym.primary, antonym.other)}
    gone = _denials(((edit.at, edit.primary) for edit in found.edits), opposite)
    come = _denials(((edit.at, edit.other) for edit in found.edits), opposite)
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


def _denials(places: Iterable[tuple[int, tuple[Word, ...]]], opposite: set[str]) -> list[tuple[int, str]]:
    """The words that deny, each with its place; one that is half of an antonym counts there."""
    return [(at, word.text) for at, words in places for word in words if denies(word) and word.text not in opposite]


def denies(word: Word) -> bool:
    return word.lemma in NEGATIONS or not DENIALS.isdisjoint((word.lemma, word.text.lower()))


def _denied(sentence: Sentence) -> set[str]:
    """What the negations of a sentence stand before: each one's next content word."""
    words = sentence.words
    following = (
        next((w.lemma for w in words[i + 1 :] if not w.is_function), "") for i, word in enumerate(words) if word.lemma in NEGATIONS
    )
    return set(filter(None, following))


def exclusive_words(found: Difference, counts: Counter[str]) -> Iterator[Conflict]:
    """Function words that exclude each other: all and some, at least and at most, before and after."""
    mine = {CLASS_OF[word.text.lower()]: word.text for edit in found.edits for word in edit.primary if word.text.lower() in CLASS_OF}
    theirs = {CLASS_OF[word.text.lower()]: word.text for edit in found.edits for word in edit.other if word.text.lower() in CLASS_OF}
    for a, b in ((a, b) for a in mine if a not in theirs for b in theirs if b not in mine):
        if frozenset({a, b}) in EXCLUDED:
            is_quantifier = {a, b} <= QUANTIFIERS
            counts["quantifier" if is_quantifier else "function"] += 1
            yield Conflict("quantifier" if is_quantifier else "antonym", mine[a], theirs[b])
    for edit in found.edits:
        if not any(is_content(word) for word in (*edit.primary, *edit.other)):
            counts["function_edits"] += 1
