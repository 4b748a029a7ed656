"""Which pairs the judge is asked about: a stable share of requests, fixed before anything is known of the answers. PURE."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from shadowproxy.exchange import CONTROL
from shadowproxy.llmjudge.preference import Order


@dataclass(frozen=True, slots=True)
class Shares:
    """``pairs`` of the requests are judged (0..1); of these, ``controls`` also with the control in the candidate's place."""

    pairs: float
    controls: float

    def choose(self, request_id: str, arm: str) -> bool:
        """True where this arm's answer to this request is to be judged. All candidates of a request are in or out together."""
        if _point("pairs", request_id) >= self.pairs:
            return False
        return arm != CONTROL or _point("controls", request_id) < self.controls


def first_order(request_id: str) -> Order:
    """Which order is asked first. By lot, so that a judge who fails on the first question does not do so more often with one arm's answer
    in front."""
    return Order.PRIMARY_FIRST if _point("order", request_id) < 0.5 else Order.OTHER_FIRST


def _point(purpose: str, request_id: str) -> float:
    """A number in [0, 1) that is always the same for this request, and has nothing to do with which copies it was chosen for."""
    digest = hashlib.blake2b(request_id.encode("utf-8", "surrogateescape"), key=f"llmjudge {purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
