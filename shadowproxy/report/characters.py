"""Which characters of a stranger's text are shown as they are. PURE.

Everything that a report shows goes through :func:`visible`. What would steer the page instead of standing on it (control characters, text
direction overrides) is named instead; what is not text at all (half a surrogate pair) gives way to U+FFFD. The result is valid in HTML,
XML 1.0 and UTF-8.
"""

from __future__ import annotations

import re

#: C0 and C1 but tab and line feed; bidi embeddings, overrides and isolates; what XML 1.0 excludes; the interlinear anchors. The marks
#: U+200E, U+200F and the joiners stay: ordinary Arabic, Persian and emoji need them, and they reorder nothing beyond themselves.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ufffe\uffff\u2028\u2029]")
_HALF = re.compile("[\ud800-\udfff]")


def visible(value: str) -> str:
    """The text, one character for another in one pass: ``⟨U+202E⟩`` where a direction override was."""
    plain = value.replace("\r\n", "\n")
    return _HALF.sub("\ufffd", _STEERING.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", plain))


def line(value: str, limit: int) -> str:
    """On one line, at most ``limit`` characters."""
    plain = " ".join(visible(value[: limit * 4]).split())
    return plain if len(plain) <= limit and len(value) <= limit * 4 else plain[: limit - 1] + "…"
