"""The shapes in which model servers report errors, in a body or inside a stream. PURE. Used by every dialect."""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import ReplyError
from shadowproxy.wire.loose_json import Object, a_label, a_list, a_text, an_object, canonical, mended, parsed

#: Longest error message kept. 2000 characters: a sentence and its details; an HTML error page says no more in its rest.
MAX_MESSAGE_CHARS = 2000

_MESSAGE_FIELDS = ("message", "detail", "error_description", "msg", "title", "reason")


def failure_in(value: Any) -> ReplyError | None:
    """The error that a JSON value of a successful reply or stream reports, or None.

    Known: ``{"error": {…}}``, ``{"error": "text"}`` and ``{"object": "error", "message": …}``.
    """
    found = an_object(value)
    if found.get("error"):
        return _failure(found)
    return _failure(found) if found.get("object") == "error" else None


def failure_of_body(status: int, body: bytes) -> ReplyError:
    """The error in the body of a reply with status 400 or above, whatever the body is."""
    value = parsed(body)
    if isinstance(value, list):  # Google's servers wrap the error in a list
        value = next(iter(value), None)
    found = an_object(value)
    failure = _failure(found) if found else _plain(body.decode("utf-8", "replace"))
    return failure if failure.message else ReplyError(f"status {status}", failure.type, failure.code)


def failure_of_event(data: str) -> ReplyError:
    """The error in the data of an event that is called ``error``."""
    found = an_object(parsed(data))
    return _failure(found) if found else _plain(data)


def _failure(found: Object) -> ReplyError:
    inner = found.get("error")
    source = an_object(inner) or found
    message = a_text(inner) or _message(source) or _message(found) or canonical(inner or found) or ""
    return ReplyError(
        message=_short(message),
        type=_short(a_label(source.get("type"))),
        code=_short(a_label(source.get("code"))),
    )


def _message(source: Object) -> str:
    for field in _MESSAGE_FIELDS:
        if text := a_text(source.get(field)) or _validation_message(source.get(field)):
            return text
    return ""


def _validation_message(value: Any) -> str:
    """FastAPI lists what is wrong with a body as ``[{"loc": [...], "msg": "..."}]``."""
    return "; ".join(text for item in a_list(value) if (text := a_text(an_object(item).get("msg"))))


def _plain(text: str) -> ReplyError:
    return ReplyError(_short(text.strip()))


def _short(text: str) -> str:
    return mended(text[:MAX_MESSAGE_CHARS])
