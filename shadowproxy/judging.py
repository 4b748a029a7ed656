"""From summed counts to verdicts: what the supervisor, or a judge by itself, looks at again and again. Time is read here, decided in
``verdict``."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from types import MappingProxyType

from shadowproxy.bookkeeping import budgets_of
from shadowproxy.config import Candidate, Config
from shadowproxy.counts import CELLS, PAIRS_COUNTED, PAIRS_ISSUED, PAIRS_PENDING, ROLLOUT_STARTED, SAMPLED, UNITS, WHOLE, Totals
from shadowproxy.verdict.case import Evidence, OnTimeout, Rules
from shadowproxy.verdict.cells import CellKey
from shadowproxy.verdict.decision import Verdict, decide
from shadowproxy.verdict.document import Provenance, as_document
from shadowproxy.verdict.gates import gate_rules
from shadowproxy.verdict.splits import Split

_log = logging.getLogger(__name__)

_SOFTWARE = f"shadowproxy {metadata.version('llm-shadowproxy')}"

#: The present rate of pairs is taken over this long: long enough to be steady, short enough to follow the traffic.
_RATE_WINDOW_S = 60.0


@dataclass(slots=True)
class _Watch:
    """What is remembered about one rollout between looks."""

    candidate: Candidate
    first_pair_at: float | None = None
    started_s: float = 0.0
    """Unix time from which ``first_pair_at`` was reckoned."""
    issued_at: deque[tuple[float, int]] = field(default_factory=deque)
    document: Mapping[str, object] | None = None
    fault: str = ""


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
        self._control_percent = config.control.percent if config.control is not None else 0.0
        self._rules = rules_of(config)
        self._config_digest = config.digest()
        before = self._watches
        self._watches = {}
        for candidate in config.candidates:
            rollout = config.rollout_id(candidate)
            self._watches[rollout] = before.get(rollout) or _Watch(candidate)

    def look(self, gaps: Mapping[str, str] = MappingProxyType({})) -> None:
        """Judge now. Looking more often costs no error rate. ``gaps``: rollout → why its counts cannot be trusted, "" where they can."""
        now = self._clock()
        for rollout, watch in self._watches.items():
            try:
                watch.document = self._judged(rollout, watch, now, gaps.get(rollout, ""))
            except Exception as exc:  # noqa: BLE001 - whatever it is: an old verdict left standing would go on promoting
                watch.document = self._held(rollout, watch, exc)

    def _judged(self, rollout: str, watch: _Watch, now: float, gap: str) -> Mapping[str, object]:
        document = self._document(rollout, watch, self._evidence(rollout, watch, now, bool(gap)), gap)
        watch.fault = ""
        return document

    def _held(self, rollout: str, watch: _Watch, fault: Exception) -> Mapping[str, object]:
        """Without a reading of the evidence there is nothing to go by."""
        what = f"the evidence cannot be read ({type(fault).__name__}: {fault}), a fault in shadowproxy itself"
        if what != watch.fault:
            watch.fault = what
            _log.error("judging %s failed", rollout, exc_info=fault)
        nothing = Evidence(
            cells={}, issued=0, unresolved=0, age_s=0.0, pairs_per_s=0.0, has_control=self._control_percent > 0, state_gap=True
        )
        return self._document(rollout, watch, nothing, what)

    def _document(self, rollout: str, watch: _Watch, evidence: Evidence, gap: str) -> Mapping[str, object]:
        return as_document(
            _explained(decide(self._rules, evidence), gap),
            rollout=rollout,
            candidate=watch.candidate.name,
            rules=self._rules,
            evidence=evidence,
            provenance=self._provenance(rollout, watch.candidate),
        )

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
            self._reckon(rollout, watch, now)
        return Evidence(
            cells=self._cells(rollout),
            issued=total,
            unresolved=sum(lost.values()),
            unresolved_by_route=lost,
            age_s=now - watch.first_pair_at if watch.first_pair_at is not None else 0.0,
            pairs_per_s=_rate(watch.issued_at, now, total),
            has_control=self._control_percent > 0,
            state_gap=has_gap,
            sessions=int(self._totals.value(UNITS, rollout)),
            splits=self._splits(rollout),
        )

    def _provenance(self, rollout: str, candidate: Candidate) -> Provenance:
        started_s = self._totals.value(ROLLOUT_STARTED, rollout)
        return Provenance(
            software=_SOFTWARE,
            config_digest=self._config_digest,
            prompt_digest=hashlib.sha256(candidate.prompt.system.encode()).hexdigest() if candidate.prompt else "",
            candidate_model=candidate.model or "",
            started_at_s=started_s or None,
            decided_at_s=self._wall_clock(),
        )

    def _reckon(self, rollout: str, watch: _Watch, now: float) -> None:
        """When the first pair was, by the totals, which are told of it where they do not know yet. Reckoned once for each time they say:
        the wall clock may be set meanwhile, and a soak must not be over for that."""
        now_s = self._wall_clock()
        started_s = self._totals.value(ROLLOUT_STARTED, rollout)
        if not started_s:
            self._totals.absorb(WHOLE, {(ROLLOUT_STARTED.name, rollout): now_s})
            started_s = now_s
        if watch.first_pair_at is None or started_s != watch.started_s:
            watch.started_s = started_s
            began = now - max(now_s - started_s, 0.0)
            watch.first_pair_at = began if watch.first_pair_at is None else min(watch.first_pair_at, began)

    def _cells(self, rollout: str) -> dict[CellKey, int]:
        return {
            CellKey(route, check, cell, slice_): int(count)
            for (owner, route, slice_, check, cell), count in self._totals.items(CELLS)
            if owner == rollout
        }

    def _issued(self, rollout: str) -> dict[str, int]:
        """Candidate pairs issued, by route."""
        return {
            route: int(count) for (owner, route, arm), count in self._totals.items(PAIRS_ISSUED) if owner == rollout and arm == "candidate"
        }

    def _lost(self, rollout: str, candidate: str, issued: Mapping[str, int]) -> dict[str, int]:
        """Pairs lost on our side, by route: dropped by us, or issued by a shadow process that did not live to count them.

        What was issued, is not on its way and is not accounted for in the evidence is lost.
        """
        lost = dict(issued)
        for (owner, route), count in self._totals.items(PAIRS_COUNTED):
            if owner == rollout:
                lost[route] = lost.get(route, 0) - int(count)
        for (owner, name, route), count in self._totals.items(PAIRS_PENDING):
            if owner == rollout and name == candidate:
                lost[route] = lost.get(route, 0) - int(count)
        return {route: count for route, count in lost.items() if count > 0}

    def _splits(self, rollout: str) -> tuple[Split, ...]:
        """The shares that a hash chooses, request by request: did they come out as configured?"""
        return (*self._mirrored_splits(), *self._control_split(rollout))

    def _mirrored_splits(self) -> Iterator[Split]:
        chosen: dict[str, dict[str, int]] = {}
        for (percent, answer), count in self._totals.items(SAMPLED):
            chosen.setdefault(percent, {})[answer] = int(count)
        for percent, by_answer in chosen.items():
            yes = by_answer.get("yes", 0)
            yield Split(f"mirrored {percent} %", yes, yes + by_answer.get("no", 0), float(percent) / 100)

    def _control_split(self, rollout: str) -> Iterator[Split]:
        share = self._control_percent / 100
        if 0 < share < 1:
            by_arm = {"candidate": 0, "control": 0}
            for (owner, _, arm), count in self._totals.items(PAIRS_ISSUED):
                if owner == rollout:
                    by_arm[arm] += int(count)
            if by_arm["control"] <= by_arm["candidate"]:
                yield Split("control", by_arm["control"], by_arm["candidate"], share)


def _explained(verdict: Verdict, gap: str) -> Verdict:
    """The verdict with what exactly is missing from its counts."""
    reasons = (replace(reason, text=gap) if gap and reason.code == "state_gap" else reason for reason in verdict.reasons)
    return replace(verdict, reasons=tuple(reasons))


def rules_of(config: Config) -> Rules:
    """The decision rule of a configuration."""
    decision = config.verdict
    return Rules(
        alpha_promote=decision.alpha_promote,
        alpha_rollback=decision.alpha_rollback,
        min_pairs=decision.min_pairs,
        soak_s=decision.soak_s,
        max_pairs=decision.max_pairs,
        max_unresolved=decision.max_unresolved_percent / 100,
        gates=gate_rules(_margins(config), budgets_of(config.gates)),
        min_share=decision.min_share,
        min_sessions=decision.min_sessions,
        max_age_s=decision.max_age_s,
        on_timeout=OnTimeout(decision.on_timeout),
        attempt=decision.attempt,
    )


def _margins(config: Config) -> dict[str, float | None]:
    """Gate → margin, None where it is off. Of a ratio gate the margin is 0: its ratio is in the difference itself."""
    gates = config.gates
    similarity = gates.similarity.enabled and config.embed.backend != "none"
    margins: dict[str, float | None] = {
        "similarity": gates.similarity.margin if similarity else None,
        "similarity_absolute": 1 - gates.similarity.min_similarity if similarity else None,
        "cost": 0.0 if gates.cost.enabled else None,
        "tokens": 0.0 if gates.tokens.enabled else None,
    }
    for name in ("error", "json_valid", "tool_valid", "truncated", "ttft", "itl", "duration", "judge"):
        gate = getattr(gates, name)
        margins[name] = gate.margin if gate.enabled else None
    for name in ("structure", "tools", "facts", "refusal"):
        gate = getattr(gates, name)
        margins[name] = gate.margin if gate.enabled else None
        margins[f"{name}_absolute"] = gate.max_different if gate.enabled else None
    return margins


def _rate(history: deque[tuple[float, int]], now: float, issued: int) -> float:
    """Pairs per second over the last minute, or over what there is of it."""
    history.append((now, issued))
    while now - history[0][0] > _RATE_WINDOW_S:
        history.popleft()
    since, before = history[0]
    return (issued - before) / (now - since) if now > since else 0.0
