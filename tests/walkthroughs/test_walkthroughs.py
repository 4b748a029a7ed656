"""Every walk-through under docs/ does what its page says: its files, its commands, its output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.walkthroughs.clusters import Place, place
from tests.walkthroughs.pages import CLUSTER_S, HERE_S, Run, page
from tests.walkthroughs.players import KServe

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
