"""What a section looks like. PURE."""

from __future__ import annotations

from shadowproxy.report.markup import Child, Markup, tag
from shadowproxy.report.wording import OUTCOMES


def section(id_: str, title: str, *children: Child) -> Markup:
    """A section under its own heading, to which the list at the top leads."""
    return tag("section", tag("h2", title, id=f"{id_}-title"), *children, id=id_, aria_labelledby=f"{id_}-title")


def folded(summary: Child, *children: Child, is_open: bool = False, class_: str = "") -> Markup:
    """Shown when asked for; printed in any case."""
    return tag("details", tag("summary", summary), *children, open=is_open, class_=class_ or None)


def pill(outcome: str) -> Markup:
    """The outcome of a finding: sign, word and colour."""
    sign, word = OUTCOMES.get(outcome, ("", outcome))
    return tag("span", tag("span", f"{sign} ", aria_hidden="true"), word, class_=f"pill {outcome}")


def quiet(value: Child) -> Markup:
    return tag("span", value, class_="quiet")
