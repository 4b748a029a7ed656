"""Dialects that the configuration describes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.errors import ConfigError
from shadowproxy.exchange import Answer, Choice, Reply, ReplyError, Request, Usage
from shadowproxy.wire.custom import CustomDialects, DialectSpec
from shadowproxy.wire.reading import read_answer
from tests.wire.samples import JSON, LINES, STREAM, event, events, lines

SPEC = DialectSpec(
    "/ask",
    text="result.words",
    finish_reason="result.why",
    prompt_tokens="cost.asked",
    completion_tokens="cost.said",
    error="problem",
)
PLAIN = DialectSpec("/plain/*", text="words")
DIALECTS = CustomDialects([SPEC, PLAIN])


def read(body: Any, header: tuple[bytes, bytes] = JSON, *, target: str = "/ask", status: int = 200, method: str = "POST") -> Answer:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return read_answer(Request(method, target, (), b"{}"), Reply(status, (header,), ((0.5, data),)), DIALECTS)


def test_a_whole_reply_in_full() -> None:
    body = {"result": {"words": "Hello", "why": "end"}, "cost": {"asked": 3, "said": 5}}
    assert read(body) == Answer("custom", (Choice("Hello", finish_reason="end"),), Usage(3, 5), content_at_s=(0.5,))


@pytest.mark.parametrize(("join", "header"), [(events, STREAM), (lines, LINES)])
def test_a_stream_is_put_together(join: Any, header: tuple[bytes, bytes]) -> None:
    pieces = [
        {"result": {"words": "Hel"}},
        {"result": {"words": "lo"}, "cost": {"asked": 3}},
        {"result": {"why": "end"}, "cost": {"said": 5}},
    ]
    answer = read(join(*pieces), header)
    assert (answer.first, answer.usage, answer.is_complete) == (Choice("Hello", finish_reason="end"), Usage(3, 5), True)
    assert (answer.is_streamed, answer.content_at_s) == (True, (0.5, 0.5))
    assert not read(join(*pieces[:2]), header).is_complete


def test_without_a_finish_reason_to_look_for_a_stream_ends_with_its_body() -> None:
    whole = events({"words": "a"}, {"words": "b"})
    assert read(whole, STREAM, target="/plain/x").is_complete
    assert not read(whole + b"data: {", STREAM, target="/plain/x").is_complete
    assert not read(events({"other": 1}), STREAM, target="/plain/x").is_complete


@pytest.mark.parametrize(
    ("words", "text"),
    [("a", "a"), (["a", "b"], "ab"), (7, "7"), ({"b": 1, "a": 2}, '{"a":2,"b":1}'), ([1, "a"], '[1,"a"]'), ("", ""), (False, "false")],
)
def test_what_is_no_string_counts_as_its_json(words: Any, text: str) -> None:
    answer = read({"words": words}, target="/plain/x")
    assert (answer.text, answer.is_complete) == (text, True)


def test_a_reply_without_its_text_is_not_complete() -> None:
    for body in ({"result": {}}, {"result": {"words": None}}, [], {"result": "x"}):
        assert (read(body).is_complete, read(body).choices) == (False, ())


def test_errors_stand_where_the_expression_says() -> None:
    assert read({"problem": "bad"}).error == ReplyError("bad")
    assert read({"problem": {"message": "bad", "code": 7}}, status=500).error == ReplyError("bad", "", "7")
    assert read({"error": "bad"}, status=500).error == ReplyError("bad")
    answer = read(events({"result": {"words": "a"}}, {"problem": "bad"}, {"problem": "worse"}), STREAM)
    assert (answer.text, answer.error, answer.is_complete) == ("a", ReplyError("bad"), False)


@pytest.mark.parametrize(
    ("target", "dialect"),
    [
        ("/ask", "custom"),
        ("/ask?x=/other", "custom"),
        ("http://llm:80/ask", "custom"),
        ("/ask/", "json"),
        ("/asking", "json"),
        ("/plain/", "custom"),
        ("/plain/a/b", "custom"),
        ("/plain", "json"),
        ("/v1/chat/completions", "chat"),
    ],
)
def test_which_paths_are_meant(target: str, dialect: str) -> None:
    assert read({"words": "a", "choices": []}, target=target).dialect == dialect


def test_an_exact_path_goes_before_a_prefix_and_a_long_prefix_before_a_short_one() -> None:
    dialects = CustomDialects([DialectSpec("/*", "a"), DialectSpec("/x/*", "b"), DialectSpec("/x/y", "c")])
    reply = Reply(200, (JSON,), ((0.5, b'{"a": "a", "b": "b", "c": "c"}'),))
    found = {target: read_answer(Request("POST", target, (), b""), reply, dialects).text for target in ("/", "/x/z", "/x/y")}
    assert found == {"/": "a", "/x/z": "b", "/x/y": "c"}


def test_a_configured_dialect_goes_before_a_known_one_but_not_for_preflight_requests() -> None:
    dialects = CustomDialects([DialectSpec("/v1/chat/completions", "words")])
    reply = Reply(200, (JSON,), ((0.5, b'{"words": "a"}'),))
    assert read_answer(Request("POST", "/v1/chat/completions", (), b""), reply, dialects).dialect == "custom"
    assert read({}, method="OPTIONS").dialect == "json"


def test_every_expression_that_is_none_is_refused_with_its_place() -> None:
    specs = [DialectSpec("/a", "x["), DialectSpec("/b", "", error="y..z"), DialectSpec("/c", "nosuch(@)"), DialectSpec("/d", "[" * 10_000)]
    with pytest.raises(ConfigError) as refused:
        CustomDialects(specs)
    keys = [problem.key for problem in refused.value.problems]
    assert keys == ["dialects[0].text", "dialects[1].text", "dialects[1].error", "dialects[3].text"]
    assert "JMESPath" in str(refused.value)
    assert all(problem.remedy for problem in refused.value.problems)
    assert max(map(len, str(refused.value).splitlines())) < 1000


def test_an_expression_that_fails_on_what_a_server_sends_finds_nothing() -> None:
    dialects = CustomDialects([DialectSpec("/x", "join('', words)", finish_reason="nosuch(@)", prompt_tokens="sum(words)")])
    reply = Reply(200, (JSON,), ((0.5, b'{"words": {"a": 1}}'),))
    answer = read_answer(Request("POST", "/x", (), b""), reply, dialects)
    assert (answer.text, answer.usage, answer.error, answer.is_complete) == ("", None, None, False)


def test_its_repr_names_the_paths() -> None:
    assert repr(DIALECTS) == "<CustomDialects for /ask, /plain/*>"
    assert repr(CustomDialects()) == "<CustomDialects for no path>"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["result", "words", "why", "cost", "asked", "said", "problem"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.lists(_VALUES, max_size=4), st.sampled_from([JSON, STREAM, LINES]), st.sampled_from([200, 500]), st.integers(0, 200))
def test_no_body_raises_and_no_cut_changes_it(values: list[Any], header: tuple[bytes, bytes], status: int, cut: int) -> None:
    body = b"".join(map(event, values)) if header == STREAM else lines(*values)
    whole = read(body, header, status=status)
    reads = tuple((0.5, piece) for piece in (body[:cut], body[cut:]) if piece)
    assert read_answer(Request("POST", "/ask", (), b"{}"), Reply(status, (header,), reads), DIALECTS) == (
        whole if body else read_answer(Request("POST", "/ask", (), b"{}"), Reply(status, (header,), ()), DIALECTS)
    )
    assert orjson.dumps(whole)


def test_deep_and_long_values_are_survived() -> None:
    for body in (b'{"words": ' + b"[" * 900 + b"]" * 900 + b"}", b'{"words": [' + b'"a",' * 200_000 + b'"a"]}'):
        assert isinstance(read(body, target="/plain/x"), Answer)
