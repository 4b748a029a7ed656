"""A comparator that somebody else wrote is asked, bounded, and never trusted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from shadowproxy.compare.custom import hear
from shadowproxy.compare.json_diff import MAX_KEPT
from shadowproxy.compare.kinds import SHOWN_CHARACTERS, Found
from shadowproxy.exchange import Answer, Asked, Divergence, Severity

ANSWER = Answer("chat")


@dataclass(frozen=True)
class Saying:
    """Says the same of every pair."""

    says: Any
    name: str = "tone"

    def compare(self, primary: Answer, other: Answer, asked: Asked) -> Found:
        return self.says  # type: ignore[no-any-return]


def divergence(kind: str = "custom.tone", text: str = "x") -> Divergence:
    return Divergence(kind, Severity.MINOR, text, text, text, text)


def test_what_it_finds_is_taken_over() -> None:
    found = Found(0.5, (divergence(), divergence("custom.tone.harsh")))
    assert hear(Saying(found), ANSWER, ANSWER, Asked()).found == found


@pytest.mark.parametrize(("score", "taken"), [(-3, 0.0), (7.5, 1.0), (float("inf"), 1.0), (True, 1.0), (None, None)])
def test_a_score_stays_within_bounds(score: float | None, taken: float | None) -> None:
    assert hear(Saying(Found(score)), ANSWER, ANSWER, Asked()).found == Found(taken)


def test_what_it_shows_is_cut_and_cannot_steer_a_terminal() -> None:
    found = hear(Saying(Found(1.0, (divergence(text="\x1b[31m" + "x" * 1_000_000),) * 1000)), ANSWER, ANSWER, Asked()).found
    assert len(found.divergences) == MAX_KEPT
    assert len(found.divergences[0].primary) == SHOWN_CHARACTERS
    assert "\x1b" not in found.divergences[0].why


@dataclass(frozen=True)
class Making:
    """Makes what it says when it is asked: compiled, a finding of wrong types cannot even be made."""

    makes: Callable[[], Any]
    name: str = "tone"

    def compare(self, primary: Answer, other: Answer, asked: Asked) -> Found:
        return self.makes()  # type: ignore[no-any-return]


def raises(exc: Exception) -> Any:
    raise exc


@pytest.mark.parametrize(
    ("makes", "why"),
    [
        (lambda: raises(RuntimeError("out of tune")), "custom.tone: RuntimeError: out of tune"),
        (lambda: raises(RecursionError()), "custom.tone: RecursionError: "),
        (lambda: Found(float("nan")), "return None to abstain"),
        (lambda: Found("high"), "custom.tone: TypeError"),  # type: ignore[arg-type]
        (lambda: Found(0.5, (divergence("text.empty"),)), "its kinds begin with custom.tone"),
        (lambda: Found(0.5, (divergence("custom.tonesetter"),)), "its kinds begin with custom.tone"),
        (lambda: Found(0.5, ("odd",)), r"custom.tone: (Attribute|Type)Error"),  # type: ignore[arg-type]
        (lambda: Found(0.5, (Divergence("custom.tone", "loud", "", ""),)), r"custom.tone: (Value|Type)Error"),  # type: ignore[arg-type]
        (lambda: None, r"custom.tone: (Attribute|Type)Error"),
    ],
)
def test_a_failure_is_a_sentence_and_an_abstention(makes: Callable[[], Any], why: str) -> None:
    heard = hear(Making(makes), ANSWER, ANSWER, Asked())
    assert heard.found == Found()
    assert re.search(why.strip(), heard.failure)
    assert len(heard.failure) <= SHOWN_CHARACTERS
