"""A wall clock that can be set, for the processes of one serve: a small library, preloaded, that adds a shift to what the kernel says."""

from __future__ import annotations

import contextlib
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

#: The shift lies in a file of eight bytes that every process maps, so that it holds from one call to the next.
_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile int64_t *shift;

__attribute__((constructor)) static void map_shift(void) {
    int fd = open(getenv("SHADOWPROXY_CLOCK"), O_RDONLY);
    void *at = fd < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) shift = at;
}
static int64_t by(void) { return shift ? *shift : 0; }

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) at->tv_sec += by();
    return result;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
"""


def preloaded(folder: Path) -> Mapping[str, str]:
    """Compile the library into ``folder``; the environment that makes a process use it. The clock is set by :func:`shifted`."""
    source, library, shift = folder / "clock.c", folder / "clock.so", folder / "clock"
    source.write_text(_SOURCE)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True, capture_output=True)
    _set(shift, 0)
    return {"LD_PRELOAD": str(library), "SHADOWPROXY_CLOCK": str(shift)}


@contextlib.contextmanager
def shifted(shift: Path, by_s: int) -> Iterator[None]:
    """Have the wrong time for the time of the block."""
    _set(shift, by_s)
    try:
        yield
    finally:
        _set(shift, 0)


def _set(shift: Path, by_s: int) -> None:
    if not shift.exists():
        shift.write_bytes(bytes(8))
    with shift.open("r+b") as file:
        file.write(struct.pack("q", by_s))
