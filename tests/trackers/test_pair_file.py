"""Pairs on the disk: all of them, masked, and the heaviest as a table within its bounds."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import orjson

from shadowproxy.report.pairs import ArmShown, PairShown, excerpt
from shadowproxy.trackers.pair_file import PairFile
from shadowproxy.trackers.rows import COLUMNS
from tests.trackers.example import MAIL, pairs, weighing


def written(path: Path, given: list[PairShown], **options: bool | int) -> PairFile:
    file = PairFile(path / "pairs.jsonl", **options)  # type: ignore[arg-type]
    for pair in given:
        file.add(pair)
    file.close()
    return file


def lines(file: PairFile) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in file.path.read_bytes().splitlines()]


def test_every_pair_is_a_line_with_every_column(tmp_path: Path) -> None:
    given = list(pairs())
    found = lines(written(tmp_path, given))
    assert [each["id"] for each in found] == [pair.id for pair in given]
    assert {tuple(each) for each in found} == {COLUMNS}
    first = found[0]
    assert (first["severity"], first["kinds"]) == ("major", "facts.number, facts.quantifier")
    assert (
        first["findings"]
        == "major facts.number: 13.9 million → 139 million\nminor facts.quantifier: the largest in the world → one of the largest in Asia"
    )
    assert first["outcome_control"] == "ok"
    assert (first["similarity"], first["divergence"]) == (0.82, 0.93)


def test_what_is_not_known_is_nothing(tmp_path: Path) -> None:
    pair = replace(next(pairs(0)), control=None, control_likeness=None, candidate=ArmShown())
    (found,) = lines(written(tmp_path, [pair]))
    for column in ("control", "outcome_control", "similarity_control", "candidate", "ttft_s_candidate"):
        assert found[column] is None


def test_texts_are_masked_unless_raw(tmp_path: Path) -> None:
    assert MAIL.encode() not in written(tmp_path, list(pairs(0))).path.read_bytes()
    assert MAIL.encode() in written(tmp_path, list(pairs(0)), is_raw=True).path.read_bytes()


def test_text_cannot_steer_the_page_or_break_the_file(tmp_path: Path) -> None:
    pair = replace(next(pairs(0)), question=excerpt("half \ud83d, \u202eturned\u202c, \x1b[31mred"))
    (found,) = lines(written(tmp_path, [pair]))
    assert found["question"] == "half \ufffd, ⟨U+202E⟩turned⟨U+202C⟩, ⟨U+001B⟩[31mred"


def test_long_text_is_cut_and_says_so(tmp_path: Path) -> None:
    (found,) = lines(written(tmp_path, [replace(next(pairs(0)), question=excerpt("word " * 10_000))]))
    assert str(found["question"]).endswith("… (50000 characters)")
    assert len(str(found["question"])) < 12_100


def test_table_has_the_heaviest_first_and_of_equal_ones_the_earlier(tmp_path: Path) -> None:
    pair = next(pairs(0))
    given = [replace(weighing(pair, weight), id=name) for name, weight in (("a", 0.2), ("b", 0.9), ("c", 0.2), ("d", 0.5))]
    file = written(tmp_path, given, table_rows=3)
    assert [cells[0] for cells in file.table()] == ["b", "d", "a"]
    assert (file.pairs, file.left_out) == (4, 1)


def test_table_ends_where_it_would_be_too_large(tmp_path: Path) -> None:
    given = list(pairs())
    size = written(tmp_path, given).path.stat().st_size
    rows = list(written(tmp_path, given, table_bytes=size // 2).table())
    assert 0 < len(rows) < len(given)
    assert len(orjson.dumps(rows)) <= size // 2


def test_memory_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    pair = replace(next(pairs(0)), question=excerpt("x" * 8_000))
    file = PairFile(tmp_path / "pairs.jsonl", is_raw=True, table_rows=100)
    file.add(pair)
    tracemalloc.start()
    try:
        for _ in range(500):
            file.add(pair)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        file.close()
    assert file.path.stat().st_size > 4_000_000
    assert grown < 200_000
