"""GoReplay's capture files (https://github.com/buger/goreplay): raw HTTP/1.1 messages between lines of three monkeys.

Each message has a head line: kind (1 request, 2 response, 3 the response of a replay), id, time in nanoseconds, and perhaps a latency. A
request and its responses share the id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shadowproxy.errors import UpstreamProtocolError
from shadowproxy.exchange import Headers, Request
from shadowproxy.journal.importers.documents import whole
from shadowproxy.journal.importers.made import UNANSWERED, Answered, Item, Unusable, exchange, headers_of, target_of
from shadowproxy.journal.places import name_of
from shadowproxy.wire.transfer import dechunk

NAME = "goreplay"

_SEPARATOR = "\n🐵🙈🙉\n".encode()
_REQUEST, _RESPONSE, _REPLAYED = b"1", b"2", b"3"


@dataclass(frozen=True, slots=True)
class _Message:
    """``first`` is the request line or the status line."""

    place: str
    kind: bytes
    id: str
    at_s: float
    latency_s: float
    first: tuple[str, ...]
    headers: Headers
    body: bytes


def read(files: Sequence[str]) -> Iterator[Item]:
    """Requests in the order in which their responses stand; those without one at the end."""
    asked: dict[str, _Message] = {}
    for message in _messages(files):
        if isinstance(message, Unusable):
            yield message
        elif message.kind == _REQUEST:
            asked[message.id] = message
        elif message.kind == _REPLAYED:
            yield Unusable(message.place, "the response of a replay", message.id)
        elif (request := asked.pop(message.id, None)) is None:
            yield Unusable(message.place, "a response without its request", message.id)
        else:
            yield _exchange(request, message)
    yield from (_exchange(request, None) for request in asked.values())


def _messages(files: Sequence[str]) -> Iterator[_Message | Unusable]:
    for file in files:
        for number, block in enumerate(whole(file).split(_SEPARATOR), 1):
            if block.strip():
                yield _message(f"{name_of(file)}, message {number}", block.removeprefix(b"\n"))


def _message(place: str, block: bytes) -> _Message | Unusable:
    line, _, raw = block.partition(b"\n")
    words = line.split()
    if len(words) < 3 or words[0] not in (_REQUEST, _RESPONSE, _REPLAYED) or not words[2].isdigit():
        return Unusable(place, "no head line of GoReplay", line[:60].decode("utf-8", "replace"))
    head, gap, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    if not gap or len(first.split(" ", 2)) < 2:
        return Unusable(place, "a message that was cut within its head")
    headers = [(name.strip(), value.strip()) for name, _, value in (each.partition(":") for each in lines)]
    decoded = _decoded(body, headers)
    if decoded is None:
        return Unusable(place, "a body that was cut")
    at_s, latency_s = (int(word) / 1e9 if word.isdigit() else 0.0 for word in (words[2], b"".join(words[3:4])))
    id_ = words[1].decode("latin-1")
    return _Message(place, words[0], id_, at_s, latency_s, tuple(first.split(" ", 2)), headers_of(headers), decoded)


def _decoded(body: bytes, headers: Sequence[tuple[str, str]]) -> bytes | None:
    """The body without transfer coding; None where there is less of it than announced."""
    named = {name.lower(): value for name, value in headers}
    if "chunked" in named.get("transfer-encoding", "").lower():
        try:
            reads, is_whole = dechunk(((0.0, body),))
        except UpstreamProtocolError:
            return None
        return b"".join(piece for _, piece in reads) if is_whole else None
    length = named.get("content-length", "")
    if length.isdecimal() and len(body) < int(length):
        return None
    return body[: int(length)] if length.isdecimal() else body


def _exchange(request: _Message, response: _Message | None) -> Item:
    if not request.body:
        return Unusable(request.place, "a request without a body", " ".join(request.first[:2])[:100])
    if response is not None and not response.first[1].isdecimal():
        return Unusable(response.place, "no status line", response.first[0])
    sent = Request(request.first[0], target_of(request.first[1]), request.headers, request.body)
    return exchange(request.id, sent, UNANSWERED if response is None else _answered(request, response), request.at_s)


def _answered(request: _Message, response: _Message) -> Answered:
    duration_s = max(0.0, response.latency_s or response.at_s - request.at_s)
    return Answered(int(response.first[1]), response.headers, ((duration_s, response.body),), duration_s)
