"""Counts by what is judged together, and what was lost of each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.verdict.book import Book, Losses, Stratum
from shadowproxy.verdict.cells import CellKey

NOTHING_LOST = Losses(0, {}, {})


def errors(n: int, route: str = "", label: str = "") -> dict[CellKey, int]:
    return {CellKey(route, "error", "both_ok", label): n}


def lost(book: Book) -> dict[str, int]:
    return {stratum.label: n for stratum, n in book.lost.items()}


CELLS = {
    **errors(600, "chat"),
    **errors(400, "tools"),
    **errors(700, label="language=en"),
    **errors(300, label="language=de"),
    **errors(500, label="tools=yes"),
    **errors(500, label="tools=no"),
}


def test_a_pair_is_counted_once_however_many_checks_and_slices_it_has() -> None:
    book = Book.of({**CELLS, CellKey("chat", "similarity", "0.00"): 580}, NOTHING_LOST, 10.0, 0.05)
    assert book.pairs == 1000
    assert book.sizes[Stratum("chat")] == 600
    assert book.seen(Stratum("chat"), "similarity") == 580
    assert book.rate(Stratum("chat"), "similarity") == 5.8
    assert book.seen(Stratum("", "language=de"), "similarity") == 0
    assert book.total("error") == {"both_ok": 1000}


def test_strata_are_said_routes_first_and_large_before_small() -> None:
    assert [stratum.label for stratum in Book.of(CELLS, NOTHING_LOST, 0.0, 0.05).strata] == [
        "chat",
        "tools",
        "language=en",
        "tools=no",
        "tools=yes",
        "language=de",
    ]


def test_what_was_lost_anywhere_counts_everywhere() -> None:
    assert set(lost(Book.of(CELLS, Losses(20, {}, {}), 0.0, 0.05)).values()) == {20}


def test_what_is_known_of_one_dimension_says_nothing_of_another() -> None:
    known = Losses(20, {"chat": 20}, {"language=de": 10, "tools=yes": 20})
    assert lost(Book.of(CELLS, known, 0.0, 0.05)) == {
        "chat": 20,
        "tools": 0,
        "language=de": 20,
        "language=en": 10,
        "tools=yes": 20,
        "tools=no": 0,
    }


@given(st.integers(0, 100), st.dictionaries(st.sampled_from(["chat", "tools", "gone"]), st.integers(-5, 60)))
def test_no_lost_pair_is_forgotten(total: int, by_route: dict[str, int]) -> None:
    book = Book.of(CELLS, Losses(total, by_route, {}), 0.0, 0.05)
    assert sum(book.lost[Stratum(route)] for route in ("chat", "tools")) >= total
