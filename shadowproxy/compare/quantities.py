"""Amounts, dates and times as they are written, read into values that can be compared. PURE.

``conflicts`` compares what two aligned sentences give. "5 km" and "5000 m" are the same; so are a point and a comma that can be read alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from shadowproxy.compare.measures import CURRENCIES, MONTHS, ORDINALS, SCALES, UNITS, VALUES, WEEKDAYS
from shadowproxy.compare.moments import Moment, take_moments

#: What is read of one sentence: beyond it stands no prose.
CHARACTERS = 2_000

#: Conversions are rounded by whoever writes them ("5 miles (8 km)"): quantities in different units are equal within this.
CONVERSION_TOLERANCE = 0.02

_DIGITS = r"\d{1,40}(?:[.,]\d{1,40}){0,12}"
_WORD_NUMBER = "|".join(sorted((*VALUES, *SCALES), key=len, reverse=True))
_CODE = re.compile(r"\bv?\d+(?:\.\d+){2,12}\b")
_AMOUNT = re.compile(
    r"(?P<symbol>(?:US\$|[$€£¥₹]) ?)?(?P<sign>(?<![\w)])[-−])?"
    rf"(?:(?P<digits>{_DIGITS})(?P<ordinal>st|nd|rd|th)?|\b(?P<words>(?:{_WORD_NUMBER})(?:(?: and |[ -])(?:{_WORD_NUMBER})){{0,8}})s?\b)"
    rf"(?:[ -]?(?P<scale>hundred|thousand|million|billion|trillion|mn|bn|tn|dozen|[kKmMbB])\b)?"
    r"(?P<percent> ?%| percent| per cent| pct)?"
    r"(?:[ -]?(?P<unit>°[CF]|km/h|[^\W\d_]{1,12})\b)?",
    re.IGNORECASE,
)
_ORDINAL = re.compile(rf"\b({'|'.join(ORDINALS[1:])})\b", re.IGNORECASE)
#: What every pattern above needs something of: most sentences have none, and are done.
_MAY_HOLD = re.compile(rf"\d|\b(?:{'|'.join((*VALUES, *ORDINALS, *MONTHS, *WEEKDAYS))}|noon|midday|midnight)s?\b", re.IGNORECASE)
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3})+")


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount. ``kind`` is ``number``, ``percent``, ``money``, ``ordinal`` or ``code`` (a version, an address).

    ``readings`` are the values it may have (``1.234`` is read both ways), in ``unit`` as written; ``measure`` and ``factor`` convert.
    """

    kind: str
    readings: tuple[float, ...]
    unit: str
    shown: str
    measure: str = ""
    factor: float = 1.0

    @property
    def is_weak(self) -> bool:
        """``one`` is mostly a pronoun: it contradicts another number, and its absence says nothing."""
        return self.shown.lower() == "one"

    def equals(self, other: Quantity) -> bool:
        """True where some reading of both is the same amount. A unit that only one side gives is not a difference."""
        if self.kind == "code" or other.kind == "code":
            return self.shown == other.shown
        if self.measure and self.measure == other.measure and self.factor != other.factor:
            return any(_is_close(a * self.factor, b * other.factor, CONVERSION_TOLERANCE) for a in self.readings for b in other.readings)
        return any(_is_close(a, b, 1e-9) for a in self.readings for b in other.readings)

    def is_comparable(self, other: Quantity) -> bool:
        """True where both could stand for the same thing: the same kind, and the same measure or currency where both have one."""
        if self.kind != other.kind:
            return False
        mine, theirs = self.measure or self.unit, other.measure or other.unit
        return mine == theirs or not mine or not theirs


def _is_close(a: float, b: float, tolerance: float) -> bool:
    return a == b or abs(a - b) <= tolerance * max(abs(a), abs(b))


@dataclass(frozen=True, slots=True)
class Quantities:
    """Everything of the kind that one sentence gives, in the order of its patterns."""

    amounts: tuple[Quantity, ...]
    moments: tuple[Moment, ...]


def quantities(text: str) -> Quantities:
    """The amounts, dates and times in the first ``CHARACTERS`` of ``text``. What is read as a date is not read as numbers again."""
    text = text[:CHARACTERS]
    if not _MAY_HOLD.search(text):
        return Quantities((), ())
    rest, moments = take_moments(text)
    return Quantities(tuple(_amounts(rest)), moments)


def _amounts(text: str) -> Iterator[Quantity]:
    for found in _CODE.finditer(text):
        yield Quantity("code", (), "", found.group().lstrip("v"))
    text = _CODE.sub(" ; ", text)
    for found in _AMOUNT.finditer(text):
        amount = _amount(found)
        if amount is not None:
            yield amount
    for found in _ORDINAL.finditer(text):
        yield Quantity("ordinal", (float(ORDINALS.index(found[1].lower())),), "", found.group())


def _amount(found: re.Match[str]) -> Quantity | None:
    words = (found["words"] or "").lower()
    if words in ("score", "k", "m", "b", "mn", "bn", "tn"):
        return None  # no number of their own
    readings = _digit_readings(found["digits"]) if found["digits"] else (_word_value(words),)
    if not readings:
        return None
    return _with_unit(found, readings)


def _with_unit(found: re.Match[str], readings: tuple[float, ...]) -> Quantity:
    unit, scale = (found["unit"] or "").lower(), (found["scale"] or "").lower()
    currency = _currency((found["symbol"] or "").strip().lower()) or _currency(unit)
    if len(scale) == 1 and currency is None and scale != "k":
        unit, scale = scale, ""  # 5 m is a length, $5 m is money
    factor = SCALES.get(scale, 1.0) * (-1.0 if found["sign"] else 1.0)
    readings = tuple(value * factor for value in readings)
    measure, factor = UNITS.get(unit) or UNITS.get(unit.removesuffix("s")) or ("", 1.0)
    shown = (
        found.group() if measure or currency else found.group()[: found.start("unit") - found.start()] if found["unit"] else found.group()
    )
    shown = shown.strip(" -")
    if found["ordinal"]:
        return Quantity("ordinal", readings, "", shown)
    if found["percent"]:
        return Quantity("percent", readings, "%", shown)
    if currency is not None:
        return Quantity("money", readings, currency, shown)
    return Quantity("number", readings, unit if measure else "", shown, measure, factor)


def _currency(written: str) -> str | None:
    return CURRENCIES.get(written) or CURRENCIES.get(written.removesuffix("s"))


def _digit_readings(digits: str) -> tuple[float, ...]:
    """What a run of digits, points and commas may mean: the last sign may stand before decimals or between thousands."""
    readings = {float(digits.replace(",", "").replace(".", ""))} if _THOUSANDS.fullmatch(digits) else set()
    last = max(digits.rfind("."), digits.rfind(","))
    if last < 0:
        return (float(digits),)
    whole, decimals = re.sub("[.,]", "", digits[:last]), digits[last + 1 :]
    if not (len(decimals) == 3 and digits[last] == "," and readings):  # 1,234 is a thousand and more to whoever writes English
        readings.add(float(f"{whole}.{decimals}"))
    return tuple(sorted(value for value in readings if value < 1e300))


def _word_value(words: str) -> float:
    """``two hundred and fifty thousand`` as a number."""
    total = group = 0.0
    for word in re.split("[ -]", words.replace(" and ", " ")):
        if word in VALUES:
            group += VALUES[word]
        else:
            group = (group or 1.0) * SCALES[word]
            if SCALES[word] >= 1000:
                total, group = total + group, 0.0
    return total + group
