"""One share of a replay, as a Ray worker runs it: the same run as on any machine, told to the board instead of a terminal.

What goes wrong comes back as a value: an exception would cross processes as a pickle, and lose which node it was.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from shadowproxy.config import build
from shadowproxy.errors import ConfigError, InputError, ShadowproxyError
from shadowproxy.journal.places import is_url
from shadowproxy.replay.command import Finished, Request, replay
from shadowproxy.replay.running import Watcher
from shadowproxy.replay.work import FolderBusy, Share
from shadowproxy.tasks import Tasks

_log = logging.getLogger(__name__)

#: A worker tells so often how far it is, and hears as often whether to go on.
_TELL_S = 0.5

#: A lock of a worker that died may be held on, on a network file system until its server misses the machine.
_LOCK_PATIENCE_S = 60.0
_LOCK_LOOK_S = 0.5


class BoardCalls(Protocol):
    """A :class:`~shadowproxy.replay.ray_board.Board` somewhere else. A call that never arrives raises."""

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Wait for the answer, on this thread."""

    async def ask_soon(self, method: str, *arguments: Any) -> Any:
        """Wait for it on the event loop."""


@dataclass(frozen=True, slots=True)
class ShareTask:
    """What a worker needs. ``tree`` is the configuration with references to secrets, never secrets. ``mark`` stands in the file
    ``marked`` within the work folder: a worker that reads another has another folder by the same name."""

    request: Request
    share: Share
    tree: Mapping[str, Any]
    marked: Path
    mark: str


@dataclass(frozen=True, slots=True)
class ShareEnded:
    """What became of a share. ``failure`` is empty where nothing failed, ``is_input``: it is for the command line to mend."""

    index: int
    node: str
    total: int = 0
    is_stopped: bool = False
    failure: str = ""
    is_input: bool = False


class _Told:
    """The overseer of a share: tells the board, and stops the run when it hears so, or when the board is gone."""

    def __init__(self, index: int, board: BoardCalls) -> None:
        self._index = index
        self._board = board
        self._compared = 0
        self._goes_on = True

    def shown(self, total: int, to_ask: int, to_compare: int) -> AbstractContextManager[Watcher]:
        self._compared = total - to_compare
        self._goes_on = self._board.ask("begin", self._index, total, self._compared)
        return nullcontext(self)

    def asked(self, requests: int) -> None:
        """What is compared is told."""

    def compared(self, requests: int) -> None:
        self._compared += requests

    def told(self, line: str) -> None:
        _log.warning("share %s: %s", self._index, line)

    def watch(self, stop: asyncio.Event, tasks: Tasks) -> None:
        tasks.start("board", self._tell(stop))

    async def _tell(self, stop: asyncio.Event) -> None:
        try:
            while self._goes_on:
                await asyncio.sleep(_TELL_S)
                self._goes_on = await self._board.ask_soon("tell", self._index, self._compared)
        finally:
            stop.set()  # also where the board is gone: whoever gave this share out waits for it no more


def run_share(task: ShareTask, board: BoardCalls) -> ShareEnded:
    """Run one share to its end."""
    index, node = task.share.index, socket.gethostname()
    try:
        if not board.ask("goes_on"):
            return ShareEnded(index, node, is_stopped=True)
        _check_places(task)
        finished = _replayed(task, _Told(index, board))
    except ConfigError as exc:
        return ShareEnded(index, node, failure="; ".join(map(str, exc.problems)), is_input=True)
    except InputError as exc:
        return ShareEnded(index, node, failure=str(exc), is_input=True)
    except ShadowproxyError as exc:
        return ShareEnded(index, node, failure=str(exc))
    total = len(task.share.numbers(finished.total))
    board.ask("end", index, total, is_done=not finished.done.is_stopped)
    return ShareEnded(index, node, finished.total, finished.done.is_stopped)


def _check_places(task: ShareTask) -> None:
    """Raises :class:`InputError` where this machine does not see what the one that gave the share out sees."""
    request = task.request
    if not is_url(request.source) and not Path(request.source).exists():
        raise InputError(f"{request.source}: is not there; put the capture where every worker reaches it by this path, or give a URL")
    try:
        found = task.marked.read_text(encoding="ascii")
    except OSError:
        found = ""
    if found != task.mark:
        raise InputError(
            f"{task.marked.parent}: is not the work folder of this run here; name with --work one that every worker reaches by this path"
        )


def _replayed(task: ShareTask, told: _Told) -> Finished:
    """As the command does it; a lock that outlives its holder is waited for."""
    config, quiet = build(task.tree), Console(quiet=True)
    patience_s = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            return replay(task.request, config, quiet, told)
        except FolderBusy:
            if time.monotonic() > patience_s:
                raise
            time.sleep(_LOCK_LOOK_S)
