"""How a reply becomes an answer, whatever the dialect: whole, as a stream of events, or as lines of JSON. PURE.

A dialect is a :class:`Collector`: it says what each JSON value means. This module finds the values and their times, and what makes a
reply broken in every dialect alike. ``chat`` has a walk of its own, because it is read for nearly every pair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from shadowproxy.exchange import Answer, Choice, ReplyError, Usage
from shadowproxy.wire.decoded import MAX_EVENT_BYTES, DecodedReply, timed_events, timed_lines
from shadowproxy.wire.failures import failure_in, failure_of_body, failure_of_event
from shadowproxy.wire.generic import read_generic
from shadowproxy.wire.loose_json import Object, UnknownNames, a_label, an_object, parsed
from shadowproxy.wire.sse import SseDecoder, SseEvent


class Collector(ABC):
    """An answer under construction: JSON values in, one :class:`Answer` out. One subclass per dialect."""

    dialect: ClassVar[str]
    #: True where ``[DONE]`` is this dialect's end of a stream. Elsewhere it is what a gateway appended, and proves nothing.
    ends_with_done: ClassVar[bool] = False

    def __init__(self) -> None:
        self.model: str | None = None
        self.usage: Usage | None = None
        self.error: ReplyError | None = None
        self.unknown = UnknownNames()
        self.is_finished = False

    @abstractmethod
    def take_whole(self, value: Any) -> bool:
        """Take a whole body; True where it carries content. Sets ``is_finished`` where it is what this dialect answers."""

    @abstractmethod
    def take_event(self, kind: str, event: Object) -> bool:
        """Take one event (``kind``: its ``type``, or else its name); True where it carried content. Sets ``is_finished`` at the end."""

    @abstractmethod
    def choices(self) -> tuple[Choice, ...]:
        """The choices so far."""

    def failure(self, status: int, body: bytes) -> ReplyError:
        """What a reply with status 400 or above complains about."""
        return failure_of_body(status, body)

    def is_ended(self, *, has_partial: bool) -> bool:
        """Asked once the body of a stream is over and no event has said that it is the last: whether nothing is missing.

        ``has_partial`` is True where an event was begun and not ended.
        """
        return False

    @property
    def has_meaning(self) -> bool:
        """True where something was understood, if only an error."""
        return self.is_finished or self.error is not None or bool(self.choices())

    def take(self, event: SseEvent) -> bool:
        """Take one event of a stream as it came; True where it carried content."""
        value = parsed(event.data)
        kind = a_label(an_object(value).get("type")) or event.event
        if "error" in (kind, event.event):
            self.error = self.error or failure_of_event(event.data)
            return False
        if not isinstance(value, dict):
            self.unknown.add(f"event {event.event}")
            return False
        self.error = self.error or failure_in(value)
        return self.take_event(kind, value)

    def answer(self, *, is_streamed: bool, content_at_s: tuple[float, ...]) -> Answer:
        return Answer(
            self.dialect,
            self.choices(),
            self.usage,
            self.error,
            self.model,
            is_streamed=is_streamed,
            is_complete=self.is_finished or (self.error is not None and not is_streamed),
            content_at_s=content_at_s,
            unknown=self.unknown.as_tuple(),
        )


def collected(reply: DecodedReply, collector: Collector) -> Answer:
    """The meaning of ``reply``. Raises :class:`~shadowproxy.errors.BoundExceeded` on a giant event."""
    return _of_stream(reply, collector) if reply.is_event_stream or reply.is_lines else _of_whole(reply, collector)


def collected_loosely(reply: DecodedReply, collector: Collector) -> Answer:
    """As :func:`collected`, for paths at which other services answer, too: what is not of the dialect is read as any other reply."""
    answer = collected(reply, collector)
    return answer if collector.has_meaning or reply.status >= 400 else read_generic(reply)


def _of_whole(reply: DecodedReply, collector: Collector, *, is_streamed: bool = False) -> Answer:
    body = reply.body
    if reply.status >= 400:
        return Answer(collector.dialect, error=collector.failure(reply.status, body), is_streamed=is_streamed)
    value = parsed(body)
    if not isinstance(value, dict | list):
        error = ReplyError("the body is not a JSON object or list", type="undecodable")
        if "json" in reply.media_type:
            collector.error = error  # it breaks its own word; any other type may be another service's plain answer
        return Answer(collector.dialect, error=error, is_streamed=is_streamed, is_complete=False)
    collector.error = failure_in(value)
    at_s = reply.last_at_s if collector.take_whole(value) else ()
    return collector.answer(is_streamed=is_streamed, content_at_s=at_s)


def _of_stream(reply: DecodedReply, collector: Collector) -> Answer:
    content_at_s: list[float] = []
    decoder = SseDecoder(MAX_EVENT_BYTES)
    events = timed_events(decoder, reply.reads) if reply.is_event_stream else _lines(reply)
    has_events = False
    for at_s, event in events:
        has_events = True
        if event.data.strip() == "[DONE]":
            collector.is_finished = collector.is_finished or collector.ends_with_done
            break
        if collector.take(event):
            content_at_s.append(at_s)
    if reply.status >= 400 and collector.error is None:
        return _of_whole(reply, collector, is_streamed=True)
    if not has_events and reply.body.lstrip()[:1] in (b"{", b"["):
        return _of_whole(reply, collector)  # announced as a stream, sent as one JSON body: most often an error
    collector.is_finished = collector.is_finished or collector.is_ended(has_partial=decoder.has_partial)
    return collector.answer(is_streamed=True, content_at_s=tuple(content_at_s))


def _lines(reply: DecodedReply) -> Iterator[tuple[float, SseEvent]]:
    return ((at_s, SseEvent("message", line, None)) for at_s, line in timed_lines(reply.reads))
