"""The entry for whoever evaluates: check the trackers before, hand over pairs meanwhile, log the evaluation after.

    with Tracking(destinations_of(["mlflow"]), is_raw=False) as tracking:   # StartError where a tracker cannot be used
        for pair in pairs:
            tracking.add(pair)
        print(verdict)                                                       # first: nothing below can lose it
        done = tracking.finish(Evaluation(document, config, gathering, notes))

Pairs go to a file, so that memory does not grow. A tracker that refuses in the end is a value, :class:`Tracked`, never an exception.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from shadowproxy.config import Config
from shadowproxy.errors import NotTracked
from shadowproxy.report.contents import Contents, contents
from shadowproxy.report.gathering import Gathering
from shadowproxy.report.html import page
from shadowproxy.report.markdown import markdown
from shadowproxy.report.pairs import PairShown
from shadowproxy.trackers.destinations import Destination, Tool
from shadowproxy.trackers.handed import Begun, Files
from shadowproxy.trackers.pair_file import PairFile
from shadowproxy.trackers.record import Record, Source, record_of
from shadowproxy.trackers.settings import candidate_of, prompt_of, settings_of

_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation that is over. ``settings`` as they applied; ``notes`` as reports take them; ``command`` is what a person typed."""

    document: Mapping[str, Any]
    settings: Config
    gathering: Gathering
    notes: Sequence[str] = ()
    sources: tuple[Source, ...] = ()
    command: str = "shadowproxy verdict"


@dataclass(frozen=True, slots=True)
class Tracked:
    """What came of one destination: ``where`` to look at it, or the ``problem``. ``notes`` say what of it the tool could not take."""

    destination: Destination
    where: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""


class Tracker(Protocol):
    """One tool's shell. Making one checks that it can be used."""

    def log(self, record: Record, files: Files, begun: Begun) -> tuple[str, tuple[str, ...]]:
        """Log everything. Returns where to look at it, and notes. Raises :class:`NotTracked`."""


class Tracking:
    """From the check before an evaluation to the upload after it. Does nothing at all without destinations.

    Raises :class:`StartError` for a tracker that is not installed, not reachable or refuses.
    """

    def __init__(self, destinations: Iterable[Destination] = (), *, is_raw: bool = False) -> None:
        self._trackers = {destination: _tracker(destination) for destination in destinations}
        self._is_raw = is_raw
        self._began_at_s = time.time()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._pairs: PairFile | None = None
        self._problem = ""

    def __bool__(self) -> bool:
        """True where there is anybody to log to."""
        return bool(self._trackers)

    def __enter__(self) -> Self:
        if self._trackers:
            self._folder = tempfile.TemporaryDirectory(prefix="shadowproxy-")
            self._pairs = PairFile(Path(self._folder.name) / "pairs.jsonl", is_raw=self._is_raw)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._pairs is not None:
            with suppress(OSError):  # told by finish, where anybody asked
                self._pairs.close()
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, pair: PairShown) -> None:
        """One pair, in the order of the evaluation. A full disk ends the record, never the evaluation."""
        if self._pairs is not None and not self._problem:
            try:
                self._pairs.add(pair)
            except OSError as exc:
                self._problem = _no_room(exc)

    def finish(self, evaluation: Evaluation) -> tuple[Tracked, ...]:
        """Log it everywhere. What one tracker refuses keeps no other from getting it."""
        if self._pairs is None or self._folder is None:
            return ()
        if self._problem:
            return self._failed(self._problem)
        candidate = candidate_of(evaluation.settings, str(evaluation.document["candidate"]))
        shown = contents(evaluation.document, evaluation.gathering, evaluation.notes, is_raw=self._is_raw)
        record = record_of(shown, settings_of(evaluation.settings, candidate), prompt_of(candidate), evaluation.sources)
        try:
            self._pairs.close()
            files = _written(Path(self._folder.name), self._pairs, shown)
        except OSError as exc:
            return self._failed(_no_room(exc))
        begun = Begun(self._began_at_s, evaluation.command)
        return tuple(_logged(destination, tracker, record, files, begun) for destination, tracker in self._trackers.items())

    def _failed(self, problem: str) -> tuple[Tracked, ...]:
        return tuple(Tracked(destination, problem=problem) for destination in self._trackers)


def track(
    destinations: Iterable[Destination], evaluation: Evaluation, pairs: Iterable[PairShown], *, is_raw: bool = False
) -> tuple[Tracked, ...]:
    """All at once, for an evaluation that is over. Raises :class:`StartError` as :class:`Tracking` does."""
    with Tracking(destinations, is_raw=is_raw) as tracking:
        for pair in pairs:
            tracking.add(pair)
        return tracking.finish(evaluation)


def exit_code(of_verdict: int, done: Iterable[Tracked]) -> int:
    """1 in place of 0 where a tracker did not take the evaluation: nothing is promoted without the record that was asked for.

    Hold and rollback keep their own codes: they stop a pipeline anyway, and say why.
    """
    return 1 if of_verdict == 0 and any(each.problem for each in done) else of_verdict


def told(done: Iterable[Tracked]) -> Iterator[str]:
    """What came of it, a line each, for people."""
    for each in done:
        yield f"{each.destination}: {each.problem or each.where}"
        yield from (f"{each.destination}: note: {note}" for note in each.notes)


def source_of(arm: str, path: Path) -> Source:
    """A file that an arm's exchanges were read from, with its digest, read piece by piece. Where it is gone, by its name alone."""
    digest, rows = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                rows += piece.count(b"\n")
    except OSError:
        return Source(arm, str(path), "")
    return Source(arm, str(path), digest.hexdigest(), rows)


def _tracker(destination: Destination) -> Tracker:
    """Imports the client of that tool and of no other."""
    match destination.tool:
        case Tool.MLFLOW:
            from shadowproxy.trackers.mlflow_runs import MlflowRuns

            return MlflowRuns(destination)
        case Tool.WANDB:
            from shadowproxy.trackers.wandb_runs import WandbRuns

            return WandbRuns(destination)


def _no_room(exc: OSError) -> str:
    return f"the evaluation was not logged: its files cannot be written ({exc.strerror}); let TMPDIR name a folder with room"


def _logged(destination: Destination, tracker: Tracker, record: Record, files: Files, begun: Begun) -> Tracked:
    try:
        where, notes = tracker.log(record, files, begun)
    except NotTracked as exc:
        return Tracked(destination, problem=str(exc))
    return Tracked(destination, where, (*notes, *_about(files.pairs)))


def _about(pairs: PairFile) -> Iterator[str]:
    if left_out := pairs.left_out:
        shown = pairs.pairs - left_out
        yield f"the table shows the {shown:,} of {pairs.pairs:,} pairs that weigh most; {pairs.path.name} has all of them"


def _written(folder: Path, pairs: PairFile, shown: Contents) -> Files:
    """The document is masked like everything else here, for it may leave the house. Where there was nothing to mask its digest holds."""
    html, comment, verdict = (folder / name for name in ("report.html", "report.md", "verdict.json"))
    html.write_text(page(shown), encoding="utf-8", newline="\n")
    comment.write_text(markdown(shown), encoding="utf-8", newline="\n")
    verdict.write_text(json.dumps(shown.document, indent=2) + "\n", encoding="utf-8", newline="\n")
    return Files(pairs, html, comment, verdict, folder)
