"""Compared pairs into verdicts, in the order of the requests: whoever compared them, and in however many shards.

Counting is quick and comparing is not. So what shards leave behind is compared pairs, and counting all of them anew in one order gives
exactly the verdict of a run that was never divided: sessions, repeats and the limits of latency gates go by that order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shadowproxy.bookkeeping import PairRequest, Slicer
from shadowproxy.config import Config
from shadowproxy.exchange import CONTROL, PRIMARY, Comparison, Outcome
from shadowproxy.offline.trial import Trial, gates_for, without_time
from shadowproxy.replay.evidence import ComparedLine, Found
from shadowproxy.report.gathering import Gathering
from shadowproxy.report.pairs import ArmShown, PairShown, likeness_of


@dataclass(slots=True)
class Judged:
    """The verdict document of each candidate, what its report shows, and what has to be said besides. ``lines`` gives the pairs again."""

    documents: tuple[dict[str, Any], ...]
    gatherings: Mapping[str, Gathering]
    settings: Config
    notes: tuple[str, ...]
    lines: Callable[[], Iterable[ComparedLine]]

    def pairs(self, candidate: str) -> Iterator[PairShown]:
        """All pairs of one candidate, in the order of the requests."""
        return (pair for line in self.lines() for name, pair in pairs_of(line) if name == candidate)


@dataclass(slots=True)
class _Seen:
    """What all pairs together say about which gates can work. ``primary`` and ``control``: the measures that any of their answers has."""

    pairs: int = 0
    primary: set[str] = field(default_factory=set)
    control: set[str] = field(default_factory=set)
    has_control: bool = False
    lost: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)

    def add(self, line: ComparedLine) -> None:
        self.pairs += 1
        self.given_up.update(line.given_up)
        if line.lost:
            self.lost[line.lost] += 1
        control = line.found.get(CONTROL)
        if control is not None:
            self.has_control = True
            self.control |= _measured(*control.timing)
        for found in line.found.values():
            self.primary |= _measured(*found.primary_timing)

    def knows(self, measure: str) -> bool:
        """The primary shows it, and so does its second answer where there is one: a capture that did not write it down says nothing."""
        return measure in self.primary and (not self.has_control or measure in self.control)


def _measured(ttft_s: float | None, itl_s: float | None, duration_s: float) -> set[str]:
    shown = {"ttft": ttft_s is not None, "itl": itl_s is not None, "duration": duration_s > 0}
    return {measure for measure, is_shown in shown.items() if is_shown}


#: Says why a latency gate is off.
_UNKNOWN = {
    "ttft": "no answer of the primary, or of its control, has a time to its first content",
    "itl": "no answer of the primary, or of its control, was streamed with its times",
    "duration": "no answer of the primary, or of its control, has a duration",
    "judge": "a replay asks no judge",
}


def judge(settings: Config, lines: Callable[[], Iterable[ComparedLine]]) -> Judged:
    """Judge every candidate of ``settings``. ``lines`` gives the same lines each time, in the order of their numbers."""
    seen = _Seen()
    for line in lines():
        seen.add(line)
    fitted, notes = fitted_to(settings, seen)
    trial, slicer = Trial(fitted), Slicer(fitted.slices)
    gatherings = {each.name: Gathering() for each in fitted.candidates}
    began_s: float | None = None
    for line in lines():
        began_s = line.issued_at_s if began_s is None else began_s
        _count(trial, slicer, line, max(0.0, line.issued_at_s - began_s))
        for name, pair in pairs_of(line):
            gatherings[name].add(pair)
    lost = (
        f"{count} requests could not be compared ({why}): a fault of ours, and the verdict holds for it" for why, count in seen.lost.items()
    )
    given_up = (
        f"{arm} stayed busy or unreachable for {count} requests, which count as failed" for arm, count in sorted(seen.given_up.items())
    )
    return Judged(trial.documents(), gatherings, fitted, (*lost, *given_up, *notes), lines)


def fitted_to(settings: Config, seen: _Seen) -> tuple[Config, tuple[str, ...]]:
    """Settings as they apply to what was asked, and in words which gates had to be left out."""
    gates, off = gates_for(settings.gates, {measure: seen.knows(measure) for measure in ("ttft", "itl", "duration")}, seen.pairs)
    update: dict[str, Any] = {
        "gates": gates,
        "candidates": tuple(each.model_copy(update={"percent": 100.0}) for each in settings.candidates),
    }
    if not seen.has_control:
        update["control"] = None
    return without_time(settings).model_copy(update=update), tuple(f"gate {gate} is off: {_UNKNOWN[gate]}" for gate in off)


def _count(trial: Trial, slicer: Slicer, line: ComparedLine, at_s: float) -> None:
    if line.lost:
        for name in line.candidates:
            if name != CONTROL:
                trial.lose(name, line.route, has_control=CONTROL in line.candidates)
        return
    request = PairRequest(line.route, line.session, line.prompt, slicer.bounded(line.slices))
    control = _comparison(line.found.get(CONTROL))
    for name in line.candidates:
        trial.add(name, request, Outcome(line.primary), line.found[name].comparison(), control, at_s)


def _comparison(found: Found | None) -> Comparison | None:
    return None if found is None else found.comparison()


def pairs_of(line: ComparedLine) -> Iterator[tuple[str, PairShown]]:
    """By candidate, what a report shows of a request."""
    control, again = line.found.get(CONTROL), line.shown.get(CONTROL)
    for name in line.candidates if not line.lost else ():
        yield (
            name,
            PairShown(
                line.id,
                line.route,
                line.question,
                line.shown.get(PRIMARY, ArmShown()),
                line.shown.get(name, ArmShown()),
                likeness_of(line.found[name].comparison()),
                again,
                likeness_of(control.comparison()) if control is not None else None,
            ),
        )
