"""How results are printed: one table per scenario, a dash where there is nothing to say."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def number(value: float | None, places: int = 2) -> str:
    return "-" if value is None else f"{value:,.{places}f}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def show(title: str, headings: Sequence[str], lines: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    table = Table(title=title, title_justify="left")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", no_wrap=not index)
    for line in lines:
        table.add_row(*line)
    console = Console(width=None if Console().is_terminal else 200)
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)
