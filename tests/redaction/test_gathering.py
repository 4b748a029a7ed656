"""A stream whose events are not all built gives the edits of one whose events are: what is learnt of a place holds for the next."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.redaction.bodies import Redactor
from shadowproxy.redaction.fields import Fields
from shadowproxy.redaction.gathering import Gathering, Parsed
from shadowproxy.redaction.pseudonyms import Pseudonyms
from shadowproxy.redaction.searches import PATTERNS
from shadowproxy.redaction.streams import edits_by_event, stream_edits
from tests.redaction.reference import REFERENCE
from tests.redaction.test_screen import TEXTS

PSEUDONYMS = Pseudonyms(b"k" * 32)
NOWHERE = Fields(())
_RECORDINGS = (Path(__file__).resolve().parents[2] / "../shared/data/protocol").resolve()


def _chat(piece: str, number: int) -> object:
    return {"id": "c-1", "created": 1_700_000_000, "choices": [{"index": 0, "delta": {"content": piece}}], "n": None if number else 1}


def _two_choices(piece: str, number: int) -> object:
    return {"id": "c-1", "choices": [{"index": number % 2, "delta": {"content": piece}}]}


def _same_index_twice(piece: str, number: int) -> object:
    return {"choices": [{"index": 0, "text": piece}, {"index": 0, "text": "ada@" if number % 3 else "x.com"}]}


def _messages(piece: str, number: int) -> object:
    return {"type": "content_block_delta", "index": number // 3, "delta": {"type": "text_delta", "text": piece}}


def _responses(piece: str, number: int) -> object:
    return {"type": "response.output_text.delta", "sequence_number": number, "item_id": "m_1", "delta": piece, "obfuscation": "a" * number}


def _by_type(piece: str, number: int) -> object:
    return {"type": piece, "text": "ada@exa" if number % 2 else "mple.com"}


def _nested(piece: str, number: int) -> object:
    return {"delta": {"partial_json": json.dumps({"a": piece})[number % 3 :]}, "text": "constant"}


def _value(piece: str, _: int) -> object:
    return piece


#: The words of an event, in the protocols that were recorded.
_SAID = re.compile(r'("(?:content|text|delta|partial_json|arguments)": ?")([^"\\\\]+)')

_KINDS: tuple[Callable[[str, int], object], ...] = (
    *(_chat, _two_choices, _same_index_twice, _messages, _responses, _by_type, _nested, _value),
)
_OTHER_LINES = (
    "event: delta",
    ": to ada@example.com",
    "data: [DONE]",
    "data:",
    "data: ",
    "data: ada@exa",
    "data: mple.com",
    'data: {"a": "x',
    "",
)


@st.composite
def _streams(draw: st.DrawFn) -> str:
    """One text or some, cut into pieces, in events of one kind or of several, with other lines between them."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, max(1, len(text))), max_size=12)))
    pieces = [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]
    kinds = draw(st.lists(st.sampled_from(_KINDS), min_size=1, max_size=2))
    is_ascii, gap, head = (
        draw(st.booleans()),
        draw(st.sampled_from(("\n\n", "\r\n", "\n", "\r"))),
        draw(st.sampled_from(("data: ", "data:", ""))),
    )
    lines = []
    for number, piece in enumerate(pieces):
        event = draw(st.sampled_from(kinds))(piece, number)
        lines.append(head + json.dumps(event, ensure_ascii=is_ascii, separators=draw(st.sampled_from(((",", ":"), (", ", ": "))))))
        if draw(st.integers(0, 5)) == 0:
            lines.append(draw(st.sampled_from(_OTHER_LINES)))
    body = gap.join((*lines, ""))
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 4)) == 0 else body


@given(_streams())
def test_any_stream_gives_the_same_edits(text: str) -> None:
    text = text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    assert stream_edits(text, PSEUDONYMS, PATTERNS, NOWHERE) == edits_by_event(text, PSEUDONYMS, REFERENCE, NOWHERE)


def _recorded() -> Iterator[list[str]]:
    for path in sorted(_RECORDINGS.glob("*/*.chunks.txt.gz")):
        yield gzip.decompress(path.read_bytes()).decode().splitlines()


def _with_an_address(lines: list[str]) -> list[str]:
    """Half of it behind the words of one event, half before those of the next."""
    places = [at for at, line in enumerate(lines) if _SAID.search(line)][1:3]
    halves = dict(zip(places, (r"\g<1>\g<2>ada@exa", r"\g<1>mple.com \g<2>"), strict=False))
    return [_SAID.sub(halves[at], line, count=1) if at in halves else line for at, line in enumerate(lines)]


@pytest.mark.skipif(not _RECORDINGS.is_dir(), reason="recorded traffic (../shared/data/protocol) is not there")
def test_recorded_streams_give_the_same_edits() -> None:
    streams = changed = 0
    for recorded in _recorded():
        for lines in (recorded, _with_an_address(recorded)):
            text = "".join(f"data: {line}\n\n" for line in lines)
            edits = stream_edits(text, PSEUDONYMS, PATTERNS, NOWHERE)
            assert edits == edits_by_event(text, PSEUDONYMS, REFERENCE, NOWHERE)
            streams += 1
            changed += bool(edits)
    assert streams > 200
    assert 40 < changed < streams


def test_events_alike_are_not_built() -> None:
    built = []

    def parse(line: str) -> Parsed:
        built.append(line)
        value = json.loads(line)
        return Parsed([(name, (name,), text) for name, text in value.items()])

    gathering = Gathering(parse)
    said = [f"{number} " if number % 5 else f'"{number}"\n\u00e9' for number in range(3, 50)]
    gathering.take([json.dumps({"id": "c", "text": text}) for text in said])
    assert gathering.texts() == ["c", "".join(said)]
    assert len(built) == 3  # two to learn from, and the proof


def test_a_clean_stream_asks_for_no_substitute_and_stays() -> None:
    events = [_chat(f"word {number} ", number) for number in range(60)]
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    assert Redactor(PSEUDONYMS).redact(body, "text/event-stream").body is body
