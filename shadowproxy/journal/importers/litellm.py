"""LiteLLM's logs: the ``StandardLoggingPayload`` that its callbacks write to S3, GCS and files, and rows of its table of spend logs.

https://docs.litellm.ai/docs/proxy/logging_spec. The payload holds the request in pieces and the answer in OpenAI's form, whatever the
provider spoke.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from shadowproxy.journal.importers.documents import Document, documents
from shadowproxy.journal.importers.made import (
    Answered,
    Item,
    Unusable,
    chat_reply,
    error_reply,
    exchange,
    first_of,
    json_answer,
    named,
    post,
    seconds_of,
    texts,
)

NAME = "litellm"

#: call_type: path, and the field that holds what LiteLLM calls messages.
_CALLS = {
    **dict.fromkeys(("completion", "acompletion"), ("/v1/chat/completions", "messages")),
    **dict.fromkeys(("text_completion", "atext_completion"), ("/v1/completions", "prompt")),
    **dict.fromkeys(("embedding", "aembedding"), ("/v1/embeddings", "input")),
    **dict.fromkeys(("responses", "aresponses"), ("/v1/responses", "input")),
    "anthropic_messages": ("/v1/messages", "messages"),
}

#: What LiteLLM puts in place of messages and answers that it was told not to log.
_HIDDEN = "redacted-by-litellm"

#: Parameters of the library's call that are none of the request.
_NOT_SENT = frozenset({"stream_options", "extra_headers", "extra_body", "metadata", "user_api_key"})


def fits(value: Mapping[str, Any]) -> bool:
    """True for a payload, bare or where a callback finds it."""
    return "call_type" in _payload(value)


def read(files: Sequence[str]) -> Iterator[Item]:
    """Calls in the order of the files."""
    for document in documents(files):
        yield document if isinstance(document, Unusable) else _item(document)


def _payload(value: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = value.get("standard_logging_object")
    return inner if isinstance(inner, dict) else value


def _item(document: Document) -> Item:
    payload = _payload(document.fields)
    call = _CALLS.get(str(payload.get("call_type", "")))
    if call is None:
        return Unusable(document.place, "a call that is no request to a model", str(payload.get("call_type")))
    target, field = call
    asked = _unpacked(payload.get("messages"))
    if not asked or _HIDDEN in orjson.dumps(asked).decode():
        return Unusable(document.place, "a request whose content was not logged", str(payload.get("id")))
    if isinstance(asked, dict) and field in asked:
        asked = asked[field]
    elif field == "prompt" and isinstance(asked, list):  # a prompt is logged as if it were a chat
        asked = texts([each.get("content") for each in asked if isinstance(each, dict)])
    body = {**named(str(first_of(payload, "model_group", "model") or "")), field: asked, **_parameters(payload)}
    id_ = str(first_of(payload, "id", "request_id") or document.place)
    began_s = seconds_of(payload.get("startTime"))
    took_s = max(0.0, seconds_of(payload.get("endTime")) - began_s) if began_s else 0.0
    return exchange(id_, post(target, body), _answered(payload, target, took_s), began_s)


def _parameters(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The request's other fields, without ``stream``: the log holds streams put together, and so should be what is compared with them."""
    given = payload.get("model_parameters")
    kept = {key: value for key, value in given.items() if key not in _NOT_SENT and value is not None} if isinstance(given, dict) else {}
    return {key: value for key, value in kept.items() if key not in ("model", "messages", "stream")}


def _unpacked(value: object) -> object:
    """Spend logs hold JSON in text."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return orjson.loads(value)
    except ValueError:
        return value


def _answered(payload: Mapping[str, Any], target: str, took_s: float) -> Answered:
    response = _unpacked(payload.get("response"))
    if payload.get("status") == "failure" or payload.get("error_str"):
        return _failed(payload, took_s)
    if isinstance(response, dict) and response:
        return json_answer(response, took_s)
    if isinstance(response, str) and response and response != _HIDDEN and target == "/v1/chat/completions":
        return json_answer(chat_reply(response, str(payload.get("model", ""))), took_s)
    return Answered(failure="the answer was not logged")


def _failed(payload: Mapping[str, Any], took_s: float) -> Answered:
    error = payload.get("error_information")
    error = error if isinstance(error, dict) else {}
    code = str(error.get("error_code") or "")
    status = int(code) if code.isdecimal() and 400 <= int(code) <= 599 else 500
    said = texts([error.get("error_message"), payload.get("error_str")]) or "the call failed"
    return json_answer(error_reply(said, str(error.get("error_class") or "")), took_s, status)
