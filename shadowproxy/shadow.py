"""The pipeline after the tee: exchange → mirror → pair → compare → cells, each step guarded by name.

Fed with finished primary exchanges, it asks the arms, waits for what became of each copy, compares, and adds to the counts. It cannot
reach a client, and nothing waits for it.

Evidence is published per rollout in the order in which the pairs were issued: a fast pair never counts before a slow one that was issued
earlier. So what is counted at any moment is a prefix of one fixed sequence, and looking at it at a moment that depends on how fast the
answers are cannot bias the verdict.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from shadowproxy.compare.pair import compare, texts_to_embed
from shadowproxy.config import TtftGate
from shadowproxy.counts import (
    CELLS,
    COPIES,
    DIVERGENCES,
    DURATION_SECONDS,
    NOT_MIRRORED,
    PAIRS_ISSUED,
    PAIRS_PENDING,
    PAIRS_RESOLVED,
    RECEIVED,
    STEP_FAILURES,
    TTFT_REFERENCE,
    TTFT_SECONDS,
    Counts,
)
from shadowproxy.embed.service import EmbeddingService
from shadowproxy.embed.windows import Vectors
from shadowproxy.exchange import CONTROL, Answer, Comparison, Exchange, Outcome
from shadowproxy.handover.frames import ExchangeFrame
from shadowproxy.mirror.admission import ArmShare, arms_for, refusal_of
from shadowproxy.mirror.dispatch import ArmDispatch
from shadowproxy.tasks import Guard, Tasks
from shadowproxy.verdict.cells import TtftThreshold, observe
from shadowproxy.wire.reading import UNDECODABLE, outcome_of, read_answer
from shadowproxy.wire.transfer import can_decode

_log = logging.getLogger(__name__)

#: Told of one request whose copies are all compared: the primary, then each other arm with its comparison.
OnCompared = Callable[[Exchange, Answer | None, Sequence[tuple[Exchange, Answer | None, Comparison]]], None]

#: Resolved pairs that wait for an older one to be published. Each is a few labels; the bound is minutes of heavy traffic.
_LEDGER_BOUND = 100_000

#: Replies that arrived well and that only we cannot read.
_OUR_LIMITS = ("unknown_coding", "too_large")

#: Characters of an answer or prompt kept for /pairs.
_SHOWN_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Rollout:
    """One candidate judged against the primary. ``id`` carries the digest of what is judged."""

    id: str
    candidate: str


@dataclass(slots=True)
class _Entry:
    """One issued pair in a rollout's ledger. ``publish`` is set when it is resolved."""

    route: str
    publish: Callable[[], None] | None = None


class Ledger:
    """Issued pairs of one rollout, oldest first; published in that order."""

    __slots__ = ("_entries", "pending")

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self.pending: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, route: str) -> _Entry:
        entry = _Entry(route)
        self._entries.append(entry)
        self.pending[route] = self.pending.get(route, 0) + 1
        return entry

    def resolve(self, entry: _Entry, publish: Callable[[], None]) -> None:
        """The pair's end is known. Publish it and every resolved one directly behind, unless an older one is still open."""
        entry.publish = publish
        while self._entries and (ready := self._entries[0].publish) is not None:
            self.pending[self._entries.popleft().route] -= 1
            ready()


@dataclass(slots=True)
class _Ticket:
    """One mirrored request: who is still expected, what came."""

    primary: Exchange
    expected: set[str]
    entries: dict[str, _Entry]
    size_bytes: int
    exchanges: dict[str, Exchange] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Read:
    """An exchange with what wire read out of it."""

    exchange: Exchange
    answer: Answer | None


