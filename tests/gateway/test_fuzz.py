"""Any bytes, cut anywhere: the parsers' state machines without sockets, driven by hypothesis."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterator

import httptools
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.config import build
from shadowproxy.exchange import Outcome
from shadowproxy.gateway.gateway import Gateway
from shadowproxy.gateway.listener import ClientConnection
from shadowproxy.tasks import Tasks
from shadowproxy.upstream.connection import Connection, Phase, Receiver, ReplyHead
from tests.gateway.wires import Recorder

CONFIG = build({"primary": {"url": "http://127.0.0.1:9"}, "candidates": [{"name": "v2", "url": "http://127.0.0.1:9"}]})


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        assert not self.is_closed, "written after the close"
        self.sent += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def write_eof(self) -> None:
        """Half-closed: what comes is still read."""

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


class PrimaryWire(Wire):
    """The gateway's wire to a primary that answers every request as soon as it is complete."""

    def __init__(self, gateway: Gateway, requests: list[bytes], sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock
        self._requests = requests
        self._parser = httptools.HttpRequestParser(self)
        self.connection = Connection(gateway.pool)
        self.connection.connection_made(self)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._sock if name == "socket" else default

    def write(self, data: bytes) -> None:  # type: ignore[override]
        super().write(data)
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._requests.append(self.sent)
        self.sent = b""
        asyncio.get_running_loop().call_soon(self._answer)

    def _answer(self) -> None:
        if not self.is_closed:
            self.connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def cuts(data: bytes, places: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    for start, end in itertools.pairwise(edges):
        if start < end:
            yield data[start:end]


def served(pieces: list[bytes]) -> tuple[list[bytes], bytes, Gateway]:
    """What reaches the primary and what the client gets back."""

    async def run() -> tuple[list[bytes], bytes, Gateway]:
        gateway = Gateway(CONFIG, Recorder(), Tasks(), "gateway-0")  # type: ignore[arg-type]
        requests: list[bytes] = []
        gateway.pool._idle.extend(PrimaryWire(gateway, requests, ours).connection for _ in range(30))
        wire, client = Wire(), ClientConnection(gateway)
        client.connection_made(wire)
        for piece in pieces:
            if wire.is_closed:
                break
            client.data_received(piece)
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        client.connection_lost(None)
        assert not gateway._clients
        return requests, wire.sent, gateway

    ours, theirs = socket.socketpair()
    with ours, theirs, asyncio.Runner() as runner:
        return runner.run(run())


GOOD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhello"
    b"GET /v1/models HTTP/1.1\r\nhost: t\r\nx-a: b\r\n\r\n"
    b"POST /v1/completions HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3;e=f\r\nabc\r\n2\r\nde\r\n0\r\nt: v\r\n\r\n"
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nhi"
)


def unframed(request: bytes) -> tuple[bytes, bytes]:
    """Head and body without chunk framing, which may differ by how the bytes were cut."""
    head, _, body = request.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return head, body
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        out += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return head, out


@given(st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=150, deadline=None)
def test_requests_are_the_same_for_every_cut(places: list[int]) -> None:
    requests, sent, _ = served(list(cuts(GOOD, places)))
    whole, reply, _ = served([GOOD])
    assert [unframed(request) for request in requests] == [unframed(request) for request in whole]
    assert len(requests) == 4
    assert sent == reply


def test_requests_are_the_same_for_every_single_cut() -> None:
    whole = [unframed(request) for request in served([GOOD])[0]]
    for place in range(1, len(GOOD)):
        assert [unframed(request) for request in served([GOOD[:place], GOOD[place:]])[0]] == whole, place


#: Pieces that bring random bytes past the first line now and then.
TOKENS = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"/v1/chat/completions", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"\r\n", b"\n", b"\r"),
        *(b"host: t\r\n", b"content-length: 3\r\n", b"content-length: 99999999999999999999\r\n", b"transfer-encoding: chunked\r\n"),
        *(b"connection: close\r\n", b"connection: upgrade\r\n", b"upgrade: h2c\r\n", b"upgrade: websocket\r\n"),
        *(b"expect: 100-continue\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"ffffffffffffffffff\r\n", b"abc"),
    ]
)


