"""A judge's endpoint on loopback: does what a test tells it, remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from shadowproxy.config import Tls
from shadowproxy.llmjudge.asking import Contest, Terms
from shadowproxy.llmjudge.budget import Bucket, Budget, Ceilings, Prices
from shadowproxy.llmjudge.client import JudgeClient
from shadowproxy.llmjudge.judge import Bounds, LlmJudge, most_spending
from shadowproxy.llmjudge.preference import Abstention, Judged, Preference
from shadowproxy.llmjudge.sampling import Shares
from shadowproxy.tasks import Guard, Tasks
from shadowproxy.testing.clock import ManualClock
from shadowproxy.upstream.endpoint import endpoint_of

DEADLINE_S = 30

_BLOCK = re.compile(
    r"\[(?P<fence>[0-9a-f]{32}) (?P<name>question|answer A|answer B) begins\]\n(?P<text>.*?)\n\[(?P=fence) (?P=name) ends\]", re.DOTALL
)


@dataclass(frozen=True)
class Asked:
    """One question, taken apart as a model that keeps to the rules would."""

    body: dict[str, Any]
    headers: dict[str, str]
    path: str

    @property
    def system(self) -> str:
        return str(self.body["messages"][0]["content"])

    @property
    def blocks(self) -> dict[str, str]:
        return {found["name"]: found["text"] for found in _BLOCK.finditer(self.body["messages"][1]["content"])}

    @property
    def a(self) -> str:
        return self.blocks["answer A"]

    @property
    def b(self) -> str:
        return self.blocks["answer B"]


#: What the model writes, or the whole HTTP response.
Answering = Callable[[Asked], str | web.StreamResponse]


def verdict(pick: str, reason: str = "because") -> str:
    return orjson.dumps({"reason": reason, "verdict": pick}).decode()


def longer_is_better(asked: Asked) -> str:
    return verdict("tie" if len(asked.a) == len(asked.b) else "A" if len(asked.a) > len(asked.b) else "B")


@dataclass
class FakeEndpoint:
    """Answers by ``answering``. While ``gate`` is closed, nobody is answered."""

    answering: Answering = longer_is_better
    asked: list[Asked] = field(default_factory=list)
    usage: dict[str, int] | None = field(default_factory=lambda: {"prompt_tokens": 100, "completion_tokens": 10})
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(orjson.loads(await request.read()), {name.casefold(): value for name, value in request.headers.items()}, request.path)
        self.asked.append(asked)
        await self.gate.wait()
        said = self.answering(asked)
        if not isinstance(said, str):
            return said
        message = {"role": "assistant", "content": said}
        reply = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": self.usage}
        return web.json_response(reply)


@contextlib.asynccontextmanager
async def endpoint(answering: Answering = longer_is_better) -> AsyncIterator[FakeEndpoint]:
    fake = FakeEndpoint(answering)
    fake.gate.set()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = site.name
    host, port = runner.addresses[0]
    fake.url = f"http://{host}:{port}"
    try:
        yield fake
    finally:
        fake.gate.set()
        await runner.cleanup()


@dataclass
class Bench:
    """A judge at work, and what it told."""

    judge: LlmJudge
    budget: Budget
    clock: ManualClock
    told: list[tuple[Contest, Judged]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def submit(self, contest: Contest) -> None:
        self.judge.submit(contest, lambda of, judged: self.told.append((of, judged)))

    async def judged(self, contest: Contest) -> Judged:
        """What comes of one contest."""
        before = len(self.told)
        self.submit(contest)
        await until(lambda: len(self.told) > before)
        return self.told[-1][1]

    async def preference(self, contest: Contest) -> Preference:
        judged = await self.judged(contest)
        assert isinstance(judged, Preference), judged
        return judged

    async def abstention(self, contest: Contest) -> Abstention:
        judged = await self.judged(contest)
        assert isinstance(judged, Abstention), judged
        return judged


@contextlib.asynccontextmanager
async def bench(
    url: str,
    *,
    terms: Terms | None = None,
    ceilings: Ceilings | None = None,
    prices: Prices | None = None,
    per_minute: float = 6000,
    concurrency: int = 2,
    queue: int = 64,
    timeout_s: float = DEADLINE_S,
    auth: tuple[bytes, bytes] | None = None,
    **extras: Any,
) -> AsyncIterator[Bench]:
    terms, prices = terms or Terms("judge-model"), prices or Prices()
    clock = ManualClock()
    budget = Budget(Bucket(per_minute, clock()), ceilings or Ceilings(), most_spending(terms, prices))
    failures: list[str] = []
    tasks = Tasks()
    judge = LlmJudge(
        JudgeClient(endpoint_of(url, Tls()), auth, connections=concurrency),
        terms,
        Shares(1, 1),
        budget,
        prices,
        Bounds(concurrency, queue, timeout_s),
        tasks,
        Guard(failures.append),
        **{"clock": clock, **extras},
    )
    judge.start()
    found = Bench(judge, budget, clock, failures=failures)
    try:
        yield found
    finally:
        await judge.close(0)
        await tasks.close()


def contest(primary: str = "a long answer from the primary", other: str | None = "a short one", **changes: str) -> Contest:
    values = {"id": "r1", "rollout": "v2-abc", "arm": "v2", "question": "What is the capital of Australia?", "model": "served"}
    return Contest(primary=primary, other=other, **{**values, **changes})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)