class TtftReferences:
    """t* per rollout and route: measured over the first pairs, then frozen, so that it is fixed before the data it judges."""

    def __init__(self, gate: TtftGate, on_frozen: Callable[[str, str, float], None]) -> None:
        self._gate = gate
        self._on_frozen = on_frozen
        self._seen: dict[tuple[str, str], list[float]] = {}
        self._frozen: dict[tuple[str, str], float] = {}

    def freeze(self, rollout: str, route: str, seconds: float) -> None:
        """Set what an earlier boot measured."""
        self._frozen[rollout, route] = seconds

    def threshold(self, rollout: str, route: str, primary_ttft_s: float | None) -> TtftThreshold | None:
        """The threshold for this pair; None while its own TTFT still goes into the measurement."""
        if self._gate.reference_s is not None:
            return self._threshold_at(self._gate.reference_s)
        key = (rollout, route)
        frozen = self._frozen.get(key)
        if frozen is not None:
            return self._threshold_at(frozen)
        if primary_ttft_s is not None:
            seen = self._seen.setdefault(key, [])
            seen.append(primary_ttft_s)
            if len(seen) >= self._gate.calibration_pairs:
                del self._seen[key]
                self._frozen[key] = float(np.quantile(seen, self._gate.quantile))
                self._on_frozen(rollout, route, self._frozen[key])
        return None

    def _threshold_at(self, reference_s: float) -> TtftThreshold:
        limit_s = max(reference_s * self._gate.ratio, reference_s + self._gate.tolerance_s)
        return TtftThreshold(primary_s=reference_s, candidate_s=limit_s)


