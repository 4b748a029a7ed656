"""From the start of the process to the first answered request, and the memory it then rests at."""

from __future__ import annotations

import argparse
import socket
import threading
import time
from contextlib import ExitStack

import messages
import own
import upstreams
from machine import LoadTestError, descendants, proportional_mb, resident_mb
from peers import AIOHTTP, ENVOY, HAPROXY, LITELLM, NGINX, Peer, Running, Stage
from rounds import Round, Row, choose, interleave
from scenario import Run
from tables import number, show


def _own(setting: own.Setting) -> Peer:
    name = "shadowproxy" if setting.embed == "none" else "shadowproxy embedding"

    def launch(stage: Stage) -> Running:
        port, supervisor = own.start(setting, stage.stack, stage.folder, stage.primary.port, stage.candidate.port)
        return Running(port, {"supervisor": [supervisor]})

    return Peer(name, launch)


PEERS = (NGINX, HAPROXY, ENVOY, AIOHTTP, LITELLM, _own(own.Setting(percent=100)), _own(own.Setting(percent=100, embed="onnx")))
_REST_S = 3.0  # this proxy's shadow process loads its model after the first requests are served


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(seconds=0)


def run(run: Run) -> None:
    primary = upstreams.serve(run.stack, run.folder, "primary")
    rows = [Row(peer, Running(0), primary, primary) for peer in choose(PEERS, run.options.only, run.skipped)]

    def measure(row: Row) -> Round:
        with ExitStack() as stack:
            return start_once(row.peer, Stage(stack, run.folder, primary, primary))

    interleave(rows, run.options.rounds, measure, warm_up=measure)
    run.keep(rows)
    lines = [
        (row.name, *(number(row.median(key), places) for key, places in (("first_answer_s", 2), ("resident_mb", 0), ("share_mb", 0))))
        for row in rows
        if row.rounds
    ]
    notes = (
        "RSS counts shared pages in each process, PSS divides them; both over all of a peer's processes. Files are in the page cache.",
    )
    show(f"Start, medians of {run.options.rounds}", ("", "first answer s", "RSS MB", "PSS MB"), lines, notes)


def start_once(peer: Peer, stage: Stage) -> Round:
    started = time.perf_counter()
    running = peer.launch(stage)
    until_answer(running.port)
    first_answer_s = time.perf_counter() - started
    threading.Event().wait(_REST_S)
    pids = {pid for root in running.pids for pid in (root, *descendants(root))}
    return {"first_answer_s": first_answer_s, "resident_mb": resident_mb(pids), "share_mb": proportional_mb(pids)}


def until_answer(port: int) -> None:
    """Ask until a 200 comes."""
    question = messages.request(messages.question())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
                sock.sendall(question)
                if sock.recv(12) == b"HTTP/1.1 200":
                    return
        except OSError:
            pass
        time.sleep(0.005)
    raise LoadTestError("no request was answered within 60 s")
