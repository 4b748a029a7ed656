"""Where journals lie: folders and files of this machine, and whatever fsspec knows by URL (the extra ``fsspec``).

Everything in this package that opens a file that somebody names goes through here.
"""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

from shadowproxy.errors import InputError, StartError

_REMEDY = "pip install 'llm-shadowproxy[fsspec]', and the package of the store (s3fs, gcsfs, adlfs …)"


#: Read at once from a store's own cache, which holds megabytes.
_BUFFER_BYTES = 64 * 1024


class FileSystem(Protocol):
    """What we use of an fsspec file system."""

    def ls(self, path: str, detail: bool) -> list[dict[str, Any]]: ...
    def put_file(self, local: str, remote: str) -> None: ...
    def rm_file(self, path: str) -> None: ...
    def makedirs(self, path: str, exist_ok: bool) -> None: ...
    def isdir(self, path: str) -> bool: ...
    def open(self, path: str, mode: str) -> BinaryIO: ...
    def invalidate_cache(self) -> None: ...


def is_url(place: str) -> bool:
    """False for a path of this machine."""
    return "://" in place


def file_system(url: str) -> tuple[FileSystem, str]:
    """The file system behind a URL, and the path in it. Raises :class:`StartError` that names what is missing."""
    try:
        import fsspec
    except ImportError as exc:
        raise StartError(f"{url}: fsspec is not installed; {_REMEDY}") from exc
    try:
        found, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as exc:
        raise StartError(f"{url}: {exc}; {_REMEDY}") from exc
    return cast("FileSystem", found), str(path)


def open_binary(place: str, mode: str = "rb") -> BinaryIO:
    """Raises :class:`InputError` that names the place."""
    try:
        if not is_url(place):
            return cast("BinaryIO", Path(place).open(mode))
        system, path = file_system(place)
        return _with_lines(system.open(path, mode), mode)
    except OSError as exc:
        raise InputError(f"{place}: cannot be opened ({exc.strerror or exc}); give the path or URL of a file") from exc


def _with_lines(file: BinaryIO, mode: str) -> BinaryIO:
    """Files of most stores read lines of any length only, those of http among them."""
    if mode != "rb" or isinstance(file, io.BufferedIOBase):
        return file
    return cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", file), _BUFFER_BYTES))


def files_at(place: str, suffixes: tuple[str, ...]) -> list[str]:
    """``place`` itself where it is a file; of a folder the files with these endings, by name. Raises :class:`InputError`."""
    try:
        if is_url(place):
            return _files_at_url(place, suffixes)
        path = Path(place)
        if path.is_dir():
            return sorted(str(each) for each in path.iterdir() if each.name.endswith(suffixes) and each.is_file())
        path.stat()
    except OSError as exc:
        raise InputError(f"{place}: cannot be read ({exc.strerror or exc}); give a file, a folder of segments, or a URL of one") from exc
    return [place]


def _files_at_url(url: str, suffixes: tuple[str, ...]) -> list[str]:
    system, path = file_system(url)
    if not system.isdir(path):
        return [url]
    scheme = url.partition("://")[0]
    found = (str(each["name"]) for each in system.ls(path, detail=True) if each["type"] == "file")
    return sorted(f"{scheme}://{name}" for name in found if name.endswith(suffixes))


def name_of(place: str) -> str:
    """The last part of a path or URL."""
    return PurePosixPath(place).name