class Shadow:
    """The pipeline of one shadow process."""

    def __init__(
        self,
        rollouts: tuple[Rollout, ...],
        shares: tuple[ArmShare, ...],
        arms: dict[str, ArmDispatch],
        references: TtftReferences,
        counts: Counts,
        tasks: Tasks,
        *,
        pending_bound: int,
        bytes_bound: int,
        pairs_kept: int,
        chance: random.Random,
        on_compared: OnCompared | None = None,
    ) -> None:
        self._on_compared = on_compared
        self._rollouts = {rollout.candidate: rollout for rollout in rollouts}
        self._shares = shares
        self._arms = arms
        self._embedding: EmbeddingService | None = None
        self._has_started = asyncio.Event()
        self._references = references
        self._counts = counts
        self._tasks = tasks
        self._pending_bound = pending_bound
        self._bytes_bound = bytes_bound
        self._pending_bytes = 0
        self._chance = chance
        self._guard = Guard(lambda step: counts.add(STEP_FAILURES, step))
        self._pending = 0
        self._ledgers = {rollout.id: Ledger() for rollout in rollouts}
        self._pairs: deque[dict[str, object]] = deque(maxlen=pairs_kept)

    def start(self, embedding: EmbeddingService | None) -> None:
        """Begin to compare. Until the model is loaded exchanges are taken and arms are asked, so that a restart loses less."""
        self._embedding = embedding
        self._has_started.set()

    # --- in ---------------------------------------------------------------------------------------------------------

    def receive(self, frame: ExchangeFrame) -> None:
        """Take a finished primary exchange from the hand-over. Never raises."""
        self._counts.add(RECEIVED)
        with self._guard("admission"):
            reason = self._admit(frame)
            if reason:
                self._counts.add(NOT_MIRRORED, reason)

    def _admit(self, frame: ExchangeFrame) -> str:
        if (
            self._pending >= self._pending_bound
            or self._pending_bytes >= self._bytes_bound
            or any(len(ledger) >= _LEDGER_BOUND for ledger in self._ledgers.values())
        ):
            return "shadow_full"
        primary = frame.exchange()
        reason = refusal_of(primary.request)
        if reason:
            return reason
        if primary.reply is not None and not can_decode(primary.reply.header(b"content-encoding")):
            return "reply_encoding"
        arms = arms_for(primary.id, self._shares)
        candidates = [arm for arm in arms if arm != CONTROL]
        if not candidates:
            return "candidate_sampled_out"
        if not frame.is_compared:
            self._only_send(primary, arms)
            return ""
        self._issue(primary, arms, candidates)
        return ""

    def _issue(self, primary: Exchange, arms: tuple[str, ...], candidates: list[str]) -> None:
        entries = {}
        for candidate in candidates:
            rollout = self._rollouts[candidate].id
            entries[candidate] = self._ledgers[rollout].open(primary.route)
            self._counts.add(PAIRS_ISSUED, rollout, primary.route, "candidate")
            if CONTROL in arms:
                self._counts.add(PAIRS_ISSUED, rollout, primary.route, "control")
        size = len(primary.request.body) + (sum(len(piece) for _, piece in primary.reply.reads) if primary.reply else 0)
        ticket = _Ticket(primary, set(arms), entries, size)
        self._pending += 1
        self._pending_bytes += size
        for arm in arms:
            self._arms[arm].submit(primary, partial(self._arrived, ticket))

    # --- pair -------------------------------------------------------------------------------------------------------

    def _only_send(self, primary: Exchange, arms: tuple[str, ...]) -> None:
        """Copies whose answers nobody looks at: no pair, no evidence, within the same bounds."""
        size = len(primary.request.body)
        self._pending += len(arms)
        self._pending_bytes += size * len(arms)
        for arm in arms:
            self._arms[arm].submit(primary, partial(self._only_sent, size), keeps_reply=False)

    def _only_sent(self, size: int, exchange: Exchange) -> None:
        self._pending -= 1
        self._pending_bytes -= size
        self._ended(exchange)

    def _ended(self, exchange: Exchange) -> None:
        self._counts.add(COPIES, exchange.arm, exchange.outcome.value)

    def _arrived(self, ticket: _Ticket, exchange: Exchange) -> None:
        self._ended(exchange)
        ticket.exchanges[exchange.arm] = exchange
        ticket.expected.discard(exchange.arm)
        if ticket.expected:
            return
        if self._has_started.is_set():
            self._judge(ticket)
        else:
            self._tasks.start("judge when started", self._judge_when_started(ticket))

    async def _judge_when_started(self, ticket: _Ticket) -> None:
        try:
            await self._has_started.wait()
        except asyncio.CancelledError:
            self._lose(ticket)
            raise
        self._judge(ticket)

    def _judge(self, ticket: _Ticket) -> None:
        """Read one request's arms, then compare and count them: at once, or when the vectors that this takes are there.

        What fails here is our loss, not the candidate's. Where no vectors are needed a task each would cost more than comparing.
        """
        read: tuple[_Read, dict[str, _Read], dict[str, tuple[str, str]]] | None = None
        with self._guard("read"):
            primary = _read(ticket.primary)
            others = {arm: _read(exchange) for arm, exchange in ticket.exchanges.items()}
            read = primary, others, self._texts_to_embed(primary, others)
        if read is None:
            self._lose(ticket)
        elif read[2]:
            self._tasks.start("embed", self._judge_by_vectors(ticket, *read))
        else:
            self._settle(ticket, read[0], read[1], {})

    def _texts_to_embed(self, primary: _Read, others: dict[str, _Read]) -> dict[str, tuple[str, str]]:
        """Per arm the two texts whose likeness only vectors can tell."""
        if self._embedding is None or primary.exchange.outcome is not Outcome.OK:
            return {}
        answered = {arm: other for arm, other in others.items() if other.exchange.outcome is Outcome.OK}
        return {arm: texts for arm, other in answered.items() if (texts := texts_to_embed(primary.answer, other.answer)) is not None}

    async def _judge_by_vectors(
        self, ticket: _Ticket, primary: _Read, others: dict[str, _Read], wanted: dict[str, tuple[str, str]]
    ) -> None:
        assert self._embedding is not None
        vectors: dict[str, tuple[Vectors, Vectors]] | None = None
        try:
            with self._guard("embed"):
                flat = await self._embedding.vectors([text for pair in wanted.values() for text in pair])
                vectors = dict(zip(wanted, zip(flat[::2], flat[1::2], strict=True), strict=True))
        finally:
            if vectors is None:
                self._lose(ticket)
        if vectors is not None:
            self._settle(ticket, primary, others, vectors)

    def _settle(self, ticket: _Ticket, primary: _Read, others: dict[str, _Read], vectors: dict[str, tuple[Vectors, Vectors]]) -> None:
        """Compare every arm with the primary and count; the ticket is done."""
        with self._guard("compare"):
            comparisons = {
                arm: compare(primary.exchange, primary.answer, other.exchange, other.answer, vectors.get(arm))
                for arm, other in others.items()
            }
            for arm, other in others.items():
                if arm != CONTROL:
                    self._resolve(ticket, arm, primary, other, comparisons[arm], others.get(CONTROL), comparisons.get(CONTROL))
            if self._on_compared is not None:
                with self._guard("telemetry"):
                    told = [(other.exchange, other.answer, comparisons[arm]) for arm, other in others.items()]
                    self._on_compared(primary.exchange, primary.answer, told)
        if ticket.entries:
            self._lose(ticket)
        else:
            self._finish(ticket)

    def _finish(self, ticket: _Ticket) -> None:
        self._pending -= 1
        self._pending_bytes -= ticket.size_bytes

    # --- cells ------------------------------------------------------------------------------------------------------

    def _resolve(
        self,
        ticket: _Ticket,
        candidate: str,
        primary: _Read,
        other: _Read,
        comparison: Comparison,
        control: _Read | None,
        against_control: Comparison | None,
    ) -> None:
        rollout = self._rollouts[candidate].id
        route = ticket.primary.route
        arms = [("candidate", other, comparison)]
        if control is not None and against_control is not None:
            arms.append(("control", control, against_control))
        # What only people look at is guarded alone: were it to fail, the pair still counts.
        with self._guard("show"):
            for arm, read, found in arms:
                self._count_divergences(rollout, route, arm, found)
                self._count_latency(rollout, route, arm, read.exchange, read.answer)
            self._count_latency(rollout, route, "primary", primary.exchange, primary.answer)
            if self._pairs.maxlen:
                self._pairs.appendleft(_shown_pair(rollout, primary, other, comparison, control, against_control))
        for arm, _, found in arms:
            self._counts.add(PAIRS_RESOLVED, rollout, route, arm, found.outcome.value)
        publish = partial(self._publish, rollout, route, primary.exchange.outcome, comparison, against_control)
        # Taken only now: an entry that is taken and then not resolved would hold back every later pair.
        self._ledgers[rollout].resolve(ticket.entries.pop(candidate), publish)

    def _count_divergences(self, rollout: str, route: str, arm: str, comparison: Comparison) -> None:
        for divergence in comparison.divergences:
            self._counts.add(DIVERGENCES, rollout, route, arm, divergence.kind, divergence.severity.value)

    def _count_latency(self, rollout: str, route: str, arm: str, exchange: Exchange, answer: Answer | None) -> None:
        if exchange.outcome is not Outcome.OK:
            return
        self._counts.time(DURATION_SECONDS, rollout, route, arm, seconds=exchange.duration_s)
        if answer is not None and answer.ttft_s is not None:
            self._counts.time(TTFT_SECONDS, rollout, route, arm, seconds=answer.ttft_s)

    def _publish(self, rollout: str, route: str, primary: Outcome, candidate: Comparison, control: Comparison | None) -> None:
        """Add the pair to the evidence. A pair that adds nothing counts as lost on our side: every judged one adds an error cell."""
        with self._guard("cells"):
            cells = observe(
                route,
                primary,
                candidate,
                control,
                has_control=CONTROL in self._arms,
                ttft_threshold=self._references.threshold(rollout, route, candidate.primary_timing.ttft_s),
                u=(self._chance.random(), self._chance.random()),
            )
            for key in cells:
                self._counts.add(CELLS, rollout, key.route, key.check, key.cell)

    def _lose(self, ticket: _Ticket) -> None:
        """The pair broke on our side: it counts against nobody and makes the verdict hold."""
        for candidate, entry in ticket.entries.items():
            rollout = self._rollouts[candidate].id
            self._counts.add(PAIRS_RESOLVED, rollout, ticket.primary.route, "candidate", Outcome.DROPPED_LOCAL.value)
            self._ledgers[rollout].resolve(entry, lambda: None)
        ticket.entries.clear()
        self._finish(ticket)

    # --- out --------------------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Expire overdue copies. Called a few times a second."""
        now = time.monotonic()
        for arm in self._arms.values():
            with self._guard("mirror sweep"):
                arm.sweep(now)

    def report(self) -> None:
        """Write gauges into the counts."""
        for candidate, rollout in self._rollouts.items():
            for route, count in self._ledgers[rollout.id].pending.items():
                self._counts.set(PAIRS_PENDING, rollout.id, candidate, route, to=count)

    def freeze_reference(self, rollout: str, route: str, seconds: float) -> None:
        self._references.freeze(rollout, route, seconds)
        self._counts.set(TTFT_REFERENCE, rollout, route, to=seconds)

    def latest_pairs(self, limit: int, rollout: str | None) -> list[dict[str, object]]:
        """The newest pairs, newest first."""
        chosen = (pair for pair in self._pairs if rollout is None or pair["rollout"] == rollout)
        return [pair for pair, _ in zip(chosen, range(limit), strict=False)]

    async def finish(self, within_s: float) -> None:
        """Wait for pairs on their way, at most this long."""
        deadline = time.monotonic() + within_s
        while self._pending and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    def close(self) -> None:
        """Stop asking. Copies on the way are counted as lost on our side."""
        for arm in self._arms.values():
            arm.close()


