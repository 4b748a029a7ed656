"""Which routes and slices are judged on their own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.verdict.slices import OTHER
from shadowproxy.verdict.strata import MIN_SHARE, slice_strata, stratum_of


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


# --- slices ---------------------------------------------------------------------------------------------------------------


def test_slices_of_a_dimension_stand_alone_from_the_share_on_and_the_rest_is_pooled() -> None:
    pairs = {"tenant=a": 800, "tenant=b": 100, "tenant=c": 40, "tenant=d": 40, "tools=yes": 300, "tools=no": 680}
    assert slice_strata(pairs, 1000) == {
        "tenant=a": "tenant=a",
        "tenant=b": "tenant=b",
        "tenant=c": "tenant=other",
        "tenant=d": "tenant=other",
        "tools=yes": "tools=yes",
        "tools=no": "tools=no",
    }


def test_a_pool_of_slices_that_is_too_small_is_left_to_the_routes() -> None:
    assert slice_strata({"language=en": 600, "language=de": 380, "language=fr": 20}, 1000) == {
        "language=en": "language=en",
        "language=de": "language=de",
    }


def test_a_dimension_with_one_stratum_says_nothing_that_the_routes_do_not_say() -> None:
    assert slice_strata({"language=en": 1000}, 1000) == {}
    assert slice_strata({"language=en": 990, "language=de": 10}, 1000) == {}


def test_a_label_called_other_belongs_to_the_pool() -> None:
    assert slice_strata({"tenant=a": 500, "tenant=other": 450, "tenant=b": 40}, 1000) == {
        "tenant=a": "tenant=a",
        "tenant=other": "tenant=other",
        "tenant=b": "tenant=other",
    }


def test_no_slices_no_strata() -> None:
    assert slice_strata({}, 0) == {}
    assert slice_strata({"tenant=a": 0, "tenant=b": 5}, 1000) == {}


@given(
    st.dictionaries(st.sampled_from([f"{d}={v}" for d in "xy" for v in ("a", "b", "c", OTHER)]), st.integers(0, 1000)), st.integers(1, 4000)
)
def test_every_stratum_of_slices_is_large_enough(pairs: dict[str, int], total: int) -> None:
    labels = slice_strata(pairs, total)
    for stratum in set(labels.values()):
        assert sum(n for label, n in pairs.items() if labels.get(label) == stratum) >= MIN_SHARE * total
