"""A person's orders to the judge that moves traffic, from the command line over its admin surface to the controller."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from shadowproxy import orders
from shadowproxy.admin.app import build_judge, serve
from shadowproxy.app import check_secrets
from shadowproxy.config import Config, build
from shadowproxy.errors import ConfigError, RouterBusy, RouterRefused, ShadowproxyError
from shadowproxy.events import NoEvents
from shadowproxy.promote.building import Surroundings
from shadowproxy.promote.phases import Order
from shadowproxy.promote.steering import Steering
from shadowproxy.sources.reading import Reading
from shadowproxy.standalone_judge import StandaloneJudge
from shadowproxy.tasks import Tasks
from shadowproxy.watching import load as load_watcher
from tests.serve.serving import eventually

SWITCH = """
import json, pathlib, sys
state = pathlib.Path(__file__).with_name("percent")
if sys.argv[1] == "set":
    state.write_text(sys.argv[2])
print(json.dumps({"percent": int(state.read_text()) if state.exists() else 0}))
"""


def settings(tmp_path: Path, listen: str = "127.0.0.1:0", **target: Any) -> Config:
    program = tmp_path / "switch.py"
    program.write_text(SWITCH)
    default = {"program": {"command": ["python3", str(program)], "state_file": str(tmp_path / "state.json")}}
    return build(
        {
            "primary": {"url": "http://a:1"},
            "candidates": [{"name": "v2", "url": "http://b:1"}],
            "judge": {"admin": {"url": "http://127.0.0.1:9"}, "listen": listen},
            "promotions": [{"candidate": "v2", "steps": [10, 100], **(target or default)}],
        }
    )


class Silent:
    """A source without counts."""

    async def read(self, _: tuple[str, ...]) -> Reading:
        return Reading(0.0, {}, frozenset())

    async def close(self) -> None: ...


@contextlib.asynccontextmanager
async def judging(tmp_path: Path, *, acts: bool = True) -> AsyncIterator[tuple[Config, StandaloneJudge, list[str]]]:
    """A judge with a controller, and the configuration that finds it."""
    config, tasks, shown = settings(tmp_path), Tasks(), []
    process = StandaloneJudge(config, Silent(), load_watcher(config.judge, {}, tasks, decides=True))
    around = Surroundings(process.verdicts, NoEvents(), {}, "test", None if acts else shown.append)
    steering = Steering(around, tasks)
    process.steer(steering)
    await steering.adopt(steering.prepare(config.promotions))
    await eventually(lambda: "phase" in process.promotions()["v2"])
    surface = await serve(build_judge(process, None), "127.0.0.1:0")
    try:
        yield settings(tmp_path, surface.address), process, shown
    finally:
        await surface.close()
        await steering.close()
        await tasks.close()


async def test_order_reaches_the_controller_and_its_answer_comes_back(tmp_path: Path) -> None:
    async with judging(tmp_path) as (config, process, _):
        assert "paused" in await orders.give(config, "v2", Order.PAUSE)
        assert process.promotions()["v2"]["phase"] == "paused"
        assert "rolled_back" in await orders.give(config, "v2", Order.ABORT)


async def test_order_that_makes_no_sense_is_refused_with_the_remedy(tmp_path: Path) -> None:
    async with judging(tmp_path) as (config, _, _):
        with pytest.raises(ShadowproxyError) as refused:
            await orders.give(config, "v2", Order.RESUME)
        assert str(refused.value)


async def test_dry_run_moves_nothing(tmp_path: Path) -> None:
    async with judging(tmp_path, acts=False):
        assert not (tmp_path / "percent").exists()


@pytest.mark.parametrize(
    ("raised", "status"), [(RouterBusy("overloaded", 7), 503), (RouterRefused("no such route", "name one"), 409), (KeyError("v2"), 404)]
)
async def test_what_a_router_says_has_its_status(tmp_path: Path, raised: Exception, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise raised

    async with judging(tmp_path) as (config, process, _):
        monkeypatch.setattr(process, "order", fails)
        reader, writer = await asyncio.open_connection(*config.judge.listen.split(":"))
        writer.write(b"POST /promotion/v2/pause HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert (b"retry-after: 7" in answer.lower()) == (status == 503)


async def test_nobody_there_is_said_with_the_address(tmp_path: Path) -> None:
    with pytest.raises(ShadowproxyError, match=r"no judge answers at 127\.0\.0\.1:9"):
        await orders.give(settings(tmp_path, "127.0.0.1:9"), "v2", Order.PAUSE)


def test_candidate_without_a_promotion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="promotions are configured for: v2"):
        orders.ignore_differences_of(settings(tmp_path), "v3")


def test_argo_cd_is_told_what_to_leave_alone(tmp_path: Path) -> None:
    service = {"name": "chat", "primary": {"host": "chat-v1"}, "candidate": {"host": "chat-v2"}}
    block = yaml.safe_load(orders.ignore_differences_of(settings(tmp_path, virtual_service=service), "v2"))
    assert "weight" in yaml.safe_dump(block)
    with pytest.raises(ShadowproxyError, match="nothing to ignore"):
        orders.ignore_differences_of(settings(tmp_path), "v2")


def test_promotion_of_nobody_and_two_routers_are_refused(tmp_path: Path) -> None:
    tree = settings(tmp_path).model_dump(mode="json", exclude_none=True)
    with pytest.raises(ConfigError, match="promotes v9, which is no candidate"):
        build({**tree, "promotions": [{**tree["promotions"][0], "candidate": "v9"}]})
    with pytest.raises(ConfigError, match="promotes v2 more than once"):
        build({**tree, "promotions": tree["promotions"] * 2})
    with pytest.raises(ConfigError, match="exactly one router"):
        build({**tree, "promotions": [{**tree["promotions"][0], "inference_service": {"name": "chat"}}]})


def test_missing_credential_of_a_web_hook_is_found_by_a_check(tmp_path: Path) -> None:
    hook = {"url": "http://h:1", "auth": {"env": "NO_SUCH_KEY"}, "state_file": str(tmp_path / "state.json")}
    with pytest.raises(ConfigError, match=r"promotions\[0\]\.hook\.auth: env NO_SUCH_KEY is not set"):
        check_secrets(settings(tmp_path, hook=hook))
