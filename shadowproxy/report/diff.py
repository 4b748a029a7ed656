"""Where two texts differ, word by word. PURE, and bounded whatever the texts are.

``difflib`` looks for the longest run of words that both have, then left and right of it, which reads better than a shortest edit script.
Its costs are bounded by :data:`MAX_WORDS` and by its own rule that a frequent word begins no run in a text of 200 words or more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

#: Words of each side that are compared; what is behind them is shown unmarked. As many as are shown of a long English text; the worst
#: texts that were found (every other word kept) take less than a second.
MAX_WORDS = 2_500

#: A word with the white space before it; a sign of a script without spaces, and any punctuation, is a word of its own.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
_WORD = re.compile(rf"(\s*)([{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]|\Z)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of words: kept (alike but for white space) or changed, where one side may be empty."""

    primary: str
    other: str
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """Two texts from left to right. ``rest`` and ``other_rest`` lie behind the words that were compared."""

    pieces: tuple[Piece, ...]
    rest: str = ""
    other_rest: str = ""

    @property
    def kept_share(self) -> float:
        """Which part of both texts' characters is kept, 0..1; 1 for two empty texts. What was not compared counts as changed."""
        kept = sum(len(piece.primary) + len(piece.other) for piece in self.pieces if piece.is_kept)
        both = sum(len(piece.primary) + len(piece.other) for piece in self.pieces) + len(self.rest) + len(self.other_rest)
        return kept / both if both else 1.0


def difference(primary: str, other: str) -> Difference:
    """The pieces that the two texts are made of. Joined again they give each side exactly."""
    ours, rest = _words(primary)
    theirs, other_rest = _words(other)
    matcher = SequenceMatcher(None, [word for _, word in ours], [word for _, word in theirs])
    pieces = [Piece(_joined(ours[a:b]), _joined(theirs[c:d]), name == "equal") for name, a, b, c, d in matcher.get_opcodes()]
    return Difference(tuple(_readable(pieces)), rest, other_rest)


def _words(text: str) -> tuple[list[tuple[str, str]], str]:
    """The words with the space before each, and what comes after the last that counts."""
    words: list[tuple[str, str]] = []
    for found in _WORD.finditer(text):
        if len(words) == MAX_WORDS:
            return words, text[found.start() :]
        if found[0]:
            words.append((found[1], found[2]))
    return words, ""


def _joined(words: Sequence[tuple[str, str]]) -> str:
    return "".join(space + word for space, word in words)


#: Kept pieces shorter than this, between two changes that are both longer, are taken into the change: a lone "the" that two different
#: sentences share is no common ground, and a sentence in shreds is hard to read.
_SHRED = 6


def _readable(pieces: Sequence[Piece]) -> Iterator[Piece]:
    pending: Piece | None = None
    for at, piece in enumerate(pieces):
        following = pieces[at + 1] if at + 1 < len(pieces) else None
        if pending is None:
            pending = piece
        elif not pending.is_kept and (not piece.is_kept or _is_shred(pending, piece, following)):
            pending = Piece(pending.primary + piece.primary, pending.other + piece.other, is_kept=False)
        else:
            yield pending
            pending = piece
    if pending is not None:
        yield pending


def _is_shred(before: Piece, kept: Piece, after: Piece | None) -> bool:
    size = len(kept.primary.strip())
    return after is not None and size < _SHRED and all(size < max(len(side.primary), len(side.other)) for side in (before, after))
