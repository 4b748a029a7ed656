"""Tasks that are named and drained, and the guard around observer steps."""

from __future__ import annotations

import asyncio
import logging

import pytest

from shadowproxy.tasks import Guard, Tasks


async def test_failure_of_a_task_is_logged_by_name_and_the_task_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    async def break_down() -> None:
        raise RuntimeError("broken")

    tasks = Tasks()
    task = tasks.start("sweep", break_down())
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert len(tasks) == 0
    assert "task sweep failed" in caplog.text
    assert "RuntimeError: broken" in caplog.text


async def test_close_cancels_and_waits() -> None:
    ended = []

    async def run_on() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    tasks = Tasks()
    tasks.start("forever", run_on())
    await asyncio.sleep(0)
    await tasks.close()
    assert ended == ["cleaned up"]
    assert len(tasks) == 0


def test_guard_counts_every_failure_and_tells_the_story_once(caplog: pytest.LogCaptureFixture) -> None:
    counted: list[str] = []
    guard = Guard(counted.append)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with guard("compare"):
                raise ValueError("no such thing")
        with guard("tee"):
            raise KeyError("x")
    assert counted == ["compare", "compare", "compare", "tee"]
    assert [record.getMessage() for record in caplog.records] == ["step compare failed", "step tee failed"]


def test_guard_lets_a_good_step_pass_unnoticed() -> None:
    counted: list[str] = []
    with Guard(counted.append)("compare"):
        pass
    assert counted == []


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_guard_does_not_swallow_what_ends_a_task_or_the_process(kind: type[BaseException]) -> None:
    counted: list[str] = []
    with pytest.raises(kind), Guard(counted.append)("compare"):
        raise kind
    assert counted == []
