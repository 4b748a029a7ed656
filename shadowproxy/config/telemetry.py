"""Spans and metrics for an OpenTelemetry collector."""

from __future__ import annotations

import re

from pydantic import ValidationError, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from shadowproxy.config.values import Auth, Percent, Section, _upstream_url
from shadowproxy.exchange import is_credential


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
