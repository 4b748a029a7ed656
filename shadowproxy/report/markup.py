"""HTML, SVG and XML from nested calls: text is escaped because it is text. PURE.

Only :func:`tag` and :func:`joined` make a :class:`Markup`; a plain ``str`` among the children is always text, whoever wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from shadowproxy.report.characters import visible


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | Markup | None

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9:-]*\Z")

#: Elements that HTML closes by themselves. XML accepts what is written for them, too.
_VOID = frozenset({"meta", "br", "hr", "rect", "line", "circle", "path"})


def text(value: str) -> Markup:
    """``value`` as text: escaped, and without characters that are no text (see :func:`~shadowproxy.report.characters.visible`)."""
    return Markup(escape(visible(value), quote=True))


def joined(*children: Child) -> Markup:
    """The children in a row. None is nothing."""
    return Markup("".join(child if isinstance(child, Markup) else text(child) for child in children if child is not None))


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """An element. ``class_`` is written ``class`` and ``stroke_width`` ``stroke-width``; None and False leave an attribute out, True
    writes it without a value."""
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no name of an element")
    opening = f"{name}{''.join(_attribute(key, value) for key, value in attributes.items())}"
    if name in _VOID:
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{joined(*children)}</{name}>")


def table(
    caption: str, heads: Iterable[str], rows: Iterable[Iterable[Child]], *, numbers: frozenset[int] = frozenset(), class_: str = ""
) -> Markup:
    """A table whose first column names the rows. Columns in ``numbers`` are set flush right. No rows make no table."""
    body = [_row(row, numbers) for row in rows]
    if not body:
        return Markup("")
    head = joined(*(tag("th", name, scope="col", class_="number" if at in numbers else None) for at, name in enumerate(heads)))
    inner = joined(tag("caption", caption), tag("thead", tag("tr", head)), tag("tbody", *body))
    # Focusable, so that a table wider than the window can be scrolled from the keyboard.
    return tag("div", tag("table", inner, class_=class_ or None), class_="scroll", tabindex="0", role="region", aria_label=caption)


def _row(cells: Iterable[Child], numbers: frozenset[int]) -> Markup:
    first, *rest = cells
    others = (tag("td", cell, class_="number" if at in numbers else None) for at, cell in enumerate(rest, start=1))
    return tag("tr", tag("th", first, scope="row"), *others)


def _attribute(key: str, value: str | float | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-") if key != "viewBox" else key
    if not _NAME.match(name):
        raise ValueError(f"{key!r} is no name of an attribute")
    if value is None or value is False:
        return ""
    if value is True:
        return f' {name}=""'
    shown = value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
    return f' {name}="{text(shown)}"'
