"""A Kubernetes API server in memory: what clients of single objects see of the real one, and its bad days on demand.

Reads, creates, replaces, deletes and JSON-patches objects of any kind; keeps ``resourceVersion``, ``generation`` and ``managedFields``;
refuses what does not fit a schema (``crds``); answers discovery, so that kubectl works with it. No watch, no admission, no other patch
types.

Sources: Kubernetes API concepts (resource versions, server-side field management), RFC 6902, ``k8s.io/apiserver`` for which status says
what.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson
from aiohttp import web

from shadowproxy.testing.json_patch import PatchFails, patched

Document = dict[str, Any]
#: (group, plural, namespace, name)
Key = tuple[str, str, str, str]
#: Problems of an object of (group, version, plural); none where it fits.
Check = Callable[[str, str, str, Mapping[str, Any]], list[str]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of a request instead of, or (``after``) in spite of, being served. Status 0: no answer until the client gives up."""

    status: int
    body: bytes = b""
    retry_after: str = ""
    after: bool = False


class _Refusal(Exception):
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class FakeKubernetes:
    """``async with FakeKubernetes() as api: api.url``. ``requests`` are the (method, path) pairs served so far.

    ``fault(method, path)`` is asked before each request and may return a :class:`Fault`.
    """

    def __init__(self, check: Check = lambda *_: [], kinds: Mapping[tuple[str, str], str] | None = None) -> None:
        """``kinds``: (group/version, plural) → kind, what discovery tells kubectl of."""
        self._check = check
        self._kinds = dict(kinds or {})
        self._objects: dict[Key, Document] = {}
        self._versions = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self.fault: Callable[[str, str], Fault | None] = lambda *_: None
        self.requests: list[tuple[str, str]] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    # --- what a person does, past the API ---------------------------------------------------------------------------

    def put(self, group: str, version: str, plural: str, document: Document) -> None:
        """Put an object in place, as ``kubectl apply`` would. Raises :class:`ValueError` where it does not fit its schema."""
        if problems := self._check(group, version, plural, document):
            raise ValueError("; ".join(problems))
        metadata = document["metadata"]
        self._store((group, plural, metadata["namespace"], metadata["name"]), copy.deepcopy(document), "kubectl")

    def get(self, group: str, plural: str, namespace: str, name: str) -> Document:
        """The object as it is. Raises :class:`KeyError` where it is not there."""
        return copy.deepcopy(self._objects[group, plural, namespace, name])

    def all(self, group: str, plural: str) -> list[Document]:
        """Every object of a kind, in the order of creation."""
        return [copy.deepcopy(document) for key, document in self._objects.items() if key[:2] == (group, plural)]

    def edit(self, group: str, plural: str, namespace: str, name: str, change: Callable[[Document], None]) -> None:
        """Change an object, as a person with ``kubectl edit`` would."""
        document = self.get(group, plural, namespace, name)
        change(document)
        self._store((group, plural, namespace, name), document, "kubectl-edit")

    def delete(self, group: str, plural: str, namespace: str, name: str) -> None:
        del self._objects[group, plural, namespace, name]

    # --- the API ----------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path))
        fault = self.fault(request.method, request.path)
        if fault is not None and not fault.after:
            return await _faulty(fault)
        try:
            body = await request.read()
            reply = _json(200, self._answer(request, body))
        except _Refusal as refusal:
            reply = _status(refusal)
        return reply if fault is None else await _faulty(fault)

    def _answer(self, request: web.Request, body: bytes) -> Document:
        parts = request.path.strip("/").split("/")
        if "namespaces" not in parts:
            return self._discovery(parts)
        place = parts.index("namespaces")
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        namespace, plural, *name = parts[place + 1 :]
        key = (group, plural, namespace, name[0] if name else "")
        match request.method:
            case "GET" if name:
                return self._found(key)
            case "POST" if not name:
                return self._create(key, version, orjson.loads(body), request.query.get("fieldManager", ""))
            case "PUT" if name:
                return self._replace(key, version, orjson.loads(body), request.query.get("fieldManager", ""))
            case "PATCH" if name:
                return self._patch(key, version, request, body)
        raise _Refusal(405, "MethodNotAllowed", f"{request.method} {request.path} is not served here")

    def _found(self, key: Key) -> Document:
        if key not in self._objects:
            raise _Refusal(404, "NotFound", f'{key[1]}.{key[0]} "{key[3]}" not found')
        return self._objects[key]

    def _create(self, key: Key, version: str, document: Document, manager: str) -> Document:
        metadata = document["metadata"]
        if "name" not in metadata:
            metadata["name"] = f"{metadata['generateName']}{next(self._versions):05x}"
        key = (*key[:3], metadata["name"])
        if key in self._objects:
            raise _Refusal(409, "AlreadyExists", f'{key[1]} "{key[3]}" already exists')
        return self._checked(key, version, document, manager)

    def _replace(self, key: Key, version: str, document: Document, manager: str) -> Document:
        before = self._found(key)["metadata"]["resourceVersion"]
        if document["metadata"].get("resourceVersion", before) != before:
            raise _Refusal(409, "Conflict", f'Operation cannot be fulfilled on {key[1]} "{key[3]}": the object has been modified')
        return self._checked(key, version, document, manager)

    def _patch(self, key: Key, version: str, request: web.Request, body: bytes) -> Document:
        if request.content_type != "application/json-patch+json":
            raise _Refusal(415, "UnsupportedMediaType", f"{request.content_type} is not served here")
        before = self._found(key)
        try:
            document = patched(before, orjson.loads(body))
        except PatchFails as exc:
            raise _Refusal(422, "Invalid", f"the server rejected our request due to an error in our request: {exc}") from exc
        if document == before:
            return before
        return self._checked(key, version, document, request.query.get("fieldManager", ""))

    def _checked(self, key: Key, version: str, document: Document, manager: str) -> Document:
        if problems := self._check(key[0], version, key[1], document):
            raise _Refusal(422, "Invalid", f'{key[1]} "{key[3]}" is invalid: {"; ".join(problems)}')
        return self._store(key, document, manager)

    def _store(self, key: Key, document: Document, manager: str) -> Document:
        before = self._objects.get(key, {})
        metadata = document["metadata"]
        metadata.setdefault("uid", f"uid-{next(self._versions)}")
        metadata["generation"] = metadata.get("generation", 0) + (document.get("spec") != before.get("spec"))
        metadata["managedFields"] = _managed(before, document, manager)
        metadata["resourceVersion"] = str(next(self._versions))
        self._objects[key] = document
        return document

    def _discovery(self, parts: list[str]) -> Document:
        groups = sorted({group for group, _ in self._kinds if "/" in group})
        match parts:
            case ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"]}
            case ["apis"]:
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(group) for group in groups]}
            case ["api", "v1"]:
                return self._resources("v1")
            case ["apis", group, version]:
                return self._resources(f"{group}/{version}")
        raise _Refusal(404, "NotFound", "the server could not find the requested resource")

    def _resources(self, group: str) -> Document:
        verbs = ["get", "create", "update", "patch"]
        found = [
            {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": verbs}
            for (owner, plural), kind in self._kinds.items()
            if owner == group
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": found}


def _group(group: str) -> Document:
    version = {"groupVersion": group, "version": group.partition("/")[2]}
    return {"name": group.partition("/")[0], "versions": [version], "preferredVersion": version}


def _managed(before: Document, document: Document, manager: str) -> list[Document]:
    """Who manages: the list that the request leaves, and whoever changed something. Which fields it was is not kept."""
    given = [entry for entry in document["metadata"].get("managedFields", []) if entry]
    changes = {key: value for key, value in document.items() if key != "metadata"} != {k: v for k, v in before.items() if k != "metadata"}
    changes |= document["metadata"].get("annotations") != before.get("metadata", {}).get("annotations")
    if changes and manager and manager not in [entry["manager"] for entry in given]:
        given.append({"manager": manager, "operation": "Update", "apiVersion": document.get("apiVersion", "")})
    return given


async def _faulty(fault: Fault) -> web.Response:
    if fault.status == 0:
        await asyncio.get_running_loop().create_future()
    headers = {"retry-after": fault.retry_after} if fault.retry_after else {}
    return web.Response(status=fault.status, body=fault.body, headers=headers)


def _status(refusal: _Refusal) -> web.Response:
    about = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
    return _json(refusal.status, {**about, "message": str(refusal), "reason": refusal.reason, "code": refusal.status})


def _json(status: int, document: Document) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")
