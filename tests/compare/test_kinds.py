"""The table of kinds is complete: nothing is reported that it does not explain, and it explains nothing that is never reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import shadowproxy.compare
from shadowproxy.compare.kinds import KINDS, divergence
from shadowproxy.exchange import Severity


def test_every_kind_in_the_code_is_in_the_table_and_back() -> None:
    folder = Path(shadowproxy.compare.__file__).parent
    code = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py") if path.name != "kinds.py")
    families = "|".join(sorted({kind.partition(".")[0] for kind in KINDS}))
    named = set(re.findall(rf'"((?:{families})\.[a-z_]+)"', code))
    # Some put a kind together from its family and a word of theirs.
    composed = {family for family in families.split("|") if f'f"{family}.{{' in code}
    named |= {kind for kind in KINDS if kind.partition(".")[0] in composed and f'"{kind.partition(".")[2]}"' in code}
    assert named == set(KINDS)


def test_every_kind_has_one_line_of_documentation() -> None:
    for kind, line in KINDS.items():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", kind)
        assert line.endswith(".")
        assert "\n" not in line


def test_a_kind_outside_the_table_cannot_be_reported() -> None:
    with pytest.raises(KeyError):
        divergence("text.mood", Severity.INFO, "", "")
