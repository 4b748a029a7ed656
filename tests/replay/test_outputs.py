"""The outcome for engines that read parameters from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shadowproxy.replay.outputs import outputs_of
from tests.replay.arms import Arm, says
from tests.replay.captures import captured, configured, question, run


def document(name: str, state: str, reasons: int = 1) -> dict[str, object]:
    return {"candidate": name, "state": state, "reasons": [{"text": f"reason {number}"} for number in range(reasons)]}


def test_the_worst_candidate_speaks_for_all() -> None:
    found = outputs_of([document("v2", "promote"), document("v3", "rollback"), document("v4", "hold")], 4)
    assert found["verdict"] == "rollback"
    assert found["exit-code"] == "4"
    assert found["reasons"].splitlines()[2:4] == ["v3: rollback", "- reason 0"]


def test_reasons_are_bounded() -> None:
    lines = outputs_of([document("v2", "hold", 40)], 3)["reasons"].splitlines()
    assert len(lines) == 14
    assert lines[-1] == "- and 28 more reasons"


def test_a_replay_writes_them_and_exits_as_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = captured(tmp_path / "j", 30, candidate=lambda number: says(question(number)))
    code = run("replay", place, "-c", configured(tmp_path), "--recorded", "v2", "--outputs", "out/now")
    assert Path("out/now/exit-code").read_text() == str(code) == "3"
    assert Path("out/now/verdict").read_text() == "hold"
    assert Path("out/now/reasons").read_text().startswith("v2: hold\n- ")


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").write_text("a file")
    place = captured(tmp_path / "j", 6, candidate=lambda number: says(question(number)))
    assert run("replay", place, "-c", configured(tmp_path), "--recorded", "v2", "--outputs", "out") == 2
    assert "--outputs out: cannot be written" in capsys.readouterr().err


def test_the_only_share_has_no_verdict_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An engine that is asked for one shard does with it what it does with eight."""
    monkeypatch.chdir(tmp_path)
    place = captured(tmp_path / "j", 30, candidate=lambda number: says(question(number)))
    assert run("replay", place, "-c", configured(tmp_path), "--recorded", "v2", "--shard", "1/1", "--work", "w") == 0
    assert "replay merge judges" in capsys.readouterr().err
    assert run("replay", "merge", "w", "-c", configured(tmp_path)) == 3


def test_a_share_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("replay", "j", "-c", configured(tmp_path), "--shard", "1/2", "--outputs", "out") == 2
    assert "give them to replay merge" in capsys.readouterr().err


def test_shards_of_a_capture_of_others_need_one_key_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each redacts for itself: the same address under another name is another request."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOURNAL_KEY", "0123456789abcdef" * 2)
    Path("p.jsonl").write_text("".join(json.dumps({"id": n, "prompt": f"Who is ann{n}@example.com?"}) + "\n" for n in range(8)))
    with Arm() as arm:
        plain = configured(tmp_path, arm.url, primary={"url": arm.url})
        keyed = configured(
            tmp_path, arm.url, name="k.yaml", primary={"url": arm.url}, journal={"to": "j", "redact": {"key": {"env": "JOURNAL_KEY"}}}
        )
        for settings, name in ((plain, "p"), (keyed, "k")):
            for index in (1, 2):
                assert run("replay", "p.jsonl", "-c", settings, "--shard", f"{index}/2", "--work", f"{name}{index}") == 0
    assert run("replay", "merge", "p1", "p2", "-c", plain) == 2
    assert "import it first, or configure journal.redact.key" in capsys.readouterr().err
    assert run("replay", "merge", "k1", "k2", "-c", keyed) == 3
