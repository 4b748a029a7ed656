"""What is told about one exchange, as attributes of the GenAI semantic conventions and of our own. PURE.

Names are those of the OpenTelemetry semantic conventions for generative AI (status: development), as released up to 1.41 and used by
the dashboards that exist. Requests and answers are written by strangers, so every text is cut and made encodable, and every number is
checked: one text that cannot be encoded would lose the whole batch it is in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import orjson

from shadowproxy.exchange import Answer, Comparison, Exchange, Outcome, Request
from shadowproxy.wire.loose_json import a_number
from shadowproxy.wire.paths import route_of

Value = str | bool | int | float | list[str]
Attributes = dict[str, Value]

#: Default route of a path → ``gen_ai.operation.name``. The well-known values where one fits, else our name of the route.
_OPERATIONS = {
    "chat": "chat",
    "messages": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "generate": "text_completion",
    "embeddings": "embeddings",
}

#: Upstream's host name → ``gen_ai.provider.name``, the well-known values.
_PROVIDERS = tuple(
    (re.compile(rf"(.*[.-])?{host}"), provider)
    for host, provider in (
        (r"openai\.azure\.com", "azure.ai.openai"),
        (r"models\.ai\.azure\.com", "azure.ai.inference"),
        (r"openai\.com", "openai"),
        (r"anthropic\.com", "anthropic"),
        (r"generativelanguage\.googleapis\.com", "gcp.gemini"),
        (r"aiplatform\.googleapis\.com", "gcp.vertex_ai"),
        (r"bedrock-runtime\.[a-z0-9-]+\.amazonaws\.com", "aws.bedrock"),
        (r"mistral\.ai", "mistral_ai"),
        (r"groq\.com", "groq"),
        (r"cohere\.com", "cohere"),
        (r"deepseek\.com", "deepseek"),
        (r"perplexity\.ai", "perplexity"),
        (r"moonshot\.ai", "moonshot_ai"),
        (r"x\.ai", "x_ai"),
    )
)

#: Elsewhere the provider is the flavour that is spoken, as the conventions ask for servers that imitate one.
_FLAVOURS = {"chat": "openai", "responses": "openai", "completions": "openai", "embeddings": "openai", "messages": "anthropic"}

_TEXT_CHARS = 200  # names and ids; longer ones are made up
_FINISH_REASONS = 16  # one per choice
_INT64 = 2**63  # what OTLP can carry

#: Outcomes whose sentence is our own. In the others an arm's words may stand, and those are content.
_OUR_SENTENCES = (Outcome.TIMEOUT, Outcome.CONNECT_FAILED, Outcome.RESET, Outcome.TOO_LARGE)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an arm's exchanges went. ``model`` replaces the request's; ``rollout`` is the candidate's, empty for other arms."""

    address: str
    port: int
    model: str | None = None
    rollout: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the request says, read once for all arms. ``body`` is empty where it is no JSON object."""

    route: str
    body: Mapping[str, object]

    @property
    def operation(self) -> str:
        return _OPERATIONS.get(self.route, self.route)

    @property
    def model(self) -> str | None:
        """The model that was asked for, where the request names one."""
        model = self.body.get("model")
        return clean(model) if isinstance(model, str) and model else None


def asked_of(request: Request) -> Asked:
    """What ``request`` asks for, by its path and its JSON body."""
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        body = {}
    return Asked(route_of(request.target), body if isinstance(body, dict) else {})


def was_sent(exchange: Exchange) -> bool:
    """False for a copy that never left this process, or that was given up by it: there is no operation to tell of."""
    return exchange.reply is not None or exchange.outcome not in (Outcome.DROPPED_CANDIDATE, Outcome.DROPPED_LOCAL)


def provider_of(target: Target, asked: Asked) -> str:
    """``gen_ai.provider.name``: by the host where it is a known one, else by the flavour that is spoken, else ``_OTHER``."""
    return _known_provider(target.address) or _FLAVOURS.get(asked.route, "_OTHER")


@lru_cache(maxsize=256)  # one entry an arm; the bound is for form's sake
def _known_provider(address: str) -> str:
    return next((provider for host, provider in _PROVIDERS if host.fullmatch(address)), "")


def model_of(target: Target, asked: Asked) -> str | None:
    """The model that this arm was asked for."""
    return target.model if target.model is not None and asked.model is not None else asked.model


def error_type(exchange: Exchange) -> str | None:
    """``error.type``: the status code of an HTTP error, else the outcome's name; None where nothing failed."""
    if exchange.outcome is Outcome.OK:
        return None
    if exchange.outcome is Outcome.HTTP_ERROR and exchange.reply is not None:
        return str(exchange.reply.status)
    return exchange.outcome.value


