"""Proportions in whole numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.weights import Destination, Split

MOST = 2**31 - 1


def split(*weights: int | None, most: int = MOST) -> Split:
    """The first is the primary's weight, the second the candidate's."""
    destinations = tuple(Destination(f"d{place}", f"/{place}", weight, weight or 0) for place, weight in enumerate(weights))
    return Split("here", destinations, primary=0, candidate=1, most=most)


def after(before: Split, *changes: object) -> list[int | None]:
    weights = [each.written for each in before.destinations]
    for change in changes:
        weights[int(change.pointer[1:])] = change.new  # type: ignore[attr-defined]
    return weights


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=6).filter(lambda weights: weights[0] + weights[1] > 0), st.integers(0, 100))
def test_candidate_gets_its_share_of_the_pair_and_all_others_keep_theirs(weights: list[int], percent: int) -> None:
    now = [weight or 0 for weight in after(split(*weights), *split(*weights).weigh(percent))]
    total, before = sum(now), sum(weights)
    assert now[1] * 100 == percent * (now[0] + now[1])
    for place in range(2, len(weights)):
        assert now[place] * before == weights[place] * total
    assert (now[0] + now[1]) * before == (weights[0] + weights[1]) * total


@given(st.lists(st.integers(0, 10_000) | st.none(), min_size=2, max_size=5).filter(lambda weights: bool(weights[0])), st.integers(1, 100))
def test_restoring_brings_back_what_was_written_where_the_candidate_had_nothing(weights: list[int | None], percent: int) -> None:
    weights[1] = weights[1] and 0
    before = split(*weights)
    moved = split(*after(before, *before.weigh(percent)))
    assert after(moved, *moved.restore(before.found())) == weights


def test_restoring_never_brings_back_traffic_of_the_candidate() -> None:
    assert after(split(50, 50), *split(50, 50).restore([["d0", 60], ["d1", 40]])) == [100, 0]


def test_weights_of_other_destinations_are_not_restored() -> None:
    assert after(split(95, 5), *split(95, 5).restore([["d0", 7], ["d9", 0]])) == [100, 0]


def test_candidate_is_written_first() -> None:
    assert [change.pointer for change in split(100, 0).weigh(5)] == ["/1", "/0"]


def test_what_means_the_same_is_not_written() -> None:
    assert split(100, None).weigh(0) == ()


def test_share_that_percentages_cannot_say_is_refused() -> None:
    with pytest.raises(RouterRefused, match="5 % of 90 is no whole number"):
        split(90, 0, 10, most=0).weigh(5)


def test_weights_past_the_most_are_refused() -> None:
    with pytest.raises(RouterRefused):
        split(999_999, 0, most=1_000_000).weigh(1)


def test_pair_without_weight_is_refused() -> None:
    with pytest.raises(RouterRefused, match="give the primary a weight"):
        split(0, 0, 100)


def test_total_of_a_pair_half_moved_is_the_one_it_began_with() -> None:
    assert after(split(100, 5), *split(100, 5).weigh(5, total=100)) == [95, 5]
