"""One number for how much two answers diverge, out of the scores of the single kinds. PURE.

Each kind is a reason to think that the answers differ, and one is enough: the parts are joined as independent chances,
``1 - Π(1 - part)``. So the whole is within 0..1, never below its largest part, and never falls when a part rises. A kind that abstained is
no reason either way. Latency and cost are compared on their own: a slow answer says the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

#: What a kind counts where it is as different as can be. Facts and text were set on pairs whose facts people had changed and on two draws
#: of one model (``scripts/quality.py``); for the others: a failed, refused or wrongly typed answer is another answer, a longer one hardly.
WEIGHTS: Mapping[str, float] = {
    "outcome": 1.0,
    "refusal": 0.9,
    "tools": 0.9,
    "structure": 0.8,
    "facts": 0.95,
    "language": 0.9,
    "ranking": 0.9,
    "vectors": 0.9,
    "text": 0.8,
    "length": 0.1,
}


def parts_of(scores: Mapping[str, float], similarity: float | None = None) -> dict[str, float]:
    """What each kind contributes, 0..1, by kind: what is shown beside the whole.

    ``similarity`` stands in for the text's score (1 - similarity) where ``scores`` has none. Kinds without a weight are left out.
    """
    known = dict(scores)
    if similarity is not None and "text" not in known:
        known["text"] = 1 - similarity
    return {kind: weight * _curve(kind, _bounded(known[kind])) for kind, weight in WEIGHTS.items() if kind in known}


def divergence_of(scores: Mapping[str, float], similarity: float | None = None) -> float | None:
    """How much the answers diverge, 0 (not at all) to 1; None where no kind has a score."""
    parts = parts_of(scores, similarity)
    return 1 - math.prod(1 - part for part in parts.values()) if parts else None


def _curve(kind: str, score: float) -> float:
    """The square root of 1 - cosine is the distance of the unit vectors, but for a factor: it tells 0.02 from 0.05, which matters among
    near copies, as well as 0.2 from 0.4."""
    return math.sqrt(score) if kind == "text" else score


def _bounded(score: float) -> float:
    return min(1.0, max(0.0, score)) if score == score else 1.0  # a score that is no number is a difference nobody could measure
