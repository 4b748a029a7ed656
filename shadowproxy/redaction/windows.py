"""Where in a text a detector has to look, for those whose finds have a mark that is quickly found. PURE.

A pattern with a look-behind is tried at every position, which takes fifty times as long as to search for an at-sign or for nine digits.
A window holds every match that counts, whole and with what the pattern looks at around it, so that the search in the windows finds what
the search in the text would have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: ``text[start:end]``; what stands before it is seen by look-behinds, what stands behind it is not seen.
Window = tuple[int, int]

_LOCAL: Final = re.compile(r"[\w.%+-]*")
_ADDRESS: Final = re.compile(r"[\w.%+@-]*")
#: Characters of a local part that are looked at first; a longer one doubles them.
_LOCAL_CHARS: Final = 64

#: Nine digits and more with the gaps of a phone's number, and those alone.
_CHAIN: Final = re.compile(r"[0-9](?:[ \u00a0().\/-]{0,3}[0-9]){8,}")
_SHAPE: Final = re.compile(rb"0(?:-{0,3}0){8,}")
_SHAPES: Final = bytes(0x30 if 48 <= code < 58 else 0x2D if chr(code) in " ().-/" else 0x20 for code in range(256))
_CARD: Final = re.compile(r"[0-9](?:[ \u00a0.-]?[0-9]){12,}")
_BARE: Final = re.compile(r"[0-9]{9,}")
#: Longest word that says that a phone's number comes, and what may stand between.
_NAMED_CHARS: Final = len("whatsapp") + 5
_IPV4: Final = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")


def email(text: str) -> Iterator[Window]:
    """From where the local part begins to where nothing of an address can stand any more."""
    plain, escaped = text.find("@"), text.find("%40") if "%" in text else -1
    while plain >= 0 or escaped >= 0:
        sign = max(plain, escaped) if plain < 0 or escaped < 0 else min(plain, escaped)
        start, end = _begin(text, sign), _ADDRESS.match(text, sign).end()  # type: ignore[union-attr]
        yield start, end
        if 0 <= plain < end:
            plain = text.find("@", end)
        if 0 <= escaped < end:
            escaped = text.find("%40", end)


def _begin(text: str, at: int) -> int:
    """Where the run of characters of a local part begins that ends before ``at``."""
    chars = _LOCAL_CHARS
    while True:
        before = text[max(0, at - chars) : at]
        length = _LOCAL.match(before[::-1]).end()  # type: ignore[union-attr]
        if length < chars:
            return at - length
        chars *= 2


def phone(text: str) -> Iterator[Window]:
    """A bracket and a plus may stand before the digits; the pattern looks two characters ahead."""
    # Where characters are bytes the shape says where to look, and its pattern begins with a literal.
    chains = _SHAPE.finditer(text.encode().translate(_SHAPES)) if text.isascii() else _CHAIN.finditer(text)
    for chain in chains:
        yield max(0, chain.start() - 2), chain.end() + 2


def named_phone(text: str) -> Iterator[Window]:
    """The word, what comes between, the digits, and one character ahead."""
    for digits in _BARE.finditer(text):
        yield max(0, digits.start() - _NAMED_CHARS), digits.end() + 1


def ipv4(text: str) -> Iterator[Window]:
    """The first number, and two characters ahead."""
    for rest in _IPV4.finditer(text):
        yield max(0, rest.start() - 3), rest.end() + 2


def card(text: str) -> Iterator[Window]:
    """The digits, and one character ahead."""
    for chain in _CARD.finditer(text):
        yield chain.start(), chain.end() + 1
