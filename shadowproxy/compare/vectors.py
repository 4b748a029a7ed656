"""Whether two embeddings replies say the same. PURE.

In one space (same dimension, same model) each input's two vectors are compared by their angle. Vectors of two models are not comparable
one by one, whatever their dimension; what survives a change of model is which inputs lie close to each other, so that is what is compared
then: the geometry of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shadowproxy.compare.kinds import Found, divergence
from shadowproxy.exchange import Answer, Divergence, Severity

Rows = Sequence[Sequence[float]]
Matrix = NDArray[np.float64]

#: Inputs compared of a large batch, evenly spaced: a batch may have 2048 of 3072 dimensions, and pairs of inputs grow as the square.
MAX_INPUTS = 256
#: Fewer inputs have too few pairs (five have ten) to say which are close.
MIN_INPUTS = 5
#: Neighbours whose overlap is counted, at most: what a search would show.
NEIGHBOURS = 10

#: One model's vectors for one input differ by less: fp16 and weights stored in int8 both measured above it against fp32.
EQUAL_COSINE = 0.999
#: With noise added to real vectors, ten nearest neighbours of 100 inputs overlapped by 0.79 at a cosine of 0.97, by 0.62 at 0.9.
NEAR_COSINE = 0.97
FAR_COSINE = 0.9
#: Two models' vectors are all but perpendicular to each other. From here on the space is one, by whatever names it goes.
ONE_SPACE_COSINE = 0.9

#: Rank correlation of the pairs' similarities. A third of one model's dimensions kept 0.73 of it, counts of words 0.19, chance 0.
ALIKE_GEOMETRY = 0.9
UNLIKE_GEOMETRY = 0.4

#: How far from 1 a length may be and still be a unit vector's: rounding to fp16 or to few decimals.
UNIT_TOLERANCE = 0.01


def compare_vectors(primary: Answer, other: Answer) -> Found:
    """How much the vectors of two embeddings replies to one request differ.

    The score is 1 minus the mean cosine in one space, 1 minus the mean of neighbour overlap and rank correlation between two, and 1 where
    the other arm's vectors are missing or unusable. None where there are no vectors, or the primary's own are unusable, or two spaces
    have too few inputs.
    """
    before, after = primary.embeddings, other.embeddings
    if not before and not after:
        return Found()
    if len(before) != len(after):
        shown = f"{len(before)} vectors", f"{len(after)} vectors"
        return Found(1.0, (divergence("vectors.count", Severity.CRITICAL, *shown),))
    if invalid := tuple(_invalid(before, after)):
        return Found(None if _unusable(before) else 1.0, invalid)
    at = _sample(len(before))
    found = _compare_usable([before[i] for i in at], [after[i] for i in at], is_one_model=_is_one_model(primary, other))
    return Found(found.score, (*found.divergences, *_norms(before, after)))


def _is_one_model(primary: Answer, other: Answer) -> bool:
    return primary.model is None or other.model is None or primary.model == other.model


def _sample(inputs: int) -> list[int]:
    if inputs <= MAX_INPUTS:
        return list(range(inputs))
    return [int(at) for at in np.linspace(0, inputs - 1, MAX_INPUTS)]


# --- what is no vector ----------------------------------------------------------------------------------------------------


def _invalid(before: Rows, after: Rows) -> Iterator[Divergence]:
    for rows, severity in ((after, Severity.CRITICAL), (before, Severity.MINOR)):
        if bad := _unusable(rows):
            shown = (
                f"{len(_unusable(before))} of {len(before)} vectors unusable",
                f"{len(_unusable(after))} of {len(after)} vectors unusable",
            )
            yield divergence("vectors.invalid", severity, *shown, path=f"$.data[{bad[0]}].embedding")
            return


def _unusable(rows: Rows) -> list[int]:
    """Indices of vectors that are empty, all zero, not finite, or of another dimension than the first."""
    dimension = len(rows[0]) if rows else 0
    wrong = (len(row) != dimension or not any(row) or not isfinite(sum(row)) for row in rows)
    return list(compress(range(len(rows)), wrong))


# --- usable vectors -------------------------------------------------------------------------------------------------------


def _compare_usable(before: Rows, after: Rows, *, is_one_model: bool) -> Found:
    ours, theirs = _directions(before), _directions(after)
    if ours.shape == theirs.shape:
        cosines = np.einsum("ij,ij->i", ours, theirs)
        if is_one_model or float(cosines.mean()) >= ONE_SPACE_COSINE:
            return _compare_angles(cosines)
    return _compare_geometry(ours, theirs)


def _directions(rows: Rows) -> Matrix:
    """Unit vectors. Scaled by the largest number first, so that no square overflows or vanishes."""
    matrix = np.asarray(rows, dtype=np.float64)
    matrix /= np.abs(matrix).max(axis=1, keepdims=True)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix


def _compare_angles(cosines: Matrix) -> Found:
    mean, worst = float(cosines.mean()), float(cosines.min())
    score = min(1.0, max(0.0, 1.0 - mean))
    if worst >= EQUAL_COSINE:
        return Found(score)
    severity = Severity.INFO if worst >= NEAR_COSINE else Severity.MINOR if worst >= FAR_COSINE else Severity.MAJOR
    why = f"cosine {mean:.4f} on average, {worst:.4f} at worst"
    return Found(
        score, (divergence("vectors.cosine", severity, "1", f"{worst:.4f}", path=f"$.data[{int(cosines.argmin())}].embedding", why=why),)
    )


class _Geometry(NamedTuple):
    overlap: float
    correlation: float


def _compare_geometry(ours: Matrix, theirs: Matrix) -> Found:
    shown = f"{ours.shape[1]} dimensions", f"{theirs.shape[1]} dimensions"
    geometry = _geometry(ours, theirs) if len(ours) >= MIN_INPUTS else None
    if geometry is None:
        return Found(None, (divergence("vectors.incomparable", Severity.INFO, *shown, why=f"{len(ours)} inputs in two spaces"),))
    score = 1.0 - (geometry.overlap + max(0.0, geometry.correlation)) / 2
    if geometry.correlation >= ALIKE_GEOMETRY:
        return Found(score)
    severity = Severity.MINOR if geometry.correlation >= UNLIKE_GEOMETRY else Severity.MAJOR
    why = f"rank correlation of similarities {geometry.correlation:.2f}, neighbours shared {geometry.overlap:.2f}"
    return Found(score, (divergence("vectors.geometry", severity, *shown, why=why),))


def _geometry(ours: Matrix, theirs: Matrix) -> _Geometry | None:
    # Rounded, so that equal inputs tie instead of being ordered by the last bit.
    here, there = np.round(ours @ ours.T, 6), np.round(theirs @ theirs.T, 6)
    pairs = np.triu_indices(len(ours), k=1)
    correlation = _correlation(_ranks(here[pairs]), _ranks(there[pairs]))
    return None if correlation is None else _Geometry(_overlap(here, there), correlation)


def _ranks(values: Matrix) -> Matrix:
    """Ranks from 0, equal values sharing the mean of theirs (Spearman's correlation with ties)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Matrix = (np.cumsum(counts) - (counts + 1) / 2)[inverse]
    return ranks


def _correlation(a: Matrix, b: Matrix) -> float | None:
    a, b = a - a.mean(), b - b.mean()
    lengths = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / lengths if lengths > 0 else None


def _overlap(here: Matrix, there: Matrix) -> float:
    """Mean Jaccard overlap of each input's nearest other inputs."""
    k = min(NEIGHBOURS, (len(here) - 1) // 2)
    shared = [len(ours & theirs) for ours, theirs in zip(_nearest(here, k), _nearest(there, k), strict=True)]
    return sum(both / (2 * k - both) for both in shared) / len(shared)


def _nearest(similarities: Matrix, k: int) -> list[set[int]]:
    others = similarities.copy()
    np.fill_diagonal(others, -np.inf)
    return [set(row) for row in np.argsort(-others, axis=1, kind="stable")[:, :k].tolist()]


# --- lengths --------------------------------------------------------------------------------------------------------------


def _norms(before: Rows, after: Rows) -> Iterator[Divergence]:
    first = _length(before[0]), _length(after[0])
    if _is_unit(first[0]) is not _is_unit(first[1]):
        yield divergence("vectors.norm", Severity.INFO, f"length {first[0]:.4g}", f"length {first[1]:.4g}", path="$.data[0].embedding")


def _length(row: Sequence[float]) -> float:
    return float(np.hypot.reduce(np.asarray(row, dtype=np.float64)))


def _is_unit(length: float) -> bool:
    return abs(length - 1.0) <= UNIT_TOLERANCE
