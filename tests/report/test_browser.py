"""The page in a real browser: it draws, in light and dark, complains about nothing, and runs nothing that a model wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shadowproxy.report.contents import contents
from shadowproxy.report.gathering import gathered
from shadowproxy.report.html import page
from shadowproxy.report.pairs import ArmShown, Likeness, PairShown, excerpt
from shadowproxy.report.style import DARK, LIGHT
from tests.report.browser import opened, screenshot
from tests.report.example import document, example

pytestmark = pytest.mark.slow


def written(tmp_path: Path, html: str) -> Path:
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


def test_page_opens_with_all_its_parts_and_without_a_complaint(tmp_path: Path) -> None:
    seen = opened(written(tmp_path, page(example())), tmp_path / "profile", "--dump-dom")
    for said in ("Roll back: the candidate", "<del>13.9</del>", 'id="left-out"', "median 303 ms", "</svg>"):
        assert said in seen.output
    assert seen.complaints == ()


@pytest.mark.parametrize(("is_dark", "palette"), [(False, LIGHT), (True, DARK)], ids=["light", "dark"])
def test_page_is_drawn_in_the_reader_s_colours(tmp_path: Path, is_dark: bool, palette: dict[str, str]) -> None:
    picture = tmp_path / "page.png"
    source = written(tmp_path, page(example()))
    opened(source, tmp_path / "profile", f"--screenshot={picture}", "--window-size=1240,1600", is_dark=is_dark)
    shown = screenshot(picture)
    assert "#{:02x}{:02x}{:02x}".format(*shown.corner) == palette["page"]
    assert shown.size_bytes > 100_000, "an empty page of this size is a few kilobytes"


def test_page_prints_what_is_folded_on_the_screen(tmp_path: Path) -> None:
    """Measured by how much is in the PDF, with the rule that unfolds and without it."""
    html = re.sub("<meta http-equiv=[^>]*>", "", page(example()))  # it allows one style sheet alone, and not a changed one
    as_it_is, without = html, html.replace("details::details-content", "details::nothing")
    sizes = []
    for at, shown in enumerate((as_it_is, without)):
        printed = tmp_path / f"{at}.pdf"
        opened(written(tmp_path, shown), tmp_path / "profile", f"--print-to-pdf={printed}")
        sizes.append(printed.stat().st_size)
    assert sizes[0] > 1.3 * sizes[1]


def test_nothing_that_a_model_wrote_runs(tmp_path: Path) -> None:
    taken = "document.title='taken'"
    attack = f'<script>{taken}</script><img src=x onerror="{taken}"></style></svg><svg onload="{taken}">'
    arm = ArmShown(excerpt(attack))
    pairs = gathered([PairShown(attack, attack, excerpt(attack), arm, ArmShown(excerpt("other " + attack)), Likeness(0.1, 0.9))])
    shown = page(contents({**document("hold"), "candidate": attack}, pairs, [attack], is_raw=True))
    seen = opened(written(tmp_path, shown), tmp_path / "profile", "--dump-dom")
    assert "<title>taken" not in seen.output
    assert "<script" not in seen.output
    assert "<img" not in seen.output
    assert seen.complaints == ()
