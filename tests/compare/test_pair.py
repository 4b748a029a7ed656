"""What one comparison says, from how far the two exchanges got."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.kinds import KINDS, SHOWN_CHARACTERS
from shadowproxy.compare.means import Means
from shadowproxy.compare.pair import compare as compare_views
from shadowproxy.compare.pair import texts_to_embed as texts_of_views
from shadowproxy.compare.view import view
from shadowproxy.exchange import (
    Answer,
    Asked,
    Choice,
    Comparison,
    Divergence,
    Exchange,
    Outcome,
    Reply,
    ReplyError,
    Request,
    Severity,
    ToolCall,
)

X = np.array([1.0, 0.0], dtype=np.float32)
Y = np.array([0.0, 1.0], dtype=np.float32)
ASKED, MEANS = Asked(), Means()
XY = np.array([0.6, 0.8], dtype=np.float32)


def exchange(
    arm: str = "primary", outcome: Outcome = Outcome.OK, status: int | None = 200, body: bytes = b"", duration_s: float = 1.0
) -> Exchange:
    reply = None if status is None else Reply(status, (), ((0.1, body),))
    return Exchange("1", arm, "chat", Request("POST", "/v1/chat/completions", (), b"{}"), reply, outcome, 0.0, duration_s)


def answer(text: str = "", **choice: object) -> Answer:
    return Answer("chat", (Choice(text=text, **choice),))  # type: ignore[arg-type]


def compare(
    primary: Exchange,
    primary_answer: Answer | None,
    other: Exchange,
    other_answer: Answer | None,
    vectors: tuple[np.ndarray, np.ndarray] | None,
    asked: Asked = ASKED,
    means: Means = MEANS,
) -> Comparison:
    return compare_views(view(primary, primary_answer, asked, means), view(other, other_answer, asked, means), vectors, asked, means)


def texts_to_embed(primary: Answer | None, other: Answer | None) -> tuple[str, str] | None:
    return texts_of_views(view(exchange(), primary, Asked(), Means()), view(exchange("candidate"), other, Asked(), Means()))


def compared(primary: Answer | None, other: Answer | None, vectors: tuple[np.ndarray, np.ndarray] | None = None) -> Comparison:
    return compare(exchange(), primary, exchange("candidate"), other, vectors)


def kinds(comparison: Comparison) -> set[str]:
    return {divergence.kind for divergence in comparison.divergences}


FAILURES = [outcome for outcome in Outcome if outcome.is_failure]


@pytest.mark.parametrize("outcome", FAILURES)
def test_failure_of_the_other_arm_alone_is_similarity_zero_and_critical(outcome: Outcome) -> None:
    found = compare(exchange(), answer("Paris"), exchange("candidate", outcome, None), None, None)
    assert found.similarity == 0.0
    assert not found.is_exact
    assert not found.is_equal_normalised
    assert [(each.kind, each.severity) for each in found.divergences] == [("outcome.failure", Severity.CRITICAL)]


@pytest.mark.parametrize("outcome", FAILURES)
def test_failure_of_the_primary_leaves_nothing_to_compare(outcome: Outcome) -> None:
    found = compare(exchange(outcome=outcome, status=None), None, exchange("candidate"), answer("Paris"), None)
    assert found.similarity is None
    assert [(each.kind, each.severity) for each in found.divergences] == [("outcome.failure", Severity.MINOR)]


def test_partial_text_of_a_broken_stream_earns_no_similarity() -> None:
    broken = replace(answer("Paris"), is_complete=False)
    found = compare(exchange(), answer("Paris"), exchange("candidate", Outcome.STREAM_ERROR), broken, (X, X))
    assert found.similarity == 0.0
    assert not found.is_exact


def test_two_failures_differ_in_kind_only() -> None:
    found = compare(exchange(outcome=Outcome.TIMEOUT, status=None), None, exchange("candidate", Outcome.HTTP_ERROR, 500), None, None)
    assert found.similarity is None
    assert kinds(found) == {"outcome.failure_kind"}


@pytest.mark.parametrize("lost", ["primary", "candidate"])
def test_our_own_loss_says_nothing_about_either_arm(lost: str) -> None:
    outcomes = {arm: Outcome.DROPPED_LOCAL if arm == lost else Outcome.OK for arm in ("primary", "candidate")}
    found = compare(
        exchange(outcome=outcomes["primary"]), answer("Paris"), exchange("candidate", outcomes["candidate"], None), answer("Rome"), (X, Y)
    )
    assert found.similarity is None
    assert found.divergences == ()


def test_error_texts_are_shown_where_both_failed_with_one() -> None:
    slow, busy = Answer("chat", error=ReplyError("slow down")), Answer("chat", error=ReplyError("busy"))
    found = compare(exchange(outcome=Outcome.HTTP_ERROR, status=429), slow, exchange("candidate", Outcome.HTTP_ERROR, 503), busy, None)
    assert {(each.kind, each.primary, each.other) for each in found.divergences} == {
        ("outcome.status", "429", "503"),
        ("outcome.error", "slow down", "busy"),
    }


def test_status_that_turns_into_an_error_is_major() -> None:
    found = compare(exchange(), answer("Paris"), exchange("candidate", Outcome.HTTP_ERROR, 500), None, None)
    assert {each.kind: each.severity for each in found.divergences} == {
        "outcome.failure": Severity.CRITICAL,
        "outcome.status": Severity.MAJOR,
    }


def test_equal_answers_need_no_vectors() -> None:
    assert texts_to_embed(answer("Paris"), answer("Paris")) is None
    found = compared(answer("Paris"), answer("Paris"))
    assert (found.similarity, found.is_exact, found.is_equal_normalised) == (1.0, True, True)
    assert found.divergences == ()


def test_change_of_form_is_equal_normalised_but_not_exact() -> None:
    assert texts_to_embed(answer("**Paris**, of course"), answer("paris,  of course")) is None
    found = compared(answer("**Paris**, of course"), answer("paris,  of course"))
    assert (found.similarity, found.is_exact, found.is_equal_normalised) == (1.0, False, True)
    assert kinds(found) == {"text.format"}


def test_different_answers_get_the_cosine() -> None:
    assert texts_to_embed(answer("Paris"), answer("Rome")) == ("Paris", "Rome")
    found = compared(answer("Paris"), answer("Rome"), (X, XY))
    assert found.similarity == pytest.approx(0.6)
    assert not found.is_equal_normalised


def test_without_an_embedder_there_is_no_similarity_of_different_answers() -> None:
    assert compared(answer("Paris"), answer("Rome")).similarity is None


def test_silence_against_an_answer_is_similarity_zero() -> None:
    assert texts_to_embed(answer("Paris"), answer(" ")) is None
    found = compared(answer("Paris"), answer(" "))
    assert found.similarity == 0.0
    assert kinds(found) == {"text.empty"}


def test_neither_side_with_text_is_nothing_to_compare() -> None:
    found = compared(answer(""), answer(" "))
    assert found.similarity is None
    assert found.divergences == ()


def test_unreadable_reply_against_a_readable_one_is_silence() -> None:
    found = compared(answer("Paris"), None)
    assert found.similarity == 0.0
    assert kinds(found) == {"text.empty"}


def test_replies_of_an_unknown_protocol_are_compared_as_bytes() -> None:
    same = compare(exchange(body=b"\x01"), None, exchange("candidate", body=b"\x01"), None, None)
    other = compare(exchange(body=b"\x01"), None, exchange("candidate", body=b"\x02"), None, None)
    assert (same.similarity, same.is_exact) == (None, True)
    assert (other.similarity, other.is_exact) == (None, False)


def test_same_words_with_another_tool_call_are_not_equal() -> None:
    """Models like to say "let me look that up" beside the call: the words alone would call these two equal."""
    paris = answer("Let me look.", tool_calls=(ToolCall("weather", '{"city": "Paris"}'),))
    rome = answer("Let me look.", tool_calls=(ToolCall("weather", '{"city": "Rome"}'),))
    assert texts_to_embed(paris, rome) is not None
    assert not compared(paris, rome, (X, XY)).is_equal_normalised


@pytest.mark.parametrize(("primary", "other"), [("stop", "length"), ("end_turn", "max_tokens"), ("stop", "tool_calls")])
def test_another_finish_reason_is_minor(primary: str, other: str) -> None:
    for first, second in ((primary, other), (other, primary)):
        found = compared(answer("a", finish_reason=first), answer("a", finish_reason=second))
        assert Divergence("outcome.finish_reason", Severity.MINOR, first, second) in found.divergences


def test_answer_that_a_limit_cut_is_major_where_the_primary_s_was_not() -> None:
    found = compared(answer("a", finish_reason="stop"), answer("a", finish_reason="length"))
    assert ("length.truncated", Severity.MAJOR) in [(each.kind, each.severity) for each in found.divergences]


def test_number_of_choices_is_reported() -> None:
    one, two = Answer("chat", (Choice("a"),)), Answer("chat", (Choice("a"), Choice("a")))
    assert "outcome.choices" in kinds(compared(one, two, (X, X)))


def test_much_longer_answer_is_reported_in_any_script() -> None:
    assert "length.ratio" in kinds(compared(answer("东京" * 60), answer("东京" * 200), (X, X)))
    assert "length.ratio" not in kinds(compared(answer("yes"), answer("yes, it is"), (X, X)))


def test_latencies_are_reported_when_far_apart() -> None:
    quick = replace(answer("a"), is_streamed=True, content_at_s=(0.1, 0.11, 0.12))
    slow = replace(answer("a"), is_streamed=True, content_at_s=(0.5, 0.6, 0.7))
    found = compare(exchange(duration_s=0.2), quick, exchange("candidate", duration_s=0.8), slow, None)
    assert [(each.kind, each.severity) for each in found.divergences] == [
        ("latency.ttft", Severity.INFO),
        ("latency.itl", Severity.INFO),
        ("latency.duration", Severity.INFO),
    ]
    assert found.divergences[0].primary == "100 ms"
    assert found.primary_timing.ttft_s == 0.1
    assert found.timing.itl_mean_s == pytest.approx(0.1)
    assert found.timing.duration_s == 0.8


def test_twice_a_very_short_time_is_no_divergence() -> None:
    quick, slow = replace(answer("a"), content_at_s=(0.001,)), replace(answer("a"), content_at_s=(0.004,))
    assert compared(quick, slow).divergences == ()


def test_streamed_and_whole_replies_have_no_common_moments() -> None:
    streamed, whole = replace(answer("a"), is_streamed=True, content_at_s=(0.1,)), replace(answer("a"), content_at_s=(3.0,))
    assert compared(streamed, whole).divergences == ()


def test_shown_values_are_short_and_cannot_steer_a_terminal() -> None:
    found = compared(answer("\x1b[2J" + "long " * 1000), answer(""))
    (each,) = found.divergences
    assert len(each.primary) == SHOWN_CHARACTERS
    assert each.primary.endswith("…")
    assert each.primary.isprintable()


# --- properties ---------------------------------------------------------------------------------------------------------

texts = st.text(max_size=40) | st.sampled_from(["", " ", "Paris", "**Paris**", "PARIS", "```\nParis\n```"])
choices = st.builds(
    Choice,
    text=texts,
    tool_calls=st.lists(st.builds(ToolCall, st.sampled_from(["f", "g"]), texts | st.just('{"a": 1}')), max_size=2).map(tuple),
    finish_reason=st.sampled_from([None, "stop", "length"]),
    refusal=st.none() | texts,
)
answers = st.none() | st.builds(
    Answer,
    dialect=st.just("chat"),
    choices=st.lists(choices, max_size=2).map(tuple),
    error=st.none() | st.builds(ReplyError, texts),
    is_streamed=st.booleans(),
    content_at_s=st.lists(st.floats(0, 100), max_size=3).map(lambda times: tuple(sorted(times))),
)
exchanges = st.builds(
    exchange,
    arm=st.just("candidate"),
    outcome=st.sampled_from(Outcome),
    status=st.sampled_from([None, 200, 201, 500]),
    body=st.binary(max_size=3),
    duration_s=st.floats(0, 100),
)
rows = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3).map(lambda row: np.array(row, dtype=np.float32))


@given(exchanges, answers, exchanges, answers, st.none() | st.tuples(rows, rows))
def test_any_pair_has_a_bounded_similarity_and_known_divergences(
    primary: Exchange,
    primary_answer: Answer | None,
    other: Exchange,
    other_answer: Answer | None,
    vectors: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    found = compare(primary, primary_answer, other, other_answer, vectors)
    assert found.similarity is None or 0.0 <= found.similarity <= 1.0
    assert kinds(found) <= set(KINDS)
    assert found.is_equal_normalised or not found.is_exact
    for each in found.divergences:
        assert max(len(each.primary), len(each.other)) <= SHOWN_CHARACTERS


@given(answers, answers, rows, rows)
def test_similarity_of_two_replies_is_symmetric(one: Answer | None, two: Answer | None, x: np.ndarray, y: np.ndarray) -> None:
    there, back = compared(one, two, (x, y)), compared(two, one, (y, x))
    if one is not None and two is not None:
        assert there.similarity == back.similarity
    assert there.is_exact == back.is_exact
    assert there.is_equal_normalised == back.is_equal_normalised


@given(exchanges, answers)
def test_an_exchange_against_itself_has_no_divergence(same: Exchange, its_answer: Answer | None) -> None:
    assert texts_to_embed(its_answer, its_answer) is None
    found = compare(same, its_answer, same, its_answer, None)
    assert found.divergences == ()
    assert found.similarity in (None, 1.0)
    assert found.is_exact == (same.outcome is Outcome.OK)


@given(answers, answers)
def test_vectors_are_asked_for_exactly_where_the_similarity_depends_on_them(one: Answer | None, two: Answer | None) -> None:
    asked = texts_to_embed(one, two) is not None
    assert asked == (compared(one, two, (X, XY)).similarity != compared(one, two, (X, X)).similarity)
    assert not asked or compared(one, two).similarity is None
