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


class Lane:
    """The way to one arm. ``per_s`` None: as fast as it goes."""

    def __init__(self, dispatch: ArmDispatch, *, per_s: float | None = None, patience: Patience = Patience()) -> None:
        self.dispatch = dispatch
        self.asked = 0
        self.retried: dict[Retry, int] = dict.fromkeys(Retry, 0)
        self.gave_up = 0
        self.was_reached = False
        self._free = asyncio.Semaphore(dispatch.bounds.concurrency)
        self._turns = Turns(per_s)
        self._patience = patience
        self._chance = random.Random()  # noqa: S311 - spreads retries

    async def ask(self, primary: Exchange) -> Exchange:
        """What became of it, after as many tries as it took. Raises :class:`StartError` where the arm was never reached."""
        tries = 0
        while True:
            async with self._free:
                await self._turn()
                tries += 1
                self.asked += 1
                exchange = await self._once(primary)
            why = _reason(exchange)
            self.was_reached |= why is not Retry.UNREACHABLE
            if why is None:
                return exchange
            if tries >= self._patience.tries:
                return self._given_up(exchange, why)
            self.retried[why] += 1
            await asyncio.sleep(self._delay_s(exchange, tries))

    def _given_up(self, exchange: Exchange, why: Retry) -> Exchange:
        """It counts as what it was; but an arm that nobody ever reached was not judged, it was not there."""
        if why is Retry.UNREACHABLE and not self.was_reached:
            raise StartError(f"{exchange.arm} was never reached: {exchange.failure}; start it or mend its url, and run this again")
        self.gave_up += 1
        return exchange

    async def _turn(self) -> None:
        """Wait for the turn, and for a pause that begins meanwhile."""
        turn_s = self._turns.take(time.monotonic())
        while (wait_s := max(turn_s, self._turns.held_until_s) - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)

    async def _once(self, primary: Exchange) -> Exchange:
        answered: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()

        def done(exchange: Exchange) -> None:
            if not answered.done():
                answered.set_result(exchange)

        self.dispatch.submit(primary, done)
        return await answered

    def _delay_s(self, exchange: Exchange, tries: int) -> float:
        """As told by ``retry-after``, for every request to this arm; else exponential, for this one alone."""
        told = exchange.reply.header(b"retry-after") if exchange.reply is not None else None
        pause_s = told_s(told, time.time())
        if pause_s is not None:
            pause_s = min(pause_s, _LONGEST_PAUSE_S)
            self._turns.hold(time.monotonic() + pause_s)
            return pause_s
        longest_s: float = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** (tries - 1))
        return longest_s * (0.5 + self._chance.random())


def _reason(exchange: Exchange) -> Retry | None:
    """Why it is worth asking again, None where it is not."""
    if exchange.outcome is Outcome.CONNECT_FAILED:
        return Retry.UNREACHABLE
    if exchange.reply is not None and exchange.reply.status in _BUSY:
        return Retry.BUSY
    return None
