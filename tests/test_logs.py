"""Whoever logs never waits, however slow or full the place is where the lines go."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator

import pytest

from shadowproxy.logs import Patient


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.logs")
    logger.propagate = False
    yield logger
    logger.handlers.clear()


def read_until(fd: int, ending: bytes) -> bytes:
    data = b""
    while not data.endswith(ending):
        data += os.read(fd, 65536)
    return data


def test_lines_come_out_whole_and_in_order(logger: logging.Logger) -> None:
    reading, writing = os.pipe()
    handler = Patient(writing)
    logger.addHandler(handler)
    for number in range(500):
        logger.error("line %d", number)
    handler.flush()
    assert read_until(reading, b"line 499\n").splitlines() == [b"line %d" % number for number in range(500)]
    os.close(reading)


def test_reader_that_stands_still_holds_nobody_up_and_what_is_dropped_is_told(logger: logging.Logger) -> None:
    reading, writing = os.pipe()
    handler = Patient(writing, waiting_lines=10)
    logger.addHandler(handler)
    done = threading.Event()

    def log_much() -> None:
        for _ in range(100):
            logger.error("x" * 5000)  # the pipe holds 64 KiB
        done.set()

    threading.Thread(target=log_much, daemon=True).start()
    assert done.wait(30), "logging waited for the reader"
    kept = dropped = told = 0
    while kept + dropped < 100:  # told each time there is room again: once, or now and then in between
        lines = read_until(reading, b"\n").splitlines()
        kept += lines.count(b"x" * 5000)
        notices = [line for line in lines if line.endswith(b"lines of this log were dropped: nobody read it")]
        dropped += sum(int(line.split()[0]) for line in notices)
        told += len(notices)
    assert kept + dropped == 100
    assert told >= 1
    assert kept >= 10
    os.close(reading)


def test_disk_that_is_full_costs_lines_only(logger: logging.Logger) -> None:
    handler = Patient(os.open("/dev/full", os.O_WRONLY))
    logger.addHandler(handler)
    logger.error("lost")
    handler.flush()
    logger.error("lost, too")
    handler.flush()


def test_end_of_the_process_waits_a_moment_only(logger: logging.Logger) -> None:
    reading, writing = os.pipe()
    handler = Patient(writing)
    logger.addHandler(handler)
    logger.error("x" * 200_000)  # never read
    handler.flush()
    os.read(reading, 1)
    os.close(reading)
