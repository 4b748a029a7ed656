"""The narrow port between the controller and whatever shifts traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shadowproxy.promote.present import Present
from shadowproxy.promote.progress import Progress, encode


class Change(Protocol):
    """One change that is not made yet. Its text is what a person would run or write to make it."""

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Note:
    """What is written beside the weights: the progress that holds once they are, and the verdict document behind the move."""

    progress: Progress
    verdict: Mapping[str, Any]

    @property
    def record(self) -> str:
        return encode(self.progress)


class Router(Protocol):
    """One place where traffic is shifted.

    Every method raises :class:`~shadowproxy.errors.RouterBusy` for what may pass, :class:`~shadowproxy.errors.RouterConflict` where
    somebody else was faster, and :class:`~shadowproxy.errors.RouterRefused` for what a person must look at.
    """

    @property
    def carries_memory(self) -> bool:
        """True where the record of the rollout is written together with the weights, in one change; then there is one change at most."""

    async def read(self) -> Present:
        """How traffic is split now."""

    def weigh(self, present: Present, percent: int, note: Note) -> tuple[Change, ...]:
        """The changes that give the candidate ``percent``, in the order to make them. Nothing is changed yet."""

    def restore(self, present: Present, note: Note) -> tuple[Change, ...]:
        """The changes that take the candidate out of the traffic: by the weights that the progress ``found`` where they do, else zero."""

    def remember(self, present: Present, note: Note) -> tuple[Change, ...]:
        """The change that writes the record and leaves the weights. Only where :attr:`carries_memory`."""

    def disown(self, present: Present) -> tuple[Change, ...]:
        """The changes that give up ownership of what was written; nothing where there is none."""

    async def make(self, change: Change) -> None:
        """Make one of the changes above."""

    async def close(self) -> None:
        """Let go of connections."""
