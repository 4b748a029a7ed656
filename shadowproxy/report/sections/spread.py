"""Similarity and latency by arm, as distributions and as quantiles; tokens and cost. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shadowproxy.report.contents import Contents
from shadowproxy.report.gathering import MEASURES, ArmTotals, Gathering
from shadowproxy.report.histograms import Histogram
from shadowproxy.report.markup import Markup, joined, table, tag
from shadowproxy.report.pictures import distributions
from shadowproxy.report.sections.section import section
from shadowproxy.report.wording import UNKNOWN, amount, seconds, share
from shadowproxy.verdict.wording import count

_QUANTILES = (0.5, 0.95, 0.99)


def spread_section(contents: Contents) -> Markup | None:
    gathering = contents.gathering
    if not gathering.pairs:
        return None
    return section("spread", "Similarity, latency and cost by arm", _similarity(gathering), *_latencies(gathering), _amounts(gathering))


def _similarity(gathering: Gathering) -> Markup | None:
    by_arm = {arm: totals.similarity for arm, totals in gathering.likeness.items()}
    if not any(histogram.n for histogram in by_arm.values()):
        return None
    said = "How alike each arm's answer is to the primary's, 1 being the same; the control is the primary asked a second time."
    return tag("figure", tag("figcaption", tag("h3", "Similarity to the primary's answer"), tag("p", said, class_="quiet")),
               distributions("Similarity", by_arm), _quantiles("Similarity", by_arm))  # fmt: skip


def _latencies(gathering: Gathering) -> Iterator[Markup]:
    for measure, name in MEASURES.items():
        by_arm = {arm: totals.times[measure] for arm, totals in gathering.arms.items()}
        if any(histogram.n for histogram in by_arm.values()):
            title = f"{name[0].upper()}{name[1:]}"
            caption = tag("figcaption", tag("h3", title))
            yield tag("figure", caption, distributions(title, by_arm), _quantiles(title, by_arm))


def _quantiles(caption: str, by_arm: Mapping[str, Histogram]) -> Markup:
    heads = ("arm", "answers", "median", "95 % below", "99 % below")
    rows = ((arm, count(each.n), *(_value(each, level) for level in _QUANTILES)) for arm, each in by_arm.items() if each.n)
    if caption == "Similarity":  # what is low is of interest there
        heads = ("arm", "answers", "median", "5 % below", "1 % below")
        rows = ((arm, count(each.n), *(_value(each, 1 - level) for level in _QUANTILES)) for arm, each in by_arm.items() if each.n)
    return table(f"{caption}: quantiles", heads, rows, numbers=frozenset(range(1, 5)))


def _value(histogram: Histogram, level: float) -> str:
    value = histogram.quantile(level)
    if value is None:
        return UNKNOWN
    return f"{value:.3f}" if histogram.scale is histogram.scale.SHARE else seconds(value)


def _amounts(gathering: Gathering) -> Markup | None:
    asked = {arm: totals for arm, totals in gathering.arms.items() if totals.asked}
    heads = ("arm", "requests", "answered", "completion tokens, mean", "cost, mean", "cost, all")
    rows = ((arm, count(each.asked), *_row(each)) for arm, each in asked.items())
    return joined(tag("h3", "Answers, tokens and cost"), table("Answers, tokens and cost", heads, rows, numbers=frozenset(range(1, 6))))


def _row(totals: ArmTotals) -> tuple[str, ...]:
    answered = share(totals.outcomes["ok"], totals.asked) if "unknown" not in totals.outcomes else UNKNOWN
    whole = amount(totals.cost.total) if totals.cost.n else UNKNOWN
    return answered, amount(totals.tokens.mean), amount(totals.cost.mean), whole
