"""What differs, and how often: pairs by kind of divergence, beside the primary's own second answers. PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shadowproxy.compare.kinds import KINDS
from shadowproxy.exchange import CONTROL, Severity
from shadowproxy.report.contents import Contents
from shadowproxy.report.gathering import CANDIDATE
from shadowproxy.report.markup import Child, Markup, joined, table, tag
from shadowproxy.report.pictures import share_bar
from shadowproxy.report.sections.section import folded, quiet, section
from shadowproxy.report.wording import UNKNOWN, share
from shadowproxy.verdict.wording import count

_SEVERITIES = (Severity.CRITICAL, Severity.MAJOR, Severity.MINOR, Severity.INFO)

#: Kinds that are shown at once.
_SHOWN = 15


def kinds_section(contents: Contents) -> Markup | None:
    totals = contents.gathering.likeness
    kinds = sorted(totals[CANDIDATE].kinds.items(), key=lambda entry: (-_gravity(entry[1]), -entry[1].total(), entry[0]))
    if not contents.gathering.pairs:
        return None
    if not kinds:
        return section("kinds", "What differs", tag("p", "Nothing: no pair has a divergence."))
    heads = ("kind", "pairs", "share", *(each.value for each in _SEVERITIES), "control")
    rows = [_row(contents, kind, severities) for kind, severities in kinds]
    numbers = frozenset(range(1, 8))
    said = "Pairs with a difference of each kind, by the gravest in the pair. The last column is the primary against itself."
    more = folded(f"{len(rows) - _SHOWN} more kinds", table("More kinds", heads, rows[_SHOWN:], numbers=numbers)) if rows[_SHOWN:] else None
    return section("kinds", "What differs", tag("p", said, class_="quiet"), table("Kinds", heads, rows[:_SHOWN], numbers=numbers), more)


def _gravity(severities: Counter[str]) -> int:
    return severities[Severity.CRITICAL] + severities[Severity.MAJOR]


def _row(contents: Contents, kind: str, severities: Counter[str]) -> Sequence[Child]:
    totals = contents.gathering.likeness
    pairs, n = totals[CANDIDATE].pairs, severities.total()
    meaning = KINDS.get(kind)
    noise = share(totals[CONTROL].kinds[kind].total() if kind in totals[CONTROL].kinds else 0, totals[CONTROL].pairs)
    return (
        joined(tag("strong", kind), joined(tag("br"), quiet(meaning)) if meaning else None),
        count(n),
        joined(share(n, pairs), share_bar(n, pairs)),
        *(count(severities[each]) if severities[each] else "" for each in _SEVERITIES),
        noise if totals[CONTROL].pairs else UNKNOWN,
    )
