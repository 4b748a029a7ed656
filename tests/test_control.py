"""The channel between supervisor and children, over a real Unix socket."""

from __future__ import annotations

import asyncio
import logging
import struct
from pathlib import Path

import pytest

from shadowproxy import control
from shadowproxy.control import Channel, Hello, Listening, Message, PairsReply, PairsRequest, Ready, Reference, Report

MESSAGES: tuple[Message, ...] = (
    Hello("shadow", "shadow", "shadow/1", 42),
    Ready(),
    Report.of({("shadowproxy_connections_total",): 3.0, ("shadowproxy_bytes_total", "in"): 2.5}),
    Report([]),
    Reference("v2-abc", "chat", "ttft", 0.25),
    PairsRequest(7, 20, None),
    PairsReply(7, b"[]" * 100_000),
)


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("c") / "c.sock"


async def test_every_message_arrives_as_it_was_sent_and_the_end_is_none(path: Path) -> None:
    received: list[Message | None] = []
    ended = asyncio.Event()

    async def serve(channel: Channel) -> None:
        while (message := await channel.receive()) is not None:
            received.append(message)
        ended.set()

    server = await control.listen(path, serve)
    channel = await control.connect(path)
    for message in MESSAGES:
        channel.send(message)
    await channel.drain()
    await channel.close()
    await asyncio.wait_for(ended.wait(), 30)
    server.close()
    assert tuple(received) == MESSAGES


@pytest.mark.parametrize(
    ("data", "story"),
    [
        (struct.pack(">I", 2**32 - 1), "announces 4294967295 bytes"),
        (struct.pack(">I", 3) + b"\xff\xff\xff", "does not decode"),
        (struct.pack(">I", 1) + b"\x01", "does not decode"),
    ],
)
async def test_bytes_out_of_step_drop_the_connection_and_say_why(
    path: Path, data: bytes, story: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(channel: Channel) -> None:
        while await channel.receive() is not None:
            pass

    server = await control.listen(path, serve)
    reader, writer = await asyncio.open_unix_connection(str(path))
    with caplog.at_level(logging.ERROR):
        writer.write(data)
        assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    await writer.wait_closed()
    server.close()
    assert "control connection dropped" in caplog.text
    assert story in caplog.text


async def test_message_cut_in_the_middle_is_the_end_and_no_error(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    got: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()

    async def serve(channel: Channel) -> None:
        got.set_result(await channel.receive())

    server = await control.listen(path, serve)
    _, writer = await asyncio.open_unix_connection(str(path))
    writer.write(struct.pack(">I", 100) + b"half")
    writer.close()
    assert await asyncio.wait_for(got, 30) is None
    server.close()
    assert caplog.text == ""


async def test_socket_file_of_a_killed_predecessor_is_replaced(path: Path) -> None:
    path.write_bytes(b"")

    async def serve(channel: Channel) -> None:
        channel.send(Ready())
        await channel.drain()

    server = await control.listen(path, serve)
    channel = await control.connect(path)
    assert await asyncio.wait_for(channel.receive(), 30) == Ready()
    await channel.close()
    server.close()


async def test_deleted_socket_file_is_made_anew_and_open_lines_stay(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def serve(channel: Channel) -> None:
        while (message := await channel.receive()) is not None:
            channel.send(message)

    listening = Listening(path, lambda: control.listen(path, serve))
    await listening.start()
    before = await control.connect(path)
    path.unlink()
    path.parent.rmdir()
    await listening.look()
    assert "was deleted; listening anew" in caplog.text
    after = await control.connect(path)
    for channel in (before, after):
        channel.send(Ready())
        assert await asyncio.wait_for(channel.receive(), 30) == Ready()
        await channel.close()
    listening.close()
    path.unlink()
    await listening.look()
    assert not path.exists(), "closed for good"


async def test_socket_that_cannot_be_made_is_tried_again_and_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def serve(_: Channel) -> None:
        pass

    path.mkdir()  # in the way
    listening = Listening(path, lambda: control.listen(path, serve))
    await listening.look()
    await listening.look()
    assert caplog.text.count("cannot listen on") == 1
    path.rmdir()
    await listening.look()
    await (await control.connect(path)).close()
    listening.close()


async def test_line_that_the_other_end_has_closed_takes_messages_without_complaint(path: Path) -> None:
    """At the end of serve the children were still reporting: it was logged as a failed task."""
    closed = asyncio.Event()

    async def serve(channel: Channel) -> None:
        await channel.close()
        closed.set()

    server = await control.listen(path, serve)
    channel = await control.connect(path)
    await closed.wait()
    assert await channel.receive() is None
    await channel.close()
    channel.send(Ready())
    server.close()
