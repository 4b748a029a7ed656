"""Three real ``serve`` processes, one of them killed and started again on the same port, scraped by a real Prometheus, one of them by two
jobs: the judge's sums are those of what every boot had shown when it was scraped last, and its verdict is that of these sums."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from shadowproxy.config import Config, build
from shadowproxy.counts import CELLS, METRICS, Metric, Totals
from shadowproxy.judging import Judge
from shadowproxy.testing.recorded import Behaviour, RecordedLLM
from shadowproxy.verdict.checks import ERROR
from tests.gateway.wires import closed_port
from tests.judge.judging import Judging, judging, only_errors
from tests.judge.real_prometheus import SCRAPE_S, RealPrometheus, needs_prometheus, prometheus
from tests.serve.serving import PLAIN, Serving, serving
from tests.serve.wire import ask, request

pytestmark = [needs_prometheus, pytest.mark.slow]

BURST = 12


def chat(text: str) -> bytes:
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
    return request("POST", body, "content-type: application/json", target="/v1/chat/completions")


def tree(primary: RecordedLLM, good: RecordedLLM, bad: RecordedLLM, **judge: Any) -> dict[str, Any]:
    """The configuration that all processes share: the rollouts' ids are its digest."""
    return {
        **PLAIN,
        "primary": {"url": primary.url},
        "candidates": [{"name": "good", "url": good.url}, {"name": "bad", "url": bad.url}],
        "embed": {"backend": "none"},
        "gates": only_errors(0.3),
        "verdict": {"soak_s": 0, "min_pairs": 20, "interval_s": 0.2},
        "judge": {"listen": "127.0.0.1:0", "interval_s": 0.3, "stale_after_s": 5, **judge},
    }


class Replicas:
    """Serves of one configuration, each on an admin port that it keeps over restarts."""

    def __init__(self, shared: Mapping[str, Any], stack: contextlib.AsyncExitStack) -> None:
        self._shared = shared
        self._stack = stack

    async def start(self, port: int) -> Serving:
        return await self._stack.enter_async_context(
            serving({**self._shared, "admin": {"listen": f"127.0.0.1:{port}"}}, stops_cleanly=False)
        )


async def burst(serve: Serving, pairs: int) -> None:
    """Ask what was not asked before (a repeat is no evidence), and wait until this serve has counted ``pairs`` for each candidate."""
    for number in range(pairs - BURST, pairs):
        assert (await ask(serve.url, chat(f"question {number}"))).status == 200
    await serve.wait_for("shadowproxy_cells_total", 2 * pairs, check="error")


async def kill(serve: Serving) -> None:
    """SIGKILL to the whole serve at once, as for a pod that runs out of memory."""
    for pid in serve.everyone():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert serve.process is not None
    await serve.process.wait()


async def last_scraped(stored: RealPrometheus, metric: Metric) -> dict[tuple[str, ...], float]:
    """Boot and labels → the last value that was ever scraped, read from the stored samples themselves."""
    last: dict[tuple[str, ...], float] = {}
    for labels, values in await stored.samples(metric.name):
        key = (labels["boot"], *(labels.get(name, "") for name in metric.labels))  # Prometheus stores no empty label
        last[key] = max(last.get(key, 0), values[-1])
    return last


def merged(config: Config, counts: Mapping[Metric, Mapping[tuple[str, ...], float]]) -> dict[str, Mapping[str, Any]]:
    """The verdicts that one process would have reached with all the counts."""
    totals = Totals()
    for metric, values in counts.items():
        for (boot, *labels), value in values.items():
            totals.absorb(boot, {(metric.name, *labels): value})
    judge = Judge(config, totals)
    judge.look()
    return {str(document["candidate"]): document for document in judge.documents()}


@contextlib.asynccontextmanager
async def upstreams() -> AsyncIterator[tuple[RecordedLLM, RecordedLLM, RecordedLLM]]:
    async with (
        RecordedLLM(Behaviour(speed=100)) as primary,
        RecordedLLM(Behaviour(speed=100, seed=2)) as good,
        RecordedLLM(Behaviour(speed=100, seed=3, fail_percent=100)) as bad,
    ):
        yield primary, good, bad


