"""Gates: a margin on the mean of one check's paired difference. PURE.

Comes before ``findings`` (what the counts say about a gate). What gates exist is a table: a new gate is a row in
:data:`_TEMPLATES`, a check in ``checks`` with its reduction, and its words in ``wording``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from shadowproxy.verdict import checks, evidence
from shadowproxy.verdict.limits import Budget


class Role(StrEnum):
    """What a gate's findings are for."""

    GUARD = "guard"
    """Judges the candidate: must pass for a promotion, and can cause a rollback."""
    WATCH = "watch"
    """Seen too seldom here to hold back a promotion, which would take for ever; can still cause a rollback."""
    NEGATIVE_CONTROL = "negative_control"
    """Judges our own instrument: where it fails nothing else can be believed."""


@dataclass(frozen=True, slots=True)
class GateRule:
    """A rule on one check: H0 of promotion is E[D] >= ``margin``, H0 of rollback is E[D] <= ``margin``.

    ``support`` is the closed range of D. A rule that ``needs_control`` is in force only with a control arm; one that ``stands_in_for``
    another only where that other one cannot be, for want of control. A rule ``when_seen`` guards only where its check is seen in a fair
    share of the pairs: a route without tool calls is not held back for want of them.
    """

    name: str
    check: str
    margin: float
    support: evidence.Support
    needs_control: bool = False
    stands_in_for: str = ""
    role: Role = Role.GUARD
    when_seen: bool = False

    def __post_init__(self) -> None:
        values = checks.values_of(self.check)
        if not values:
            raise ValueError(f"gate {self.name}: check {self.check!r} is not one of {', '.join(checks.CHECKS)}")
        low, high = self.support
        if not low < self.margin < high:
            raise ValueError(f"gate {self.name}: margin {self.margin} is not inside the range {low}..{high} of the difference")
        if not all(low <= value <= high for value in values.values()):
            raise ValueError(f"gate {self.name}: check {self.check!r} has values outside the range {low}..{high}")

    @property
    def family(self) -> str:
        """The gate's name in reason codes: all budgets share one."""
        return BUDGET if self.name.startswith(checks.BUDGET) else self.name

    def is_in_force(self, has_control: bool) -> bool:
        if self.stands_in_for:
            return not has_control
        return has_control or not self.needs_control


#: Family of the gates that configured budgets make.
BUDGET = "budget"

_SIGNED: evidence.Support = (-1.0, 1.0)
_UNIT: evidence.Support = (0.0, 1.0)


def _matched(name: str, check: str, margin: float, *, when_seen: bool = False) -> GateRule:
    """Candidate against the served answer."""
    return GateRule(name, check, margin, _SIGNED, when_seen=when_seen)


def _adjusted(name: str, margin: float, *, when_seen: bool = True) -> GateRule:
    """Candidate against the served answer, less the noise floor."""
    return GateRule(name, name, margin, _SIGNED, needs_control=True, when_seen=when_seen)


def _absolute(stands_in_for: str, margin: float, *, when_seen: bool = True) -> GateRule:
    name = f"{stands_in_for}_absolute"
    return GateRule(name, name, margin, _UNIT, stands_in_for=stands_in_for, when_seen=when_seen)


def _negative(name: str, check: str) -> GateRule:
    return GateRule(name, check, _MARGIN_OF_ITS_GATE, _SIGNED, needs_control=True, role=Role.NEGATIVE_CONTROL)


_MARGIN_OF_ITS_GATE = 0.0

#: Every gate there is, with its default margin. See ``reductions`` for what each check measures.
_TEMPLATES: tuple[GateRule, ...] = (
    _matched("error", checks.ERROR, 0.005),
    _matched("json_valid", checks.JSON_VALID, 0.005, when_seen=True),
    _matched("tool_valid", checks.TOOL_VALID, 0.005, when_seen=True),
    _matched("truncated", checks.TRUNCATED, 0.02),
    _adjusted("structure", 0.02),
    _absolute("structure", 0.2),
    _adjusted("tools", 0.02),
    _absolute("tools", 0.2),
    _adjusted("similarity", 0.02, when_seen=False),
    _absolute("similarity", 0.2, when_seen=False),
    _adjusted("facts", 0.05),
    _absolute("facts", 0.3),
    _adjusted("refusal", 0.02),
    _absolute("refusal", 0.05),
    _matched("ttft", checks.TTFT_TAIL, 0.0),
    _matched("itl", checks.ITL_TAIL, 0.0),
    _matched("duration", checks.DURATION_TAIL, 0.0),
    _matched("cost", checks.COST, 0.0),
    _matched("tokens", checks.TOKENS, 0.0),
    _matched("judge", checks.JUDGE, 0.05),
    _negative("aa_error", checks.AA_ERROR),
    _negative("aa_ttft", checks.AA_TTFT),
    _negative("aa_itl", checks.AA_ITL),
    _negative("aa_duration", checks.AA_DURATION),
)

#: Gates that ask for something first: a schema worth comparing, a limit, prices, a judge. They are off until they are given a margin.
_OFF_BY_DEFAULT = ("truncated", "structure", "itl", "duration", "cost", "tokens", "judge")

#: Gate → default margin, None where it is off by default. Stand-ins and negative controls go with their gate.
DEFAULT_MARGINS: Mapping[str, float | None] = MappingProxyType(
    {rule.name: None if rule.name in _OFF_BY_DEFAULT else rule.margin for rule in _TEMPLATES if rule.role is Role.GUARD}
)

#: Families of the gates that guard, as they appear in reason codes.
GATE_NAMES: tuple[str, ...] = (*DEFAULT_MARGINS, BUDGET)

_NO_MARGINS: Mapping[str, float | None] = MappingProxyType({})


def gate_rules(margins: Mapping[str, float | None] = _NO_MARGINS, budgets: Sequence[Budget] = ()) -> tuple[GateRule, ...]:
    """The rules with these margins, and one for each budget.

    ``margins`` by gate: None switches a gate off, a gate left out keeps its default. A stand-in (``similarity_absolute``) goes with its
    gate, at a margin of its own: 1 - the mean similarity to be shown, or the share of answers that may differ. A negative control has
    the margin of its gate: an instrument that is off by less cannot cause that gate's failure. Raises :class:`ValueError` for a gate
    that does not exist, a margin outside its range, and budgets of one name.
    """
    if strange := sorted(set(margins) - set(DEFAULT_MARGINS)):
        raise ValueError(f"there is no gate {strange[0]!r}; gates are {', '.join(DEFAULT_MARGINS)}")
    names = [budget.name for budget in budgets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two budgets are called {twice[0]!r}")
    chosen = {**DEFAULT_MARGINS, **margins}
    found = [replace(rule, margin=margin) for rule in _TEMPLATES if (margin := _margin(rule, chosen)) is not None]
    return (*found, *(GateRule(budget.check, budget.check, budget.share, _UNIT) for budget in budgets))


def _margin(rule: GateRule, chosen: Mapping[str, float | None]) -> float | None:
    if rule.role is Role.NEGATIVE_CONTROL:
        return chosen[rule.name.removeprefix("aa_")]
    if rule.stands_in_for and chosen[rule.stands_in_for] is None:
        return None
    return chosen[rule.name]
