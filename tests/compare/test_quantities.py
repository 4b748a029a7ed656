"""Amounts, dates and times in the notations that people and models use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.moments import Moment
from shadowproxy.compare.quantities import Quantity, quantities


def amount(text: str) -> Quantity:
    (found,) = quantities(text).amounts
    return found


def moment(text: str) -> Moment:
    (found,) = quantities(text).moments
    return found


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("5 km", "5000 m"),
        ("0.5 kg", "500 grams"),
        ("5 miles", "8 km"),
        ("12 months", "1 year"),
        ("24 hours", "1 day"),
        ("1,500 people", "1500 people"),
        ("1.500,5 people", "1,500.5 people"),
        ("1.234 m", "1234 m"),
        ("3.5 million users", "3,500,000 users"),
        ("twenty-five cars", "25 cars"),
        ("two hundred and fifty thousand", "250,000"),
        ("20%", "twenty percent"),
        ("$5m", "five million dollars"),
        ("US$ 3.2bn", "3.2 billion dollars"),
        ("the 2nd floor", "the second floor"),
    ],
)
def test_the_same_amount_in_two_notations(one: str, two: str) -> None:
    assert amount(one).is_comparable(amount(two))
    assert amount(one).equals(amount(two))


@pytest.mark.parametrize(
    ("one", "two"),
    [("5 mg", "50 mg"), ("5 mg", "5 g"), ("-3", "3"), ("1.5 m", "1.6 m"), ("10%", "11%"), ("$5", "$6"), ("1.2.3", "1.2.4"), ("1st", "3rd")],
)
def test_another_amount(one: str, two: str) -> None:
    assert not amount(one).equals(amount(two))


@pytest.mark.parametrize(("one", "two"), [("5 mg", "5 km"), ("5%", "$5"), ("$5", "€5"), ("3 days", "3rd")])
def test_amounts_of_different_things_are_not_compared(one: str, two: str) -> None:
    assert not amount(one).is_comparable(amount(two))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("March 5, 2021", "2021-03-05"),
        ("5 March 2021", "5th of March, 2021"),
        ("Sept. 7", "7 September"),
        ("03/05/2021", "5 March 2021"),
        ("03/05/2021", "March 5, 2021"),
        ("25/12/2020", "December 25, 2020"),
        ("5 pm", "17:00"),
        ("noon", "12:00 p.m."),
        ("12:30 am", "0:30"),
        ("Mondays", "monday"),
        ("in May", "in May 2020"),
    ],
)
def test_the_same_moment_in_two_notations(one: str, two: str) -> None:
    assert moment(one).is_comparable(moment(two))
    assert not moment(one).contradicts(moment(two))


@pytest.mark.parametrize(
    ("one", "two"),
    [("March 5, 2021", "2021-03-06"), ("in 1999", "in 1998"), ("Monday", "Tuesday"), ("5 pm", "5 am"), ("03/05/2021", "03/06/2021")],
)
def test_another_moment(one: str, two: str) -> None:
    assert moment(one).contradicts(moment(two))


@pytest.mark.parametrize("text", ["You may march on.", "It may be so.", "the sun sat", "", "no numbers here", "a score to settle"])
def test_words_that_only_look_like_dates_and_numbers(text: str) -> None:
    found = quantities(text)
    assert not found.amounts
    assert not found.moments


def test_a_date_is_not_read_as_numbers_again() -> None:
    assert quantities("on 3 May 2021 at 17:00").amounts == ()


def test_one_is_weak() -> None:
    assert amount("one of them").is_weak


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["1", ",", ".", "-", "$", "%", "one", " ", "May", ":", "million", "/"]), max_size=80).map("".join)
)
def test_any_text_is_read(text: str) -> None:
    quantities(text)
