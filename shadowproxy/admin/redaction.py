"""What must not be shown of a text: personal data and secrets give way to typed placeholders. PURE.

Between ``AdminState.pairs`` (raw text) and whoever asked. A rule finds candidates by pattern and then measures how much of each really
is what it looks like (checksum, number range), because a wall of false placeholders makes pairs unreadable. Names, postal addresses and
whatever has no form of its own are not found: this keeps accidents small and does not make a text anonymous.

The same text always gives the same placeholders, so equal answers stay equal. Every pattern runs in time linear in the text, which
comes from strangers: quantifiers are bounded, or a look-behind lets a run of characters be entered at its beginning only.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class _Rule:
    """Group ``it`` of each match is masked as ``[kind]`` as far as ``measure`` says (characters; 0: it only looks like it)."""

    kind: str
    pattern: re.Pattern[str]
    measure: Callable[[str], int] = len


def redact(text: str) -> str:
    """The text with ``[email]``, ``[phone]``, ``[card]``, ``[iban]``, ``[api_key]``, ``[token]``, ``[jwt]``, ``[secret]``,
    ``[private_key]``, ``[credentials]``, ``[ipv4]`` and ``[ipv6]`` in place of what they name.

    In JSON text, whole or cut off, string literals are decoded first: an escape must not hide an address, and the ``n`` of a line
    break must not become its first letter.
    """
    if text.lstrip()[:1] in ("{", "["):
        text = _JSON_STRING.sub(_redact_literal, text)
    for rule in _RULES:
        text = _mask(rule, text)
    return text


def redact_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a JSON-able document with every text in it redacted. Keys stay: they are ours."""
    return {key: _redact_value(value) for key, value in document.items()}


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return redact_document(value)
    if isinstance(value, list | tuple):
        return [_redact_value(each) for each in value]
    return value


def _mask(rule: _Rule, text: str) -> str:
    """On a false alarm the search goes on one character later, not behind the match: the true one may begin within it."""
    pieces: list[str] = []
    done = at = 0
    while found := rule.pattern.search(text, at):
        length = rule.measure(found["it"])
        if length:
            start = found.start("it")
            pieces += text[done:start], f"[{rule.kind}]"
            done = at = start + length
        else:
            at = found.start() + 1
    return "".join((*pieces, text[done:]))


#: A string literal; its closing quote is missing where the text was cut off.
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)


def _redact_literal(found: re.Match[str]) -> str:
    literal = found[0]
    whole = literal if len(literal) > 1 and literal.endswith('"') else literal.rstrip("\\") + '"'
    try:
        decoded = json.loads(whole, strict=False)
    except ValueError:  # cut within an escape, or no JSON after all: the pass over the whole text still sees it
        return literal
    redacted = redact(decoded)
    return literal if redacted == decoded else json.dumps(redacted, ensure_ascii=False)


# --- is it what it looks like? ------------------------------------------------------------------------------------------


def _digits(text: str) -> str:
    return "".join(sign for sign in text if sign in "0123456789")


def _card(text: str) -> int:
    """Luhn's check digit, ISO/IEC 7812-1 annex B."""
    digits = [int(sign) for sign in reversed(_digits(text))]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return len(text) if (sum(digits[::2]) + sum(doubled)) % 10 == 0 else 0


#: Length of an IBAN by country (the SWIFT registry of IBAN formats). The check digits alone are right once in 97 tries.
_IBAN_LENGTHS = {
    name: int(length)
    for name, length in re.findall(
        r"([A-Z]{2})([0-9]{2})",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22 "
        "GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 "
        "MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 "
        "VA22 VG24 XK20",
    )
}


def _iban(text: str) -> int:
    """Check digits of ISO 13616: the rearranged number is 1 modulo 97. What follows the country's length is not part of it."""
    length = _IBAN_LENGTHS.get(text[:2].upper(), 0)
    ends = [index + 1 for index, sign in enumerate(text) if sign.isalnum()]
    if not length or len(ends) < length:
        return 0
    end = ends[length - 1]
    number = "".join(sign for sign in text[:end].upper() if sign.isalnum())
    is_valid = int("".join(str(int(sign, 36)) for sign in number[4:] + number[:4])) % 97 == 1
    return end if is_valid and not text[end : end + 1].isalnum() else 0


def _ipv4(text: str) -> int:
    return len(text) if all(int(part) <= 255 for part in text.split(".")) else 0


def _ipv6(text: str) -> int:
    """A slice (``[1::2]``) or a scope (``add::dec``) parses as an address too: ask for a digit, and for a long group or all eight."""
    text = text if text.endswith("::") else text.rstrip(":")
    groups = [group for group in text.split(":") if group]
    if not _digits(text) or not (len(groups) == 8 or any(len(group) >= 3 for group in groups)):
        return 0
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return 0
    return len(text)


_DATE = re.compile(r"(?:0[1-9]|[12][0-9]|3[01])[./-](?:0[1-9]|1[0-2])[./-](?:19|20)[0-9]{2}")


