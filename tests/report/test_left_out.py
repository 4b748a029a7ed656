"""What was not compared, and why."""

from __future__ import annotations

from shadowproxy.exchange import CONTROL, PRIMARY
from shadowproxy.report.contents import contents
from shadowproxy.report.gathering import Gathering, gathered
from shadowproxy.report.left_out import left_out
from shadowproxy.report.pairs import ArmShown, Excerpt, Likeness, PairShown
from tests.report.example import document, example

OK = ArmShown(outcome="ok")


def said(*pairs: PairShown, **fields: object) -> dict[str, tuple[str, str]]:
    shown = contents({**document("hold"), "unresolved": 0, "reasons": [], **fields}, gathered(pairs))
    return {each.what: (each.amount, each.why) for each in left_out(shown)}


def pair(likeness: Likeness, candidate: ArmShown = OK) -> PairShown:
    return PairShown("1", "r", Excerpt(), OK, candidate, likeness)


def test_nothing_left_out_says_nothing() -> None:
    assert said() == {}


def test_a_kind_that_abstained_in_some_pairs_says_in_how_many() -> None:
    found = said(*[pair(Likeness(0.9, 0.0, {"facts": 0.0}))] * 3, pair(Likeness(0.9, 0.0, {})))
    assert found["comparison of facts"][0] == "1 of 4 pairs (25.0 %)"


def test_kinds_that_compared_nothing_at_all_share_a_line() -> None:
    (kinds,) = [what for what in said(pair(Likeness(0.9, 0.0, {"facts": 0.0}))) if "tools" in what]
    assert "structure" in kinds
    assert "facts" not in kinds


def test_similarity_that_nobody_measured_is_missed() -> None:
    assert "no embedder" in said(pair(Likeness(None, 0.0, {"facts": 0.0})))["similarity"][1]


def test_each_arm_s_failures_say_what_they_count_for() -> None:
    timed_out = ArmShown(outcome="timeout")
    shown = PairShown("1", "r", Excerpt(), timed_out, timed_out, Likeness(), timed_out, Likeness())
    found = said(shown)
    for arm, consequence in ((PRIMARY, "only failures are counted"), ("candidate", "counts against"), (CONTROL, "self-check")):
        assert found[f"answers of the {arm}"][0] == "1 of 1"
        assert consequence in found[f"answers of the {arm}"][1]


def test_suppressed_lost_and_unreported_are_counted() -> None:
    gate = {
        **document("hold")["gates"][0],
        "gate": "cost",
        "counts": {"unreported": 40, "0.00": 60},
        "n": 100,
        "route": "chat",
        "slice": "",
    }
    found = said(pair(Likeness(0.9, 0.0, {}, (), {"$.id": 7})), unresolved=5, issued=1000, gates=[gate])
    assert found["differences ignored"] == ("7", "by rule $.id")
    assert found["pairs lost"][0] == "5 of 1,000"
    assert found["gate cost, chat"][0] == "40 of 100 pairs"


def test_gates_with_nothing_to_measure_and_notes_of_the_input_stand_here_too() -> None:
    whys = [each.why for each in left_out(example("hold"))]
    assert any("json_valid" in why for why in whys)
    assert "2 requests have no line of the candidate; they count as its failures" in whys


def test_without_pairs_kinds_are_not_spoken_of() -> None:
    assert not [each for each in left_out(contents(document("hold"), Gathering())) if each.what.startswith("comparison")]
