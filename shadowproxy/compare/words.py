"""What is known of single words: base forms, senses, and how the senses hang together. PURE: the table comes in as text.

The table is distilled from WordNet by ``scripts/lexicon.py``, which documents its lines; ``shadowproxy.lexicon`` reads it from the package.
``relations`` says how two words relate by it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

Remembered = TypeVar("Remembered")


def listed(words: str) -> tuple[str, ...]:
    """The words of a list written as one line, in its order."""
    return tuple(words.split())


#: WordNet's lexicographer files, in the order of the table.
FIELDS = listed(
    "adj.all adj.pert adv.all noun.tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition noun.communication "
    "noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person noun.phenomenon noun.plant "
    "noun.possession noun.process noun.quantity noun.relation noun.shape noun.state noun.substance noun.time verb.body verb.change "
    "verb.cognition verb.communication verb.competition verb.consumption verb.contact verb.creation verb.emotion verb.motion "
    "verb.perception verb.possession verb.social verb.stative verb.weather adj.ppl"
)

#: Endings and what stands in their place, longest first; the result counts only where the lexicon has it.
_ENDINGS = (
    ("iest", "y"), ("ied", "y"), ("ier", "y"), ("ies", "y"), ("ing", ""), ("ing", "e"), ("est", ""), ("est", "e"),
    ("ed", ""), ("ed", "e"), ("es", ""), ("er", ""), ("er", "e"), ("s", ""),
)  # fmt: skip

#: Endings before which a short base doubles its last letter: ``hopped`` comes from ``hop``, ``hoped`` from ``hope``.
_LEAVING_E = frozenset({"es", "ing", "ed", "er", "est"})
_SHORT_BASE = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")

#: Words that the table has too, and that are first of all forms of an adjective.
_COMPARED = frozenset(listed("fewer fewest higher larger lower lowest older smaller"))

#: Lookups remembered, about 100 bytes a lemma and 2 kB a meaning, and the longest word that is: what is longer is none.
LEMMAS = 20_000
MEANINGS = 4_000
LONGEST = 40

#: The columns of the table's senses.
_ABOVE, _SIMILAR, _OPPOSITE, _DERIVED = range(4)

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
    """Words, their senses, and how the senses hang together. Lookups never fail.

    It remembers the last few thousand lookups, which changes no answer: a text is made of few words, most of them in the next text too.
    """

    __slots__ = ("_fields", "_forms", "_lemmas", "_meanings", "_senses", "_valences", "_words")

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
        self._lemmas: dict[str, str] = {}
        self._meanings: dict[str, Meaning] = {}

    def __contains__(self, word: str) -> bool:
        return word in self._words

    def lemma(self, word: str) -> str:
        """The base form of ``word`` (lower case): its irregular base, itself where it is known, or what is left without its ending.

        A verb of two words ("carried out") has that of its first.
        """
        found = self._lemmas.get(word)
        return found if found is not None else _remembered(self._lemmas, word, self._lemma(word), LEMMAS)

    def _lemma(self, word: str) -> str:
        first, _, rest = word.partition(" ")
        if rest:
            return f"{self.lemma(first)} {rest}"
        base = self._forms.get(word)
        if base is not None:
            return base
        is_base = word in self._words and not word.endswith(("s", "ing", "ed")) and word not in _COMPARED
        return word if is_base else next(self._bases(word), word)

    def meaning(self, word: str) -> Meaning:
        """Everything about ``word`` (lower case, any form). Its field is that of its most frequent sense."""
        found = self._meanings.get(word)
        return found if found is not None else _remembered(self._meanings, word, self._meaning(word), MEANINGS)

    def _meaning(self, word: str) -> Meaning:
        lemma = self.lemma(word)
        valence = float(self._valences.get(word) or self._valences.get(lemma) or 0)
        numbers = self._sense_numbers(word, lemma)
        if not numbers:
            return Meaning(word, lemma, valence=valence)
        if self._field(numbers[0]).startswith("adv"):
            # An adverb means what its adjective means: nearly all that the table knows hangs there.
            numbers += [made for number in numbers[:_FREQUENT_SENSES] for made in self._row(number)[_DERIVED] if made not in numbers]
        rows = [self._row(number) for number in numbers]
        above, similar, _, derived = (_united(rows, column) for column in range(4))
        # The opposite of an adjective is that of its cluster too (tiny, huge), that of an adverb is its adjective's (positively, positive).
        frequent = rows[:_FREQUENT_SENSES]
        near = [self._row(number) for number in _united(frequent, _SIMILAR) | _united(frequent, _DERIVED)]
        fields = [self._field(number) for number in numbers]
        return Meaning(
            word,
            lemma,
            fields[0],
            parts=tuple(dict.fromkeys(name.partition(".")[0] for name in fields)),
            senses=frozenset(numbers),
            similar=similar,
            opposite=_united(frequent, _OPPOSITE) | _united(near, _OPPOSITE),
            derived=derived,
            above=above,
            higher=_united([self._row(number) for number in above], _ABOVE),
            valence=valence,
        )

    def part(self, word: str) -> str:
        """The part of speech that ``word`` (lower case) is most often, as the fields name it; empty for an unknown word."""
        numbers = self._sense_numbers(word, self.lemma(word))
        return self._field(numbers[0]).partition(".")[0] if numbers else ""

    def _field(self, sense: int) -> str:
        return FIELDS[bisect_right(self._fields, sense)]

    def _row(self, sense: int) -> tuple[list[int], ...]:
        """The four columns of a sense, see ``scripts/lexicon.py``."""
        columns = self._senses[sense].split(";")
        return tuple(
            [int(number) for number in columns[i].split(",") if number not in ("", "-")] if i < len(columns) else [] for i in range(4)
        )

    def _sense_numbers(self, word: str, lemma: str) -> list[int]:
        found: dict[int, None] = {}
        for form in dict.fromkeys((lemma, word)):
            senses = self._words.get(form)
            if senses is not None:
                found.update(dict.fromkeys(map(int, senses.split(",")[:_SENSES])))
        return list(found)

    def _bases(self, word: str) -> Iterator[str]:
        """Known words that ``word`` may be a regular form of."""
        for ending, instead in _ENDINGS:
            if word.endswith(ending) and len(word) > len(ending) + 1:
                base = word[: len(word) - len(ending)] + instead
                if base in self._words and not (ending in _LEAVING_E and not instead and _would_double(base) and f"{base}e" in self._words):
                    yield base
                if not instead and len(base) > 3 and base[-1] == base[-2] and base[:-1] in self._words:
                    yield base[:-1]  # stopped, stop


def _would_double(base: str) -> bool:
    return _SHORT_BASE.fullmatch(base) is not None


def _remembered(memory: dict[str, Remembered], word: str, found: Remembered, limit: int) -> Remembered:
    if len(memory) >= limit:
        memory.clear()
    if len(word) <= LONGEST:
        memory[word] = found
    return found


def _united(rows: Iterable[tuple[list[int], ...]], column: int) -> frozenset[int]:
    return frozenset(number for row in rows for number in row[column])


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
