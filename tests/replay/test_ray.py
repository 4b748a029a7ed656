"""A replay on Ray says what one process says, whatever happens to its workers."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shadowproxy import config
from shadowproxy.replay.command import Request
from shadowproxy.replay.pace import ClosedLoop, Timed
from shadowproxy.replay.ray_board import Board, Picture, Standing
from shadowproxy.replay.ray_engine import divided_pace, divided_rates
from shadowproxy.replay.ray_worker import ShareTask, run_share
from shadowproxy.replay.work import Share, held
from tests.replay.arms import Arm, says
from tests.replay.captures import captured, configured, question, run, started, timeless
from tests.replay.test_replay import answers
from tests.replay.test_resuming import numbers_of

REQUESTS = 120

#: Ray starts several processes before the first task, here on a machine that does much else.
START_S = 120.0


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def arm() -> Iterator[Arm]:
    with Arm(answer=lambda words: says(words) if "4" not in words else f"{words[::-1]} 17", delay_s=0.02) as arm:
        yield arm


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray with two workers at once."""
    pytest.importorskip("ray", reason="ray is not installed")
    quiet = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--port=0", "--num-cpus=2", "--block"]
    command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", f"--object-store-memory={80 * 1024 * 1024}"]
    head = subprocess.Popen(command, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert head.stdout is not None
        address = next(line.split("'")[1] for line in head.stdout if "--address='" in line)
        yield address
    finally:
        head.terminate()
        try:
            head.wait(20)
        except subprocess.TimeoutExpired:
            head.kill()
            head.wait(20)
        if head.stdout is not None:
            head.stdout.close()


def on_ray(*arguments: object, cwd: Path, code: int) -> Any:
    """The command with ``--json``, in a process of its own; its verdict."""
    process = started(*arguments, "--engine", "ray", "--json", cwd=cwd)
    out, said = process.communicate(timeout=START_S + 30)
    assert process.returncode == code, said
    return timeless(json.loads(out)) if out else said


def alone(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    """The same without Ray and undivided."""
    code = run(*arguments, "--work", "alone", "--json")
    return code, timeless(json.loads(capsys.readouterr().out))


# --- on a cluster -----------------------------------------------------------------------------------------------------------


def differs(number: int) -> str:
    return says(question(number)) if number % 7 else "I am sorry, but I cannot help with that."


@pytest.mark.parametrize("shards", range(1, 9))
def test_the_verdict_is_that_of_one_process(
    tmp_path: Path, cluster: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    place = captured(tmp_path / "j", REQUESTS, control=True, candidate=differs, per_session=3)
    command = ("replay", place, "-c", configured(tmp_path, control={"percent": 100}), "--recorded", "v2")
    code, whole = alone(capsys, *command)
    divided = on_ray(*command, "--work", "w", "--shards", shards, "--ray-address", cluster, cwd=tmp_path, code=code)
    assert divided == whole
    assert sorted(path.name for path in Path("w").glob("shard-*")) == [f"shard-{index}-of-{shards}" for index in range(1, shards + 1)]


def test_a_capture_of_others_is_imported_once_for_all_shards(
    tmp_path: Path, cluster: str, arm: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each for itself would give what it redacts names of its own, and no two shards would have the same requests."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    lines = [{"id": f"q{number}", "prompt": f"Who is ann{number}@example.com?"} for number in range(30)]
    Path("prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with Arm() as primary:
        settings = configured(tmp_path, arm.url, primary={"url": primary.url})
        found = on_ray(
            "replay", "prompts.jsonl", "-c", settings, "--work", "w", "--shards", 2, "--ray-address", cluster, cwd=tmp_path, code=3
        )
    assert next(each["n"] for each in found["gates"] if each["gate"] == "error") == 30
    assert not any("ann" in each.question for each in arm.asked)
    assert not list(Path("w").glob("shard-*/key")), "one key for all shares, or no two would have the same requests"


def test_what_a_worker_cannot_use_is_said_with_its_share(tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    settings = configured(tmp_path, "http://127.0.0.1:1")
    where = ("--work", "w", "--shards", 2, "--tries", 1, "--ray-address", cluster)
    said = on_ray("replay", captured(tmp_path / "j", 6), "-c", settings, *where, cwd=tmp_path, code=1)
    assert "share " in said
    assert "v2 was never reached" in said


# --- on this machine --------------------------------------------------------------------------------------------------------


def holder_of(folder: Path) -> int:
    """The process that holds the lock of a work folder, 0 where none does."""
    lock = (folder / "lock").resolve()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and any(each.readlink() == lock for each in (entry / "fd").iterdir()):
                return int(entry.name)
        except OSError:
            continue
    return 0


def until(process: subprocess.Popen[str], arm: Arm, answered: int) -> None:
    """Wait until the arm has answered so many more."""
    wanted, deadline = len(arm.answered) + answered, time.monotonic() + START_S
    while len(arm.answered) < wanted:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the replay does not go on"
        time.sleep(0.01)


def test_a_worker_that_dies_and_a_run_that_is_stopped_ask_nothing_twice(
    tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    monkeypatch.setenv("CANDIDATE_KEY", "sk-of-the-candidate")
    monkeypatch.setenv("HOME", str(tmp_path))  # a Ray of our own keeps its token there
    settings = configured(tmp_path, candidates=[{"name": "v2", "url": arm.url, "auth": {"env": "CANDIDATE_KEY"}}])
    command = ("replay", captured(tmp_path / "j", REQUESTS), "-c", settings, "--concurrency", 2)
    process = started(*command, "--engine", "ray", "--shards", 2, "--work", "w", "--json", cwd=tmp_path)
    until(process, arm, 10)
    died = holder_of(Path("w/shard-1-of-2"))
    os.kill(died, signal.SIGKILL)
    until(process, arm, 20)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=START_S)
    assert (process.returncode, out) == (130, "")
    assert "the same command goes on from there" in said
    kept = {number for folder in Path("w").glob("shard-*") for number in numbers_of(folder)}
    assert 30 <= len(kept) < REQUESTS

    before = len(arm.asked)
    divided = on_ray(*command, "--shards", 2, "--work", "w", cwd=tmp_path, code=0)
    again = [each.question for each in arm.asked[before:]]
    assert not {question(number) for number in kept} & set(again)
    assert max(arm.questions.values()) <= 2, "asked twice is only what was on its way when a worker died"
    assert sum(arm.questions.values()) <= REQUESTS + 2
    assert {each.headers["Authorization"] for each in arm.asked} == {"Bearer sk-of-the-candidate"}
    assert (0, divided) == alone(capsys, *command)


# --- one share --------------------------------------------------------------------------------------------------------------


class Direct:
    """A board in this process."""

    def __init__(self) -> None:
        self.board = Board()

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        return getattr(self.board, method)(*arguments, **named)

    async def ask_soon(self, method: str, *arguments: Any) -> Any:
        return self.ask(method, *arguments)


def share(tmp_path: Path, source: str, arm: Arm, mark: str = "run") -> ShareTask:
    Path("w").mkdir(exist_ok=True)
    Path("w/ray-run").write_text("run")
    tree = config.load_offline(configured(tmp_path, arm.url)).model_dump(mode="json")
    request = Request(source, share=Share(1, 2), work=Path("w/shard-1-of-2"), workers=0)
    return ShareTask(request, Share(1, 2), tree, Path("w/ray-run"), mark)


def test_a_worker_without_the_capture_says_where_it_looked(tmp_path: Path, arm: Arm) -> None:
    ended = run_share(share(tmp_path, "/nowhere/journal", arm), Direct())
    assert ended.is_input
    assert ended.failure.startswith("/nowhere/journal: is not there; put the capture where every worker reaches it")


def test_a_worker_with_another_folder_by_the_same_name_does_not_begin(tmp_path: Path, arm: Arm) -> None:
    ended = run_share(share(tmp_path, str(captured(tmp_path / "j", 6)), arm, mark="another run"), Direct())
    assert ended.is_input
    assert "w: is not the work folder of this run here" in ended.failure
    assert not Path("w/shard-1-of-2").exists()


def test_a_share_tells_the_board_how_far_it_is(tmp_path: Path, arm: Arm) -> None:
    direct = Direct()
    ended = run_share(share(tmp_path, str(captured(tmp_path / "j", 7)), arm), direct)
    assert (ended.failure, ended.total, ended.is_stopped) == ("", 7, False)
    assert direct.board.look().shares == {1: Standing(total=4, before=0, compared=4, is_done=True)}


def test_a_share_that_hears_to_stop_ends_early_and_keeps_what_it_has(tmp_path: Path, arm: Arm) -> None:
    class StopsSoon(Direct):
        async def ask_soon(self, method: str, *arguments: Any) -> Any:
            self.board.stop()
            return self.ask(method, *arguments)

    arm.delay_s = 0.2
    task = share(tmp_path, str(captured(tmp_path / "j", 600)), arm)
    direct = StopsSoon()
    assert run_share(task, direct).is_stopped
    kept = len(list(answers(Path("w/shard-1-of-2"))))
    assert 0 < kept < 300
    assert run_share(task, direct).is_stopped, "and nothing begins any more"
    assert len(list(answers(Path("w/shard-1-of-2")))) == kept


def test_a_lock_that_outlives_its_holder_is_waited_for(tmp_path: Path, arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = held(Path("w/shard-1-of-2"))

    def let_go(_: float) -> None:
        os.close(lock)

    task = share(tmp_path, str(captured(tmp_path / "j", 6)), arm)
    monkeypatch.setattr("shadowproxy.replay.ray_worker.time.sleep", let_go)
    assert run_share(task, Direct()).failure == ""


def test_no_secret_travels(tmp_path: Path, arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDIDATE_KEY", "sk-of-the-candidate")
    (tmp_path / "key").write_text("sk-of-the-primary")
    arms: dict[str, Any] = {
        "candidates": [{"name": "v2", "url": arm.url, "auth": {"env": "CANDIDATE_KEY"}}],
        "control": {"percent": 100, "auth": {"file": str(tmp_path / "key")}},
    }
    tree = config.load_offline(configured(tmp_path, **arms)).model_dump(mode="json")
    sent = pickle.dumps(ShareTask(Request("j"), Share(), tree, Path("w/ray-run"), "run"))
    assert b"CANDIDATE_KEY" in sent
    assert b"sk-of-the" not in sent


# --- small parts ------------------------------------------------------------------------------------------------------------


def test_the_board_in_words() -> None:
    assert Picture().line(4, 1.0) == "0 of 4 shards done"
    half = Picture({1: Standing(100, 0, 100, is_done=True), 2: Standing(100, 50, 60)})
    assert half.line(4, 11.0) == "1 of 4 shards done, 160 of about 400 requests compared, 24 s left"
    whole = Picture({1: Standing(3, 0, 3, is_done=True), 2: Standing(2, 2, 2, is_done=True)})
    assert whole.line(2, 5.0) == "2 of 2 shards done, 5 of 5 requests compared"


def test_shares_keep_together_what_was_asked_of_one() -> None:
    assert divided_rates({"v2": 10.0}, 4) == {"v2": 2.5}
    assert divided_pace(ClosedLoop(32), 4) == ClosedLoop(8)
    assert divided_pace(ClosedLoop(2), 4) == ClosedLoop(1)
    assert divided_pace(Timed(2.0), 4) == Timed(2.0)


def test_options_of_the_engine_are_refused_without_it(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    settings = configured(tmp_path, arm.url)
    assert run("replay", "j", "-c", settings, "--shards", 2) == 2
    assert "are for --engine ray" in capsys.readouterr().err
    assert run("replay", "j", "-c", settings, "--engine", "ray", "--shard", "1/2") == 2
    assert "say --shards instead" in capsys.readouterr().err
