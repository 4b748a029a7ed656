"""What a person names to be replayed: a journal as it is, or a capture of others, which is written as a journal into the work folder first.

So what stands on the disk is redacted, and an interrupted run finds the same requests again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shadowproxy.config import Journal
from shadowproxy.errors import InputError
from shadowproxy.journal import importing
from shadowproxy.journal.places import is_url, open_binary
from shadowproxy.journal.reader import segments_at
from shadowproxy.journal.records import Record
from shadowproxy.journal.segments import SUFFIX
from shadowproxy.replay.work import put


@dataclass(frozen=True, slots=True)
class Found:
    """The place of the journal with the requests, and what its import could not use."""

    place: str
    notes: tuple[str, ...] = ()


class _Import(msgspec.Struct, frozen=True):
    """Beside an import: of what it was made, and what could not be used of it."""

    of: str
    notes: tuple[str, ...]


def journal_of(source: str, section: Journal, folder: Path, format_: str = "") -> Found:
    """The journal with the requests of ``source``. ``folder`` is where an import goes: once, and anew where the capture is another.

    Raises :class:`InputError` where there is nothing, or nothing that is understood.
    """
    if not format_ and _is_journal(source):
        return Found(source)
    files, told = _files(source), folder.with_name(f"{folder.name}.json")
    of = _fingerprint(files, section, format_)
    before = _before(told) if folder.exists() else None
    if before is None or before.of != of:
        before = _Import(of, _imported(source, files, section, folder, format_))
        put(told, msgspec.json.encode(before))
    return Found(str(folder), before.notes)


def _imported(source: str, files: Sequence[str], section: Journal, folder: Path, format_: str) -> tuple[str, ...]:
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    imported = importing.run(files, section.model_copy(update={"to": str(part)}), part, format_)
    if imported.lost:
        raise InputError(f"{source}: {imported.lost} requests could not be written to {part}; make room and run this again")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return tuple(
        f"{count} entries of the {imported.format} capture cannot be used: {reason} ({'; '.join(imported.places[reason])})"
        for reason, count in imported.left_out.most_common()
    )


def _before(told: Path) -> _Import | None:
    try:
        return msgspec.json.decode(told.read_bytes(), type=_Import)
    except (OSError, msgspec.DecodeError):
        return None


def _fingerprint(files: Sequence[str], section: Journal, format_: str) -> str:
    """Of what the files hold, and how they are read and redacted."""
    digest = hashlib.sha256(msgspec.json.encode((format_, section.redact.model_dump(mode="json"))))
    for each in files:
        digest.update(each.encode("utf-8", "replace"))
        with open_binary(each) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    return digest.hexdigest()


_PIECE = 1024 * 1024


def _is_journal(source: str) -> bool:
    segments = segments_at(source)
    if segments != [source]:
        return bool(segments)  # a folder
    return source.endswith(SUFFIX) or _holds_records(source)


def _files(source: str) -> list[str]:
    path = Path(source)
    if is_url(source) or not path.is_dir():
        return [source]
    files = sorted(str(each) for each in path.iterdir() if each.is_file())
    if not files:
        raise InputError(f"{source}: is empty; give a journal, or files of a capture")
    return files


def _holds_records(source: str) -> bool:
    """A file of records in plain lines, as ``journal export --jsonl`` writes it."""
    if not source.endswith(".jsonl"):
        return False
    with open_binary(source) as file:
        line = file.readline(64 * 1024 * 1024)
    try:
        msgspec.json.decode(line, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
