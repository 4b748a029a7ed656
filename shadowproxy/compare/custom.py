"""Comparators that others bring: what they have to be, and how their word is taken. PURE, as far as theirs are.

``extensions`` finds them by their entry point. One that fails costs its own finding and nothing else.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Protocol

from shadowproxy.compare.json_diff import MAX_KEPT
from shadowproxy.compare.kinds import Found, shown
from shadowproxy.exchange import Answer, Asked, Divergence, Severity

#: The entry points of this group are comparators.
GROUP = "shadowproxy.comparators"
#: A name is part of a kind of divergence and of the label of a metric.
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Comparator(Protocol):
    """What a package offers as an entry point: an object like this, or a class without arguments that makes one.

    It is called on the thread that compares, for every pair: it should be quick, and not wait for anything. Answers are a model's, and
    hostile.
    """

    name: str
    """Lower case with ``_``, the name of its entry point."""

    def compare(self, primary: Answer, other: Answer, asked: Asked) -> Found:
        """How two answers to one request differ. Kinds of divergences are ``custom.<name>``, or begin with that and a dot."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a comparator said; or ``failure``, a sentence that says why it is not listened to, beside an abstention."""

    found: Found
    failure: str = ""


def hear(comparator: Comparator, primary: Answer, other: Answer, asked: Asked) -> Heard:
    """Ask a comparator, and take from its answer what can be taken: a score within 0..1, divergences of its own kinds, short texts."""
    try:
        found = comparator.compare(primary, other, asked)
        return Heard(Found(_clamped(found.score), tuple(_checked(comparator.name, each) for each in found.divergences[:MAX_KEPT])))
    except Exception as exc:  # noqa: BLE001 - foreign code: whatever it raises is a failure of its own, counted by the caller
        return Heard(Found(), shown(f"custom.{comparator.name}: {type(exc).__name__}: {exc}"))


def _clamped(score: float | None) -> float | None:
    if score is None:
        return None
    if math.isnan(score):
        raise ValueError("the score is not a number; return None to abstain")
    return min(1.0, max(0.0, float(score)))


def _checked(name: str, each: Divergence) -> Divergence:
    if each.kind != f"custom.{name}" and not each.kind.startswith(f"custom.{name}."):
        raise ValueError(f"a divergence of kind {each.kind!r}; its kinds begin with custom.{name}")
    return replace(
        each,
        severity=Severity(each.severity),
        primary=shown(each.primary),
        other=shown(each.other),
        path=shown(each.path),
        why=shown(each.why),
    )
