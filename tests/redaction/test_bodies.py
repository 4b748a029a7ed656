"""Bodies without what must not be kept: JSON stays JSON, what is not touched stays byte for byte, streams are seen as a whole."""

from __future__ import annotations

import json
import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.json_paths import places
from shadowproxy.redaction.bodies import Redactor
from shadowproxy.redaction.fields import Fields
from shadowproxy.redaction.pseudonyms import Pseudonyms

PSEUDONYMS = Pseudonyms(b"k" * 32)
REDACTOR = Redactor(PSEUDONYMS)
ADA = "ada@example.com"
MADE = PSEUDONYMS("email", ADA)


def _with_fields(*paths: str) -> Redactor:
    return Redactor(PSEUDONYMS, fields=Fields([places(path) for path in paths]))


def _sse(*events: object) -> bytes:
    return b"".join(b"data: " + (each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n\n" for each in events)


def _chat(*deltas: str, index: int = 0) -> list[object]:
    return [{"id": "c-1", "created": 1700000000, "choices": [{"index": index, "delta": {"content": delta}}]} for delta in deltas]


def _content(body: bytes) -> str:
    values = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
    return "".join(value["choices"][0]["delta"]["content"] for value in values)


# --- JSON -----------------------------------------------------------------------------------------------------------------


def test_what_holds_nothing_is_the_same_object() -> None:
    body = b'{"model": "m",  "n": 12345678901234567890123, "t": "a\\nb"}'
    assert REDACTOR.redact(body).body is body


def test_everything_around_a_find_stays_byte_for_byte() -> None:
    body = b'{"b":1.50,  "a": "to ada@example.com", "a": 12345678901234567890123}\n'
    assert REDACTOR.redact(body).body == body.replace(b"ada@example.com", MADE.encode())


def test_an_escape_hides_nothing() -> None:
    redacted = json.loads(REDACTOR.redact(rb'{"t": "one\nada\u0040example.com \ud83d\ude00"}').body)
    assert redacted == {"t": f"one\n{MADE} 😀"}


def test_arguments_of_a_call_are_seen_through() -> None:
    body = json.dumps({"arguments": json.dumps({"to": ADA, "note": f"a\n{ADA}"})}).encode()
    assert json.loads(json.loads(REDACTOR.redact(body).body)["arguments"]) == {"to": MADE, "note": f"a\n{MADE}"}


def test_half_of_a_surrogate_pair_is_kept() -> None:
    redacted = REDACTOR.redact(rb'{"t": "\ud83d ada@example.com"}').body
    assert json.loads(redacted) == {"t": f"\ud83d {MADE}"}


def test_bytes_that_are_no_text_are_kept() -> None:
    body = b"\x89PNG\xff\x00 ada@example.com \xfe"
    assert REDACTOR.redact(body).body == b"\x89PNG\xff\x00 " + MADE.encode() + b" \xfe"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | st.just(f"x\n{ADA}") | st.just(ADA),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(string.ascii_letters, max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON, st.booleans())
def test_json_stays_json_of_the_same_shape(value: object, is_ascii: bool) -> None:
    body = json.dumps([value, ADA], ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    redacted = REDACTOR.redact(body).body
    assert ADA.encode() not in redacted
    assert _shape(json.loads(redacted.decode("utf-8", "surrogatepass"))) == _shape([value, ADA])


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: _shape(each) for key, each in value.items()}
    return [_shape(each) for each in value] if isinstance(value, list) else type(value).__name__


# --- fields ---------------------------------------------------------------------------------------------------------------


def test_a_field_is_replaced_whatever_it_says() -> None:
    body = b'{"user": "u-17", "messages": [{"name": "Ada", "content": "hello"}, {"name": "Bob", "content": "hi"}], "n": 1}'
    redacted = json.loads(_with_fields("$.user", "$.messages[*].name").redact(body).body)
    assert redacted["user"].startswith("redacted-")
    assert redacted["messages"][0]["name"] != redacted["messages"][1]["name"]
    assert [message["content"] for message in redacted["messages"]] == ["hello", "hi"]
    assert redacted["n"] == 1


def test_a_field_that_holds_more_means_all_of_it() -> None:
    redacted = json.loads(_with_fields("$.metadata").redact(b'{"metadata": {"a": ["x", 12.5, true, null]}, "b": "x"}').body)
    text, number, *constants = redacted["metadata"]["a"]
    assert text.startswith("redacted-")
    assert number != 12.5
    assert isinstance(number, float)
    assert constants == [True, None]
    assert redacted["b"] == "x"


def test_a_field_keeps_the_form_of_what_it_says() -> None:
    assert json.loads(_with_fields("**.to").redact(json.dumps({"a": [{"to": ADA}]}).encode()).body) == {"a": [{"to": MADE}]}


def test_elements_behind_an_object_have_their_own_index() -> None:
    redacted = json.loads(_with_fields("$.a[1]").redact(b'{"a": [{"x": [1, 2]}, "second", "third"]}').body)
    assert redacted["a"][0] == {"x": [1, 2]}
    assert redacted["a"][1].startswith("redacted-")
    assert redacted["a"][2] == "third"


# --- streams ----------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 40), max_size=8), st.sampled_from([f"Write to {ADA}, then wait.", f"{ADA} and {ADA}", "no address at all here"])
)
def test_an_address_cut_anywhere_is_found(cuts: list[int], text: str) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    body = _sse(*_chat(*(text[start:end] for start, end in pairwise(places))), b"[DONE]")
    redacted = REDACTOR.redact(body, "text/event-stream").body
    assert _content(redacted) == text.replace(ADA, MADE)
    assert redacted.endswith(b"data: [DONE]\n\n")
    assert redacted.count(b"\n\n") == body.count(b"\n\n")


def test_two_choices_at_once_are_two_texts() -> None:
    first, second = _chat("ada@exa", "mple.com"), _chat("bob@exa", "mple.com", index=1)
    redacted = REDACTOR.redact(_sse(first[0], second[0], first[1], second[1]), "text/event-stream").body
    events = [json.loads(line[6:])["choices"][0] for line in redacted.splitlines() if line]
    texts = ["".join(event["delta"]["content"] for event in events if event["index"] == index) for index in (0, 1)]
    assert texts == [MADE, PSEUDONYMS("email", "bob@example.com")]


def test_arguments_that_come_in_pieces_stay_json() -> None:
    arguments = json.dumps({"note": f"x\n{ADA}", "n": 1})
    events = [
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": arguments[at : at + 5]}}
        for at in range(0, len(arguments), 5)
    ]
    redacted = REDACTOR.redact(_sse(*events), "text/event-stream").body
    pieces = [json.loads(line[6:])["delta"]["partial_json"] for line in redacted.splitlines() if line]
    assert json.loads("".join(pieces)) == {"note": f"x\n{MADE}", "n": 1}


def test_lines_of_json_are_a_stream_too() -> None:
    body = b'{"response": "ada@ex"}\n{"response": "ample.com."}\n{"done": true}\n'
    redacted = REDACTOR.redact(body, "application/x-ndjson").body
    assert "".join(json.loads(line).get("response", "") for line in redacted.splitlines()) == f"{MADE}."


def test_a_stream_of_plain_words_is_joined() -> None:
    redacted = REDACTOR.redact(b"event: token\ndata: ada@exam\n\ndata: ple.com\n\n: to ada@example.com\n\n").body
    assert redacted == f"event: token\ndata: {MADE}\n\ndata: \n\n: to {MADE}\n\n".encode()


def test_an_id_that_every_event_repeats_is_not_joined() -> None:
    events = [{"id": "4111", "delta": str(number)} for number in range(4)]
    body = _sse(*events)
    assert REDACTOR.redact(body, "text/event-stream").body is body


def test_fields_of_a_stream_are_replaced() -> None:
    redacted = _with_fields("$.user").redact(_sse({"user": "u-1", "t": "x"}, {"user": "u-1", "t": ADA}), "text/event-stream").body
    users = {json.loads(line[6:])["user"] for line in redacted.splitlines() if line}
    assert users == {PSEUDONYMS("field", "u-1")}
    assert ADA.encode() not in redacted


def test_a_deep_event_is_searched_alone() -> None:
    deep = b'{"a":' * 40 + b'"ada@example.com"' + b"}" * 40
    assert ADA.encode() not in REDACTOR.redact(_sse(deep), "text/event-stream").body


# --- where bytes went -------------------------------------------------------------------------------------------------------


@given(st.text(max_size=60), st.text(max_size=60))
def test_offsets_of_what_stays_point_to_the_same_bytes(before: str, after: str) -> None:
    old = f"{before} {ADA} {after}".encode("utf-8", "surrogatepass")
    redacted = REDACTOR.redact(old)
    offsets = list(range(len(old) + 1))
    moved = redacted.moved(offsets)
    assert moved[0] == 0
    assert moved[-1] == len(redacted.body)
    assert moved == sorted(moved)
    kept = [at for at in offsets[:-1] if moved[at + 1] - moved[at] == 1 and redacted.body[moved[at]] == old[at]]
    assert len(kept) >= len(old) - len(ADA) - 8 * len(redacted.edits) or len(redacted.edits) > 1


# --- hostile ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "piece", [b'{"a":', b"[", b'"', b'\\"', b"data: [", b'data: {"a":"', b"data: x\n", b'{"index":0,"x":"@"}\n', b"\xff", b"\\u"]
)
@pytest.mark.parametrize("media_type", ["application/json", "text/event-stream"])
def test_hostile_bodies_take_linear_time(piece: bytes, media_type: str) -> None:
    """Quadratic time over so long a body would run into the test's time limit."""
    redacted = _with_fields("**.user", "$.messages[*].content").redact(piece * (300_000 // len(piece)), media_type)
    assert len(redacted.body) > 1000


@given(st.binary(max_size=300), st.sampled_from(["", "application/json", "text/event-stream"]))
def test_nothing_raises(body: bytes, media_type: str) -> None:
    assert isinstance(_with_fields("**.a").redact(b"{" + body, media_type).body, bytes)
    assert isinstance(REDACTOR.redact(body, media_type).body, bytes)
