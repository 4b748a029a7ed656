"""``shadowproxy compare``: recorded pairs in, what differs out, one JSON line each.

A line that cannot be used is named and left out; the rest goes on. What has been written stays written when the run is interrupted, and
``--resume`` goes on behind it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shadowproxy.errors import InputError
from shadowproxy.exchange import PRIMARY, Comparison, Divergence
from shadowproxy.offline.comparing import Bench, Compared, Pair
from shadowproxy.offline.given import FieldProblem, asked_of, given
from shadowproxy.offline.lines import BadLine, Line, read

#: Malformed lines that are named one by one; the rest is only counted, or one wrong file would fill the screen.
_NAMED = 50


@dataclass(slots=True)
class Tally:
    """What became of the lines."""

    compared: int = 0
    kept: int = 0
    bad: list[BadLine] = field(default_factory=list)


def run(source: Path, out: Path | None, bench: Bench, *, resume: bool = False) -> int:
    """Exit code 0, or 1 where lines were left out. Raises :class:`InputError` where a file cannot be used at all."""
    console = Console(stderr=True, highlight=False)
    tally = Tally()
    done = _done(out) if resume and out is not None else set()
    total = _count(source)
    with _sink(out, is_appended=bool(done)) as sink, _progress(console) as progress:
        task = progress.add_task("comparing", total=total)
        for compared in bench.compare_all(_pairs(source, tally, done, console, lambda: progress.advance(task))):
            sink.write(orjson.dumps(as_line(compared)) + b"\n")
            sink.flush()
            tally.compared += 1
    _sum_up(console, source, tally)
    return 1 if tally.bad else 0


def _count(source: Path) -> int:
    """Lines of the file, for the progress bar. Raises :class:`InputError` where it cannot be read, before anything is written."""
    try:
        with source.open("rb") as file:
            return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
    except OSError as exc:
        raise InputError(f"{source}: cannot be read ({exc.strerror}); give the path of a file of JSON lines") from exc


def _pairs(source: Path, tally: Tally, done: set[str], console: Console, advance: Any) -> Iterator[Pair]:
    for line in read(source):
        advance()
        try:
            pair = _pair(line)
        except FieldProblem as exc:
            pair = BadLine(line.number, 0, str(exc))
        if isinstance(pair, BadLine):
            tally.bad.append(pair)
            if len(tally.bad) <= _NAMED:
                console.print(f"{source}: {pair}", markup=False, soft_wrap=True)
        elif _marker(pair.id) in done:
            tally.kept += 1
        else:
            yield pair


def _pair(line: Line | BadLine) -> Pair | BadLine:
    if isinstance(line, BadLine):
        return line
    fields = line.fields
    for name in ("id", "primary", "candidate"):
        if name not in fields:
            raise FieldProblem(name, 'is missing; a line is {"id", "request"?, "primary", "candidate", "control"?}')
    id_ = fields["id"]
    if isinstance(id_, bool) or not isinstance(id_, str | int):
        raise FieldProblem("id", "is neither text nor a whole number")
    request, asked = asked_of(fields.get("request"))
    arms = {
        name: given(fields[name], request, id_=str(id_), arm=name, route="offline", field=name)
        for name in (PRIMARY, "candidate", "control")
        if name in fields
    }
    return Pair(id_, asked, arms[PRIMARY], arms["candidate"], arms.get("control"))


def as_line(compared: Compared) -> dict[str, Any]:
    """The output line of one pair."""
    line: dict[str, Any] = {"id": compared.pair.id, **_found(compared.candidate)}
    if compared.control is not None:
        line["control"] = _found(compared.control)
    return line


def _found(comparison: Comparison) -> dict[str, Any]:
    found: dict[str, Any] = {
        "divergence": comparison.divergence,
        "similarity": comparison.similarity,
        "scores": {kind: round(score, 6) for kind, score in comparison.scores.items()},
        "divergences": [_divergence(each) for each in comparison.divergences],
    }
    if comparison.suppressed:
        found["suppressed"] = dict(comparison.suppressed)
    return found


def _divergence(each: Divergence) -> Mapping[str, str]:
    shown = {"kind": each.kind, "severity": each.severity.value}
    if each.path:
        shown["path"] = each.path
    return {**shown, "primary": each.primary, "candidate": each.other, "why": each.why}


# --- where it goes --------------------------------------------------------------------------------------------------------


@contextmanager
def _sink(out: Path | None, *, is_appended: bool) -> Iterator[BinaryIO]:
    if out is None:
        yield sys.stdout.buffer
        return
    try:
        file = out.open("ab" if is_appended else "wb")
    except OSError as exc:
        raise InputError(f"{out}: cannot be written ({exc.strerror}); give another path with -o") from exc
    with file:
        yield file


def _done(out: Path) -> set[str]:
    """Ids that an earlier run has written. A last line that it did not finish is cut off."""
    if not out.exists():
        return set()
    with out.open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
    return {_marker(line.fields["id"]) for line in read(out) if isinstance(line, Line) and "id" in line.fields}


def _marker(id_: object) -> str:
    """7 and "7" are different ids."""
    return repr(id_)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _sum_up(console: Console, source: Path, tally: Tally) -> None:
    parts = [f"{tally.compared} pairs compared"]
    if tally.kept:
        parts.append(f"{tally.kept} kept from before")
    if tally.bad:
        unnamed = f", {len(tally.bad) - _NAMED} of them not named" if len(tally.bad) > _NAMED else ""
        parts.append(f"{len(tally.bad)} lines left out{unnamed}")
    console.print(f"{source}: {'; '.join(parts)}", markup=False, soft_wrap=True)
