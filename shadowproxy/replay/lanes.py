"""Asking one arm: so many at once, so many a second, and again where it says that it is only busy.

What an arm does wrong is an outcome, as live. What it cannot take right now is not: a rate limit says nothing about a model, and a replay
has the time to wait.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from enum import StrEnum

from shadowproxy.errors import StartError
from shadowproxy.exchange import Exchange, Outcome
from shadowproxy.llmjudge.retrying import told_s
from shadowproxy.mirror.dispatch import ArmDispatch
from shadowproxy.replay.pace import Turns

#: 429, and what gateways and overloaded servers say before they have done any work (529: Anthropic). 500 and 504 may be the model's own
#: failure, and count.
_BUSY = frozenset({429, 503, 529})

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 60.0

#: Longest pause that an arm may ask for. Past it somebody's quota for the day is used up, and the run shall say so.
_LONGEST_PAUSE_S = 600.0


@dataclass(frozen=True, slots=True)
class Patience:
    """``tries`` of one request in all."""

    tries: int = 6


class Retry(StrEnum):
    """Why a request was asked again."""

    BUSY = "busy"
    UNREACHABLE = "unreachable"


class Closed(Exception):
    """The run ends, and this request was not sent."""


class Gate:
    """The way into one server: so many requests at once, so many a second (``per_s`` None: as fast as it goes), none while it asks for a
    pause. Arms that are one server share it."""

    def __init__(self, concurrency: int, per_s: float | None = None) -> None:
        self.free = asyncio.Semaphore(concurrency)
        self.turns = Turns(per_s)
        self.was_reached = False

    async def turn(self) -> None:
        """Wait for a turn that no pause makes void."""
        turn_s = self.turns.take(time.monotonic())
        while (wait_s := turn_s - time.monotonic()) > 0 or turn_s < self.turns.held_until_s:
            await asyncio.sleep(max(wait_s, 0.0))
            if turn_s < self.turns.held_until_s:
                turn_s = self.turns.take(time.monotonic())


class Lane:
    """One arm, through the gate of its server. ``late_s``: the most that a request was written after its time, at a given pace."""

    def __init__(self, dispatch: ArmDispatch, gate: Gate | None = None, patience: Patience = Patience()) -> None:
        """Without a ``gate`` it has one of its own."""
        self.dispatch = dispatch
        self.gate = gate or Gate(dispatch.bounds.concurrency)
        self.asked = 0
        self.in_flight = 0
        self.retried: dict[Retry, int] = dict.fromkeys(Retry, 0)
        self.late_s = 0.0
        self._is_closed = False
        self._patience = patience
        self._chance = random.Random()  # noqa: S311 - spreads retries

    def close(self) -> None:
        """Nothing more is sent; what is on its way may come."""
        self._is_closed = True

    async def ask(self, primary: Exchange, due_s: float | None = None) -> Exchange:
        """What became of it, after as many tries as it took. ``due_s``: when it should go out, on the monotonic clock.

        Raises :class:`StartError` where the arm was never reached, :class:`Closed` where the run ends first.
        """
        tries = 0
        while True:
            async with self.gate.free:
                await self.gate.turn()
                self._check_open()
                tries += 1
                self.asked += 1
                exchange = await self._once(primary)
            if due_s is not None and tries == 1:
                self.late_s = max(self.late_s, time.monotonic() - exchange.duration_s - due_s)
            why = _reason(exchange)
            self.gate.was_reached |= why is not Retry.UNREACHABLE
            if why is None:
                return exchange
            if tries >= self._patience.tries:
                return self._given_up(exchange, why)
            self._check_open()
            self.retried[why] += 1
            await asyncio.sleep(self._delay_s(exchange, tries))

    def _check_open(self) -> None:
        if self._is_closed:
            raise Closed

    def _given_up(self, exchange: Exchange, why: Retry) -> Exchange:
        """It counts as what it was; but an arm that nobody ever reached was not judged, it was not there."""
        if why is Retry.UNREACHABLE and not self.gate.was_reached:
            raise StartError(f"{exchange.arm} was never reached: {exchange.failure}; start it or mend its url, and run this again")
        return exchange

    async def _once(self, primary: Exchange) -> Exchange:
        answered: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()

        def done(exchange: Exchange) -> None:
            if not answered.done():
                answered.set_result(exchange)

        self.in_flight += 1
        try:
            self.dispatch.submit(primary, done)
            return await answered
        finally:
            self.in_flight -= 1

    def _delay_s(self, exchange: Exchange, tries: int) -> float:
        """Exponential, for this request alone; and at least what ``retry-after`` tells, which holds every request to this server.

        A server may tell 0, or a date of its own that is past here: that would spend all tries before anything can have changed.
        """
        longest_s: float = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** (tries - 1))
        delay_s = longest_s * (0.5 + self._chance.random())
        told = exchange.reply.header(b"retry-after") if exchange.reply is not None else None
        pause_s = min(told_s(told, time.time()) or 0.0, _LONGEST_PAUSE_S)
        if pause_s:
            self.gate.turns.hold(time.monotonic() + pause_s)
        return max(delay_s, pause_s)


def _reason(exchange: Exchange) -> Retry | None:
    """Why it is worth asking again, None where it is not."""
    if exchange.outcome is Outcome.CONNECT_FAILED:
        return Retry.UNREACHABLE
    if exchange.reply is not None and exchange.reply.status in _BUSY:
        return Retry.BUSY
    return None
