"""Rankings of documents: Cohere, Jina, Voyage, vLLM and KServe (``results``), text-embeddings-inference, and plain scores. PURE.

Paths that end in ``score`` also serve models that rank nothing; what holds no ranking is read as any other JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from shadowproxy.errors import BoundExceeded
from shadowproxy.exchange import Answer, Choice, Ranked
from shadowproxy.wire.collector import Collector, collected_loosely
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import usage_in
from shadowproxy.wire.loose_json import Object, a_count, a_label, a_number, an_object

#: Most lines of one ranking. A million is far past what any server ranks in one call, and what a reply's default bound holds.
MAX_LINES = 1_000_000

_FIELDS = frozenset({"id", "object", "model", "usage", "results", "data", "scores", "meta", "created", "error"})
_LISTS = ("results", "data", "scores")
_SCORES = ("relevance_score", "score")


def read_rerank(reply: DecodedReply) -> Answer:
    """The ranking of a rerank or score reply, best first. Raises :class:`~shadowproxy.errors.BoundExceeded` past ``MAX_LINES``."""
    return collected_loosely(reply, _Ranking())


class _Ranking(Collector):
    dialect = "rerank"

    def __init__(self) -> None:
        super().__init__()
        self._ranking: tuple[Ranked, ...] = ()

    def take_whole(self, value: Any) -> bool:
        fields = an_object(value)
        self.model = a_label(fields.get("model")) or self.model
        self.usage = usage_in(fields.get("usage")) or usage_in(an_object(fields.get("meta")).get("billed_units"))
        found = value if isinstance(value, list) else next((fields[name] for name in _LISTS if isinstance(fields.get(name), list)), None)
        if found is None:
            return False
        self.unknown.add_fields(fields, _FIELDS)
        lines = list(_lines(found))
        self._ranking = tuple(sorted(lines, key=lambda line: (-line.score, line.index)))
        self.is_finished = len(lines) == len(found)
        return bool(lines)

    def take_event(self, kind: str, event: Object) -> bool:
        self.unknown.add(f"event {kind}")  # nobody streams rankings
        return False

    def choices(self) -> tuple[Choice, ...]:
        return ()

    @property
    def has_meaning(self) -> bool:
        return bool(self._ranking) or super().has_meaning

    def answer(self, *, is_streamed: bool, content_at_s: tuple[float, ...]) -> Answer:
        return replace(super().answer(is_streamed=is_streamed, content_at_s=content_at_s), ranking=self._ranking)


def _lines(found: list[Any]) -> Iterator[Ranked]:
    """The lines that hold a score. A line without index stands for the document at its own place."""
    if len(found) > MAX_LINES:
        raise BoundExceeded(f"the ranking has more than {MAX_LINES} lines")
    for place, line in enumerate(found):
        fields = an_object(line)
        score = a_number(line if not fields else next((fields[name] for name in _SCORES if name in fields), None))
        index = a_count(fields.get("index", place))
        if score is not None and index is not None:
            yield Ranked(index, score)
