"""How two exchanges ended: failures, status codes, error texts, finish reasons. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from shadowproxy.compare.kinds import Found, divergence
from shadowproxy.exchange import Answer, Divergence, Exchange, Outcome, Severity, is_http_error

#: How much of a difference each severity is, for a score within 0..1.
_WEIGHTS = {Severity.INFO: 0.0, Severity.MINOR: 0.25, Severity.MAJOR: 0.75, Severity.CRITICAL: 1.0}


def compare_outcome(primary: Exchange, primary_answer: Answer | None, other: Exchange, other_answer: Answer | None) -> Found:
    """How two exchanges ended. The score is that of the gravest difference, 0 without any."""
    found = tuple(outcome_divergences(primary, primary_answer, other, other_answer))
    return Found(max((_WEIGHTS[each.severity] for each in found), default=0.0), found)


def outcome_divergences(
    primary: Exchange, primary_answer: Answer | None, other: Exchange, other_answer: Answer | None
) -> Iterator[Divergence]:
    """What differs in how the exchanges ended."""
    yield from _failures(primary, other)
    yield from _statuses(primary, other)
    if primary_answer is None or other_answer is None:
        return
    yield from _errors(primary_answer, other_answer)
    if primary.outcome is Outcome.OK and other.outcome is Outcome.OK:
        yield from _endings(primary_answer, other_answer)


def _failures(primary: Exchange, other: Exchange) -> Iterator[Divergence]:
    if primary.outcome is other.outcome:
        return
    if primary.outcome.is_failure and other.outcome.is_failure:
        yield divergence("outcome.failure_kind", Severity.MINOR, _ending(primary), _ending(other))
    else:
        # A primary that failed alone is a finding about the primary. It must not look like a critical one about the other arm.
        severity = Severity.CRITICAL if other.outcome.is_failure else Severity.MINOR
        yield divergence("outcome.failure", severity, _ending(primary), _ending(other))


def _ending(exchange: Exchange) -> str:
    return f"{exchange.outcome}: {exchange.failure}" if exchange.failure else str(exchange.outcome)


def _statuses(primary: Exchange, other: Exchange) -> Iterator[Divergence]:
    if primary.reply is None or other.reply is None or primary.reply.status == other.reply.status:
        return
    is_one_error = is_http_error(primary.reply.status) is not is_http_error(other.reply.status)
    severity = Severity.MAJOR if is_one_error else Severity.MINOR
    yield divergence("outcome.status", severity, str(primary.reply.status), str(other.reply.status))


def _errors(primary: Answer, other: Answer) -> Iterator[Divergence]:
    if primary.error is not None and other.error is not None and primary.error.message != other.error.message:
        yield divergence("outcome.error", Severity.INFO, primary.error.message, other.error.message)


def _endings(primary: Answer, other: Answer) -> Iterator[Divergence]:
    if len(primary.choices) != len(other.choices):
        yield divergence("outcome.choices", Severity.MAJOR, str(len(primary.choices)), str(len(other.choices)))
    reasons, others = _reasons(primary), _reasons(other)
    if reasons != others:
        # That a limit or a filter ended one of them is what ``length`` and ``refusal`` report.
        yield divergence("outcome.finish_reason", Severity.MINOR, ", ".join(reasons), ", ".join(others))


def _reasons(answer: Answer) -> list[str]:
    """Distinct finish reasons: a different number of choices is a divergence of its own."""
    return sorted({choice.finish_reason or "none" for choice in answer.choices})
