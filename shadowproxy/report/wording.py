"""How a report says numbers, times and findings. PURE.

Shared by the renderings. Seconds become milliseconds here, in print.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shadowproxy.verdict.gates import Role
from shadowproxy.verdict.reasons import REASONS, REMEDIES
from shadowproxy.verdict.wording import count, duration

UNKNOWN = "–"

#: Verdict → a sign that says the same without colour, and what it comes to.
STATES: Mapping[str, tuple[str, str]] = {
    "promote": ("✔", "Promote"),
    "hold": ("‖", "Hold"),
    "rollback": ("✘", "Roll back"),
}

#: Outcome of a finding → its sign and its word.
OUTCOMES: Mapping[str, tuple[str, str]] = {
    "pass": ("✔", "within margin"),
    "fail": ("✘", "beyond margin"),
    "inconclusive": ("?", "not decided"),
}

#: Order of findings: what decides against the candidate first, our own self-check last.
_RANKS = {"fail": 0, "inconclusive": 1, "pass": 2}
_ROLES = {Role.GUARD.value: 0, Role.WATCH.value: 1, Role.NEGATIVE_CONTROL.value: 2}


def headline(document: Mapping[str, Any]) -> str:
    """The verdict as one sentence: ``Hold: not shown to be within the margin yet, nor beyond it``."""
    _, word = STATES.get(document["state"], ("", document["state"]))
    reasons = document["reasons"]
    said = _without_state(REASONS.get(reasons[0]["code"], reasons[0]["text"])) if reasons else "no reason is given"
    return f"{word}: {said}."


def remedy(code: str) -> str:
    """What to do about a reason, as a sentence."""
    said = REMEDIES.get(code, "")
    return f"{said[0].upper()}{said[1:]}." if said else ""


def by_code(reasons: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The reasons of each code together, in the order in which the codes first come: what is to be done depends on the code alone."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for reason in reasons:
        found.setdefault(reason["code"], []).append(reason)
    return found


def meaning(code: str) -> str:
    """What a reason code says, as a sentence."""
    said = _without_state(REASONS.get(code, code))
    return f"{said[0].upper()}{said[1:]}."


def _without_state(text: str) -> str:
    state, found, rest = text.partition(": ")
    return rest if found and state in (*STATES, "note") else text


def stratum(finding: Mapping[str, Any]) -> str:
    """The route or slice that a finding or reason is about; ``all`` where it is about neither."""
    return str(finding["slice"] or finding["route"] or "all")


def ordered(findings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What decides first, our own self-check last."""
    return sorted(findings, key=lambda each: (_ROLES.get(each["role"], 3), _RANKS.get(each["outcome"], 3)))


def is_note(reason: Mapping[str, Any]) -> bool:
    """True for a reason that did not decide."""
    return REASONS.get(reason["code"], "").startswith("note: ")


def number(value: float | None) -> str:
    """Three significant digits, with a sign: +0.0312, -1, 0."""
    if value is None:
        return UNKNOWN
    return f"{value:+.3g}" if value else "0"


def share(part: float, whole: float) -> str:
    """``12.3 %``; a part that is there never shows as none, and one that is not all never as all."""
    if whole <= 0:
        return UNKNOWN
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.9 < percent < 100 else f"{percent:.1f} %"


def seconds(value: float | None) -> str:
    """``87 ms``, ``1.24 s``, ``12 min``."""
    if value is None:
        return UNKNOWN
    if value < 1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} s" if value < 120 else duration(value)


def amount(value: float | None) -> str:
    """A count or a price: ``12,345``, ``3.21``, ``0.00042``."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if not 0 < abs(value) < 1e-4 else f"{value:.{_digits(value)}f}"


def _digits(value: float) -> int:
    """Decimals that show three digits of a small price, which nobody reads as ``1.62e-05``; below 1e-12 there are none left."""
    return min(2 - math.floor(math.log10(abs(value))), 12)


def moment(unix_s: float | None) -> str:
    """``2026-05-01 09:30:00 UTC``; what no calendar has is unknown."""
    try:
        return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if unix_s is not None else UNKNOWN
    except (ValueError, OverflowError, OSError):
        return UNKNOWN


def facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures that a reader looks for first, each with its name."""
    lost = document["unresolved"]
    shown = [
        ("pairs judged", count(document["pairs"])),
        ("requests decided on", count(document["issued"])),
        ("lost on our side", f"{count(lost)} ({share(lost, document['issued'])})" if lost else "0"),
        ("noise floor", "measured (control arm)" if document["has_control"] else "unknown (no control arm)"),
    ]
    if document["sessions"] is not None:
        shown.append(("sessions", count(document["sessions"])))
    if document["state"] == "hold":
        shown.append(("still needed", _needed(document)))
    return shown


def _needed(document: Mapping[str, Any]) -> str:
    pairs, time_s = document["pairs_needed"], document["seconds_needed"]
    if pairs is None:
        return "will not pass as things are"
    in_time = f", about {duration(time_s)}" if time_s else ""
    return f"about {count(pairs)} pairs{in_time}"


def promise(document: Mapping[str, Any]) -> str:
    """What the verdict's error rates are, in words."""
    rules = document["rules"]
    return (
        f"However often anyone looks: a candidate beyond a margin is promoted in at most {share(rules['alpha_promote'], 1)} of rollouts, "
        f"and one within all margins rolled back in at most {share(rules['alpha_rollback'], 1)}."
    )