def _read(exchange: Exchange) -> _Read:
    """Parse the reply, and let what it says refine the outcome: a 200 that carries an error is no success."""
    if exchange.reply is None:
        return _Read(exchange, None)
    answer = read_answer(exchange.request, exchange.reply)
    if exchange.outcome in (Outcome.OK, Outcome.HTTP_ERROR):
        outcome = outcome_of(exchange.reply, answer)
        if outcome is not exchange.outcome:
            exchange = replace(exchange, outcome=outcome)
        if answer.error is not None and answer.error.type == UNDECODABLE and answer.error.code in _OUR_LIMITS:
            exchange = replace(exchange, outcome=Outcome.DROPPED_LOCAL, failure=answer.error.message)
    return _Read(exchange, answer)


def _shown_pair(
    rollout: str, primary: _Read, other: _Read, comparison: Comparison, control: _Read | None, against_control: Comparison | None
) -> dict[str, object]:
    """A pair for people: both answers side by side. Not redacted here; the admin surface does that unless asked not to."""
    exchange = primary.exchange
    return {
        "id": exchange.id,
        "rollout": rollout,
        "route": exchange.route,
        "issued_at_s": exchange.issued_at_s,
        "request": {"path": exchange.request.target, "body": exchange.request.body[:_SHOWN_CHARS].decode("utf-8", "replace")},
        "primary": _shown_arm(primary),
        "candidate": {"name": other.exchange.arm, **_shown_arm(other)},
        "control": {**_shown_arm(control), "similarity": against_control.similarity} if control and against_control else None,
        "similarity": comparison.similarity,
        "is_exact": comparison.is_exact,
        "is_equal_normalised": comparison.is_equal_normalised,
        "divergences": [
            {"kind": d.kind, "severity": d.severity.value, "primary": d.primary, "candidate": d.other} for d in comparison.divergences
        ],
    }


def _shown_arm(read: _Read) -> dict[str, object]:
    exchange, answer = read.exchange, read.answer
    first = answer.first if answer else None
    return {
        "outcome": exchange.outcome.value,
        "failure": exchange.failure,
        "status": exchange.reply.status if exchange.reply else None,
        "text": first.text[:_SHOWN_CHARS] if first else "",
        "refusal": first.refusal if first else None,
        "tool_calls": [{"name": call.name, "arguments": call.arguments[:_SHOWN_CHARS]} for call in first.tool_calls] if first else [],
        "finish_reason": first.finish_reason if first else None,
        "error": answer.error.message if answer and answer.error else None,
        "ttft_s": answer.ttft_s if answer else None,
        "duration_s": exchange.duration_s,
        "completion_tokens": answer.usage.completion_tokens if answer and answer.usage else None,
    }
