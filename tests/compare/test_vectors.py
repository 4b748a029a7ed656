"""Embeddings replies: angles within one space, geometry between two, and vectors that are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shadowproxy.compare.vectors import MAX_INPUTS, MIN_INPUTS, compare_vectors
from shadowproxy.exchange import Answer, Severity

RANDOM = np.random.default_rng(7)


def random_vectors(inputs: int, dimensions: int) -> NDArray[np.float64]:
    rows = RANDOM.normal(size=(inputs, dimensions))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def answer(rows: NDArray[np.float64], model: str | None = "a") -> Answer:
    return Answer("embeddings", embeddings=tuple(tuple(map(float, row)) for row in rows), model=model)


def kinds(primary: Answer, other: Answer) -> dict[str, Severity]:
    return {each.kind: each.severity for each in compare_vectors(primary, other).divergences}


VECTORS = random_vectors(20, 64)


def test_equal_vectors_differ_in_nothing() -> None:
    found = compare_vectors(answer(VECTORS), answer(VECTORS))
    assert found.score == pytest.approx(0.0)
    assert found.divergences == ()


def test_half_precision_is_no_difference() -> None:
    halved = VECTORS.astype(np.float16).astype(np.float64)
    assert kinds(answer(VECTORS), answer(halved)) == {}


@pytest.mark.parametrize(("cosine", "severity"), [(0.98, Severity.INFO), (0.95, Severity.MINOR), (0.5, Severity.MAJOR)])
def test_the_worst_angle_sets_the_severity(cosine: float, severity: Severity) -> None:
    aside = random_vectors(20, 64)
    aside -= np.einsum("ij,ij->i", aside, VECTORS)[:, None] * VECTORS
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    found = compare_vectors(answer(VECTORS), answer(cosine * VECTORS + math.sqrt(1 - cosine**2) * aside))
    assert found.score == pytest.approx(1 - cosine)
    assert [(each.kind, each.severity) for each in found.divergences] == [("vectors.cosine", severity)]


def test_one_wrong_vector_among_many_is_pointed_at() -> None:
    wrong = VECTORS.copy()
    wrong[13] = -wrong[13]
    found = compare_vectors(answer(VECTORS), answer(wrong))
    [cosine] = found.divergences
    assert cosine.path == "$.data[13].embedding"
    assert found.score == pytest.approx(0.1)


def test_another_model_with_the_same_geometry_scores_low() -> None:
    rotation, _ = np.linalg.qr(RANDOM.normal(size=(64, 64)))
    found = compare_vectors(answer(VECTORS), answer(VECTORS @ rotation, model="b"))
    assert found.score == pytest.approx(0.0, abs=1e-6)
    assert found.divergences == ()


def test_padding_with_dimensions_keeps_the_geometry() -> None:
    wider = np.hstack((VECTORS, np.zeros((20, 8))))
    assert compare_vectors(answer(VECTORS), answer(wider)).score == pytest.approx(0.0)


def test_an_unrelated_geometry_is_major() -> None:
    found = compare_vectors(answer(VECTORS), answer(random_vectors(20, 32), model="b"))
    assert [(each.kind, each.severity) for each in found.divergences] == [("vectors.geometry", Severity.MAJOR)]
    assert found.score is not None
    assert found.score > 0.6


def test_the_same_space_under_another_name_is_compared_by_angle() -> None:
    assert compare_vectors(answer(VECTORS[:2], "bge-m3"), answer(VECTORS[:2], "bge-m3-fp16")).score == pytest.approx(0.0)


def test_too_few_inputs_in_two_spaces_abstain() -> None:
    few = MIN_INPUTS - 1
    found = compare_vectors(answer(random_vectors(few, 8)), answer(random_vectors(few, 4)))
    assert found.score is None
    assert [(each.kind, each.severity) for each in found.divergences] == [("vectors.incomparable", Severity.INFO)]


def test_inputs_that_are_all_equal_have_no_geometry() -> None:
    same = np.ones((8, 4))
    assert compare_vectors(answer(same), answer(random_vectors(8, 3))).score is None


def test_another_number_of_vectors_is_critical() -> None:
    assert kinds(answer(VECTORS), answer(VECTORS[:-1])) == {"vectors.count": Severity.CRITICAL}
    assert kinds(answer(VECTORS), Answer("embeddings")) == {"vectors.count": Severity.CRITICAL}


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf, -math.inf])
def test_vectors_without_direction_are_invalid(bad: float) -> None:
    broken = VECTORS.copy()
    broken[5] = bad
    found = compare_vectors(answer(VECTORS), answer(broken))
    assert found.score == 1.0
    assert [(each.kind, each.severity, each.path) for each in found.divergences] == [
        ("vectors.invalid", Severity.CRITICAL, "$.data[5].embedding")
    ]
    back = compare_vectors(answer(broken), answer(VECTORS))
    assert back.score is None
    assert [each.severity for each in back.divergences] == [Severity.MINOR]


def test_ragged_vectors_are_invalid() -> None:
    ragged = Answer("embeddings", embeddings=((1.0, 0.0), (1.0,)), model="a")
    assert kinds(answer(VECTORS[:2, :2]), ragged) == {"vectors.invalid": Severity.CRITICAL}


def test_vectors_that_are_no_longer_unit_are_named() -> None:
    assert kinds(answer(VECTORS), answer(VECTORS * 3)) == {"vectors.norm": Severity.INFO}


def test_no_vectors_is_nothing_to_compare() -> None:
    assert compare_vectors(Answer("chat"), Answer("chat")).score is None


@pytest.mark.timeout(30)
def test_the_largest_batch_is_sampled() -> None:
    rows = random_vectors(2048, 3072)
    found = compare_vectors(answer(rows), answer(rows[:, :1024], model="b"))
    assert found.score is not None
    assert len(rows) > MAX_INPUTS


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
ROWS = st.lists(st.lists(NUMBERS, max_size=4).map(tuple), max_size=8).map(tuple)


@given(ROWS, ROWS, st.sampled_from(["a", "b", None]))
def test_no_numbers_raise_and_every_score_is_bounded(
    one: tuple[tuple[float, ...], ...], two: tuple[tuple[float, ...], ...], model: str | None
) -> None:
    found = compare_vectors(Answer("embeddings", embeddings=one, model="a"), Answer("embeddings", embeddings=two, model=model))
    assert found.score is None or 0.0 <= found.score <= 1.0
