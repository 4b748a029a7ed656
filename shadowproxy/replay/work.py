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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from shadowproxy.errors import InputError, StartError
from shadowproxy.exchange import PRIMARY, Outcome
from shadowproxy.journal.frames import Packer
from shadowproxy.journal.reader import Damage, Place, Unseal, lines_of
from shadowproxy.journal.records import ArmRecord
from shadowproxy.journal.sealing import sealer
from shadowproxy.journal.segments import SUFFIX, segments_in
from shadowproxy.replay.cards import Cards, Shelf
from shadowproxy.replay.evidence import ComparedLine
from shadowproxy.replay.names import KEY_BYTES, STATE_BYTES, is_given_up
from shadowproxy.spending import Bill

_ANSWERS, _PAIRS, _ABOUT, _LOCK, _REQUESTS = "answers", "pairs", "replay.json", "lock", "requests"

_FREE = Bill()

#: In ``requests``, the place of one that is gone.
_NONE = bytes(KEY_BYTES + STATE_BYTES)


class AnswerLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What one arm did with the request of that ``key``. ``of`` is the digest of the arm as it was asked: another model's answers are not
    this one's. ``tokens`` and ``cost`` are what it was billed, where there is a ceiling."""

    key: str
    of: str
    arm: ArmRecord
    tokens: float = 0.0
    cost: float = 0.0


class PairLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A :class:`ComparedLine` of the request of that ``key``, as the capture had it (``state``). ``failed``: arms that gave no good answer,
    ``given_up`` those of them that were not there or had no time."""

    key: str
    state: str
    by: str
    line: msgspec.Raw
    failed: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


class Named(Protocol):
    """What requests are called: :class:`~shadowproxy.replay.catalogue.Catalogue`."""

    def key(self, number: int) -> str: ...
    def state(self, number: int) -> str: ...


class Share(msgspec.Struct, frozen=True):
    """Which of the requests: those whose number leaves ``index`` - 1 when divided by ``of``."""

    index: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def numbers(self, total: int) -> range:
        return range(self.index - 1, total, self.of)


class About(msgspec.Struct, frozen=True):
    """What the last run in a folder was about: which requests, which share of them, and by what they were compared (``parts``, with a
    digest each). ``notes`` is what a reader of the verdict should know of how it was come by.
    """

    source: str
    requests: int
    share: Share = Share()
    by: str = ""
    parts: dict[str, str] = {}
    recorded: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_done: bool = False


class Kept:
    """Answers of earlier runs, read when they are needed. Use as a context manager."""

    def __init__(self, cards: Cards, by_key: dict[str, dict[str, int]], spent: Mapping[str, Bill], unseal: Unseal | None) -> None:
        self.spent = spent
        self._by_key = by_key
        self._shelf = Shelf(cards, unseal)
        self._decoder = msgspec.json.Decoder(AnswerLine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        self._shelf.close()

    def take(self, key: str) -> dict[str, ArmRecord]:
        """By arm, the answers to the request of that key."""
        cards = self._by_key.pop(key, {})
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

    def begin(self, named: Named, what: About) -> None:
        """A run begins: what is kept from now on is called as ``named`` says."""
        self._named = named
        self.write_about(what)

    def end(self, what: About, numbers: Iterable[int], gone: Collection[int]) -> None:
        """A run is over. ``numbers``: its share of the requests, for whoever judges it; of what is ``gone`` nothing can be said."""
        names = b"".join(_NONE if number in gone else bytes.fromhex(self._name(number)) for number in numbers)
        put(self.folder / _REQUESTS, names)
        self.write_about(what)

    def _name(self, number: int) -> str:
        return self._named.key(number) + self._named.state(number)

    def write_about(self, what: About) -> None:
        put(self.folder / _ABOUT, msgspec.json.format(msgspec.json.encode(what), indent=2) + b"\n")

    # --- in -----------------------------------------------------------------------------------------------------------

    def keep_answer(self, number: int, of: str, arm: ArmRecord, bill: Bill = _FREE) -> None:
        """The answer of one arm to the request of that number."""
        self._answers.add(self._encoder.encode(AnswerLine(self._named.key(number), of, arm, bill.tokens, bill.cost)))

    def keep_pairs(self, lines: list[bytes]) -> None:
        """Encoded :class:`ComparedLine`."""
        for line in lines:
            head = _COMPARED_HEAD.decode(line)
            failed = tuple(arm for arm, outcome in head.outcomes() if Outcome(outcome).is_failure)
            key, state = self._named.key(head.n), self._named.state(head.n)
            self._pairs.add(self._encoder.encode(PairLine(key, state, head.by, msgspec.Raw(line), failed, head.given_up)))

    def check(self) -> None:
        """Raises :class:`StartError` where something could not be written."""
        for log in (self._answers, self._pairs):
            if log.failure is not None:
                raise _unwritten(self.folder, log.failure) from log.failure

    # --- out ----------------------------------------------------------------------------------------------------------

    def pairs(self, standing: Standing, on_damage: Callable[[Damage], None]) -> Pairs:
        """The pairs that stand: the last one of a request counts."""
        return pairs_in(self.folder, standing, self._unseal, on_damage)

    def names(self) -> list[str]:
        """What the requests of this share are called, in order; "" for one that is gone."""
        return names_in(self.folder)

    def answers(
        self, digests: Mapping[str, str], on_damage: Callable[[Damage], None], *, again: Callable[[str], bool] = lambda _: False
    ) -> Kept:
        """Answers that are kept. ``digests``: the arms as they are asked now; ``again`` says of an outcome that it is to be asked again.

        What an arm had no time for, or what was never sent, is no answer to keep.
        """
        decoder = msgspec.json.Decoder(_AnswerHead)
        cards, by_key = Cards(), dict[str, dict[str, int]]()
        spent: dict[str, Bill] = {}
        for segment, place, line in _lines_in(self.folder / _ANSWERS, self._unseal, on_damage):
            answer = decoder.decode(line)
            name = answer.arm.arm
            if digests.get(name) != answer.of:
                continue
            before = spent.get(name, Bill())
            spent[name] = Bill(before.tokens + answer.tokens, before.cost + answer.cost)
            if not answer.arm.was_given_up and not again(answer.arm.outcome):
                by_key.setdefault(answer.key, {})[name] = _added(cards, segment, place)
        return Kept(cards, by_key, spent, self._unseal)

    def close(self) -> None:
        self._answers.close()
        self._pairs.close()
        os.close(self._lock)


def put(path: Path, data: bytes) -> None:
    """Write a file for its owner alone, whole or not at all. Raises :class:`StartError`."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        part.replace(path)
    except OSError as exc:
        raise _unwritten(path, exc) from exc


