"""What a replay sends, keeps and shows of what others wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shadowproxy.journal.reader import lines_of, read
from tests.replay.arms import Arm
from tests.replay.captures import capture, captured, configured, exchange, run


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


def _kept(place: Path) -> str:
    """All that is kept of answers."""
    return "\n".join(line.decode() for path in sorted(place.iterdir()) for _, line in lines_of(str(path), None, lambda _: None))


def test_what_is_part_of_something_known_is_not_known(tmp_path: Path) -> None:
    words = "Mail joanna@b.com\nor carl@b.com about it."
    place = capture(tmp_path / "journal", ((exchange(number, "x", words=words), (), "") for number in range(5)))
    with Arm(answer=lambda _: "Ask anna@b.com, carl@b.com or joanna@b.com.au, please, and joanna@b.com.") as arm:
        run("replay", place, "-c", configured(tmp_path, arm.url), "--work", "w")
    said = _kept(tmp_path / "w" / "answers")
    assert " anna@b.com" not in said
    assert "joanna@b.com.au" not in said
    assert "carl@b.com" in said
    assert "and joanna@b.com." in said


@pytest.mark.parametrize("is_raw", [False, True])
def test_the_terminal_masks_what_reports_mask(is_raw: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = captured(tmp_path / "journal", 10)
    kept_as_it_is = {"to": "unused", "redact": {"bodies": False}}
    with Arm(answer=lambda _: "Write to anna@b.com.") as arm:
        config = configured(tmp_path, arm.url, journal=kept_as_it_is)
        run("replay", place, "-c", config, "--work", "w", "--report", "r.md", *(["--raw"] if is_raw else []))
    shown = capsys.readouterr().out
    assert ("anna@b.com" in Path("r.md").read_text()) == is_raw
    assert ("Write to anna@b.com." in shown) == is_raw
    assert ("Write to [email]." in shown) != is_raw
