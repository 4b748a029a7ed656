"""How long two answers are, whether a limit cut one of them, and whether one runs in a loop. PURE.

Characters, not words: not every script puts spaces between words. Not tokens: two models count them differently (``cost`` compares them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import log

from shadowproxy.compare.kinds import Found, divergence
from shadowproxy.exchange import Choice, Divergence, Severity

#: From here on a difference in length is worth a line: below it, one sentence more doubles a short answer.
RATIO = 2.0
RATIO_CHARACTERS = 200
#: Added to both lengths before they are divided, so that the score of "Yes." against "Yes, it is." is small: a sentence's worth.
SCORE_CHARACTERS = 100
#: The score reaches 1 where one answer is so many times as long: nobody would take the two for answers to one question.
LARGEST_RATIO = 8.0

#: How providers say that a length limit ended the answer (OpenAI, its Responses API, Anthropic, Gemini and Cohere, Mistral), in lower case.
TRUNCATING_REASONS = frozenset(
    {"length", "max_tokens", "max_output_tokens", "max_token", "incomplete", "model_length", "model_context_window_exceeded", "error_limit"}
)

#: Where a loop is looked for: a short phrase fills the end of an answer, a long paragraph needs more of it to come back a few times.
LOOP_WINDOWS = (1_200, 20_000)
#: Below this many characters, lists and refrains repeat themselves as much as loops do.
LOOP_CHARACTERS = 600
#: Length of the stretches that are told apart, and the share of different ones below which they go round.
STRETCH_CHARACTERS = 30
LOOP_SHARE = 0.3

#: A loop in a list counts upwards all the same. Other numbers stay: a table of figures is no loop.
_NUMBERING = re.compile(r"^[ \t]{0,20}\d{1,6}[.):]", re.MULTILINE)


def compare_length(primary: Choice, other: Choice) -> Found:
    """Ratio of the lengths as a score, 1 from :data:`LARGEST_RATIO` on; 1 also where only one arm is cut or loops. None without text on
    both sides: what an empty answer is worth is not a matter of its length.
    """
    if not (primary.text.strip() and other.text.strip()):
        return Found()
    found = (*_ratios(len(primary.text), len(other.text)), *_truncations(primary, other), *_repetitions(primary.text, other.text))
    is_spoilt = any(each.kind != "length.ratio" for each in found)
    return Found(1.0 if is_spoilt else _score(len(primary.text), len(other.text)), found)


def is_truncated(choice: Choice) -> bool:
    """True where the arm says that a length limit ended the answer. A last sentence without its stop is no proof and is not looked at."""
    return (choice.finish_reason or "").lower() in TRUNCATING_REASONS


def is_repetitive(text: str) -> bool:
    """True where ``text`` ends in a loop, or is one: few of its stretches of 30 characters differ from each other."""
    return any(_distinct_share(text[-window:]) < LOOP_SHARE for window in LOOP_WINDOWS)


def _distinct_share(text: str) -> float:
    text = " ".join(_NUMBERING.sub("", text).split())
    if len(text) < LOOP_CHARACTERS:
        return 1.0
    starts = range(len(text) - STRETCH_CHARACTERS + 1)
    return len({text[at : at + STRETCH_CHARACTERS] for at in starts}) / len(starts)


def _score(primary: int, other: int) -> float:
    ratio = (primary + SCORE_CHARACTERS) / (other + SCORE_CHARACTERS)
    return min(1.0, abs(log(ratio)) / log(LARGEST_RATIO))


def _ratios(primary: int, other: int) -> Iterator[Divergence]:
    longer, shorter = max(primary, other), min(primary, other)
    if longer >= RATIO_CHARACTERS and longer >= RATIO * shorter:
        yield divergence("length.ratio", Severity.MINOR, f"{primary} characters", f"{other} characters")


def _truncations(primary: Choice, other: Choice) -> Iterator[Divergence]:
    if is_truncated(primary) is not is_truncated(other):
        severity = Severity.MAJOR if is_truncated(other) else Severity.MINOR
        yield divergence("length.truncated", severity, primary.finish_reason or "none", other.finish_reason or "none")


def _repetitions(primary: str, other: str) -> Iterator[Divergence]:
    before, after = is_repetitive(primary), is_repetitive(other)
    if before is not after:
        # Both may have been asked to write one line a hundred times.
        severity = Severity.MAJOR if after else Severity.MINOR
        yield divergence("length.repetition", severity, primary[-100:], other[-100:], why="the end of one answer goes round in a loop")
