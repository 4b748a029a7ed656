"""What may be asked: requests per minute, and tokens and money per rollout. PURE: the time is an argument.

A pair is let in by what *any* pair may take at most, never by what this one would: a budget that runs low and only lets in what still fits
would choose the short answers, and the candidate writes half of them. What is reserved and not used is given back.
"""

from __future__ import annotations

from dataclasses import dataclass

from shadowproxy.exchange import Usage

_PER_PRICE = 1_000_000

#: Requests that may come at once: a burst of this share of a minute's, else what follows a quiet minute would be twice the rate.
_BURST_SHARE = 1 / 6
#: A pair takes two.
REQUESTS_PER_PAIR = 2


@dataclass(frozen=True, slots=True)
class Spending:
    """Tokens and money."""

    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Spending) -> Spending:
        return Spending(self.tokens + other.tokens, self.cost + other.cost)

    def __sub__(self, other: Spending) -> Spending:
        return Spending(self.tokens - other.tokens, self.cost - other.cost)


@dataclass(frozen=True, slots=True)
class Prices:
    """Money per million tokens, of what is asked and of what is answered."""

    prompt: float = 0.0
    completion: float = 0.0

    def of(self, usage: Usage) -> Spending:
        cost = (usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion) / _PER_PRICE
        return Spending(usage.prompt_tokens + usage.completion_tokens, cost)


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Most that one rollout may take; None for no bound."""

    tokens: int | None = None
    cost: float | None = None


class Bucket:
    """So many requests per minute, a few at once. Refills steadily."""

    __slots__ = ("_capacity", "_filled_at_s", "_level", "_per_s")

    def __init__(self, per_minute: float, now_s: float) -> None:
        self._per_s = per_minute / 60
        self._capacity = max(per_minute * _BURST_SHARE, float(REQUESTS_PER_PAIR))
        self._level = self._capacity
        self._filled_at_s = now_s

    def __repr__(self) -> str:
        return f"<Bucket {self._level:g} of {self._capacity:g}>"

    def has(self, requests: int, now_s: float) -> bool:
        """True where so many may go now."""
        self._level = min(self._level + (now_s - self._filled_at_s) * self._per_s, self._capacity)
        self._filled_at_s = now_s
        return self._level >= requests

    def take(self, requests: int) -> None:
        """So many go, whether there is room or not: later ones wait for it. Negative: so many did not go after all."""
        self._level = min(self._level - requests, self._capacity)


class Budget:
    """What every rollout has spent and has under way, against the ceilings, and the rate that all share.

    ``most`` is what one pair can take at most.
    """

    def __init__(self, bucket: Bucket, ceilings: Ceilings, most: Spending) -> None:
        self._bucket = bucket
        self._ceilings = ceilings
        self._most = most
        self._taken: dict[str, Spending] = {}

    def restore(self, rollout: str, spent: Spending) -> None:
        """Begin with what earlier processes have spent on a rollout."""
        self._taken[rollout] = self.taken(rollout) + spent

    def taken(self, rollout: str) -> Spending:
        """Spent and reserved so far."""
        return self._taken.get(rollout, Spending())

    def admit(self, rollout: str, now_s: float) -> str:
        """Let one pair wait for its turn and return "", or the reason (a key of ``ABSTENTIONS``) why not."""
        reason = self._over_ceiling(rollout)
        if not reason and not self._bucket.has(REQUESTS_PER_PAIR, now_s):
            reason = "over_rate"
        if not reason:
            self._bucket.take(REQUESTS_PER_PAIR)
        return reason

    def reserve(self, rollout: str) -> str:
        """It is an admitted pair's turn: put it on the bill at its most and return "", or the reason why not any more.

        Not before: were pairs that wait on the bill, a full queue would look like an empty purse.
        """
        reason = self._over_ceiling(rollout)
        if not reason:
            self._taken[rollout] = self.taken(rollout) + self._most
        return reason

    def settle(self, rollout: str, spent: Spending) -> None:
        """A reserved pair is done: give back what it did not take."""
        self._taken[rollout] = self.taken(rollout) - self._most + spent

    def more_requests(self, requests: int) -> None:
        """So many requests more than a pair's two; negative for those that an admitted pair did not need."""
        self._bucket.take(requests)

    def _over_ceiling(self, rollout: str) -> str:
        after = self.taken(rollout) + self._most
        if self._ceilings.tokens is not None and after.tokens > self._ceilings.tokens:
            return "tokens_spent"
        if self._ceilings.cost is not None and after.cost > self._ceilings.cost:
            return "money_spent"
        return ""
