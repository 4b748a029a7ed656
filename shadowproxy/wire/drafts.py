"""What the newer dialects build answers from: a choice under construction, and counts of tokens under all their names. PURE."""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import Choice, Media, ToolCall, Usage
from shadowproxy.wire.loose_json import Object, a_count, a_text, an_object, canonical, mended

#: Most choices, content blocks or output items of one reply. No server offers more than a few hundred; without a bound, a body of empty
#: objects would grow to a hundred times its size.
MAX_CHOICES = 1024

_PROMPT_NAMES = ("prompt_tokens", "input_tokens", "prompt_eval_count")
_COMPLETION_NAMES = ("completion_tokens", "output_tokens", "eval_count", "generated_tokens")


class Draft:
    """One choice under construction: the pieces that came, joined once at the end."""

    __slots__ = ("calls", "finish_reason", "media", "reasoning", "refusal", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls: list[ToolCall] = []
        self.media: list[Media] = []
        self.finish_reason: str | None = None

    def choice(self) -> Choice:
        return Choice(
            text=joined(self.text),
            reasoning=joined(self.reasoning),
            tool_calls=tuple(self.calls),
            finish_reason=self.finish_reason,
            refusal=joined(self.refusal) or None,
            media=tuple(self.media),
        )


def joined(pieces: list[str]) -> str:
    """All pieces as one valid text; half characters at their seams become whole."""
    return mended("".join(pieces))


def add_text(pieces: list[str], value: Any) -> bool:
    """Add ``value`` if it is a text with something in it; True where it was."""
    text = a_text(value)
    if text:
        pieces.append(text)
    return bool(text)


def arguments_text(value: Any) -> str:
    """The arguments of a call as JSON text: as sent, or the text of the object that was sent instead."""
    if isinstance(value, str):
        return mended(value)
    return "" if value is None else canonical(value) or ""


def usage_in(value: Any) -> Usage | None:
    """Token counts under any of the names in use; None where there are none."""
    fields = an_object(value)
    prompt, completion = first_count(fields, _PROMPT_NAMES), first_count(fields, _COMPLETION_NAMES)
    return None if prompt is None and completion is None else Usage(prompt or 0, completion or 0)


def first_count(fields: Object, names: tuple[str, ...]) -> int | None:
    """The first of the named fields that holds a count."""
    return next((count for name in names if (count := a_count(fields.get(name))) is not None), None)
