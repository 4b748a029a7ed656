"""What the admin surface shows, and whom it asks for it. ``app`` only reads it.

The supervisor implements :class:`AdminState`, the judge that runs by itself the smaller :class:`PromotionState`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shadowproxy.counts import Totals
from shadowproxy.promote.phases import Order

#: A JSON-able document: a verdict (``verdict.document`` builds it) or a pair (``shadow`` builds it).
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Health:
    """``alive``: the process works and must not be restarted. ``ready``: clients may be sent here.

    ``reasons`` says in words what is missing; a note may stand there while ``ready``.
    """

    alive: bool
    ready: bool
    reasons: tuple[str, ...] = ()


class JudgeState(Protocol):
    """What the surface needs from a process that judges."""

    @property
    def boot(self) -> str:
        """New at every start of the process: label of what it counted (``Metric.is_per_boot``)."""

    @property
    def totals(self) -> Totals:
        """Counts of its own, summed over its child processes."""

    def health(self) -> Health: ...

    def verdicts(self) -> tuple[Mapping[str, object], ...]:
        """The present verdict documents, one per rollout."""

    def history(self, limit: int, rollout: str | None) -> tuple[Mapping[str, object], ...]:
        """What was remembered of earlier verdicts, newest first, of one rollout id or of all."""


class PromotionState(JudgeState, Protocol):
    """What the surface needs from a process that may also move traffic."""

    def promotions(self) -> Mapping[str, Mapping[str, object]]:
        """Candidate → where its promotion stands."""

    async def order(self, candidate: str, order: Order) -> Mapping[str, object]:
        """Do what a person asks for, and say where that leaves the promotion.

        Raises ``KeyError`` for a candidate whose traffic nobody moves, :class:`~shadowproxy.errors.RouterRefused` where the order makes no
        sense, and :class:`~shadowproxy.errors.RouterBusy`.
        """


class AdminState(PromotionState, Protocol):
    """Everything the surface needs from the process that hosts it."""

    async def pairs(self, limit: int, rollout: str | None) -> tuple[Mapping[str, object], ...]:
        """The latest pairs, newest first, of one rollout id or of all. Texts are raw.

        Raises :class:`~shadowproxy.errors.ShadowproxyError` where the shadow process does not answer in time.
        """

    async def reload(self) -> str:
        """Go by the configuration as it stands now. Returns "", or why the old one was kept."""

    def set_mirroring(self, is_on: bool) -> None:
        """The kill switch: stop or resume mirroring in every worker."""
