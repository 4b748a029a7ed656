"""What verdicts have been: every change of state, and a short sample now and then in between. Bounded, in memory and, where asked for, in
a file of JSON lines.

Fed by ``watching``, shown at /verdict/history. The file outlives the process: whoever starts again begins with what it holds. A thread
writes it, so that a disk that hangs costs lines and nothing else.
"""

from __future__ import annotations

import heapq
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson

from shadowproxy.config import HistoryKept
from shadowproxy.errors import StartError

_log = logging.getLogger(__name__)

#: Lines that wait for a slow disk. Changes are rare; this is hours of samples.
_WAITING_LINES = 1000

#: At the end, how long what waits may take to be written.
_LAST_LINES_S = 2.0


class Entry(msgspec.Struct, frozen=True):
    """One line. ``at_s`` is Unix time; ``previous`` is the state before, None for a rollout's first. ``verdict`` is the whole document of a
    change, and what :func:`compact` leaves of a sample's."""

    at_s: float
    kind: Literal["change", "sample"]
    rollout: str
    candidate: str
    state: str
    previous: str | None
    verdict: dict[str, Any]


def compact(document: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values of a document, whatever they are called: a sample is for drawing a line over time, not for auditing."""
    return {key: value for key, value in document.items() if not isinstance(value, Mapping | list | tuple)}


@dataclass(frozen=True, slots=True)
class _Kept:
    """An entry as its line: what is held in memory is as long as the bound counts it."""

    number: int
    rollout: str
    candidate: str
    line: bytes


class History:
    """The latest entries. Where there are too many, samples go before changes and old ones before new."""

    def __init__(self, section: HistoryKept) -> None:
        """Raises :class:`StartError` where the file cannot be used."""
        self._section = section
        self._changes: deque[_Kept] = deque()
        self._samples: deque[_Kept] = deque()
        self._bytes = 0
        self._number = 0
        self._states: dict[str, str] = {}
        self._file = _File(section.file, section.max_bytes) if section.file is not None else None
        for line in self._file.recovered if self._file is not None else ():
            self._recover(line)

    def __len__(self) -> int:
        return len(self._changes) + len(self._samples)

    @property
    def lost_lines(self) -> int:
        """Lines that could not be written."""
        return self._file.lost if self._file is not None else 0

    def add(self, entry: Entry) -> None:
        """Remember an entry, and have it written. Never waits."""
        line = orjson.dumps(msgspec.structs.asdict(entry), default=dict)
        self._keep(entry, line)
        if self._file is not None:
            self._file.write(line)

    def last_state(self, rollout: str) -> str | None:
        """The state of the latest entry of a rollout, of an earlier process too; None where there is none."""
        return self._states.get(rollout)

    def latest(self, limit: int, asked: str | None = None) -> tuple[Mapping[str, Any], ...]:
        """Entries, newest first, of one rollout (by its id or its candidate's name) or of all."""
        newest_first = heapq.merge(reversed(self._changes), reversed(self._samples), key=lambda kept: -kept.number)
        chosen = (kept.line for kept in newest_first if asked is None or asked in (kept.rollout, kept.candidate))
        return tuple(orjson.loads(line) for _, line in zip(range(limit), chosen, strict=False))

    def close(self) -> None:
        """Write what waits, for a moment at most."""
        if self._file is not None:
            self._file.close()

    def _recover(self, line: bytes) -> None:
        try:
            self._keep(msgspec.json.decode(line, type=Entry), line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            _log.warning("%s: a line that is no entry was left out: %r", self._section.file, line[:80])

    def _keep(self, entry: Entry, line: bytes) -> None:
        self._number += 1
        kept = _Kept(self._number, entry.rollout, entry.candidate, line)
        (self._changes if entry.kind == "change" else self._samples).append(kept)
        self._bytes += len(line)
        self._states[entry.rollout] = entry.state
        while len(self) > self._section.entries or (self._bytes > self._section.max_bytes and len(self) > 1):
            self._bytes -= len((self._samples or self._changes).popleft().line)


class _File:
    """JSON lines, appended one at a time; cut to its newer half's worth when it has doubled its bound."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self.lost = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(0o600)
            self.recovered = _lines(path, max_bytes)
        except OSError as exc:
            remedy = "choose a judge.history.file that can be written, or leave it out"
            raise StartError(f"cannot use {path} for the history of verdicts: {exc.strerror or exc}; {remedy}") from exc
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_WAITING_LINES)
        self._thread = threading.Thread(target=self._write_forever, name="history", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        try:
            self._waiting.put(None, timeout=_LAST_LINES_S)
        except queue.Full:
            return
        self._thread.join(_LAST_LINES_S)

    def _write_forever(self) -> None:
        is_told = False
        while (line := self._waiting.get()) is not None:
            try:
                if append(self._path, line) > 2 * self._max_bytes:
                    _rewrite(self._path, _lines(self._path, self._max_bytes))
                is_told = False
            except OSError as exc:
                self.lost += 1
                if not is_told:
                    _log.error("%s: a line of the history of verdicts was lost: %s", self._path, exc)
                is_told = True


def append(path: Path, line: bytes) -> int:
    """Put one line at the end and onto the disk; returns the length of the file.

    A line that a crash or a full disk tore before is ended first, so that it spoils no other.
    """
    with path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        is_torn = False
        if end:
            file.seek(end - 1)
            is_torn = file.read(1) != b"\n"
        file.write((b"\n" if is_torn else b"") + line + b"\n")
        os.fsync(file.fileno())
        return file.tell()


def _lines(path: Path, max_bytes: int) -> list[bytes]:
    """The whole lines within the last ``max_bytes`` of a file, oldest first."""
    with path.open("rb") as file:
        begin = max(file.seek(0, os.SEEK_END) - max_bytes, 0)
        file.seek(max(begin - 1, 0))
        if begin:
            file.readline(max_bytes)  # the end of a line that began earlier
        return [line for line in file.read(max_bytes).splitlines() if line]


def _rewrite(path: Path, lines: Iterable[bytes]) -> None:
    """Replace the file by one that holds these lines. Whoever reads meanwhile sees the old or the new one, never half of one."""
    fresh = path.with_name(path.name + ".new")
    fresh.touch(0o600)
    with fresh.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
