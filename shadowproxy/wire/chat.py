"""The dialect of OpenAI chat completions, streamed and not, as many servers speak it. PURE. Chosen by ``reading``.

A whole reply and a stream differ in that one carries messages and the other pieces of them, so both are read by the same collector:
a whole reply is a stream of one event. What is unknown or of the wrong type is passed over and never an error.
"""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import Answer, Choice, Media, ReplyError, ToolCall, Usage
from shadowproxy.wire.decoded import MAX_EVENT_BYTES, DecodedReply, timed_events
from shadowproxy.wire.drafts import MAX_CHOICES
from shadowproxy.wire.failures import failure_in, failure_of_body, failure_of_event
from shadowproxy.wire.loose_json import (
    Object,
    UnknownNames,
    a_count,
    a_label,
    a_list,
    a_text,
    an_object,
    canonical,
    mended,
    parsed,
)
from shadowproxy.wire.media import Base64Pieces, media_of_part
from shadowproxy.wire.sse import SseDecoder, SseEvent

DIALECT = "chat"

#: Longest name of a tool. OpenAI allows 64 characters; without a bound, a name sent in a million pieces would cost quadratic time.
MAX_CALL_NAME_CHARS = 1024

# ``obfuscation`` is random padding against traffic analysis: known, and of no meaning.
_CHUNK_FIELDS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "obfuscation", "error"}
)
_CHOICE_FIELDS = frozenset({"index", "delta", "message", "finish_reason", "logprobs", "error"})
_MESSAGE_FIELDS = frozenset(
    {"role", "content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call"} | {"audio", "images"}
)
_LEGACY_CALL = -1  # where the one ``function_call`` of a message stands among its indexed tool calls


def read_chat(reply: DecodedReply) -> Answer:
    """The meaning of a reply to ``POST …/chat/completions``. Raises :class:`~shadowproxy.errors.BoundExceeded` on a giant event."""
    return _read_stream(reply) if reply.is_event_stream else _read_whole(reply)


def _read_whole(reply: DecodedReply, is_streamed: bool = False) -> Answer:
    body = reply.body
    if reply.status >= 400:
        return Answer(DIALECT, error=failure_of_body(reply.status, body), is_streamed=is_streamed)
    value = parsed(body)
    if not isinstance(value, dict):
        return Answer(
            DIALECT, error=ReplyError("the body is not a JSON object", type="undecodable"), is_streamed=is_streamed, is_complete=False
        )
    collector = _Collector()
    has_content = collector.take_chunk(value)
    at_s = reply.last_at_s if has_content else ()
    is_complete = collector.has_choices or collector.error is not None
    return collector.answer(is_streamed=is_streamed, is_complete=is_complete, content_at_s=at_s)


def _read_stream(reply: DecodedReply) -> Answer:
    collector = _Collector()
    content_at_s: list[float] = []
    has_events = False
    for at_s, event in timed_events(SseDecoder(MAX_EVENT_BYTES), reply.reads):
        has_events = True
        if event.data.strip() == "[DONE]":
            return collector.answer(is_streamed=True, is_complete=True, content_at_s=tuple(content_at_s))
        if collector.take_event(event):
            content_at_s.append(at_s)
    if reply.status >= 400 and collector.error is None:
        return _read_whole(reply, is_streamed=True)
    if not has_events and reply.body.lstrip().startswith(b"{"):
        return _read_whole(reply)  # some servers announce a stream and then send one JSON body, most often an error
    return collector.answer(is_streamed=True, is_complete=collector.is_finished, content_at_s=tuple(content_at_s))


