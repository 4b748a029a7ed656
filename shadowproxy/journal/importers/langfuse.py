"""Langfuse's exports: observations (from the table, the API, or a bucket; JSON, JSON lines or CSV), and traces with observations in them.

https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields. The bucket has names in snake case, the API in camel
case. Only generations are requests to a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from shadowproxy.journal.importers.documents import Document, documents
from shadowproxy.journal.importers.made import (
    UNANSWERED,
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
)

NAME = "langfuse"


def fits(value: Mapping[str, Any]) -> bool:
    """True for an observation, or a trace that holds some."""
    is_observation = first_of(value, "trace_id", "traceId") is not None and first_of(value, "start_time", "startTime") is not None
    return is_observation or isinstance(value.get("observations"), list)


def read(files: Sequence[str]) -> Iterator[Item]:
    """Generations in the order of the files."""
    for document in documents(files):
        if isinstance(document, Unusable):
            yield document
        else:
            yield from map(_item, _observations(document))


def _observations(document: Document) -> Iterator[Document]:
    inner = document.fields.get("observations")
    if not isinstance(inner, list):
        yield document
        return
    for number, each in enumerate(inner, 1):
        yield Document(f"{document.place}, observation {number}", each if isinstance(each, dict) else {})


def _item(document: Document) -> Item:
    fields = document.fields
    kind = str(fields.get("type") or "none")
    if kind.upper() != "GENERATION":
        return Unusable(document.place, "an observation that is no generation", kind)
    body = _body(_unpacked(fields.get("input")))
    if body is None:
        return Unusable(document.place, "a generation without its input", str(fields.get("id")))
    model = str(first_of(fields, "provided_model_name", "providedModelName", "model") or "")
    began_s = seconds_of(first_of(fields, "start_time", "startTime"))
    parameters = {key: value for key, value in _parameters(fields).items() if key not in body}
    request = post("/v1/chat/completions", {**named(model), **parameters, **body})
    return exchange(str(fields.get("id") or document.place), request, _answered(fields, model, began_s), began_s)


def _body(asked: object) -> dict[str, Any] | None:
    """The request's own fields, from the forms that the SDKs log: a prompt, messages, or a request with messages in it."""
    if isinstance(asked, str) and asked:
        return {"messages": [{"role": "user", "content": asked}]}
    if isinstance(asked, list) and asked and isinstance(asked[0], dict):
        return {"messages": asked}
    return _body_of_object(asked) if isinstance(asked, dict) else None


def _body_of_object(asked: dict[str, Any]) -> dict[str, Any] | None:
    if isinstance(asked.get("messages"), list):
        return asked
    if isinstance(asked.get("role"), str) and "content" in asked:
        return {"messages": [asked]}
    prompt = first_of(asked, "prompt", "question", "input")
    return {"messages": [{"role": "user", "content": prompt}]} if isinstance(prompt, str) else None


def _parameters(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Exports write every value as text; what was a number is one again."""
    given = _unpacked(first_of(fields, "model_parameters", "modelParameters"))
    return {key: _unpacked(value) for key, value in given.items() if value is not None} if isinstance(given, dict) else {}


def _unpacked(value: object) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except ValueError:
        return value


def _answered(fields: Mapping[str, Any], model: str, began_s: float) -> Answered:
    ended_s = seconds_of(first_of(fields, "end_time", "endTime"))
    took_s = max(0.0, ended_s - began_s) if began_s and ended_s else 0.0
    if str(fields.get("level", "")).upper() == "ERROR":
        said = str(first_of(fields, "status_message", "statusMessage") or "the generation failed")
        return json_answer(error_reply(said), took_s, 500)
    match _unpacked(fields.get("output")):
        case {"choices": list(), **_rest} as reply:
            return json_answer(reply, took_s)
        case {"role": str(), **_rest} as message:
            return json_answer(chat_reply(message, model, _usage(fields)), took_s)
        case str() as text if text:
            return json_answer(chat_reply(text, model, _usage(fields)), took_s)
        case [{"role": str(), **_rest} as message, *_]:
            return json_answer(chat_reply(message, model, _usage(fields)), took_s)
        case {**other} if other:
            return json_answer(chat_reply(orjson.dumps(other).decode(), model, _usage(fields)), took_s)
    return UNANSWERED


def _usage(fields: Mapping[str, Any]) -> dict[str, int] | None:
    """In OpenAI's words."""
    found = _unpacked(first_of(fields, "usage_details", "usageDetails", "usage"))
    if not isinstance(found, dict):
        return None
    asked, said = _unpacked(found.get("input")), _unpacked(found.get("output"))
    if not isinstance(asked, int) or not isinstance(said, int):
        return None
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
