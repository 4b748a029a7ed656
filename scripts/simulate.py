"""Simulates rollouts and prints how often each way of deciding is wrong, and how many pairs it takes.

    python scripts/simulate.py                 everything: a few minutes
    python scripts/simulate.py --runs 50       quicker and coarser
    python scripts/simulate.py --only cost     what a look and a pair cost, and nothing else (also: synthetic, replay)

Compared are this engine; per-minute thresholds as Argo Rollouts (ten measurements, more than three failures abort) and Flagger (ten good
checks promote, five bad ones roll back) are usually set up; a t-test looked at every minute; and the oracle: one z-test at the number of
pairs that gives it 80 % power, for which the true effect and variance must be known beforehand. A minute has 50 pairs. Every run is seeded.

``synthetic``: numbers drawn from known distributions, so that right and wrong are known. ``replay``: real answers, if ../shared/data (or
``--data``) holds them, in shuffled order; similarity is word overlap.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shadowproxy.compare.text import lexical_overlap
from shadowproxy.exchange import Comparison, Outcome, Side, Timing
from shadowproxy.verdict import checks, evidence
from shadowproxy.verdict.case import Evidence, Rules
from shadowproxy.verdict.cells import CellKey, merge, observe
from shadowproxy.verdict.decision import State, decide
from shadowproxy.verdict.gates import DEFAULT_MARGINS, Role, gate_rules
from shadowproxy.verdict.limits import Limits, TailThreshold

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

ALPHA = 0.05
MINUTE = 50
MIN_PAIRS = 100
#: Standard normal deviate of one-sided 5 %, and of 80 % power.
Z_ALPHA, Z_POWER = 1.6448536, 0.8416212

TRINOMIAL = np.array([-1.0, 0.0, 1.0])
GRID = np.array(list(checks.GRID.values()))


# --- situations ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """Runs of one situation, all (runs, pairs): D of each pair, and whether a minute looks good to a threshold (runs, minutes)."""

    differences: Floats
    is_minute_good: Flags


@dataclass(frozen=True)
class Situation:
    """``effect`` is the true mean of D. At or beyond the margin a promotion is wrong, within it a rollback is."""

    name: str
    draw: Callable[[np.random.Generator, int], Drawn]
    effect: float


@dataclass(frozen=True)
class Metric:
    name: str
    margin: float
    values: Floats
    situations: tuple[Situation, ...]


def by_minute(values: Floats) -> Floats:
    return values.reshape(values.shape[0], -1, MINUTE)


def similarities(chance: np.random.Generator, is_hard: Flags) -> Floats:
    """One answer's similarity for each prompt: mean 0.90 (sd 0.06) for easy ones, 0.65 (sd 0.12) for hard ones; 0.85 in all."""

    def beta(mean: float, sd: float) -> Floats:
        size = mean * (1 - mean) / sd**2 - 1
        return chance.beta(mean * size, (1 - mean) * size, is_hard.shape)

    return np.where(is_hard, beta(0.65, 0.12), beta(0.90, 0.06))


def similarity(worse: float, pairs: int = 8000) -> Callable[[np.random.Generator, int], Drawn]:
    def draw(chance: np.random.Generator, runs: int) -> Drawn:
        is_hard = chance.random((runs, pairs)) < 0.2
        control, candidate = similarities(chance, is_hard), similarities(chance, is_hard) - worse
        return Drawn(control - candidate, by_minute(candidate).mean(axis=2) >= 0.85 - 0.02)

    return draw


def errors(primary: float, candidate: float, margin: float, pairs: int = 20_000) -> Callable[[np.random.Generator, int], Drawn]:
    def draw(chance: np.random.Generator, runs: int) -> Drawn:
        is_primary_bad, is_bad = chance.random((runs, pairs)) < primary, chance.random((runs, pairs)) < candidate
        good = by_minute(is_bad.astype(np.float64)).mean(axis=2) <= primary + margin
        return Drawn(is_bad.astype(np.float64) - is_primary_bad, good)

    return draw


