"""Counts of one process and their sums over processes that come, report, repeat themselves and die."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.counts import (
    BYTES,
    CONNECTIONS,
    NOT_MIRRORED,
    OPEN_CONNECTIONS,
    PAIRS_ISSUED,
    TTFT_SECONDS,
    TTFT_SUM,
    Counts,
    Totals,
)


def test_changes_are_told_once_and_carry_cumulative_values() -> None:
    counts = Counts()
    counts.add(NOT_MIRRORED, "method")
    counts.add(NOT_MIRRORED, "method", by=2)
    counts.set(OPEN_CONNECTIONS, "gateway-0", to=5)
    assert counts.get(NOT_MIRRORED, "method") == 3
    assert counts.take_changes() == {(NOT_MIRRORED.name, "method"): 3, (OPEN_CONNECTIONS.name, "gateway-0"): 5}
    assert counts.take_changes() == {}
    counts.set(OPEN_CONNECTIONS, "gateway-0", to=5)  # the same again is no change
    assert counts.take_changes() == {}
    counts.add(NOT_MIRRORED, "method")
    assert counts.take_changes() == {(NOT_MIRRORED.name, "method"): 4}
    assert counts.everything() == {(NOT_MIRRORED.name, "method"): 4, (OPEN_CONNECTIONS.name, "gateway-0"): 5}


def test_latencies_become_cumulative_buckets_with_their_sum() -> None:
    counts = Counts()
    for seconds in (0.005, 0.01, 0.3, 1000.0):
        counts.time(TTFT_SECONDS, "r", "chat", "primary", seconds=seconds)
    told = counts.take_changes()
    buckets = {key[-1]: value for key, value in told.items() if key[0] == TTFT_SECONDS.name}
    assert buckets["0.01"] == 2  # a bound belongs to its bucket
    assert buckets["0.25"] == 2
    assert buckets["0.5"] == buckets["300.0"] == 3
    assert buckets["+Inf"] == 4
    assert told[(TTFT_SUM.name, "r", "chat", "primary")] == 1000.315
    assert counts.take_changes() == {}


def test_a_repeated_report_changes_nothing_and_a_lost_one_is_made_up_for() -> None:
    totals = Totals()
    for value in (3, 3, 8):
        totals.absorb("shadow/1", {(CONNECTIONS.name,): value})
        totals.absorb("shadow/1", {(CONNECTIONS.name,): value})
    assert totals.value(CONNECTIONS) == 8


def test_what_a_dead_boot_counted_stays_and_what_it_held_goes() -> None:
    totals = Totals()
    totals.absorb("gateway-0/1", {(CONNECTIONS.name,): 10, (OPEN_CONNECTIONS.name, "gateway-0"): 4})
    totals.end("gateway-0/1")
    totals.absorb("gateway-0/2", {(CONNECTIONS.name,): 1, (OPEN_CONNECTIONS.name, "gateway-0"): 1})
    assert totals.value(CONNECTIONS) == 11
    assert totals.value(OPEN_CONNECTIONS) == 1
    totals.end("gateway-0/1")  # twice is once
    totals.end("never seen")
    assert totals.value(CONNECTIONS) == 11


def test_values_add_up_over_the_labels_that_are_left_open() -> None:
    totals = Totals()
    totals.absorb("a", {(PAIRS_ISSUED.name, "r", "chat", "candidate"): 2, (PAIRS_ISSUED.name, "r", "other", "candidate"): 3})
    totals.absorb("b", {(PAIRS_ISSUED.name, "r", "chat", "candidate"): 10, (PAIRS_ISSUED.name, "s", "chat", "candidate"): 100})
    assert totals.value(PAIRS_ISSUED, "r") == 15
    assert totals.value(PAIRS_ISSUED, "r", "chat") == 12
    assert totals.value(PAIRS_ISSUED) == 115
    assert totals.value(BYTES) == 0
    assert [labels for labels, _ in totals.items(PAIRS_ISSUED)] == sorted(labels for labels, _ in totals.items(PAIRS_ISSUED))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=30), st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_how_reports_of_different_boots_mix(steps: list[tuple[str, int]], dice: random.Random) -> None:
    """Each boot's own reports keep their order; those of different boots arrive in any."""
    by_boot: dict[str, list[int]] = {}
    for boot, step in steps:
        by_boot.setdefault(boot, []).append((by_boot.get(boot) or [0])[-1] + step)
    expected = sum(reports[-1] for reports in by_boot.values())
    totals = Totals()
    queues = {boot: list(reports) for boot, reports in by_boot.items()}
    while queues:
        boot = dice.choice(sorted(queues))
        totals.absorb(boot, {(CONNECTIONS.name,): queues[boot].pop(0)})
        if not queues[boot]:
            del queues[boot]
            if dice.random() < 0.5:
                totals.end(boot)
    assert totals.value(CONNECTIONS) == expected
