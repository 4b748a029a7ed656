"""Which language an answer is in, and whether the two arms answered in different ones. PURE.

A script that one language alone writes settles it; between the languages of one script a :class:`Detector` decides, which is loaded
outside (``detect``) and handed in. Too short, too unsure or too much like code is None: nobody can tell.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Protocol

from shadowproxy.compare.kinds import Found, divergence
from shadowproxy.exchange import Severity


class Detector(Protocol):
    """Text in, (label of its likeliest language, probability within 0..1) out. Deterministic, and it never raises."""

    def __hash__(self) -> int: ...

    def __call__(self, text: str, /) -> tuple[str, float]: ...


#: Characters read of an answer: more say nothing new of its language, and reading takes 0.1 ms per thousand.
READ_CHARACTERS = 20_000
JUDGED_CHARACTERS = 2_000
#: Letters that a detector needs. Below it is unsure anyway, and "Paris." has no language.
ENOUGH_LETTERS = 40
#: A script is proof with fewer, but one character may be a name that is quoted.
ENOUGH_SCRIPT_LETTERS = 4
#: Below this the likeliest language is a guess: all errors of ``py3langid`` on 820 texts of 100 characters in 41 languages lay below.
SURE = 0.8
#: Prose is made of letters; code and JSON are not. Share of letters among what is not white space.
PROSE_LETTERS = 0.75

#: Labels that mean one language to a reader, or have no code of two letters of their own.
_SAME = {
    "nb": "no",
    "nn": "no",
    "bs": "hr",
    "yue": "zh",
    "wuu": "zh",
    "ary": "ar",
    "arz": "ar",
    "uzs": "uz",
    "gug": "gn",
    "grc": "el",
    "hbo": "he",
}

#: Scripts that one living language writes, by the first word of a character's Unicode name.
_SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "THAI": "th",
    "GREEK": "el",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "SINHALA": "si",
    "KHMER": "km",
    "LAO": "lo",
    "MYANMAR": "my",
    "CJK": "zh",
}
#: A Japanese text mixes three scripts; this share of kana tells it from a Chinese one.
_KANA_SHARE = 0.1

#: What is no prose: fenced and inline code, addresses, tags. Unclosed fences run to the end.
_NO_PROSE = re.compile(r"```[^`]*+(?:```|\Z)|`[^`\n]{1,200}`|\b\w{2,10}://\S{1,500}|<[^<>\n]{1,200}>")


def compare_language(primary_text: str, other_text: str, detector: Detector) -> Found:
    """1 and major where the languages of both are sure and differ, 0 where they are the same, None where either cannot be told."""
    before, after = language_of(primary_text, detector), language_of(other_text, detector)
    if before is None or after is None:
        return Found()
    if before == after:
        return Found(0.0)
    return Found(1.0, (divergence("language.changed", Severity.MAJOR, f"{before}: {primary_text}", f"{after}: {other_text}"),))


def language_of(text: str, detector: Detector) -> str | None:
    """The language of ``text`` as an ISO 639-1 code, or None where it cannot be told."""
    return _language_of(_NO_PROSE.sub(" ", text[:READ_CHARACTERS])[:JUDGED_CHARACTERS], detector)


@lru_cache(maxsize=64)  # a primary's answer is asked about once for each arm that it is compared with
def _language_of(prose: str, detector: Detector) -> str | None:
    letters = [sign for sign in prose if sign.isalpha()]
    return (None if prose.isascii() else _by_script(letters)) or _by_words(prose, len(letters), detector)


def _by_script(letters: list[str]) -> str | None:
    languages = Counter(_SCRIPTS.get(unicodedata.name(sign, "").partition(" ")[0].partition("-")[0], "") for sign in letters)
    of_script = languages.total() - languages[""]
    if of_script < ENOUGH_SCRIPT_LETTERS or of_script < languages[""]:
        return None  # a foreign name in an answer, or none at all
    del languages[""]
    if languages["ja"] >= _KANA_SHARE * of_script:
        return "ja"
    return max(languages, key=languages.__getitem__)


def _by_words(prose: str, letters: int, detector: Detector) -> str | None:
    signs = sum(not sign.isspace() for sign in prose)
    # Combining vowel signs of Indic scripts are no letters to Python, though they are to their readers.
    marks = 0 if prose.isascii() else sum(unicodedata.category(sign).startswith("M") for sign in prose)
    if letters < ENOUGH_LETTERS or letters + marks < PROSE_LETTERS * signs:
        return None
    label, probability = detector(prose)
    language = _SAME.get(label, label)
    return language if probability >= SURE and len(language) == 2 else None
