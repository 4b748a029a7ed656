"""Ollama's own dialect at ``/api/chat`` and ``/api/generate``: one JSON object, or a line of JSON per piece. PURE."""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import Answer, Choice, ToolCall
from shadowproxy.wire.collector import Collector, collected_loosely
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import Draft, add_text, arguments_text, usage_in
from shadowproxy.wire.loose_json import Object, a_label, a_list, a_text, an_object
from shadowproxy.wire.media import media_of_base64

_FIELDS = frozenset(
    {"model", "created_at", "message", "response", "thinking", "image", "done", "done_reason", "context", "logprobs", "error"}
    | {"remote_model", "remote_host"}
    | {"total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"}
)
_MESSAGE_FIELDS = frozenset({"role", "content", "thinking", "tool_calls", "images", "tool_name"})


def read_ollama(reply: DecodedReply) -> Answer:
    """The meaning of a reply of Ollama; many other services answer at ``/api/chat``, and theirs are read as any other reply."""
    return collected_loosely(reply, _Ollama())


class _Ollama(Collector):
    dialect = "ollama"

    def __init__(self) -> None:
        super().__init__()
        self._draft = Draft()
        self._is_begun = False

    def take_whole(self, value: Any) -> bool:
        return self.take_event("", an_object(value))

    def take_event(self, kind: str, event: Object) -> bool:
        """Whole replies and pieces have the same shape; the last piece, like a whole reply, says ``done``."""
        if not event.keys() & {"message", "response", "done"}:
            return False
        self._is_begun = True
        self.unknown.add_fields(event, _FIELDS)
        self.model = a_label(event.get("model")) or self.model
        self.usage = usage_in(event) or self.usage
        self._draft.finish_reason = a_label(event.get("done_reason")) or self._draft.finish_reason
        self.is_finished = self.is_finished or event.get("done") is True
        return self._take_words(event) | self._take_message(an_object(event.get("message")))

    def _take_words(self, event: Object) -> bool:
        """What ``/api/generate`` says, or draws."""
        picture = a_text(event.get("image"))
        if picture:
            self._draft.media.append(media_of_base64("image", picture))
        has_words = add_text(self._draft.text, event.get("response")) | add_text(self._draft.reasoning, event.get("thinking"))
        return has_words or bool(picture)

    def _take_message(self, message: Object) -> bool:
        """What ``/api/chat`` says. A tool call comes whole, its arguments as an object."""
        self.unknown.add_fields(message, _MESSAGE_FIELDS, "message.")
        calls = [an_object(call) for call in a_list(message.get("tool_calls"))]
        pictures = [data for item in a_list(message.get("images")) if (data := a_text(item))]
        self._draft.calls.extend(_call(call) for call in calls)
        self._draft.media.extend(media_of_base64("image", data) for data in pictures)
        has_words = add_text(self._draft.text, message.get("content")) | add_text(self._draft.reasoning, message.get("thinking"))
        return has_words or bool(calls or pictures)

    def choices(self) -> tuple[Choice, ...]:
        return (self._draft.choice(),) if self._is_begun else ()


def _call(call: Object) -> ToolCall:
    function = an_object(call.get("function"))
    return ToolCall(a_label(function.get("name")), arguments_text(function.get("arguments")), a_label(call.get("id")) or None)
