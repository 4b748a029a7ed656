"""Who looks after a run: is shown how far it is, and may end it early. A person at a terminal, or whoever gave the run out in a cluster."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AbstractContextManager
from typing import Protocol

from rich.console import Console

from shadowproxy.replay.progress import Shown
from shadowproxy.replay.running import Watcher
from shadowproxy.tasks import Tasks


class Overseer(Protocol):
    """Looks after one run."""

    def shown(self, total: int, to_ask: int, to_compare: int) -> AbstractContextManager[Watcher]:
        """What is told of each step. ``total``: requests of this share, with those that an earlier run has done."""

    def watch(self, stop: asyncio.Event, tasks: Tasks) -> None:
        """The run begins on this loop: set ``stop`` when it shall end early."""


class Foreground:
    """A run that has the process to itself: bars on the console, ended by SIGINT and SIGTERM."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def shown(self, total: int, to_ask: int, to_compare: int) -> AbstractContextManager[Watcher]:
        return Shown(self._console, total, to_ask, to_compare)

    def watch(self, stop: asyncio.Event, tasks: Tasks) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
