"""The two ends of the hand-over on a real Unix socket: dropped and counted when full or gone, never waited for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shadowproxy.handover.frames import ExchangeFrame, FrameCodec
from shadowproxy.handover.socket import HandoverReader, HandoverWriter, Lines, listen
from shadowproxy.tasks import Tasks
from tests.gateway.wires import until
from tests.handover.test_frames import frame

BOUND = 65536


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("h") / "h.sock"


@contextlib.asynccontextmanager
async def writer_to(path: Path) -> AsyncIterator[HandoverWriter]:
    tasks = Tasks()
    writer = HandoverWriter(path, BOUND, tasks)
    writer.start()
    try:
        yield writer
    finally:
        await writer.close(0.1)
        await tasks.close()
        await asyncio.sleep(0)


class Reader:
    """The shadow process's end."""

    def __init__(self) -> None:
        self.frames: list[ExchangeFrame] = []
        self.broken = 0
        self.lines = Lines()
        self.server: asyncio.AbstractServer | None = None

    async def listen(self, path: Path) -> None:
        self.server = await listen(path, self.frames.append, self._broke, self.lines)

    def _broke(self) -> None:
        self.broken += 1

    def close(self) -> None:
        assert self.server is not None
        self.server.close()


def offered(writer: HandoverWriter, value: ExchangeFrame) -> str:
    """As the gateway does: ask first, then hand over."""
    refusal = writer.refusal
    if not refusal:
        writer.offer(value)
    return refusal


async def test_frames_arrive_in_order(path: Path) -> None:
    reader = Reader()
    await reader.listen(path)
    async with writer_to(path) as writer:
        await until(lambda: writer.is_connected)
        sent = [frame(number) for number in range(100)]
        assert [offered(writer, each) for each in sent] == [""] * 100
        await until(lambda: len(reader.frames) == 100)
        assert reader.frames == sent
        assert writer.handed_over == 100
    reader.close()


async def test_nobody_there_means_gone_and_a_late_reader_is_found(path: Path) -> None:
    async with writer_to(path) as writer:
        assert offered(writer, frame()) == "handover_gone"
        assert writer.handed_over == 0
        path.write_bytes(b"")  # what a killed predecessor left
        reader = Reader()
        await reader.listen(path)
        await until(lambda: writer.is_connected)
        assert offered(writer, frame()) == ""
        await until(lambda: reader.frames == [frame()])
        reader.close()


async def test_reader_that_dies_is_missed_and_its_successor_served(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    connections: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, connection: asyncio.StreamWriter) -> None:
        connections.append(connection)

    dying = await asyncio.start_unix_server(accept, str(path))
    async with writer_to(path) as writer:
        await until(lambda: connections)
        with caplog.at_level(logging.WARNING):
            dying.close()
            connections[0].transport.abort()
            await until(lambda: not writer.is_connected)
        assert "the shadow process is gone" in caplog.text
        assert offered(writer, frame()) == "handover_gone"
        reader = Reader()
        await reader.listen(path)
        await until(lambda: writer.is_connected)
        assert offered(writer, frame(2)) == ""
        await until(lambda: reader.frames == [frame(2)])
        reader.close()


async def test_reader_that_hangs_fills_a_bounded_buffer_and_then_costs_nothing(path: Path) -> None:
    hangs = asyncio.Event()
    connections: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, connection: asyncio.StreamWriter) -> None:
        connections.append(connection)
        connection.transport.pause_reading()  # type: ignore[attr-defined]
        hangs.set()

    server = await asyncio.start_unix_server(accept, str(path))
    async with writer_to(path) as writer:
        await asyncio.wait_for(hangs.wait(), 30)
        big = frame(body=b"x" * 20_000)
        answers = []
        for _ in range(500):
            answers.append(offered(writer, big))
            await asyncio.sleep(0)
        assert answers[0] == ""
        assert answers[-50:] == ["handover_full"] * 50
        assert writer.handed_over == answers.count("") < 100  # the bound, and what the kernel took
        connections[0].transport.abort()
        server.close()


async def test_bytes_out_of_step_end_the_connection_and_are_counted(path: Path) -> None:
    reader = Reader()
    await reader.listen(path)
    stream_reader, stream_writer = await asyncio.open_unix_connection(str(path))
    stream_writer.write(struct.pack(">I", 2) + b"\xc1\xc1")
    assert await asyncio.wait_for(stream_reader.read(), 30) == b""
    assert reader.broken == 1
    stream_writer.close()
    async with writer_to(path) as writer:  # others are served on
        await until(lambda: writer.is_connected)
        offered(writer, frame())
        await until(lambda: reader.frames == [frame()])
    reader.close()


async def test_close_writes_out_what_was_offered(path: Path) -> None:
    reader = Reader()
    await reader.listen(path)
    tasks = Tasks()
    writer = HandoverWriter(path, BOUND, tasks)
    writer.start()
    await until(lambda: writer.is_connected)
    writer.offer(frame(1))
    await writer.close(2)
    await until(lambda: reader.frames == [frame(1)])
    await tasks.close()
    reader.close()


def test_reader_out_of_memory_drops_the_line_and_counts_it() -> None:
    def receive(_: ExchangeFrame) -> None:
        raise MemoryError

    class Line(asyncio.Transport):
        is_closed = False

        def close(self) -> None:
            self.is_closed = True

    broken: list[int] = []
    reader, line = HandoverReader(receive, lambda: broken.append(1), Lines()), Line()
    reader.connection_made(line)
    reader.data_received(FrameCodec().encode(frame()))
    assert broken == [1]
    assert line.is_closed


async def test_a_reader_that_is_not_ready_leaves_what_comes_where_it_is(path: Path) -> None:
    reader = Reader()
    reader.lines.is_held = True
    await reader.listen(path)
    async with writer_to(path) as writer:
        await until(lambda: writer.is_connected and len(reader.lines) == 1)
        offered(writer, frame(1))
        await asyncio.sleep(0.1)
        assert reader.frames == []
        reader.lines.read()
        offered(writer, frame(2))
        await until(lambda: len(reader.frames) == 2)
        assert reader.frames == [frame(1), frame(2)]
    reader.close()


async def test_what_a_worker_wrote_before_it_moved_is_read_before_the_old_reader_ends(path: Path) -> None:
    """Four of 1442 exchanges were lost in a reload under load: the old process ended while they lay in its socket."""
    old, new = Reader(), Reader()
    await old.listen(path)
    elsewhere = path.with_name("new.sock")
    await new.listen(elsewhere)
    async with writer_to(path) as writer:
        await until(lambda: writer.is_connected and len(old.lines) == 1)
        writer.move(elsewhere, BOUND)
        offered(writer, frame())  # the new line is not up yet: this goes to the old reader
        old.close()
        await old.lines.ended(5)
        assert len(old.lines) == 0
        assert len(old.frames) + len(new.frames) == 1
    new.close()


async def test_a_reader_does_not_wait_for_ever_for_a_worker_that_stays(path: Path) -> None:
    reader = Reader()
    await reader.listen(path)
    async with writer_to(path) as writer:
        await until(lambda: writer.is_connected and len(reader.lines) == 1)
        await reader.lines.ended(0.05)
        assert len(reader.lines) == 1
    reader.close()
