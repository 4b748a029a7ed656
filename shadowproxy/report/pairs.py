"""What a report shows of one pair: texts cut to a length that is read, what differs, and what it cost. PURE.

Made from a pair that was compared just now (:func:`of_compared`); ``lines`` makes the same from what ``shadowproxy compare`` has written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from shadowproxy.exchange import Answer, Asked, Comparison, Divergence, Exchange, Side, Timing

#: Characters kept of a text. Twice what is shown, so that masking sees the end of what it begins; a 10 MB answer costs no more than this.
KEPT_CHARACTERS = 24_000

#: Divergences kept of a pair; a JSON answer of another shape has thousands.
KEPT_DIVERGENCES = 40


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of a text, and how long all of it is. None of it is known where ``characters`` is None."""

    text: str = ""
    characters: int | None = None

    @property
    def is_cut(self) -> bool:
        return self.characters is not None and self.characters > len(self.text)


@dataclass(frozen=True, slots=True)
class ArmShown:
    """What one arm answered. Times in seconds, None where not measured; ``outcome`` is empty where it is not known."""

    answer: Excerpt = Excerpt()
    outcome: str = ""
    ttft_s: float | None = None
    itl_mean_s: float | None = None
    duration_s: float | None = None
    tokens: int | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Likeness:
    """How an arm's answer compares to the primary's: a :class:`~shadowproxy.exchange.Comparison` without its sides."""

    similarity: float | None = None
    divergence: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    divergences: tuple[Divergence, ...] = ()
    suppressed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PairShown:
    """One request and its answers. ``control`` and ``control_likeness`` are None where the primary was asked once."""

    id: str
    route: str
    question: Excerpt
    primary: ArmShown
    candidate: ArmShown
    likeness: Likeness
    control: ArmShown | None = None
    control_likeness: Likeness | None = None

    @property
    def weight(self) -> float:
        """How much further the candidate's answer is from the primary's than the primary's own second answer."""
        noise = self.control_likeness.divergence if self.control_likeness is not None else None
        return (self.likeness.divergence or 0.0) - (noise or 0.0)


def excerpt(text: str) -> Excerpt:
    return Excerpt(text[:KEPT_CHARACTERS], len(text))


# --- from a compared pair -------------------------------------------------------------------------------------------------


class GivenSide(Protocol):
    """One arm's side: :class:`shadowproxy.offline.given.Given`, which is further up."""

    @property
    def exchange(self) -> Exchange: ...
    @property
    def answer(self) -> Answer | None: ...


class GivenPair(Protocol):
    """:class:`shadowproxy.offline.comparing.Pair`."""

    @property
    def id(self) -> str | int: ...
    @property
    def asked(self) -> Asked: ...
    @property
    def primary(self) -> GivenSide: ...
    @property
    def candidate(self) -> GivenSide: ...
    @property
    def control(self) -> GivenSide | None: ...


class ComparedPair(Protocol):
    """:class:`shadowproxy.offline.comparing.Compared`."""

    @property
    def pair(self) -> GivenPair: ...
    @property
    def candidate(self) -> Comparison: ...
    @property
    def control(self) -> Comparison | None: ...


def of_compared(compared: ComparedPair) -> PairShown:
    """A pair as the offline commands compare it."""
    pair, candidate, control = compared.pair, compared.candidate, compared.control
    return PairShown(
        str(pair.id),
        pair.primary.exchange.route,
        excerpt(pair.asked.question or pair.asked.prompt),
        _arm(pair.primary, candidate.primary_timing, candidate.primary_side),
        _arm(pair.candidate, candidate.timing, candidate.side),
        likeness_of(candidate),
        _arm(pair.control, control.timing, control.side) if pair.control is not None and control is not None else None,
        likeness_of(control) if control is not None else None,
    )


def _arm(given: GivenSide, timing: Timing, side: Side) -> ArmShown:
    return ArmShown(
        excerpt(said(given.exchange, given.answer)),
        given.exchange.outcome.value,
        timing.ttft_s,
        timing.itl_mean_s,
        timing.duration_s or None,  # 0 stands for a time that nobody wrote down
        side.completion_tokens,
        side.cost,
    )


def said(exchange: Exchange, answer: Answer | None) -> str:
    """Everything an arm said, as text: words, refusal, calls of tools, what is no text by its number, and why nothing came."""
    if answer is None:
        return exchange.failure
    calls = [f"{call.name}({call.arguments})" for call in answer.first.tool_calls]
    media = [f"[{each.kind}, {each.size_bytes} bytes, sha256 {each.sha256[:12]}…]" for each in answer.first.media]
    vectors = [f"[{len(answer.embeddings)} vectors]"] if answer.embeddings else []
    ranking = [f"{each.score:.3f} document {each.index}" for each in answer.ranking[:KEPT_DIVERGENCES]]
    error = answer.error.message if answer.error is not None else ""
    parts = (answer.text, answer.first.refusal, *calls, *media, *vectors, *ranking, error or exchange.failure)
    return "\n".join(part for part in parts if part)


def likeness_of(found: Comparison) -> Likeness:
    """A comparison as a report shows it."""
    return Likeness(found.similarity, found.divergence, found.scores, found.divergences[:KEPT_DIVERGENCES], found.suppressed)
