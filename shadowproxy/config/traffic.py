"""Which requests are mirrored and as what they count, and the way to the shadow process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from shadowproxy.config.values import Name, Percent, Section


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

    name: Name
    """Value of the label; up to 63 of ``a-z 0-9 . _ -``. At most 50 names."""
    path: str
    """Matches the request path exactly, or as a prefix where it ends with ``*``."""

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
