"""docs/faults.md is what the table says, and the table is complete in itself."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from shadowproxy.counts import METRICS
from tests.faults.fault import Counted
from tests.faults.scenes import SCENES
from tests.faults.table import FAULTS
from tests.scripts import script as load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load("faults")


def test_document_is_what_the_table_says(script: ModuleType) -> None:
    assert (ROOT / "docs" / "faults.md").read_text(encoding="utf-8") == script.text(), "run python scripts/faults.py"


def test_every_row_has_a_name_of_its_own_and_a_scene() -> None:
    names = [fault.name for fault in FAULTS]
    assert sorted(set(names)) == sorted(names)
    assert {fault.scene for fault in FAULTS} == set(SCENES)


def test_every_counter_in_the_table_is_exported_with_those_labels() -> None:
    labels = {metric.name: set(metric.labels) for metric in METRICS if metric.kind == "counter"}
    for fault in FAULTS:
        if isinstance(fault.shows, Counted):
            assert set(fault.shows.labels) <= labels[fault.shows.name], fault.name


def test_every_place_has_a_chapter(script: ModuleType) -> None:
    assert {fault.where for fault in FAULTS} == set(script.CHAPTERS)
