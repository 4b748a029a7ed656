"""Log lines on standard error: for people, or one JSON object a line. Values that could carry a secret are never logged at all.

Whoever logs never waits: a thread writes. Where standard error is a pipe and its reader stands still, or its disk is full, lines are lost,
not requests.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from datetime import UTC, datetime

import orjson

from shadowproxy.config import Log

#: Lines that wait for a slow reader. Minutes of an ordinary log, and a few hundred kB.
_WAITING_LINES = 2000

#: At the end, how long what waits may take to be written.
_LAST_LINES_S = 1.0


class _Lines(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)-7s {process} %(name)s: %(message)s")


class _JsonLines(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


class Patient(logging.Handler):
    """Writes to a file descriptor from a thread of its own. Lines past the bound are dropped, and told when there is room again."""

    def __init__(self, fd: int, *, waiting_lines: int = _WAITING_LINES) -> None:
        super().__init__()
        self._fd = fd
        self._lines: queue.Queue[str] = queue.Queue(waiting_lines)
        self._dropped = 0
        # Not sys.stderr's own write: a thread that hangs in it would hold its lock at the end of the process.
        threading.Thread(target=self._write_forever, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self.format(record) + "\n")
        except queue.Full:
            self._dropped += 1
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)

    def flush(self) -> None:
        """Wait until all is written, a second at most. Called at the end of the process, too."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, _LAST_LINES_S)

    def _write_forever(self) -> None:
        while True:
            line = self._lines.get()
            self._write(line.encode(errors="backslashreplace"))
            if self._dropped and self._lines.empty():
                dropped, self._dropped = self._dropped, 0
                self.handle(
                    logging.LogRecord(
                        __name__, logging.WARNING, "", 0, "%d lines of this log were dropped: nobody read it", (dropped,), None
                    )
                )
            self._lines.task_done()

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            self._dropped += 1  # a full disk, or a pipe that is closed


def set_up(section: Log, process: str) -> None:
    """Send this process's log to standard error."""
    handler = Patient(sys.stderr.fileno())
    handler.setFormatter(_JsonLines(process) if section.format == "json" else _Lines(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(section.level.upper())
