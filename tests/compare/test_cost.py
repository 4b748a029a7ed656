"""Tokens and money: unknown is never free, and one table has one currency."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.cost import Price, PriceTable, compare_cost, cost_of
from shadowproxy.exchange import Answer, Severity, Usage

TABLE = PriceTable(
    "USD", (Price("small", 0.15, 0.6), Price("large", 2.5, 10.0), Price("large-mini*", 0.3, 1.2), Price("large*", 3.0, 12.0))
)


def answer(model: str | None, prompt: int, completion: int) -> Answer:
    return Answer("chat", model=model, usage=Usage(prompt, completion))


def kinds(primary: Answer, other: Answer) -> dict[str, Severity]:
    return {each.kind: each.severity for each in compare_cost(primary, other, TABLE).divergences}


def test_cost_is_per_million_tokens() -> None:
    assert cost_of(Usage(1_000_000, 0), "small", TABLE) == pytest.approx(0.15)
    assert cost_of(Usage(0, 500_000), "small", TABLE) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("model", "prompt"),
    [("large", 2.5), ("large-2024-08-06", 3.0), ("large-mini", 0.3), ("large-mini-2024", 0.3), ("smaller", None), ("", None)],
)
def test_the_exact_name_wins_then_the_longest_start(model: str, prompt: float | None) -> None:
    price = TABLE.of(model)
    assert (price.prompt if price else None) == prompt


def test_what_is_not_known_costs_none_and_not_zero() -> None:
    assert cost_of(None, "small", TABLE) is None
    assert cost_of(Usage(1, 1), None, TABLE) is None
    assert cost_of(Usage(1, 1), "unheard-of", TABLE) is None
    assert cost_of(Usage(-1, 1), "small", TABLE) is None
    assert compare_cost(answer("small", 10, 10), Answer("chat", model="small"), TABLE).score is None


def test_more_than_twice_is_for_information() -> None:
    found = compare_cost(answer("large", 100, 100), answer("small", 100, 210), TABLE)
    assert {each.kind: each.severity for each in found.divergences} == {"cost.tokens": Severity.INFO, "cost.price": Severity.INFO}
    assert found.score == pytest.approx(math.log(0.00125 / 0.000141) / math.log(20))


@pytest.mark.parametrize(("one", "two"), [(100, 200), (49, 1), (0, 0)])
def test_twice_or_a_few_tokens_are_not(one: int, two: int) -> None:
    assert "cost.tokens" not in kinds(answer(None, 0, one), answer(None, 0, two))


def test_tokens_are_compared_without_a_price() -> None:
    found = compare_cost(answer("x", 1, 100), answer("y", 1, 300), TABLE)
    assert [each.kind for each in found.divergences] == ["cost.tokens"]
    assert found.score is None


def test_equal_costs_score_zero_and_a_free_one_one() -> None:
    assert compare_cost(answer("small", 10, 10), answer("small", 10, 10), TABLE).score == 0.0
    assert compare_cost(answer("small", 10, 10), answer("small", 0, 0), TABLE).score == 1.0
    assert compare_cost(answer("small", 0, 0), answer("small", 0, 0), TABLE).score == 0.0


@pytest.mark.parametrize(
    ("model", "prompt", "message"),
    [
        ("m", -1.0, "prompt: -1.0 is not an amount"),
        ("m", math.nan, "not an amount"),
        ("gpt-*-mini", 1.0, "a \\* stands for"),
        ("", 1.0, "name the model"),
    ],
)
def test_a_price_that_cannot_be_is_refused_by_name(model: str, prompt: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Price(model, prompt, 1.0)


TOKENS = st.integers(0, 10**12)


@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_the_score_is_symmetric_and_bounded(a: int, b: int, c: int, d: int) -> None:
    there = compare_cost(answer("small", a, b), answer("large", c, d), TABLE).score
    back = compare_cost(answer("large", c, d), answer("small", a, b), TABLE).score
    assert there is not None
    assert 0.0 <= there <= 1.0
    assert there == pytest.approx(back)
