"""Every query of the dashboards and of the alert rules, against a real Prometheus that scrapes a real serve and a real judge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml

from shadowproxy.config import build
from shadowproxy.counts import METRICS
from shadowproxy.testing.answers import load as load_recordings
from shadowproxy.testing.recorded import Behaviour, RecordedLLM
from tests.gateway.wires import closed_port
from tests.judge.judging import judging, only_errors
from tests.judge.real_prometheus import SCRAPE_S, RealPrometheus, needs_prometheus, prometheus
from tests.llmjudge.endpoint import endpoint
from tests.manifests.overlays import MANIFESTS
from tests.manifests.test_alerts import RULES
from tests.scripts import script
from tests.serve.serving import PLAIN, Serving, serving
from tests.serve.wire import ask, request

BOARDS = MANIFESTS / "monitoring" / "dashboards"
OVERLAYS = MANIFESTS / "overlays"
DEADLINE_S = 40.0

#: Recorded ones: only those get answers that differ.
PROMPTS = [prompt.user for prompt in load_recordings().prompts][:12]


def panels() -> Iterator[tuple[str, str]]:
    """(board and title, query) of every target."""
    for path in sorted(BOARDS.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


def variables() -> Iterator[tuple[str, str, str]]:
    """(whose, query, label) of every variable that is asked for."""
    for path in sorted(BOARDS.glob("*.json")):
        for each in json.loads(path.read_text(encoding="utf-8"))["templating"]["list"]:
            if each["type"] == "query":
                found = re.fullmatch(r"label_values\((.+), (\w+)\)", each["query"])
                assert found, each
                yield f"{path.stem}: ${each['name']}", found[1], found[2]


def alerts() -> Iterator[tuple[str, str]]:
    """(alert, what it compares with its limit)."""
    for rule in (rule for group in RULES["groups"] for rule in group["rules"]):
        left, operator, limit = rule["expr"].rpartition(" < " if " < " in rule["expr"] else " > ")
        assert operator, rule["expr"]
        float(limit)
        yield rule["alert"], left


def asked() -> Iterator[tuple[str, str]]:
    """(whose, query) of those that ask Prometheus for a verdict."""
    template = yaml.safe_load((OVERLAYS / "argo-rollouts" / "analysistemplate-prometheus.yaml").read_text(encoding="utf-8"))
    yield "Rollouts", template["spec"]["metrics"][0]["provider"]["prometheus"]["query"].replace("{{args.candidate}}", "v2")
    template = yaml.safe_load((OVERLAYS / "flagger" / "metrictemplate.yaml").read_text(encoding="utf-8"))
    yield "Flagger", template["spec"]["query"].replace("{{ variables.candidate }}", "v2")


# --- without a Prometheus -----------------------------------------------------------------------------------------------


def test_dashboards_are_what_the_script_writes() -> None:
    pytest.importorskip("grafana_foundation_sdk")
    for name, text in script("dashboards").texts().items():
        assert (BOARDS / name).read_text(encoding="utf-8") == text, "run python scripts/dashboards.py"


def test_queries_of_a_panel_can_be_told_apart_and_panels_do_not_overlap() -> None:
    for path in BOARDS.glob("*.json"):
        places = set()
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            names = [target["refId"] for target in panel["targets"]]
            assert all(names)
            assert len(set(names)) == len(names)
            assert panel["options"], "Grafana fills in what is missing of the options, not options that are null"
            places.add((panel["gridPos"]["x"], panel["gridPos"]["y"]))
        assert len(places) == len(json.loads(path.read_text(encoding="utf-8"))["panels"])


def test_queries_name_metrics_and_labels_that_exist() -> None:
    labels = {metric.name: {*metric.exported_labels, "job", "namespace", "pod", "instance"} for metric in METRICS}
    queries = [*panels(), *((whose, query) for whose, query, _ in variables()), *alerts(), *asked()]
    assert len(queries) > 30
    for whose, query in queries:
        for name, selector in re.findall(r"(shadowproxy_\w+)(?:\{([^}]*)\})?", query):
            known = labels[name.removesuffix("_bucket")]
            assert set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", selector)) <= known, (whose, query)


# --- against a real one -------------------------------------------------------------------------------------------------


def chat(text: str, *, is_streamed: bool) -> bytes:
    body = orjson.dumps({"model": "m", "stream": is_streamed, "messages": [{"role": "user", "content": text}]})
    return request("POST", body, "content-type: application/json", target="/v1/chat/completions")


@contextlib.asynccontextmanager
async def filled(folder: Path) -> AsyncIterator[tuple[RealPrometheus, str]]:
    """A Prometheus that has seen pairs, a restart and a primary that fails; and the id of the rollout."""
    port, judge_port = closed_port(), closed_port()
    async with contextlib.AsyncExitStack() as stack:
        stored = await stack.enter_async_context(
            prometheus(folder, {"shadowproxy": [f"127.0.0.1:{port}"], "shadowproxy-judge": [f"127.0.0.1:{judge_port}"]})
        )
        primary = await stack.enter_async_context(RecordedLLM(Behaviour(speed=100)))
        candidate = await stack.enter_async_context(RecordedLLM(Behaviour("equal", speed=100, seed=2, fail_percent=20)))
        preferring = await stack.enter_async_context(endpoint())
        tree = {
            **PLAIN,
            "primary": {"url": primary.url},
            "candidates": [{"name": "v2", "url": candidate.url}],
            "embed": {"backend": "none"},
            "gates": {**only_errors(0.3), "judge": {"enabled": True}},
            "verdict": {"soak_s": 0, "min_pairs": 5, "interval_s": 0.2},
            "llm_judge": {
                "url": preferring.url,
                "model": "another",
                "percent": 100,
                "prompt_price": 1,
                "completion_price": 1,
                "requests_per_minute": 600,
            },
            "judge": {"listen": f"127.0.0.1:{judge_port}", "interval_s": 0.3, "prometheus": {"url": stored.url, "window_s": 3600}},
            "admin": {"listen": f"127.0.0.1:{port}"},
        }
        serve = await stack.enter_async_context(serving(tree, stops_cleanly=False))
        await stack.enter_async_context(judging(folder, tree))
        for number, prompt in enumerate(PROMPTS):
            await ask(serve.url, chat(prompt, is_streamed=number % 2 == 0))
        await serve.wait_for("shadowproxy_cells_total", len(PROMPTS), check="error")
        await serve.wait_until(lambda scrape: scrape.value("shadowproxy_llm_judge_cost_total"))
        await lose_evidence(serve)
        await primary.stop()
        assert (await ask(serve.url, chat("and you", is_streamed=False))).status == 502
        yield stored, build(tree).rollout_id(build(tree).candidates[0])


async def lose_evidence(serve: Serving) -> None:
    """Kill the shadow process, and ask until that was missed."""
    for pid in serve.pids("shadow"):
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(DEADLINE_S):
        while not await serve.metric("shadowproxy_not_mirrored_total", reason="handover_gone"):
            await ask(serve.url, chat("is anybody there", is_streamed=False))


async def results(stored: RealPrometheus, query: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{stored.url}/api/v1/query", params={"query": query}) as reply:
        answer = await reply.json()
    assert answer["status"] == "success", (query, answer)
    return list(answer["data"]["result"])


def filled_in(query: str, rollout: str) -> str:
    """A query of a dashboard as Grafana would send it."""
    chosen = {"$__rate_interval": "10s", "$judge": "shadowproxy-judge", "$rollout": rollout, "$gate": "error"}
    for name, value in chosen.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


@needs_prometheus
@pytest.mark.slow
async def test_every_query_finds_what_a_real_run_leaves_behind(tmp_path: Path) -> None:
    async with filled(tmp_path) as (stored, rollout):
        open_queries = {
            f"{whose}: {query}": filled_in(query, rollout)
            for whose, query in (*panels(), *((whose, query) for whose, query, _ in variables()), *alerts(), *asked())
        }
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE_S):
                while open_queries:
                    open_queries = {whose: query for whose, query in open_queries.items() if not await results(stored, query)}
                    await asyncio.sleep(SCRAPE_S)
        assert not open_queries, "\n".join(open_queries)
        for whose, query, label in variables():
            assert all(label in series["metric"] for series in await results(stored, filled_in(query, rollout))), whose
        for whose, query in asked():
            ((_, number),) = (series["value"] for series in await results(stored, query))
            assert float(number) in (-1, 0, 1), whose


@needs_prometheus
async def test_asked_for_a_rollout_that_is_not_there_prometheus_says_0(tmp_path: Path) -> None:
    """Neither NaN nor nothing: Rollouts would take it for an error, Flagger for a failed check."""
    async with prometheus(tmp_path, {}) as stored:
        for whose, query in asked():
            ((_, number),) = (series["value"] for series in await results(stored, query))
            assert number == "0", whose
