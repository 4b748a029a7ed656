"""An arm whose answer is a function of the request, on a thread of its own, and that remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

#: (status, headers, text) in place of an answer; None: answer.
Refusal = tuple[int, dict[str, str], str] | None


def says(question: str) -> str:
    """The answer to a question."""
    return f"{question.rstrip('?')}: about {len(question) * 37}, as far as anybody knows."


@dataclass
class Asked:
    """One request that came: who was asked what, and when (monotonic)."""

    arm: str
    question: str
    at_s: float
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class Arm:
    """Answers chat completions. ``answer`` makes the text of a question; ``refuse`` may refuse the n-th request (from 1) instead."""

    answer: Callable[[str], str] = says
    refuse: Callable[[int, str], Refusal] = lambda number, question: None
    delay_s: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""
    _now: int = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(60)
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def _serve(self, started: threading.Event) -> None:
        self._loop.run_until_complete(self._run(started))
        self._loop.close()

    async def _run(self, started: threading.Event) -> None:
        self._stopped = asyncio.Event()
        application = web.Application()
        self.routes(application)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await self._stopped.wait()
        await runner.cleanup()

    def routes(self, application: web.Application) -> None:
        application.router.add_post("/v1/chat/completions", self._chat)

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        question = body["messages"][-1]["content"]
        self.asked.append(Asked(request.headers.get("x-shadowproxy-arm", ""), question, time.monotonic(), body, dict(request.headers)))
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            refusal = self.refuse(len(self.asked), question)
            if refusal is not None:
                status, headers, text = refusal
                return web.json_response({"error": {"message": text}}, status=status, headers=headers)
            self.answered.append(question)
            return web.json_response(reply(self.answer(question)))
        finally:
            self._now -= 1

    @property
    def questions(self) -> Counter[str]:
        """How often each question was asked."""
        return Counter(each.question for each in self.asked)


def reply(text: str) -> dict[str, Any]:
    """A chat completion."""
    return {
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": len(text) // 4},
    }


def body_of(text: str) -> bytes:
    return json.dumps(reply(text)).encode()
