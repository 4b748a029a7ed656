"""One compared request as a line: what counts, and what a report shows of it. PURE but for msgspec.

Values of ``exchange`` are compiled classes in a wheel, which msgspec does not read and write by itself; so each has its own form here, and
loses nothing in it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shadowproxy.exchange import Comparison, Divergence, Outcome, Severity, Side, Timing
from shadowproxy.report.pairs import KEPT_DIVERGENCES, ArmShown, Excerpt

_Seconds = tuple[float | None, float | None, float]

_SERIOUS = (Severity.MAJOR, Severity.CRITICAL)


class Found(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A :class:`~shadowproxy.exchange.Comparison`."""

    arm: str
    outcome: str
    similarity: float | None
    is_exact: bool
    is_equal_normalised: bool
    primary_timing: _Seconds
    timing: _Seconds
    divergences: tuple[tuple[str, str, str, str, str, str], ...] = ()
    scores: dict[str, float] = {}
    divergence: float | None = None
    suppressed: dict[str, int] = {}
    primary_side: dict[str, bool | int | float | str] = {}
    late: tuple[float, float, float] = (0.0, 0.0, 0.0)
    side: dict[str, bool | int | float | str] = {}

    def comparison(self) -> Comparison:
        return Comparison(
            self.arm,
            Outcome(self.outcome),
            self.similarity,
            self.is_exact,
            self.is_equal_normalised,
            Timing(*self.primary_timing),
            Timing(*self.timing, *self.late),
            tuple(Divergence(kind, Severity(severity), *rest) for kind, severity, *rest in self.divergences),
            self.scores,
            self.divergence,
            self.suppressed,
            Side(**self.primary_side),  # type: ignore[arg-type]
            Side(**self.side),  # type: ignore[arg-type]
        )


class ComparedLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One request with everything that was found. ``n`` is its number in the run that compared it, ``by`` the digest of what it was asked
    and compared by.

    ``found`` by arm, control included. ``lost`` says why nothing could be compared; then the pair was asked and is evidence for nobody.
    ``given_up``: arms that stayed busy or unreachable to the last try.
    """

    n: int
    by: str
    id: str
    route: str
    issued_at_s: float
    candidates: tuple[str, ...]
    session: str = ""
    prompt: str = ""
    slices: tuple[str, ...] = ()
    primary: str = ""
    found: dict[str, Found] = {}
    question: Excerpt = Excerpt()
    shown: dict[str, ArmShown] = {}
    lost: str = ""
    given_up: tuple[str, ...] = ()


def found_of(comparison: Comparison) -> Found:
    """The comparison as a line keeps it."""
    return Found(
        comparison.arm,
        comparison.outcome.value,
        comparison.similarity,
        comparison.is_exact,
        comparison.is_equal_normalised,
        _seconds(comparison.primary_timing),
        _seconds(comparison.timing),
        tuple(_divergence(each) for each in _kept(comparison.divergences)),
        dict(comparison.scores),
        comparison.divergence,
        dict(comparison.suppressed),
        _known(comparison.primary_side),
        (comparison.timing.ttft_late_s, comparison.timing.itl_late_s, comparison.timing.duration_late_s),
        _known(comparison.side),
    )


def _seconds(timing: Timing) -> _Seconds:
    return timing.ttft_s, timing.itl_mean_s, timing.duration_s


def _kept(divergences: tuple[Divergence, ...]) -> tuple[Divergence, ...]:
    """Those that a report shows, and of the rest each serious kind once and without words: that is all that counts of them."""
    rest = {(each.kind, each.severity) for each in divergences[KEPT_DIVERGENCES:] if each.severity in _SERIOUS}
    return (*divergences[:KEPT_DIVERGENCES], *(Divergence(kind, severity, "", "") for kind, severity in sorted(rest)))


def _divergence(each: Divergence) -> tuple[str, str, str, str, str, str]:
    return each.kind, each.severity.value, each.primary, each.other, each.path, each.why


_SIDE = (
    *("is_refusal", "is_json_valid", "is_tool_valid", "is_truncated", "language"),
    *("prompt_tokens", "completion_tokens", "cost"),
)


def _known(side: Side) -> dict[str, bool | int | float | str]:
    fields: Mapping[str, bool | int | float | str | None] = {name: getattr(side, name) for name in _SIDE}
    return {name: value for name, value in fields.items() if value is not None}
