"""Percentiles as every generator prints them."""

from __future__ import annotations

from collections.abc import Iterable

SHARES = (50, 90, 99, 99.9)


def milliseconds(seconds: Iterable[float], prefix: str = "") -> dict[str, float]:
    """``p50_ms`` and so on by nearest rank, and ``max_ms``; empty where nothing was measured."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    last = len(ordered) - 1
    ranks = {f"{prefix}p{share:g}_ms": min(int(len(ordered) * share / 100), last) for share in SHARES}
    return {key: ordered[rank] * 1000 for key, rank in (ranks | {f"{prefix}max_ms": last}).items()}
