"""From the check before an evaluation to what is told after it, without any client."""

from __future__ import annotations

import builtins
import hashlib
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shadowproxy.errors import NotTracked, StartError
from shadowproxy.trackers import tracking as module
from shadowproxy.trackers.destinations import Destination, Tool, destinations_of
from shadowproxy.trackers.handed import Begun, Files
from shadowproxy.trackers.record import Record
from shadowproxy.trackers.tracking import Tracked, Tracking, exit_code, source_of, told, track
from tests.trackers.example import evaluation, pairs

MLFLOW, WANDB = Destination(Tool.MLFLOW), Destination(Tool.WANDB)


class Remembering:
    """Takes everything, or refuses."""

    def __init__(self, refusal: str = "") -> None:
        self.records: list[Record] = []
        self.lines = 0
        self.folder: Path | None = None
        self._refusal = refusal

    def log(self, record: Record, files: Files, begun: Begun) -> tuple[str, tuple[str, ...]]:
        if self._refusal:
            raise NotTracked(self._refusal)
        self.records.append(record)
        self.lines = len(files.pairs.path.read_bytes().splitlines())
        self.folder = files.folder
        assert all(path.stat().st_size for path in (files.html, files.markdown, files.document))
        return f"run of {begun.command}", ("a note",)


@pytest.fixture
def trackers(monkeypatch: pytest.MonkeyPatch) -> dict[Destination, Remembering]:
    made = {MLFLOW: Remembering(), WANDB: Remembering()}
    monkeypatch.setattr(module, "_tracker", made.__getitem__)
    return made


def test_every_destination_gets_the_same(trackers: dict[Destination, Remembering]) -> None:
    done = track([MLFLOW, WANDB], evaluation(), pairs())
    assert done == tuple(Tracked(each, "run of shadowproxy verdict", ("a note",)) for each in (MLFLOW, WANDB))
    assert trackers[MLFLOW].records == trackers[WANDB].records
    assert trackers[MLFLOW].lines == trackers[WANDB].lines == 64


def test_what_one_refuses_the_other_still_gets(trackers: dict[Destination, Remembering]) -> None:
    trackers[MLFLOW] = Remembering("no room")
    first, second = track([MLFLOW, WANDB], evaluation(), pairs())
    assert (first.problem, second.problem) == ("no room", "")


def test_pairs_that_the_table_has_no_room_for_are_told(trackers: dict[Destination, Remembering], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PairFile", partial(module.PairFile, table_rows=10))
    (done,) = track([MLFLOW], evaluation(), pairs())
    assert done.notes == ("a note", "the table shows the 10 of 64 pairs that weigh most; pairs.jsonl has all of them")


def test_files_are_gone_afterwards(trackers: dict[Destination, Remembering]) -> None:
    track([MLFLOW], evaluation(), pairs())
    folder = trackers[MLFLOW].folder
    assert folder is not None
    assert not folder.exists()


def test_without_destinations_nothing_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no such folder"))
    with Tracking() as tracking:
        assert not tracking
        for pair in pairs(3):
            tracking.add(pair)
        assert tracking.finish(evaluation()) == ()


def test_full_disk_ends_the_record_and_not_the_evaluation(
    trackers: dict[Destination, Remembering], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shadowproxy.trackers.pair_file.PairFile.add", full)
    for each in track([MLFLOW, WANDB], evaluation(), pairs()):
        assert "No space left on device); let TMPDIR name a folder with room" in each.problem
    assert trackers[MLFLOW].records == []


@pytest.mark.parametrize(
    ("of_verdict", "problem", "code"), [(0, "", 0), (3, "", 3), (4, "", 4), (0, "refused", 1), (3, "refused", 3), (4, "refused", 4)]
)
def test_only_a_promotion_that_was_not_logged_becomes_an_error(of_verdict: int, problem: str, code: int) -> None:
    assert exit_code(of_verdict, [Tracked(WANDB, "there"), Tracked(MLFLOW, problem=problem)]) == code


def test_people_are_told_a_line_each() -> None:
    done = [Tracked(MLFLOW, "http://there", ("models: not linked",)), Tracked(WANDB, problem="refused")]
    assert list(told(done)) == ["mlflow: http://there", "mlflow: note: models: not linked", "wandb: refused"]


@pytest.mark.parametrize("tool", ["mlflow", "wandb"])
def test_tool_that_is_not_installed_is_named_with_its_extra(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == tool:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(StartError, match=rf"{tool}: {tool} is not installed; pip install 'llm-shadowproxy\[{tool}\]'"):
        Tracking(destinations_of([tool]))


def test_clients_are_not_imported_by_ours() -> None:
    """An evaluation that is not tracked must not pay for them."""
    code = "import sys, shadowproxy.cli, shadowproxy.trackers.tracking; print([m for m in ('mlflow', 'wandb') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.strip() == "[]"


def test_source_is_its_digest_and_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\ntwo\n")
    found = source_of("primary", path)
    assert (found.arm, found.uri, found.rows) == ("primary", str(path), 2)
    assert found.sha256 == hashlib.sha256(b"one\ntwo\n").hexdigest()
    assert source_of("primary", tmp_path / "gone").sha256 == ""
