"""Changed facts, told from other words for the same: numbers, dates, names, negations, antonyms, quantifiers. PURE.

Vectors cannot see these: "5 mg" and "50 mg" are nearly the same to an embedding, and a contradiction is closer than a paraphrase. So the
sentences are aligned first (``sentences``), what one has in place of the other's words is read as evidence (``evidence``), and weighed with
what was learned from sentences whose facts people have changed (``facts_weights``).

Two draws of one model mostly tell different things, and are no contradiction: only sentences that are otherwise nearly the same make a
major divergence, what only one side says is ``facts.more`` or ``facts.less``, and where nothing aligns there is no score at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from shadowproxy.compare.evidence import Conflict, Evidence, Weigher
from shadowproxy.compare.facts_weights import INTERCEPT, WEIGHTS
from shadowproxy.compare.kinds import Found, divergence
from shadowproxy.compare.sentences import AlignedPair, Alignment, Sentence, align, sentences
from shadowproxy.compare.words import NO_LEXICON, Lexicon
from shadowproxy.exchange import Divergence, Severity

#: From this overlap on, and with at most so many words replaced, two sentences are one sentence with a fact changed: a conflict is major.
NEARLY_SAME = 0.75
REPLACED = 3

#: Below this overlap two sentences share a subject and little more: a conflict between them is only shown.
SAME_STATEMENT = 0.6

#: Divergences listed of one pair. The score counts all.
LISTED = 12


def compare_facts(primary_text: str, other_text: str, lexicon: Lexicon = NO_LEXICON) -> Found:
    """Where the texts speak of the same thing and do not say the same about it.

    The score is the probability that a fact was changed, times the share of both texts that could be compared sentence by sentence: None
    where nothing aligns. ``lexicon`` tells synonyms from antonyms; without one, only numbers, names, negations and function words count.
    """
    mine, theirs = sentences(primary_text, lexicon), sentences(other_text, lexicon)
    if not mine or not theirs:
        return Found()
    found = align(mine, theirs)
    if not found.pairs and not found.same:
        return Found()
    weigher = Weigher(lexicon)
    judged = [(pair, weigher.evidence(pair)) for pair in found.pairs]
    return Found(
        score=round(coverage(found) * probability(counted(judged)), 6),
        divergences=(*_listed(judged), *_one_sided(found)),
    )


def coverage(found: Alignment) -> float:
    """The share of both texts, by words, that stands in sentences which the other has too, in the same or nearly the same words."""
    common = 2 * found.same_words + sum(closeness(pair) * (len(pair.primary.words) + len(pair.other.words)) for pair in found.pairs)
    alone = sum((1 - closeness(pair)) * (len(pair.primary.words) + len(pair.other.words)) for pair in found.pairs)
    alone += sum(len(sentence.words) for sentence in (*found.only_primary, *found.only_other))
    return common / (common + alone) if common else 0.0


def closeness(pair: AlignedPair) -> float:
    """How far a pair counts as one statement in two forms: 0 for a shared subject, 1 from ``NEARLY_SAME`` on."""
    return min(1.0, max(0.0, (pair.overlap - 0.45) / (NEARLY_SAME - 0.45)))


def counted(judged: Sequence[tuple[AlignedPair, Evidence]]) -> dict[str, float]:
    """The evidence of all pairs added up, each by its closeness."""
    total: dict[str, float] = {}
    for pair, evidence in judged:
        for name, count in evidence.counts.items():
            total[name] = total.get(name, 0.0) + closeness(pair) * count
    total["only_edit"] = float(0 < total.get("edits", 0.0) <= 1)
    return total


def probability(counts: dict[str, float]) -> float:
    """How likely these edits change a fact: a logistic regression on the square roots of the counts; 0 without an edit."""
    if not counts.get("edits") and not counts.get("moved"):
        return 0.0
    logit = INTERCEPT + sum(weight * math.sqrt(counts.get(name, 0.0)) for name, weight in WEIGHTS.items())
    return 1 / (1 + math.exp(-logit))


def _listed(judged: Sequence[tuple[AlignedPair, Evidence]]) -> list[Divergence]:
    """The conflicts as divergences, the gravest first, at most ``LISTED``."""
    found = [
        divergence(f"facts.{conflict.kind}", _severity(pair, evidence), conflict.primary, conflict.other, why=_why(conflict, pair))
        for pair, evidence in judged
        for conflict in evidence.conflicts
    ]
    return sorted(found, key=lambda one: _ORDER.index(one.severity))[:LISTED]


_ORDER = (Severity.CRITICAL, Severity.MAJOR, Severity.MINOR, Severity.INFO)


def _severity(pair: AlignedPair, evidence: Evidence) -> Severity:
    if pair.overlap >= NEARLY_SAME and evidence.replaced <= REPLACED:
        return Severity.MAJOR
    return Severity.MINOR if pair.overlap >= SAME_STATEMENT else Severity.INFO


_REASONS = {
    "number": "another number",
    "date": "another date or time",
    "money": "another amount of money",
    "name": "another name",
    "negation": "one side denies what the other says",
    "antonym": "opposite words",
    "quantifier": "another quantity or certainty",
}


def _why(conflict: Conflict, pair: AlignedPair) -> str:
    return f"{_REASONS[conflict.kind]} in: {pair.primary.text}"


def _one_sided(found: Alignment) -> Iterator[Divergence]:
    for kind, severity, only in (("facts.less", Severity.MINOR, found.only_primary), ("facts.more", Severity.INFO, found.only_other)):
        if only:
            first = _first_text(only)
            sides = (first, "") if kind == "facts.less" else ("", first)
            yield divergence(kind, severity, *sides, why=f"{len(only)} sentences have no counterpart")


def _first_text(only: Sequence[Sentence]) -> str:
    return only[0].text
