"""Embeddings in the shapes that servers send them: OpenAI, Cohere, Ollama, and the bare arrays of text-embeddings-inference. PURE."""

from __future__ import annotations

import binascii
import math
import struct
from dataclasses import replace
from typing import Any

from shadowproxy.errors import BoundExceeded
from shadowproxy.exchange import Answer, Choice, Usage
from shadowproxy.wire.collector import Collector, collected
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import usage_in
from shadowproxy.wire.loose_json import Object, a_count, a_label, a_list, an_object

Vector = tuple[float, ...]

#: Most numbers in one reply. 4 Mi: more than the default bound on a reply lets through, and a list of them is 128 MiB already.
MAX_NUMBERS = 4 * 1024 * 1024

_FIELDS = frozenset(
    {"object", "data", "model", "usage", "embedding", "embeddings", "id", "meta", "response_type", "texts", "error", "created"}
    | {"total_duration", "load_duration", "prompt_eval_count"}  # Ollama
)
#: Forms that Cohere sends side by side, best first: all say the same with fewer bits.
_FORMS = ("float", "float_", "base64", "int8", "uint8", "binary", "ubinary")


def read_embeddings(reply: DecodedReply) -> Answer:
    """The vectors of an embeddings reply, in the order of the inputs.

    What should be a vector of finite numbers and is none stands as an empty one, so that the others keep their places. Raises
    :class:`~shadowproxy.errors.BoundExceeded` past ``MAX_NUMBERS``.
    """
    return collected(reply, _Embeddings())


class _Embeddings(Collector):
    dialect = "embeddings"

    def __init__(self) -> None:
        super().__init__()
        self._vectors: tuple[Vector, ...] = ()
        self._numbers = 0

    def take_whole(self, value: Any) -> bool:
        if isinstance(value, dict):
            self.unknown.add_fields(value, _FIELDS)
            self.model = a_label(value.get("model")) or self.model
            self.usage = _usage(value)
        self._vectors = tuple(self._vector(found) for found in _found(value))
        self.is_finished = bool(self._vectors)
        return self.is_finished

    def take_event(self, kind: str, event: Object) -> bool:
        self.unknown.add(f"event {kind}")  # nobody streams vectors
        return False

    def choices(self) -> tuple[Choice, ...]:
        return ()

    def answer(self, *, is_streamed: bool, content_at_s: tuple[float, ...]) -> Answer:
        plain = super().answer(is_streamed=is_streamed, content_at_s=content_at_s)
        return replace(plain, embeddings=self._vectors)

    def _vector(self, found: Any) -> Vector:
        self._numbers += len(found) * 3 // 16 if isinstance(found, str) else len(a_list(found))
        if self._numbers > MAX_NUMBERS:
            raise BoundExceeded(f"the embeddings hold more than {MAX_NUMBERS} numbers")
        numbers = _of_base64(found) if isinstance(found, str) else _of_list(found)
        if not numbers:
            self.unknown.add("embedding without numbers")
        return numbers


def _found(value: Any) -> list[Any]:
    """What stands where the vectors should be, in the order of the inputs."""
    if isinstance(value, list):
        return _found_in_list(value)
    fields = an_object(value)
    if isinstance(data := fields.get("data"), list):
        return _found_in_items(data)
    embeddings = fields.get("embeddings")
    if isinstance(embeddings, dict):
        embeddings = next((embeddings[form] for form in _FORMS if embeddings.get(form)), None)
    if isinstance(embeddings, list):
        return embeddings
    return [fields["embedding"]] if fields.get("embedding") is not None else []


def _found_in_list(found: list[Any]) -> list[Any]:
    """A bare list is one vector, a list of them, or of objects that hold one each."""
    if found and isinstance(found[0], dict):
        return _found_in_items(found)
    return [found] if found and isinstance(found[0], int | float) else found


def _found_in_items(found: list[Any]) -> list[Any]:
    items = [an_object(item) for item in found]
    places = [a_count(item.get("index")) for item in items]
    by_place = sorted(range(len(items)), key=lambda at: at if (place := places[at]) is None else place)
    return [_unwrapped(items[at].get("embedding")) for at in by_place]


def _unwrapped(found: Any) -> Any:
    """llama.cpp puts the vector of a pooled input into a list of its own."""
    return found[0] if isinstance(found, list) and len(found) == 1 and isinstance(found[0], list) else found


def _of_list(found: Any) -> Vector:
    numbers = a_list(found)
    if not set(map(type, numbers)) <= {int, float}:
        return ()
    try:
        return _finite(tuple(map(float, numbers)))
    except OverflowError:  # a whole number past what a float holds
        return ()


def _of_base64(text: str) -> Vector:
    """Little-endian float32, as OpenAI's clients ask for unless told otherwise."""
    try:
        data = binascii.a2b_base64(text)
    except ValueError:
        return ()
    return _finite(struct.unpack(f"<{len(data) // 4}f", data)) if len(data) % 4 == 0 else ()


def _finite(numbers: Vector) -> Vector:
    return numbers if all(map(math.isfinite, numbers)) else ()


def _usage(fields: Object) -> Usage | None:
    return usage_in(fields.get("usage")) or usage_in(an_object(fields.get("meta")).get("billed_units")) or usage_in(fields)
