"""Dates and times of day as they are written, read into values that can be compared. PURE; ``quantities`` reads the rest of a sentence.

"17:00" and "5 pm", "3 May 2021" and "2021-05-03" are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from shadowproxy.compare.measures import MONTHS, UNITS, VALUES, WEEKDAYS

_MONTH = "|".join(f"{month}|{month[:3]}" for month in MONTHS) + "|sept"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"

_ISO_DATE = re.compile(r"\b(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})\b")
_SLASHED_DATE = re.compile(r"\b(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})\b")
_MONTH_DAY = re.compile(rf"\b({_MONTH})\.? {{1,2}}{_DAY}\b(?!:)(?:,? {{1,2}}(\d{{4}})\b)?", re.IGNORECASE)
_DAY_MONTH = re.compile(rf"\b{_DAY} {{1,2}}(?:of {{1,2}})?({_MONTH})\b\.?(?:,? {{1,2}}(\d{{4}})\b)?", re.IGNORECASE)
_MONTH_YEAR = re.compile(rf"\b({_MONTH})\.?,? {{1,2}}(?:of {{1,2}})?(\d{{4}})\b", re.IGNORECASE)
#: A month alone is one only with its capital; "May" and "March" are other words too, and need a preposition.
_MONTH_ALONE = re.compile(
    rf"\b({'|'.join(month.title() for month in MONTHS if month not in ('may', 'march'))})\b"
    r"|(?<=\b[Ii]n )(May|March)\b|(?<=\bof )(May|March)\b|(?<=\b[Ss]ince )(May|March)\b|(?<=\buntil )(May|March)\b"
)
_WEEKDAY = re.compile(rf"\b({'|'.join(WEEKDAYS)})s?\b", re.IGNORECASE)
#: Not before a unit; before 1800 only after a word that stands before years: "1500 m" and "1500 people" are amounts.
_YEAR = re.compile(
    r"(?<![\d.,$€£¥])(?:(?<=\b[Ii]n )1[0-7]\d\d|(?<=\b[Ss]ince )1[0-7]\d\d|(?<=\bof )1[0-7]\d\d|1[89]\d\d|20\d\d)s?\b(?![%-]|[.,]\d)"
    rf"(?! ?(?:{'|'.join(sorted(UNITS))}|million|billion|thousand|percent)s?\b)"
)
_CLOCK = re.compile(r"\b(\d{1,2})[:.](\d{2})(?::\d{2})? ?(a\.?m|p\.?m)?\b\.?", re.IGNORECASE)
_HOUR = re.compile(
    r"\b(\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve) ?(a\.m\.|p\.m\.|am\b|pm\b|o['’]clock)", re.IGNORECASE
)
_NAMED_HOUR = re.compile(r"\b(noon|midday|midnight)\b", re.IGNORECASE)


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
    return Moment(found.group(), weekday=WEEKDAYS.index(found[1].lower()) + 1)


def _year(found: re.Match[str]) -> Moment | None:
    return Moment(found.group(), year=int(found.group()[:4]))


def _clock(found: re.Match[str]) -> Moment | None:
    is_point = found.group()[len(found[1])] == "."
    if is_point and not found[3]:
        return None  # 10.30 is a number unless it says am or pm
    return _time(found.group(), int(found[1]), int(found[2]), found[3])


def _hour(found: re.Match[str]) -> Moment | None:
    hour = int(found[1]) if found[1].isdigit() else int(VALUES[found[1].lower()])
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
    return next(number for number, month in enumerate(MONTHS, 1) if month.startswith(name[:3].lower()))


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


def take_moments(text: str) -> tuple[str, tuple[Moment, ...]]:
    """The dates and times in ``text``, and the rest of it: what is read as a date is not read as numbers again."""
    moments: list[Moment] = []
    for pattern, reader in _READERS:
        text = _take(pattern, reader, text, moments)
    return text, tuple(moments)


def _take(pattern: re.Pattern[str], reader: Callable[[re.Match[str]], Moment | None], text: str, moments: list[Moment]) -> str:
    """Add what ``pattern`` finds to ``moments``; the rest of ``text``, with what was read blanked out."""

    def blank(found: re.Match[str]) -> str:
        moment = reader(found)
        if moment is None:
            return found.group()
        moments.append(moment)
        return " ; "  # not a blank: what stands around it are no neighbours

    return pattern.sub(blank, text)
