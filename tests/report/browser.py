"""A real browser without a window: what a page looks like in it, and what it complains about."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

#: What Debian, Fedora, Alpine and Google call it.
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

#: Seconds for one page, on a machine that does much else.
_DEADLINE_S = 90.0


@dataclass(frozen=True, slots=True)
class Seen:
    """``output`` is what was asked for (the DOM), ``complaints`` what the page wrote to the console."""

    output: str
    complaints: tuple[str, ...]


def chromium() -> str:
    """Its path; skips the test where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("chromium is not installed")
    return found


def opened(page: Path, profile: Path, *options: str, is_dark: bool = False) -> Seen:
    """Open a page with an empty profile and close it."""
    command = [
        chromium(),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        f"--user-data-dir={profile}",
        f"--blink-settings=preferredColorScheme={0 if is_dark else 1}",
        *options,
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, timeout=_DEADLINE_S, check=True)
    errors = done.stderr.decode("utf-8", "replace").splitlines()
    return Seen(done.stdout.decode("utf-8", "replace"), tuple(line for line in errors if "CONSOLE" in line))


@dataclass(frozen=True, slots=True)
class Screenshot:
    """``corner`` is the colour of the first pixel; ``size_bytes`` tells how much is drawn."""

    width: int
    height: int
    corner: tuple[int, int, int]
    size_bytes: int


def screenshot(path: Path) -> Screenshot:
    """Read a PNG of 8-bit RGB or RGBA. The first pixel of the first row is itself whatever the row's filter, having no neighbours."""
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))
    data, at = b"", 8
    while at < len(content):
        size = int.from_bytes(content[at : at + 4])
        if content[at + 4 : at + 8] == b"IDAT":
            data += content[at + 8 : at + 8 + size]
        at += size + 12
    red, green, blue = zlib.decompress(data)[1:4]
    return Screenshot(width, height, (red, green, blue), len(content))
