"""Which path is which route, and which dialect is spoken there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.wire.reading import dialect_of, route_of


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
        ("/api/chat", "chat", "generic"),
        ("/v1/completions", "completions", "generic"),
        ("/openai/v1/completions", "completions", "generic"),
        ("/v1/responses", "responses", "generic"),
        ("/v1/responses/resp_1", "other", "generic"),
        ("/v1/embeddings", "embeddings", "generic"),
        ("/openai/v1/rerank", "rerank", "generic"),
        ("/v1/messages", "messages", "generic"),
        ("/anthropic/v1/messages?beta=true", "messages", "generic"),
        ("/v1/messages/count_tokens", "other", "generic"),
        ("/v1/threads/t1/messages", "other", "generic"),
        ("/v1/models/iris:predict", "predict", "generic"),
        ("/v1/models/iris:explain", "other", "generic"),
        ("/v2/models/iris/infer", "infer", "generic"),
        ("/v2/models/iris/versions/3/infer", "infer", "generic"),
        ("/v2/models/llm/generate", "generate", "generic"),
        ("/v2/models/llm/generate_stream", "generate", "generic"),
        ("/generate", "generate", "generic"),
        ("/generate_stream", "generate", "generic"),
        ("/api/generate", "generate", "generic"),
        ("/v1/models", "other", "generic"),
        ("/v1/models?next=/v1/chat/completions", "other", "generic"),
        ("/v1/chat/completions/chatcmpl-1", "other", "generic"),
        ("/v1/mychat/completions", "completions", "generic"),
        ("/", "generate", "generic"),
        ("/?stream=true", "generate", "generic"),
        ("/invocations", "predict", "generic"),
        ("/embed", "embeddings", "generic"),
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
    routes = {"chat", "completions", "responses", "embeddings", "rerank", "messages", "predict", "infer", "generate", "other"}
    assert route_of(target) in routes
    assert dialect_of(target) in {"chat", "generic"}


@settings(deadline=None)
@given(st.lists(st.sampled_from(["openai", "v1", "api", "chat", "completions", "x"])).map("/".join))
def test_a_prefix_changes_nothing(prefix: str) -> None:
    assert dialect_of(f"/{prefix}/v1/chat/completions") == "chat"
