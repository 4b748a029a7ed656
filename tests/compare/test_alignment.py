"""Which sentences belong together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.alignment import Alignment, align
from shadowproxy.compare.sentences import sentences
from shadowproxy.compare.words import NO_LEXICON


def aligned(primary: str, other: str) -> Alignment:
    return align(sentences(primary, NO_LEXICON), sentences(other, NO_LEXICON))


def test_each_sentence_finds_its_own_and_is_used_once() -> None:
    found = aligned("The dog sleeps here. The cat eats fish.", "The cat eats meat. The dog sleeps there. Birds sing loudly outside.")
    assert [(pair.primary.text, pair.other.text) for pair in found.pairs] == [
        ("The dog sleeps here.", "The dog sleeps there."),
        ("The cat eats fish.", "The cat eats meat."),
    ]
    assert [sentence.text for sentence in found.only_other] == ["Birds sing loudly outside."]


def test_equal_sentences_are_only_counted() -> None:
    found = aligned("Same here. Same here.", "Same here.")
    assert (found.same, found.pairs, len(found.only_primary)) == (1, (), 1)


def test_two_sentences_that_the_other_side_joins_are_one() -> None:
    one = "The dog sleeps under the old table, dreaming of long walks by the river."
    two = "The dog sleeps under the old table. It dreams of long walks by the river."
    for primary, other in ((one, two), (two, one)):
        found = aligned(primary, other)
        assert [(pair.primary.text, pair.other.text) for pair in found.pairs] == [(primary, other)]
        assert (found.only_primary, found.only_other) == ((), ())


def test_a_further_sentence_about_something_else_is_not_joined() -> None:
    found = aligned("The dog sleeps here.", "The dog sleeps there. Birds sing loudly outside.")
    assert [sentence.text for sentence in found.only_other] == ["Birds sing loudly outside."]


_TEXTS = st.lists(st.sampled_from(["the cat sat", "a dog ran", ".", "\n", "Paris", "1,000", "not"]), max_size=25).map(" ".join)


@given(_TEXTS, _TEXTS)
def test_every_word_is_somewhere_exactly_once(primary: str, other: str) -> None:
    mine, theirs = sentences(primary, NO_LEXICON), sentences(other, NO_LEXICON)
    found = align(mine, theirs)
    left = [*(pair.primary for pair in found.pairs), *found.only_primary]
    right = [*(pair.other for pair in found.pairs), *found.only_other]
    for side, parts in ((mine, left), (theirs, right)):
        assert sum(len(s.words) for s in side) == found.same_words + sum(len(s.words) for s in parts)
    assert all(0 <= pair.overlap <= 1 for pair in found.pairs)
