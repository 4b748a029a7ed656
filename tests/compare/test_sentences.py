"""What a sentence is and what its words are, and what is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shadowproxy import lexicon
from shadowproxy.compare.edits import difference, with_phrases
from shadowproxy.compare.sentences import SENTENCES, WORDS, Sentence, sentences
from shadowproxy.compare.words import NO_LEXICON


def texts(side: str) -> list[str]:
    return [sentence.text for sentence in sentences(side, NO_LEXICON)]


def words(text: str) -> list[str]:
    (sentence,) = sentences(text, NO_LEXICON)
    return [word.text for word in sentence.words]


def names(text: str) -> list[str]:
    return [word.text for sentence in sentences(text, NO_LEXICON) for word in sentence.words if word.is_name]


def test_abbreviations_and_initials_end_no_sentence() -> None:
    assert texts("Mr. Smith met J. Doe. They left at 5 p.m. together.") == ["Mr. Smith met J. Doe.", "They left at 5 p.m. together."]


def test_marks_of_lists_and_headings_are_no_words() -> None:
    assert texts("## Steps\n1. Boil it.\n- **Add** salt.\n> Stir.") == ["Steps", "Boil it.", "Add salt.", "Stir."]


def test_contractions_deny() -> None:
    assert words("It doesn't, can't and won’t") == ["It", "does", "not", "can", "not", "and", "will", "not"]


def test_a_capital_inside_a_sentence_is_a_name_and_in_a_heading_is_not() -> None:
    assert names("we met Alice in London") == ["Alice", "London"]
    assert names("How To Bake Good Bread At Home") == []


def test_what_has_moved_is_no_edit() -> None:
    (primary,), (other,) = sentences("on Monday the shop opens", NO_LEXICON), sentences("the shop opens on Monday", NO_LEXICON)
    found = difference(primary.words, other.words)
    assert (found.edits, found.moved) == ((), 2)


def test_a_verb_of_two_words_is_one_word_of_an_edit() -> None:
    known = lexicon.load()
    (primary,), (other,) = sentences("The army carried out the plan.", known), sentences("The army executed the plan.", known)
    (edit,) = with_phrases(difference(primary.words, other.words), known).edits
    assert [[word.text for word in side] for side in (edit.primary, edit.other)] == [["carried out"], ["executed"]]


def test_long_texts_and_sentences_are_cut() -> None:
    assert len(sentences("Go. " * 10_000, NO_LEXICON)) == SENTENCES
    assert len(words("word " * 5_000)) == WORDS


_TEXTS = st.lists(st.sampled_from(["the cat sat", "a dog ran", ".", "\n", "Paris", "1,000", "not"]), max_size=25).map(" ".join)


@given(_TEXTS, _TEXTS)
def test_edits_turn_one_sentence_into_the_other(primary: str, other: str) -> None:
    mine, theirs = _joined(primary), _joined(other)
    found = difference(mine.words, theirs.words)
    gone = sorted(word.lemma for edit in found.edits for word in edit.primary)
    come = sorted(word.lemma for edit in found.edits for word in edit.other)
    left = sorted([*(word.lemma for word in mine.words), *come])
    assert left == sorted([*(word.lemma for word in theirs.words), *gone])


def _joined(text: str) -> Sentence:
    return Sentence(text, tuple(word for sentence in sentences(text, NO_LEXICON) for word in sentence.words))