def _unwritten(place: Path, failure: OSError) -> StartError:
    return StartError(f"{place}: cannot be written ({failure.strerror or failure}); make room and run this again, it goes on from here")


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
        raise InputError(f"{path}: cannot be read ({exc}); delete {folder} and run its replay anew") from exc


@dataclass(frozen=True, slots=True)
class Standing:
    """Which pairs stand: those compared ``by`` this, unless an arm outside of ``recorded`` was given up, or (``again``) failed."""

    by: str
    recorded: frozenset[str] = frozenset()
    is_again: bool = False


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of one folder. ``by_name``: key and state of a request, then its card."""

    cards: Cards
    by_name: dict[str, int]


def pairs_in(folder: Path, standing: Standing, unseal: Unseal | None, on_damage: Callable[[Damage], None]) -> Pairs:
    """See :meth:`Work.pairs`."""
    decoder = msgspec.json.Decoder(_PairHead)
    found = Pairs(Cards(), {})
    for segment, place, line in _lines_in(folder / _PAIRS, unseal, on_damage):
        head = decoder.decode(line)
        if head.by != standing.by:
            continue
        name = head.key + head.state
        if set(head.failed if standing.is_again else head.given_up) - standing.recorded:
            found.by_name.pop(name, None)
        else:
            found.by_name[name] = _added(found.cards, segment, place)
    return found


def names_in(folder: Path) -> list[str]:
    """See :meth:`Work.names`. Raises :class:`InputError`."""
    try:
        data = (folder / _REQUESTS).read_bytes()
    except OSError as exc:
        raise InputError(f"{folder}: does not say which requests it is about ({exc.strerror}); run its replay to the end") from exc
    names = (data[start : start + len(_NONE)] for start in range(0, len(data), len(_NONE)))
    return ["" if name == _NONE else name.hex() for name in names]


def _added(cards: Cards, segment: str, place: Place) -> int:
    """The card of a line that is read segment by segment."""
    if not cards.segments or cards.segments[-1] != segment:
        cards.segments.append(segment)
    return cards.add(len(cards.segments) - 1, place)


class _ArmHead(msgspec.Struct):
    arm: str
    outcome: str
    status: int = 0

    @property
    def was_given_up(self) -> bool:
        """It stayed busy or unreachable to the last try, or was never sent."""
        return is_given_up(self.outcome, self.status)


class _AnswerHead(msgspec.Struct):
    """As much of an :class:`AnswerLine` as tells whose it is, and whether it is one."""

    key: str
    of: str
    arm: _ArmHead
    tokens: float = 0.0
    cost: float = 0.0


class _OutcomeHead(msgspec.Struct):
    outcome: str


class _ComparedHead(msgspec.Struct):
    """As much of a :class:`ComparedLine` as its place and its arms' ends."""

    n: int
    by: str
    primary: str = ""
    found: dict[str, _OutcomeHead] = {}
    given_up: tuple[str, ...] = ()

    def outcomes(self) -> Iterator[tuple[str, str]]:
        if self.primary:
            yield PRIMARY, self.primary
        yield from ((arm, each.outcome) for arm, each in self.found.items())


_COMPARED_HEAD = msgspec.json.Decoder(_ComparedHead)


class _PairHead(msgspec.Struct):
    """As much of a :class:`PairLine` as tells whose it is, and whether it stands."""

    key: str
    state: str
    by: str
    failed: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


def _lines_in(folder: Path, unseal: Unseal | None, on_damage: Callable[[Damage], None]) -> Iterator[tuple[str, Place, bytes]]:
    if not folder.is_dir():
        return
    for path in segments_in(folder):
        for place, line in lines_of(str(path), unseal, on_damage):
            yield str(path), place, line


def decoded(line: bytes) -> ComparedLine:
    """The pair in a line of ``pairs/``."""
    return _DECODER.decode(line).line


class _Whole(msgspec.Struct):
    line: ComparedLine


_DECODER = msgspec.json.Decoder(_Whole)
