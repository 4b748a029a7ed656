"""Copies on their way: per arm a bounded number in flight, a bounded queue, and a deadline each. What an arm does wrong is an outcome.

Times of a copy count from the moment it was written to the arm, as the primary's do.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from shadowproxy.exchange import Exchange, Outcome, Reply, Request, is_http_error
from shadowproxy.mirror.lateness import Lateness
from shadowproxy.mirror.rewrite import ArmRewrite, copy_of
from shadowproxy.upstream.connection import Connection, Receiver, ReplyHead
from shadowproxy.upstream.pool import Pool
from shadowproxy.wire.fields import FIELDS
from shadowproxy.wire.mesh import deadline_s

_log = logging.getLogger(__name__)

Done = Callable[[Exchange], None]


@dataclass(frozen=True, slots=True)
class ArmBounds:
    """Copies in flight, copies waiting, seconds per copy, bytes per reply."""

    concurrency: int
    queue: int
    timeout_s: float
    max_reply_bytes: int


class Copy(Receiver):
    """One mirrored request: the receiver of one arm's reply."""

    __slots__ = (
        "_arm",
        "_connecting",
        "_done",
        "_keeps_reply",
        "_late_before_s",
        "_may_repeat",
        "_timeout_s",
        "_upstream",
        "data",
        "deadline",
        "head",
        "id",
        "issued_at_s",
        "late",
        "reads",
        "reply_bytes",
        "request",
        "route",
        "sent_at",
        "span_id",
    )

    def __init__(self, arm: ArmDispatch, primary: Exchange, done: Done, keeps_reply: bool) -> None:
        self._arm = arm
        self._keeps_reply = keeps_reply
        self._done = done
        self._may_repeat = True
        self._connecting: asyncio.Task[None] | None = None
        self._upstream: Connection | None = None
        self.id = primary.id
        self.span_id = b"%016x" % arm.chance.getrandbits(64)
        self.route = primary.route
        self.request: Request = primary.request
        self.issued_at_s = time.time()
        self.sent_at = time.monotonic()
        # Where the caller is known to wait only so long, a later answer would not have been used from the candidate either. Only where
        # the primary kept that time itself: any client can send the header, and what the primary missed says nothing about others.
        caller_s = deadline_s(primary.request.headers)
        is_bound = caller_s is not None and primary.duration_s <= caller_s < arm.bounds.timeout_s
        self._timeout_s = caller_s if is_bound and caller_s is not None else arm.bounds.timeout_s
        self.deadline = self.sent_at + arm.bounds.timeout_s
        self.data = b""
        self.head: ReplyHead | None = None
        self.reads: list[tuple[float, bytes]] = []
        self.reply_bytes = 0
        self.late: list[tuple[float, float]] = []
        self._late_before_s = 0.0

    def _written(self) -> bytes:
        return copy_of(self.request, self._arm.rewrite, self.span_id)

    def prepare(self) -> None:
        """Write the request. Whatever is wrong with it shows here, before anything waits for this copy."""
        self.data = self._written()

    def start(self) -> None:
        self.sent_at = time.monotonic()
        self.deadline = self.sent_at + self._timeout_s
        self._connecting = self._arm.pool.acquire(self, is_head_request=False)

    # --- Receiver ---------------------------------------------------------------------------------------------------

    def connected(self, connection: Connection) -> None:
        self._connecting = None
        self._upstream = connection
        data, self.data = self.data, b""
        if not data:
            data = self._written()  # sent a second time
        self.sent_at = connection.since
        self.issued_at_s = time.time()
        self.late.clear()
        self._late_before_s = self._arm.lateness.total_s(self.sent_at)
        connection.write(data)
        connection.request_sent(self.sent_at)

    def reply_read(self, at: float, head: ReplyHead | None, body: bytes, is_done: bool) -> None:
        if head is not None:
            self.head = head
        if body:
            self.reply_bytes += len(body)
            if self.reply_bytes > self._arm.bounds.max_reply_bytes:
                if not is_done:
                    self.stop()
                self.end(Outcome.TOO_LARGE, f"sent more than {self._arm.bounds.max_reply_bytes} bytes")
                return
            if self._keeps_reply:
                self._note_lateness(at)
                self.reads.append((at - self.sent_at, body))
        if is_done:
            self._upstream = None
            assert self.head is not None
            self.end(Outcome.HTTP_ERROR if is_http_error(self.head.status) else Outcome.OK, "")

    def reply_failed(self, outcome: Outcome, message: str) -> None:
        upstream, self._upstream = self._upstream, None
        self._connecting = None
        if outcome is Outcome.RESET and self.head is None and upstream is not None and upstream.was_reused and self._may_repeat:
            # An idle connection that closed just as we used it says nothing about the arm, and a copy is ours to send again.
            self._may_repeat = False
            self._connecting = self._arm.pool.acquire(self, is_head_request=False, fresh=True)
            return
        self.end(outcome, message)

    # --- ends -------------------------------------------------------------------------------------------------------

    def expire(self) -> None:
        self.stop()
        self.end(Outcome.TIMEOUT, f"sent no complete reply within {self._timeout_s:g} s")

    def stop(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._upstream is not None:
            upstream, self._upstream = self._upstream, None
            upstream.abandon()

    def _note_lateness(self, at: float) -> None:
        late_s = self._arm.lateness.total_s(at) - self._late_before_s
        if late_s > (self.late[-1][1] if self.late else 0.0):
            self.late.append((at - self.sent_at, late_s))

    def end(self, outcome: Outcome, failure: str) -> None:
        now = time.monotonic()
        if self._upstream is not None or self.head is not None:
            self._note_lateness(now)
        head = self.head
        reply = None
        if head is not None:
            reply = Reply(head.status, tuple([(FIELDS[name].name, value) for name, value in head.headers]), tuple(self.reads))
        exchange = Exchange(
            id=self.id,
            arm=self._arm.rewrite.arm,
            route=self.route,
            request=self.request,
            reply=reply,
            outcome=outcome,
            issued_at_s=self.issued_at_s,
            duration_s=now - self.sent_at,
            failure=failure,
            span_id=self.span_id,
            late=tuple(self.late),
        )
        self._arm.ended(self)
        self._done(exchange)


class ArmDispatch:
    """All copies to one arm. ``lateness`` is that of the loop, shared by all arms."""

    def __init__(self, rewrite: ArmRewrite, pool: Pool, bounds: ArmBounds, chance: random.Random, lateness: Lateness) -> None:
        self.rewrite = rewrite
        self.pool = pool
        self.bounds = bounds
        self.chance = chance
        self.lateness = lateness
        self._flying: set[Copy] = set()
        self._waiting: deque[Copy] = deque()

    def __repr__(self) -> str:
        return f"<ArmDispatch {self.rewrite.arm} {len(self._flying)} in flight, {len(self._waiting)} waiting>"

    def submit(self, primary: Exchange, done: Done, *, keeps_reply: bool = True) -> None:
        """Ask the arm. ``done`` is called exactly once, now or later, with what became of it.

        Without ``keeps_reply`` the reply's body is read and thrown away: only how it ended is of interest.
        """
        copy = Copy(self, primary, done, keeps_reply)
        try:
            copy.prepare()
        except Exception as exc:  # noqa: BLE001 - a bug of ours or an odd body must not strand the pair
            _log.exception("a copy for %s could not be written", self.rewrite.arm)
            copy.end(Outcome.DROPPED_LOCAL, f"the copy could not be written ({exc})")
            return
        if len(self._flying) < self.bounds.concurrency:
            self._start(copy)
        elif len(self._waiting) < self.bounds.queue:
            self._waiting.append(copy)
        else:
            copy.end(Outcome.DROPPED_CANDIDATE, f"was too slow: {self.bounds.queue} copies were waiting for it")

    def _start(self, copy: Copy) -> None:
        self._flying.add(copy)
        self.lateness.hold()
        copy.start()

    def ended(self, copy: Copy) -> None:
        if copy in self._flying:
            self._flying.discard(copy)
            self.lateness.release()
            while self._waiting and len(self._flying) < self.bounds.concurrency:
                self._start(self._waiting.popleft())

    def sweep(self, now: float) -> None:
        """Expire what is overdue. A copy that waited in the queue for a whole time-out is the arm's slowness, too."""
        for copy in tuple(self._flying):
            if now > copy.deadline:
                copy.expire()
        while self._waiting and now > self._waiting[0].deadline:
            self._waiting.popleft().end(Outcome.DROPPED_CANDIDATE, "was too slow: the copy waited for a whole time-out")
        self.pool.sweep(now)

    def close(self) -> None:
        """Give up everything on the way: lost on our side."""
        while self._waiting:
            self._waiting.popleft().end(Outcome.DROPPED_LOCAL, "this process stops")
        for copy in tuple(self._flying):
            copy.stop()
            copy.end(Outcome.DROPPED_LOCAL, "this process stops")
        self.pool.close()
