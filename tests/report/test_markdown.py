"""Markdown for a pull request."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.exchange import Divergence, Severity
from shadowproxy.report.contents import contents
from shadowproxy.report.gathering import Gathering, gathered
from shadowproxy.report.markdown import MAX_BYTES, bar, markdown
from shadowproxy.report.pairs import ArmShown, Likeness, PairShown, excerpt
from tests.report.example import document, example
from tests.report.golden import assert_golden


@pytest.mark.parametrize("name", ["hold", "rollback", "promote"])
def test_comment_is_as_it_was_last_looked_at(name: str) -> None:
    assert_golden(f"{name}.md", markdown(example(name)))


def test_comment_fits_whatever_is_in_it() -> None:
    found = tuple(Divergence("facts.name", Severity.MAJOR, "é" * 200, "ü" * 200) for _ in range(40))
    arm = ArmShown(excerpt("`é` " * 100_000))
    pairs = gathered([PairShown(str(at), "r", arm.answer, arm, ArmShown(excerpt("x")), Likeness(0.1, 0.9, {}, found)) for at in range(20)])
    findings = [{**gate, "slice": f"tenant={at}-{'é' * 40}"} for at in range(40) for gate in document("rollback")["gates"]]
    shown = markdown(contents({**document("rollback"), "gates": findings}, pairs))
    assert len(shown.encode()) <= MAX_BYTES


def test_what_does_not_fit_is_said_to_be_left_out() -> None:
    verdict = document("hold")
    many = [
        {**verdict["reasons"][0], "code": code, "text": "é" * 399}
        for code in ("undecided", "min_pairs", "soak", "near_margin")
        for _ in range(6)
    ]
    wide = [{**gate, "reason": "é" * 399} for gate in verdict["gates"]] * 4
    shown = markdown(contents({**verdict, "reasons": many, "gates": wide}, Gathering()))
    assert len(shown.encode()) <= MAX_BYTES
    assert shown.rstrip().endswith("the HTML report has it._")


def test_every_detail_is_closed_and_stands_apart() -> None:
    shown = markdown(example())
    assert shown.count("<details>") == shown.count("\n\n</details>") > 3


@settings(max_examples=60)
@given(
    st.text(max_size=60)
    | st.sampled_from(["```", "~~~\n```\n# x", "@team", "<details>", "</details>", "![x](http://x)", "[-a-] {+b+}", "a\r\n```\rb"])
)
def test_no_answer_gets_out_of_its_fence(text: str) -> None:
    arm = ArmShown(excerpt(f"same {text}"))
    pair = PairShown("1", "r", excerpt(text), arm, ArmShown(excerpt(f"same {text} x")), Likeness(0.1, 0.9))
    shown = markdown(contents(document("hold"), gathered([pair]), is_raw=True))
    outside, fence = [], ""
    for line in shown.split("\n"):
        found = re.match(r" {0,3}(`{3,})", line)
        if not fence and found:
            fence = found[1]
        elif fence and line.strip() == fence:
            fence = ""
        elif not fence:
            outside.append(line)
    assert fence == ""
    empty = PairShown("1", "r", excerpt("q"), ArmShown(excerpt("same q")), ArmShown(excerpt("same q x")), Likeness(0.1, 0.9))
    plain = markdown(contents(document("hold"), gathered([empty]), is_raw=True))
    assert len([line for line in outside if "details>" in line]) == plain.count("<details>") * 2


def test_labels_cannot_call_anybody_or_break_a_table() -> None:
    gate = {**document("hold")["gates"][0], "route": "@team | #12 <img src=x> `x` https://evil.example www.evil.example"}
    shown = markdown(contents({**document("hold"), "gates": [gate]}, Gathering(), is_raw=True))
    row = next(line for line in shown.split("\n") if "team" in line)
    assert not re.search(r"@\w|#\d|<img|https://|www\.e", row)
    assert len(re.findall(r"(?<!\\)\|", row)) == 6


def test_picture_has_the_margin_in_the_middle() -> None:
    finding = {"mean": 0.0, "lower": -0.01, "upper": 0.01, "margin": 0.02}
    assert bar(finding) == "      ══●═│          "
    assert bar({**finding, "lower": -1.0, "upper": 1.0}) == "◀═══════●═│═════════▶"
    assert bar({**finding, "mean": None}).startswith("no data")


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1), st.sampled_from([0.0, 0.005, 0.2]))
def test_picture_never_changes_its_width(lower: float, mean: float, upper: float, margin: float) -> None:
    low, middle, high = sorted((lower, mean, upper))
    assert len(bar({"mean": middle, "lower": low, "upper": high, "margin": margin})) == 21
