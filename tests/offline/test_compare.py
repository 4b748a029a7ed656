"""``shadowproxy compare``: recorded pairs in, what differs out, line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from shadowproxy.cli import main
from tests.offline.files import write


def compared(tmp_path: Path, *lines: Any, expect: int = 0, options: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    source, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"".join((line if isinstance(line, bytes) else orjson.dumps(line)) + b"\n" for line in lines))
    with pytest.raises(SystemExit) as end:
        main(["compare", str(source), "-o", str(out), "--embedder", "none", *options])
    assert end.value.code == expect
    return [orjson.loads(line) for line in out.read_bytes().splitlines()]


def kinds(line: dict[str, Any]) -> set[str]:
    return {each["kind"] for each in line["divergences"]}


def test_changed_number_is_seen_and_a_format_is_not_a_change(tmp_path: Path) -> None:
    changed, same = compared(
        tmp_path,
        {"id": "a", "request": "Dose?", "primary": "Take 5 mg twice a day.", "candidate": "Take 50 mg twice a day."},
        {"id": "b", "primary": "Take **5 mg** twice a day.", "candidate": "Take 5 mg twice a day."},
    )
    assert changed["id"] == "a"
    assert "facts.number" in kinds(changed)
    assert 0 < changed["divergence"] <= 1
    assert set(changed["divergences"][0]) >= {"kind", "severity", "primary", "candidate", "why"}
    assert same["divergence"] < 0.01
    assert same["similarity"] == 1


def test_bodies_and_streams_are_read_in_their_dialect(tmp_path: Path) -> None:
    call = {"function": {"name": "weather", "arguments": '{"city": "Lima", "days": 2}'}}
    other = {"function": {"name": "weather", "arguments": '{"days": 2.0, "city": "Lima"}'}}
    sse = 'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    calls, streams, anthropic = compared(
        tmp_path,
        {"id": 1, "primary": {"body": chat(tool_calls=[call])}, "candidate": {"body": chat(tool_calls=[other])}},
        {"id": 2, "primary": {"sse": sse % "Yes."}, "candidate": "Yes."},
        {
            "id": 3,
            "primary": "Hello",
            "candidate": {"body": {"type": "message", "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"}},
        },
    )
    assert calls["scores"]["tools"] == 0
    assert streams["divergence"] == 0 or kinds(streams) == {"outcome.finish_reason"}
    assert anthropic["similarity"] == 1


def chat(**message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": "tool_calls"}]}


def test_candidate_without_answer_is_as_different_as_can_be(tmp_path: Path) -> None:
    for missing in (None, {"error": "timed out"}):
        (line,) = compared(tmp_path, {"id": 1, "primary": "x", "candidate": missing})
        assert line["divergence"] == 1
        assert "outcome.failure" in kinds(line)


def test_malformed_line_is_named_and_the_rest_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = compared(
        tmp_path,
        {"id": 1, "primary": "a", "candidate": "a"},
        b'{"id": 2, "primary": "a"',
        {"id": 3, "primary": "a"},
        {"id": 4, "primary": "a", "candidate": {"sse": 3}},
        {"id": 5, "primary": "a", "candidate": {"body": {}, "dialect": "klingon"}},
        b"[]",
        {"id": 7, "primary": "a", "candidate": "a"},
        expect=1,
    )
    assert [line["id"] for line in lines] == [1, 7]
    told = capfd.readouterr().err
    for words in ("line 2, column 25", "line 3: candidate", "line 4: candidate.sse", "line 5: candidate.dialect", "line 6"):
        assert words in told
    assert "2 pairs compared; 5 lines left out" in told


def test_resumed_run_goes_on_behind_what_was_written(tmp_path: Path) -> None:
    lines = [{"id": number, "primary": "a", "candidate": "a"} for number in range(5)]
    whole = compared(tmp_path, *lines)
    out = tmp_path / "out.jsonl"
    torn = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(torn[:2]) + torn[2][:20])
    assert compared(tmp_path, *lines, options=("--resume",)) == whole


def test_control_is_compared_beside_the_candidate(tmp_path: Path) -> None:
    (line,) = compared(tmp_path, {"id": 1, "primary": "Take 5 mg.", "candidate": "Take 50 mg.", "control": "Take 5 mg."})
    assert line["control"]["divergence"] == 0
    assert line["divergence"] > 0


def test_rules_of_the_configuration_take_noise_out(tmp_path: Path) -> None:
    config = write(tmp_path / "c.yaml", [{"compare": {"rules": [{"path": "$.at", "ignore": True}], "languages": False}}])
    (line,) = compared(
        tmp_path,
        {"id": 1, "primary": '{"at": 1, "ok": true}', "candidate": '{"at": 2, "ok": true}'},
        options=("--config", str(config)),
    )
    assert line["divergence"] == 0
    assert line["suppressed"] == {"ignore $.at": 1}


def test_unknown_embedder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["compare", str(write(tmp_path / "p.jsonl", [])), "--embedder", "psychic"])
    assert end.value.code == 2
    assert "--embedder: psychic is not a backend" in capsys.readouterr().err


def test_missing_file_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["compare", str(tmp_path / "none.jsonl"), "--embedder", "none"])
    assert end.value.code == 2
    assert "none.jsonl: cannot be read" in capsys.readouterr().err
