"""The dialect of OpenAI Responses, streamed and not. PURE.

A response is a row of output items. A stream opens an item, sends pieces of it, closes it with the item as it has become, and ends with
the whole response; there is no ``[DONE]``. Pieces count; what is said again at the end is news only where no piece came.
"""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import Answer, Choice, Media, ReplyError, ToolCall
from shadowproxy.wire.collector import Collector, collected
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import MAX_CHOICES, Draft, add_text, arguments_text, joined, usage_in
from shadowproxy.wire.failures import failure_in
from shadowproxy.wire.loose_json import Object, a_count, a_label, a_list, a_text, an_object
from shadowproxy.wire.media import media_of_base64, media_of_url

#: Event → the pieces of an item that it adds to.
_DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "summary",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "arguments",
}
#: They say again what pieces and closed items say, or that work goes on.
_QUIET_EVENTS = frozenset(
    {
        "response.queued",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.done",
        "response.output_text.annotation.added",
        "response.refusal.done",
        "response.reasoning_text.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.done",
        "response.image_generation_call.in_progress",
        "response.image_generation_call.generating",
        "response.image_generation_call.partial_image",
        "response.image_generation_call.completed",
        "keepalive",
    }
)
_BEGINNINGS = frozenset({"response.created", "response.in_progress"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})

#: Calls that the client is asked to carry out → the field with what to do. Other calls are the server's own business.
_CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
    "computer_call": "action",
}
_SPOKEN = frozenset({*_CALLS, "message", "reasoning", "image_generation_call"})
_UNFINISHED = frozenset({"queued", "in_progress"})


def read_responses(reply: DecodedReply) -> Answer:
    """The meaning of a reply to ``POST …/responses``. Raises :class:`~shadowproxy.errors.BoundExceeded` on a giant event."""
    return collected(reply, _Responses())


class _Item:
    """One output item under construction. ``pieces`` holds what came under each of the names in ``_DELTAS``."""

    __slots__ = ("id", "kind", "media", "name", "pieces")

    def __init__(self) -> None:
        self.kind = ""
        self.id = ""
        self.name = ""
        self.pieces: dict[str, list[str]] = {}
        self.media: list[Media] = []

    def of(self, name: str) -> list[str]:
        return self.pieces.setdefault(name, [])

    def identify(self, item: Object) -> None:
        self.kind = a_label(item.get("type")) or self.kind
        self.id = a_label(item.get("call_id")) or a_label(item.get("id")) or self.id
        self.name = a_label(item.get("name")) or self.name

    def close(self, item: Object) -> bool:
        """Take from the closed item what no piece has brought; True where that is content."""
        self.identify(item)
        if self.kind in _CALLS:
            return not self.pieces.get("arguments") and self._take_call(item)
        if self.kind == "image_generation_call":
            return self._take_picture(item.get("result"))
        before = frozenset(name for name, pieces in self.pieces.items() if pieces)
        found = [self._take_part(an_object(part), "summary", before) for part in a_list(item.get("summary"))]
        found += [self._take_part(an_object(part), self.kind, before) for part in a_list(item.get("content"))]
        return any(found)

    def _take_call(self, item: Object) -> bool:
        add_text(self.of("arguments"), arguments_text(item.get(_CALLS[self.kind])))
        return True

    def _take_picture(self, result: Any) -> bool:
        data = a_text(result)
        if data:
            self.media = [media_of_url(data, "image") if data[:5] in ("data:", "http:", "https") else media_of_base64("image", data)]
        return bool(data)

    def _take_part(self, part: Object, place: str, before: frozenset[str]) -> bool:
        """One part of a closed item, unless pieces of its sort have come."""
        kind = a_label(part.get("type"))
        name = "refusal" if kind == "refusal" else {"summary": "summary", "reasoning": "reasoning"}.get(place, "text")
        return name not in before and add_text(self.of(name), part.get("refusal" if kind == "refusal" else "text"))

    def fill(self, draft: Draft) -> None:
        """Put what this item says where it belongs. The thoughts themselves count; a summary of them only where they are withheld."""
        draft.text.extend(self.pieces.get("text", ()))
        draft.refusal.extend(self.pieces.get("refusal", ()))
        draft.reasoning.extend(self.pieces.get("reasoning") or self.pieces.get("summary") or ())
        draft.media.extend(self.media)
        if self.kind in _CALLS:
            name = self.name or self.kind.removesuffix("_call")
            draft.calls.append(ToolCall(name, joined(self.pieces.get("arguments", [])), self.id or None))


