"""Rankings in every shape that servers send them, and what is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.exchange import Ranked, Usage
from tests.wire.samples import read

BEST_FIRST = (Ranked(1, 0.9), Ranked(0, 0.25), Ranked(2, -3.0))
LINES = [(0, 0.25), (1, 0.9), (2, -3.0)]


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/rerank", {"results": [{"index": at, "relevance_score": score, "document": {"text": "x"}} for at, score in LINES]}),
        ("/v2/rerank", {"id": "x", "results": [{"index": at, "relevance_score": score} for at, score in LINES], "meta": {}}),
        ("/openai/v1/rerank", {"data": [{"index": at, "relevance_score": score} for at, score in reversed(LINES)], "object": "list"}),
        ("/rerank", [{"index": at, "score": score, "text": "x"} for at, score in LINES]),
        ("/v1/score", {"data": [{"index": at, "object": "score", "score": score} for at, score in LINES], "model": "m"}),
        ("/score", [score for _, score in LINES]),
        ("/score", {"scores": [score for _, score in LINES]}),
        ("/rerank", [{"score": score} for _, score in LINES]),
    ],
)
def test_a_ranking_stands_best_first(target: str, body: Any) -> None:
    answer = read(target, body)
    assert (answer.dialect, answer.ranking, answer.is_complete, answer.ttft_s, answer.unknown) == ("rerank", BEST_FIRST, True, 0.5, ())


def test_equal_scores_stand_in_order_of_the_documents() -> None:
    assert [line.index for line in read("/rerank", [{"index": at, "score": 1} for at in (2, 0, 1)]).ranking] == [0, 1, 2]


@given(st.permutations(LINES))
def test_the_order_of_the_lines_says_nothing(order: list[tuple[int, float]]) -> None:
    assert read("/rerank", [{"index": at, "score": score} for at, score in order]).ranking == BEST_FIRST


@pytest.mark.parametrize("score", [b"null", b'"0.5"', b"true", b"NaN", b"Infinity", b"1" + b"0" * 400, b"[]", b"{}"])
def test_a_line_without_a_score_makes_the_ranking_incomplete(score: bytes) -> None:
    answer = read("/rerank", b'[{"index": 0, "score": 1}, {"index": 1, "score": %s}]' % score)
    assert (answer.ranking, answer.is_complete) == ((Ranked(0, 1.0),), False)


def test_no_documents_are_ranked_completely() -> None:
    answer = read("/v1/rerank", {"results": []})
    assert (answer.dialect, answer.ranking, answer.is_complete) == ("rerank", (), True)


def test_usage_and_model() -> None:
    answer = read("/v1/rerank", {"model": "m", "results": [], "usage": {"prompt_tokens": 4, "total_tokens": 4}})
    assert (answer.model, answer.usage) == ("m", Usage(4, 0))


@pytest.mark.parametrize("body", [{"prediction": [1]}, {"results": "x"}, {"data": [{"name": "x"}]}, [{"label": "x"}]])
def test_other_models_answer_at_these_paths_too(body: Any) -> None:
    answer = read("/score", body)
    assert (answer.dialect, answer.error, answer.is_complete) == ("json", None, True)
