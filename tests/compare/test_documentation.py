"""The page of the comparators: its examples run, and it names every kind of the comparators that it describes."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from shadowproxy.compare.kinds import KINDS

PAGE = Path(__file__).resolve().parents[2] / "docs/comparators.md"


def test_the_examples_say_what_the_code_says() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("family", sorted({kind.partition(".")[0] for kind in KINDS}))
def test_every_kind_is_named(family: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [kind for kind in KINDS if kind.startswith(f"{family}.") and f"`{kind}`" not in page] == []


def test_every_page_says_what_it_sees_and_what_it_cannot_and_shows_it() -> None:
    pages = [
        page for page in PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if "`shadowproxy/compare/" in page.partition("\n\n")[2][:40]
    ]
    assert len(pages) >= 14
    for page in pages:
        assert all(part in page for part in ("**What it sees.**", "**What it cannot see.**", "```python\n>>> ")), page.partition("\n")[0]
