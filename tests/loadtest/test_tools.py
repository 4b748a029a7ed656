"""The C programs of the load tests ask, answer and count exactly, and what stands in for them gives the same figures."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "loadtest"
HAS_COMPILER = any(shutil.which(name) for name in ("cc", "gcc", "clang"))
PATH = "/v1/chat/completions"

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="epoll and timerfd: Linux only"),
    pytest.mark.skipif(not HAS_COMPILER, reason="no C compiler (cc)"),
]
Start = Callable[..., int]


def build(name: str, **environment: str) -> str:
    """The compiled program as the load tests find it; their answer where they find none."""
    code = "import sys, compiled; tool = compiled.tool(sys.argv[1]); print(tool or compiled.kind())"
    whole = {**os.environ, "PYTHONPATH": str(HERE), **environment}
    done = subprocess.run([sys.executable, "-c", code, name], env=whole, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def load() -> str:
    return build("load")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def server(kind: str, *options: str) -> Iterator[int]:
    """The model server in C or in Python, on a port of its own, until the block ends."""
    command = [build("upstream")] if kind == "C" else [sys.executable, str(HERE / "upstream.py")]
    port = free_port()
    with subprocess.Popen([*command, str(port), *options]) as started:
        try:
            deadline = time.monotonic() + 20
            while not listens(port):
                assert started.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield port
        finally:
            started.kill()


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["C", "python"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts a server of either kind with the given options, and ends it."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(server(request.param, *options))


def counts(port: int) -> dict[str, object]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("GET", "/counts")
    said = json.loads(client.getresponse().read())
    client.close()
    return dict(said)


def run(load: str, *arguments: object) -> dict[str, float]:
    done = subprocess.run([load, *map(str, arguments)], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def failed(result: dict[str, float]) -> dict[str, float]:
    """The kinds of error that happened; their sum must be the whole."""
    kinds = {key.removeprefix("errors_"): number for key, number in result.items() if key.startswith("errors_") and number}
    assert sum(kinds.values()) == result["errors"]
    return kinds


def test_steady_load_sends_each_request_once(load: str, start: Start) -> None:
    port = start()
    result = run(load, "steady", "--port", port, "--rate", 200, "--seconds", 1, "--connections", 4, "--spin-us", 100)
    assert failed(result) == {}
    assert result["requests"] == 200
    said = counts(port)
    assert (said["requests"], said["answering"]) == (200, 0)
    assert said["arms"] == {"none": 200}
    assert said["paths"] == {PATH: 200}
    for prefix in ("", "from_send_", "generator_lag_"):
        figures = [result[f"{prefix}{share}_ms"] for share in ("p50", "p90", "p99", "p99.9", "max")]
        assert figures == sorted(figures)
        assert figures[0] > 0
    assert result["p50_ms"] >= result["from_send_p50_ms"]


def test_streams_bring_every_chunk(load: str, start: Start) -> None:
    port = start("--interval-ms", "5")
    result = run(load, "streams", "--port", port, "--streams", 50, "--chunks", 5, "--interval-ms", 5, "--seconds", 0.3)
    assert failed(result) == {}
    assert result["streams"] > 50  # warm ones, too: a stream lasts a tenth of the time
    assert result["chunks"] == 5 * result["streams"]
    assert counts(port)["requests"] == result["streams"]
    assert counts(port)["answering"] == 0
    for prefix in ("ttft_", "ttft_cold_", "ttft_warm_", "transit_", "gap_"):
        assert 0 < result[f"{prefix}p50_ms"] <= result[f"{prefix}p99_ms"] <= result[f"{prefix}max_ms"]
    assert result["gap_p50_ms"] > 2  # the pace of the server, and not all at once


def test_replay_begins_each_stream_of_the_schedule(load: str, start: Start, tmp_path: Path) -> None:
    port = start("--interval-ms", "2")
    schedule = tmp_path / "schedule"
    arrivals = [(index * 0.01, 1 + index % 4, 100 + index * 9000) for index in range(20)]  # up to bodies of several socket buffers
    schedule.write_text("".join(f"{at_s} {chunks} {size}\n" for at_s, chunks, size in arrivals))
    result = run(load, "replay", "--port", port, "--schedule", schedule)
    assert failed(result) == {}
    assert result["streams"] == 20
    assert result["chunks"] == sum(chunks for _, chunks, _ in arrivals)
    assert result["seconds"] > arrivals[-1][0]
    assert result["generator_lag_max_ms"] > 0
    assert counts(port)["requests"] == 20


def test_failures_are_told_by_kind(load: str, start: Start) -> None:
    port = start("--mode", "failing")
    assert failed(run(load, "steady", "--port", port, "--rate", 100, "--seconds", 0.2)) == {"status": 20}
    assert counts(port)["requests"] == 20
    assert failed(run(load, "streams", "--port", port, "--streams", 3, "--chunks", 2, "--seconds", 0.1)) == {"status": 3}
    nobody = free_port()
    assert failed(run(load, "streams", "--port", nobody, "--streams", 3, "--chunks", 2, "--seconds", 0.1)) == {"connect": 3}


def test_slow_server_waits_and_says_whom_it_still_answers(load: str, start: Start) -> None:
    port = start("--mode", "slow", "--delay-ms", "300")
    done: list[dict[str, float]] = []
    thread = threading.Thread(target=lambda: done.append(run(load, "steady", "--port", port, "--rate", 100, "--seconds", 0.1)))
    thread.start()
    deadline = time.monotonic() + 10
    while not counts(port)["answering"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert counts(port)["answering"]
    thread.join()
    assert failed(done[0]) == {}
    assert done[0]["requests"] == 10
    assert done[0]["from_send_p50_ms"] >= 299
    assert counts(port)["answering"] == 0


def test_hanging_server_counts_and_stays_silent(start: Start) -> None:
    port = start("--mode", "hanging")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{{}}".encode())
        deadline = time.monotonic() + 10
        while counts(port)["requests"] != 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert counts(port)["requests"] == 1
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)


def test_copies_are_counted_by_arm(start: Start) -> None:
    port = start()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for arm in ("control", "v2", "v2"):
        client.request("POST", PATH, "{}", {"X-Shadowproxy-Arm": arm})
        assert json.loads(client.getresponse().read())["object"] == "chat.completion"
    assert counts(port)["arms"] == {"control": 1, "v2": 2}
    client.close()


def test_answers_differ_so_that_no_cache_of_texts_helps(start: Start) -> None:
    client = http.client.HTTPConnection("127.0.0.1", start(), timeout=10)
    answers = set()
    for _ in range(3):
        client.request("POST", PATH, "{}")
        body = client.getresponse().read()
        assert 900 < len(body) < 1100
        answers.add(body)
    client.close()
    assert len(answers) == 3


def test_chunked_and_pipelined_requests_are_answered_in_order() -> None:
    with server("C", "--interval-ms", "2") as port, socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        body = b'{"stream": true, "max_tokens": 2}'
        chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n1;x=y\r\n \r\n0\r\nt: 1\r\n\r\n" % (len(body), body)
        last = b'POST /b HTTP/1.0\r\ncontent-length: 33\r\n\r\n{"stream":false,"max_tokens": 20}'
        whole = chunked + last
        for at in range(0, len(whole), 7):  # cut anywhere, a request is the same
            client.sendall(whole[at : at + 7])
        got = b""
        while data := client.recv(65536):
            got += data
        stream, end, plain = got.partition(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert end
        assert stream.count(b"@@") == 2
        assert b'"chat.completion"' in plain
        assert plain.startswith(b"HTTP/1.1 200 OK\r\n")
        assert counts(port)["paths"] == {"/a": 1, "/b": 1}


HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM = b'data: "@@%016d"\n\ndata: "@@%016d"\n\ndata: [DONE]\n\n' % (1, 2)


def chunks(text: bytes, size: int) -> bytes:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(HEAD + chunks(STREAM, 5), {}, id="stamps lie across chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(STREAM), STREAM), {}, id="by length"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + STREAM, {}, id="until closed"),
        pytest.param(HEAD + chunks(STREAM[:-14], 5), {"truncated": 1}, id="no end of the stream"),
        pytest.param(HEAD + chunks(STREAM[22:], 5), {"truncated": 1}, id="a chunk is missing"),
        pytest.param(HEAD + chunks(STREAM, 5)[:-5], {"closed": 1}, id="closed before the end"),
        pytest.param(HEAD + b"xyz\r\n", {"malformed": 1}, id="no size of a chunk"),
        pytest.param(b"what is this\r\n\r\n", {"malformed": 1}, id="no status line"),
    ],
)
def test_streams_are_judged_by_their_bytes(load: str, reply: bytes, expected: dict[str, int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                asked = b""
                while not asked.endswith(b'"}]}'):
                    asked += client.recv(65536)
                for at in range(0, len(reply), 11):
                    client.sendall(reply[at : at + 11])

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        result = run(load, "streams", "--port", port, "--streams", 1, "--chunks", 2, "--interval-ms", 1, "--seconds", 1e-6)
        thread.join()
    assert failed(result) == expected
    assert result["streams"] == (0 if expected else 1)


def test_stream_goes_on_over_a_new_connection_where_replies_end_with_theirs(load: str) -> None:
    connections = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)

        def serve() -> None:
            nonlocal connections
            while True:
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    return
                with client:
                    connections += 1
                    asked = b""
                    while not asked.endswith(b'"}]}'):
                        asked += client.recv(65536)
                    client.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(STREAM), STREAM))

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        result = run(load, "streams", "--port", port, "--streams", 1, "--chunks", 2, "--interval-ms", 1, "--seconds", 0.05)
        thread.join()
    assert failed(result) == {}
    assert result["streams"] == connections > 1


@pytest.mark.parametrize("closes", ["at once", "when asked again"])
def test_request_is_asked_again_where_the_server_closed_the_idle_connection(load: str, closes: str) -> None:
    answered = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def read(client: socket.socket) -> None:
            asked = b""
            while not asked.endswith(b'"}]}') and (data := client.recv(65536)):
                asked += data

        def serve() -> None:
            nonlocal answered
            while answered < 6:
                client, _ = listener.accept()
                with client:
                    read(client)
                    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")  # keep-alive, and then closed
                    answered += 1
                    if closes == "when asked again" and answered < 6:
                        read(client)

        thread = threading.Thread(target=serve)
        thread.start()
        result = run(load, "steady", "--port", listener.getsockname()[1], "--rate", 20, "--seconds", 0.3, "--connections", 1)
        thread.join()
    assert failed(result) == {}
    assert (result["requests"], answered) == (6, 6)
    assert result["reconnected"] >= 5


def test_without_a_compiler_python_stands_in_and_is_named(tmp_path: Path) -> None:
    assert build("load", LOADTEST_GENERATOR="python") == "python (LOADTEST_GENERATOR asks for it)"
    (tmp_path / "cc").write_text("#!/bin/sh\necho no headers >&2\nexit 1\n")
    (tmp_path / "cc").chmod(0o755)
    said = build("load", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert said == "python (cc cannot compile load.c: no headers)"


@pytest.mark.parametrize("generator", ["C", "python"])
def test_loads_give_the_same_figures_in_either_language(generator: str, start: Start, tmp_path: Path) -> None:
    port = start("--interval-ms", "2")
    code = f"""if True:
        import json, loads
        print(json.dumps([
            loads.steady({port}, 100, 0.2),
            loads.streams({port}, 5, 3, 2, 0.05),
            loads.replay({port}, [(0.0, 2, 500), (0.01, 3, 500)]),
        ]))"""
    place = {**os.environ, "PYTHONPATH": str(HERE), "LOADTEST_GENERATOR": generator, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=place, capture_output=True, text=True, timeout=200, check=True)
    steady, streams, replay = json.loads(done.stdout)
    assert (steady["requests"], steady["errors"]) == (20, 0)
    assert {"p50_ms", "p99_ms", "p99.9_ms", "generator_lag_p99_ms", "seconds", "reconnected"} <= steady.keys()
    assert streams["chunks"] == 3 * streams["streams"] >= 15
    assert {"ttft_p99_ms", "transit_p99_ms", "gap_p99_ms", "seconds", "errors"} <= streams.keys()
    assert (replay["streams"], replay["chunks"], replay["errors"]) == (2, 5, 0)
    assert list(tmp_path.iterdir()) == []
