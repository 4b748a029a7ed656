"""A verdict as a JSON-able document, for /verdict, reports and events. PURE.

After ``decision``. Every number is a plain int or float, None where there is none; NaN and infinity never appear.
"""

from __future__ import annotations

from typing import Any

from shadowproxy.verdict.decision import Evidence, Rules, State, Verdict
from shadowproxy.verdict.findings import Finding
from shadowproxy.verdict.gates import Role
from shadowproxy.verdict.reasons import Reason


def as_document(verdict: Verdict, *, rollout: str, candidate: str, rules: Rules, evidence: Evidence) -> dict[str, Any]:
    """The whole verdict. ``pairs_needed`` counts pairs of all routes until the slowest gate passes; ``seconds_needed`` also
    waits for the soak.

    Both are estimates, and None where some gate will not pass as things are.
    """
    return {
        "rollout": rollout,
        "candidate": candidate,
        "state": verdict.state.value,
        "reasons": [_reason(each) for each in verdict.reasons],
        "gates": [_finding(each) for each in verdict.findings],
        "pairs": verdict.pairs,
        "issued": evidence.issued,
        "unresolved": evidence.unresolved,
        "age_s": evidence.age_s,
        "pairs_per_s": evidence.pairs_per_s,
        "has_control": evidence.has_control,
        "pairs_needed": _pairs_needed(verdict, rules),
        "seconds_needed": _seconds_needed(verdict, rules, evidence),
        "e_rollback_log10": verdict.e_rollback_log10,
        "rules": {
            "alpha_promote": rules.alpha_promote,
            "alpha_rollback": rules.alpha_rollback,
            "min_pairs": rules.min_pairs,
            "soak_s": rules.soak_s,
            "max_pairs": rules.max_pairs,
            "max_unresolved": rules.max_unresolved,
        },
    }


def _reason(reason: Reason) -> dict[str, Any]:
    return {"code": reason.code, "text": reason.text, "route": reason.route, "gate": reason.gate, "numbers": dict(reason.numbers)}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "route": finding.route,
        "gate": finding.gate,
        "role": finding.role.value,
        "outcome": finding.outcome.value,
        "reason": finding.reason,
        "n": finding.n,
        "mean": finding.mean,
        "lower": finding.lower,
        "upper": finding.upper,
        "margin": finding.margin,
        "log10_e_promote": finding.log10_e_promote,
        "log10_e_rollback": finding.log10_e_rollback,
        "pairs_needed": finding.pairs_needed,
        "seconds_needed": finding.seconds_needed,
        "counts": dict(finding.counts),
        "lost": finding.lost,
    }


def _pairs_needed(verdict: Verdict, rules: Rules) -> int | None:
    """Each gate's need, scaled up from its share of the pairs; the largest counts."""
    most = 0
    for each in verdict.findings:
        if each.role is not Role.GUARD or verdict.state is State.PROMOTE:
            continue
        if each.pairs_needed is None or each.n == 0:
            return None
        missing = max(each.pairs_needed, rules.min_pairs - each.n, 0)
        most = max(most, -(-missing * verdict.pairs // each.n))
    return most


def _seconds_needed(verdict: Verdict, rules: Rules, evidence: Evidence) -> float | None:
    pairs = _pairs_needed(verdict, rules)
    if pairs is None or (pairs and evidence.pairs_per_s <= 0):
        return None
    soak_s = 0.0 if verdict.state is State.PROMOTE else max(rules.soak_s - evidence.age_s, 0.0)
    return max(pairs / evidence.pairs_per_s if pairs else 0.0, soak_s)
