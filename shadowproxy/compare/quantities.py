"""Numbers, amounts, dates and times as they are written, read into values that can be compared. PURE.

``facts`` compares what two aligned sentences give. "5 km" and "5000 m", "17:00" and "5 pm", "3 May 2021" and "2021-05-03" are the
same; so are a point and a comma that can be read alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shadowproxy.compare.words import listed

#: What is read of one sentence: beyond it stands no prose.
CHARACTERS = 2_000

#: Conversions are rounded by whoever writes them ("5 miles (8 km)"): quantities in different units are equal within this.
CONVERSION_TOLERANCE = 0.02

_MONTHS = listed("january february march april may june july august september october november december")
_WEEKDAYS = listed("monday tuesday wednesday thursday friday saturday sunday")
_ONES = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
)
_TENS = listed("twenty thirty forty fifty sixty seventy eighty ninety")
_ORDINALS = listed("zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth")

_VALUES: dict[str, float] = {word: value for value, word in enumerate(_ONES)}
_VALUES |= {word: (place + 2) * 10 for place, word in enumerate(_TENS)}
_VALUES |= {f"{ten}-{one}": _VALUES[ten] + _VALUES[one] for ten in _TENS for one in _ONES[1:10]}
_SCALES: dict[str, float] = {
    "hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "mn": 1e6, "m": 1e6, "billion": 1e9, "bn": 1e9, "b": 1e9, "trillion": 1e12,
    "tn": 1e12, "dozen": 12, "score": 20,
}  # fmt: skip

#: Unit as written → (what it measures, factor to that measure's own unit).
_UNITS: dict[str, tuple[str, float]] = {}
for _measure, _written in {
    "m": "mm:.001 millimeter:.001 millimetre:.001 cm:.01 centimeter:.01 centimetre:.01 m:1 meter:1 metre:1 km:1000 kilometer:1000 "
    "kilometre:1000 inch:.0254 inche:.0254 ft:.3048 foot:.3048 feet:.3048 yard:.9144 yd:.9144 mile:1609.344 mi:1609.344",
    "g": "mcg:1e-6 µg:1e-6 μg:1e-6 microgram:1e-6 mg:.001 milligram:.001 g:1 gram:1 gramme:1 kg:1000 kilo:1000 kilogram:1000 lb:453.592 "
    "pound:453.592 oz:28.3495 ounce:28.3495 ton:1e6 tonne:1e6",
    "l": "ml:.001 milliliter:.001 millilitre:.001 cl:.01 dl:.1 l:1 liter:1 litre:1 gallon:3.785 gal:3.785 pint:.473 quart:.946 "
    "tbsp:.0148 tablespoon:.0148 tsp:.0049 teaspoon:.0049 cup:.2366",
    "s": "ms:.001 millisecond:.001 s:1 sec:1 second:1 min:60 minute:60 h:3600 hr:3600 hour:3600 day:86400 week:604800 fortnight:1209600",
    "months": "month:1 year:12 yr:12 decade:120 century:1200 centurie:1200",
    "bytes": "kb:1e3 mb:1e6 gb:1e9 tb:1e12 kilobyte:1e3 megabyte:1e6 gigabyte:1e9 terabyte:1e12 byte:1",
    "m/s": "km/h:.27778 kph:.27778 kmh:.27778 mph:.44704",
    "°C": "°c:1 celsius:1",
    "°F": "°f:1 fahrenheit:1",
    "W": "w:1 watt:1 kw:1e3 kilowatt:1e3 mw:1e6 megawatt:1e6 gw:1e9 gigawatt:1e9",
    "Hz": "hz:1 khz:1e3 mhz:1e6 ghz:1e9",
    "cal": "cal:1 calorie:1 kcal:1000",
}.items():
    for _entry in _written.split():
        _name, _, _factor = _entry.partition(":")
        _UNITS[_name] = (_measure, float(_factor))

#: What is read here as part of an amount or a date, in lower case: it is no name and no ordinary word.
NUMBER_WORDS = frozenset((*_VALUES, *_SCALES, *(f"{scale}s" for scale in _SCALES), *_ORDINALS)) - {"k", "m", "b", "score", "scores"}
CALENDAR_WORDS = frozenset((*_MONTHS, *_WEEKDAYS)) - {"may", "march"}

_CURRENCIES = {
    "$": "USD", "us$": "USD", "usd": "USD", "dollar": "USD", "buck": "USD", "€": "EUR", "eur": "EUR", "euro": "EUR",
    "£": "GBP", "gbp": "GBP",
    "¥": "JPY", "jpy": "JPY", "yen": "JPY", "inr": "INR", "₹": "INR", "rupee": "INR", "chf": "CHF", "franc": "CHF", "cent": "cent",
    "yuan": "CNY", "cny": "CNY", "rmb": "CNY",
}  # fmt: skip

#: Everything that may stand in a notation of an amount, a date or a time.
VALUE_WORDS = (
    NUMBER_WORDS
    | CALENDAR_WORDS
    | frozenset(_MONTHS)
    | frozenset((*_CURRENCIES, *_UNITS, *(f"{unit}s" for unit in (*_CURRENCIES, *_UNITS))))
    | frozenset(listed("% percent per cent am pm noon midday midnight o'clock k m b mn bn st nd rd th"))
) - {"in", "cup", "score", "may", "march"}

_DIGITS = r"\d{1,40}(?:[.,]\d{1,40}){0,12}"
_WORD_NUMBER = "|".join(sorted((*_VALUES, *_SCALES), key=len, reverse=True))
_MONTH = "|".join(f"{month}|{month[:3]}" for month in _MONTHS) + "|sept"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"

_ISO_DATE = re.compile(r"\b(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})\b")
_SLASHED_DATE = re.compile(r"\b(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})\b")
_MONTH_DAY = re.compile(rf"\b({_MONTH})\.? {{1,2}}{_DAY}\b(?!:)(?:,? {{1,2}}(\d{{4}})\b)?", re.IGNORECASE)
_DAY_MONTH = re.compile(rf"\b{_DAY} {{1,2}}(?:of {{1,2}})?({_MONTH})\b\.?(?:,? {{1,2}}(\d{{4}})\b)?", re.IGNORECASE)
_MONTH_YEAR = re.compile(rf"\b({_MONTH})\.?,? {{1,2}}(?:of {{1,2}})?(\d{{4}})\b", re.IGNORECASE)
#: A month alone is one only with its capital; "May" and "March" are other words too, and need a preposition.
_MONTH_ALONE = re.compile(
    rf"\b({'|'.join(month.title() for month in _MONTHS if month not in ('may', 'march'))})\b"
    r"|(?<=\b[Ii]n )(May|March)\b|(?<=\bof )(May|March)\b|(?<=\b[Ss]ince )(May|March)\b|(?<=\buntil )(May|March)\b"
)
_WEEKDAY = re.compile(rf"\b({'|'.join(_WEEKDAYS)})s?\b", re.IGNORECASE)
#: Not before a unit; before 1800 only after a word that stands before years: "1500 m" and "1500 people" are amounts.
_YEAR = re.compile(
    r"(?<![\d.,$€£¥])(?:(?<=\b[Ii]n )1[0-7]\d\d|(?<=\b[Ss]ince )1[0-7]\d\d|(?<=\bof )1[0-7]\d\d|1[89]\d\d|20\d\d)s?\b(?![%-]|[.,]\d)"
    rf"(?! ?(?:{'|'.join(sorted(_UNITS))}|million|billion|thousand|percent)s?\b)"
)
_CLOCK = re.compile(r"\b(\d{1,2})[:.](\d{2})(?::\d{2})? ?(a\.?m|p\.?m)?\b\.?", re.IGNORECASE)
_HOUR = re.compile(
    r"\b(\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve) ?(a\.m\.|p\.m\.|am\b|pm\b|o['’]clock)", re.IGNORECASE
)
_NAMED_HOUR = re.compile(r"\b(noon|midday|midnight)\b", re.IGNORECASE)
_CODE = re.compile(r"\bv?\d+(?:\.\d+){2,12}\b")
_AMOUNT = re.compile(
    r"(?P<symbol>(?:US\$|[$€£¥₹]) ?)?(?P<sign>(?<![\w)])[-−])?"
    rf"(?:(?P<digits>{_DIGITS})(?P<ordinal>st|nd|rd|th)?|\b(?P<words>(?:{_WORD_NUMBER})(?:(?: and |[ -])(?:{_WORD_NUMBER})){{0,8}})s?\b)"
    rf"(?:[ -]?(?P<scale>hundred|thousand|million|billion|trillion|mn|bn|tn|dozen|[kKmMbB])\b)?"
    r"(?P<percent> ?%| percent| per cent| pct)?"
    r"(?:[ -]?(?P<unit>°[CF]|km/h|[^\W\d_]{1,12})\b)?",
    re.IGNORECASE,
)
_ORDINAL = re.compile(rf"\b({'|'.join(_ORDINALS[1:])})\b", re.IGNORECASE)
#: What every pattern above needs something of: most sentences have none, and are done.
_MAY_HOLD = re.compile(rf"\d|\b(?:{'|'.join((*_VALUES, *_ORDINALS, *_MONTHS, *_WEEKDAYS))}|noon|midday|midnight)s?\b", re.IGNORECASE)
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


@dataclass(frozen=True, slots=True)
class Moment:
    """A date or a time of day, as much of it as is written; None for what is not. Months and days count from 1."""

    shown: str
    year: int | None = None
    month: int | None = None
    day: int | None = None
    weekday: int | None = None
    minutes: int | None = None
    """Since midnight."""
    is_swappable: bool = False
    """Day and month can be read either way round: 03/05/2021."""

    def contradicts(self, other: Moment) -> bool:
        """True where both say something about the same part, and not the same."""
        if self.is_swappable or other.is_swappable:
            is_date_equal = {self.month, self.day} == {other.month, other.day} or None in (self.month, self.day, other.month, other.day)
            return not is_date_equal or _differ(self.year, other.year)
        return any(_differ(a, b) for a, b in zip(self._parts, other._parts, strict=True))

    def is_comparable(self, other: Moment) -> bool:
        return any(a is not None and b is not None for a, b in zip(self._parts, other._parts, strict=True))

    @property
    def _parts(self) -> tuple[int | None, ...]:
        return self.year, self.month, self.day, self.weekday, self.minutes


def _differ(a: int | None, b: int | None) -> bool:
    return a is not None and b is not None and a != b


def _is_close(a: float, b: float, tolerance: float) -> bool:
    return a == b or abs(a - b) <= tolerance * max(abs(a), abs(b))


@dataclass(frozen=True, slots=True)
class Quantities:
    """Everything of the kind that one sentence gives, in the order of its patterns."""

    amounts: tuple[Quantity, ...]
    moments: tuple[Moment, ...]


def _iso_date(found: re.Match[str]) -> Moment | None:
    return _date(found.group(), int(found[1]), int(found[2]), int(found[3]))


def _slashed_date(found: re.Match[str]) -> Moment | None:
    first, second, year = int(found[1]), int(found[2]), int(found[3])
    year += (1900 if year > 50 else 2000) if year < 100 else 0
    month, day = (second, first) if first > 12 else (first, second)
    moment = _date(found.group(), year, month, day)
    return None if moment is None else Moment(moment.shown, year, month, day, is_swappable=first <= 12 and second <= 12)


def _month_day(found: re.Match[str]) -> Moment | None:
    return _date(found.group(), _number(found[3]), _month(found[1]), int(found[2]))


def _day_month(found: re.Match[str]) -> Moment | None:
    return _date(found.group(), _number(found[3]), _month(found[2]), int(found[1]))


def _date(shown: str, year: int | None, month: int, day: int) -> Moment | None:
    return Moment(shown, year, month, day) if 1 <= month <= 12 and 1 <= day <= 31 else None


def _month_year(found: re.Match[str]) -> Moment | None:
    return Moment(found.group(), int(found[2]), _month(found[1]))


def _month_alone(found: re.Match[str]) -> Moment | None:
    return Moment(found.group(), month=_month(found.group()))


def _weekday(found: re.Match[str]) -> Moment | None:
    return Moment(found.group(), weekday=_WEEKDAYS.index(found[1].lower()) + 1)


def _year(found: re.Match[str]) -> Moment | None:
    return Moment(found.group(), year=int(found.group()[:4]))


def _clock(found: re.Match[str]) -> Moment | None:
    is_point = found.group()[len(found[1])] == "."
    if is_point and not found[3]:
        return None  # 10.30 is a number unless it says am or pm
    return _time(found.group(), int(found[1]), int(found[2]), found[3])


def _hour(found: re.Match[str]) -> Moment | None:
    hour = int(found[1]) if found[1].isdigit() else int(_VALUES[found[1].lower()])
    return _time(found.group(), hour, 0, found[2])


def _named_hour(found: re.Match[str]) -> Moment | None:
    return Moment(found.group(), minutes=0 if found[1].lower() == "midnight" else 720)


def _time(shown: str, hour: int, minute: int, half: str | None) -> Moment | None:
    if hour > 24 or minute > 59:
        return None
    if half is not None and half[0] in "aApP":
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    return Moment(shown, minutes=hour * 60 + minute)


def _month(name: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(name[:3].lower()))


def _number(digits: str | None) -> int | None:
    return int(digits) if digits else None


#: In this order: a longer notation first, so that its parts are not read as something else.
_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Moment | None]], ...] = (
    (_ISO_DATE, _iso_date),
    (_SLASHED_DATE, _slashed_date),
    (_MONTH_DAY, _month_day),
    (_DAY_MONTH, _day_month),
    (_MONTH_YEAR, _month_year),
    (_CLOCK, _clock),
    (_HOUR, _hour),
    (_NAMED_HOUR, _named_hour),
    (_MONTH_ALONE, _month_alone),
    (_WEEKDAY, _weekday),
    (_YEAR, _year),
)


def quantities(text: str) -> Quantities:
    """The amounts, dates and times in the first ``CHARACTERS`` of ``text``. What is read as a date is not read as numbers again."""
    text = text[:CHARACTERS]
    if not _MAY_HOLD.search(text):
        return Quantities((), ())
    moments: list[Moment] = []
    for pattern, reader in _READERS:
        text = _take(pattern, reader, text, moments)
    return Quantities(tuple(_amounts(text)), tuple(moments))


def _take(pattern: re.Pattern[str], reader: Callable[[re.Match[str]], Moment | None], text: str, moments: list[Moment]) -> str:
    """Add what ``pattern`` finds to ``moments``; the rest of ``text``, with what was read blanked out."""

    def blank(found: re.Match[str]) -> str:
        moment = reader(found)
        if moment is None:
            return found.group()
        moments.append(moment)
        return " ; "  # not a blank: what stands around it are no neighbours

    return pattern.sub(blank, text)


def _amounts(text: str) -> Iterator[Quantity]:
    for found in _CODE.finditer(text):
        yield Quantity("code", (), "", found.group().lstrip("v"))
    text = _CODE.sub(" ; ", text)
    for found in _AMOUNT.finditer(text):
        amount = _amount(found)
        if amount is not None:
            yield amount
    for found in _ORDINAL.finditer(text):
        yield Quantity("ordinal", (float(_ORDINALS.index(found[1].lower())),), "", found.group())


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
    factor = _SCALES.get(scale, 1.0) * (-1.0 if found["sign"] else 1.0)
    readings = tuple(value * factor for value in readings)
    measure, factor = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s")) or ("", 1.0)
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
    return _CURRENCIES.get(written) or _CURRENCIES.get(written.removesuffix("s"))


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
        if word in _VALUES:
            group += _VALUES[word]
        else:
            group = (group or 1.0) * _SCALES[word]
            if _SCALES[word] >= 1000:
                total, group = total + group, 0.0
    return total + group
