"""Who is told of a move, and in which words."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import orjson
import pytest

from shadowproxy.events import News, cloud_event
from shadowproxy.promote.news import CloudEvents, Everyone, Moved, ObjectEvents, Stuck
from shadowproxy.promote.phases import Phase
from shadowproxy.testing.kubernetes import Fault
from tests.promote.steering import Audience, Bench
from tests.promote.test_decision import progress
from tests.promote.worlds import ISTIO, cluster_world, reach

VERDICT = {"rollout": "r1", "candidate": "v2", "state": "promote"}


def told(news: Moved | Stuck) -> Mapping[str, object]:
    event: Mapping[str, object] = orjson.loads(cloud_event(news, "/judge", {}))
    return event


def test_move_is_an_event_with_its_verdict() -> None:
    event = told(Moved(progress(because="the verdict is promote", previous=Phase.SHADOW), VERDICT))
    assert event["type"] == "internal.shadowproxy.rollout.moved.v1"
    assert event["subject"] == "r1"
    assert event["data"] == {
        "rollout": "r1", "candidate": "v2", "phase": "canary", "previous": "shadow", "percent": 1, "step": 0,
        "because": "the verdict is promote", "verdict": VERDICT,
    }  # fmt: skip


def test_same_progress_is_the_same_event_whoever_tells_it() -> None:
    one, again = told(Moved(progress(), VERDICT)), told(Moved(progress(), {**VERDICT, "pairs": 2}))
    assert one["id"] == again["id"]
    assert one["id"] != told(Moved(progress(percent=5), VERDICT))["id"]


def test_what_holds_a_rollout_is_an_event_too() -> None:
    event = told(Stuck(1.0, "v2", None, "it is not there"))
    assert event["type"] == "internal.shadowproxy.rollout.stuck.v1"
    assert event["data"] == {"rollout": "v2", "candidate": "v2", "problem": "it is not there", "verdict": None}


class Sink:
    def __init__(self) -> None:
        self.took: list[News] = []

    def submit(self, news: News) -> None:
        self.took.append(news)

    def results(self) -> Mapping[str, int]:
        return {}

    async def close(self, within_s: float) -> None:
        """Nothing."""


async def test_everyone_is_told() -> None:
    sink, audience = Sink(), Audience()
    news = Moved(progress(), VERDICT)
    await Everyone([CloudEvents(sink), audience]).tell(news)
    assert sink.took == audience.news == [news]


async def test_every_move_is_an_event_on_the_steered_object() -> None:
    async with cluster_world("istio", ISTIO) as world:
        assert world.api is not None
        bench = Bench(world)
        bench.audience = ObjectEvents(reach(world.api), ISTIO.objects[0], "judge-0")  # type: ignore[assignment]
        bench.start()
        await bench.look("hold")
        await bench.look("promote")
        await bench.look("rollback")
        events = world.api.all("events.k8s.io", "events")
        assert [event["reason"] for event in events] == ["RolloutBegan", "TrafficShifted", "CandidateRolledBack"]
        assert [event["type"] for event in events] == ["Normal", "Normal", "Warning"]
        assert events[1]["regarding"]["kind"] == "VirtualService"
        assert events[1]["note"] == "v2 (v2-0001) is canary with 1 %: the verdict is promote: step 1 of 5, 1 %"


async def test_event_that_cannot_be_recorded_keeps_nothing_from_being_done(caplog: pytest.LogCaptureFixture) -> None:
    async with cluster_world("istio", ISTIO) as world:
        assert world.api is not None
        world.api.fault = lambda _, path: Fault(403, b'{"message": "no events for you"}') if path.endswith("/events") else None
        bench = Bench(world)
        bench.audience = ObjectEvents(reach(world.api), ISTIO.objects[0], "judge-0")  # type: ignore[assignment]
        bench.start()
        with caplog.at_level(logging.WARNING):
            await bench.look("hold")
            await bench.look("promote")
        assert world.percent() == 1
        assert "no events for you" in caplog.text


async def test_long_note_is_cut_to_what_the_server_takes() -> None:
    async with cluster_world("istio", ISTIO) as world:
        assert world.api is not None
        await ObjectEvents(reach(world.api), ISTIO.objects[0], "judge-0").tell(Stuck(1.0, "v2", None, "x" * 5000))
        (event,) = world.api.all("events.k8s.io", "events")
        assert len(event["note"]) == 1024
