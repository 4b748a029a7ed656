"""An OpenAI-compatible server that plays recorded answers of a real small LLM, with its real noise and its real token timing.

Stands in for a primary, a control or a candidate wherever a model would be too slow or too heavy: tests, the demo, load runs.

    python -m shadowproxy.testing.recorded --variant primary --listen 127.0.0.1:0

prints ``{"listening": "http://127.0.0.1:PORT"}`` when it is ready and ends on SIGTERM. ``answers`` holds what it plays.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Self

import orjson
import uvloop
from aiohttp import web

from shadowproxy.errors import StartError
from shadowproxy.testing.answers import Draw, Recordings, improvise, load

MAX_REQUEST_BYTES = 16 * 1024 * 1024
LOGGED_REQUESTS = 256  # the newest; enough for a test to find its own, and bounded for a load run
LOGGED_BODY_BYTES = 16 * 1024  # with the line above: a log of 4 MiB at most


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one server answers. All times are those of the recording; ``speed`` then divides every one of them."""

    variant: str = "primary"
    """Pool of recorded answers, or ``slow``: those of ``equal`` in twice the time."""
    model: str = "smollm2-135m-instruct"
    """Name shown in replies and in the list of models."""
    speed: float = 1.0
    """20 plays twenty times faster than recorded."""
    ttft_scale: float = 1.0
    """Stretches the time to the first piece."""
    itl_scale: float = 1.0
    """Stretches the gaps between pieces."""
    extra_ttft_ms: float = 0.0
    """Added to the time to the first piece."""
    jitter_percent: float = 10.0
    """Each gap is varied by up to this much either way: a recording played twice must not take the same time twice."""
    fail_percent: float = 0.0
    """Share of requests answered with ``fail_status`` instead."""
    fail_status: int = 500
    seed: int = 1
    """Servers with the same seed give the same draws to the same sequence of requests."""

    def __post_init__(self) -> None:
        if self.speed <= 0:
            raise ValueError("speed must be above 0")


def as_played(behaviour: Behaviour) -> Behaviour:
    """``slow`` spelled out. It plays other recordings than the primary, else it would be told by giving the very same answers."""
    if behaviour.variant != "slow":
        return behaviour
    return replace(behaviour, variant="equal", ttft_scale=2 * behaviour.ttft_scale, itl_scale=2 * behaviour.itl_scale)


@dataclass(frozen=True, slots=True)
class Question:
    """What the server needs from a request."""

    user: str
    streams: bool
    wants_usage: bool


class BadRequest(ValueError):
    """The body is not a chat completion request. Answered with 400."""


