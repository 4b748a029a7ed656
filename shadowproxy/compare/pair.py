"""One pair to one comparison. PURE.

``shadow`` and the offline commands make a :class:`~shadowproxy.compare.view.View` of each arm, ask :func:`texts_to_embed` what vectors are
needed, get them from ``embed``, and call :func:`compare`; ``verdict`` counts what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from shadowproxy.compare.cost import compare_cost
from shadowproxy.compare.custom import hear
from shadowproxy.compare.facts import compare_facts
from shadowproxy.compare.json_values import document
from shadowproxy.compare.kinds import Found
from shadowproxy.compare.language import Detector, compare_language
from shadowproxy.compare.latency import latency_divergences
from shadowproxy.compare.length import compare_length
from shadowproxy.compare.means import Means
from shadowproxy.compare.media import compare_media
from shadowproxy.compare.outcome import compare_outcome
from shadowproxy.compare.overall import divergence_of
from shadowproxy.compare.ranking import compare_ranking
from shadowproxy.compare.refusal import compare_refusals
from shadowproxy.compare.structure import compare_structure
from shadowproxy.compare.suppressed import suppressed_by
from shadowproxy.compare.text import cosine, is_equal, lexical_overlap, settled_similarity, text_divergences
from shadowproxy.compare.tools import compare_tools
from shadowproxy.compare.vectors import compare_vectors
from shadowproxy.compare.view import MAX_CHOICES, View
from shadowproxy.compare.words import Lexicon
from shadowproxy.exchange import Asked, Choice, Comparison, Divergence, Outcome


def texts_to_embed(primary: View, other: View) -> tuple[str, str] | None:
    """The texts whose vectors :func:`compare` needs, primary's first; None where it can do without (equal, empty, no answer)."""
    if primary.answer is None or other.answer is None or primary.exchange.outcome.is_failure or other.exchange.outcome.is_failure:
        return None
    if primary.answer.embeddings or primary.answer.ranking:
        return None
    texts = primary.text, other.text
    return texts if settled_similarity(*texts, is_same=is_equal(*texts)) is None else None


