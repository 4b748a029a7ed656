"""The judge's endpoint: one POST, one whole reply or the outcome that stands for it. Foreign errors end here.

Between ``asking`` and ``reading``. Redirects are not followed, cookies not kept and proxies of the environment not used: what is asked goes
where the configuration says and nowhere else. Neither questions nor replies nor the credential reach a log.
"""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Self

import aiohttp

from shadowproxy.exchange import Outcome, Reply
from shadowproxy.upstream.endpoint import Endpoint

_PATH = "/chat/completions"

#: A verdict is a line; with a reasoning model's thoughts some pages. More is cut off: it is not what was asked for.
_MOST_REPLY_BYTES = 512 * 1024


class JudgeClient:
    """Asks one OpenAI-compatible endpoint. Use as an asynchronous context, or call :meth:`close`.

    ``auth`` is the (header name, value) of our credential.
    """

    def __init__(self, endpoint: Endpoint, auth: tuple[bytes, bytes] | None, *, connections: int) -> None:
        self._endpoint = endpoint
        self._url = url_of(endpoint)
        self._headers = {"content-type": "application/json", "accept": "application/json", "accept-encoding": "identity"}
        if auth is not None:
            self._headers[auth[0].decode("latin-1")] = auth[1].decode("latin-1")
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<JudgeClient {self._url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, body: bytes, within_s: float) -> Reply | Outcome:
        """The whole reply, whatever its status; or the outcome where there is none."""
        timeout = aiohttp.ClientTimeout(total=max(within_s, 0.001))
        try:
            async with self._opened().post(
                self._url,
                data=body,
                headers=self._headers,
                timeout=timeout,
                allow_redirects=False,
                ssl=self._endpoint.tls or True,
                server_hostname=self._endpoint.server_name,
            ) as reply:
                data = await _whole(reply.content)
                if data is None:
                    return Outcome.TOO_LARGE
                return Reply(reply.status, tuple((name.lower(), value) for name, value in reply.raw_headers), ((0.0, data),))
        except TimeoutError:
            return Outcome.TIMEOUT
        except (aiohttp.ClientConnectorError, ssl.SSLError):
            return Outcome.CONNECT_FAILED
        except (aiohttp.ClientError, OSError):
            return Outcome.RESET

    def _opened(self) -> aiohttp.ClientSession:
        """Made at the first question: a session belongs to the loop that is running then."""
        if self._session is None:
            path = self._endpoint.unix_path
            connector = aiohttp.UnixConnector(path) if path else aiohttp.TCPConnector(limit=self._connections)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        return self._session


def url_of(endpoint: Endpoint) -> str:
    """The address of chat completions: a base with or without ``/v1``, or the whole path, all of which are in use."""
    prefix = endpoint.path_prefix.decode("ascii")
    if not prefix.endswith(_PATH):
        prefix += _PATH if prefix.endswith("/v1") else f"/v1{_PATH}"
    if endpoint.unix_path is not None:
        return f"http://localhost{prefix}"
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{'https' if endpoint.tls else 'http'}://{host}:{endpoint.port}{prefix}"


async def _whole(content: aiohttp.StreamReader) -> bytes | None:
    """All of a body, None where it has no end within our bound."""
    pieces, size = [], 0
    async for piece in content.iter_any():
        size += len(piece)
        if size > _MOST_REPLY_BYTES:
            return None
        pieces.append(piece)
    return b"".join(pieces)
