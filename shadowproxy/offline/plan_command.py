"""``shadowproxy plan``: how many pairs and how long a decision will take, per gate, at the present traffic and noise.

Traffic and noise come from the admin surface of a running ``serve``; what cannot be had from there is assumed, and said to be.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from rich.console import Console
from rich.table import Table

from shadowproxy.bookkeeping import budgets_of
from shadowproxy.config import Config
from shadowproxy.errors import ConfigError, ConfigProblem
from shadowproxy.judging import rules_of
from shadowproxy.verdict import checks
from shadowproxy.verdict.evidence import mean_and_variance
from shadowproxy.verdict.gates import GateRule, Role
from shadowproxy.verdict.planning import (
    Law,
    Plan,
    greatest_loss,
    law_of_counts,
    law_of_mismatch,
    law_of_rate,
    law_of_spread,
    plan,
    seconds_for,
)
from shadowproxy.verdict.spacing import latencies
from shadowproxy.verdict.wording import count, duration

#: Below so many observations the noise that was seen says less than what is usual.
_ENOUGH = 100
_TIMEOUT_S = 5.0
#: Of the table, where no terminal says how wide it is.
_WIDTH = 100
#: How much worse a candidate is whose rollback is planned, unless it is said: as many margins.
_LOSS_MARGINS = 3.0
#: And where the margin is 0.
_LOSS = 0.05

#: Law of D of a candidate that equals the primary, where nothing was seen yet. Errors: 0.2 % on each side. Similarity: the spread of two
#: draws of one model. Tails: 5 % of the primary's answers are over its 95th percentile, 2 % of an equal candidate's over 1.2 times that.
_TAIL: Law = {checks.CANDIDATE_ONLY: 0.02, checks.REFERENCE_ONLY: 0.05, checks.BOTH_OK: 0.93}
_USUAL: Mapping[str, Law] = {
    checks.ERROR: law_of_mismatch(2 * 0.002 * 0.998),
    checks.JSON_VALID: law_of_mismatch(2 * 0.01 * 0.99),
    checks.TOOL_VALID: law_of_mismatch(2 * 0.01 * 0.99),
    checks.TRUNCATED: law_of_mismatch(2 * 0.02 * 0.98),
    checks.STRUCTURE: law_of_mismatch(0.15),
    checks.TOOLS: law_of_mismatch(0.15),
    checks.FACTS: law_of_mismatch(0.2),
    checks.REFUSAL: law_of_mismatch(0.02),
    checks.JUDGE: law_of_mismatch(0.4),
    checks.TTFT_TAIL: _TAIL,
    checks.ITL_TAIL: _TAIL,
    checks.DURATION_TAIL: _TAIL,
    checks.SIMILARITY: law_of_spread(0.107),
    checks.SIMILARITY_ABSOLUTE: law_of_spread(0.08, 0.1),
    checks.COST: law_of_spread(0.05, -0.03),
    checks.TOKENS: law_of_spread(0.05, -0.03),
}
#: Absolute checks and budgets: at fault in half of what is allowed.
_USUAL_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """What a running rollout shows: counts by gate, observations per second by gate."""

    counts: Mapping[str, Mapping[str, int]]
    per_s: Mapping[str, float]

    @property
    def pairs_per_s(self) -> float:
        return max(self.per_s.values(), default=0.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One gate's plan. ``is_assumed``: its noise was not seen but taken as usual. ``is_certain``: it guards in any case, and not only where
    something of its kind is seen (JSON, tool calls). ``apart_s``: of pairs that come within so many seconds a rollback takes one."""

    plan: Plan
    is_assumed: bool
    per_s: float
    is_certain: bool
    apart_s: float

    @property
    def rollback_per_s(self) -> float:
        """Pairs per second that count for a rollback."""
        return self.per_s / (1 + self.per_s * self.apart_s)


