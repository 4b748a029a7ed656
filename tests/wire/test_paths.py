"""Which path is which route, and which dialect is spoken there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.wire.paths import path_of
from shadowproxy.wire.reading import READERS, dialect_of, route_of


@pytest.mark.parametrize(
    ("target", "route", "dialect"),
    [
        ("/v1/chat/completions", "chat", "chat"),
        ("/openai/v1/chat/completions", "chat", "chat"),
        ("/chat/completions", "chat", "chat"),
        ("/v1/chat/completions/", "chat", "chat"),
        ("//v1//chat/completions?api-version=2024-10-21", "chat", "chat"),
        ("/openai/deployments/gpt-5-nano/chat/completions?api-version=1", "chat", "chat"),
        ("http://llm:8080/v1/chat/completions", "chat", "chat"),
        ("/api/chat", "chat", "ollama"),
        ("/v1/completions", "completions", "completions"),
        ("/openai/v1/completions", "completions", "completions"),
        ("/v1/responses", "responses", "responses"),
        ("/v1/responses/resp_1", "other", "generic"),
        ("/v1/embeddings", "embeddings", "embeddings"),
        ("/openai/v1/rerank", "rerank", "rerank"),
        ("/v1/messages", "messages", "messages"),
        ("/anthropic/v1/messages?beta=true", "messages", "messages"),
        ("/v1/messages/count_tokens", "other", "generic"),
        ("/v1/threads/t1/messages", "other", "generic"),
        ("/v1/models/iris:predict", "predict", "predict"),
        ("/v1/models/iris:explain", "other", "generic"),
        ("/v2/models/iris/infer", "infer", "infer"),
        ("/v2/models/iris/versions/3/infer", "infer", "infer"),
        ("/v2/models/llm/generate", "generate", "generate"),
        ("/v2/models/llm/generate_stream", "generate", "generate"),
        ("/generate", "generate", "generate"),
        ("/generate_stream", "generate", "generate"),
        ("/api/generate", "generate", "ollama"),
        ("/v1/models", "other", "generic"),
        ("/v1/models?next=/v1/chat/completions", "other", "generic"),
        ("/v1/chat/completions/chatcmpl-1", "other", "generic"),
        ("/v1/mychat/completions", "completions", "completions"),
        ("/", "generate", "generate"),
        ("/?stream=true", "generate", "generate"),
        ("/invocations", "predict", "predict"),
        ("/embed", "embeddings", "embeddings"),
        ("/v2/models/llm/versions/1/generate_stream", "generate", "generate"),
        ("/openai/v1/embeddings", "embeddings", "embeddings"),
        ("/v2/embed", "embeddings", "embeddings"),
        ("/api/embed", "embeddings", "embeddings"),
        ("/api/embeddings", "embeddings", "embeddings"),
        ("/v1/rerank", "rerank", "rerank"),
        ("/v2/rerank", "rerank", "rerank"),
        ("/rerank", "rerank", "rerank"),
        ("/score", "rerank", "rerank"),
        ("/v1/images/generations", "images", "images"),
        ("/v1/images/edits", "other", "generic"),
        ("/openai/v1/audio/speech", "speech", "speech"),
        ("/v1/audio/transcriptions", "other", "generic"),
        ("/api/chat/completions", "chat", "chat"),
        ("/api/tags", "other", "generic"),
        ("*", "other", "generic"),
        ("/v1/files", "other", "generic"),
        ("/v1/batches", "other", "generic"),
    ],
)
def test_route_and_dialect(target: str, route: str, dialect: str) -> None:
    assert (route_of(target), dialect_of(target)) == (route, dialect)


@settings(deadline=None)
@given(st.text())
def test_any_target_has_a_route_and_a_dialect(target: str) -> None:
    routes = {"chat", "completions", "responses", "embeddings", "rerank", "messages", "predict", "infer", "generate", "images", "speech"}
    assert route_of(target) in routes | {"other"}
    assert dialect_of(target) in READERS


@settings(deadline=None)
@given(st.lists(st.sampled_from(["openai", "v1", "api", "chat", "completions", "x"])).map("/".join))
def test_a_prefix_changes_nothing(prefix: str) -> None:
    assert dialect_of(f"/{prefix}/v1/chat/completions") == "chat"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/x?y=/z#w", "/v1/x"),
        ("/v1/x/", "/v1/x/"),
        ("http://llm:8080/v1/x?y", "/v1/x"),
        ("http://llm", "/"),
        ("*", "*"),
        ("", ""),
        ("/v1/a://b", "/v1/a://b"),
    ],
)
def test_the_path_of_a_target(target: str, path: str) -> None:
    assert path_of(target) == path
