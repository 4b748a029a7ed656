"""What a text must show before a detector looks at it. PURE.

Most texts hold nothing, and asking every pattern of ``detectors`` costs ten times what asking for these signs does. A sign is necessary,
not sufficient: a text without it cannot match the pattern that it stands for. The expressions here begin with a character class or a
literal, which the engine skips to without trying each position; the patterns themselves, with their look-behinds, cannot.
"""

from __future__ import annotations

import re

#: What long words are made of as ``a``: letters, digits, ``_ . + / = ~ -`` and UTF-8.
_WORDS = bytes(0x61 if code > 127 or chr(code).isalnum() or chr(code) in "_.+/=~-" else 0x20 for code in range(256))

#: The shortest key or token of a known shape: Slack's.
_KEY_CHARS = 15
_LONG = b"a" * _KEY_CHARS

_KEY_BEGINNINGS = (
    *(prefix + dash for prefix in ("sk", "pk", "rk") for dash in "-_"),  # with that, Groq's gsk
    *("akia", "asia", "aiza", "ya29.", "gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_pat_", "glpat-", "xox", "hf_", "npm_", "r8_"),
    *("nvapi-", "pypi-", "sg."),
)

_ASSIGNED = r"['\"]?\s{0,4}[:=]\s{0,4}['\"]?[^\s'\"&,;\[\]]{8}"
_SECRETS = tuple(re.compile(word + _ASSIGNED) for word in ("key", "secret", "token", "passw(?:or)?d", "pwd"))

#: Letters as ``a``, digits as ``0``, what people put between groups of digits as ``-``: what literal searches can look for.
_SHAPES = bytes(
    0x61
    if chr(code).isalpha() and code < 128
    else 0x30
    if 48 <= code < 58
    else 0x2D
    if chr(code) in " .-()/" or code in (0xC2, 0xA0)
    else 32
    for code in range(256)
)
_IBAN = re.compile(rb"aa00(?<![a0]aa00)")
_CARD = re.compile(rb"0000(?:0{9}|--?0000--?0000--?0000|--?000000--?0000)")  # -- is U+00A0 in UTF-8

_IPV4 = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_IPV6 = re.compile(r":[0-9A-Fa-f]{0,4}:")
_PHONE = re.compile(r"[0-9](?:[ \u00a0().\/-]{0,3}[0-9]){8}")
_PHONE_SHAPE = re.compile(rb"0(?:-{0,3}0){8}")
_FLOAT = re.compile(r"[0-9]\.[0-9]+")
#: Before a bare number: the last letter of tel, phone, mobile, cell, fax, whatsapp, call or text, and what comes between.
_NAMED_BEFORE = re.compile(r"[lexpt][^\w+\n]{1,5}\Z", re.IGNORECASE)


class Seen:
    """A text about to be searched, in the forms that its signs are looked for in. Each is made when it is first asked for."""

    __slots__ = ("_data", "_long_numbers", "_long_words", "_lowered", "_shape", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._data: bytes | None = None
        self._lowered: str | None = None
        self._shape: bytes | None = None
        self._long_words: str | None = None
        self._long_numbers: list[tuple[str, str]] | None = None

    @property
    def data(self) -> bytes:
        """The text as bytes."""
        if self._data is None:
            self._data = self.text.encode("utf-8", "surrogatepass")
        return self._data

    @property
    def lowered(self) -> str:
        """The text in lower case."""
        if self._lowered is None:
            self._lowered = self.text.lower()
        return self._lowered

    @property
    def shape(self) -> bytes:
        """See ``_SHAPES``."""
        if self._shape is None:
            self._shape = self.data.translate(_SHAPES)
        return self._shape

    @property
    def long_words(self) -> str:
        """The words that are long enough to be a key, in lower case."""
        if self._long_words is None:
            self._long_words = _long_words(self.data)
        return self._long_words

    @property
    def long_numbers(self) -> list[tuple[str, str]]:
        """Numbers of nine digits and more with gaps of two signs at most, each behind what stands before it. Asked for more than once."""
        if self._long_numbers is None:
            # Where characters are bytes the shape says where to look, and its pattern begins with a literal.
            found = _PHONE_SHAPE.finditer(self.shape) if self.text.isascii() else _PHONE.finditer(self.text)
            spans = (number.span() for number in found)
            self._long_numbers = [(self.text[max(0, start - 7) : start], self.text[start:end]) for start, end in spans]
        return self._long_numbers


def _long_words(data: bytes) -> str:
    """Found by what they look like: to split a text into words and measure each takes five times as long."""
    shape = data.translate(_WORDS)
    words: list[bytes] = []
    at = shape.find(_LONG)
    while at >= 0:
        end = shape.find(b" ", at)
        words.append(data[at:end] if end >= 0 else data[at:])
        at = shape.find(_LONG, end) if end >= 0 else -1
    return b" ".join(words).decode("utf-8", "replace").lower()


def private_key(seen: Seen) -> bool:
    return "-----begin " in seen.lowered


def jwt(seen: Seen) -> bool:
    return "eyj" in seen.long_words


def credentials(seen: Seen) -> bool:
    return "@" in seen.text and "://" in seen.text


def api_key(seen: Seen) -> bool:
    words = seen.long_words
    return any([beginning in words for beginning in _KEY_BEGINNINGS])  # noqa: C419 - a list is half as long underway as a generator


def token(seen: Seen) -> bool:
    return "bearer" in seen.lowered or "basic" in seen.lowered


def authorization(seen: Seen) -> bool:
    return "authorization" in seen.lowered


def secret(seen: Seen) -> bool:
    lowered = seen.lowered
    return any([form.search(lowered) for form in _SECRETS])  # noqa: C419


def email(seen: Seen) -> bool:
    return "@" in seen.text or ("%" in seen.text and "%40" in seen.text)


def iban(seen: Seen) -> bool:
    return _IBAN.search(seen.shape) is not None


def card(seen: Seen) -> bool:
    return _CARD.search(seen.shape) is not None


def ipv4(seen: Seen) -> bool:
    return _IPV4.search(seen.text) is not None


def ipv6(seen: Seen) -> bool:
    return _IPV6.search(seen.text) is not None


def phone(seen: Seen) -> bool:
    """A long number that is not just digits: with a plus or zeros before it, or with gaps."""
    return any([_is_written_as_phone(before, number) for before, number in seen.long_numbers])  # noqa: C419


def named_phone(seen: Seen) -> bool:
    """Nine digits together, behind a word that says what they are."""
    return any([_NAMED_BEFORE.search(before) for before, number in seen.long_numbers if number[:9].isdecimal()])  # noqa: C419


def _is_written_as_phone(before: str, number: str) -> bool:
    if number.isdecimal():
        return before.endswith("+") or before[-2:-1] == "+" or (number[0] == "0" and not before[-1:].isalnum())
    return _FLOAT.fullmatch(number) is None
