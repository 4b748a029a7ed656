"""The word-level difference."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.report.diff import MAX_WORDS, Difference, difference

#: Texts that share words, signs without spaces between them, and white space of every kind.
TEXTS = st.lists(
    st.sampled_from(["the", "13.9", "million", " ", "\n", "\t ", "東京", "é", "don't", "\ud800", "(", ")", "_x_"]), max_size=40
).map("".join)


def changed(found: Difference) -> list[tuple[str, str]]:
    return [(piece.primary.strip(), piece.other.strip()) for piece in found.pieces if not piece.is_kept]


def test_one_word_that_differs_is_the_only_one_marked() -> None:
    assert changed(difference("Tokyo has 13 million people.", "Tokyo has 139 million people.")) == [("13", "139")]


def test_words_that_only_one_side_has_stand_against_nothing() -> None:
    assert changed(difference("It is red.", "It is not red.")) == [("", "not")]
    assert changed(difference("It is not red.", "It is red.")) == [("not", "")]


def test_white_space_alone_is_no_difference_and_stays_as_each_side_has_it() -> None:
    found = difference("one two", "one\n\n two ")
    assert [piece.is_kept for piece in found.pieces[:1]] == [True]
    assert "".join(piece.other for piece in found.pieces) == "one\n\n two "


def test_scripts_without_spaces_are_compared_by_sign() -> None:
    assert changed(difference("首都は東京です", "首都は京都です")) != [("首都は東京です", "首都は京都です")]


def test_a_lone_word_between_two_longer_changes_is_taken_into_them() -> None:
    assert changed(difference("Oranges are the sweetest", "Lemons taste the sourest")) == [
        ("Oranges are the sweetest", "Lemons taste the sourest")
    ]


def test_share_of_what_is_kept() -> None:
    assert difference("", "").kept_share == 1
    assert difference("same words", "same words").kept_share == 1
    assert difference("alpha", "omega").kept_share == 0


@given(TEXTS, TEXTS)
def test_pieces_joined_are_the_texts(primary: str, other: str) -> None:
    found = difference(primary, other)
    assert "".join(piece.primary for piece in found.pieces) + found.rest == primary
    assert "".join(piece.other for piece in found.pieces) + found.other_rest == other


@given(TEXTS)
def test_equal_texts_have_no_change(text: str) -> None:
    assert changed(difference(text, text)) == []


@settings(max_examples=20)
@given(TEXTS, TEXTS)
def test_kept_pieces_say_the_same_words(primary: str, other: str) -> None:
    for piece in difference(primary, other).pieces:
        if piece.is_kept:
            assert "".join(piece.primary.split()) == "".join(piece.other.split())


@pytest.mark.parametrize(
    ("primary", "other"),
    [
        ("a b " * 100_000, "b b a " * 100_000),
        ("x" * 10_000_000, "x " * 1_000_000),
        (" " * 1_000_000, "\n" * 1_000_000),
        ("a-" * 99, "-b" * 99),
    ],
    ids=["two words", "one word", "space", "just below the bound of frequent words"],
)
@pytest.mark.timeout(60)
def test_hostile_texts_end(primary: str, other: str) -> None:
    """The bound is on words: the rest comes back unmarked."""
    found = difference(primary, other)
    assert "".join(piece.primary for piece in found.pieces) + found.rest == primary
    assert sum(len(piece.primary.split()) for piece in found.pieces) <= MAX_WORDS
