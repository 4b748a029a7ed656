"""Pictures and sound by digest: the same thing is the same, whatever carried it."""

from __future__ import annotations

import base64
import hashlib
import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.exchange import Answer, Choice, Media, ReplyError, Usage
from shadowproxy.wire.media import Base64Pieces, kind_of, media_of_base64, media_of_bytes, media_of_part, media_of_url
from tests.wire.samples import STREAM, events, named, read, read_all

CHAT, IMAGES, SPEECH = "/v1/chat/completions", "/v1/images/generations", "/v1/audio/speech"
DATA = b"\x89PNG picture"
BASE64 = base64.b64encode(DATA).decode()
ADDRESS = f"data:image/png;base64,{BASE64}"
URL = "https://pictures/1.png"


def media(kind: str = "image", data: bytes = DATA) -> Media:
    return Media(kind, hashlib.sha256(data).hexdigest(), len(data))


LINKED = Media("image", hashlib.sha256(URL.encode()).hexdigest(), 0)


@pytest.mark.parametrize(
    ("media_type", "kind"), [("image/png", "image"), ("Audio/mpeg", "audio"), ("video/mp4", "video"), ("text/plain", "file"), ("", "file")]
)
def test_kinds(media_type: str, kind: str) -> None:
    assert kind_of(media_type) == kind


def test_the_same_picture_has_the_same_digest_however_it_comes() -> None:
    assert media_of_bytes("image", DATA) == media_of_base64("image", BASE64) == media_of_url(ADDRESS) == media()
    assert media_of_base64("image", BASE64.rstrip("=")) == media()


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (URL, LINKED),
        ("data:audio/wav;base64," + BASE64, media("audio")),
        ("DATA:image/png;charset=x;BASE64," + BASE64, media()),
        ("data:image/svg+xml,<svg/>", media("image", b"<svg/>")),
        ("data:", media("file", b"")),
        ("data:;base64,", media("file", b"")),
        ("\ud800", Media("image", hashlib.sha256(b"\xed\xa0\x80").hexdigest(), 0)),
    ],
)
def test_addresses(url: str, found: Media) -> None:
    assert media_of_url(url) == found


def test_what_is_no_base64_is_told_apart_by_its_text() -> None:
    found = {media_of_base64("image", text).sha256 for text in ("\u00fc\u00fc\u00fc\u00fc", "\u00fc\u00fc\u00fc\u00e4", "a", "b")}
    assert len(found) == 4


@given(st.binary(max_size=100), st.lists(st.integers(0, 140), max_size=10), st.booleans())
def test_no_cut_changes_the_digest(data: bytes, cuts: list[int], is_padded: bool) -> None:
    text = base64.b64encode(data).decode()
    text = text if is_padded else text.rstrip("=")
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = Base64Pieces()
    for start, end in itertools.pairwise(places):
        pieces.add(text[start:end])
    assert pieces.media("audio") == media("audio", data)


def test_pieces_that_are_padded_each_make_one_sound() -> None:
    pieces = Base64Pieces()
    for data in (b"a", b"bc", b"def"):
        pieces.add(base64.b64encode(data).decode())
    assert pieces.media("audio") == media("audio", b"abcdef")


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"type": "image_url", "image_url": {"url": ADDRESS}}, media()),
        ({"type": "image_url", "image_url": ADDRESS}, media()),
        ({"type": "image_url", "image_url": {"url": URL}}, LINKED),
        ({"type": "video_url", "video_url": {"url": "data:,x"}}, media("video", b"x")),
        ({"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}}, media("audio")),
        ({"type": "image", "b64_json": BASE64}, media()),
        ({"type": "image_url"}, None),
        ({"image_url": {"url": ""}}, None),
        ({"image_url": 7, "audio": [BASE64]}, None),
    ],
)
def test_parts_of_an_answer(part: dict[str, Any], found: Media | None) -> None:
    assert media_of_part(part) == found


# --- in chat ------------------------------------------------------------------------------------------------------------------