class _Collector:
    """An answer under construction: chunks in, one :class:`Answer` out."""

    __slots__ = ("_choices", "_model", "_unknown", "_usage", "error")

    def __init__(self) -> None:
        self._choices: dict[int, _ChoiceParts] = {}
        self._model: str | None = None
        self._usage: Usage | None = None
        self._unknown = UnknownNames()
        self.error: ReplyError | None = None

    @property
    def has_choices(self) -> bool:
        return bool(self._choices)

    @property
    def is_finished(self) -> bool:
        """True where every choice has its finish_reason: with that, a stream is whole even where no ``[DONE]`` came."""
        return self.has_choices and all(parts.finish_reason for parts in self._choices.values())

    def take_event(self, event: SseEvent) -> bool:
        """Add one event of a stream; True where it carried content."""
        if event.event == "error":
            self.error = self.error or failure_of_event(event.data)
            return False
        value = parsed(event.data)
        if event.event != "message" or not isinstance(value, dict):
            self._unknown.add(f"event {event.event}")
        return self.take_chunk(an_object(value))

    def take_chunk(self, chunk: Object) -> bool:
        """Add one chunk of a stream, or a whole reply; True where it carried content."""
        self._unknown.add_fields(chunk, _CHUNK_FIELDS)
        self.error = self.error or failure_in(chunk)
        self._model = a_label(chunk.get("model")) or self._model
        self._usage = _usage(chunk.get("usage")) or self._usage
        choices = [choice for choice in a_list(chunk.get("choices")) if isinstance(choice, dict)]
        # Added up, not any(): every choice is to be read, whether or not one before it carried content.
        return sum(self._take_choice(position, choice) for position, choice in enumerate(choices)) > 0

    def _take_choice(self, position: int, choice: Object) -> bool:
        index = a_count(choice.get("index"))
        parts = self._parts(position if index is None else index)
        if parts is None:
            return False
        self._unknown.add_fields(choice, _CHOICE_FIELDS, "choices.")
        self.error = self.error or failure_in(choice)
        parts.finish_reason = a_label(choice.get("finish_reason")) or parts.finish_reason
        if isinstance(delta := choice.get("delta"), dict):
            return parts.take(delta, self._unknown, is_whole=False)
        # Some streams end with the whole message once more; only a message that comes alone is news.
        if isinstance(message := choice.get("message"), dict) and parts.is_empty:
            return parts.take(message, self._unknown, is_whole=True)
        return False

    def _parts(self, index: int) -> _ChoiceParts | None:
        """The choice of that index; None past the bound."""
        parts = self._choices.get(index)
        if parts is None:
            if len(self._choices) >= MAX_CHOICES:
                self._unknown.add(f"choices past {MAX_CHOICES}")
                return None
            parts = self._choices[index] = _ChoiceParts()
        return parts

    def answer(self, is_streamed: bool, is_complete: bool, content_at_s: tuple[float, ...]) -> Answer:
        return Answer(
            dialect=DIALECT,
            choices=tuple(self._choices[index].choice() for index in sorted(self._choices)),
            usage=self._usage,
            error=self.error,
            model=self._model,
            is_streamed=is_streamed,
            is_complete=is_complete,
            content_at_s=content_at_s,
            unknown=self._unknown.as_tuple(),
        )


class _ChoiceParts:
    """One choice under construction, as the pieces that came."""

    __slots__ = ("_calls", "_media", "_reasoning", "_refusal", "_sound", "_text", "finish_reason")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls = _Calls()
        self._media: list[Media] = []
        self._sound: Base64Pieces | None = None  # comes in pieces
        self.finish_reason: str | None = None

    @property
    def is_empty(self) -> bool:
        return not (self._text or self._reasoning or self._refusal or self._calls.count or self._media or self._sound)

    def take(self, message: Object, unknown: UnknownNames, is_whole: bool) -> bool:
        """Add a message, or a delta of one; True where it carried content."""
        unknown.add_fields(message, _MESSAGE_FIELDS, "message." if is_whole else "delta.")
        before = self._pieces
        self._take_content(message.get("content"), unknown)
        # One name or the other, and from some servers both with the same text.
        self._add(self._reasoning, a_text(message.get("reasoning_content")) or a_text(message.get("reasoning")))
        self._add(self._refusal, a_text(message.get("refusal")))
        for call in a_list(message.get("tool_calls")):
            self._calls.take(an_object(call), is_whole)
        self._calls.take_legacy(message.get("function_call"))
        has_sound = "audio" in message and self._take_sound(an_object(message.get("audio")))
        if "images" in message:  # OpenRouter and others put what a model draws beside its words
            self._media.extend(media for part in a_list(message.get("images")) if (media := media_of_part(an_object(part))) is not None)
        return has_sound or self._pieces > before

    @property
    def _pieces(self) -> int:
        return len(self._text) + len(self._reasoning) + len(self._refusal) + self._calls.count + len(self._media)

    def _take_content(self, content: Any, unknown: UnknownNames) -> None:
        if isinstance(content, str):
            self._add(self._text, content)
        for part in a_list(content):
            self._take_part(part, unknown)

    def _take_part(self, part: Any, unknown: UnknownNames) -> None:
        """One part of a content list: text, a refusal, or what a reasoning model thought."""
        if isinstance(part, str):
            self._add(self._text, part)
            return
        fields = an_object(part)
        kind = a_label(fields.get("type"))
        if kind in ("thinking", "reasoning"):
            self._add(self._reasoning, _thought(fields))
        elif kind == "refusal":
            self._add(self._refusal, a_text(fields.get("refusal")))
        elif kind in ("text", "output_text", ""):
            self._add(self._text, a_text(fields.get("text")))
        elif (media := media_of_part(fields)) is not None:
            self._media.append(media)
        else:
            unknown.add(f"content.{kind}")

    def _take_sound(self, audio: Object) -> bool:
        """Spoken words: their sound by digest, their transcript as text. True where there was some of either."""
        data, words = a_text(audio.get("data")), a_text(audio.get("transcript"))
        if data:
            self._sound = self._sound or Base64Pieces()
            self._sound.add(data)
        self._add(self._text, words)
        return bool(data or words)

    def _add(self, pieces: list[str], piece: str) -> None:
        if piece:
            pieces.append(piece)

    def choice(self) -> Choice:
        return Choice(
            text=mended("".join(self._text)),
            reasoning=mended("".join(self._reasoning)),
            tool_calls=self._calls.as_tuple(),
            finish_reason=self.finish_reason,
            refusal=mended("".join(self._refusal)) or None,
            media=tuple(self._media) if self._sound is None else (*self._media, self._sound.media("audio")),
        )


