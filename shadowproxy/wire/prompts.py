"""The words of a request, whatever protocol carries them: every turn's text, the question, and what is to be ranked or embedded. PURE.

Protocols put their words under different names, and hardly one name means two things, so the names are looked for and not the protocol.
Used by ``asked``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shadowproxy.wire.infer import texts_of
from shadowproxy.wire.loose_json import Object, a_label, a_list, a_text, an_object, mended

#: Longest prompt, question or document kept. 256 Ki characters: some 64,000 tokens of English. Longer ones are cut at their end: a
#: comparison looks up in them what an answer says, and that seldom needs the last page of a whole book.
MAX_PROMPT_CHARS = 256 * 1024
#: Most documents kept. Ten times what rerank services take in one call.
MAX_DOCUMENTS = 10_000

#: Parts of a turn that hold its words.
_TEXT_PARTS = frozenset({"text", "input_text", "output_text", ""})
#: Fields that hold what the user asks where there are no turns, in the order they are asked for.
_QUESTIONS = ("prompt", "query", "text_input", "inputs", "input", "instances", "text", "text_1", "queries")
_DOCUMENTS = {
    "rerank": ("documents", "texts", "passages", "text_2"),
    "embeddings": ("input", "inputs", "texts", "prompt", "content"),
}
_USER = "user"
_TOOL = "tool"

Turn = tuple[str, list[str]]


@dataclass(frozen=True, slots=True)
class Words:
    """``prompt`` is all text of all turns, one below the other, ``question`` that of the user's last turn with words.

    Where the user says nothing, the last turn with words is the question: some ask by instructions alone.
    """

    prompt: str = ""
    question: str = ""
    documents: tuple[str, ...] = ()


def words_of(dialect: str, body: Object) -> Words:
    """The words of a request body."""
    kept: list[str] = []
    left = MAX_PROMPT_CHARS
    last: list[str] = []
    question: list[str] = []
    for role, texts in _turns(body):
        last = texts or last
        question = texts if role == _USER and texts else question
        for text in texts:
            if left > 0:
                kept.append(text[:left])
                left -= len(text) + 1
    return Words(_joined(kept), _joined(question or last), _documents(dialect, body))


def _joined(texts: list[str]) -> str:
    return mended("\n".join(text[:MAX_PROMPT_CHARS] for text in texts)[:MAX_PROMPT_CHARS])


def _turns(body: Object) -> Iterator[Turn]:
    """Instructions first, then every turn: (role, its texts)."""
    for name in ("system", "instructions"):
        yield "system", [text for _, text in _parts(body.get(name), "system")]
    messages = body.get("messages")
    if not isinstance(messages, list):
        messages = body.get("input")
    if isinstance(messages, list) and any(isinstance(message, dict) for message in messages):
        yield from _conversation(messages)
        return
    for name in _QUESTIONS:
        if texts := _plain_texts(body.get(name)):
            yield _USER, texts


def _conversation(messages: list[Any]) -> Iterator[Turn]:
    for message in messages:
        fields = an_object(message)
        role = a_label(fields.get("role")) or (_TOOL if a_label(fields.get("type")).endswith("_output") else _USER)
        content = fields.get("content", fields.get("output"))
        by_role: dict[str, list[str]] = {}
        for speaker, text in _parts(message if isinstance(message, str) else content, role):
            by_role.setdefault(speaker, []).append(text)
        yield from by_role.items()


def _parts(content: Any, role: str) -> Iterator[tuple[str, str]]:
    """The texts of a turn and who speaks them: what a tool has found is not the user's words, though it comes in the user's turn."""
    waiting = [(role, content)]
    while waiting:
        speaker, value = waiting.pop()
        if isinstance(value, str):
            if value:
                yield speaker, value
        elif isinstance(value, list):
            waiting.extend((speaker, part) for part in reversed(value))
        elif a_label(an_object(value).get("type")) == "tool_result":
            waiting.append((_TOOL, value.get("content")))
        elif a_label(an_object(value).get("type")) in _TEXT_PARTS:
            waiting.append((speaker, a_text(an_object(value).get("text"))))


def _plain_texts(value: Any) -> list[str]:
    """A text, several of them, or those within objects and tensors; numbers (tokens, features) are no words."""
    if isinstance(value, str):
        return [value] if value else []
    return [text for item in a_list(value) for text in _texts_within(item)]


def _texts_within(item: Any) -> list[str]:
    if isinstance(item, str):
        return [item] if item else []
    fields = an_object(item)
    if "datatype" in fields:
        return texts_of(fields) if a_label(fields.get("datatype")) == "BYTES" else []
    return [text for name in ("prompt", "text", "inputs", "content") if (text := a_text(fields.get(name)))][:1]


def _documents(dialect: str, body: Object) -> tuple[str, ...]:
    """What is to be ranked or embedded, each in its place; one that is no text (a picture, tokens) is an empty one there."""
    names = _DOCUMENTS.get(dialect, ())
    value = next((body[name] for name in names if isinstance(body.get(name), str | list)), None)
    found = [value] if isinstance(value, str) else a_list(value)
    if found and all(isinstance(item, int) for item in found[:MAX_DOCUMENTS]):
        found = [""]  # one input, as tokens
    return tuple(mended(_document(item)[:MAX_PROMPT_CHARS]) for item in found[:MAX_DOCUMENTS])


def _document(item: Any) -> str:
    if isinstance(item, str):
        return item
    fields = an_object(item)
    return a_text(fields.get("text")) or "\n".join(text for _, text in _parts(fields.get("content"), _USER))
