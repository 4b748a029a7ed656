"""What people write down of a request and its answers, as the values that the comparator takes.

An answer is a string, or ``{"body": …}`` with a reply's JSON (``"dialect"`` or detected), or ``{"sse": "…"}`` with a recorded stream;
``null`` or ``{"error": "…"}`` says that the arm gave none. A request is the prompt as a string, or the JSON body that was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shadowproxy.exchange import Answer, Asked, Choice, Exchange, Outcome, Reply, ReplyError, Request, Usage
from shadowproxy.wire.asked import read_asked
from shadowproxy.wire.detect import read_body
from shadowproxy.wire.reading import outcome_of

#: Dialect of an answer that is given as plain text.
TEXT = "text"

#: Where a request in a dialect would have been sent: what it says is read by its path.
_TARGETS = {
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "rerank": "/v1/rerank",
    "completions": "/v1/completions",
}


class FieldProblem(ValueError):
    """A field that cannot be used. ``field`` is its dotted name within the line."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(f"{field} {problem}")


@dataclass(frozen=True, slots=True)
class Given:
    """One arm's side of a pair."""

    exchange: Exchange
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Times:
    """What is known of an answer besides its words."""

    latency_s: float | None = None
    ttft_s: float | None = None
    usage: Usage | None = None


def asked_of(value: object, field: str = "request") -> tuple[Request, Asked]:
    """The request a line names: None, a prompt, or a JSON body. Raises :class:`FieldProblem`."""
    if value is None:
        return Request("POST", "/", (), b""), Asked()
    if isinstance(value, str):
        return Request("POST", "/", (), b""), Asked(prompt=value, question=value)
    if not isinstance(value, dict):
        raise FieldProblem(field, "is neither a prompt nor a request body; write a string or the JSON object that was sent")
    inner = value.get("body")
    body: Mapping[str, Any] = inner if isinstance(inner, dict) else value
    target = str(value.get("path") or _target(body))
    request = Request("POST", target, ((b"content-type", b"application/json"),), orjson.dumps(dict(body)))
    return request, read_asked(request)


def _target(body: Mapping[str, Any]) -> str:
    """The path of a request that does not say it, by what only one protocol has."""
    if "messages" in body:
        is_anthropic = "system" in body or any(isinstance(tool, dict) and "input_schema" in tool for tool in body.get("tools") or ())
        return _TARGETS["messages"] if is_anthropic else "/v1/chat/completions"
    if "documents" in body or "texts" in body:
        return _TARGETS["rerank"]
    if "prompt" in body:
        return _TARGETS["completions"]
    if "instructions" in body or "text" in body or (isinstance(body.get("input"), list) and _has_roles(body["input"])):
        return _TARGETS["responses"]
    return _TARGETS["embeddings"] if "input" in body else "/v1/chat/completions"


def _has_roles(items: object) -> bool:
    """Items of a conversation, and not texts to be embedded."""
    return isinstance(items, list) and any(isinstance(item, dict) for item in items)


def given(value: object, request: Request, *, id_: str, arm: str, route: str, field: str, times: Times = Times()) -> Given:
    """One arm's answer as written in ``value``. Raises :class:`FieldProblem` that names the field and the remedy."""
    answer, status = _answer(value, field)
    outcome, failure = _outcome(answer, status)
    timed = None if answer is None else _timed(answer, times)
    reply = Reply(status, (), ()) if answer is not None else None
    exchange = Exchange(id_, arm, route, request, reply, outcome, 0.0, times.latency_s or 0.0, failure)
    return Given(exchange, timed)


def _answer(value: object, field: str) -> tuple[Answer | None, int]:
    """The answer, None for one that did not come, and its status."""
    match value:
        case None:
            return None, 0
        case str():
            return Answer(TEXT, (Choice(text=value),)), 200
        case {"error": error, **rest} if not ({"body", "sse", "choices"} & rest.keys()):
            return Answer(TEXT, error=ReplyError(error if isinstance(error, str) else orjson.dumps(error).decode())), 500
        case {"body": body, **rest}:
            return _read(body, rest, field, is_stream=False)
        case {"sse": str(body), **rest}:
            return _read(body, rest, field, is_stream=True)
        case {"sse": _}:
            raise FieldProblem(f"{field}.sse", "is not text; write the recorded event stream as a string")
        case dict():
            return _read(value, {}, field, is_stream=False)
    raise FieldProblem(field, 'is not an answer; write a string, {"body": …}, {"sse": "…"}, or null where none came')


def _read(body: object, around: Mapping[Any, Any], field: str, *, is_stream: bool) -> tuple[Answer, int]:
    dialect, status = around.get("dialect", ""), around.get("status", 200)
    if not isinstance(dialect, str):
        raise FieldProblem(f"{field}.dialect", "is not text; name a dialect, or leave it out to have it detected")
    if not isinstance(status, int) or not 100 <= status <= 599:
        raise FieldProblem(f"{field}.status", "is not an HTTP status; write a number from 100 to 599")
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else orjson.dumps(body)
    try:
        return read_body(dialect, raw, is_stream=is_stream, status=status), status
    except KeyError:
        raise FieldProblem(f"{field}.dialect", f"{dialect!r} is not a known dialect; leave it out to have it detected") from None


def _outcome(answer: Answer | None, status: int) -> tuple[Outcome, str]:
    if answer is None:
        return Outcome.RESET, "no answer"
    outcome = outcome_of(Reply(status, (), ()), answer)
    return outcome, answer.error.message if answer.error is not None else ""


def _timed(answer: Answer, times: Times) -> Answer:
    usage = answer.usage or times.usage
    moments = answer.content_at_s if times.ttft_s is None else (times.ttft_s,)
    return replace(answer, usage=usage, content_at_s=moments)
