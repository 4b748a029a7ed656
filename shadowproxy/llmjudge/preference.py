"""From two opinions to one preference. PURE.

Each pair is asked about twice, with its answers the other way round. What is said of the answer shown first, whatever it is, says nothing
about the answers: only a preference that both orders share counts, everything else is a tie (Zheng et al. 2023, arXiv 2306.05685, on the
position bias of model judges). How often the orders disagree is kept, because it is the measure of the judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Order(StrEnum):
    """Which arm's answer is shown first, as A."""

    PRIMARY_FIRST = "primary_first"
    OTHER_FIRST = "other_first"

    @property
    def swapped(self) -> Order:
        return Order.OTHER_FIRST if self is Order.PRIMARY_FIRST else Order.PRIMARY_FIRST


class Pick(StrEnum):
    """What the judge wrote."""

    A = "A"
    B = "B"
    TIE = "tie"


class Winner(StrEnum):
    """Which arm's answer is better. In a pair of primary and control the control stands where the candidate stands."""

    PRIMARY = "primary"
    CANDIDATE = "candidate"
    TIE = "tie"


class Agreement(StrEnum):
    """How the two orders go together."""

    SAME = "same"
    """Both say the same of the same answers."""
    FIRST = "first"
    """Both times the answer that was shown first was preferred: the orders contradict each other."""
    SECOND = "second"
    """Both times the answer that was shown second."""
    HALF = "half"
    """One order prefers, the other sees a tie."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the judge said of one order: its pick and its short reason."""

    pick: Pick
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """What a judge prefers between the answers of one pair.

    ``reasons`` are the judge's words with the primary's answer shown as A, then with the other shown as A; none where nothing had to be
    asked. ``tokens`` and ``cost`` are what both questions took, ``cost`` in the currency of the configured prices.
    """

    winner: Winner
    agreement: Agreement = Agreement.SAME
    reasons: tuple[str, ...] = ()
    tokens: int = 0
    cost: float = 0.0

    @property
    def is_consistent(self) -> bool:
        """True where both orders say the same."""
        return self.agreement is Agreement.SAME


#: Reason why there is no preference → one line of documentation. Label ``reason``; a test compares the list with the code.
ABSTENTIONS: Mapping[str, str] = MappingProxyType(
    {
        "is_arm": "not asked: the request names the judge's own model at the judge's address, so it would judge itself",
        "over_rate": "not asked: llm_judge.requests_per_minute are used up",
        "tokens_spent": "not asked: what is left of llm_judge.max_tokens may not be enough for one more pair",
        "money_spent": "not asked: what is left of llm_judge.max_cost may not be enough for one more pair",
        "queue_full": "not asked: llm_judge.queue pairs wait already",
        "closing": "not asked, or not to the end: the process is ending",
        "timeout": "no reply within llm_judge.timeout_s, retries included",
        "unreachable": "no connection, or one that broke before the reply was complete",
        "rate_limited": "the endpoint answered 429 until time was over",
        "server_error": "the endpoint answered 5xx until time or tries were over",
        "refused": "the endpoint answered with another status than success: wrong credential, unknown model, unknown field",
        "declined": "the judge declined to judge, or a filter took its reply",
        "cut": "the reply ended at llm_judge.max_reply_tokens before it said anything",
        "unreadable": "the reply holds no verdict of A, B or tie",
        "contradictory": "the reply holds several verdicts that differ",
        "failed": "a failure of our own; see shadowproxy_step_failures_total",
    }
)

#: Reasons that were settled before anything of the answers was looked at. The others may depend on the answers, and a gate that left
#: such pairs out would judge a selection: they are to be counted as pairs of unknown outcome.
_BLIND_REASONS = frozenset({"is_arm", "over_rate", "tokens_spent", "money_spent", "queue_full", "closing"})


@dataclass(frozen=True, slots=True)
class Abstention:
    """No preference, and why. What was asked before it came to this is paid for all the same."""

    reason: str
    tokens: int = 0
    cost: float = 0.0

    def __post_init__(self) -> None:
        if self.reason not in ABSTENTIONS:
            raise ValueError(f"reason {self.reason!r} is not in ABSTENTIONS")

    @property
    def is_blind(self) -> bool:
        """True where the reason cannot depend on the answers, so that the pair may be left out."""
        return self.reason in _BLIND_REASONS


Judged = Preference | Abstention


def preference(opinions: Mapping[Order, Opinion], *, tokens: int = 0, cost: float = 0.0) -> Preference:
    """What the opinions on both orders come to. Raises :class:`KeyError` where one is missing."""
    winners = [_winner(order, opinions[order].pick) for order in Order]
    agreement = _agreement(*(opinions[order].pick for order in Order))
    return Preference(
        winner=winners[0] if agreement is Agreement.SAME else Winner.TIE,
        agreement=agreement,
        reasons=tuple(opinions[order].reason for order in Order),
        tokens=tokens,
        cost=cost,
    )


def settled(primary: str, other: str | None) -> Preference | None:
    """The preference that takes no judge: any answer is better than none (None: the arm failed), and of two equal ones neither is."""
    if other is None:
        return Preference(Winner.PRIMARY)
    return Preference(Winner.TIE) if primary.strip() == other.strip() else None


def _winner(order: Order, pick: Pick) -> Winner:
    if pick is Pick.TIE:
        return Winner.TIE
    return Winner.PRIMARY if (pick is Pick.A) == (order is Order.PRIMARY_FIRST) else Winner.CANDIDATE


def _agreement(straight: Pick, swapped: Pick) -> Agreement:
    if Pick.TIE in (straight, swapped):
        return Agreement.SAME if straight is swapped else Agreement.HALF
    if straight is not swapped:
        return Agreement.SAME  # the letter changed because the answer moved
    return Agreement.FIRST if straight is Pick.A else Agreement.SECOND