async def test_sums_are_exact_over_a_kill_a_restart_and_a_doubled_scrape(tmp_path: Path) -> None:
    ports = [closed_port() for _ in range(3)]
    targets = [f"127.0.0.1:{port}" for port in ports]
    async with contextlib.AsyncExitStack() as stack:
        shared = tree(*await stack.enter_async_context(upstreams()))
        stored = await stack.enter_async_context(prometheus(tmp_path, {"pods": targets, "again": targets[:1]}))
        replicas = Replicas(shared, stack)
        first, second = await replicas.start(ports[0]), await replicas.start(ports[1])
        asked = {"judge": {**shared["judge"], "prometheus": {"url": stored.url, "window_s": 3600}}}
        config = build({**shared, **asked})
        rollouts = {candidate.name: config.rollout_id(candidate) for candidate in config.candidates}
        await burst(first, BURST)
        await burst(second, BURST)
        await scraped(stored, 4 * BURST)
        await kill(second)
        judge = await stack.enter_async_context(judging(tmp_path, {**shared, **asked}))

        blind = await judge.wait_until(rollouts["good"], lambda document: "cannot scrape" in document["reasons"][0]["text"])
        assert (blind["state"], blind["reasons"][0]["code"]) == ("hold", "state_gap")
        assert targets[1] in blind["reasons"][0]["text"]
        assert blind["issued"] == 2 * BURST, "what the killed one had shown stays"

        restarted, late = await replicas.start(ports[1]), await replicas.start(ports[2])
        await burst(restarted, BURST)
        await burst(late, BURST)
        await burst(first, 2 * BURST)
        await scraped(stored, 10 * BURST)
        seen = {name: await judge.wait_until(rollout, is_complete) for name, rollout in rollouts.items()}

        counts = {metric: await last_scraped(stored, metric) for metric in METRICS if metric.is_per_boot and metric.kind == "counter"}
        assert len({boot for boot, *_ in counts[CELLS]}) == 4
        expected = merged(config, counts)
        for name, document in seen.items():
            for part in ("state", "pairs", "issued", "unresolved", "gates", "e_rollback_log10"):
                assert without_rate(document[part]) == without_rate(expected[name][part]), (name, part)
        assert (seen["bad"]["state"], seen["bad"]["reasons"][0]["code"]) == ("rollback", "worse:error")
        await nothing_counted_is_exported(judge)


def is_complete(document: Mapping[str, Any]) -> bool:
    return document["pairs"] == document["issued"] == 5 * BURST and document["reasons"][0]["code"] != "state_gap"


def without_rate(part: Any) -> Any:
    """Gates without what follows from the present rate of pairs, which depends on when one looks."""
    return [{**gate, "seconds_needed": None} for gate in part] if isinstance(part, list) else part


async def scraped(stored: RealPrometheus, pairs: int) -> None:
    """Until the last samples of all boots add up to so many judged pairs of both candidates."""
    async with asyncio.timeout(60):
        while await pairs_in(stored) != pairs:
            await asyncio.sleep(SCRAPE_S / 2)


async def pairs_in(stored: RealPrometheus) -> float:
    """Every judged pair has one cell of the error check."""
    check = CELLS.labels.index("check") + 1
    return sum(value for key, value in (await last_scraped(stored, CELLS)).items() if key[check] == ERROR)


async def nothing_counted_is_exported(judge: Judging) -> None:
    """A judge that is scraped, too, must not add its sums to what it sums."""
    _, text = await judge.get("/metrics")
    assert "shadowproxy_verdict{" in text
    per_boot = [metric.name for metric in METRICS if metric.is_per_boot]
    assert not [line for line in text.splitlines() if line.startswith(tuple(f"{name}{{" for name in per_boot))]


async def test_prometheus_that_goes_away_makes_the_verdict_hold_until_it_is_back(tmp_path: Path) -> None:
    port = closed_port()
    async with contextlib.AsyncExitStack() as stack:
        shared = tree(*await stack.enter_async_context(upstreams()))
        stored = await stack.enter_async_context(prometheus(tmp_path, {"pods": [f"127.0.0.1:{port}"]}))
        serve = await Replicas(shared, stack).start(port)
        await burst(serve, BURST)
        await burst(serve, 2 * BURST)
        await scraped(stored, 4 * BURST)
        section = {**shared["judge"], "stale_after_s": 1, "prometheus": {"url": stored.url, "timeout_s": 1}}
        judge = await stack.enter_async_context(judging(tmp_path, {**shared, "judge": section}))
        rollout = (await judge.wait_until("bad", lambda document: document["state"] == "rollback"))["rollout"]
        await stored.stop()
        held = await judge.wait_until(rollout, lambda document: document["state"] == "hold")
        assert held["reasons"][0]["code"] == "state_gap"
        assert held["reasons"][0]["text"].startswith("no answer from the source of counts for")
        assert (await judge.get("/readyz"))[0] == 503
        assert (await judge.get("/healthz"))[0] == 200
        await stored.start()
        await judge.wait_until(rollout, lambda document: document["state"] == "rollback")
        _, told = await judge.get(f"/verdict/history?rollout={rollout}")
        assert [entry["state"] for entry in told["history"]] == ["rollback", "hold", "rollback"]
