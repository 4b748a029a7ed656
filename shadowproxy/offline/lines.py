"""Files of JSON lines, as people and scripts write them: every line stands alone, and every mistake is named by line and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from shadowproxy.errors import InputError

#: Longest line. A pair of the longest answers that the proxy itself would keep fits; without a bound, a file without line breaks would be
#: read into memory whole.
MAX_LINE_BYTES = 256 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """A JSON object, with its line number from 1."""

    number: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not one. ``column`` counts characters from 1, 0 where the whole line is meant."""

    number: int
    column: int
    problem: str

    def __str__(self) -> str:
        where = f"line {self.number}, column {self.column}" if self.column else f"line {self.number}"
        return f"{where}: {self.problem}"


def read(path: Path) -> Iterator[Line | BadLine]:
    """Every line of ``path`` that is not blank. Raises :class:`InputError` where the file cannot be read."""
    try:
        with path.open("rb") as file:
            yield from _lines(file)
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror}); give the path of a file of JSON lines") from exc


def _lines(file: BinaryIO) -> Iterator[Line | BadLine]:
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
            _skip(file)
            yield BadLine(number, 0, f"is longer than {MAX_LINE_BYTES} bytes; one JSON object a line is expected")
        elif text := raw.removeprefix(_BOM).strip() if number == 1 else raw.strip():
            yield _line(number, text)


def _skip(file: BinaryIO) -> None:
    while (piece := file.readline(MAX_LINE_BYTES)) and not piece.endswith(b"\n"):
        pass


def _line(number: int, text: bytes) -> Line | BadLine:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        return BadLine(number, exc.colno, f"is not JSON ({exc.msg}); write one JSON object a line")
    if not isinstance(value, dict):
        return BadLine(number, 1, "is not a JSON object; write {…} with the fields of one request")
    return Line(number, value)
