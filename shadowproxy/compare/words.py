"""How two words relate: the same, alike in meaning, opposite, one kind of the other. PURE: the table comes in as text.

The table is distilled from WordNet by ``scripts/lexicon.py``, which documents its lines; ``shadowproxy.lexicon`` reads it from the package.
``facts`` asks here about the words that one sentence has in place of another's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate


class Relation(StrEnum):
    """What the lexicon knows of two words; the first that holds, in this order."""

    SAME = "same"
    """One word, however inflected."""
    ANTONYM = "antonym"
    SYNONYM = "synonym"
    """They share a sense."""
    DERIVED = "derived"
    """One is made from the other, or from a synonym of it: ``invade`` and ``invasion``."""
    OPPOSED = "opposed"
    """One sounds good and the other bad: ``supportive`` and ``dissatisfied``."""
    SIMILAR = "similar"
    """An adjective and one of its cluster: ``big`` and ``massive``."""
    KIND = "kind"
    """One is a kind of the other: ``car`` and ``vehicle``."""
    SIBLING = "sibling"
    """Two kinds of the same thing: ``butter`` and ``margarine``, ``red`` and ``blue``."""
    OTHER = "other"
    """Both are known, and none of the above."""
    UNKNOWN = "unknown"
    """At least one is not in the lexicon."""


#: WordNet's lexicographer files, in the order of the table.
FIELDS = (
    "adj.all adj.pert adv.all noun.tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition noun.communication "
    "noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person noun.phenomenon noun.plant "
    "noun.possession noun.process noun.quantity noun.relation noun.shape noun.state noun.substance noun.time verb.body verb.change "
    "verb.cognition verb.communication verb.competition verb.consumption verb.contact verb.creation verb.emotion verb.motion "
    "verb.perception verb.possession verb.social verb.stative verb.weather adj.ppl"
).split()

#: Endings and what stands in their place, longest first; the result counts only where the lexicon has it.
_ENDINGS = (
    ("iest", "y"), ("ied", "y"), ("ier", "y"), ("ies", "y"), ("ing", ""), ("ing", "e"), ("est", ""), ("est", "e"),
    ("ed", ""), ("ed", "e"), ("es", ""), ("er", ""), ("er", "e"), ("s", ""),
)  # fmt: skip

#: What turns a word into its opposite.
_NEGATING_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "non-", "mis", "de", "anti", "anti-")

#: Senses of each word that are looked at (the table holds up to eight a part of speech), and those that its opposites are taken from.
_SENSES = 16
_FREQUENT_SENSES = 4


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the lexicon knows of one word. The sets hold numbers of senses; all are empty for an unknown word.

    ``above`` are the senses that it is a kind of, in one step, ``higher`` those in two.
    """

    word: str
    lemma: str
    field: str = ""
    parts: tuple[str, ...] = ()
    """Parts of speech as the fields name them (``noun``, ``verb``, ``adj``, ``adv``), most frequent first."""
    senses: frozenset[int] = frozenset()
    similar: frozenset[int] = frozenset()
    opposite: frozenset[int] = frozenset()
    derived: frozenset[int] = frozenset()
    above: frozenset[int] = frozenset()
    higher: frozenset[int] = frozenset()
    valence: float = 0.0
    """How good (above 0) or bad it sounds, -4..4; 0 where it does neither clearly."""


