"""The surface of ``serve``: admin, limits, log."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shadowproxy.config.values import Address, Seconds, Secret, Section


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
