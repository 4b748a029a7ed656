"""The body of a request or reply without what must not be kept. PURE.

``Redactor`` is all that others need to know of this package to write something down: bytes in, bytes out, and where each byte went.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from shadowproxy.redaction.fields import Fields
from shadowproxy.redaction.literals import Edit, Substitute, applied, edits_of
from shadowproxy.redaction.searches import PATTERNS, Search
from shadowproxy.redaction.streams import stream_edits

_STREAM_TYPES = frozenset(
    {"text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)


@dataclass(frozen=True, slots=True)
class Redacted:
    """A body after redaction. ``edits`` count in characters of the body as it was."""

    body: bytes
    text: str
    edits: tuple[Edit, ...] = ()

    def moved(self, offsets: Sequence[int]) -> list[int]:
        """Where byte offsets of the old body (ascending) are in the new one. An offset within what was replaced goes behind it."""
        if not self.edits:
            return list(offsets)
        before, after = self._anchors()
        return [self._moved(offset, before, after) for offset in offsets]

    def _anchors(self) -> tuple[list[int], list[int]]:
        """Byte offsets where a kept run begins, before and after: of the body, and of what follows each edit."""
        starts = [0, *(edit.end for edit in self.edits)]
        ends = [*(edit.start for edit in self.edits), len(self.text)]
        kept = [len(_bytes(self.text[start:end])) for start, end in zip(starts, ends, strict=True)]
        gone = [len(_bytes(self.text[edit.start : edit.end])) for edit in self.edits]
        put = [len(_bytes(edit.put)) for edit in self.edits]
        before = list(accumulate((a + b for a, b in zip(kept, gone, strict=False)), initial=0))
        after = list(accumulate((a + b for a, b in zip(kept, put, strict=False)), initial=0))
        return before, after

    def _moved(self, offset: int, before: list[int], after: list[int]) -> int:
        run = bisect_right(before, offset) - 1
        bound = after[run + 1] if run + 1 < len(after) else len(self.body)
        return min(after[run] + offset - before[run], bound)


@dataclass(frozen=True, slots=True)
class Redactor:
    """What to look for, where, and what to put in its place."""

    substitute: Substitute
    search: Search = PATTERNS
    fields: Fields = field(default_factory=lambda: Fields(()))

    def redact(self, body: bytes, media_type: str = "") -> Redacted:
        """``media_type`` is lower case without parameters. Bytes that are not UTF-8 stay; the text between them is searched."""
        text = body.decode("utf-8", "surrogateescape")
        edits = self._edits(text, media_type)
        return Redacted(_bytes(applied(text, edits)), text, tuple(edits)) if edits else Redacted(body, text)

    def text(self, text: str) -> str:
        """A short text that is no body: a request's target, a header's value, a failure."""
        return applied(text, edits_of(text, self.substitute, self.search))

    def _edits(self, text: str, media_type: str) -> list[Edit]:
        if media_type in _STREAM_TYPES or text.startswith(("data:", "event:")):
            return stream_edits(text, self.substitute, self.search, self.fields)
        return edits_of(text, self.substitute, self.search, self.fields.edits_of(text, self.substitute))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
