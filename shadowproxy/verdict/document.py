"""A verdict as a JSON-able document, for /verdict, reports and events; sealed by a digest. PURE.

After ``decision``; ``schema`` describes the same document for others. Every number is a plain int or float, None where there is none;
NaN and infinity never appear.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shadowproxy.verdict.case import Evidence, Rules
from shadowproxy.verdict.decision import State, Verdict
from shadowproxy.verdict.findings import Finding
from shadowproxy.verdict.gates import Role
from shadowproxy.verdict.reasons import Reason
from shadowproxy.verdict.splits import Split

#: Raised when a field changes its meaning or goes; new fields come without.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was judged, by what, and when: enough to tell two verdicts apart and to look for what else was so. Empty where unknown.

    Digests are hexadecimal sha256. Models are named as they named themselves. ``started_at_s`` is when the first pair was issued and
    ``decided_at_s`` when the counts were read, in Unix time.
    """

    software: str = ""
    config_digest: str = ""
    prompt_digest: str = ""
    primary_model: str = ""
    candidate_model: str = ""
    started_at_s: float | None = None
    decided_at_s: float | None = None


_UNKNOWN = Provenance()


def as_document(
    verdict: Verdict, *, rollout: str, candidate: str, rules: Rules, evidence: Evidence, provenance: Provenance = _UNKNOWN
) -> dict[str, Any]:
    """The whole verdict. ``pairs_needed`` counts pairs of all routes until the slowest gate passes; ``seconds_needed`` also
    waits for the soak.

    Both are estimates, and None where some gate will not pass as things are.
    """
    document = {
        "version": VERSION,
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
        "sessions": evidence.sessions,
        "hours": evidence.hours,
        "splits": [_split(each) for each in evidence.splits],
        "pairs_needed": _pairs_needed(verdict, rules),
        "seconds_needed": _seconds_needed(verdict, rules, evidence),
        "e_rollback_log10": verdict.e_rollback_log10,
        "rules": _rules(rules),
        "provenance": asdict(provenance),
    }
    return {**document, "digest": digest_of(document)}


def digest_of(document: Mapping[str, Any]) -> str:
    """sha256 over the canonical JSON of everything but the digest itself: sorted keys, no spaces, ASCII, shortest floats.

    Raises :class:`ValueError` for a number that is not finite: it would not be JSON.
    """
    sealed = {key: value for key, value in document.items() if key != "digest"}
    text = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def verify(document: object) -> bool:
    """True where a document says what it said when it was made. Anything else, however broken, is False.

    The digest shows a mistake or a careless edit; it is no signature, since anybody can make a new one.
    """
    if not isinstance(document, Mapping):
        return False
    try:
        return bool(document.get("digest") == digest_of(document))
    except (ValueError, TypeError, RecursionError):
        return False


def _rules(rules: Rules) -> dict[str, Any]:
    levels = rules.levels
    return {
        "alpha_promote": levels.alpha_promote,
        "alpha_rollback": levels.alpha_rollback,
        "attempt": rules.attempt,
        "min_pairs": rules.min_pairs,
        "min_sessions": rules.min_sessions,
        "min_hours": rules.min_hours,
        "min_share": rules.min_share,
        "soak_s": rules.soak_s,
        "max_pairs": rules.max_pairs,
        "max_age_s": rules.max_age_s,
        "max_unresolved": rules.max_unresolved,
        "on_timeout": rules.on_timeout.value,
        "margins": {rule.name: rule.margin for rule in rules.gates},
    }


def _split(split: Split) -> dict[str, Any]:
    return {"name": split.name, "seen": split.seen, "total": split.total, "share": split.share}


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "code": reason.code,
        "text": reason.text,
        "route": reason.route,
        "slice": reason.slice,
        "gate": reason.gate,
        "numbers": dict(reason.numbers),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "route": finding.route,
        "slice": finding.slice,
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
        "counts_rollback": None if finding.counts_rollback is None else dict(finding.counts_rollback),
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
