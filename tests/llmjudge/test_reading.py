"""What the judge said."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shadowproxy.exchange import Reply, Usage
from shadowproxy.llmjudge.preference import ABSTENTIONS, Opinion, Pick
from shadowproxy.llmjudge.reading import Heard, read_opinion, read_reply

PICKS = st.sampled_from(Pick)
#: Prose that has no object and names no verdict.
PROSE = st.text(st.characters(exclude_characters="{}[]\"'", exclude_categories=("Cs",)), max_size=60).filter(
    lambda text: not any(word in text.casefold() for word in ("verdict", "winner", "preference", "think"))
)


def reply(message: dict[str, object], finish_reason: str = "stop", **fields: object) -> Reply:
    body = {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}], **fields}
    return Reply(200, ((b"content-type", b"application/json"),), ((0.0, orjson.dumps(body)),))


@given(PICKS, st.text(max_size=100), PROSE, PROSE, st.sampled_from(["{}", "```json\n{}\n```", "<think>A? B?</think>\n{}"]))
def test_json_verdict_is_found_in_whatever_stands_around_it(pick: Pick, reason: str, before: str, after: str, frame: str) -> None:
    said = frame.replace("{}", json.dumps({"reason": reason, "verdict": pick.value}))
    found = read_opinion(f"{before}\n{said}\n{after}")
    assert isinstance(found, Opinion)
    assert found.pick is pick


@given(PICKS, PICKS, st.text(max_size=40))
def test_verdict_quoted_in_the_reason_does_not_count(pick: Pick, quoted: Pick, words: str) -> None:
    said = json.dumps({"reason": f'{words} verdict: {quoted.value} {{"verdict": "{quoted.value}"}}', "verdict": pick.value})
    found = read_opinion(said)
    assert isinstance(found, Opinion)
    assert found.pick is pick


@given(st.lists(PICKS, min_size=1, max_size=4))
def test_verdicts_that_differ_count_as_none(picks: list[Pick]) -> None:
    found = read_opinion("\n".join(json.dumps({"verdict": pick.value}) for pick in picks))
    assert found == (Opinion(picks[0]) if len(set(picks)) == 1 else "contradictory")


@given(st.text(st.characters(exclude_categories=())) | st.text('{}[]":,verdict winABtie\n', max_size=400))
@example('{"verdict":' * 10_000)
@example("{" * 100_000)
@example('{"verdict": {"verdict": "A"}}')
@example('{"verdict": ' + "[" * 100_000)
@example("verdict" + " " * 100_000 + ":")
@example('{"VERDICT": 1e999, "winner": null, "\ud800": "A"}')
def test_nothing_a_model_writes_raises(text: str) -> None:
    found = read_opinion(text)
    assert isinstance(found, Opinion) or found in ABSTENTIONS


@pytest.mark.parametrize(
    ("said", "pick"),
    [
        ("A", Pick.A),
        ("**B**.", Pick.B),
        ("tie", Pick.TIE),
        ("Answer A", Pick.A),
        ("Verdict: B", Pick.B),
        ("**Verdict:** Tie", Pick.TIE),
        ('{"verdict": "a"}', Pick.A),
        ('{"Verdict": "Answer B"}', Pick.B),
        ('{"winner": "draw"}', Pick.TIE),
        ('{"reason": "B is\nshort", "verdict": "B"}', Pick.B),
        ('{"reason": "unclosed, "verdict": "B"}', Pick.B),
        ('{"verdict": "A", "reason": "cut off in the mid', Pick.A),
        ('{"note": 1} then {"verdict": "A"}', Pick.A),
    ],
)
def test_what_models_write_instead_is_read(said: str, pick: Pick) -> None:
    found = read_opinion(said)
    assert isinstance(found, Opinion)
    assert found.pick is pick


@pytest.mark.parametrize(
    "said",
    [
        "A is shorter than B.",
        "Answer A is better than answer B",
        '{"verdict": "A|B|tie"}',
        "verdict: A or B",
        "verdict: A | B | tie",
        '{"verdict": true}',
        "<think>the verdict is A",
        "",
    ],
)
def test_guessing_is_refused(said: str) -> None:
    assert read_opinion(said) in ("unreadable", "contradictory")


def test_reason_is_one_short_line() -> None:
    found = read_opinion(json.dumps({"verdict": "A", "reason": "a\x1b[31m\n" + "b" * 1000}))
    assert isinstance(found, Opinion)
    assert "\n" not in found.reason
    assert "\x1b" not in found.reason
    assert len(found.reason) == 200


# --- replies --------------------------------------------------------------------------------------------------------------

VERDICT = '{"reason": "r", "verdict": "B"}'


def test_reply_gives_opinion_and_usage() -> None:
    found = read_reply(reply({"content": VERDICT}, usage={"prompt_tokens": 5, "completion_tokens": 2}))
    assert found == Heard(Opinion(Pick.B, "r"), "", Usage(5, 2))


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (reply({"content": None, "refusal": "I cannot judge this."}), "declined"),
        (reply({"content": VERDICT}, "content_filter"), "declined"),
        (reply({"content": '{"reason": "a very long'}, "length"), "cut"),
        (reply({"content": '{"reason": "B claims that the verdict: A and'}, "length"), "cut"),
        (reply({"content": "neither"}), "unreadable"),
        (reply({}), "unreadable"),
        (Reply(200, (), ((0.0, b'{"error": {"message": "no"}}'),)), "unreadable"),
        (Reply(204, (), ()), "unreadable"),
        (Reply(200, ((b"content-encoding", b"zstd"),), ((0.0, b"?"),)), "unreadable"),
    ],
)
def test_reply_without_an_opinion_says_why(said: Reply, problem: str) -> None:
    assert read_reply(said).problem == problem
    assert problem in ABSTENTIONS


def test_verdict_before_the_length_limit_counts() -> None:
    assert read_reply(reply({"content": VERDICT + " and further"}, "length")).opinion == Opinion(Pick.B, "r")


@given(st.binary(max_size=300))
def test_no_body_raises(body: bytes) -> None:
    found = read_reply(Reply(200, ((b"content-type", b"application/json"),), ((0.0, body),)))
    assert (found.opinion is None) == (found.problem in ABSTENTIONS)
