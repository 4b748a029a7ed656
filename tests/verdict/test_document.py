"""The verdict as a JSON document."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.verdict.cells import CellKey
from shadowproxy.verdict.checks import CHECKS
from shadowproxy.verdict.decision import Evidence, Rules, decide
from shadowproxy.verdict.document import as_document
from shadowproxy.verdict.gates import DEFAULT_MARGINS, gate_rules

RULES = Rules(gates=gate_rules({**dict.fromkeys(DEFAULT_MARGINS), "error": 0.005}))


def document(counts: dict[str, int], limits: Rules = RULES, age_s: float = 3600.0, pairs_per_s: float = 2.0) -> dict[str, Any]:
    cells = {CellKey("chat", "error", cell): n for cell, n in counts.items()}
    evidence = Evidence(cells, sum(counts.values()), 0, age_s, pairs_per_s, has_control=False)
    return as_document(decide(limits, evidence), rollout="canary-1", candidate="canary", rules=limits, evidence=evidence)


def test_a_rollback_reads_like_this() -> None:
    shown = document({"both_ok": 878, "candidate_only": 118, "reference_only": 2, "both_bad": 2})
    assert (shown["rollout"], shown["candidate"], shown["state"]) == ("canary-1", "canary", "rollback")
    assert shown["reasons"][0]["code"] == "worse:error"
    assert shown["reasons"][0]["text"] == "error: candidate fails 12.0 % of requests, primary 0.4 %: at least 8.7 points worse, margin 0.5"
    gate = shown["gates"][0]
    assert gate["counts"] == {"both_ok": 878, "candidate_only": 118, "reference_only": 2, "both_bad": 2}
    assert gate["lower"] < gate["mean"] == 0.116 < gate["upper"]
    assert (gate["n"], gate["margin"], gate["pairs_needed"]) == (1000, 0.005, None)
    assert gate["log10_e_rollback"] > 1.3 > gate["log10_e_promote"]


def test_needs_are_zero_once_promoted_and_unknown_when_it_will_not_pass() -> None:
    promoted = document({"both_ok": 4000})
    assert (promoted["state"], promoted["pairs_needed"], promoted["seconds_needed"]) == ("promote", 0, 0.0)
    stuck = document({"both_ok": 950, "candidate_only": 50})
    assert (stuck["pairs_needed"], stuck["seconds_needed"]) == (None, None)


def test_time_to_a_decision_waits_for_the_soak_too() -> None:
    waiting = document({"both_ok": 4000}, age_s=600.0)
    assert (waiting["state"], waiting["pairs_needed"], waiting["seconds_needed"]) == ("hold", 0, 1200.0)
    soon = document({"both_ok": 1000}, age_s=600.0, pairs_per_s=1000.0)
    assert soon["seconds_needed"] == 1200.0
    late = document({"both_ok": 1000}, age_s=600.0, pairs_per_s=0.01)
    assert late["seconds_needed"] == late["pairs_needed"] / 0.01 > 1200.0


def test_time_is_unknown_while_no_pairs_come() -> None:
    shown = document({"both_ok": 1000}, pairs_per_s=0.0)
    assert shown["pairs_needed"] > 0
    assert shown["seconds_needed"] is None


def test_missing_pairs_of_a_small_route_are_scaled_to_all_traffic() -> None:
    limits = Rules(min_pairs=500, gates=gate_rules({**dict.fromkeys(DEFAULT_MARGINS), "error": 0.4}))
    cells = {CellKey("chat", "error", "both_ok"): 900, CellKey("tools", "error", "both_ok"): 100}
    evidence = Evidence(cells, 1000, 0, 3600.0, 1.0, has_control=False)
    shown = as_document(decide(limits, evidence), rollout="r", candidate="c", rules=limits, evidence=evidence)
    assert shown["pairs_needed"] == 4000


def _numbers(node: object) -> list[float]:
    if isinstance(node, dict):
        return [number for each in node.values() for number in _numbers(each)]
    if isinstance(node, list):
        return [number for each in node for number in _numbers(each)]
    return [node] if isinstance(node, float) else []


@given(
    st.dictionaries(
        st.builds(
            CellKey, st.sampled_from("ab"), st.sampled_from(list(CHECKS)), st.sampled_from(["both_ok", "candidate_only", "0.00", "+1.00"])
        ),
        st.integers(0, 10**9),
    ),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_verdict_is_strict_json_and_survives_the_trip(cells: dict[CellKey, int], has_control: bool) -> None:
    evidence = Evidence(cells, 10**9, 0, 0.0, 0.0, has_control)
    shown = as_document(decide(Rules(), evidence), rollout="r", candidate="c", rules=Rules(), evidence=evidence)
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert all(type(number) is float and math.isfinite(number) for number in _numbers(shown))
