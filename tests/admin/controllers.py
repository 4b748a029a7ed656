"""What Argo Rollouts and Flagger do with what they are told, by their own rules: small models of both, for tests.

Rollouts: ``docs/analysis/web.md``, ``utils/evaluate``, ``analysis/analysis.go`` (``assessMetricStatus``).
Flagger: ``pkg/controller/webhook.go``, ``scheduler.go`` and ``scheduler_metrics.go``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Of a measurement, and of a run.
SUCCESSFUL, FAILED, INCONCLUSIVE, ERROR, RUNNING = "Successful", "Failed", "Inconclusive", "Error", "Running"

_DEFAULT_CONSECUTIVE_ERRORS = 4


# --- Argo Rollouts ------------------------------------------------------------------------------------------------------


def holds(condition: str, result: Any) -> bool:
    """The part of the expression language that templates here use. Raises :class:`IndexError` as Rollouts does for an empty vector."""
    found = re.fullmatch(r"result(\[0\])? == (-?\d+)", condition)
    assert found, f"a condition of another shape: {condition}"
    return bool((result[0] if found[1] else result) == int(found[2]))


def measure(metric: Mapping[str, Any], status: int, result: Any) -> str:
    """The phase of one measurement. Where a condition is missing its opposite is what the other one is not."""
    if status // 100 != 2:
        return ERROR
    success, failure = metric.get("successCondition"), metric.get("failureCondition")
    try:
        has_failed = holds(failure, result) if failure else False
        has_succeeded = holds(success, result) if success else not has_failed
    except (IndexError, TypeError):
        return ERROR
    if has_failed:
        return FAILED
    if has_succeeded:
        return SUCCESSFUL
    return INCONCLUSIVE if success and failure else FAILED


def assess(metric: Mapping[str, Any], phases: Iterable[str], *, is_stopped: bool = False) -> str:
    """The phase of a run with one metric after these measurements; ``is_stopped``: it was terminated from outside then."""
    counts = dict.fromkeys((SUCCESSFUL, FAILED, INCONCLUSIVE, ERROR), 0)
    errors = successes = 0
    for phase in phases:
        counts[phase] += 1
        errors = errors + 1 if phase == ERROR else 0
        successes = successes + 1 if phase == SUCCESSFUL else 0
        if counts[FAILED] > metric.get("failureLimit", 0):
            return FAILED
        if counts[INCONCLUSIVE] > metric.get("inconclusiveLimit", 0):
            return INCONCLUSIVE
        if errors > metric.get("consecutiveErrorLimit", _DEFAULT_CONSECUTIVE_ERRORS):
            return ERROR
        if 0 < metric.get("consecutiveSuccessLimit", 0) <= successes:
            return SUCCESSFUL
        if sum(counts.values()) - counts[ERROR] >= _count(metric):
            return SUCCESSFUL
    return SUCCESSFUL if is_stopped else RUNNING


def _count(metric: Mapping[str, Any]) -> float:
    return float(metric.get("count", math.inf if "interval" in metric else 1))


# --- Flagger ------------------------------------------------------------------------------------------------------------


def payload(canary: str, hook: Mapping[str, Any], phase: str = "Progressing") -> dict[str, Any]:
    """What Flagger posts for a webhook of a Canary."""
    return {"name": canary, "namespace": "models", "phase": phase, "checksum": "5b8cf8c7d9", "metadata": hook.get("metadata", {})}


def is_yes(status: int) -> bool:
    return status <= 202


@dataclass
class Canary:
    """One analysis of a Canary: weight and failed checks, until it ends."""

    analysis: Mapping[str, Any]
    weight: int = 0
    failed_checks: int = 0
    phase: str = "Progressing"
    halted: list[str] = field(default_factory=list)

    def turn(self, answers: Mapping[str, int], value: float | None) -> None:
        """One interval. ``answers``: type of webhook → status. ``value``: of the metric; None where the query gives nothing."""
        is_rolled_back = "rollback" in answers and is_yes(answers["rollback"])
        if is_rolled_back or self.failed_checks >= self.analysis["threshold"]:
            self.phase = "Failed"
        elif self._waits(answers, "confirm-rollout") or not self._passes(value):
            pass
        elif self.weight >= self.analysis["maxWeight"]:
            if not self._waits(answers, "confirm-promotion"):
                self.phase = "Promoting"
        elif not self._waits(answers, "confirm-traffic-increase"):
            self.weight += self.analysis["stepWeight"]

    def _waits(self, answers: Mapping[str, int], hook: str) -> bool:
        if hook in answers and not is_yes(answers[hook]):
            self.halted.append(hook)
            return True
        return False

    def _passes(self, value: float | None) -> bool:
        """No value, and NaN, count as a failed check: absence of evidence would roll back."""
        limits = self.analysis["metrics"][0]["thresholdRange"]
        is_good = value is not None and not math.isnan(value) and limits.get("min", -math.inf) <= value <= limits.get("max", math.inf)
        self.failed_checks += not is_good
        return is_good
