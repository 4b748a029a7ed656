"""The evidence of pairs that lie in files, and the verdicts on it: the books and the judge of live traffic, without a clock.

The same pairs in the same order give the same verdict, digit for digit: what is rounded by chance is rounded by a seeded one.
"""

from __future__ import annotations

import random
from typing import Any

from shadowproxy.bookkeeping import Book, PairRecord, PairRequest, TailReferences, tail_gates, without_words
from shadowproxy.config import Config, Gates
from shadowproxy.counts import PAIRS_ISSUED, Counts, Totals
from shadowproxy.exchange import Comparison, Outcome
from shadowproxy.judging import Judge

#: Of a file, at most this share goes into measuring the limits of the latency gates: what is measured with does not count.
_CALIBRATION_SHARE = 5
_LEAST_CALIBRATION = 20


class Trial:
    """One book for each candidate of ``settings``."""

    def __init__(self, settings: Config) -> None:
        self.counts = Counts()
        self._settings = settings
        references = TailReferences(tail_gates(settings.gates), self.counts, lambda *_: None)
        self._books = {
            each.name: Book(
                settings.rollout_id(each),
                each.name,
                settings.gates,
                settings.units,
                references,
                self.counts,
                random.Random(0),  # noqa: S311 - dithers evidence; nothing secret depends on it
                has_control=settings.control is not None,
            )
            for each in settings.candidates
        }

    def add(
        self, name: str, request: PairRequest, primary: Outcome, candidate: Comparison, control: Comparison | None, at_s: float = 0.0
    ) -> None:
        """Count one pair of the candidate called ``name``, asked at ``at_s`` seconds, which never go backwards. Order matters for the
        latency gates, whose limits come from the first pairs, and for sessions."""
        book = self._issued(name, request.route, has_control=control is not None)
        record = PairRecord(request, primary, without_words(candidate), None if control is None else without_words(control))
        book.publish(record, at_s)

    def lose(self, name: str, route: str, *, has_control: bool) -> None:
        """Count one pair that broke on our side: it counts against nobody and makes the verdict hold."""
        self._issued(name, route, has_control=has_control)

    def _issued(self, name: str, route: str, *, has_control: bool) -> Book:
        book = self._books[name]
        self.counts.add(PAIRS_ISSUED, book.rollout, route, "candidate")
        if has_control:
            self.counts.add(PAIRS_ISSUED, book.rollout, route, "control")
        return book

    def documents(self) -> tuple[dict[str, Any], ...]:
        """The verdict of each candidate, after all pairs."""
        for book in self._books.values():
            book.close()
            book.report()
        totals = Totals()
        totals.absorb("recorded", self.counts.everything())
        return tuple(dict(document) for document in Judge(self._settings, totals).documents())


def without_time(settings: Config) -> Config:
    """The settings for evidence in which no time passes."""
    verdict = settings.verdict.model_copy(update={"soak_s": 0.0, "max_age_s": None})
    return settings.model_copy(update={"verdict": verdict, "mirror": settings.mirror.model_copy(update={"percent": 100.0})})


def gates_for(gates: Gates, known: dict[str, bool], pairs: int) -> tuple[Gates, tuple[str, ...]]:
    """Gates as they apply to ``pairs`` pairs in files, and in words which are off. ``known`` says for each latency gate whether anything is
    known of what it measures."""
    notes = []
    for name, is_known in known.items():
        gate = getattr(gates, name)
        if gate.enabled and not is_known:
            gates = gates.model_copy(update={name: gate.model_copy(update={"enabled": False})})
            notes.append(name)
        elif gate.enabled:
            least = max(_LEAST_CALIBRATION, pairs // _CALIBRATION_SHARE)
            gates = gates.model_copy(update={name: gate.model_copy(update={"calibration_pairs": min(gate.calibration_pairs, least)})})
    if gates.judge.enabled:
        gates = gates.model_copy(update={"judge": gates.judge.model_copy(update={"enabled": False})})
        notes.append("judge")
    return gates, tuple(notes)
