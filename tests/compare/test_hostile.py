"""Pairs made to cost time or memory go through every comparator and come out with a finding. The bound on time is pytest's."""

from __future__ import annotations

import pytest

from shadowproxy import lexicon
from shadowproxy.compare.means import Means
from shadowproxy.compare.pair import compare
from shadowproxy.compare.rules import read_rules
from shadowproxy.compare.view import view
from shadowproxy.exchange import Answer, Asked, Choice, Comparison, Exchange, Outcome, Reply, Request, ToolCall
from shadowproxy.wire.detect import read_body

MEGABYTES = 10 * 1024 * 1024
DEEP = "[" * 100_000 + "]" * 100_000

TEXTS = {
    "10 MB of words": ("The dose is 5 mg today. " * (MEGABYTES // 24), "The dose is 50 mg today. " * (MEGABYTES // 25)),
    "10 MB of one letter": ("x" * MEGABYTES, "y" * MEGABYTES),
    "10 MB of spaces and a word": (" " * MEGABYTES + "a", " " * MEGABYTES + "b"),
    "10 MB of opening marks": ("*_" * (MEGABYTES // 2), "`" * MEGABYTES),
    "10 MB of digits": ("1" * MEGABYTES, "1." * (MEGABYTES // 2)),
    "10 MB of line breaks": ("\n" * MEGABYTES, "- \n" * (MEGABYTES // 3)),
    "10 MB of fences": ("```\n" * (MEGABYTES // 4), "~~~\n" * (MEGABYTES // 4)),
    "10 MB of quotes": ('"' * MEGABYTES, "“" * (MEGABYTES // 3)),
    "100k-deep JSON": (DEEP, DEEP.replace("[", '{"a":[').replace("]", "]}")),
    "wide JSON": ("[" + "1," * 500_000 + "1]", "[" + "2," * 500_000 + "2]"),
    "half characters": ("a\ud800" * 1000, "\udfff" * 1000),
    "dots and abbreviations": ("A.B.C." * 500_000, "e.g. i.e. " * 500_000),
}


@pytest.fixture(scope="module")
def means() -> Means:
    return Means(lexicon=lexicon.load(), rules=read_rules([{"path": "text", "pattern": "uuid"}, {"path": "$.**.id", "ignore": True}]))


def compared(primary: Answer, other: Answer, means: Means, asked: Asked | None = None) -> Comparison:
    views = [view(exchange(arm), answer, asked or Asked(), means) for arm, answer in (("primary", primary), ("v2", other))]
    return compare(views[0], views[1], None, asked or Asked(), means)


def exchange(arm: str) -> Exchange:
    return Exchange("1", arm, "chat", Request("POST", "/v1/chat/completions", (), b""), Reply(200, (), ()), Outcome.OK, 0.0, 0.1)


@pytest.mark.parametrize("case", TEXTS)
def test_hostile_texts_are_compared_within_bounds(case: str, means: Means) -> None:
    ours, theirs = TEXTS[case]
    for asked in (Asked(), Asked(wants_json=True, schema='{"type": "object"}')):
        found = compared(Answer("chat", (Choice(text=ours),)), Answer("chat", (Choice(text=theirs),)), means, asked)
        assert found.divergence is not None
        assert 0 <= found.divergence <= 1
        assert all(0 <= score <= 1 for score in found.scores.values())
        assert len(found.divergences) < 500
        assert sum(len(each.primary) + len(each.other) + len(each.why) + len(each.path) for each in found.divergences) < 500_000


def test_a_million_tool_calls_are_compared_within_bounds(means: Means) -> None:
    calls = tuple(ToolCall("f", f'{{"n": {number}}}') for number in range(1_000_000))
    found = compared(Answer("chat", (Choice(tool_calls=calls),)), Answer("chat", (Choice(tool_calls=calls[::-1]),)), means)
    assert "tools" in found.scores


def test_bytes_that_are_no_text_are_compared_as_what_can_be_read(means: Means) -> None:
    broken = b'{"choices": [{"message": {"content": "caf\xe9 \xff\xfe"}, "finish_reason": "stop"}]}'
    answer = read_body("", broken, is_stream=False)
    assert compared(answer, Answer("chat", (Choice(text="café"),)), means).divergence is not None
