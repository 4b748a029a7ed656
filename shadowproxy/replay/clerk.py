"""Has answers recorded, long ones in a process of its own. Between the lanes and the work folder.

What searching two megabytes for personal data takes would be added to every answer that is on its way, as in ``comparing``. An answer is
kept at once and compared later, so it does not wait behind batches there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from typing import Any

import msgspec

from shadowproxy.config import Redact
from shadowproxy.errors import StartError
from shadowproxy.exchange import Exchange, Outcome, Reply
from shadowproxy.journal.records import ArmRecord, Record
from shadowproxy.replay.keeping import Keeper
from shadowproxy.replay.leashes import Leash

#: Answer, question and recorded answer together have more bytes: they cost more than a few milliseconds, and the trip costs less.
_LONG_BYTES = 64 * 1024


class Clerk:
    """Records what arms did. ``has_process`` False: all of it on the loop, for where a process cannot be started."""

    def __init__(self, keeper: Keeper, section: Redact, rollouts: Mapping[str, str], *, has_process: bool) -> None:
        self.keeper = keeper
        self._begins = (section.model_dump(mode="json"), dict(rollouts))
        self._leash = Leash()
        self._executor: ProcessPoolExecutor | None = None
        if has_process and section.bodies:
            self._executor = ProcessPoolExecutor(1, self._leash.context, _begin, (*self._begins, self._leash.held))

    async def record(self, exchange: Exchange, known: Record) -> ArmRecord:
        """What is kept of it, beside what is ``known``. Raises :class:`StartError` where the process is gone."""
        if self._executor is None or _size_bytes(exchange, known) <= _LONG_BYTES:
            return self.keeper(exchange, known)
        try:
            with self._leash.starting():
                asked = self._executor.submit(_record, _ENCODER.encode(_slip_of(exchange, known)))
            answered = await asyncio.wrap_future(asked)
        except BrokenExecutor as exc:
            raise StartError(f"the process that redacts long answers ended ({exc}); run this again, it goes on from here") from exc
        except OSError as exc:
            raise StartError(f"no process can be started ({exc.strerror or exc}); --workers 0 needs none") from exc
        kept = _KEPT.decode(answered)
        self.keeper.replaced += kept.replaced
        return kept.arm

    def close(self) -> None:
        """End the process."""
        self._leash.close()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)


def _size_bytes(exchange: Exchange, known: Record) -> int:
    reply_bytes = sum(len(data) for _, data in exchange.reply.reads) if exchange.reply is not None else 0
    return reply_bytes + len(known.body.text) + len(known.primary.body.text)


# --- there and back -------------------------------------------------------------------------------------------------------


class _Slip(msgspec.Struct, frozen=True, gc=False):
    """An exchange as it travels: compiled classes have no pickle. ``known`` has its request."""

    arm: str
    outcome: str
    issued_at_s: float
    duration_s: float
    late: tuple[tuple[float, float], ...]
    failure: str
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    reads: tuple[tuple[float, bytes], ...]
    known: Record

    def exchange(self) -> Exchange:
        reply = Reply(self.status, self.headers, self.reads) if self.status else None
        known = self.known
        outcome, times = Outcome(self.outcome), (self.issued_at_s, self.duration_s)
        return Exchange(known.id, self.arm, known.route, known.request(), reply, outcome, *times, self.failure, late=self.late)


class _Kept(msgspec.Struct, frozen=True, gc=False):
    """The record, and how much was replaced in it."""

    arm: ArmRecord
    replaced: int


def _slip_of(exchange: Exchange, known: Record) -> _Slip:
    reply = exchange.reply or Reply(0, (), ())
    times = (exchange.issued_at_s, exchange.duration_s, exchange.late)
    return _Slip(exchange.arm, exchange.outcome.value, *times, exchange.failure, reply.status, reply.headers, reply.reads, known)


_ENCODER = msgspec.msgpack.Encoder()
_SLIP = msgspec.msgpack.Decoder(_Slip)
_KEPT = msgspec.msgpack.Decoder(_Kept)


class _Desk:
    """The keeper of the process."""

    keeper: Keeper


def _begin(section: Mapping[str, Any], rollouts: Mapping[str, str], held: Any) -> None:
    Leash.hold(held)
    _Desk.keeper = Keeper(Redact.model_validate(section), rollouts)


def _record(written: bytes) -> bytes:
    slip, keeper = _SLIP.decode(written), _Desk.keeper
    before = keeper.replaced
    arm = keeper(slip.exchange(), slip.known)
    return _ENCODER.encode(_Kept(arm, keeper.replaced - before))
