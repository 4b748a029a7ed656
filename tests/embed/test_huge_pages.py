"""Which memory is asked for, and that asking changes no content."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.embed import huge_pages

LARGE = 2 * 1024 * 1024
addresses = st.integers(0, 1 << 46)


def line(first: int, last: int, rest: str) -> str:
    return f"{first:x}-{last:x} {rest}"


@given(addresses, st.integers(0, 9 * LARGE))
def test_only_whole_large_pages_within_the_memory_are_named(first: int, length: int) -> None:
    found = list(huge_pages.spans(line(first, first + length, "rw-p 00000000 00:00 0")))
    for start, size in found:
        assert start % LARGE == size % LARGE == 0
        assert first <= start < start + size <= first + length
    # What is left out at either end is less than a large page.
    assert length - sum(size for _, size in found) < 2 * LARGE


def test_files_stacks_and_what_cannot_be_written_are_left_alone() -> None:
    rests = [
        "r--p 00000000 00:00 0",
        "rw-s 00000000 00:00 0",
        "rw-p 00000000 00:00 0    [stack]",
        "rw-p 00000000 08:01 1234 /usr/lib/libc.so.6",
        "rw-p 00000000 00:01 77   /memfd:a name with spaces (deleted)",
    ]
    assert list(huge_pages.spans("\n".join(line(0, 4 * LARGE, rest) for rest in rests))) == []
    assert list(huge_pages.spans(line(0, 4 * LARGE, "rw-p 00000000 00:00 0    [heap]"))) == [(0, 4 * LARGE)]


def test_contents_stay() -> None:
    numbers = np.arange(4 * LARGE // 8)
    assert huge_pages.ask() >= 3
    np.testing.assert_array_equal(numbers, np.arange(4 * LARGE // 8))
