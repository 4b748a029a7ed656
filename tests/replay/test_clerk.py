"""Long answers are recorded as short ones are, and nobody waits for it on the loop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from shadowproxy.config import Redact, Secret
from shadowproxy.errors import StartError
from shadowproxy.exchange import Exchange
from shadowproxy.journal.reader import lines_of, read
from shadowproxy.journal.records import Record
from shadowproxy.replay.clerk import Clerk
from shadowproxy.replay.keeping import Keeper
from tests.replay.arms import Arm
from tests.replay.captures import capture, captured, configured, exchange, run

LONG = " ".join(f"Write to joe{number}@example.com about invoice {number}." for number in range(4000))


@pytest.fixture
def section(tmp_path: Path) -> Redact:
    (tmp_path / "key").write_text("k" * 32)
    return Redact(key=Secret(file=tmp_path / "key"))


@pytest.fixture
def clerk(section: Redact) -> Iterator[Clerk]:
    with closing(Clerk(Keeper(section, {"v2": "r-2"}), section, {"v2": "r-2"}, has_process=True)) as clerk:
        yield clerk


@pytest.fixture
def known(tmp_path: Path) -> Record:
    (record,) = read(str(capture(tmp_path / "j", [(exchange(1, "Ask joe7@example.com."), (), "")])))
    return record


def processes() -> set[int]:
    """Children of this process that are at work for it."""
    children = [each for task in Path("/proc/self/task").iterdir() for each in (task / "children").read_text().split()]
    return {int(each) for each in children if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()}


@pytest.mark.parametrize("text", [LONG, "Write to joe7@example.com or ann@example.com."])
async def test_an_answer_is_recorded_alike_wherever_it_is(clerk: Clerk, section: Redact, known: Record, text: str) -> None:
    keeper = Keeper(section, {"v2": "r-2"})
    for answer in (exchange(1, text, "v2"), replace(exchange(1, text, "v2"), reply=None, failure="reset by joe9@example.com")):
        found = await clerk.record(answer, known)
        assert found == keeper(answer, known)
        assert "ann@example.com" not in found.body.text + found.failure
    assert clerk.keeper.replaced == keeper.replaced > 0


async def test_a_long_answer_leaves_the_loop_to_others(clerk: Clerk, known: Record) -> None:
    before = processes()
    assert await turns(clerk, exchange(1, "Write to ann@example.com.", "v2"), known) <= 2
    assert processes() == before, "short ones need no process"
    assert await turns(clerk, exchange(1, LONG, "v2"), known) > 100
    assert len(processes() - before) == 1


async def turns(clerk: Clerk, answer: Exchange, known: Record) -> int:
    """Of the loop, while it is recorded."""
    recording, count = asyncio.ensure_future(clerk.record(answer, known)), 0
    while not recording.done():
        await asyncio.sleep(0)
        count += 1
    await recording
    return count


async def test_a_killed_process_is_told(clerk: Clerk, known: Record) -> None:
    before = processes()
    await clerk.record(exchange(1, LONG, "v2"), known)
    (process,) = processes() - before
    os.kill(process, signal.SIGKILL)
    async with asyncio.timeout(60):
        with pytest.raises(StartError, match="the process that redacts long answers ended"):
            await clerk.record(exchange(1, LONG, "v2"), known)


def test_long_answers_are_kept_redacted_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Arm(answer=lambda asked: LONG if "district 3 " in asked else asked) as arm:
        assert run("replay", captured(tmp_path / "j", 30), "-c", configured(tmp_path, arm.url), "--work", "w", "--workers", 1) in (0, 3, 4)
    kept = [line for path in Path("w/answers").iterdir() for _, line in lines_of(str(path), None, lambda _: None)]
    assert len(kept) == 30
    assert max(map(len, kept)) > len(LONG) // 2
    assert not any(b"joe3@example.com" in line for line in kept)
