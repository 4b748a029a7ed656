"""What guards a promotion: one class per kind of gate, each with the reason for its margin."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from shadowproxy.config.values import Name, Section


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

    name: Name
    """Name of the gate, behind ``budget:``."""
    measure: Literal["ttft", "itl", "duration", "cost", "tokens", "error"]
    """What is bounded. ``error`` needs no limit."""
    limit: Annotated[float, Field(ge=0)] = 0.0
    """Seconds for ``ttft``, ``itl`` and ``duration``; the price table's currency for ``cost``; completion tokens for ``tokens``."""
    share: Margin
    """Share of answers that may be over the limit."""


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
