"""Which dialect a body is in when nothing else is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.exchange import Answer, ReplyError
from shadowproxy.wire.decoded import MAX_EVENT_BYTES
from shadowproxy.wire.detect import MAX_ASKED_EVENTS, detect_dialect, read_body
from shadowproxy.wire.reading import READERS
from tests.wire.samples import IDS, JSON, SAMPLES, STREAM, Sample, event, events, lines


@pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
def test_a_body_tells_its_dialect_and_says_the_same_as_with_its_path(sample: Sample) -> None:
    is_stream = sample.header != JSON
    assert detect_dialect(sample.body, is_stream=is_stream) == sample.dialect
    expected = sample.read()
    for dialect in ("", sample.dialect):
        found = read_body(dialect, sample.body, is_stream=is_stream)
        assert found == replace(expected, content_at_s=(0.0,) * len(expected.content_at_s))


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.header == STREAM])
def test_what_stands_before_the_first_telling_event_does_not_matter(sample: Sample) -> None:
    noise = b"\xef\xbb\xbf: hello\n\n" + event({"error": "x"}) + event("no json") + event({"prompt_filter_results": []})
    assert detect_dialect(noise + sample.body, is_stream=True) == sample.dialect
    assert detect_dialect(event("x") * MAX_ASKED_EVENTS + sample.body, is_stream=True) == "generic"


@pytest.mark.parametrize(
    ("body", "dialect"),
    [
        ({"choices": [], "usage": {}}, "chat"),
        ({"choices": [{"delta": {}}]}, "chat"),
        ({"output": [], "status": "completed"}, "responses"),
        ({"content": [], "stop_reason": "end_turn"}, "messages"),
        ({"embeddings": [[1.0]], "prompt_eval_count": 1}, "embeddings"),
        ({"data": [{"index": 0, "score": 1}]}, "rerank"),
        ([{"generated_text": "a"}], "generate"),
        ({"text": "a", "meta_info": {}}, "generate"),
        ({"predictions": [1]}, "predict"),
        ({"error": {"message": "bad"}}, "generic"),
        ({"text": "a"}, "generic"),
        ({"content": "a"}, "generic"),
        ({"data": []}, "generic"),
        ([], "generic"),
        ([[]], "generic"),
        ([["a"]], "generic"),
        (7, "generic"),
    ],
)
def test_bodies_that_tell_and_that_do_not(body: Any, dialect: str) -> None:
    assert detect_dialect(orjson.dumps(body), is_stream=False) == dialect


def test_what_tells_nothing_is_read_as_any_other_reply() -> None:
    assert read_body("", b'{"b": 1, "a": 2}', is_stream=False).text == '{"a":2,"b":1}'
    assert read_body("", b"plain words", is_stream=False).text == "plain words"
    assert read_body("", b"", is_stream=False).text == ""
    assert read_body("", b'{"error": {"message": "bad"}}', is_stream=False, status=500).error == ReplyError("bad")


def test_the_status_counts() -> None:
    assert read_body("chat", b'{"error": "bad"}', is_stream=False, status=429) == Answer("chat", error=ReplyError("bad"))


def test_a_dialect_that_is_not_known_is_refused() -> None:
    with pytest.raises(KeyError):
        read_body("telnet", b"{}", is_stream=False)


def test_lines_need_no_event_stream() -> None:
    body = lines({"message": {"content": "a"}, "done": False}, {"message": {"content": "b"}, "done": True})
    answer = read_body("", body, is_stream=True)
    assert (answer.dialect, answer.text, answer.is_complete) == ("ollama", "ab", True)


def test_giants_are_an_error_and_not_raised() -> None:
    giant = b"data: " + b"x" * MAX_EVENT_BYTES
    assert detect_dialect(giant, is_stream=True) == "generic"
    error = read_body("chat", giant, is_stream=True).error
    assert error is not None
    assert (error.type, error.code) == ("undecodable", "too_large")


@settings(deadline=None)
@given(st.binary(max_size=200) | st.sampled_from([sample.body for sample in SAMPLES]), st.booleans(), st.sampled_from([*READERS, ""]))
def test_any_body_can_be_read_in_any_dialect(body: bytes, is_stream: bool, dialect: str) -> None:
    assert isinstance(read_body(dialect, body, is_stream=is_stream), Answer)


def test_deep_bodies_tell_nothing_and_are_survived() -> None:
    for body in (b"[" * 100_000, b'{"choices":' * 50_000, events("[" * 100_000)):
        for is_stream in (True, False):
            assert detect_dialect(body, is_stream=is_stream) == "generic"
