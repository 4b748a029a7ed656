"""Who looks after a run: is shown how far it is, and may end it early. A person at a terminal, or whoever gave the run out in a cluster."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console

from shadowproxy.replay.progress import Shown
from shadowproxy.replay.running import Watcher
from shadowproxy.tasks import Tasks


def endings() -> tuple[signal.Signals, ...]:
    """The signals that end a run: Ctrl-C, whoever ends processes, and a terminal that is closed unless ``nohup`` has it ignored."""
    is_held = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM) if is_held else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupted() -> Iterator[None]:
    """Within, all :func:`endings` raise ``KeyboardInterrupt``, as Ctrl-C does: what reads or judges is not on a loop that could be told."""
    with _handled_as_before():
        for number in endings():
            signal.signal(number, signal.default_int_handler)
        yield


@contextmanager
def _handled_as_before() -> Iterator[None]:
    """A loop that is closed leaves the signals it has handled to the system, which would end the process at once."""
    before = {number: signal.getsignal(number) for number in endings()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


class Overseer(Protocol):
    """Looks after one run."""

    def shown(self, total: int, to_ask: int, to_compare: int) -> AbstractContextManager[Watcher]:
        """What is told of each step. ``total``: requests of this share, with those that an earlier run has done."""

    def watch(self, stop: asyncio.Event, tasks: Tasks) -> None:
        """The run begins on this loop: set ``stop`` when it shall end early."""


class Foreground:
    """A run that has the process to itself: bars on the console, ended by any of :func:`endings`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def shown(self, total: int, to_ask: int, to_compare: int) -> Iterator[Watcher]:
        with _handled_as_before(), Shown(self._console, total, to_ask, to_compare) as shown:
            yield shown

    def watch(self, stop: asyncio.Event, tasks: Tasks) -> None:
        for number in endings():
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
