"""Every finding: its bounds against its margin as a picture, and in words; slices as a table of signs. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shadowproxy.report.contents import Contents
from shadowproxy.report.markup import Markup, joined, table, tag
from shadowproxy.report.pictures import finding_picture
from shadowproxy.report.sections.section import folded, pill, quiet, section
from shadowproxy.report.wording import OUTCOMES, number, ordered, stratum
from shadowproxy.verdict.gates import Role
from shadowproxy.verdict.wording import count

_Finding = Mapping[str, Any]

_HOW_TO_READ = (
    "Each bar spans the bounds of the mean paired difference between candidate and primary, the dot is the mean seen so far. "
    "The margin (dashed) stands in the middle, the thin line is no difference. A gate passes once its whole bar is left of the margin, "
    "and fails once it is right of it; arrows mean that a bound lies outside the picture."
)

_ROLE_NOTES = {
    Role.WATCH.value: "watched: seen too seldom to hold a promotion back",
    Role.NEGATIVE_CONTROL.value: "self-check: the primary against itself",
}


def gates_section(contents: Contents) -> Markup:
    findings = [each for each in contents.document["gates"] if not each["slice"]]
    routes = list(dict.fromkeys(each["route"] for each in findings))
    if not findings:
        return section("gates", "Gates", tag("p", "No gate has seen a pair yet."))
    parts = [_route(route, [each for each in findings if each["route"] == route], has_many=len(routes) > 1) for route in routes]
    return section("gates", "Gates", tag("p", _HOW_TO_READ, class_="quiet"), *parts)


def slices_section(contents: Contents) -> Markup | None:
    """Strata down, gates across, a sign in each cell; the findings that are not within their margin in full below."""
    findings = [each for each in contents.document["gates"] if each["slice"]]
    if not findings:
        return None
    noticed = [each for each in ordered(findings) if each["outcome"] != "pass"]
    below = (
        folded(f"{count(len(noticed))} not within their margin, in full", _full_table("Findings of slices", noticed)) if noticed else None
    )
    return section("slices", "Slices", _matrix(findings), _legend(), below)


def _route(route: str, findings: Sequence[_Finding], *, has_many: bool) -> Markup:
    name = f"Route {route}"
    heading = tag("h3", name) if has_many else None
    return joined(heading, _full_table(f"Gates of route {route}", ordered(findings)), _numbers(route, findings))


def _full_table(caption: str, findings: Sequence[_Finding]) -> Markup:
    return table(caption, ("gate", "finding", "difference against margin", "in words"), map(_row, findings), class_="findings")


def _row(finding: _Finding) -> Sequence[Markup]:
    note = _ROLE_NOTES.get(finding["role"])
    where = finding["slice"]
    name = joined(
        tag("strong", finding["gate"]),
        joined(tag("br"), quiet(where)) if where else None,
        joined(tag("br"), quiet(note)) if note else None,
    )
    lost = f", {count(finding['lost'])} lost on our side" if finding["lost"] else ""
    words = joined(finding["reason"], tag("br"), quiet(f"{count(finding['n'])} pairs{lost}"))
    return name, pill(finding["outcome"]), finding_picture(finding), words


def _numbers(route: str, findings: Sequence[_Finding]) -> Markup:
    heads = ("gate", "pairs", "mean", "at least", "at most", "margin", "log10 e promote", "log10 e rollback", "pairs needed", "cells")
    rows = (
        (
            each["gate"],
            count(each["n"]),
            *(number(each[name]) for name in ("mean", "lower", "upper", "margin", "log10_e_promote", "log10_e_rollback")),
            "–" if each["pairs_needed"] is None else count(each["pairs_needed"]),
            ", ".join(f"{cell} {count(n)}" for cell, n in each["counts"].items()),
        )
        for each in findings
    )
    return folded("The numbers", table(f"Numbers of route {route}", heads, rows, numbers=frozenset(range(1, 9)), class_="numbers"))


def _matrix(findings: Sequence[_Finding]) -> Markup:
    gates = list(dict.fromkeys(each["gate"] for each in findings))
    strata: dict[str, dict[str, _Finding]] = {}
    for each in findings:
        strata.setdefault(stratum(each), {})[each["gate"]] = each
    rows = ([name, _pairs(cells), *(_cell(cells.get(gate)) for gate in gates)] for name, cells in strata.items())
    return table("Findings by slice and gate", ("slice", "pairs", *gates), rows, numbers=frozenset({1}))


def _pairs(cells: Mapping[str, _Finding]) -> str:
    """The gate that saw most of them says how many a slice has; the others look at some."""
    return count(max(each["n"] for each in cells.values()))


def _cell(finding: _Finding | None) -> Markup:
    if finding is None:
        return quiet("–")
    sign, word = OUTCOMES.get(finding["outcome"], ("", finding["outcome"]))
    inner = tag("span", sign, aria_hidden="true"), tag("span", word, class_="unseen")
    return tag("span", *inner, class_=f"sign {finding['outcome']}", title=finding["reason"])


def _legend() -> Markup:
    return tag("p", "  ".join(f"{sign} {word}" for sign, word in OUTCOMES.values()) + "  – not judged on this slice", class_="quiet legend")
