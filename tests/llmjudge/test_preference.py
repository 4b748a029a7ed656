"""From two opinions to one preference, and what many of them say of the judge."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shadowproxy.llmjudge
from shadowproxy.llmjudge.preference import (
    ABSTENTIONS,
    Abstention,
    Agreement,
    Opinion,
    Order,
    Pick,
    Preference,
    Winner,
    preference,
    settled,
)
from shadowproxy.llmjudge.tally import RESULTS, Tally, result_of, says

OTHER_LETTER = {Pick.A: Pick.B, Pick.B: Pick.A, Pick.TIE: Pick.TIE}


def of(straight: Pick, swapped: Pick) -> Preference:
    return preference({Order.PRIMARY_FIRST: Opinion(straight), Order.OTHER_FIRST: Opinion(swapped)})


@pytest.mark.parametrize(
    ("straight", "swapped", "winner", "agreement"),
    [
        (Pick.A, Pick.B, Winner.PRIMARY, Agreement.SAME),
        (Pick.B, Pick.A, Winner.CANDIDATE, Agreement.SAME),
        (Pick.TIE, Pick.TIE, Winner.TIE, Agreement.SAME),
        (Pick.A, Pick.A, Winner.TIE, Agreement.FIRST),
        (Pick.B, Pick.B, Winner.TIE, Agreement.SECOND),
        (Pick.A, Pick.TIE, Winner.TIE, Agreement.HALF),
        (Pick.TIE, Pick.B, Winner.TIE, Agreement.HALF),
    ],
)
def test_only_what_both_orders_say_counts(straight: Pick, swapped: Pick, winner: Winner, agreement: Agreement) -> None:
    found = of(straight, swapped)
    assert (found.winner, found.agreement, found.is_consistent) == (winner, agreement, agreement is Agreement.SAME)


@given(st.sampled_from(Pick), st.sampled_from(Pick))
def test_exchanging_the_arms_exchanges_the_winner(straight: Pick, swapped: Pick) -> None:
    """The same judge, shown the same answers with the arms' roles exchanged, sees the two orders the other way round."""
    mirrored = {Winner.PRIMARY: Winner.CANDIDATE, Winner.CANDIDATE: Winner.PRIMARY, Winner.TIE: Winner.TIE}
    assert of(swapped, straight).winner is mirrored[of(straight, swapped).winner]
    assert of(swapped, straight).agreement is of(straight, swapped).agreement


def test_order_without_an_opinion_is_no_preference() -> None:
    with pytest.raises(KeyError):
        preference({Order.PRIMARY_FIRST: Opinion(Pick.A)})


def test_reasons_stand_in_order_and_costs_are_kept() -> None:
    opinions = {Order.OTHER_FIRST: Opinion(Pick.B, "swapped"), Order.PRIMARY_FIRST: Opinion(Pick.A, "straight")}
    found = preference(opinions, tokens=7, cost=0.5)
    assert (found.reasons, found.tokens, found.cost) == (("straight", "swapped"), 7, 0.5)


def test_only_missing_and_equal_answers_are_settled_without_asking() -> None:
    assert settled("a", None) == settled("", None) == Preference(Winner.PRIMARY)
    assert settled("a", " a\n") == Preference(Winner.TIE)
    assert settled("a", "b") is None
    assert settled("", "b") is None


def test_abstention_has_a_listed_reason() -> None:
    with pytest.raises(ValueError, match="'whatever' is not in ABSTENTIONS"):
        Abstention("whatever")


def test_every_listed_reason_is_used_in_the_code() -> None:
    (folder,) = shadowproxy.llmjudge.__path__
    code = "".join(path.read_text() for path in Path(folder).glob("*.py") if path.name != "preference.py")
    used = set(re.findall(r'"([a-z_]+)"', code))
    assert used >= ABSTENTIONS.keys()


def test_reasons_are_blind_where_nothing_was_asked() -> None:
    blind = {reason for reason in ABSTENTIONS if Abstention(reason).is_blind}
    assert blind == {reason for reason, line in ABSTENTIONS.items() if line.startswith("not asked")}


# --- tally ----------------------------------------------------------------------------------------------------------------


@given(st.sampled_from(Pick), st.sampled_from(Pick))
def test_every_preference_has_a_listed_result(straight: Pick, swapped: Pick) -> None:
    assert result_of(of(straight, swapped)) in RESULTS


@given(st.dictionaries(st.sampled_from(sorted(RESULTS)), st.integers(0, 1000)))
def test_shares_of_winners_add_up_to_one(counts: dict[str, int]) -> None:
    tally = Tally(counts)
    total = tally.share(Winner.PRIMARY) + tally.share(Winner.CANDIDATE) + tally.tie_share
    assert total == pytest.approx(1 if tally.pairs else 0)
    assert tally.flip_share <= tally.tie_share


def test_lines_say_what_is_preferred_beside_what_is_seen_between_equals() -> None:
    candidate = Tally({"primary": 30, "candidate": 20, "tie": 30, "first": 10, "half": 10})
    control = Tally({"primary": 1, "candidate": 1, "tie": 15, "first": 2, "second": 1})
    assert says(candidate, control) == (
        "judge, 100 pairs: primary better in 30.0 %, candidate in 20.0 %, tie 50.0 %",
        "judge, primary against itself, 20 pairs: primary better in 5.0 %, control in 5.0 %, tie 90.0 %",
        "judge, order swapped: contradicts itself in 10.8 % (10.0 % for the first, 0.8 % for the second)",
    )


def test_lines_say_where_equals_were_never_shown() -> None:
    assert (
        says(Tally({"tie": 1}), Tally({}))[1] == "judge: never shown the primary against itself, so what it sees between equals is unknown"
    )
