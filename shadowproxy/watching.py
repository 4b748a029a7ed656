"""Who is told when a verdict changes: the history, and whoever listens for events.

Between ``judging``, which makes the documents, and ``history`` and ``events``. Documents pass through as they are: only the rollout, the
candidate and the state are looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shadowproxy.config import Judging
from shadowproxy.counts import EVENTS, STEP_FAILURES, Counts
from shadowproxy.events import Change, Events, NoEvents
from shadowproxy.events import load as load_events
from shadowproxy.history import Entry, History, compact
from shadowproxy.tasks import Tasks


def load(section: Judging, environ: Mapping[str, str], tasks: Tasks, *, decides: bool) -> VerdictWatcher:
    """The watcher that the configuration asks for. ``decides``: False for a ``serve`` whose verdict is only its own share of the evidence;
    it remembers for /verdict/history, and tells nobody.

    Raises :class:`~shadowproxy.errors.StartError`, and ``ConfigError`` for a missing secret.
    """
    kept = section.history if decides else section.history.model_copy(update={"file": None})
    events = load_events(section.events, environ, tasks) if decides else NoEvents()
    return VerdictWatcher(History(kept), events, kept.sample_s)


class VerdictWatcher:
    """Sees every verdict document, and knows which are news."""

    def __init__(self, history: History, events: Events, sample_s: float, clock: Callable[[], float] = time.time) -> None:
        """``sample_s``: how long a state may stay before it is written down again."""
        self._history = history
        self._events = events
        self._sample_s = sample_s
        self._clock = clock
        self._written_at: dict[str, float] = {}

    @property
    def events(self) -> Events:
        """Where news go, for others who have some."""
        return self._events

    def saw(self, document: Mapping[str, Any]) -> None:
        """Take the present document of one rollout. Never waits."""
        now, rollout = self._clock(), str(document["rollout"])
        state, before = str(document["state"]), self._history.last_state(rollout)
        if state != before:
            self._write(Entry(now, "change", rollout, str(document["candidate"]), state, before, dict(document)))
            self._events.submit(Change(now, before, document))
        elif now - self._written_at.setdefault(rollout, now) >= self._sample_s:
            self._write(Entry(now, "sample", rollout, str(document["candidate"]), state, before, compact(document)))

    def saw_all(self, documents: Iterable[Mapping[str, Any]]) -> None:
        for document in documents:
            self.saw(document)

    def history(self, limit: int, rollout: str | None) -> tuple[Mapping[str, Any], ...]:
        """See :meth:`shadowproxy.history.History.latest`."""
        return self._history.latest(limit, rollout)

    def report(self, counts: Counts) -> None:
        """Write into ``counts`` what was sent and what was lost so far."""
        counts.set(STEP_FAILURES, "history", to=self._history.lost_lines)
        for result, number in self._events.results().items():
            counts.set(EVENTS, result, to=number)

    async def close(self, within_s: float) -> None:
        """Send and write what waits, for at most this long."""
        await self._events.close(within_s)
        self._history.close()

    def _write(self, entry: Entry) -> None:
        self._written_at[entry.rollout] = entry.at_s
        self._history.add(entry)
