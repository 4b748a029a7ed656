"""Reports onto the disk. The shell around the PURE renderings; used by the offline commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from shadowproxy.errors import InputError
from shadowproxy.report.contents import Contents, contents
from shadowproxy.report.gathering import Gathering, gathered
from shadowproxy.report.html import page
from shadowproxy.report.junit import junit
from shadowproxy.report.markdown import markdown
from shadowproxy.report.pairs import PairShown


class Kind(StrEnum):
    """What a report can be written as; the value is the ending of its file."""

    HTML = "html"
    MARKDOWN = "md"
    JUNIT = "xml"
    JSON = "json"


_RENDERINGS: Mapping[Kind, Callable[[Contents], str]] = {Kind.HTML: page, Kind.MARKDOWN: markdown, Kind.JUNIT: junit}


def kinds_of(paths: Iterable[Path]) -> dict[Kind, Path]:
    """By its ending, what each file is to hold. Raises :class:`InputError` for an ending that says nothing, and for two of a kind."""
    found: dict[Kind, Path] = {}
    for path in paths:
        try:
            kind = Kind(path.suffix.removeprefix(".").lower())
        except ValueError:
            known = ", ".join(f".{kind.value}" for kind in Kind)
            raise InputError(f"{path}: what to write is told by the ending of the name; end it in one of {known}") from None
        if kind in found:
            raise InputError(f"{path}: {found[kind]} is the same kind of report; name one file of each")
        found[kind] = path
    return found


def write_reports(
    document: Mapping[str, Any],
    pairs: Gathering | Iterable[PairShown],
    paths: Mapping[Kind, Path],
    *,
    notes: Sequence[str] = (),
    is_raw: bool = False,
) -> None:
    """Write every report. ``notes`` say what was left out before anything was compared; ``is_raw`` shows texts unmasked.

    JSON is the document itself, unmasked, so that its digest holds. Raises :class:`InputError` where a file cannot be written.
    """
    shown = contents(document, pairs if isinstance(pairs, Gathering) else gathered(pairs), notes, is_raw=is_raw)
    for kind, path in paths.items():
        render = _RENDERINGS.get(kind)
        _write(path, render(shown) if render is not None else json.dumps(document, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a CI system picks up what is there when the job is stopped."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as exc:
        raise InputError(f"{path}: the report cannot be written ({exc.strerror}); give another path") from exc
