"""A real ``serve`` beside a real judge, or without one: who judges, who tells, and what an admin surface is enough for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson

from shadowproxy.testing.recorded import Behaviour, RecordedLLM
from tests.gateway.wires import closed_port
from tests.judge.judging import judging, only_errors
from tests.serve.serving import PLAIN, Serving, eventually, run_cli, serving
from tests.serve.wire import ask, request
from tests.test_events import Sink, sink

PAIRS = 24


@contextlib.asynccontextmanager
async def bad_candidate() -> AsyncIterator[dict[str, Any]]:
    """A configuration with a candidate that always fails."""
    async with RecordedLLM(Behaviour(speed=100)) as primary, RecordedLLM(Behaviour(speed=100, fail_percent=100)) as bad:
        yield {
            "primary": {"url": primary.url},
            "candidates": [{"name": "bad", "url": bad.url}],
            "embed": {"backend": "none"},
            "gates": only_errors(0.3),
            "verdict": {"soak_s": 0, "min_pairs": 20, "interval_s": 0.2},
        }


async def fill(serve: Serving) -> None:
    for number in range(PAIRS):
        body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": f"question {number}"}]})
        assert (await ask(serve.url, request("POST", body, "content-type: application/json", target="/v1/chat/completions"))).status == 200
    await serve.wait_for("shadowproxy_cells_total", PAIRS, check="error")


def states(taking: Sink) -> list[tuple[object, object]]:
    return [(event.get_data()["previous"], event.get_data()["state"]) for event in taking.events]


async def test_serve_that_judges_alone_tells_its_sink_and_remembers(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    async with bad_candidate() as tree, sink() as taking:
        async with serving({**tree, "judge": {"history": {"file": str(file)}}}, {"K_SINK": taking.url}) as serve:
            await fill(serve)
            await eventually(lambda: states(taking) == [(None, "hold"), ("hold", "rollback")])
            _, body = await serve.get("/verdict/history?rollout=bad&limit=5")
            told = orjson.loads(body)["history"]
            assert [each["state"] for each in told] == ["rollback", "hold"]
            verdict = await serve.verdict()
            assert told[0]["verdict"]["reasons"][0]["code"] == verdict["reasons"][0]["code"] == "worse:error"
            await serve.wait_for("shadowproxy_events_total", 2, result="delivered")
        assert [orjson.loads(line)["state"] for line in file.read_bytes().splitlines()] == ["hold", "rollback"]
        assert taking.events[1].get_subject() == verdict["rollout"]


async def test_judge_over_one_admin_surface_comes_to_the_verdict_of_that_serve_and_alone_tells(tmp_path: Path) -> None:
    port = closed_port()
    async with bad_candidate() as tree, sink() as taking:
        file = tmp_path / "history.jsonl"
        section = {"admin": {"url": f"http://127.0.0.1:{port}"}, "listen": "127.0.0.1:0", "interval_s": 0.2, "history": {"file": str(file)}}
        shared = {**PLAIN, **tree, "judge": section}
        async with serving({**shared, "admin": {"listen": f"127.0.0.1:{port}"}}, {"K_SINK": taking.url}) as serve:
            await fill(serve)
            await serve.wait_for("shadowproxy_verdict", 1, state="rollback")
            own = await serve.verdict()
            assert not file.exists(), "its own verdict is not the one that counts"
            async with judging(tmp_path, shared, {"K_SINK": taking.url}) as judge:
                document = await judge.wait_until("bad", lambda each: each["state"] == "rollback")
                assert [{**gate, "seconds_needed": None} for gate in document["gates"]] == [
                    {**gate, "seconds_needed": None} for gate in own["gates"]
                ]
                assert (document["rollout"], document["issued"], document["pairs"]) == (own["rollout"], PAIRS, PAIRS)
                assert abs(document["age_s"] - (await serve.verdict())["age_s"]) < 5
        await eventually(lambda: states(taking) == [(None, "rollback")])


async def test_judge_says_what_its_configuration_lacks(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("primary: {url: 'http://a:1'}\ncandidates: [{name: v2, url: 'http://b:1'}]\n")
    code, _, err = await run_cli("judge", "-c", str(config))
    assert (code, err.strip()) == (
        2,
        "judge: names no source of counts; add judge.prometheus: {url: ...}, or judge.admin for a single serve",
    )
