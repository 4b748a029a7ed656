"""How words relate, by the packaged table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy import lexicon
from shadowproxy.compare.relations import Relation, relation
from shadowproxy.compare.words import MEANINGS, NO_LEXICON, parse

WORDS = lexicon.load()


def related(a: str, b: str) -> Relation:
    return relation(WORDS.meaning(a), WORDS.meaning(b))


@pytest.mark.parametrize(
    ("a", "b", "how"),
    [
        ("went", "goes", Relation.SAME),
        ("stopped", "stop", Relation.SAME),
        ("buy", "purchase", Relation.SYNONYM),
        ("often", "rarely", Relation.ANTONYM),
        ("hugely", "immensely", Relation.DERIVED),
        ("carried out", "executed", Relation.SYNONYM),
        ("hot", "cold", Relation.ANTONYM),
        ("tiny", "huge", Relation.ANTONYM),
        ("rejected", "accepted", Relation.ANTONYM),
        ("positively", "negatively", Relation.ANTONYM),
        ("highest", "lowest", Relation.ANTONYM),
        ("larger", "smaller", Relation.ANTONYM),
        ("able", "unable", Relation.ANTONYM),
        ("useful", "useless", Relation.ANTONYM),
        ("supportive", "dissatisfied", Relation.OPPOSED),
        ("asked", "questioned", Relation.DERIVED),
        ("invasion", "attack", Relation.KIND),
        ("doctor", "nurse", Relation.SIBLING),
        ("coffee", "water", Relation.OTHER),
        ("coffee", "zxqvut", Relation.UNKNOWN),
    ],
)
def test_the_closest_relation_is_found(a: str, b: str, how: Relation) -> None:
    assert related(a, b) is how


@pytest.mark.parametrize(
    ("form", "base"),
    [
        ("noted", "note"),
        ("noting", "note"),
        ("notes", "note"),
        ("hoped", "hope"),
        ("hopped", "hop"),
        ("visited", "visit"),
        ("larger", "large"),
    ],
)
def test_a_form_leads_to_the_base_that_it_is_made_from(form: str, base: str) -> None:
    assert WORDS.lemma(form) == base


@pytest.mark.parametrize(("a", "b"), [("eve", "night"), ("gotten", "fallen"), ("limit", "increased")])
def test_words_that_only_touch_an_opposite_are_no_antonyms(a: str, b: str) -> None:
    assert related(a, b) not in (Relation.ANTONYM, Relation.OPPOSED)


@given(st.sampled_from(["good", "ran", "cities", "happily", "zxq", "not", "red", "killed"]), st.text(max_size=12))
def test_relations_are_mutual(a: str, b: str) -> None:
    assert related(a, b) is related(b, a)


def test_what_is_remembered_is_bounded() -> None:
    for number in range(MEANINGS + 10):
        NO_LEXICON.meaning(f"w{number}")
    assert len(NO_LEXICON._meanings) <= MEANINGS


def test_a_text_that_is_no_table_is_refused() -> None:
    with pytest.raises(ValueError):
        parse("no table")
