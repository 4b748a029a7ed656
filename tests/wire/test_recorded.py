"""Traffic recorded from real servers of many makers. The recordings are no part of this project; without them these tests skip."""

from __future__ import annotations

import base64
import functools
import gzip
import importlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import openai
import orjson
import pytest
import yaml

from shadowproxy.exchange import Answer, Headers, Outcome, Reply, Request
from shadowproxy.wire.asked import read_asked
from shadowproxy.wire.detect import detect_dialect, read_body
from shadowproxy.wire.reading import dialect_of, outcome_of, read_answer
from shadowproxy.wire.sse import SseDecoder

_RECORDINGS = (Path(__file__).resolve().parents[2] / "../shared/data/protocol").resolve()

pytestmark = pytest.mark.skipif(not _RECORDINGS.is_dir(), reason="recorded traffic (../shared/data/protocol) is not there")


@dataclass(frozen=True)
class Recording:
    name: str
    request: Request
    reply: Reply

    @property
    def is_stream(self) -> bool:
        return (self.reply.header(b"content-type") or b"").startswith(b"text/event-stream")

    @property
    def answer(self) -> Answer:
        return read_answer(self.request, self.reply)


class _Loader(yaml.SafeLoader):
    """YAML with the Ruby tag for bytes."""


_Loader.add_constructor("!binary", lambda _, node: base64.b64decode(cast("str", node.value)))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode()


def _headers(found: dict[str, Any]) -> Headers:
    pairs = ((name.lower().encode(), values if isinstance(values, list) else [values]) for name, values in found.items())
    return tuple((name, _bytes(value)) for name, values in pairs for value in values)


def _recording(name: str, target: str, sent: bytes, status: int, headers: dict[str, Any], body: bytes) -> Recording:
    return Recording(name, Request("POST", target, (), sent), Reply(status, _headers(headers), ((1.0, body),)))


def _of_cassette(path: Path) -> list[Recording]:
    """Two recorders wrote these files: go-vcr (``interactions``) and VCR for Ruby (``http_interactions``)."""
    found = yaml.load(gzip.decompress(path.read_bytes()), _Loader)
    recordings = []
    for at, item in enumerate(found.get("interactions", ())):
        asked, replied = item["request"], item["response"]
        name = f"{path.name}#{at}"
        recordings.append(
            _recording(name, asked["url"], _bytes(asked["body"]), replied["code"], replied["headers"], _bytes(replied["body"]))
        )
    for at, item in enumerate(found.get("http_interactions", ())):
        asked, replied = item["request"], item["response"]
        body = _bytes(replied["body"].get("string"))
        sent = _bytes(asked["body"].get("string"))
        recordings.append(_recording(f"{path.name}#{at}", asked["uri"], sent, replied["status"]["code"], replied["headers"], body))
    return recordings


#: What the first chunk of a recording begins with or holds → where it was asked for.
_CHUNKS = (
    (b"chat.completion", "/v1/chat/completions"),
    (b"text_completion", "/v1/completions"),
    (b'"response.created"', "/v1/responses"),
    (b'"type":"message_start"', "/v1/messages"),
)


def _of_chunks(path: Path) -> list[Recording]:
    """One JSON chunk a line; only those of dialects known here. The stream around them is ours."""
    lines = [line for line in gzip.decompress(path.read_bytes()).splitlines() if line]
    target = next((target for mark, target in _CHUNKS if mark in lines[0]), None)
    if target is None:
        return []
    ends = [b"[DONE]"] if "completions" in target else []
    starts = [at for at, line in enumerate(lines) if at and b'"type":"response.created"' in line]  # one file may hold several streams
    recordings = []
    for start, end in itertools.pairwise([0, *starts, len(lines)]):
        body = b"".join(b"data: %s\n\n" % line for line in (*lines[start:end], *ends))
        recordings.append(_recording(f"{path.name}#{start}", target, b"{}", 200, {"Content-Type": "text/event-stream"}, body))
    return recordings


@functools.cache
def _recordings() -> tuple[Recording, ...]:
    cassettes = [recording for path in sorted(_RECORDINGS.glob("*/*.y*ml.gz")) for recording in _of_cassette(path)]
    chunks = [recording for path in sorted(_RECORDINGS.glob("*/*.chunks.txt.gz")) for recording in _of_chunks(path)]
    return (*cassettes, *chunks)


def _chats(wanted: Callable[[Recording], bool]) -> list[Recording]:
    found = [recording for recording in _recordings() if dialect_of(recording.request.target) == "chat" and wanted(recording)]
    assert found, "the recordings hold none of these any more"
    return found


def _streams() -> list[Recording]:
    return _chats(lambda recording: recording.is_stream and recording.reply.status == 200)


def _has_content(answer: Answer) -> bool:
    return any(choice.text or choice.tool_calls or choice.reasoning for choice in answer.choices)


