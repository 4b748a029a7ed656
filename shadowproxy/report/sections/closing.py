"""What was not compared and why, and where all of this comes from. PURE."""

from __future__ import annotations

from shadowproxy.report.contents import Contents
from shadowproxy.report.left_out import left_out
from shadowproxy.report.markup import Markup, joined, table, tag
from shadowproxy.report.provenance import provenance
from shadowproxy.report.sections.section import folded, section
from shadowproxy.report.wording import amount, share
from shadowproxy.verdict.wording import count


def left_out_section(contents: Contents) -> Markup:
    rows = [(each.what, each.amount, each.why) for each in left_out(contents)]
    none = None if rows else tag("p", "Nothing: every pair was compared in everything that was asked of it.")
    shown = table("Not compared", ("what", "how much", "why"), rows)
    return section("left-out", "What was not compared, and why", none, shown, _splits(contents))


def _splits(contents: Contents) -> Markup | None:
    splits = contents.document["splits"]
    rows = (
        (each["name"], count(each["seen"]), count(each["total"]), share(each["seen"], each["total"]), share(each["share"], 1))
        for each in splits
    )
    shown = table(
        "Shares that must come out as configured", ("share", "seen", "of", "is", "should be"), rows, numbers=frozenset(range(1, 5))
    )
    return joined(tag("h3", "Shares that must come out as configured"), shown) if splits else None


def provenance_section(contents: Contents) -> Markup:
    rows = [(name, tag("code", value) if is_digest else value) for name, value, is_digest in provenance(contents.document)]
    rules = contents.document["rules"]
    margins = [(f"margin of {gate}", amount(margin)) for gate, margin in rules["margins"].items()]
    others = [
        (name, f"{value:.4g}" if isinstance(value, float) else str(value))
        for name, value in rules.items()
        if name != "margins" and value is not None
    ]
    decision = folded("The rule of decision", table("Rule of decision", ("setting", "value"), [*others, *margins]))
    return section("provenance", "Where this comes from", table("Provenance", ("what", "which"), rows), decision)
