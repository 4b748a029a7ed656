"""Comparing on other cores while the loop keeps time: what two long answers cost would be added to every answer that is on its way.

A worker is a process of its own at low priority, so that the arms are timed and not the comparator. Batches go to it as bytes and come back
as lines for the work folder.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from shadowproxy import comparing
from shadowproxy.bookkeeping import Slicer, prompt_of, session_of
from shadowproxy.config import Config, build
from shadowproxy.embed.loading import load as load_embedder
from shadowproxy.errors import ShadowproxyError, StartError
from shadowproxy.exchange import CONTROL, PRIMARY, Asked, Exchange
from shadowproxy.journal.records import Record
from shadowproxy.offline.comparing import BATCH_PAIRS, Bench, Compared, Pair
from shadowproxy.offline.given import Given
from shadowproxy.replay.evidence import ComparedLine, Found, found_of
from shadowproxy.replay.leashes import Leash
from shadowproxy.replay.names import is_given_up
from shadowproxy.report.pairs import ArmShown, Excerpt, of_compared
from shadowproxy.wire.asked import read_asked
from shadowproxy.wire.custom import CustomDialects
from shadowproxy.wire.reading import read_answer, refined

_log = logging.getLogger(__name__)

#: Requests per trip to a worker: what the embedder takes at once. Fewer where they are long: a run that is stopped waits a few seconds for
#: what its workers have in hand.
BATCH = BATCH_PAIRS
BATCH_BYTES = 256 * 1024

#: (number of the request, its record with all arms, encoded).
Job = tuple[int, bytes]


class Comparator:
    """Compares requests with all their arms. ``by`` marks what it has done."""

    def __init__(self, config: Config, by: str, bench: Bench | None = None) -> None:
        self._by = by
        self._bench = bench or Bench(
            comparing.load_means(config.compare, tells_language=config.slices.language), load_embedder(config.embed)
        )
        self._dialects = comparing.dialects_of(config)
        self._slicer = Slicer(config.slices)
        self._units = config.units
        self._candidates = tuple(each.name for each in config.candidates)
        self._decoder = msgspec.json.Decoder(Record)

    def lines(self, jobs: Sequence[Job]) -> list[ComparedLine]:
        """One line for each job. What cannot be compared is lost on our side, and its line says why."""
        found: list[ComparedLine] = []
        for number, encoded in jobs:
            record = self._decoder.decode(encoded)
            try:
                found.append(self._line(number, record))
            except Exception as exc:  # noqa: BLE001 - one odd answer must not cost the evaluation, and is told
                _log.exception("request %s could not be compared", record.id)
                found.append(self._lost(number, record, f"{type(exc).__name__}: {exc}"))
        return found

    def _line(self, number: int, record: Record) -> ComparedLine:
        asked = read_asked(record.request())
        arms = {each.arm: _given(each, self._dialects) for each in record.exchanges()}
        primary, control = arms[PRIMARY], arms.get(CONTROL)
        pairs = [Pair(record.id, asked, primary, arms[name], control) for name in self._candidates if name in arms]
        compared = dict(zip((pair.candidate.exchange.arm for pair in pairs), self._bench.compare_all(pairs), strict=True))
        if not compared:
            return self._lost(number, record, "no candidate was asked")
        first = next(iter(compared.values()))
        request = primary.exchange.request
        found = {name: found_of(each.candidate) for name, each in compared.items()}
        if first.control is not None:
            found[CONTROL] = found_of(first.control)
        question, shown = _shown(compared)
        return ComparedLine(
            number,
            self._by,
            record.id,
            record.route,
            record.issued_at_s,
            tuple(compared),
            _session(record, asked, self._units),
            prompt_of(request, asked) if asked.prompt or request.body else str(number),
            self._slicer.found(request, asked, first.candidate.primary_side),
            primary.exchange.outcome.value,
            found,
            question,
            shown,
            given_up=tuple(each.arm for each in record.arms if is_given_up(each.outcome, each.status)),
        )

    def _lost(self, number: int, record: Record, why: str) -> ComparedLine:
        names = tuple(name for name in self._candidates if any(each.arm == name for each in record.others))
        has_control = any(each.arm == CONTROL for each in record.others)
        lost: dict[str, Found] = {}
        return ComparedLine(
            number,
            self._by,
            record.id,
            record.route,
            record.issued_at_s,
            (*names, CONTROL) if has_control else names,
            found=lost,
            lost=why,
        )


def _given(exchange: Exchange, dialects: CustomDialects | None) -> Given:
    answer = None if exchange.reply is None else read_answer(exchange.request, exchange.reply, dialects)
    return Given(refined(exchange, answer), answer)


def _session(record: Record, asked: Asked, units: Any) -> str:
    if units.session == "none":
        return ""
    return session_of(record.request(), asked, units) or record.session


def _shown(compared: Mapping[str, Compared]) -> tuple[Excerpt, dict[str, ArmShown]]:
    """The question, and by arm what a report shows of the answer."""
    question, shown = Excerpt(), dict[str, ArmShown]()
    for name, each in compared.items():
        pair = of_compared(each)
        question = pair.question
        shown |= {PRIMARY: pair.primary, name: pair.candidate} | ({CONTROL: pair.control} if pair.control is not None else {})
    return question, shown


# --- in other processes ---------------------------------------------------------------------------------------------------


class Pool:
    """Workers. ``workers`` 0: one thread of this process, for where a process cannot be started."""

    def __init__(self, config: Config, by: str, workers: int) -> None:
        tree = config.model_dump(mode="json")
        self.workers = max(1, workers)
        self._executor: Executor
        self._leash = Leash()
        if workers:
            self._executor = ProcessPoolExecutor(workers, self._leash.context, _begin, (tree, by, self._leash.held))
        else:
            self._executor = ThreadPoolExecutor(1, "compare", _begin, (tree, by, None))

    def begin(self) -> list[Future[str]]:
        """Start them. Each tells why it cannot compare, "" where it can. Raises :class:`StartError` where none can be started."""
        try:
            with self._leash.starting():
                return [self._executor.submit(_failure) for _ in range(self.workers)]
        except OSError as exc:
            raise StartError(f"a comparing process cannot be started ({exc.strerror or exc}); --workers 0 compares in this one") from exc

    def compare(self, jobs: Sequence[Job]) -> Future[list[bytes]]:
        """Encoded lines, one for each job."""
        with self._leash.starting():
            return self._executor.submit(_compare, tuple(jobs))

    def close(self) -> None:
        """Processes end at once, whatever they have in hand; a thread ends with its batch. What is not begun is not done."""
        self._leash.close()
        self._executor.shutdown(wait=True, cancel_futures=True)


class _Bench:
    """The comparator of this process, made when it starts, or why there is none."""

    comparator: Comparator
    failure: str = ""


def _begin(tree: Mapping[str, Any], by: str, held: Connection | None) -> None:
    if held is not None:
        Leash.hold(held)
    try:
        _Bench.comparator, _Bench.failure = Comparator(build(tree), by), ""
    except ShadowproxyError as exc:  # raised here it would only break the pool, and nobody could tell why
        _Bench.failure = str(exc) or type(exc).__name__


def _failure() -> str:
    return _Bench.failure


def _compare(jobs: Sequence[Job]) -> list[bytes]:
    encoder = msgspec.json.Encoder()
    return [encoder.encode(line) for line in _Bench.comparator.lines(jobs)]
