"""docs/trackers.md is complete: its configuration loads but for the registry, and everything that is logged stands in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from shadowproxy import config
from shadowproxy.config import arms
from shadowproxy.prompt_registry import RegisteredPrompt
from shadowproxy.trackers.rows import COLUMNS
from tests.trackers.example import record

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "trackers.md").read_text(encoding="utf-8")


def test_configuration_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arms, "registered_prompt", lambda uri: RegisteredPrompt(uri, "triage/7", "You sort."))
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    (candidate,) = config.build(yaml.safe_load(block)).candidates
    assert candidate.prompt is not None
    assert candidate.prompt.version == "triage/7"


def test_everything_that_tells_evaluations_apart_is_documented() -> None:
    assert [name for name in (*record().identity, "prompt_registry") if f"`{name}`" not in TEXT] == []


def test_every_metric_is_documented() -> None:
    (table,) = re.findall(r"### Numbers\n(.*?)###", TEXT, re.DOTALL)
    groups = {each.path[0] for each in record().metrics}
    assert {name.partition("/")[0] for name in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)} == groups
    for each in record().metrics:
        last = each.path[-1] if each.path[0] != "kinds" else "KIND"
        ends = (last, re.sub(r"_p\d\d$", "", last), last.rpartition("_")[2])
        assert any(end in table for end in ends), each.path


def test_every_column_is_documented() -> None:
    (told,) = re.findall(r"### Columns of a pair\n(.*?)##", TEXT, re.DOTALL)
    arms = ("primary", "candidate", "control")
    for column in COLUMNS:
        stem, _, arm = column.rpartition("_")
        assert f"`{column}`" in told or (arm in arms and f"`{stem}_…`" in told), column
