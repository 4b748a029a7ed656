"""The whole is within 0..1, shows its parts, and never falls when a part rises."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.overall import WEIGHTS, divergence_of, parts_of

_SCORES = st.dictionaries(st.sampled_from(sorted(WEIGHTS)), st.floats(0, 1), min_size=1)


@given(_SCORES, st.data())
def test_a_higher_score_never_lowers_the_whole(scores: dict[str, float], data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(scores)))
    higher = scores | {kind: data.draw(st.floats(scores[kind], 1))}
    before, after = divergence_of(scores), divergence_of(higher)
    assert before is not None
    assert after is not None
    assert after >= before - 1e-12


@given(_SCORES)
def test_the_whole_is_within_bounds_and_no_less_than_any_part(scores: dict[str, float]) -> None:
    whole = divergence_of(scores)
    assert whole is not None
    assert 0 <= whole <= 1
    assert whole >= max(parts_of(scores).values()) - 1e-12


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_lower_similarity_never_lowers_the_whole(a: float, b: float) -> None:
    low, high = divergence_of({}, min(a, b)), divergence_of({}, max(a, b))
    assert low is not None
    assert high is not None
    assert low >= high


def test_nothing_to_judge_is_none() -> None:
    assert divergence_of({}) is None
    assert divergence_of({"latency": 1.0, "cost": 1.0}) is None


def test_no_difference_is_zero() -> None:
    assert divergence_of(dict.fromkeys(WEIGHTS, 0.0)) == 0


def test_similarity_stands_in_for_the_texts_score() -> None:
    assert divergence_of({}, 0.75) == divergence_of({"text": 0.25})
    assert divergence_of({"text": 0.25}, 0.1) == divergence_of({"text": 0.25})


def test_a_changed_fact_outweighs_a_near_copys_distance() -> None:
    changed, reworded = divergence_of({"text": 0.02, "facts": 0.9}), divergence_of({"text": 0.1, "facts": 0.2})
    assert changed is not None
    assert reworded is not None
    assert changed > reworded


@pytest.mark.parametrize("score", [math.nan, 7.0, math.inf])
def test_a_score_out_of_bounds_counts_as_the_largest(score: float) -> None:
    assert divergence_of({"text": score}) == divergence_of({"text": 1.0})
