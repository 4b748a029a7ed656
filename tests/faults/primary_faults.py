"""What the primary does wrong. The gateway passes on what came, and where nothing came it says so, with a code and a counter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from shadowproxy.testing.faults import GOOD_BODY, Victim
from shadowproxy.testing.faults import Fault as Shipped
from tests.faults.fault import Answered, Counted, CutOff, Effect, Fault, Inject, Seen, Unharmed
from tests.faults.process_faults import stopped
from tests.faults.scene import ASKED, Scene
from tests.faults.scenes import TIMEOUT_S
from tests.faults.upstreams import STALE, Trick, sending
from tests.serve.wire import request

GET = request("GET")
#: More than the buffers of two sockets take.
BIG = request("POST", b"x" * 24 * 1024 * 1024)

CUT = "the reply is cut off: its connection ends before it is complete, and so it cannot be taken for a whole one"


def playing(trick: Trick | Shipped, asked: bytes = ASKED, *, is_answered: bool = False) -> Inject:
    """The primary plays this for one request; ``is_answered``: also for a direct one, to compare with."""

    async def inject(scene: Scene) -> Sequence[Seen]:
        with scene.primary.broken(trick):
            return [await scene.ask(asked) if is_answered else await scene.send(asked)]

    return inject


async def _refuse(scene: Scene) -> Sequence[Seen]:
    async with scene.primary.refusing():
        return [await scene.send(ASKED), await scene.send(GET)]


async def _freeze(scene: Scene) -> Sequence[Seen]:
    """Its connections stay open, and nobody is behind them: as after a node that died without a word."""
    await scene.ask()  # leaves a connection in the pool
    with stopped(scene.primary_pid):
        return [await scene.send(ASKED), await scene.send(GET)]


async def _lose_its_name(scene: Scene) -> Sequence[Seen]:
    before = scene.config()["primary"]
    await scene.reload(primary={**before, "url": "http://primary.invalid:80"})
    try:
        return [await scene.send(ASKED)]
    finally:
        await scene.reload(primary=before)


async def _close_idle(scene: Scene) -> Sequence[Seen]:
    first = await scene.ask()
    scene.primary.close_connections()
    return [first, await scene.send(ASKED, first.expected)]


async def _close_at_once_on_get(scene: Scene) -> Sequence[Seen]:
    with scene.primary.broken(STALE):
        first = await scene.ask(GET)
        seen = [first, await scene.send(GET, first.expected)]
    return [*seen, await _flush(scene)]


async def _close_at_once_on_post(scene: Scene) -> Sequence[Seen]:
    with scene.primary.broken(STALE):
        await scene.send(ASKED)
        return [await scene.send(ASKED)]


async def _flush(scene: Scene) -> Seen:
    """The connection that the last trick left in the gateway's pool closes on its next request, too."""
    return await scene.ask(GET)


async def _interim_then_good(victim: Victim) -> None:
    until = time.monotonic() + TIMEOUT_S * 1.5
    while time.monotonic() < until:
        await victim.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        await asyncio.sleep(0.05)
    await victim.send(_GOOD)


async def _never_read(victim: Victim) -> None:
    """What is not asked for stays in the buffers of the two sockets; the rest cannot be sent."""
    await asyncio.sleep(TIMEOUT_S * 2)


_GOOD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(GOOD_BODY) + GOOD_BODY
_ODD_CODING = b"HTTP/1.1 200 OK\r\ncontent-encoding: zstd-of-tomorrow\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc"


def row(name: str, injection: str, client: Effect, reason: str, inject: Inject) -> Fault:
    return Fault(f"primary-{name}", "primary", injection, client, Counted("primary_failures_total", reason=reason), inject, "edges")


