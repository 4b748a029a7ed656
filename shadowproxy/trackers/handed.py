"""What every tracker is handed besides the record of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shadowproxy.trackers.pair_file import PairFile


@dataclass(frozen=True, slots=True)
class Files:
    """What is logged as files. All of them are gone when the tracking ends."""

    pairs: PairFile
    html: Path
    markdown: Path
    document: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Begun:
    """When the evaluation began, Unix time, and by which command."""

    at_s: float
    command: str
