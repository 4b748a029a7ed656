"""Counts from the admin surface of one ``serve``: for a single machine, and for trying things out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from shadowproxy.config import AdminSource
from shadowproxy.counts import Metric
from shadowproxy.errors import NoAnswer
from shadowproxy.services import Service
from shadowproxy.sources.reading import EVIDENCE, Reading, by_boot


class _Series(msgspec.Struct, frozen=True):
    labels: dict[str, str]
    value: float


class AdminApi:
    """A :class:`~shadowproxy.sources.reading.Source`."""

    def __init__(self, section: AdminSource, clock: Callable[[], float] = time.time) -> None:
        self._service = Service(section.url, section.auth, section.tls, section.timeout_s)
        self._clock = clock

    def __str__(self) -> str:
        return f"serve at {self._service}"

    async def read(self, rollouts: tuple[str, ...]) -> Reading:
        answer = await self._service.ask("GET", "/counts")
        if answer.status != 200:
            raise NoAnswer(f"{self._service} answered /counts with status {answer.status}; is it the admin surface, and auth its token?")
        try:
            counts = msgspec.json.decode(answer.body, type=dict[str, list[_Series]])
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise NoAnswer(f"{self._service} does not answer as an admin surface does ({exc})") from exc
        boots, problems = by_boot(_evidence(counts, rollouts))
        return Reading(self._clock(), boots, live=frozenset(boots), problems=problems)

    async def close(self) -> None:
        await self._service.close()


def _evidence(counts: Mapping[str, list[_Series]], rollouts: tuple[str, ...]) -> Iterator[tuple[Metric, Mapping[str, Any], float]]:
    for name, metric in EVIDENCE.items():
        for series in counts.get(name, ()):
            if "rollout" not in metric.labels or series.labels.get("rollout") in rollouts:
                yield metric, series.labels, series.value
