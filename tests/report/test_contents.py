"""Masking before anything is rendered."""

from __future__ import annotations

import pytest

from shadowproxy.exchange import Divergence, Severity
from shadowproxy.report.contents import SHOWN_CHARACTERS, contents
from shadowproxy.report.gathering import gathered
from shadowproxy.report.html import page
from shadowproxy.report.junit import junit
from shadowproxy.report.markdown import markdown
from shadowproxy.report.pairs import ArmShown, Likeness, PairShown, excerpt
from tests.report.example import document, example

MAIL = "anna.schmidt@example.com"


def leaking() -> PairShown:
    """Personal data wherever a text can stand."""
    found = (Divergence("facts.name", Severity.MAJOR, f"to {MAIL}", f"by {MAIL}", path=f"$['{MAIL}']", why=f"{MAIL} differs"),)
    arm = ArmShown(excerpt(f"answer {MAIL}"), "ok")
    likeness = Likeness(0.1, 0.9, {}, found)
    return PairShown(MAIL, MAIL, excerpt(f"ask {MAIL}"), arm, arm, likeness, arm, Likeness(0.5, 0.1, {}, found))


@pytest.mark.parametrize("render", [page, markdown, junit])
def test_no_rendering_shows_personal_data_unless_it_is_asked_to(render: object) -> None:
    assert callable(render)
    pairs = gathered([leaking()])
    hidden = render(contents(document("hold"), pairs, [f"line of {MAIL} is left out"]))
    assert MAIL not in hidden
    assert "billing@" not in hidden
    assert "[email]" in hidden
    raw = render(contents(document("hold"), pairs, is_raw=True))
    assert "billing@" in raw.replace("<!-- -->", "")


def test_masking_leaves_the_digests_and_numbers_of_the_document() -> None:
    original = document("rollback")
    shown = example("rollback").document
    assert shown["digest"] == original["digest"]
    assert shown["provenance"] == original["provenance"]
    assert [gate["reason"] for gate in shown["gates"]] == [gate["reason"] for gate in original["gates"]]


def test_a_secret_that_the_cut_goes_through_is_not_shown_in_part() -> None:
    """A text is cut before it is masked, and half a key looks like no key."""
    secret = "sk-proj-" + "Ab3" * 40
    for size in (23_800, 23_900, 23_980):
        text = ("word " * 5_000)[:size] + secret + " word" * 100
        pair = PairShown("1", "r", excerpt(text), ArmShown(), ArmShown(), Likeness(divergence=1.0))
        (shown,) = contents(document("hold"), gathered([pair])).worst
        assert "Ab3" not in shown.question.text


def test_masking_that_shortens_a_text_does_not_bring_its_cut_end_to_light() -> None:
    text = f"{MAIL} " * 2_000
    pair = PairShown("1", "r", excerpt(text), ArmShown(), ArmShown(), Likeness(divergence=1.0))
    (shown,) = contents(document("hold"), gathered([pair])).worst
    assert set(shown.question.text.split()) <= {"[email]", "[emai", "[ema", "[em", "[e", "[", "[email"}
    assert shown.question.is_cut


def test_texts_are_cut_to_what_is_read() -> None:
    pair = PairShown("1", "r", excerpt("word " * 2_000_000), ArmShown(), ArmShown(), Likeness(divergence=1.0))
    (shown,) = contents(document("hold"), gathered([pair])).worst
    assert len(shown.question.text) == SHOWN_CHARACTERS
    assert shown.question.characters == 10_000_000
