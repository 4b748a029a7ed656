"""Where a replay reads and writes, and what becomes of it where that fails."""

from __future__ import annotations

import errno
import functools
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shadowproxy.journal.reader import located, read
from shadowproxy.replay.cards import OPEN, Cards, Shelf
from tests.replay.arms import Arm
from tests.replay.captures import captured, configured, question, run, started


@pytest.fixture
def arm() -> Iterator[Arm]:
    with Arm() as arm:
        yield arm


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines_of(place: Path) -> str:
    """A journal as lines that anybody may edit."""
    return "".join(json.dumps(msgspec.to_builtins(each)) + "\n" for each in read(str(place)))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A folder and the URL at which it is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    folder = tmp_path / "site"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


@pytest.mark.parametrize("name", ["records.jsonl", "prompts.jsonl", "segment"])
def test_a_capture_lies_at_a_url(name: str, site: tuple[str, Path], tmp_path: Path, arm: Arm) -> None:
    pytest.importorskip("fsspec", reason="fsspec is not installed (extra fsspec)")
    url, folder = site
    place = captured(tmp_path / "journal", 25)
    if name == "records.jsonl":
        (folder / name).write_text(lines_of(place))
    elif name == "prompts.jsonl":
        prompts = ({"id": str(number), "prompt": question(number), "answer": "x"} for number in range(25))
        (folder / name).write_text("".join(json.dumps(each) + "\n" for each in prompts))
    else:
        (segment,) = place.iterdir()
        name = segment.rename(folder / segment.name).name
    assert run("replay", f"{url}/{name}", "-c", configured(tmp_path, arm.url)) in (0, 3, 4)
    assert sorted(arm.questions) == sorted(question(number) for number in range(25))


def test_a_journal_has_more_segments_than_a_process_may_have_files_open(tmp_path: Path) -> None:
    segments = [str(captured(tmp_path / f"journal-{number}", 1)) for number in range(3 * OPEN)]
    places = [next(Path(each).iterdir()) for each in segments]
    cards = Cards([str(each) for each in places])
    for number, place in enumerate(places):
        ((at, _),) = located(str(place), None, lambda _: None)
        cards.add(number, at)
    files = Path("/proc/self/fd")
    before = len(list(files.iterdir()))
    with Shelf(cards, None) as shelf:
        for _ in range(2):
            for number in range(len(cards)):
                assert b"How many people" in shelf.line(number)
                assert len(list(files.iterdir())) <= before + OPEN
    assert len(list(files.iterdir())) == before


def test_a_command_finds_its_folder_again_whatever_order_its_routes_come_in() -> None:
    written = (
        "from shadowproxy.replay.catalogue import Choice; from shadowproxy.replay.command import Request, folder_for; "
        "print(folder_for(Request('journal', choice=Choice(frozenset({'chat', 'messages', 'search'})))))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", written], env={**os.environ, "PYTHONHASHSEED": str(seed)}, check=True, capture_output=True, text=True
        ).stdout
        for seed in range(1, 5)
    }
    assert len(found) == 1


def test_a_merge_only_reads(tmp_path: Path, arm: Arm) -> None:
    place, config = captured(tmp_path / "journal", 20), configured(tmp_path, arm.url)
    shares = [tmp_path / f"share-{index}" for index in (1, 2)]
    for index, share in enumerate(shares, start=1):
        run("replay", place, "-c", config, "--shard", f"{index}/2", "--work", share)
        (share / "lock").unlink()  # as a copy of it has none

    def state() -> list[tuple[str, int]]:
        return sorted((str(each), each.stat().st_mtime_ns) for share in shares for each in (share, *share.rglob("*")))

    before = state()
    assert run("replay", "merge", *shares, "-c", config) in (0, 3)
    assert state() == before


