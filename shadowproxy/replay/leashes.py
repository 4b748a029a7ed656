"""What ends the processes of a replay: they live as long as their parent holds the other end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

#: A terminal sends them to all in front; the parent ends its processes itself.
_OF_A_TERMINAL = (signal.SIGINT, signal.SIGHUP)

#: Added to the niceness of a process (nice(2)).
_NICENESS = 10


class Leash:
    """The parent's end. ``context`` starts processes that get ``held`` with them."""

    def __init__(self) -> None:
        self.context = get_context("spawn")  # a fork would carry the loop and its sockets along
        self.held, self._own = self.context.Pipe(duplex=False)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """What is started within does not die, with a traceback on the terminal, of a Ctrl-C before it holds the leash."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_A_TERMINAL)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def close(self) -> None:
        """End all that hold it, whatever they have in hand."""
        self._own.close()
        self.held.close()

    @staticmethod
    def hold(held: Connection) -> None:
        """In the process: end with the parent, and not before it; take no time from what is being timed."""
        for number in _OF_A_TERMINAL:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_A_TERMINAL)
        os.nice(_NICENESS)
        threading.Thread(target=_end_with, args=(held,), name="leash", daemon=True).start()


def _end_with(held: Connection) -> None:
    """The parent lets go when it is done, and when it is killed, of which it tells nobody. The queue of work does not show it: its other
    end is held here, too."""
    wait([held])
    os._exit(1)
