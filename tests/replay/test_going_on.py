"""What stands of an earlier run when something has changed since: what was asked, how, or what the capture says."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shadowproxy.exchange import Outcome
from shadowproxy.journal.reader import lines_of
from tests.replay.arms import Arm, says
from tests.replay.captures import capture, captured, configured, exchange, question, run, started, timeless


@pytest.fixture
def arm() -> Iterator[Arm]:
    with Arm() as arm:
        yield arm


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return timeless(json.loads(capsys.readouterr().out))


def gates(found: Any) -> dict[str, tuple[int, float]]:
    return {each["gate"]: (each["n"], each["mean"]) for each in found["gates"] if each["n"]}


def judged(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    run("replay", *arguments, "--json")
    return document(capsys)


# --- who answers ------------------------------------------------------------------------------------------------------------


def test_captured_answers_go_before_what_an_earlier_run_asked(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    with Arm(refuse=lambda *_: (500, {}, "no")) as primary:
        config = configured(tmp_path, arm.url, primary={"url": primary.url})
        place = captured(tmp_path / "j", 60)
        wanted = judged(capsys, place, "-c", config, "--work", "another")
        assert judged(capsys, place, "-c", config, "--work", "w", "--fresh") != wanted
        assert judged(capsys, place, "-c", config, "--work", "w") == wanted


def test_a_candidate_that_was_asked_can_be_taken_from_the_capture(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.refuse = lambda *_: (500, {}, "no")
    place, config = captured(tmp_path / "j", 60, candidate=lambda number: says(question(number))), configured(tmp_path, arm.url)
    assert gates(judged(capsys, place, "-c", config, "--work", "w"))["error"] == (60, 1.0)
    assert gates(judged(capsys, place, "-c", config, "--work", "w", "--recorded", "v2"))["error"] == (60, 0.0)


# --- what failed ------------------------------------------------------------------------------------------------------------


def test_what_failed_is_asked_again_where_that_is_asked_for(
    tmp_path: Path, arm: Arm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arm.refuse = lambda *_: None if arm.asked[-1].headers.get("Authorization") == "Bearer good" else (401, {}, "no key")
    config = configured(tmp_path, candidates=[{"name": "v2", "url": arm.url, "auth": {"env": "V2_KEY"}}])
    place = captured(tmp_path / "j", 60)
    monkeypatch.setenv("V2_KEY", "bad")
    assert gates(judged(capsys, place, "-c", config))["error"] == (60, 1.0)
    monkeypatch.setenv("V2_KEY", "good")
    assert gates(judged(capsys, place, "-c", config))["error"] == (60, 1.0), "an answer is an answer"
    assert gates(judged(capsys, place, "-c", config, "--again-failed"))["error"] == (60, 0.0)
    assert len(arm.asked) == 120


def test_more_patience_asks_again(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.delay_s = 0.6
    place = captured(tmp_path / "j", 20)
    for timeout_s, failed in ((0.2, 1.0), (20, 0.0)):
        config = configured(tmp_path, candidates=[{"name": "v2", "url": arm.url, "timeout_s": timeout_s}])
        assert gates(judged(capsys, place, "-c", config))["error"] == (20, failed)


def test_what_was_given_up_is_asked_again_by_the_next_run(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.refuse = lambda _, asked: (429, {}, "quota") if asked == question(3) else None
    place, config = captured(tmp_path / "j", 30), configured(tmp_path, arm.url)
    run("replay", place, "-c", config, "--tries", "1")
    assert "v2 stayed busy or unreachable for 1 requests" in capsys.readouterr().out
    arm.refuse = lambda *_: None
    arm.asked.clear()
    run("replay", place, "-c", config, "--tries", "1")
    assert "stayed busy" not in capsys.readouterr().out
    assert arm.questions == {question(3): 1}


def test_what_was_given_up_is_told_after_a_kill_too(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.refuse = lambda _, asked: (429, {}, "quota") if asked == question(2) else None
    arm.delay_s = 0.02
    place, config = captured(tmp_path / "j", 100), configured(tmp_path, arm.url)
    process = started("replay", place, "-c", config, "--work", "w", "--concurrency", "2", "--workers", "0", "--tries", "1", cwd=tmp_path)
    deadline = time.monotonic() + 120
    while len(arm.answered) < 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    run("replay", place, "-c", config, "--work", "w", "--tries", "1")
    assert "v2 stayed busy or unreachable for 1 requests" in capsys.readouterr().out


# --- what the capture says ----------------------------------------------------------------------------------------------------


def test_a_capture_whose_answers_were_mended_is_compared_anew(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, arm.url)
    lost = (replace(exchange(number, "x"), outcome=Outcome.RESET, reply=None) for number in range(40))
    place = capture(tmp_path / "j", ((each, (), "") for each in lost))
    before = judged(capsys, place, "-c", config, "--work", "w")
    shutil.rmtree(place)
    captured(place, 40)
    arm.asked.clear()
    after = judged(capsys, place, "-c", config, "--work", "w")
    assert not arm.asked, "the same was asked"
    assert after == judged(capsys, place, "-c", config, "--work", "another") != before


def test_a_journal_that_grew_is_gone_on_with(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    place, config = captured(tmp_path / "j", 40), configured(tmp_path, arm.url)
    run("replay", place, "-c", config)
    capture(place, ((exchange(number, says(question(number))), (), "") for number in range(40, 45)))
    capsys.readouterr()
    assert gates(judged(capsys, place, "-c", config))["error"][0] == 45
    assert arm.questions == {question(number): 1 for number in range(45)}


def test_a_journal_that_made_room_meanwhile_loses_what_went(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.delay_s = 0.02
    place, config = tmp_path / "j", configured(tmp_path, arm.url)
    for start in range(0, 400, 100):
        capture(place, ((exchange(number, "x"), (), "") for number in range(start, start + 100)))
    process = started("replay", place, "-c", config, "--work", "w", "--concurrency", "4", "--workers", "0", cwd=tmp_path)
    deadline = time.monotonic() + 120
    while len(arm.asked) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    sorted(place.iterdir())[2].unlink()
    out, said = process.communicate(timeout=120)
    assert process.returncode in (0, 3, 4), said
    assert "100 requests went from the capture while it was replayed" in out
    arm.asked.clear()
    capsys.readouterr()
    assert gates(judged(capsys, place, "-c", config, "--work", "w"))["error"][0] == 300
    assert not arm.asked


def test_a_record_that_stands_there_twice_is_asked_once(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    place = capture(tmp_path / "j", ((exchange(number % 5, "x"), (), "") for number in range(10)))
    run("replay", place, "-c", configured(tmp_path, arm.url))
    assert arm.questions == {question(number): 1 for number in range(5)}
    assert "5 requests of the capture were not asked: it is in the capture twice" in capsys.readouterr().out


def test_another_capture_by_the_same_name_is_imported_anew(tmp_path: Path, arm: Arm) -> None:
    prompts, config = tmp_path / "prompts.jsonl", configured(tmp_path, arm.url)
    for numbers in (range(5), range(3, 9)):
        prompts.write_text("".join(json.dumps({"id": str(number), "prompt": question(number), "answer": "x"}) + "\n" for number in numbers))
        run("replay", prompts, "-c", config)
    assert set(arm.questions) == {question(number) for number in range(9)}


def test_routes_that_were_renamed_are_those_of_the_verdict(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    place = captured(tmp_path / "j", 40)
    judged(capsys, place, "-c", configured(tmp_path, arm.url), "--work", "w")
    config = configured(tmp_path, arm.url, routes=[{"name": "triage", "path": "/v1/chat/completions"}])
    arm.asked.clear()
    found = judged(capsys, place, "-c", config, "--work", "w")
    assert not arm.asked
    assert found == judged(capsys, place, "-c", config, "--work", "another")


# --- redaction ----------------------------------------------------------------------------------------------------------------


def mail(asked: str) -> str:
    return f"{asked} Write to maria{sum(map(ord, asked)) % 97}@example.com."


def test_answers_of_different_runs_have_the_same_pseudonyms(tmp_path: Path) -> None:
    place = captured(tmp_path / "j", 40)
    with Arm(answer=mail) as arm, Arm(answer=mail) as primary:
        for model in ("a", "b"):
            config = configured(tmp_path, primary={"url": primary.url}, candidates=[{"name": "v2", "url": arm.url, "model": model}])
            run("replay", place, "-c", config, "--work", "w", "--fresh")
        assert len(primary.asked) == 40, "its answers were kept"
    lines = [json.loads(line) for path in (tmp_path / "w" / "pairs").iterdir() for _, line in lines_of(str(path), None, lambda _: None)]
    assert len(lines) == 80
    assert all(line["line"]["found"]["v2"]["is_exact"] for line in lines)


def test_redaction_that_is_switched_on_does_not_use_what_was_kept_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = captured(tmp_path / "j", 10)
    with Arm(answer=lambda _: "Write to anna@b.com.") as arm:
        for bodies in (False, True):
            config = configured(tmp_path, arm.url, journal={"to": "x", "redact": {"bodies": bodies}})
            capsys.readouterr()
            run("replay", place, "-c", config, "--work", "w", "--raw")
    assert "anna@b.com" not in capsys.readouterr().out


# --- merging and money ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"units": {"session": "none"}}, "units"),
        ({"slices": {"prompt_length": True}}, "slices"),
        ({"candidates": [{"name": "v3", "url": "http://127.0.0.1:1"}]}, "arm v2, arm v3"),
        ({"candidates": [{"name": "v2", "url": "http://127.0.0.1:1"}]}, "arm v2"),
    ],
)
def test_a_merge_by_another_configuration_is_refused_by_name(
    tmp_path: Path, arm: Arm, other: dict[str, Any], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place, config = captured(tmp_path / "j", 20, per_session=4), configured(tmp_path, arm.url)
    for index in (1, 2):
        run("replay", place, "-c", config, "--shard", f"{index}/2", "--work", f"w{index}")
    capsys.readouterr()
    assert run("replay", "merge", "w1", "w2", "-c", configured(tmp_path, arm.url, name="other.yaml", **other)) == 2
    assert f"was asked or compared by another {named} than this configuration has" in capsys.readouterr().err


def test_a_ceiling_stops_a_replay_which_goes_on_when_it_is_raised(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    place = captured(tmp_path / "j", 60)

    def with_ceiling(tokens: int) -> Path:
        return configured(tmp_path, candidates=[{"name": "v2", "url": arm.url, "ceiling": {"tokens": tokens}}])

    assert run("replay", place, "-c", with_ceiling(200), "--concurrency", "1") == 1
    assert "candidates[0].ceiling: v2 has spent it" in capsys.readouterr().err
    asked = len(arm.asked)
    assert 0 < asked < 30
    assert run("replay", place, "-c", with_ceiling(200), "--concurrency", "1") == 1
    assert len(arm.asked) == asked, "what an earlier run has spent counts"
    assert run("replay", place, "-c", with_ceiling(100_000)) in (0, 3)
    assert arm.questions == {question(number): 1 for number in range(60)}


# --- what is needed -------------------------------------------------------------------------------------------------------------


def test_a_control_that_is_recorded_in_part_needs_the_primary(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    def control(number: int) -> tuple[Any, ...]:
        return (exchange(number, says(question(number)), "control"),) if number % 2 else ()

    place = capture(tmp_path / "j", ((exchange(number, says(question(number))), control(number), "") for number in range(20)))
    assert run("replay", place, "-c", configured(tmp_path, arm.url, control={"percent": 100})) == 2
    assert "primary.url: is missing, and the primary has to be asked" in capsys.readouterr().err
    assert not arm.asked


def test_of_arms_that_are_not_judged_nothing_is_said(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    run("replay", captured(tmp_path / "j", 10, control=True), "-c", configured(tmp_path, arm.url))
    assert "note: the answers of" not in capsys.readouterr().out
