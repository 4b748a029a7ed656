"""Prompts and answers as people write them down: JSON lines or CSV with a column each, called by any of the usual names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from shadowproxy.journal.importers.documents import Document, documents
from shadowproxy.journal.importers.made import (
    UNANSWERED,
    Item,
    Unusable,
    chat_reply,
    exchange,
    first_of,
    json_answer,
    named,
    post,
    seconds_of,
)

NAME = "prompts"

_PROMPTS = ("prompt", "question", "instruction", "input", "query")
_ANSWERS = ("answer", "response", "output", "completion", "reply")


def fits(value: Mapping[str, Any]) -> bool:
    """True for anything with a column that is called as a prompt is, or with messages."""
    return _messages(value) is not None


def read(files: Sequence[str]) -> Iterator[Item]:
    """Rows in the order of the files."""
    for number, document in enumerate(documents(files), 1):
        yield document if isinstance(document, Unusable) else _item(document, f"row-{number:06d}")


def _item(document: Document, id_: str) -> Item:
    fields = document.fields
    messages = _messages(fields)
    if messages is None:
        return Unusable(document.place, "no prompt", f"looked for messages, {', '.join(_PROMPTS)}; there are {', '.join(fields)}"[:200])
    model = str(fields.get("model") or "")
    answer = first_of(fields, *_ANSWERS)
    took_s = max(0.0, seconds_of(fields.get("latency_s")))
    answered = UNANSWERED if answer is None else json_answer(chat_reply(_text(answer), model), took_s)
    request = post("/v1/chat/completions", {**named(model), "messages": messages})
    return exchange(str(fields.get("id") or id_), request, answered, seconds_of(first_of(fields, "issued_at_s", "time", "timestamp")))


def _messages(fields: Mapping[str, Any]) -> list[Any] | None:
    given = fields.get("messages")
    if isinstance(given, str):
        given = _parsed(given)
    if isinstance(given, list) and given:
        return given
    prompt = first_of(fields, *_PROMPTS)
    if not isinstance(prompt, str) or not prompt:
        return None
    system = fields.get("system")
    before = [{"role": "system", "content": system}] if isinstance(system, str) and system else []
    return [*before, {"role": "user", "content": prompt}]


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _text(answer: object) -> str:
    return answer if isinstance(answer, str) else orjson.dumps(answer).decode()
