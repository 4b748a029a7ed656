"""What is one observation, which parts of the traffic are looked at by themselves, and when a verdict is made."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from shadowproxy.config.values import Percent, Seconds, Section


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
    stall_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0
    """One stall of a machine slows everything that is in flight, and is no more than one event. So a rollback by latency must also be
    shown by about one observation of those that came within so many seconds, drawn by lot, on each route and slice. 0: all suffice."""

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
