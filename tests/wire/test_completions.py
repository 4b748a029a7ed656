"""OpenAI completions: text by choices, whole and in pieces."""

from __future__ import annotations

from typing import Any

import pytest

from shadowproxy.exchange import Answer, Choice, ReplyError, Usage
from tests.wire.samples import STREAM, event, events, read, read_all

PATH = "/v1/completions"


def piece(text: str = "", index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"object": "text_completion", "model": "m", "choices": [{"index": index, "text": text, "finish_reason": finish, **fields}]}


def test_a_whole_reply_in_full() -> None:
    body = piece("Hello", finish="stop", logprobs=None) | {
        "id": "cmpl-1",
        "created": 1,
        "usage": {"prompt_tokens": 3, "completion_tokens": 5},
    }
    assert read(PATH, body) == Answer("completions", (Choice("Hello", finish_reason="stop"),), Usage(3, 5), model="m", content_at_s=(0.5,))


def test_a_stream_in_full() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}
    pieces = [event(piece("Hel")), event(piece("lo")), event(piece(finish="length")), event(usage), event("[DONE]")]
    answer = read_all(PATH, tuple((float(at), each) for at, each in enumerate(pieces)), (STREAM,))
    choices = (Choice("Hello", finish_reason="length"),)
    assert answer == Answer("completions", choices, Usage(3, 5), model="m", is_streamed=True, content_at_s=(0.0, 1.0))


def test_prompts_of_a_batch_are_choices_in_order_of_their_index() -> None:
    answer = read(PATH, events(piece("b", 1), piece("a", 0), piece("b", 1, "stop"), piece("", 0, "stop")), STREAM)
    assert [choice.text for choice in answer.choices] == ["a", "bb"]
    assert answer.is_complete


def test_a_stream_without_its_end_is_not_complete() -> None:
    assert not read(PATH, events(piece("a", 0, "stop"), piece("b", 1)), STREAM).is_complete
    assert not read(PATH, {"choices": []}).is_complete


def test_an_error_within_a_choice() -> None:
    assert read(PATH, piece("a", error={"message": "bad"})).error == ReplyError("bad")


def test_unknown_fields_are_named() -> None:
    assert read(PATH, piece("a", stop_reason=None) | {"kv": 1}).unknown == ("kv", "choices.stop_reason")


@pytest.mark.parametrize("wrong", [None, 7, [], {}, "x", [7], [None]])
def test_a_wrong_type_costs_only_its_field(wrong: Any) -> None:
    for field in ("choices", "usage", "model"):
        answer = read(PATH, events(piece("a") | {field: wrong}, piece("b", finish="stop"), "[DONE]"), STREAM)
        assert "b" in answer.text
