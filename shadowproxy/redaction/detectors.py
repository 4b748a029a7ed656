"""Where personal data and secrets stand in a text. One table for everything that must not show them. PURE.

A detector finds candidates by pattern and then measures how much of each really is what it looks like (``measures``), because a wall of
false alarms makes texts unreadable. Names, postal addresses and whatever has no form of its own are not found: this keeps accidents small
and does not make a text anonymous.

Every pattern runs in time linear in the text, which comes from strangers: quantifiers are bounded, or a look-behind lets a run of
characters be entered at its beginning only. Most texts hold nothing, so each detector also names a sign without which it
need not look (``signs``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shadowproxy.redaction import measures, screen, signs, windows
from shadowproxy.redaction.signs import Seen
from shadowproxy.redaction.windows import Window

#: Characters that one call of the regular expression engine may scan: it holds the interpreter's lock meanwhile, and a few
#: milliseconds are what an event loop beside it can bear.
_WINDOW_CHARS = 65_536

#: Characters that a candidate may reach beyond its window before it is looked at on its own. Past the longest bound below.
_OVERLAP_CHARS = 16_384

#: Stands in the place of what was found for the detectors that come after. No pattern begins with it or goes on over it.
_TAKEN = "["


class Found(NamedTuple):
    """``text[start:end]`` is a ``kind``: ``email``, ``phone``, ``card``, ``iban``, ``api_key``, ``token``, ``jwt``, ``secret``,
    ``private_key``, ``credentials``, ``ipv4`` or ``ipv6``."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Detector:
    """Group ``it`` of each match is a ``kind`` as far as ``measure`` says (characters; 0: it only looks like it). A text without its
    ``sign`` has no match, nor has one whose screening (``screen``) leaves ``bit`` out. All matches are in the ``windows`` of the text."""

    kind: str
    bit: int
    sign: Callable[[Seen], bool]
    pattern: re.Pattern[str]
    measure: Callable[[str], int] = len
    windows: Callable[[str], Iterable[Window]] | None = None


def find(text: str, detectors: Sequence[Detector] | None = None) -> list[Found]:
    """Everything that is found, in order and without overlap. Where two detectors want the same characters the first in the table gets
    them. ``detectors`` are those that the text shows signs of; without them it is asked."""
    found: list[Found] = []
    for detector in asked(text) if detectors is None else detectors:
        fresh = [Found(start, end, detector.kind) for start, end in _places(detector, text)]
        if fresh:
            text = blanked(text, fresh)
            found += fresh
    found.sort()
    return found


def asked(text: str, bits: int | None = None) -> list[Detector]:
    """The detectors whose signs the text shows; the others would find nothing. ``bits`` are those that could (``screen.possible``) where
    that is known already."""
    if bits is None:
        bits = screen.possible(text)
    if not bits:
        return []
    seen = Seen(text)
    return [detector for detector in DETECTORS if detector.bit & bits and detector.sign(seen)]


def _places(detector: Detector, text: str) -> list[tuple[int, int]]:
    """On a false alarm the search goes on one character later, not behind the match: the true one may begin within it."""
    places: list[tuple[int, int]] = []
    at = 0
    for start, end in _windows(detector, text):
        at = max(at, start)
        while (match := _search(detector.pattern, text, at, end)) is not None:
            length = detector.measure(match["it"])
            if length:
                found_at = match.start("it")
                at = found_at + length
                places.append((found_at, at))
            else:
                at = match.start() + 1
    return places


def _windows(detector: Detector, text: str) -> Iterable[Window]:
    if detector.windows is None or len(text) > _WINDOW_CHARS:
        return ((0, len(text)),)
    return detector.windows(text)


def _search(pattern: re.Pattern[str], text: str, at: int, end: int) -> re.Match[str] | None:
    """``pattern.search(text, at, end)``, so many characters at a time. A match that reaches their end is made again with the whole text
    ahead."""
    if end - at <= _WINDOW_CHARS:
        return pattern.search(text, at, end)
    return _search_long(pattern, text, at)


def _search_long(pattern: re.Pattern[str], text: str, at: int) -> re.Match[str] | None:
    while True:
        end = min(at + _WINDOW_CHARS + _OVERLAP_CHARS, len(text))
        match = pattern.search(text, at, end)
        if end == len(text) or (match is not None and match.end() < end):
            return match
        if match is None:
            at = end - _OVERLAP_CHARS
        elif (whole := pattern.match(text, match.start())) is not None:
            return whole
        else:
            at = match.start() + 1


def blanked(text: str, found: list[Found]) -> str:
    """The text with what was found taken out of sight, as long as before."""
    pieces: list[str] = []
    done = 0
    for each in found:
        pieces += text[done : each.start], _TAKEN * (each.end - each.start)
        done = each.end
    return "".join((*pieces, text[done:]))


# --- the table ----------------------------------------------------------------------------------------------------------

