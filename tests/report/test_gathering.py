"""All pairs added up."""

from __future__ import annotations

from shadowproxy.exchange import CONTROL, PRIMARY, Divergence, Severity
from shadowproxy.report.gathering import CANDIDATE, REST, Gathering, gathered
from shadowproxy.report.pairs import ArmShown, Excerpt, Likeness, PairShown
from tests.report.example import pairs


def pair(id_: str, divergence: float | None, noise: float | None = None, *divergences: Divergence) -> PairShown:
    control = Likeness(divergence=noise) if noise is not None else None
    return PairShown(id_, "r", Excerpt(), ArmShown(), ArmShown(), Likeness(divergence=divergence, divergences=divergences), None, control)


def test_worst_pairs_are_those_beyond_the_noise_of_their_own_request() -> None:
    found = gathered([pair("noisy", 0.9, 0.8), pair("quiet", 0.5, 0.0), pair("better than its noise", 0.1, 0.4), pair("unknown", None)])
    assert [each.id for each in found.worst] == ["quiet", "noisy"]


def test_only_so_many_worst_are_kept_and_earlier_ones_come_first() -> None:
    found = gathered((pair(str(at), 0.5) for at in range(1000)), worst=3)
    assert [each.id for each in found.worst] == ["0", "1", "2"]
    assert found.pairs == 1000


def test_one_kind_does_not_crowd_out_the_others() -> None:
    refusal, number = (Divergence(kind, Severity.MAJOR, "", "") for kind in ("refusal.shift", "facts.number"))
    many = [pair(f"refusal {at}", 0.9, None, refusal) for at in range(20)]
    found = gathered([*many, pair("number", 0.5, None, number)], worst=5)
    assert [each.id for each in found.worst] == ["refusal 0", "refusal 1", "refusal 2", "refusal 3", "number"]


def test_a_pair_counts_once_for_a_kind_with_its_gravest_severity() -> None:
    many = (Divergence("facts.number", Severity.MINOR, "1", "2"), Divergence("facts.number", Severity.MAJOR, "3", "4"))
    assert gathered([pair("a", 0.1, None, *many)]).likeness[CANDIDATE].kinds == {"facts.number": {"major": 1}}


def test_names_that_strangers_could_make_up_are_bounded() -> None:
    made_up = (pair(str(at), 0.1, None, Divergence(f"custom.{at}", Severity.INFO, "", "")) for at in range(1000))
    kinds = gathered(made_up).likeness[CANDIDATE].kinds
    assert len(kinds) == 201
    assert kinds[REST]["info"] == 800


def test_every_arm_has_its_own_distribution() -> None:
    found = gathered(pairs(200))
    counts = {arm: totals.times["ttft_s"].n for arm, totals in found.arms.items()}
    assert counts[PRIMARY] == counts[CONTROL] == 204
    assert counts[CANDIDATE] == 204 - found.arms[CANDIDATE].outcomes["timeout"]


def test_without_a_control_nothing_is_said_of_it() -> None:
    found = gathered(pairs(10, has_control=False))
    assert found.arms[CONTROL].asked == 0
    assert found.likeness[CONTROL].pairs == 0


def test_pair_by_pair_is_the_same_as_all_at_once() -> None:
    one_by_one = Gathering()
    for each in pairs(50):
        one_by_one.add(each)
    assert one_by_one.arms == gathered(pairs(50)).arms