def run(settings: Config, losses: Mapping[str, float], rate: float | None, *, as_json: bool) -> int:
    """Print the plan. Exit code 0."""
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=_WIDTH)
    has_control = settings.control is not None and settings.control.percent > 0
    rules = [rule for rule in rules_of(settings).gates if rule.role is Role.GUARD and rule.is_in_force(has_control)]
    if strange := sorted(set(losses) - {rule.name for rule in rules}):
        known = ", ".join(rule.name for rule in rules)
        raise ConfigError((ConfigProblem("--loss", strange[0], "is not a gate of this configuration", f"its gates are {known}"),))
    seen, problem = asyncio.run(_look(settings))
    rows = [_row(rule, settings, seen, losses, rate, len(rules)) for rule in rules]
    if as_json:
        console.print_json(orjson.dumps([_as_json(row) for row in rows]).decode())
    else:
        _print(console, rows, settings, problem if rate is None else "")
    return 0


async def _look(settings: Config) -> tuple[Seen, str]:
    """What the running ``serve`` shows, or why it shows nothing."""
    nothing = Seen({}, {})
    address = settings.admin.listen
    connector = aiohttp.UnixConnector(address[5:]) if address.startswith("unix:") else None
    url = "http://serve/verdict" if connector is not None else f"http://{address}/verdict"
    headers = {"authorization": f"Bearer {settings.admin.token.secret()}"} if settings.admin.token else {}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session, session.get(url, headers=headers) as reply:
            if reply.status != 200:
                return nothing, f"the admin surface at {address} answered with status {reply.status}"
            verdicts = orjson.loads(await reply.read())["verdicts"]
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as exc:
        return nothing, f"no serve answers at {address} ({type(exc).__name__})"
    return _seen(verdicts), ""


def _seen(verdicts: Sequence[Mapping[str, Any]]) -> Seen:
    """Counts of all strata and rollouts together: the noise is the primary's own, whoever the candidate is."""
    counts: dict[str, dict[str, int]] = {}
    per_s: dict[str, float] = {}
    for verdict in verdicts:
        for finding in verdict["gates"]:
            if finding.get("slice"):
                continue
            of_gate = counts.setdefault(finding["gate"], {})
            for cell, n in finding["counts"].items():
                of_gate[cell] = of_gate.get(cell, 0) + n
            share = finding["n"] / verdict["pairs"] if verdict["pairs"] else 0.0
            per_s[finding["gate"]] = max(per_s.get(finding["gate"], 0.0), share * verdict["pairs_per_s"])
    return Seen(counts, per_s)


def _row(rule: GateRule, settings: Config, seen: Seen, losses: Mapping[str, float], rate: float | None, cells: int) -> Row:
    law = _seen_law(rule, seen)
    used = law if law is not None else _usual_law(rule)
    greatest = greatest_loss(rule.check, used)
    loss = losses.get(rule.name, min(rule.margin * _LOSS_MARGINS or _LOSS, greatest))
    if loss > greatest:
        most = f"no candidate can be worse by more than {greatest:.3g} here"
        raise ConfigError((ConfigProblem("--loss", f"{rule.name}={loss:g}", "is more than there is to lose", most),))
    decision = settings.verdict
    planned = plan(rule, used, loss, decision.alpha_promote, decision.alpha_rollback, cells)
    per_s = seen.per_s.get(rule.name, seen.pairs_per_s) if rate is None else rate
    apart_s = settings.units.stall_s if rule.check in latencies(budgets_of(settings.gates)) else 0.0
    return Row(planned, law is None, per_s, law is not None or not rule.when_seen, apart_s)


def _seen_law(rule: GateRule, seen: Seen) -> Law | None:
    """The law of an equal candidate: the primary against itself where that was counted, else the spread that was seen, without its mean."""
    for gate in (f"aa_{rule.name}", rule.name):
        counts = {cell: n for cell, n in seen.counts.get(gate, {}).items() if cell != checks.UNREPORTED}
        if sum(counts.values()) >= _ENOUGH:
            return law_of_counts(counts) if gate.startswith("aa_") else _centred(rule, counts)
    return None


