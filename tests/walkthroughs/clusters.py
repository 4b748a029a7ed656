"""The Kubernetes API that walk-throughs run against: the one that the environment names, else kmock on loopback.

``KUBECONFIG_WALKTHROUGH``, or ``KUBECONFIG``, names a cluster. A namespace of its own is made there and deleted at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from aiohttp import web

from tests.promote.objects import CHECKS

Document = dict[str, Any]

NAMESPACE = "llm"

#: What kubectl is told of: (group, version, plural) → kind.
KINDS = {
    ("", "v1", "configmaps"): "ConfigMap",
    ("", "v1", "services"): "Service",
    ("coordination.k8s.io", "v1", "leases"): "Lease",
    ("events.k8s.io", "v1", "events"): "Event",
    ("networking.istio.io", "v1", "virtualservices"): "VirtualService",
    ("gateway.networking.k8s.io", "v1", "httproutes"): "HTTPRoute",
    ("serving.kserve.io", "v1beta1", "inferenceservices"): "InferenceService",
    ("argoproj.io", "v1alpha1", "rollouts"): "Rollout",
    ("argoproj.io", "v1alpha1", "analysistemplates"): "AnalysisTemplate",
    ("argoproj.io", "v1alpha1", "analysisruns"): "AnalysisRun",
}

#: A controller of somebody else's: sees an object after each write, and says what changes in it (a merge patch), or nothing.
Player = Callable[[Document], Document | None]


@dataclass
class Place:
    """``env`` lets kubectl and the judge find the API; ``prelude`` is bash that runs before the page. ``is_real``: nothing stands in."""

    env: Mapping[str, str]
    prelude: str = ""
    is_real: bool = False
    api: Any = None
    problems: list[str] = field(default_factory=list)
    resource: Any = None

    def get(self, plural: str, name: str) -> Document | None:
        """The object as kmock has it; None where it is not there."""
        key = self._key(plural, name)
        return copy.deepcopy(self.api.objects[key].raw) if key in self.api.objects else None

    async def amend(self, plural: str, name: str, change: Document) -> None:
        """Change an object on kmock by a merge patch, or make it."""
        key = self._key(plural, name)
        if key not in self.api.objects:
            group, version = next(found[:2] for found in KINDS if found[2] == plural)
            about = {"apiVersion": f"{group}/{version}", "kind": KINDS[group, version, plural]}
            self.api.objects[key] = {**about, "metadata": {"name": name, "namespace": NAMESPACE}}
        await self.api.amend(key, change)

    def _key(self, plural: str, name: str) -> Any:
        return (self.resource(*next(found for found in KINDS if found[2] == plural)), NAMESPACE, name)


@contextlib.asynccontextmanager
async def place(folder: Path, *crds: str, players: Mapping[str, Player] | None = None) -> AsyncIterator[Place]:
    """Where to run. ``crds`` (``plural.group``) must be known there: a cluster without one is skipped by that name. ``players`` stand in on
    kmock, by plural."""
    for program in ("kubectl", "git", "curl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not here")
    kubeconfig = os.environ.get("KUBECONFIG_WALKTHROUGH") or os.environ.get("KUBECONFIG")
    if kubeconfig:
        async with _real(Path(kubeconfig), folder, crds) as found:
            yield found
    else:
        async with _kmock(folder, players or {}) as found:
            yield found


# --- a cluster ----------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _real(kubeconfig: Path, folder: Path, crds: tuple[str, ...]) -> AsyncIterator[Place]:
    env = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    for crd in crds:
        code, output = await _kubectl(env, "get", "crd", crd)
        if code and "NotFound" in output:
            pytest.skip(f"the cluster has no {crd}")
        assert code == 0, output
    namespace = f"shadowproxy-walkthrough-{secrets.token_hex(4)}"
    code, output = await _kubectl(env, "config", "view", "--raw", "--minify", "--flatten")
    assert code == 0, output
    own = folder / "kubeconfig"
    tree = yaml.safe_load(output)
    tree["contexts"][0]["context"]["namespace"] = namespace
    own.write_text(yaml.safe_dump(tree))
    own.chmod(0o600)
    code, output = await _kubectl(env, "create", "namespace", namespace)
    assert code == 0, output
    try:
        yield Place({"KUBECONFIG": str(own)}, is_real=True)
    finally:
        code, output = await _kubectl(env, "delete", "namespace", namespace, "--wait=false")
        assert code == 0, output


async def _kubectl(env: Mapping[str, str], *words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "kubectl", *words, env=dict(env), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


# --- kmock --------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _kmock(folder: Path, players: Mapping[str, Player]) -> AsyncIterator[Place]:
    kmock = pytest.importorskip("kmock", reason="kmock is not installed, and no KUBECONFIG_WALKTHROUGH names a cluster")
    problems: list[str] = []
    async with _emulator(kmock, players, problems)() as api, kmock.Server(api) as server:
        for (group, version, plural), kind in KINDS.items():
            about = {"kind": kind, "singular": kind.lower(), "namespaced": True}
            api.resources[kmock.resource(group, version, plural)] = {
                **about,
                "verbs": {"get", "list", "watch", "create", "update", "patch"},
            }
        own = folder / "kubeconfig"
        own.write_text(yaml.safe_dump(reaching(str(server.url).rstrip("/"), NAMESPACE)))
        # It publishes no schemas, which kubectl would check what it applies against; they are checked here instead.
        unchecked = 'kubectl() { if [ "$1" = apply ]; then command kubectl "$@" --validate=false; else command kubectl "$@"; fi; }'
        yield Place({"KUBECONFIG": str(own)}, unchecked, api=api, problems=problems, resource=kmock.resource)


def _emulator(kmock: Any, players: Mapping[str, Player], problems: list[str]) -> Any:
    """kmock with what it lacks: versions of objects, names that are generated, PUT, kinds of lists, schemas, and controllers."""
    versions = itertools.count(1)

    class Versioned(kmock.KubernetesEmulator):  # type: ignore[misc, name-defined]
        async def _handle(self, request: Any) -> Any:
            if request.action == kmock.action.WATCH:
                return await self._watched(request)
            if request.resource is None or request.data is None:
                return await super()._handle(request)
            _stamp(request.data, str(next(versions)))
            key = (request.resource, request.namespace, request.name or request.data["metadata"]["name"])
            if request.method == kmock.method.PUT:
                self.objects[key] = request.data
                reply = web.json_response(request.data)
            else:
                reply = await super()._handle(request)
            problems.extend(CHECKS(key[0].group, key[0].version, key[0].plural, self.objects[key].raw))
            await self._play(key)
            return reply

        async def _play(self, key: Any) -> None:
            """What a controller of somebody else's makes of it."""
            if (player := players.get(key[0].plural)) is not None and (change := player(self.objects[key].raw)) is not None:
                await self.amend(key, change)

        async def amend(self, key: Any, change: Document) -> None:
            """A write of a controller's: a merge patch."""
            found = self.objects[key]
            found.patch({**change, "metadata": {"resourceVersion": str(next(versions))}})
            problems.extend(CHECKS(key[0].group, key[0].version, key[0].plural, found.raw))
            await self._buses[key[0]].put({"type": "MODIFIED", "object": found.raw})

        async def _watched(self, request: Any) -> web.StreamResponse:
            """As kmock has it, but called JSON: kubectl reads nothing else."""
            reply = web.StreamResponse(headers={"content-type": "application/json"})
            await reply.prepare(request._raw_request)
            with contextlib.suppress(ConnectionError):  # whoever watched has seen enough
                async for event in self._serve_watch(request):
                    await reply.write(orjson.dumps(event) + b"\n" if event else b"")
            return reply

        async def _serve_version(self, request: Any) -> Any:
            found = await super()._serve_version(request)
            return {**found, "groupVersion": found["groupVersion"].removeprefix("/")}

        async def _serve_list(self, request: Any) -> Any:
            found = await super()._serve_list(request)
            about = request.resource
            kind = KINDS[about.group, about.version, about.plural]
            return {"apiVersion": f"{about.group}/{about.version}".removeprefix("/"), "kind": f"{kind}List", **found}

    return Versioned


def _stamp(data: Any, version: str) -> None:
    """Another version with each write, whatever its form."""
    if isinstance(data, list):
        data.append({"op": "add", "path": "/metadata/resourceVersion", "value": version})
        return
    metadata = data.setdefault("metadata", {})
    metadata["resourceVersion"] = version
    if "generateName" in metadata and "name" not in metadata:
        metadata["name"] = f"{metadata['generateName']}{version}"


def reaching(url: str, namespace: str) -> Document:
    """A kubeconfig for an API server without locks."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": namespace}}],
        "current-context": "here",
    }
