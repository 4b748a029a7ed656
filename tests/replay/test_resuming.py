"""A replay that is stopped, killed or divided ends with exactly what an undisturbed one ends with, and asks nothing twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shadowproxy.journal.recording import Recorder
from shadowproxy.redaction.pseudonyms import Pseudonyms
from shadowproxy.replay import catalogue
from tests.replay.arms import Arm, says
from tests.replay.captures import capture, captured, configured, exchange, question, run, started, timeless
from tests.replay.test_replay import answers

REQUESTS = 240
KILLS = 20


@pytest.fixture
def arm() -> Iterator[Arm]:
    """Differs from the primary now and then, and fails now and then, each time alike."""

    def answer(words: str) -> str:
        return says(words) if len(words) % 3 or "4" not in words else f"{words[::-1]} 17"

    with Arm(answer=answer, refuse=lambda _, words: (500, {}, "no") if "7 of" in words else None, delay_s=0.01) as arm:
        yield arm


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def document(capsys: pytest.CaptureFixture[str]) -> object:
    return timeless(json.loads(capsys.readouterr().out))


def numbers_of(folder: Path) -> set[int]:
    """Requests that have an answer there."""
    numbers = {key_of(number): number for number in range(REQUESTS)}
    return {numbers[each.key] for each in answers(folder)}


def key_of(number: int) -> str:
    """What the work folder calls that request."""
    asked = exchange(number, says(question(number)))
    record = Recorder(Pseudonyms(b"x" * 32), None).record(asked)
    return catalogue._key(record).hex()


def ended(process: subprocess.Popen[str], number: int) -> None:
    process.send_signal(number)
    process.communicate(timeout=120)


def until(process: subprocess.Popen[str], arm: Arm, answered: int) -> None:
    """Wait until the arm has answered so many more, or the process has ended."""
    wanted, deadline = len(arm.answered) + answered, time.monotonic() + 120
    while len(arm.answered) < wanted and process.poll() is None:
        assert time.monotonic() < deadline, "the replay does not go on"
        time.sleep(0.005)


@pytest.mark.timeout(300)
def test_twenty_kills_change_nothing_and_ask_nothing_twice(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(7)
    place = captured(tmp_path / "j", REQUESTS, control=True, per_session=3)
    config = configured(tmp_path, arm.url, control={"percent": 100})
    code = run("replay", place, "-c", config, "--work", "whole", "--json")
    whole = document(capsys)
    arm.asked.clear()
    arm.answered.clear()

    kept_before: set[int] = set()
    unsure = 0
    for kill in range(KILLS):
        before = len(arm.asked)
        process = started("replay", place, "-c", config, "--work", "w", "--concurrency", "4", "--workers", kill % 2, cwd=tmp_path)
        until(process, arm, dice.randrange(1, 12))
        ended(process, signal.SIGKILL)
        asked_now = [each.question for each in arm.asked[before:]]
        assert not {question(number) for number in kept_before} & set(asked_now), "what was kept is not asked again"
        kept_before = numbers_of(Path("w"))
        unsure += len({*asked_now} - {question(number) for number in kept_before})
    assert len(kept_before) < REQUESTS, "all of it was done before the last kill: the test has shown nothing"
    assert run("replay", place, "-c", config, "--work", "w", "--json") == code
    assert document(capsys) == whole
    assert sum(arm.questions.values()) == REQUESTS + unsure, "asked twice is only what was on its way when the process was killed"
    assert unsure <= KILLS * 4, "never more than what was in flight"


def test_nothing_of_a_killed_replay_stays_behind(tmp_path: Path, arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHADOWPROXY_TEST", str(tmp_path))
    place, config = captured(tmp_path / "j", REQUESTS), configured(tmp_path, arm.url)
    process = started("replay", place, "-c", config, "--concurrency", "1", "--workers", "2", cwd=tmp_path)
    until(process, arm, 40)
    deadline = time.monotonic() + 120
    while len(of_this_test(tmp_path)) < 3:
        assert time.monotonic() < deadline, "no worker was started"
        time.sleep(0.02)
    ended(process, signal.SIGKILL)
    while of_this_test(tmp_path):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.02)


def of_this_test(mark: Path) -> list[int]:
    """Processes, this one left out, that carry the test's mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"SHADOWPROXY_TEST={mark}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_replay_keeps_what_is_on_its_way_and_says_how_to_go_on(tmp_path: Path, arm: Arm, number: signal.Signals) -> None:
    place, config = captured(tmp_path / "j", REQUESTS), configured(tmp_path, arm.url)
    process = started("replay", place, "-c", config, "--concurrency", "4", cwd=tmp_path)
    until(process, arm, 20)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    (folder,) = Path().glob("replay-*")
    assert {question(number) for number in numbers_of(folder)} == set(arm.questions), "every answer that was asked for is kept"
    run("replay", place, "-c", config)
    assert max(arm.questions.values()) == 1


