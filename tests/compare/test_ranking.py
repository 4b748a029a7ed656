"""Rerank replies: order counts, scores do not, and the top counts most."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.ranking import compare_ranking, rank_biased_overlap
from shadowproxy.exchange import Ranked, Severity


def ranking(*indices: int, scale: float = 1.0) -> tuple[Ranked, ...]:
    return tuple(Ranked(index, scale / (place + 1)) for place, index in enumerate(indices))


def kinds(primary: tuple[Ranked, ...], other: tuple[Ranked, ...]) -> dict[str, Severity]:
    return {each.kind: each.severity for each in compare_ranking(primary, other).divergences}


def test_other_scores_in_the_same_order_are_no_difference() -> None:
    found = compare_ranking(ranking(2, 0, 1), ranking(2, 0, 1, scale=100))
    assert found.score == pytest.approx(0.0)
    assert found.divergences == ()


def test_another_document_on_top_is_major() -> None:
    assert kinds(ranking(2, 0, 1), ranking(0, 2, 1)) == {"ranking.order": Severity.MINOR, "ranking.top": Severity.MAJOR}


def test_places_far_down_are_for_information() -> None:
    order = list(range(20))
    assert kinds(ranking(*order), ranking(*order[:18], 19, 18)) == {"ranking.order": Severity.INFO}


def test_the_top_weighs_more_than_the_end() -> None:
    order = list(range(10))
    top = compare_ranking(ranking(*order), ranking(1, 0, *order[2:])).score
    end = compare_ranking(ranking(*order), ranking(*order[:8], 9, 8)).score
    assert top is not None
    assert end is not None
    assert top > end > 0


def test_a_reversed_ranking_scores_high() -> None:
    reversed_ = compare_ranking(ranking(*range(10)), ranking(*reversed(range(10)))).score
    assert reversed_ is not None
    assert reversed_ > 0.7


def test_other_documents_altogether_score_one() -> None:
    assert compare_ranking(ranking(0, 1, 2), ranking(3, 4, 5)).score == pytest.approx(1.0)


def test_lines_left_out_are_named() -> None:
    found = compare_ranking(ranking(0, 1, 2, 3), ranking(0, 1))
    [missing] = found.divergences
    assert (missing.kind, missing.severity, missing.why) == ("ranking.missing", Severity.MAJOR, "left out: 2, 3")
    assert found.score == 0.5
    assert kinds(ranking(0, 1), ranking(0, 1, 2, 3)) == {"ranking.missing": Severity.MINOR}


def test_a_document_named_twice_counts_once() -> None:
    assert kinds(ranking(0, 1, 2), ranking(0, 1, 1)) == {"ranking.missing": Severity.MAJOR}


def test_an_empty_ranking_scores_one_and_two_none() -> None:
    assert compare_ranking(ranking(0), ()).score == 1.0
    assert compare_ranking((), ()).score is None


def test_equal_scores_have_no_order() -> None:
    tied = (Ranked(1, 0.5), Ranked(0, 0.5), Ranked(2, 0.1))
    assert compare_ranking(tied, (Ranked(0, 0.5), Ranked(1, 0.5), Ranked(2, 0.1))).score == pytest.approx(0.0)
    assert "ranking.top" not in kinds(tied, ranking(1, 0, 2))


def test_overlap_agrees_with_a_sum_by_hand() -> None:
    # Depths 1..3 share 0, 2 and 3 of two rankings that swap their first two.
    expected = 0.1 * (0 / 1 + 0.9 * 2 / 2 + 0.81 * 3 / 3) + 0.729 * 3 / 3
    assert rank_biased_overlap([0, 1, 2], [1, 0, 2]) == pytest.approx(expected)


LINES = st.lists(st.builds(Ranked, st.integers(0, 9), st.floats(allow_nan=True)), max_size=12).map(tuple)


@given(LINES, LINES)
def test_any_lines_give_a_bounded_score(one: tuple[Ranked, ...], two: tuple[Ranked, ...]) -> None:
    found = compare_ranking(one, two)
    assert found.score is None or 0.0 <= found.score <= 1.0 + 1e-9
    assert (compare_ranking(one, one).score or 0.0) == pytest.approx(0.0)


@given(st.permutations(range(8)), st.permutations(range(8)))
def test_overlap_is_symmetric_and_one_only_for_itself(one: list[int], two: list[int]) -> None:
    there = rank_biased_overlap(one, two)
    assert there == pytest.approx(rank_biased_overlap(two, one))
    assert (one == two) is math.isclose(there, 1.0)


@pytest.mark.timeout(20)
def test_a_million_lines_cost_little() -> None:
    many = tuple(Ranked(index, -index) for index in range(1_000_000))
    assert compare_ranking(many, many[::-1]).score == pytest.approx(1.0)
