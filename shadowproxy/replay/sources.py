"""What a person names to be replayed: a journal as it is, or a capture of others, which is written as a journal into the work folder first.

So what stands on the disk is redacted, and an interrupted run finds the same requests again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from shadowproxy.config import Journal
from shadowproxy.errors import InputError
from shadowproxy.journal import importing
from shadowproxy.journal.importing import Imported
from shadowproxy.journal.places import is_url, open_binary
from shadowproxy.journal.reader import segments_at
from shadowproxy.journal.records import Record
from shadowproxy.journal.segments import SUFFIX


def journal_of(
    source: str, section: Journal, folder: Path, format_: str = "", on_imported: Callable[[Imported], None] = lambda _: None
) -> str:
    """The place of the journal with the requests of ``source``. ``folder`` is where an import goes, once.

    Raises :class:`InputError` where there is nothing, or nothing that is understood.
    """
    if not format_ and _is_journal(source):
        return source
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        imported = importing.run(_files(source), section.model_copy(update={"to": str(part)}), part, format_)
        if imported.lost:
            raise InputError(f"{source}: {imported.lost} requests could not be written to {part}; make room and run this again")
        part.rename(folder)
        on_imported(imported)
    return str(folder)


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
