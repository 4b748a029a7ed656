"""What is written to Kubernetes objects, byte by byte, and what kubectl makes of what a dry run shows."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from shadowproxy.promote.argo_cd import ignore_differences
from shadowproxy.promote.json_patch import FIELD_MANAGER
from shadowproxy.promote.phases import Phase
from shadowproxy.promote.progress import ANNOTATION
from shadowproxy.promote.routers.istio import ServiceSubset, VirtualService
from shadowproxy.promote.routers.objects import ObjectRouter
from shadowproxy.promote.routers.shape import Shape
from shadowproxy.testing.kubernetes import FakeKubernetes
from tests.promote.objects import CHECKS, HAS_CRDS, VIRTUAL_SERVICE, read
from tests.promote.steering import STEP_S, Bench
from tests.promote.worlds import CLUSTER_WORLDS, ISTIO, KINDS, World, close_clients, cluster_world, reach

needs_crds = pytest.mark.skipif(not HAS_CRDS, reason="CRD schemas (../shared/crds) are not there")
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@pytest.fixture(params=CLUSTER_WORLDS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with cluster_world(request.param, CLUSTER_WORLDS[request.param]) as made:
        yield Bench(made)


def api_of(bench: Bench) -> FakeKubernetes:
    assert bench.world.api is not None
    return bench.world.api


def shape_of(world: World) -> Shape:
    return CLUSTER_WORLDS[world.name]


def objects(bench: Bench) -> list[dict[str, Any]]:
    """What is steered, without what the API server itself writes and without our annotation."""
    found = []
    for ref in shape_of(bench.world).objects:
        document = api_of(bench).get(ref.group, ref.plural, ref.namespace, ref.name)
        for key in ("resourceVersion", "generation", "managedFields", "uid"):
            document["metadata"].pop(key)
        document["metadata"].get("annotations", {}).pop(ANNOTATION, None)
        if document["metadata"].get("annotations") == {}:
            del document["metadata"]["annotations"]
        found.append(document)
    return found


WEIGHT = re.compile(rb',?"(weight|percent|canaryTrafficPercent)":\d+')


def without_weights(documents: list[dict[str, Any]]) -> list[bytes]:
    """The objects as text, in the order of their keys, without any weight."""
    return [WEIGHT.sub(b"", orjson.dumps(document)).replace(b"{,", b"{") for document in documents]


async def test_promotion_changes_weights_and_nothing_else(bench: Bench) -> None:
    before = objects(bench)
    await bench.go_to(100)
    assert (await bench.look("promote", STEP_S)).phase is Phase.PROMOTED
    assert objects(bench) != before
    assert without_weights(objects(bench)) == without_weights(before)


async def test_rolled_back_object_is_byte_by_byte_what_it_was(bench: Bench) -> None:
    before = [orjson.dumps(document, option=orjson.OPT_SORT_KEYS) for document in objects(bench)]
    await bench.go_to(25)
    await bench.look("rollback")
    assert [orjson.dumps(document, option=orjson.OPT_SORT_KEYS) for document in objects(bench)] == before


def test_virtual_service_of_the_tests_has_over_forty_fields_that_are_no_weights() -> None:
    def leaves(value: object) -> int:
        match value:
            case dict():
                return sum(leaves(part) for part in value.values())
            case list():
                return sum(leaves(part) for part in value)
        return 1

    assert leaves(read(VIRTUAL_SERVICE)["spec"]["http"][1]) > 43


async def test_ownership_is_given_up_at_the_end(bench: Bench) -> None:
    await bench.go_to(100)
    api = api_of(bench)
    refs = shape_of(bench.world).objects

    def managers() -> set[str]:
        found = [api.get(ref.group, ref.plural, ref.namespace, ref.name)["metadata"]["managedFields"] for ref in refs]
        return {entry["manager"] for entries in found for entry in entries}

    await bench.look("promote", STEP_S)
    assert FIELD_MANAGER in managers()
    await bench.look("promote")
    assert FIELD_MANAGER not in managers()
    writes = len([method for method, _ in api.requests if method != "GET"])
    await bench.look("promote")
    assert len([method for method, _ in api.requests if method != "GET"]) == writes, "there is nothing left to give up"


async def test_hold_writes_nothing_at_all(bench: Bench) -> None:
    await bench.go_to(1)
    api_of(bench).requests.clear()
    await bench.look("hold", STEP_S)
    assert {method for method, _ in api_of(bench).requests} == {"GET"}


async def run_shown(bench: Bench, folder: Path) -> None:
    """Run what a dry run shows as it stands, in a shell whose kubectl knows this server."""
    wrapper = folder / "kubectl"
    options = shlex.join(["--server", api_of(bench).url, "--cache-dir", str(folder / "cache"), "--kubeconfig", "/dev/null"])
    wrapper.write_text(f'#!/bin/sh\nverb=$1; shift; exec {shutil.which("kubectl")} "$verb" {options} "$@"\n')
    wrapper.chmod(0o700)
    process = await asyncio.create_subprocess_exec(
        "sh", "-e", "-c", bench.shown[-1],
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output


@needs_kubectl
async def test_what_a_dry_run_shows_works_in_a_shell_step_by_step(bench: Bench, tmp_path: Path) -> None:
    bench.start(dry_run=True)
    for percent in (1, 5):
        bench.clock.advance(STEP_S)
        bench.judge("promote")
        await bench.controller.look()
        assert f"canary, {percent} %" in bench.shown[-1]
        await run_shown(bench, tmp_path)
        assert bench.world.percent() == percent
    bench.judge("rollback")
    await bench.controller.look()
    await run_shown(bench, tmp_path)
    assert bench.world.percent() == 0


@needs_kubectl
async def test_person_who_ran_what_a_dry_run_shows_is_followed_by_the_controller_from_there(bench: Bench, tmp_path: Path) -> None:
    bench.start(dry_run=True)
    bench.judge("promote")
    await bench.controller.look()
    await run_shown(bench, tmp_path)
    bench.start()
    assert (await bench.look("hold")).phase is Phase.CANARY
    assert (await bench.look("promote", STEP_S)).percent == 5


@needs_kubectl
async def test_patch_that_is_out_of_date_does_nothing_in_a_shell(tmp_path: Path) -> None:
    async with cluster_world("istio", ISTIO) as world:
        bench = Bench(world)
        bench.start(dry_run=True)
        bench.judge("promote")
        await bench.controller.look()
        world.meddle(3)
        words = shlex.split(bench.shown[0].splitlines()[-1])
        words[1:1] = ["--server", api_of(bench).url, "--cache-dir", str(tmp_path), "--kubeconfig", "/dev/null"]
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        output, _ = await process.communicate()
        assert process.returncode != 0
        assert b"resourceVersion" in output
        assert world.percent() == 3


@needs_crds
def test_objects_of_the_tests_fit_their_definitions_and_odd_ones_do_not() -> None:
    good = read(VIRTUAL_SERVICE)
    assert CHECKS("networking.istio.io", "v1", "virtualservices", good) == []
    good["spec"]["http"][1]["route"][0]["wieght"] = 5
    assert CHECKS("networking.istio.io", "v1", "virtualservices", good) != []


async def test_weights_that_do_not_add_up_to_100_are_proportions() -> None:
    shape = VirtualService("llm", "chat", ServiceSubset("chat-v1"), ServiceSubset("chat-v2"))
    document = read(VIRTUAL_SERVICE)
    route = document["spec"]["http"][1]["route"]
    route[0]["weight"], route[1]["weight"], route[2]["weight"] = 3, 0, 4
    async with FakeKubernetes(CHECKS, KINDS) as api:
        api.put("networking.istio.io", "v1", "virtualservices", document)
        bench = Bench(_world(api, shape))
        await bench.look("hold")
        await bench.look("promote")
        weights = [
            entry["weight"] for entry in api.get("networking.istio.io", "virtualservices", "llm", "chat")["spec"]["http"][1]["route"]
        ]
        assert weights == [297, 3, 400], "1 % of the pair; 3 to 4 is still 300 to 400"
        await bench.look("rollback")
        weights = [
            entry["weight"] for entry in api.get("networking.istio.io", "virtualservices", "llm", "chat")["spec"]["http"][1]["route"]
        ]
        assert weights == [3, 0, 4]
        await close_clients()


def _world(api: FakeKubernetes, shape: Shape) -> World:
    return World("istio", lambda: (ObjectRouter(reach(api), shape), None), lambda: 0.0, lambda _: None, lambda: None, api=api)


@pytest.mark.parametrize("name", CLUSTER_WORLDS)
def test_argo_cd_is_told_of_exactly_what_is_steered(name: str) -> None:
    shape = CLUSTER_WORLDS[name]
    told = ignore_differences(shape)
    assert told["syncPolicy"] == {"syncOptions": ["RespectIgnoreDifferences=true"]}
    assert [(entry["kind"], entry["name"]) for entry in told["ignoreDifferences"]] == [(ref.kind, ref.name) for ref in shape.objects]
    for entry in told["ignoreDifferences"]:
        assert entry.get("jsonPointers") == (["/metadata/annotations/shadowproxy.io~1rollout"] if shape.is_annotated else None)
        assert all(re.fullmatch(r"(\.\w+(\[\])?)+", path) for path in entry["jqPathExpressions"])
