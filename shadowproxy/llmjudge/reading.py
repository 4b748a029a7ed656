"""What the judge said: from a reply's bytes to an opinion, or to the reason why there is none. PURE.

After ``client``. Models write around the JSON they are asked for: a fence, a sentence before it, their thoughts. All of that is tolerated;
what is not is guessing. The judge quotes texts of strangers, so a verdict in prose counts only where there is no JSON that has one, and two
verdicts that differ count as none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shadowproxy.compare.kinds import shown
from shadowproxy.exchange import Reply, Request, Usage
from shadowproxy.llmjudge.preference import Opinion, Pick
from shadowproxy.wire.reading import read_answer

#: Characters of a reply that are looked at, from its end: thoughts come first, the verdict last. Ten times what is asked for.
_LOOKED_AT_CHARS = 20_000

#: Places at which an object may begin that are tried. A reply has one or two.
_MOST_OBJECTS = 50

_DECODER = json.JSONDecoder(strict=False)
_KEYS = ("verdict", "winner", "preference")
_NAMES = {"a": Pick.A, "answer a": Pick.A, "b": Pick.B, "answer b": Pick.B, "tie": Pick.TIE, "draw": Pick.TIE, "equal": Pick.TIE}
#: ``verdict: A`` with whatever quotes and stars around it, unless it goes on to name another.
_LABELLED = re.compile(
    r"\b(?:verdict|winner|preference)[\"'*]{0,3}\s{0,4}[:=][\"'*]{0,3}\s{0,4}[\"'*]{0,3}"
    r"(?P<name>(?:answer )?[ab]|tie|draw|equal)\b(?!\s{0,4}(?:[|/]|or\b))",
    re.IGNORECASE,
)

_REQUEST = Request("POST", "/v1/chat/completions", (), b"")


@dataclass(frozen=True, slots=True)
class Heard:
    """One reply of the judge: an opinion, or the reason (a key of ``ABSTENTIONS``) why there is none. ``usage`` as the endpoint said."""

    opinion: Opinion | None
    problem: str = ""
    usage: Usage | None = None


def read_reply(reply: Reply) -> Heard:
    """What a reply with a success status says. Never raises."""
    answer = read_answer(_REQUEST, reply)
    first = answer.first
    if answer.error is not None or not answer.choices:
        return Heard(None, "unreadable", answer.usage)
    if first.refusal or first.finish_reason == "content_filter":
        return Heard(None, "declined", answer.usage)
    was_cut = first.finish_reason == "length"
    said = read_opinion(first.text, is_whole=not was_cut)
    if isinstance(said, Opinion):
        return Heard(said, "", answer.usage)
    return Heard(None, "cut" if was_cut else said, answer.usage)


def read_opinion(text: str, *, is_whole: bool = True) -> Opinion | str:
    """The opinion in a judge's text, or ``unreadable`` or ``contradictory``. Never raises.

    In a text that was cut off prose does not count: what names a verdict there may be a quotation.
    """
    text = text[-_LOOKED_AT_CHARS:].rpartition("</think>")[2].strip()
    found = list(_from_objects(text)) or (list(_from_prose(text)) if is_whole else [])
    if len({opinion.pick for opinion in found}) > 1:
        return "contradictory"
    return found[0] if found else "unreadable"


def _from_objects(text: str) -> Iterator[Opinion]:
    for value in _objects(text):
        # Later keys win, as in JSON itself; case differs between models.
        keys = {key.casefold(): item for key, item in value.items()}
        pick = next((pick for key in _KEYS if (pick := _pick(keys.get(key))) is not None), None)
        if pick is not None:
            reason = keys.get("reason")
            yield Opinion(pick, shown(reason) if isinstance(reason, str) else "")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    at = 0
    for _ in range(_MOST_OBJECTS):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        if isinstance(value, dict):
            yield value


def _from_prose(text: str) -> Iterator[Opinion]:
    whole = _pick(text)
    if whole is not None:
        yield Opinion(whole)
        return
    for found in _LABELLED.finditer(text):
        yield Opinion(_NAMES[found["name"].casefold()])


def _pick(value: object) -> Pick | None:
    if not isinstance(value, str) or len(value) > 40:
        return None
    return _NAMES.get(value.strip(" \t\r\n\"'`*.[]()").casefold())
