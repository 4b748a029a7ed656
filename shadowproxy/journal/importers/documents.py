"""The JSON values of files that people export: one a line, one after the other in any layout, or in an array. And rows of CSV."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import orjson
import zstandard

from shadowproxy.errors import InputError
from shadowproxy.journal.importers.made import Unusable
from shadowproxy.journal.places import name_of, open_binary

#: Longest line, and longest file of a format that has to be read whole.
MAX_LINE_BYTES = 256 * 1024 * 1024
MAX_FILE_BYTES = 1024 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"

NOT_JSON = "not JSON"
NOT_AN_OBJECT = "not a JSON object"


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object, or a row of CSV, and where it stands."""

    place: str
    fields: Mapping[str, Any]


def documents(files: Sequence[str]) -> Iterator[Document | Unusable]:
    """Every object in these files, in order. Raises :class:`InputError` where a file cannot be read."""
    for file in files:
        for place, value in _rows(file) if _plain_name(file).endswith(".csv") else _values(file):
            if isinstance(value, Unusable):
                yield value
            elif isinstance(value, dict):
                yield Document(place, value)
            else:
                yield Unusable(place, NOT_AN_OBJECT, type(value).__name__)


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """The bytes of a file, unzipped where its name ends with ``.gz`` or ``.zst``. Raises :class:`InputError` where that breaks off."""
    with open_binary(file) as raw:
        try:
            yield _unzipped(file, raw)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as exc:
            raise InputError(f"{file}: cannot be read ({exc}); give a whole file") from exc


def _unzipped(file: str, raw: BinaryIO) -> BinaryIO:
    if file.endswith(".gz"):
        return cast("BinaryIO", gzip.GzipFile(fileobj=raw))
    if file.endswith(".zst"):
        return cast("BinaryIO", io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)))
    return raw


def whole(file: str) -> bytes:
    """All of a file. Raises :class:`InputError` where it is too long to be read whole."""
    with opened(file) as source:
        data = source.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{file}: is longer than {MAX_FILE_BYTES} bytes; split it")
    return data.removeprefix(_BOM)


def _plain_name(file: str) -> str:
    return name_of(file).removesuffix(".gz").removesuffix(".zst").lower()


def _values(file: str) -> Iterator[tuple[str, Any]]:
    """JSON lines where the first line is a whole value, else values one after the other. Arrays give their items."""
    with opened(file) as source:
        first = source.readline(MAX_LINE_BYTES)
    for place, value in _lines(file) if _parses(first) else _concatenated(file):
        if isinstance(value, list):
            yield from ((f"{place}, item {number}", item) for number, item in enumerate(value, 1))
        else:
            yield place, value


def _parses(line: bytes) -> bool:
    try:
        orjson.loads(line.removeprefix(_BOM))
    except ValueError:
        return False
    return True


def _lines(file: str) -> Iterator[tuple[str, Any]]:
    name, number = name_of(file), 0
    with opened(file) as source:
        while line := source.readline(MAX_LINE_BYTES):
            number += 1
            text = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
            place = f"{name}, line {number}"
            try:
                if text:
                    yield place, orjson.loads(text)
            except ValueError as exc:
                yield place, Unusable(place, NOT_JSON, str(exc))


def _concatenated(file: str) -> Iterator[tuple[str, Any]]:
    name, text = name_of(file), whole(file).decode("utf-8", "surrogateescape")
    decoder, at, number = json.JSONDecoder(), 0, 0
    while (at := _next_sign(text, at)) < len(text):
        number += 1
        place = f"{name}, value {number} (character {at})"
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as exc:
            yield place, Unusable(place, NOT_JSON, f"{exc}; what follows in this file is lost")
            return
        yield place, value


def _next_sign(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


def _rows(file: str) -> Iterator[tuple[str, Any]]:
    """Rows by the names in the first one; what is empty is left out."""
    csv.field_size_limit(MAX_LINE_BYTES)
    name = name_of(file)
    with opened(file) as source:
        reader = csv.DictReader(io.TextIOWrapper(source, encoding="utf-8-sig", errors="replace", newline=""))
        try:
            for row in reader:
                yield f"{name}, line {reader.line_num}", {key: value for key, value in row.items() if key is not None and value}
        except csv.Error as exc:
            yield name, Unusable(f"{name}, line {reader.line_num}", "not CSV", str(exc))
