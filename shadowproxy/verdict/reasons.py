"""Reason codes: why a verdict is what it is, for programs (code, numbers) and for people (text). PURE.

Used by ``case`` and ``decision``. :data:`REASONS` is the whole list and :data:`REMEDIES` says what to do about each; the documentation
prints both and a test compares them with what is produced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from shadowproxy.verdict.gates import GATE_NAMES

#: Code → one line of documentation.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "state_gap": "hold: counts were lost or went backwards, so the evidence cannot be trusted; start a new rollout",
        "srm": "hold: another share of the requests got into the evidence than was configured, so something chooses pairs that must not",
        "aa_bias": "hold: the primary, asked again as control, fails beyond the margin: the way copies are sent is at fault",
        **{f"worse:{name}": f"rollback: the candidate is shown to be worse than the margin of gate {name} allows" for name in GATE_NAMES},
        "incomplete_pairs": "hold: too many pairs were lost on our side to trust the rest",
        "within_margins": "promote: every guarded gate is shown to be within its margin on every route and slice",
        "timed_out": "rollback: undecided at the end of the rollout, and on_timeout is rollback; nothing was shown against the candidate",
        "manual": "hold: undecided at the end of the rollout, and on_timeout is manual",
        "no_data": "hold: a gate has not seen a single pair yet; no data is never good",
        "min_pairs": "hold: a gate has seen fewer pairs than verdict.min_pairs",
        "undecided": "hold: not shown to be within the margin yet, nor beyond it",
        "near_margin": "hold: still undecided after verdict.max_pairs; the difference is too near its margin, or the route too quiet",
        "low_traffic": "hold: the rollout has reached its greatest age before verdict.max_pairs",
        "min_sessions": "hold: fewer independent sessions than verdict.min_sessions",
        "soak": "hold: the first pair is younger than verdict.soak_s, or too few clock hours were seen",
        "no_control": "note: without a control arm the noise floor is unknown; fixed thresholds judge instead",
        "unmeasured": "note: a gate finds nothing to measure on a route and does not guard it",
        "seldom": "note: a gate finds so little to measure that it can roll back but does not hold back",
        "noise_floor": "note: the primary nearly repeats itself, so the similarity margin asks the candidate for nearly the same words",
        "unknown_cells": "note: counts of checks or cells that this version does not know were left out",
    }
)

_WORSE = {
    "error": "look at the candidate's failures by outcome (shadowproxy_pairs_resolved_total) and at its own log",
    "json_valid": "look at the pairs whose JSON is invalid; the candidate may need response_format, a schema or another prompt",
    "tool_valid": "look at the tool calls that name no offered tool or break its schema; check chat template and tool parser",
    "truncated": "compare finish_reason length: raise max_tokens for the candidate, or make it brief",
    "structure": "look at the paths that differ most; a field that may change belongs into an ignore rule",
    "tools": "look at which calls or arguments differ; an argument that may vary belongs into an ignore rule",
    "similarity": "look at the least similar pairs; where they are as good in other words, widen the margin or let a judge decide",
    "facts": "look at the numbers, names and negations that changed",
    "refusal": "look at the requests that only one of the two declines; the safety prompt or policy differs",
    "ttft": "compare load, batch size and prefix cache of candidate and primary before the model is blamed",
    "itl": "compare decoding speed: hardware, quantisation, batch size",
    "duration": "compare the lengths of the answers and the decoding speed",
    "cost": "compare tokens an answer and prices",
    "tokens": "the candidate is more verbose, or its tokenizer splits finer; change prompt or ratio",
    "judge": "read the pairs that the judge gave to the primary",
    "budget": "the candidate breaks an absolute budget, whatever the primary does; the gate's name says which",
}

#: Code → what to do about it.
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "state_gap": "start a new rollout; keep the counts in Prometheus so that a lost process loses nothing",
        "srm": "compare the shares in the numbers: look for a filter before the mirror, a retry loop, an arm that never resolves",
        "aa_bias": "give the control its own capacity, and look for a prefix cache, a region or a rate limit that only copies meet",
        **{f"worse:{name}": _WORSE[name.removesuffix("_absolute")] for name in GATE_NAMES},
        "incomplete_pairs": "look at shadowproxy_not_mirrored_total and restarts: give the shadow process more room or mirror less",
        "within_margins": "nothing: the candidate may take over",
        "timed_out": "run it again with more pairs, a wider margin, or more traffic mirrored",
        "manual": "read the findings and decide; they say how far each gate is from its margin",
        "no_data": "check that this kind of request is mirrored; switch the gate off where it can never be measured",
        "min_pairs": "wait, or mirror more of that route",
        "undecided": "wait; the text says about how long. Where it will not pass as things are, the candidate is near or beyond its margin",
        "near_margin": "widen the margin if the difference seen is acceptable, else treat the candidate as not good enough",
        "low_traffic": "mirror a larger share, widen margins, pool routes, or let the rollout run longer",
        "min_sessions": "wait for other users; many requests of a few are one opinion",
        "soak": "wait",
        "no_control": "set control.percent, or choose the absolute thresholds for this workload: no fixed value fits every one",
        "unmeasured": "nothing, if this route has nothing of the kind; else check that what the gate needs is configured",
        "seldom": "replay requests of that kind from a journal if they matter",
        "noise_floor": "choose the similarity margin from a labelled set, or judge by facts and structure instead",
        "unknown_cells": "run one version of the program, or start a new rollout after an upgrade",
    }
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason behind a verdict. ``route``, ``slice`` and ``gate`` are empty where it is about the whole rollout."""

    code: str
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    route: str = ""
    gate: str = ""
    slice: str = ""

    def __post_init__(self) -> None:
        if self.code not in REASONS:
            raise ValueError(f"reason code {self.code!r} is not in REASONS")
