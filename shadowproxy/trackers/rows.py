"""One pair as a row of a table: flat, with the same columns for every tool. PURE."""

from __future__ import annotations

from typing import TypeAlias

from shadowproxy.report.characters import visible
from shadowproxy.report.pairs import ArmShown, Excerpt, Likeness, PairShown

Cell: TypeAlias = str | float | int | None

_SEVERITIES = ("critical", "major", "minor", "info")

#: Decimals of what goes from 0 to 1: more are noise, and in a column of a page they hide the number.
_DECIMALS = 4

#: Of one pair no more findings than a person reads in a cell.
_FINDINGS = 8

COLUMNS = (
    "id", "route", "weight", "severity", "kinds", "findings", "question", "primary", "candidate", "control",
    "outcome_primary", "outcome_candidate", "outcome_control", "similarity", "similarity_control", "divergence", "divergence_control",
    "ttft_s_primary", "ttft_s_candidate", "ttft_s_control", "duration_s_primary", "duration_s_candidate", "duration_s_control",
    "tokens_primary", "tokens_candidate", "tokens_control", "cost_primary", "cost_candidate", "cost_control",
)  # fmt: skip

_NOTHING = ArmShown()


def row(pair: PairShown) -> dict[str, Cell]:
    """Every column of :data:`COLUMNS`; None for what is not known. Expects a pair that is masked already, where it is to be."""
    arms = {"primary": pair.primary, "candidate": pair.candidate, "control": pair.control or _NOTHING}
    noise = pair.control_likeness
    cells: dict[str, Cell] = {
        "id": visible(pair.id),
        "route": visible(pair.route),
        "weight": round(pair.weight, _DECIMALS),
        "severity": min((each.severity.value for each in pair.likeness.divergences), key=_SEVERITIES.index, default=None),
        "kinds": visible(", ".join(sorted({each.kind for each in pair.likeness.divergences}))),
        "findings": _findings(pair.likeness),
        "question": _text(pair.question),
        "similarity": _rounded(pair.likeness.similarity),
        "similarity_control": _rounded(noise.similarity if noise is not None else None),
        "divergence": _rounded(pair.likeness.divergence),
        "divergence_control": _rounded(noise.divergence if noise is not None else None),
    }
    for name, arm in arms.items():
        cells |= _arm(name, arm)
    return {column: cells[column] for column in COLUMNS}


def _arm(name: str, arm: ArmShown) -> dict[str, Cell]:
    return {
        name: _text(arm.answer),
        f"outcome_{name}": arm.outcome or None,
        f"ttft_s_{name}": arm.ttft_s,
        f"duration_s_{name}": arm.duration_s,
        f"tokens_{name}": arm.tokens,
        f"cost_{name}": arm.cost,
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, _DECIMALS)


def _text(excerpt: Excerpt) -> str | None:
    if excerpt.characters is None:
        return None
    return visible(excerpt.text) + (f"… ({excerpt.characters} characters)" if excerpt.is_cut else "")


def _findings(likeness: Likeness) -> str:
    ranked = sorted(likeness.divergences, key=lambda each: _SEVERITIES.index(each.severity.value))
    lines = (f"{each.severity.value} {each.kind}: {each.primary} → {each.other}" for each in ranked[:_FINDINGS])
    return visible("\n".join(lines))
