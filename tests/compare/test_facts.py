"""Which changed facts are seen, what is not held for one, and that nothing a text can hold breaks or stalls the comparator."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy import lexicon
from shadowproxy.compare.facts import LISTED, compare_facts
from shadowproxy.compare.kinds import Found
from shadowproxy.compare.words import NO_LEXICON
from shadowproxy.exchange import Severity

WORDS = lexicon.load()
GRAVE = (Severity.MAJOR, Severity.CRITICAL)


def compared(primary: str, other: str) -> Found:
    return compare_facts(primary, other, WORDS)


def grave(found: Found) -> set[str]:
    return {one.kind for one in found.divergences if one.severity in GRAVE}


@pytest.mark.parametrize(
    ("primary", "other", "kind"),
    [
        ("Take 5 mg twice a day.", "Take 50 mg twice a day.", "facts.number"),
        ("The trip takes three hours by train.", "The trip takes five hours by train.", "facts.number"),
        ("Sales grew by 12% in the north.", "Sales grew by 21% in the north.", "facts.number"),
        ("The talks went on for several days.", "The talks went on for several years.", "facts.number"),
        ("She finished first in the final race.", "She finished third in the final race.", "facts.number"),
        ("The contract was signed on 3 May 2021.", "The contract was signed on 2021-06-03.", "facts.date"),
        ("The shop opens on Monday at noon.", "The shop opens on Tuesday at noon.", "facts.date"),
        ("The meeting begins at 5 pm today.", "The meeting begins at 16:00 today.", "facts.date"),
        ("The ticket costs $5 at the door.", "The ticket costs $6 at the door.", "facts.money"),
        ("The capital of the country is Paris.", "The capital of the country is Lyon.", "facts.name"),
        ("Ann asks Mike to buy milk.", "Mike asks Ann to buy milk.", "facts.name"),
        ("The drug is approved for children.", "The drug is not approved for children.", "facts.negation"),
        ("He signed the paper in the morning.", "He refused to sign the paper in the morning.", "facts.negation"),
        ("It has a camera on the back.", "It is missing a camera on the back.", "facts.negation"),
        ("The weather was hot all week.", "The weather was cold all week.", "facts.antonym"),
        ("The critics were supportive of the film.", "The critics were dissatisfied with the film.", "facts.antonym"),
        ("All birds can fly.", "Some birds can fly.", "facts.quantifier"),
        ("It takes at least 3 days.", "It takes at most 3 days.", "facts.quantifier"),
        ("You must stop at the light.", "You may stop at the light.", "facts.quantifier"),
    ],
)
def test_a_changed_fact_in_the_same_sentence_is_major(primary: str, other: str, kind: str) -> None:
    found = compared(primary, other)
    assert kind in grave(found)
    assert found.score is not None
    assert found.score > 0.5
    assert all(one.why for one in found.divergences)


@pytest.mark.parametrize(
    ("primary", "other"),
    [
        ("It is 5 km away.", "It is 5000 m away."),
        (
            "The giant tumbled after a drop in profit, while raising its prices.",
            "The giant declined after a drop in profit, while upping its prices.",
        ),
        ("The repair took 24 hours in all.", "The repair took one day in all."),
        ("The firm reported a drop in sales last quarter.", "The firm noted a decline in sales last quarter."),
        ("It costs $5 million.", "It costs 5,000,000 dollars."),
        ("Prices rose by 20%.", "Prices rose by twenty percent."),
        ("The meeting is on March 5, 2021 at 5 pm.", "The meeting is on 2021-03-05 at 17:00."),
        ("The result is 3.14 in the end.", "The result is 3,14 in the end."),
        ("The U.S. won the match.", "The US won the match."),
        ("This is not bad.", "This is good."),
        ("There is no proof of it.", "There isn't any proof of it."),
        ("The firm bought the plant last year.", "The company purchased the plant last year."),
        ("Ann and Mike went home.", "Mike and Ann went home."),
        ("1. Boil the water.\n2. Add the salt.", "- Boil the water.\n- Add the salt."),
    ],
)
def test_other_words_for_the_same_are_no_conflict(primary: str, other: str) -> None:
    found = compared(primary, other)
    assert not grave(found)
    assert found.score is not None
    assert found.score < 0.6


@pytest.mark.parametrize(("primary", "other"), [("42", "43"), ("Paris.", "Lyon."), ("Yes.", "No."), ("True", "False")])
def test_short_answers_are_compared_though_they_have_no_word_in_common(primary: str, other: str) -> None:
    assert grave(compared(primary, other))


def test_what_does_not_align_gets_no_score() -> None:
    found = compared("The court upheld the ruling on appeal.", "Bake the bread for forty minutes until it is brown.")
    assert found == Found()


def test_says_more_and_says_less_are_no_contradiction() -> None:
    short = "The bridge opened to traffic."
    long = short + " It replaced an old ferry that had served the valley."
    assert [(one.kind, one.severity) for one in compared(short, long).divergences] == [("facts.more", Severity.INFO)]
    assert [(one.kind, one.severity) for one in compared(long, short).divergences] == [("facts.less", Severity.MINOR)]


def test_a_number_that_only_one_side_gives_is_no_conflict() -> None:
    assert not grave(compared("The bridge is long and narrow.", "The bridge is 300 m long and narrow."))


def test_items_of_two_lists_are_not_one_item_changed() -> None:
    primary = "Alice Munro, who wrote short stories about a small town in the west for many years."
    other = "Saul Bellow, who wrote long novels about big cities in the east for most of his life."
    assert not grave(compared(primary, other))


def test_an_answer_that_keeps_none_of_the_particulars_has_lost_them() -> None:
    primary = "Famous examples are Meryl Streep, Hugh Jackman and Viola Davis."
    assert "facts.lost" in grave(compared(primary, "There are many actors who began on the stage."))
    assert "facts.lost" not in grave(compared(primary, "One of them is Viola Davis."))


def test_the_same_text_scores_zero() -> None:
    text = "Take 5 mg on Monday. Do not drive.\n\n- All of it, never less."
    assert compared(text, text) == Found(score=0.0)


def test_code_between_fences_is_not_prose() -> None:
    primary = "Call it like this.\n```\nwait(5)\n```"
    assert compared(primary, primary.replace("5", "6")) == Found(score=0.0)


def test_one_changed_sentence_outweighs_a_paraphrase_and_a_remark() -> None:
    start = "The plant in the north makes 300 cars a day and exports half of them."
    changed = compared(start, start.replace("300", "500"))
    reworded = compared(start, "The factory in the north produces 300 cars a day and exports half of them.")
    assert changed.score is not None
    assert reworded.score is not None
    assert changed.score > reworded.score


def test_a_conflict_counts_less_where_little_else_is_shared() -> None:
    rest = " The harbour was widened for larger ships. New cranes came from abroad. Fishing lost its place in the town."
    other_rest = " Farmers grow olives on the slopes. A museum shows what the monks wrote. Trains run twice an hour."
    alone = compared("The town has 300 inhabitants.", "The town has 500 inhabitants.")
    among = compared("The town has 300 inhabitants." + rest, "The town has 500 inhabitants." + other_rest)
    assert alone.score is not None
    assert among.score is not None
    assert among.score < alone.score / 2
    assert "facts.number" in grave(among)


def test_numbers_and_negations_need_no_lexicon() -> None:
    assert grave(compare_facts("Take 5 mg daily.", "Take 50 mg daily.", NO_LEXICON)) == {"facts.number"}
    assert grave(compare_facts("It is safe to drive.", "It is not safe to drive.", NO_LEXICON)) == {"facts.negation"}


_BAIT = [
    "1,",
    "one-",
    "A.",
    "'",
    "a'",
    "* ",
    "|",
    "\n",
    "\ud800 not ",
    "! ",
    "May 5 ",
    "```\n",
    " ",
    "$",
    "ing",
    "not ",
    "3.1.",
    "the cat sat. ",
]


@pytest.mark.parametrize("bait", _BAIT)
def test_long_and_hostile_texts_are_cut(bait: str) -> None:
    found = compared(bait * 300_000, "The cat sat on 5 mats in Rome. " * 100_000)
    assert len(found.divergences) <= LISTED + 3


_PIECES = st.sampled_from(
    ["5 mg", "not", "no", "Paris", "hot", "cold", "all", "some", ".", "\n", "- ", "$3", "May", "the", "\ud800", "'", "1.5,2", "٣"]
)
_TEXTS = st.lists(_PIECES, max_size=30).map(" ".join) | st.text(max_size=60)


@settings(max_examples=200, deadline=None)
@given(_TEXTS, _TEXTS)
def test_any_two_texts_give_a_score_within_bounds_and_the_same_twice(primary: str, other: str) -> None:
    found = compared(primary, other)
    assert found.score is None or 0 <= found.score <= 1
    assert found == compared(primary, other)


@settings(max_examples=100, deadline=None)
@given(_TEXTS)
def test_a_text_never_conflicts_with_itself(text: str) -> None:
    assert compared(text, text).score in (None, 0.0)
    assert not compared(text, text).divergences
