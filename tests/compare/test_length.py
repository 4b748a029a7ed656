"""Length, truncation and loops: what is graded, what is claimed, and what is left alone."""

from __future__ import annotations

import gzip

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.length import compare_length, is_repetitive, is_truncated
from shadowproxy.exchange import Choice, Severity
from tests.compare.xstest import DATA

NAMES = ("Ada", "the clerk", "a gardener", "my uncle", "their doctor", "nobody", "each pilot")
DEEDS = ("painted", "sold", "forgot", "carried", "measured", "praised", "mended", "lost", "weighed", "hid", "drew")
THINGS = (
    "a boat",
    "two lamps",
    "the ladder",
    "an old clock",
    "his violin",
    "some bread",
    "that map",
    "a kettle",
    "the roof",
    "a coin",
    "it",
    "all",
    "her hat",
)
#: 7, 11 and 13 share no factor: no sentence comes twice.
PROSE = " ".join(f"In the end {NAMES[at % 7]} {DEEDS[at % 11]} {THINGS[at % 13]}." for at in range(60))


def kinds(primary: Choice, other: Choice) -> dict[str, Severity]:
    return {each.kind: each.severity for each in compare_length(primary, other).divergences}


def test_twice_as_long_is_worth_a_line() -> None:
    assert kinds(Choice("a" * 100), Choice("b" * 200)) == {"length.ratio": Severity.MINOR}
    assert kinds(Choice("a" * 200), Choice("b" * 100)) == {"length.ratio": Severity.MINOR}


@pytest.mark.parametrize(("one", "two"), [(100, 199), (101, 200), (1, 199)])
def test_short_or_near_lengths_are_not(one: int, two: int) -> None:
    assert kinds(Choice("a" * one), Choice("b" * two)) == {}


def test_the_score_grows_with_the_ratio_up_to_one() -> None:
    scores = [compare_length(Choice("a" * 1000), Choice("b" * size)).score for size in (1000, 1500, 3000, 8700, 90_000)]
    assert scores[0] == 0.0
    assert scores == sorted(scores, key=float)
    assert scores[-2:] == [pytest.approx(1.0), 1.0]


def test_a_sentence_more_hardly_scores() -> None:
    score = compare_length(Choice("Yes."), Choice("Yes, it is.")).score
    assert score is not None
    assert score < 0.05


def test_without_text_there_is_no_length() -> None:
    assert compare_length(Choice(), Choice("a" * 300)).score is None
    assert compare_length(Choice("  \n"), Choice("a")).score is None


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "incomplete", "model_length"])
def test_a_length_limit_truncates_by_whatever_name(reason: str) -> None:
    assert is_truncated(Choice("Once upon a", finish_reason=reason))


@pytest.mark.parametrize("reason", [None, "stop", "end_turn", "tool_calls", "content_filter", "stop_sequence"])
def test_an_unfinished_sentence_alone_is_no_truncation(reason: str | None) -> None:
    assert not is_truncated(Choice("Once upon a", finish_reason=reason))


def test_a_cut_candidate_is_major_and_a_cut_primary_minor() -> None:
    whole, cut = Choice("Once upon a time.", finish_reason="stop"), Choice("Once upon a", finish_reason="length")
    assert kinds(whole, cut) == {"length.truncated": Severity.MAJOR}
    assert kinds(cut, whole) == {"length.truncated": Severity.MINOR}
    assert kinds(cut, cut) == {}
    assert compare_length(whole, cut).score == 1.0


@pytest.mark.parametrize(
    "loop",
    ["I am sorry. " * 100, "!" * 2000, "Repeat the step.\n" * 60, "你好，" * 400, PROSE + "and so on " * 150, PROSE * 8],
)
def test_a_loop_is_found(loop: str) -> None:
    assert is_repetitive(loop)


def test_a_counting_loop_is_found() -> None:
    assert is_repetitive("".join(f"{at}. Repeat this step carefully.\n" for at in range(100)))


@pytest.mark.parametrize(
    "text", ["", "ha " * 100, PROSE, ", ".join(map(str, range(500))), "\n".join(f"| 20{at} | {at * at} | {7 * at} |" for at in range(60))]
)
def test_lists_tables_and_short_refrains_are_no_loops(text: str) -> None:
    assert not is_repetitive(text)


def test_a_looping_candidate_is_major() -> None:
    loop = PROSE + "and so on " * 250
    assert kinds(Choice(PROSE), Choice(loop))["length.repetition"] is Severity.MAJOR
    assert kinds(Choice(loop), Choice(PROSE))["length.repetition"] is Severity.MINOR
    assert "length.repetition" not in kinds(Choice(loop), Choice(loop + "and so on"))


@given(st.text(max_size=400), st.text(max_size=400))
def test_the_score_is_symmetric_and_bounded(one: str, two: str) -> None:
    there, back = compare_length(Choice(one), Choice(two)), compare_length(Choice(two), Choice(one))
    assert (there.score is None) is (back.score is None)
    if there.score is not None:
        assert 0.0 <= there.score <= 1.0
        assert there.score == pytest.approx(back.score)


@pytest.mark.timeout(20)
def test_ten_megabytes_cost_little() -> None:
    found = compare_length(Choice("\ud800 1" * 3_000_000), Choice("1" * 10_000_000))
    assert found.score is not None


@pytest.mark.skipif(not (DATA / "responses/alpaca_eval").is_dir(), reason="alpaca_eval (../shared/data/responses) is not there")
def test_real_answers_are_no_loops() -> None:
    names = ("gpt4", "gpt4_0314", "gpt4_0613_concise", "gpt-3.5-turbo-0613", "alpaca-7b")
    files = [(DATA / f"responses/alpaca_eval/outputs/{name}.json.gz").read_bytes() for name in names]
    assert not [row["output"] for file in files for row in orjson.loads(gzip.decompress(file)) if is_repetitive(row["output"])]
