"""The dialect of KServe V1 and TensorFlow Serving (``{"predictions": […]}``). PURE. Anything else is read as plain JSON."""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import Answer, Choice
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import MAX_CHOICES
from shadowproxy.wire.failures import failure_in, failure_of_body
from shadowproxy.wire.generic import read_generic
from shadowproxy.wire.loose_json import UnknownNames, a_label, an_object, canonical, mended, parsed

DIALECT = "predict"

_FIELDS = frozenset({"predictions", "outputs", "model_name", "model_version", "model", "deployed_model_id", "metadata", "error"})
#: Where models that write text put it in a prediction.
_TEXTS = ("generated_text", "text_output", "text", "output")


def read_predict(reply: DecodedReply) -> Answer:
    """A reply to ``POST …:predict``: one choice per prediction where all are texts, else one whose text is the JSON of them all."""
    if reply.status >= 400:
        return Answer(DIALECT, error=failure_of_body(reply.status, reply.body))
    fields = an_object(parsed(reply.body))
    if failure := failure_in(fields):
        return Answer(DIALECT, error=failure)
    choices = _choices(fields.get("predictions", fields.get("outputs")))  # TensorFlow Serving's column form says outputs
    if not choices:
        return read_generic(reply)
    unknown = UnknownNames()
    unknown.add_fields(fields, _FIELDS)
    model = a_label(fields.get("model_name")) or a_label(fields.get("model")) or None
    return Answer(DIALECT, choices, model=model, content_at_s=reply.last_at_s, unknown=unknown.as_tuple())


def _choices(predictions: Any) -> tuple[Choice, ...]:
    found = predictions if isinstance(predictions, list) else []
    texts = [_text(prediction) for prediction in found[: MAX_CHOICES + 1]]
    if 0 < len(texts) <= MAX_CHOICES and None not in texts:
        return tuple(Choice(text=mended(text or "")) for text in texts)
    text = None if predictions is None else canonical(predictions)
    return () if text is None else (Choice(text=text),)


def _text(prediction: Any) -> str | None:
    """The text of a prediction that is one, or an object around one."""
    if isinstance(prediction, str):
        return prediction
    fields = an_object(prediction)
    found = [fields[name] for name in _TEXTS if isinstance(fields.get(name), str)]
    return found[0] if len(found) == 1 == len(fields) else None
