"""From summed counts to verdicts: what the supervisor, or a judge by itself, looks at again and again. Time is read here, decided in
``verdict``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from shadowproxy.config import Candidate, Config
from shadowproxy.counts import CELLS, PAIRS_ISSUED, PAIRS_PENDING, ROLLOUT_STARTED, WHOLE, Totals
from shadowproxy.verdict.cells import ERROR, CellKey
from shadowproxy.verdict.decision import Evidence, Rules, decide
from shadowproxy.verdict.document import as_document
from shadowproxy.verdict.gates import rules

#: The present rate of pairs is taken over this long: long enough to be steady, short enough to follow the traffic.
_RATE_WINDOW_S = 60.0


@dataclass(slots=True)
class _Watch:
    """What is remembered about one rollout between looks."""

    candidate: Candidate
    first_pair_at: float | None = None
    issued_at: deque[tuple[float, int]] = field(default_factory=deque)
    document: Mapping[str, object] | None = None


class Judge:
    """Computes every rollout's verdict from the totals. Holds no evidence of its own."""

    def __init__(
        self, config: Config, totals: Totals, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        """``wall_clock`` gives Unix time: when a rollout began is told to, and by, other processes."""
        self._totals = totals
        self._clock = clock
        self._wall_clock = wall_clock
        self._watches: dict[str, _Watch] = {}
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """Go by another configuration. A rollout that did not change keeps its age; what is no longer configured is no longer judged."""
        self._has_control = config.control is not None and config.control.percent > 0
        self._rules = rules_of(config)
        before = self._watches
        self._watches = {}
        for candidate in config.candidates:
            rollout = config.rollout_id(candidate)
            self._watches[rollout] = before.get(rollout) or _Watch(candidate)

    def look(self, gaps: Mapping[str, str] = MappingProxyType({})) -> None:
        """Judge now. Looking more often costs no error rate. ``gaps``: rollout → why its counts cannot be trusted, "" where they can."""
        now = self._clock()
        for rollout, watch in self._watches.items():
            gap = gaps.get(rollout, "")
            evidence = self._evidence(rollout, watch, now, bool(gap))
            verdict = decide(self._rules, evidence)
            document = as_document(verdict, rollout=rollout, candidate=watch.candidate.name, rules=self._rules, evidence=evidence)
            watch.document = _explained(document, gap) if gap else document

    @property
    def rollouts(self) -> tuple[str, ...]:
        """Ids of what is judged."""
        return tuple(self._watches)

    def documents(self) -> tuple[Mapping[str, object], ...]:
        """The latest verdict of every rollout."""
        if any(watch.document is None for watch in self._watches.values()):
            self.look()
        return tuple(watch.document for watch in self._watches.values() if watch.document is not None)

    def _evidence(self, rollout: str, watch: _Watch, now: float, has_gap: bool) -> Evidence:
        issued = self._issued(rollout)
        lost = self._lost(rollout, watch.candidate.name, issued)
        total = sum(issued.values())
        if total:
            began = now - self._known_age(rollout)
            watch.first_pair_at = began if watch.first_pair_at is None else min(watch.first_pair_at, began)
        return Evidence(
            cells=self._cells(rollout),
            issued=total,
            unresolved=sum(lost.values()),
            unresolved_by_route=lost,
            age_s=now - watch.first_pair_at if watch.first_pair_at is not None else 0.0,
            pairs_per_s=_rate(watch.issued_at, now, total),
            has_control=self._has_control,
            state_gap=has_gap,
        )

    def _known_age(self, rollout: str) -> float:
        """Seconds since the first pair by the totals, which are told of it where they do not know yet."""
        now_s = self._wall_clock()
        started_s = self._totals.value(ROLLOUT_STARTED, rollout)
        if not started_s:
            self._totals.absorb(WHOLE, {(ROLLOUT_STARTED.name, rollout): now_s})
            return 0.0
        return max(now_s - started_s, 0.0)

    def _cells(self, rollout: str) -> dict[CellKey, int]:
        return {
            CellKey(route, check, cell): int(count) for (owner, route, check, cell), count in self._totals.items(CELLS) if owner == rollout
        }

    def _issued(self, rollout: str) -> dict[str, int]:
        """Candidate pairs issued, by route."""
        return {
            route: int(count) for (owner, route, arm), count in self._totals.items(PAIRS_ISSUED) if owner == rollout and arm == "candidate"
        }

    def _lost(self, rollout: str, candidate: str, issued: Mapping[str, int]) -> dict[str, int]:
        """Pairs lost on our side, by route: dropped by us, or issued by a shadow process that did not live to count them.

        Every pair that is judged adds one cell to the error check. So what was issued, is not on its way and has no such cell is lost.
        """
        lost = dict(issued)
        for (owner, route, check, _), count in self._totals.items(CELLS):
            if owner == rollout and check == ERROR:
                lost[route] = lost.get(route, 0) - int(count)
        for (owner, name, route), count in self._totals.items(PAIRS_PENDING):
            if owner == rollout and name == candidate:
                lost[route] = lost.get(route, 0) - int(count)
        return {route: count for route, count in lost.items() if count > 0}


def _explained(document: Mapping[str, Any], gap: str) -> dict[str, Any]:
    """The document with what exactly is missing from its counts."""
    reasons = [{**reason, "text": gap} if reason["code"] == "state_gap" else reason for reason in document["reasons"]]
    return {**document, "reasons": reasons}


def rules_of(config: Config) -> Rules:
    """The decision rule of a configuration."""
    decision, gates = config.verdict, config.gates
    return Rules(
        alpha_promote=decision.alpha_promote,
        alpha_rollback=decision.alpha_rollback,
        min_pairs=decision.min_pairs,
        soak_s=decision.soak_s,
        max_pairs=decision.max_pairs,
        max_unresolved=decision.max_unresolved_percent / 100,
        gates=rules(
            error_margin=gates.error.margin if gates.error.enabled else None,
            similarity_margin=gates.similarity.margin if gates.similarity.enabled and config.embed.backend != "none" else None,
            min_similarity=gates.similarity.min_similarity,
            ttft_margin=gates.ttft.margin if gates.ttft.enabled else None,
        ),
    )


def _rate(history: deque[tuple[float, int]], now: float, issued: int) -> float:
    """Pairs per second over the last minute, or over what there is of it."""
    history.append((now, issued))
    while now - history[0][0] > _RATE_WINDOW_S:
        history.popleft()
    since, before = history[0]
    return (issued - before) / (now - since) if now > since else 0.0
