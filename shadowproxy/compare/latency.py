"""How fast each arm was. The gates judge distributions; what is reported here is for people who look at one pair. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from shadowproxy.compare.kinds import divergence
from shadowproxy.exchange import Answer, Divergence, Exchange, Severity, Timing

#: Single requests differ a lot between two runs of one model: only a factor from which a reader would notice is worth a line.
RATIO = 2.0
#: And below these differences (seconds) no reader would: twice a very short time is still short.
TTFT_APART_S = 0.1
ITL_APART_S = 0.02
DURATION_APART_S = 0.1


def timing(exchange: Exchange, answer: Answer | None) -> Timing:
    """Latencies of one arm."""
    gaps = answer.itl_s if answer is not None else ()
    ttft_s = answer.ttft_s if answer is not None else None
    mean_s = sum(gaps) / len(gaps) if gaps else None
    if answer is None or not exchange.late:
        return Timing(ttft_s, mean_s, exchange.duration_s)
    return Timing(
        ttft_s,
        mean_s,
        exchange.duration_s,
        ttft_late_s=exchange.late_by(ttft_s) if ttft_s is not None else 0.0,
        # The mean is the time between the first and the last piece by their number: what both were late by cancels, at best.
        itl_late_s=exchange.late_by(answer.content_at_s[-1]) / len(gaps) if gaps else 0.0,
        duration_late_s=exchange.late_by(exchange.duration_s),
    )


def latency_divergences(primary: Timing, other: Timing) -> Iterator[Divergence]:
    """Latencies that are far apart, in either direction. For pairs where both arms answered: a time-out's duration says nothing."""
    yield from _apart("latency.ttft", primary.ttft_s, other.ttft_s, TTFT_APART_S)
    yield from _apart("latency.itl", primary.itl_mean_s, other.itl_mean_s, ITL_APART_S)
    yield from _apart("latency.duration", primary.duration_s, other.duration_s, DURATION_APART_S)


def _apart(kind: str, primary_s: float | None, other_s: float | None, apart_s: float) -> Iterator[Divergence]:
    if primary_s is None or other_s is None:
        return
    slower, faster = max(primary_s, other_s), min(primary_s, other_s)
    if slower >= RATIO * faster and slower - faster >= apart_s:
        yield divergence(kind, Severity.INFO, f"{primary_s * 1000:.0f} ms", f"{other_s * 1000:.0f} ms")
