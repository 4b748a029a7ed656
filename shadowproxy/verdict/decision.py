"""All findings together: promote, hold or rollback. PURE.

The end of the data's way through ``verdict``: counts come in as :class:`Evidence`, a :class:`Verdict` goes out to the admin API, the
metrics and the routers. The decision is a table of rows (:data:`_TABLE`); the first row that applies speaks.

What is promised, however often anyone looks, for pairs whose effects are independent and steady:

* If any guarded gate is at or beyond its margin in any stratum, the chance of ever promoting is at most ``alpha_promote``: promotion
  takes *every* e-value at 1/alpha, so the one of the bad cell too (intersection-union; no correction for many gates).
* If all are within their margins, the chance of ever rolling back is at most ``alpha_rollback``: rollback takes the *mean* of the
  e-values of all cells to 1/alpha, and a mean of e-values is an e-value whatever their dependence (Vovk & Wang 2021). The mean is
  taken over values of the same moment; over each cell's record high it would promise nothing. Cells join the mean as routes show up:
  were most to join late, the promise would loosen to alpha (1 + log of the growth in cells), but they join while e-values are near 1.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shadowproxy.verdict.cells import Cells
from shadowproxy.verdict.gates import Finding, GateOutcome, GateRule, Levels, Role, Sample, as_failed, judge, rules
from shadowproxy.verdict.reasons import Reason
from shadowproxy.verdict.strata import stratum_of
from shadowproxy.verdict.wording import count, duration, percent

#: Pairs of a stratum without one value of a check, after which the check is taken not to apply there (similarity of embeddings,
#: say). Until then silence holds. 1000 is five times the pairs over which the TTFT limit is measured by default.
UNMEASURED_AFTER = 1000


class State(StrEnum):
    PROMOTE = "promote"
    HOLD = "hold"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Rules:
    """When evidence becomes a verdict. Meaning and reasons of the defaults: the ``verdict`` section of the configuration.

    ``max_unresolved`` is a fraction of the issued pairs.
    """

    alpha_promote: float = 0.05
    alpha_rollback: float = 0.05
    min_pairs: int = 100
    soak_s: float = 1800.0
    max_pairs: int = 50_000
    max_unresolved: float = 0.01
    gates: tuple[GateRule, ...] = field(default_factory=rules)

    def __post_init__(self) -> None:
        if not (0 < self.alpha_promote < 1 and 0 < self.alpha_rollback < 1):
            raise ValueError("alpha_promote and alpha_rollback must be in (0, 1)")
        if not any(rule.role is Role.GUARD for rule in self.gates):
            raise ValueError("no gate guards: every candidate would be promoted")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is known about one rollout at one moment.

    ``issued`` counts the candidate's pairs that were decided on, ``unresolved`` those lost on our side. ``unresolved_by_route`` says where,
    as far as it is known; what it leaves open may have been lost anywhere and counts in every stratum. ``age_s`` is the time since
    the first pair, ``pairs_per_s`` the present rate over all routes. ``state_gap`` is True where counts were lost or went backwards.
    """

    cells: Cells
    issued: int
    unresolved: int
    age_s: float
    pairs_per_s: float
    has_control: bool
    state_gap: bool = False
    unresolved_by_route: Mapping[str, int] = field(default_factory=dict)


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
    case = _open_case(rules, evidence)
    for row in _TABLE:
        if (spoken := row(case)) is not None:
            state, findings, reasons = spoken
            return Verdict(state, findings, (*reasons, *case.notes), case.pairs, _log_mean_e(case.guards) / math.log(10))
    raise AssertionError("the last row of the decision table always speaks")


# --- the case: counts by stratum and gate, judged ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    rules: Rules
    evidence: Evidence
    guards: tuple[Finding, ...]
    controls: tuple[Finding, ...]
    notes: tuple[Reason, ...]
    pairs: int

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.guards + self.controls

    def rule(self, finding: Finding) -> GateRule:
        return next(rule for rule in self.rules.gates if rule.name == finding.gate)

    def say(self, code: str, finding: Finding, text: str, **numbers: float) -> Reason:
        """A reason about one finding; the route is named where there is more than one."""
        where = f"{finding.route}, {finding.gate}: " if len({each.route for each in self.findings}) > 1 else f"{finding.gate}: "
        seen = {"mean": finding.mean} if finding.mean is not None else {}
        shown = {**seen, "n": finding.n, "lower": finding.lower, "upper": finding.upper, "margin": finding.margin}
        return Reason(code, where + text, {**shown, **numbers}, finding.route, finding.gate)