def test_every_recorded_chat_stream_has_a_meaning() -> None:
    for recording in _streams():
        answer = recording.answer
        # A short max_tokens may be spent before the first visible token.
        assert _has_content(answer) or answer.error or answer.first.finish_reason == "length", recording.name
        assert answer.is_streamed, recording.name
        assert answer.is_complete, recording.name
        assert answer.model, recording.name
        assert bool(answer.content_at_s) is _has_content(answer), recording.name
        assert outcome_of(recording.reply, answer) is Outcome.OK, recording.name


def test_every_recorded_stream_that_was_asked_for_usage_has_it() -> None:
    asked = [recording for recording in _streams() if b"include_usage" in recording.request.body]
    assert len(asked) > 10
    assert [recording.name for recording in asked if recording.answer.usage is None] == []


def test_every_recorded_whole_chat_reply_has_a_meaning() -> None:
    for recording in _chats(lambda recording: not recording.is_stream and recording.reply.status == 200):
        answer = recording.answer
        assert _has_content(answer) or answer.first.finish_reason == "length", recording.name
        assert answer.usage is not None, recording.name
        assert outcome_of(recording.reply, answer) is Outcome.OK, recording.name


def test_every_recorded_failure_says_what_is_wrong() -> None:
    for recording in _chats(lambda recording: recording.reply.status >= 400):
        answer = recording.answer
        assert answer.error is not None, recording.name
        assert len(answer.error.message) > 10, recording.name
        assert not answer.error.message.startswith("{"), recording.name
        assert outcome_of(recording.reply, answer) is Outcome.HTTP_ERROR, recording.name


def test_every_recorded_tool_call_has_a_name_and_json_arguments() -> None:
    calls = [(recording.name, call) for recording in _recordings() for choice in recording.answer.choices for call in choice.tool_calls]
    assert len(calls) > 40
    for name, call in calls:
        assert call.name, name
        if "custom-tool" not in name:  # what a custom tool takes is free text
            assert isinstance(orjson.loads(call.arguments or "{}"), dict), name


def test_every_recorded_reply_of_any_protocol_is_read_without_trouble() -> None:
    for recording in _recordings():
        answer = recording.answer
        assert answer.error is None or answer.error.type != "undecodable", recording.name
        assert (answer.error is not None) is (recording.reply.status >= 400 or "openai-error" in recording.name), recording.name


#: Recordings that are wrong themselves: a request for which no answer came, and a last chunk whose JSON is not closed.
_BROKEN = ("openai-error", "parallel-tool-call-wrapper")
#: Recorded requests without words: no messages, one without content, and prompts
#: that are empty or given as tokens.
_WORDLESS = ("chat-no-messages", "chat-bad-request", "completion-bad-request", "completion-token")


def _others() -> list[Recording]:
    """Successful streams of the dialects besides chat."""
    found = [recording for recording in _recordings() if recording.is_stream and dialect_of(recording.request.target) != "chat"]
    assert len(found) > 90
    return [recording for recording in found if not any(name in recording.name for name in _BROKEN)]


def test_every_other_recorded_stream_has_a_meaning_and_an_end() -> None:
    for recording in _others():
        answer = recording.answer
        assert answer.dialect == dialect_of(recording.request.target), recording.name
        assert (answer.is_streamed, answer.is_complete) == (True, True), recording.name
        assert answer.model, recording.name
        assert answer.first.finish_reason, recording.name
        assert bool(answer.content_at_s) is (_has_content(answer) or bool(answer.first.media)), recording.name
        assert outcome_of(recording.reply, answer) is Outcome.OK, recording.name


def test_every_other_recorded_stream_has_its_usage() -> None:
    assert [recording.name for recording in _others() if recording.answer.usage is None and b'"usage":{' in recording.reply.body] == []