def read_question(body: bytes) -> Question:
    """Read a chat completion request. Raises :class:`BadRequest`."""
    try:
        wanted = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("the body is not JSON") from None
    messages = wanted.get("messages") if isinstance(wanted, dict) else None
    if not isinstance(messages, list):
        raise BadRequest("messages is missing")
    users = [message for message in messages if isinstance(message, dict) and message.get("role") == "user"]
    options = wanted.get("stream_options")
    return Question(
        user=_text_of(users[-1].get("content")) if users else "",
        streams=wanted.get("stream") is True,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _text_of(content: object) -> str:
    """Text of a message: a string, or a list of parts of which some are text."""
    if isinstance(content, list):
        return " ".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def play_times(draw: Draw, behaviour: Behaviour, dice: random.Random) -> tuple[float, ...]:
    """When to send each piece, in seconds since the request."""
    jitter = behaviour.jitter_percent / 100
    gaps = [piece.gap_s * behaviour.itl_scale for piece in draw.pieces]
    if gaps:
        gaps[0] = draw.pieces[0].gap_s * behaviour.ttft_scale + behaviour.extra_ttft_ms / 1000
    return tuple(accumulate(gap * dice.uniform(1 - jitter, 1 + jitter) / behaviour.speed for gap in gaps))


class Pool:
    """The draws of one prompt, given out at random but none again before half of the others.

    Two requests for the same prompt close together (the primary's and its control's) then never get the very same recording. With
    free choice one such pair in eight would be identical, and the primary would look more like itself than any equal candidate can.
    """

    def __init__(self, draws: Sequence[Draw], dice: random.Random) -> None:
        self._draws = draws
        self._dice = dice
        self._recent: deque[int] = deque(maxlen=len(draws) // 2)

    def take(self) -> tuple[int, Draw]:
        """The next draw and its number."""
        free = [number for number in range(len(self._draws)) if number not in self._recent]
        number = self._dice.choice(free)
        self._recent.append(number)
        return number, self._draws[number]


class Chunks:
    """Server-sent events of one streamed chat completion."""

    def __init__(self, reply_id: str, model: str, created: int, wants_usage: bool) -> None:
        head = {"id": reply_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._wants_usage = wants_usage
        self._start = b"data: " + orjson.dumps(head)[:-1]
        self._end = b',"usage":null}\n\n' if wants_usage else b"}\n\n"

    def timed(self, draw: Draw, times: Sequence[float]) -> Iterator[tuple[float, bytes]]:
        """Every event of one answer and when to send it.

        The role comes with the first piece and the finish with the last, as real servers do: they have nothing to say before.
        """
        first_s, last_s = (times[0], times[-1]) if times else (0.0, 0.0)
        yield first_s, self._delta({"role": "assistant", "content": ""})
        for at_s, piece in zip(times, draw.pieces, strict=True):
            yield at_s, self._delta({"content": piece.text})
        yield last_s, self._delta({}, draw.finish_reason)
        if self._wants_usage:
            yield last_s, b'%s,"choices":[],"usage":%s}\n\n' % (self._start, orjson.dumps(usage_of(draw)))
        yield last_s, b"data: [DONE]\n\n"

    def _delta(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        """A chunk with a piece of the answer."""
        choice = orjson.dumps([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}])
        return b'%s,"choices":%s%s' % (self._start, choice, self._end)


def usage_of(draw: Draw) -> dict[str, int]:
    """Token counts in the words of the API."""
    total = draw.prompt_tokens + draw.completion_tokens
    return {"prompt_tokens": draw.prompt_tokens, "completion_tokens": draw.completion_tokens, "total_tokens": total}


def whole_reply(reply_id: str, model: str, created: int, draw: Draw) -> dict[str, Any]:
    """A chat completion that is not streamed."""
    message = {"role": "assistant", "content": draw.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": draw.finish_reason}
    return {"id": reply_id, "object": "chat.completion", "created": created, "model": model, "choices": [choice], "usage": usage_of(draw)}


def error_reply(status: int, message: str) -> web.Response:
    """An error in the words of the API."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": None}
    return web.Response(status=status, body=orjson.dumps({"error": error}), content_type="application/json")


class RecordedLLM:
    """The server. ``async with RecordedLLM(Behaviour(variant="hot")) as llm: llm.url``.

    ``count`` is the number of chat completion requests seen; each ends in one of ``finished``, ``failed`` (on purpose, or a bad
    request) and ``aborted`` (the client went away). ``requests`` holds the newest with their headers, as GET /_log shows them.
    """

    def __init__(self, behaviour: Behaviour | None = None, *, recordings: Recordings | None = None, listen: str = "127.0.0.1:0") -> None:
        self.behaviour = behaviour or Behaviour()
        self.recordings = recordings or load()
        self._played = as_played(self.behaviour)
        if self._played.variant not in self.recordings.variants:
            raise StartError(f"no recordings of variant {self._played.variant}; take one of slow, {', '.join(self.recordings.variants)}")
        self._listen = listen
        self._pools: dict[str, Pool] = {}
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.count = self.finished = self.failed = self.aborted = 0
        self.requests: deque[dict[str, Any]] = deque(maxlen=LOGGED_REQUESTS)

    def __repr__(self) -> str:
        return f"<RecordedLLM {self.behaviour.variant} {self.url or 'stopped'} count={self.count}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; then ``url`` is set. Raises :class:`StartError` where the address cannot be had."""
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        app.router.add_get("/_log", self._log)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        host, _, port = self._listen.rpartition(":")
        try:
            await web.TCPSite(self._runner, host.strip("[]") or "127.0.0.1", int(port)).start()
        except (OSError, ValueError) as exc:
            await self.stop()
            raise StartError(f"cannot listen on {self._listen} ({exc}); choose another port, or 0 for a free one") from exc
        bound_host, bound_port = self._runner.addresses[0][:2]
        self.url = f"http://[{bound_host}]:{bound_port}" if ":" in bound_host else f"http://{bound_host}:{bound_port}"

    async def stop(self) -> None:
        """Cut what is still streaming and close the port."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.count += 1
        # One random stream per request: what others ask meanwhile does not change this one.
        dice = random.Random(f"{self._played.seed}/{self.count}")  # noqa: S311 - noise of a fake, not a secret
        note = self._note(request)
        try:
            reply = await self._answer(request, dice, note)
        except (asyncio.CancelledError, ConnectionError):
            self.aborted += 1
            raise
        except web.HTTPException:
            self.failed += 1
            raise
        if reply.status < 400:
            self.finished += 1
        else:
            self.failed += 1
        note["status"] = reply.status
        return reply

    def _note(self, request: web.Request) -> dict[str, Any]:
        """A new entry of the log."""
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers]
        note: dict[str, Any] = {"number": self.count, "target": request.path_qs, "headers": headers}
        self.requests.append(note)
        return note

    async def _answer(self, request: web.Request, dice: random.Random, note: dict[str, Any]) -> web.StreamResponse:
        asked_at_s = asyncio.get_running_loop().time()
        body = await request.read()
        if len(body) <= LOGGED_BODY_BYTES:
            note["body"] = body.decode("utf-8", "replace")
        if dice.random() * 100 < self._played.fail_percent:
            return error_reply(self._played.fail_status, "failing on purpose")
        try:
            question = read_question(body)
        except BadRequest as exc:
            return error_reply(400, str(exc))
        draw = self._draw(question.user, note)
        times = tuple(asked_at_s + time_s for time_s in play_times(draw, self._played, dice))
        reply_id = f"chatcmpl-{self._played.seed}-{note['number']}"
        created = int(time.time())
        if question.streams:
            chunks = Chunks(reply_id, self._played.model, created, question.wants_usage)
            return await self._stream(request, chunks.timed(draw, times))
        await _sleep_until(times[-1] if times else asked_at_s)
        whole = whole_reply(reply_id, self._played.model, created, draw)
        return web.Response(body=orjson.dumps(whole), content_type="application/json")

    def _draw(self, user: str, note: dict[str, Any]) -> Draw:
        """Choose what to answer, and note it."""
        prompt = self.recordings.find(user)
        if prompt is None:
            note["prompt_id"] = note["draw"] = None
            return improvise(user)
        pool = self._pools.get(prompt.id)
        if pool is None:
            dice = random.Random(f"{self._played.seed}/{prompt.id}")  # noqa: S311 - noise of a fake, not a secret
            pool = self._pools[prompt.id] = Pool(self.recordings.draws(prompt.id, self._played.variant), dice)
        note["prompt_id"] = prompt.id
        note["draw"], draw = pool.take()
        return draw

    async def _stream(self, request: web.Request, events: Iterator[tuple[float, bytes]]) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"})
        reply.enable_chunked_encoding()
        await reply.prepare(request)
        for at_s, event in events:
            await _sleep_until(at_s)
            await reply.write(event)
        await reply.write_eof()
        return reply

    async def _models(self, _request: web.Request) -> web.Response:
        model = {"id": self._played.model, "object": "model", "created": 0, "owned_by": "shadowproxy"}
        return web.json_response({"object": "list", "data": [model]})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _log(self, _request: web.Request) -> web.Response:
        counts = {"count": self.count, "finished": self.finished, "failed": self.failed, "aborted": self.aborted}
        return web.json_response({**counts, "requests": list(self.requests)})


async def _sleep_until(at_s: float) -> None:
    """Sleep until the loop's clock shows ``at_s``. Always yields, so that one late stream does not hold up the others."""
    await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))


def options_from(arguments: Sequence[str] | None) -> tuple[str, Behaviour]:
    """The address to listen on and the behaviour, from the command line."""
    plain = Behaviour()
    about = "Play recorded answers of a small LLM over the OpenAI API."
    parser = argparse.ArgumentParser(prog="python -m shadowproxy.testing.recorded", description=about)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes a free one and prints it")
    parser.add_argument("--variant", default=plain.variant, help="whose answers: primary, equal, better, slow, hot, …")
    parser.add_argument("--model", default=plain.model, help="name shown in replies")
    parser.add_argument("--speed", type=float, default=plain.speed, help="20 plays twenty times faster than recorded")
    parser.add_argument("--ttft-scale", type=float, default=plain.ttft_scale, help="stretch the time to the first token")
    parser.add_argument("--itl-scale", type=float, default=plain.itl_scale, help="stretch the gaps between tokens")
    parser.add_argument("--extra-ttft-ms", type=float, default=plain.extra_ttft_ms, help="add to it, before --speed")
    parser.add_argument("--jitter-percent", type=float, default=plain.jitter_percent, help="vary each gap by up to this much")
    parser.add_argument("--fail-percent", type=float, default=plain.fail_percent, help="share of requests that fail")
    parser.add_argument("--fail-status", type=int, default=plain.fail_status, help="status of the failing ones")
    parser.add_argument("--seed", type=int, default=plain.seed, help="of every random choice")
    chosen = vars(parser.parse_args(arguments))
    listen = chosen.pop("listen")
    try:
        return listen, Behaviour(**chosen)
    except ValueError as exc:
        parser.error(str(exc))


async def serve(listen: str, behaviour: Behaviour) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with RecordedLLM(behaviour, listen=listen) as llm:
        print(json.dumps({"listening": llm.url}), flush=True)
        await ended.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m shadowproxy.testing.recorded``."""
    listen, behaviour = options_from(arguments)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(listen, behaviour))
    except StartError as exc:
        raise SystemExit(str(exc)) from exc


if __name__ == "__main__":
    main()
