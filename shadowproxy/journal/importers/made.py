"""Exchanges out of what a capture says of a request, and what is said where it cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from shadowproxy.exchange import PRIMARY, Exchange, Headers, Outcome, Read, Reply, Request, is_credential, is_http_error
from shadowproxy.wire.paths import path_of, route_of

JSON: Headers = ((b"content-type", b"application/json"),)

#: Said of what a connection does to a body, and no longer true of the body that a capture holds.
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"content-length", b"host"}
)

NO_ANSWER = "no answer was recorded"


@dataclass(frozen=True, slots=True)
class Unusable:
    """Something in a capture that is no exchange. ``reason`` is one of few, for counting; ``place`` names file and line or item."""

    place: str
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


Item = Exchange | Unusable


@dataclass(frozen=True, slots=True)
class Answered:
    """What a capture holds of an answer. ``status`` 0: none came, and ``failure`` says why."""

    status: int = 0
    headers: Headers = ()
    reads: tuple[Read, ...] = ()
    duration_s: float = 0.0
    failure: str = ""
    outcome: Outcome = Outcome.DROPPED_LOCAL


#: The request can be sent again, and has nothing to be compared with.
UNANSWERED = Answered(failure=NO_ANSWER)


def exchange(id_: str, request: Request, answered: Answered, issued_at_s: float = 0.0) -> Exchange:
    """The primary's exchange."""
    reply = Reply(answered.status, answered.headers, answered.reads) if answered.status else None
    outcome = answered.outcome if reply is None else Outcome.HTTP_ERROR if is_http_error(answered.status) else Outcome.OK
    route = route_of(request.target)
    return Exchange(id_, PRIMARY, route, request, reply, outcome, issued_at_s, answered.duration_s, answered.failure)


def post(target: str, body: object, headers: Headers = JSON) -> Request:
    """A request with a JSON body."""
    return Request("POST", target, headers, orjson.dumps(body))


def named(model: str) -> dict[str, str]:
    """The field of a request that names its model; none where the capture does not say it."""
    return {"model": model} if model else {}


def json_answer(body: object, duration_s: float = 0.0, status: int = 200) -> Answered:
    """A reply with a JSON body, which came at once at the end."""
    return Answered(status, JSON, ((duration_s, orjson.dumps(body)),), duration_s)


def chat_reply(message: str | Mapping[str, Any], model: str = "", usage: object = None) -> dict[str, Any]:
    """The reply that a chat completion would have been."""
    said = {"role": "assistant", "content": message} if isinstance(message, str) else {"role": "assistant", **message}
    finish = "tool_calls" if said.get("tool_calls") else "stop"
    choice = {"index": 0, "message": said, "finish_reason": finish}
    reply: dict[str, Any] = {"object": "chat.completion", "model": model, "choices": [choice]}
    return reply if usage is None else {**reply, "usage": usage}


def error_reply(message: str, kind: str = "") -> dict[str, Any]:
    """The reply of a server that refused."""
    return {"error": {"message": message, "type": kind}}


def headers_of(pairs: Iterable[tuple[str, str | bytes]]) -> Headers:
    """Names in lower case, without credentials, pseudo-headers and what concerned the connection."""
    lowered = ((name.lower().encode("latin-1", "replace"), value) for name, value in pairs)
    return tuple(
        (name, value if isinstance(value, bytes) else value.encode("utf-8", "replace"))
        for name, value in lowered
        if name not in _HOP_BY_HOP and not name.startswith(b":") and not is_credential(name)
    )


def target_of(url: str) -> str:
    """Path and query of a URL or of a path."""
    query = url.partition("#")[0].partition("?")[2]
    path = path_of(url) or "/"
    return f"{path}?{query}" if query else path


def guessed_target(body: Mapping[str, Any], model: str = "") -> str:
    """The path of a request whose capture does not say it, by what only one protocol has."""
    if "messages" in body:
        return "/v1/messages" if _is_anthropic(body) else "/v1/chat/completions"
    if "instances" in body:
        return f"/v1/models/{model or 'model'}:predict"
    if _has_keys(body.get("inputs"), "datatype"):
        return f"/v2/models/{model or 'model'}/infer"
    if "documents" in body or "texts" in body:
        return "/v1/rerank"
    if "prompt" in body:
        return "/v1/completions"
    if "input" in body:
        return "/v1/responses" if "instructions" in body or _has_keys(body["input"], "role") else "/v1/embeddings"
    return f"/v1/models/{model or 'model'}:predict"


def _is_anthropic(body: Mapping[str, Any]) -> bool:
    return "system" in body or _has_keys(body.get("tools"), "input_schema")


def _has_keys(items: object, key: str) -> bool:
    return isinstance(items, list) and any(isinstance(item, dict) and key in item for item in items)


def seconds_of(moment: object) -> float:
    """Unix time of a number (seconds) or an ISO 8601 text; without a zone it is UTC. 0 where it is neither."""
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        return float(moment)
    if not isinstance(moment, str):
        return 0.0
    try:
        parsed = datetime.fromisoformat(moment.strip())
    except ValueError:
        return 0.0
    return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp()


def first_of(fields: Mapping[str, Any], *names: str) -> Any:
    """The first of these fields that is there and not null; None without one. Exporters differ in how they spell a name."""
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def texts(values: Sequence[object]) -> str:
    """The values that are text, joined."""
    return " ".join(value for value in values if isinstance(value, str) and value)
