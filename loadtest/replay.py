"""How exactly ``shadowproxy replay`` keeps the pace of a capture, and how many requests a second it asks in a closed loop.

    python loadtest/replay.py --seconds 60 --requests 20000

Pace: the first minute of a trace of real arrivals, where it is there (``--trace``, CSV with TIMESTAMP; else Poisson arrivals of the same
rate), sent again at speed 1. What is compared is the distance between two arrivals at the server with that in the capture.

Closed loop: requests of 1 KB to a server that answers at once; the server says how many came between two moments. Comparing goes on beside
it on the same cores, as it would. Nothing is pinned.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gzip
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Self

from machine import CORES, LoadTestError, description
from percentiles import milliseconds
from tables import number, show
from upstreams import Upstream, serve

from shadowproxy.config import Journal
from shadowproxy.exchange import PRIMARY, Exchange, Outcome, Reply, Request
from shadowproxy.journal.writer import JournalWriter

JSON = ((b"content-type", b"application/json"),)
WORDS = ("a", "node", "that", "overflows", "is", "split", "at", "its", "median", "key", "and", "both", "halves", "become", "children")
POISSON_PER_S = 5.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the trace")
    parser.add_argument("--requests", type=int, default=20_000, help="of the closed loop")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--trace", type=Path, help="CSV or CSV.gz with a column TIMESTAMP")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="replay-") as name:
        folder = Path(name)
        moments = list(_moments(options.trace, options.seconds))
        errors = _pace(folder, moments)
        rows = [
            (title, *_closed_loop(folder, options, embed)) for title, embed in (("compared, no embedder", "none"), ("compared", "onnx"))
        ]
    notes = (", ".join(f"{key} {value}" for key, value in description().items()), f"{len(CORES)} cores")
    show(
        f"Pace: {len(moments)} requests in {moments[-1] - moments[0]:.0f} s",
        ("distance between arrivals, off by", "p50 ms", "p99 ms", "most ms"),
        [("speed 1", *(number(milliseconds(errors)[key]) for key in ("p50_ms", "p99_ms", "max_ms")))],
    )
    show(
        f"Closed loop, {options.concurrency} in flight, {options.requests} requests",
        ("", "asked/s", "asked and compared/s"),
        [(title, number(asked, 0), number(whole, 0)) for title, asked, whole in rows],
        notes,
    )


# --- pace -------------------------------------------------------------------------------------------------------------------


def _moments(trace: Path | None, seconds: float) -> Iterator[float]:
    """Seconds after the first arrival."""
    if trace is None:
        dice, at_s = random.Random(1), 0.0
        while at_s < seconds:
            yield at_s
            at_s += dice.expovariate(POISSON_PER_S)
        return
    with gzip.open(trace, "rt") if trace.suffix == ".gz" else trace.open() as file:
        first: float | None = None
        for row in csv.DictReader(file):
            at_s = datetime.fromisoformat(row["TIMESTAMP"][:26] + "+00:00").timestamp()
            first = at_s if first is None else first
            if at_s - first > seconds:
                return
            yield at_s - first


def _pace(folder: Path, moments: Sequence[float]) -> list[float]:
    capture = _capture(folder / "paced", moments)
    with _Arrivals() as server:
        _replay(folder, capture, server.url, ("--speed", "1"), embed="none", name="paced")
    if len(server.at_s) != len(moments):
        raise LoadTestError(f"{len(server.at_s)} of {len(moments)} requests arrived")
    arrived = [later - earlier for earlier, later in pairwise(server.at_s)]
    captured = [later - earlier for earlier, later in pairwise(moments)]
    return [abs(one - other) for one, other in zip(arrived, captured, strict=True)]


class _Arrivals(asyncio.Protocol):
    """A server that writes down when each request came."""

    def __init__(self) -> None:
        self.at_s: list[float] = []
        self.url = ""

    def __enter__(self) -> Self:
        started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise LoadTestError("the server did not start")
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self, started: threading.Event) -> None:
        server = self._loop.run_until_complete(self._loop.create_server(lambda: _Connection(self.at_s), "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        self._loop.run_forever()


class _Connection(asyncio.Protocol):
    REPLY = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}]}'

    def __init__(self, at_s: list[float]) -> None:
        self._at_s = at_s
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._data:
            self._at_s.append(time.monotonic())
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")) if found else 0
        if found and len(body) >= length:
            self._data = b""
            assert isinstance(self._transport, asyncio.WriteTransport)
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(self.REPLY), self.REPLY)
            )


# --- closed loop ------------------------------------------------------------------------------------------------------------


def _closed_loop(folder: Path, options: argparse.Namespace, embed: str) -> tuple[float, float]:
    """Requests a second while asking, and over the whole run."""
    capture = folder / "many"
    if not capture.exists():
        _capture(capture, [number / 1000 for number in range(options.requests)])
    with ExitStack() as stack:
        upstream = serve(stack, folder, f"upstream-{embed}", cores=CORES)
        watch = _Watch(upstream, options.requests)
        began_s = time.monotonic()
        with watch:
            url = f"http://127.0.0.1:{upstream.port}"
            _replay(folder, capture, url, ("--concurrency", str(options.concurrency)), embed=embed, name=f"many-{embed}")
        took_s = time.monotonic() - began_s
    return watch.rate(), options.requests / took_s


class _Watch:
    """Looks at the server's count while a run goes on."""

    def __init__(self, upstream: Upstream, requests: int) -> None:
        self._upstream = upstream
        self._requests = requests
        self._seen: list[tuple[float, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self._seen.append((time.monotonic(), self._upstream.counts().requests))

    def rate(self) -> float:
        """Between the first tenth of the requests and the last."""
        least, most = 0.1 * self._requests, 0.9 * self._requests
        between = [(at_s, count) for at_s, count in self._seen if least <= count <= most]
        if len(between) < 2:
            raise LoadTestError("too few requests to see a rate; take more with --requests")
        (first_s, first), (last_s, last) = between[0], between[-1]
        return (last - first) / (last_s - first_s)


# --- both -------------------------------------------------------------------------------------------------------------------


def _capture(folder: Path, moments: Sequence[float]) -> Path:
    """A journal with a request of 1 KB at each moment, answered by the primary."""
    dice = random.Random(1)
    section = Journal.model_validate({"to": str(folder), "redact": {"bodies": False}})
    writer = JournalWriter(section, {}, folder)
    for count, at_s in enumerate(moments):
        words = " ".join(dice.choice(WORDS) for _ in range(180))
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"{count} {words}"}]}).encode()
        said = " ".join(dice.choice(WORDS) for _ in range(60))
        answer = json.dumps(
            {"choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]}
        ).encode()
        request = Request("POST", "/v1/chat/completions", JSON, body)
        reply = Reply(200, JSON, ((0.1, answer),))
        writer.take(Exchange(f"r-{count}", PRIMARY, "chat", request, reply, Outcome.OK, 1_700_000_000 + at_s, 0.1), ())
    writer.finish()
    return folder


def _replay(folder: Path, capture: Path, url: str, arguments: Sequence[str], *, embed: str, name: str) -> None:
    config = folder / f"{name}.yaml"
    config.write_text(json.dumps({"candidates": [{"name": "v2", "url": url}], "embed": {"backend": embed}}))
    command = [
        sys.executable,
        "-m",
        "shadowproxy",
        "replay",
        str(capture),
        "-c",
        str(config),
        "--work",
        str(folder / f"work-{name}"),
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode not in (0, 3, 4):
        raise LoadTestError(f"the replay ended with {done.returncode}: {done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
