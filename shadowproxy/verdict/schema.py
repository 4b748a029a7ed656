"""The JSON Schema of a verdict document, for those who read it with something else. PURE.

Describes what ``document`` makes; ``docs/verdict.schema.json`` is this, written by ``scripts/verdict_docs.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadowproxy.verdict.case import OnTimeout
from shadowproxy.verdict.decision import State
from shadowproxy.verdict.document import VERSION
from shadowproxy.verdict.findings import GateOutcome
from shadowproxy.verdict.gates import Role
from shadowproxy.verdict.reasons import REASONS

_Schema = dict[str, Any]


def _typed(name: str, about: str, **limits: Any) -> _Schema:
    return {"type": name, "description": about, **limits}


def _text(about: str) -> _Schema:
    return _typed("string", about)


def _number(about: str, **limits: Any) -> _Schema:
    return _typed("number", about, **limits)


def _count(about: str) -> _Schema:
    return _typed("integer", about, minimum=0)


def _maybe(schema: _Schema) -> _Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _one_of(values: list[str], about: str) -> _Schema:
    return {"enum": values, "description": about}


def _list(item: _Schema, about: str) -> _Schema:
    return _typed("array", about, items=item)


def _map(value: _Schema, about: str) -> _Schema:
    return _typed("object", about, additionalProperties=value)


def _record(about: str, fields: Mapping[str, _Schema]) -> _Schema:
    """An object with exactly these fields."""
    return _typed("object", about, properties=dict(fields), required=list(fields), additionalProperties=False)


_REASON = _record(
    "One reason behind the verdict; those that decided come first, notes last.",
    {
        "code": _one_of(list(REASONS), "Stable code for programs."),
        "text": _text("The same for people."),
        "route": _text("The route it is about; empty where it is about all, or about a slice."),
        "slice": _text("The slice it is about, as dimension=value; empty where it is about none."),
        "gate": _text("The gate it is about; empty where it is about all."),
        "numbers": _map({"type": "number"}, "The figures in the text, by name."),
    },
)

_FINDING = _record(
    "What the counts of one route or slice say about one gate.",
    {
        "route": _text("The route, or routes judged together; empty for a slice."),
        "slice": _text("The slice of all routes, as dimension=value; empty for a route."),
        "gate": _text("Name of the gate; budgets are budget:<name>."),
        "role": _one_of([role.value for role in Role], "guard must pass; watch can only roll back; negative_control judges us."),
        "outcome": _one_of([outcome.value for outcome in GateOutcome], "Inconclusive does not mean that there is no difference."),
        "reason": _text("The finding in words."),
        "n": _count("Pairs, or units where sessions are counted."),
        "mean": _maybe(_number("Mean difference D; above 0 the candidate is worse. Null without data.")),
        "lower": _number("Lower bound of the mean at any time, at alpha_rollback."),
        "upper": _number("Upper bound of the mean at any time, at alpha_promote."),
        "margin": _number("The mean that is still acceptable."),
        "log10_e_promote": _number("log10 of the evidence that the mean is below the margin."),
        "log10_e_rollback": _number("log10 of the evidence that the mean is above the margin."),
        "pairs_needed": _maybe(_count("About how many more pairs of this route or slice until it passes; null: it will not.")),
        "seconds_needed": _maybe(_number("The same in seconds at the present rate.")),
        "counts": _map(_count("Pairs"), "Pairs by cell: the evidence itself, from which everything here can be computed again."),
        "counts_rollback": _maybe(
            _map(
                _count("Pairs"),
                "Those that must show it by themselves, too, before a rollback: about one of what a stall may slow. Null: all.",
            )
        ),
        "lost": _count("Pairs lost on our side, taken at their worst for either direction."),
    },
)

_SPLIT = _record(
    "A share that must come out as configured.",
    {
        "name": _text("Which share."),
        "seen": _count("How many fell on this side."),
        "total": _count("Of how many."),
        "share": _number("How many should have.", minimum=0, maximum=1),
    },
)

_RULES = _record(
    "The rule of decision.",
    {
        "alpha_promote": _number("Chance, at most, of promoting a candidate at or beyond a margin; of this attempt."),
        "alpha_rollback": _number("Chance, at most, of rolling back a candidate within all margins; of this attempt."),
        "attempt": _maybe(_typed("integer", "Which try of the same candidate this is; null: not counted.", minimum=1)),
        "min_pairs": _count("Pairs a gate needs before a promotion."),
        "min_sessions": _count("Sessions a promotion needs, where they are counted."),
        "min_hours": _count("Clock hours a promotion needs, where they are counted."),
        "min_share": _number("Share from which on a route or slice is judged on its own."),
        "soak_s": _number("Seconds since the first pair before a promotion."),
        "max_pairs": _count("Pairs after which the rollout is at its end."),
        "max_age_s": _maybe(_number("Seconds after which the rollout is at its end; null: never.")),
        "max_unresolved": _number("Share of issued pairs that may be lost on our side."),
        "on_timeout": _one_of([policy.value for policy in OnTimeout], "What becomes of an undecided rollout at its end."),
        "margins": _map({"type": "number"}, "Margin by gate, of every gate that is switched on."),
    },
)

_PROVENANCE = _record(
    "What was judged, by what, and when. Empty where unknown.",
    {
        "software": _text("Name and version of the program."),
        "config_digest": _text("sha256 of the configuration."),
        "prompt_digest": _text("sha256 of the candidate's prompt, where the prompt is what is judged."),
        "primary_model": _text("The primary's model, as it names itself."),
        "candidate_model": _text("The candidate's model, as it names itself."),
        "started_at_s": _maybe(_number("Unix time of the first pair.")),
        "decided_at_s": _maybe(_number("Unix time at which the counts were read.")),
    },
)

_DOCUMENT: Mapping[str, _Schema] = {
    "version": _typed("integer", "Version of this document's form.", const=VERSION),
    "rollout": _text("Id of the rollout: one candidate against one primary under one configuration."),
    "candidate": _text("Name of the candidate."),
    "state": _one_of([state.value for state in State], "The verdict."),
    "reasons": _list(_REASON, "Why."),
    "gates": _list(_FINDING, "Every finding."),
    "pairs": _count("Judged pairs over all routes."),
    "issued": _typed("integer", "Pairs that were decided on, whether they came to an end or not; below 0 only with state_gap."),
    "unresolved": _typed("integer", "Issued pairs that were lost on our side; below 0 only with state_gap."),
    "age_s": _number("Seconds since the first pair.", minimum=0),
    "pairs_per_s": _number("Present rate of pairs.", minimum=0),
    "has_control": _typed("boolean", "Whether the primary is asked a second time, so that the noise floor is known."),
    "sessions": _maybe(_count("Distinct sessions; null where nobody counts them.")),
    "hours": _maybe(_count("Distinct clock hours with pairs; null where nobody counts them.")),
    "splits": _list(_SPLIT, "Shares that must come out as configured."),
    "pairs_needed": _maybe(_count("About how many more pairs until the slowest gate passes; null: it will not.")),
    "seconds_needed": _maybe(_number("The same in seconds, with the soak; null: unknown.")),
    "e_rollback_log10": _number("log10 of the mean rollback e-value over all guarded and watched findings."),
    "rules": _RULES,
    "provenance": _PROVENANCE,
    "digest": _typed("string", "sha256 over the canonical JSON of all other fields.", pattern="^[0-9a-f]{64}$"),
}


def schema() -> _Schema:
    """The schema (JSON Schema 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Verdict on one rollout",
        **_record("Promote, hold or rollback, with everything behind it.", _DOCUMENT),
    }