@pytest.mark.parametrize("shards", range(1, 9))
def test_shards_are_merged_into_the_verdict_of_the_whole(tmp_path: Path, arm: Arm, shards: int, capsys: pytest.CaptureFixture[str]) -> None:
    arm.delay_s = 0
    place = captured(tmp_path / "j", 96, control=True, per_session=3)
    config = configured(tmp_path, arm.url, control={"percent": 100}, slices={"prompt_length": True})
    code = run("replay", place, "-c", config, "--work", "whole", "--json")
    whole = document(capsys)
    arm.asked.clear()
    for index in range(1, shards + 1):
        assert run("replay", place, "-c", config, "--shard", f"{index}/{shards}", "--work", f"w{index}") == 0
    capsys.readouterr()
    folders = [f"w{index}" for index in reversed(range(1, shards + 1))]
    assert run("replay", "merge", *folders, "-c", config, "--json") == code
    assert document(capsys) == whole
    assert max(arm.questions.values()) == 1
    assert len(arm.questions) == 96


def test_shards_that_do_not_belong_together_are_named(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.delay_s = 0
    config = configured(tmp_path, arm.url)
    for index in (1, 2):
        run("replay", captured(tmp_path / f"j{index}", 6 * index), "-c", config, "--shard", f"{index}/2", "--work", f"w{index}")
    assert run("replay", "merge", "w1", "w2", "-c", config) == 2
    assert "w2: is a share of other requests than w1" in capsys.readouterr().err
    assert run("replay", "merge", "w1", "-c", config) == 2
    assert "share 2/2 is missing" in capsys.readouterr().err
    assert run("replay", "merge", "w1", "w1", "-c", config) == 2
    assert run("replay", "merge", "j1", "-c", config) == 2
    assert "j1: is no work folder of a replay" in capsys.readouterr().err


def test_a_share_that_is_not_done_is_not_merged(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    place, config = captured(tmp_path / "j", 60), configured(tmp_path, arm.url)
    run("replay", place, "-c", config, "--shard", "1/2", "--work", "w1")
    process = started("replay", place, "-c", config, "--shard", "2/2", "--work", "w2", "--concurrency", "1", cwd=tmp_path)
    until(process, arm, 5)
    ended(process, signal.SIGINT)
    assert run("replay", "merge", "w1", "w2", "-c", config) == 2
    assert "w2: share 2/2 is not done" in capsys.readouterr().err


def test_one_folder_has_one_replay_at_a_time(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    place, config = captured(tmp_path / "j", REQUESTS), configured(tmp_path, arm.url)
    process = started("replay", place, "-c", config, "--work", "w", "--concurrency", "1", cwd=tmp_path)
    try:
        until(process, arm, 3)
        assert run("replay", place, "-c", config, "--work", "w") == 1
        assert "w: another replay is at work here" in capsys.readouterr().err
    finally:
        ended(process, signal.SIGTERM)


def test_a_torn_end_costs_what_was_in_it(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.delay_s = 0
    place, config = captured(tmp_path / "j", 60), configured(tmp_path, arm.url)
    code = run("replay", place, "-c", config, "--work", "w", "--json", "--concurrency", "1")
    whole = document(capsys)
    for name in ("answers", "pairs"):
        (segment,) = (Path("w") / name).iterdir()
        data = segment.read_bytes()
        segment.write_bytes(data[: len(data) * 2 // 3])
    kept = len(answers_whole(Path("w")))
    arm.asked.clear()
    assert run("replay", place, "-c", config, "--work", "w", "--json") == code
    assert document(capsys) == whole
    assert 0 < len(arm.asked) <= 60 - kept


def answers_whole(folder: Path) -> list[str]:
    """Keys of the answers before the torn end."""
    from shadowproxy.journal.reader import lines_of

    return [json.loads(line)["key"] for path in (folder / "answers").iterdir() for _, line in lines_of(str(path), None, lambda _: None)]


def test_an_interrupted_import_is_begun_anew(tmp_path: Path, arm: Arm) -> None:
    arm.delay_s = 0
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"id": str(number), "prompt": question(number), "answer": "x"}) + "\n" for number in range(9)))
    (tmp_path / "w" / "source.part").mkdir(parents=True)
    (tmp_path / "w" / "source.part" / "half.jsonl.zst").write_bytes(b"half")
    run("replay", prompts, "-c", configured(tmp_path, arm.url), "--work", "w")
    assert len(arm.questions) == 9


def test_encrypted_work_is_read_again_with_its_key(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    pyrage = pytest.importorskip("pyrage", reason="pyrage is not installed")
    arm.delay_s = 0
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(str(identity))
    place = capture(tmp_path / "j", ((exchange(number, "x"), (), "") for number in range(30)))
    config = configured(tmp_path, arm.url, journal={"to": "unused", "recipients": [str(identity.to_public())]})
    assert run("replay", place, "-c", config, "--work", "w") == 2
    assert "give the key with --identity" in capsys.readouterr().err
    first = run("replay", place, "-c", config, "--work", "w", "--identity", "key.txt", "--json")
    whole = document(capsys)
    assert all(b"district" not in each.read_bytes() for each in Path("w").rglob("*") if each.is_file())
    arm.asked.clear()
    assert run("replay", place, "-c", config, "--work", "w", "--identity", "key.txt", "--json") == first
    assert document(capsys) == whole
    assert not arm.asked
