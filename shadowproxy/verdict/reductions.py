"""One pair → the cell it adds to every check: the paired differences that gates are about. PURE.

Comes after ``compare`` (a :class:`~shadowproxy.exchange.Comparison` says how a pair differs) and before ``cells`` (which counts). What is
reduced, and to which check, is a table at each step; ``amounts`` does latency, cost and tokens; ``checks`` says which cells a check has.

Intention to treat: a candidate that gave no answer failed, is as unlike the primary as can be, is slow, and dear. Where the primary
failed only the error checks count: the answer that was served is the reference, and without it there is nothing to be like and no
first token to be later than. Leaving those pairs out selects by what the primary did, which the candidate cannot influence;
selecting by what the *candidate* did would be the complete-case trap.

A control that failed is left out of every check but its own, whoever's fault it was. Counting it as unlike the primary would be legal
(it is the primary failing a second time), but every such pair has D <= 0: evidence *for* the candidate, and a control arm that shares
the primary's rate limit and fails 5 % of the time would hide a loss of similarity of 0.04. Leaving it out can only make promotion
harder, and selects by the control's luck. That the control fails more often than the primary is what ``aa_error`` watches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from shadowproxy.exchange import Comparison, Outcome, Severity, Side
from shadowproxy.verdict import checks
from shadowproxy.verdict.amounts import budgets, ratios, tails
from shadowproxy.verdict.checks import Found
from shadowproxy.verdict.limits import Limits

_SERIOUS = (Severity.MAJOR, Severity.CRITICAL)


class Preference(StrEnum):
    """Which answer a judge found better. An abstention is a tie: it says that neither could be shown to be better."""

    PRIMARY = "primary"
    CANDIDATE = "candidate"
    TIE = "tie"


@dataclass(frozen=True, slots=True)
class PairOutcome:
    """One resolved pair, as the reductions see it.

    ``control`` is the primary's second answer compared with its first; None where this request was not asked again. ``has_control``
    says whether the rollout has a control arm at all. ``u`` is uniform on [0, 1), drawn for this pair only: one number serves every check,
    because nothing that is promised needs checks to be independent of each other. ``preference`` is None where the pair was not
    chosen for the judge; whoever chooses must not look at the answers.
    """

    primary: Outcome
    candidate: Comparison
    control: Comparison | None
    has_control: bool
    limits: Limits
    u: float
    preference: Preference | None = None

    @property
    def again(self) -> Comparison | None:
        """The control, where it can stand in the candidate's place: not where we lost it."""
        if not self.has_control or self.control is None or self.control.outcome is Outcome.DROPPED_LOCAL:
            return None
        return self.control

    @property
    def noise(self) -> Comparison | None:
        """The control, where it answered and so shows how much the primary differs from itself."""
        return self.control if self.has_control and self.control is not None and self.control.outcome is Outcome.OK else None


def reduce(pair: PairOutcome) -> list[Found]:
    """The cells of one pair, at most one of each check. A pair that lost its primary or its candidate on our side has none."""
    if Outcome.DROPPED_LOCAL in (pair.primary, pair.candidate.outcome):
        return []
    found = _errors(pair)
    if pair.primary.is_failure:
        return found
    for reduction in _REDUCTIONS:
        found += reduction(pair)
    found += tails(pair.candidate, pair.again, pair.limits)
    found += ratios(pair.candidate, pair.limits, pair.u)
    return found + budgets(pair.candidate, pair.limits)


def _errors(pair: PairOutcome) -> list[Found]:
    """A failed primary counts for the control too, or the difference between two askings of one model would not be centred on zero."""
    found = [(checks.ERROR, checks.trinomial_cell(pair.candidate.outcome.is_failure, pair.primary.is_failure))]
    if pair.again is not None:
        found.append((checks.AA_ERROR, checks.trinomial_cell(pair.again.outcome.is_failure, pair.primary.is_failure)))
    return found


# --- validity: what each side can be faulted for by itself -------------------------------------------------------------


def _is_json_bad(side: Side) -> bool | None:
    return None if side.is_json_valid is None else not side.is_json_valid


def _is_tool_bad(side: Side) -> bool | None:
    return None if side.is_tool_valid is None else not side.is_tool_valid


def _is_truncated(side: Side) -> bool | None:
    return side.is_truncated


_FAULTS: tuple[tuple[str, Callable[[Side], bool | None]], ...] = (
    (checks.JSON_VALID, _is_json_bad),
    (checks.TOOL_VALID, _is_tool_bad),
    (checks.TRUNCATED, _is_truncated),
)


def _validity(pair: PairOutcome) -> list[Found]:
    """1[C at fault] - 1[P at fault], where the question arises on either side. The served answer is the reference: no control needed."""
    found = []
    for check, fault_of in _FAULTS:
        reference, own = fault_of(pair.candidate.primary_side), fault_of(pair.candidate.side)
        if pair.candidate.outcome.is_failure:
            own = None if reference is None else True
        if reference is not None or own is not None:
            found.append((check, checks.trinomial_cell(bool(own), bool(reference))))
    return found


