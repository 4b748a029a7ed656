"""What a replay or a merge ends with: verdicts on the terminal, reports, trackers, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shadowproxy.offline.verdict_command import EXIT_CODES
from shadowproxy.replay.judging import Judged
from shadowproxy.report.pairs import PairShown
from shadowproxy.report.writing import Kind, write_reports
from shadowproxy.terminal import LEGEND, verdict_table

#: Of several candidates the worst decides.
_RANKS = ("promote", "hold", "rollback")

#: Pairs shown as those that weigh most, and characters of a text there.
_SHOWN, _CLIPPED = 5, 160


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where the outcome goes."""

    reports: Mapping[Kind, Path] = field(default_factory=dict)
    is_raw: bool = False
    as_json: bool = False


def tell(judged: Judged, wanted: Wanted, notes: Sequence[str] = ()) -> int:
    """Print and write everything. Returns the exit code, as ``verdict`` has it; of several candidates that of the worst."""
    said = (*notes, *judged.notes)
    for document in judged.documents:
        name = str(document["candidate"])
        write_reports(document, judged.gatherings[name], _paths(wanted.reports, judged, name), notes=said, is_raw=wanted.is_raw)
    if wanted.as_json:
        shown = judged.documents[0] if len(judged.documents) == 1 else list(judged.documents)
        sys.stdout.write(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print(Console(highlight=False), judged, said)
    return EXIT_CODES[max((str(each["state"]) for each in judged.documents), key=_RANKS.index)]


def _paths(reports: Mapping[Kind, Path], judged: Judged, candidate: str) -> dict[Kind, Path]:
    """Each candidate has a report of its own, named after it where there are several."""
    if len(judged.documents) == 1:
        return dict(reports)
    return {kind: path.with_name(f"{path.stem}-{candidate}{path.suffix}") for kind, path in reports.items()}


def _print(console: Console, judged: Judged, notes: Sequence[str]) -> None:
    console.print(verdict_table(judged.documents))
    console.print(LEGEND)
    for document in judged.documents:
        _print_reasons(console, document)
        worst = judged.gatherings[str(document["candidate"])].worst[:_SHOWN]
        if worst:
            console.print("\n[bold]Pairs that weigh most[/bold] (divergence, less that of the primary's own second answer)")
        for pair in worst:
            _print_pair(console, pair)
    for note in notes:
        console.print(f"  note: {note}", markup=False, soft_wrap=True)


def _print_reasons(console: Console, document: Mapping[str, Any]) -> None:
    console.print(f"\n[bold]{document['candidate']}: {document['state']}[/bold], because")
    reasons = Table.grid(padding=(0, 1, 0, 0))
    for reason in document["reasons"]:
        reasons.add_row("  •", Text(reason["text"]))
    console.print(reasons)


def _print_pair(console: Console, pair: PairShown) -> None:
    found = sorted(pair.likeness.divergences, key=lambda each: ("critical", "major", "minor", "info").index(each.severity.value))
    why = "; ".join(f"{each.kind}: {each.why or each.other}" for each in found[:1])
    console.print(f"\n  {pair.id}  {pair.weight:+.2f}  {_clipped(why)}", markup=False, soft_wrap=True)
    for name, arm in (("primary  ", pair.primary), ("candidate", pair.candidate)):
        console.print(f"    {name}  {_clipped(arm.answer.text or '(no text)')}", markup=False, soft_wrap=True)


def _clipped(text: str) -> str:
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: _CLIPPED * 4]).split())
    return line if len(line) <= _CLIPPED else line[: _CLIPPED - 1] + "…"