def compare(
    primary: View,
    other: View,
    vectors: tuple[NDArray[Any], NDArray[Any]] | None,
    asked: Asked | None = None,
    means: Means | None = None,
) -> Comparison:
    """What differs between the primary's exchange and another arm's of the same request.

    ``vectors`` belong to :func:`texts_to_embed`, in its order; None where that returned None, or without an embedder: then a similarity
    that would need them is None.
    """
    judged = _judged(_Pair(primary, other, vectors, asked or Asked(), means or Means()))
    return Comparison(
        arm=other.exchange.arm,
        outcome=other.exchange.outcome,
        similarity=judged.similarity,
        is_exact=judged.is_exact,
        is_equal_normalised=judged.is_equal_normalised,
        primary_timing=primary.timing,
        timing=other.timing,
        divergences=judged.divergences,
        scores=judged.scores,
        divergence=judged.divergence,
        suppressed=judged.suppressed,
        primary_side=primary.side,
        side=other.side,
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    """What the comparators get."""

    primary: View
    other: View
    vectors: tuple[NDArray[Any], NDArray[Any]] | None
    asked: Asked
    means: Means

    @property
    def choices(self) -> tuple[tuple[Choice, Choice], ...]:
        """Choices side by side, as sent; a number that differs is a divergence of its own."""
        return _side_by_side(self.primary, self.other, is_ruled=False)

    @property
    def ruled(self) -> tuple[tuple[Choice, Choice], ...]:
        """Choices side by side, after the rules."""
        return _side_by_side(self.primary, self.other, is_ruled=True)


def _side_by_side(primary: View, other: View, *, is_ruled: bool) -> tuple[tuple[Choice, Choice], ...]:
    if primary.answer is None or other.answer is None:
        return ()
    ours, theirs = (primary.ruled, other.ruled) if is_ruled else (primary.answer, other.answer)
    return tuple(zip(ours.choices[:MAX_CHOICES], theirs.choices[:MAX_CHOICES], strict=False))


@dataclass(frozen=True, slots=True)
class _Judged:
    """The part of a comparison that depends on how far the two exchanges got."""

    similarity: float | None = None
    is_exact: bool = False
    is_equal_normalised: bool = False
    divergences: tuple[Divergence, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    divergence: float | None = None
    suppressed: dict[str, int] = field(default_factory=dict)


def _judged(pair: _Pair) -> _Judged:
    primary, other = pair.primary, pair.other
    if Outcome.DROPPED_LOCAL in (primary.exchange.outcome, other.exchange.outcome):
        return _Judged()  # what we lost says nothing about either arm
    outcome = compare_outcome(primary.exchange, primary.answer, other.exchange, other.answer)
    if primary.exchange.outcome.is_failure:
        return _Judged(divergences=outcome.divergences)
    if other.exchange.outcome.is_failure:
        return _Judged(0.0, divergences=outcome.divergences, scores={"outcome": 1.0}, divergence=1.0)
    if primary.answer is None:
        # A protocol nobody here reads: the bytes can be compared, what they mean cannot.
        is_same = other.answer is None and _body(primary) == _body(other)
        found = (*outcome.divergences, *_latency(pair).divergences)
        return _Judged(None, is_same, is_same, found, divergence=0.0 if is_same else None)
    return _judge_answers(pair, outcome)


def _body(view: View) -> bytes:
    return view.exchange.reply.body if view.exchange.reply is not None else b""


def _judge_answers(pair: _Pair, outcome: Found) -> _Judged:
    """The primary's reply could be read. Where the other's could not, that one said nothing."""
    texts = pair.primary.text, pair.other.text
    is_same = pair.other.answer is not None and is_equal(*texts)
    found = {"outcome": outcome, **{kind: comparator(pair) for kind, comparator in _COMPARATORS}, **_custom(pair)}
    similarity = _similarity(pair, found, is_same=is_same)
    found["text"] = _text(texts, similarity, is_same=is_same)
    scores = {kind: each.score for kind, each in found.items() if each.score is not None}
    is_exact = is_same and texts[0] == texts[1] and not any(scores.get(kind) for kind in ("vectors", "ranking", "media"))
    return _Judged(
        similarity=similarity,
        is_exact=is_exact,
        is_equal_normalised=is_same,
        divergences=tuple(divergence for each in found.values() for divergence in each.divergences),
        scores=scores,
        divergence=divergence_of(scores),
        suppressed=_suppressed(pair),
    )


def _similarity(pair: _Pair, found: dict[str, Found], *, is_same: bool) -> float | None:
    """Of texts by their vectors; of embeddings and rankings, which have no text, by how little their comparator found."""
    for kind in ("vectors", "ranking"):
        score = found[kind].score
        if score is not None:
            return 1.0 - score
    texts = pair.primary.text, pair.other.text
    if not any(text.strip() for text in texts):
        return None  # neither side has text
    settled = settled_similarity(*texts, is_same=is_same)
    return cosine(*pair.vectors) if settled is None and pair.vectors is not None else settled


def _text(texts: tuple[str, str], similarity: float | None, *, is_same: bool) -> Found:
    """Without an embedder the words alone tell: cruder, and said to be so in the documentation."""
    divergences = tuple(text_divergences(*texts, is_same=is_same))
    if not any(text.strip() for text in texts):
        return Found(None, divergences)
    return Found(1.0 - (lexical_overlap(*texts) if similarity is None else similarity), divergences)


# --- the comparators, one row each ----------------------------------------------------------------------------------------


def _lexical(pair: _Pair) -> Found:
    texts = pair.primary.text, pair.other.text
    return Found(1.0 - lexical_overlap(*texts)) if all(text.strip() for text in texts) else Found()


def _facts(pair: _Pair) -> Found:
    """Of prose: the values of JSON are compared place by place, as structure."""
    return _over([_facts_of_choices(ours, theirs, pair.means.lexicon) for ours, theirs in pair.ruled if _are_prose(ours, theirs)])


def _facts_of_choices(ours: Choice, theirs: Choice, lexicon: Lexicon) -> Found:
    return Found(0.0) if ours.text == theirs.text else compare_facts(ours.text, theirs.text, lexicon)


def _are_prose(ours: Choice, theirs: Choice) -> bool:
    return bool(ours.text.strip() and theirs.text.strip()) and not (_is_json(ours.text) and _is_json(theirs.text))


def _is_json(text: str) -> bool:
    found = document(text) if text.lstrip()[:1] in ("{", "[", "`") else None
    return found is not None and isinstance(found.value, dict | list)


def _structure(pair: _Pair) -> Found:
    speaking = [(ours, theirs) for ours, theirs in pair.choices if not (ours.tool_calls or theirs.tool_calls)]
    return _over([compare_structure(ours.text, theirs.text, pair.asked, pair.means.rules) for ours, theirs in speaking])


def _tools(pair: _Pair) -> Found:
    return _over([compare_tools(ours, theirs, pair.asked, pair.means.rules) for ours, theirs in pair.choices])


def _refusal(pair: _Pair) -> Found:
    kinds = zip(pair.primary.refusals, pair.other.refusals, strict=False)
    return _over([compare_refusals(*choices, *both) for choices, both in zip(pair.choices, kinds, strict=False)])


def _length(pair: _Pair) -> Found:
    return _over([compare_length(ours, theirs) for ours, theirs in pair.ruled])


def _language(pair: _Pair) -> Found:
    if pair.means.detector is None:
        return Found()
    return _over([_language_of_choices(ours, theirs, pair.means.detector) for ours, theirs in pair.ruled if ours.text and theirs.text])


def _language_of_choices(ours: Choice, theirs: Choice, detector: Detector) -> Found:
    return Found(0.0) if ours.text == theirs.text else compare_language(ours.text, theirs.text, detector)


def _media(pair: _Pair) -> Found:
    return _over([compare_media(ours.media, theirs.media) for ours, theirs in pair.choices])


def _vectors(pair: _Pair) -> Found:
    if pair.primary.answer is None or pair.other.answer is None:
        return Found()
    return compare_vectors(pair.primary.answer, pair.other.answer)


def _ranking(pair: _Pair) -> Found:
    if pair.primary.answer is None or pair.other.answer is None:
        return Found()
    return compare_ranking(pair.primary.answer.ranking, pair.other.answer.ranking)


def _cost(pair: _Pair) -> Found:
    if pair.primary.answer is None or pair.other.answer is None:
        return Found()
    return compare_cost(pair.primary.answer, pair.other.answer, pair.means.prices)


def _latency(pair: _Pair) -> Found:
    # Of one streamed and one whole reply: the first content of the latter comes with its last, so their moments are not the same thing.
    if _is_streamed(pair.primary) is not _is_streamed(pair.other):
        return Found()
    return Found(None, tuple(latency_divergences(pair.primary.timing, pair.other.timing)))


def _is_streamed(view: View) -> bool:
    return view.answer is not None and view.answer.is_streamed


_COMPARATORS: tuple[tuple[str, Callable[[_Pair], Found]], ...] = (
    ("lexical", _lexical),
    ("facts", _facts),
    ("structure", _structure),
    ("tools", _tools),
    ("refusal", _refusal),
    ("language", _language),
    ("length", _length),
    ("media", _media),
    ("vectors", _vectors),
    ("ranking", _ranking),
    ("cost", _cost),
    ("latency", _latency),
)


def _custom(pair: _Pair) -> dict[str, Found]:
    """What extensions say. One that fails is a divergence of its own kind: it shows, and nothing else is lost."""
    if pair.primary.answer is None or pair.other.answer is None:
        return {}
    heard = {each.name: hear(each, pair.primary.answer, pair.other.answer, pair.asked) for each in pair.means.custom}
    return {f"custom.{name}": each.found for name, each in heard.items()}


def _over(found: list[Found]) -> Found:
    """The comparator's word on an answer of several choices: the mean over those it can tell, and every divergence."""
    if len(found) == 1:
        return found[0]
    scores = [each.score for each in found if each.score is not None]
    return Found(sum(scores) / len(scores) if scores else None, tuple(_all_divergences(found)))


def _all_divergences(found: list[Found]) -> Iterator[Divergence]:
    for each in found:
        yield from each.divergences


def _suppressed(pair: _Pair) -> dict[str, int]:
    counts: dict[str, int] = {}
    if pair.means.rules.rules:
        for ours, theirs in pair.choices:
            for rule, count in suppressed_by(pair.means.rules, ours, theirs).items():
                counts[rule] = counts.get(rule, 0) + count
    return counts
