"""The verdict in words: figures, reasons, and what to do about each. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shadowproxy.report.contents import Contents
from shadowproxy.report.markup import Markup, joined, tag
from shadowproxy.report.sections.section import folded, section
from shadowproxy.report.wording import by_code, facts, is_note, meaning, promise, remedy

#: Reasons of one code that are read at once; a rollout with many routes and slices has hundreds.
_SHOWN = 6


def decision_section(contents: Contents) -> Markup:
    """Figures first, then what decided, then what is to be borne in mind."""
    document = contents.document
    figures = (tag("div", tag("dt", name), tag("dd", value)) for name, value in facts(document))
    deciding = [reason for reason in document["reasons"] if not is_note(reason)]
    notes = [reason for reason in document["reasons"] if is_note(reason)]
    return section(
        "decision",
        "Why",
        tag("dl", *figures, class_="figures"),
        _grouped(deciding),
        joined(tag("h3", "To bear in mind"), _grouped(notes)) if notes else None,
        tag("p", promise(document), class_="quiet"),
    )


def _grouped(reasons: Sequence[Mapping[str, Any]]) -> Markup:
    return joined(*(_group(code, alike) for code, alike in by_code(reasons).items()))


def _group(code: str, reasons: Sequence[Mapping[str, Any]]) -> Markup:
    rest = reasons[_SHOWN:]
    return tag(
        "div",
        tag("p", tag("strong", meaning(code)), " ", tag("code", code)),
        _listed(reasons[:_SHOWN]),
        folded(f"{len(rest)} more", _listed(rest)) if rest else None,
        tag("p", "What to do: ", remedy(code)) if remedy(code) else None,
        class_="reasons",
    )


def _listed(reasons: Sequence[Mapping[str, Any]]) -> Markup:
    return tag("ul", *(tag("li", reason["text"]) for reason in reasons))
