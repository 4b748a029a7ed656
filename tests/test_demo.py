"""The demo as a user runs it: a process of its own, its last words and its exit code. And nothing left behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shadowproxy import demo, terminal
from shadowproxy.errors import StartError

pytest.importorskip("openai", reason="the demo's clients need the openai package")

_RUN_S = 240.0
_MARK = "SHADOWPROXY_DEMO_TEST"

#: Ports that are free whoever else runs. Decides within seconds, for whatever candidate it is given.
_HASTY = """
listen: 127.0.0.1:0
primary: {url: http://127.0.0.1}
control: {percent: 100}
candidates: [{name: NAME, url: http://127.0.0.1}]
admin: {listen: 127.0.0.1:0}
units: {drop_repeats: false}
gates: {error: {margin: 0.9}, similarity: {margin: 0.9}, facts: {margin: 0.9}, refusal: {margin: 0.9}, ttft: {enabled: false}}
verdict: {min_pairs: 20, soak_s: 0, interval_s: 0.2}
"""
#: Production's rules: half an hour of soaking, so no promotion soon.
_PATIENT = """
listen: 127.0.0.1:0
primary: {url: http://127.0.0.1}
control: {percent: 100}
candidates: [{name: NAME, url: http://127.0.0.1}]
admin: {listen: 127.0.0.1:0}
"""


class Play:
    """One run of the demo, and all that it started: every process that inherited its mark."""

    def __init__(self, process: asyncio.subprocess.Process, mark: str) -> None:
        self.process = process
        self._mark = f"{_MARK}={mark}".encode()

    async def text_until(self, words: str) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(_RUN_S):
            return (await self.process.stdout.readuntil(words.encode())).decode()

    async def finish(self) -> tuple[int, str]:
        """Exit code and what was still printed. The pipe ends only with the last process that holds it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(_RUN_S):
            text = (await self.process.stdout.read()).decode()
            return await self.process.wait(), text

    def left(self) -> list[int]:
        """Processes of this run that are still there."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self._mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found


Start = Callable[..., Coroutine[Any, Any, Play]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    plays: list[Play] = []

    async def begin(*arguments: str) -> Play:
        mark = uuid.uuid4().hex
        env = {**os.environ, _MARK: mark, "COLUMNS": "200"}  # wide, so that no sentence is broken
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shadowproxy", "demo", *arguments),
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2**20,
        )
        plays.append(Play(process, mark))
        return plays[-1]

    yield begin
    for play in plays:
        for pid in play.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await play.process.wait()


def written(folder: Path, text: str, name: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text.replace("NAME", name), encoding="utf-8")
    return str(path)


@pytest.mark.slow
async def test_both_candidates_get_what_they_deserve_even_with_the_ports_taken(start: Start) -> None:
    taken = (8080, 9100, 9901)
    with ExitStack() as stack:
        for port in taken:
            with suppress(OSError):  # somebody else has it: taken all the same
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        play = await start()
        code, text = await play.finish()
    assert code == 0, text
    for arm in ("proxy", "primary", "admin"):
        assert int(re.search(rf"{arm} +127\.0\.0\.1:(\d+)", text)[1]) not in taken  # type: ignore[index]
    steady, hot = text.split("hot: rollback (as deserved), because\n")
    assert "steady: promote (as deserved), because\n" in steady
    for gate in ("error", "similarity", "ttft"):
        assert re.search(rf"• {gate}: candidate.* margin \d", steady)
    assert re.search(r"• similarity: candidate's answers are 0\.\d+ less similar .* at least 0\.\d+ worse, margin 0\.050", hot)
    assert re.search(r"[1-9]\d* answers reached the clients, 0 failed", hot)
    assert play.left() == []


async def test_a_verdict_that_is_not_deserved_is_a_failure(start: Start, tmp_path: Path) -> None:
    play = await start("-c", written(tmp_path, _HASTY, "hot"))
    code, text = await play.finish()
    assert (code, "hot: promote (but deserved rollback), because\n" in text) == (1, True), text
    assert play.left() == []


async def test_no_verdict_in_time_is_a_failure(start: Start, tmp_path: Path) -> None:
    play = await start("-c", written(tmp_path, _PATIENT, "steady"), "--give-up-s", "1")
    code, text = await play.finish()
    assert (code, "steady: hold (but deserved promote), because\n" in text) == (1, True), text
    assert "Gave up after 1 s" in text
    assert play.left() == []


async def test_keep_leaves_everything_running_until_interrupted(start: Start, tmp_path: Path) -> None:
    play = await start("-c", written(tmp_path, _HASTY, "steady"), "--keep")
    text = await play.text_until("Ctrl-C ends it.")
    assert "steady: promote (as deserved), because\n" in text
    proxy, admin = re.search(r"curl -N (\S+)", text)[1], re.search(r"Look at it: +(\S+)", text)[1]  # type: ignore[index]
    question = {"stream": False, "messages": [{"role": "user", "content": "Which currency is used in Japan?"}]}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        async with session.post(proxy, json=question) as reply:
            assert "Japan" in (await reply.json())["choices"][0]["message"]["content"]
        async with session.get(f"{admin}verdict") as reply:
            assert [verdict["candidate"] for verdict in (await reply.json())["verdicts"]] == ["steady"]
    assert len(play.left()) >= 6  # the demo, two model servers, supervisor, gateway, shadow process
    play.process.send_signal(signal.SIGINT)
    code, _ = await play.finish()
    assert code == 0
    assert play.left() == []


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_in_the_middle_leaves_nothing_behind(start: Start, tmp_path: Path, number: signal.Signals, expected: int) -> None:
    """A demo killed by its terminal once left its servers running and its ports taken."""
    play = await start("-c", written(tmp_path, _PATIENT, "steady"))
    await play.text_until("no promotion before")
    play.process.send_signal(number)
    code, text = await play.finish()
    assert (code, "Traceback" in text) == (expected, False), text
    assert play.left() == []


def test_a_candidate_without_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="steady and hot"):
        demo.run(config_path=Path(written(tmp_path, _HASTY, "other")), keep=False, live=False)


def test_the_picture_shows_bounds_margin_and_what_is_out_of_sight() -> None:
    inside = {"lower": -0.06, "upper": 0.0, "mean": -0.03, "margin": 0.06, "outcome": "pass"}
    assert str(terminal._bar(inside)) == "      ══●═══    ┃      "
    outside = {"lower": 0.3, "upper": 0.5, "mean": 0.4, "margin": 0.06, "outcome": "fail"}
    assert str(terminal._bar(outside)) == "           ·    ┃     ▶"