def test_every_other_recorded_stream_means_the_same_however_it_is_cut() -> None:
    for recording in _others():
        body, expected = recording.reply.body, recording.answer
        step = max(1, len(body) // 40)
        for size in (step, step + 1, 7) if len(body) < 20_000 else (step,):
            reads = tuple((1.0, body[at : at + size]) for at in range(0, len(body), size))
            assert read_answer(recording.request, Reply(200, recording.reply.headers, reads)) == expected, (recording.name, size)


def test_a_recorded_response_says_what_its_last_event_says() -> None:
    """The pieces of a stream, put together, are the whole response that it ends with. Others are shortened by hand."""
    found = [recording for recording in _others() if "responses" in recording.request.target and ".yml" in recording.name]
    assert len(found) > 15
    for recording in found:
        (last,) = (line for line in recording.reply.body.splitlines() if line.startswith(b"data: ") and b'"response.completed"' in line)
        response = orjson.dumps(orjson.loads(last[6:])["response"])
        whole = read_answer(recording.request, Reply(200, ((b"content-type", b"application/json"),), ((1.0, response),)))
        assert recording.answer.choices == whole.choices, recording.name
        assert (recording.answer.usage, recording.answer.model) == (whole.usage, whole.model), recording.name


def test_every_recorded_body_tells_its_dialect() -> None:
    for recording in _recordings():
        if recording.reply.status == 200:
            found = detect_dialect(recording.reply.body, is_stream=recording.is_stream)
            assert found == dialect_of(recording.request.target), recording.name
            answer = read_body("", recording.reply.body, is_stream=recording.is_stream)
            assert replace(recording.answer, content_at_s=()) == replace(answer, content_at_s=()), recording.name


def test_every_recorded_request_says_what_it_asks() -> None:
    asked = [(recording, read_asked(recording.request)) for recording in _recordings() if len(recording.request.body) > 2]
    assert len(asked) > 100
    for recording, found in asked:
        body = orjson.loads(recording.request.body)
        assert found.model == (body.get("model") or "gpt-5-nano"), recording.name
        assert found.is_streamed is bool(body.get("stream")), recording.name
        assert len(found.tools) == len(body.get("tools", ())), recording.name
        assert bool(found.question) is not recording.name.startswith(_WORDLESS), recording.name
        assert found.question in found.prompt, recording.name


def test_recorded_event_streams_decode_alike_when_cut_at_every_single_byte() -> None:
    streams = sorted((recording for recording in _recordings() if recording.is_stream), key=lambda recording: len(recording.reply.body))
    for recording in streams[:12]:
        body = recording.reply.body
        expected = SseDecoder().feed(body)
        assert expected, recording.name
        for at in range(len(body) + 1):
            decoder = SseDecoder()
            assert decoder.feed(body[:at]) + decoder.feed(body[at:]) == expected, (recording.name, at)


def test_recorded_chat_streams_mean_the_same_when_cut_at_every_single_byte() -> None:
    shortest = sorted(_streams(), key=lambda recording: len(recording.reply.body))[:8]
    for recording in shortest:
        body, expected = recording.reply.body, recording.answer
        for at in range(len(body) + 1):
            reads = ((1.0, body[:at]), (1.0, body[at:]))
            reply = Reply(recording.reply.status, recording.reply.headers, reads)
            assert read_answer(recording.request, reply) == expected, (recording.name, at)


def test_every_recorded_chat_stream_means_the_same_byte_by_byte() -> None:
    for recording in _streams():
        reads = tuple((1.0, recording.reply.body[at : at + 1]) for at in range(len(recording.reply.body)))
        assert read_answer(recording.request, Reply(200, recording.reply.headers, reads)) == recording.answer, recording.name


def test_a_recorded_stream_that_is_cut_off_is_not_complete() -> None:
    for recording in _streams():
        half = recording.reply.body[: len(recording.reply.body) // 2]
        if b'"finish_reason":"' in half:
            continue  # the other half held only usage
        reply = Reply(200, recording.reply.headers, ((1.0, half),))
        answer = read_answer(recording.request, reply)
        assert outcome_of(reply, answer) is Outcome.STREAM_ERROR, recording.name
        assert recording.answer.text.startswith(answer.text), recording.name


# --- the same streams through the official client -----------------------------------------------------------------------------


@dataclass
class _Assembled:
    """What a user of the openai client puts together by hand from the chunks it yields."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    finish_reason: str | None = None
    usage: tuple[int, int] | None = None
    calls: dict[int | None, list[str]] = field(default_factory=dict)


def _client(body: bytes) -> openai.OpenAI:
    """The client with a transport that answers every request with ``body``."""
    http: Any = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__)  # its HTTP library has changed between versions
    transport = http.MockTransport(lambda _: http.Response(200, headers={"content-type": "text/event-stream"}, content=body))
    return openai.OpenAI(api_key="none", base_url="http://recorded/v1", http_client=http.Client(transport=transport))


def _assembled(body: bytes) -> _Assembled:
    found = _Assembled()
    with _client(body) as client:
        for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
            if chunk.usage:
                found.usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            for choice in chunk.choices:
                _assemble(found, choice)
    return found


def _assemble(found: _Assembled, choice: Any) -> None:
    delta = choice.delta
    found.text += delta.content or ""
    found.refusal += delta.refusal or ""
    found.reasoning += getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None) or ""
    found.finish_reason = choice.finish_reason or found.finish_reason
    for piece in delta.tool_calls or ():
        call = found.calls.setdefault(getattr(piece, "index", None), ["", "", ""])
        call[0] = call[0] or piece.id or ""
        call[1] += piece.function.name or ""
        call[2] += piece.function.arguments or ""


def test_recorded_streams_say_what_the_openai_client_makes_of_them() -> None:
    plain = [recording for recording in _streams() if b'"content":[' not in recording.reply.body]  # the client's types know no lists there
    assert len(plain) > 20
    for recording in plain:
        theirs, ours = _assembled(recording.reply.body), recording.answer
        assert (ours.text, ours.first.reasoning) == (theirs.text, theirs.reasoning), recording.name
        assert (ours.first.refusal or "", ours.first.finish_reason) == (theirs.refusal, theirs.finish_reason), recording.name
        assert (ours.usage and (ours.usage.prompt_tokens, ours.usage.completion_tokens)) == theirs.usage, recording.name
        if None not in theirs.calls:  # a server that gives no index leaves its users alone with the merging
            calls = [[call.id or "", call.name, call.arguments] for call in ours.first.tool_calls]
            assert calls == [call for _, call in sorted(theirs.calls.items(), key=lambda item: item[0] or 0)], recording.name
