"""Verdicts in a terminal: each gate's mean, bounds and margin as a small picture. From verdict documents; used by the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

#: Below each picture. The bounds hold at every look at once, so that looking often is no cheating.
LEGEND = Text(" · no difference   ● mean   ═ its bounds   ┃ margin: left of it passes", style="dim")


def verdict_table(verdicts: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for heading in ("", "gate", "pairs", "worse by", "bounds", "better ←" + "→ worse".rjust(_BAR_CELLS - 8)):
        table.add_column(
            heading,
            no_wrap=True,
            min_width=8 if not heading else None,
            justify="right" if heading in ("pairs", "worse by", "bounds") else "left",
        )
    for verdict in verdicts:
        lines = [Text(verdict["candidate"], style="bold"), _state_text(verdict["state"])]
        for gate in verdict["gates"]:
            if gate["role"] == "guard":
                table.add_row(lines.pop(0) if lines else "", *_gate_cells(gate))
        for line in lines:
            table.add_row(line)
        table.add_row()
    return table


def _state_text(state: str) -> Text:
    return Text(state.upper(), style={"promote": "bold green", "rollback": "bold red"}.get(state, "yellow"))


def _gate_cells(gate: Mapping[str, Any]) -> tuple[str | Text, ...]:
    if not gate["n"]:
        # The limit of ttft is the primary's own tail, measured over the first pairs: they cannot count for it as well.
        return (gate["gate"], "0", "-", "-", Text("measuring its limit" if gate["gate"] == "ttft" else "", style="dim"))
    bounds = f"{gate['lower']:+.3f}…{gate['upper']:+.3f}"
    return (gate["gate"], str(gate["n"]), f"{gate['mean']:+.3f}", bounds, _bar(gate))


#: The picture spans this much on either side of 0; what lies further out shows as an arrow at its edge.
_BAR_SPAN = 0.12
_BAR_CELLS = 23  # the whole table then fits 80 columns


def _bar(gate: Mapping[str, Any]) -> Text:
    """The interval (═), its mean (●) and the margin (┃) on a line around 0 (·)."""

    def cell(value: float) -> int:
        share = (min(max(value, -_BAR_SPAN), _BAR_SPAN) + _BAR_SPAN) / (2 * _BAR_SPAN)
        return round(share * (_BAR_CELLS - 1))

    cells = [" "] * _BAR_CELLS
    cells[cell(0)] = "·"
    for index in range(cell(gate["lower"]), cell(gate["upper"]) + 1):
        cells[index] = "═"
    cells[cell(gate["margin"])] = "┃"
    cells[cell(gate["mean"])] = "▶" if gate["mean"] > _BAR_SPAN else "◀" if gate["mean"] < -_BAR_SPAN else "●"
    return Text("".join(cells), style={"pass": "green", "fail": "red"}.get(gate["outcome"], "yellow"))
