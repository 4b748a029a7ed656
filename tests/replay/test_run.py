"""A run keeps what is on its way however it ends, tells whom it waits for, and leaves the loop to those that are being timed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from shadowproxy.config import load_offline
from shadowproxy.exchange import Outcome
from shadowproxy.replay import pace
from shadowproxy.replay.command import Request, replay
from shadowproxy.replay.progress import Standstill
from shadowproxy.replay.running import Watcher
from shadowproxy.tasks import Tasks
from tests.replay.arms import Arm, says
from tests.replay.captures import capture, captured, configured, exchange, question, run, started


@pytest.fixture
def arm() -> Iterator[Arm]:
    with Arm() as arm:
        yield arm


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def until(process: subprocess.Popen[str], arm: Arm, answered: int) -> None:
    """Wait until the arm has answered so many, or the process has ended."""
    deadline = time.monotonic() + 120
    while len(arm.answered) < answered and process.poll() is None:
        assert time.monotonic() < deadline, "the replay does not go on"
        time.sleep(0.01)


# --- before anything is asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_an_embedder_that_cannot_be_used_is_told_before_anything_is_paid_for(
    tmp_path: Path, arm: Arm, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path, arm.url, embed={"backend": "onnx", "model": "/nowhere"})
    assert run("replay", captured(tmp_path / "j", 40), "-c", config, "--workers", workers) == 1
    said = capsys.readouterr().err
    assert not arm.asked
    assert "/nowhere" in said or "pip install" in said, said
    assert "Traceback" not in said


# --- failures and ends --------------------------------------------------------------------------------------------------------


def test_a_failure_waits_for_what_is_on_its_way(tmp_path: Path, arm: Arm) -> None:
    """An arm that was never there cost all answers of the others that were on their way, and they were asked for again."""
    arm.delay_s = 2.0
    candidates = [{"name": "v2", "url": arm.url}, {"name": "v3", "url": "http://127.0.0.1:1"}]
    place = captured(tmp_path / "j", 10)
    assert run("replay", place, "-c", configured(tmp_path, candidates=candidates), "--work", "w", "--tries", "2") == 1
    with Arm() as other:
        candidates[1]["url"] = other.url
        run("replay", place, "-c", configured(tmp_path, candidates=candidates), "--work", "w")
        assert max(other.questions.values()) == 1
    assert max(arm.questions.values()) == 1


def test_a_killed_comparing_process_is_told_and_the_next_run_goes_on(tmp_path: Path, arm: Arm) -> None:
    arm.delay_s = 0.01
    place, config = captured(tmp_path / "j", 1500), configured(tmp_path, arm.url)
    process = started("replay", place, "-c", config, "--work", "w", "--workers", "1", cwd=tmp_path)
    until(process, arm, 200)
    (worker,) = workers_of(process)
    os.kill(worker, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert "a comparing process ended" in said
    assert "Traceback" not in said
    assert len(arm.asked) < 1500
    run("replay", place, "-c", config, "--work", "w")
    assert arm.questions == {question(number): 1 for number in range(1500)}


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Its comparing processes."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(each) for each in children if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def test_what_was_compared_when_it_was_stopped_is_kept(tmp_path: Path, arm: Arm) -> None:
    """Of 32 long answers, one batch took longer than anybody waits after Ctrl-C, and was thrown away."""
    dice = random.Random(1)

    def text() -> str:
        return " ".join(f"w{dice.randrange(3000)}" + ("." if dice.random() < 0.1 else "") for _ in range(6000))

    arm.answer = lambda _: text()
    place = capture(tmp_path / "j", ((exchange(number, text()), (), "") for number in range(64)))
    process = started("replay", place, "-c", configured(tmp_path, arm.url), "--work", "w", "--workers", "1", cwd=tmp_path)
    until(process, arm, 64)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode in (0, 3, 4, 130), said
    assert list((tmp_path / "w" / "pairs").iterdir()), "the run waited for the batch, and threw it away"
    assert "Traceback" not in said


def test_ctrl_c_while_processes_start_is_quiet(tmp_path: Path, arm: Arm) -> None:
    """A terminal sends it to the comparing processes, too, which do not ignore it before they have imported what says so."""
    command = [sys.executable, "-m", "shadowproxy", "replay", str(captured(tmp_path / "j", 200)), "-c", str(configured(tmp_path, arm.url))]
    process = subprocess.Popen(
        [*command, "--workers", "1"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not workers_of(process):
        assert time.monotonic() < deadline, "no process was started"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not arm.asked


# --- the pace -----------------------------------------------------------------------------------------------------------------


def test_what_nobody_is_asked_about_waits_for_no_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hours = ((exchange(number, says(question(number)), at_s=3600.0 * number), (exchange(number, "x", "v2"),), "") for number in range(25))
    place = capture(tmp_path / "j", hours)
    assert run("replay", place, "-c", configured(tmp_path), "--recorded", "v2", "--speed", "1") in (0, 3, 4)


def test_gaps_of_hours_are_shortened_and_told(
    tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "LONGEST_GAP_S", 0.3)
    moments = (0.0, 0.1, 9e5, 1e300)
    place = capture(tmp_path / "j", ((exchange(number, "x", at_s=at_s), (), "") for number, at_s in enumerate(moments)))
    run("replay", place, "-c", configured(tmp_path, arm.url), "--speed", "1")
    assert [each.question for each in arm.asked] == [question(number) for number in range(4)]
    said = capsys.readouterr().err
    assert "at this pace the last request goes out in 1 s; 2 gaps of the capture are longer than" in said


def test_a_run_that_stands_says_whom_it_waits_for() -> None:
    standstill = Standstill(100.0)
    assert not list(standstill.lines(105.0, 1, {}, ["3 answers of v2"]))
    assert not list(standstill.lines(114.0, 1, {}, ["3 answers of v2"])), "ten seconds from the last step on"
    assert list(standstill.lines(115.0, 1, {}, ["3 answers of v2"])) == ["waiting for 3 answers of v2"]
    assert not list(standstill.lines(130.0, 1, {}, ["3 answers of v2"])), "now and then"
    assert list(standstill.lines(176.0, 1, {}, [])) == ["waiting for a retry"]
    assert not list(standstill.lines(177.0, 2, {}, []))
    held = {"primary and control": 600.0}
    assert list(standstill.lines(178.0, 2, held, [])) == ["primary and control asked for a pause: it is asked again in 7 min 2 s"]
    assert list(standstill.lines(187.5, 2, held, ["comparing"])) == [
        "waiting for the pause of primary and control, 6 min 52 s more; comparing"
    ]


# --- the loop -----------------------------------------------------------------------------------------------------------------


class Looking:
    """An overseer that notes at each turn of the loop how far the run is."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []
        self._asked = self._compared = 0

    def shown(self, total: int, to_ask: int, to_compare: int) -> AbstractContextManager[Watcher]:
        return nullcontext(self)

    def asked(self, requests: int) -> None:
        self._asked += requests

    def compared(self, requests: int) -> None:
        self._compared += requests

    def told(self, line: str) -> None:
        raise AssertionError(line)

    def watch(self, stop: asyncio.Event, tasks: Tasks) -> None:
        tasks.start("looking", self._look())

    async def _look(self) -> None:
        while True:
            self.seen.append((self._asked, self._compared))
            await asyncio.sleep(0)


def looked_at(place: Path, config: Path) -> list[tuple[int, int]]:
    looking = Looking()
    replay(Request(str(place), recorded=frozenset({"v2"}), work=Path("w")), load_offline(config), Console(quiet=True), looking)
    return looking.seen


def test_reading_recorded_answers_leaves_the_loop_to_others(tmp_path: Path) -> None:
    place = captured(tmp_path / "j", 3000, candidate=lambda number: says(question(number)))
    seen = looked_at(place, configured(tmp_path))
    steps = [later - earlier for (earlier, _), (later, _) in pairwise(seen)]
    assert sum(steps) == 3000
    assert max(steps) <= 64


def test_recorded_answers_are_not_read_far_ahead_of_the_comparison(tmp_path: Path) -> None:
    words = "word " * 60_000
    lost = (replace(exchange(number, "x", words=f"{number} {words}"), outcome=Outcome.RESET, reply=None) for number in range(150))
    place = capture(tmp_path / "j", ((each, (replace(each, arm="v2"),), "") for each in lost), flush_records=8)
    seen = looked_at(place, configured(tmp_path))
    most = 16 * 2**20 // len(words) + 2 * 32
    assert most < 150, "or nothing had to be held back"
    assert max(asked - compared for asked, compared in seen) <= most
