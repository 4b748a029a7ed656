"""How two words relate: the same, alike in meaning, opposite, one kind of the other. PURE.

``evidence`` asks here about the words that one sentence has in place of another's.
"""

from __future__ import annotations

from enum import StrEnum

from shadowproxy.compare.words import Meaning


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


#: What turns a word into its opposite.
_NEGATING_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "non-", "mis", "de", "anti", "anti-")


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
    if a.opposite & _reached(b) or b.opposite & _reached(a):
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


def _reached(word: Meaning) -> frozenset[int]:
    """What the other word's opposites have to meet. A verb's groups lead too far (become, get, fall), and so does what a word is a kind
    of: an eve is a day, and no opposite of the night."""
    cluster = word.similar if word.parts[:1] in (("adj",), ("adv",)) else frozenset()
    return word.senses | word.derived | cluster


def is_negated_form(a: str, b: str) -> bool:
    """True where one word is the other with a negating prefix or the opposite suffix: ``able`` and ``unable``, ``useful``, ``useless``."""
    shorter, longer = sorted((a, b), key=len)
    if len(shorter) > 3 and longer.endswith(shorter) and longer[: len(longer) - len(shorter)] in _NEGATING_PREFIXES:
        return True
    return any(x.endswith("ful") and y.endswith("less") and x[:-3] == y[:-4] for x, y in ((a, b), (b, a)))


def _share_stem(a: str, b: str) -> bool:
    """True for words that begin alike and differ only in a short ending: what the table does not know is mostly inflected names."""
    shorter, longer = sorted((a, b), key=len)
    same = next((i for i, (x, y) in enumerate(zip(shorter, longer, strict=False)) if x != y), len(shorter))
    return same >= 4 and same >= len(shorter) - 2 and len(longer) - same <= 4
