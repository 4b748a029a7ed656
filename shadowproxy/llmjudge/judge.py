"""The shell: takes contests, asks about each in both orders, and tells what came of it. Never waited for, never in the way.

Fed by ``shadow``. What is refused is told at once, with its reason; what is let in waits in a bounded queue for one of a few workers.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shadowproxy.exchange import Outcome, Reply, Usage
from shadowproxy.llmjudge.asking import Contest, Exhibit, Terms, exhibit, most_prompt_tokens, most_reply_tokens, question
from shadowproxy.llmjudge.budget import REQUESTS_PER_PAIR, Budget, Prices, Spending
from shadowproxy.llmjudge.client import JudgeClient
from shadowproxy.llmjudge.preference import Abstention, Judged, Opinion, Order, preference, settled
from shadowproxy.llmjudge.reading import Heard, read_reply
from shadowproxy.llmjudge.retrying import delay_s
from shadowproxy.llmjudge.sampling import Shares, first_order
from shadowproxy.tasks import Guard, Tasks

_log = logging.getLogger(__name__)

#: Told once for each contest that was submitted: from within ``submit`` where nothing had to be asked, later else.
Done = Callable[[Contest, Judged], None]

Opinions = Mapping[Order, Opinion]

#: Of the random word around foreign text: 128 bits cannot be guessed.
_FENCE_CHARS = 32

#: Between two lines that name a refused status. A wrong credential fails every question.
_STORY_EVERY_S = 60.0

#: No reply → the reason for it.
_LOST: Mapping[Outcome, str] = {Outcome.TIMEOUT: "timeout", Outcome.TOO_LARGE: "unreadable"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Pairs asked about at once, pairs waiting, seconds per question with its retries."""

    concurrency: int
    queue: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class _Job:
    contest: Contest
    done: Done


@dataclass(slots=True)
class _Bill:
    """What a pair has taken so far. Outlives a question that is given up."""

    spent: Spending = field(default_factory=Spending)


def most_spending(terms: Terms, prices: Prices) -> Spending:
    """What one pair can take at most, however its two questions go."""
    return _most_of_question(terms, prices) + _most_of_question(terms, prices)


def _most_of_question(terms: Terms, prices: Prices) -> Spending:
    return prices.of(Usage(most_prompt_tokens(terms, "0" * _FENCE_CHARS), most_reply_tokens(terms)))


