"""Verdicts from the counts of others, the history of verdicts, events, and the model that judges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from shadowproxy.config.arms import Tls
from shadowproxy.config.values import Address, Auth, BaseUrl, Percent, Seconds, Section, UpstreamUrl


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
