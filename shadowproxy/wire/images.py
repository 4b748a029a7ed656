"""Generated pictures (OpenAI ``images/generations`` and its like), by their digest, one choice each. PURE."""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import Answer, Choice
from shadowproxy.wire.collector import Collector, collected_loosely
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import MAX_CHOICES, Draft, add_text, usage_in
from shadowproxy.wire.loose_json import Object, a_label, a_list, a_text, an_object
from shadowproxy.wire.media import media_of_base64, media_of_url

_FIELDS = frozenset({"created", "data", "usage", "background", "output_format", "quality", "size", "model", "id", "object", "error"})


def read_images(reply: DecodedReply) -> Answer:
    """The pictures of a reply. The text of a choice is the prompt as the server has rewritten it, where it says so."""
    return collected_loosely(reply, _Pictures())


class _Pictures(Collector):
    dialect = "images"
    ends_with_done = True

    def __init__(self) -> None:
        super().__init__()
        self._drafts: list[Draft] = []
        self._has_sketch = False

    @property
    def has_meaning(self) -> bool:
        return self._has_sketch or super().has_meaning

    def take_whole(self, value: Any) -> bool:
        fields = an_object(value)
        self.model = a_label(fields.get("model")) or None
        self.usage = usage_in(fields.get("usage"))
        found = [self._add(an_object(item)) for item in a_list(fields.get("data"))[:MAX_CHOICES]]
        self.is_finished = any(found)
        if self.is_finished:
            self.unknown.add_fields(fields, _FIELDS)
        return self.is_finished

    def take_event(self, kind: str, event: Object) -> bool:
        """``image_generation.completed`` brings the picture; the partial ones before it are sketches of the same."""
        if kind.endswith(".completed"):
            self.usage = usage_in(event.get("usage")) or self.usage
            self.is_finished = True
            return self._add(event)
        if kind.endswith(".partial_image"):
            self._has_sketch = True
        else:
            self.unknown.add(f"event {kind}")
        return False

    def _add(self, item: Object) -> bool:
        data, url = a_text(item.get("b64_json")), a_text(item.get("url"))
        if not (data or url) or len(self._drafts) >= MAX_CHOICES:
            return False
        draft = Draft()
        draft.media.append(media_of_base64("image", data) if data else media_of_url(url, "image"))
        add_text(draft.text, item.get("revised_prompt"))
        self._drafts.append(draft)
        return True

    def choices(self) -> tuple[Choice, ...]:
        return tuple(draft.choice() for draft in self._drafts)
