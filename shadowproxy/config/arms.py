"""Who is asked: the primary, the control, candidates, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from shadowproxy.config.values import Auth, Name, Percent, Seconds, Section, UpstreamUrl
from shadowproxy.exchange import CONTROL, PRIMARY
from shadowproxy.prompt_registry import registered_prompt


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

    name: Name
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
        return value

    @field_validator("parameters")
    @classmethod
    def _harmless(cls, value: dict[str, Any]) -> dict[str, Any]:
        if strange := sorted(_NOT_PARAMETERS & value.keys()):
            raise ValueError(f"sets {', '.join(strange)}, which is no parameter; use model or prompt, or take it out")
        return value
