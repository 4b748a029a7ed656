"""What one sentence has in place of another's words: the edit that leads from the first to the second. PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shadowproxy.compare.sentences import Word
from shadowproxy.compare.words import Lexicon


@dataclass(frozen=True, slots=True)
class Edit:
    """One place where two sentences differ: the primary's words and the other's; one side may be empty.

    Words that only moved (gone here, back elsewhere) are in neither.
    """

    primary: tuple[Word, ...]
    other: tuple[Word, ...]
    at: int
    """Where it begins among the primary's words."""


@dataclass(frozen=True, slots=True)
class Difference:
    """All edits between two sentences, from left to right; ``moved`` counts the words that stand elsewhere."""

    edits: tuple[Edit, ...]
    moved: int


def difference(primary: Sequence[Word], other: Sequence[Word]) -> Difference:
    """The edits between two sentences, by lemma. Costs the product of the lengths between their common start and end."""
    spans = _spans([word.lemma for word in primary], [word.lemma for word in other])
    gone = Counter(word.lemma for start, end, _, _ in spans for word in primary[start:end])
    come = Counter(word.lemma for _, _, start, end in spans for word in other[start:end])
    moved = gone & come
    skip, other_skip = Counter(moved), Counter(moved)
    edits = (Edit(_left(primary[a:b], skip), _left(other[c:d], other_skip), a) for a, b, c, d in spans)
    return Difference(tuple(edit for edit in edits if edit.primary or edit.other), sum(moved.values()))


def with_phrases(found: Difference, lexicon: Lexicon) -> Difference:
    """``found`` with the two words of a verb like "carried out" taken as one, wherever an edit has both."""
    edits = (Edit(_phrased(edit.primary, lexicon), _phrased(edit.other, lexicon), edit.at) for edit in found.edits)
    return Difference(tuple(edits), found.moved)


def _phrased(words: tuple[Word, ...], lexicon: Lexicon) -> tuple[Word, ...]:
    joined: list[Word] = []
    for word in words:
        phrase = f"{joined[-1].lemma} {word.text.lower()}" if joined and not (word.is_name or joined[-1].is_name) else ""
        if phrase in lexicon:
            joined[-1] = Word(f"{joined[-1].text} {word.text}", phrase)
        else:
            joined.append(word)
    return tuple(joined)


def _left(words: Sequence[Word], skip: Counter[str]) -> tuple[Word, ...]:
    """``words`` without the first so many of each lemma as ``skip`` says; what is left out is taken off ``skip``."""
    kept = []
    for word in words:
        if skip[word.lemma] > 0:
            skip[word.lemma] -= 1
        else:
            kept.append(word)
    return tuple(kept)


def _spans(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """Where the sequences differ, as (start, end) in both: what lies between the words of a longest common subsequence."""
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    inner_a, inner_b = a[start : len(a) - end], b[start : len(b) - end]
    kept = [*_common(inner_a, inner_b), (len(inner_a), len(inner_b))]
    spans, at_a, at_b = [], 0, 0
    for i, j in kept:
        if i > at_a or j > at_b:
            spans.append((start + at_a, start + i, start + at_b, start + j))
        at_a, at_b = i + 1, j + 1
    return spans


def _common(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Index pairs of a longest common subsequence."""
    if not a or not b or set(a).isdisjoint(b):
        return []
    # lengths[i][j]: the longest for a[i:], b[j:]
    lengths = [[0] * (len(b) + 1)]
    for word in reversed(a):
        below, row = lengths[-1], [0] * (len(b) + 1)
        for j in range(len(b) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if word == b[j] else max(below[j], row[j + 1])
        lengths.append(row)
    lengths.reverse()
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1
    return found
