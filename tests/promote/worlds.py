"""One world for each router: what it steers, how much traffic the candidate really has there, and how a person meddles with it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from shadowproxy.config import Tls
from shadowproxy.promote.cluster import Cluster
from shadowproxy.promote.kube import Kube
from shadowproxy.promote.memory import ConfigMapMemory, FileMemory, Memory
from shadowproxy.promote.routers.edits import VersionEdits, WeightEdits
from shadowproxy.promote.routers.gateway_api import Backend, HttpRoute
from shadowproxy.promote.routers.git import GitRouter
from shadowproxy.promote.routers.hook import Hook
from shadowproxy.promote.routers.inference_service import InferenceService
from shadowproxy.promote.routers.istio import ServiceSubset, VirtualService
from shadowproxy.promote.routers.knative import KnativeService, Target
from shadowproxy.promote.routers.llm_inference_service import LlmInferenceService
from shadowproxy.promote.routers.manifest import Place
from shadowproxy.promote.routers.objects import ObjectRouter
from shadowproxy.promote.routers.percent import PercentRouter
from shadowproxy.promote.routers.port import Router
from shadowproxy.promote.routers.program import Program
from shadowproxy.promote.routers.shape import Shape
from shadowproxy.services import Service
from shadowproxy.testing.kubernetes import FakeKubernetes
from tests.promote.objects import (
    CHECKS,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    KNATIVE_SERVICE,
    VIRTUAL_SERVICE,
    llm_service,
    read,
)

ISTIO = VirtualService("llm", "chat", ServiceSubset("chat-v1"), ServiceSubset("chat-v2"), routes=("completions",))
GATEWAY = HttpRoute("llm", "chat", Backend("chat-v1"), Backend("chat-v2"))
KSERVE = InferenceService("llm", "chat")
LLM = LlmInferenceService("llm", primary="chat-v1", candidate="chat-v2")
KNATIVE = KnativeService("llm", "chat", Target(tag="stable"), Target(tag="candidate"))

#: Discovery, for kubectl.
KINDS = {
    ("networking.istio.io/v1", "virtualservices"): "VirtualService",
    ("gateway.networking.k8s.io/v1", "httproutes"): "HTTPRoute",
    ("serving.kserve.io/v1beta1", "inferenceservices"): "InferenceService",
    ("serving.kserve.io/v1alpha2", "llminferenceservices"): "LLMInferenceService",
    ("serving.knative.dev/v1", "services"): "Service",
    ("v1", "configmaps"): "ConfigMap",
}


@dataclass
class World:
    """``connect`` makes a router and memory as a new process would. ``percent`` is what the candidate really gets, as whoever routes sees
    it. ``meddle`` gives it another share past us, ``vanish`` takes away what is steered."""

    name: str
    connect: Callable[[], tuple[Router, Memory | None]]
    percent: Callable[[], float]
    meddle: Callable[[int], None]
    vanish: Callable[[], None]
    steps: tuple[int, ...] = (1, 5, 25, 50, 100)
    api: FakeKubernetes | None = None
    opened: list[Any] = field(default_factory=list)


_OPENED: list[Kube] = []


def reach(api: FakeKubernetes, timeout_s: float = 5.0) -> Kube:
    """A client, to be closed by :func:`close_clients`."""
    _OPENED.append(Kube(Cluster(api.url, "llm"), timeout_s))
    return _OPENED[-1]


async def close_clients() -> None:
    while _OPENED:
        await _OPENED.pop().close()


def documents_of(shape: Shape) -> list[dict[str, Any]]:
    match shape:
        case VirtualService():
            return [read(VIRTUAL_SERVICE)]
        case HttpRoute():
            return [read(HTTP_ROUTE)]
        case InferenceService():
            return [read(INFERENCE_SERVICE)]
        case KnativeService():
            return [read(KNATIVE_SERVICE)]
        case _:
            return [llm_service("chat-v2", 0), llm_service("chat-v1", 100)]


Get = Callable[[str, str, str, str], dict[str, Any]]


def weights_of(get: Get, shape: Shape) -> tuple[int, int]:
    """Weights of candidate and primary by the rules of each API, told again without the code under test."""
    found = [get(ref.group, ref.plural, ref.namespace, ref.name)["spec"] for ref in shape.objects]
    match shape:
        case VirtualService():
            primary, candidate, *_ = found[0]["http"][1]["route"]
            return candidate.get("weight", 0), primary.get("weight", 0)
        case HttpRoute():
            primary, candidate = found[0]["rules"][0]["backendRefs"]
            return candidate.get("weight", 1), primary.get("weight", 1)
        case InferenceService():
            percent = found[0]["predictor"].get("canaryTrafficPercent", 100)
            return percent, 100 - percent
        case KnativeService():
            primary, candidate = found[0]["traffic"]
            return candidate.get("percent", 0), primary.get("percent", 0)
        case _:
            return found[0]["router"]["route"]["weight"], found[1]["router"]["route"]["weight"]


def _meddle(api: FakeKubernetes, shape: Shape, percent: int) -> None:
    def change(document: dict[str, Any]) -> None:
        spec = document["spec"]
        match shape:
            case VirtualService():
                spec["http"][1]["route"][0]["weight"], spec["http"][1]["route"][1]["weight"] = 100 - percent, percent
            case HttpRoute():
                spec["rules"][0]["backendRefs"][0]["weight"], spec["rules"][0]["backendRefs"][1]["weight"] = 100 - percent, percent
            case InferenceService():
                spec["predictor"]["canaryTrafficPercent"] = percent
            case KnativeService():
                spec["traffic"][0]["percent"], spec["traffic"][1]["percent"] = 100 - percent, percent
            case _:
                candidate = document["metadata"]["name"] == "chat-v2"
                spec["router"]["route"]["weight"] = percent if candidate else 100 - percent

    for ref in shape.objects:
        api.edit(ref.group, ref.plural, ref.namespace, ref.name, change)


def share_of(get: Get, shape: Shape) -> float:
    """The candidate's share in percent. ``get`` finds an object by group, plural, namespace and name."""
    candidate, primary = weights_of(get, shape)
    return 100 * candidate / (candidate + primary)


