"""One reply of each dialect, whole and streamed, made by hand from the protocols' documents, and what each says."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Any

import orjson

from shadowproxy.exchange import Answer, Headers, Read, Reply, Request
from shadowproxy.wire.reading import read_answer

JSON = (b"content-type", b"application/json")
STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
LINES = (b"content-type", b"application/x-ndjson")


def event(value: Any, name: Any = "") -> bytes:
    """One server-sent event: text as it is, anything else as JSON."""
    head = b"event: %s\n" % str(name).encode() if name else b""
    return head + b"data: " + (value.encode() if isinstance(value, str) else orjson.dumps(value)) + b"\n\n"


def named(*values: dict[str, Any]) -> bytes:
    """A stream whose events are called what their ``type`` says."""
    return b"".join(event(value, value["type"]) for value in values)


def events(*values: Any) -> bytes:
    return b"".join(map(event, values))


def lines(*values: Any) -> bytes:
    return b"".join(orjson.dumps(value) + b"\n" for value in values)


def read(target: str, body: Any, *headers: tuple[bytes, bytes], status: int = 200) -> Answer:
    """Read ``body`` (bytes, or a value that is sent as JSON) as a reply whose only read came after 0.5 s."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return read_all(target, ((0.5, data),) if data else (), headers or (JSON,), status)


def read_all(target: str, reads: tuple[Read, ...], headers: Headers, status: int = 200) -> Answer:
    return read_answer(Request("POST", target, (), b"{}"), Reply(status, headers, reads))


@dataclass(frozen=True)
class Sample:
    dialect: str
    target: str
    body: bytes
    header: tuple[bytes, bytes] = JSON
    text: str = "Grüße 🎈"

    def read(self, *pieces: bytes) -> Answer:
        """The sample as it is, or another body in its place, each piece a read of its own at the same moment."""
        reads = tuple((0.5, piece) for piece in pieces or (self.body,) if piece)
        return read_all(self.target, reads, (self.header,))


def _responses(text: str) -> dict[str, Any]:
    message = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": []}]}
    usage = {"input_tokens": 3, "output_tokens": 5}
    return {"id": "resp_1", "object": "response", "model": "m", "status": "completed", "output": [message], "usage": usage, "error": None}


_FLOATS = base64.b64encode(struct.pack("<3f", 0.5, -1.0, 2.0)).decode()
_VECTOR = {"object": "embedding", "index": 0, "embedding": _FLOATS}

SAMPLES = [
    Sample(
        "chat",
        "/v1/chat/completions",
        orjson.dumps({"choices": [{"index": 0, "message": {"content": "Grüße 🎈"}, "finish_reason": "stop"}]}),
    ),
    Sample(
        "chat",
        "/openai/v1/chat/completions",
        events(
            {"choices": [{"index": 0, "delta": {"content": "Grüße "}}]},
            {"choices": [{"index": 0, "delta": {"content": "🎈"}, "finish_reason": "stop"}]},
            "[DONE]",
        ),
        STREAM,
    ),
    Sample("completions", "/v1/completions", orjson.dumps({"choices": [{"index": 0, "text": "Grüße 🎈", "finish_reason": "stop"}]})),
    Sample(
        "completions",
        "/openai/v1/completions",
        events({"choices": [{"index": 0, "text": "Grüße "}]}, {"choices": [{"text": "🎈", "finish_reason": "length"}]}, "[DONE]"),
        STREAM,
    ),
    Sample("responses", "/v1/responses", orjson.dumps(_responses("Grüße 🎈"))),
    Sample(
        "responses",
        "/openai/v1/responses",
        named(
            {"type": "response.created", "response": {"model": "m", "status": "in_progress", "output": []}},
            {"type": "response.output_item.added", "output_index": 0, "item": {"id": "msg_1", "type": "message", "content": []}},
            {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "msg_1", "delta": "Grüße "},
            {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "msg_1", "delta": "🎈"},
            {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "item_id": "msg_1", "text": "Grüße 🎈"},
            {"type": "response.completed", "response": _responses("Grüße 🎈")},
        ),
        STREAM,
    ),
    Sample(
        "messages",
        "/v1/messages",
        orjson.dumps({"type": "message", "model": "m", "content": [{"type": "text", "text": "Grüße 🎈"}], "stop_reason": "end_turn"}),
    ),
    Sample(
        "messages",
        "/anthropic/v1/messages",
        named(
            {"type": "message_start", "message": {"model": "m", "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "ping"},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüße "}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "🎈"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ),
        STREAM,
    ),
    Sample("ollama", "/api/chat", orjson.dumps({"model": "m", "message": {"role": "assistant", "content": "Grüße 🎈"}, "done": True})),
    Sample(
        "ollama",
        "/api/chat",
        lines({"model": "m", "message": {"content": "Grüße "}, "done": False}, {"message": {"content": "🎈"}, "done": True}),
        LINES,
    ),
    Sample(
        "ollama",
        "/api/generate",
        lines({"response": "Grüße ", "done": False}, {"response": "🎈", "done": True, "done_reason": "stop"}),
        LINES,
    ),
    Sample("generate", "/v2/models/m/generate", orjson.dumps({"model_name": "m", "text_output": "Grüße 🎈"})),
    Sample("generate", "/v2/models/m/generate_stream", events({"text_output": "Grüße "}, {"text_output": "🎈"}), STREAM),
    Sample(
        "generate",
        "/generate_stream",
        events(
            {"index": 1, "token": {"id": 1, "text": "Grüße ", "special": False}, "generated_text": None, "details": None},
            {"index": 2, "token": {"id": 2, "text": "🎈"}, "generated_text": "Grüße 🎈", "details": {"finish_reason": "eos_token"}},
        ),
        STREAM,
    ),
    Sample("predict", "/v1/models/m:predict", orjson.dumps({"predictions": ["Grüße 🎈"]})),
    Sample(
        "infer",
        "/v2/models/m/versions/1/infer",
        orjson.dumps({"model_name": "m", "outputs": [{"name": "out", "datatype": "BYTES", "shape": [1], "data": ["Grüße 🎈"]}]}),
    ),
    Sample("embeddings", "/v1/embeddings", orjson.dumps({"object": "list", "data": [_VECTOR], "model": "m"}), text=""),
    Sample("embeddings", "/embed", b"[[0.5, -1.0, 2.0]]", text=""),
    Sample("rerank", "/v1/rerank", orjson.dumps({"results": [{"index": 1, "relevance_score": 0.9}]}), text=""),
    Sample("rerank", "/rerank", b'[{"index": 1, "score": 0.9}]', text=""),
    Sample("images", "/v1/images/generations", orjson.dumps({"created": 1, "data": [{"b64_json": "aGk="}]}), text=""),
    Sample(
        "speech",
        "/v1/audio/speech",
        named({"type": "speech.audio.delta", "audio": "aGk="}, {"type": "speech.audio.done", "usage": {"input_tokens": 1}}),
        STREAM,
        text="",
    ),
]

IDS = [f"{sample.dialect} {sample.target}{' stream' if sample.header != JSON else ''}" for sample in SAMPLES]
