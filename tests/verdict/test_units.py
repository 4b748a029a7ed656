"""Sessions as units of observation: what is counted, when, and that the mean survives."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.verdict.cells import CellKey
from shadowproxy.verdict.checks import CHECKS, UNREPORTED, value_of, values_of
from shadowproxy.verdict.units import Observed, Sessions, Window, cell_of_mean


def error(cell: str, route: str = "chat") -> tuple[CellKey, ...]:
    return (CellKey(route, "error", cell),)


def sessions(**window: float) -> Sessions:
    return Sessions(Window(**window), random.Random(5).random)


# --- when a unit is counted -------------------------------------------------------------------------------------------------


def test_a_session_counts_once_after_it_was_idle() -> None:
    open_ones = sessions(idle_s=300)
    assert open_ones.add("chat", "s1", "p1", error("both_ok"), 0.0) == Observed()
    assert open_ones.add("chat", "s1", "p2", error("both_ok"), 200.0) == Observed()
    assert open_ones.expire(499.0) == Observed()
    assert open_ones.pending_pairs() == {"chat": 2}
    assert open_ones.expire(500.0) == Observed(error("both_ok"), units=1, pairs={"chat": 2})
    assert open_ones.expire(9000.0) == Observed()


def test_a_later_pair_of_another_session_closes_it_too() -> None:
    open_ones = sessions(idle_s=300)
    open_ones.add("chat", "s1", "p1", error("candidate_only"), 0.0)
    assert open_ones.add("chat", "s2", "p1", error("both_ok"), 300.0) == Observed(error("candidate_only"), units=1, pairs={"chat": 1})


def test_a_session_that_never_pauses_is_closed_by_number_and_by_age() -> None:
    by_number = sessions(max_pairs=3)
    found = [by_number.add("chat", "s", f"p{i}", error("both_ok"), float(i)).units for i in range(6)]
    assert found == [0, 0, 1, 0, 0, 1]
    by_age = sessions(idle_s=300, max_s=600, max_pairs=100)
    found = [by_age.add("chat", "s", f"p{i}", error("both_ok"), 200.0 * i).units for i in range(7)]
    assert found == [0, 0, 0, 1, 0, 0, 1]


def test_a_session_counts_once_on_each_route_and_in_each_slice() -> None:
    open_ones = sessions()
    for i in range(4):
        keys = (*error("both_ok", "chat"), *error("both_ok", "tools"), CellKey("", "error", "both_ok", "language=de"))
        open_ones.add("chat", "s", f"p{i}", keys, 0.0)
    closed = open_ones.close()
    assert closed.units == 1
    assert set(closed.cells) == {*error("both_ok", "chat"), *error("both_ok", "tools"), CellKey("", "error", "both_ok", "language=de")}
    assert len(closed.cells) == 3


def test_the_same_prompt_again_counts_nothing() -> None:
    """A client that retries is not two opinions."""
    open_ones = sessions()
    open_ones.add("chat", "s", "p", error("candidate_only"), 0.0)
    assert open_ones.add("chat", "s", "p", error("both_ok"), 1.0).is_duplicate
    assert not open_ones.add("chat", "t", "p", error("both_ok"), 1.0).is_duplicate
    assert open_ones.close().cells == (*error("candidate_only"), *error("both_ok"))


def test_without_session_a_prompt_counts_at_once_and_once_within_the_window() -> None:
    open_ones = sessions(idle_s=300)
    assert open_ones.add("chat", "", "p1", error("both_ok"), 0.0) == Observed(error("both_ok"), units=1, pairs={"chat": 1})
    assert open_ones.add("chat", "", "p1", error("candidate_only"), 299.0) == Observed(is_duplicate=True, pairs={"chat": 1})
    assert open_ones.add("chat", "", "p2", error("both_ok"), 299.0).units == 1
    assert open_ones.add("chat", "", "p1", error("candidate_only"), 300.0) == Observed(error("candidate_only"), units=1, pairs={"chat": 1})


def test_a_session_in_which_nothing_could_be_counted_is_no_unit() -> None:
    open_ones = sessions()
    open_ones.add("chat", "s", "p", (), 0.0)
    assert open_ones.close() == Observed(pairs={"chat": 1})


def test_memory_is_bounded_and_what_was_idle_longest_goes_first() -> None:
    open_ones = sessions(max_open=10)
    units = 0
    for i in range(100):
        units += open_ones.add("chat", f"s{i}", "p", error("both_ok"), i / 100).units
        units += open_ones.add("chat", "busy", f"p{i // 10}", error("both_ok"), i / 100).units
        units += open_ones.add("chat", "", f"q{i}", error("both_ok"), i / 100).units - 1
    assert repr(open_ones) == "<Sessions 10 open with 109 pairs, 10 prompts>"
    assert units == 91
    assert units + open_ones.close().units == 101


@pytest.mark.parametrize("bound", ["idle_s", "max_s", "max_pairs", "max_open"])
def test_a_window_without_bounds_is_refused(bound: str) -> None:
    with pytest.raises(ValueError, match="positive bounds"):
        Window(**{bound: 0})


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.integers(0, 5), st.integers(0, 400)), max_size=60))
def test_every_pair_is_counted_once_or_is_a_duplicate(pairs: list[tuple[str, int, int]]) -> None:
    """With sessions of one pair each, what comes out is what went in."""
    open_ones = sessions(max_pairs=1)
    now, added, counted = 0.0, 0, 0
    for session, prompt, pause in pairs:
        now += pause
        found = open_ones.add("chat", session, f"p{prompt}", error("candidate_only"), now)
        added += not found.is_duplicate
        counted += len(found.cells)
    assert counted + len(open_ones.close().cells) == added


# --- the mean -------------------------------------------------------------------------------------------------------------

counted = st.sampled_from(list(CHECKS)).flatmap(
    lambda check: st.tuples(
        st.just(check), st.dictionaries(st.sampled_from(list(values_of(check))), st.integers(1, 20), min_size=1, max_size=4)
    )
)


@given(counted)
def test_the_expected_difference_of_a_unit_is_the_mean_of_its_pairs(given_counts: tuple[str, dict[str, int]]) -> None:
    check, seen = given_counts
    draws = (np.arange(4000) + 0.5) / 4000
    expected = sum(value_of(check, cell_of_mean(check, seen, float(u))) for u in draws) / len(draws)
    mean = sum(value_of(check, cell) * n for cell, n in seen.items()) / sum(seen.values())
    assert expected == pytest.approx(mean, abs=1e-3)


@given(st.dictionaries(st.sampled_from(list(CHECKS["error"])), st.integers(1, 20), min_size=1))
def test_the_rates_of_both_sides_survive(seen: dict[str, int]) -> None:
    draws = (np.arange(4000) + 0.5) / 4000
    rounded = Counter(cell_of_mean("error", seen, float(u)) for u in draws)
    for bad in ("candidate_only", "reference_only"):
        before = sum(seen.get(cell, 0) for cell in (bad, "both_bad")) / sum(seen.values())
        after = sum(rounded[cell] for cell in (bad, "both_bad")) / len(draws)
        assert after == pytest.approx(before, abs=1e-3)


def test_what_was_not_reported_stays_so_in_its_share() -> None:
    draws = (np.arange(1000) + 0.5) / 1000
    rounded = Counter(cell_of_mean("cost", {UNREPORTED: 1, "+0.50": 3}, float(u)) for u in draws)
    assert rounded == {UNREPORTED: 250, "+0.50": 750}
    assert cell_of_mean("budget:slow", {UNREPORTED: 2}, 0.99) == UNREPORTED


@pytest.mark.parametrize("check", CHECKS)
def test_a_session_of_one_pair_counts_as_that_pair(check: str) -> None:
    for cell in values_of(check):
        assert value_of(check, cell_of_mean(check, {cell: 1}, 0.5)) == value_of(check, cell)


def test_every_pair_is_accounted_for_once_by_route_repeats_too() -> None:
    open_ones = Sessions(Window(idle_s=10.0, max_pairs=3), lambda: 0.5)
    accounted: Counter[str] = Counter()
    for at, (route, prompt) in enumerate([("chat", "p1"), ("chat", "p1"), ("embeddings", "p2"), ("chat", "p3"), ("chat", "p4")]):
        accounted.update(open_ones.add(route, "s", prompt, error("both_ok"), float(at)).pairs)
    assert accounted == {"chat": 3, "embeddings": 1}
    assert open_ones.pending_pairs() == {"chat": 1}
    accounted.update(open_ones.close().pairs)
    assert accounted == {"chat": 4, "embeddings": 1}