class LlmJudge:
    """Use between :meth:`start` and :meth:`close`, on one event loop.

    ``may_be_arm`` says that an arm at the judge's address takes whatever model a request names. ``redact`` is applied to all that the
    judge sees. ``chance`` must be unpredictable: the fences around foreign text come from it.
    """

    def __init__(
        self,
        client: JudgeClient,
        terms: Terms,
        shares: Shares,
        budget: Budget,
        prices: Prices,
        bounds: Bounds,
        tasks: Tasks,
        guard: Guard,
        *,
        may_be_arm: bool = False,
        redact: Callable[[str], str] | None = None,
        chance: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._terms = terms
        self._shares = shares
        self._budget = budget
        self._prices = prices
        self._most = _most_of_question(terms, prices)
        self._bounds = bounds
        self._tasks = tasks
        self._guard = guard
        self._may_be_arm = may_be_arm
        self._redact = redact
        self._chance = chance or random.SystemRandom()
        self._clock = clock
        self._waiting: asyncio.Queue[_Job] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._working = 0
        self._is_closing = False
        self._warned_at = -_STORY_EVERY_S

    def __repr__(self) -> str:
        state = "closing " if self._is_closing else ""
        return f"<LlmJudge {self._terms.model} {state}waiting={self._waiting.qsize()} working={self._working}>"

    @property
    def is_idle(self) -> bool:
        """True where nothing waits and nothing is being asked."""
        return self._waiting.empty() and not self._working

    def start(self) -> None:
        """Begin to ask."""
        self._workers = [self._tasks.start("llm judge", self._work()) for _ in range(self._bounds.concurrency)]

    async def close(self, within_s: float) -> None:
        """Take nothing more, let what was let in come to its end for this long, and give up the rest."""
        self._is_closing = True
        deadline = self._clock() + within_s
        while self._workers and not self.is_idle and self._clock() < deadline:
            await asyncio.sleep(0.02)
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        while not self._waiting.empty():
            self._tell(self._waiting.get_nowait(), Abstention("closing"))
        await self._client.close()

    # --- in ---------------------------------------------------------------------------------------------------------

    def wants(self, request_id: str, arm: str) -> bool:
        """Whether this arm's answer to this request is in the share that is judged. To be asked before a contest is made."""
        return self._shares.choose(request_id, arm)

    def submit(self, contest: Contest, done: Done) -> None:
        """Have a contest judged. Never waits."""
        reason = self._refusal(contest)
        if reason:
            done(contest, Abstention(reason))
        elif (known := settled(contest.primary, contest.other)) is not None:
            # Looked at only now: were equal or missing answers never refused, a tight budget would leave more of them than there are.
            self._budget.more_requests(-REQUESTS_PER_PAIR)
            done(contest, known)
        else:
            self._waiting.put_nowait(_Job(contest, done))

    def _refusal(self, contest: Contest) -> str:
        """Why this contest is not let in, or "": nothing of it but who asked for what is looked at."""
        if self._is_closing:
            return "closing"
        if self._may_be_arm and contest.model in ("", self._terms.model):
            return "is_arm"
        if self._waiting.qsize() >= self._bounds.queue:
            return "queue_full"
        return self._budget.admit(contest.rollout, self._clock())

    # --- at work ----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            job = await self._waiting.get()
            reason = self._budget.reserve(job.contest.rollout)
            if reason:
                self._tell(job, Abstention(reason))
            else:
                await self._judge(job)

    async def _judge(self, job: _Job) -> None:
        """One pair whose most is reserved. However it ends, what it took is settled and its end is told."""
        self._working += 1
        bill = _Bill()
        found: Opinions | str = "failed"
        try:
            with self._guard("llm judge"):
                found = await self._ask_both(job.contest, bill)
        except asyncio.CancelledError:
            found = "closing"
            raise
        finally:
            self._working -= 1
            self._budget.settle(job.contest.rollout, bill.spent)
            self._tell(job, _judged(found, bill.spent))

    async def _ask_both(self, contest: Contest, bill: _Bill) -> Opinions | str:
        """The opinions on both orders, or the reason why one is missing: without the first the second is not paid for."""
        opinions: dict[Order, Opinion] = {}
        seen = exhibit(self._terms, contest, self._redact)
        order = first_order(contest.id)
        for each in (order, order.swapped):
            heard = await self._ask(seen, each, bill)
            if heard.opinion is None:
                return heard.problem
            opinions[each] = heard.opinion
        return opinions

    async def _ask(self, seen: Exhibit, order: Order, bill: _Bill) -> Heard:
        """One question, again where that is worth it and there is time. What is on its way is on the bill at its most."""
        body = question(self._terms, seen, order, f"{self._chance.getrandbits(4 * _FENCE_CHARS):0{_FENCE_CHARS}x}")
        ends_at = self._clock() + self._bounds.timeout_s
        tries = 0
        while True:
            tries += 1
            bill.spent += self._most
            reply = await self._client.post(body, ends_at - self._clock())
            heard = self._heard(reply)
            bill.spent += self._paid(reply, heard) - self._most
            wait_s = _wait_s(reply, tries, self._chance.random())
            if wait_s is None or self._clock() + wait_s >= ends_at:
                return heard
            await asyncio.sleep(wait_s)
            self._budget.more_requests(1)

    def _heard(self, reply: Reply | Outcome) -> Heard:
        if isinstance(reply, Outcome):
            return Heard(None, _LOST.get(reply, "unreachable"))
        if reply.status == 429:
            return Heard(None, "rate_limited")
        if reply.status >= 500:
            return Heard(None, "server_error")
        if not 200 <= reply.status < 300:
            self._warn(reply.status)
            return Heard(None, "refused")
        return read_reply(reply)

    def _paid(self, reply: Reply | Outcome, heard: Heard) -> Spending:
        """What one try took: as the endpoint says, and at its most where it says nothing and may have worked."""
        was_refused = reply is Outcome.CONNECT_FAILED if isinstance(reply, Outcome) else reply.status >= 300
        if was_refused:
            return Spending()
        return self._prices.of(heard.usage) if heard.usage else self._most

    def _warn(self, status: int) -> None:
        """The status only: what an endpoint writes beside it may quote the question."""
        now = self._clock()
        if now - self._warned_at >= _STORY_EVERY_S:
            self._warned_at = now
            _log.warning("the judge's endpoint refuses questions with status %d; check llm_judge.url, model, auth and parameters", status)

    # --- out --------------------------------------------------------------------------------------------------------

    def _tell(self, job: _Job, judged: Judged) -> None:
        with self._guard("llm judge"):
            job.done(job.contest, judged)


def _judged(found: Opinions | str, spent: Spending) -> Judged:
    if isinstance(found, str):
        return Abstention(found, spent.tokens, spent.cost)
    return preference(found, tokens=spent.tokens, cost=spent.cost)


def _wait_s(reply: Reply | Outcome, tries: int, u: float) -> float | None:
    if isinstance(reply, Outcome):
        return None  # asked again it might be paid for twice
    return delay_s(reply.status, tries, reply.header(b"retry-after"), time.time(), u)
