"""Vectors in every shape that servers send them."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.exchange import Answer, ReplyError, Usage
from tests.wire.samples import read

PATH = "/v1/embeddings"
A, B = (0.5, -1.0), (2.0, 0.25)


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@pytest.mark.parametrize(
    ("target", "body"),
    [
        pytest.param(PATH, {"data": [{"index": 0, "embedding": A}, {"index": 1, "embedding": B}]}, id="OpenAI"),
        pytest.param(PATH, {"data": [{"index": 1, "embedding": B}, {"index": 0, "embedding": A}]}, id="out of order"),
        pytest.param(PATH, {"data": [{"embedding": A}, {"embedding": B}]}, id="without index"),
        pytest.param(PATH, {"data": [{"index": 0, "embedding": packed(*A)}, {"index": 1, "embedding": packed(*B)}]}, id="base64"),
        pytest.param("/embed", [A, B], id="text-embeddings-inference"),
        pytest.param("/api/embed", {"model": "m", "embeddings": [A, B], "prompt_eval_count": 4}, id="Ollama"),
        pytest.param("/v1/embed", {"id": "x", "embeddings": [A, B], "texts": ["a", "b"]}, id="Cohere 1"),
        pytest.param("/v2/embed", {"id": "x", "embeddings": {"int8": [[1, 2], [3, 4]], "float": [A, B]}}, id="Cohere 2"),
        pytest.param("/v2/embed", {"embeddings": {"base64": [packed(*A), packed(*B)]}}, id="Cohere base64"),
        pytest.param(PATH, [{"index": 0, "embedding": [A]}, {"index": 1, "embedding": [B]}], id="llama.cpp"),
    ],
)
def test_two_vectors(target: str, body: Any) -> None:
    answer = read(target, body)
    assert (answer.embeddings, answer.is_complete, answer.choices, answer.ttft_s) == ((A, B), True, (), 0.5)
    assert answer.unknown == ()


@pytest.mark.parametrize(
    ("target", "body"),
    [("/api/embeddings", {"embedding": A}), ("/embed", list(A)), ("/embed", [list(A)]), (PATH, {"embedding": packed(*A)})],
)
def test_one_vector(target: str, body: Any) -> None:
    assert read(target, body).embeddings == (A,)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_base64_holds_exactly_the_numbers_that_were_packed(numbers: list[float]) -> None:
    assert read(PATH, {"data": [{"embedding": packed(*numbers)}]}).embeddings == (tuple(numbers),)


@pytest.mark.parametrize(
    "spoilt",
    [
        None,
        7,
        "",
        "!",
        "AAA",
        "\u00fc",
        [None],
        ["x"],
        [True, 1.0],
        [[1.0], [2.0]],
        {},
        packed(float("nan")),
        packed(float("inf")),
        [10**400],
    ],
)
def test_what_is_no_vector_leaves_the_others_in_their_places(spoilt: Any) -> None:
    body = str({"data": [{"embedding": [1.5]}, {"embedding": spoilt}, {"embedding": [2.5]}]})
    data = body.replace("'", '"').replace("None", "null").replace("True", "true").encode()
    answer = read(PATH, data)
    assert (answer.embeddings, answer.unknown) == (((1.5,), (), (2.5,)), ("embedding without numbers",))


def test_not_a_number_in_a_list_spoils_its_vector_alone() -> None:
    assert read(PATH, b'{"data": [{"embedding": [1.0, NaN]}, {"embedding": [Infinity]}, {"embedding": [2]}]}').embeddings == (
        (),
        (),
        (2.0,),
    )


@pytest.mark.parametrize("body", [{}, {"data": []}, [], {"data": None}, {"embeddings": {}}, {"object": "list"}])
def test_a_reply_without_vectors_is_not_complete(body: Any) -> None:
    answer = read(PATH, body)
    assert (answer.is_complete, answer.embeddings, answer.content_at_s) == (False, (), ())


@pytest.mark.parametrize(
    ("fields", "usage"),
    [
        ({"usage": {"prompt_tokens": 4, "total_tokens": 4}}, Usage(4, 0)),
        ({"prompt_eval_count": 4}, Usage(4, 0)),
        ({"meta": {"billed_units": {"input_tokens": 4}}}, Usage(4, 0)),
        ({}, None),
    ],
)
def test_usage(fields: dict[str, Any], usage: Usage | None) -> None:
    assert read(PATH, {"data": [{"embedding": A}], "model": "m", **fields}) == Answer(
        "embeddings", usage=usage, model="m", embeddings=(A,), content_at_s=(0.5,)
    )


def test_an_error_in_a_successful_reply() -> None:
    answer = read("/embed", {"error": "overloaded", "error_type": "overloaded"})
    assert (answer.error, answer.embeddings) == (ReplyError("overloaded"), ())
