"""What an answer cost, in tokens and in money, and whether the two arms differ in that. PURE.

Arms report their own token counts, by their own tokenizers: a token of one model is not a token of another, money is money. An arm that
reports no usage has an unknown cost, which is None and never 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, log

from shadowproxy.compare.kinds import Found, divergence
from shadowproxy.exchange import Answer, Divergence, Severity, Usage

#: Prices are quoted per so many tokens.
PRICED_TOKENS = 1_000_000
#: Two draws of one model differ by less in most answers; and below this many tokens, by more in any.
RATIO = 2.0
RATIO_TOKENS = 50
#: The score reaches 1 where one answer costs so many times as much. The span of one maker's price list, small model to large.
LARGEST_RATIO = 20.0


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs per million tokens. ``model`` is its name, or the start of names and a ``*``."""

    model: str
    prompt: float
    completion: float

    def __post_init__(self) -> None:
        for side, price in (("prompt", self.prompt), ("completion", self.completion)):
            if not (isfinite(price) and price >= 0):
                raise ValueError(f"price of {self.model!r}, {side}: {price} is not an amount; use 0 or more per million tokens")
        if not self.model:
            raise ValueError("a price without a model; name the model, or write * for every other")
        if "*" in self.model[:-1]:
            raise ValueError(f"price of {self.model!r}: has a * that does not end it; a * stands for the rest of a name")


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices in one currency, so that any two costs by it can be compared."""

    currency: str = "USD"
    prices: tuple[Price, ...] = ()

    @property
    def dearest(self) -> tuple[float, float]:
        """The highest prices for prompt and completion: what a model without one of its own is taken for."""
        prices = self.prices
        return max((each.prompt for each in prices), default=0.0), max((each.completion for each in prices), default=0.0)

    def of(self, model: str) -> Price | None:
        """The price of ``model``: the one of that very name, else the one with the longest start of it, else None."""
        matching = [price for price in self.prices if _matches(price.model, model)]
        return max(matching, key=lambda price: (price.model == model, len(price.model)), default=None)


def _matches(pattern: str, model: str) -> bool:
    return pattern == model or (pattern.endswith("*") and model.startswith(pattern[:-1]))


def cost_of(usage: Usage | None, model: str | None, table: PriceTable) -> float | None:
    """Money in the table's currency. None where the usage, the model or its price is not known."""
    price = table.of(model) if model is not None else None
    if price is None or usage is None or min(usage.prompt_tokens, usage.completion_tokens) < 0:
        return None
    return (usage.prompt_tokens * price.prompt + usage.completion_tokens * price.completion) / PRICED_TOKENS


def compare_cost(primary: Answer, other: Answer, table: PriceTable) -> Found:
    """How far the two costs are apart: the logarithm of their ratio, 1 from :data:`LARGEST_RATIO` on. None unless both are known.

    Both directions count, for this says how much differs; whether cheaper is better is a gate's business.
    """
    before, after = cost_of(primary.usage, primary.model, table), cost_of(other.usage, other.model, table)
    found = (*_tokens(primary.usage, other.usage), *_prices(before, after, table.currency))
    return Found(None if before is None or after is None else _score(before, after), found)


def _score(before: float, after: float) -> float:
    if before == after:
        return 0.0
    if min(before, after) == 0:
        return 1.0
    return min(1.0, abs(log(after / before)) / log(LARGEST_RATIO))


def _tokens(before: Usage | None, after: Usage | None) -> Iterator[Divergence]:
    if before is None or after is None:
        return
    ours, theirs = before.completion_tokens, after.completion_tokens
    if max(ours, theirs) >= RATIO_TOKENS and _is_apart(ours, theirs):
        yield divergence("cost.tokens", Severity.INFO, f"{ours} completion tokens", f"{theirs} completion tokens")


def _prices(before: float | None, after: float | None, currency: str) -> Iterator[Divergence]:
    if before is not None and after is not None and _is_apart(before, after):
        yield divergence("cost.price", Severity.INFO, f"{before:.3g} {currency}", f"{after:.3g} {currency}")


def _is_apart(one: float, two: float) -> bool:
    return max(one, two) > RATIO * min(one, two)
