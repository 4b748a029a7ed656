"""The folder in which a replay keeps what it has: answers the moment they are there, compared pairs, and whose they are.

Lines go into frames as in a journal: one for every turn of the event loop in which something came, so that a ``kill -9`` loses what came in
that turn. What is written is redacted already. A process only appends to files that it began, as a journal does; a torn end is passed over,
and what was in it is asked again.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from shadowproxy.errors import InputError, StartError
from shadowproxy.journal.frames import Packer
from shadowproxy.journal.reader import Damage, Place, Unseal, lines_of
from shadowproxy.journal.records import ArmRecord
from shadowproxy.journal.sealing import sealer
from shadowproxy.journal.segments import SUFFIX, segments_in
from shadowproxy.replay.cards import Cards, Shelf
from shadowproxy.replay.evidence import ComparedLine

_ANSWERS, _PAIRS, _ABOUT, _LOCK = "answers", "pairs", "replay.json", "lock"


class AnswerLine(msgspec.Struct, frozen=True, gc=False):
    """What one arm did with request ``n``. ``of`` is the digest of the arm as it was asked: another model's answers are not this one's."""

    n: int
    of: str
    arm: ArmRecord


class Share(msgspec.Struct, frozen=True):
    """Which of the requests: those whose number leaves ``index`` - 1 when divided by ``of``."""

    index: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def numbers(self, total: int) -> range:
        return range(self.index - 1, total, self.of)


class About(msgspec.Struct, frozen=True):
    """Whose folder it is: of which requests, which share of them, and by what they were compared last.

    ``notes`` is what a reader of the verdict should know of how it was come by.
    """

    source: str
    requests: int
    share: Share = Share()
    by: str = ""
    notes: tuple[str, ...] = ()
    is_done: bool = False


class Kept:
    """Answers of an earlier run, read when they are needed. Use as a context manager."""

    def __init__(self, cards: Cards, by_number: dict[int, dict[str, int]], unseal: Unseal | None) -> None:
        self._by_number = by_number
        self._shelf = Shelf(cards, unseal)
        self._decoder = msgspec.json.Decoder(AnswerLine)

    def __len__(self) -> int:
        """Requests that have some."""
        return len(self._by_number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        self._shelf.close()

    def take(self, number: int) -> dict[str, ArmRecord]:
        """By arm, the answers to this request."""
        cards = self._by_number.pop(number, {})
        return {arm: self._decoder.decode(self._shelf.line(card)).arm for arm, card in cards.items()}


class FolderBusy(StartError):
    """Another process holds the folder. A worker that takes over from one that died waits for the lock to be let go."""


class LineLog:
    """Appends lines to a file of its own. Used on the event loop."""

    def __init__(self, folder: Path, packer: Packer) -> None:
        self._folder = folder
        self._packer = packer
        self._descriptor = -1
        self._waiting: list[bytes] = []
        self.failure: OSError | None = None

    def add(self, line: bytes) -> None:
        """Written with whatever else comes in this turn of the loop."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append(line)

    def flush(self) -> None:
        """Write what waits. A disk that fails is remembered in :attr:`failure`."""
        lines, self._waiting = self._waiting, []
        if not lines or self.failure is not None:
            return
        try:
            self._write(self._packer.pack(b"\n".join([*lines, b""]), len(lines)))
        except OSError as exc:
            self.failure = exc

    def _write(self, frame: bytes) -> None:
        if self._descriptor < 0:
            name = f"{time.time_ns():020d}-{secrets.token_hex(4)}{SUFFIX}"
            self._descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        view = memoryview(frame)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        self.flush()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Work:
    """One folder, held by one process. Use :meth:`close` at the end."""

    def __init__(self, folder: Path, recipients: tuple[str, ...] = (), unseal: Unseal | None = None, level: int = 3) -> None:
        """Raises :class:`StartError` where the folder cannot be used, or is used by another process."""
        self.folder = folder
        self._unseal = unseal
        packer = Packer(level, sealer(recipients) if recipients else None)
        self._lock = held(folder, folder / _ANSWERS, folder / _PAIRS)
        self._answers = LineLog(folder / _ANSWERS, packer)
        self._pairs = LineLog(folder / _PAIRS, packer)
        self._encoder = msgspec.json.Encoder()

    # --- about --------------------------------------------------------------------------------------------------------

    def about(self) -> About | None:
        """None where nothing was begun here."""
        return about(self.folder)

    def begin(self, source: str, requests: int, share: Share) -> None:
        """Raises :class:`InputError` where the folder belongs to other requests."""
        before = self.about()
        if before is not None and (before.source, before.share) != (source, share):
            raise InputError(
                f"{self.folder}: holds the answers to other requests (share {before.share} of {before.requests}); "
                "name another folder with --work, or delete this one"
            )
        if before is None:
            self.write_about(About(source, requests, share))

    def end(self, by: str, notes: Sequence[str], *, is_done: bool) -> About:
        """A run is over; ``is_done``: everything of this share is compared by ``by``. Notes of earlier runs stay: what they say is in these
        answers, too."""
        before = self.about()
        assert before is not None
        kept = (*before.notes, *(note for note in notes if note not in before.notes))
        after = msgspec.structs.replace(before, by=by, notes=kept, is_done=is_done)
        self.write_about(after)
        return after

    def write_about(self, what: About) -> None:
        """Whole or not at all."""
        part = self.folder / f"{_ABOUT}.part"
        part.write_bytes(msgspec.json.format(msgspec.json.encode(what), indent=2) + b"\n")
        part.replace(self.folder / _ABOUT)

    # --- in -----------------------------------------------------------------------------------------------------------

    def keep_answer(self, number: int, of: str, arm: ArmRecord) -> None:
        self._answers.add(self._encoder.encode(AnswerLine(number, of, arm)))

    def keep_pairs(self, lines: list[bytes]) -> None:
        """Encoded :class:`ComparedLine`."""
        for line in lines:
            self._pairs.add(line)

    def check(self) -> None:
        """Raises :class:`StartError` where something could not be written."""
        for log in (self._answers, self._pairs):
            if log.failure is not None:
                raise StartError(
                    f"{self.folder}: cannot be written ({log.failure.strerror}); make room and run this again, it goes on from here"
                ) from log.failure

    # --- out ----------------------------------------------------------------------------------------------------------

    def pairs(self, by: str, on_damage: Callable[[Damage], None]) -> tuple[Cards, dict[int, int]]:
        """The pairs compared by ``by``: their cards, and number → card. The last one of a number counts."""
        return pairs_in(self.folder, by, self._unseal, on_damage)

    def answers(self, digests: Mapping[str, str], done: Mapping[int, int], on_damage: Callable[[Damage], None]) -> Kept:
        """Answers that are kept of requests without a pair. ``digests``: the arms as they are asked now."""
        decoder = msgspec.json.Decoder(_AnswerHead)
        cards, by_number = Cards(), dict[int, dict[str, int]]()
        for segment, place, line in _lines_in(self.folder / _ANSWERS, self._unseal, on_damage):
            answer = decoder.decode(line)
            if answer.n not in done and digests.get(answer.arm.arm) == answer.of:
                by_number.setdefault(answer.n, {})[answer.arm.arm] = _added(cards, segment, place)
        return Kept(cards, by_number, self._unseal)

    def close(self) -> None:
        self._answers.close()
        self._pairs.close()
        os.close(self._lock)


