"""An open loop where ``tools/load.c`` cannot be compiled: requests leave on a fixed schedule, and latency counts from the scheduled moment.

So a stall delays every request behind it and shows in the tail, where a closed loop would just ask less (coordinated omission). Plain
sockets and ``select``, whose time-out is exact to microseconds; an event loop's timers are exact to a millisecond, several times what a
fast proxy adds.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import sys
import time
from collections import deque

import messages
from percentiles import milliseconds

_REQUEST = messages.request(messages.question())
_CONNECTIONS = 900  # select cannot watch descriptors past 1023; what finds no connection waits, and its latency runs
_GIVE_UP_S = 10.0


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_GIVE_UP_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_reused = False
        self.due = 0.0
        self.data = b""
        self.whole = -1

    def fileno(self) -> int:
        return self.socket.fileno()

    def ask(self, due: float) -> None:
        self.due, self.data, self.whole = due, b"", -1
        self.socket.sendall(_REQUEST)

    def read(self) -> bool | None:
        """True when the reply is complete, False while it is not, None where the connection is gone."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            return None
        if not data:
            return None
        self.data += data
        if self.whole < 0:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = self.data[:end].lower()
            at = head.find(b"content-length:")
            self.whole = end + 4 + (int(head[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0)
        return len(self.data) >= self.whole


class Load:
    """The schedule, the connections, and what came of it."""

    def __init__(self, port: int, rate: float, seconds: float) -> None:
        self.port, self.rate = port, rate
        self.total = int(rate * seconds)
        self.latencies: list[float] = []
        self.lags: list[float] = []
        self.errors = self.reconnected = self.sent = 0
        self.idle: list[Connection] = []
        self.busy: set[Connection] = set()
        self.waiting: deque[float] = deque()

    def run(self) -> dict[str, float]:
        started = time.perf_counter() + 0.05
        give_up = started + self.total / self.rate + _GIVE_UP_S
        while len(self.latencies) + self.errors < self.total:
            now = time.perf_counter()
            if now > give_up:
                break
            while self.sent < self.total and (due := started + self.sent / self.rate) <= now:
                self.waiting.append(due)
                self.sent += 1
            self.ask()
            upcoming = started + self.sent / self.rate if self.sent < self.total else give_up
            self.read(max(0.0, min(upcoming - time.perf_counter(), 0.1)))
        took = time.perf_counter() - started
        unanswered = self.total - len(self.latencies) - self.errors
        return {
            "requests": len(self.latencies),
            "seconds": took,
            "errors": self.errors + unanswered,
            "reconnected": self.reconnected,
            **milliseconds(self.latencies),
            **milliseconds(self.lags, "generator_lag_"),
        }

    def ask(self) -> None:
        while self.waiting and (self.idle or len(self.busy) < _CONNECTIONS):
            due = self.waiting.popleft()
            try:
                connection = self.idle.pop() if self.idle else Connection(self.port)
            except OSError:
                self.errors += 1
                continue
            try:
                connection.ask(due)
            except OSError:  # closed by the server while it was idle
                self.lose(connection)
                continue
            self.lags.append(time.perf_counter() - due)
            self.busy.add(connection)

    def lose(self, connection: Connection) -> None:
        """An idle connection that the server closed is asked for again on a new one; anything else is an error."""
        connection.socket.close()
        if connection.is_reused and not connection.data:
            self.reconnected += 1
            self.waiting.appendleft(connection.due)
        else:
            self.errors += 1

    def read(self, timeout_s: float) -> None:
        readable, _, _ = select.select(self.busy, (), (), timeout_s)
        for connection in readable:
            is_done = connection.read()
            if is_done is False:
                continue
            self.busy.discard(connection)
            if is_done is None:
                self.lose(connection)
                continue
            if connection.data.startswith(b"HTTP/1.1 200"):
                self.latencies.append(time.perf_counter() - connection.due)
            else:
                self.errors += 1
            connection.is_reused = True
            self.idle.append(connection)


if __name__ == "__main__":
    gc.disable()
    print(json.dumps(Load(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])).run()))
