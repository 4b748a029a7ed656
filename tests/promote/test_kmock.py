"""The same rollouts on kmock, an API server of somebody else's making: it applies patches by another library, and keeps no versions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shadowproxy.promote.cluster import Cluster
from shadowproxy.promote.kube import Kube
from shadowproxy.promote.memory import ConfigMapMemory, Memory
from shadowproxy.promote.phases import Phase
from shadowproxy.promote.routers.objects import ObjectRouter
from shadowproxy.promote.routers.port import Router
from shadowproxy.promote.routers.shape import Shape
from tests.promote.steering import STEP_S, Bench
from tests.promote.worlds import CLUSTER_WORLDS, World, documents_of, share_of

kmock = pytest.importorskip("kmock", reason="kmock is not installed")


@contextlib.asynccontextmanager
async def world(shape: Shape) -> AsyncIterator[World]:
    clients: list[Kube] = []
    async with kmock.KubernetesEmulator() as api, kmock.Server(api) as server:
        for ref, document in zip(shape.objects, documents_of(shape), strict=True):
            document["metadata"]["resourceVersion"] = "1"
            api.objects[kmock.resource(ref.group, ref.version, ref.plural), ref.namespace, ref.name] = document
        memory_of_ours = {"metadata": {"name": "shadowproxy-v2", "namespace": "llm", "resourceVersion": "1"}}
        api.objects[kmock.resource("", "v1", "configmaps"), "llm", "shadowproxy-v2"] = memory_of_ours

        def found(group: str, plural: str, namespace: str, name: str) -> dict[str, Any]:
            version = next(ref.version for ref in shape.objects)
            document: dict[str, Any] = api.objects[kmock.resource(group, version, plural), namespace, name].raw
            return document

        def connect() -> tuple[Router, Memory | None]:
            clients.append(Kube(Cluster(str(server.url).rstrip("/"), "llm"), 5.0))
            memory = None if shape.is_annotated else ConfigMapMemory(clients[-1], "llm", "shadowproxy-v2")
            return ObjectRouter(clients[-1], shape), memory

        try:
            yield World("kmock", connect, lambda: share_of(found, shape), lambda _: None, lambda: None)
        finally:
            for client in clients:
                await client.close()


@pytest.mark.parametrize("name", CLUSTER_WORLDS)
@pytest.mark.parametrize(("last", "phase", "percent"), [("promote", Phase.PROMOTED, 100), ("rollback", Phase.ROLLED_BACK, 0)])
async def test_rollout_goes_its_way_on_another_server(name: str, last: str, phase: Phase, percent: int) -> None:
    async with world(CLUSTER_WORLDS[name]) as made:
        bench = Bench(made)
        await bench.go_to(50)
        while not bench.progress.phase.is_over:
            await bench.look(last, STEP_S)
        assert bench.progress.phase is phase
        assert made.percent() == percent
