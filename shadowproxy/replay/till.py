"""What asking costs in a replay, and the ceilings of candidates. Only where there are any: telling what an answer cost means reading it."""

from __future__ import annotations

from collections.abc import Mapping

from shadowproxy import comparing
from shadowproxy.compare.cost import cost_of
from shadowproxy.config import Config
from shadowproxy.errors import StartError
from shadowproxy.exchange import Exchange, Side
from shadowproxy.spending import Bill, Ceiling, Purse, bill_for
from shadowproxy.wire.asked import read_asked
from shadowproxy.wire.reading import read_answer

_FREE = Bill()


class Till:
    """``spent``: by arm, what earlier runs have spent on answers that are kept."""

    def __init__(self, config: Config, spent: Mapping[str, Bill]) -> None:
        self._dialects = comparing.dialects_of(config)
        self._prices = comparing.prices_of(config.compare)
        self._purses: dict[str, Purse] = {}
        self._limits: dict[str, str] = {}
        for index, each in enumerate(config.candidates):
            if each.ceiling is not None:
                self._purses[each.name] = Purse(Ceiling(each.ceiling.tokens, each.ceiling.cost))
                self._purses[each.name].restore(spent.get(each.name, _FREE))
                self._limits[each.name] = f"candidates[{index}].ceiling"

    def let_out(self, arm: str) -> None:
        """A request goes to the arm. Raises :class:`StartError` where it has spent its ceiling."""
        purse = self._purses.get(arm)
        if purse is None:
            return
        if not purse.has_room():
            raise StartError(
                f"{self._limits[arm]}: {arm} has spent it ({purse.tokens:,.0f} tokens, {purse.cost:g} in money); raise it and run this "
                "again, which goes on from here, or judge a part with --limit or --sample"
            )
        purse.take()

    def paid(self, arm: str, exchange: Exchange) -> Bill:
        """It has answered."""
        purse = self._purses.get(arm)
        if purse is None:
            return _FREE
        bill = bill_for(exchange, self._side(exchange), self._prices.dearest)
        purse.pay(bill)
        return bill

    def _side(self, exchange: Exchange) -> Side:
        answer = read_answer(exchange.request, exchange.reply, self._dialects) if exchange.reply is not None else None
        usage = answer.usage if answer is not None else None
        if answer is None or usage is None:
            return Side()
        model = answer.model or read_asked(exchange.request).model
        return Side(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens, cost=cost_of(usage, model, self._prices))
