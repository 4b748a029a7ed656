"""A thin client for the Kubernetes API: read, create, replace and patch single objects as plain JSON.

Between ``cluster`` and whoever has an object. On aiohttp, which is there already: a library would bring a second HTTP stack (lightkube 1.0:
httpx2, h2 and 13 MB with its models), decode objects into models of its own where we must leave unknown fields alone, and hide Retry-After
of answers that are no JSON, which is what an overloaded API server sends.

Every failure is translated: :class:`~shadowproxy.errors.RouterBusy` for what may pass, ``RouterConflict`` where somebody was faster,
``RouterRefused`` for what a person must look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from shadowproxy.errors import RouterBusy, RouterConflict, RouterRefused
from shadowproxy.promote.cluster import Cluster
from shadowproxy.promote.json_patch import FIELD_MANAGER, ObjectPatch, ObjectRef, version_of

_JSON = "application/json"
_JSON_PATCH = "application/json-patch+json"

#: etcd takes no object above 1.5 MB; what is longer is no object.
_MOST_BYTES = 8 * 1024 * 1024

#: What an API server in trouble answers: too many requests, internal, not ready, overloaded, slower than its own deadline.
_PASSING = frozenset({429, 500, 502, 503, 504})

#: Where an overloaded server does not say when to come back.
_DELAY_S, _LONGEST_DELAY_S = 5.0, 300.0

Document = Mapping[str, Any]


class Kube:
    """Talks to one API server. Requests end after ``timeout_s`` seconds."""

    def __init__(self, cluster: Cluster, timeout_s: float) -> None:
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<Kube {self._cluster.url}>"

    @property
    def namespace(self) -> str:
        """The namespace of the pod or of the kubeconfig's context."""
        return self._cluster.namespace

    async def read(self, ref: ObjectRef) -> Document:
        """The object. Raises :class:`~shadowproxy.errors.RouterRefused` where it is not there."""
        document = await self.look_up(ref)
        if document is None:
            raise RouterRefused(f"{ref} is not there", "create it, or correct its name and namespace")
        return document

    async def look_up(self, ref: ObjectRef) -> Document | None:
        """The object, None where it is not there."""
        return await self._ask("GET", f"{ref.path}/{ref.name}", str(ref), absent_is_fine=True)

    async def create(self, ref: ObjectRef, document: Document) -> Document:
        """Make the object, and what the server made of it. Raises :class:`~shadowproxy.errors.RouterConflict` where it is there already."""
        return _there(await self._ask("POST", ref.path, str(ref), document))

    async def replace(self, ref: ObjectRef, document: Document) -> Document:
        """Put the object in the place of what is there, and what the server made of it. Raises
        :class:`~shadowproxy.errors.RouterConflict` where its ``resourceVersion`` is not the present one."""
        return _there(await self._ask("PUT", f"{ref.path}/{ref.name}", str(ref), document))

    async def patch(self, patch: ObjectPatch) -> Document:
        """Apply a JSON Patch. A test that fails is answered like an object that is not valid (422): what is there now tells them apart."""
        path = f"{patch.ref.path}/{patch.ref.name}"
        try:
            return _there(await self._ask("PATCH", path, str(patch.ref), patch.operations, _JSON_PATCH))
        except _Unprocessable as exc:
            if version_of(await self.read(patch.ref)) != patch.tested_version:
                raise RouterConflict(f"{patch.ref} was changed meanwhile") from exc
            raise

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self, method: str, path: str, what: str, body: object = None, content_type: str = _JSON, *, absent_is_fine: bool = False
    ) -> Document | None:
        headers = {"accept": _JSON, "content-type": content_type, **await self._cluster.token.header()}
        params = {} if method == "GET" else {"fieldManager": FIELD_MANAGER}
        data = None if body is None else msgspec.json.encode(body)
        try:
            url = self._cluster.url + path
            async with self._opened().request(method, url, params=params, data=data, headers=headers, allow_redirects=False) as reply:
                answer = await _bounded(reply, what)
        except TimeoutError as exc:
            raise RouterBusy(f"the API server did not answer within {self._timeout_s:g} s about {what}") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise RouterBusy(f"the API server cannot be reached: {exc or type(exc).__name__}") from exc
        if absent_is_fine and reply.status == 404:
            return None
        if reply.status >= 300:
            raise _translated(reply, answer, what)
        return _document(answer, what)

    def _opened(self) -> aiohttp.ClientSession:
        """The session, made at the first ask: it belongs to the loop that runs then."""
        if self._session is None:
            tls = self._cluster.tls
            connector = aiohttp.TCPConnector(ssl=tls if tls is not None else True)
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=self._timeout_s))
        return self._session


class _Unprocessable(RouterRefused):
    """Status 422: a test of the patch failed, or the object would not be valid."""


def _there(document: Document | None) -> Document:
    assert document is not None, "only a look-up may find nothing"
    return document


async def _bounded(reply: aiohttp.ClientResponse, what: str) -> bytes:
    body = bytearray()
    async for piece in reply.content.iter_any():
        body += piece
        if len(body) > _MOST_BYTES:
            raise RouterRefused(f"the API server answered about {what} with more than {_MOST_BYTES} bytes", "look at what answers there")
    return bytes(body)


def _document(answer: bytes, what: str) -> Document:
    try:
        return msgspec.json.decode(answer, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RouterRefused(f"the API server's answer about {what} does not decode ({exc})", "check the server's address") from exc


def _translated(reply: aiohttp.ClientResponse, answer: bytes, what: str) -> RouterBusy | RouterConflict | RouterRefused:
    """The error that says what to do about an answer of status 300 or above."""
    told = _message(answer)
    if reply.status in _PASSING:
        return RouterBusy(f"the API server answered {reply.status} about {what}: {told}", delay_of(reply.headers.get("retry-after", "")))
    if reply.status == 409:
        return RouterConflict(f"{what}: {told}")
    if reply.status == 422:
        return _Unprocessable(f"{what} cannot be changed so: {told}", "correct the object")
    if reply.status in (401, 403):
        return RouterRefused(f"the API server refuses {what}: {told}", "give the service account this verb in its Role")
    if reply.status == 404:
        return RouterRefused(f"{what} is not there", "create it, install its CRD, or correct name and namespace")
    return RouterRefused(f"the API server answered {reply.status} about {what}: {told}", "look at the server's log")


class _Failure(msgspec.Struct):
    message: str = ""


def _message(answer: bytes) -> str:
    """What the server says: the message of a Status object, else the beginning of whatever it sent."""
    try:
        return msgspec.json.decode(answer, type=_Failure).message or "no message"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return answer[:200].decode("utf-8", "replace").strip() or "no message"


def delay_of(retry_after: str) -> float:
    """Seconds until a server wants to be asked again; of the two forms of Retry-After (RFC 9110) API servers send the number."""
    is_number = retry_after.isascii() and retry_after.isdigit()
    return min(float(retry_after), _LONGEST_DELAY_S) if is_number else _DELAY_S
