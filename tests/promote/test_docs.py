"""What docs/promotion.md says is what the code has and does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from shadowproxy.promote.argo_cd import ignore_differences
from shadowproxy.promote.lease import Lease
from shadowproxy.promote.news import MOVED, STUCK, ObjectEvents
from shadowproxy.promote.phases import ORDERS, PHASES
from tests.promote.steering import STEP_S, Bench
from tests.promote.worlds import CLUSTER_WORLDS, ISTIO, cluster_world, reach

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "promotion.md").read_text(encoding="utf-8")
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}


def block(beginning: str) -> Any:
    """The YAML block that begins so."""
    return next(yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if text.startswith(beginning))


def rows() -> dict[str, str]:
    return dict(re.findall(r"^\| `([^`]+)` \| (.+?) \|$", TEXT, re.MULTILINE))


def test_every_phase_and_order_is_explained_in_its_own_words() -> None:
    told = rows()
    for name, sentence in [*PHASES.items(), *ORDERS.items()]:
        assert told[name] == sentence
    assert {MOVED, STUCK} <= set(told)


def test_argo_cd_block_is_what_is_printed() -> None:
    printed = ignore_differences(ISTIO)
    assert block("ignoreDifferences") == printed


async def test_role_allows_what_is_done_and_no_more() -> None:
    used: set[tuple[str, str, str]] = set()
    for name, shape in CLUSTER_WORLDS.items():
        async with cluster_world(name, shape) as world:
            assert world.api is not None
            world.steps = (100,)
            bench = Bench(world)
            lease = Lease(reach(world.api), "llm", "judge", "one", duration_s=15.0)
            bench.audience = ObjectEvents(reach(world.api), shape.objects[0], "one")  # type: ignore[assignment]
            bench.start(*world.connect(), lease)
            await bench.go_to(100)
            await bench.look("promote", STEP_S)
            await bench.look("promote")
            for method, path in world.api.requests:
                _, group, plural = re.match(r"/(apis/([^/]+)|api)/v\w+/namespaces/llm/([a-z]+)", path).groups()  # type: ignore[union-attr]
                used.add((group or "", plural, VERBS[method]))
    allowed = {
        (group, plural, verb)
        for rule in block("apiVersion: rbac")["rules"]
        for group in rule["apiGroups"]
        for plural in rule["resources"]
        for verb in rule["verbs"]
    }
    assert used == allowed
