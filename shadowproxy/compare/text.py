"""What two answers say: the text that is compared, when two texts are the same, and how similar they are. PURE.

The vectors come from ``embed``, through ``pair``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from shadowproxy.compare.kinds import divergence
from shadowproxy.exchange import Answer, Choice, Divergence, Severity, ToolCall

#: Characters of each text whose words are counted: what lies behind adds time and says little more.
OVERLAP_CHARACTERS = 100_000

_WORD = re.compile(r"\w+")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴-⁹]+")
#: A fence with its language, on a line of its own.
_FENCE = re.compile(r"^[ \t]*(?:```+|~~~+)[^\n`]*$", re.MULTILINE)
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t]+", re.MULTILINE)
#: Paired marks around words only: ``2*3*4``, ``*args`` and ``snake_case_name`` keep theirs. At most 200 characters between them: without
#: a bound, a line with many opening marks and no closing one would take time quadratic in its length. What may not stand before a mark is
#: looked up after it, so that the search can jump from mark to mark.
_EMPHASIS = re.compile(
    r"(\*\*\*(?<![\w*]\*\*\*)|\*\*(?<![\w*]\*\*)|\*(?<![\w*]\*)|__(?<![\w*]__)|_(?<![\w*]_))"
    r"(?=[^\s*_])([^\n]{0,200}?[^\s*_])\1(?![\w*])"
)


def comparable_text(answer: Answer) -> str:
    """The part of an answer that its reader acts on, as one text.

    Per choice: text, refusal and tool calls, whichever there are, each on lines of its own. Tool calls are written with sorted
    arguments, so that the order of keys and the white space of JSON do not count; they stand beside a text too, because "Let me look
    that up." says nothing about what is looked up. Reasoning is left out: it is a way to the answer. Choices (n > 1) are sorted, for
    their order carries no meaning.
    """
    return "\n\n".join(sorted(filter(None, map(_choice_text, answer.choices))))


def _choice_text(choice: Choice) -> str:
    parts = (choice.text, choice.refusal or "", *map(_call_text, choice.tool_calls))
    return "\n".join(part for part in parts if part.strip())


def _call_text(call: ToolCall) -> str:
    return f"{call.name}({_canonical(call.arguments)})"


def _canonical(arguments: str) -> str:
    try:
        return orjson.dumps(orjson.loads(arguments), option=orjson.OPT_SORT_KEYS).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return arguments  # not JSON: the arm's mistake, compared as it stands


def normalised(text: str) -> str:
    """``text`` without what changes its look and not its words.

    Unicode compatibility forms are unified (NFKC), case is folded, white space collapsed; code fences, heading marks and paired
    emphasis marks are dropped, because a fence around the same code is a change of format. Two texts that are equal afterwards have
    the same words; they need not be the same program, since case and indentation are gone too. Superscript digits stay apart from
    digits: NFKC alone would make 10² and 102 the same.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _SUPERSCRIPTS.sub(lambda found: "^" + found.group(), text))
    if "```" in text or "~~~" in text:
        text = _FENCE.sub("", text)
    if "#" in text:
        text = _HEADING.sub("", text)
    text = _EMPHASIS.sub(r"\2", text).casefold()
    # Folding can leave forms that NFKC would change again.
    return " ".join((text if text.isascii() else unicodedata.normalize("NFKC", text)).split())


def is_equal(primary_text: str, other_text: str) -> bool:
    """True where both say the same words, whatever their form."""
    return primary_text == other_text or normalised(primary_text) == normalised(other_text)


def settled_similarity(primary_text: str, other_text: str, *, is_same: bool) -> float | None:
    """The similarity as far as the texts alone settle it: 1 for the same words, 0 where only one has any. None: vectors are needed.

    ``is_same`` is :func:`is_equal` of the two, which callers need anyway and which is the costly part.
    """
    if is_same:
        return 1.0
    return None if primary_text.strip() and other_text.strip() else 0.0


def similarity(primary_text: str, other_text: str, primary_vector: NDArray[Any], other_vector: NDArray[Any]) -> float:
    """How alike the texts are, within 0..1.

    1 for the same words (two empty texts are the same), 0 where only one is empty, else the :func:`cosine` of the vectors.
    """
    settled = settled_similarity(primary_text, other_text, is_same=is_equal(primary_text, other_text))
    return cosine(primary_vector, other_vector) if settled is None else settled


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Cosine, cut to 0..1; a zero vector has no direction and resembles nothing. In float64, where no length overflows."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return min(1.0, max(0.0, float(a @ b) / lengths)) if lengths > 0 else 0.0


def lexical_overlap(primary_text: str, other_text: str) -> float:
    """Share of words that both texts have, counted as often as they stand there: 1 for the same words in any order (Dice coefficient).

    1 for two texts without words. Blind to meaning, unlike vectors; a changed number and a paraphrase look alike to both.
    """
    ours, theirs = (Counter(_WORD.findall(text[:OVERLAP_CHARACTERS].casefold())) for text in (primary_text, other_text))
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 1.0


def text_divergences(primary_text: str, other_text: str, *, is_same: bool) -> Iterator[Divergence]:
    """What differs on the face of two texts. What they mean is the similarity's business. ``is_same`` is their :func:`is_equal`."""
    if primary_text == other_text or not (primary_text.strip() or other_text.strip()):
        return
    if is_same:
        yield divergence("text.format", Severity.INFO, primary_text, other_text)
    elif not primary_text.strip() or not other_text.strip():
        yield divergence("text.empty", Severity.MAJOR, primary_text, other_text)