@contextlib.asynccontextmanager
async def cluster_world(name: str, shape: Shape) -> AsyncIterator[World]:
    async with FakeKubernetes(CHECKS, KINDS) as api:
        for ref, document in zip(shape.objects, documents_of(shape), strict=True):
            api.put(ref.group, ref.version, ref.plural, document)

        def connect() -> tuple[Router, Memory | None]:
            kube = reach(api)
            return ObjectRouter(kube, shape), None if shape.is_annotated else ConfigMapMemory(kube, "llm", "shadowproxy-v2")

        def vanish() -> None:
            ref = shape.objects[0]
            api.delete(ref.group, ref.plural, ref.namespace, ref.name)

        try:
            yield World(name, connect, lambda: share_of(api.get, shape), lambda percent: _meddle(api, shape, percent), vanish, api=api)
        finally:
            await close_clients()


# --- git ----------------------------------------------------------------------------------------------------------------

MANIFEST = """\
# Weights are steered; everything else is ours.
apiVersion: v1
kind: Service
metadata: {name: chat}   # unrelated
---
kind: VirtualService
metadata:
    name: chat
spec:
    http:
    -   route:
        # the version that clients know
        -   destination: {host: chat-v1}
            weight: 100      # moves
        -   destination: { host: 'chat-v2' }
            weight: "0"
    prompt:
        version: 'p-7'  # reviewed by the prompt guild
        image: registry.example.com/chat:v1
"""

WEIGHTS = WeightEdits(
    candidate=Place("/spec/http/0/route/1/weight", "VirtualService", "chat"),
    primary=Place("/spec/http/0/route/0/weight", "VirtualService", "chat"),
)
VERSIONS = VersionEdits({Place("/spec/prompt/version", "VirtualService"): "p-8", Place("/spec/prompt/image", "VirtualService"): "chat:v2"})


def git(folder: Path, *words: str, given: str = "") -> str:
    identity = ("-c", "user.name=A Person", "-c", "user.email=person@example.com")
    return subprocess.run(["git", *identity, *words], cwd=folder, input=given, check=True, capture_output=True, text=True).stdout


def repository(folder: Path, manifest: str = MANIFEST) -> Path:
    """A bare repository with one file on main."""
    bare, work = folder / "origin.git", folder / "work"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(bare), str(work)], check=True, capture_output=True)
    (work / "apps").mkdir()
    (work / "apps/chat.yaml").write_text(manifest)
    git(work, "checkout", "--quiet", "-B", "main")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "Begin")
    git(work, "push", "--quiet", "origin", "main")
    return bare


def manifest_of(bare: Path, branch: str = "main") -> str:
    return git(bare, "show", f"{branch}:apps/chat.yaml")


def _commit(bare: Path, text: str) -> None:
    work = bare.parent / "work"
    git(work, "pull", "--quiet", "origin", "main")
    (work / "apps/chat.yaml").write_text(text)
    git(work, "commit", "--quiet", "-a", "-m", "A person's idea")
    git(work, "push", "--quiet", "origin", "main")


def _git_weights(bare: Path) -> float:
    route = _virtual_service(bare)["spec"]["http"][0]["route"]
    candidate, primary = int(route[1]["weight"]), int(route[0]["weight"])
    return 100 * candidate / (candidate + primary)


