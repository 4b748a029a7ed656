"""Reason codes: why a verdict is what it is, for programs (code, numbers) and for people (text). PURE.

Used by ``decision``. :data:`REASONS` is the whole list; the documentation prints it and a test compares it with what is produced.
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
        "aa_bias": "hold: the primary, asked again as control, fails beyond the margin: the way copies are sent is at fault",
        **{f"worse:{name}": f"rollback: the candidate is shown to be worse than the margin of gate {name} allows" for name in GATE_NAMES},
        "incomplete_pairs": "hold: too many pairs were lost on our side to trust the rest",
        "within_margins": "promote: every guarded gate is shown to be within its margin on every route",
        "no_data": "hold: a gate has not seen a single pair yet; no data is never good",
        "min_pairs": "hold: a gate has seen fewer pairs than verdict.min_pairs",
        "undecided": "hold: not shown to be within the margin yet, nor beyond it",
        "near_margin": "hold: still undecided after verdict.max_pairs; the difference is too near its margin, or the route too quiet",
        "soak": "hold: the first pair is younger than verdict.soak_s",
        "no_control": "note: without a control arm the noise floor is unknown; similarity is judged by an absolute threshold",
        "unmeasured": "note: a gate finds nothing to measure on this route and does not guard it",
        "unknown_cells": "note: counts of checks or cells that this version does not know were left out",
    }
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason behind a verdict. ``route`` and ``gate`` are empty where it is about the whole rollout."""

    code: str
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    route: str = ""
    gate: str = ""

    def __post_init__(self) -> None:
        if self.code not in REASONS:
            raise ValueError(f"reason code {self.code!r} is not in REASONS")