def test_pictures_in_a_chat() -> None:
    part = {"type": "image_url", "image_url": {"url": ADDRESS}}
    inside = {"choices": [{"message": {"content": [{"type": "text", "text": "a"}, part]}}]}
    beside = {"choices": [{"message": {"content": "a", "images": [part, 7, {}]}}]}
    for body in (inside, beside):
        answer = read(CHAT, body)
        assert (answer.first, answer.unknown) == (Choice("a", media=(media(),)), ())
    streamed = events({"choices": [{"delta": {"content": "a"}}]}, {"choices": [{"delta": {"images": [part]}, "finish_reason": "stop"}]})
    answer = read(CHAT, streamed, STREAM)
    assert (answer.first, len(answer.content_at_s)) == (Choice("a", media=(media(),), finish_reason="stop"), 2)


def test_spoken_answers_have_their_sound_and_their_words() -> None:
    whole = {"choices": [{"message": {"content": None, "audio": {"id": "a", "data": BASE64, "transcript": "Hello"}}}]}
    assert read(CHAT, whole).first == Choice("Hello", media=(media("audio"),))
    first, second = (base64.b64encode(part).decode() for part in (DATA[:5], DATA[5:]))
    pieces = [{"id": "a", "transcript": "Hel"}, {"data": first}, {"transcript": "lo", "data": second}, {"expires_at": 1}]
    answer = read(CHAT, events(*({"choices": [{"delta": {"audio": piece}}]} for piece in pieces), "[DONE]"), STREAM)
    assert (answer.first, len(answer.content_at_s)) == (Choice("Hello", media=(media("audio"),)), 3)


# --- generated pictures and speech --------------------------------------------------------------------------------------------


def test_generated_pictures_are_choices() -> None:
    body = {"created": 1, "data": [{"b64_json": BASE64, "revised_prompt": "a cat"}, {"url": URL}], "usage": {"input_tokens": 3}}
    choices = (Choice("a cat", media=(media(),)), Choice(media=(LINKED,)))
    assert read(IMAGES, body) == Answer("images", choices, Usage(3, 0), content_at_s=(0.5,))


def test_a_streamed_picture_is_the_last_one() -> None:
    sketch = {"type": "image_generation.partial_image", "b64_json": "AAAA", "partial_image_index": 0}
    end = {"type": "image_generation.completed", "b64_json": BASE64, "usage": {"input_tokens": 3, "output_tokens": 5}}
    answer = read(IMAGES, named(sketch, end), STREAM)
    assert (answer.choices, answer.usage, answer.is_complete) == ((Choice(media=(media(),)),), Usage(3, 5), True)
    assert not read(IMAGES, named(sketch), STREAM).is_complete


def test_pictures_that_were_refused() -> None:
    assert read(IMAGES, {"error": {"message": "no"}}, status=400).error == ReplyError("no")
    assert read(IMAGES, {"status": "queued"}).dialect == "json"


def test_speech_is_the_sound_of_the_body_and_began_with_its_first_read() -> None:
    reads = ((0.1, DATA[:3]), (0.4, DATA[3:]))
    for content_type in (b"audio/mpeg", b"application/octet-stream"):
        answer = read_all(SPEECH, reads, ((b"content-type", content_type),))
        assert answer == Answer("speech", (Choice(media=(media("audio"),)),), content_at_s=(0.1,))
    assert not read_all(SPEECH, (), ((b"content-type", b"audio/mpeg"),)).is_complete


def test_streamed_speech() -> None:
    deltas = [{"type": "speech.audio.delta", "audio": base64.b64encode(part).decode()} for part in (DATA[:4], DATA[4:])]
    end = {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 5}}
    answer = read(SPEECH, named(*deltas, {"type": "novelty"}, end), STREAM)
    assert (answer.choices, answer.usage, answer.unknown) == ((Choice(media=(media("audio"),)),), Usage(3, 5), ("event novelty",))
    cut = read(SPEECH, named(*deltas), STREAM)
    assert (cut.is_complete, len(cut.choices)) == (False, 1)
    assert read(SPEECH, named({"type": "novelty"}), STREAM).choices == ()


def test_speech_that_failed() -> None:
    assert read(SPEECH, orjson.dumps({"error": {"message": "no voice"}}), status=400).error == ReplyError("no voice")
