"""All findings together: promote, hold or rollback. PURE.

The end of the data's way through ``verdict``: a :class:`~shadowproxy.verdict.case.Case` comes in, a :class:`Verdict` goes out to the admin
API, the metrics and the routers. The decision is a table of rows (:data:`_TABLE`); the first row that applies speaks.

What is promised, however often anyone looks, for pairs whose effects are independent and steady:

* If any gate is at or beyond its margin in any stratum that it guards, the chance of ever promoting is at most ``alpha_promote``: promotion
  takes *every* e-value at 1/alpha, so the one of the bad cell too (intersection-union; no correction for many gates).
* If all are within their margins, the chance of ever rolling back is at most ``alpha_rollback``: rollback takes the *mean* of the
  e-values of all cells to 1/alpha, and a mean of e-values is an e-value whatever their dependence (Vovk & Wang 2021). The mean is
  taken over values of the same moment; over each cell's record high it would promise nothing. Cells join the mean as routes show up:
  were most to join late, the promise would loosen to alpha (1 + log of the growth in cells), but they join while e-values are near 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shadowproxy.verdict import splits
from shadowproxy.verdict.case import Case, Evidence, OnTimeout, Rules, open_case
from shadowproxy.verdict.findings import Finding, GateOutcome, as_failed
from shadowproxy.verdict.reasons import Reason
from shadowproxy.verdict.wording import count, duration, percent

__all__ = ["Evidence", "OnTimeout", "Rules", "State", "Verdict", "decide"]


class State(StrEnum):
    PROMOTE = "promote"
    HOLD = "hold"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision with everything behind it. ``reasons`` begin with those that decided; notes come last.

    ``pairs`` counts judged pairs over all routes. ``e_rollback_log10`` is the log10 of the mean rollback e-value of the guarded cells.
    """

    state: State
    findings: tuple[Finding, ...]
    reasons: tuple[Reason, ...]
    pairs: int
    e_rollback_log10: float


def decide(rules: Rules, evidence: Evidence) -> Verdict:
    """The verdict now. It has no memory: the same counts give the same verdict."""
    case = open_case(rules, evidence)
    for row in _TABLE:
        if (spoken := row(case)) is not None:
            state, findings, reasons = spoken
            return Verdict(state, findings, (*reasons, *case.notes), case.pairs, _log_mean_e(case.suspects) / math.log(10))
    raise AssertionError("the last row of the decision table always speaks")


# --- the table: one function a row, in order; None means that the row does not apply -----------------------------------

_Spoken = tuple[State, tuple[Finding, ...], tuple[Reason, ...]]


def _state_gap(case: Case) -> _Spoken | None:
    evidence = case.evidence
    lost = (*evidence.unresolved_by_route.values(), *evidence.unresolved_by_slice.values(), evidence.unresolved)
    went_backwards = min((*evidence.cells.values(), *lost, evidence.issued)) < 0
    if not (evidence.state_gap or went_backwards):
        return None
    return State.HOLD, case.findings, (Reason("state_gap", "counts were lost or went backwards; what is left cannot be trusted"),)


def _srm(case: Case) -> _Spoken | None:
    reasons = tuple(_mismatched(split) for split in case.evidence.splits if splits.log_e(split) >= math.log(splits.ALARM))
    return (State.HOLD, case.findings, reasons) if reasons else None


def _mismatched(split: splits.Split) -> Reason:
    seen = split.seen / split.total
    text = f"{split.name}: {percent(seen)} of {count(split.total)}, where {percent(split.share)} was configured"
    log10_e = splits.log_e(split) / math.log(10)
    return Reason("srm", text, {"share": seen, "expected": split.share, "n": split.total, "log10_e": log10_e})


def _aa_bias(case: Case) -> _Spoken | None:
    """An instrument that makes the primary itself look bad would make any candidate look bad."""
    if not _are_beyond(case.controls, case):
        return None
    named = _worst(case, case.controls)
    reasons = tuple(
        case.say("aa_bias", each, f"{each.reason}. The control is the primary itself, so the way copies are sent is at fault")
        for each in named
    )
    return State.HOLD, case.suspects + _with(case.controls, named), reasons


def _worse(case: Case) -> _Spoken | None:
    if not _are_beyond(case.suspects, case):
        return None
    named = _worst(case, case.suspects)
    reasons = tuple(case.say(f"worse:{case.rule(each).family}", each, each.reason, log10_e=each.log10_e_rollback) for each in named)
    return State.ROLLBACK, _with(case.suspects, named) + case.controls, reasons


def _are_beyond(findings: Sequence[Finding], case: Case) -> bool:
    """True where the mean of the current e-values of all of them shows that some are beyond their margins."""
    return bool(findings) and _log_mean_e(findings) >= -math.log(case.rules.levels.alpha_rollback)


def _incomplete(case: Case) -> _Spoken | None:
    issued, lost, limit = case.evidence.issued, case.evidence.unresolved, case.rules.max_unresolved
    if lost <= limit * issued:
        return None
    share = lost / issued if issued else 1.0
    text = f"{percent(share)} of {count(issued)} issued pairs were lost on our side, limit {percent(limit)}"
    return (
        State.HOLD,
        case.findings,
        (Reason("incomplete_pairs", text, {"share": share, "limit": limit, "unresolved": lost, "issued": issued}),),
    )


