"""The dialect of the Open Inference Protocol (KServe V2, Triton): named tensors. PURE.

Source: open-inference-protocol, inference_rest.md. A reply with binary tensors behind its JSON is read by its digest.
"""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import Answer, Choice
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import MAX_CHOICES
from shadowproxy.wire.failures import failure_in, failure_of_body
from shadowproxy.wire.generic import read_generic
from shadowproxy.wire.loose_json import Object, UnknownNames, a_label, a_list, a_text, an_object, canonical, mended, parsed

DIALECT = "infer"

_FIELDS = frozenset({"model_name", "model_version", "id", "parameters", "outputs", "error"})
#: What servers of language models call the tensor that holds the answer.
_TEXT_TENSORS = frozenset({"text_output", "generated_text", "text"})
_SHOWN = ("name", "datatype", "shape", "data")


def read_infer(reply: DecodedReply) -> Answer:
    """A reply to ``POST …/infer``.

    One choice per text where the answer is text: the only tensor, of type ``BYTES``, or one of a text tensor's name. Else one choice
    whose text is the JSON of all tensors in the order of their names, so that they can be compared as values.
    """
    if reply.status >= 400:
        return Answer(DIALECT, error=failure_of_body(reply.status, reply.body))
    fields = an_object(parsed(reply.body))
    if failure := failure_in(fields):
        return Answer(DIALECT, error=failure)
    choices = _choices([tensor for tensor in a_list(fields.get("outputs")) if isinstance(tensor, dict)])
    if not choices:
        return read_generic(reply)
    unknown = UnknownNames()
    unknown.add_fields(fields, _FIELDS)
    return Answer(
        DIALECT,
        choices,
        model=a_label(fields.get("model_name")) or None,
        content_at_s=reply.last_at_s,
        unknown=unknown.as_tuple(),
    )


def _choices(tensors: list[Any]) -> tuple[Choice, ...]:
    words = [tensor for tensor in tensors if a_label(tensor.get("datatype")) == "BYTES"]
    spoken = [tensor for tensor in words if a_label(tensor.get("name")) in _TEXT_TENSORS] or (words if len(tensors) == 1 else [])
    texts = [text for tensor in spoken[:1] for text in texts_of(tensor)]
    if 0 < len(texts) <= MAX_CHOICES:
        return tuple(Choice(text=mended(text)) for text in texts)
    in_order = sorted(tensors, key=lambda tensor: a_label(tensor.get("name")))
    text = canonical([{name: tensor.get(name) for name in _SHOWN} for tensor in in_order]) if tensors else None
    return () if text is None else (Choice(text=text),)


def texts_of(tensor: Object) -> list[str]:
    """The elements of a tensor of texts, flat or in rows, in row-major order."""
    found: list[str] = []
    waiting = [tensor.get("data")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
        elif isinstance(value, str):
            found.append(a_text(value))
    return found
