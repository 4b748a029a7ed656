"""The load generator and the model server in C, compiled on demand; without a compiler the Python ones stand in, and the output says so.

A generator in Python shares its core with the servers, is late by milliseconds and stops below what the proxies reach.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import messages
from machine import HERE, LoadTestError, program

TOOLS = HERE / "tools"
CACHE = HERE / ".cache"
NAMES = ("load", "upstream")
FORCE = "LOADTEST_GENERATOR"
"""Set to ``python`` in the environment, this keeps the C programs out."""
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra")
_without: list[str] = []


@functools.cache
def tool(name: str) -> Path | None:
    """The program of that name, compiled where it is not yet; None where it cannot be, with the reason in :func:`kind`."""
    if os.environ.get(FORCE, "").lower() == "python":
        _without.append(f"{FORCE} asks for it")
        return None
    compiler = program("cc") or program("gcc") or program("clang")
    if compiler is None:
        _without.append("no C compiler")
        return None
    try:
        return _build(compiler, name)
    except LoadTestError as exc:
        _without.append(str(exc))
        return None


def kind() -> str:
    """Who makes the load and answers it, as the output shall say."""
    return "C" if all(tool(name) for name in NAMES) else f"python ({_without[0]})"


def _build(compiler: str, name: str) -> Path:
    """Compile into a folder named after what goes in, so that a changed source is compiled anew and two runs never write one file."""
    header = messages.c_header()
    sources = sorted(TOOLS.glob("*.[ch]"))
    parts = [header.encode(), " ".join((compiler, *_FLAGS)).encode(), *(source.read_bytes() for source in sources)]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    for parent in (CACHE, Path(tempfile.gettempdir()) / f"loadtest-tools-{os.getuid()}"):
        found = parent / digest / name
        if found.is_file() and found.stat().st_uid in (0, os.getuid()):
            return found
        try:
            found.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=found.parent) as folder:
                _compile(compiler, TOOLS / f"{name}.c", header, Path(folder), found)
        except OSError:
            continue  # a read-only checkout
        return found
    raise LoadTestError(f"no place to compile {name}.c into")


def _compile(compiler: str, source: Path, header: str, folder: Path, found: Path) -> None:
    (folder / "messages.h").write_text(header)
    made = folder / source.stem
    arguments = [compiler, *_FLAGS, "-I", str(folder), str(source), "-o", str(made)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise LoadTestError(f"{Path(compiler).name} cannot compile {source.name}: {done.stderr.strip()[:300]}")
    shutil.move(made, found)