#: Stratum → check → cell → count.
_Tally = Mapping[str, Mapping[str, Mapping[str, int]]]


def _open_case(rules: Rules, evidence: Evidence) -> _Case:
    pairs = _pairs_by_route(evidence.cells)
    strata = stratum_of(pairs)
    tally = _tally(evidence.cells, strata)
    in_force = [rule for rule in rules.gates if rule.is_in_force(evidence.has_control)]
    lost = _lost(evidence, strata)
    sizes: dict[str, int] = defaultdict(int)
    for route, stratum in strata.items():
        sizes[stratum] += pairs[route]
    total = sum(sizes.values())
    guarded, unmeasured = _guarded(in_force, tally, sizes)

    def findings(role: Role) -> tuple[Finding, ...]:
        chosen = [(rule, stratum) for rule, stratum in guarded if rule.role is role]
        levels = Levels(rules.alpha_promote, rules.alpha_rollback, family=len(chosen))
        return tuple(judge(rule, _sample(rule, stratum), levels) for rule, stratum in chosen)

    def _sample(rule: GateRule, stratum: str) -> Sample:
        counts = tally.get(stratum, {}).get(rule.check, {})
        rate = evidence.pairs_per_s * sum(counts.values()) / total if total else 0.0
        # Lost copies of the candidate say nothing about the control; leaving them out keeps the alarm on our instrument sharp.
        return Sample(stratum, counts, lost.get(stratum, 0) if rule.role is Role.GUARD else 0, rate)

    notes = (
        *_note_no_control(rules, evidence),
        *(_note_unmeasured(rule, stratum, sizes) for rule, stratum in unmeasured if rule.role is Role.GUARD),
        *_note_unknown(evidence.cells),
    )
    return _Case(rules, evidence, findings(Role.GUARD), findings(Role.NEGATIVE_CONTROL), notes, total)


