"""Plans against simulated rollouts: the figures are medians and ninth deciles of 1000 simulations each, alpha 0.05."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.verdict.checks import CHECKS, value_of, values_of
from shadowproxy.verdict.gates import DEFAULT_MARGINS, GateRule, gate_rules
from shadowproxy.verdict.limits import Budget
from shadowproxy.verdict.planning import (
    Law,
    law_of_counts,
    law_of_mismatch,
    law_of_rate,
    law_of_spread,
    plan,
    rule_of_thumb,
    seconds_for,
    worsened,
)

RULES = {
    rule.name: rule
    for rule in gate_rules(
        {name: 0.02 if margin is None else margin for name, margin in DEFAULT_MARGINS.items()}, [Budget("slow", "ttft", 0.8, 0.01)]
    )
}


def gate(name: str, margin: float) -> GateRule:
    return replace(RULES[name], margin=margin)


def both_fail(rate: float) -> Law:
    return law_of_mismatch(2 * rate * (1 - rate))


SIMULATED = [
    ("similarity", 0.01, law_of_spread(0.107), 1038, 2000),
    ("similarity", 0.02, law_of_spread(0.107), 375, 600),
    ("error", 0.002, both_fail(0.001), 5575, 10_900),
    ("error", 0.005, both_fail(0.001), 1625, 2700),
    ("error", 0.005, both_fail(0.005), 3638, 7300),
    ("error", 0.010, both_fail(0.005), 1200, 2225),
    ("error", 0.010, both_fail(0.02), 3450, 6975),
    ("error", 0.020, both_fail(0.02), 900, 1675),
    ("structure", 0.02, both_fail(0.08), 2688, 6025),
    ("structure", 0.03, both_fail(0.08), 1350, 2625),
    ("budget:slow", 0.01, law_of_rate(0.001), 575, None),
    ("budget:slow", 0.01, law_of_rate(0.005), 2588, None),
]


@pytest.mark.parametrize(("name", "margin", "law", "median", "p90"), SIMULATED)
def test_plans_agree_with_simulated_promotions(name: str, margin: float, law: Law, median: int, p90: int | None) -> None:
    planned = plan(gate(name, margin), law, loss=0.0)
    assert planned.to_promote is not None
    assert planned.to_promote_p90 is not None
    assert median <= planned.to_promote <= 1.5 * median
    if p90 is not None:
        assert planned.to_promote_p90 == pytest.approx(p90, rel=0.17)


@pytest.mark.parametrize(("loss", "median"), [(0.015, 1800), (0.045, 275), (0.195, 45), (0.9, 10)])
def test_plans_agree_with_simulated_rollbacks(loss: float, median: int) -> None:
    planned = plan(RULES["error"], both_fail(0.005), loss)
    assert planned.to_roll_back is not None
    assert median <= planned.to_roll_back <= 1.3 * median


def test_the_rule_of_thumb_is_about_right_where_the_gap_is_small() -> None:
    assert rule_of_thumb(0.0115, 0.01) == pytest.approx(1038, rel=0.15)
    assert rule_of_thumb(0.01, 0.005) == pytest.approx(3638, rel=0.15)
    assert rule_of_thumb(0.01, 0.005, alpha=0.01) == pytest.approx(5112, rel=0.25)
    assert rule_of_thumb(0.01, 0.0) is None


def test_one_bad_cell_among_many_takes_longer_to_roll_back_but_not_to_promote() -> None:
    alone, among = (plan(RULES["error"], both_fail(0.005), 0.045, cells=cells) for cells in (1, 60))
    assert among.to_promote == alone.to_promote
    assert alone.to_roll_back is not None
    assert among.to_roll_back is not None
    assert alone.to_roll_back < among.to_roll_back < 4 * alone.to_roll_back


def test_what_will_not_be_decided_has_no_number() -> None:
    planned = plan(RULES["error"], worsened("error", both_fail(0.01), 0.005), loss=0.0)
    assert (planned.to_promote, planned.to_promote_p90, planned.rule_of_thumb, planned.to_roll_back) == (None, None, None, None)
    assert seconds_for(None, 1.0) is None
    assert seconds_for(100, 0.0) is None
    assert seconds_for(100, 2.0) == 50.0


@pytest.mark.parametrize("name", RULES)
def test_every_gate_can_be_planned_from_counts(name: str) -> None:
    rule = RULES[name]
    best = min(values_of(rule.check), key=lambda cell: (abs(value_of(rule.check, cell)), cell != "both_ok"))
    planned = plan(rule, law_of_counts({best: 300}), loss=0.5)
    assert planned.to_roll_back is not None
    assert planned.to_roll_back < 100
    assert (planned.to_promote is None) is (rule.margin == 0.0), "no difference at all is exactly at a margin of 0"


@given(st.sampled_from(sorted(CHECKS)), st.data())
def test_a_worse_candidate_is_worse_by_the_loss(check: str, data: st.DataObject) -> None:
    inner = [cell for cell, value in values_of(check).items() if abs(value) <= 0.5 and cell != "both_bad"]
    counts = data.draw(st.dictionaries(st.sampled_from(inner), st.integers(1, 50), min_size=1))
    loss = data.draw(st.floats(0, 0.5))
    law = law_of_counts(counts)
    worse = worsened(check, law, loss)
    assert math.fsum(worse.values()) == pytest.approx(1)

    def mean(of: Law) -> float:
        return math.fsum(value_of(check, cell) * chance for cell, chance in of.items())

    assert mean(worse) - mean(law) == pytest.approx(loss, abs=1e-9)


def test_laws_have_the_spread_they_were_asked_for() -> None:
    law = law_of_spread(0.107, mean=-0.013)
    mean = sum(value_of("similarity", cell) * chance for cell, chance in law.items())
    variance = sum((value_of("similarity", cell) - mean) ** 2 * chance for cell, chance in law.items())
    assert mean == pytest.approx(-0.013)
    assert 0.107**2 <= variance <= 0.107**2 + 0.05**2 / 4


def test_what_is_no_law_of_the_gate_is_refused() -> None:
    with pytest.raises(ValueError, match="check error has no cell 'bad'"):
        plan(RULES["error"], law_of_rate(0.1), 0.0)
    with pytest.raises(ValueError, match=r"a loss of 0\.9 is more than the"):
        worsened("error", law_of_mismatch(0.5), 0.9)
    with pytest.raises(ValueError, match="no law"):
        law_of_counts({})