class _Responses(Collector):
    dialect = "responses"

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[int, _Item] = {}
        self._index_of: dict[str, int] = {}  # by item id, for servers that give no index
        self._last_index = -1
        self._has_content = False
        self._finish_reason: str | None = None

    def take_whole(self, value: Any) -> bool:
        response = an_object(value)
        self._take_response(response)
        is_answer = isinstance(response.get("output"), list) and a_label(response.get("status")) not in _UNFINISHED
        self.is_finished = self.is_finished or is_answer
        return self._take_output(response)

    def take_event(self, kind: str, event: Object) -> bool:
        has_content = self._take(kind, event)
        self._has_content = self._has_content or has_content
        return has_content

    def _take(self, kind: str, event: Object) -> bool:
        if kind in _DELTAS:
            return add_text(self._item(event).of(_DELTAS[kind]), event.get("delta"))
        if kind == "response.output_item.added":
            self._item(event).identify(an_object(event.get("item")))
        elif kind == "response.output_item.done":
            return self._close(event)
        elif kind in _ENDS:
            return self._end(an_object(event.get("response")))
        elif kind in _BEGINNINGS:
            self._take_response(an_object(event.get("response")))
        elif kind not in _QUIET_EVENTS:
            self.unknown.add(f"event {kind}")
        return False

    def _close(self, event: Object) -> bool:
        fields = an_object(event.get("item"))
        self._note(fields)
        return self._item(event).close(fields)

    def _end(self, response: Object) -> bool:
        self._take_response(response)
        self.is_finished = True
        return not self._has_content and self._take_output(response)

    def _item(self, event: Object) -> _Item:
        """The item that an event belongs to: by its index, else by its id, else the one before."""
        index = a_count(event.get("output_index"))
        item_id = a_label(event.get("item_id")) or a_label(an_object(event.get("item")).get("id"))
        if index is None:
            index = self._index_of.get(item_id, self._last_index + 1) if item_id else max(self._last_index, 0)
        if item_id:
            self._index_of[item_id] = index
        self._last_index = max(self._last_index, index)
        return self._items.setdefault(index, _Item())

    def _take_response(self, response: Object) -> None:
        self.model = a_label(response.get("model")) or self.model
        self.usage = usage_in(response.get("usage")) or self.usage
        self.error = self.error or failure_in(response)
        status = a_label(response.get("status"))
        if status and status not in _UNFINISHED:
            self._finish_reason = a_label(an_object(response.get("incomplete_details")).get("reason")) or status
        if status == "failed" and self.error is None:
            self.error = ReplyError("the response failed", type="failed")

    def _take_output(self, response: Object) -> bool:
        """Read all items of a response at once."""
        found = []
        self._items = {}
        for index, item in enumerate(a_list(response.get("output"))[:MAX_CHOICES]):
            fields = an_object(item)
            self._note(fields)
            found.append(self._items.setdefault(index, _Item()).close(fields))
        return any(found)

    def _note(self, item: Object) -> None:
        kind = a_label(item.get("type"))
        if kind not in _SPOKEN:
            self.unknown.add(f"output.{kind}")

    def choices(self) -> tuple[Choice, ...]:
        if not self._items and self._finish_reason is None:
            return ()
        draft = Draft()
        for index in sorted(self._items):
            self._items[index].fill(draft)
        draft.finish_reason = self._finish_reason
        return (draft.choice(),)
