"""A gateway worker's heart: accepts clients, forwards to the primary, counts in plain integers, offers finished exchanges.

One sweep a few times a second does everything that is timed; no request has a timer or a task of its own.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from shadowproxy.config import Config, Limits
from shadowproxy.counts import (
    BAD_REQUESTS,
    BYTES,
    CLIENT_ABORTS,
    CONNECTIONS,
    HANDED_OVER,
    NOT_MIRRORED,
    OPEN_CONNECTIONS,
    PRIMARY_FAILURES,
    REQUESTS,
    SAMPLED,
    STEP_FAILURES,
    UPSTREAM_CONNECTIONS,
    Counts,
)
from shadowproxy.exchange import Outcome
from shadowproxy.gateway.forward import Forward
from shadowproxy.gateway.heads import RequestHead
from shadowproxy.gateway.listener import ClientConnection
from shadowproxy.gateway.tee import Mirroring, Routes, Tee
from shadowproxy.gateway.tls import Certificate
from shadowproxy.handover.frames import ExchangeFrame
from shadowproxy.tasks import Guard, Tasks
from shadowproxy.upstream.endpoint import endpoint_of
from shadowproxy.upstream.pool import Pool, Timing
from shadowproxy.wire.reading import route_of

_SWEEP_S = 0.25  # deadlines are seconds or more; a quarter is exact enough and costs nothing


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go: the primary's connections, what is put before their paths, and the Host that replaces the client's."""

    pool: Pool
    path_prefix: bytes
    authority: bytes | None


class Handover(Protocol):
    """Who takes finished exchanges."""

    handed_over: int

    @property
    def refusal(self) -> str:
        """Why none can be taken now, or ""."""

    def offer(self, frame: ExchangeFrame) -> None:
        """Take one. Only after ``refusal`` was asked."""


