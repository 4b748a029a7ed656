"""The vocabulary: one noun per arrow of the data's way, as frozen values. PURE.

Request → :class:`Exchange` → :class:`Answer` → :class:`Comparison` → cells → finding → verdict. Everything that moves
between the packages is defined here or in ``verdict``; nothing here knows a socket, a clock or a file.

Times are seconds. ``*_at_s`` counts from the moment the request was sent to the arm; ``issued_at_s`` is Unix time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

PRIMARY = "primary"
CONTROL = "control"

#: Header that marks a mirrored copy. A request that carries it is forwarded but never mirrored again.
ARM_HEADER = "x-shadowproxy-arm"

#: What identifies the client to the primary. It never crosses the hand-over, so no candidate, log or report can see it.
#: The names in use, and the endings below: products invent new ones faster than a list grows.
CREDENTIAL_HEADERS = frozenset(
    {
        b"cookie2",
        b"helicone-auth",
        b"x-functions-key",
        b"xi-api-key",
        b"x-ms-client-principal",
        b"authorization",
        b"cookie",
        b"api-key",
        b"x-api-key",
        b"x-goog-api-key",
        b"proxy-authorization",
        b"x-forwarded-client-cert",
    }
)

_CREDENTIAL_ENDINGS = (
    b"-token",
    b"-api-key",
    b"-secret",
    b"-jwt",
    b"-jwt-assertion",
    b"-authorization",
    b"-subscription-key",
    b"-password",
)


def is_credential(name: bytes) -> bool:
    """True for a header (lower-case name) that identifies the client and must stay with the primary."""
    return name in CREDENTIAL_HEADERS or name.endswith(_CREDENTIAL_ENDINGS)


def is_http_error(status: int) -> bool:
    """Whether a status of an inference request's reply says that there is no answer. A redirect says so, too: nobody here follows it, and
    two arms that send their callers elsewhere have not answered alike."""
    return status >= 300


Headers = tuple[tuple[bytes, bytes], ...]
#: What one read from the socket brought: (seconds since the request was sent, body bytes without transfer coding).
Read = tuple[float, bytes]


class Outcome(StrEnum):
    """How one arm's exchange ended. Label ``outcome`` of ``shadowproxy_pairs_resolved_total``."""

    OK = "ok"
    """A complete reply below status 300 that speaks its protocol to the end."""
    HTTP_ERROR = "http_error"
    """A complete reply with status 300 or above: a redirect is no answer of a model, either."""
    STREAM_ERROR = "stream_error"
    """Status 200, then an error inside the stream, or a stream that ended before its finish."""
    TIMEOUT = "timeout"
    """No complete reply within the arm's ``timeout_s``, or within what the caller would have waited."""
    CONNECT_FAILED = "connect_failed"
    """No connection: refused, unreachable, name not found, TLS failed."""
    RESET = "reset"
    """The connection was closed or reset before the reply was complete."""
    PROTOCOL_ERROR = "protocol_error"
    """What came back is not HTTP, or not the body it announced."""
    TOO_LARGE = "too_large"
    """The reply grew past the arm's ``max_reply_bytes`` and was cut off."""
    DROPPED_CANDIDATE = "dropped_candidate"
    """Never sent: the arm's own slowness had filled its queue. Counts against the arm."""
    DROPPED_LOCAL = "dropped_local"
    """Lost on our side. Counts against nobody and makes the verdict hold."""

    @property
    def is_failure(self) -> bool:
        """True where the arm itself failed. ``DROPPED_LOCAL`` is nobody's failure but ours."""
        return self not in (Outcome.OK, Outcome.DROPPED_LOCAL)

    @property
    def was_not_sent(self) -> bool:
        """Nobody was asked, so nobody is paid."""
        return self in (Outcome.CONNECT_FAILED, Outcome.DROPPED_CANDIDATE, Outcome.DROPPED_LOCAL)


@dataclass(frozen=True, slots=True)
class Request:
    """What the client asked. Header names are lower case; credentials are already gone."""

    method: str
    target: str
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """First value of the header called ``name`` (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an arm answered. ``reads`` keeps when each piece of the body arrived. Header names are lower case."""

    status: int
    headers: Headers
    reads: tuple[Read, ...]

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.reads)

    def header(self, name: bytes) -> bytes | None:
        """First value of the header called ``name`` (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what one arm did with it.

    ``arm`` is ``primary``, ``control`` or a candidate's name. ``reply`` is None where no reply head arrived;
    ``failure`` is a short human sentence where ``outcome`` is not ``ok``. ``duration_s`` runs from sending the request to the
    last byte, or to the moment the arm was given up.

    ``late`` says how much of that may be ours: (seconds since sending, seconds by which this process had by then been late to read what
    came), for each time that it grew. See :meth:`late_by`.
    """

    id: str
    arm: str
    route: str
    request: Request
    reply: Reply | None
    outcome: Outcome
    issued_at_s: float
    duration_s: float
    failure: str = ""
    span_id: bytes = b""
    late: tuple[tuple[float, float], ...] = ()

    def late_by(self, at_s: float) -> float:
        """A moment measured as ``at_s`` may have been as much earlier, in seconds."""
        late_s = 0.0
        for seen_s, sum_s in self.late:
            if seen_s > at_s:
                break
            late_s = sum_s
        return late_s


