"""Readings added up: exact whatever is seen twice, late or no longer; and never trusted where a count cannot be one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.counts import CELLS, PAIRS_ISSUED, PAIRS_PENDING, ROLLOUT_STARTED, CountKey
from shadowproxy.sources.reading import EVIDENCE, Reading, by_boot
from shadowproxy.sources.sums import Sums

R = "v2-0123456789ab"
OTHER = "v3-0123456789ab"
ISSUED = (PAIRS_ISSUED.name, R, "chat", "candidate")
PENDING = (PAIRS_PENDING.name, R, "v2", "chat")
STARTED = (ROLLOUT_STARTED.name, R)


def reading(boots: Mapping[str, Mapping[CountKey, float]], *live: str, at_s: float = 1000.0, reach_s: float = math.inf) -> Reading:
    return Reading(at_s, boots, frozenset(live), reach_s)


def test_boots_are_added_up() -> None:
    sums = Sums()
    sums.take(reading({"a": {ISSUED: 10}, "b": {ISSUED: 5}}, "a", "b"))
    assert sums.totals.value(PAIRS_ISSUED) == 15
    assert sums.gap(R) == ""


def test_boot_that_is_no_longer_seen_keeps_its_counts() -> None:
    sums = Sums()
    sums.take(reading({"a": {ISSUED: 10}, "b": {ISSUED: 5}}, "a", "b"))
    sums.take(reading({"b": {ISSUED: 7}}, "b"))
    assert sums.totals.value(PAIRS_ISSUED) == 17


def test_pairs_on_their_way_in_an_ended_boot_are_on_their_way_no_more() -> None:
    sums = Sums()
    sums.take(reading({"a": {ISSUED: 10, PENDING: 4}, "b": {PENDING: 1}}, "a", "b"))
    assert sums.totals.value(PAIRS_PENDING) == 5
    sums.take(reading({"b": {PENDING: 2}}, "b"))
    assert sums.totals.value(PAIRS_PENDING) == 2
    sums.take(reading({"a": {ISSUED: 10}, "b": {PENDING: 2}}, "b"))
    assert sums.totals.value(PAIRS_PENDING) == 2


def test_boot_that_was_not_scraped_for_a_while_comes_back_without_counting_twice() -> None:
    sums = Sums()
    for live in (("a",), (), ("a",)):
        sums.take(reading({"a": {ISSUED: 10, PENDING: 3}}, *live))
    assert sums.totals.value(PAIRS_ISSUED) == 10
    assert sums.totals.value(PAIRS_PENDING) == 3


@given(st.data())
def test_sum_is_that_of_the_last_values_whatever_is_seen_when(data: st.DataObject) -> None:
    """Any number of boots that count on, each seen at any of the looks."""
    sums, counted, shown = Sums(), dict.fromkeys("abcd", 0), dict.fromkeys("abcd", 0)
    for _ in range(data.draw(st.integers(1, 8))):
        for boot in counted:
            counted[boot] += data.draw(st.integers(0, 5))
        seen = data.draw(st.sets(st.sampled_from("abcd")))
        shown |= {boot: counted[boot] for boot in seen}
        sums.take(reading({boot: {ISSUED: float(counted[boot])} for boot in seen}, *seen))
        assert sums.totals.value(PAIRS_ISSUED) == sum(shown.values())
        assert sums.gap(R) == ""


@pytest.mark.parametrize("value", [1.5, -1.0, math.nan, math.inf, 2.0**53 + 2])
def test_what_is_no_count_is_left_out_and_never_trusted_again(value: float) -> None:
    sums = Sums()
    sums.take(reading({"a": {ISSUED: 3}}, "a"))
    sums.take(reading({"a": {ISSUED: value}}, "a"))
    assert sums.totals.value(PAIRS_ISSUED) == 3
    sums.take(reading({"a": {ISSUED: 4}}, "a"))
    assert "which is no count" in sums.gap(R)


def test_counter_that_falls_spoils_its_rollout_and_no_other() -> None:
    sums = Sums()
    sums.take(reading({"a": {ISSUED: 10, (PAIRS_ISSUED.name, OTHER, "chat", "candidate"): 10}}, "a"))
    sums.take(reading({"a": {ISSUED: 9, (PAIRS_ISSUED.name, OTHER, "chat", "candidate"): 11}}, "a"))
    assert "fell from 10 to 9" in sums.gap(R)
    assert sums.gap(OTHER) == ""
    assert sums.totals.value(PAIRS_ISSUED, R) == 10


def test_gauge_may_fall() -> None:
    sums = Sums()
    sums.take(reading({"a": {PENDING: 3}}, "a"))
    sums.take(reading({"a": {PENDING: 1}}, "a"))
    assert sums.gap(R) == ""


def test_rollout_began_with_the_first_pair_of_any_boot() -> None:
    sums = Sums()
    sums.take(reading({"a": {STARTED: 500.25}}, "a"))
    sums.take(reading({"b": {STARTED: 400.5}}, "b"))
    sums.take(reading({"c": {STARTED: 900.0}}, "c"))
    assert sums.totals.value(ROLLOUT_STARTED, R) == 400.5


def test_rollout_older_than_the_source_reaches_holds() -> None:
    sums = Sums()
    sums.take(reading({"a": {STARTED: 500}}, "a", at_s=1099, reach_s=600))
    assert sums.gap(R) == ""
    sums.take(reading({"a": {STARTED: 500}}, "a", at_s=1101, reach_s=600))
    assert "the rollout is 601 s old" in sums.gap(R)
    assert "judge.prometheus.window_s" in sums.gap(R)


def test_problem_of_one_look_is_gone_with_the_next() -> None:
    sums = Sums()
    sums.take(Reading(0, {}, frozenset(), problems=(("", "a:1 cannot be scraped"), (R, "began late"))))
    assert sums.gap(R) == "a:1 cannot be scraped; began late"
    assert sums.gap(OTHER) == "a:1 cannot be scraped"
    sums.take(reading({}))
    assert sums.gap(R) == sums.gap(OTHER) == ""


def test_samples_that_name_no_boot_are_a_problem_and_no_count() -> None:
    labels = {"rollout": R, "route": "chat", "arm": "candidate"}
    boots, problems = by_boot([(PAIRS_ISSUED, labels, 3.0), (PAIRS_ISSUED, {**labels, "boot": "a"}, 4.0)])
    assert boots == {"a": {ISSUED: 4.0}}
    ((about, text),) = problems
    assert about == ""
    assert text.startswith("shadowproxy_pairs_issued_total came without the label boot")


def test_evidence_is_what_can_be_summed_by_boot() -> None:
    assert {CELLS.name, PAIRS_ISSUED.name, PAIRS_PENDING.name, ROLLOUT_STARTED.name} <= EVIDENCE.keys()
    assert not [metric for metric in EVIDENCE.values() if "le" in metric.labels]
