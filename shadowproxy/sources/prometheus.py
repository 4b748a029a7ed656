"""Counts from Prometheus, or whatever speaks its HTTP API.

The first look goes back over the whole window. Later ones need to go back only to the look before: a boot's counters never fall, so the
larger of what was seen and what is seen is the last value over both, and a process that ended is remembered with its last.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import urlencode

import msgspec

from shadowproxy.config import PrometheusSource
from shadowproxy.counts import BOOT, ROLLOUT_STARTED
from shadowproxy.errors import NoAnswer
from shadowproxy.services import Answer, Service
from shadowproxy.sources import promql
from shadowproxy.sources.reading import EVIDENCE, Reading, by_boot

#: Mark of a part → (labels, value) of each of its series.
_Parts = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]

#: How far later looks go back beyond the look before, in seconds: samples are stored a moment after their time, and more than a scrape late
#: where Prometheus was restarted.
_OVERLAP_S = 600.0

#: How much younger than a rollout its oldest sample may be: the first scrape after the first pair, and the step it is looked for in.
_FIRST_SAMPLE_S = 3.0 * promql.OLDEST_STEP_S


class _Series(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct, frozen=True):
    result: list[_Series] = []


class _Reply(msgspec.Struct, frozen=True):
    """The envelope of the HTTP API. ``warnings`` mean that the answer may lack something: one store of several did not answer."""

    status: str = ""
    error: str = ""
    data: _Data = _Data()
    warnings: list[str] = []


class Prometheus:
    """A :class:`~shadowproxy.sources.reading.Source`."""

    def __init__(self, section: PrometheusSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = Service(section.url, section.auth, section.tls, section.timeout_s)
        self._window_s = section.window_s
        self._timeout_s = section.timeout_s
        self._clock = clock
        self._read_at: float | None = None
        self._targets: frozenset[tuple[str, str]] = frozenset()
        self._began_late: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"Prometheus at {self._service}"

    async def read(self, rollouts: tuple[str, ...]) -> Reading:
        asked_at = self._clock()
        parts = await self._ask(rollouts)
        boots, problems = by_boot((metric, *sample) for name, metric in EVIDENCE.items() for sample in parts.get(name, ()))
        if self._read_at is None:
            self._began_late = tuple(_began_late(parts))
        self._read_at = asked_at
        return Reading(
            at_s=parts[promql.NOW][0][1],
            boots=boots,
            live=frozenset(labels.get(BOOT, "") for labels, _ in parts.get(promql.LIVE, ())),
            reach_s=self._window_s,
            problems=(*problems, *self._began_late, *self._not_scraped(parts)),
        )

    async def close(self) -> None:
        await self._service.close()

    async def _ask(self, rollouts: tuple[str, ...]) -> _Parts:
        since_s = self._window_s if self._read_at is None else self._clock() - self._read_at + _OVERLAP_S
        instances = sorted({instance for _, instance in self._targets})
        query = promql.question(rollouts, min(since_s, self._window_s), instances, is_first=self._read_at is None)
        form = urlencode({"query": query, "timeout": f"{self._timeout_s:g}s"}).encode()
        answer = await self._service.ask("POST", "/api/v1/query", form, "application/x-www-form-urlencoded")
        parts = _parts(answer, str(self._service))
        if promql.NOW not in parts:
            raise NoAnswer(f"{self._service} did not say what time it is; is it Prometheus?")
        return parts

    def _not_scraped(self, parts: _Parts) -> Iterator[tuple[str, str]]:
        """Targets that showed counts of ours and cannot be scraped now. Those that service discovery has dropped have ended, and are
        forgotten."""
        up = {(labels.get("job", ""), labels.get("instance", "")): value for labels, value in parts.get(promql.TARGETS, ())}
        self._targets = frozenset(up)
        for (job, instance), value in sorted(up.items()):
            if value != 1:
                remedy = "mend that, or take it out of the scrape configuration where it has ended for good"
                yield "", f"Prometheus cannot scrape {instance} (job {job}), so what it counts is not seen; {remedy}"


def _parts(answer: Answer, service: str) -> _Parts:
    """The answer, taken apart by its marks. Raises :class:`NoAnswer`."""
    try:
        reply = msgspec.json.decode(answer.body, type=_Reply)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise NoAnswer(f"{service} answered with status {answer.status}, not as Prometheus does ({exc})") from exc
    if answer.status != 200 or reply.status != "success":
        raise NoAnswer(f"{service} answered with status {answer.status}: {reply.error or reply.status or 'no reason given'}")
    if reply.warnings:
        raise NoAnswer(f"{service} gave a partial answer: {reply.warnings[0]}")
    parts: dict[str, list[tuple[dict[str, str], float]]] = {}
    for series in reply.data.result:
        parts.setdefault(series.metric.get(promql.PART, ""), []).append((series.metric, _number(series.value[1])))
    return parts


def _number(text: str) -> float:
    """A sample's value; whatever is no number is judged as NaN is: not a count."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _began_late(parts: _Parts) -> Iterator[tuple[str, str]]:
    """Rollouts of whose beginning nothing is stored: processes may have come and gone there, unseen."""
    started: dict[str, float] = {}
    for labels, value in parts.get(ROLLOUT_STARTED.name, ()):
        rollout = labels.get("rollout", "")
        started[rollout] = min(started.get(rollout, math.inf), value)
    for labels, oldest in parts.get(promql.OLDEST, ()):
        rollout = labels.get("rollout", "")
        missing_s = oldest - started.get(rollout, math.inf)
        if missing_s > _FIRST_SAMPLE_S:
            text = f"of the first {missing_s:.0f} s of this rollout nothing is stored, so processes that ended then are not counted"
            yield rollout, f"{text}; scrape before traffic begins, keep samples longer, or start a new rollout"
