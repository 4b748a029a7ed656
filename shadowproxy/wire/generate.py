"""Text generation as Triton, KServe, text-generation-inference and SGLang speak it at ``generate`` and ``generate_stream``. PURE.

One reader for all, because they share their paths and differ in the names of their fields: ``text_output`` (Triton, KServe),
``generated_text`` with ``token`` events (text-generation-inference), ``text`` with ``meta_info`` (SGLang).
"""

from __future__ import annotations

from typing import Any

from shadowproxy.exchange import Answer, Choice, Usage
from shadowproxy.wire.collector import Collector, collected_loosely
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import MAX_CHOICES, Draft, add_text, first_count
from shadowproxy.wire.loose_json import Object, a_label, a_list, a_text, an_object

_FIELDS = frozenset(
    {"model_name", "model_version", "id", "model", "text_output", "finish_reason", "error", "error_type"}
    | {"generated_text", "details", "token", "index", "top_tokens"}
    | {"text", "meta_info", "output_ids"}
)
_TEXTS = ("generated_text", "text_output", "text")


def read_generate(reply: DecodedReply) -> Answer:
    """The meaning of a reply to a text generation request; a reply that holds no generated text is read as any other JSON."""
    return collected_loosely(reply, _Generation())


class _Generation(Collector):
    dialect = "generate"
    ends_with_done = True  # SGLang

    def __init__(self) -> None:
        super().__init__()
        self._drafts: list[Draft] = []
        self._prompt_tokens: int | None = None
        self._completion_tokens: int | None = None
        self._has_tokens = False
        self._is_growing: bool | None = None
        self._is_marked = False  # this server marks the end, or what it sends grows: its end is not that of the body

    def take_whole(self, value: Any) -> bool:
        for item in value if isinstance(value, list) else [value]:
            self._take_one(an_object(item))
        self.is_finished = bool(self._drafts)
        return any(draft.text for draft in self._drafts)

    def _take_one(self, item: Object) -> None:
        """One whole answer; text-generation-inference wraps it in a list at its root, SGLang sends a list for a batch."""
        self._note(item)
        found = next((item[name] for name in _TEXTS if isinstance(item.get(name), str | list)), None)
        for text in [found] if isinstance(found, str) else a_list(found):
            self._add(text, _finish_reason(item))
        for other in a_list(an_object(item.get("details")).get("best_of_sequences")):
            sequence = an_object(other)
            self._add(sequence.get("generated_text"), a_label(sequence.get("finish_reason")) or None)

    def _add(self, text: Any, finish_reason: str | None) -> None:
        if len(self._drafts) >= MAX_CHOICES:
            self.unknown.add(f"choices past {MAX_CHOICES}")
            return
        draft = Draft()
        add_text(draft.text, text)
        draft.finish_reason = finish_reason
        self._drafts.append(draft)

    def take_event(self, kind: str, event: Object) -> bool:
        if not any(name in event for name in ("token", *_TEXTS)):
            if "error" not in event:
                self.unknown.add(f"event {kind}")
            return False
        self._note(event)
        draft = self._draft()
        draft.finish_reason = _finish_reason(event) or draft.finish_reason
        if "token" in event or isinstance(event.get("generated_text"), str):
            return self._take_token(draft, event)
        if "meta_info" in event:
            return self._take_growing(draft, a_text(event.get("text")))
        return add_text(draft.text, event.get("text_output")) or add_text(draft.text, event.get("text"))

    def _draft(self) -> Draft:
        if not self._drafts:
            self._drafts.append(Draft())
        return self._drafts[0]

    def _take_token(self, draft: Draft, event: Object) -> bool:
        """A token of text-generation-inference. The last one comes with the whole text, which is what an unstreamed reply holds."""
        self._is_marked = True
        token = an_object(event.get("token"))
        has_content = token.get("special") is not True and add_text(draft.text, token.get("text"))
        if isinstance(whole := event.get("generated_text"), str):
            has_content = has_content or (bool(whole) and not draft.text)
            draft.text = [whole]
            self.is_finished = True
        return has_content

    def _take_growing(self, draft: Draft, text: str) -> bool:
        """SGLang sends the whole text so far with every event, or, told so, only what is new: the second event tells which.

        A character that was half there at the end of the text before is a replacement sign, and is written anew.
        """
        self._is_marked = True
        before = "".join(draft.text[:1])
        if self._is_growing is None and before:
            self._is_growing = text.startswith(before.rstrip("\ufffd"))
        if not self._is_growing:
            return add_text(draft.text, text)
        draft.text = [text]
        return len(text) > len(before)

    def _note(self, item: Object) -> None:
        self.unknown.add_fields(item, _FIELDS)
        self.model = a_label(item.get("model_name")) or a_label(item.get("model")) or self.model
        details, meta = an_object(item.get("details")), an_object(item.get("meta_info"))
        self._count_tokens(details, meta)

    def _count_tokens(self, details: Object, meta: Object) -> None:
        prompt = first_count(details, ("input_length", "prompt_tokens", "prefill_tokens"))
        prompt = first_count(meta, ("prompt_tokens",)) if prompt is None else prompt
        if prompt is None and (prefill := a_list(details.get("prefill"))):
            prompt = len(prefill)
        completion = first_count(details, ("generated_tokens",))
        completion = first_count(meta, ("completion_tokens",)) if completion is None else completion
        self._prompt_tokens = self._prompt_tokens if prompt is None else prompt
        self._completion_tokens = self._completion_tokens if completion is None else completion
        if self._prompt_tokens is not None or self._completion_tokens is not None:
            self.usage = Usage(self._prompt_tokens or 0, self._completion_tokens or 0)

    def is_ended(self, *, has_partial: bool) -> bool:
        return bool(self._drafts) and (bool(self._drafts[0].finish_reason) or not (self._is_marked or has_partial))

    def choices(self) -> tuple[Choice, ...]:
        return tuple(draft.choice() for draft in self._drafts)


def _finish_reason(item: Object) -> str | None:
    found = an_object(item.get("meta_info")).get("finish_reason")
    reason = an_object(found).get("type") or found
    return a_label(an_object(item.get("details")).get("finish_reason")) or a_label(reason) or a_label(item.get("finish_reason")) or None
