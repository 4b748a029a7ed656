"""What a request asks for: its words, its tools, the form the answer must have, and whose it is. PURE. The counterpart of ``reading``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from shadowproxy.errors import ProtocolError
from shadowproxy.exchange import Asked, Request, ToolSpec
from shadowproxy.wire.decoded import MAX_DECODED_BYTES
from shadowproxy.wire.loose_json import Object, a_count, a_label, a_list, an_object, canonical, parsed
from shadowproxy.wire.paths import dialect_of, path_of
from shadowproxy.wire.prompts import words_of
from shadowproxy.wire.transfer import decode_content

#: Most tools kept. OpenAI takes 128; a thousand leaves room for those who take more.
MAX_TOOLS = 1000
#: Longest name of a model, tool or session kept.
MAX_NAME_CHARS = 256

#: Where a request names its session, narrowest first: a conversation tells more requests apart than a user, and a user more than a key
#: that only says whose prompts begin alike. OpenAI's ``user`` goes before ``safety_identifier``, which took its place and is hashed.
_SESSIONS: tuple[tuple[str, ...], ...] = (
    ("metadata", "session_id"),
    ("metadata", "conversation_id"),
    ("user",),
    ("safety_identifier",),
    ("metadata", "user_id"),
    ("prompt_cache_key",),
)

#: Where a request describes the form of its answer as ``{"type": "json_schema", …}`` or ``{"type": "json_object"}``: OpenAI chat,
#: OpenAI Responses, Anthropic twice, and the grammars of text-generation-inference.
_FORMATS: tuple[tuple[str, ...], ...] = (
    ("response_format",),
    ("text", "format"),
    ("output_format",),
    ("output_config", "format"),
    ("parameters", "grammar"),
)
_JSON_TYPES = frozenset({"json", "json_object", "json_schema"})

#: Where a request holds the bare schema (vLLM old and new, NVIDIA, llama.cpp, SGLang, Ollama).
_SCHEMAS: tuple[tuple[str, ...], ...] = (
    ("guided_json",),
    ("structured_outputs", "json"),
    ("nvext", "guided_json"),
    ("json_schema",),
    ("sampling_params", "json_schema"),
    ("format",),
)
#: Path segments before the name of a model: KServe and Azure.
_MODEL_PLACES = ("models", "deployments")


def read_asked(request: Request) -> Asked:
    """What ``request`` asks for. Never raises: of a body that is no JSON object only what the path says is known.

    ``prompt``, ``question`` and each of ``documents`` end at :data:`~shadowproxy.wire.prompts.MAX_PROMPT_CHARS`, names at
    ``MAX_NAME_CHARS``.
    """
    dialect = dialect_of(request.target)
    path = path_of(request.target)
    body = _body(request)
    words = words_of(dialect, body)
    wants_json, schema = _form(body)
    return Asked(
        dialect,
        model=_name(body.get("model")) or _model_in(path),
        prompt=words.prompt,
        question=words.question,
        is_streamed=_is_streamed(dialect, path, body),
        choices=max(1, a_count(body.get("n")) or 1),
        tools=tuple(_tools(body)),
        wants_json=wants_json,
        schema=schema,
        session=next((name for place in _SESSIONS if (name := _name(_at(body, place)))), ""),
        documents=words.documents,
    )


def _body(request: Request) -> Object:
    """The JSON object that was sent, its content coding undone; an empty one where there is none."""
    coding = request.header(b"content-encoding")
    if not coding:
        return an_object(parsed(request.body))
    try:
        reads = decode_content(((0.0, request.body),), coding, MAX_DECODED_BYTES)
    except ProtocolError:
        return {}
    return an_object(parsed(b"".join(piece for _, piece in reads)))


def _at(body: Object, place: tuple[str, ...]) -> Any:
    """What stands at a place within the body, or None."""
    value: Any = body
    for name in place:
        value = an_object(value).get(name)
    return value


def _name(value: Any) -> str:
    return a_label(value)[:MAX_NAME_CHARS]


def _model_in(path: str) -> str:
    """The model that a path names (``/v2/models/iris/infer``, ``/v1/models/iris:predict``), or an empty text."""
    segments = path.split("/")
    named = (after for before, after in itertools.pairwise(segments) if before in _MODEL_PLACES)
    return next(named, "").partition(":")[0][:MAX_NAME_CHARS]


def _is_streamed(dialect: str, path: str, body: Object) -> bool:
    if dialect == "ollama":
        return body.get("stream") is not False  # Ollama streams unless told otherwise
    return body.get("stream") is True or path.rstrip("/").endswith("/generate_stream")


def _tools(body: Object) -> Iterator[ToolSpec]:
    """Functions offered under ``tools`` (OpenAI chat and Responses, Anthropic, Ollama) and under ``functions``, as it was called before.

    A tool that the server brings has no name of its own; its type stands for it (``local_shell``).
    """
    offered = [*a_list(body.get("tools"))[:MAX_TOOLS], *a_list(body.get("functions"))[:MAX_TOOLS]]
    for tool in map(an_object, offered[:MAX_TOOLS]):
        function = an_object(tool.get("function")) or an_object(tool.get("custom")) or tool
        schema = function.get("parameters", function.get("input_schema"))
        if name := _name(function.get("name")) or _name(tool.get("type")):
            yield ToolSpec(name, _schema_text(schema))


def _form(body: Object) -> tuple[bool, str]:
    """Whether the answer is to be JSON, and by which schema."""
    for place in _FORMATS:
        form = an_object(_at(body, place))
        if a_label(form.get("type")) in _JSON_TYPES:
            inner = an_object(form.get("json_schema")).get("schema")
            return True, _schema_text(form.get("schema", form.get("value")) if inner is None else inner)
    for place in _SCHEMAS:
        if schema := _schema_text(_at(body, place)):
            return True, schema
    return body.get("format") == "json" or _at(body, ("structured_outputs", "json_object")) is True, ""


def _schema_text(value: Any) -> str:
    """A schema as JSON text, given as an object or as its text; empty for anything else."""
    found = parsed(value) if isinstance(value, str) else value
    return canonical(found) or "" if isinstance(found, dict) else ""
