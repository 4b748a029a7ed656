"""A loaded model's memory in pages of 2 MB.

All weights are read for every window, and in pages of 4 kB they outnumber what the processor remembers of where pages lie: looking that
up takes 3 to 7 % of the time. Most kernels give large pages to those who ask (``transparent_hugepage`` set to ``madvise``), and neither
onnxruntime nor the C library asks. ``onnx`` does once its model has run.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

_SIZE = 2 * 1024 * 1024
# <linux/mman.h>
_ADVISE = 14
_COLLAPSE = 25  # at once, since Linux 6.1; older kernels refuse and see to it in the background


def ask() -> int:
    """Ask for large pages for what this process has allocated so far; returns how many were asked for.

    Advice: contents stay, and where the kernel declines, nothing changes.
    """
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    asked = 0
    for start, length in spans(Path("/proc/self/maps").read_text()):
        for advice in (_ADVISE, _COLLAPSE):
            madvise(start, length, advice)
        asked += length // _SIZE
    return asked


def spans(maps: str) -> Iterator[tuple[int, int]]:
    """Start and length of the whole large pages within private memory that is no file's, from the text of ``/proc/self/maps``."""
    for line in maps.splitlines():
        bounds, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights != "rw-p" or inode != "0" or name not in ([], ["[heap]"]):
            continue
        first, last = (int(bound, 16) for bound in bounds.split("-"))
        start, end = -(-first // _SIZE) * _SIZE, last // _SIZE * _SIZE
        if start < end:
            yield start, end - start
