"""A capture of somebody else's into a journal: what ``journal import`` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shadowproxy.config import Journal
from shadowproxy.journal.importers import formats
from shadowproxy.journal.importers.made import NO_ANSWER, Unusable
from shadowproxy.journal.writer import JournalWriter

#: Places that are named for each reason; the rest is only counted.
NAMED = 5


@dataclass(slots=True)
class Imported:
    """What became of a capture. ``left_out`` counts by reason, ``places`` names some of each."""

    format: str
    exchanges: int = 0
    without_answer: int = 0
    lost: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, unusable: Unusable) -> None:
        self.left_out[unusable.reason] += 1
        named = self.places.setdefault(unusable.reason, [])
        if len(named) < NAMED:
            named.append(unusable.place + (f" ({unusable.detail})" if unusable.detail else ""))


def run(files: Sequence[str], section: Journal, folder: Path, format_: str = "") -> Imported:
    """Read everything in ``files`` and write it, redacted as ``section`` says, into segments in ``folder``.

    Raises :class:`~shadowproxy.errors.InputError` for files that cannot be read, and what the writer raises at its start.
    """
    name = format_ or formats.format_of(files[0])
    imported = Imported(name)
    writer = JournalWriter(section, {}, folder)
    try:
        for item in formats.read(files, name):
            if isinstance(item, Unusable):
                imported.leave_out(item)
                continue
            imported.exchanges += 1
            imported.without_answer += item.failure == NO_ANSWER
            writer.take(item, (), source=name)
    finally:
        writer.finish()
    imported.lost = sum(writer.lost.values())
    return imported