def test_records_whose_base64_is_none_are_not_asked(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [msgspec.to_builtins(each) for each in read(str(captured(tmp_path / "journal", 25)))]
    lines[2]["body"] = {"base64": "abc"}
    lines[3]["primary"]["body"] = {"base64": "abc"}
    Path("edited.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert run("replay", "edited.jsonl", "-c", configured(tmp_path, arm.url)) in (0, 3)
    assert len(arm.questions) == 23
    assert "2 requests of the capture were not asked: its base64 cannot be decoded" in capsys.readouterr().out


def test_a_capture_is_edited_while_it_is_replayed(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    edited = tmp_path / "edited.jsonl"
    edited.write_text(lines_of(captured(tmp_path / "journal", 200)))
    size = edited.stat().st_size

    def answer(_: str) -> str:
        edited.write_bytes(b"\xff" * size)
        return "x"

    arm.answer = answer
    assert run("replay", edited, "-c", configured(tmp_path, arm.url), "--concurrency", "1") in (0, 3, 4)
    assert 0 < len(arm.asked) < 200
    assert f"{200 - len(arm.asked)} requests went from the capture while it was replayed" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["key", "replay.json"])
def test_a_disk_is_full_before_anything_is_asked(
    name: str, tmp_path: Path, arm: Arm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, config = captured(tmp_path / "journal", 5), configured(tmp_path, arm.url)
    plain = os.open

    def full(path: Any, *arguments: Any, **named: Any) -> int:
        if str(path).endswith(f"{name}.part"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return plain(path, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", full)
        assert run("replay", place, "-c", config, "--work", "w") == 1
    assert f"w/{name}: cannot be written (No space left on device); make room and run this again" in capsys.readouterr().err
    assert not arm.asked
    assert run("replay", place, "-c", config, "--work", "w") in (0, 3)


def _until(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def _told(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """The exit code after a signal, and what was said."""
    process.send_signal(number)
    try:
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_capture_is_read_is_a_stop(number: signal.Signals, tmp_path: Path, arm: Arm) -> None:
    place = captured(tmp_path / "journal", 20_000)
    process = started("replay", place, "-c", configured(tmp_path, arm.url), "--work", "w", "--workers", "0", cwd=tmp_path)
    _until((tmp_path / "w" / "lock").exists, process)
    assert _told(process, number)[0] == 130
    assert not arm.asked


def test_a_signal_while_it_is_judged_is_a_stop(tmp_path: Path, arm: Arm) -> None:
    """A loop that has ended leaves the signals that it handled to the system."""
    place, config, about = captured(tmp_path / "journal", 40), configured(tmp_path, arm.url), tmp_path / "w" / "replay.json"
    os.mkfifo(tmp_path / "report.md.part")  # nobody reads it, so that the command waits there
    process = started("replay", place, "-c", config, "--work", "w", "--workers", "0", "--report", "report.md", cwd=tmp_path)
    _until(lambda: about.exists() and json.loads(about.read_bytes()).get("is_done", False), process)
    assert _told(process, signal.SIGTERM)[0] == 130


def test_a_terminal_that_closes_loses_no_answer(tmp_path: Path, arm: Arm) -> None:
    arm.delay_s = 1.0
    place, config = captured(tmp_path / "journal", 40), configured(tmp_path, arm.url)
    process = started("replay", place, "-c", config, "--work", "w", "--workers", "0", cwd=tmp_path)
    _until(lambda: len(arm.asked) == 32, process)
    code, said = _told(process, signal.SIGHUP)
    assert code == 130
    assert "stopped: 32 more answers are kept, 0 more requests compared; the same command goes on from there (w)" in said
    arm.delay_s = 0.0
    assert run("replay", place, "-c", config, "--work", "w") in (0, 3)
    assert max(arm.questions.values()) == 1


def test_an_arm_that_sends_its_callers_elsewhere_has_failed(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.refuse = lambda _number, _question: (307, {"location": "/v1/chat/completions/"}, "")
    assert run("replay", captured(tmp_path / "journal", 60), "-c", configured(tmp_path, arm.url), "--json") == 4
    (error,) = (each for each in json.loads(capsys.readouterr().out)["gates"] if each["gate"] == "error")
    assert (error["n"], error["mean"]) == (60, 1.0)
