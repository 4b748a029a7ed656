"""Serves whose log goes where it cannot be written."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.serve.serving import Serving


class FullLog(Serving):
    """Every line it logs fails: no space left on device."""

    def __init__(self, tree: Mapping[str, Any], env: Mapping[str, str]) -> None:
        super().__init__(tree, env)
        self._log = Path("/dev/full")

    @property
    def log(self) -> str:
        return ""  # reading /dev/full would never end


class PipedLog(Serving):
    """Its log is a pipe, which can be jammed."""

    def __init__(self, tree: Mapping[str, Any], env: Mapping[str, str]) -> None:
        super().__init__(tree, env)
        os.mkfifo(self._log)
        self._reading = os.open(self._log, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._reading, fcntl.F_SETPIPE_SZ, 4096)
        self._text = ""
        self._is_jammed = False

    @property
    def log(self) -> str:
        if not self._is_jammed:
            with contextlib.suppress(BlockingIOError):
                while data := os.read(self._reading, 65536):
                    self._text += data.decode(errors="replace")
        return self._text

    def jam(self) -> None:
        """Read no more, and leave no room."""
        _ = self.log
        self._is_jammed = True
        writing = os.open(self._log, os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"#" * 512)
        os.close(writing)

    def clear(self) -> None:
        """Read on."""
        self._is_jammed = False

    async def clean_up(self) -> None:
        await super().clean_up()
        os.close(self._reading)
