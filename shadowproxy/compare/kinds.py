"""Every kind of divergence, with its line of documentation, and the only way to make one. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from shadowproxy.exchange import Divergence, Severity

KINDS: dict[str, str] = {
    "outcome.failure": "One arm failed and the other did not: critical where the primary answered, minor where only the primary failed.",
    "outcome.failure_kind": "Both arms failed, in different ways.",
    "outcome.status": "The HTTP status codes differ: major where one is an error and the other is not.",
    "outcome.error": "Both arms reported an error, with different texts.",
    "outcome.choices": "The number of choices (n) differs.",
    "outcome.finish_reason": "The model ended for another reason. Limits and filters are reported by length and refusal.",
    "text.empty": "One arm answered with content, the other without.",
    "text.format": "The same words in another form: case, white space or markdown.",
    "facts.number": "Two sentences that are otherwise alike give different numbers: major where they are nearly the same.",
    "facts.date": "Two sentences that are otherwise alike give different dates or times of day.",
    "facts.money": "Two sentences that are otherwise alike give different amounts of money.",
    "facts.name": "Two sentences that are otherwise alike speak of different names.",
    "facts.negation": "Of two sentences that are otherwise alike, one denies what the other says.",
    "facts.antonym": "Two sentences that are otherwise alike say opposite words, and no negation makes up for it.",
    "facts.quantifier": "Two sentences that are otherwise alike hold for different quantities or certainties: all and some, must and may.",
    "facts.lost": "The primary's answer has at least three names and figures, and none of them is anywhere in the other answer.",
    "facts.less": "Sentences of the primary's have no counterpart in the other answer, which speaks of the same things elsewhere.",
    "facts.more": "The other answer has sentences without a counterpart in the primary's, which speaks of the same things elsewhere.",
    "structure.invalid_json": "One answer is JSON and the other is not: critical where the request asks for JSON.",
    "structure.schema": "The answer violates the JSON Schema of the request, and the primary's satisfies it.",
    "structure.missing": "A key of the primary's JSON is missing.",
    "structure.extra": "A key is added to the primary's JSON.",
    "structure.type": "A value in the JSON is of another type.",
    "structure.value": "A value in the JSON differs: minor for strings, major for numbers and booleans.",
    "structure.array_length": "An array in the JSON has more or fewer elements.",
    "structure.fence": "The JSON stands in a code fence on one side only.",
    "structure.outline": "Headings, list items, tables or code blocks differ in number: minor where one side has none of a part.",
    "structure.code_broken": "A block of code has a syntax error, and the primary's blocks in that language have none.",
    "tools.call_or_text": "One arm calls tools and the other does not.",
    "tools.missing": "A call of the primary's is not made.",
    "tools.extra": "A call is made that the primary does not make.",
    "tools.name": "Another function is called instead.",
    "tools.arguments": "The same function is called with other arguments: minor for strings and additions, else major.",
    "tools.invalid": "A call cannot be carried out: arguments that are no JSON or violate the schema, or a tool that was not offered.",
    "refusal.shift": "One arm declines what the other answers: critical where the other arm flatly does, minor between ways to decline.",
    "language.changed": "The arms answered in different languages, and both are long enough to be sure.",
    "length.ratio": "One answer is at least twice as long as the other, and the longer one has at least 200 characters.",
    "length.truncated": "One arm's answer was cut by its length limit and the other's was not: major where it was the other arm's.",
    "length.repetition": "One arm's answer ends in a loop, the same phrase over and over: minor where it is the primary's.",
    "media.count": "One arm's answer carries pictures, sounds or files that the other's does not.",
    "media.content": "As many pictures or sounds, with other bytes.",
    "vectors.count": "The arms returned vectors for different numbers of inputs.",
    "vectors.invalid": "The other arm returned vectors that are empty, zero or not finite: minor where it is the primary's.",
    "vectors.cosine": "Same space, and vectors of one input point elsewhere: major where the worst falls below 0.9.",
    "vectors.geometry": "Different spaces, and inputs that are close in one are not close in the other.",
    "vectors.norm": "One arm returns unit vectors and the other does not: scores by dot product change their meaning.",
    "vectors.incomparable": "Different spaces, and too few inputs to compare which of them are close.",
    "ranking.order": "The arms rank the same documents in a different order.",
    "ranking.top": "Another document comes first.",
    "ranking.missing": "One arm's ranking leaves out documents that are in the other's, where both should have them.",
    "cost.tokens": "One arm spent more than twice the completion tokens of the other, and at least 50.",
    "cost.price": "One answer cost more than twice the other, by the price table.",
    "latency.ttft": "One arm took at least twice as long to its first content, and 0.1 s longer.",
    "latency.itl": "One arm's mean gap between content chunks is at least twice the other's, and 0.02 s longer.",
    "latency.duration": "One arm took at least twice as long to its last byte, and 0.1 s longer.",
}

#: Characters shown of each side: a line in a terminal or a table cell. A divergence is a pointer to the pair, not a copy of it.
SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Found:
    """What one comparator says about a pair: a score from 0 (nothing differs) to 1, and the typed divergences behind it.

    ``score`` is None where there is nothing to compare, or where the comparator cannot tell: an abstention is not a "no difference".
    """

    score: float | None = None
    divergences: tuple[Divergence, ...] = ()


def divergence(kind: str, severity: Severity, primary: str, other: str, *, path: str = "", why: str = "") -> Divergence:
    """A divergence of a known kind, both sides cut to one short line. An unknown kind is a ``KeyError``: a bug of ours."""
    if kind not in KINDS:
        raise KeyError(kind)
    return Divergence(kind, severity, shown(primary), shown(other), shown(path), shown(why))


def shown(text: str) -> str:
    """``text`` on one line, at most ``SHOWN_CHARACTERS`` long, without control characters: a model's answer must not steer a terminal."""
    start = text[: SHOWN_CHARACTERS * 4]
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in start).split())
    is_cut = len(line) > SHOWN_CHARACTERS or len(text) > len(start)
    return line[: SHOWN_CHARACTERS - 1] + "…" if is_cut else line
