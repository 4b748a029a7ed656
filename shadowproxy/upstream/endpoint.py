"""Where an upstream is: a URL taken apart once, at start."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from shadowproxy.config import Tls
from shadowproxy.errors import StartError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``host``/``port`` or ``unix_path``; ``path_prefix`` is put before every request path; ``authority`` is the Host header to send."""

    host: str
    port: int
    unix_path: str | None
    path_prefix: bytes
    authority: bytes
    tls: ssl.SSLContext | None = None
    server_name: str | None = None

    @property
    def is_local(self) -> bool:
        """True for a Unix socket or a loopback address: the pod we sit beside."""
        if self.unix_path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"unix:{self.unix_path}" if self.unix_path else f"{self.host}:{self.port}"


def endpoint_of(url: str, tls: Tls) -> Endpoint:
    """Take a checked URL apart. Raises :class:`StartError` where the CA file cannot be loaded."""
    if url.startswith("unix:"):
        return Endpoint("", 0, url[5:], b"", b"localhost")
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    return Endpoint(
        host=host,
        port=parts.port or (443 if secure else 80),
        unix_path=None,
        path_prefix=parts.path.rstrip("/").encode("ascii"),
        authority=parts.netloc.encode("idna" if not parts.netloc.isascii() else "ascii"),
        tls=client_context(tls, url) if secure else None,
        server_name=(tls.server_name or host) if secure else None,
    )


def client_context(tls: Tls, url: str) -> ssl.SSLContext:
    """How the server at ``url`` is checked. Raises :class:`StartError` where the CA file cannot be loaded."""
    try:
        context = ssl.create_default_context(cafile=str(tls.ca_file) if tls.ca_file else None)
    except (OSError, ssl.SSLError) as exc:
        raise StartError(f"cannot load the CA file {tls.ca_file} for {url}: {exc}; give the path of a PEM file in tls.ca_file") from exc
    context.set_alpn_protocols(["http/1.1"])
    return context
