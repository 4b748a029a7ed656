"""OpenAI's batches: the file of requests that was uploaded, and the files of results and errors that came back, joined on ``custom_id``.

https://platform.openai.com/docs/guides/batch. Azure, vLLM and others write the same. A batch says nothing of times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from shadowproxy.exchange import Outcome
from shadowproxy.journal.importers.documents import Document, documents
from shadowproxy.journal.importers.made import JSON, UNANSWERED, Answered, Item, Unusable, exchange, post, seconds_of, target_of

NAME = "openai-batch"


def fits(value: Mapping[str, Any]) -> bool:
    """True for a line of either file."""
    return "custom_id" in value and ("body" in value or "response" in value)


def read(files: Sequence[str]) -> Iterator[Item]:
    """Requests in the order of their file. Those without a result keep their place and have no answer."""
    asked: dict[str, Document] = {}
    answered: dict[str, Document] = {}
    for document in documents(files):
        if isinstance(document, Unusable):
            yield document
        elif problem := _sort_in(document, asked, answered):
            yield problem
    for custom_id, document in asked.items():
        yield _exchange(custom_id, document, answered.pop(custom_id, None))
    yield from (Unusable(document.place, "a result without its request", custom_id) for custom_id, document in answered.items())


def _sort_in(document: Document, asked: dict[str, Document], answered: dict[str, Document]) -> Unusable | None:
    fields = document.fields
    custom_id = fields.get("custom_id")
    if not isinstance(custom_id, str):
        return Unusable(document.place, "no custom_id")
    is_request = isinstance(fields.get("body"), dict)
    if not is_request and "response" not in fields and "error" not in fields:
        return Unusable(document.place, "neither a request nor a result", custom_id)
    kind = asked if is_request else answered
    if custom_id in kind:
        return Unusable(document.place, "a custom_id used twice", custom_id)
    kind[custom_id] = document
    return None


def _exchange(custom_id: str, request: Document, result: Document | None) -> Item:
    target = target_of(str(request.fields.get("url") or "/v1/chat/completions"))
    answered, issued_at_s = (UNANSWERED, 0.0) if result is None else _answered(result.fields)
    return exchange(custom_id, post(target, request.fields["body"]), answered, issued_at_s)


def _answered(fields: Mapping[str, Any]) -> tuple[Answered, float]:
    """What came back, and when it was made as far as the reply itself says."""
    response = fields.get("response")
    if isinstance(response, dict) and isinstance(response.get("status_code"), int):
        body = response.get("body")
        created = seconds_of(body.get("created") or body.get("created_at")) if isinstance(body, dict) else 0.0
        return Answered(response["status_code"], JSON, ((0.0, orjson.dumps(body)),)), created
    error = fields.get("error")
    said = f"{error.get('code', '')}: {error.get('message', '')}" if isinstance(error, dict) else "the batch holds no response"
    return Answered(failure=said, outcome=Outcome.RESET), 0.0
