"""The pipeline after the tee: exchange → mirror → pair → compare → cells, each step guarded by name.

Fed with finished primary exchanges, it asks the arms, waits for what became of each copy, compares, and adds to the counts. It cannot
reach a client, and nothing waits for it. ``bookkeeping`` says in which order and as what pairs count.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from shadowproxy.bookkeeping import (
    LEDGER_BOUND,
    Book,
    Entry,
    PairRecord,
    PairRequest,
    Slicer,
    TailReferences,
    prompt_of,
    session_of,
    without_words,
)
from shadowproxy.compare.means import Means
from shadowproxy.compare.pair import compare, texts_to_embed
from shadowproxy.compare.view import View, view
from shadowproxy.config import Units
from shadowproxy.counts import (
    COPIES,
    DIVERGENCES,
    DURATION_SECONDS,
    NOT_MIRRORED,
    PAIRS_ISSUED,
    PAIRS_RESOLVED,
    RECEIVED,
    SPENT_COST,
    SPENT_TOKENS,
    STEP_FAILURES,
    SUPPRESSED,
    TTFT_SECONDS,
    Counts,
)
from shadowproxy.embed.service import EmbeddingService
from shadowproxy.embed.windows import Vectors
from shadowproxy.exchange import CONTROL, Answer, Asked, Comparison, Divergence, Exchange, Outcome
from shadowproxy.handover.frames import ExchangeFrame
from shadowproxy.journal.sink import NoSink, Sink
from shadowproxy.mirror.admission import ArmShare, arms_for, refusal_of
from shadowproxy.mirror.dispatch import ArmDispatch
from shadowproxy.opinions import Opinions
from shadowproxy.spending import Bill, Purse, bill_of
from shadowproxy.tasks import Guard, Tasks
from shadowproxy.wire.asked import read_asked
from shadowproxy.wire.custom import CustomDialects
from shadowproxy.wire.reading import read_answer, refined
from shadowproxy.wire.transfer import can_decode
from shadowproxy.workbench import Workbench

_log = logging.getLogger(__name__)

#: Told of one request whose copies are all compared: the primary, then each other arm with its comparison.
OnCompared = Callable[[Exchange, Answer | None, Sequence[tuple[Exchange, Answer | None, Comparison]]], None]

#: Characters of an answer or prompt kept for /pairs.
_SHOWN_CHARS = 20_000


@dataclass(slots=True)
class _Ticket:
    """One mirrored request: who is still expected, what came."""

    primary: Exchange
    expected: set[str]
    entries: dict[str, Entry]
    size_bytes: int
    exchanges: dict[str, Exchange] = field(default_factory=dict)


@dataclass(slots=True)
class _Seen:
    """One request's arms, read: the texts whose likeness only vectors can tell, and in the end the comparisons, by arm."""

    asked: Asked
    primary: View
    others: dict[str, View]
    wanted: dict[str, tuple[str, str]] = field(default_factory=dict)
    comparisons: dict[str, Comparison] = field(default_factory=dict)


class _Failed:
    """A step of ours that raised, on the thread. No dataclass: compiled, one cannot have a field of a built-in's type."""

    def __init__(self, step: str, failure: Exception) -> None:
        self.step = step
        self.failure = failure


