"""Finished segments from the spool to a URL. A thread of its own: an object store may take seconds, and the writer goes on meanwhile.

What cannot be delivered stays in the spool and is tried again; the spool's own bound removes the oldest if that goes on for long.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from shadowproxy.journal.places import FileSystem, file_system
from shadowproxy.journal.segments import SUFFIX, segments_in

_log = logging.getLogger(__name__)

#: Between tries while a store does not answer.
_RETRY_S = 10.0

#: Longest silence: the spool of an earlier process may hold something that nobody has announced.
_LOOK_S = 60.0


def spool_for(url: str) -> Path:
    """The default spool of a URL: the same after a restart, another one for another URL."""
    digest = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"shadowproxy-journal-{digest}"


class Shipper:
    """``open_path`` says which file of the spool is still written; the others are finished. ``max_bytes`` bounds what lies at the URL."""

    def __init__(self, url: str, spool: Path, open_path: Callable[[], Path | None], max_bytes: int) -> None:
        """Raises :class:`~shadowproxy.errors.StartError` where the URL's file system is not installed."""
        self.shipped = self.failed = self.removed = 0
        self._system, self._base = file_system(url)
        self._url = url
        self._spool = spool
        self._open_path = open_path
        self._max_bytes = max_bytes
        self._work = threading.Event()
        self._has_ended = False
        self._is_told = False
        self._thread = threading.Thread(target=self._ship_forever, name="journal shipping", daemon=True)

    def start(self) -> None:
        self._work.set()
        self._thread.start()

    def wake(self) -> None:
        """A segment is finished."""
        self._work.set()

    def close(self, within_s: float) -> None:
        """Deliver what is finished, for a moment at most. What is left lies in the spool for the next start."""
        self._has_ended = True
        self._work.set()
        self._thread.join(within_s)

    def _ship_forever(self) -> None:
        wait_s = _LOOK_S
        while True:
            self._work.wait(wait_s)
            self._work.clear()
            is_last = self._has_ended
            wait_s = _LOOK_S if self._ship_all() else _RETRY_S
            if is_last:
                return

    def _ship_all(self) -> bool:
        """Deliver everything that is finished, oldest first. False where the store fails."""
        try:
            for path in segments_in(self._spool):
                if path != self._open_path():
                    _deliver(self._system, self._base, path)
                    self.shipped += 1
                    self.removed += _trim(self._system, self._base, self._max_bytes)
        except Exception as exc:  # noqa: BLE001 - every store has exceptions of its own
            self.failed += 1
            if not self._is_told:
                _log.error("%s: a segment of the journal cannot be delivered, and stays in %s: %s", self._url, self._spool, exc)
            self._is_told = True
            return False
        self._is_told = False
        return True


def _deliver(system: FileSystem, base: str, path: Path) -> None:
    system.makedirs(base, exist_ok=True)
    system.put_file(str(path), f"{base.rstrip('/')}/{path.name}")
    path.unlink(missing_ok=True)


def _trim(system: FileSystem, base: str, max_bytes: int) -> int:
    """Remove the oldest segments at the URL until the rest fits; how many went."""
    system.invalidate_cache()
    found = sorted(
        (str(each["name"]), int(each["size"] or 0)) for each in system.ls(base, detail=True) if str(each["name"]).endswith(SUFFIX)
    )
    excess = sum(size for _, size in found) - max_bytes
    removed = 0
    for name, size in found:
        if excess <= 0:
            break
        system.rm_file(name)
        excess -= size
        removed += 1
    return removed
