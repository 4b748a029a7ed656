"""The table of gates: names, margins, and what puts a gate in force."""

from __future__ import annotations

import pytest

from shadowproxy.verdict.checks import CHECKS, NOISE_FLOOR
from shadowproxy.verdict.gates import DEFAULT_MARGINS, GATE_NAMES, GateRule, Role, gate_rules
from shadowproxy.verdict.limits import Budget

EVERY_GATE = {name: 0.02 if margin is None else margin for name, margin in DEFAULT_MARGINS.items()}
RULES = {rule.name: rule for rule in gate_rules(EVERY_GATE)}
ON_BY_DEFAULT = ["error", "json_valid", "tool_valid", "tools", "similarity", "facts", "refusal", "ttft"]


def guards(**margins: float | None) -> list[str]:
    return [rule.name for rule in gate_rules(margins) if rule.role is Role.GUARD and not rule.stands_in_for]


def test_every_check_has_a_gate_except_the_noise_floor() -> None:
    assert {rule.check for rule in RULES.values()} == set(CHECKS) - {NOISE_FLOOR}


def test_reason_codes_know_every_gate_and_the_family_of_budgets() -> None:
    [budget] = gate_rules({}, [Budget("slow", "ttft", 0.8, 0.01)])[-1:]
    assert {rule.family for rule in (*RULES.values(), budget) if rule.role is Role.GUARD} == set(GATE_NAMES)


def test_gates_that_need_nothing_but_answers_are_on_by_default() -> None:
    assert guards() == ON_BY_DEFAULT


def test_a_margin_switches_on_and_none_switches_off() -> None:
    assert guards(structure=0.02, judge=0.05, error=None) == [
        "json_valid", "tool_valid", "structure", "tools", "similarity", "facts", "refusal", "ttft", "judge"
    ]  # fmt: skip
    assert {rule.name: rule.margin for rule in gate_rules({"error": 0.01, "ttft": 0.002})}["ttft"] == 0.002


def test_stand_ins_and_negative_controls_go_with_their_gate() -> None:
    names = {rule.name for rule in gate_rules({"similarity": None, "ttft": None, "itl": 0.01})}
    assert not {"similarity", "similarity_absolute", "ttft", "aa_ttft"} & names
    assert {"itl", "aa_itl", "error", "aa_error", "tools_absolute"} <= names
    margins = {rule.name: rule.margin for rule in gate_rules({"error": 0.01, "itl": 0.02, "similarity_absolute": 0.3})}
    assert (margins["aa_error"], margins["aa_itl"], margins["similarity_absolute"]) == (0.01, 0.02, 0.3)


def test_a_stand_in_alone_can_be_switched_off() -> None:
    names = {rule.name for rule in gate_rules({"facts_absolute": None})}
    assert "facts" in names
    assert "facts_absolute" not in names


def test_each_budget_is_a_gate_of_its_own() -> None:
    budgets = [Budget("slow", "ttft", 0.8, 0.01), Budget("very_slow", "ttft", 2.0, 0.001)]
    found = gate_rules(dict.fromkeys(DEFAULT_MARGINS), budgets)
    assert [(rule.name, rule.check, rule.margin, rule.support) for rule in found] == [
        ("budget:slow", "budget:slow", 0.01, (0.0, 1.0)),
        ("budget:very_slow", "budget:very_slow", 0.001, (0.0, 1.0)),
    ]


def test_what_cannot_be_a_rule_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match="there is no gate 'colour'; gates are error, "):
        gate_rules({"colour": 0.1})
    with pytest.raises(ValueError, match="two budgets are called 'slow'"):
        gate_rules({}, [Budget("slow", "ttft", 0.8, 0.01), Budget("slow", "itl", 0.1, 0.01)])
    with pytest.raises(ValueError, match=r"gate error: margin 1\.5"):
        gate_rules({"error": 1.5})


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.needs_control or rule.stands_in_for])
def test_absolute_thresholds_stand_in_only_without_control(name: str) -> None:
    rule = RULES[name]
    assert rule.is_in_force(has_control=True) is not bool(rule.stands_in_for)
    assert rule.is_in_force(has_control=False) is bool(rule.stands_in_for)


@pytest.mark.parametrize("name", ["error", "json_valid", "tool_valid", "ttft", "cost", "judge"])
def test_what_the_served_answer_is_the_reference_for_needs_no_control(name: str) -> None:
    assert RULES[name].is_in_force(has_control=False)
    assert RULES[name].is_in_force(has_control=True)


@pytest.mark.parametrize(
    ("check", "margin", "support"),
    [("error", 1.0, (-1.0, 1.0)), ("error", -1.0, (-1.0, 1.0)), ("error", 0.1, (0.0, 1.0)), ("colour", 0.1, (-1.0, 1.0))],
)
def test_a_rule_that_cannot_be_tested_is_refused(check: str, margin: float, support: tuple[float, float]) -> None:
    with pytest.raises(ValueError):
        GateRule("new", check, margin, support)
