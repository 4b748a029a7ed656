"""``shadowproxy judge``: verdicts over the counts of many ``serve`` processes. No data path, no evidence of its own.

Source → sums → judging → watching, every ``judge.interval_s``. Whatever keeps the source from being seen whole makes the verdict hold: a
scrape that fails, an answer that stays away, counts that went backwards. "No data" is never "good".
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping

from shadowproxy.admin.app import Health
from shadowproxy.config import AdminSource, Config, PrometheusSource
from shadowproxy.counts import SOURCE_READS, STEP_FAILURES, WHOLE, Counts, Totals
from shadowproxy.errors import ConfigError, ConfigProblem, NoAnswer
from shadowproxy.judging import Judge
from shadowproxy.promote.phases import Order
from shadowproxy.promote.steering import Steering
from shadowproxy.sources.admin import AdminApi
from shadowproxy.sources.prometheus import Prometheus
from shadowproxy.sources.reading import Source
from shadowproxy.sources.sums import Sums
from shadowproxy.tasks import Guard
from shadowproxy.watching import VerdictWatcher

_log = logging.getLogger(__name__)


def source_of(config: Config) -> Source:
    """The source that the configuration names. Raises :class:`ConfigError` where it names none, or where there is nothing to judge."""
    match config.judge.prometheus or config.judge.admin:
        case PrometheusSource() as section:
            source: Source = Prometheus(section)
        case AdminSource() as section:
            source = AdminApi(section)
        case _:
            problem = "names no source of counts", "add judge.prometheus: {url: ...}, or judge.admin for a single serve"
            raise ConfigError((ConfigProblem("judge", "", *problem),))
    if not config.candidates:
        raise ConfigError((ConfigProblem("candidates", "", "names nobody to judge", "use the configuration of the serve processes"),))
    return source


class StandaloneJudge:
    """Looks again and again. Implements the admin surface's :class:`~shadowproxy.admin.state.JudgeState`."""

    def __init__(self, config: Config, source: Source, watcher: VerdictWatcher, clock: Callable[[], float] = time.monotonic) -> None:
        self._section = config.judge
        self._source = source
        self._watcher = watcher
        self._clock = clock
        self._sums = Sums()
        self._judge = Judge(config, self._sums.totals, clock)
        self._began_at = clock()
        self._answered_at: float | None = None
        self._problem = "it was not asked yet"
        self._own = Counts()
        self._guard = Guard(lambda step: self._own.add(STEP_FAILURES, step))
        self.boot = secrets.token_hex(8)
        #: Of our own only: were the sums exported, whoever adds up what Prometheus has would count every pair twice.
        self.totals = Totals()
        self._judge.look(self._gaps())
        self._steering: Steering | None = None

    def steer(self, steering: Steering) -> None:
        """Who moves traffic, for whoever asks how far that is or gives orders."""
        self._steering = steering

    # --- admin state ------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Ready: the source answers. A judge that cannot see is alive, and holds."""
        problem = self._silence()
        return Health(alive=True, ready=not problem, reasons=(problem,) if problem else ())

    def verdicts(self) -> tuple[Mapping[str, object], ...]:
        return self._judge.documents()

    def history(self, limit: int, rollout: str | None) -> tuple[Mapping[str, object], ...]:
        return self._watcher.history(limit, rollout)

    def promotions(self) -> Mapping[str, Mapping[str, object]]:
        return self._steering.standings() if self._steering is not None else {}

    async def order(self, candidate: str, order: Order) -> Mapping[str, object]:
        """See :meth:`shadowproxy.promote.steering.Steering.order`."""
        if self._steering is None:
            raise KeyError(candidate)
        return await self._steering.order(candidate, order)

    # --- looking ----------------------------------------------------------------------------------------------------

    async def look_forever(self) -> None:
        while True:
            with self._guard("judge"):
                await self.look()
            await asyncio.sleep(self._section.interval_s)

    async def look(self) -> None:
        """Read the source and judge."""
        await self._read()
        self._judge.look(self._gaps())
        if self._answered_at is not None or self._clock() - self._began_at > self._section.stale_after_s:
            # Not before: a judge that has just started holds because it knows nothing, and that is no news.
            self._watcher.saw_all(self._judge.documents())
        self._watcher.report(self._own)
        self.totals.absorb(WHOLE, self._own.take_changes())

    async def _read(self) -> None:
        asked_at = self._clock()
        try:
            self._sums.take(await self._source.read(self._judge.rollouts))
        except NoAnswer as exc:
            self._missed(str(exc), None)
            return
        except Exception as exc:  # noqa: BLE001 - an answer that nobody thought of is none, and the verdict must get old by it
            self._missed(f"the answer cannot be read ({type(exc).__name__}: {exc}), a fault in shadowproxy itself", exc)
            return
        self._answered_at, self._problem = asked_at, ""
        self._own.add(SOURCE_READS, "done")

    def _missed(self, problem: str, fault: Exception | None) -> None:
        if problem != self._problem:
            _log.error("no counts to judge: %s", problem, exc_info=fault)
        self._problem = problem
        self._own.add(SOURCE_READS, "failed")

    def _gaps(self) -> dict[str, str]:
        """Rollout → why its counts cannot be trusted now, "" where they can."""
        silence = self._silence()
        return {rollout: "; ".join(filter(None, (silence, self._sums.gap(rollout)))) for rollout in self._judge.rollouts}

    def _silence(self) -> str:
        """Why what was read last is not the present; "" while it is."""
        if self._answered_at is None:
            return f"the source of counts has not answered yet: {self._problem}"
        silent_s = self._clock() - self._answered_at
        if silent_s <= self._section.stale_after_s:
            return ""
        return f"no answer from the source of counts for {silent_s:.0f} s: {self._problem or 'it takes its time'}"