def _centred(rule: GateRule, counts: Mapping[str, int]) -> Law:
    values, total = checks.values_of(rule.check), sum(counts.values())
    if values is checks.TRINOMIAL:
        return law_of_mismatch((counts.get(checks.CANDIDATE_ONLY, 0) + counts.get(checks.REFERENCE_ONLY, 0)) / total)
    if values is checks.BINARY:
        return law_of_counts(counts)
    _, variance = mean_and_variance([values[cell] for cell in counts], list(counts.values()))
    return law_of_spread(math.sqrt(variance)) if rule.support[0] < 0 else law_of_counts(counts)


def _usual_law(rule: GateRule) -> Law:
    return _USUAL[rule.check] if rule.check in _USUAL else law_of_rate(rule.margin * _USUAL_SHARE)


# --- for people -----------------------------------------------------------------------------------------------------------


def _print(console: Console, rows: Sequence[Row], settings: Config, problem: str) -> None:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for heading in ("gate", "margin", "sd", "promoted after", "in", "loss", "rolled back after", "in"):
        table.add_column(heading, justify="left" if heading == "gate" else "right", no_wrap=True)
    for row in rows:
        each = row.plan
        table.add_row(
            each.gate + ("*" if row.is_assumed else ""),
            f"{each.margin:g}",
            f"{math.sqrt(each.variance):.3f}",
            _pairs(each.to_promote, each.to_promote_p90),
            _time(each.to_promote, row.per_s),
            f"{each.loss:g}",
            _pairs(each.to_roll_back, each.to_roll_back_p90),
            _time(each.to_roll_back, row.rollback_per_s),
        )
    console.print(table)
    legend = (
        "Pairs until a candidate that equals the primary is promoted, and one that is worse by the loss rolled back: median / nine of ten."
    )
    console.print(legend, style="dim", soft_wrap=True)
    if any(row.apart_s for row in rows):
        spaced = f"A rollback by latency counts one pair of those within {settings.units.stall_s:g} s (units.stall_s)."
        console.print(spaced, style="dim", soft_wrap=True)
    if any(row.is_assumed for row in rows):
        console.print("* noise not seen yet, taken as usual: see docs/verdict.md", style="dim", soft_wrap=True)
    if problem:
        console.print(f"{problem}; give --rate PAIRS_PER_S to see how long it takes", soft_wrap=True, markup=False)
    certain = [row for row in rows if row.is_certain and row.plan.to_promote is not None]
    if certain:
        slowest = max(certain, key=lambda row: row.plan.to_promote or 0).plan
        least = max(slowest.to_promote or 0, settings.verdict.min_pairs)
        soak = duration(settings.verdict.soak_s)
        waits = f"A promotion waits for {slowest.gate}: about {count(least)} pairs on every route, and {soak} at least."
        console.print(waits, soft_wrap=True, markup=False)


def _pairs(median: int | None, p90: int | None) -> str:
    return "never" if median is None or p90 is None else f"{count(median)} / {count(p90)}"


def _time(pairs: int | None, per_s: float) -> str:
    seconds = seconds_for(pairs, per_s)
    return "-" if seconds is None else duration(seconds)


def _as_json(row: Row) -> dict[str, Any]:
    each = row.plan
    return {
        "gate": each.gate,
        "margin": each.margin,
        "sd": math.sqrt(each.variance),
        "is_assumed": row.is_assumed,
        "pairs_per_s": row.per_s,
        "promote": {"pairs": each.to_promote, "pairs_p90": each.to_promote_p90, "seconds": seconds_for(each.to_promote, row.per_s)},
        "loss": each.loss,
        "rollback": {
            "pairs": each.to_roll_back,
            "pairs_p90": each.to_roll_back_p90,
            "seconds": seconds_for(each.to_roll_back, row.rollback_per_s),
        },
    }
