"""Listening sockets: shared between workers, refused with a sentence, and stale files replaced."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from shadowproxy.errors import StartError
from shadowproxy.sockets import address_of, bind


@contextlib.contextmanager
def bound(listen: str, workers: int = 1):
    sockets = bind(listen, workers)
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def test_workers_share_one_free_port_and_listen_at_once() -> None:
    with bound("127.0.0.1:0", 3) as sockets:
        ports = {sock.getsockname()[1] for sock in sockets}
        assert len(sockets) == 3
        assert len(ports) == 1
        assert address_of(sockets[0]) == f"127.0.0.1:{ports.pop()}"
        with socket.create_connection(sockets[0].getsockname(), timeout=2):
            pass  # nobody accepts yet, and nobody is refused


def test_port_in_use_is_refused_even_by_ourselves() -> None:
    """SO_REUSEPORT alone would share it in silence."""
    with bound("127.0.0.1:0") as (first,):
        address = address_of(first)
        with pytest.raises(
            StartError, match=f"cannot listen on {address}: Address already in use; stop what listens there or choose another"
        ):
            bind(address, 1)


def test_address_of_another_machine_is_a_start_error() -> None:
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1:1: Cannot assign requested address; stop what"):
        bind("192.0.2.1:1", 1)  # TEST-NET-1, RFC 5737: never ours


def test_ipv6_address_is_written_in_brackets() -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("needs IPv6 loopback")
    with bound("[::1]:0") as (sock,):
        assert address_of(sock) == f"[::1]:{sock.getsockname()[1]}"


def test_unix_socket_is_one_for_all_workers_and_its_stale_file_is_replaced(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("u") / "s"
    with bound(f"unix:{path}", 4) as sockets:
        assert len(sockets) == 1
        assert address_of(sockets[0]) == f"unix:{path}"
        with pytest.raises(StartError, match="Address already in use"):
            bind(f"unix:{path}", 1)
    assert path.exists()  # left behind, as after a kill
    with bound(f"unix:{path}"), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_file_that_is_no_socket_is_never_removed(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("u") / "precious"
    path.write_text("data")
    with pytest.raises(StartError):
        bind(f"unix:{path}", 1)
    assert path.read_text() == "data"
