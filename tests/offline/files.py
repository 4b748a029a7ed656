"""Files of recorded answers, for the tests of the offline commands."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

CITIES = ("Tokyo", "Paris", "Lima", "Oslo", "Cairo", "Quito", "Rome", "Bern")


def write(path: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return path


def answers(count: int, *, wrong: float = 0.0, failed: float = 0.0, seed: int = 0, **fields: Any) -> list[dict[str, Any]]:
    """Answers to ``count`` different questions: all the same but for a share that names another number, and one that failed."""
    dice = random.Random(seed)
    lines: list[dict[str, Any]] = []
    for number in range(count):
        people = number * 7 + 1000
        if dice.random() < wrong:
            people *= 10
        line = {"id": number, "prompt": f"How many people live in district {number} of {CITIES[number % 8]}?", **fields}
        line |= {"error": "timeout"} if dice.random() < failed else {"answer": f"District {number} of the city has {people} inhabitants."}
        lines.append(line)
    return lines
