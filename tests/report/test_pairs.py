"""What is shown of one pair: from a comparison in memory, and from a line of ``shadowproxy compare``."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.means import Means
from shadowproxy.exchange import Severity
from shadowproxy.offline.compare_command import as_line
from shadowproxy.offline.comparing import Bench, Compared, Pair
from shadowproxy.offline.given import Times, asked_of
from shadowproxy.offline.given import given as given_answer
from shadowproxy.report.lines import of_line
from shadowproxy.report.pairs import KEPT_CHARACTERS, of_compared


def compared(primary: Any, candidate: Any, control: Any = None, **times: Any) -> Compared:
    request, asked = asked_of("How many people live in Tokyo?")
    sides = {
        arm: given_answer(value, request, id_="7", arm=arm, route="chat", field=arm, times=Times(**times))
        for arm, value in (("primary", primary), ("candidate", candidate), ("control", control))
    }
    pair = Pair(7, asked, sides["primary"], sides["candidate"], sides["control"] if control is not None else None)
    (found,) = Bench(Means(), None).compare_all([pair])
    return found


def test_texts_times_and_findings_of_a_compared_pair() -> None:
    shown = of_compared(
        compared("Tokyo has 13 million people.", "Tokyo has 26 million people.", "Tokyo has 13 million people.", latency_s=0.8, ttft_s=0.2)
    )
    assert (shown.id, shown.route, shown.question.text) == ("7", "chat", "How many people live in Tokyo?")
    assert shown.candidate.answer.text == "Tokyo has 26 million people."
    assert (shown.candidate.ttft_s, shown.candidate.duration_s, shown.candidate.outcome) == (0.2, 0.8, "ok")
    assert any(each.kind == "facts.number" for each in shown.likeness.divergences)
    assert shown.control_likeness is not None
    assert shown.weight == shown.likeness.divergence


def test_times_nobody_wrote_down_are_unknown() -> None:
    shown = of_compared(compared("yes", "no"))
    assert shown.primary.duration_s is shown.primary.ttft_s is None
    assert shown.control is shown.control_likeness is None


def test_a_failure_says_why_instead_of_a_text() -> None:
    shown = of_compared(compared("yes", {"error": "model is overloaded"}))
    assert shown.candidate.outcome == "http_error"
    assert shown.candidate.answer.text == "model is overloaded"


def test_calls_of_tools_are_shown_as_calls() -> None:
    call = {"type": "function", "id": "c", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    body = {"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}}]}
    assert of_compared(compared({"body": body}, "It rains.")).primary.answer.text == 'weather({"city": "Rome"})'


def test_a_huge_answer_is_cut_and_its_length_kept() -> None:
    shown = of_compared(compared("x " * 2_000_000, "no"))
    assert len(shown.primary.answer.text) == KEPT_CHARACTERS
    assert shown.primary.answer.characters == 4_000_000
    assert shown.primary.answer.is_cut


def test_a_line_of_the_compare_command_gives_the_same_findings_without_texts() -> None:
    found = compared("Tokyo has 13 million people.", "Tokyo has 26 million people.", "Tokyo has 13 million people.")
    whole, line = of_compared(found), of_line(orjson.loads(orjson.dumps(as_line(found))))
    assert line.id == whole.id
    assert line.weight == pytest.approx(whole.weight)
    assert line.likeness.divergences == whole.likeness.divergences
    assert line.primary.answer.characters is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "control", "divergences", "scores", "kind", "severity", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["id", "divergence", "similarity", "scores", "divergences", "suppressed", "control"]), JSON))
def test_any_line_gives_a_pair(line: dict[str, Any]) -> None:
    shown = of_line(line)
    assert all(isinstance(each.severity, Severity) for each in shown.likeness.divergences)
    assert shown.weight == shown.weight
