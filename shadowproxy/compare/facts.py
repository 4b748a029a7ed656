"""Changed facts, told from other words for the same: numbers, dates, names, negations, antonyms, quantifiers. PURE.

Vectors cannot see these: "5 mg" and "50 mg" are nearly the same to an embedding, and a contradiction is closer than a paraphrase. So the
sentences are aligned first (``sentences``), what one has in place of the other's words is read as evidence (``evidence``), and weighed with
what was learned from sentences whose facts people have changed (``facts_weights``).

Two draws of one model mostly tell different things, and are no contradiction: only sentences that are otherwise nearly the same make a
major divergence, what only one side says is ``facts.more`` or ``facts.less``, and where nothing aligns there is no score at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from shadowproxy.compare.alignment import AlignedPair, Alignment, align
from shadowproxy.compare.conflicts import Conflict
from shadowproxy.compare.evidence import Evidence, Weigher
from shadowproxy.compare.facts_weights import WEIGHTS
from shadowproxy.compare.kinds import Found, divergence
from shadowproxy.compare.sentences import Sentence, sentences
from shadowproxy.compare.words import NO_LEXICON, Lexicon
from shadowproxy.exchange import Divergence, Severity

#: From this sameness on (see ``Evidence``), and with at most so many other words replaced, two sentences are one sentence with a fact
#: changed: a conflict is major.
NEARLY_SAME = 0.8
REPLACED = 4
#: What the sentences must have in common besides, where an amount or a name is in conflict. Items of a list are built alike, and differ in
#: nothing but their names.
ALIKE = 0.65
ALIKE_NAMES = 0.75

#: Below this sameness two sentences share a subject and little more: a conflict between them is only shown, and from here down to
#: ``SAME_SUBJECT`` it counts less and less for the score.
SAME_STATEMENT = 0.65
SAME_SUBJECT = 0.45

Judged = tuple[AlignedPair, Evidence]

#: The probability that a fact was changed where a conflict was found, whatever else the edits say.
CONFLICT = 0.85

#: More conflicts than this in one sentence: it says something else, and not one thing differently.
CONFLICTS = 2

#: An answer with at least so many names and figures is about particulars: one that has none of them answers something else.
PARTICULARS = 3

#: Divergences listed of one pair. The score counts all.
LISTED = 12


def compare_facts(primary_text: str, other_text: str, lexicon: Lexicon = NO_LEXICON, weights: Mapping[str, float] = WEIGHTS) -> Found:
    """Where the texts speak of the same thing and do not say the same about it.

    The score is the probability that a fact was changed, times the cube of the share of both texts that could be compared sentence by
    sentence: two draws of one model share some sentences, an answer and its edited copy nearly all. It is None where nothing aligns.
    ``lexicon`` tells synonyms from antonyms; without one only numbers, dates, names, negations and function words are judged well.
    ``weights`` are those of ``facts_weights``; others are for measuring (``scripts/quality.py``).
    """
    mine, theirs = sentences(primary_text, lexicon), sentences(other_text, lexicon)
    if not mine or not theirs:
        return Found()
    found = align(mine, theirs)
    lost = tuple(_lost(mine, theirs))
    if not found.pairs and not found.same:
        return Found(divergences=lost)
    weigher = Weigher(lexicon)
    judged = [(pair, weigher.evidence(pair)) for pair in found.pairs]
    return Found(score=_score(found, judged, weights), divergences=(*_listed(judged), *lost, *_one_sided(found)))


def _score(found: Alignment, judged: Sequence[Judged], weights: Mapping[str, float]) -> float | None:
    share = coverage(found, judged) ** 3
    if not share:
        return None
    conflict = CONFLICT * max((closeness(evidence) for _, evidence in judged if evidence.conflicts), default=0.0)
    whole = share * (1 - (1 - probability(counted(judged), weights)) * (1 - conflict))
    # Of two answers that are one sentence each, nothing is left that could be about something else.
    is_all = len(judged) == 1 and not (found.same or found.only_primary or found.only_other)
    return round(max(whole, conflict) if is_all else whole, 6)


def coverage(found: Alignment, judged: Sequence[Judged]) -> float:
    """The share of both texts, by words, that stands in sentences which the other has too, in the same or nearly the same words."""
    shares = [(closeness(evidence), len(pair.primary.words) + len(pair.other.words)) for pair, evidence in judged]
    common = 2 * found.same_words + sum(share * words for share, words in shares)
    alone = sum((1 - share) * words for share, words in shares)
    alone += sum(len(sentence.words) for sentence in (*found.only_primary, *found.only_other))
    return common / (common + alone) if common else 0.0


def closeness(evidence: Evidence) -> float:
    """How far a pair counts as one statement in two forms: 0 for a shared subject, 1 from ``NEARLY_SAME`` on."""
    return min(1.0, max(0.0, (evidence.sameness - SAME_SUBJECT) / (NEARLY_SAME - SAME_SUBJECT)))


def counted(judged: Sequence[Judged]) -> dict[str, float]:
    """The evidence of all pairs added up, each by its closeness; ``only_edit`` is 1 where a single edit makes the whole difference."""
    total: dict[str, float] = {}
    for _, evidence in judged:
        for name, count in evidence.counts.items():
            total[name] = total.get(name, 0.0) + closeness(evidence) * count
    total["only_edit"] = float(0 < total.get("edits", 0.0) <= 1)
    return total


def probability(counts: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """How likely these edits change a fact: a logistic regression on the square roots of the counts; 0 without an edit."""
    if not counts.get("edits") and not counts.get("moved"):
        return 0.0
    logit = weights["intercept"] + sum(weights.get(name, 0.0) * math.sqrt(count) for name, count in counts.items())
    return 1 / (1 + math.exp(-logit))


def _listed(judged: Sequence[Judged]) -> list[Divergence]:
    """The conflicts as divergences, the gravest first, at most ``LISTED``."""
    found = [
        divergence(
            f"facts.{conflict.kind}", _severity(conflict, pair, evidence), conflict.primary, conflict.other, why=_why(conflict, pair)
        )
        for pair, evidence in judged
        for conflict in evidence.conflicts
    ]
    return sorted(found, key=lambda one: _ORDER.index(one.severity))[:LISTED]


_ORDER = (Severity.CRITICAL, Severity.MAJOR, Severity.MINOR, Severity.INFO)


def _severity(conflict: Conflict, pair: AlignedPair, evidence: Evidence) -> Severity:
    in_common = 0.0 if conflict.kind in _TURNS or pair.is_whole else ALIKE_NAMES if conflict.kind == "name" else ALIKE
    is_alike = evidence.sameness >= NEARLY_SAME and pair.overlap >= in_common
    if is_alike and evidence.replaced <= REPLACED and len(evidence.conflicts) <= CONFLICTS:
        return Severity.MAJOR
    return Severity.MINOR if evidence.sameness >= SAME_STATEMENT else Severity.INFO


#: What turns a statement round, where another name or number may just be another statement.
_TURNS = frozenset({"negation", "antonym", "quantifier"})

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


def _lost(primary: Sequence[Sentence], other: Sequence[Sentence]) -> Iterator[Divergence]:
    """Nothing that the primary's answer names or puts a figure to is in the other's, wherever it may stand."""
    named = _particulars(primary)
    if len(named) >= PARTICULARS and named.keys().isdisjoint(_particulars(other)):
        shown = ", ".join(list(named.values())[:LISTED])
        yield divergence("facts.lost", Severity.MAJOR, shown, "", why=f"none of {len(named)} names and figures is in the other answer")


def _particulars(side: Sequence[Sentence]) -> dict[str, str]:
    """Names and figures as written, by what they are compared as."""
    return {
        word.text.replace(".", "").replace(",", "").lower(): word.text
        for sentence in side
        for word in sentence.words
        if word.is_name or word.text[0].isdigit()
    }


def _first_text(only: Sequence[Sentence]) -> str:
    return only[0].text
