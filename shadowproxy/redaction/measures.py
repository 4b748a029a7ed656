"""Is it what it looks like? Check digits, ranges and lengths behind the patterns of ``detectors``. PURE.

A measure takes what a pattern has found and says how many of its characters are really it; 0: it only looks like it.
"""

from __future__ import annotations

import ipaddress
import re


def digits_of(text: str) -> str:
    """The ASCII digits of a text."""
    return "".join(sign for sign in text if sign in "0123456789")


def luhn_check_digit(digits: str) -> int:
    """The digit that completes ``digits``, ISO/IEC 7812-1 annex B."""
    numbers = [int(sign) for sign in reversed(digits)]
    doubled = (sum(divmod(2 * number, 10)) for number in numbers[::2])
    return -(sum(numbers[1::2]) + sum(doubled)) % 10


def card(text: str) -> int:
    digits = digits_of(text)
    return len(text) if digits[-1:] == str(luhn_check_digit(digits[:-1])) else 0


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


def iban_check_digits(country: str, account: str) -> str:
    """The two digits of ISO 13616 between country and account: they make the rearranged number 1 modulo 97."""
    return f"{98 - _iban_number(account + country + '00') % 97:02d}"


def _iban_number(text: str) -> int:
    return int("".join(str(int(sign, 36)) for sign in text))


def iban(text: str) -> int:
    """What follows the country's length is not part of it."""
    length = _IBAN_LENGTHS.get(text[:2].upper(), 0)
    ends = [index + 1 for index, sign in enumerate(text) if sign.isalnum()]
    if not length or len(ends) < length:
        return 0
    end = ends[length - 1]
    number = "".join(sign for sign in text[:end].upper() if sign.isalnum())
    # Without regard to case the pattern takes the Kelvin sign for a k, too, and no upper case makes a letter of it that counts.
    is_valid = number.isascii() and _iban_number(number[4:] + number[:4]) % 97 == 1
    return end if is_valid and not text[end : end + 1].isalnum() else 0


def ipv4(text: str) -> int:
    return len(text) if all(int(part) <= 255 for part in text.split(".")) else 0


def ipv6(text: str) -> int:
    """A slice (``[1::2]``) or a scope (``add::dec``) parses as an address too: ask for a digit, and for a long group or all eight."""
    text = text if text.endswith("::") else text.rstrip(":")
    groups = [group for group in text.split(":") if group]
    if not digits_of(text) or not (len(groups) == 8 or any(len(group) >= 3 for group in groups)):
        return 0
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return 0
    return len(text)


_DATE = re.compile(r"(?:0[1-9]|[12][0-9]|3[01])[./-](?:0[1-9]|1[0-2])[./-](?:19|20)[0-9]{2}")


def phone(text: str) -> int:
    """ITU-T E.164 ends at 15 digits; below 9 it is more often a part number. A date with an hour behind it has as many."""
    return len(text) if 9 <= len(digits_of(text)) <= 15 and not _DATE.match(text) else 0