class _Call:
    """One tool call under construction."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class _Calls:
    """The tool calls of one choice. ``count`` grows with every piece of a call."""

    __slots__ = ("_at", "_calls", "_last_index", "count")

    def __init__(self) -> None:
        self._calls: list[tuple[int, _Call]] = []
        self._at: dict[int | str, _Call] = {}  # by index, and by id where no index is given: the call that pieces go to
        self._last_index = -1
        self.count = 0

    def take(self, piece: Object, is_whole: bool) -> None:
        """Add a tool call, or a piece of one that a stream sends."""
        function = an_object(piece.get("function")) or an_object(piece.get("custom"))
        name, arguments = a_label(function.get("name")), _arguments(function)
        call_id = a_label(piece.get("id"))
        if name or arguments or call_id:
            call = self._new(a_count(piece.get("index")), call_id) if is_whole else self._place(a_count(piece.get("index")), call_id, name)
            self._extend(call, call_id, name, arguments)

    def take_legacy(self, value: Any) -> None:
        """Add the ``function_call`` that came before tool calls: at most one per message, without index or id."""
        function = an_object(value)
        name, arguments = a_label(function.get("name")), _arguments(function)
        if name or arguments:
            self._extend(self._at.get(_LEGACY_CALL) or self._new(_LEGACY_CALL, ""), "", name, arguments)

    def _place(self, index: int | None, call_id: str, name: str) -> _Call:
        """The call that a streamed piece belongs to.

        By the index, as the protocol says. But some servers give every parallel call index 0: a name under another id is another
        call (an id alone is not: others invent one per piece). Without index: the id tells; without id a name begins a call.
        """
        if index is not None:
            known = self._at.get(index)
            is_another = known is not None and bool(name and call_id and known.id) and known.id != call_id
            return known if known is not None and not is_another else self._new(index, call_id)
        if call_id:
            return self._at.get(call_id) or self._new(None, call_id)
        return self._calls[-1][1] if self._calls and not name else self._new(None, "")

    def _new(self, index: int | None, call_id: str) -> _Call:
        call = _Call()
        place = self._last_index + 1 if index is None else index
        self._last_index = max(self._last_index, place)
        self._calls.append((place, call))
        self._at[place] = call
        if call_id:
            self._at[call_id] = call
        return call

    def _extend(self, call: _Call, call_id: str, name: str, arguments: str) -> None:
        call.id = call.id or call_id
        if name != call.name:  # the same name again is a server that repeats it with every piece
            call.name = (call.name + name)[:MAX_CALL_NAME_CHARS]
        if arguments:
            call.arguments.append(arguments)
        self.count += bool(name or arguments)

    def as_tuple(self) -> tuple[ToolCall, ...]:
        in_order = sorted(self._calls, key=lambda placed: placed[0])
        return tuple(ToolCall(call.name, mended("".join(call.arguments)), call.id or None) for _, call in in_order)


def _arguments(function: Object) -> str:
    """The arguments as JSON text; some servers send the object itself. Custom tools call them ``input``."""
    value = function.get("arguments", function.get("input"))
    return canonical(value) or "" if isinstance(value, dict) else a_text(value)


def _thought(part: Object) -> str:
    """The text of a reasoning part: ``{"thinking": "…"}``, ``{"thinking": [{"text": "…"}]}`` or ``{"text": "…"}``."""
    inner = part.get("thinking", part.get("text"))
    return a_text(inner) or "".join(a_text(an_object(item).get("text")) for item in a_list(inner))


def _usage(value: Any) -> Usage | None:
    fields = an_object(value)
    prompt, completion = a_count(fields.get("prompt_tokens")), a_count(fields.get("completion_tokens"))
    return None if prompt is None and completion is None else Usage(prompt or 0, completion or 0)