class Lexicon:
    """Words, their senses, and how the senses hang together. Lookups cost a few microseconds and never fail."""

    __slots__ = ("_fields", "_forms", "_senses", "_valences", "_words")

    def __init__(
        self,
        fields: Sequence[int],
        senses: Sequence[str],
        words: Mapping[str, str],
        forms: Mapping[str, str],
        valences: Mapping[str, str],
    ) -> None:
        self._fields = tuple(accumulate(fields))
        self._senses = senses
        self._words = words
        self._forms = forms
        self._valences = valences

    def __contains__(self, word: str) -> bool:
        return word in self._words

    def lemma(self, word: str) -> str:
        """The base form of ``word`` (lower case): its irregular base, itself where it is known, or what is left without its ending."""
        base = self._forms.get(word)
        if base is not None:
            return base
        return word if word in self._words and not word.endswith(("s", "ing", "ed")) else next(self._bases(word), word)

    def meaning(self, word: str) -> Meaning:
        """Everything about ``word`` (lower case, any form). Its field is that of its most frequent sense."""
        lemma = self.lemma(word)
        valence = float(self._valences.get(word) or self._valences.get(lemma) or 0)
        numbers = self._sense_numbers(word, lemma)
        if not numbers:
            return Meaning(word, lemma, valence=valence)
        senses = frozenset(numbers)
        similar, above = self._next(senses, 1), self._next(senses, 0)
        frequent = numbers[:_FREQUENT_SENSES]
        # The opposite of an adjective is that of its cluster too (tiny, huge); that of a verb is that of what it is a way of (add, reduce).
        near = self._next(frequent, 1) | self._next(frequent, 3)  # positively, positive
        opposite = self._next(frequent, 2) | self._next(near, 2)
        fields = [FIELDS[bisect_right(self._fields, number)] for number in numbers]
        parts = tuple(dict.fromkeys(name.partition(".")[0] for name in fields))
        derived, higher = self._next(senses, 3), self._next(above, 0)
        return Meaning(word, lemma, fields[0], parts, senses, similar, opposite, derived, above, higher, valence)

    def _next(self, senses: Iterable[int], column: int) -> frozenset[int]:
        return frozenset(number for sense in senses for number in self._column(sense, column))

    def _column(self, sense: int, column: int) -> list[int]:
        columns = self._senses[sense].split(";")
        return [int(number) for number in columns[column].split(",")] if column < len(columns) and columns[column] not in ("", "-") else []

    def _sense_numbers(self, word: str, lemma: str) -> list[int]:
        found: dict[int, None] = {}
        for form in dict.fromkeys((lemma, word)):
            listed = self._words.get(form)
            if listed is not None:
                found.update(dict.fromkeys(map(int, listed.split(",")[:_SENSES])))
        return list(found)

    def _bases(self, word: str) -> Iterator[str]:
        """Known words that ``word`` may be a regular form of."""
        for ending, instead in _ENDINGS:
            if word.endswith(ending) and len(word) > len(ending) + 1:
                base = word[: len(word) - len(ending)] + instead
                if base in self._words:
                    yield base
                if not instead and len(base) > 3 and base[-1] == base[-2] and base[:-1] in self._words:
                    yield base[:-1]  # stopped, stop


def relation(a: Meaning, b: Meaning) -> Relation:
    """How two words relate."""
    if a.word == b.word or a.lemma == b.lemma:
        return Relation.SAME
    if is_negated_form(a.lemma, b.lemma):
        return Relation.ANTONYM
    if not a.senses or not b.senses:
        if _share_stem(a.word, b.word):
            return Relation.SAME
        return Relation.OPPOSED if a.valence * b.valence < 0 else Relation.UNKNOWN
    found = _between(a, b)
    return Relation.DERIVED if found is Relation.OTHER and _share_stem(a.word, b.word) else found


def _between(a: Meaning, b: Meaning) -> Relation:
    if a.senses & b.senses:
        return Relation.SYNONYM
    if a.opposite & (b.senses | b.similar | b.above | b.derived) or b.opposite & (a.senses | a.similar | a.above | a.derived):
        return Relation.ANTONYM
    if a.derived & (b.senses | b.derived) or b.derived & a.senses:
        return Relation.DERIVED
    if a.valence * b.valence < 0:
        return Relation.OPPOSED
    if a.similar & b.senses or b.similar & a.senses:
        return Relation.SIMILAR
    if (a.above | a.higher) & b.senses or (b.above | b.higher) & a.senses:
        return Relation.KIND
    return Relation.SIBLING if a.above & b.above or a.similar & b.similar else Relation.OTHER


def parse(table: str) -> Lexicon:
    """The lexicon of a table in the form that ``scripts/lexicon.py`` writes. Raises ``ValueError`` where it is not one."""
    fields, senses, words, forms, valences = table.rstrip("\n").split("\n\n")
    return Lexicon(tuple(map(int, fields.split())), senses.split("\n"), _columns(words), _columns(forms), _columns(valences))


def _columns(lines: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines.split("\n"):
        left, _, right = line.partition("\t")
        found[left] = right
    return found


#: Without a table: only equal words, endings that look alike and negating prefixes are known.
NO_LEXICON = Lexicon((), (), {}, {}, {})


def is_negated_form(a: str, b: str) -> bool:
    """True where one word is the other with a negating prefix or the opposite suffix: ``able`` and ``unable``, ``useful`` and ``useless``."""
    shorter, longer = sorted((a, b), key=len)
    if len(shorter) > 3 and longer.endswith(shorter) and longer[: len(longer) - len(shorter)] in _NEGATING_PREFIXES:
        return True
    return {a[-3:], b[-4:]} == {"ful", "less"} and a[:-3] == b[:-4] or {b[-3:], a[-4:]} == {"ful", "less"} and b[:-3] == a[:-4]


def _share_stem(a: str, b: str) -> bool:
    """True for words that begin alike and differ only in a short ending: what the table does not know is mostly inflected names."""
    shorter, longer = sorted((a, b), key=len)
    same = next((i for i, (x, y) in enumerate(zip(shorter, longer, strict=False)) if x != y), len(shorter))
    return same >= 4 and same >= len(shorter) - 2 and len(longer) - same <= 4
