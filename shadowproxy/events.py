"""Tells a sink over HTTP that a verdict changed, or traffic: CloudEvents 1.0, structured content mode.

Fed by ``watching`` and ``promote``. Delivery is at least once, in order, tried again for about a minute with growing pauses; every try of
one change carries the same id, by which the sink can tell it from another. Judging never waits for a sink: what waits is bounded, and where
there is no room the oldest goes.

Sources: CloudEvents 1.0.2, JSON event format and HTTP protocol binding; the Knative Eventing data plane contract, for which answers are
tried again; Knative's SinkBinding, for ``K_SINK`` and ``K_CE_OVERRIDES``.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol

import msgspec
import orjson

from shadowproxy.config import EventSink, base_url
from shadowproxy.errors import NoAnswer, StartError
from shadowproxy.services import Service
from shadowproxy.tasks import Tasks

_log = logging.getLogger(__name__)

#: Begins with a domain that is nobody's and never will be: ICANN keeps .internal out of the root, for private use (July 2024).
TYPE = "internal.shadowproxy.verdict.changed.v1"

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"

#: Intermediaries must forward events up to this size, and may refuse longer ones (CloudEvents 1.0.2, Size Limits).
_MOST_BYTES = 64 * 1024

#: Changes that wait while the sink is away. A verdict changes a few times in its life.
_WAITING = 100

#: Pauses before another try: one second, doubled each time, this at most; each shortened by chance, so that a sink that comes back is not
#: asked by everyone at once.
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_TRIES = 7

#: 4xx answers that may pass: not there yet, took too long, at work on it, too many. Others mean that this event is not wanted.
_PASSING = frozenset({404, 408, 409, 429})

#: Context attributes that are ours; an extension may not stand in their place.
_ATTRIBUTES = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "data_base64"})
_EXTENSION = re.compile(r"[a-z0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Event:
    """What a CloudEvent says, whoever sends it: its ``type``, Unix time and ``subject``. ``told`` makes it this event and no other;
    ``data`` goes with the ``verdict`` behind it, a document that is left out where it makes the event too long."""

    type: str
    at_s: float
    subject: str
    told: tuple[str, ...]
    data: Mapping[str, Any]
    verdict: Mapping[str, Any] | None


class News(Protocol):
    """Something that others are told."""

    def as_event(self) -> Event: ...


@dataclass(frozen=True, slots=True)
class Change:
    """A verdict that changed: when (Unix time), from which state (None for a rollout's first), and the document it is now."""

    at_s: float
    previous: str | None
    document: Mapping[str, Any]

    def as_event(self) -> Event:
        about = {key: self.document[key] for key in ("rollout", "candidate", "state")}
        told = (about["rollout"], str(self.previous), about["state"], repr(self.at_s))
        return Event(TYPE, self.at_s, about["rollout"], told, {**about, "previous": self.previous}, self.document)


class Events(Protocol):
    """Who is told of changes."""

    def submit(self, news: News) -> None:
        """Take the news. Never waits."""

    def results(self) -> Mapping[str, int]:
        """How many events ended how."""

    async def close(self, within_s: float) -> None:
        """Send what waits, for at most this long."""


class NoEvents:
    """Nobody is told."""

    def submit(self, news: News) -> None:
        """Nothing."""

    def results(self) -> Mapping[str, int]:
        return {}

    async def close(self, within_s: float) -> None:
        """Nothing."""


def load(section: EventSink, environ: Mapping[str, str], tasks: Tasks) -> Events:
    """The sender that the configuration or a SinkBinding asks for. Raises :class:`StartError`, and ``ConfigError`` for a missing secret."""
    url = section.url or _bound_sink(environ.get("K_SINK", ""))
    if not url:
        return NoEvents()
    service = Service(url, section.auth, section.tls, section.timeout_s)
    return EventSender(service, section.source, extensions_of(environ.get("K_CE_OVERRIDES", "")), tasks)


def _bound_sink(text: str) -> str:
    try:
        return str(base_url(text)) if text else ""
    except ValueError as exc:
        raise StartError(f"K_SINK: {text} {exc}") from exc


class _Overrides(msgspec.Struct, frozen=True):
    extensions: dict[str, str] = {}


def extensions_of(text: str) -> Mapping[str, str]:
    """The attributes that ``K_CE_OVERRIDES`` adds to every event. Raises :class:`StartError` for what cannot be one."""
    try:
        extensions = msgspec.json.decode(text, type=_Overrides).extensions if text else {}
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise StartError(f'K_CE_OVERRIDES does not decode ({exc}); write {{"extensions": {{"name": "value"}}}}') from exc
    for name in extensions:
        if not _EXTENSION.fullmatch(name) or name in _ATTRIBUTES:
            raise StartError(f"K_CE_OVERRIDES: {name!r} cannot be an extension; use up to 20 of a-z 0-9, and no attribute of CloudEvents")
    return MappingProxyType(extensions)


def cloud_event(news: News, source: str, extensions: Mapping[str, str]) -> bytes:
    """The event as JSON. A document that makes it too long is left out; ``/verdict`` has it."""
    event = news.as_event()
    encoded = _encoded(event, source, extensions, event.verdict)
    return encoded if len(encoded) <= _MOST_BYTES else _encoded(event, source, extensions, None)


def _encoded(event: Event, source: str, extensions: Mapping[str, str], verdict: Mapping[str, Any] | None) -> bytes:
    return orjson.dumps(
        {
            **extensions,
            "specversion": "1.0",
            "type": event.type,
            "source": source,
            "id": hashlib.blake2b("\n".join((source, *event.told)).encode(), digest_size=16).hexdigest(),
            "time": datetime.fromtimestamp(event.at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "subject": event.subject,
            "datacontenttype": "application/json",
            "data": {**event.data, "verdict": verdict},
        },
        default=dict,
    )


@dataclass(slots=True)
class _Results:
    delivered: int = 0
    refused: int = 0
    failed: int = 0
    dropped: int = 0


class EventSender:
    """Sends events one after the other, from a task of its own."""

    def __init__(
        self,
        sink: Service,
        source: str,
        extensions: Mapping[str, str],
        tasks: Tasks,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: random.Random | None = None,
    ) -> None:
        """``pause`` waits between tries, ``chance`` shortens the wait."""
        self._sink = sink
        self._source = source
        self._extensions = extensions
        self._pause = pause
        self._chance = chance or random.Random()  # noqa: S311 - spreads tries in time; nothing secret depends on it
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)
        self._results = _Results()
        self._work = tasks.start("send events", self._send_forever())

    def submit(self, news: News) -> None:
        """Take the news. Where too many wait the oldest is dropped: what holds now matters more than what held then."""
        if self._waiting.full():
            self._waiting.get_nowait()
            self._waiting.task_done()
            self._results.dropped += 1
        self._waiting.put_nowait(cloud_event(news, self._source, self._extensions))

    def results(self) -> Mapping[str, int]:
        done = self._results
        return {"delivered": done.delivered, "refused": done.refused, "failed": done.failed, "dropped": done.dropped}

    async def close(self, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self._waiting.join()
        except TimeoutError:
            _log.warning("%d events about verdicts were not delivered before the end", self._waiting.qsize() + 1)
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        await self._sink.close()

    async def _send_forever(self) -> None:
        while True:
            event = await self._waiting.get()
            try:
                await self._send(event)
            except Exception:  # noqa: BLE001 - whatever it is: the next event is to go out
                self._results.failed += 1
                _log.exception("an event about a verdict did not reach %s", self._sink)
            finally:
                self._waiting.task_done()

    async def _send(self, event: bytes) -> None:
        status = 0
        for tried in range(_TRIES):
            if tried:
                await self._pause(min(_PAUSE_S * 2 ** (tried - 1), _LONGEST_PAUSE_S) * self._chance.uniform(0.5, 1))
            status = await self._try(event)
            if 200 <= status < 300:
                self._results.delivered += 1
                return
            if status and status < 500 and status not in _PASSING:
                self._results.refused += 1
                _log.error("%s refused an event about a verdict with status %d", self._sink, status)
                return
        self._results.failed += 1
        _log.error("an event about a verdict did not reach %s: %s", self._sink, f"status {status}" if status else "no answer")

    async def _try(self, event: bytes) -> int:
        """The status of the answer; 0 where there was none."""
        try:
            return (await self._sink.ask("POST", body=event, content_type=CONTENT_TYPE)).status
        except NoAnswer as exc:
            _log.warning("an event about a verdict has to wait: %s", exc)
            return 0
