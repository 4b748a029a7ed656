"""What holds for every dialect alike: cuts change nothing, strangers change nothing, and no body is too much."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.exchange import Answer, Outcome, Reply
from shadowproxy.wire.decoded import MAX_EVENT_BYTES
from shadowproxy.wire.drafts import MAX_CHOICES
from shadowproxy.wire.embeddings import MAX_NUMBERS
from shadowproxy.wire.loose_json import MAX_UNKNOWN_NAMES
from shadowproxy.wire.reading import READERS, outcome_of
from shadowproxy.wire.rerank import MAX_LINES
from tests.wire.samples import IDS, JSON, LINES, SAMPLES, STREAM, Sample, event, events, lines, read, read_all

EVERY = pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
STREAMED = pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.header != JSON])


def test_every_dialect_has_a_sample() -> None:
    assert {sample.dialect for sample in SAMPLES} | {"generic"} == set(READERS)


@EVERY
def test_a_sample_says_what_it_says(sample: Sample) -> None:
    answer = sample.read()
    assert (answer.dialect, answer.text, answer.error, answer.is_complete) == (sample.dialect, sample.text, None, True)
    assert answer.is_streamed is (sample.header != JSON)
    assert answer.unknown == ()
    assert outcome_of(Reply(200, (), ()), answer) is Outcome.OK
    assert answer.text or answer.embeddings or answer.ranking or answer.first.media
    assert answer.ttft_s == 0.5


@EVERY
def test_no_cut_changes_what_a_sample_says(sample: Sample) -> None:
    expected = sample.read()
    for at in range(len(sample.body) + 1):
        assert sample.read(sample.body[:at], sample.body[at:]) == expected, at
    assert sample.read(*(sample.body[at : at + 1] for at in range(len(sample.body)))) == expected


@STREAMED
def test_a_sample_that_is_cut_off_is_not_complete(sample: Sample) -> None:
    """Within its last event: what marks the end, or in a stream without marks the last words, did not come."""
    answer = sample.read(sample.body.rstrip()[:-4])
    if sample.read().first.finish_reason is None or answer.first.finish_reason is None:
        assert not answer.is_complete


@EVERY
def test_every_line_end_of_the_standard_means_the_same(sample: Sample) -> None:
    if sample.header == STREAM:
        for end in (b"\r\n", b"\r"):
            assert sample.read(sample.body.replace(b"\n", end)) == sample.read()


@EVERY
@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_a_failed_request_says_why(sample: Sample, status: int) -> None:
    for body in (b'{"error": {"message": "bad"}}', b'{"error": "bad"}', b"bad", event({"error": {"message": "bad"}}, "error")):
        header = sample.header if body.startswith(b"event") else JSON
        if body.startswith(b"event") and header != STREAM:
            continue
        answer = read_all(sample.target, ((0.5, body),), (header,), status)
        assert answer.error is not None
        assert answer.error.message == "bad"


@EVERY
def test_an_error_in_a_successful_reply_is_an_error(sample: Sample) -> None:
    body = orjson.dumps({"error": {"message": "bad", "type": "t", "code": 7}})
    for answer in (read(sample.target, body), read(sample.target, event(orjson.loads(body)), STREAM)):
        if answer.dialect in READERS:
            assert answer.error is not None
            assert (answer.error.message, answer.error.type, answer.error.code) == ("bad", "t", "7")
            assert outcome_of(Reply(200, (), ()), answer) is Outcome.STREAM_ERROR


@EVERY
@pytest.mark.parametrize("body", [b"<html>", b'{"a": ', b"7", b'"x"', b"\xff\xfe", b"null"])
def test_a_body_that_is_no_json_never_counts_as_an_answer_of_its_dialect(sample: Sample, body: bytes) -> None:
    answer = read(sample.target, body)
    assert answer.dialect in ("json", "text", "bytes") or (answer.error is not None and answer.error.type == "undecodable")


# --- strangers --------------------------------------------------------------------------------------------------------------


def _with_strangers(value: Any, stranger: Any) -> Any:
    """``value`` with a field nobody knows in every object, after the known ones and before them."""
    if isinstance(value, list):
        return [_with_strangers(item, stranger) for item in value]
    if isinstance(value, dict):
        return {"x_new": stranger, **{name: _with_strangers(item, stranger) for name, item in value.items()}, "x_last": stranger}
    return value


def _meaning(answer: Answer) -> tuple[Any, ...]:
    return (answer.dialect, answer.choices, answer.usage, answer.error, answer.model, answer.embeddings, answer.ranking, answer.is_complete)


@EVERY
@pytest.mark.parametrize("stranger", [None, 7, "error", [], {"content": "x", "text": "y", "error": "z"}, [{"delta": "x"}]])
def test_unknown_fields_never_change_the_meaning(sample: Sample, stranger: Any) -> None:
    if sample.dialect == "infer":
        stranger = None  # all of a tensor is compared, so a new field within one may count
    if sample.header == JSON:
        body = orjson.dumps(_with_strangers(orjson.loads(sample.body), stranger))
    elif sample.header == LINES:
        body = lines(*(_with_strangers(orjson.loads(line), stranger) for line in sample.body.splitlines()))
    else:
        found = [part.partition(b"data: ") for part in sample.body.split(b"\n\n") if part]
        body = b"".join(
            head + mark + (data if data == b"[DONE]" else orjson.dumps(_with_strangers(orjson.loads(data), stranger))) + b"\n\n"
            for head, mark, data in found
        )
    assert _meaning(sample.read(body)) == _meaning(sample.read())


@STREAMED
def test_unknown_events_and_comments_never_change_the_meaning(sample: Sample) -> None:
    if sample.header == STREAM:
        noise = b": keep-alive\n\n" + event({"type": "x.new", "delta": "x", "x": 1}, "x.new") + event("no json") + event("7")
        answer = sample.read(noise + sample.body)
        assert _meaning(answer) == _meaning(sample.read())
        assert answer.unknown


# --- hostile bodies ---------------------------------------------------------------------------------------------------------

_WORDS = [
    *("choices", "delta", "message", "content", "text", "tool_calls", "function", "name", "arguments", "input", "id", "call_id", "index"),
    *("finish_reason", "usage", "error", "type", "code", "model", "object", "output", "output_index", "item", "item_id", "response"),
    *("content_block", "partial_json", "thinking", "stop_reason", "summary", "result", "data", "embedding", "embeddings", "results"),
    *("score", "relevance_score", "scores", "predictions", "outputs", "datatype", "shape", "token", "special", "generated_text"),
    *("text_output", "details", "meta_info", "done", "done_reason", "images", "audio", "transcript", "b64_json", "url", "status"),
    *("incomplete_details", "reason", "best_of_sequences", "prefill", "stop_details", "float", "action", "operation", "role"),
]
_TYPES = [
    *("message", "text", "thinking", "tool_use", "error", "BYTES", "FP32", "image_url", "refusal", "message_start", "message_delta"),
    *("content_block_start", "content_block_delta", "text_delta", "input_json_delta", "message_stop", "reasoning", "function_call"),
    *("response.created", "response.output_item.added", "response.output_item.done", "response.output_text.delta", "response.completed"),
    *("response.failed", "image_generation_call", "shell_call", "speech.audio.delta", "speech.audio.done", "image_generation.completed"),
]
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.sampled_from(_TYPES)
    | st.sampled_from(["AAAAPw==", "data:image/png;base64,aGk=", "https://x/y.png"])
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=5),
    max_leaves=25,
)
_EVENTS = st.lists(st.dictionaries(st.sampled_from(_WORDS), _JSON, max_size=4) | _JSON, max_size=5)
_RAW = st.sampled_from([b"[DONE]", b"", b"x", b'{"text":"\\ud83c"}', b'{"type":"message_stop"}', b'{"error":"\\ud800"}'])


@st.composite
def _bodies(draw: st.DrawFn) -> tuple[tuple[bytes, bytes], bytes]:
    header = draw(st.sampled_from([JSON, STREAM, LINES]))
    if header == JSON:
        return header, orjson.dumps(draw(_JSON)) if draw(st.booleans()) else draw(st.binary(max_size=60))
    values = [*map(orjson.dumps, draw(_EVENTS)), *draw(st.lists(_RAW, max_size=3))]
    values = draw(st.permutations(values))
    return header, b"".join(b"data: %s\n\n" % value if header == STREAM else value + b"\n" for value in values)


def _cut(body: bytes, cuts: list[int]) -> tuple[bytes, ...]:
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    return tuple(body[start:end] for start, end in itertools.pairwise(places))


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(SAMPLES), st.sampled_from([200, 200, 200, 400]), _bodies(), st.lists(st.integers(0, 300), max_size=20))
def test_no_body_raises_and_no_cut_changes_it(
    sample: Sample, status: int, sent: tuple[tuple[bytes, bytes], bytes], cuts: list[int]
) -> None:
    header, body = sent
    answer = read_all(sample.target, ((0.5, body),) if body else (), (header,), status)
    again = read_all(sample.target, tuple((0.5, piece) for piece in _cut(body, cuts)), (header,), status)
    assert again == answer
    assert orjson.dumps(answer), "every part of an answer can be encoded"
    assert outcome_of(Reply(status, (), ()), answer) in (Outcome.OK, Outcome.HTTP_ERROR, Outcome.STREAM_ERROR)
    assert len(answer.unknown) <= MAX_UNKNOWN_NAMES


@EVERY
def test_deep_nesting_is_survived(sample: Sample) -> None:
    deep = b"[" * 100_000
    shallow = b'{"choices":[],"content":' + b"[" * 900 + b"]" * 900 + b"}"
    for body in (deep, deep + b"]" * 100_000, shallow, b'{"a":' * 50_000):
        for header in (JSON, STREAM, LINES):
            assert isinstance(read_all(sample.target, ((0.5, body),), (header,)), Answer)
            assert isinstance(read_all(sample.target, ((0.5, b"data: " + body + b"\n\n"),), (header,)), Answer)


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/chat/completions", b'{"choices":[' + b"{}," * 50_000 + b"{}]}"),
        ("/v1/completions", b'{"choices":[' + b"{}," * 50_000 + b"{}]}"),
        ("/v1/messages", b'{"type":"message","content":[' + b'{"type":"tool_use"},' * 50_000 + b"{}]}"),
        ("/v1/responses", b'{"status":"completed","output":[' + b"{}," * 50_000 + b"{}]}"),
        ("/v1/models/m:predict", b'{"predictions":[' + b'"",' * 50_000 + b'""]}'),
        ("/v2/models/m/infer", b'{"outputs":[{"datatype":"BYTES","data":[' + b'"",' * 50_000 + b'""]}]}'),
        ("/generate", b'{"text":[' + b'"",' * 50_000 + b'""]}'),
        ("/v1/images/generations", b'{"data":[' + b'{"url":"x"},' * 50_000 + b"{}]}"),
    ],
)
def test_the_choices_of_one_reply_are_bounded(target: str, body: bytes) -> None:
    answer = read(target, body)
    assert len(answer.choices) <= MAX_CHOICES
    assert sum(len(choice.tool_calls) for choice in answer.choices) <= MAX_CHOICES


@pytest.mark.parametrize(
    ("target", "body"),
    [
        pytest.param("/v1/embeddings", b"[" + b"0," * MAX_NUMBERS + b"0]", id="numbers"),
        pytest.param("/rerank", b"[" + b"0," * MAX_LINES + b"0]", id="lines"),
    ],
)
def test_more_numbers_than_the_bound_are_too_large(target: str, body: bytes) -> None:
    error = read(target, body).error
    assert error is not None
    assert (error.type, error.code) == ("undecodable", "too_large")


def test_a_line_past_the_bound_is_too_large_however_it_is_cut() -> None:
    line = b"x" * (MAX_EVENT_BYTES + 1)
    for reads in ((line + b"\n{}",), (line[:100], line[100:] + b"\n{}"), (line,)):
        error = read_all("/api/chat", tuple((0.5, piece) for piece in reads), (LINES,)).error
        assert error is not None
        assert error.code == "too_large"


@pytest.mark.parametrize(
    ("target", "header", "piece", "end"),
    [
        ("/v1/completions", STREAM, event({"choices": [{"text": "ab"}]}), event("[DONE]")),
        ("/v1/responses", STREAM, event({"type": "response.output_text.delta", "delta": "ab"}), event({"type": "response.completed"})),
        (
            "/v1/messages",
            STREAM,
            event({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "ab"}}),
            event({"type": "message_stop"}),
        ),
        ("/api/generate", LINES, b'{"response":"ab"}\n', b'{"done":true}\n'),
        ("/generate_stream", STREAM, events({"text_output": "ab"}), b""),
        ("/generate_stream", STREAM, events({"token": {"text": "ab"}}), events({"generated_text": "ab" * 20_000})),
    ],
)
def test_a_long_stream_is_put_together_once(target: str, header: tuple[bytes, bytes], piece: bytes, end: bytes) -> None:
    answer = read_all(target, ((0.5, piece * 20_000 + end),), (header,))
    assert (answer.text, answer.is_complete, len(answer.content_at_s)) == ("ab" * 20_000, True, 20_000)
