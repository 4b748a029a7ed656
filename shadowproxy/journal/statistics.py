"""What is in a journal, counted: what ``journal stats`` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from shadowproxy.journal.records import Record


@dataclass(slots=True)
class Statistics:
    """Counts over records. ``outcomes`` is by arm and outcome; times are Unix time of the first and last request."""

    records: int = 0
    sessions: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    routes: Counter[str] = field(default_factory=Counter)
    rollouts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    withheld: int = 0
    first_at_s: float | None = None
    last_at_s: float | None = None

    def add(self, record: Record) -> None:
        self.records += 1
        self.routes[record.route] += 1
        if record.session:
            self.sessions.add(record.session)
        if record.key:
            self.keys.add(record.key)
        for arm in record.arms:
            self.outcomes[arm.arm, arm.outcome] += 1
            if arm.rollout:
                self.rollouts[arm.rollout] += 1
        self.withheld += sum(bool(body.withheld) for body in (record.body, *(arm.body for arm in record.arms)))
        self._see(record.issued_at_s)

    def as_document(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "records": self.records,
            "exchanges": self.outcomes.total(),
            "sessions": len(self.sessions),
            "pseudonym_keys": sorted(self.keys),
            "first_at_s": self.first_at_s,
            "last_at_s": self.last_at_s,
            "routes": dict(self.routes.most_common()),
            "rollouts": dict(self.rollouts.most_common()),
            "outcomes": _nested(self.outcomes),
            "bodies_withheld": self.withheld,
        }

    def _see(self, at_s: float) -> None:
        self.first_at_s = at_s if self.first_at_s is None else min(self.first_at_s, at_s)
        self.last_at_s = at_s if self.last_at_s is None else max(self.last_at_s, at_s)


def statistics_of(records: Iterable[Record]) -> Statistics:
    """All of them counted."""
    statistics = Statistics()
    for record in records:
        statistics.add(record)
    return statistics


def _nested(outcomes: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (arm, outcome), count in sorted(outcomes.items()):
        nested.setdefault(arm, {})[outcome] = count
    return nested
