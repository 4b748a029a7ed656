"""``shadowproxy verdict``: recorded answers of two or three arms in, one verdict out, by the same engine that judges live traffic."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from shadowproxy.bookkeeping import PairRequest, Slicer, prompt_of, session_of
from shadowproxy.config import Candidate, Config, Control
from shadowproxy.offline.answers import Files, Joined, is_asked, joined, load
from shadowproxy.offline.compare_command import as_line
from shadowproxy.offline.comparing import Bench, Compared
from shadowproxy.offline.trial import Trial, gates_for, without_time
from shadowproxy.redaction.masking import redact
from shadowproxy.report.contents import shown_pair
from shadowproxy.report.gathering import Gathering
from shadowproxy.report.pairs import PairShown, of_compared
from shadowproxy.report.writing import Kind, write_reports
from shadowproxy.terminal import LEGEND, verdict_table
from shadowproxy.trackers.destinations import Destination
from shadowproxy.trackers.record import Source
from shadowproxy.trackers.tracking import Evaluation, Tracking, exit_code, source_of, told

#: Exit code by verdict.
EXIT_CODES: Mapping[str, int] = {"promote": 0, "hold": 3, "rollback": 4}

#: Pairs shown as those that weigh most.
_SHOWN = 5
#: Characters of a text in that list.
_CLIPPED = 160


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is judged, and where the single pairs, the reports and the record of it go, if anywhere."""

    primary: Path
    candidate: Path
    control: Path | None = None
    pairs_out: Path | None = None
    reports: Mapping[Kind, Path] = field(default_factory=dict)
    tracked_by: tuple[Destination, ...] = ()
    is_raw: bool = False


def run(inputs: Inputs, settings: Config, bench: Bench, *, as_json: bool) -> int:
    """The exit code of the verdict, or 1 for a promotion that a tracker did not take.

    Raises :class:`~shadowproxy.errors.InputError` for files that cannot be used, and before anything is compared
    :class:`~shadowproxy.errors.StartError` for a tracker that cannot be.
    """
    console = Console(stderr=as_json, highlight=False)
    files = load(inputs.primary, inputs.candidate, inputs.control)
    fitted = fitted_to(settings, files, inputs.candidate)
    recording, gathering = Recording(fitted.settings), Gathering()
    with Tracking(inputs.tracked_by, is_raw=inputs.is_raw) as tracking, _sink(inputs.pairs_out) as sink:
        for compared in _shown_progress(bench, files, recording, console):
            if inputs.reports or tracking:
                shown = of_compared(compared)
                gathering.add(shown)
                tracking.add(shown)
            if sink is not None:
                sink.write(orjson.dumps(as_line(compared)) + b"\n")
        document = recording.verdict()
        notes = (*_about_files(files), *fitted.notes)
        write_reports(document, gathering, inputs.reports, notes=notes, is_raw=inputs.is_raw)
        if as_json:
            sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
            sys.stdout.flush()
        else:
            _print(console, document, recording, notes, is_raw=inputs.is_raw)
        tracked = tracking.finish(Evaluation(document, fitted.settings, gathering, notes, _sources(inputs) if tracking else ()))
    for line in told(tracked):
        print(line, file=sys.stderr)
    return exit_code(EXIT_CODES[str(document["state"])], tracked)


def _sources(inputs: Inputs) -> tuple[Source, ...]:
    """The files of the arms, as they are named on the command line."""
    paths = {"primary": inputs.primary, "candidate": inputs.candidate, "control": inputs.control}
    return tuple(source_of(arm, path) for arm, path in paths.items() if path is not None)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Settings as they apply to files, and in words what had to be left out."""

    settings: Config
    notes: tuple[str, ...]


#: Latency gate → the field that lines have to carry for it.
_WANTED = {"ttft": "ttft_s", "itl": "times per chunk", "duration": "latency_s"}


def fitted_to(settings: Config, files: Files, candidate: Path) -> Fitted:
    """A file has one candidate, no time that passes, and no gate on what none of its lines say."""
    arms = [arm for arm in (files.primary, files.candidate, files.control) if arm is not None]
    known = {
        "ttft": all(any(each.times.ttft_s is not None for each in arm.values()) for arm in arms),
        "itl": False,
        "duration": all(any(each.times.latency_s is not None for each in arm.values()) for arm in arms),
    }
    gates, off = gates_for(settings.gates, known, len(files.primary))
    update: dict[str, Any] = {
        "gates": gates,
        "candidates": (_candidate(settings, _name(candidate)),),
        "control": Control(percent=100.0) if files.control is not None else None,
    }
    return Fitted(without_time(settings).model_copy(update=update), tuple(map(_why_off, off)))


def _why_off(gate: str) -> str:
    if gate == "judge":
        return "gate judge is off: recorded answers are not shown to a model"
    return f"gate {gate} is off: no line of one arm has {_WANTED[gate]}, and an answer without is no slow one"


def _candidate(settings: Config, name: str) -> Candidate:
    """Called ``name``; what the configuration says of the candidate of that name, or of its only one, is what gave the answers."""
    known = [each for each in settings.candidates if each.name == name] or list(settings.candidates)
    if len(known) != 1:
        return Candidate(name=name, url=settings.primary.url)
    return known[0].model_copy(update={"name": name, "url": settings.primary.url})


def _name(path: Path) -> str:
    """A candidate is called after its file, as far as that is a name."""
    plain = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "-" for sign in path.stem.lower())[:63].strip("._-")
    return plain if plain and plain not in ("primary", "control") else "candidate"


class Recording:
    """Recorded pairs of one candidate as evidence, and the pairs that weigh most in it."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        self._name = settings.candidates[0].name
        self._trial = Trial(settings)
        self._slicer = Slicer(settings.slices)
        self._number = 0
        self._heaviest: list[tuple[float, int, Compared]] = []

    def add(self, each: Joined, compared: Compared) -> None:
        """Count one pair, in the order of the file."""
        self._number += 1
        asked = each.pair.asked
        request = PairRequest(
            each.route,
            session_of(each.request, asked, self._settings.units) or _session(each.session, self._settings),
            prompt_of(each.request, asked) if is_asked(asked, each.request) else str(self._number),
            self._slicer.labels(each.request, asked, compared.candidate.primary_side),
        )
        self._trial.add(self._name, request, each.pair.primary.exchange.outcome, compared.candidate, compared.control)
        self._weigh(compared)

    def _weigh(self, compared: Compared) -> None:
        weight = weight_of(compared)
        if weight > 0:
            entry = (weight, -self._number, compared)
            (heapq.heappush if len(self._heaviest) < _SHOWN else heapq.heappushpop)(self._heaviest, entry)

    @property
    def heaviest(self) -> list[PairShown]:
        """Pairs that differ most beyond what the primary differs from itself, the worst first."""
        return [of_compared(compared) for _, _, compared in sorted(self._heaviest, key=lambda entry: entry[:2], reverse=True)]

    def verdict(self) -> dict[str, Any]:
        """The document, after all pairs."""
        (document,) = self._trial.documents()
        return document


