"""All pairs of an evaluation on the disk, one JSON object a line, written as they come; and the heaviest of them as a table.

Memory holds the place of the heaviest lines, never the lines.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

import orjson

from shadowproxy.report.contents import shown_pair
from shadowproxy.report.pairs import PairShown
from shadowproxy.trackers.rows import COLUMNS, Cell, row

#: Rows of a table that a browser shows: MLflow and Weights & Biases load all of it at once (the latter at most 10,000 rows).
TABLE_ROWS = 5_000
#: Bytes of such a table, at most, as JSON.
TABLE_BYTES = 16 * 1024 * 1024


class PairFile:
    """Filled by :meth:`add`, then :meth:`close`, then read."""

    def __init__(self, path: Path, *, is_raw: bool = False, table_rows: int = TABLE_ROWS, table_bytes: int = TABLE_BYTES) -> None:
        self.path = path
        self.pairs = 0
        self._is_raw = is_raw
        self._table_rows, self._table_bytes = table_rows, table_bytes
        self._file = path.open("wb")
        #: (weight, less the number of the pair, where its line begins, its length)
        self._heaviest: list[tuple[float, int, int, int]] = []
        self._at = 0

    def add(self, pair: PairShown) -> None:
        """Write one pair, masked unless raw."""
        line = orjson.dumps(row(shown_pair(pair, is_raw=self._is_raw)), option=orjson.OPT_APPEND_NEWLINE)
        self._file.write(line)
        entry = (pair.weight, -self.pairs, self._at, len(line))
        (heapq.heappush if len(self._heaviest) < self._table_rows else heapq.heappushpop)(self._heaviest, entry)
        self.pairs += 1
        self._at += len(line)

    def close(self) -> None:
        """Everything is on the disk from here on."""
        self._file.close()

    def table(self) -> Iterator[list[Cell]]:
        """The rows that weigh most, the heaviest first; of equal ones the earlier. As many as fit into the bounds."""
        with self.path.open("rb") as file:
            for at, size in self._shown():
                file.seek(at)
                cells: dict[str, Cell] = orjson.loads(file.read(size))
                yield [cells[column] for column in COLUMNS]

    @property
    def left_out(self) -> int:
        """Pairs that the table has no room for."""
        return self.pairs - sum(1 for _ in self._shown())

    def _shown(self) -> Iterator[tuple[int, int]]:
        """Where the lines of the table begin, and how long they are."""
        room = self._table_bytes
        for _, _, at, size in sorted(self._heaviest, key=lambda entry: entry[:2], reverse=True):
            room -= size
            if room < 0:
                return
            yield at, size
