"""Generated speech (OpenAI ``audio/speech`` and its like): a sound as the body, or in base64 pieces of a stream. PURE."""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import Answer, Choice
from shadowproxy.wire.collector import Collector, collected
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import usage_in
from shadowproxy.wire.generic import read_generic
from shadowproxy.wire.loose_json import Object, a_text
from shadowproxy.wire.media import Base64Pieces, media_of_bytes

DIALECT = "speech"

_SOUND_TYPES = ("audio/", "application/octet-stream", "binary/octet-stream")


def read_speech(reply: DecodedReply) -> Answer:
    """The sound of a reply, by its digest. ``content_at_s`` holds when it began; how it was cut up after that is the network's doing."""
    if reply.is_event_stream:
        return collected(reply, _Sound())
    if reply.status >= 400 or not reply.media_type.startswith(_SOUND_TYPES):
        return read_generic(reply)
    choices = (Choice(media=(media_of_bytes("audio", reply.body),)),) if reply.reads else ()
    return Answer(DIALECT, choices, is_complete=bool(choices), content_at_s=tuple(at_s for at_s, _ in reply.reads[:1]))


class _Sound(Collector):
    dialect = DIALECT

    def __init__(self) -> None:
        super().__init__()
        self._pieces = Base64Pieces()
        self._has_sound = False

    def take_whole(self, value: Any) -> bool:
        return False  # an answer that is JSON is no sound

    def take_event(self, kind: str, event: Object) -> bool:
        if kind == "speech.audio.delta":
            data = a_text(event.get("audio"))
            self._pieces.add(data)
            self._has_sound = self._has_sound or bool(data)
            return bool(data)
        if kind == "speech.audio.done":
            self.usage = usage_in(event.get("usage"))
            self.is_finished = True
        else:
            self.unknown.add(f"event {kind}")
        return False

    def choices(self) -> tuple[Choice, ...]:
        return (Choice(media=(self._pieces.media("audio"),)),) if self._has_sound else ()
