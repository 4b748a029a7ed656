"""Where servers put their errors, and what is no error."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.exchange import ReplyError
from shadowproxy.wire.failures import MAX_MESSAGE_CHARS, failure_in, failure_of_body, failure_of_event

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "detail", "msg", "type", "code", "object"]), inner, max_size=4)
    ),
)


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "error",
        [],
        {},
        {"error": None},
        {"error": {}},
        {"error": ""},
        {"error": False},
        {"message": "hi"},
        {"object": "chat.completion"},
    ],
)
def test_no_error_is_found_where_none_is_reported(value: Any) -> None:
    assert failure_in(value) is None


@pytest.mark.parametrize(
    "value", [{"error": "x"}, {"error": {"message": "x"}}, {"error": {"message": ""}, "detail": "x"}, {"object": "error", "message": "x"}]
)
def test_a_reported_error_is_found(value: Any) -> None:
    assert failure_in(value) == ReplyError("x")


def test_an_error_without_words_shows_what_it_has() -> None:
    assert failure_in({"error": {"status": 7}}) == ReplyError('{"status":7}')
    assert failure_in({"error": 7}) == ReplyError("7")
    assert failure_of_body(502, b"") == ReplyError("status 502")
    assert failure_of_body(502, b" \n") == ReplyError("status 502")


@settings(deadline=None)
@given(_JSON, st.integers(400, 599))
def test_a_failed_request_always_has_words(value: Any, status: int) -> None:
    failure = failure_of_body(status, orjson.dumps(value))
    assert failure.message
    assert len(failure.message) <= MAX_MESSAGE_CHARS


@settings(deadline=None)
@given(st.text())
def test_any_error_event_can_be_read(data: str) -> None:
    assert orjson.dumps(failure_of_event(data))
