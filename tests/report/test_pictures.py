"""Pictures keep within their frame and say what they show."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.report.histograms import Histogram, Scale
from shadowproxy.report.pictures import distributions, finding_picture

WIDTH = 340.0


def finding(lower: float, mean: float | None, upper: float, margin: float) -> dict[str, Any]:
    return {"lower": lower, "mean": mean, "upper": upper, "margin": margin, "outcome": "inconclusive"}


def drawn(svg: str, class_: str) -> list[ET.Element]:
    return [each for each in ET.fromstring(svg).iter() if each.get("class") == class_]


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(sorted), st.sampled_from([0.0, 0.005, 0.05, 0.3]))
def test_everything_is_within_the_picture_and_on_its_side_of_the_margin(marks: list[float], margin: float) -> None:
    svg = finding_picture(finding(marks[0], marks[1], marks[2], margin))
    (mean,) = drawn(svg, "mean")
    (bounds,) = drawn(svg, "bounds")
    x, left, right = float(mean.get("cx", "")), float(bounds.get("x", "")), float(bounds.get("x", "")) + float(bounds.get("width", ""))
    assert 0 <= left <= x + 2.01
    assert x <= right + 0.02 <= WIDTH
    if abs(marks[1] - margin) > 1e-3:
        assert (x > WIDTH / 2) == (marks[1] > margin)


def test_bounds_far_out_end_in_arrows_so_that_margin_and_zero_stay_apart() -> None:
    svg = finding_picture(finding(-1.0, 0.0, 1.0, 0.005))
    assert len(drawn(svg, "end")) == 2
    (zero,) = drawn(svg, "zero")
    assert WIDTH / 2 - float(zero.get("x1", "")) > 15


def test_text_says_what_the_picture_shows() -> None:
    assert "<title>mean difference +0.01, between -0.02 and +0.03; margin 0.02: not decided</title>" in finding_picture(
        finding(-0.02, 0.01, 0.03, 0.02)
    )
    assert "<title>no data; margin 0.02</title>" in finding_picture(finding(-1.0, None, 1.0, 0.02))


@given(st.lists(st.floats(1e-5, 1e5), min_size=1, max_size=30), st.lists(st.floats(1e-5, 1e5), max_size=30))
def test_distributions_share_one_axis_and_stay_in_their_rows(ours: list[float], theirs: list[float]) -> None:
    by_arm = {"primary": Histogram.empty(Scale.SECONDS), "candidate": Histogram.empty(Scale.SECONDS)}
    for histogram, values in zip(by_arm.values(), (ours, theirs), strict=True):
        for value in values:
            histogram.add(value)
    svg = distributions("Time", by_arm)
    for bar in drawn(svg, "bar"):
        assert 92 <= float(bar.get("x", "")) < 592.1
        assert 0 < float(bar.get("height", "")) <= 44
    assert len(re.findall("<g ", svg)) == (2 if theirs else 1)


@pytest.mark.parametrize("scale", list(Scale))
def test_nothing_is_drawn_of_nothing(scale: Scale) -> None:
    assert distributions("Time", {"primary": Histogram.empty(scale)}) == ""