# --- mismatch: unlike the primary's answer, less how often the primary is unlike itself ---------------------------------


def _are_json_asked(other: Comparison) -> bool:
    return other.primary_side.is_json_valid is not None


def _are_tools_called(other: Comparison) -> bool:
    return other.primary_side.is_tool_valid is not None


def _never(_other: Comparison) -> bool:
    return False


#: Family of divergences → its check, the stand-in without control, and whether the primary's answer alone raises the question: by that
#: a missing answer is known to be a mismatch. Of facts nothing tells; with a control arm the control does.
_FAMILIES: tuple[tuple[str, str, Callable[[Comparison], bool]], ...] = (
    (checks.STRUCTURE, checks.STRUCTURE_ABSOLUTE, _are_json_asked),
    (checks.TOOLS, checks.TOOLS_ABSOLUTE, _are_tools_called),
    (checks.FACTS, checks.FACTS_ABSOLUTE, _never),
)


def _mismatches(pair: PairOutcome) -> list[Found]:
    found: list[Found] = []
    for family, absolute, is_asked in _FAMILIES:
        own = _differs(pair.candidate, family, is_asked)
        noise = None if pair.noise is None else _differs(pair.noise, family, is_asked)
        found += _mismatch(pair, family, absolute, own, noise)
    own = _refuses_otherwise(pair.candidate)
    noise = None if pair.noise is None else _refuses_otherwise(pair.noise)
    return found + _mismatch(pair, checks.REFUSAL, checks.REFUSAL_ABSOLUTE, own, noise)


def _mismatch(pair: PairOutcome, check: str, absolute: str, own: bool | None, noise: bool | None) -> list[Found]:
    """1[C != P] - 1[P' != P], where the question arises for either; without a control arm 1[C != P] alone.

    A side for which it does not arise has nothing that differs. A candidate without answer differs wherever the control shows that
    there was something to compare.
    """
    if not pair.has_control:
        return [] if own is None else [(absolute, checks.BAD if own else checks.OK)]
    if pair.noise is None or (own is None and noise is None):
        return []
    is_own_bad = pair.candidate.outcome.is_failure if own is None else own
    return [(check, checks.trinomial_cell(is_own_bad, bool(noise)))]


def _differs(other: Comparison, family: str, is_asked: Callable[[Comparison], bool]) -> bool | None:
    """True for a difference of weight (severity major or above); None where there is nothing to compare."""
    if other.outcome.is_failure and (family in other.scores or is_asked(other)):
        return True
    if family not in other.scores:
        return None
    start = family + "."
    return any(each.severity in _SERIOUS and each.kind.startswith(start) for each in other.divergences)


def _refuses_otherwise(other: Comparison) -> bool | None:
    """True where one declines and the other does not, in either direction: a model that stops declining has changed as much."""
    if other.primary_side.is_refusal is None and other.side.is_refusal is None:
        return None
    return other.outcome.is_failure or bool(other.primary_side.is_refusal) != bool(other.side.is_refusal)


# --- similarity ---------------------------------------------------------------------------------------------------------


def _similarity(pair: PairOutcome) -> list[Found]:
    """s(P, P') - s(P, C), and the noise floor 1 - s(P, P') by itself; without a control arm 1 - s(P, C), at the candidate's expense."""
    score = 0.0 if pair.candidate.outcome.is_failure else pair.candidate.similarity
    if not pair.has_control:
        return [] if score is None else [(checks.SIMILARITY_ABSOLUTE, _distance_cell(score, pair.u))]
    floor = None if pair.noise is None else pair.noise.similarity
    if floor is None:
        return []
    found = [(checks.NOISE_FLOOR, _distance_cell(floor, pair.u))]
    if score is not None:
        found.append((checks.SIMILARITY, checks.grid_cell(floor - score, pair.u)))
    return found


def _distance_cell(similarity: float, u: float) -> str:
    return checks.grid_cell(min(max(1 - similarity, 0.0), 1.0), u)


# --- judge --------------------------------------------------------------------------------------------------------------

_JUDGED: Mapping[Preference, str] = MappingProxyType(
    {Preference.PRIMARY: checks.CANDIDATE_ONLY, Preference.CANDIDATE: checks.REFERENCE_ONLY, Preference.TIE: checks.BOTH_OK}
)


def judged_cell(preference: Preference) -> str:
    """The cell of check ``judge`` for a preference that comes later than the rest of its pair."""
    return _JUDGED[preference]


def _judged(pair: PairOutcome) -> list[Found]:
    """1[P wins] - 1[C wins]. Whatever the judge was shown, a missing answer has lost."""
    if pair.preference is None:
        return []
    winner = Preference.PRIMARY if pair.candidate.outcome.is_failure else pair.preference
    return [(checks.JUDGE, _JUDGED[winner])]


_REDUCTIONS: tuple[Callable[[PairOutcome], list[Found]], ...] = (_validity, _mismatches, _similarity, _judged)