class Shadow:
    """The pipeline of one shadow process."""

    def __init__(
        self,
        shares: tuple[ArmShare, ...],
        arms: dict[str, ArmDispatch],
        books: Mapping[str, Book],
        references: TailReferences,
        counts: Counts,
        tasks: Tasks,
        *,
        pending_bound: int,
        bytes_bound: int,
        pairs_kept: int,
        slicer: Slicer,
        purses: Mapping[str, Purse],
        dearest: tuple[float, float],
        units: Units,
        means: Means,
        embedding: EmbeddingService | None = None,
        dialects: CustomDialects | None = None,
        opinions: Opinions | None = None,
        on_compared: OnCompared | None = None,
        sink: Sink | None = None,
    ) -> None:
        self._sink: Sink = sink or NoSink()
        self._has_sink = not isinstance(self._sink, NoSink)
        self._opinions = opinions
        self._on_compared = on_compared
        self._dialects = dialects
        self._means = means
        self._shares = shares
        self._arms = arms
        self._embedding = embedding
        self._books = books
        self._references = references
        self._slicer = slicer
        self._purses = purses
        self._dearest = dearest
        self._units = units
        self._counts = counts
        self._tasks = tasks
        self._pending_bound = pending_bound
        self._bytes_bound = bytes_bound
        self._pending_bytes = 0
        self._guard = Guard(lambda step: counts.add(STEP_FAILURES, step))
        self._bench = Workbench("compare", tasks)
        self._pending = 0
        self._pairs: deque[dict[str, object]] = deque(maxlen=pairs_kept)

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
            or any(len(book.ledger) >= LEDGER_BOUND for book in self._books.values())
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
            self._keep(primary)
            if not self._books:
                return "no_candidates"
            return "candidate_sampled_out"
        candidates = [arm for arm in candidates if self._purses[arm].has_room()]
        if not candidates:
            self._keep(primary)
            return "ceiling"
        arms = tuple([arm for arm in arms if arm == CONTROL or arm in candidates])
        for candidate in candidates:
            self._purses[candidate].take()
        if not frame.is_compared:
            self._only_send(primary, arms)
            return ""
        self._issue(primary, arms, candidates)
        return ""

    def _keep(self, primary: Exchange) -> None:
        """Nobody is asked; the journal gets the primary's answer alone, for a candidate of later days."""
        if self._has_sink:
            size = _size_of(primary)
            self._pending += 1
            self._pending_bytes += size
            self._bench.submit(partial(self._session, primary), partial(self._kept, primary, size))

    def _kept(self, primary: Exchange, size: int, session: str) -> None:
        self._pending -= 1
        self._pending_bytes -= size
        with self._guard("journal"):
            self._sink.offer(primary, (), session)

    def _session(self, primary: Exchange) -> str:
        """On the thread: what tells the request's session from others."""
        try:
            return session_of(primary.request, read_asked(primary.request), self._units)
        except Exception:  # noqa: BLE001 - a request that cannot be read belongs to none
            return ""

    def _issue(self, primary: Exchange, arms: tuple[str, ...], candidates: list[str]) -> None:
        entries = {}
        for candidate in candidates:
            rollout = self._books[candidate].rollout
            entries[candidate] = self._books[candidate].ledger.open(primary.route)
            self._counts.add(PAIRS_ISSUED, rollout, primary.route, "candidate")
            if CONTROL in arms:
                self._counts.add(PAIRS_ISSUED, rollout, primary.route, "control")
        size = _size_of(primary)
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
        if exchange.arm != CONTROL:
            # Nobody reads what it cost; it is taken to be what those cost that are read.
            self._pay(exchange.arm, Bill() if exchange.outcome.was_not_sent else self._purses[exchange.arm].mean())

    def _pay(self, candidate: str, bill: Bill) -> None:
        rollout = self._books[candidate].rollout
        self._purses[candidate].pay(bill)
        self._counts.add(SPENT_TOKENS, rollout, by=bill.tokens)
        self._counts.add(SPENT_COST, rollout, by=bill.cost)

    def _ended(self, exchange: Exchange) -> None:
        self._counts.add(COPIES, exchange.arm, exchange.outcome.value)

    def _arrived(self, ticket: _Ticket, exchange: Exchange) -> None:
        self._ended(exchange)
        ticket.exchanges[exchange.arm] = exchange
        ticket.expected.discard(exchange.arm)
        if ticket.expected:
            return
        self._judge(ticket)

    def _judge(self, ticket: _Ticket) -> None:
        """Read one request's arms, then compare and count them: at once, or when the vectors that this takes are there."""
        self._bench.submit(partial(self._look, ticket), partial(self._looked, ticket))

    def _look(self, ticket: _Ticket) -> _Seen | _Failed:
        """On the thread: read every arm, and compare what needs no vectors. What fails here is our loss, not the candidate's."""
        step = "read"
        try:
            asked = read_asked(ticket.primary.request)
            primary = self._view(ticket.primary, asked)
            seen = _Seen(asked, primary, {arm: self._view(exchange, asked) for arm, exchange in ticket.exchanges.items()})
            seen.wanted = self._texts_to_embed(seen)
            step = "compare"
            return seen if seen.wanted else self._compare(seen, {})
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is counted by its step on the loop
            return _Failed(step, exc)

    def _looked(self, ticket: _Ticket, seen: _Seen | _Failed) -> None:
        if isinstance(seen, _Seen) and seen.wanted:
            self._tasks.start("embed", self._judge_by_vectors(ticket, seen))
        else:
            self._compared(ticket, seen)

    def _view(self, exchange: Exchange, asked: Asked) -> View:
        """Parse the reply, and let what it says refine the outcome: a 200 that carries an error is no success."""
        answer = None if exchange.reply is None else read_answer(exchange.request, exchange.reply, self._dialects)
        return view(refined(exchange, answer), answer, asked, self._means)

    def _texts_to_embed(self, seen: _Seen) -> dict[str, tuple[str, str]]:
        """Per arm the two texts whose likeness only vectors can tell."""
        if self._embedding is None:
            return {}
        return {arm: texts for arm, other in seen.others.items() if (texts := texts_to_embed(seen.primary, other)) is not None}

    async def _judge_by_vectors(self, ticket: _Ticket, seen: _Seen) -> None:
        assert self._embedding is not None
        vectors: dict[str, tuple[Vectors, Vectors]] | None = None
        try:
            with self._guard("embed"):
                flat = await self._embedding.vectors([text for pair in seen.wanted.values() for text in pair])
                vectors = dict(zip(seen.wanted, zip(flat[::2], flat[1::2], strict=True), strict=True))
        finally:
            if vectors is None:
                self._give_up(ticket)
        if vectors is not None:
            self._bench.submit(partial(self._try_to_compare, seen, vectors), partial(self._compared, ticket))

    def _try_to_compare(self, seen: _Seen, vectors: dict[str, tuple[Vectors, Vectors]]) -> _Seen | _Failed:
        """On the thread."""
        try:
            return self._compare(seen, vectors)
        except Exception as exc:  # noqa: BLE001 - counted by its step on the loop
            return _Failed("compare", exc)

    def _compare(self, seen: _Seen, vectors: dict[str, tuple[Vectors, Vectors]]) -> _Seen:
        seen.comparisons = {
            arm: compare(seen.primary, other, vectors.get(arm), seen.asked, self._means) for arm, other in seen.others.items()
        }
        return seen

    def _compared(self, ticket: _Ticket, seen: _Seen | _Failed) -> None:
        """Count every arm's comparison with the primary; the ticket is done."""
        if isinstance(seen, _Failed):
            self._guard.caught(seen.step, seen.failure)
            self._give_up(ticket)
            return
        with self._guard("compare"):
            request = self._request(ticket.primary, seen)
            with self._guard("journal"):
                self._sink.offer(ticket.primary, tuple(ticket.exchanges.values()), request.session)
            for arm in seen.others:
                if arm != CONTROL:
                    self._resolve(ticket, arm, seen, seen.comparisons, request)
            self._tell(seen)
        if ticket.entries:
            self._lose(ticket)
        else:
            self._finish(ticket)

    def _tell(self, seen: _Seen) -> None:
        """Those who only look on: the model judge, telemetry."""
        if self._opinions is not None:
            with self._guard("judge"):
                self._opinions.compared(seen.primary, seen.others, seen.asked, self._books)
        if self._on_compared is not None:
            with self._guard("telemetry"):
                told = [(other.exchange, other.answer, seen.comparisons[arm]) for arm, other in seen.others.items()]
                self._on_compared(seen.primary.exchange, seen.primary.answer, told)

    def _request(self, primary: Exchange, seen: _Seen) -> PairRequest:
        request, asked = primary.request, seen.asked
        slices = self._slicer.labels(request, asked, seen.primary.side)
        return PairRequest(primary.route, session_of(request, asked, self._units), prompt_of(request, asked), slices)

    def _finish(self, ticket: _Ticket) -> None:
        self._pending -= 1
        self._pending_bytes -= ticket.size_bytes

    # --- cells ------------------------------------------------------------------------------------------------------

    def _resolve(self, ticket: _Ticket, candidate: str, seen: _Seen, comparisons: Mapping[str, Comparison], request: PairRequest) -> None:
        """One candidate's pair is known: count it, and hand it to its rollout's evidence."""
        book, comparison, control = self._books[candidate], comparisons[candidate], comparisons.get(CONTROL)
        # What only people look at is guarded alone: were it to fail, the pair still counts.
        with self._guard("show"):
            self._show(book.rollout, candidate, seen, comparisons)
        self._counts.add(PAIRS_RESOLVED, book.rollout, request.route, "candidate", comparison.outcome.value)
        if control is not None:
            self._counts.add(PAIRS_RESOLVED, book.rollout, request.route, "control", control.outcome.value)
        record = PairRecord(
            request,
            seen.primary.exchange.outcome,
            without_words(comparison),
            None if control is None else without_words(control),
            ticket.primary.issued_at_s,
        )
        # Taken only now: an entry that is taken and then not resolved would hold back every later pair.
        book.ledger.resolve(ticket.entries.pop(candidate), partial(self._publish, book, record))
        self._pay(candidate, bill_of(ticket.exchanges[candidate], comparison, self._dearest))

    def _show(self, rollout: str, candidate: str, seen: _Seen, comparisons: Mapping[str, Comparison]) -> None:
        route, primary, other = seen.primary.exchange.route, seen.primary, seen.others[candidate]
        control, against_control = seen.others.get(CONTROL), comparisons.get(CONTROL)
        arms = [("candidate", other, comparisons[candidate])]
        if control is not None and against_control is not None:
            arms.append(("control", control, against_control))
        for arm, view_, found in arms:
            self._count_divergences(rollout, route, arm, found)
            self._count_latency(rollout, route, arm, view_.exchange, view_.answer)
        self._count_latency(rollout, route, "primary", primary.exchange, primary.answer)
        if self._pairs.maxlen:
            self._pairs.appendleft(_shown_pair(rollout, primary, other, comparisons[candidate], control, against_control))

    def _count_divergences(self, rollout: str, route: str, arm: str, comparison: Comparison) -> None:
        for divergence in comparison.divergences:
            self._counts.add(DIVERGENCES, rollout, route, arm, divergence.kind, divergence.severity.value)
        for rule, count in comparison.suppressed.items():
            self._counts.add(SUPPRESSED, rollout, rule, by=count)

    def _count_latency(self, rollout: str, route: str, arm: str, exchange: Exchange, answer: Answer | None) -> None:
        if exchange.outcome is not Outcome.OK:
            return
        self._counts.time(DURATION_SECONDS, rollout, route, arm, seconds=exchange.duration_s)
        if answer is not None and answer.ttft_s is not None:
            self._counts.time(TTFT_SECONDS, rollout, route, arm, seconds=answer.ttft_s)

    def _publish(self, book: Book, record: PairRecord) -> None:
        """Add the pair to the evidence. What fails here is lost on our side."""
        with self._guard("cells"):
            book.publish(record, time.monotonic())

    def _give_up(self, ticket: _Ticket) -> None:
        """What could not be compared is kept all the same: it was asked and answered."""
        with self._guard("journal"):
            self._sink.offer(ticket.primary, tuple(ticket.exchanges.values()))
        self._lose(ticket)

    def _lose(self, ticket: _Ticket) -> None:
        """The pair broke on our side: it counts against nobody and makes the verdict hold."""
        for candidate, entry in ticket.entries.items():
            book = self._books[candidate]
            self._counts.add(PAIRS_RESOLVED, book.rollout, ticket.primary.route, "candidate", Outcome.DROPPED_LOCAL.value)
            book.ledger.resolve(entry, lambda: None)
            exchange = ticket.exchanges.get(candidate)
            self._pay(candidate, Bill() if exchange is None else bill_of(exchange, None, self._dearest))
        ticket.entries.clear()
        self._finish(ticket)

    # --- out --------------------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Expire overdue copies. Called a few times a second."""
        now = time.monotonic()
        for arm in self._arms.values():
            with self._guard("mirror sweep"):
                arm.sweep(now)
        for book in self._books.values():
            with self._guard("cells"):
                book.expire(now)

    def report(self) -> None:
        """Write gauges into the counts."""
        for book in self._books.values():
            book.report()

    def freeze_reference(self, rollout: str, route: str, measure: str, seconds: float) -> None:
        """Go by a limit that an earlier boot measured."""
        self._references.freeze(rollout, route, measure, seconds)

    def restore_spending(self, rollout: str, bill: Bill) -> None:
        """Earlier boots have spent that on a rollout's copies."""
        for candidate, book in self._books.items():
            if book.rollout == rollout:
                self._purses[candidate].restore(bill)

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
        """Stop asking. Copies on the way are counted as lost on our side, open sessions as they are."""
        for arm in self._arms.values():
            arm.close()
        self._bench.close()
        for book in self._books.values():
            with self._guard("cells"):
                book.close()


def _size_of(primary: Exchange) -> int:
    """Bytes of its bodies."""
    return len(primary.request.body) + (sum([len(piece) for _, piece in primary.reply.reads]) if primary.reply is not None else 0)


def _shown_pair(
    rollout: str, primary: View, other: View, comparison: Comparison, control: View | None, against_control: Comparison | None
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
        "divergence": comparison.divergence,
        "scores": dict(comparison.scores),
        "suppressed": dict(comparison.suppressed),
        "divergences": [_shown_divergence(each) for each in comparison.divergences],
    }


def _shown_divergence(each: Divergence) -> dict[str, str]:
    return {
        "kind": each.kind,
        "severity": each.severity.value,
        "path": each.path,
        "primary": each.primary,
        "candidate": each.other,
        "why": each.why,
    }


def _shown_arm(read: View) -> dict[str, object]:
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
