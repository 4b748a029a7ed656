"""Public data sets as pairs of texts, for ``scripts/quality.py`` and ``scripts/train_facts.py``. They are not part of this repository.

``--data`` names the folder that holds them: ``pairs/summedits/summedits_<domain>.json.gz`` and so on, as published.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Labelled:
    """Two texts about the same thing, and whether they say something different of it. ``group`` is shared by all made from one original."""

    primary: str
    other: str
    is_changed: bool
    group: str = ""


def read(path: Path) -> str:
    """The text of a file, gzipped or not."""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")


def rows(path: Path, delimiter: str = "\t", *, has_quotes: bool = False) -> list[dict[str, str]]:
    quoting = csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE
    return list(csv.DictReader(io.StringIO(read(path)), delimiter=delimiter, quoting=quoting))


def summedits_domains(data: Path) -> list[str]:
    return sorted(path.name.removeprefix("summedits_").split(".")[0] for path in (data / "pairs" / "summedits").glob("summedits_*.json*"))


def summedits(data: Path, domain: str) -> dict[str, list[Labelled]]:
    """SummEdits (Laban et al. 2023), by kind of pair.

    ``direct``: an original summary against an edited one, whose label says whether the edit is still consistent with the document.
    ``cross``: a consistent edit against another edit of the same original; it is changed where the other one is not consistent.
    """
    path = next((data / "pairs" / "summedits").glob(f"summedits_{domain}.json*"))
    edited: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(read(path)):
        if row["summary"] != row["original_summary"]:
            edited.setdefault(row["original_summary"], []).append(row)
    direct = [Labelled(original, row["summary"], not row["label"], original) for original, group in edited.items() for row in group]
    return {"direct": direct, "cross": list(_cross(edited))}


def _cross(edited: dict[str, list[dict[str, Any]]]) -> Iterator[Labelled]:
    for original, group in edited.items():
        paraphrases = [row["summary"] for row in group if row["label"]]
        for a, b in combinations(paraphrases, 2):
            if a != b:
                yield Labelled(a, b, False, original)
        for a in paraphrases:
            for row in group:
                if not row["label"]:
                    yield Labelled(a, row["summary"], True, original)
