"""JSON of any shape: parsing leniently, picking by type, and strings that can always be encoded again."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.wire.loose_json import MAX_NAME_CHARS, MAX_UNKNOWN_NAMES, UnknownNames, a_count, a_label, canonical, mended, parsed


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": [1, null]}', {"a": [1, None]}),
        ('"\u00fc"', "\u00fc"),
        (b'{"a": Infinity}', {"a": float("inf")}),
        (b'"\\ud83c"', "\ud83c"),
        (b"", None),
        (b"{", None),
        (b'"\xff"', None),
        (b"[" * 100_000, None),
        (b"-Infinit", None),
        (b"[NaN, 1" + b"0" * 5000 + b"]", None),
    ],
)
def test_parsing_takes_what_clients_take_and_never_raises(data: bytes | str, value: Any) -> None:
    assert parsed(data) == value


@settings(deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40))
def test_parsing_never_raises(data: bytes | str) -> None:
    parsed(data)


def test_equal_values_have_one_canonical_text() -> None:
    assert (
        canonical({"b": 1, "a": {"d": [1.0], "c": "ü"}})
        == canonical({"a": {"c": "ü", "d": [1.0]}, "b": 1})
        == '{"a":{"c":"ü","d":[1.0]},"b":1}'
    )


@pytest.mark.parametrize("value", ["\ud83c", 2**70, parsed(b"[" * 900 + b"]" * 900)])
def test_what_strict_json_cannot_say_has_no_canonical_text(value: Any) -> None:
    assert canonical(value) is None


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("abc", "abc"),
        ("gr\u00fc\u00dfe", "gr\u00fc\u00dfe"),
        ("\ud83c\udf88", "\U0001f388"),
        ("a\ud83c", "a\ufffd"),
        ("\udf88\ud83c", "\ufffd\ufffd"),
    ],
)
def test_halves_of_characters_are_mended(text: str, whole: str) -> None:
    assert mended(text) == whole


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_mended_text_can_be_encoded_and_good_text_stays(text: str) -> None:
    assert mended(text).encode("utf-8").decode("utf-8") == mended(text)
    assert mended(mended(text)) == mended(text)


@pytest.mark.parametrize(
    ("value", "count"), [(0, 0), (7, 7), (-1, None), (True, None), (1.0, None), ("7", None), (None, None), (2**63, None)]
)
def test_counts_are_whole_numbers_that_fit(value: Any, count: int | None) -> None:
    assert a_count(value) == count


@pytest.mark.parametrize(("value", "label"), [("a", "a"), (7, "7"), (1.5, "1.5"), (True, ""), (None, ""), ([], ""), ("\ud83c", "\ufffd")])
def test_labels_are_strings_or_numbers(value: Any, label: str) -> None:
    assert a_label(value) == label


def test_unknown_names_are_distinct_few_and_short() -> None:
    names = UnknownNames()
    names.add_fields({"known": 1, "new": 2, "\ud83c": 3}, frozenset({"known"}), "delta.")
    names.add("delta.new")
    assert names.as_tuple() == ("delta.new", "delta.\ufffd")
    for number in range(MAX_UNKNOWN_NAMES):
        names.add(f"{number}" + "x" * 1000)
    assert len(names.as_tuple()) == MAX_UNKNOWN_NAMES
    assert max(map(len, names.as_tuple())) == MAX_NAME_CHARS
    assert orjson.dumps(names.as_tuple())
