"""Steers whoever knows one number: ``program`` runs a command, ``hook`` calls a URL. What they do with it is theirs.

The record of the rollout is kept elsewhere (``memory``): the intent is written before they are asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.present import Present, Share
from shadowproxy.promote.routers.port import Change, Note

#: How long a program or service that is not ready is left alone.
DELAY_S = 10.0


class Answer(msgspec.Struct):
    """What is to be answered: the candidate's present share. ``version`` comes back with the next change, for whoever guards against
    races."""

    percent: int
    version: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError("percent is not within 0..100")


@dataclass(frozen=True, slots=True)
class Ask:
    """A share that was not asked for yet. ``shown`` is how a person would ask."""

    percent: int
    version: str
    rollout: str
    candidate: str
    shown: str

    def __str__(self) -> str:
        return self.shown


class Remote(Protocol):
    """Whoever knows the number."""

    async def ask(self) -> Answer: ...
    async def tell(self, ask: Ask) -> None: ...
    def shown(self, percent: int) -> str: ...
    async def close(self) -> None: ...


class PercentRouter:
    """A :class:`~shadowproxy.promote.routers.port.Router` over a :class:`Remote`."""

    carries_memory = False

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def __str__(self) -> str:
        return str(self._remote)

    async def read(self) -> Present:
        answer = await self._remote.ask()
        return Present((Share(answer.percent, 100, str(self._remote)),), answer.percent, source=answer.version)

    def weigh(self, present: Present, percent: int, note: Note) -> tuple[Change, ...]:
        progress = note.progress
        return (Ask(percent, present.source, progress.rollout, progress.candidate, self._remote.shown(percent)),)

    def restore(self, present: Present, note: Note) -> tuple[Change, ...]:
        return self.weigh(present, 0, note)

    def remember(self, present: Present, note: Note) -> tuple[Change, ...]:
        raise AssertionError("the record is kept elsewhere")

    def disown(self, present: Present) -> tuple[Change, ...]:
        return ()

    async def make(self, change: Change) -> None:
        assert isinstance(change, Ask)
        await self._remote.tell(change)

    async def close(self) -> None:
        await self._remote.close()


def read_answer(text: bytes, who: str) -> Answer:
    try:
        return msgspec.json.decode(text, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RouterRefused(f"{who} does not say its share ({exc})", 'let it answer {"percent": 0}') from exc