def latency(factor: float, pairs: int = 12_000, ratio: float = 1.2) -> Callable[[np.random.Generator, int], Drawn]:
    """Log-normal TTFT (sigma 0.6), correlated 0.5 within a pair; t* is off by 3 %."""

    def draw(chance: np.random.Generator, runs: int) -> Drawn:
        shared, own, other = (chance.standard_normal((runs, pairs)) for _ in range(3))
        primary_s, candidate_s = (np.exp(0.6 * math.sqrt(0.5) * (shared + each)) for each in (own, other))
        candidate_s *= factor
        t_star = math.exp(0.6 * Z_ALPHA) * (1 + 0.03 * chance.standard_normal((runs, 1)))
        differences = (candidate_s > ratio * t_star).astype(np.float64) - (primary_s > t_star)
        p95_s, candidate_p95_s = (np.quantile(by_minute(each), 0.95, axis=2) for each in (primary_s, candidate_s))
        return Drawn(differences, candidate_p95_s <= ratio * p95_s)

    return draw


def tail(factor: float, ratio: float = 1.2) -> float:
    """True mean of D: how much more often than 5 % the candidate is over ratio x p95."""
    return 0.5 * math.erfc((Z_ALPHA + math.log(ratio / factor) / 0.6) / math.sqrt(2)) - 0.05


METRICS = (
    Metric(
        "similarity, margin 0.02",
        0.02,
        GRID,
        tuple(
            Situation(name, similarity(worse), worse)
            for name, worse in (("equal", 0.0), ("worse by 0.01", 0.01), ("worse by 0.02", 0.02), ("worse by 0.05", 0.05))
        ),
    ),
    Metric(
        "errors, primary 0.5 %, margin 0.5 points",
        0.005,
        TRINOMIAL,
        tuple(Situation(f"{100 * rate:g} %", errors(0.005, rate, 0.005), rate - 0.005) for rate in (0.005, 0.0075, 0.01, 0.02)),
    ),
    Metric(
        "rare errors, primary 0.1 %, margin 0.1 points",
        0.001,
        TRINOMIAL,
        tuple(Situation(f"{100 * rate:g} %", errors(0.001, rate, 0.001), rate - 0.001) for rate in (0.001, 0.002, 0.01)),
    ),
    Metric(
        "p95 of TTFT at most 1.2 times",
        0.0,
        TRINOMIAL,
        tuple(Situation(f"{factor:g} times", latency(factor), tail(factor)) for factor in (1.0, 1.1, 1.2, 1.3)),
    ),
)


# --- ways of deciding ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decided:
    """Pairs at which each run was promoted or rolled back; infinite where it was not. Of the two the earlier counts."""

    promoted: Floats
    rolled_back: Floats

    @property
    def is_promoted(self) -> Flags:
        return np.isfinite(self.promoted) & (self.promoted < self.rolled_back)

    @property
    def is_rolled_back(self) -> Flags:
        return np.isfinite(self.rolled_back) & ~self.is_promoted

    @property
    def pairs(self) -> Floats:
        return np.minimum(self.promoted, self.rolled_back)


def first(is_reached: Flags, every: int = MINUTE) -> Floats:
    """Pairs after the first look at which something is reached."""
    return np.where(is_reached.any(axis=1), (is_reached.argmax(axis=1) + 1.0) * every, np.inf)


def argo(good: Flags) -> Decided:
    """Ten measurements; the fourth that fails aborts."""
    bad = (~good[:, :10]).cumsum(axis=1) > 3
    is_done = ~bad.any(axis=1) & (good.shape[1] >= 10)
    return Decided(np.where(is_done, 10.0 * MINUTE, np.inf), first(bad))


def flagger(good: Flags) -> Decided:
    """Ten good checks promote, five bad ones roll back, whichever comes first."""
    return Decided(first(good.cumsum(axis=1) >= 10), first((~good).cumsum(axis=1) >= 5))


def peeked_t(differences: Floats, margin: float) -> Decided:
    """One-sided 5 % either way at each look, as if it were the only one."""
    n = np.arange(MINUTE, differences.shape[1] + 1, MINUTE)
    mean = differences.cumsum(axis=1)[:, n - 1] / n
    variance = (differences**2).cumsum(axis=1)[:, n - 1] / n - mean**2
    t = (mean - margin) / np.sqrt(np.maximum(variance, 1e-9) / n)
    return Decided(first(t <= -Z_ALPHA), first(t >= Z_ALPHA))


