"""The sentences of a text, and their words with base forms and names told apart. PURE.

What is read is cut: ``CHARACTERS`` of a text, ``SENTENCES`` of them, ``WORDS`` of a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from shadowproxy.compare.words import Lexicon, listed

#: What is read of each text: about 8000 tokens. What lies behind is not judged, so that a text of 10 MB costs no more than one of 40 kB.
CHARACTERS = 40_000
#: Sentences compared of each text, and words of each sentence: a pair of sentences costs the product of their lengths.
SENTENCES = 300
WORDS = 80

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
#: Marks at the start of a line that carry no meaning: bullets, numbers of a list, headings, quotes, table bars.
_LINE_MARK = re.compile(r"[ \t]*(?:[-*+•>|#]{1,6}[ \t]+|\(?\d{1,3}[.)][ \t]+|\|)*")
_END = re.compile(r"[.!?…]{1,3}[\"'”’)\]*_]{0,3}(?=\s)|[。！？；]")
#: What ends with a point and no sentence.
_ABBREVIATION = re.compile(
    r"(?:\b[A-Za-z]|\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|No|Fig|Inc|Ltd|Co|Corp|Gen|Sen|Rep|Gov|approx|etc|e\.g|i\.e|a\.m|p\.m))\.$"
)
_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|(?:[A-Z]\.){2,}|[^\W\d_]+(?:['’][^\W\d_]+)*|[%$€£¥°§]")
_NOT = re.compile(r"n['’]t$")

#: Words without a subject matter of their own. Among these are the carriers of negation and quantity, which ``facts`` reads separately.
FUNCTION_WORDS = frozenset(
    listed(
        """a an the this that these those there here it its he him his she her hers they them their theirs we us our ours you your
        yours i me my mine who whom whose which what where when why how and or but nor so yet if then than as because since
        while although though whether of to in on at by for from with without into onto upon about over under between among
        through during before after above below against within across along around behind beyond near off out up down is are was
        were be been being am do does did done doing have has had having will would shall should can could may might must not no
        never none nothing nobody also too very just only even still already again more most much many some any all each every
        both either neither other another such own same yes s t re ve ll d m"""
    )
)


@dataclass(frozen=True, slots=True)
class Word:
    """One token of a sentence. ``lemma`` is what is compared, ``text`` what was written. ``is_name``: capitals say that it is a name."""

    text: str
    lemma: str
    is_name: bool = False

    @property
    def is_function(self) -> bool:
        return self.lemma in FUNCTION_WORDS or not self.text[0].isalnum()


@dataclass(frozen=True, slots=True)
class Sentence:
    """``text`` as it stands, without marks of lists and headings; ``words`` in order, at most ``WORDS``."""

    text: str
    words: tuple[Word, ...]


def sentences(text: str, lexicon: Lexicon) -> list[Sentence]:
    """The sentences of the first ``CHARACTERS`` of ``text``, at most ``SENTENCES``; code between fences is not prose and left out."""
    found: list[Sentence] = []
    for line in _prose(text[:CHARACTERS]).split("\n"):
        for piece in _pieces(line[_mark_length(line) :].replace("**", "").replace("__", "")):
            words = _words(piece, lexicon)
            if words:
                found.append(Sentence(piece, words))
            if len(found) == SENTENCES:
                return found
    return found


def _prose(text: str) -> str:
    return "\n".join(_FENCE.split(text)[::2]) if "```" in text or "~~~" in text else text


def _mark_length(line: str) -> int:
    mark = _LINE_MARK.match(line)
    return mark.end() if mark is not None else 0


def _pieces(line: str) -> Iterable[str]:
    start = 0
    for end in _END.finditer(line):
        if not (end.group() == "." and _ABBREVIATION.search(line, max(start, end.end() - 8), end.end())):
            yield line[start : end.end()].strip()
            start = end.end()
    yield line[start:].strip()


def _words(piece: str, lexicon: Lexicon) -> tuple[Word, ...]:
    parts = list(islice((part for found in _TOKEN.finditer(piece) for part in _parts(found.group())), WORDS))
    has_names = not _is_title(piece, parts)
    return tuple(
        Word(part, _lemma(part.lower(), lexicon), has_names and _is_name(part, is_first=i == 0, lexicon=lexicon))
        for i, part in enumerate(parts)
    )


def _lemma(lower: str, lexicon: Lexicon) -> str:
    return lower if lower in FUNCTION_WORDS else lexicon.lemma(lower)


def _is_name(part: str, *, is_first: bool, lexicon: Lexicon) -> bool:
    """A capital makes a name, except where a sentence begins with a word that is known without it."""
    if not part[0].isupper() or part == "I":
        return False
    lower = part.lower()
    return (part.isupper() and len(part) > 1) or (
        lower not in FUNCTION_WORDS and not (is_first and (lower in lexicon or lexicon.lemma(lower) != lower))
    )


def _is_title(piece: str, parts: Sequence[str]) -> bool:
    """True for a heading: where nearly every word has a capital, and nothing is enumerated or ends, capitals say nothing."""
    if "," in piece or piece.endswith((".", "!", "?")):
        return False
    words = [part for part in parts if part[0].isalpha() and part.lower() not in FUNCTION_WORDS]
    return len(words) >= 4 and sum(word[0].isupper() for word in words) > 0.75 * len(words)


def _parts(written: str) -> tuple[str, ...]:
    """``don't`` is ``do`` and ``not``; what follows any other apostrophe (``Russia's``, ``it's``) says nothing of its own."""
    if "'" not in written and "’" not in written:
        return ("can", "not") if written == "cannot" else (written,)
    verb, count = _NOT.subn("", written)
    if count:
        return ({"ca": "can", "wo": "will", "sha": "shall"}.get(verb.lower(), verb), "not") if verb else ("not",)
    return (re.split("['’]", written, maxsplit=1)[0],)
