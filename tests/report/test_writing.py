"""Reports onto the disk."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from shadowproxy.errors import InputError
from shadowproxy.report.writing import Kind, kinds_of, write_reports
from shadowproxy.verdict.document import verify
from tests.report.example import NOTES, document, pairs


def test_every_kind_is_written_to_its_file(tmp_path: Path) -> None:
    paths = kinds_of(tmp_path / name for name in ("r.html", "r.md", "r.xml", "r.json"))
    write_reports(document("rollback"), pairs(20), paths, notes=NOTES)
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "r.md").read_text().startswith("## ❌ Roll back")
    assert (tmp_path / "r.xml").read_text().startswith("<?xml")
    assert verify(orjson.loads((tmp_path / "r.json").read_bytes()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json", "r.md", "r.xml"]


def test_texts_are_masked_unless_asked_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    write_reports(document("hold"), pairs(0), {Kind.HTML: path})
    assert "anna.schmidt@example.com" not in path.read_text()
    write_reports(document("hold"), pairs(0), {Kind.HTML: path}, is_raw=True)
    assert "anna.schmidt@example.com" in path.read_text()


def test_an_ending_that_says_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"report\.pdf: .* end it in one of \.html, \.md, \.xml, \.json"):
        kinds_of([Path("report.pdf")])


def test_two_of_a_kind_are_refused() -> None:
    with pytest.raises(InputError, match=r"a\.html is the same kind"):
        kinds_of([Path("a.html"), Path("b.HTML")])


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_reports(document("hold"), [], {Kind.JSON: tmp_path / "nowhere" / "r.json"})
