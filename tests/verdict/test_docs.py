"""docs/verdict.md and the schema beside it are what the source says."""

from __future__ import annotations

import pytest

from shadowproxy.verdict.gates import DEFAULT_MARGINS
from shadowproxy.verdict.reasons import REASONS
from tests.scripts import script

docs = script("verdict_docs")


def test_tables_and_schema_are_what_the_source_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main(["--check"]) == 0, f"run python scripts/verdict_docs.py: {capsys.readouterr().out}"


def test_every_gate_and_every_reason_has_a_line() -> None:
    tables = docs.tables()
    assert all(f"| `{name}` |" in tables["gates"] for name in DEFAULT_MARGINS)
    assert all(f"| `{code}` |" in tables["reasons"] for code in REASONS)


def test_a_page_without_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no markers <!-- gates -->"):
        docs.page("# The verdict")


def test_what_stands_outside_the_markers_is_kept() -> None:
    page = docs.PAGE.read_text(encoding="utf-8")
    assert docs.page("before\n" + page + "after\n") == "before\n" + page + "after\n"
