"""Which routes are judged on their own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.verdict.strata import MIN_SHARE, OTHER, stratum_of


def test_routes_from_five_percent_on_stand_alone_and_the_rest_is_pooled() -> None:
    assert stratum_of({"chat": 850, "tools": 50, "a": 49, "b": 30, "c": 21}) == {
        "chat": "chat",
        "tools": "tools",
        "a": OTHER,
        "b": OTHER,
        "c": OTHER,
    }


def test_a_pool_that_is_too_small_joins_the_smallest_stratum() -> None:
    """One stray request on a third path must not hold back a promotion for ever."""
    assert stratum_of({"chat": 900, "completions": 99, "stray": 1}) == {
        "chat": "chat",
        "completions": "completions + other",
        "stray": "completions + other",
    }


def test_a_route_called_other_belongs_to_the_pool() -> None:
    assert stratum_of({"chat": 80, OTHER: 18, "a": 2}) == {"chat": "chat", OTHER: OTHER, "a": OTHER}
    assert stratum_of({OTHER: 5}) == {OTHER: OTHER}


def test_only_small_routes_are_one_pool() -> None:
    assert set(stratum_of({f"r{i}": 1 for i in range(40)}).values()) == {OTHER}


def test_routes_without_pairs_are_in_no_stratum() -> None:
    assert stratum_of({"chat": 10, "idle": 0}) == {"chat": "chat"}
    assert stratum_of({}) == {}


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e", OTHER]), st.integers(1, 10_000), min_size=1))
def test_every_route_is_in_one_stratum_and_every_stratum_is_large_enough(pairs: dict[str, int]) -> None:
    labels = stratum_of(pairs)
    assert set(labels) == set(pairs)
    for stratum in set(labels.values()):
        assert sum(n for route, n in pairs.items() if labels[route] == stratum) >= MIN_SHARE * sum(pairs.values())
