"""Inference paths: which protocol a request target speaks, and under which route it is counted. PURE.

A path is known by its end, because gateways and servers put all kinds of prefixes before it (``/openai``, ``/api``,
``/openai/deployments/{name}``).
"""

from __future__ import annotations

from functools import lru_cache

GENERIC = "generic"

#: (last segments of a path, route label, dialect). The first match counts.
_ENDINGS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("chat", "completions"), "chat", "chat"),
    (("api", "chat"), "chat", "ollama"),
    (("api", "generate"), "generate", "ollama"),
    (("completions",), "completions", "completions"),
    (("responses",), "responses", "responses"),
    (("embeddings",), "embeddings", "embeddings"),
    (("embed",), "embeddings", "embeddings"),  # text-embeddings-inference, Cohere, Ollama
    (("rerank",), "rerank", "rerank"),
    (("score",), "rerank", "rerank"),
    (("v1", "messages"), "messages", "messages"),  # with its version: other services have messages of other kinds
    (("infer",), "infer", "infer"),
    (("generate",), "generate", "generate"),
    (("generate_stream",), "generate", "generate"),
    (("images", "generations"), "images", "images"),
    (("audio", "speech"), "speech", "speech"),
    (("classify",), "predict", "predict"),
    (("predict",), "predict", "predict"),
    (("invocations",), "predict", "predict"),  # SageMaker and MLflow containers
)


def route_of(target: str) -> str:
    """The default route label of a request target (path with query, or absolute form)."""
    return _route_and_dialect(target)[0]


def dialect_of(target: str) -> str:
    """The name of the dialect spoken at a request target; ``generic`` where none is known."""
    return _route_and_dialect(target)[1]


def path_of(target: str) -> str:
    """The path of a request target, without host, query and fragment."""
    path = target.partition("?")[0].partition("#")[0]
    if path.startswith("/") or "://" not in path:
        return path
    return "/" + path.partition("://")[2].partition("/")[2]


@lru_cache(maxsize=1024)  # asked for every reply; a bound, because a scanner's paths are many
def _route_and_dialect(target: str) -> tuple[str, str]:
    segments = _segments(target)
    if not segments:
        return "generate", "generate"  # the root of text-generation-inference and of most one-model containers
    for ending, route, dialect in _ENDINGS:
        if segments[-len(ending) :] == ending:
            return route, dialect
    # KServe V1 puts the verb behind the model's name: /v1/models/{name}:predict.
    return ("predict", "predict") if segments[-1].endswith(":predict") else ("other", GENERIC)


def _segments(target: str) -> tuple[str, ...]:
    path = target.partition("?")[0].partition("#")[0]
    if not path.startswith("/"):  # absolute form, as proxies are asked: the host is no path segment, but a prefix does no harm
        path = path.partition("://")[2] or path
    return tuple(segment for segment in path.split("/") if segment)
