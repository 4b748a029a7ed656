"""The controllers of one process: one for each promotion of the configuration, looking on until that changes or the process ends.

``judge`` steers by the verdicts it makes, and so does ``serve`` where nobody else judges. ``building`` makes the controllers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shadowproxy.config import Promotion
from shadowproxy.promote.building import Surroundings, controller_of
from shadowproxy.promote.controller import Controller
from shadowproxy.promote.phases import Order
from shadowproxy.tasks import Tasks

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Steered:
    """One candidate whose traffic is moved. ``looking`` is None until its controller has begun."""

    section: Promotion
    controller: Controller
    looking: asyncio.Task[None] | None = None


#: Candidate → who steers it.
Course = Mapping[str, Steered]


class Steering:
    """Whoever steers, by the configuration that was adopted last. Empty at first."""

    def __init__(self, around: Surroundings, tasks: Tasks) -> None:
        self._around = around
        self._tasks = tasks
        self._course: Course = {}

    def __repr__(self) -> str:
        return f"<Steering {', '.join(repr(each.controller) for each in self._course.values()) or 'nobody'}>"

    def prepare(self, promotions: Iterable[Promotion]) -> Course:
        """What these promotions ask for; nothing begins yet, and a promotion that did not change keeps its controller.

        Raises :class:`~shadowproxy.errors.StartError`, and ``ConfigError`` for a missing secret.
        """
        return {section.candidate: self._kept(section) or Steered(section, controller_of(section, self._around)) for section in promotions}

    async def adopt(self, course: Course) -> None:
        """Go by what :meth:`prepare` gave. Controllers that are not in it end first: an object has one of ours at a time."""
        for candidate, old in self._course.items():
            if course.get(candidate) is not old:
                await self._end(old, is_replaced=candidate in course)
        self._course = course
        begun = [self._begin(each) for each in course.values() if each.looking is None]
        if begun and self._around.show is not None:
            _log.warning("dry run: no traffic is moved to %s, what would be done is printed; --no-dry-run does it", ", ".join(begun))
        elif begun:
            _log.info("traffic is moved to %s by the verdict", ", ".join(begun))

    def standings(self) -> Mapping[str, Mapping[str, object]]:
        """Candidate → where its promotion stands."""
        return {candidate: each.controller.standing.as_document() for candidate, each in self._course.items()}

    async def order(self, candidate: str, order: Order) -> Mapping[str, Any]:
        """Raises ``KeyError`` for a candidate whose traffic nobody moves, and what :meth:`Controller.order` raises."""
        return (await self._course[candidate].controller.order(order)).as_document()

    async def close(self) -> None:
        """End every controller, and let others take over at once."""
        for each in self._course.values():
            await self._end(each, is_replaced=True)
        self._course = {}

    def _kept(self, section: Promotion) -> Steered | None:
        known = self._course.get(section.candidate)
        return known if known is not None and known.section == section else None

    def _begin(self, steered: Steered) -> str:
        candidate = steered.section.candidate
        steered.looking = self._tasks.start(f"promote {candidate}", steered.controller.run_forever(steered.section.interval_s))
        return candidate

    async def _end(self, steered: Steered, *, is_replaced: bool) -> None:
        if steered.looking is not None:
            steered.looking.cancel()
            await asyncio.wait([steered.looking])
        progress = steered.controller.standing.progress
        if not is_replaced and progress is not None and not progress.phase.is_over:
            _log.warning("%s is no longer steered: it keeps %d %% of the traffic", progress.rollout, progress.percent)
        await steered.controller.close()