def _within_margins(case: Case) -> _Spoken | None:
    if not case.guards or _open_findings(case) or any(_waits(case)):
        return None
    return State.PROMOTE, case.findings, tuple(case.say("within_margins", each, each.reason) for each in case.guards)


def _timed_out(case: Case) -> _Spoken | None:
    """The end of the rollout, by the policy for it. Under ``hold`` the last row speaks as before, and says that it is the end."""
    policy = case.rules.on_timeout
    if policy is OnTimeout.HOLD or not _is_over(case) or not _open_findings(case):
        return None
    text = f"undecided after {count(case.pairs)} pairs and {duration(case.evidence.age_s)}; on_timeout is {policy.value}"
    code, state = ("timed_out", State.ROLLBACK) if policy is OnTimeout.ROLLBACK else ("manual", State.HOLD)
    return state, case.findings, (Reason(code, text, {"pairs": case.pairs}), *_doubts(case))


def _hold(case: Case) -> _Spoken | None:
    if case.pairs == 0:
        return State.HOLD, case.findings, (Reason("no_data", "no pair has been judged yet"), *_low_traffic(case))
    return State.HOLD, case.findings, (*_doubts(case), *_waits(case), *_low_traffic(case))


_TABLE: tuple[Callable[[Case], _Spoken | None], ...] = (
    _state_gap,
    _srm,
    _aa_bias,
    _worse,
    _incomplete,
    _within_margins,
    _timed_out,
    _hold,
)


# --- what is still open ---------------------------------------------------------------------------------------------------


def _open_findings(case: Case) -> list[Finding]:
    return [each for each in case.guards if each.outcome is not GateOutcome.PASS or each.n < case.rules.min_pairs]


def _is_over(case: Case) -> bool:
    return case.pairs >= case.rules.max_pairs or _is_old(case)


def _is_old(case: Case) -> bool:
    return case.rules.max_age_s is not None and case.evidence.age_s >= case.rules.max_age_s


def _doubts(case: Case) -> Iterator[Reason]:
    return (_doubt(case, each) for each in _open_findings(case))


def _low_traffic(case: Case) -> Iterator[Reason]:
    if _is_old(case) and case.pairs < case.rules.max_pairs:
        age = duration(case.evidence.age_s)
        yield Reason("low_traffic", f"undecided after {age} with {count(case.pairs)} pairs", {"age_s": case.evidence.age_s})


def _doubt(case: Case, finding: Finding) -> Reason:
    """Why this finding does not pass. One reason each: the first that a person would want to know."""
    limits = case.rules
    if finding.n == 0:
        return case.say("no_data", finding, "no pair yet")
    if finding.n < limits.min_pairs:
        text = f"{count(finding.n)} of at least {count(limits.min_pairs)} pairs"
        return case.say("min_pairs", finding, text, min_pairs=limits.min_pairs)
    needed = {
        name: value
        for name, value in (("pairs_needed", finding.pairs_needed), ("seconds_needed", finding.seconds_needed))
        if value is not None
    }
    if case.pairs >= limits.max_pairs:
        text = f"{finding.reason}; undecided after {count(case.pairs)} pairs in all"
        return case.say("near_margin", finding, text, pairs=case.pairs, **needed)
    return case.say("undecided", finding, finding.reason, **needed)


def _waits(case: Case) -> Iterator[Reason]:
    """What a promotion waits for besides the gates: sessions, time, and hours of the day."""
    rules, evidence = case.rules, case.evidence
    if evidence.sessions is not None and evidence.sessions < rules.min_sessions:
        text = f"{count(evidence.sessions)} of at least {count(rules.min_sessions)} sessions"
        yield Reason("min_sessions", text, {"sessions": evidence.sessions, "min_sessions": rules.min_sessions})
    if evidence.age_s < rules.soak_s:
        text = f"{duration(evidence.age_s)} since the first pair, at least {duration(rules.soak_s)} before a promotion"
        yield Reason("soak", text, {"age_s": evidence.age_s, "soak_s": rules.soak_s})
    if evidence.hours is not None and evidence.hours < rules.min_hours:
        text = f"pairs in {evidence.hours} of at least {rules.min_hours} clock hours"
        yield Reason("soak", text, {"hours": evidence.hours, "min_hours": rules.min_hours})


# --- e-values together -------------------------------------------------------------------------------------------------


def _log_mean_e(findings: Sequence[Finding]) -> float:
    """Natural log of the mean rollback e-value; 0 (an e-value of 1: no evidence) without findings."""
    if not findings:
        return 0.0
    logs = [each.log10_e_rollback * math.log(10) for each in findings]
    top = max(logs)
    return top + math.log(math.fsum(math.exp(each - top) for each in logs) / len(logs))


def _worst(case: Case, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Whom to name once the mean has decided: those that are sure by themselves, else the one that weighs most.

    The largest is never below the mean, so its lower bound is beyond its margin.
    """
    failed = tuple(each for each in findings if each.outcome is GateOutcome.FAIL)
    if failed:
        return failed
    largest = max(findings, key=lambda each: each.log10_e_rollback)
    return (as_failed(largest, case.rule(largest)),)


def _with(findings: Sequence[Finding], named: Sequence[Finding]) -> tuple[Finding, ...]:
    """``findings`` with those that were named in their place."""
    by_cell = {(each.stratum, each.gate): each for each in named}
    return tuple(by_cell.get((each.stratum, each.gate), each) for each in findings)
