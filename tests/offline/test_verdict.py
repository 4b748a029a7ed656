"""``shadowproxy verdict``: recorded answers of two or three arms in, one verdict and its exit code out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from shadowproxy.cli import main
from shadowproxy.verdict.document import verify
from tests.offline.files import answers, write

#: Wide enough to decide on a few hundred lines without vectors.
CONFIG = [
    {
        "compare": {"languages": False},
        "gates": {"error": {"margin": 0.02}, "similarity": {"enabled": False}, "facts": {"margin": 0.05}},
        "verdict": {"min_pairs": 50},
    }
]


def judged(
    tmp_path: Path,
    candidate: list[dict[str, Any]],
    primary: list[dict[str, Any]] | None = None,
    control: list[dict[str, Any]] | None = None,
    config: list[dict[str, Any]] = CONFIG,
    options: tuple[str, ...] = (),
) -> int:
    arguments = ["verdict", "--embedder", "none", "--config", str(write(tmp_path / "c.yaml", config)), *options]
    arguments += ["--primary", str(write(tmp_path / "a.jsonl", primary if primary is not None else answers(600)))]
    arguments += ["--candidate", str(write(tmp_path / "b.jsonl", candidate))]
    if control is not None:
        arguments += ["--control", str(write(tmp_path / "c.jsonl", control))]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert isinstance(end.value.code, int)
    return end.value.code


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(capsys.readouterr().out)
    return found


def codes(found: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in found["reasons"]}


def test_equal_candidate_is_promoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(tmp_path, answers(600), control=answers(600)) == 0
    shown = capsys.readouterr().out
    assert "PROMOTE" in shown
    assert "b: promote, because" in shown


def test_candidate_that_fails_is_rolled_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(tmp_path, answers(600, failed=0.2), options=("--json",)) == 4
    found = document(capsys)
    assert "worse:error" in codes(found)
    assert verify(found)


def test_candidate_with_other_facts_is_rolled_back_and_its_pairs_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(tmp_path, answers(600, wrong=0.4), control=answers(600)) == 4
    shown = capsys.readouterr().out
    assert "facts" in shown
    assert "Pairs that weigh most" in shown
    assert "facts.number" in shown


@pytest.mark.parametrize("untimed", ["candidate", "control"])
def test_an_arm_whose_times_nobody_wrote_down_is_not_slow(tmp_path: Path, untimed: str, capsys: pytest.CaptureFixture[str]) -> None:
    timed = [{**line, "ttft_s": 0.2} for line in answers(600)]
    candidate, control = (answers(600), timed) if untimed == "candidate" else (timed, answers(600))
    assert judged(tmp_path, candidate, primary=timed, control=control) == 0
    assert "gate ttft is off: no line of one arm has ttft_s" in capsys.readouterr().out


def test_few_lines_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(tmp_path, answers(20), primary=answers(20), options=("--json",)) == 3
    assert "min_pairs" in codes(document(capsys))


def test_line_that_the_candidate_does_not_have_counts_as_its_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(tmp_path, answers(400)) == 4
    assert "200 requests have no line of the candidate" in " ".join(capsys.readouterr().out.split())


def test_without_control_only_absolute_thresholds_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(tmp_path, answers(600), options=("--json",))
    assert "no_control" in codes(document(capsys))


def test_same_files_give_the_same_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for _ in range(2):
        judged(tmp_path, answers(300, wrong=0.1), primary=answers(300), options=("--json",))
        each = document(capsys)
        found.append({key: value for key, value in each.items() if key not in ("digest", "provenance", "age_s")})
    assert found[0] == found[1]


def test_session_is_one_observation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def in_sessions(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**line, "session": f"s{line['id'] // 10}"} for line in lines]

    judged(tmp_path, in_sessions(answers(600)), primary=in_sessions(answers(600)), options=("--json",))
    found = document(capsys)
    assert (found["sessions"], found["issued"], found["unresolved"]) == (60, 600, 0)
    assert {gate["n"] for gate in found["gates"] if gate["gate"] == "error"} == {60}


def test_slow_tail_is_judged_where_lines_say_how_long_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = [{**line, "ttft_s": 0.2 + (line["id"] % 100) / 1000} for line in answers(900)]
    slow = [{**line, "ttft_s": 0.9} for line in answers(900)]
    assert judged(tmp_path, slow, primary=quick, options=("--json",)) == 4
    assert "worse:ttft" in codes(document(capsys))


def test_every_pair_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    judged(tmp_path, answers(30, wrong=1), primary=answers(30), options=("-o", str(out)))
    lines = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [line["id"] for line in lines] == list(range(30))


BAD = {
    "not json": (b'{"id": 1, "answer": ', "line 2, column"),
    "no id": (b'{"answer": "x"}', "line 2: id"),
    "no answer": (b'{"id": 1}', "line 2: answer"),
    "id twice": (b'{"id": 0, "answer": "x"}', "id 0 stands here a second time"),
    "bad time": (b'{"id": 1, "answer": "x", "ttft_s": "fast"}', "ttft_s is 'fast'"),
    "bad usage": (b'{"id": 1, "answer": "x", "usage": {"completion_tokens": -1}}', "usage.completion_tokens is -1"),
    "bad answer": (b'{"id": 1, "answer": 7}', "is not an answer"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_by_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line, words = BAD[case]
    good = write(tmp_path / "a.jsonl", [{"id": number, "answer": "x"} for number in range(2)])
    bad = tmp_path / "b.jsonl"
    bad.write_bytes(b'{"id": 0, "answer": "x"}\n' + line + b"\n")
    with pytest.raises(SystemExit) as end:
        main(["verdict", "--embedder", "none", "--primary", str(good), "--candidate", str(bad)])
    assert end.value.code == 2
    assert words in capsys.readouterr().err


def test_files_without_a_common_id_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = write(tmp_path / "a.jsonl", [{"id": 1, "answer": "x"}]), write(tmp_path / "b.jsonl", [{"id": "1", "answer": "x"}])
    with pytest.raises(SystemExit) as end:
        main(["verdict", "--embedder", "none", "--primary", str(one), "--candidate", str(two)])
    assert end.value.code == 2
    assert "has no id that is in" in capsys.readouterr().err


def test_reports_are_written_by_their_ending(tmp_path: Path) -> None:
    reports = [tmp_path / f"report.{kind}" for kind in ("html", "md", "xml", "json")]
    options = tuple(part for path in reports for part in ("--report", str(path)))
    assert judged(tmp_path, answers(600, wrong=0.4), control=answers(600), options=options) == 4
    page, text, junit, document = (path.read_text(encoding="utf-8") for path in reports)
    assert "Roll back" in page
    assert "facts.number" in page
    assert "Roll back: the candidate is shown to be worse" in text
    assert "<testsuite" in junit
    assert verify(orjson.loads(document))


def test_report_whose_ending_says_nothing_is_refused_before_anything_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(tmp_path, answers(3), primary=answers(3), options=("--report", "report.doc")) == 2
    assert "told by the ending" in capsys.readouterr().err


def test_the_terminal_masks_personal_data_unless_it_is_told_not_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = [{**line, "answer": "Write to ada@engines.org."} for line in answers(40)]
    for options, said in (((), "Write to [email]."), (("--raw",), "Write to ada@engines.org.")):
        judged(tmp_path, told, primary=answers(40), options=options)
        assert f"candidate  {said}" in capsys.readouterr().out
