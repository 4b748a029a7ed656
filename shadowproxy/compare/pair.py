"""One pair to one comparison. PURE.

``shadow`` asks :func:`texts_to_embed` what it needs vectors for, gets them from ``embed``, and calls :func:`compare`; ``verdict`` counts
what comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from shadowproxy.compare.latency import latency_divergences, timing
from shadowproxy.compare.outcome import outcome_divergences
from shadowproxy.compare.text import comparable_text, cosine, is_equal, settled_similarity, text_divergences
from shadowproxy.exchange import Answer, Comparison, Divergence, Exchange, Outcome


def texts_to_embed(primary_answer: Answer | None, other_answer: Answer | None) -> tuple[str, str] | None:
    """The texts whose vectors :func:`compare` needs, primary's first; None where it can do without (equal, empty, no answer)."""
    if primary_answer is None or other_answer is None:
        return None
    texts = comparable_text(primary_answer), comparable_text(other_answer)
    return texts if settled_similarity(*texts, is_same=is_equal(*texts)) is None else None


def compare(
    primary: Exchange,
    primary_answer: Answer | None,
    other: Exchange,
    other_answer: Answer | None,
    vectors: tuple[NDArray[Any], NDArray[Any]] | None,
) -> Comparison:
    """What differs between the primary's exchange and another arm's of the same request.

    An answer is None where nothing could be read out of the reply. ``vectors`` belong to :func:`texts_to_embed`, in its order; None
    where that returned None, or without an embedder: then a similarity that would need them is None.
    """
    if Outcome.DROPPED_LOCAL in (primary.outcome, other.outcome):
        judged = _Judged()  # what we lost says nothing about either arm
    elif primary.outcome.is_failure or other.outcome.is_failure:
        judged = _Judged(
            similarity=None if primary.outcome.is_failure else 0.0,
            divergences=tuple(outcome_divergences(primary, primary_answer, other, other_answer)),
        )
    else:
        judged = _judge_replies(primary, primary_answer, other, other_answer, vectors)
    return Comparison(
        arm=other.arm,
        outcome=other.outcome,
        similarity=judged.similarity,
        is_exact=judged.is_exact,
        is_equal_normalised=judged.is_equal_normalised,
        primary_timing=timing(primary, primary_answer),
        timing=timing(other, other_answer),
        divergences=judged.divergences,
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """The part of a comparison that depends on how far the two exchanges got."""

    similarity: float | None = None
    is_exact: bool = False
    is_equal_normalised: bool = False
    divergences: tuple[Divergence, ...] = ()


def _judge_replies(
    primary: Exchange,
    primary_answer: Answer | None,
    other: Exchange,
    other_answer: Answer | None,
    vectors: tuple[NDArray[Any], NDArray[Any]] | None,
) -> _Judged:
    """Both arms replied."""
    outcomes = outcome_divergences(primary, primary_answer, other, other_answer)
    latencies = _latencies(primary, primary_answer, other, other_answer)
    if primary_answer is None:
        # A protocol nobody here reads: the bytes can be compared, what they mean cannot.
        is_same = other_answer is None and _body(primary) == _body(other)
        return _Judged(None, is_same, is_same, (*outcomes, *latencies))
    # Where the primary's reply could be read and this one could not, this one said nothing.
    texts = comparable_text(primary_answer), comparable_text(other_answer) if other_answer is not None else ""
    is_same = other_answer is not None and is_equal(*texts)
    return _Judged(
        similarity=_similarity(texts, vectors, is_same=is_same),
        is_exact=is_same and texts[0] == texts[1],
        is_equal_normalised=is_same,
        divergences=(*outcomes, *text_divergences(*texts, is_same=is_same), *latencies),
    )


def _similarity(texts: tuple[str, str], vectors: tuple[NDArray[Any], NDArray[Any]] | None, *, is_same: bool) -> float | None:
    if not any(text.strip() for text in texts):
        return None  # neither side has text
    settled = settled_similarity(*texts, is_same=is_same)
    return cosine(*vectors) if settled is None and vectors is not None else settled


def _latencies(primary: Exchange, primary_answer: Answer | None, other: Exchange, other_answer: Answer | None) -> Iterator[Divergence]:
    # Of one streamed and one whole reply: the first content of the latter comes with its last, so their moments are not the same thing.
    if _is_streamed(primary_answer) == _is_streamed(other_answer):
        yield from latency_divergences(timing(primary, primary_answer), timing(other, other_answer))


def _is_streamed(answer: Answer | None) -> bool:
    return answer is not None and answer.is_streamed


def _body(exchange: Exchange) -> bytes:
    return exchange.reply.body if exchange.reply is not None else b""
