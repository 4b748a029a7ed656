"""The words and signs of amounts and dates: numbers, units, currencies, months. PURE; ``moments`` and ``quantities`` read with them."""

from __future__ import annotations

from shadowproxy.compare.words import listed

MONTHS = listed("january february march april may june july august september october november december")
WEEKDAYS = listed("monday tuesday wednesday thursday friday saturday sunday")
_ONES = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
)
_TENS = listed("twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = listed("zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth")

VALUES: dict[str, float] = {word: value for value, word in enumerate(_ONES)}
VALUES |= {word: (place + 2) * 10 for place, word in enumerate(_TENS)}
VALUES |= {f"{ten}-{one}": VALUES[ten] + VALUES[one] for ten in _TENS for one in _ONES[1:10]}
SCALES: dict[str, float] = {
    "hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "mn": 1e6, "m": 1e6, "billion": 1e9, "bn": 1e9, "b": 1e9, "trillion": 1e12,
    "tn": 1e12, "dozen": 12, "score": 20,
}  # fmt: skip

#: Unit as written → (what it measures, factor to that measure's own unit).
UNITS: dict[str, tuple[str, float]] = {}
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
        UNITS[_name] = (_measure, float(_factor))

#: What is read here as part of an amount or a date, in lower case: it is no name and no ordinary word.
NUMBER_WORDS = frozenset((*VALUES, *SCALES, *(f"{scale}s" for scale in SCALES), *ORDINALS)) - {"k", "m", "b", "score", "scores"}
CALENDAR_WORDS = frozenset((*MONTHS, *WEEKDAYS)) - {"may", "march"}

CURRENCIES = {
    "$": "USD", "us$": "USD", "usd": "USD", "dollar": "USD", "buck": "USD", "€": "EUR", "eur": "EUR", "euro": "EUR",
    "£": "GBP", "gbp": "GBP",
    "¥": "JPY", "jpy": "JPY", "yen": "JPY", "inr": "INR", "₹": "INR", "rupee": "INR", "chf": "CHF", "franc": "CHF", "cent": "cent",
    "yuan": "CNY", "cny": "CNY", "rmb": "CNY",
}  # fmt: skip

#: Everything that may stand in a notation of an amount, a date or a time.
VALUE_WORDS = (
    NUMBER_WORDS
    | CALENDAR_WORDS
    | frozenset(MONTHS)
    | frozenset((*CURRENCIES, *UNITS, *(f"{unit}s" for unit in (*CURRENCIES, *UNITS))))
    | frozenset(listed("% percent per cent am pm noon midday midnight o'clock k m b mn bn st nd rd th"))
) - {"in", "cup", "score", "may", "march"}
