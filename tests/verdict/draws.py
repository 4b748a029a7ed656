"""Pairs as a random generator makes them, for simulated rollouts.

Similarity is drawn as two askings of one prompt: a fifth of the prompts is hard (0.65), the rest easy (0.90), and both arms share the
prompt, which gives differences with a standard deviation of about 0.107.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ALPHA = 0.05
TRINOMIAL = np.array([-1.0, 0.0, 1.0])
GRID = np.arange(-20, 21) / 20
LOOK_EVERY = 25


def similarities(chance: np.random.Generator, hard: NDArray[np.bool_]) -> Floats:
    """One answer's similarity for each prompt: mean 0.90 (sd 0.06) for easy ones, 0.65 (sd 0.12) for hard ones."""

    def beta(mean: float, sd: float) -> Floats:
        size = mean * (1 - mean) / sd**2 - 1
        return chance.beta(mean * size, (1 - mean) * size, hard.shape)

    return np.where(hard, beta(0.65, 0.12), beta(0.90, 0.06))


def similarity_differences(chance: np.random.Generator, shape: tuple[int, int], worse: float) -> Floats:
    hard = chance.random(shape) < 0.2
    return similarities(chance, hard) - similarities(chance, hard) + worse


def on_grid(chance: np.random.Generator, values: Floats) -> NDArray[np.intp]:
    """Index into GRID, by the same rounding as ``grid_cell``, all at once."""
    position = (np.clip(values, -1, 1) + 1) * 20
    lower = np.floor(position)
    return (lower + (chance.random(values.shape) < position - lower)).astype(np.intp)


def failures(chance: np.random.Generator, shape: tuple[int, int], primary: float, candidate: float) -> NDArray[np.intp]:
    """Index into TRINOMIAL of independent failures on both sides."""
    return 1 + (chance.random(shape) < candidate).astype(np.intp) - (chance.random(shape) < primary)


def histories(indices: NDArray[np.intp], size: int, every: int = LOOK_EVERY) -> NDArray[np.int64]:
    """Counts per value after every ``every`` pairs: (runs, looks, size)."""
    runs, pairs = indices.shape
    looks = pairs // every
    cell = indices[:, : looks * every].reshape(runs, looks, every)
    flat = (np.arange(runs)[:, None, None] * looks + np.arange(looks)[None, :, None]) * size + cell
    return np.bincount(flat.ravel(), minlength=runs * looks * size).reshape(runs, looks, size).cumsum(axis=1)


def first_crossing(log_e: Floats, every: int = LOOK_EVERY) -> Floats:
    """Pairs until the e-value first reaches 1/alpha; infinity where it never does."""
    crossed = log_e >= math.log(1 / ALPHA)
    return np.where(crossed.any(axis=1), (crossed.argmax(axis=1) + 1) * every, np.inf)


def tails(chance: np.random.Generator, shape: tuple[int, int], factor: float, ratio: float = 1.2) -> NDArray[np.intp]:
    """Index into TRINOMIAL of being over the limit of a tail: log-normal times (sigma 0.6), correlated 0.5, t* the primary's true p95."""
    shared, own, other = (chance.standard_normal(shape) for _ in range(3))
    primary, candidate = (0.6 * math.sqrt(0.5) * (shared + each) for each in (own, other))
    t_star = 0.6 * 1.6448536
    return 1 + (candidate + math.log(factor) > math.log(ratio) + t_star).astype(np.intp) - (primary > t_star)


def over_budget(chance: np.random.Generator, shape: tuple[int, int], rate: float) -> NDArray[np.intp]:
    """Index into (0, 1) of being over a budget."""
    return (chance.random(shape) < rate).astype(np.intp)


def sessions(chance: np.random.Generator, runs: int, pairs: int, worse: float) -> tuple[Floats, NDArray[np.intp]]:
    """Similarity differences of requests, and the number of each one's session (both (runs, pairs)).

    Sessions have six requests on average (geometric), which share how well the candidate suits them (standard deviation 0.06).
    """
    is_first = chance.random((runs, pairs)) < 1 / 6
    is_first[:, 0] = True
    session = is_first.cumsum(axis=1) - 1
    suits = 0.06 * chance.standard_normal((runs, pairs))
    return similarity_differences(chance, (runs, pairs), worse) + np.take_along_axis(suits, session, axis=1), session


def session_means(differences: Floats, session: NDArray[np.intp]) -> Floats:
    """One row a run: the mean of each session, of as many sessions as every run has."""
    many = int(session[:, -1].min())
    return np.array([np.bincount(at, row)[:many] / np.bincount(at)[:many] for row, at in zip(differences, session, strict=True)])