# Secrets first: they may contain what looks like an address or a number.
DETECTORS: tuple[Detector, ...] = (
    Detector(
        "private_key",
        screen.PRIVATE_KEY,
        signs.private_key,
        re.compile(r"(?P<it>-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.{0,8000}?(?:-----END [A-Z ]{0,30}-----|\Z))", re.DOTALL),
    ),
    Detector("jwt", screen.JWT, signs.jwt, re.compile(r"(?<![\w-])(?P<it>eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*){1,3})")),
    Detector("credentials", screen.CREDENTIALS, signs.credentials, re.compile(r"://(?P<it>[^/\s:@\"]{1,256}:[^/\s@\"]{1,256})@")),
    Detector(
        "api_key",
        screen.API_KEY,
        signs.api_key,
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
    Detector(
        "token",
        screen.TOKEN,
        signs.token,
        re.compile(r"(?i)\b(?:bearer|basic)\s{1,4}(?P<it>(?=[\w.~+/=-]{0,40}\d)[\w.~+/-]{12,}=*)"),
    ),
    Detector(
        "token",
        screen.AUTHORIZATION,
        signs.authorization,
        re.compile(r"(?i)\bauthorization['\"]?\s{0,4}[:=]\s{0,4}['\"]?(?:bearer|basic|token)\s{1,4}(?P<it>[^\s,'\"\[\]]{4,})"),
    ),
    Detector(
        "secret",
        screen.SECRET,
        signs.secret,
        re.compile(
            r"(?i)(?<![A-Za-z0-9])(?:api[_-]?key|access[_-]?key|secret[_-]?key|client[_-]?secret|access[_-]?token|auth[_-]?token|secret"
            r"|token|password|passwd|pwd)['\"]?\s{0,4}[:=]\s{0,4}['\"]?(?P<it>(?=[^\s'\"&,;\[\]]{0,64}\d)[^\s'\"&,;\[\]]{8,})"
        ),
    ),
    Detector(
        "email",
        screen.EMAIL,
        signs.email,
        re.compile(r"(?<![\w.%+-])(?P<it>[\w.%+-]+(?:@|%40)(?:[\w-]+\.)+(?:xn--[a-z0-9-]+|[^\W\d_]{2,}))"),
        windows=windows.email,
    ),
    Detector(
        "iban",
        screen.IBAN,
        signs.iban,
        re.compile(r"(?i)(?<!\w)(?P<it>[A-Z]{2}[0-9]{2}(?:[ \u00a0-]?[A-Z0-9]){11,30})"),
        measures.iban,
    ),
    Detector(
        "card",
        screen.CARD,
        signs.card,
        re.compile(
            r"(?<![A-Za-z0-9+])(?<![0-9]\.)(?P<it>[2-6][0-9]{12,18}"  # behind a plus it is a phone's, whatever its check digit says
            r"|[2-6][0-9]{3}(?P<gap>[ \u00a0.-])[0-9]{4}(?P=gap)[0-9]{4}(?P=gap)[0-9]{4}(?:(?P=gap)[0-9]{1,3})?"
            r"|3[0-9]{3}(?P<wide>[ \u00a0.-])[0-9]{6}(?P=wide)[0-9]{4,5})(?![A-Za-z0-9])"  # American Express, Diners
        ),
        measures.card,
        windows.card,
    ),
    Detector(
        "ipv4",
        screen.IPV4,
        signs.ipv4,
        re.compile(r"(?<![\w.])(?P<it>[0-9]{1,3}(?:\.[0-9]{1,3}){3})(?!\w)(?!\.[0-9])"),
        measures.ipv4,
        windows.ipv4,
    ),
    Detector(
        "ipv6",
        screen.IPV6,
        signs.ipv6,
        re.compile(r"(?<![\w:.])(?P<it>[0-9A-Fa-f:]{4,40})(?![\w:])"),
        measures.ipv6,
    ),
    Detector(
        "phone",
        screen.PHONE,
        signs.phone,
        re.compile(
            r"(?<![\w+.,])(?P<it>(?:\+|00)[1-9][0-9]{0,2}(?:[ \u00a0().\/-]{0,2}[0-9]){6,13}"  # international
            r"|\(?[2-9][0-9]{2}\)?[ \u00a0.-]{1,2}[0-9]{3}[ \u00a0.-][0-9]{4}"  # North America
            r"|\(?0[1-9][0-9]{0,4}\)?[ \u00a0/.-][0-9]{2,8}(?:[ \u00a0.-][0-9]{2,8}){0,4})"  # with the trunk prefix 0
            r"(?!\w)(?![.,-][0-9])"
        ),
        measures.phone,
        windows.phone,
    ),
    Detector(
        "phone",
        screen.NAMED_PHONE,
        signs.named_phone,
        re.compile(r"(?i)\b(?:tel|phone|mobile|cell|fax|whatsapp|call|text)\b[^\w+\n]{1,5}(?P<it>[0-9]{9,15})(?!\w)"),
        windows=windows.named_phone,
    ),
)
