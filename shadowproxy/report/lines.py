"""What a report shows of a pair, from a line that ``shadowproxy compare`` has written: the findings, but neither texts nor times. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadowproxy.exchange import Divergence, Severity
from shadowproxy.report.pairs import KEPT_DIVERGENCES, ArmShown, Excerpt, Likeness, PairShown
from shadowproxy.wire.loose_json import a_number

_SEVERITIES = {severity.value: severity for severity in Severity}


def of_line(line: Mapping[str, Any]) -> PairShown:
    """The pair of one line. What is not there, or not of the kind it should be, is unknown."""
    control = line.get("control")
    is_asked_again = isinstance(control, Mapping)
    return PairShown(
        str(line.get("id", "")),
        "",
        Excerpt(),
        ArmShown(),
        ArmShown(),
        _likeness(line),
        ArmShown() if is_asked_again else None,
        _likeness(control) if isinstance(control, Mapping) else None,
    )


def _likeness(fields: Mapping[str, Any]) -> Likeness:
    divergences = fields.get("divergences")
    listed = divergences[:KEPT_DIVERGENCES] if isinstance(divergences, list) else []
    return Likeness(
        a_number(fields.get("similarity")),
        a_number(fields.get("divergence")),
        _numbers(fields.get("scores")),
        tuple(_divergence(each) for each in listed if isinstance(each, Mapping)),
        {rule: int(count) for rule, count in _numbers(fields.get("suppressed")).items()},
    )


def _divergence(fields: Mapping[str, Any]) -> Divergence:
    kind, severity, primary, other, path, why = (
        str(fields.get(name, "")) for name in ("kind", "severity", "primary", "candidate", "path", "why")
    )
    return Divergence(kind, _SEVERITIES.get(severity, Severity.INFO), primary, other, path, why)


def _numbers(value: object) -> dict[str, float]:
    items = value.items() if isinstance(value, Mapping) else ()
    return {str(key): number for key, each in items if (number := a_number(each)) is not None}
