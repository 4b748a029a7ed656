"""What a request asks for, in every dialect."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.exchange import Asked, Request, ToolSpec
from shadowproxy.wire.asked import MAX_NAME_CHARS, MAX_TOOLS, read_asked
from shadowproxy.wire.prompts import MAX_DOCUMENTS, MAX_PROMPT_CHARS

CHAT = "/v1/chat/completions"
SCHEMA = {"type": "object", "properties": {"b": {}, "a": {}}}
SCHEMA_TEXT = '{"properties":{"a":{},"b":{}},"type":"object"}'


def asked(body: Any, target: str = CHAT, *headers: tuple[bytes, bytes]) -> Asked:
    return read_asked(Request("POST", target, headers, body if isinstance(body, bytes) else orjson.dumps(body)))


def turn(role: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **fields}


def test_a_chat_request_in_full() -> None:
    body = {
        "model": "m",
        "messages": [
            turn("system", "Be kind."),
            turn("user", "Hello?"),
            turn("assistant", None, tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]),
            turn("tool", "42", tool_call_id="c"),
            turn(
                "user",
                [{"type": "text", "text": "And"}, {"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "now?"}],
            ),
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
        "stream": True,
        "n": 3,
        "user": "u1",
    }
    assert asked(body) == Asked(
        "chat",
        model="m",
        prompt="Be kind.\nHello?\n42\nAnd\nnow?",
        question="And\nnow?",
        is_streamed=True,
        choices=3,
        tools=(ToolSpec("f", SCHEMA_TEXT),),
        wants_json=True,
        schema=SCHEMA_TEXT,
        session="u1",
    )


@pytest.mark.parametrize(
    ("target", "body", "prompt", "question"),
    [
        pytest.param("/v1/completions", {"prompt": "a"}, "a", "a", id="completions"),
        pytest.param("/v1/completions", {"prompt": ["a", "b"]}, "a\nb", "a\nb", id="a batch"),
        pytest.param("/v1/completions", {"prompt": [1, 2]}, "", "", id="tokens"),
        pytest.param("/v1/responses", {"instructions": "i", "input": "a"}, "i\na", "a", id="responses, a text"),
        pytest.param(
            "/v1/responses",
            {
                "instructions": "i",
                "prompt": {"id": "pmpt_1"},
                "input": [
                    turn("developer", "d"),
                    turn("user", [{"type": "input_text", "text": "a"}], type="message"),
                    {"type": "function_call", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c", "output": "42"},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
                ],
            },
            "i\nd\na\n42\nb",
            "a",
            id="responses, items",
        ),
        pytest.param(
            "/v1/messages",
            {
                "system": [{"type": "text", "text": "s"}],
                "messages": [
                    turn("user", "a"),
                    turn(
                        "assistant",
                        [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "b"}, {"type": "tool_use", "input": {}}],
                    ),
                    turn("user", [{"type": "tool_result", "content": [{"type": "text", "text": "42"}]}]),
                ],
            },
            "s\na\nb\n42",
            "a",
            id="messages, a tool's finding is no question",
        ),
        pytest.param("/api/chat", {"messages": [turn("user", "a", images=["aGk="])]}, "a", "a", id="Ollama chat"),
        pytest.param("/api/generate", {"system": "s", "prompt": "a"}, "s\na", "a", id="Ollama generate"),
        pytest.param("/generate", {"inputs": "a", "parameters": {}}, "a", "a", id="text-generation-inference"),
        pytest.param("/generate", {"text": "a", "sampling_params": {}}, "a", "a", id="SGLang"),
        pytest.param("/v2/models/m/generate", {"text_input": "a"}, "a", "a", id="Triton"),
        pytest.param("/v1/models/m:predict", {"instances": ["a", {"prompt": "b"}, [1, 2], 7]}, "a\nb", "a\nb", id="KServe V1"),
        pytest.param(
            "/v2/models/m/infer",
            {"inputs": [{"name": "x", "datatype": "BYTES", "data": ["a", ["b"]]}, {"name": "y", "datatype": "FP32", "data": [1]}]},
            "a\nb",
            "a\nb",
            id="KServe V2",
        ),
        pytest.param("/v1/images/generations", {"prompt": "a cat"}, "a cat", "a cat", id="pictures"),
        pytest.param("/v1/audio/speech", {"input": "a", "voice": "x", "instructions": "softly"}, "softly\na", "a", id="speech"),
        pytest.param("/v1/rerank", {"query": "a", "documents": ["x"]}, "a", "a", id="rerank"),
        pytest.param("/anything", {"messages": [turn("user", "a")]}, "a", "a", id="a path nobody knows"),
        pytest.param(CHAT, {"messages": [turn("system", "s")]}, "s", "s", id="instructions alone"),
        pytest.param(CHAT, {"messages": [turn("user", "a"), turn("user", [])]}, "a", "a", id="a last turn without words"),
        pytest.param(CHAT, {"messages": ["a", None, 7, turn("user", {"x": 1})]}, "a", "a", id="a text for a turn"),
        pytest.param(
            CHAT, {"messages": [None, turn("user", ["a", {"text": "b"}, {"type": "text", "text": 7}])]}, "a\nb", "a\nb", id="odd parts"
        ),
    ],
)
def test_words(target: str, body: Any, prompt: str, question: str) -> None:
    found = asked(body, target)
    assert (found.prompt, found.question) == (prompt, question)


@pytest.mark.parametrize(
    ("target", "body", "documents"),
    [
        ("/v1/rerank", {"query": "q", "documents": ["a", {"text": "b"}, {"image": "x"}]}, ("a", "b", "")),
        ("/rerank", {"query": "q", "texts": ["a", "b"]}, ("a", "b")),
        ("/score", {"text_1": "q", "text_2": ["a", "b"]}, ("a", "b")),
        ("/v1/embeddings", {"input": "a"}, ("a",)),
        ("/v1/embeddings", {"input": ["a", "b"]}, ("a", "b")),
        ("/v1/embeddings", {"input": [1, 2, 3]}, ("",)),
        ("/v1/embeddings", {"input": [[1, 2], [3]]}, ("", "")),
        ("/embed", {"inputs": ["a", "b"]}, ("a", "b")),
        ("/v2/embed", {"texts": ["a", "b"], "input_type": "x"}, ("a", "b")),
        ("/v2/embed", {"inputs": [{"content": [{"type": "text", "text": "a"}]}]}, ("a",)),
        ("/api/embeddings", {"prompt": "a"}, ("a",)),
        (CHAT, {"documents": ["a"], "messages": []}, ()),
    ],
)
def test_documents_stand_in_their_places(target: str, body: Any, documents: tuple[str, ...]) -> None:
    assert asked(body, target).documents == documents


@pytest.mark.parametrize(
    ("body", "tools"),
    [
        ({"functions": [{"name": "f", "parameters": SCHEMA}]}, (ToolSpec("f", SCHEMA_TEXT),)),
        ({"tools": [{"type": "function", "name": "f", "parameters": SCHEMA}]}, (ToolSpec("f", SCHEMA_TEXT),)),
        ({"tools": [{"name": "f", "input_schema": SCHEMA}]}, (ToolSpec("f", SCHEMA_TEXT),)),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, (ToolSpec("f"),)),
        ({"tools": [{"type": "custom", "custom": {"name": "sql"}}]}, (ToolSpec("sql"),)),
        ({"tools": [{"type": "local_shell"}, {"type": "bash_20250124", "name": "bash"}]}, (ToolSpec("local_shell"), ToolSpec("bash"))),
        ({"tools": [None, 7, {}, {"function": {"name": ""}}]}, ()),
        ({"tools": {"name": "f"}}, ()),
    ],
)
def test_tools(body: Any, tools: tuple[ToolSpec, ...]) -> None:
    assert asked(body).tools == tools


@pytest.mark.parametrize(
    ("body", "wants_json", "schema"),
    [
        ({}, False, ""),
        ({"response_format": {"type": "text"}}, False, ""),
        ({"response_format": {"type": "json_object"}}, True, ""),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, True, SCHEMA_TEXT),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}, True, SCHEMA_TEXT),
        ({"response_format": {"type": "json_schema", "json_schema": None}}, True, ""),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}}, True, SCHEMA_TEXT),
        ({"text": {"format": {"type": "json_object"}}}, True, ""),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, False, ""),
        ({"output_format": {"type": "json_schema", "schema": SCHEMA}}, True, SCHEMA_TEXT),
        ({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, True, SCHEMA_TEXT),
        ({"parameters": {"grammar": {"type": "json", "value": SCHEMA}}}, True, SCHEMA_TEXT),
        ({"parameters": {"grammar": {"type": "regex", "value": "a+"}}}, False, ""),
        ({"guided_json": SCHEMA}, True, SCHEMA_TEXT),
        ({"guided_json": SCHEMA_TEXT}, True, SCHEMA_TEXT),
        ({"structured_outputs": {"json": SCHEMA}}, True, SCHEMA_TEXT),
        ({"structured_outputs": {"json_object": True}}, True, ""),
        ({"structured_outputs": {"regex": "a+"}}, False, ""),
        ({"sampling_params": {"json_schema": SCHEMA_TEXT}}, True, SCHEMA_TEXT),
        ({"format": "json"}, True, ""),
        ({"format": SCHEMA}, True, SCHEMA_TEXT),
        ({"format": "wav"}, False, ""),
        ({"guided_json": "no schema", "response_format": 7, "text": "x"}, False, ""),
    ],
)
def test_the_form_of_the_answer(body: Any, wants_json: bool, schema: str) -> None:
    found = asked(body)
    assert (found.wants_json, found.schema) == (wants_json, schema)


@pytest.mark.parametrize(
    ("body", "session"),
    [
        ({"user": "u"}, "u"),
        ({"safety_identifier": "s"}, "s"),
        ({"metadata": {"user_id": "u"}}, "u"),
        ({"metadata": {"session_id": "s", "conversation_id": "c", "user_id": "u"}, "user": "x"}, "s"),
        ({"metadata": {"conversation_id": "c"}, "user": "x"}, "c"),
        ({"metadata": {"user_id": "m"}, "user": "u", "safety_identifier": "s"}, "u"),
        ({"prompt_cache_key": "k", "safety_identifier": "s"}, "s"),
        ({"prompt_cache_key": "k", "user": None, "metadata": "x"}, "k"),
        ({"user": 7}, "7"),
        ({"user": "", "metadata": {"session_id": ["x"]}}, ""),
        ({}, ""),
    ],
)
def test_the_session_is_the_narrowest_name_given(body: Any, session: str) -> None:
    assert asked(body).session == session


@pytest.mark.parametrize(
    ("target", "body", "is_streamed"),
    [
        (CHAT, {}, False),
        (CHAT, {"stream": True}, True),
        (CHAT, {"stream": "yes"}, False),
        ("/api/chat", {}, True),
        ("/api/generate", {"stream": False}, False),
        ("/api/embed", {}, False),
        ("/generate_stream", {}, True),
        ("/v2/models/m/generate_stream?x", {}, True),
        ("/v2/models/m/generate", {}, False),
    ],
)
def test_whether_a_stream_is_asked_for(target: str, body: Any, is_streamed: bool) -> None:
    assert asked(body, target).is_streamed is is_streamed


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("/v2/models/iris/infer", "iris"),
        ("/v2/models/iris/versions/3/infer", "iris"),
        ("/v1/models/iris:predict", "iris"),
        ("/openai/deployments/gpt-5/chat/completions?api-version=1", "gpt-5"),
        ("/v1/models", ""),
        (CHAT, ""),
    ],
)
def test_a_model_may_stand_in_the_path(target: str, model: str) -> None:
    assert asked({}, target).model == model
    assert asked({"model": "m"}, target).model == "m"


@pytest.mark.parametrize(("n", "choices"), [(3, 3), (0, 1), (-1, 1), ("3", 1), (None, 1), (True, 1), (2.0, 1)])
def test_choices(n: Any, choices: int) -> None:
    assert asked({"n": n}).choices == choices


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"messages":' + b"[" * 100_000, b"--form\r\n"])
def test_of_a_body_that_is_no_object_only_the_path_is_known(body: bytes) -> None:
    assert asked(body, "/v2/models/iris/infer") == Asked("infer", model="iris")


def test_a_coded_body_is_decoded() -> None:
    body = orjson.dumps({"messages": [turn("user", "a")]})
    assert asked(gzip.compress(body), CHAT, (b"content-encoding", b"gzip")).question == "a"
    assert asked(body, CHAT, (b"content-encoding", b"br")) == Asked("chat")
    assert asked(body, CHAT, (b"content-encoding", b"gzip")) == Asked("chat")


def test_everything_is_bounded() -> None:
    long = "x" * (MAX_PROMPT_CHARS + 10)
    found = asked({"messages": [turn("user", long), turn("user", long)], "user": long, "model": long})
    assert (len(found.prompt), len(found.question), len(found.session), len(found.model)) == (
        MAX_PROMPT_CHARS,
        MAX_PROMPT_CHARS,
        MAX_NAME_CHARS,
        MAX_NAME_CHARS,
    )
    assert len(asked({"messages": [turn("user", "ab")] * 200_000}).prompt) <= MAX_PROMPT_CHARS
    assert len(asked({"input": ["a"] * (MAX_DOCUMENTS + 5)}, "/v1/embeddings").documents) == MAX_DOCUMENTS
    assert len(asked({"tools": [{"name": "f"}] * (MAX_TOOLS + 5)}).tools) == MAX_TOOLS


def test_deep_contents_are_survived() -> None:
    deep = b'{"messages":[{"role":"user","content":' + b"[" * 900 + b'"a"' + b"]" * 900 + b"}]}"
    assert asked(deep).question == "a"
    results = b'{"type":"tool_result","content":' * 300 + b'"a"' + b"}" * 300
    assert asked(b'{"messages":[{"role":"user","content":[' + results + b"]}]}").prompt == "a"


def test_half_an_emoji_is_mended() -> None:
    found = asked(b'{"messages":[{"role":"user","content":"a\\ud83c"}],"user":"\\udf88","tools":[{"name":"\\ud83c"}]}')
    assert (found.prompt, found.session, found.tools) == ("a\ufffd", "\ufffd", (ToolSpec("\ufffd"),))
    assert orjson.dumps(found)


_WORDS = [
    *("messages", "role", "content", "type", "text", "tools", "function", "functions", "name", "parameters", "input", "inputs", "prompt"),
    *("system", "instructions", "query", "documents", "texts", "instances", "datatype", "data", "metadata", "user_id", "user", "model"),
    *("stream", "n", "response_format", "json_schema", "schema", "format", "guided_json", "structured_outputs", "json", "output", "custom"),
]
_LEAVES = (
    st.none() | st.booleans() | st.integers(-3, 2**64 - 1) | st.text(max_size=4) | st.sampled_from(["user", "text", "json", "tool_result"])
)
_BODIES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=6), max_leaves=30
)
_TARGETS = [CHAT, "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/rerank", "/api/chat", "/generate", "/x", "", "*"]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(_TARGETS) | st.text(max_size=20), st.dictionaries(st.sampled_from(_WORDS), _BODIES, max_size=6) | _BODIES)
def test_no_request_raises(target: str, body: Any) -> None:
    found = asked(body, target)
    assert orjson.dumps(found), "every part can be encoded"
    assert len(found.prompt) <= MAX_PROMPT_CHARS
    assert found.choices >= 1
