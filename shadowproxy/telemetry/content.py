"""Prompts and answers as the GenAI conventions write them, for spans that are asked to carry content. PURE.

Secrets and what looks like personal data give way to placeholders, as on /pairs. Images, sounds and files are named, never copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import orjson

from shadowproxy.exchange import Answer, Choice
from shadowproxy.redaction.masking import redact
from shadowproxy.telemetry.facts import Asked, Attributes, clean

#: Characters of one text, and of all texts of one attribute. With the queue of the SDK (2048 spans) this bounds memory to tens of MB, and
#: finding what to redact takes its time, too.
_TEXT_CHARS = 2_000
_ALL_CHARS = 6_000
_MESSAGES = 40

#: How far behind the cut a secret is still seen as a whole.
_REDACTED_BEYOND = 256

_Part = dict[str, object]
_Message = dict[str, object]


def content_of(asked: Asked, answer: Answer | None) -> Attributes:
    """``gen_ai.input.messages``, ``gen_ai.system_instructions`` and ``gen_ai.output.messages`` as JSON text."""
    found: Attributes = {}
    rest = _Budget(_ALL_CHARS)
    # The latest first: where a conversation is too long, its end says what was answered.
    given = list(reversed([_message(raw, rest) for raw in reversed(_messages(asked.body)) if not rest.is_spent]))
    system = [part for message in given if message["role"] in ("system", "developer") for part in _parts_of(message)]
    if isinstance(instructions := asked.body.get("system", asked.body.get("instructions")), str):
        system.insert(0, {"type": "text", "content": rest.take(instructions)})
    if system:
        found["gen_ai.system_instructions"] = _json(system)
    if asking := [message for message in given if message["role"] not in ("system", "developer")]:
        found["gen_ai.input.messages"] = _json(asking)
    if answer is not None and answer.choices:
        rest = _Budget(_ALL_CHARS)
        found["gen_ai.output.messages"] = _json([_answered(choice, rest) for choice in answer.choices if not rest.is_spent])
    return found


def shown(text: str, most: int = _TEXT_CHARS) -> str:
    """A text as it may stand in a span: redacted, then cut, so that no secret is cut to a piece that nobody recognises."""
    return redact(clean(text, most + _REDACTED_BEYOND))[:most]


class _Budget:
    """Characters that may still be written."""

    def __init__(self, chars: int) -> None:
        self._rest = chars

    @property
    def is_spent(self) -> bool:
        return self._rest <= 0

    def take(self, text: str) -> str:
        taken = shown(text, min(_TEXT_CHARS, max(self._rest, 0)))
        self._rest -= len(taken) + 1
        return taken


def _messages(body: Mapping[str, object]) -> list[object]:
    given = body.get("messages", body.get("input", body.get("prompt", body.get("inputs"))))
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return list(given[-_MESSAGES:]) if isinstance(given, list) else []


def _message(raw: object, rest: _Budget) -> _Message:
    if isinstance(raw, str):
        raw = {"role": "user", "content": raw}
    if not isinstance(raw, dict):
        return {"role": "user", "parts": []}
    role = raw.get("role")
    return {"role": clean(role) if isinstance(role, str) else "user", "parts": list(_parts(raw, rest))}


def _parts_of(message: _Message) -> Sequence[_Part]:
    parts = message["parts"]
    return parts if isinstance(parts, list) else []


def _parts(raw: Mapping[str, object], rest: _Budget) -> Iterator[_Part]:
    content = raw.get("content")
    if raw.get("role") == "tool":
        text = content if isinstance(content, str) else ""
        yield {"type": "tool_call_response", "id": _name(raw.get("tool_call_id")), "result": rest.take(text)}
    elif isinstance(content, str):
        yield {"type": "text", "content": rest.take(content)}
    elif isinstance(content, list):
        for part in content[:_MESSAGES]:
            if isinstance(part, dict):
                words = part.get("text")
                yield {"type": "text", "content": rest.take(words)} if isinstance(words, str) else {"type": _name(part.get("type"))}
    calls = raw.get("tool_calls")
    for call in calls[:_MESSAGES] if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            arguments = function.get("arguments")
            yield _call(_name(call.get("id")), _name(function.get("name")), arguments if isinstance(arguments, str) else "", rest)


def _answered(choice: Choice, rest: _Budget) -> _Message:
    parts: list[_Part] = []
    if choice.reasoning:
        parts.append({"type": "reasoning", "content": rest.take(choice.reasoning)})
    if choice.text or choice.refusal:
        parts.append({"type": "text", "content": rest.take(choice.text or choice.refusal or "")})
    parts += (_call(clean(call.id or ""), clean(call.name), call.arguments, rest) for call in choice.tool_calls[:_MESSAGES])
    return {"role": "assistant", "parts": parts, "finish_reason": clean(choice.finish_reason or "")}


def _call(call_id: str, name: str, arguments: str, rest: _Budget) -> _Part:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": rest.take(arguments)}


def _name(value: object) -> str:
    return clean(value) if isinstance(value, str) else ""


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
