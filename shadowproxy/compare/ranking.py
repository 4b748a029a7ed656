"""Whether two rerank replies put the documents in one order. PURE.

Only the order is compared: scores of two models have different scales, and what is done with a ranking is to take its top.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice

from shadowproxy.compare.kinds import Found, divergence
from shadowproxy.exchange import Divergence, Ranked, Severity

#: Lines that are compared: whoever ranks more shows the top of it.
MAX_LINES = 1_000
#: How fast attention falls from line to line: at 0.9 the first ten lines have 86 % of the weight (Webber, Moffat, Zobel 2010).
PERSISTENCE = 0.9
#: From here on only far-down lines have changed places.
SIMILAR_ORDER = 0.95
#: Indices shown of each side.
SHOWN_INDICES = 10


def compare_ranking(primary: Sequence[Ranked], other: Sequence[Ranked]) -> Found:
    """How differently two arms rank one request's documents, best first.

    The score is 1 minus the mean of rank-biased overlap, which looks at the top, and Kendall's tau (as a share of pairs in the same order),
    which looks at all; at least the share of lines that the other arm left out. None where neither ranked anything.
    """
    before, after = _order(primary), _order(other)
    if not before and not after:
        return Found()
    missing = tuple(_missing(before, after))
    left_out = max(0, len(before) - len(after)) / max(len(before), 1)
    if not before or not after:
        return Found(1.0, missing)
    depth = min(len(before), len(after))
    overlap = rank_biased_overlap(before[:depth], after[:depth])
    score = max(left_out, 1.0 - (overlap + _same_order_share(before, after, overlap)) / 2)
    return Found(score, (*missing, *_orders(before[:depth], after[:depth], overlap), *_tops(primary, other, before[0], after[0])))


def rank_biased_overlap(one: Sequence[int], two: Sequence[int], persistence: float = PERSISTENCE) -> float:
    """Extrapolated rank-biased overlap of two rankings of the same length, within 0..1 (Webber, Moffat, Zobel 2010)."""
    seen: set[int] = set()
    common, weight, total = 0, 1.0, 0.0
    for depth, pair in enumerate(zip(one, two, strict=True), start=1):
        for index in pair:
            # Each list names an index once, so the second time is the other list's.
            common += index in seen
            seen.add(index)
        total += weight * common / depth
        weight *= persistence
    return (1 - persistence) * total + weight * common / len(one)


def _order(ranking: Iterable[Ranked]) -> list[int]:
    """Indices, best first, each once. Lines of one score have no order of their own: they are sorted by index."""
    lines = islice(ranking, MAX_LINES)
    indices = (index for _, tied in groupby(lines, key=lambda line: line.score) for index in sorted(line.index for line in tied))
    return list(dict.fromkeys(indices))


def _same_order_share(before: Sequence[int], after: Sequence[int], otherwise: float) -> float:
    """Share of pairs of common documents that both rank in the same order: (tau + 1) / 2. ``otherwise`` where there is no pair."""
    places = {index: place for place, index in enumerate(after)}
    common = [places[index] for index in before if index in places]
    pairs = len(common) * (len(common) - 1) / 2
    return 1.0 - _inversions(common) / pairs if pairs else otherwise


def _inversions(places: Iterable[int]) -> int:
    seen: list[int] = []
    inversions = 0
    for place in places:
        inversions += len(seen) - bisect_right(seen, place)
        insort(seen, place)
    return inversions


def _missing(before: Sequence[int], after: Sequence[int]) -> Iterator[Divergence]:
    if len(before) == len(after):
        return  # under a limit, one document takes another's place; that is the order's business
    severity = Severity.MAJOR if len(after) < len(before) else Severity.MINOR
    longer, shorter = (before, set(after)) if severity is Severity.MAJOR else (after, set(before))
    why = "left out: " + _shown([index for index in longer if index not in shorter])
    yield divergence("ranking.missing", severity, f"{len(before)} lines", f"{len(after)} lines", why=why)


def _orders(before: Sequence[int], after: Sequence[int], overlap: float) -> Iterator[Divergence]:
    if before != after:
        severity = Severity.INFO if overlap >= SIMILAR_ORDER else Severity.MINOR
        yield divergence("ranking.order", severity, _shown(before), _shown(after), why=f"rank-biased overlap {overlap:.2f}")


def _tops(primary: Sequence[Ranked], other: Sequence[Ranked], before: int, after: int) -> Iterator[Divergence]:
    # A top that shares its score is no choice.
    if before != after and after not in _best(primary) and before not in _best(other):
        yield divergence("ranking.top", Severity.MAJOR, f"document {before}", f"document {after}", path="$.results[0]")


def _best(ranking: Sequence[Ranked]) -> set[int]:
    return {line.index for line in islice(ranking, MAX_LINES) if line.score == ranking[0].score}


def _shown(indices: Sequence[int]) -> str:
    return ", ".join(map(str, indices[:SHOWN_INDICES])) + (" …" if len(indices) > SHOWN_INDICES else "")
