"""URLs taken apart once, at start."""

from __future__ import annotations

from pathlib import Path

import pytest

from shadowproxy.config import Tls
from shadowproxy.errors import StartError
from shadowproxy.upstream.endpoint import endpoint_of


@pytest.mark.parametrize(
    ("url", "host", "port", "prefix", "authority", "shown"),
    [
        ("http://llm:8000", "llm", 8000, b"", b"llm:8000", "llm:8000"),
        ("http://llm", "llm", 80, b"", b"llm", "llm:80"),
        ("http://llm:8000/v2/", "llm", 8000, b"/v2", b"llm:8000", "llm:8000"),
        ("http://[::1]:8000/a/b", "::1", 8000, b"/a/b", b"[::1]:8000", "::1:8000"),
        ("http://b\u00fccher.example", "b\u00fccher.example", 80, b"", b"xn--bcher-kva.example", "b\u00fccher.example:80"),
    ],
)
def test_plain_url(url: str, host: str, port: int, prefix: bytes, authority: bytes, shown: str) -> None:
    end = endpoint_of(url, Tls())
    assert (end.host, end.port, end.path_prefix, end.authority) == (host, port, prefix, authority)
    assert end.tls is None
    assert end.unix_path is None
    assert str(end) == shown


def test_unix_socket() -> None:
    end = endpoint_of("unix:/run/llm.sock", Tls())
    assert (end.unix_path, end.authority, end.path_prefix) == ("/run/llm.sock", b"localhost", b"")
    assert str(end) == "unix:/run/llm.sock"
    assert end.is_local


def test_https_verifies_and_names_the_host() -> None:
    end = endpoint_of("https://llm.example/v1", Tls())
    assert end.port == 443
    assert end.tls is not None
    assert end.tls.check_hostname
    assert end.server_name == "llm.example"
    assert endpoint_of("https://10.0.0.1:8443", Tls(server_name="llm.internal")).server_name == "llm.internal"


def test_ca_file_that_cannot_be_loaded_is_a_start_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(StartError, match=r"cannot load the CA file .*; give the path of a PEM file in tls.ca_file"):
            endpoint_of("https://llm", Tls(ca_file=path))


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://localhost:1", True),
        ("http://127.3.2.1:1", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1:1", False),
        ("http://localhost.example:1", False),
    ],
)
def test_only_loopback_is_local(url: str, is_local: bool) -> None:
    assert endpoint_of(url, Tls()).is_local is is_local
