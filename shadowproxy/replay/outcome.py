"""What a replay or a merge ends with: verdicts on the terminal, reports, trackers, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from rich.console import Console

from shadowproxy.offline.verdict_command import EXIT_CODES, print_heaviest, print_notes, print_reasons
from shadowproxy.replay.judging import Judged
from shadowproxy.replay.outputs import outputs_of, write_outputs
from shadowproxy.report.writing import Kind, write_reports
from shadowproxy.terminal import LEGEND, verdict_table
from shadowproxy.trackers.destinations import Destination
from shadowproxy.trackers.record import Source
from shadowproxy.trackers.tracking import Evaluation, Tracking, exit_code, told

#: Of several candidates the worst decides.
_CODES = (EXIT_CODES["promote"], 1, EXIT_CODES["hold"], EXIT_CODES["rollback"])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where the outcome goes."""

    reports: Mapping[Kind, Path] = field(default_factory=dict)
    tracked_by: tuple[Destination, ...] = ()
    is_raw: bool = False
    as_json: bool = False
    outputs: Path | None = None


class Outlet:
    """Tells what a replay ended with. Made before it begins, so that a tracker that cannot be used is known then. A context manager."""

    def __init__(self, wanted: Wanted, candidates: Sequence[str]) -> None:
        """Raises :class:`~shadowproxy.errors.StartError` for a tracker that cannot be used."""
        self._wanted = wanted
        self._trackings = {name: Tracking(wanted.tracked_by, is_raw=wanted.is_raw) for name in candidates}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for tracking in self._trackings.values():
            self._open.enter_context(tracking)
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        self._open.close()

    def tell(self, judged: Judged, notes: Sequence[str], source: Source, command: str) -> int:
        """Print, write and log everything. Returns the exit code, as ``verdict`` has it; of several candidates that of the worst."""
        wanted, said = self._wanted, (*notes, *judged.notes)
        for document in judged.documents:
            name = str(document["candidate"])
            write_reports(document, judged.gatherings[name], _paths(wanted.reports, judged, name), notes=said, is_raw=wanted.is_raw)
        if wanted.as_json:
            shown = judged.documents[0] if len(judged.documents) == 1 else list(judged.documents)
            sys.stdout.write(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode() + "\n")
            sys.stdout.flush()
        else:
            _print(Console(highlight=False), judged, said, is_raw=wanted.is_raw)
        code = max((self._track(document, judged, said, source, command) for document in judged.documents), key=_CODES.index)
        if wanted.outputs is not None:
            write_outputs(wanted.outputs, outputs_of(judged.documents, code))
        return code

    def _track(self, document: Mapping[str, Any], judged: Judged, notes: Sequence[str], source: Source, command: str) -> int:
        """Log one candidate. The exit code: that of its verdict, or 1 for a promotion that a tracker did not take."""
        name, code = str(document["candidate"]), EXIT_CODES[str(document["state"])]
        tracking = self._trackings[name]
        if not tracking:
            return code
        for pair in judged.pairs(name):
            tracking.add(pair)
        done = tracking.finish(Evaluation(document, judged.settings, judged.gatherings[name], notes, (source,), command))
        for line in told(done):
            print(line, file=sys.stderr)
        return exit_code(code, done)


def _paths(reports: Mapping[Kind, Path], judged: Judged, candidate: str) -> dict[Kind, Path]:
    """Each candidate has a report of its own, named after it where there are several."""
    if len(judged.documents) == 1:
        return dict(reports)
    return {kind: path.with_name(f"{path.stem}-{candidate}{path.suffix}") for kind, path in reports.items()}


def _print(console: Console, judged: Judged, notes: Sequence[str], *, is_raw: bool) -> None:
    console.print(verdict_table(judged.documents))
    console.print(LEGEND)
    for document in judged.documents:
        print_reasons(console, document, is_raw=is_raw)
        print_heaviest(console, judged.gatherings[str(document["candidate"])].worst, is_raw=is_raw)
    print_notes(console, notes, is_raw=is_raw)
