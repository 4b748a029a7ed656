"""The phases of a rollout, and the orders a person may give. PURE.

Used by ``decision``, which holds the table of what follows what.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Phase(StrEnum):
    """Where a rollout stands. :data:`PHASES` says what each means."""

    SHADOW = "shadow"
    CANARY = "canary"
    PAUSED = "paused"
    HELD = "held"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"

    @property
    def is_over(self) -> bool:
        """True where nothing moves any more until another rollout begins."""
        return self in (Phase.PROMOTED, Phase.ROLLED_BACK)


#: Phase → one line of documentation.
PHASES: Mapping[Phase, str] = MappingProxyType(
    {
        Phase.SHADOW: "The candidate answers copies only; no client sees it.",
        Phase.CANARY: "The candidate serves the share of its step, and is judged on.",
        Phase.PAUSED: "A person stopped the rollout: weights stay, unless the candidate is shown to be worse.",
        Phase.HELD: "Somebody else moved the weights, or they were not at zero to begin with: a person must resume or abort.",
        Phase.PROMOTED: "The candidate serves everything and the weights are no longer ours.",
        Phase.ROLLED_BACK: "The candidate serves nothing; only another rollout begins anew.",
    }
)


class Order(StrEnum):
    """What a person may ask for. :data:`ORDERS` says what each does."""

    APPROVE = "approve"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


#: Order → one line of documentation.
ORDERS: Mapping[Order, str] = MappingProxyType(
    {
        Order.APPROVE: "Let the next step be taken once the verdict allows it, where the plan asks a person first.",
        Order.PAUSE: "Leave the weights where they are until resume or abort.",
        Order.RESUME: "Go on from the present step; its age begins anew, and its weights are set again where somebody changed them.",
        Order.ABORT: "Take the candidate out of the traffic at once; the rollout is over.",
    }
)
