"""When requests go out."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.replay.pace import LONGEST_GAP_S, Schedule, Timed, Turns
from shadowproxy.replay.progress import in_words
from shadowproxy.replay.work import Share


@pytest.mark.parametrize(("speed", "due_s"), [(1.0, [0.0, 0.5, 4.0]), (10.0, [0.0, 0.05, 0.4]), (0.5, [0.0, 1.0, 8.0])])
def test_distances_are_those_of_the_capture_by_speed(speed: float, due_s: list[float]) -> None:
    issued = [1_700_000_000.0, 1_700_000_000.5, 1_700_000_004.0]
    assert list(Timed(speed).schedule(issued).due_s) == pytest.approx(due_s)


def test_long_gaps_are_shortened_and_odd_times_cost_none() -> None:
    hour = LONGEST_GAP_S
    assert Timed().schedule([0.0, 2 * hour, 2 * hour + 1]) == Schedule(array("d", [0.0, hour, hour + 1]), 1)
    assert Timed(4.0).schedule([0.0, 2 * hour]) == Schedule(array("d", [0.0, hour / 2])), "it is the wait that counts"
    assert Timed().schedule([-1e308, 1e308, math.inf, math.nan]) == Schedule(array("d", [0.0, hour, 2 * hour, 2 * hour]), 2)


def test_a_turn_after_a_pause_is_a_turn_of_its_own() -> None:
    turns = Turns(2.0)
    assert [turns.take(10.0) for _ in range(2)] == [10.0, 10.5]
    turns.hold(13.0)
    assert [turns.take(11.0) for _ in range(2)] == [13.0, 13.5]


def test_turns_are_even_and_never_saved_up() -> None:
    turns = Turns(4.0)
    assert [turns.take(10.0) for _ in range(3)] == [10.0, 10.25, 10.5]
    assert turns.take(20.0) == 20.0, "a quiet time gives no right to a burst"
    assert turns.take(20.0) == 20.25


def test_without_a_rate_every_turn_is_now() -> None:
    turns = Turns(None)
    assert [turns.take(3.0) for _ in range(3)] == [3.0, 3.0, 3.0]


def test_the_longest_pause_that_was_asked_for_holds() -> None:
    turns = Turns(None)
    turns.hold(12.0)
    turns.hold(9.0)
    assert turns.held_until_s == 12.0


@given(total=st.integers(0, 500), of=st.integers(1, 12))
def test_shares_are_every_request_once(total: int, of: int) -> None:
    numbers = [number for index in range(1, of + 1) for number in Share(index, of).numbers(total)]
    assert sorted(numbers) == list(range(total))


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7620, "2 h 7 min")])
def test_times_are_told_in_words(seconds: float, said: str) -> None:
    assert in_words(seconds) == said
