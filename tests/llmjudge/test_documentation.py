"""docs/llm-judge.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shadowproxy.llmjudge.preference import ABSTENTIONS
from shadowproxy.llmjudge.tally import RESULTS

TEXT = (Path(__file__).resolve().parents[2] / "docs/llm-judge.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("heading", "lines"), [("result", RESULTS), ("reason", ABSTENTIONS)])
def test_table_is_the_codes(heading: str, lines: dict[str, str]) -> None:
    (table,) = re.findall(rf"^\| {heading} \| means \|\n\| --- \| --- \|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE) == list(lines.items())
