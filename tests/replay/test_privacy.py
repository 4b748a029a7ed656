"""What a replay sends, keeps and shows of what others wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shadowproxy.journal.reader import read
from tests.replay.arms import Arm
from tests.replay.captures import captured, configured, run


@pytest.fixture
def arm() -> Iterator[Arm]:
    with Arm() as arm:
        yield arm


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_capture_smuggles_no_header_to_an_arm(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [msgspec.to_builtins(each) for each in read(str(captured(tmp_path / "journal", 25)))]
    lines[3]["headers"] = [["content-type", "application/json\r\nevil: 1"]]
    lines[4]["target"] = "/v1/chat/completions?x HTTP/1.1\r\nevil: 1\r\nx: "
    lines[5]["headers"] = [["x y", "1"]]
    Path("edited.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert run("replay", "edited.jsonl", "-c", configured(tmp_path, arm.url)) in (0, 3)
    assert len(arm.asked) == 22
    assert not [each for each in arm.asked if "evil" in each.headers]
    assert "3 requests of the capture were not asked: not_http" in capsys.readouterr().out