def oracle(differences: Floats, margin: float, gap: float) -> Decided:
    """One look, at the pairs that 80 % power takes; of the variance over all runs, which nobody has."""
    n = min(oracle_pairs(float(differences.std()), gap), differences.shape[1])
    z = (differences[:, :n].mean(axis=1) - margin) / (differences.std() / math.sqrt(n))
    return Decided(np.where(z <= -Z_ALPHA, n, np.inf), np.where(z >= Z_ALPHA, n, np.inf))


def oracle_pairs(sd: float, gap: float) -> int:
    return math.ceil(((Z_ALPHA + Z_POWER) * sd / gap) ** 2)


def engine(chance: np.random.Generator, differences: Floats, metric: Metric) -> Decided:
    """The package's own e-values, from counts, looked at every minute; promotion takes ``MIN_PAIRS``."""
    counts = histories(on_values(chance, differences, metric.values), len(metric.values))
    promote, roll_back = (log_e(metric.values, counts, metric.margin) for log_e in (evidence.log_e_promote, evidence.log_e_rollback))
    enough = np.arange(1, counts.shape[1] + 1) * MINUTE >= MIN_PAIRS
    sure = math.log(1 / ALPHA)
    return Decided(first((promote >= sure) & enough), first(roll_back >= sure))


def on_values(chance: np.random.Generator, differences: Floats, values: Floats) -> NDArray[np.intp]:
    """Index into ``values`` (evenly spaced), rounded by chance as ``checks.grid_cell`` does."""
    position = (np.clip(differences, -1, 1) + 1) / (values[1] - values[0])
    lower = np.floor(position)
    return (lower + (chance.random(differences.shape) < position - lower)).astype(np.intp)


def histories(indices: NDArray[np.intp], size: int) -> NDArray[np.int64]:
    """Counts per value after every minute: (runs, minutes, size)."""
    runs, pairs = indices.shape
    minutes = pairs // MINUTE
    flat = (np.arange(runs)[:, None, None] * minutes + np.arange(minutes)[None, :, None]) * size + indices.reshape(runs, minutes, MINUTE)
    return np.bincount(flat.ravel(), minlength=runs * minutes * size).reshape(runs, minutes, size).cumsum(axis=1)


def decided(chance: np.random.Generator, drawn: Drawn, metric: Metric, situation: Situation) -> dict[str, Decided]:
    nearest = abs(situation.effect - metric.margin)
    gap = nearest if nearest > 1e-9 else abs(metric.situations[0].effect - metric.margin)
    return {
        "Argo Rollouts, threshold a minute": argo(drawn.is_minute_good),
        "Flagger, threshold a minute": flagger(drawn.is_minute_good),
        "t-test, looked at every minute": peeked_t(drawn.differences, metric.margin),
        "oracle: one z-test, effect known": oracle(drawn.differences, metric.margin, gap),
        "this engine": engine(chance, drawn.differences, metric),
    }


def shown(outcome: Decided, *, is_bad: bool) -> str:
    """``promoted / rolled back / median pairs``; the wrong one is bold where it is over 5 % by more than two standard errors."""
    promoted, rolled_back = outcome.is_promoted.mean(), outcome.is_rolled_back.mean()
    pairs = outcome.pairs[np.isfinite(outcome.pairs)]
    shares = [f"{100 * promoted:.1f}", f"{100 * rolled_back:.1f}"]
    wrong = 0 if is_bad else 1
    if (promoted, rolled_back)[wrong] > ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / len(outcome.promoted)):
        shares[wrong] = f"**{shares[wrong]}**"
    return " / ".join((*shares, f"{np.median(pairs):,.0f}" if len(pairs) else "-"))


def synthetic(runs: int) -> Iterator[str]:
    for number, metric in enumerate(METRICS):
        columns: dict[str, list[str]] = {}
        for at, situation in enumerate(metric.situations):
            progress(f"{metric.name}: {situation.name}")
            chance = np.random.default_rng((number, at))
            outcomes = decided(chance, situation.draw(chance, runs), metric, situation)
            for name, outcome in outcomes.items():
                columns.setdefault(name, []).append(shown(outcome, is_bad=situation.effect >= metric.margin - 1e-9))
        names = [f"{each.name} ({'bad' if each.effect >= metric.margin - 1e-9 else 'ok'})" for each in metric.situations]
        yield table((metric.name, *names), [(name, *cells) for name, cells in columns.items()])


# --- real answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Replay:
    """One candidate against one primary on real prompts: per prompt s(P, P') and s(P, C)."""

    name: str
    floor: Floats
    score: Floats
    is_equal: bool


