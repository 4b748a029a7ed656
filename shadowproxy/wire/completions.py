"""The dialect of OpenAI completions (``choices[].text``), streamed and not, as older clients and many servers speak it. PURE."""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import Answer, Choice
from shadowproxy.wire.collector import Collector, collected
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import MAX_CHOICES, Draft, add_text, usage_in
from shadowproxy.wire.failures import failure_in
from shadowproxy.wire.loose_json import Object, a_count, a_label, a_list, an_object

_CHUNK_FIELDS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "obfuscation", "error"}
)
_CHOICE_FIELDS = frozenset({"index", "text", "reasoning", "finish_reason", "logprobs", "error"})


def read_completions(reply: DecodedReply) -> Answer:
    """The meaning of a reply to ``POST …/completions``. Raises :class:`~shadowproxy.errors.BoundExceeded` on a giant event."""
    return collected(reply, _Completions())


class _Completions(Collector):
    dialect = "completions"
    ends_with_done = True

    def __init__(self) -> None:
        super().__init__()
        self._drafts: dict[int, Draft] = {}

    def take_whole(self, value: Any) -> bool:
        has_content = self.take_event("", an_object(value))
        self.is_finished = bool(self._drafts)
        return has_content

    def take_event(self, kind: str, event: Object) -> bool:
        self.unknown.add_fields(event, _CHUNK_FIELDS)
        self.model = a_label(event.get("model")) or self.model
        self.usage = usage_in(event.get("usage")) or self.usage
        choices = [choice for choice in a_list(event.get("choices")) if isinstance(choice, dict)]
        # Added up, not any(): every choice is to be read, whether or not one before it carried content.
        return sum(self._take_choice(position, choice) for position, choice in enumerate(choices)) > 0

    def _take_choice(self, position: int, choice: Object) -> bool:
        index = a_count(choice.get("index"))
        draft = self._draft(position if index is None else index)
        if draft is None:
            return False
        self.unknown.add_fields(choice, _CHOICE_FIELDS, "choices.")
        self.error = self.error or failure_in(choice)
        draft.finish_reason = a_label(choice.get("finish_reason")) or draft.finish_reason
        return add_text(draft.text, choice.get("text")) | add_text(draft.reasoning, choice.get("reasoning"))

    def _draft(self, index: int) -> Draft | None:
        """The choice of that index; None past the bound."""
        if index not in self._drafts:
            if len(self._drafts) >= MAX_CHOICES:
                self.unknown.add(f"choices past {MAX_CHOICES}")
                return None
            self._drafts[index] = Draft()
        return self._drafts[index]

    def is_ended(self, *, has_partial: bool) -> bool:
        return bool(self._drafts) and all(draft.finish_reason for draft in self._drafts.values())

    def choices(self) -> tuple[Choice, ...]:
        return tuple(self._drafts[index].choice() for index in sorted(self._drafts))
