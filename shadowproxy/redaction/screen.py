"""Which detectors could find something in a text, or in any string within it, told from the text as it stands. PURE.

Most bodies hold nothing, and are passed over here by some twenty scans that run in C, before a string is decoded or a copy made. What is
asked for is in every match of the detector's pattern: a character, a word, a number that is long enough. Escapes of JSON make quotes,
slashes and control characters only, so words and numbers of a decoded string stand in the text as it came; where an escape may have been,
the answer is yes. ``\\u`` can make anything: for the strings within a text that has it nothing is said here.
"""

from __future__ import annotations

import re
from typing import Final

#: Letters as ``a``, digits as ``0``, what may stand between groups of digits as ``-``: what literal searches can look for. A backslash may
#: be one of an escaped slash, and comes to the gaps.
_SHAPES: Final = bytes(
    0x61
    if chr(code).isalpha() and code < 128
    else 0x30
    if 48 <= code < 58
    else 0x2D
    if chr(code) in " .-()/\\" or code in (0xC2, 0xA0)
    else 32
    for code in range(256)
)
_CHAIN: Final = re.compile(rb"0[-0]{7,}0")
#: A phone's number, and the shortest that goes behind a word that says what it is.
_PHONE_DIGITS: Final = 9
_IBAN: Final = re.compile(rb"00(?<=aa00)(?=[a0-]{11})(?:(?<![a0]aa00)|(?<=-aaa00))")
_CARD_DIGITS: Final = 13
_PLUS: Final = 0x2B

#: What keys and tokens of known shapes begin with up to their first dash, and ten signs of the rest.
_DASHED: Final = re.compile(r"-(?:(?<=[spr]k-)|(?<=glpat-)|(?<=xox[a-z]-)|(?<=nvapi-)|(?<=pypi-))(?=[\w-]{10})")
_UNDERLINED: Final = re.compile(r"_(?:(?<=[spr]k_)|(?<=gh[opusr]_)|(?<=github_pat_)|(?<=hf_)|(?<=npm_)|(?<=r8_))(?=[\w-]{10})")

#: The end of key, secret, token, password or pwd, a quote or a space perhaps, and the colon. Behind a backslash anything may have been.
_ASSIGNED: Final = (
    r"(?<=['\"]:)(?<=[yYtTnNdD\\].:)(?:(?<=[eE][yYtTnN].:)|(?<=[rRwW][dD].:)|(?<=\\.:))"
    r"|(?<!['\"]:)(?:(?<=[eE][yYtTnN]:)|(?<=[rRwW][dD]:)|(?<=\s:)|(?<=\\[ntrf]:))"
)
_SECRET: Final = re.compile(f":(?:{_ASSIGNED})")
_IPV6: Final = re.compile(r":[0-9A-Fa-f]{0,4}:")
#: Colons are many in JSON; either of the two is looked for alone where one of them is there.
_COLON: Final = re.compile(f":(?:[0-9A-Fa-f]{{0,4}}:|{_ASSIGNED})")
_IPV4: Final = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")

#: Signs that a pattern without regard to case takes for k, s or i, and lower case does not.
_ODD_LETTERS: Final = ("\u212a", "\u017f", "\u0130", "\u0131")

_NO_WORD: Final = bytes(code for code in range(256) if not (code < 128 and (chr(code).isalnum() or code == 0x5F)))
#: Bytes before a bare number among which the word is that says what it is; more between them is taken for a yes.
_BEFORE_BYTES: Final = 64


#: One bit for each detector.
PRIVATE_KEY: Final = 1
JWT: Final = 2
CREDENTIALS: Final = 4
API_KEY: Final = 8
TOKEN: Final = 16
AUTHORIZATION: Final = 32
SECRET: Final = 64
EMAIL: Final = 128
IBAN: Final = 256
CARD: Final = 512
IPV4: Final = 1024
IPV6: Final = 2048
PHONE: Final = 4096
NAMED_PHONE: Final = 8192


def possible(text: str) -> int:
    """The bits of all detectors that could find something in the text, or in a string that is written in it; 0 for most texts."""
    return _by_signs(text) | _by_colons(text) | _by_words(text) | _by_keys(text) | _by_numbers(text.encode("utf-8", "surrogatepass"))


def _by_signs(text: str) -> int:
    bits = 0
    if "@" in text:
        bits = EMAIL | CREDENTIALS if "://" in text or "\\" in text else EMAIL
    elif "%" in text and "%40" in text:
        bits = EMAIL
    if "J" in text and "eyJ" in text:
        bits |= JWT
    if "V" in text and "PRIVATE" in text:
        bits |= PRIVATE_KEY
    return bits if _IPV4.search(text) is None else bits | IPV4


def _by_colons(text: str) -> int:
    bits = SECRET if "=" in text else 0
    if _COLON.search(text) is None:
        return bits
    if _SECRET.search(text) is not None:
        bits |= SECRET
    return bits if _IPV6.search(text) is None else bits | IPV6


def _by_words(text: str) -> int:
    if not text.isascii() and any([odd in text for odd in _ODD_LETTERS]):  # noqa: C419
        return TOKEN | AUTHORIZATION | SECRET | IBAN
    lowered = text.lower()
    bits = AUTHORIZATION if "authorization" in lowered else 0
    return bits | TOKEN if "bearer" in lowered or "basic" in lowered else bits


def _by_keys(text: str) -> int:
    """One letter that seldom stands in words is asked for before the beginning that has it: that is twenty times as quick."""
    if (
        ("K" in text and "AKIA" in text)
        or ("A" in text and ("ASIA" in text or ("z" in text and "AIza" in text)))
        or ("9" in text and "ya29." in text)
        or ("G" in text and "SG." in text)
    ):
        return API_KEY
    return API_KEY if _DASHED.search(text) is not None or _UNDERLINED.search(text) is not None else 0


def _by_numbers(data: bytes) -> int:
    shape = data.translate(_SHAPES)
    bits = IBAN if _IBAN.search(shape) is not None else 0
    for chain in _CHAIN.finditer(shape):
        digits = chain[0]
        if digits.count(b"0") < _PHONE_DIGITS:
            continue
        start, end = chain.span()
        if end - start >= _CARD_DIGITS:
            bits |= CARD
        if b"-" in digits:
            bits |= PHONE | NAMED_PHONE
            continue
        if (start and data[start - 1] == _PLUS) or data[start : start + 2] == b"00":
            bits |= PHONE
        if _is_named(data[max(0, start - _BEFORE_BYTES) : start]):
            bits |= NAMED_PHONE
    return bits


def _is_named(before: bytes) -> bool:
    """It ends with the last letter of tel, phone, mobile, cell, fax, whatsapp, call or text, and signs that are no letters."""
    word = before.rstrip(_NO_WORD)
    if not word:
        return len(before) == _BEFORE_BYTES
    return word[-2:-1] == b"\\" or (len(word) < len(before) and word[-1] in b"lexptLEXPT")
