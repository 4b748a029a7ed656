"""The page on journals says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from shadowproxy.config import Journal, Redact
from shadowproxy.counts import METRICS
from shadowproxy.journal.importers.formats import FORMATS

PAGE = (Path(__file__).parents[2] / "docs/journal.md").read_text(encoding="utf-8")


def _rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_example_is_a_configuration() -> None:
    example = yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```")[0])
    assert Journal.model_validate(example["journal"]).redact.fields == ("$.user", "$.metadata")


def test_every_key_is_listed() -> None:
    assert {name for row in _rows("Keys") for name in _names(row[0])} == set(Journal.model_fields)
    assert set(_names(_rows("Keys")[-1][2])) == set(Redact.model_fields)


def test_every_metric_is_listed_with_its_labels() -> None:
    listed = {row[0].strip("`"): tuple(_names(row[1])) for row in _rows("Metrics")}
    assert listed == {metric.name: metric.labels for metric in [metric for metric in METRICS if "_journal_" in metric.name]}


def test_every_format_is_listed() -> None:
    assert {row[0].strip("`") for row in _rows("Captures of others")} == set(FORMATS)


def test_every_key_has_a_docstring() -> None:
    source = (Path(__file__).parents[2] / "shadowproxy/config/journal.py").read_text(encoding="utf-8")
    for name in (*Journal.model_fields, *Redact.model_fields):
        if name != "redact":
            assert re.search(rf'^    {name}: .*\n    """', source, re.MULTILINE), name
