"""What a rollout's copies cost, and the ceiling past which no more are sent. Behind ``shadow``; nothing here knows the time.

A copy is let out while what was spent, and what is on its way at the mean of what was, lies below the ceiling: whoever is let out does not
depend on how long its own answer would be. What an arm does not report is taken as a token for every four bytes, sent and received.
"""

from __future__ import annotations

from dataclasses import dataclass

from shadowproxy.exchange import Comparison, Exchange, Side

#: Of English text, by common tokenizers; of code and other scripts it is less.
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Bill:
    """Tokens and money."""

    tokens: float = 0.0
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Most that one rollout may take; None for no bound."""

    tokens: int | None = None
    cost: float | None = None


class Purse:
    """What one rollout has spent. Every copy that is let out is either paid for or given back, once."""

    __slots__ = ("_ceiling", "_flying", "_paid", "cost", "tokens")

    def __init__(self, ceiling: Ceiling) -> None:
        self.tokens = 0.0
        self.cost = 0.0
        self._ceiling = ceiling
        self._paid = 0
        self._flying = 0

    def __repr__(self) -> str:
        return f"<Purse {self.tokens:.0f} tokens, {self.cost:g} spent, {self._flying} in flight>"

    def restore(self, bill: Bill) -> None:
        """Earlier boots of this process have spent that."""
        self.tokens += bill.tokens
        self.cost += bill.cost

    def has_room(self) -> bool:
        """True where another copy may go out."""
        mean = self.mean()
        return _is_below(self.tokens + mean.tokens * self._flying, self._ceiling.tokens) and _is_below(
            self.cost + mean.cost * self._flying, self._ceiling.cost
        )

    def take(self) -> None:
        """A copy goes out."""
        self._flying += 1

    def pay(self, bill: Bill) -> None:
        """A copy has cost that."""
        self._flying -= 1
        self._paid += 1
        self.tokens += bill.tokens
        self.cost += bill.cost

    def mean(self) -> Bill:
        """What a copy has cost so far: what one costs whose answer nobody read."""
        return Bill(self.tokens / self._paid, self.cost / self._paid) if self._paid else Bill()


def _is_below(spent: float, ceiling: float | None) -> bool:
    return ceiling is None or spent < ceiling


def bill_of(exchange: Exchange, comparison: Comparison | None, dearest: tuple[float, float]) -> Bill:
    """What a copy has cost, as far as it was compared."""
    return bill_for(exchange, comparison.side if comparison is not None else Side(), dearest)


def bill_for(exchange: Exchange, side: Side, dearest: tuple[float, float]) -> Bill:
    """What a copy has cost: as ``side`` says, else by its length. Nothing where it was never sent.

    ``dearest``: the highest prices for prompt and completion per million tokens, for a model without one of its own.
    """
    if exchange.outcome.was_not_sent:
        return Bill()
    prompt = len(exchange.request.body) / _BYTES_PER_TOKEN
    completion = sum([len(piece) for _, piece in exchange.reply.reads]) / _BYTES_PER_TOKEN if exchange.reply is not None else 0.0
    if side.prompt_tokens is not None:
        prompt = float(max(side.prompt_tokens, 0))
    if side.completion_tokens is not None:
        completion = float(max(side.completion_tokens, 0))
    cost = side.cost if side.cost is not None else (prompt * dearest[0] + completion * dearest[1]) / 1_000_000
    return Bill(prompt + completion, max(cost, 0.0))
