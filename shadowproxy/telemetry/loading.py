"""Whether there is telemetry, and where each arm's exchanges go. Imports nothing of OpenTelemetry unless it is configured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

from shadowproxy.config import Config
from shadowproxy.config import Telemetry as Section
from shadowproxy.counts import Counts
from shadowproxy.errors import StartError
from shadowproxy.exchange import CONTROL, PRIMARY, Answer, Comparison, Exchange
from shadowproxy.telemetry.facts import Target

_REMEDY = "pip install 'llm-shadowproxy[otel]'"


class Telemetry(Protocol):
    """Who is told of compared requests."""

    def compared(
        self, primary: Exchange, primary_answer: Answer | None, others: Sequence[tuple[Exchange, Answer | None, Comparison]]
    ) -> None:
        """One request whose copies are all compared: the primary, then each other arm with its comparison."""

    def report(self, counts: Counts) -> None:
        """Write into ``counts`` what was sent and what was lost so far."""

    async def close(self, within_s: float) -> None:
        """Send what waits, for at most this long."""


class NoTelemetry:
    """Nobody is told."""

    def compared(
        self, primary: Exchange, primary_answer: Answer | None, others: Sequence[tuple[Exchange, Answer | None, Comparison]]
    ) -> None:
        """Nothing."""

    def report(self, counts: Counts) -> None:
        """Nothing."""

    async def close(self, within_s: float) -> None:
        """Nothing."""


def load(config: Config) -> Telemetry:
    """The telemetry that ``config`` asks for.

    Raises :class:`~shadowproxy.errors.StartError` that names what is missing and the remedy.
    """
    section = config.telemetry
    if section is None or not (section.spans or section.metrics):
        return NoTelemetry()
    _refuse_other_protocol(section)
    try:
        from shadowproxy.telemetry import otel
    except ImportError as exc:
        raise StartError(f"telemetry: {exc.name or exc} is not installed; {_REMEDY}") from exc
    try:
        return otel.Telemetry(section, targets_of(config))
    except ValueError as exc:  # what the SDK says to an environment variable that makes no sense
        raise StartError(f"telemetry: {exc}") from exc


def _refuse_other_protocol(section: Section) -> None:
    """An address that came with a protocol we do not speak would take nothing of what we send."""
    for signal, is_on in (("TRACES", section.spans), ("METRICS", section.metrics)):
        name = next((each for each in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL") if os.environ.get(each)), "")
        if is_on and section.endpoint is None and name and os.environ[name] != "http/protobuf":
            remedy = "set telemetry.endpoint to the collector's OTLP/HTTP port, usually 4318"
            raise StartError(f"telemetry: {name} is {os.environ[name]}, but only http/protobuf is spoken; {remedy}")


def targets_of(config: Config) -> dict[str, Target]:
    """Arm → where its exchanges go."""
    primary = _target(config.primary.url)
    candidates = {each.name: _target(each.url, each.model, config.rollout_id(each)) for each in config.candidates}
    return {PRIMARY: primary, CONTROL: primary, **candidates}


def _target(url: str, model: str | None = None, rollout: str = "") -> Target:
    if url.startswith("unix:"):
        return Target(url[5:], 0, model, rollout)
    parts = urlsplit(url)
    return Target(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), model, rollout)
