"""Whether a failed question is asked again, and when. PURE."""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime

#: Worth asking again: too many requests, and what gateways and overloaded servers say of a state that passes (529: Anthropic).
_PASSING = frozenset({408, 429, 500, 502, 503, 504, 529})

#: Tries of one question. A third failure in a row is no hiccup, and each may cost money.
MOST_TRIES = 3

_FIRST_DELAY_S = 0.5


def delay_s(status: int, tries: int, retry_after: bytes | None, now_unix_s: float, u: float) -> float | None:
    """Seconds until the next try, None for no next try.

    ``tries`` were made so far. ``retry_after`` is the header's value (RFC 9110, section 10.2.3: seconds or a date); without one it is
    exponential, spread by ``u``, uniform on [0, 1).
    """
    if status not in _PASSING or tries >= MOST_TRIES:
        return None
    asked_s = told_s(retry_after, now_unix_s)
    return asked_s if asked_s is not None else _FIRST_DELAY_S * 2 ** (tries - 1) * (0.5 + u)


def told_s(retry_after: bytes | None, now_unix_s: float) -> float | None:
    """What a ``retry-after`` header says in seconds from now; None where it says nothing that can be understood."""
    if retry_after is None:
        return None
    text = retry_after.decode("latin-1").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now_unix_s
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
