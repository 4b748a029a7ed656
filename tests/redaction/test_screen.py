"""The quick search finds, byte for byte, what the straightforward one finds: screening and windows leave nothing out and add nothing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.redaction import screen
from shadowproxy.redaction.bodies import Redactor
from shadowproxy.redaction.detectors import DETECTORS, find
from shadowproxy.redaction.literals import decoded, encoded
from shadowproxy.redaction.pseudonyms import Pseudonyms
from tests.redaction import reference
from tests.redaction.corpus import INNOCENT, PERSONAL, SECRET, case
from tests.redaction.pieces import PIECES
from tests.redaction.test_masking import KEPT, MASKED

PSEUDONYMS = Pseudonyms(b"k" * 32)
QUICK = Redactor(PSEUDONYMS)
PLAIN = Redactor(PSEUDONYMS, reference.REFERENCE)

_RECORDINGS = (Path(__file__).resolve().parents[2] / "../shared/data/protocol").resolve()

#: Signs that are more than one thing without regard to case, escapes that become something else, and beginnings without an end.
_TRAPS = (
    *("\u212a", "\u017f", "\u0130", "\u0131", "é", "日本", "\U0001f600", "\ud83d", "\u0663", "\u00a0"),
    *("\\", "\\n", "\\t", "\\r", "\\/", '\\"', "\\u0040", "\n", "\t", "  ", "--", "...", "%", "40", "@", "://", "//"),
    *("hf_", "npm_", "r8_", "ya29.", "SG.", "glpat-", "nvapi-", "AIza", "A" * 20, "a1" * 20, "PRIVATE KEY-----", "-----BEGIN RSA "),
    *("call", "text", "fax ", "authorization: bearer abcd1", "pwd=", 'key" : "', "Token\\n:", "bearer ", "123456789012", "1.2", "a@b.de"),
)
_WHOLE = (*(case(marked).text for marked in (*PERSONAL, *SECRET, *INNOCENT)), *(text for text, _ in MASKED.values()), *KEPT.values())

_SOME = st.sampled_from((*PIECES, *_TRAPS, *_WHOLE))
TEXTS = st.builds(
    lambda pieces, gap: gap.join(pieces), st.lists(_SOME | st.text(max_size=6), max_size=10), st.sampled_from(["", " ", "\n"])
)


@st.composite
def _bodies(draw: st.DrawFn) -> str:
    """JSON of texts, JSON within JSON, with signs escaped or not, whole or cut off, and plain texts."""
    text, is_ascii = draw(TEXTS), draw(st.booleans())
    value: object = {"id": "chatcmpl-9", "created": 1_700_000_000, "text": text}
    for _ in range(draw(st.integers(0, 3))):
        value = [draw(TEXTS), {"arguments": json.dumps(value, ensure_ascii=is_ascii)}]
    body = text if draw(st.booleans()) else json.dumps(value, ensure_ascii=is_ascii)
    body = body.replace("/", "\\/") if draw(st.booleans()) else body
    return body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) else body


def _pieces_of_recordings() -> Iterator[str]:
    for path in sorted(_RECORDINGS.rglob("*.gz")):
        yield from gzip.decompress(path.read_bytes()).decode("utf-8", "surrogateescape").splitlines()


# --- texts ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", _WHOLE)
def test_the_corpus_gives_the_same_finds(text: str) -> None:
    assert find(text) == reference.find(text)


@given(TEXTS)
def test_any_text_gives_the_same_finds(text: str) -> None:
    assert find(text) == reference.find(text)


@given(TEXTS)
def test_what_is_screened_out_is_not_found(text: str) -> None:
    bits = screen.possible(text)
    for detector in DETECTORS:
        assert detector.bit & bits or not reference.find(text, [detector]) or not detector.sign(reference.Seen(text)), detector.kind


def test_each_detector_has_a_bit_of_its_own() -> None:
    bits = [detector.bit for detector in DETECTORS]
    assert sum(bits) == 2 ** len(DETECTORS) - 1
    assert all(bit.bit_count() == 1 for bit in bits)


# --- bodies -----------------------------------------------------------------------------------------------------------------


@given(_bodies())
def test_any_body_gives_the_same_bytes(body: str) -> None:
    data = body.encode("utf-8", "surrogatepass")
    assert QUICK.redact(data) == PLAIN.redact(data)


@pytest.mark.skipif(not _RECORDINGS.is_dir(), reason="recorded traffic (../shared/data/protocol) is not there")
def test_recorded_traffic_gives_the_same_bytes() -> None:
    changed = 0
    for number, piece in enumerate(_pieces_of_recordings()):
        at = number % (len(piece) + 1)  # now and then with something in it: recordings were cleaned before they were published
        body = piece if number % 5 else f"{piece[:at]} {_WHOLE[number // 5 % len(_WHOLE)]} {piece[at:]}"
        data = body.encode("utf-8", "surrogateescape")
        quick = QUICK.redact(data)
        assert quick == PLAIN.redact(data)
        changed += bool(quick.edits)
    assert changed > 1000


@pytest.mark.parametrize(
    "body",
    [
        rb'{"t": "call \t(123456789"}',
        rb'{"t": "tel:\t123456789"}',
        rb'{"t": "Token\t:\n abcdefgh1"}',
        rb'{"t": "{\"password\":\"hunter2hunter2\"}"}',
        rb'{"t": "x\nDE89370400440532013000"}',
        rb'{"t": "https:\/\/ada:secret1@x.example\n"}',
        rb'{"t": "\n0171\/2345678"}',
        rb'{"t": "x\nsk-proj-Zk3abcDEF123456ghiJKL789mnoPQR"}',
    ],
)
def test_what_stands_behind_an_escape_is_seen(body: bytes) -> None:
    redacted = QUICK.redact(body)
    assert redacted.edits
    assert redacted == PLAIN.redact(body)


@given(st.text(max_size=20) | TEXTS)
def test_a_literal_is_written_and_read_as_json_does(text: str) -> None:
    is_text = not any("\ud800" <= sign <= "\udfff" for sign in text)
    assert encoded(text) == json.dumps(text, ensure_ascii=not is_text)
    assert decoded(encoded(text)) == text
    assert decoded(f'"{text}"') == _read(f'"{text}"')


def _read(literal: str) -> object:
    try:
        value = json.loads(literal, strict=False)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def test_a_letter_that_only_looks_like_one_costs_no_record() -> None:
    """Without regard to case the Kelvin sign is a k: a text with it where an IBAN has letters raised, and its record was lost."""
    assert find("DE89\u212a70400440532013000") == []
    assert find("\u0130T60X0542811101000000123456") == []
