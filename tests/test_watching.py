"""Which documents are news, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shadowproxy.config import HistoryKept, Judging
from shadowproxy.counts import EVENTS, STEP_FAILURES, Counts
from shadowproxy.events import Change, NoEvents
from shadowproxy.history import History
from shadowproxy.tasks import Tasks
from shadowproxy.testing.clock import ManualClock
from shadowproxy.watching import VerdictWatcher, load

R = "v2-0123456789ab"


class Told:
    """Whoever listens for events."""

    def __init__(self) -> None:
        self.changes: list[tuple[float, str | None, object]] = []

    def submit(self, change: Change) -> None:
        self.changes.append((change.at_s, change.previous, change.document["state"]))

    def results(self) -> Mapping[str, int]:
        return {"delivered": len(self.changes)}

    async def close(self, within_s: float) -> None:
        """Nothing waits."""


class Bench:
    def __init__(self, file: Path | None = None) -> None:
        self.clock = ManualClock(100.0)
        self.told = Told()
        self.watcher = VerdictWatcher(History(HistoryKept(file=file)), self.told, 300.0, self.clock)

    def saw(self, state: str, rollout: str = R, **more: Any) -> None:
        self.watcher.saw({"rollout": rollout, "candidate": rollout.partition("-")[0], "state": state, **more})

    @property
    def kept(self) -> list[tuple[float, str, str]]:
        return [(each["at_s"], each["kind"], each["state"]) for each in reversed(self.watcher.history(100, None))]


def test_only_a_change_of_state_is_news() -> None:
    bench = Bench()
    for state in ("hold", "hold", "promote", "promote", "hold", "rollback"):
        bench.saw(state)
        bench.clock.advance(1)
    assert bench.told.changes == [(100, None, "hold"), (102, "hold", "promote"), (104, "promote", "hold"), (105, "hold", "rollback")]
    assert [kind for _, kind, _ in bench.kept] == ["change"] * 4


def test_rollouts_do_not_get_into_each_other_s_way() -> None:
    bench = Bench()
    for _ in range(3):
        bench.saw("hold")
        bench.saw("promote", "v3-ba9876543210")
    assert len(bench.told.changes) == 2


def test_state_that_stays_is_sampled_now_and_then_and_told_nobody() -> None:
    bench = Bench()
    for _ in range(901):
        bench.saw("hold", pairs=1, gates=[{"n": 1}])
        bench.clock.advance(1)
    assert bench.kept == [(100, "change", "hold"), (400, "sample", "hold"), (700, "sample", "hold"), (1000, "sample", "hold")]
    assert len(bench.told.changes) == 1
    whole, *samples = reversed(bench.watcher.history(100, None))
    assert whole["verdict"]["gates"] == [{"n": 1}]
    assert all("gates" not in each["verdict"] and each["verdict"]["pairs"] == 1 for each in samples)


async def test_state_that_an_earlier_process_wrote_down_is_no_news(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    first = Bench(file)
    first.saw("promote")
    await first.watcher.close(1)
    second = Bench(file)
    second.saw("promote")
    assert second.told.changes == []
    second.saw("rollback")
    assert second.told.changes == [(100, "promote", "rollback")]
    await second.watcher.close(1)


def test_fields_that_nobody_here_knows_pass_through() -> None:
    bench = Bench()
    bench.saw("hold", digests={"prompt": "d1"}, attempt=3)
    (entry,) = bench.watcher.history(1, None)
    assert entry["verdict"]["digests"] == {"prompt": "d1"}
    assert entry["verdict"]["attempt"] == 3


def test_what_was_told_and_lost_is_counted() -> None:
    bench = Bench()
    bench.saw("hold")
    counts = Counts()
    bench.watcher.report(counts)
    assert counts.get(EVENTS, "delivered") == 1
    assert counts.get(STEP_FAILURES, "history") == 0


async def test_serve_that_does_not_decide_tells_nobody_and_writes_no_file(tmp_path: Path) -> None:
    tasks = Tasks()
    section = Judging.model_validate({"history": {"file": tmp_path / "h.jsonl"}, "events": {"url": "http://hook"}})
    watcher = load(section, {"K_SINK": "http://broker"}, tasks, decides=False)
    watcher.saw({"rollout": R, "candidate": "v2", "state": "hold"})
    assert len(watcher.history(10, None)) == 1
    await watcher.close(1)
    assert list(tmp_path.iterdir()) == []
    assert len(tasks) == 0
    assert NoEvents().results() == {}
