"""The typed configuration tree: one class per concern, every key with its meaning, unit and the reason for its default.

Read by ``app`` only; everything else gets the section it needs. Unknown keys are refused with the nearest known name, and every
problem is reported at once (:class:`~shadowproxy.errors.ConfigError`).
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

import orjson
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from shadowproxy.errors import ConfigError, ConfigProblem
from shadowproxy.exchange import CONTROL, PRIMARY, is_credential
from shadowproxy.prompt_registry import registered_prompt

Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(gt=0)]
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
#: Stands for the primary where no server is asked.
NOWHERE = "http://127.0.0.1:9"
_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):(\d{1,5})")


def _address(value: object) -> object:
    """Check ``host:port`` or ``unix:/path``; a bare port is taken as loopback."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"127.0.0.1:{value}"
    if not isinstance(value, str):
        raise ValueError("is not an address; write host:port or unix:/path/to/socket")
    if value.startswith("unix:"):
        if not value[5:].startswith("/"):
            raise ValueError("is not an absolute path; write unix:/path/to/socket")
        return value
    match = _HOST_PORT.fullmatch(value)
    if match is None or int(match[2]) > 65535:
        raise ValueError("is not an address; write host:port (port 0..65535) or unix:/path/to/socket")
    return value


def _upstream_url(value: object) -> object:
    """Check ``http(s)://host[:port][/prefix]``, ``host:port`` or ``unix:/path``."""
    if not isinstance(value, str):
        raise ValueError("is not a URL; write http://host:port or unix:/path/to/socket")
    if value.startswith("unix:"):
        return _address(value)
    if "://" not in value:
        value = f"http://{value}"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL; write http://host:port or unix:/path/to/socket") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("is not a URL; write http://host:port or unix:/path/to/socket")
    if not parts.path.isascii():
        raise ValueError("has characters in its path that a URL cannot carry; percent-encode them")
    if parts.username or parts.password:
        raise ValueError("carries credentials; put them into auth: {env: NAME} instead")
    if parts.query or parts.fragment:
        raise ValueError("has a query or fragment; keep scheme, host, port and path prefix only")
    return value


def base_url(value: object) -> object:
    """Check ``http(s)://host[:port][/prefix]``."""
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise ValueError("is not a URL; write http://host:port or https://host/prefix")
    return str(_upstream_url(value)).rstrip("/")


Address = Annotated[str, BeforeValidator(_address)]
UpstreamUrl = Annotated[str, BeforeValidator(_upstream_url)]
BaseUrl = Annotated[str, BeforeValidator(base_url)]


class Section(BaseModel):
    """A part of the tree. Frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Secret(Section):
    """A secret of our own, read from the environment or a file when a process starts. The value is never written in the config."""

    env: str | None = None
    """Environment variable that holds the secret."""
    file: Path | None = None
    """File that holds the secret (a mounted Kubernetes Secret). One trailing newline is dropped."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("needs exactly one of env and file; write {env: NAME} or {file: /path}")
        return self

    def secret(self) -> str:
        """The secret itself. Raises :class:`ConfigError` where it is missing or empty."""
        where = f"env {self.env}" if self.env else f"file {self.file}"
        try:
            value = os.environ.get(self.env, "") if self.env else Path(str(self.file)).read_text(encoding="utf-8").strip("\r\n")
        except OSError as exc:
            raise ConfigError(
                (ConfigProblem("auth", where, f"cannot be read ({exc.strerror})", "mount the secret or fix the path"),)
            ) from exc
        if not value:
            raise ConfigError((ConfigProblem("auth", where, "is not set", "export it before the start"),))
        return value


class Auth(Secret):
    """A credential for an arm."""

    header: str = "authorization"
    """Header that carries it."""
    scheme: str = "Bearer"
    """Word before the secret; empty for none (``x-api-key`` style)."""

    def header_line(self) -> tuple[bytes, bytes]:
        """The (lower-case name, value) pair to send."""
        value = f"{self.scheme} {self.secret()}" if self.scheme else self.secret()
        return self.header.lower().encode("latin-1"), value.encode("latin-1")


class Tls(Section):
    """TLS towards an upstream with an https:// URL."""

    ca_file: Path | None = None
    """PEM file of the certificate authority. Default: the system's."""
    server_name: str | None = None
    """Name for SNI and certificate check. Default: the URL's host."""


class ServerTls(Section):
    """TLS towards clients. Plain HTTP behind a mesh's sidecar is the default; this is for a gateway that stands alone."""

    cert_file: Path
    """PEM file: our certificate and its chain."""
    key_file: Path
    """PEM file: its private key. Both are loaded again when they change."""
    client_ca_file: Path | None = None
    """PEM file: clients must show a certificate that one of these signed (mTLS). Default: none is asked for."""


class Primary(Section):
    """The version whose answer the client gets."""

    url: UpstreamUrl
    """``http(s)://host:port[/prefix]`` or ``unix:/path``."""
    connect_timeout_s: Seconds = 5.0
    """To a TCP (and TLS) connection. 5 s: three SYN attempts; more only delays the 502."""
    first_byte_timeout_s: Seconds = 600.0
    """From the whole request sent to the first reply byte. 10 min: unary LLM replies think that long before a byte comes."""
    idle_timeout_s: Seconds = 300.0
    """Longest silence within a reply, and longest refusal to take more of a request. No total timeout: a stream may run as long as it
    speaks."""
    keepalive_s: Seconds = 50.0
    """Idle pooled connections older than this are closed. Below the 60 s after which common servers and load balancers close them."""
    host: Literal["auto", "client", "upstream"] = "auto"
    """Host header the primary sees: the ``client``'s, or that of the ``upstream`` URL. ``auto``: the client's where the primary is on
    loopback or a Unix socket (a sidecar), the URL's elsewhere, because a mesh routes by Host and would send the request back to us."""
    max_idle_connections: Annotated[int, Field(ge=0)] = 512
    """Idle connections kept per worker."""
    tls: Tls = Tls()


class Arm(Section):
    """What candidates and the control share: how copies are sent."""

    concurrency: Annotated[int, Field(ge=1)] = 64
    """Copies in flight at once."""
    queue: Annotated[int, Field(ge=0)] = 256
    """Copies waiting for a free slot; one more is dropped and counted as ``dropped_candidate``."""
    timeout_s: Seconds = 60.0
    """From sending the copy to its last byte. A copy that takes longer counts as failed: a missing answer is evidence."""
    max_reply_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    """A longer reply is cut off and counts as ``too_large``. 16 MiB is past any text answer and keeps ``concurrency`` replies in memory."""
    auth: Auth | None = None
    """Our credential for this arm. The client's never reaches it."""


class Control(Arm):
    """The primary asked a second time: how much it differs from itself is the noise floor."""

    percent: Percent = 100.0
    """Share of mirrored requests that are asked again. 0 switches the control arm off; similarity then has an absolute threshold only."""