def _phone(text: str) -> int:
    """ITU-T E.164 ends at 15 digits; below 9 it is more often a part number. A date with an hour behind it has as many."""
    return len(text) if 9 <= len(_digits(text)) <= 15 and not _DATE.match(text) else 0


# --- the table ----------------------------------------------------------------------------------------------------------

# Secrets first: they may contain what looks like an address or a number.
_RULES: tuple[_Rule, ...] = (
    _Rule(
        "private_key", re.compile(r"(?P<it>-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.{0,8000}?(?:-----END [A-Z ]{0,30}-----|\Z))", re.DOTALL)
    ),
    _Rule("jwt", re.compile(r"(?<![\w-])(?P<it>eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*){1,3})")),
    _Rule("credentials", re.compile(r"://(?P<it>[^/\s:@]{1,256}:[^/\s@]{1,256})@")),
    _Rule(
        "api_key",
        re.compile(
            r"(?<![A-Za-z0-9])(?P<it>"
            r"(?:sk|pk|rk|gsk)[-_](?=[\w-]{0,40}\d)[A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic, Stripe, Groq; the digit tells it from words
            r"|(?:AKIA|ASIA)[0-9A-Z]{16}(?!\w)"  # AWS
            r"|AIza[\w-]{30,}|ya29\.[\w-]{20,}"  # Google
            r"|gh[opusr]_[A-Za-z0-9]{30,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
            r"|xox[a-z]-[A-Za-z0-9-]{10,}"  # Slack
            r"|(?:hf|npm|r8)_[A-Za-z0-9]{30,}|nvapi-[\w-]{20,}|pypi-[\w-]{30,}"
            r"|SG\.[\w-]{16,}\.[\w-]{16,}"  # SendGrid
            r")"
        ),
    ),
    _Rule("token", re.compile(r"(?i)\b(?:bearer|basic)\s{1,4}(?P<it>(?=[\w.~+/=-]{0,40}\d)[\w.~+/-]{12,}=*)")),
    _Rule("token", re.compile(r"(?i)\bauthorization['\"]?\s{0,4}[:=]\s{0,4}['\"]?(?:bearer|basic|token)\s{1,4}(?P<it>[^\s,'\"\[\]]{4,})")),
    _Rule(
        "secret",
        re.compile(
            r"(?i)(?<![A-Za-z0-9])(?:api[_-]?key|access[_-]?key|secret[_-]?key|client[_-]?secret|access[_-]?token|auth[_-]?token|secret"
            r"|token|password|passwd|pwd)['\"]?\s{0,4}[:=]\s{0,4}['\"]?(?P<it>(?=[^\s'\"&,;\[\]]{0,64}\d)[^\s'\"&,;\[\]]{8,})"
        ),
    ),
    _Rule("email", re.compile(r"(?<![\w.%+-])(?P<it>[\w.%+-]+(?:@|%40)(?:[\w-]+\.)+(?:xn--[a-z0-9-]+|[^\W\d_]{2,}))")),
    _Rule("iban", re.compile(r"(?i)(?<!\w)(?P<it>[A-Z]{2}[0-9]{2}(?:[ \u00a0-]?[A-Z0-9]){11,30})"), _iban),
    _Rule(
        "card",
        re.compile(
            r"(?<![A-Za-z0-9])(?<![0-9]\.)(?P<it>[2-6][0-9]{12,18}"
            r"|[2-6][0-9]{3}(?P<gap>[ \u00a0.-])[0-9]{4}(?P=gap)[0-9]{4}(?P=gap)[0-9]{4}(?:(?P=gap)[0-9]{1,3})?"
            r"|3[0-9]{3}(?P<wide>[ \u00a0.-])[0-9]{6}(?P=wide)[0-9]{4,5})(?![A-Za-z0-9])"  # American Express, Diners
        ),
        _card,
    ),
    _Rule("ipv4", re.compile(r"(?<![\w.])(?P<it>[0-9]{1,3}(?:\.[0-9]{1,3}){3})(?!\w)(?!\.[0-9])"), _ipv4),
    _Rule("ipv6", re.compile(r"(?<![\w:.])(?P<it>[0-9A-Fa-f:]{4,40})(?![\w:])"), _ipv6),
    _Rule(
        "phone",
        re.compile(
            r"(?<![\w+.,])(?P<it>(?:\+|00)[1-9][0-9]{0,2}(?:[ \u00a0().\/-]{0,2}[0-9]){6,13}"  # international
            r"|\(?[2-9][0-9]{2}\)?[ \u00a0.-]{1,2}[0-9]{3}[ \u00a0.-][0-9]{4}"  # North America
            r"|\(?0[1-9][0-9]{0,4}\)?[ \u00a0/.-][0-9]{2,8}(?:[ \u00a0.-][0-9]{2,8}){0,4})"  # with the trunk prefix 0
            r"(?!\w)(?![.,-][0-9])"
        ),
        _phone,
    ),
    _Rule("phone", re.compile(r"(?i)\b(?:tel|phone|mobile|cell|fax|whatsapp|call|text)\b[^\w+\n]{1,5}(?P<it>[0-9]{9,15})(?!\w)")),
)
