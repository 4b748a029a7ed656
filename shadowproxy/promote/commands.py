"""What the table asks for, in the imperative. PURE.

Made by ``decision``, carried out by ``controller``, in the order they come.
"""

from __future__ import annotations

from dataclasses import dataclass

from shadowproxy.promote.progress import Progress


@dataclass(frozen=True, slots=True)
class SetWeight:
    """Give the candidate ``percent`` of the traffic. ``then`` is the progress once it has them."""

    percent: int
    then: Progress


@dataclass(frozen=True, slots=True)
class Restore:
    """Take the candidate out of the traffic, by the very weights of before where the candidate had none then."""

    then: Progress


@dataclass(frozen=True, slots=True)
class Record:
    """Remember ``progress``; weights stay."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell whoever listens what was done."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Release:
    """Give up the ownership of what was written, where it is still ours."""


Command = SetWeight | Restore | Record | Emit | Release
