"""Where the record of a rollout is kept when it is not written with the weights: a ConfigMap, or a file where there is no Kubernetes.

Used by ``controller`` beside routers whose change cannot carry it. What is written is whole or not there.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path
from typing import Any, Protocol

import msgspec

from shadowproxy.errors import RouterBusy, RouterRefused
from shadowproxy.promote.json_patch import FIELD_MANAGER, ObjectPatch, ObjectRef, patch_of, version_of
from shadowproxy.promote.kube import Kube

_KEY = "rollout"


class Memory(Protocol):
    """Remembers one record. Raises what a :class:`~shadowproxy.promote.routers.port.Router` raises."""

    async def read(self) -> str | None:
        """The record, None where there is none yet."""

    async def write(self, record: str) -> None:
        """Put it in the place of the one that was read last."""

    def command(self, record: str) -> str:
        """What a person can run to do the same, after it was read."""


class ConfigMapMemory:
    """A ConfigMap of our own. It is changed from the version that was read, so that of two controllers one is told."""

    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        self._kube = kube
        self._ref = ObjectRef("", "v1", "configmaps", "ConfigMap", namespace, name)
        self._version: str | None = None

    def __str__(self) -> str:
        return str(self._ref)

    async def read(self) -> str | None:
        document = await self._kube.look_up(self._ref)
        self._version = None if document is None else version_of(document)
        return None if document is None else (document.get("data") or {}).get(_KEY)

    async def write(self, record: str) -> None:
        """Raises :class:`~shadowproxy.errors.RouterConflict` where somebody wrote since it was read."""
        if self._version is None:
            written = await self._kube.create(self._ref, self._made(record))
        else:
            written = await self._kube.patch(self._patch(self._version, record))
        self._version = version_of(written)

    def command(self, record: str) -> str:
        if self._version is not None:
            return str(self._patch(self._version, record))
        made = shlex.quote(msgspec.json.encode(self._made(record)).decode())
        return f"printf %s {made} | kubectl create --field-manager {FIELD_MANAGER} --validate=false -f -"

    def _made(self, record: str) -> dict[str, Any]:
        metadata = {"name": self._ref.name, "namespace": self._ref.namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {_KEY: record}}

    def _patch(self, version: str, record: str) -> ObjectPatch:
        return patch_of(self._ref, version, [{"op": "add", "path": "/data", "value": {_KEY: record}}])


class FileMemory:
    """A file, replaced at once and on the disk when :meth:`write` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    async def read(self) -> str | None:
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as exc:
            raise RouterRefused(f"{self._path} cannot be read ({exc})", "make it readable, or remove it to begin anew") from exc

    async def write(self, record: str) -> None:
        try:
            self._replace(record)
        except OSError as exc:
            raise RouterBusy(f"{self._path} cannot be written ({exc.strerror})") from exc

    def command(self, record: str) -> str:
        return f"printf %s {shlex.quote(record)} > {shlex.quote(str(self._path))}"

    def _replace(self, record: str) -> None:
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(record)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
