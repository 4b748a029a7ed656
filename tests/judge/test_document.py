"""docs/judge.md: its examples are read by the code they are about, and its table is complete."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from shadowproxy.admin.app import JUDGE_ENDPOINTS
from shadowproxy.config import build
from shadowproxy.events import TYPE, Change, cloud_event
from shadowproxy.sources.prometheus import Prometheus
from shadowproxy.standalone_judge import source_of

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "judge.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


async def test_configuration_is_one_that_a_judge_starts_with() -> None:
    config = build(yaml.safe_load(blocks("yaml")[0]))
    assert isinstance(source_of(config), Prometheus)
    assert config.judge.listen == "127.0.0.1:9902"


def test_event_has_the_attributes_of_a_real_one() -> None:
    shown = json.loads(blocks("json")[0])
    document = {"rollout": shown["subject"], "candidate": "v2", "state": "promote"}
    real = json.loads(cloud_event(Change(1_772_366_400.25, "hold", document), "/shadowproxy/judge", {}))
    assert {**real, "id": shown["id"], "data": {**real["data"], "verdict": None}} == shown
    assert len(real["id"]) == len(shown["id"])
    assert shown["type"] == TYPE


def test_every_endpoint_and_every_key_is_named() -> None:
    assert [path for path in JUDGE_ENDPOINTS if f"`{path}`" not in DOCUMENT and f"`{path}?" not in DOCUMENT] == []
    assert set(re.findall(r"`judge\.([a-z_]+)", DOCUMENT)) <= set(build({"primary": {"url": "http://a"}}).judge.__class__.model_fields)
