"""Events as their sink sees them: read with the official SDK, tried again with the same id, bounded, and never waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event

from shadowproxy.config import EventSink, Tls
from shadowproxy.errors import StartError
from shadowproxy.events import TYPE, Change, EventSender, NoEvents, cloud_event, extensions_of, load
from shadowproxy.services import Service
from shadowproxy.tasks import Tasks
from tests.admin.fake_state import verdict
from tests.serve.serving import eventually

R = "v2-0123456789ab"


def change(at_s: float = 1_700_000_000.25, previous: str | None = "hold", state: str = "promote", **more: Any) -> Change:
    return Change(at_s, previous, {"rollout": R, "candidate": "v2", "state": state, **more})


class Sink:
    """Answers with ``statuses`` one after the other, then with 202; keeps what came."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.came.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        await self.is_open.wait()
        headers = {"location": "http://127.0.0.1:9/"}
        return web.Response(status=self.statuses.pop(0) if self.statuses else 202, headers=headers)

    @property
    def events(self) -> list[Any]:
        return [from_structured_event(HTTPMessage(headers, body)) for headers, body in self.came]


@contextlib.asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    taking = Sink()
    app = web.Application()
    app.router.add_post("/ns/broker", taking.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        taking.url = str(server.make_url("/ns/broker"))
        yield taking


@contextlib.asynccontextmanager
async def sender(url: str, pause: Callable[[float], Awaitable[None]] | None = None, **more: Any) -> AsyncIterator[EventSender]:
    """A sender that does not wait between tries, unless it is told how."""

    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    tasks = Tasks()
    sending = EventSender(Service(url, None, Tls(), 5.0), "/shadowproxy/test", more.pop("extensions", {}), tasks, pause=pause or at_once)
    try:
        yield sending
    finally:
        await sending.close(5.0)
        assert len(tasks) == 0
        await tasks.close()


# --- what an event says ---------------------------------------------------------------------------------------------------


async def test_event_is_what_the_official_sdk_reads() -> None:
    document = verdict(R, "v2")
    async with sink() as taking:
        async with sender(taking.url, extensions={"team": "search"}) as sending:
            sending.submit(Change(1_700_000_000.25, None, document))
        (event,) = taking.events
        assert event.get_specversion() == "1.0"
        assert event.get_type() == TYPE == "internal.shadowproxy.verdict.changed.v1"
        assert event.get_source() == "/shadowproxy/test"
        assert event.get_subject() == R
        assert event.get_datacontenttype() == "application/json"
        assert event.get_time().isoformat() == "2023-11-14T22:13:20.250000+00:00"
        assert event.get_extension("team") == "search"
        data = event.get_data()
        assert (data["rollout"], data["candidate"], data["state"], data["previous"]) == (R, "v2", "hold", None)
        assert data["verdict"]["gates"] == document["gates"]
        (headers, _) = taking.came[0]
        assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"


def test_id_is_that_of_the_change() -> None:
    def id_of(each: Change, source: str = "/a") -> str:
        return str(
            from_structured_event(HTTPMessage({"content-type": "application/cloudevents+json"}, cloud_event(each, source, {}))).get_id()
        )

    assert id_of(change()) == id_of(change(pairs=7))
    others = (change(at_s=1.0), change(previous=None), change(state="rollback"))
    assert len({id_of(change()), id_of(change(), "/b"), *map(id_of, others)}) == 5


def test_document_that_makes_an_event_too_long_to_be_forwarded_is_left_out() -> None:
    short, long = cloud_event(change(gates=["x" * 60_000]), "/a", {}), cloud_event(change(gates=["x" * 70_000]), "/a", {})
    assert b'"gates"' in short
    assert len(long) < 1000
    assert b'"verdict":null' in long


# --- delivery -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 408, 409, 429, 500, 503])
async def test_what_may_pass_is_tried_again_with_the_same_event(status: int) -> None:
    async with sink() as taking:
        taking.statuses = [status, status]
        async with sender(taking.url) as sending:
            sending.submit(change())
            await eventually(lambda: sending.results()["delivered"])
        assert len(taking.came) == 3
        assert len({body for _, body in taking.came}) == 1


@pytest.mark.parametrize("status", [301, 400, 401, 403, 410, 415])
async def test_what_is_refused_is_not_tried_again_and_no_redirect_is_followed(status: int) -> None:
    async with sink() as taking:
        taking.statuses = [status]
        async with sender(taking.url) as sending:
            sending.submit(change())
            await eventually(lambda: sending.results()["refused"])
        assert len(taking.came) == 1


async def test_pauses_grow_to_a_bound_and_differ_and_end() -> None:
    pauses: list[float] = []

    async def note(pause_s: float) -> None:
        pauses.append(pause_s)
        await asyncio.sleep(0)

    async with sink() as taking:
        taking.statuses = [503] * 100
        async with sender(taking.url, note) as sending:
            sending.submit(change())
            await eventually(lambda: sending.results()["failed"])
    assert len(taking.came) == 7
    for pause_s, longest in zip(pauses, (1, 2, 4, 8, 16, 30), strict=True):
        assert longest / 2 <= pause_s <= longest


async def test_events_arrive_in_the_order_of_the_changes() -> None:
    async with sink() as taking:
        taking.statuses = [503]
        async with sender(taking.url) as sending:
            for state in ("hold", "rollback", "promote"):
                sending.submit(change(state=state))
            await eventually(lambda: sending.results()["delivered"] == 3)
        assert [event.get_data()["state"] for event in taking.events] == ["hold", "hold", "rollback", "promote"]


async def test_sink_that_hangs_is_never_waited_for_and_the_oldest_are_dropped() -> None:
    async with sink() as taking:
        taking.is_open.clear()
        async with sender(taking.url) as sending:
            sending.submit(change(0.0))
            await eventually(lambda: taking.came)
            for number in range(1, 151):
                sending.submit(change(float(number)))
            assert sending.results()["dropped"] == 50
            taking.is_open.set()
            await eventually(lambda: sending.results()["delivered"] == 101)
        assert {event.get_time().timestamp() for event in taking.events} == {0.0, *map(float, range(51, 151))}


async def test_sink_that_is_away_costs_a_failure_and_the_next_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async with sink() as taking:
        away = taking.url
    async with sender(away) as sending:
        sending.submit(change())
        await eventually(lambda: sending.results()["failed"])
    assert sending.results() == {"delivered": 0, "refused": 0, "failed": 1, "dropped": 0}
    assert "no answer" in caplog.text


async def test_a_fault_of_ours_costs_one_event() -> None:
    async def broken(_: float) -> None:
        raise ValueError("the pause")

    async with sink() as taking, sender(taking.url, broken) as sending:
        taking.statuses = [503]
        sending.submit(change())
        sending.submit(change())
        await eventually(lambda: sending.results()["delivered"])
    assert sending.results() == {"delivered": 1, "refused": 0, "failed": 1, "dropped": 0}


async def test_end_does_not_wait_for_a_sink_that_hangs() -> None:
    async with sink() as taking:
        taking.is_open.clear()
        tasks = Tasks()
        sending = EventSender(Service(taking.url, None, Tls(), 60.0), "/a", {}, tasks)
        sending.submit(change())
        await eventually(lambda: taking.came)
        async with asyncio.timeout(30):
            await sending.close(0.05)
        assert len(tasks) == 0
        taking.is_open.set()


# --- what a SinkBinding says ----------------------------------------------------------------------------------------------


async def loaded(environ: Mapping[str, str], **section: Any) -> Any:
    tasks = Tasks()
    events = load(EventSink.model_validate(section), environ, tasks)
    await events.close(1)
    await tasks.close()
    return events


async def test_nobody_is_told_unless_there_is_a_sink() -> None:
    assert isinstance(await loaded({}), NoEvents)
    assert isinstance(await loaded({"K_SINK": "http://broker/ns/default"}), EventSender)
    assert isinstance(await loaded({}, url="http://hook"), EventSender)


async def test_binding_s_sink_and_extensions_are_used() -> None:
    async with sink() as taking:
        tasks = Tasks()
        environ = {"K_SINK": taking.url, "K_CE_OVERRIDES": '{"extensions": {"cluster": "blue"}}'}
        events = load(EventSink(), environ, tasks)
        events.submit(change())
        await events.close(5)
        (event,) = taking.events
        assert event.get_extension("cluster") == "blue"


@pytest.mark.parametrize("text", ["", "{}", '{"extensions": {}}', '{"extensions": {}, "later": 1}'])
def test_overrides_without_extensions_add_none(text: str) -> None:
    assert extensions_of(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"extensions": {"n": 1}}',
        '{"extensions": {"Name": "v"}}',
        '{"extensions": {"id": "v"}}',
        '{"extensions": {"data": "v"}}',
    ],
)
def test_overrides_that_make_no_extension_are_an_error_at_start(text: str) -> None:
    with pytest.raises(StartError, match="K_CE_OVERRIDES"):
        extensions_of(text)


async def test_sink_that_is_no_url_is_an_error_at_start() -> None:
    with pytest.raises(StartError, match=r"K_SINK: broker is not a URL; write http://host:port"):
        await loaded({"K_SINK": "broker"})
