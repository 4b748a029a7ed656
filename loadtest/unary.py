"""Unary POST, 1 KB in and out: this proxy against a plain aiohttp proxy, with and without mirroring, in interleaved rounds."""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
PROXY_CORE, LOAD_CORE = 0, min(1, (os.cpu_count() or 1) - 1)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


@contextmanager
def process(core: int, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    os.sched_setaffinity(started.pid, {core})
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def count(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count") as reply:
        return int(reply.read())


class Peer:
    """Something to measure: where it listens, and whose CPU seconds count."""

    def __init__(self, name: str, port: int, pids: list[int], mirrored: bool) -> None:
        self.name, self.port, self.pids, self.mirrored = name, port, pids, mirrored
        self.rounds: list[dict[str, float]] = []


def shadowproxy(stack: ExitStack, percent: int, primary: int, candidate: int) -> Peer:
    port, admin = free_port(), free_port()
    config = {
        "listen": f"127.0.0.1:{port}",
        "primary": {"url": f"http://127.0.0.1:{primary}"},
        "candidates": [{"name": "v2", "url": f"http://127.0.0.1:{candidate}", "concurrency": 256, "queue": 4096}],
        "mirror": {"percent": percent},
        "embed": {"backend": "none"},
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "log": {"level": "warning"},
    }
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    (folder / "shadowproxy.yaml").write_text(json.dumps(config))
    serve = stack.enter_context(process(LOAD_CORE, "-m", "shadowproxy", "serve", "-c", str(folder / "shadowproxy.yaml")))
    wait_for(port)
    deadline = time.monotonic() + 30
    while len(children(serve.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    gateway = next(pid for pid in children(serve.pid) if b"gateway" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.sched_setaffinity(gateway, {PROXY_CORE})
    time.sleep(1.0)
    return Peer(f"shadowproxy, mirror {percent} %", port, children(serve.pid), percent > 0)


def measure(peer: Peer, candidate: int, connections: int, seconds: float) -> None:
    before, copies = cpu_seconds(peer.pids), count(candidate)
    out = subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), sys.executable, str(HERE / "load.py"), str(peer.port), str(connections), str(seconds)],
        check=True,
        capture_output=True,
    )
    time.sleep(0.5)  # copies on their way
    result = json.loads(out.stdout)
    result["rate"] = result["requests"] / result["seconds"]
    result["cpu_per_10k"] = (cpu_seconds(peer.pids) - before) / result["requests"] * 10_000
    result["mirrored"] = (count(candidate) - copies) / result["requests"]
    peer.rounds.append(result)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--json", type=Path, help="write the result here, too")
    chosen = options.parse_args()

    with ExitStack() as stack:
        primary, candidate = free_port(), free_port()
        for port in (primary, candidate):
            stack.enter_context(process(LOAD_CORE, str(HERE / "upstream.py"), str(port)))
            wait_for(port)
        peers = [Peer("direct", primary, [], False)]
        for name, mirror in (("plain aiohttp", []), ("plain aiohttp + mirror task", [f"http://127.0.0.1:{candidate}"])):
            port = free_port()
            url = f"http://127.0.0.1:{primary}"
            started = stack.enter_context(process(PROXY_CORE, str(HERE / "aiohttp_proxy.py"), str(port), url, *mirror))
            wait_for(port)
            peers.append(Peer(name, port, [started.pid], bool(mirror)))
        peers += [shadowproxy(stack, percent, primary, candidate) for percent in (0, 10, 100)]
        for _ in range(chosen.rounds):
            for peer in peers:
                measure(peer, candidate, chosen.connections, chosen.seconds)
        show(peers, chosen)
    if chosen.json:
        chosen.json.write_text(json.dumps({peer.name: peer.rounds for peer in peers}, indent=1))


def show(peers: list[Peer], chosen: argparse.Namespace) -> None:
    def median(peer: Peer, key: str) -> float:
        return statistics.median(each[key] for each in peer.rounds)

    plain = {False: next(p for p in peers if p.name == "plain aiohttp"), True: next(p for p in peers if p.name.endswith("mirror task"))}
    table = Table(title=f"POST 1 KB / 1 KB, {chosen.connections} connections, medians of {chosen.rounds} interleaved rounds")
    for heading in ("", "req/s", "x plain aiohttp", "p50 ms", "p99 ms", "CPU-s per 10k", "copies delivered", "errors"):
        table.add_column(heading, justify="left" if not heading else "right")
    for peer in peers:
        ratio = median(peer, "rate") / median(plain[peer.mirrored], "rate")
        delivered = f"{median(peer, 'mirrored'):.1%}" if peer.mirrored else "-"
        cpu = f"{median(peer, 'cpu_per_10k'):.2f}" if peer.pids else "-"
        table.add_row(
            peer.name,
            f"{median(peer, 'rate'):,.0f}",
            f"{ratio:.2f}",
            f"{median(peer, 'p50'):.2f}",
            f"{median(peer, 'p99'):.2f}",
            cpu,
            delivered,
            str(sum(int(each["errors"]) for each in peer.rounds)),
        )
    console = Console()
    console.print(table)
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; mirrored rows against the mirrored plain row"
    )


if __name__ == "__main__":
    main()
