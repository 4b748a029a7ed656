"""Plausible values in place of real ones, the same for the same: an address stays an address, and who wrote twice is seen to. PURE.

The keyed mode of BLAKE2b (RFC 7693) is a message authentication code: without the key nobody can try values and compare. With it everybody
can, phone numbers within minutes; so the key is a secret, and is never written beside what it protects.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from shadowproxy.redaction.measures import digits_of, iban_check_digits, luhn_check_digit

#: Longest key that BLAKE2b takes.
MAX_KEY_BYTES = 64

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"

#: What tells the kind of a key, and is no secret: up to the last of its first separators, or its first four characters.
_KEY_PREFIX = re.compile(r"(?:sk-ant-|sk-proj-|github_pat_|[A-Za-z0-9]{2,5}[-_.])|.{4}")


#: Pseudonyms that are remembered: the same few come again in every answer of a conversation. Longer values are made anew.
_KNOWN, _KNOWN_CHARS = 4096, 256

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


class Pseudonyms:
    """Pseudonyms by one key. ``key`` is 16 to 64 random bytes."""

    __slots__ = ("_key", "_known", "_makers")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[tuple[str, str], str] = {}
        self._makers: Mapping[str, Callable[[str], str]] = MappingProxyType(
            {
                "email": self._email,
                "phone": self._phone,
                "card": self._card,
                "iban": self._iban,
                "ipv4": self._ipv4,
                "ipv6": self._ipv6,
                "jwt": self._jwt,
                "api_key": self._api_key,
                "credentials": self._credentials,
                "private_key": self._private_key,
                "number": self._number,
            }
        )

    @property
    def key_id(self) -> str:
        """Tells whether two files were written with one key, and nothing about the key."""
        return self._digest("key", "id").hex()[:12]

    def __call__(self, kind: str, value: str) -> str:
        """What stands for ``value``. Kinds without a form of their own become ``redacted-`` and sixteen signs."""
        made = self._known.get((kind, value))
        if made is None:
            maker = self._makers.get(kind)
            made = maker(value) if maker is not None else f"redacted-{self._word(kind, value, 16)}"
            if len(self._known) >= _KNOWN:
                self._known.clear()
            if len(value) <= _KNOWN_CHARS:
                self._known[kind, value] = made
        return made

    # --- by kind ------------------------------------------------------------------------------------------------------

    def _email(self, value: str) -> str:
        """Local part and domain each have their own, so that colleagues stay colleagues. ``example`` is reserved (RFC 2606)."""
        sign = "@" if "@" in value else "%40"
        local, _, domain = value.lower().partition(sign)
        return f"{self._word('local', local + '@' + domain, 10)}{sign}{self._word('domain', domain, 8)}.example"

    def _phone(self, value: str) -> str:
        """The layout, the leading zeros and the first digit behind them stay: they make it a number of its region's form."""
        digits = digits_of(value)
        kept = len(digits) - len(digits.lstrip("0")) + 1
        return _laid_out(value, digits[:kept] + self._numerals("phone", digits, len(digits) - kept))

    def _card(self, value: str) -> str:
        """The first digit (the scheme) and the layout stay; the check digit is right."""
        digits = digits_of(value)
        body = digits[0] + self._numerals("card", digits, len(digits) - 2)
        return _laid_out(value, f"{body}{luhn_check_digit(body)}")

    def _iban(self, value: str) -> str:
        """The country, the layout and the sequence of letters and digits stay; the check digits are right."""
        plain = "".join(sign for sign in value.upper() if sign.isalnum())
        account = "".join(
            new if old.isdigit() else letter
            for old, new, letter in zip(
                plain[4:],
                self._numerals("iban", plain, len(plain) - 4),
                self._letters("iban", plain, len(plain) - 4).upper(),
                strict=True,
            )
        )
        return _laid_out(value, plain[:2] + iban_check_digits(plain[:2], account) + account)

    def _ipv4(self, value: str) -> str:
        """In 10.0.0.0/8: the ranges kept for documentation have room for a few hundred only."""
        return ".".join(("10", *(str(byte) for byte in self._digest("ipv4", value)[:3])))

    def _ipv6(self, value: str) -> str:
        """In 2001:db8::/32, kept for documentation (RFC 3849). However an address is abbreviated, it has one pseudonym."""
        packed = ipaddress.IPv6Address(value if value.endswith("::") else value.rstrip(":")).packed
        tail = value[len(value.rstrip(":")) :] if not value.endswith("::") else ""
        made = ipaddress.IPv6Address(b"\x20\x01\x0d\xb8" + self._digest("ipv6", packed.hex())[:12])
        return str(made) + tail

    def _jwt(self, value: str) -> str:
        """A token that decodes and is signed by nobody."""
        claims = base64.urlsafe_b64encode(f'{{"sub":"redacted-{self._word("jwt", value, 16)}"}}'.encode()).decode().rstrip("=")
        return f"eyJhbGciOiJub25lIn0.{claims}.redacted"

    def _api_key(self, value: str) -> str:
        prefix = found[0] if (found := _KEY_PREFIX.match(value)) else ""
        return prefix + self._word("api_key", value, max(16, len(value) - len(prefix)))

    def _credentials(self, value: str) -> str:
        user, _, _ = value.partition(":")
        return f"user-{self._word('user', user, 8)}:redacted-{self._word('credentials', value, 16)}"

    def _private_key(self, value: str) -> str:
        """JSON text cannot hold a line break, and what is replaced may stand in some."""
        return f"-----BEGIN PRIVATE KEY----- redacted-{self._word('private_key', value, 16)} -----END PRIVATE KEY-----"

    def _number(self, value: str) -> str:
        """A number of the same form. What is no JSON number (a text cut off, broken JSON) becomes 0."""
        if not _NUMBER.fullmatch(value):
            return "0"
        digits = digits_of(value)
        return _laid_out(value, (digits[0] + self._numerals("number", digits, len(digits) - 1)))

    # --- signs from digests -------------------------------------------------------------------------------------------

    def _digest(self, kind: str, value: str) -> bytes:
        return hashlib.blake2b(value.encode("utf-8", "surrogatepass"), key=self._key, person=kind.encode()[:16]).digest()

    def _word(self, kind: str, value: str, length: int) -> str:
        """Small letters and digits, a digit first: a key of a known shape has one near its beginning."""
        text = base64.b32encode(self._stretched(kind, value, length)).decode().lower()
        return ("7" + text)[:length]

    def _numerals(self, kind: str, value: str, length: int) -> str:
        return "".join(_DIGITS[byte % 10] for byte in self._stretched(kind, value, length)[:length])

    def _letters(self, kind: str, value: str, length: int) -> str:
        return "".join(_LETTERS[byte % 26] for byte in self._stretched(kind + ".l", value, length)[:length])

    def _stretched(self, kind: str, value: str, length: int) -> bytes:
        """At least ``length`` bytes: the digest, and digests of it, for values longer than one."""
        pieces = [self._digest(kind, value)]
        while len(pieces) * 64 < length:
            pieces.append(self._digest(kind, pieces[-1].hex()))
        return b"".join(pieces)


def _laid_out(like: str, signs: str) -> str:
    """``signs`` one after the other in the places that letters and digits have in ``like``."""
    following = iter(signs)
    return "".join(next(following) if sign.isalnum() else sign for sign in like)