@given(st.lists(st.one_of(TOKENS, st.binary(max_size=8)), max_size=25))
@settings(max_examples=400, deadline=None)
def test_no_bytes_of_a_client_break_the_gateway(pieces: list[bytes]) -> None:
    requests, sent, gateway = served([piece for piece in pieces if piece])
    assert gateway._step_failures == {}
    # Whatever came: a reply is a reply, and what went upstream is what llhttp reads as whole requests.
    assert sent == b"" or sent.startswith(b"HTTP/1.1 ")
    for request in requests:
        assert complete_messages(request) == 1


def complete_messages(data: bytes) -> int:
    class Count:
        done = 0

        def on_message_complete(self) -> None:
            self.done += 1

    count = Count()
    httptools.HttpRequestParser(count).feed_data(data)
    return count.done


# --- the other side -------------------------------------------------------------------------------------------------------


class Receiving(Receiver):
    """A receiver that checks the order of what it is told."""

    def __init__(self) -> None:
        self.heads = 0
        self.body = b""
        self.ends: list[object] = []

    def connected(self, connection: object) -> None: ...

    def reply_read(self, at: float, head: ReplyHead | None, body: bytes, is_done: bool) -> None:
        assert not self.ends, "told more after the end"
        assert (head is not None) == (self.heads == 0), "one head, first"
        self.heads += 1
        self.body += body
        if is_done:
            self.ends.append("done")

    def reply_failed(self, outcome: Outcome, message: str) -> None:
        assert not self.ends, "failed after the end"
        self.ends.append(outcome)

    def upstream_full(self) -> None: ...

    def upstream_drained(self) -> None: ...


#: Only for its pool, which a connection reports to.
GATEWAY = Gateway(CONFIG, Recorder(), Tasks(), "gateway-0")  # type: ignore[arg-type]


def received(pieces: list[bytes]) -> Receiving:
    receiver = Receiving()
    connection = Connection(GATEWAY.pool)
    connection.transport = Wire()
    connection.begin(receiver, is_head_request=False, now=0.0)
    connection.request_sent(0.0)
    for piece in pieces:
        if connection.phase is Phase.CLOSED:
            break
        connection.data_received(piece)
    if connection.phase is not Phase.CLOSED:
        connection.eof_received()
        connection.connection_lost(None)
    return receiver


REPLIES = {
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello": (b"hello", "done"),
    b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n": (
        b"abcde",
        "done",
    ),
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end": (b"until the end", "done"),
    b"HTTP/1.1 204 No Content\r\ncontent-length: 9\r\n\r\n": (b"", "done"),
    b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\ncut": (b"cut", Outcome.RESET),
}


@given(st.sampled_from(sorted(REPLIES)), st.lists(st.integers(0, 10_000), max_size=10))
@settings(max_examples=200, deadline=None)
def test_replies_are_the_same_for_every_cut(reply: bytes, places: list[int]) -> None:
    receiver = received(list(cuts(reply, places)))
    assert (receiver.body, receiver.ends) == (REPLIES[reply][0], [REPLIES[reply][1]])


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    b"HTTP/1.1 200 OK\r\n",
                    b"content-length: 3\r\n",
                    b"transfer-encoding: chunked\r\n",
                    b"\r\n",
                    b"3\r\nabc\r\n",
                    b"0\r\n\r\n",
                    b"HTTP/1.1 100 Continue\r\n\r\n",
                    b"HTTP/1.1 101 X\r\nupgrade: y\r\nconnection: upgrade\r\n\r\n",
                ]
            ),
            st.binary(max_size=8),
        ),
        max_size=20,
    )
)
@settings(max_examples=400, deadline=None)
def test_no_bytes_of_an_upstream_break_its_connection(pieces: list[bytes]) -> None:
    receiver = received([piece for piece in pieces if piece])
    assert len(receiver.ends) == 1, "every reply ends exactly once"
