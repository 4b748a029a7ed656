"""Listening sockets, bound by the supervisor and inherited by the workers, so that a worker's death loses no waiting client."""

from __future__ import annotations

import socket
from pathlib import Path

from shadowproxy.errors import StartError


def bind(listen: str, workers: int) -> list[socket.socket]:
    """Listening sockets: one per worker that share a TCP port, or one Unix socket for all. Raises :class:`StartError`."""
    try:
        if listen.startswith("unix:"):
            return [_bind_unix(listen[5:])]
        host, _, text = listen.rpartition(":")
        host, port = host.strip("[]"), int(text)
        _refuse_if_served(host, port)
        sockets = [_bind_tcp(host, port)]
        sockets += [_bind_tcp(host, sockets[0].getsockname()[1]) for _ in range(workers - 1)]
    except OSError as exc:
        remedy = "stop what listens there or choose another listen address"
        raise StartError(f"cannot listen on {listen}: {exc.strerror or exc}; {remedy}") from exc
    return sockets


def _bind_tcp(host: str, port: int) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        sock.bind(address)
        # Listening now, before the first worker runs: whoever connects early waits in the backlog instead of being refused.
        sock.listen(4096)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _refuse_if_served(host: str, port: int) -> None:
    """SO_REUSEPORT would silently share a port with another shadowproxy of the same user: find out with a plain bind first."""
    if port == 0:
        return
    family, kind, _, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _bind_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            sock.bind(path)
        except OSError:
            if not _is_stale(path):
                raise
            Path(path).unlink()
            sock.bind(path)
        sock.listen(4096)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _is_stale(path: str) -> bool:
    """A socket file that nobody answers on: left by a killed predecessor."""
    if not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def address_of(sock: socket.socket) -> str:
    """The address as a person types it."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
    return f"{host}:{name[1]}"
