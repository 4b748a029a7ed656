"""What candidates and the control do wrong. The client never notices; each way has an outcome of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from shadowproxy.testing.faults import GOOD_BODY, Victim
from shadowproxy.testing.faults import Fault as Shipped
from shadowproxy.testing.raw import LAST_CHUNK, chunk
from tests.faults.fault import Counted, Fault, Inject, Seen, Unharmed
from tests.faults.scene import ASKED, Scene, many
from tests.faults.upstreams import STALE, Trick, sending
from tests.serve.wire import request

#: Asked for where a reply is read as a chat completion.
CHAT = request("POST", b'{"messages":[],"stream":true}', target="/v1/chat/completions")
BURST = 40


def playing(trick: Trick | Shipped, asked: bytes = ASKED) -> Inject:
    """The candidate plays this for one request."""

    async def inject(scene: Scene) -> Sequence[Seen]:
        before = scene.resolved(await scene.settled(), "v2")
        with scene.candidate.broken(trick):
            seen = [await scene.ask(asked)]
            # Not mended before its end is known: what breaks on a used connection is asked once more on a fresh one.
            await scene.until(lambda now: scene.resolved(now, "v2") > before)
        return seen

    return inject


async def _close_after_each(scene: Scene) -> Sequence[Seen]:
    """Each second copy meets a connection that closes without a byte; it is asked once more, which is no failure of the candidate's."""
    before = await scene.settled()
    with scene.candidate.broken(STALE):
        seen = await many(4, scene)
        after = await scene.until(lambda now: scene.resolved(now, "v2") >= scene.resolved(before, "v2") + 4)
    assert scene.resolved(after, "v2", outcome="ok") == scene.resolved(before, "v2", outcome="ok") + 4
    return [*seen, *await many(2, scene)]  # what the last one left in the pool


async def _redirect(scene: Scene) -> Sequence[Seen]:
    elsewhere = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: %b/elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    seen = await playing(sending(elsewhere % scene.candidate.url.encode()))(scene)
    assert not any(request.target == "/elsewhere" for request in scene.candidate.received)
    return seen


async def _only_ask(scene: Scene) -> Sequence[Seen]:
    """The fault is there all the time: this candidate's address leads nowhere."""
    return [await scene.ask()]


async def _hang_through_burst(scene: Scene) -> Sequence[Seen]:
    before = scene.resolved(await scene.settled(), "v2")
    with scene.candidate.broken(Shipped.HANG):
        expected = (await scene.ask()).expected
        seen = await asyncio.gather(*(scene.ask(expected=expected) for _ in range(BURST)))
        await scene.until(lambda now: scene.resolved(now, "v2") >= before + 1 + BURST)
    return seen


async def _storm(scene: Scene) -> Sequence[Seen]:
    before = scene.resolved(await scene.settled(), "v2")
    with scene.candidate.broken(sending(_TOO_MANY)):
        seen = await many(20, scene)
        await scene.until(lambda now: scene.resolved(now, "v2") >= before + 20)
    return seen


async def _fail_copies_only(scene: Scene) -> Sequence[Seen]:
    before = scene.resolved(await scene.settled(), "v2", arm="control")
    with scene.primary.broken(Trick(sending(_ERROR).play, only_copies=True)):
        first = await scene.ask()
        seen = [first, await scene.send(ASKED, first.expected)]
        # Clients have their replies before copies are even sent: the primary is not mended before both were answered.
        await scene.until(lambda now: scene.resolved(now, "v2", arm="control") >= before + 2)
    return seen


async def _interim_forever(victim: Victim) -> None:
    while not victim.reader.at_eof():
        await victim.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        await asyncio.sleep(0.005)


async def _slow_drip(victim: Victim) -> None:
    """Slower than the copy's deadline."""
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow":
        await victim.send(bytes((byte,)))
        await asyncio.sleep(0.1)


async def _endless_head(victim: Victim) -> None:
    await victim.send(b"HTTP/1.1 200 OK\r\n")
    while not victim.reader.at_eof():
        await victim.send(b"x-more: " + b"x" * 8000 + b"\r\n")


_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 30\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
_ERROR = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
_TOO_LONG = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n" + GOOD_BODY[:200]


def resolved(outcome: str, arm: str = "candidate") -> Counted:
    return Counted("pairs_resolved_total", arm=arm, outcome=outcome)


def row(name: str, injection: str, outcome: str, inject: Inject, candidate: str = "v2", needs: tuple[str, ...] = ()) -> Fault:
    shows = resolved(outcome)
    return Fault(f"candidate-{name}", "candidate", injection, Unharmed(), shows, inject, "candidates", candidate, needs=needs)


FAULTS = (
    row("hangs", "accepts and never answers", "timeout", playing(Shipped.HANG)),
    row("hangs-mid-body", "sends two events of a stream, then nothing more", "timeout", playing(Shipped.HANG_MID_STREAM, CHAT)),
    row("drips", "sends its reply too slowly to end within `timeout_s`", "timeout", playing(Trick(_slow_drip))),
    row("interim-forever", "sends one `103 Early Hints` after the other and never a reply", "timeout", playing(Trick(_interim_forever))),
    row("queue-full", "hangs under load until its `queue` is full", "dropped_candidate", _hang_through_burst),
    row("refuses", "refuses connections", "connect_failed", _only_ask, "refusing"),
    row("no-name", "has a name that does not resolve", "connect_failed", _only_ask, "nameless"),
    row("wrong-certificate", "shows a TLS certificate that nobody here trusts", "connect_failed", _only_ask, "untrusted", ("openssl",)),
    row("resets", "resets the connection when a request comes", "reset", playing(Shipped.RESET)),
    row("cut-off", "closes the connection in the middle of its body", "reset", playing(Shipped.CLOSE_MID_REPLY)),
    row("length-too-long", "announces more bytes than it sends", "reset", playing(sending(_TOO_LONG))),
    row("garbage", "sends bytes that are not HTTP", "protocol_error", playing(Shipped.GARBAGE)),
    row("bad-chunk", "sends a chunk size that is no number", "protocol_error", playing(Shipped.BAD_CHUNK)),
    row("endless-head", "sends headers without end", "protocol_error", playing(Trick(_endless_head))),
    row("endless-body", "sends a body without end", "too_large", playing(Shipped.ENDLESS)),
    row("error-500", "answers 500", "http_error", playing(Shipped.ERROR_500)),
    row("storm-429", "answers 429 to everything, with `retry-after`", "http_error", _storm),
    row("early-reply", "answers 413 before it has read the request", "http_error", playing(Shipped.EARLY_REPLY)),
    row("error-in-stream", "sends an error event inside a stream with status 200", "stream_error", playing(Shipped.ERROR_IN_STREAM, CHAT)),
    row(
        "invalid-sse",
        "sends events that hold no JSON, and ends the stream before its finish",
        "stream_error",
        playing(sending(_STREAM_HEAD + chunk(b"data: {broken\n\ndata nothing\n\n") + LAST_CHUNK), CHAT),
    ),
    row("redirects", "answers 307; a copy is sent to no address that nobody configured", "http_error", _redirect),
    row("closes-keep-alive", "closes every connection after the reply it announced to keep alive", "ok", _close_after_each),
    Fault(
        "control-fails",
        "control",
        "the primary answers 500 to copies only",
        Unharmed(),
        resolved("http_error", "control"),
        _fail_copies_only,
        "candidates",
        "v2",
    ),
)