def held(folder: Path, *within: Path) -> int:
    """Make these folders and hold the first. Returns what lets go of it when it is closed.

    Raises :class:`StartError` where the folder cannot be used, :class:`FolderBusy` where another process holds it.
    """
    try:
        for each in (folder, *within):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StartError(f"{folder}: cannot be used ({exc.strerror or exc}); name another folder with --work") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(lock)
        raise FolderBusy(f"{folder}: another replay is at work here; wait for it, or name another folder with --work") from exc
    return lock


def about(folder: Path) -> About | None:
    """What a work folder says of itself, None where there is none. Raises :class:`InputError`."""
    path = folder / _ABOUT
    try:
        return msgspec.json.decode(path.read_bytes(), type=About)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        raise InputError(f"{path}: cannot be read ({exc}); delete {folder} to begin anew, or name another folder with --work") from exc


def pairs_in(folder: Path, by: str, unseal: Unseal | None, on_damage: Callable[[Damage], None]) -> tuple[Cards, dict[int, int]]:
    """See :meth:`Work.pairs`."""
    decoder = msgspec.json.Decoder(_Head)
    cards, by_number = Cards(), dict[int, int]()
    for segment, place, line in _lines_in(folder / _PAIRS, unseal, on_damage):
        head = decoder.decode(line)
        if head.by == by:
            by_number[head.n] = _added(cards, segment, place)
    return cards, by_number


def _added(cards: Cards, segment: str, place: Place) -> int:
    """The card of a line that is read segment by segment."""
    if not cards.segments or cards.segments[-1] != segment:
        cards.segments.append(segment)
    return cards.add(len(cards.segments) - 1, place)


class _ArmHead(msgspec.Struct):
    arm: str


class _AnswerHead(msgspec.Struct):
    """As much of an :class:`AnswerLine` as tells whose it is."""

    n: int
    of: str
    arm: _ArmHead


class _Head(msgspec.Struct):
    """As much of a :class:`ComparedLine` as tells whose it is."""

    n: int
    by: str


def _lines_in(folder: Path, unseal: Unseal | None, on_damage: Callable[[Damage], None]) -> Iterator[tuple[str, Place, bytes]]:
    if not folder.is_dir():
        return
    for path in segments_in(folder):
        for place, line in lines_of(str(path), unseal, on_damage):
            yield str(path), place, line


def decoded(line: bytes) -> ComparedLine:
    return _DECODER.decode(line)


_DECODER = msgspec.json.Decoder(ComparedLine)