FAULTS = (
    row(
        "refuses",
        "refuses connections",
        Answered(502, "primary_connect_failed", "the primary cannot be reached (connection refused)"),
        "connect_failed",
        _refuse,
    ),
    row(
        "no-name",
        "has a name that does not resolve any more",
        Answered(502, "primary_connect_failed", "the primary cannot be reached (name or service not known)"),
        "connect_failed",
        _lose_its_name,
    ),
    row(
        "hangs",
        "accepts and never answers",
        Answered(504, "primary_timeout", "the primary sent no reply within 1 s", " after `primary.first_byte_timeout_s`"),
        "timeout",
        playing(Shipped.HANG),
    ),
    row(
        "hangs-mid-stream",
        "falls silent for `primary.idle_timeout_s` within a stream",
        CutOff(CUT),
        "timeout",
        playing(Shipped.HANG_MID_STREAM),
    ),
    row(
        "takes-no-request",
        "reads nothing of a long request for `primary.idle_timeout_s`",
        Answered(504, "primary_timeout", "the primary took no more of the request for 1 s"),
        "timeout",
        playing(Trick(_never_read, before_body=True), BIG),
    ),
    row(
        "resets",
        "resets the connection when a request comes",
        Answered(502, "primary_reset", "the primary closed the connection without a reply"),
        "reset",
        playing(Shipped.RESET),
    ),
    row("cut-off", "closes the connection within its body", CutOff(CUT), "reset", playing(Shipped.CLOSE_MID_REPLY)),
    row(
        "garbage",
        "sends bytes that are not HTTP",
        Answered(502, "primary_protocol_error", "the primary sent bytes that are not HTTP (expected http/, rtsp/ or ice/)"),
        "protocol_error",
        playing(Shipped.GARBAGE),
    ),
    row(
        "bad-chunk",
        "sends a chunk size that is no number",
        Answered(502, "primary_protocol_error", "the primary sent bytes that are not HTTP (invalid character in chunk size)"),
        "protocol_error",
        playing(Shipped.BAD_CHUNK),
    ),
    row(
        "closes-used-connection",
        "closes a kept-alive connection just as a POST is written to it",
        Answered(
            502,
            "primary_reset",
            "the primary closed the connection without a reply",
            "; nobody knows whether it was acted on, so it is not sent a second time",
        ),
        "reset",
        _close_at_once_on_post,
    ),
    Fault(
        "primary-closes-used-connection-get",
        "primary",
        "closes a kept-alive connection just as a GET is written to it",
        Unharmed("none: it is asked again on a fresh connection"),
        Counted("upstream_connections_total", event="retried"),
        _close_at_once_on_get,
        "edges",
    ),
    Fault(
        "primary-closes-idle-connections",
        "primary",
        "closes its idle connections",
        Unharmed("none: the next request, a POST too, gets a fresh connection"),
        Counted("upstream_connections_total", event="opened"),
        _close_idle,
        "edges",
    ),
    Fault(
        "primary-error-500",
        "primary",
        "answers 500",
        Unharmed("the primary's own answer, byte by byte"),
        Counted("requests_total", route="echo", status="5xx"),
        playing(Shipped.ERROR_500, is_answered=True),
        "edges",
    ),
    Fault(
        "primary-early-reply",
        "primary",
        "answers 413 before it has read the request",
        Unharmed("the primary's own answer, byte by byte"),
        Counted("requests_total", route="echo", status="4xx"),
        playing(Shipped.EARLY_REPLY, is_answered=True),
        "edges",
    ),
    Fault(
        "primary-drips",
        "primary",
        "sends its reply byte by byte",
        Unharmed("none: no time limit holds over a whole reply"),
        Counted("requests_total", route="echo", status="2xx"),
        playing(Shipped.SLOW_DRIP, is_answered=True),
        "edges",
    ),
    Fault(
        "primary-interim",
        "primary",
        "sends `103 Early Hints` for longer than `primary.first_byte_timeout_s`, then its reply",
        Unharmed("none: interim replies are signs of life"),
        Counted("requests_total", route="echo", status="2xx"),
        playing(Trick(_interim_then_good), is_answered=True),
        "edges",
    ),
    Fault(
        "primary-odd-coding",
        "primary",
        "answers in a content coding that nobody here can undo",
        Unharmed("none; it cannot be compared, so it is not mirrored"),
        Counted("not_mirrored_total", reason="reply_encoding"),
        playing(sending(_ODD_CODING), is_answered=True),
        "edges",
    ),
)