def _session(name: str, settings: Config) -> str:
    return name if settings.units.session != "none" else ""


def weight_of(compared: Compared) -> float:
    """How much further the candidate's answer is from the primary's than the primary's own second answer."""
    own = compared.candidate.divergence or 0.0
    noise = compared.control.divergence if compared.control is not None else None
    return own - (noise or 0.0)


def _shown_progress(bench: Bench, files: Files, recording: Recording, console: Console) -> Iterator[Compared]:
    columns = (TextColumn("comparing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    waiting: list[Joined] = []

    def pairs() -> Iterator[Any]:
        for each in joined(files):
            waiting.append(each)
            yield each.pair

    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("comparing", total=len(files.primary))
        for compared in bench.compare_all(pairs()):
            recording.add(waiting.pop(0), compared)
            progress.advance(task)
            yield compared


class _NoSink:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None


def _sink(path: Path | None) -> BinaryIO | _NoSink:
    return _NoSink() if path is None else path.open("wb")


# --- for people -----------------------------------------------------------------------------------------------------------


def _print(console: Console, document: Mapping[str, Any], recording: Recording, notes: tuple[str, ...], *, is_raw: bool) -> None:
    console.print(verdict_table([document]))
    console.print(LEGEND)
    print_reasons(console, document, is_raw=is_raw)
    print_notes(console, notes, is_raw=is_raw)
    print_heaviest(console, recording.heaviest, is_raw=is_raw)


def print_reasons(console: Console, document: Mapping[str, Any], *, is_raw: bool) -> None:
    """Why a verdict is what it is. Here and below texts are masked as in reports, unless ``is_raw``: a terminal is kept as a job's log."""
    console.print(f"\n[bold]{document['candidate']}: {document['state']}[/bold], because")
    reasons = Table.grid(padding=(0, 1, 0, 0))
    for reason in document["reasons"]:
        reasons.add_row("  •", Text(_masked(reason["text"], is_raw)))
    console.print(reasons)


def print_notes(console: Console, notes: Sequence[str], *, is_raw: bool) -> None:
    """What a reader of the verdict should know."""
    for note in notes:
        console.print(f"  note: {_masked(note, is_raw)}", markup=False, soft_wrap=True)


def print_heaviest(console: Console, pairs: Sequence[PairShown], *, is_raw: bool) -> None:
    """The first of these pairs."""
    if pairs:
        console.print("\n[bold]Pairs that weigh most[/bold] (divergence, less that of the primary's own second answer)")
    for pair in pairs[:_SHOWN]:
        _print_pair(console, shown_pair(pair, is_raw=is_raw))


def _masked(text: str, is_raw: bool) -> str:
    return text if is_raw else redact(text)


def _about_files(files: Files) -> Iterator[str]:
    if files.unanswered:
        yield f"{files.unanswered} requests have no line of the candidate; they count as its failures"
    if files.unasked:
        yield f"{files.unasked} lines of the candidate belong to no request of the primary and are left out"


def _print_pair(console: Console, pair: PairShown) -> None:
    worst = sorted(pair.likeness.divergences, key=lambda found: _ORDER.index(found.severity.value))[:1]
    why = "; ".join(f"{found.kind}: {found.why or found.other}" for found in worst)
    console.print(f"\n  {pair.id}  {pair.weight:+.2f}  {_clipped(why)}", markup=False, soft_wrap=True)
    for name, arm in (("primary  ", pair.primary), ("candidate", pair.candidate)):
        console.print(f"    {name}  {_clipped(arm.answer.text or '(no text)')}", markup=False, soft_wrap=True)


_ORDER = ("critical", "major", "minor", "info")


def _clipped(text: str) -> str:
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: _CLIPPED * 4]).split())
    return line if len(line) <= _CLIPPED else line[: _CLIPPED - 1] + "…"