def alpaca(data: Path) -> Iterator[Replay]:
    """gpt4 as primary. gpt4_0314 is the same snapshot asked again: the control of every other candidate.

    As a candidate itself it has no control left, for there are two askings and not three; its noise floor is then what the pair shows on
    *another* prompt, drawn anew for each replay. That is centred on zero as an equal candidate must be, with a larger variance.
    """
    folder = data / "responses" / "alpaca_eval" / "outputs"
    answers = {path.name.removesuffix(".json.gz"): outputs(path) for path in sorted(folder.glob("*.json.gz"))}
    primary = answers.pop("gpt4")
    again = overlaps(primary, answers.pop("gpt4_0314"))
    yield Replay("gpt4_0314 (equal; control of another prompt)", again, again, is_equal=True)
    for name, other in answers.items():
        yield Replay(name, again, overlaps(primary, other), is_equal=False)


def outputs(path: Path) -> dict[str, str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return {each["instruction"]: each["output"] for each in json.load(lines)}


def overlaps(primary: Mapping[str, str], other: Mapping[str, str]) -> Floats:
    return np.array([lexical_overlap(primary[prompt], other[prompt]) for prompt in primary])


def creative_writing(data: Path) -> Iterator[Replay]:
    """One model, ten answers to each of 100 prompts at temperature 1: three of them are primary, control and candidate, three times."""
    path = data / "responses" / "tot_creative_writing" / "gpt-4_1.0_naive_standard_sample_10_start0_end100.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        samples = [each["ys"] for each in json.load(lines)]
    triples = [ys[at : at + 3] for ys in samples for at in (0, 3, 6)]
    floor = np.array([lexical_overlap(primary, control) for primary, control, _ in triples])
    score = np.array([lexical_overlap(primary, candidate) for primary, _, candidate in triples])
    yield Replay("creative writing, one model (equal)", floor, score, is_equal=True)


ONLY_SIMILARITY = Rules(soak_s=0.0, gates=gate_rules({**dict.fromkeys(DEFAULT_MARGINS), "similarity": 0.02}))


def replayed(replay: Replay, shuffles: int) -> tuple[Decided, Decided, Decided]:
    """Through ``observe`` and ``decide`` as in production; beside it Argo's and Flagger's thresholds at the noise floor less the margin."""
    pairs = len(replay.floor) // MINUTE * MINUTE
    at = {state: np.full(shuffles, np.inf) for state in (State.PROMOTE, State.ROLLBACK)}
    good = np.zeros((shuffles, pairs // MINUTE), dtype=bool)
    for run in range(shuffles):
        chance = np.random.default_rng(run)
        order = chance.permutation(len(replay.floor))[:pairs]
        floor = replay.floor[chance.permutation(order)] if replay.floor is replay.score else replay.floor[order]
        score = replay.score[order]
        good[run] = score.reshape(-1, MINUTE).mean(axis=1) >= replay.floor.mean() - 0.02
        for state, pair in verdicts(floor, score, chance.random(pairs)):
            at[state][run] = min(at[state][run], pair)
    return Decided(at[State.PROMOTE], at[State.ROLLBACK]), argo(good), flagger(good)


def verdicts(floor: Floats, score: Floats, draws: Floats) -> Iterator[tuple[State, int]]:
    """Every verdict that is not hold, with the pairs it took."""
    seen: Counter[CellKey] = Counter()
    for n, (control, candidate, u) in enumerate(zip(floor, score, draws, strict=True), start=1):
        seen.update(observe("chat", Outcome.OK, scored(candidate), scored(control), True, Limits(), float(u)))
        if n % MINUTE == 0:
            verdict = decide(ONLY_SIMILARITY, Evidence(seen, n, 0, 60.0 * n / MINUTE, 1.0, has_control=True))
            if verdict.state is not State.HOLD:
                yield verdict.state, n


def scored(similarity: float) -> Comparison:
    timing = Timing(None, None, 1.0)
    return Comparison("arm", Outcome.OK, float(similarity), False, False, timing, timing)


def replay(data: Path, shuffles: int) -> Iterator[str]:
    if not (data / "responses").is_dir():
        yield f"No real answers: {data} is not there."
        return
    rows = []
    for each in (*alpaca(data), *creative_writing(data)):
        progress(f"replay: {each.name}")
        difference = each.floor.mean() - each.score.mean()
        by_engine, by_argo, by_flagger = replayed(each, shuffles)
        cells = (shown(outcome, is_bad=not each.is_equal and difference >= 0.02) for outcome in (by_engine, by_argo, by_flagger))
        rows.append((each.name, f"{len(each.floor)}", f"{difference:.3f}", *cells))
    yield table(("candidate", "prompts", "less similar by", "this engine", "Argo Rollouts", "Flagger"), rows)


# --- what it costs ---------------------------------------------------------------------------------------------------------


def cost(pairs: int) -> Iterator[str]:
    progress("cost of a look")
    rules, seen = Rules(gates=gate_rules({"structure": 0.02, "itl": 0.0, "duration": 0.0, "cost": 0.0})), twenty_routes()
    look = Evidence(seen, 30_000, 0, 3600.0, 5.0, has_control=True)
    decide(rules, look)
    times_s = sorted(timed(lambda: decide(rules, look)) for _ in range(15))
    guards = sum(rule.role is Role.GUARD and rule.is_in_force(has_control=True) for rule in rules.gates)
    yield f"One look at 20 routes x {guards} gates: {1000 * times_s[7]:.0f} ms of processor time (median of 15)."
    yield "\n".join(cost_of_pairs(pairs))


def twenty_routes() -> dict[CellKey, int]:
    chance = np.random.default_rng(1)
    seen: dict[CellKey, int] = {}
    for check, values in checks.CHECKS.items():
        weights = np.exp(-((np.array(list(values.values())) / 0.15) ** 2))
        for route in range(20):
            drawn = chance.multinomial(1500, weights / weights.sum()).tolist()
            seen |= {CellKey(f"route{route}", check, cell): n for cell, n in zip(values, drawn, strict=True) if n}
    return seen


def timed(work: Callable[[], object]) -> float:
    """Seconds of processor time: what else runs on the machine does not count."""
    started = time.process_time()
    work()
    return time.process_time() - started


def cost_of_pairs(pairs: int) -> Iterator[str]:
    """Counters after a tenth of the pairs and after all of them: what a pair adds is an increment."""
    chance = random.Random(1)
    side = Side(is_refusal=False, is_json_valid=True, is_tool_valid=True, completion_tokens=100)
    timing = Timing(0.4, 0.02, 2.0)
    base = replace(scored(0.9), scores={"tools": 0.0, "facts": 0.0}, primary_side=side, side=side, primary_timing=timing, timing=timing)
    limits = Limits(tails={"ttft": TailThreshold(1.0, 1.2)})
    seen: Counter[CellKey] = Counter()
    counters = 0
    started = time.process_time()
    for n in range(pairs):
        other = replace(base, similarity=0.5 + chance.random() / 2)
        seen.update(observe("chat", Outcome.OK, other, base, True, limits, chance.random()))
        if n == pairs // 10:
            counters = len(seen)
        if n % 100_000 == 0:
            progress(f"{n:,} of {pairs:,} pairs counted")
    each_us = 1e6 * (time.process_time() - started) / max(pairs, 1)
    yield f"{pairs:,} pairs of one route: {counters} counters after a tenth of them, {len(seen)} after all; {each_us:.0f} us a pair."
    merged = timed(lambda: merge(*[seen] * 100))
    yield f"Merging 100 processes' counts: {1000 * merged:.0f} ms."


# --- printing --------------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def progress(text: str) -> None:
    print(f"  {text} …", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="How often each way of deciding is wrong, and how many pairs it takes.")
    parser.add_argument("--runs", type=int, default=400, help="simulated rollouts a situation")
    parser.add_argument("--shuffles", type=int, default=200, help="orders in which real answers are replayed")
    parser.add_argument("--pairs", type=int, default=1_000_000, help="pairs that are counted to see what they cost")
    parser.add_argument("--only", choices=("synthetic", "replay", "cost"), help="one part")
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="real answers; skipped where they are not there")
    given = parser.parse_args(arguments)
    parts: dict[str, Callable[[], Iterator[str]]] = {
        "synthetic": lambda: synthetic(given.runs),
        "replay": lambda: replay(given.data, given.shuffles),
        "cost": lambda: cost(given.pairs),
    }
    for name, part in parts.items():
        if given.only in (None, name):
            for text in part():
                print(text, end="\n\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
