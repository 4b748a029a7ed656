"""Every walk-through under docs/ does what its page says: its files, its commands, its output."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from tests.walkthroughs.clusters import Place, place
from tests.walkthroughs.pages import CLUSTER_S, HERE_S, Page, Run, Step, page
from tests.walkthroughs.players import ArgoRollouts, KServe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(CLUSTER_S + 60)]


async def walk(name: str, where: Place, folder: Path) -> Run:
    run = Run(page(name), folder)
    await run.go(where.env, where.prelude, CLUSTER_S if where.is_real else HERE_S)
    assert where.problems == [], "what was applied fits the definitions"
    return run


async def test_istio(tmp_path: Path) -> None:
    async with place(tmp_path, "virtualservices.networking.istio.io") as where:
        await walk("istio", where, tmp_path)


async def test_kserve(tmp_path: Path) -> None:
    async with place(tmp_path, "inferenceservices.serving.kserve.io", players={"inferenceservices": KServe()}) as where:
        await walk("kserve", where, tmp_path)


async def test_gitops(tmp_path: Path) -> None:
    async with place(tmp_path, "httproutes.gateway.networking.k8s.io") as where:
        await walk("gitops", where, tmp_path)


ARGO = ("rollouts.argoproj.io", "analysistemplates.argoproj.io", "virtualservices.networking.istio.io")


async def test_argo_rollouts(tmp_path: Path) -> None:
    what = page("argo-rollouts")
    async with place(tmp_path, *ARGO) as where:
        if where.is_real:
            files = " ".join(f"-f {name}" for name in what.files if name != "shadowproxy.yaml")
            await Run(Page(what.files, (Step(f"kubectl apply --dry-run=server {files}\n", None),)), tmp_path).go(where.env)
            return
        judge = yaml.safe_load(what.files["shadowproxy.yaml"])["judge"]["listen"]
        playing = asyncio.create_task(ArgoRollouts(where, "chat", judge).run())
        try:
            await Run(what, tmp_path).go(where.env, where.prelude)
            assert not playing.done(), "it went on to the end"
        finally:
            playing.cancel()
            (ended,) = await asyncio.gather(playing, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended
        assert where.problems == [], "what was applied fits the definitions"