class Gateway:
    """Everything one worker process needs on the production path."""

    def __init__(self, config: Config, handover: Handover, tasks: Tasks, worker: str) -> None:
        self._tasks = tasks
        self._certificate = Certificate(config.tls) if config.tls else None
        self._retired: list[Pool] = []
        self._is_mirroring = True
        self._sampled: dict[tuple[str, str], int] = {}
        self.pool = _pool_of(config, tasks)
        self._adopt_rules(config)
        self._handover = handover
        self._worker = worker
        self._clients: set[ClientConnection] = set()
        self._servers: list[asyncio.AbstractServer] = []
        self._is_draining = False
        self._accepted = 0
        self._requests: dict[tuple[str, int], int] = {}
        self._aborts: dict[str, int] = {}
        self._not_mirrored: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        self._step_failures: dict[str, int] = {}
        self._guard = Guard(self._step_failed)
        self.bad_requests: dict[str, int] = {}
        self._opened_before = 0
        self._reused_before = 0
        self.retried = 0
        self.bytes_in = 0
        self.bytes_out = 0

        #: Monotonic seconds of the last sweep: exact enough for deadlines of seconds, and costs nothing to read.
        self.now = time.monotonic()

    def _adopt_rules(self, config: Config) -> None:
        endpoint = self.pool.endpoint
        keeps_host = config.primary.host == "client" or (config.primary.host == "auto" and endpoint.is_local)
        self.limits: Limits = config.limits
        self.target = Target(self.pool, endpoint.path_prefix, None if keeps_host else endpoint.authority)
        self._mirroring = Mirroring(config, self._is_mirroring, self._sampled)
        self._routes = Routes(config, route_of)

    def adopt(self, config: Config) -> None:
        """Go by another configuration from the next request on. Exchanges on their way end as they began; no connection is closed.

        Raises :class:`~shadowproxy.errors.StartError`, and changes nothing, where the new primary's TLS files do not load.
        """
        pool = _pool_of(config, self._tasks)
        self._retired.append(self.pool)
        self.pool = pool
        self._adopt_rules(config)

    def set_mirroring(self, is_on: bool) -> None:
        """The kill switch by hand, in force from the next request on."""
        self._is_mirroring = is_on
        self._mirroring.is_allowed = is_on

    # --- life cycle -------------------------------------------------------------------------------------------------

    async def listen(self, sockets: list[socket.socket], mirrored: list[socket.socket] | None = None) -> None:
        """Accept clients on already bound sockets; what comes in over ``mirrored`` is another mirror's copy."""
        await self._listen(sockets, self._client)
        await self._listen(mirrored or [], self._mirrored_client)

    async def _listen(self, sockets: list[socket.socket], client: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        tls = self._certificate.context if self._certificate else None
        for sock in sockets:
            if sock.family == socket.AF_UNIX:
                server: asyncio.AbstractServer = await loop.create_unix_server(client, sock=sock, backlog=4096, ssl=tls)
            else:
                server = await loop.create_server(client, sock=sock, backlog=4096, ssl=tls)
            self._servers.append(server)

    def _client(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", ClientConnection(self))

    def _mirrored_client(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", ClientConnection(self, sends_copies=True))

    async def sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self.now = time.monotonic()
            # One guard each: none of these may switch off the others' deadlines.
            with self._guard("kill switch"):
                self._mirroring.look_at_kill_switch()
            with self._guard("certificate"):
                if self._certificate is not None:
                    self._certificate.look()
            with self._guard("sweep of the primary"):
                self.pool.sweep(now)
                self._sweep_retired(now)
            for client in tuple(self._clients):
                with self._guard("sweep of a client"):
                    client.sweep(now)

    def _sweep_retired(self, now: float) -> None:
        """Pools of earlier configurations live until their last exchange is over."""
        for pool in tuple(self._retired):
            pool.sweep(now)
            if not pool.is_busy:
                pool.close()
                self._retired.remove(pool)
                self._opened_before += pool.opened
                self._reused_before += pool.reused

    async def drain(self, within_s: float) -> None:
        """Stop accepting; let open exchanges finish for a while, then cut them off."""
        self._is_draining = True
        for server in self._servers:
            server.close()
        for client in tuple(self._clients):
            client.drain()
        deadline = time.monotonic() + within_s
        while self._clients and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for client in tuple(self._clients):
            client.cut_off()
        for pool in (self.pool, *self._retired):
            pool.close()

    # --- from connections -------------------------------------------------------------------------------------------

    def admit(self, client: ClientConnection) -> bool:
        """Register a new connection; False past the limit."""
        self._accepted += 1
        self._clients.add(client)
        client.is_draining = self._is_draining
        return len(self._clients) <= self.limits.max_connections

    def dismiss(self, client: ClientConnection) -> None:
        self._clients.discard(client)

    def forward(self, client: ClientConnection, head: RequestHead) -> Forward:
        """Decide about the tee and make the forward."""
        route = self._routes.of(head.path)
        refusal, request_id = self._mirroring.refusal(head, route)
        if refusal:
            self._skip(refusal)
            return Forward(client, head, route, None)
        return Forward(client, head, route, Tee(self._mirroring, head, route, request_id))

    def exchange_finished(self, forward: Forward, tee: Tee | None, outcome: Outcome, failure: str) -> None:
        """The client has its reply, or what there was of it."""
        key = (forward.route, forward.status // 100)
        self._requests[key] = self._requests.get(key, 0) + 1
        if tee is not None:
            with self._guard("tee"):
                refusal = tee.refusal or self._handover.refusal
                if refusal:
                    self._skip(refusal)
                else:
                    self._handover.offer(tee.frame(outcome, failure))

    def exchange_abandoned(self, forward: Forward) -> None:
        """The client went away first."""
        self._aborts[forward.route] = self._aborts.get(forward.route, 0) + 1
        if forward.is_teed:
            self._skip("client_gone")

    def primary_failed(self, outcome: Outcome) -> None:
        self._failures[outcome.value] = self._failures.get(outcome.value, 0) + 1

    def _skip(self, reason: str) -> None:
        if reason:
            self._not_mirrored[reason] = self._not_mirrored.get(reason, 0) + 1

    def _step_failed(self, step: str) -> None:
        self._step_failures[step] = self._step_failures.get(step, 0) + 1

    # --- counts -----------------------------------------------------------------------------------------------------

    def report(self, counts: Counts) -> None:
        """Write the plain integers into ``counts``. Called a few times a second, never per request."""
        for (route, hundred), count in self._requests.items():
            counts.set(REQUESTS, route, f"{hundred}xx", to=count)
        for metric, table in (
            (CLIENT_ABORTS, self._aborts),
            (PRIMARY_FAILURES, self._failures),
            (BAD_REQUESTS, self.bad_requests),
            (NOT_MIRRORED, self._not_mirrored),
            (STEP_FAILURES, self._step_failures),
        ):
            for label, count in table.items():
                counts.set(metric, label, to=count)
        for (percent, is_chosen), count in self._sampled.items():
            counts.set(SAMPLED, percent, is_chosen, to=count)
        counts.set(CONNECTIONS, to=self._accepted)
        counts.set(OPEN_CONNECTIONS, self._worker, to=len(self._clients))
        pools = (self.pool, *self._retired)
        counts.set(UPSTREAM_CONNECTIONS, "opened", to=self._opened_before + sum(pool.opened for pool in pools))
        counts.set(UPSTREAM_CONNECTIONS, "reused", to=self._reused_before + sum(pool.reused for pool in pools))
        counts.set(UPSTREAM_CONNECTIONS, "retried", to=self.retried)
        counts.set(BYTES, "in", to=self.bytes_in)
        counts.set(BYTES, "out", to=self.bytes_out)
        counts.set(HANDED_OVER, to=self._handover.handed_over)


def _pool_of(config: Config, tasks: Tasks) -> Pool:
    primary = config.primary
    return Pool(
        endpoint_of(primary.url, primary.tls),
        Timing(primary.connect_timeout_s, primary.first_byte_timeout_s, primary.idle_timeout_s, primary.keepalive_s),
        tasks,
        max_idle=primary.max_idle_connections,
        max_header_bytes=config.limits.max_header_bytes,
    )