# --- what wire reads out of a reply -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One function call the model asked for. ``arguments`` is the JSON text as sent; it is compared as a value, never executed."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the arm reported them."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Media:
    """A picture, sound or file in an answer, known by its digest alone. ``kind`` is ``image``, ``audio``, ``video`` or ``file``."""

    kind: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """One line of a rerank reply: which document (its index in the request), and the score it got."""

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class ReplyError:
    """An error the arm reported in its body or inside its stream."""

    message: str
    type: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the ``n`` answers to a request."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    refusal: str | None = None
    media: tuple[Media, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The meaning of one reply, whatever bytes carried it.

    ``embeddings`` holds the vectors of an embeddings reply in the order of the inputs, ``ranking`` the lines of a rerank reply, best first.

    ``content_at_s`` holds the arrival time of every piece that carried content (text, reasoning, a tool call), so that its
    first element is the TTFT and its gaps are the ITL. ``is_complete`` is False for a stream that was cut.
    ``unknown`` names fields and events that were kept out of the comparison because nobody here knows them.
    """

    dialect: str
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    error: ReplyError | None = None
    model: str | None = None
    is_streamed: bool = False
    is_complete: bool = True
    content_at_s: tuple[float, ...] = ()
    unknown: tuple[str, ...] = ()
    embeddings: tuple[tuple[float, ...], ...] = ()
    ranking: tuple[Ranked, ...] = ()

    @property
    def first(self) -> Choice:
        return self.choices[0] if self.choices else Choice()

    @property
    def text(self) -> str:
        return self.first.text

    @property
    def ttft_s(self) -> float | None:
        """Time to the first piece with content; None where no content came."""
        return self.content_at_s[0] if self.content_at_s else None

    @property
    def itl_s(self) -> tuple[float, ...]:
        """Gaps between consecutive pieces with content."""
        return tuple(later - earlier for earlier, later in pairwise(self.content_at_s))


# --- what wire reads out of a request ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A function the request offers. ``schema`` is the JSON Schema of its arguments as JSON text; empty where none was given."""

    name: str
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The meaning of one request, as far as comparing needs it.

    ``prompt`` is the text the model was asked with (instructions, then every turn), ``question`` the last turn of the user. ``schema`` is
    the JSON Schema that the answer must satisfy, as JSON text; empty where the request carries none. ``wants_json`` is True where the
    answer is to be JSON, with or without a schema. ``session`` is what the request itself says of its session or user (OpenAI's ``user``,
    ``safety_identifier`` or ``metadata``; Anthropic's ``metadata.user_id``), empty where it says nothing.
    """

    dialect: str = "generic"
    model: str = ""
    prompt: str = ""
    question: str = ""
    is_streamed: bool = False
    choices: int = 1
    tools: tuple[ToolSpec, ...] = ()
    wants_json: bool = False
    schema: str = ""
    session: str = ""
    documents: tuple[str, ...] = ()
    """What is to be ranked or embedded, in order."""


# --- what compare says about a pair -------------------------------------------------------------------------------------


class Severity(StrEnum):
    INFO = "info"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Divergence:
    """One typed difference within a pair.

    ``kind`` is dotted (``outcome.status``); both sides are shown as short text. ``path`` says where in a structured answer
    (``$.items[2].price``), ``why`` says in words what makes this a difference; either may be empty.
    """

    kind: str
    severity: Severity
    primary: str
    other: str
    path: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """Latencies of one arm in seconds. None where the reply gave no such moment.

    Where this process was late to read the answer, each may be too long by up to the second number of its name.
    """

    ttft_s: float | None
    itl_mean_s: float | None
    duration_s: float
    ttft_late_s: float = 0.0
    itl_late_s: float = 0.0
    duration_late_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Side:
    """What one arm's answer is, taken alone: what gates count on either side. None where the question does not arise.

    ``is_refusal``: the model declined. ``is_json_valid``: the answer is the JSON that was asked for (and satisfies its schema).
    ``is_tool_valid``: every tool call names an offered tool and its arguments satisfy the tool's schema. ``is_truncated``: cut by a length
    limit. ``cost`` is in the currency of the price table.
    """

    is_refusal: bool | None = None
    is_json_valid: bool | None = None
    is_tool_valid: bool | None = None
    is_truncated: bool | None = None
    language: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A primary exchange against another arm's exchange of the same request.

    ``similarity`` is in [0, 1]: 0 where the other arm failed and the primary did not; None where the primary failed, or neither side
    has text to compare.

    ``scores`` says per kind how much differs, 0 (nothing) to 1 (as different as can be); a kind that has nothing to compare, or that
    cannot tell, is absent. ``divergence`` combines them (see ``compare.overall``); None where there is nothing to judge. ``suppressed``
    counts, by rule, the differences that configured rules have taken out before anything was compared.
    """

    arm: str
    outcome: Outcome
    similarity: float | None
    is_exact: bool
    is_equal_normalised: bool
    primary_timing: Timing
    timing: Timing
    divergences: tuple[Divergence, ...] = field(default=())
    scores: Mapping[str, float] = field(default_factory=dict)
    divergence: float | None = None
    suppressed: Mapping[str, int] = field(default_factory=dict)
    primary_side: Side = field(default_factory=Side)
    side: Side = field(default_factory=Side)