def _pairs_by_route(cells: Cells) -> dict[str, int]:
    """Every check sees some of a route's pairs, and none sees a pair twice: the largest check is the best count."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for key, n in cells.items():
        if key.is_known and n > 0:
            sums[key.route, key.check] += n
    largest: dict[str, int] = {}
    for (route, _), n in sums.items():
        largest[route] = max(largest.get(route, 0), n)
    return largest


def _tally(cells: Cells, strata: Mapping[str, str]) -> _Tally:
    tally: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for key, n in cells.items():
        if key.is_known and n > 0:
            tally[strata[key.route]][key.check][key.cell] += n
    return tally


def _lost(evidence: Evidence, strata: Mapping[str, str]) -> dict[str, int]:
    """Lost pairs per stratum. Those of unknown route count in every stratum: any of them may have lost them all."""
    known: dict[str, int] = defaultdict(int)
    for route, n in evidence.unresolved_by_route.items():
        if route in strata:
            known[strata[route]] += max(n, 0)
    anywhere = max(evidence.unresolved - sum(known.values()), 0)
    return {stratum: known[stratum] + anywhere for stratum in strata.values()}


def _guarded(
    in_force: Sequence[GateRule], tally: _Tally, sizes: Mapping[str, int]
) -> tuple[list[tuple[GateRule, str]], list[tuple[GateRule, str]]]:
    """(gate, stratum) to be judged, and those where the gate finds nothing to measure.

    A gate that was never measured anywhere is judged on nothing, and silence holds.
    """
    guarded: list[tuple[GateRule, str]] = []
    unmeasured: list[tuple[GateRule, str]] = []
    for rule in in_force:
        is_measured = any(checks.get(rule.check) for checks in tally.values())
        for stratum in sorted(sizes, key=lambda name: (-sizes[name], name)) or [""]:
            is_silent = not tally.get(stratum, {}).get(rule.check)
            if is_silent and is_measured and sizes[stratum] >= UNMEASURED_AFTER:
                unmeasured.append((rule, stratum))
            else:
                guarded.append((rule, stratum))
    return guarded, unmeasured


def _note_no_control(rules: Rules, evidence: Evidence) -> Iterable[Reason]:
    idle = [rule for rule in rules.gates if rule.role is Role.GUARD and rule.needs_control and not rule.is_in_force(evidence.has_control)]
    for rule in idle:
        stand_in = next((other for other in rules.gates if other.stands_in_for == rule.name), None)
        instead = f"{stand_in.name} judges by a fixed threshold instead" if stand_in else "nothing is judged instead"
        yield Reason("no_control", f"{rule.name} needs a control arm to know the noise floor; {instead}", gate=rule.name)


def _note_unmeasured(rule: GateRule, stratum: str, sizes: Mapping[str, int]) -> Reason:
    text = f"{stratum}, {rule.name}: nothing to measure in {count(sizes[stratum])} pairs; this gate does not guard this route"
    return Reason("unmeasured", text, {"pairs": sizes[stratum]}, stratum, rule.name)


def _note_unknown(cells: Cells) -> Iterable[Reason]:
    unknown = sorted({f"{key.check}/{key.cell}" for key in cells if not key.is_known})
    if unknown:
        shown = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
        yield Reason("unknown_cells", f"counts of unknown cells are left out: {shown}", {"cells": len(unknown)})


# --- the table: one function a row, in order; None means that the row does not apply -----------------------------------

_Spoken = tuple[State, tuple[Finding, ...], tuple[Reason, ...]]


def _state_gap(case: _Case) -> _Spoken | None:
    evidence = case.evidence
    went_backwards = min((*evidence.cells.values(), *evidence.unresolved_by_route.values(), evidence.issued, evidence.unresolved)) < 0
    if not (evidence.state_gap or went_backwards):
        return None
    return State.HOLD, case.findings, (Reason("state_gap", "counts were lost or went backwards; what is left cannot be trusted"),)


def _aa_bias(case: _Case) -> _Spoken | None:
    """An instrument that makes the primary itself look bad would make any candidate look bad."""
    if not case.controls or _log_mean_e(case.controls) < -math.log(case.rules.alpha_rollback):
        return None
    named = _worst(case, case.controls)
    reasons = tuple(
        case.say("aa_bias", each, f"{each.reason}. The control is the primary itself, so the way copies are sent is at fault")
        for each in named
    )
    return State.HOLD, case.guards + _with(case.controls, named), reasons


def _worse(case: _Case) -> _Spoken | None:
    if not case.guards or _log_mean_e(case.guards) < -math.log(case.rules.alpha_rollback):
        return None
    named = _worst(case, case.guards)
    reasons = tuple(case.say(f"worse:{each.gate}", each, each.reason, log10_e=each.log10_e_rollback) for each in named)
    return State.ROLLBACK, _with(case.guards, named) + case.controls, reasons


def _incomplete(case: _Case) -> _Spoken | None:
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


def _within_margins(case: _Case) -> _Spoken | None:
    is_shown = all(each.outcome is GateOutcome.PASS and each.n >= case.rules.min_pairs for each in case.guards)
    if not (case.guards and is_shown and case.evidence.age_s >= case.rules.soak_s):
        return None
    return State.PROMOTE, case.findings, tuple(case.say("within_margins", each, each.reason) for each in case.guards)


def _hold(case: _Case) -> _Spoken | None:
    if case.pairs == 0:
        return State.HOLD, case.findings, (Reason("no_data", "no pair has been judged yet"),)
    open_findings = [each for each in case.guards if each.outcome is not GateOutcome.PASS or each.n < case.rules.min_pairs]
    return State.HOLD, case.findings, (*(_doubt(case, each) for each in open_findings), *_soak(case))


_TABLE: tuple[Callable[[_Case], _Spoken | None], ...] = (_state_gap, _aa_bias, _worse, _incomplete, _within_margins, _hold)


def _doubt(case: _Case, finding: Finding) -> Reason:
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


def _soak(case: _Case) -> Iterable[Reason]:
    age_s, soak_s = case.evidence.age_s, case.rules.soak_s
    if age_s < soak_s:
        text = f"{duration(age_s)} since the first pair, at least {duration(soak_s)} before a promotion"
        yield Reason("soak", text, {"age_s": age_s, "soak_s": soak_s})


# --- e-values together -------------------------------------------------------------------------------------------------


def _log_mean_e(findings: Sequence[Finding]) -> float:
    """Natural log of the mean rollback e-value; 0 (an e-value of 1: no evidence) without findings."""
    if not findings:
        return 0.0
    logs = [each.log10_e_rollback * math.log(10) for each in findings]
    top = max(logs)
    return top + math.log(math.fsum(math.exp(each - top) for each in logs) / len(logs))


def _worst(case: _Case, findings: Sequence[Finding]) -> tuple[Finding, ...]:
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
    by_cell = {(each.route, each.gate): each for each in named}
    return tuple(by_cell.get((each.route, each.gate), each) for each in findings)
