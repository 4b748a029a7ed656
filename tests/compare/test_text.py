"""Which text stands for an answer, when two are the same, and how alike two are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.text import comparable_text, cosine, is_equal, normalised, similarity
from shadowproxy.exchange import Answer, Choice, ToolCall

ZERO = np.zeros(2, dtype=np.float32)
X = np.array([1.0, 0.0], dtype=np.float32)


def text_of(*choices: Choice) -> str:
    return comparable_text(Answer("chat", choices))


def test_order_and_spacing_of_arguments_do_not_count() -> None:
    one = text_of(Choice(tool_calls=(ToolCall("weather", '{"city": "Paris", "unit": "C"}', id="1"),)))
    two = text_of(Choice(tool_calls=(ToolCall("weather", '{"unit":"C","city":"Paris"}', id="2"),)))
    assert one == two == 'weather({"city":"Paris","unit":"C"})'


def test_arguments_that_are_not_json_stay_as_sent() -> None:
    assert text_of(Choice(tool_calls=(ToolCall("f", '{"a": '),))) == 'f({"a": )'


def test_arguments_too_deep_for_the_writer_stay_as_sent() -> None:
    deep = "[" * 500 + "]" * 500
    assert text_of(Choice(tool_calls=(ToolCall("f", deep),))) == f"f({deep})"


def test_refusal_and_tool_calls_stand_beside_the_text() -> None:
    assert text_of(Choice(text="Hm.", refusal="I cannot.", tool_calls=(ToolCall("f", "{}"),))) == "Hm.\nI cannot.\nf({})"


def test_reasoning_is_not_compared() -> None:
    assert text_of(Choice(text="4", reasoning="2 and 2")) == text_of(Choice(text="4", reasoning="double of 2")) == "4"


def test_order_of_several_choices_does_not_count() -> None:
    assert text_of(Choice("b"), Choice("a")) == text_of(Choice("a"), Choice("b")) == "a\n\nb"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Paris", "PARIS"),
        ("Paris  is\nnice", "Paris is nice"),
        ("**Paris** is *nice*", "Paris is nice"),
        ("__Paris__ is _nice_", "Paris is nice"),
        ("## Answer\nParis", "Answer\nParis"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("ﬁne", "fine"),
        ("Straße", "STRASSE"),
        ("e\u0301t\u00e9", "ét\u00e9"),
        ("a\u00a0b", "a b"),
    ],
)
def test_same_words_in_another_form_are_equal(one: str, two: str) -> None:
    assert is_equal(one, two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("2*3*4", "234"),
        ("2 * 3 * 4", "2 3 4"),
        ("10² m", "102 m"),
        ("a_b_c", "abc"),
        ("f(*args, **kwargs)", "f(args, kwargs)"),
        ("C#", "C"),
        ("-1", "1"),
        ("It is safe.", "It is not safe."),
        ("1.5", "15"),
    ],
)
def test_marks_with_a_meaning_stay(one: str, two: str) -> None:
    assert not is_equal(one, two)


@pytest.mark.timeout(20)
def test_a_line_of_opening_marks_takes_linear_time() -> None:
    assert len(normalised("_a " * 100_000)) == 3 * 100_000 - 1


@given(st.text(), st.text())
def test_equality_is_reflexive_and_symmetric(one: str, two: str) -> None:
    assert is_equal(one, one)
    assert is_equal(one, two) == is_equal(two, one)


def test_similarity_of_texts_that_need_no_vectors() -> None:
    assert similarity("Paris", "paris", X, ZERO) == 1.0
    assert similarity("", "", ZERO, ZERO) == 1.0
    assert similarity("", "Paris", ZERO, X) == 0.0


def test_opposite_and_directionless_vectors_resemble_nothing() -> None:
    assert cosine(X, -X) == 0.0
    assert cosine(X, ZERO) == 0.0


@given(st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=2, max_size=8))
def test_a_vector_against_itself_is_one(row: list[float]) -> None:
    vector = np.array(row, dtype=np.float32)
    assert cosine(vector, vector) == pytest.approx(1.0 if vector.any() else 0.0)
