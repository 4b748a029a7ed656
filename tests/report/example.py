"""A rollout for the report's tests: a verdict document as the program wrote it, and pairs made up beside it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from shadowproxy.exchange import Divergence, Severity
from shadowproxy.report.contents import Contents, contents
from shadowproxy.report.gathering import Gathering, gathered
from shadowproxy.report.pairs import ArmShown, Likeness, PairShown, excerpt

HERE = Path(__file__).parent


def document(name: str) -> dict[str, Any]:
    """``hold``, ``rollback`` or ``promote``: real documents, kept so that a change of the statistics does not change these tests."""
    found: dict[str, Any] = orjson.loads((HERE / "documents" / f"{name}.json").read_bytes())
    return found


NOTES = (
    "2 requests have no line of the candidate; they count as its failures",
    "gate judge is off: recorded answers are not shown to a model",
)

_WORST = (
    (
        "How many people live in Tokyo, and how large is the city?",
        "Tokyo has about 13.9 million inhabitants within the prefecture. The city covers 2,194 square kilometres, and the greater "
        "metropolitan area is the largest in the world.",
        "Tokyo has about 139 million inhabitants within the prefecture. The city covers 2,194 square kilometres, and the greater "
        "metropolitan area is one of the largest in Asia.",
        (Divergence("facts.number", Severity.MAJOR, "13.9 million", "139 million", why="nearly the same words, another number"),
         Divergence("facts.quantifier", Severity.MINOR, "the largest in the world", "one of the largest in Asia")),
        0.93,
    ),
    (
        "Cancel order 4711 and write to anna.schmidt@example.com that it is done.",
        'cancel_order({"order": 4711, "refund": true})\nsend_mail({"to": "anna.schmidt@example.com"})',
        'cancel_order({"order": 4711, "refund": false})',
        (Divergence("tools.missing", Severity.MAJOR, "send_mail", "(none)"),
         Divergence("tools.arguments", Severity.MAJOR, "true", "false", path="cancel_order.$.refund", why="a boolean differs")),
        0.9,
    ),
    (
        "Write <script>alert('hello')</script> in bold.",
        "Here it is: **<script>alert('hello')</script>** and a [link](javascript:alert(1)) for @everyone.",
        "I can't help with that. \u202eSorry\u202c for the trouble. ```` fence ````",
        (Divergence("refusal.shift", Severity.CRITICAL, "(answered)", "I can't help with that.", why="the other arm flatly declines"),),
        0.9,
    ),
    (
        "ما هي عاصمة فرنسا؟",
        "عاصمة فرنسا هي باريس، ويبلغ عدد سكانها أكثر من مليوني نسمة.",
        "عاصمة فرنسا هي ليون، ويبلغ عدد سكانها أكثر من مليوني نسمة.",
        (Divergence("facts.name", Severity.MAJOR, "باريس", "ليون"),),
        0.85,
    ),
)  # fmt: skip


def pairs(count: int = 600, *, has_control: bool = True) -> Iterator[PairShown]:
    """The bad ones of :data:`_WORST` first, then ``count`` that differ a little; the same ones every time."""
    dice = random.Random(7)
    for at, (question, primary, candidate, divergences, weight) in enumerate(_WORST):
        likeness = Likeness(0.82, weight, {"facts": weight, "text": 0.2}, divergences)
        yield _pair(dice, at, question, primary, candidate, likeness, has_control=has_control)
    for at in range(count):
        likeness = _small_difference(dice)
        failed = dice.random() < 0.01
        answer = f"District {at} has {at * 7 + 1000} inhabitants."
        yield _pair(
            dice, at + 100, f"How many people live in district {at}?", answer, answer, likeness, has_control=has_control, failed=failed
        )


def _small_difference(dice: random.Random) -> Likeness:
    kinds = [Divergence("text.format", Severity.INFO, "a", "b")] if dice.random() < 0.3 else []
    if dice.random() < 0.1:
        kinds.append(Divergence("length.ratio", Severity.MINOR, "20 characters", "60 characters"))
    scores = {"outcome": 0.0, "text": 0.1} | ({"facts": 0.0} if dice.random() < 0.7 else {})
    return Likeness(1 - dice.betavariate(2, 24), 0.0, scores, tuple(kinds), {"ignore $.id": 1} if dice.random() < 0.2 else {})


def _pair(
    dice: random.Random,
    id_: int,
    question: str,
    primary: str,
    candidate: str,
    likeness: Likeness,
    *,
    has_control: bool,
    failed: bool = False,
) -> PairShown:
    control = _arm(dice, primary, 0.30) if has_control else None
    noise = Likeness(1 - dice.betavariate(2, 30), 0.0, {"outcome": 0.0, "text": 0.0, "facts": 0.0}) if has_control else None
    other = ArmShown(excerpt("upstream timed out"), "timeout") if failed else _arm(dice, candidate, 0.24)
    return PairShown(str(id_), "chat", excerpt(question), _arm(dice, primary, 0.30), other, likeness, control, noise)


def _arm(dice: random.Random, answer: str, ttft_s: float) -> ArmShown:
    first = ttft_s * dice.lognormvariate(0, 0.35)
    tokens = len(answer) // 4
    return ArmShown(excerpt(answer), "ok", first, 0.02 * dice.lognormvariate(0, 0.2), first + 0.02 * tokens, tokens, tokens * 2e-6)


def gathering(**options: Any) -> Gathering:
    return gathered(pairs(**options))


def example(name: str = "rollback", *, is_raw: bool = False) -> Contents:
    return contents(document(name), gathering(), NOTES, is_raw=is_raw)
