"""Adds readings up to the totals that ``judging`` works from, and says where they cannot be trusted.

What a boot was last seen to have counted stays, whether it is seen again or not. So a late process is simply added, one that is read twice
counts once, and one that ended keeps what it had shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from shadowproxy.counts import ROLLOUT_STARTED, WHOLE, CountKey, Totals
from shadowproxy.sources.reading import EVIDENCE, Reading, rollout_of

#: Integers up to here are exact as floats, which is how Prometheus keeps them.
_LARGEST = 2.0**53


class Sums:
    """The counts of all boots so far."""

    def __init__(self) -> None:
        self.totals = Totals()
        self._counted: dict[str, dict[CountKey, float]] = {}
        self._present: dict[str, set[CountKey]] = {}
        self._started: dict[str, float] = {}
        self._spoilt: dict[str, str] = {}
        self._passing: dict[str, list[str]] = {}

    def __repr__(self) -> str:
        return f"<Sums of {len(self._counted)} boots>"

    def take(self, reading: Reading) -> None:
        """Add what one look brought."""
        self._passing = {}
        for rollout, problem in reading.problems:
            self._passing.setdefault(rollout, []).append(problem)
        for boot, counts in reading.boots.items():
            self._absorb(boot, counts, boot in reading.live)
        for boot in self._present.keys() - reading.live:
            self._forget_present(boot)
        for rollout, started_s in self._started.items():
            self.totals.absorb(WHOLE, {(ROLLOUT_STARTED.name, rollout): started_s})
            if reading.at_s - started_s > reading.reach_s:
                self._passing.setdefault(rollout, []).append(_too_old(reading.at_s - started_s, reading.reach_s))

    def gap(self, rollout: str) -> str:
        """Why the counts of a rollout cannot be trusted as they are now; "" where they can."""
        spoilt = [self._spoilt[each] for each in ("", rollout) if each in self._spoilt]
        return "; ".join((*spoilt, *self._passing.get("", ()), *self._passing.get(rollout, ())))

    def _absorb(self, boot: str, counts: Mapping[CountKey, float], is_live: bool) -> None:
        counted, present = self._counted.setdefault(boot, {}), {}
        for key, value in counts.items():
            name, known = key[0], counted.get(key, 0)
            if not _is_possible(name, value):
                self._spoil(key, f"{name} of boot {boot} is {value:g}, which is no count")
            elif name == ROLLOUT_STARTED.name:
                self._started[key[1]] = min(self._started.get(key[1], math.inf), value)
            elif EVIDENCE[name].kind == "gauge":
                present[key] = value if is_live else 0
            elif value < known:
                self._spoil(key, f"{name} of boot {boot} fell from {known:.0f} to {value:.0f}; two processes share one boot")
            else:
                counted[key] = value
        self.totals.absorb(boot, {**counted, **dict.fromkeys(self._present.get(boot, ()), 0), **present})
        self._present[boot] = set(present)

    def _forget_present(self, boot: str) -> None:
        """Nobody will say what became of the pairs that an ended process had on their way: they are lost."""
        self.totals.absorb(boot, dict.fromkeys(self._present.pop(boot), 0))

    def _spoil(self, key: CountKey, problem: str) -> None:
        """What was wrong once stays wrong: from the sum nobody can take it out again."""
        self._spoilt.setdefault(rollout_of(key), f"{problem}; start a new rollout")


def _is_possible(name: str, value: float) -> bool:
    """Counts are whole numbers; a time need not be."""
    return 0 <= value <= _LARGEST and (value % 1 == 0 or name == ROLLOUT_STARTED.name)


def _too_old(age_s: float, reach_s: float) -> str:
    remedy = "set judge.prometheus.window_s, and what Prometheus stores, to more than a rollout lasts"
    return f"the rollout is {age_s:.0f} s old and counts are looked for over {reach_s:.0f} s, so ended processes may be missed; {remedy}"
