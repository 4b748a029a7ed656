"""What tells requests, and states of them, from each other. PURE."""

from __future__ import annotations

from shadowproxy.exchange import Outcome

#: Enough that no two of a billion requests meet, and that a change does not go unseen.
KEY_BYTES, STATE_BYTES = 16, 8

#: 429, and what gateways and overloaded servers say before they have done any work (529: Anthropic). 500 and 504 may be the model's own
#: failure, and count.
BUSY = frozenset({429, 503, 529})


def is_given_up(outcome: str, status: int) -> bool:
    """Of an exchange after its last try: the arm had no time for it or was not there, or it was never sent. Worth another try in another
    run."""
    return status in BUSY or outcome in (Outcome.CONNECT_FAILED, Outcome.DROPPED_LOCAL)