def _git_versions(bare: Path) -> float:
    prompt = _virtual_service(bare)["spec"]["prompt"]
    return 50.0 * ((prompt["version"] == "p-8") + (prompt["image"] == "chat:v2"))


def _virtual_service(bare: Path) -> dict[str, Any]:

    document: dict[str, Any] = list(yaml.safe_load_all(manifest_of(bare)))[1]
    return document


@contextlib.asynccontextmanager
async def git_world(name: str, folder: Path) -> AsyncIterator[World]:
    bare = repository(folder)
    edits = VERSIONS if name == "git versions" else WEIGHTS

    def connect() -> tuple[Router, Memory | None]:
        return GitRouter(str(bare), "main", "apps/chat.yaml", ".shadowproxy/v2.json", edits, folder / "mirror.git"), None

    def meddle(percent: int) -> None:
        text = manifest_of(bare)
        if name == "git versions":
            _commit(bare, text.replace("'p-7'", "'p-8'") if percent else text.replace("'p-8'", "'p-7'"))
        else:
            before = int(_git_weights(bare))
            text = text.replace(f"weight: {100 - before} ", f"weight: {100 - percent} ").replace(
                f'weight: "{before}"', f'weight: "{percent}"'
            )
            _commit(bare, text)

    def vanish() -> None:
        work = bare.parent / "work"
        git(work, "pull", "--quiet", "origin", "main")
        git(work, "rm", "--quiet", "apps/chat.yaml")
        git(work, "commit", "--quiet", "-m", "Away with it")
        git(work, "push", "--quiet", "origin", "main")

    percent = _git_versions if name == "git versions" else _git_weights
    steps = (100,) if name == "git versions" else (1, 5, 25, 50, 100)
    yield World(name, connect, lambda: percent(bare), meddle, vanish, steps)


# --- a program and a web hook -------------------------------------------------------------------------------------------

PROGRAM = """\
import json, pathlib, sys
file = pathlib.Path(sys.argv[1])
if sys.argv[2] == "get":
    print(json.dumps({"percent": int(file.read_text())}))
else:
    file.write_text(sys.argv[3])
"""


@contextlib.asynccontextmanager
async def program_world(folder: Path) -> AsyncIterator[World]:
    script, file = folder / "shift.py", folder / "percent"
    script.write_text(PROGRAM)
    file.write_text("0")

    def connect() -> tuple[Router, Memory | None]:
        return PercentRouter(Program((sys.executable, str(script), str(file)), 10.0)), FileMemory(folder / "rollout.json")

    steps = (5, 100)  # each look starts a process
    yield World("program", connect, lambda: float(file.read_text()), lambda p: void(file.write_text(str(p))), file.unlink, steps)


def void(_: object) -> None:
    """For a lambda whose value nobody wants."""


@contextlib.asynccontextmanager
async def hook_world(folder: Path) -> AsyncIterator[World]:
    state = {"percent": 0, "version": "1", "status": 200}

    async def serve(request: web.Request) -> web.Response:
        if state["status"] != 200:
            return web.Response(status=int(state["status"]))
        if request.method == "POST":
            asked = await request.json()
            if asked["version"] != state["version"]:
                return web.Response(status=409)
            state.update(percent=asked["percent"], version=str(int(state["version"]) + 1))
        return web.json_response({"percent": state["percent"], "version": state["version"]})

    app = web.Application()
    app.router.add_route("*", "/shift", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    opened: list[Service] = []

    def connect() -> tuple[Router, Memory | None]:
        service = Service(f"http://127.0.0.1:{runner.addresses[0][1]}/shift", None, Tls(), 5.0)
        opened.append(service)
        return PercentRouter(Hook(service)), FileMemory(folder / "rollout.json")

    def meddle(percent: int) -> None:
        state.update(percent=percent, version=str(int(state["version"]) + 1))

    try:
        yield World("hook", connect, lambda: float(state["percent"]), meddle, lambda: state.update(status=404))
    finally:
        for service in opened:
            await service.close()
        await runner.cleanup()


def world(name: str, folder: Path) -> contextlib.AbstractAsyncContextManager[World]:
    """The world called ``name``, one of :data:`WORLDS`."""
    match name:
        case "git weights" | "git versions":
            return git_world(name, folder)
        case "program":
            return program_world(folder)
        case "hook":
            return hook_world(folder)
    return cluster_world(name, CLUSTER_WORLDS[name])


CLUSTER_WORLDS: dict[str, Shape] = {
    "istio": ISTIO,
    "gateway api": GATEWAY,
    "inferenceservice": KSERVE,
    "llminferenceservice": LLM,
    "knative": KNATIVE,
}
WORLDS = (*CLUSTER_WORLDS, "git weights", "git versions", "program", "hook")


def dumped(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=False).encode()
