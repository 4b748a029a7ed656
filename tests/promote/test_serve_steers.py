"""``serve`` that judges alone moves traffic by its own verdicts: a real process, real traffic, and a router whose state is read back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import yaml

from shadowproxy.testing.kubernetes import FakeKubernetes
from tests.gateway.wires import Upstream, closed_port
from tests.judge.judging import only_errors
from tests.promote.objects import CHECKS, VIRTUAL_SERVICE, read
from tests.promote.worlds import ISTIO, PROGRAM, manifest_of, repository
from tests.serve.serving import Serving, run_cli, serving
from tests.serve.wire import ask, request
from tests.test_shadow import chat_reply

FAILURE = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"

#: Enough for a margin of 0.3, either way.
PAIRS = 60

WITHIN_S = 60.0


def percent_by(folder: Path, name: str = "percent") -> dict[str, Any]:
    """A router that is a program, with its number in a file."""
    script, file = folder / "shift.py", folder / name
    script.write_text(PROGRAM)
    file.write_text("0")
    return {"program": {"command": [sys.executable, str(script), str(file)], "state_file": str(folder / f"{name}.json")}}


def at_once(*percents: int) -> list[dict[str, float]]:
    """Steps that wait for nothing but the verdict."""
    return [{"percent": percent, "min_age_s": 0, "min_pairs": 0} for percent in percents]


def promotion(router: dict[str, Any], *steps: dict[str, float]) -> dict[str, Any]:
    return {"candidate": "v2", "interval_s": 0.1, "steps": list(steps or at_once(10, 100)), **router}


@contextlib.asynccontextmanager
async def judged(*promotions: dict[str, Any], arguments: tuple[str, ...] = (), **more: Any) -> AsyncIterator[tuple[Serving, Upstream]]:
    """A serve with a candidate that is as good as the primary, until it is told otherwise."""
    async with Upstream(chat_reply("x")) as primary, Upstream(chat_reply("x")) as candidate:
        tree = {
            "primary": {"url": primary.url},
            "candidates": [{"name": "v2", "url": candidate.url}],
            "embed": {"backend": "none"},
            "gates": only_errors(0.3),
            "verdict": {"soak_s": 0, "min_pairs": 20, "interval_s": 0.1},
            "promotions": list(promotions),
            **more,
        }
        async with serving(tree, arguments=arguments) as serve:
            yield serve, candidate


ACTS = ("--no-dry-run",)


async def fill(serve: Serving, number: int = PAIRS) -> None:
    for count in range(number):
        body = orjson.dumps({"messages": [{"role": "user", "content": f"question {count}"}]})
        assert (await ask(serve.url, request("POST", body, "content-type: application/json", target="/v1/chat/completions"))).status == 200


async def standing(serve: Serving, candidate: str = "v2") -> dict[str, Any]:
    _, body = await serve.get("/promotion")
    found: dict[str, Any] = orjson.loads(body)["promotions"].get(candidate, {})
    return found


async def reaches(serve: Serving, **wanted: object) -> dict[str, Any]:
    """Wait until the promotion stands so."""
    seen: dict[str, Any] = {}
    try:
        async with asyncio.timeout(WITHIN_S):
            while not wanted.items() <= (seen := await standing(serve)).items():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"last seen: {seen}; log:\n{serve.log[-3000:]}") from None
    return seen


async def test_good_candidate_is_promoted_and_the_record_says_so(tmp_path: Path) -> None:
    async with judged(promotion(percent_by(tmp_path)), arguments=ACTS) as (serve, _):
        await reaches(serve, phase="shadow", acts=True, is_leading=True)
        assert (tmp_path / "percent").read_text() == "0"
        await fill(serve)
        await reaches(serve, phase="promoted", percent=100)
        assert (tmp_path / "percent").read_text() == "100"
        assert json.loads((tmp_path / "percent.json").read_text())["phase"] == "promoted"
        assert "traffic is moved to v2 by the verdict" in serve.log


async def test_candidate_that_turns_bad_is_taken_out_of_the_traffic(tmp_path: Path) -> None:
    steps = [*at_once(10), {"percent": 50, "min_age_s": 600}, {"percent": 100}]
    async with judged(promotion(percent_by(tmp_path), *steps), arguments=ACTS) as (serve, candidate):
        await fill(serve)
        await reaches(serve, phase="canary", percent=50)
        assert (tmp_path / "percent").read_text() == "50"
        candidate.reply = FAILURE
        await fill(serve, 3 * PAIRS)
        await reaches(serve, phase="rolled_back", percent=0, because="the verdict is rollback")
        assert (tmp_path / "percent").read_text() == "0"


async def test_dry_run_is_the_default_and_moves_nothing(tmp_path: Path) -> None:
    async with judged(promotion(percent_by(tmp_path))) as (serve, _):
        await fill(serve)
        await reaches(serve, phase="canary", percent=10, acts=False)
        assert serve.process is not None
        assert serve.process.stdout is not None
        shown = ""
        async with asyncio.timeout(WITHIN_S):
            while "set 10" not in shown:
                shown += (await serve.process.stdout.readline()).decode()
        assert "canary, 10 %: the verdict is promote" in shown
        assert (tmp_path / "percent").read_text() == "0"
        assert not (tmp_path / "percent.json").exists()
        assert "dry run: no traffic is moved to v2" in serve.log
        code, _, err = await run_cli("promote", "pause", "v2", "-c", str(addressed(serve)))
        assert (code, err.strip()) == (1, "cannot pause: this is a dry run; start it with --no-dry-run")


def addressed(serve: Serving) -> Path:
    """The configuration with the admin address that was bound."""
    path = serve.folder / "addressed.yaml"
    tree = yaml.safe_load(serve._config.read_text())
    path.write_text(yaml.safe_dump({**tree, "admin": {**tree["admin"], "listen": serve.admin}}))
    return path


async def test_orders_reach_a_serve_that_moves_traffic(tmp_path: Path) -> None:
    async with judged({**promotion(percent_by(tmp_path)), "approval": "last"}, arguments=ACTS) as (serve, _):
        await fill(serve)
        await reaches(serve, percent=10, waits_for="a person's approval of step 2, 100 %")
        code, out, _ = await run_cli("promote", "approve", "v2", "-c", str(addressed(serve)))
        assert code == 0, out
        await reaches(serve, phase="promoted", percent=100)


async def test_where_a_judge_is_configured_serve_moves_nothing(tmp_path: Path) -> None:
    section = {"admin": {"url": f"http://127.0.0.1:{closed_port()}"}}
    async with judged(promotion(percent_by(tmp_path)), arguments=ACTS, judge=section) as (serve, _):
        await fill(serve)
        await serve.wait_for("shadowproxy_verdict", 1, state="promote")
        assert await standing(serve) == {}
        assert (tmp_path / "percent").read_text() == "0"
        assert "traffic is moved by shadowproxy judge and not here" in serve.log


async def test_changed_promotion_is_taken_over_by_a_new_controller_and_the_rest_goes_on(tmp_path: Path) -> None:
    before = promotion(percent_by(tmp_path), *at_once(10), {"percent": 100, "min_age_s": 600})
    async with judged({**before, "approval": "last"}, arguments=ACTS) as (serve, _):
        await fill(serve)
        told = await reaches(serve, percent=10, waits_for="a person's approval of step 2, 100 %")
        tree = yaml.safe_load(serve._config.read_text())
        await reload(serve, {**tree, "limits": {"drain_s": 5}})
        assert await standing(serve) == told, "the same promotion, the same controller"
        await reload(serve, {**tree, "promotions": [{**before, "steps": at_once(10, 20, 100)}]})
        seen = await reaches(serve, phase="promoted", percent=100)
        assert seen["rollout"] == told["rollout"], "the way to go is no part of what is judged"


async def test_promotion_that_cannot_be_built_keeps_the_old_configuration(tmp_path: Path) -> None:
    async with judged(promotion(percent_by(tmp_path)), arguments=ACTS) as (serve, _):
        tree = yaml.safe_load(serve._config.read_text())
        cluster = {"virtual_service": {"name": "chat", "primary": {"host": "a"}, "candidate": {"host": "b"}}}
        kubernetes = {"kubernetes": {"kubeconfig": str(tmp_path / "none")}}
        serve._config.write_text(yaml.safe_dump({**tree, "promotions": [promotion({**cluster, **kubernetes})]}))
        assert serve.process is not None
        serve.process.send_signal(1)
        await serve.wait_for("shadowproxy_reloads_total", 1, result="refused")
        assert "cannot be read as a kubeconfig" in serve.log
        await fill(serve)
        await reaches(serve, phase="promoted", percent=100)


async def test_promotion_that_is_taken_away_leaves_the_traffic_as_it_is(tmp_path: Path) -> None:
    async with judged({**promotion(percent_by(tmp_path)), "approval": "last"}, arguments=ACTS) as (serve, _):
        await fill(serve)
        await reaches(serve, phase="canary", percent=10)
        tree = yaml.safe_load(serve._config.read_text())
        await reload(serve, {**tree, "promotions": []})
        assert await standing(serve) == {}
        assert "is no longer steered: it keeps 10 % of the traffic" in serve.log
        assert (tmp_path / "percent").read_text() == "10"


async def reload(serve: Serving, tree: dict[str, Any]) -> None:
    done = await serve.metric("shadowproxy_reloads_total", result="done")
    serve._config.write_text(yaml.safe_dump(tree))
    assert serve.process is not None
    serve.process.send_signal(1)
    await serve.wait_for("shadowproxy_reloads_total", done + 1, result="done")


async def test_commits_go_to_a_repository(tmp_path: Path) -> None:
    bare = repository(tmp_path)
    places = {
        "candidate": {"pointer": "/spec/http/0/route/1/weight", "kind": "VirtualService"},
        "primary": {"pointer": "/spec/http/0/route/0/weight", "kind": "VirtualService"},
    }
    git = {"repository": str(bare), "branch": "main", "file": "apps/chat.yaml", "folder": str(tmp_path / "ours"), **places}
    async with judged(promotion({"git": git}), arguments=ACTS) as (serve, _):
        await fill(serve)
        await reaches(serve, phase="promoted", percent=100)
    route = list(yaml.safe_load_all(manifest_of(bare)))[1]["spec"]["http"][0]["route"]
    assert [int(each["weight"]) for each in route] == [0, 100]


async def test_weights_in_a_cluster_are_moved_under_a_lease(tmp_path: Path) -> None:
    ref = ISTIO.objects[0]
    async with FakeKubernetes(CHECKS) as api:
        api.put(ref.group, ref.version, ref.plural, read(VIRTUAL_SERVICE))
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(reaching(api.url, "llm")))
        section = {"name": "chat", "primary": {"host": "chat-v1"}, "candidate": {"host": "chat-v2"}, "routes": ["completions"]}
        async with judged(
            promotion({"virtual_service": section, "kubernetes": {"kubeconfig": str(kubeconfig)}}), arguments=ACTS
        ) as (serve, _):  # fmt: skip
            await reaches(serve, phase="shadow", is_leading=True)
            (lease,) = api.all("coordination.k8s.io", "leases")
            assert lease["spec"]["holderIdentity"]
            await fill(serve)
            await reaches(serve, phase="promoted", percent=100)
        route = api.get(ref.group, ref.plural, "llm", "chat")["spec"]["http"][1]["route"]
        assert [each["weight"] for each in route] == [0, 90, 10]
        (lease,) = api.all("coordination.k8s.io", "leases")
        assert lease["spec"]["holderIdentity"] == "", "given up at the end, for whoever is next"
        assert [each["reason"] for each in api.all("events.k8s.io", "events")][-1] == "CandidatePromoted"


def reaching(url: str, namespace: str) -> dict[str, Any]:
    """A kubeconfig for an API server without locks."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": namespace}}],
        "current-context": "here",
    }