def error_sentence(exchange: Exchange) -> str | None:
    """Why the exchange failed, in words that are ours."""
    return clean(exchange.failure) if exchange.outcome in _OUR_SENTENCES and exchange.failure else None


def place(target: Target, asked: Asked) -> Attributes:
    """What spans and metrics of one arm have in common, of few different values: operation, provider, server."""
    found: Attributes = {
        "gen_ai.operation.name": asked.operation,
        "gen_ai.provider.name": provider_of(target, asked),
        "server.address": target.address,
    }
    if target.port:
        found["server.port"] = target.port
    return found


def request_facts(asked: Asked) -> Attributes:
    """``gen_ai.request.*``: parameters that change what is answered."""
    found: Attributes = {}
    for name, key in (("temperature", "temperature"), ("top_p", "top_p"), ("frequency_penalty", "frequency_penalty")):
        if (number := a_number(asked.body.get(key))) is not None:
            found[f"gen_ai.request.{name}"] = number
    for name, keys in (("max_tokens", ("max_tokens", "max_completion_tokens", "max_output_tokens")), ("seed", ("seed",))):
        given = next((whole for key in keys if (whole := _whole(asked.body.get(key))) is not None), None)
        if given is not None:
            found[f"gen_ai.request.{name}"] = given
    choices = _whole(asked.body.get("n"))
    if choices is not None and choices != 1:
        found["gen_ai.request.choice.count"] = choices
    if asked.body.get("stream") is True:
        found["gen_ai.request.stream"] = True
    return found


def reply_facts(exchange: Exchange, answer: Answer | None) -> Attributes:
    """``gen_ai.response.*``, ``gen_ai.usage.*``, the status code and ``error.type``."""
    found: Attributes = {}
    if exchange.reply is not None:
        found["http.response.status_code"] = exchange.reply.status
    if (error := error_type(exchange)) is not None:
        found["error.type"] = error
    if answer is None:
        return found
    if answer.model:
        found["gen_ai.response.model"] = clean(answer.model)
    if isinstance(response_id := getattr(answer, "id", None), str) and response_id:
        found["gen_ai.response.id"] = clean(response_id)
    if reasons := [clean(choice.finish_reason) for choice in answer.choices[:_FINISH_REASONS] if choice.finish_reason]:
        found["gen_ai.response.finish_reasons"] = reasons
    for name, count in tokens(answer):
        found[f"gen_ai.usage.{name}_tokens"] = count
    if (first_s := first_chunk_s(exchange, answer)) is not None:
        found["gen_ai.response.time_to_first_chunk"] = first_s
    return found


def tokens(answer: Answer | None) -> list[tuple[str, int]]:
    """(``input`` or ``output``, count) as the arm reported them; none where it did not, or where it is no count."""
    if answer is None or answer.usage is None:
        return []
    pairs = (("input", answer.usage.prompt_tokens), ("output", answer.usage.completion_tokens))
    return [(name, count) for name, count in pairs if 0 <= count < _INT64]


def first_chunk_s(exchange: Exchange, answer: Answer | None) -> float | None:
    """Seconds to the first bytes of a streamed body; None for a reply that is not a stream."""
    if answer is None or not answer.is_streamed or exchange.reply is None:
        return None
    return next((at_s for at_s, piece in exchange.reply.reads if piece), None)


def shadow_facts(target: Target, primary: Exchange, other: Exchange, comparison: Comparison) -> Attributes:
    """``shadowproxy.*``: what marks the span as a copy's, and what the comparison with the primary found."""
    found: Attributes = {
        "shadowproxy.arm": other.arm,
        "shadowproxy.route": other.route,
        "shadowproxy.exchange.id": clean(other.id),
        "shadowproxy.outcome": other.outcome.value,
        "shadowproxy.primary.outcome": primary.outcome.value,
        "shadowproxy.is_exact": comparison.is_exact,
    }
    if target.rollout:
        found["shadowproxy.rollout"] = target.rollout
    if comparison.similarity is not None:
        found["shadowproxy.similarity"] = comparison.similarity
    return found


def clean(text: str, most: int = _TEXT_CHARS) -> str:
    """``text`` cut to ``most`` characters, lone surrogates replaced: UTF-8 cannot carry them."""
    return text[:most].encode("utf-8", "replace").decode()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64 else None


class Names:
    """Per scope the first ``most`` different names as they are, every later one as ``_OTHER``: what labels a metric or names a span must
    not grow with what strangers send."""

    __slots__ = ("_known", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, set[str]] = {}

    def bounded(self, scope: str, name: str) -> str:
        known = self._known.setdefault(scope, set())
        if name not in known:
            if len(known) >= self._most:
                return "_OTHER"
            known.add(name)
        return name
