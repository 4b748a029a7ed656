"""The whole tree, and what must agree between its sections."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import orjson
from pydantic import Field, field_validator, model_validator

from shadowproxy.config.arms import Candidate, Control, Primary, ServerTls
from shadowproxy.config.comparing import Compare, Embed
from shadowproxy.config.deciding import Decision, Slices, Units
from shadowproxy.config.gates import Gates
from shadowproxy.config.journal import Journal
from shadowproxy.config.judging import Judging, LlmJudge
from shadowproxy.config.promotion import Promotion
from shadowproxy.config.serving import Admin, Limits, Log
from shadowproxy.config.telemetry import Telemetry
from shadowproxy.config.traffic import Dialect, Handover, Mirror, Route
from shadowproxy.config.values import Address, Section


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

    @property
    def hands_over(self) -> bool:
        """Somebody wants finished exchanges: candidates that are asked the same, or a journal that keeps them for those to come."""
        return bool(self.candidates) or self.journal is not None

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
