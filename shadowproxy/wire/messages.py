"""The dialect of Anthropic messages, streamed and not. PURE.

A message is a row of content blocks; a stream opens a block, sends pieces of it and closes it. What servers run on their own side
(``server_tool_use``, ``web_search_tool_result`` …) is named in ``unknown``: nobody is asked to carry it out.
"""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import Answer, Choice, ToolCall, Usage
from shadowproxy.wire.collector import Collector, collected
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import MAX_CHOICES, Draft, add_text, arguments_text, joined
from shadowproxy.wire.loose_json import Object, a_count, a_label, a_list, a_text, an_object

_MESSAGE_FIELDS = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage", "container", "error", "request_id"}
)
_QUIET_EVENTS = frozenset({"ping", "content_block_stop"})
#: Block → the field that holds its words.
_WORDS = {"text": "text", "thinking": "thinking", "tool_use": "partial_json", "redacted_thinking": ""}
#: Delta → (block it belongs to, field that holds the piece).
_DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "input_json_delta": ("tool_use", "partial_json"),
}
_QUIET_DELTAS = frozenset({"signature_delta", "citations_delta"})  # proofs and sources of what the other pieces say

#: All that was read, cached or not: what Anthropic calls ``input_tokens`` leaves the cached ones out, other servers count them.
_PROMPT_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def read_messages(reply: DecodedReply) -> Answer:
    """The meaning of a reply to ``POST …/v1/messages``. Raises :class:`~shadowproxy.errors.BoundExceeded` on a giant event."""
    return collected(reply, _Messages())


class _Block:
    """One content block under construction."""

    __slots__ = ("id", "input", "kind", "name", "pieces")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.id = ""
        self.name = ""
        self.input: Any = None

    def fill(self, draft: Draft) -> None:
        """Put what this block says where it belongs."""
        if self.kind == "text":
            draft.text.extend(self.pieces)
        elif self.kind == "thinking":
            draft.reasoning.extend(self.pieces)
        elif self.kind == "tool_use":
            arguments = joined(self.pieces) or arguments_text(self.input)
            draft.calls.append(ToolCall(self.name, arguments, self.id or None))


class _Messages(Collector):
    dialect = "messages"

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[int, _Block] = {}
        self._last_index = -1
        self._counts: dict[str, int] = {}
        self._stop_reason: str | None = None
        self._refusal = ""
        self._is_begun = False

    def take_whole(self, value: Any) -> bool:
        message = an_object(value)
        self._take_message(message)
        found = self._begin_all(message)
        self.is_finished = self._is_begun = isinstance(message.get("content"), list)
        return found

    def take_event(self, kind: str, event: Object) -> bool:
        if kind == "content_block_delta":
            return self._take_delta(event)
        if kind == "content_block_start":
            return self._begin(a_count(event.get("index")), an_object(event.get("content_block")))
        if kind == "message_start":
            return self._start(an_object(event.get("message")))
        if kind == "message_delta":
            self._take_ending(an_object(event.get("delta")))
            self._take_usage(event.get("usage"))
        elif kind == "message_stop":
            self.is_finished = True
        elif kind not in _QUIET_EVENTS:
            self.unknown.add(f"event {kind}")
        return False

    def _start(self, message: Object) -> bool:
        """A second start is a proxy that began anew after a failure: what came before it is not part of the answer."""
        if self._blocks:
            self.unknown.add("event message_start again")
        self._blocks = {}
        self._is_begun = True
        self._take_message(message)
        return self._begin_all(message)

    def _begin_all(self, message: Object) -> bool:
        """Open the blocks that a message came with; True where they hold something."""
        blocks = a_list(message.get("content"))[:MAX_CHOICES]
        return sum(self._begin(at, an_object(block)) for at, block in enumerate(blocks)) > 0  # not any(): every one is to be opened

    def _take_message(self, message: Object) -> None:
        self.unknown.add_fields(message, _MESSAGE_FIELDS)
        self.model = a_label(message.get("model")) or self.model
        self._take_ending(message)
        self._take_usage(message.get("usage"))

    def _take_ending(self, fields: Object) -> None:
        self._stop_reason = a_label(fields.get("stop_reason")) or self._stop_reason
        details = an_object(fields.get("stop_details"))
        if a_label(details.get("type")) == "refusal":
            self._refusal = a_text(details.get("explanation")) or self._refusal

    def _take_usage(self, value: Any) -> None:
        """The counts of a ``message_delta`` are totals so far, and it may leave out what has not changed."""
        for name, found in an_object(value).items():
            if (count := a_count(found)) is not None and (name in _PROMPT_COUNTS or name == "output_tokens"):
                self._counts[name] = count
        if self._counts:
            prompt = sum(self._counts.get(name, 0) for name in _PROMPT_COUNTS)
            self.usage = Usage(a_count(prompt) or 0, self._counts.get("output_tokens", 0))

    def _begin(self, index: int | None, fields: Object) -> bool:
        """Open a block; True where it came with something in it, as in a whole message."""
        kind = a_label(fields.get("type"))
        self._last_index = self._last_index + 1 if index is None else index
        block = self._blocks[self._last_index] = _Block(kind)
        if kind not in _WORDS:
            self.unknown.add(f"content.{kind}")
            return False
        block.id, block.name = a_label(fields.get("id")), a_label(fields.get("name"))
        block.input = fields.get("input")
        return add_text(block.pieces, fields.get(_WORDS[kind])) or kind == "tool_use"

    def _take_delta(self, event: Object) -> bool:
        delta = an_object(event.get("delta"))
        kind = a_label(delta.get("type"))
        if kind not in _DELTAS:
            if kind not in _QUIET_DELTAS:
                self.unknown.add(f"delta.{kind}")
            return False
        block_kind, field = _DELTAS[kind]
        index = a_count(event.get("index"))
        block = self._blocks.setdefault(self._last_index if index is None else index, _Block(block_kind))
        return add_text(block.pieces, delta.get(field)) and block.kind in _WORDS

    def is_ended(self, *, has_partial: bool) -> bool:
        return self._stop_reason is not None  # all has been said, though no message_stop came

    def choices(self) -> tuple[Choice, ...]:
        if not self._is_begun and not self._blocks:
            return ()
        draft = Draft()
        for index in sorted(self._blocks):
            self._blocks[index].fill(draft)
        draft.finish_reason = self._stop_reason
        draft.refusal = [self._refusal]
        return (draft.choice(),)