class HeaderRules(Section):
    """Header changes on a candidate's copies."""

    set: dict[str, str] = {}
    """Set to these values."""
    remove: tuple[str, ...] = ()
    """Removed, on top of credentials and hop-by-hop headers."""

    @field_validator("set")
    @classmethod
    def _plain(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if re.search(r"[\r\n\0]", name + text) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise ValueError(f"has a header that HTTP forbids ({name!r}); use a token as name and no line breaks in the value")
        return value


class Prompt(Section):
    """Another system prompt: a prompt version as candidate. It replaces the request's own instructions, or is put before the
    conversation."""

    file: Path | None = None
    """File that holds the prompt. Read at start and at every reload; another text is another rollout."""
    registry: str = ""
    """``prompts:/NAME/VERSION`` or ``prompts:/NAME@ALIAS`` in the MLflow Prompt Registry (extra ``mlflow``; the server is that of
    ``MLFLOW_TRACKING_URI``). Read at start and at every reload, when an alias becomes the version that it stands for."""
    system: str = ""
    """The prompt itself, where there is neither file nor registry."""
    version: str = ""
    """What people call it (``triage-v7``). Shown in the verdict. Default: of a registry's prompt ``NAME/VERSION``."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or value.get("system"):
            return value
        if value.get("registry"):
            found = registered_prompt(str(value["registry"]))
            return {**value, "system": found.text.strip("\n"), "registry": found.uri, "version": value.get("version") or found.version}
        if not value.get("file"):
            return value
        try:
            return {**value, "system": Path(str(value["file"])).read_text(encoding="utf-8").strip("\n")}
        except (OSError, UnicodeDecodeError) as exc:
            raise ValueError(f"has a file that cannot be read ({exc}); mount it or fix the path") from exc

    @model_validator(mode="after")
    def _some_text(self) -> Self:
        if not self.system.strip():
            raise ValueError("has no text; write system:, or name a file or a registry's prompt that is not empty")
        return self


#: Fields of a request that a candidate's parameters may not set: what makes a copy safe, and what other keys are for.
_NOT_PARAMETERS = frozenset(
    {
        "model",
        "messages",
        "prompt",
        "input",
        "instructions",
        "system",
        "stream",
        "store",
        "previous_response_id",
        "conversation",
        "background",
    }
)


class Ceiling(Section):
    """Most that a rollout's copies may take: past it the candidate gets no more. Counted since ``serve`` was started, for each ``serve`` by
    itself; a changed rollout begins anew. What is in flight when it is reached comes on top."""

    tokens: Annotated[int, Field(ge=1)] | None = None
    """Of prompts and completions, as the candidate reports them, else one for every four bytes. Default: no bound."""
    cost: Annotated[float, Field(gt=0)] | None = None
    """Money by ``compare.prices``; a model without a price is taken for the dearest. Default: no bound."""

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if self.tokens is None and self.cost is None:
            raise ValueError("bounds nothing; write tokens: or cost:, or leave it out")
        return self


class Candidate(Arm):
    """A version under judgement."""

    name: str
    """Short name: label of its metrics, value of the ``x-shadowproxy-arm`` header."""
    url: UpstreamUrl
    """``http(s)://host:port[/prefix]`` or ``unix:/path``."""
    percent: Percent = 100.0
    """Share of the mirrored requests that this candidate gets."""
    model: str | None = None
    """Replaces ``model`` in the JSON body."""
    parameters: dict[str, Any] = {}
    """Put over the fields of the JSON body (``{temperature: 0.2}``); null takes one out. Not for what is asked: see ``prompt``."""
    ceiling: Ceiling | None = None
    """Most that its copies may cost. Default: no bound."""
    prompt: Prompt | None = None
    headers: HeaderRules = HeaderRules()
    tls: Tls = Tls()

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if value in (PRIMARY, CONTROL):
            raise ValueError("is the name of another arm; choose one that is neither primary nor control")
        if not _NAME.fullmatch(value):
            raise ValueError("is not a name; use up to 63 of a-z 0-9 . _ - and begin and end with a letter or digit")
        return value

    @field_validator("parameters")
    @classmethod
    def _harmless(cls, value: dict[str, Any]) -> dict[str, Any]:
        if strange := sorted(_NOT_PARAMETERS & value.keys()):
            raise ValueError(f"sets {', '.join(strange)}, which is no parameter; use model or prompt, or take it out")
        return value


class Mirror(Section):
    """Which requests are mirrored."""

    percent: Percent = 100.0
    """Share of eligible requests, chosen by a stable hash."""
    sample_by: str = "request_id"
    """``request_id`` or ``header:NAME``: what is hashed. With a session header whole sessions are in or out together."""
    marker_header: str | None = None
    """Name of a header that other mirrors put on their copies: a request that carries it is forwarded and not mirrored again, as one with
    ``x-shadowproxy-arm`` always is."""
    max_request_bytes: Annotated[int, Field(ge=0)] = 8 * 1024 * 1024
    """A longer request is forwarded but not mirrored. 8 MiB carries long contexts and a few images."""
    max_reply_bytes: Annotated[int, Field(ge=0)] = 16 * 1024 * 1024
    """A longer primary reply is passed on but not compared."""
    kill_switch_file: Path | None = None
    """While this file exists nothing is mirrored. Looked at four times a second."""

    @field_validator("sample_by")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != "request_id" and not re.fullmatch(r"header:[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
            raise ValueError("is not a sampling key; write request_id or header:NAME")
        return value

    @field_validator("marker_header")
    @classmethod
    def _token(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
            raise ValueError("is not a header name")
        return value


class Route(Section):
    """A name for a group of paths: the label ``route``, and a stratum of the verdict."""

    name: str
    """Value of the label; up to 63 of ``a-z 0-9 . _ -``. At most 50 names."""
    path: str
    """Matches the request path exactly, or as a prefix where it ends with ``*``."""

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("is not a name; use up to 63 of a-z 0-9 . _ - and begin and end with a letter or digit")
        return value

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/") or "?" in value:
            raise ValueError("is not a path; begin with / and leave the query out")
        return value


class Dialect(Section):
    """Where the answer stands in the JSON of a server that speaks no known dialect, as JMESPath expressions. They are applied to a whole
    reply and to every event or line of a stream. The path must also be a route, or nothing sent there is mirrored."""

    path: str
    """Matches the request path exactly, or as a prefix where it ends with ``*``."""
    text: str
    """Finds the answer. Over a stream the pieces are joined."""
    finish_reason: str = ""
    """Finds why the model ended. Where it is given, a stream is whole once it was found."""
    prompt_tokens: str = ""
    """Finds the tokens of the request."""
    completion_tokens: str = ""
    """Finds the tokens of the answer."""
    error: str = ""
    """Finds an error that is reported in a reply of status 200."""


class Handover(Section):
    """From the gateway workers to the shadow process."""

    buffer_bytes: Annotated[int, Field(ge=65536)] = 64 * 1024 * 1024
    """Bytes a worker keeps for a shadow process that does not keep up. Past it exchanges are dropped and counted. 64 MiB is a few
    seconds of heavy traffic and bounds what a stuck shadow process can cost."""
    pending_exchanges: Annotated[int, Field(ge=1)] = 4096
    """Exchanges the shadow process works on at once; past it new ones are dropped and counted."""
    pending_bytes: Annotated[int, Field(ge=1024 * 1024)] = 256 * 1024 * 1024
    """Bytes of requests and primary replies the shadow process works on at once. In a pod, memory that runs out takes the gateway
    with it."""


class Embed(Section):
    """Text to vectors."""

    backend: Literal["onnx", "sentence-transformers", "none"] = "onnx"
    """``onnx``: the small model that is installed with the package, offline. ``sentence-transformers``: any model, needs the extra.
    ``none``: no similarity, the gate is not evaluated."""
    model: str | None = None
    """``onnx``: a directory with model.onnx (or onnx/model.onnx) and tokenizer.json, which needs the extra ``onnx-models``;
    default: the packaged all-MiniLM-L6-v2 (weights and activations in eight bits).
    ``sentence-transformers``: a directory or name; default: all-MiniLM-L6-v2 by name, downloaded if absent."""
    batch: Annotated[int, Field(ge=1, le=64)] = 8
    """Windows per model call, at most; long windows go alone whatever it says, and the packaged model takes one a call. 8: larger batches
    gain little on a CPU and cost memory."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Model threads. 1 keeps the other cores for the production path."""
    cache_entries: Annotated[int, Field(ge=0)] = 4096
    """Vectors kept by digest of their text (1.5 kB each)."""


class CompareRule(Section):
    """A part of answers that is noise: ignored, or normalised on both sides before anything is compared. Exactly one action each. Every
    difference that a rule takes out is counted under its name."""

    path: str
    """``$.a.b[*].c`` into JSON answers and tool arguments, ``**`` for any depth, or ``text`` for plain text."""
    name: str | None = None
    """What its suppressions are counted under. Default: made of path and action."""
    ignore: bool | None = None
    """``true``: left out on both sides."""
    round: int | None = None
    """Numbers are rounded to so many decimal places."""
    sort: bool | None = None
    """``true``: the order of an array does not count."""
    lower: bool | None = None
    """``true``: case does not count."""
    strip: bool | None = None
    """``true``: white space around a text does not count."""
    pattern: str | None = None
    """What this regular expression matches does not count; or one of ``timestamp``, ``uuid``, ``hex_id``, ``number``."""


class ModelPrice(Section):
    """What a model costs."""

    model: str
    """Its name, as replies name it, or the start of names and a ``*``."""
    prompt: Annotated[float, Field(ge=0)]
    """Per million prompt tokens."""
    completion: Annotated[float, Field(ge=0)]
    """Per million completion tokens."""


class Prices(Section):
    """From reported tokens to money."""

    currency: str = "USD"
    """Shown beside amounts. All prices are in it."""
    models: tuple[ModelPrice, ...] = ()
    """The longest name that fits a reply's model counts. A model without price has an unknown cost, never 0."""


class Compare(Section):
    """What is done with the answers of the arms."""

    percent: Percent = 100.0
    """Share of mirrored requests whose answers are read, compared and judged, chosen by a stable hash before anything is known of them.
    The rest is sent to the arms and only how it ended is counted: load for a candidate at a fraction of the cost."""
    rules: tuple[CompareRule, ...] = ()
    """Parts of answers that are noise, in the order in which they are applied."""
    prices: Prices = Prices()
    languages: bool = True
    """Tells the languages of answers apart. The detector takes about a second to load, and 75 MB."""
    comparators: tuple[str, ...] = ()
    """Names of installed extensions (entry points of ``shadowproxy.comparators``) that are asked about every pair."""


class Gate(Section):
    """A rule on one bounded paired difference."""

    enabled: bool = True
    """``false`` switches this gate off. At least one must stay on."""


Margin = Annotated[float, Field(gt=0, lt=1)]


class ErrorGate(Gate):
    """Failures: error status, broken stream, time-out, no connection."""

    margin: Margin = 0.005
    """How much more often the candidate may fail than the primary. 0.005 is half a percentage point."""


class JsonValidGate(Gate):
    """Requests that ask for JSON: is the answer the JSON that was asked for, and does it satisfy its schema? Guards where it is seen."""

    margin: Margin = 0.005
    """How much more often the candidate's answer may not be."""


class ToolValidGate(Gate):
    """Tool calls: offered tools, arguments that satisfy their schema. Guards where it is seen."""

    margin: Margin = 0.005
    """How much more often the candidate's calls may not be."""


class TruncatedGate(Gate):
    """Answers that a length limit or a filter has cut."""

    enabled: bool = False
    """``true`` switches this gate on."""
    margin: Margin = 0.02
    """How much more often the candidate's answer may be cut."""


class MismatchGate(Gate):
    """How often an answer differs from the primary's, less how often the primary's own second answer does. Guards where it is seen."""

    margin: Margin = 0.02
    """How much more often the candidate may differ than the primary differs from itself."""
    max_different: Margin = 0.2
    """Used only without a control arm: the share of answers that may differ."""


class StructureGate(MismatchGate):
    """JSON, markdown and code that are built otherwise."""

    enabled: bool = False
    """``true`` switches this gate on: for routes whose structure somebody parses."""


class ToolsGate(MismatchGate):
    """Other calls, or other arguments."""


class FactsGate(MismatchGate):
    """Contradictions in numbers, names, negations and the like, where two sentences speak of the same thing."""

    margin: Margin = 0.05
    """How much more often the candidate may contradict the primary than the primary contradicts itself."""
    max_different: Margin = 0.3
    """Used only without a control arm: the share of answers that may contradict the primary."""


class RefusalGate(MismatchGate):
    """One declines what the other answers, in either direction."""

    max_different: Margin = 0.05
    """Used only without a control arm: the share of answers that may differ in that."""


class SimilarityGate(Gate):
    """How alike the answers are."""

    margin: Margin = 0.02
    """How much less similar to the primary's answer the candidate may be than the primary is to itself (mean cosine)."""
    min_similarity: Margin = 0.8
    """Used only without a control arm: the mean similarity that must be shown. No fixed value fits every workload; the verdict says
    ``no_control``."""


class TailGate(Gate):
    """The slow tail of a latency, against the primary's own."""

    ratio: Annotated[float, Field(ge=1)] = 1.2
    """The candidate's tail may be this many times the primary's."""
    quantile: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Which tail."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """How much more often the candidate may be over ``ratio`` x t* than the primary is over t*. 0 is exact: an equal candidate is over
    ``ratio`` x t* less often, and passes."""
    tolerance_s: Annotated[float, Field(ge=0)] = 0.02
    """The candidate may always be this much over t*. Copies are timed in a process that also compares; where the primary answers within a
    few milliseconds, 20 % of that would be our own scheduling, not the candidate."""
    reference_s: Annotated[float, Field(gt=0)] | None = None
    """t*, the primary's tail in seconds. Default: measured once per route over the first pairs, then frozen."""
    calibration_pairs: Annotated[int, Field(ge=20)] = 200
    """Pairs over which t* is measured. They do not count for this gate: t* must be fixed before the data it judges."""


class TtftGate(TailGate):
    """Time to the first content."""


class ItlGate(TailGate):
    """Mean time between pieces of content within an answer."""

    enabled: bool = False
    """``true`` switches this gate on."""


class DurationGate(TailGate):
    """Time to the last byte. Long answers take long: it also judges length."""

    enabled: bool = False
    """``true`` switches this gate on."""


class RatioGate(Gate):
    """A mean amount, against the primary's."""

    enabled: bool = False
    """``true`` switches this gate on."""
    ratio: Annotated[float, Field(gt=0)] = 1.05
    """The candidate's mean may be this many times the primary's."""
    cap: Annotated[float, Field(gt=0)]
    """The most that one answer can come to; larger amounts are taken as this. Far above what answers come to, it costs pairs."""


class TokensGate(RatioGate):
    """Completion tokens, as the arms report them."""

    cap: Annotated[float, Field(gt=0)] = 4096.0
    """The most tokens that one answer can come to, ``max_tokens`` say; larger amounts are taken as this. Far above what answers come to,
    it costs pairs."""


class CostGate(RatioGate):
    """Money, by ``compare.prices``."""

    cap: Annotated[float, Field(gt=0)] = 0.1
    """The most that one answer can cost, in the price table's currency; larger amounts are taken as this. Far above what answers cost, it
    costs pairs."""


class JudgeGate(Gate):
    """Which answer the model of ``llm_judge`` prefers."""

    enabled: bool = False
    """``true`` switches this gate on; it needs ``llm_judge``."""
    margin: Margin = 0.05
    """How much more often the primary's answer may be preferred than the candidate's."""


class BudgetGate(Section):
    """An absolute bound on the candidate, whatever the primary does: P(``measure`` > ``limit``) <= ``share``."""

    name: str
    """Name of the gate, behind ``budget:``."""
    measure: Literal["ttft", "itl", "duration", "cost", "tokens", "error"]
    """What is bounded. ``error`` needs no limit."""
    limit: Annotated[float, Field(ge=0)] = 0.0
    """Seconds for ``ttft``, ``itl`` and ``duration``; the price table's currency for ``cost``; completion tokens for ``tokens``."""
    share: Margin
    """Share of answers that may be over the limit."""

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("is not a name; use up to 63 of a-z 0-9 . _ - and begin and end with a letter or digit")
        return value


class Gates(Section):
    """Rules that the candidate must pass on every route and in every slice."""

    error: ErrorGate = ErrorGate()
    json_valid: JsonValidGate = JsonValidGate()
    tool_valid: ToolValidGate = ToolValidGate()
    truncated: TruncatedGate = TruncatedGate()
    structure: StructureGate = StructureGate()
    tools: ToolsGate = ToolsGate()
    similarity: SimilarityGate = SimilarityGate()
    facts: FactsGate = FactsGate()
    refusal: RefusalGate = RefusalGate()
    ttft: TtftGate = TtftGate()
    itl: ItlGate = ItlGate()
    duration: DurationGate = DurationGate()
    cost: CostGate = CostGate()
    tokens: TokensGate = TokensGate()
    judge: JudgeGate = JudgeGate()
    budgets: tuple[BudgetGate, ...] = ()
    """Absolute bounds on the candidate."""

    @field_validator("budgets")
    @classmethod
    def _distinct(cls, value: tuple[BudgetGate, ...]) -> tuple[BudgetGate, ...]:
        names = [budget.name for budget in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"has two budgets called {name!r}; give each its own name")
        return value


class Units(Section):
    """What counts as one independent observation. Requests of one conversation are not independent of each other: counted one by one they
    promise more than they know."""

    session: str = "auto"
    """``header:NAME``, ``auto`` (what the request says of its user or session, such as OpenAI's ``user``), or ``none``: each request by
    itself. A session's pairs are averaged into one observation. Requests without a session are observations of their own."""
    idle_s: Seconds = 300.0
    """A session is over when it has been silent for so long."""
    max_pairs: Annotated[int, Field(ge=1)] = 20
    """A session is published at the latest after so many pairs; what follows opens a new one."""
    drop_repeats: bool = True
    """Of requests with the same prompt only the first within an hour counts: a health check asked every second is no evidence."""

    @field_validator("session")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("auto", "none") and not re.fullmatch(r"header:[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
            raise ValueError("is not a session key; write auto, none or header:NAME")
        return value


class Slices(Section):
    """Parts of the traffic, besides routes, that are judged on their own: one bad slice blocks a promotion. Each costs metric series."""

    tenant: str | None = None
    """``header:NAME`` that names the tenant. The first 20 names that come get a slice each, the others share one."""
    prompt_length: bool = False
    """Slices by length of the prompt."""
    language: bool = False
    """Slices by language of the primary's answer; needs ``compare.languages``."""
    tools: bool = False
    """Requests that offer tools, and those that do not."""
    streamed: bool = False
    """Streamed requests, and those that are not."""

    @field_validator("tenant")
    @classmethod
    def _header(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"header:[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
            raise ValueError("is not a header; write header:NAME")
        return value


class Decision(Section):
    """When evidence becomes a verdict."""

    alpha_promote: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    """Chance, at most, that a candidate at or beyond a margin is ever promoted."""
    alpha_rollback: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    """Chance, at most, that a candidate within every margin is ever rolled back by statistics."""
    min_pairs: Annotated[int, Field(ge=1)] = 100
    """Observations per gate before a promotion. Not needed for validity, but for having seen enough kinds of requests."""
    min_sessions: Annotated[int, Field(ge=0)] = 0
    """Distinct sessions before a promotion, where requests say theirs. 0 asks for none: few services mark sessions."""
    soak_s: Annotated[float, Field(ge=0)] = 1800.0
    """Time since the first pair before a promotion, in seconds. 30 min lets late effects (caches, memory, load) show."""
    max_pairs: Annotated[int, Field(ge=1)] = 50_000
    """After so many pairs without a decision the rollout is over: ``on_timeout`` says what then."""
    max_age_s: Seconds | None = None
    """After so long without a decision the rollout is over. Default: it may take as long as it takes."""
    on_timeout: Literal["hold", "rollback", "manual"] = "hold"
    """What becomes of a rollout that is over without a decision: it holds, is rolled back, or holds and asks for a person."""
    attempt: Annotated[int, Field(ge=1)] | None = None
    """How often this very candidate has been tried, from 1. The error rates are then shared out over all tries (61 %, 15 %, 7 % …):
    else a bad candidate would only have to be tried often enough. Default: they hold for each rollout by itself."""
    min_share: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of all pairs from which on a route or slice is judged on its own; smaller ones are judged together."""
    max_unresolved_percent: Percent = 1.0
    """Share of issued pairs that may be lost on our side; past it the verdict holds with ``incomplete_pairs``."""
    interval_s: Seconds = 1.0
    """How often the verdict is computed. Looking more often costs no error rate."""


class Admin(Section):
    """Health, metrics, verdict, latest pairs."""

    listen: Address = "127.0.0.1:9901"
    """``host:port`` or ``unix:/path``. Anything but loopback or a Unix socket needs ``token``."""
    token: Secret | None = None
    """Bearer token that requests must carry (health probes excepted)."""
    pairs: Annotated[int, Field(ge=0, le=10_000)] = 100
    """Latest pairs kept for /pairs."""

    @model_validator(mode="after")
    def _closed_by_default(self) -> Admin:
        if self.token is None and not self.listen.startswith("unix:"):
            host = self.listen.rpartition(":")[0].strip("[]")
            if host not in ("localhost", "::1") and not re.fullmatch(r"127(\.\d{1,3}){3}", host):
                raise ValueError("listens beyond loopback without a token; set admin.token: {env: NAME} or listen on 127.0.0.1")
        return self


class Limits(Section):
    """Bounds on what a client may send. Each has its own counter when it is hit."""

    max_header_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024
    """Request line and headers, or reply status line and headers. 64 KiB: what Envoy allows; JWTs and traces fit."""
    max_body_bytes: Annotated[int, Field(ge=0)] | None = None
    """Longest announced request body; a longer one is answered with 413. Default: none, the primary has its own."""
    max_connections: Annotated[int, Field(ge=1)] = 10_000
    """Client connections per worker; one more is answered with 503."""
    client_idle_timeout_s: Seconds = 300.0
    """A keep-alive connection without a request, or a request that stopped arriving, is closed after this long."""
    drain_s: Annotated[float, Field(ge=0)] = 30.0
    """After SIGTERM open exchanges may finish for this long. Kubernetes kills after 30 s by default: set terminationGracePeriodSeconds
    higher."""


class Log(Section):
    """Log lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written."""
    format: Literal["text", "json"] = "text"
    """``json``: one object a line."""


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://.+")


class Presidio(Section):
    """Names, places and other things without a form of their own, found by Microsoft's Presidio (extra: presidio). Slow: tens of
    milliseconds an answer; what the journal's thread does not keep up with is dropped and counted."""

    language: str = "en"
    """Language of the texts."""
    model: str = "en_core_web_sm"
    """spaCy model, installed beside."""
    entities: tuple[str, ...] = ("PERSON", "LOCATION", "NRP")
    """What is looked for, by Presidio's names. What has a form (addresses, numbers, keys) is found without it."""
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How sure Presidio has to be."""


class Redact(Section):
    """What is taken out of a record before it is written."""

    bodies: bool = True
    """Replace what the detectors find (email, phone, card, IBAN, IP address, keys, tokens, JWT, passwords) in bodies, targets and failures.
    Off: everything is written as it was, and the journal is as secret as the traffic."""
    headers: tuple[str, ...] = ()
    """Names of headers to keep besides those that say how to read a body; the detectors look at their values. Credentials have gone
    before, whatever stands here."""
    fields: tuple[str, ...] = ()
    """Paths in JSON bodies whose values are replaced whatever they are: ``$.user``, ``$.metadata``, ``**.customer_id``."""
    key: Secret | None = None
    """The key of the pseudonyms, 16 bytes or more. Default: a random one for each start, so that equal values are equal within one run of
    one process. With a key they are equal everywhere it is used, and whoever has it can try values."""
    presidio: Presidio | None = None
    """Also find names and places. Default: only what has a form of its own."""

    @field_validator("headers")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _HEADER_NAME.fullmatch(name.lower()):
                raise ValueError(f"has a name that is no header ({name!r}); write names such as x-tenant")
        return tuple(name.lower() for name in value)

    @field_validator("fields")
    @classmethod
    def _paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for path in value:
            if not path.startswith(("$", "**")):
                raise ValueError(f"has {path!r}, which is no path; begin with $, as in $.user, or with ** for any depth")
        return value

    @model_validator(mode="after")
    def _something_to_redact(self) -> Redact:
        if not self.bodies and (self.fields or self.presidio is not None):
            raise ValueError("has fields or presidio while bodies are kept as they are; set bodies: true, or leave them out")
        return self


class Journal(Section):
    """Requests and all arms' answers in files, for replay and for people. Off without this section."""

    to: str
    """A folder, or a URL that fsspec knows (``s3://bucket/prefix``, ``gs://…``; extra: fsspec, and the store's own package). Object stores
    cannot append: there each finished segment is uploaded, and what is being written lies in ``spool``."""
    spool: Path | None = None
    """Folder for segments on their way to a URL. What is left there by a crash is uploaded at the next start, so give it a disk that
    stays. Default: a folder for this URL within the system's for temporary files."""
    flush_records: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Records in one frame. A crash of the process loses the frame that is being filled."""
    flush_s: Seconds = 1.0
    """How long a record may wait for its frame to be written."""
    fsync: Literal["never", "segment", "frame"] = "segment"
    """When the disk is made to keep what was written: ``never``, each finished ``segment``, or each ``frame``. A killed process loses
    nothing that was written either way; a power cut loses what the kernel has not put on the disk yet, half a minute as a rule."""
    segment_bytes: Annotated[int, Field(ge=65536)] = 64 * 1024 * 1024
    """A segment that has grown to so many bytes is finished and a new one begun."""
    segment_s: Seconds = 3600.0
    """So is one that is so old. For a URL choose minutes: what is not finished is not uploaded."""
    max_bytes: Annotated[int, Field(ge=1024 * 1024)] = 10 * 1024 * 1024 * 1024
    """Bytes of segments kept, here and at a URL each. Past it the oldest go, and are counted."""
    level: Annotated[int, Field(ge=1, le=19)] = 3
    """Compression level of zstd. More than 6 costs more than the rest of the writing together."""
    queue_records: Annotated[int, Field(ge=1)] = 10_000
    """Records that wait for the journal's thread; one more is dropped and counted."""
    queue_bytes: Annotated[int, Field(ge=65536)] = 64 * 1024 * 1024
    """Bytes of bodies that wait; the same."""
    max_record_bytes: Annotated[int, Field(ge=1024)] = 8 * 1024 * 1024
    """A request whose bodies are longer together is dropped and counted: half a body can neither be redacted nor replayed."""
    recipients: tuple[str, ...] = ()
    """Public keys of age (``age1…``); with them frames are encrypted (extra: age), and only who holds a matching identity can read them.
    Default: not encrypted."""
    redact: Redact = Redact()

    @field_validator("to")
    @classmethod
    def _a_place(cls, value: str) -> str:
        if not value or ("://" in value and not _URL.fullmatch(value)):
            raise ValueError("is no place; write a folder, or a URL such as s3://bucket/prefix")
        return value

    @field_validator("recipients")
    @classmethod
    def _public(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if each.upper().startswith("AGE-SECRET-KEY-"):
                raise ValueError("holds a secret key; write the public one (age1…), and keep the secret one where journals are read")
            if not each.startswith("age1"):
                raise ValueError("holds something else than public keys of age; write age1…")
        return value

    @model_validator(mode="after")
    def _room(self) -> Journal:
        if self.max_bytes < 2 * self.segment_bytes:
            raise ValueError("has room for less than two segments; raise max_bytes or lower segment_bytes")
        return self


class Telemetry(Section):
    """Spans and metrics for an OpenTelemetry collector, sent by the shadow process. Needs the extra ``otel``; write ``{}`` to leave all to
    the ``OTEL_*`` environment variables."""

    endpoint: str | None = None
    """The collector's OTLP/HTTP base URL (``http://otel-collector:4318``); ``/v1/traces`` and ``/v1/metrics`` are put behind it.
    Default: ``OTEL_EXPORTER_OTLP_ENDPOINT`` and its kin, else port 4318 of this machine."""
    headers: dict[str, str] = {}
    """Sent with every export (a tenant, for example). Not for secrets: those go into ``auth``."""
    auth: Auth | None = None
    """Our credential for the collector."""
    service_name: str | None = None
    """``service.name``. Default: what ``OTEL_SERVICE_NAME`` or ``OTEL_RESOURCE_ATTRIBUTES`` say, else ``shadowproxy``."""
    spans: bool = True
    """A client span for each copy that was sent, in the caller's trace."""
    metrics: bool = True
    """Durations, tokens, time to first chunk and token, and similarity, by arm."""
    sample_percent: Percent | None = None
    """Share of requests without a caller's trace whose copies get spans; with one, the caller's sampled flag decides. Default:
    ``OTEL_TRACES_SAMPLER``, else 100."""
    capture_content: bool = False
    """Puts prompts and answers into spans, cut to a few thousand characters and redacted as /pairs are. Names and other text without a form
    of its own stay readable to whoever reads the traces."""

    @field_validator("endpoint")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        if value is not None and "://" not in value:
            raise ValueError("is not a URL; write http://host:4318 or https://host/prefix")
        if value is not None and value.startswith("unix:"):
            raise ValueError("is not a URL; write http://host:4318 or https://host/prefix")
        return value if value is None else str(_upstream_url(value)).rstrip("/")

    @field_validator("headers")
    @classmethod
    def _plain_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(r"[!-~]([ -~]*[!-~])?", text):
                problem = "has a name or value that HTTP forbids; use a token as name and printable ASCII without blanks around it as value"
            elif is_credential(name.lower().encode()):
                problem = f"is a credential in plain text; put it into telemetry.auth: {{env: NAME, header: {name.lower()}}}"
            else:
                continue
            # Only the name is shown: a plain ValueError would put all the values into the message, and that into the log.
            error = PydanticCustomError("value_error", "{error}", {"error": problem})
            raise ValidationError.from_exception_data(cls.__name__, [InitErrorDetails(type=error, input=name)])
        return value


class PrometheusSource(Section):
    """A server that speaks Prometheus's HTTP API and scrapes every ``serve`` of this configuration."""

    url: BaseUrl
    """``http(s)://host[:port][/prefix]``; ``/api/v1/query`` is put behind it."""
    auth: Auth | None = None
    """Our credential for it."""
    tls: Tls = Tls()
    timeout_s: Seconds = 10.0
    """How long one query may take."""
    window_s: Annotated[float, Field(ge=600)] = 14 * 86_400.0
    """How far back counts are looked for, in seconds: at least as long as a rollout lasts, or the verdict holds, because processes that
    ended earlier would be missed. No longer than what is stored; 14 days fit into Prometheus's default of 15."""


class AdminSource(Section):
    """The admin surface of one ``serve``. Its counts end with it: for more than one, and over restarts, use ``judge.prometheus``."""

    url: UpstreamUrl
    """``http(s)://host:port`` or ``unix:/path``."""
    auth: Auth | None = None
    """Our credential: the ``admin.token`` there."""
    tls: Tls = Tls()
    timeout_s: Seconds = 5.0
    """How long one answer may take."""


class HistoryKept(Section):
    """What is remembered of verdicts: each change of state, and a short sample now and then. Shown at /verdict/history."""

    file: Path | None = None
    """JSON lines; the next process begins with what is in it. One process writes it. Default: in memory only."""
    entries: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Entries kept. Past it samples go before changes, old before new."""
    max_bytes: Annotated[int, Field(ge=65536)] = 8 * 1024 * 1024
    """Bytes of entries kept. The file is cut to it when it has twice as many."""
    sample_s: Seconds = 300.0
    """How long a state may stay before it is written down again."""


class EventSink(Section):
    """Who is told when a verdict changes, with a CloudEvent over HTTP."""

    url: BaseUrl | None = None
    """Where events are sent. Default: ``K_SINK``, as Knative's SinkBinding sets it; without both nobody is told."""
    auth: Auth | None = None
    """Our credential for it."""
    tls: Tls = Tls()
    timeout_s: Seconds = 10.0
    """How long one try may take."""
    source: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")] = "/shadowproxy/judge"
    """The attribute ``source``: a URI reference that tells this judge from others that send to the same sink."""


class Judging(Section):
    """Where ``shadowproxy judge`` gets its counts, and who is told when a verdict changes. With ``prometheus`` or ``admin`` the verdict is
    made there, over all processes; each ``serve`` then only shows its own and tells nobody. Without them ``serve`` is the judge."""

    prometheus: PrometheusSource | None = None
    admin: AdminSource | None = None
    interval_s: Seconds = 15.0
    """How often ``shadowproxy judge`` looks. No use in being faster than the scrapes."""
    stale_after_s: Seconds = 60.0
    """How long the last answer of the source may stand for the present; then the verdict holds with ``state_gap``."""
    listen: Address = "127.0.0.1:9902"
    """Where ``shadowproxy judge`` shows health, metrics and verdicts. Anything but loopback or a Unix socket needs ``admin.token``."""
    history: HistoryKept = HistoryKept()
    events: EventSink = EventSink()

    @property
    def has_source(self) -> bool:
        """The verdict is made by ``shadowproxy judge``."""
        return self.prometheus is not None or self.admin is not None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.prometheus is not None and self.admin is not None:
            raise ValueError("has two sources of counts; keep either prometheus or admin")
        return self


#: What the judge's requests hold in any case (``llmjudge.asking.RESERVED_PARAMETERS``; a test compares them).
_JUDGE_SETS = frozenset({"model", "messages", "stream", "stream_options", "n", "tools", "tool_choice", "functions", "function_call"})


class LlmJudge(Section):
    """A language model that is asked which of two answers is better. Off unless it is here. What it is shown leaves the pod."""

    url: UpstreamUrl
    """Base of an OpenAI-compatible endpoint, with or without ``/v1``, or the whole path of its chat completions. Not an arm's with an arm's
    model."""
    model: Annotated[str, Field(min_length=1)]
    """Model to ask for. One that is better than what it judges."""
    auth: Auth | None = None
    """Our credential for it."""
    tls: Tls = Tls()
    percent: Percent = 10.0
    """Share of compared requests that are judged, chosen by a stable hash. All candidates of a request together."""
    control_percent: Percent = 50.0
    """Share of the judged requests on which the primary is judged against the control, too: what the judge sees between equals."""
    criteria_file: Path | None = None
    """Text file that says which answer is better. Default: our own words. The rules against instructions in answers stay."""
    redact: bool = True
    """Masks secrets and personal data in what the judge sees, as on /pairs."""
    max_text_bytes: Annotated[int, Field(ge=100)] = 6000
    """Bytes of the question and of each answer that are shown; the middle of a longer text is left out. 6000 is a page and a half."""
    max_reply_tokens: Annotated[int, Field(ge=1)] = 300
    """Tokens of its reply: a verdict and a short reason. More for models that think first."""
    parameters: dict[str, Any] = {}
    """Put over the request's fields; null takes one out (``{max_tokens: null, max_completion_tokens: 2000, temperature: null}``)."""
    requests_per_minute: Annotated[float, Field(gt=0)] = 60.0
    """Questions per minute; each pair takes two. What comes faster is dropped and counted."""
    max_tokens: Annotated[int, Field(ge=0)] | None = 2_000_000
    """Tokens one rollout may take, as the endpoint reports them."""
    max_cost: Annotated[float, Field(ge=0)] | None = None
    """Money one rollout may take, in the currency of the prices. Needs them."""
    prompt_price: Annotated[float, Field(ge=0)] = 0.0
    """Money per million tokens of what is asked."""
    completion_price: Annotated[float, Field(ge=0)] = 0.0
    """Money per million tokens of what is answered."""
    concurrency: Annotated[int, Field(ge=1)] = 2
    """Pairs asked about at once."""
    queue: Annotated[int, Field(ge=0)] = 64
    """Pairs waiting; one more is dropped and counted."""
    timeout_s: Seconds = 60.0
    """For one question, retries included."""

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.max_cost is not None and not (self.prompt_price or self.completion_price):
            raise ValueError("has max_cost without a price, so nothing would ever be counted; set prompt_price and completion_price")
        return self

    @field_validator("parameters")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        # The list of llmjudge.asking.RESERVED_PARAMETERS: config knows no other package. A test compares them.
        if reserved := sorted(_JUDGE_SETS & value.keys()):
            raise ValueError(f"sets {', '.join(reserved)}, which the judge sets itself; take it out")
        return value


class KubernetesApi(Section):
    """The API server whose objects are steered. Default: that of the pod, else of ``KUBECONFIG``."""

    kubeconfig: Path | None = None
    """A kubeconfig file."""
    context: str = ""
    """A context in it. Default: its current one."""
    timeout_s: Annotated[float, Field(gt=0, le=5)] = 5.0
    """How long one request may take. At most a third of ``lease_s``: what was sent before a lease runs out is over before anybody else
    acts."""


class Host(Section):
    """A destination of an Istio route."""

    host: str
    """As the VirtualService names it."""
    subset: str = ""
    """Tells versions that share a host apart."""


class VirtualServiceTarget(Section):
    """Istio: weights of HTTP routes."""

    name: str
    """Name of the VirtualService."""
    namespace: str = ""
    """Default: ours."""
    primary: Host
    candidate: Host
    routes: tuple[str, ...] = ()
    """Names of the HTTP routes to steer. Default: every one that has both destinations."""


class BackendRef(Section):
    """A backend of a Gateway API route."""

    name: str
    """Name of the backend."""
    namespace: str = ""
    """Default: the route's."""
    kind: str = "Service"
    """Its kind: ``Service``, ``InferencePool`` …"""
    group: str = ""
    """API group of its kind; empty for a Service."""


class HttpRouteTarget(Section):
    """Gateway API: weights of backend references."""

    name: str
    """Name of the HTTPRoute."""
    namespace: str = ""
    """Default: ours."""
    primary: BackendRef
    candidate: BackendRef
    rules: tuple[str, ...] = ()
    """Names of the rules to steer. Default: every one that has both backends."""


class InferenceServiceTarget(Section):
    """KServe, serverless mode: ``canaryTrafficPercent``. The candidate is the latest revision."""

    name: str
    """Name of the InferenceService."""
    namespace: str = ""
    """Default: ours."""
    component: Literal["predictor", "transformer", "explainer"] = "predictor"
    """Which of its components the traffic is split at."""


class LlmInferenceServiceTarget(Section):
    """KServe: the route weights of two LLMInferenceServices of one group."""

    primary: str
    """Name of the primary's object."""
    candidate: str
    """Name of the candidate's object."""
    namespace: str = ""
    """Default: ours."""


class RevisionTarget(Section):
    """An entry of a Knative Service's traffic: by tag, else by revision, else the one of the latest revision."""

    tag: str = ""
    """Tag of the entry."""
    revision: str = ""
    """Name of its revision."""


class KnativeServiceTarget(Section):
    """Knative: percentages of two entries of ``spec.traffic``."""

    name: str
    """Name of the Knative Service."""
    namespace: str = ""
    """Default: ours."""
    primary: RevisionTarget
    candidate: RevisionTarget = RevisionTarget()


class PlaceInFile(Section):
    """Where a value stands in a YAML file."""

    pointer: Annotated[str, Field(pattern=r"^/")]
    """JSON Pointer: ``/spec/http/0/route/1/weight``."""
    kind: str = ""
    """``kind`` of the document, where the file has several."""
    name: str = ""
    """``metadata.name`` of the document."""


class VersionInFile(PlaceInFile):
    """A value that names a version: an image, a model, a prompt."""

    candidate: str
    """What it is once the candidate is promoted."""


class GitTarget(Section):
    """Commits, for Argo CD and Flux: two weights, one percentage (``candidate`` alone), or ``versions`` with ``steps: [100]``."""

    repository: str
    """URL or path. Credentials are git's: SSH agent or credential helper."""
    branch: str
    """Where commits go."""
    base: str = ""
    """Where the branch begins if it is not there yet."""
    file: str
    """Path of the YAML file."""
    record_file: str = ".shadowproxy/rollout.json"
    """Path of the record with the verdict. Outside of what Argo CD reads as plain manifests: it takes any JSON there for one."""
    primary: PlaceInFile | None = None
    candidate: PlaceInFile | None = None
    versions: tuple[VersionInFile, ...] = ()
    """Values that change to the candidate's once it is promoted."""
    folder: Path = Path("/var/lib/shadowproxy/git")
    """Where our own copy of the repository is kept."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.candidate is None) == (not self.versions):
            raise ValueError("needs either candidate (a weight) or versions; keep one of them")
        return self


class ProgramTarget(Section):
    """A program: ``get`` prints ``{"percent": N}``, ``set N`` makes it so."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its first arguments; ``get`` or ``set N`` is put behind them."""
    timeout_s: Seconds = 30.0
    """How long one call may take."""
    state_file: Path
    """Where the record of the rollout is kept."""


class HookTarget(Section):
    """A web hook: GET answers ``{"percent": N}``, POST of the same makes it so."""

    url: BaseUrl
    """What is asked and told."""
    auth: Auth | None = None
    tls: Tls = Tls()
    timeout_s: Seconds = 10.0
    """How long one request may take."""
    state_file: Path
    """Where the record of the rollout is kept."""


class CanaryStep(Section):
    """A share of the traffic, and what must have been seen before the next."""

    percent: Annotated[int, Field(ge=1, le=100)]
    """Share of the traffic that the candidate gets."""
    min_age_s: Annotated[float, Field(ge=0)] = 600.0
    """Least time at this step. 10 min: caches fill, autoscalers answer, a slow leak begins to show."""
    min_pairs: Annotated[int, Field(ge=0)] = 100
    """Pairs that must be judged during this step; the last one asks for none."""


def _step(value: object) -> object:
    return {"percent": value} if isinstance(value, int) and not isinstance(value, bool) else value


_TARGETS = (
    "virtual_service", "http_route", "inference_service", "llm_inference_service", "knative_service", "git", "program", "hook",
)  # fmt: skip


class Promotion(Section):
    """How traffic is moved to a candidate, through exactly one router: by ``shadowproxy judge``, or by ``shadowproxy serve`` where the
    section ``judge`` names no source of counts."""

    candidate: str
    """Name of the candidate."""
    steps: tuple[Annotated[CanaryStep, BeforeValidator(_step)], ...] = tuple(CanaryStep(percent=percent) for percent in (1, 5, 25, 50, 100))
    """Rising shares that end with 100; a number alone stands for ``{percent: N}``."""
    approval: Literal["none", "last", "every"] = "none"
    """Which steps wait for a person's ``approve``."""
    interval_s: Annotated[float, Field(gt=0, le=5)] = 5.0
    """How often it looks. A third of ``lease_s`` at most, or the lease runs out between two looks."""
    lease_s: Annotated[float, Field(ge=15)] = 15.0
    """How long others wait for a leader that is silent."""
    kubernetes: KubernetesApi = KubernetesApi()
    virtual_service: VirtualServiceTarget | None = None
    http_route: HttpRouteTarget | None = None
    inference_service: InferenceServiceTarget | None = None
    llm_inference_service: LlmInferenceServiceTarget | None = None
    knative_service: KnativeServiceTarget | None = None
    git: GitTarget | None = None
    program: ProgramTarget | None = None
    hook: HookTarget | None = None

    @property
    def target(self) -> Section:
        """The section of the router."""
        sections: list[Section | None] = [getattr(self, name) for name in _TARGETS]
        return next(section for section in sections if section is not None)

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum(getattr(self, name) is not None for name in _TARGETS) != 1:
            raise ValueError(f"needs exactly one router; write one of {', '.join(_TARGETS)}")
        percents = [step.percent for step in self.steps]
        if percents != sorted(set(percents)) or percents[-1:] != [100]:
            raise ValueError("has steps that do not rise to 100; write them in ascending order, 100 last")
        return self


class Config(Section):
    """The whole configuration of ``shadowproxy serve``."""

    listen: Address = "127.0.0.1:8080"
    """Where clients connect: ``host:port`` or ``unix:/path``."""
    listen_mirrored: Address | None = None
    """A second address for traffic that another mirror sends here: forwarded, never mirrored again. For meshes that leave no mark on their
    copies, as Istio does from 1.28 on; point the route's ``mirror`` at this port."""
    tls: ServerTls | None = None
    primary: Primary
    control: Control | None = None
    candidates: tuple[Candidate, ...] = ()
    """The versions under judgement."""
    mirror: Mirror = Mirror()
    routes: tuple[Route, ...] = ()
    """Named routes, first match wins. Default: each known inference path is its own route. What matches none is ``other``: forwarded, never
    mirrored, because asking for a file, a batch or a fine-tuning job twice would do it twice."""
    dialects: tuple[Dialect, ...] = ()
    """Servers that speak a JSON of their own."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Gateway processes that share the listening port."""
    handover: Handover = Handover()
    compare: Compare = Compare()
    embed: Embed = Embed()
    gates: Gates = Gates()
    units: Units = Units()
    slices: Slices = Slices()
    verdict: Decision = Decision()
    judge: Judging = Judging()
    admin: Admin = Admin()
    limits: Limits = Limits()
    log: Log = Log()
    telemetry: Telemetry | None = None
    llm_judge: LlmJudge | None = None
    journal: Journal | None = None
    promotions: tuple[Promotion, ...] = ()
    """How traffic is moved, for each candidate that is to get any."""

    @model_validator(mode="after")
    def _promoted_candidates(self) -> Config:
        names = [candidate.name for candidate in self.candidates]
        promoted = [promotion.candidate for promotion in self.promotions]
        for name in promoted:
            if name not in names:
                raise ValueError(f"promotes {name}, which is no candidate; known: {', '.join(names) or 'none'}")
            if promoted.count(name) > 1:
                raise ValueError(f"promotes {name} more than once; keep one promotion with one router")
        return self

    @model_validator(mode="after")
    def _some_gate(self) -> Config:
        gates = self.gates
        always = (gates.error, gates.ttft, gates.itl, gates.duration, gates.truncated)
        if not (any(gate.enabled for gate in always) or gates.budgets or (gates.similarity.enabled and self.embed.backend != "none")):
            raise ValueError(
                "has no gate that always guards, so nothing could promote a candidate; enable error, ttft, or similarity with an embedder"
            )
        if gates.cost.enabled and not self.compare.prices.models:
            raise ValueError("has a gate on cost and no prices; add compare.prices.models, or disable gates.cost")
        if not self.compare.prices.models and (dear := next((c.name for c in self.candidates if c.ceiling and c.ceiling.cost), None)):
            raise ValueError(f"has a ceiling on the cost of {dear} and no prices; add compare.prices.models, or bound its tokens")
        if gates.judge.enabled and self.llm_judge is None:
            raise ValueError("has a gate on a judge's preference and no judge; add llm_judge, or disable gates.judge")
        if self.slices.language and not self.compare.languages:
            raise ValueError("has slices by language and no detector; enable compare.languages, or disable slices.language")
        return self

    @field_validator("candidates")
    @classmethod
    def _distinct(cls, value: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        names = [candidate.name for candidate in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"has two candidates called {name!r}; give each its own name")
        return value

    @field_validator("routes")
    @classmethod
    def _few(cls, value: tuple[Route, ...]) -> tuple[Route, ...]:
        if len({route.name for route in value}) > 50:
            raise ValueError("has more than 50 names; each is a metric label and a stratum of the verdict, so group paths")
        return value

    def digest(self) -> str:
        """sha256 of the whole configuration, defaults included. Secrets are not in it: only where they are read from."""
        return hashlib.sha256(orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)).hexdigest()

    def _judged_by(self) -> dict[str, Any] | None:
        """The part of the judge that decides what it finds; its budget does not."""
        if self.llm_judge is None or not self.gates.judge.enabled:
            return None
        return self.llm_judge.model_dump(
            mode="json", include={"url", "model", "criteria_file", "redact", "max_text_bytes", "max_reply_tokens", "parameters"}
        )

    def rollout_id(self, candidate: Candidate) -> str:
        """Name plus digest of everything that defines what is judged: the candidate, the primary, the gates and the decision rule.

        Changing any of them starts a new rollout with no evidence.
        """
        judged = {
            "candidate": candidate.model_dump(
                mode="json", include={"name", "url", "model", "parameters", "prompt", "headers", "timeout_s"}
            ),
            "primary": self.primary.url,
            "control": self.control.percent if self.control else 0,
            "routes": [route.model_dump(mode="json") for route in self.routes],
            "embed": self.embed.model_dump(mode="json", include={"backend", "model"}),
            "compare": self.compare.model_dump(mode="json", exclude={"percent"}),
            "llm_judge": self._judged_by(),
            "units": self.units.model_dump(mode="json"),
            "slices": self.slices.model_dump(mode="json"),
            "gates": self.gates.model_dump(mode="json"),
            "verdict": self.verdict.model_dump(mode="json", exclude={"interval_s"}),
        }
        digest = hashlib.blake2b(orjson.dumps(judged, option=orjson.OPT_SORT_KEYS), digest_size=6).hexdigest()
        return f"{candidate.name}-{digest}"


def load(path: Path) -> Config:
    """Read and check a YAML file. Raises :class:`ConfigError` with every problem in it."""
    return parse(_text(path))


def load_offline(path: Path) -> Config:
    """The same for commands that ask no server: addresses may be missing, and are not used."""
    return build({"primary": {"url": NOWHERE}, **_tree(_text(path))})


def offline() -> Config:
    """All defaults, for commands that ask no server."""
    return build({"primary": {"url": NOWHERE}})


def parse(text: str) -> Config:
    """Check configuration text. Raises :class:`ConfigError` with every problem in it."""
    return build(_tree(text))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(
            (ConfigProblem(str(path), "", f"cannot be read ({exc.strerror})", "give the path of a YAML file with -c"),)
        ) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError((ConfigProblem(str(path), "", "is not UTF-8 text", "save it as UTF-8"),)) from exc


def _tree(text: str) -> Mapping[str, Any]:
    try:
        tree = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader that also refuses doubled keys
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise ConfigError((ConfigProblem(where, "", f"is not YAML ({exc.problem})", "fix the syntax there"),)) from exc
    except yaml.YAMLError as exc:
        raise ConfigError((ConfigProblem("the file", "", f"is not YAML ({str(exc).splitlines()[0]})", "save it as plain text"),)) from exc
    if not isinstance(tree, Mapping):
        raise ConfigError((ConfigProblem("the file", "", "is not a mapping of keys", "begin with listen:, primary: and candidates:"),))
    return tree


def build(tree: Mapping[str, Any]) -> Config:
    """Check an already parsed tree. Raises :class:`ConfigError` with every problem in it."""
    try:
        return Config.model_validate(dict(tree))
    except ValidationError as exc:
        raise ConfigError(tuple(_problems(exc))) from exc


class _StrictLoader(yaml.SafeLoader):
    """A key written twice is an error, not a silent last-wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = getattr(key_node, "value", None)
            if isinstance(key, str) and key != "<<":
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands here twice", key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)


_REMEDIES = {
    "missing": ("is missing", "add it"),
    "bool_parsing": ("is not true or false", "write true or false"),
    "bool_type": ("is not true or false", "write true or false"),
    "string_type": ("is not text", "put it in quotes"),
    "dict_type": ("is not a mapping", "write keys below it"),
    "model_type": ("is not a mapping", "write keys below it"),
    "tuple_type": ("is not a list", "write items that begin with a dash"),
}
_BOUNDS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}


def _problems(exc: ValidationError) -> Iterator[ConfigProblem]:
    for error in exc.errors(include_url=False):
        key = _dotted(error["loc"])
        kind, context = error["type"], error.get("ctx", {})
        value = "" if kind == "missing" else _shown(error["input"])
        if kind == "extra_forbidden":
            yield _unknown(error["loc"], key, value)
        elif kind == "value_error":
            problem, _, remedy = str(context["error"]).partition("; ")
            # A mapping may hold a header with a secret, a URL a password: these are named and not shown.
            is_showable = len(value) <= 80 and "@" not in value and not isinstance(error["input"], Mapping)
            yield ConfigProblem(key or "the file", value if is_showable else "", problem, remedy)
        elif any(name in context for name in _BOUNDS):
            model, name = _section_at(error["loc"][:-1]), str(error["loc"][-1])
            yield ConfigProblem(key, value, f"is not {_range_of(model, name, context)}", "choose a value that is")
        elif kind == "literal_error":
            yield ConfigProblem(key, value, "is not one of the choices", f"write {context['expected']}")
        elif kind in _REMEDIES:
            yield ConfigProblem(key, value, *_REMEDIES[kind])
        elif kind.startswith(("int_", "float_")):
            yield ConfigProblem(key, value, "is not a number", "write a number without unit")
        else:
            yield ConfigProblem(key, value, f"is not valid ({error['msg'].lower()})", "see the config reference")


def _range_of(model: type[BaseModel] | None, name: str, context: Mapping[str, Any]) -> str:
    """``0..100`` where both ends are known, else ``at least 1``."""
    bounds: dict[str, Any] = {key: value for key, value in context.items() if key in _BOUNDS}
    if model is not None and name in model.model_fields:
        for part in _metadata(model.model_fields[name]):
            bounds |= {key: getattr(part, key) for key in _BOUNDS if getattr(part, key, None) is not None}
    if "ge" in bounds and "le" in bounds:
        return f"within {bounds['ge']}..{bounds['le']}"
    return " and ".join(text.format(bounds[key]) for key, text in _BOUNDS.items() if key in bounds)


def _metadata(field: Any) -> Iterator[Any]:
    """Bounds on a field, whether they stand on the field or inside ``Annotated[...] | None``."""
    yield from field.metadata
    for option in get_args(field.annotation):
        for part in getattr(option, "__metadata__", ()):
            yield from getattr(part, "metadata", (part,))


def _unknown(loc: tuple[int | str, ...], key: str, value: str) -> ConfigProblem:
    section = _section_at(loc[:-1])
    known = sorted(section.model_fields) if section else []
    near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return ConfigProblem(key, value if len(value) <= 80 else "", "is not a known key", remedy)


def _section_at(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The config class that a path of keys leads to."""
    section: type[BaseModel] = Config
    for part in loc:
        if isinstance(part, int):
            continue
        if part not in section.model_fields:
            return None
        inner = next(_sections(section.model_fields[part].annotation), None)
        if inner is None:
            return None
        section = inner
    return section


def _sections(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for option in get_args(annotation):
        yield from _sections(option)


def _dotted(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= 120 else text[:117] + "..."
