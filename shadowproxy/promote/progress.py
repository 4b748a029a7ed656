"""What is remembered of a rollout: the record that is written beside the weights. PURE.

It goes into the annotation :data:`ANNOTATION` of the steered object, a ConfigMap, a file or a commit; see ``memory`` and ``routers``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.phases import Phase

ANNOTATION = "shadowproxy.io/rollout"

#: Version of the record. One that a newer program wrote is refused: half understood it could move traffic.
_VERSION = 1


class Progress(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a rollout stands.

    ``percent`` is the candidate's share of the traffic; with ``settled`` False it is what the weights are being moved *to*: they may be
    there, at ``came_from`` or between. ``totals`` are what primary and candidate had together, by place, when that was decided: two objects
    of which one is written do not tell. ``previous`` is the phase before, ``at_s`` (Unix time) when this was decided and ``because`` why.

    ``step`` counts from 0, -1 before the first; ``since_s`` (Unix time) and ``pairs`` are those of its beginning. ``approved`` is the
    highest step a person agreed to. ``identity`` names what stood behind the candidate when the rollout began, where the router can tell.
    ``found`` holds the weights as they were then, in the router's own form.
    """

    version: int = _VERSION
    rollout: str
    candidate: str
    phase: Phase
    previous: Phase | None = None
    because: str
    at_s: float
    since_s: float
    percent: int = 0
    came_from: int = 0
    totals: tuple[int, ...] = ()
    settled: bool = True
    step: int = -1
    pairs: int = 0
    approved: int = -1
    identity: str = ""
    found: Any = None

    def __post_init__(self) -> None:
        if self.version != _VERSION:
            raise ValueError(f"is of version {self.version}, not {_VERSION}")


def encode(progress: Progress) -> str:
    """The record as one line of JSON, the same for the same progress."""
    return msgspec.json.encode(progress, order="deterministic").decode()


def decode(text: str) -> Progress:
    """The progress that a record holds. Raises :class:`~shadowproxy.errors.RouterRefused`: what cannot be read cannot be continued."""
    try:
        return msgspec.json.decode(text, type=Progress)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RouterRefused(f"the record of the rollout does not decode ({exc})", f"remove {ANNOTATION} to begin anew") from exc


def moving(progress: Progress) -> Progress:
    """The intent to reach ``progress``, to be written before the weights where both cannot be written at once."""
    return msgspec.structs.replace(progress, settled=False)
