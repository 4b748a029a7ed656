"""HTTP services of the operator's that we talk to beside the traffic: Prometheus, another admin surface, a sink of events.

One ask, one answer, with a deadline and a bound. Nothing here is on the client's path.
"""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from shadowproxy.config import Auth, Tls
from shadowproxy.errors import NoAnswer
from shadowproxy.upstream.endpoint import endpoint_of

#: A longer answer is none. The counts of a hundred processes with 300 series each are 10 MB.
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


class Service:
    """One service. Its credential is read here and goes nowhere else: redirects are not followed."""

    def __init__(self, url: str, auth: Auth | None, tls: Tls, timeout_s: float) -> None:
        """Raises :class:`~shadowproxy.errors.StartError` for a CA file that cannot be loaded, ``ConfigError`` for a missing secret."""
        self._endpoint = endpoint_of(url, tls)
        self._url = "http://localhost" if self._endpoint.unix_path else url
        name, value = auth.header_line() if auth is not None else (b"", b"")
        self._headers = {name.decode("latin-1"): value.decode("latin-1")} if name else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    def __str__(self) -> str:
        return str(self._endpoint)

    async def ask(self, method: str, path: str = "", body: bytes = b"", content_type: str = "") -> Answer:
        """The answer to one request, whatever its status. Raises :class:`NoAnswer` where there is none in time."""
        headers = {**self._headers, **({"content-type": content_type} if content_type else {})}
        try:
            async with self._opened().request(
                method,
                self._url + path,
                data=body or None,
                headers=headers,
                allow_redirects=False,
                server_hostname=self._endpoint.server_name,
            ) as reply:
                return Answer(reply.status, await self._bounded(reply))
        except TimeoutError as exc:
            raise NoAnswer(f"{self} did not answer within {self._timeout.total:g} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise NoAnswer(f"{self} did not answer: {exc or type(exc).__name__}") from exc

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """The session, made at the first ask: it belongs to the loop that runs then."""
        if self._session is None:
            path, tls = self._endpoint.unix_path, self._endpoint.tls
            connector = aiohttp.UnixConnector(path) if path else aiohttp.TCPConnector(ssl=tls if tls is not None else True)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, auto_decompress=True)
        return self._session

    async def _bounded(self, reply: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in reply.content.iter_any():
            body += piece
            if len(body) > _MOST_BYTES:
                raise NoAnswer(f"{self} answered with more than {_MOST_BYTES} bytes")
        return bytes(body)
