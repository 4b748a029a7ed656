"""Counters: that they merge, and which ones a pair adds to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.exchange import Comparison, Outcome, Side, Timing
from shadowproxy.verdict.cells import CellKey, merge, observe
from shadowproxy.verdict.checks import CHECKS
from shadowproxy.verdict.limits import Limits

keys = st.builds(CellKey, st.sampled_from(["a", "b"]), st.just("error"), st.sampled_from(list(CHECKS["error"])))
counts = st.dictionaries(keys, st.integers(0, 10**9))


@given(counts, counts, counts)
def test_merging_is_order_free(one: dict[CellKey, int], two: dict[CellKey, int], three: dict[CellKey, int]) -> None:
    merged = merge(one, two, three)
    assert merged == merge(three, merge(two, one)) == merge(merge(one, three), two)
    assert sum(merged.values()) == sum(sum(each.values()) for each in (one, two, three))


def test_merging_nothing_is_nothing() -> None:
    assert merge() == {}


def test_keys_are_sorted_by_route_then_check_then_cell() -> None:
    in_order = [
        CellKey("a", "error", "both_bad"),
        CellKey("a", "error", "both_ok"),
        CellKey("a", "ttft_tail", "both_ok"),
        CellKey("b", "error", "both_ok"),
    ]
    assert sorted([in_order[2], in_order[0], in_order[3], in_order[1]]) == in_order


# --- what a pair adds to ----------------------------------------------------------------------------------------------------


def compared(arm: str, outcome: Outcome = Outcome.OK) -> Comparison:
    return Comparison(arm, outcome, 0.9, False, False, Timing(0.5, None, 1.0), Timing(0.5, None, 1.0), side=Side(is_refusal=False))


def test_a_pair_counts_once_for_its_route_and_once_for_each_slice() -> None:
    slices = ("language=de", "tools=no")
    keys = observe("chat", Outcome.OK, compared("candidate"), compared("control"), True, Limits(), 0.5, slices)
    by_stratum = {
        stratum: {key.check for key in keys if (key.route, key.slice) == stratum} for stratum in {(k.route, k.slice) for k in keys}
    }
    assert by_stratum == {
        ("chat", ""): {"error", "aa_error", "refusal", "similarity", "noise_floor"},
        ("", "language=de"): {"error", "refusal", "similarity"},
        ("", "tools=no"): {"error", "refusal", "similarity"},
    }
    assert len(set(keys)) == len(keys)


def test_a_pair_that_was_lost_adds_nothing_to_its_slices_either() -> None:
    lost = compared("candidate", Outcome.DROPPED_LOCAL)
    assert observe("chat", Outcome.OK, lost, None, True, Limits(), 0.5, ("language=de",)) == ()


def test_a_slice_is_another_counter() -> None:
    assert CellKey("", "error", "both_ok", "language=de") != CellKey("", "error", "both_ok")
    assert CellKey("", "error", "both_ok", "language=de").is_known
    assert not CellKey("", "error", "perhaps", "language=de").is_known
