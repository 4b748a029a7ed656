"""The outline of a markdown text: what it is built of, without its words. PURE.

One pass over the lines, after the parts of CommonMark and of GitHub's tables that models write. ``structure`` compares outlines, and
``code`` judges the blocks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import dedent

#: Possessive: no part ever gives back what it took, so that a long line is read once.
_FENCE = re.compile(r"[ \t]*+(`{3,}+|~{3,}+)[ \t]*+([^\s`]*+)[^`]*+")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+\S")
#: The line under a table's head holds these and nothing else, at least one dash, and at least one bar.
_RULE_SIGNS = frozenset("|-: \t")

#: Longer texts have no outline: nobody reads them, and lines cost much more memory than characters.
MAX_CHARACTERS = 1024 * 1024
#: Blocks kept; the rest is only counted.
MAX_BLOCKS = 20


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code. ``language`` is the fence's first word in lower case, empty where there is none."""

    language: str
    code: str


@dataclass(frozen=True, slots=True)
class Outline:
    """``counts`` has ``headings``, ``list items``, ``tables`` and ``code blocks``, whichever there are."""

    counts: Mapping[str, int]
    blocks: tuple[Block, ...]

    def __str__(self) -> str:
        return ", ".join(f"{count} {part if count > 1 else part[:-1]}" for part, count in self.counts.items()) or "plain text"


def outline(text: str) -> Outline:
    """What ``text`` is built of. A fence that is never closed ends with the text."""
    counts: Counter[str] = Counter()
    blocks: list[Block] = []
    fence, language, code = "", "", list[str]()
    before = ""
    for line in text.splitlines() if len(text) <= MAX_CHARACTERS else ():
        mark = _FENCE.fullmatch(line) if "```" in line or "~~~" in line else None
        if fence:
            if mark is not None and mark[1].startswith(fence) and not mark[2]:
                _keep(blocks, language, code)
                fence = ""
            else:
                code.append(line)
        elif mark is not None:
            fence, language, code = mark[1], mark[2].casefold(), []
            counts["code blocks"] += 1
        elif part := _part(line, before):
            counts[part] += 1
        before = line
    if fence:
        _keep(blocks, language, code)
    return Outline(counts, tuple(blocks))


def _keep(blocks: list[Block], language: str, code: list[str]) -> None:
    if len(blocks) < MAX_BLOCKS:
        # In a list item, the whole block is indented.
        blocks.append(Block(language, dedent("\n".join(code))))


def _part(line: str, before: str) -> str:
    """What a line outside code begins, or nothing."""
    if "|" in line and "-" in line and "|" in before and _RULE_SIGNS.issuperset(line):
        return "tables"
    if _HEADING.match(line):
        return "headings"
    return "list items" if _ITEM.match(line) else ""
