"""What the controller tells, and to whom: Events on the steered object, and CloudEvents.

Fed by ``controller``. Telling never keeps anything from being done: what cannot be told is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from shadowproxy.errors import RouterBusy, RouterConflict, RouterRefused
from shadowproxy.events import Event, Events
from shadowproxy.promote.json_patch import FIELD_MANAGER, ObjectRef
from shadowproxy.promote.kube import Kube
from shadowproxy.promote.phases import Phase
from shadowproxy.promote.progress import Progress, encode

_log = logging.getLogger(__name__)

#: Types of the CloudEvents; see ``events`` for the domain.
MOVED = "internal.shadowproxy.rollout.moved.v1"
STUCK = "internal.shadowproxy.rollout.stuck.v1"

#: The API server takes messages of an Event up to this length.
_MOST_CHARACTERS = 1024

_REASONS: Mapping[Phase, str] = {
    Phase.SHADOW: "RolloutBegan",
    Phase.CANARY: "TrafficShifted",
    Phase.PAUSED: "RolloutPaused",
    Phase.HELD: "RolloutHeld",
    Phase.PROMOTED: "CandidatePromoted",
    Phase.ROLLED_BACK: "CandidateRolledBack",
}


@dataclass(frozen=True, slots=True)
class Moved:
    """A rollout that is now where ``progress`` says, and the verdict document behind it."""

    progress: Progress
    verdict: Mapping[str, Any]

    @property
    def at_s(self) -> float:
        return self.progress.at_s

    @property
    def reason(self) -> str:
        return _REASONS[self.progress.phase]

    @property
    def is_warning(self) -> bool:
        return self.progress.phase in (Phase.HELD, Phase.ROLLED_BACK)

    def __str__(self) -> str:
        progress = self.progress
        return f"{progress.candidate} ({progress.rollout}) is {progress.phase} with {progress.percent} %: {progress.because}"

    def as_event(self) -> Event:
        """The same progress is the same event, whoever tells it."""
        progress = self.progress
        data = {key: getattr(progress, key) for key in ("rollout", "candidate", "phase", "previous", "percent", "step", "because")}
        return Event(MOVED, progress.at_s, progress.rollout, (encode(progress),), data, self.verdict)


@dataclass(frozen=True, slots=True)
class Stuck:
    """A rollout that holds because of a ``problem`` that a person must look at. ``progress`` is None where it is not known."""

    at_s: float
    candidate: str
    progress: Progress | None
    problem: str
    reason: str = "RolloutStuck"
    is_warning: bool = True

    def __str__(self) -> str:
        return f"{self.candidate} holds: {self.problem}"

    def as_event(self) -> Event:
        rollout = self.progress.rollout if self.progress else self.candidate
        data = {"rollout": rollout, "candidate": self.candidate, "problem": self.problem}
        return Event(STUCK, self.at_s, rollout, (rollout, self.problem, repr(self.at_s)), data, None)


class Listener(Protocol):
    """Who is told."""

    async def tell(self, news: Moved | Stuck) -> None:
        """Take the news. Never raises; waits no longer than one request may take."""


class Everyone:
    """Several listeners, told one after the other."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)

    async def tell(self, news: Moved | Stuck) -> None:
        for listener in self._listeners:
            await listener.tell(news)


class CloudEvents:
    """The sink that is also told of verdicts."""

    def __init__(self, events: Events) -> None:
        self._events = events

    async def tell(self, news: Moved | Stuck) -> None:
        self._events.submit(news)


class ObjectEvents:
    """Kubernetes Events on the steered object, for ``kubectl describe``."""

    def __init__(self, kube: Kube, ref: ObjectRef, instance: str) -> None:
        """``instance`` names this process, as a pod's name does."""
        self._kube = kube
        self._ref = ref
        self._instance = instance

    async def tell(self, news: Moved | Stuck) -> None:
        events = ObjectRef("events.k8s.io", "v1", "events", "Event", self._ref.namespace, "")
        try:
            await self._kube.create(events, self._event(news))
        except (RouterBusy, RouterConflict, RouterRefused) as exc:
            _log.warning("an Event on %s was not recorded: %s", self._ref, exc)

    def _event(self, news: Moved | Stuck) -> dict[str, Any]:
        told = str(news)
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": f"{self._ref.name[:50]}.", "namespace": self._ref.namespace},
            "eventTime": datetime.fromtimestamp(news.at_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "reportingController": f"{FIELD_MANAGER}.io/promotion",
            "reportingInstance": self._instance[:128],
            "action": "Promote",
            "reason": news.reason,
            "type": "Warning" if news.is_warning else "Normal",
            "note": told if len(told) <= _MOST_CHARACTERS else told[: _MOST_CHARACTERS - 1] + "…",
            "regarding": {
                "apiVersion": self._ref.api_version,
                "kind": self._ref.kind,
                "namespace": self._ref.namespace,
                "name": self._ref.name,
            },
        }
