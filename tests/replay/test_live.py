"""What was judged live is judged the same from its journal: one comparator and one verdict, from a socket or from a file."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import yaml

from shadowproxy.testing.answers import load
from shadowproxy.testing.recorded import Behaviour, RecordedLLM
from tests.serve.serving import DEADLINE_S, PLAIN, Serving, run_cli, serving
from tests.serve.wire import ask, request

REQUESTS = 60
JSON = "Content-Type: application/json"

#: Their mean is rounded to cells by chance, a chance of its own in each process; the error of a mean of 60 is below this.
_ROUNDED = 0.08


async def counted(serve: Serving) -> dict[str, Any]:
    """The verdict on all of it: the judge looks now and then."""
    async with asyncio.timeout(DEADLINE_S):
        while (verdict := await serve.verdict())["gates"][0]["n"] < REQUESTS:
            await asyncio.sleep(0.1)
    return verdict


async def test_a_journal_of_serve_gives_the_verdict_of_serve(tmp_path: Path) -> None:
    prompts = load().prompts
    async with contextlib.AsyncExitStack() as stack:
        primary = await stack.enter_async_context(RecordedLLM(Behaviour(speed=100)))
        candidate = await stack.enter_async_context(RecordedLLM(Behaviour(variant="equal", speed=100, seed=2, fail_percent=10)))
        tree: dict[str, Any] = {
            **PLAIN,
            "primary": {"url": primary.url},
            "control": {"percent": 100},
            "candidates": [{"name": "v2", "url": candidate.url}],
            "gates": {"ttft": {"enabled": False}},
            "journal": {"to": str(tmp_path / "journal"), "flush_s": 0.1, "redact": {"bodies": False}},
        }
        serve = await stack.enter_async_context(serving(tree))
        for number in range(REQUESTS):
            body = {"model": "m", "messages": [{"role": "user", "content": prompts[number % len(prompts)].user}], "stream": number % 2 == 0}
            await ask(serve.address, request("POST", json.dumps(body).encode(), JSON, target="/v1/chat/completions"))
        await serve.wait_for("shadowproxy_pairs_counted_total", REQUESTS)
        await serve.wait_for("shadowproxy_journal_records_total", REQUESTS, result="written")
        live = await counted(serve)
        asked_before = len(primary.requests) + len(candidate.requests)
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump(tree))
        code, out, err = await run_cli(
            *("replay", str(tmp_path / "journal"), "-c", str(config), "--recorded", "v2", "--json", "--work", str(tmp_path / "work"))
        )
        assert code in (0, 3, 4), err
        assert len(primary.requests) + len(candidate.requests) == asked_before, "everything was recorded: nobody is asked"
    replayed = json.loads(out)
    assert replayed["state"] == live["state"]
    seen = {
        side: {each["gate"]: each for each in document["gates"] if each["n"]} for side, document in (("live", live), ("replay", replayed))
    }
    assert seen["live"].keys() == seen["replay"].keys() >= {"error", "similarity", "facts", "aa_error"}
    for gate, each in seen["live"].items():
        assert seen["replay"][gate]["n"] == each["n"], gate
        assert abs(seen["replay"][gate]["mean"] - each["mean"]) < _ROUNDED, gate
    assert seen["replay"]["error"]["mean"] == seen["live"]["error"]["mean"] > 0


async def test_what_is_captured_without_a_candidate_can_be_replayed(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        primary = await stack.enter_async_context(RecordedLLM(Behaviour(speed=100)))
        candidate = await stack.enter_async_context(RecordedLLM(Behaviour(variant="equal", speed=100, seed=2)))
        tree: dict[str, Any] = {**PLAIN, "primary": {"url": primary.url}, "journal": {"to": str(tmp_path / "journal"), "flush_s": 0.1}}
        serve = await stack.enter_async_context(serving(tree))
        for prompt in load().prompts[:12]:
            body = {"model": "m", "messages": [{"role": "user", "content": prompt.user}]}
            await ask(serve.address, request("POST", json.dumps(body).encode(), JSON, target="/v1/chat/completions"))
        await serve.wait_for("shadowproxy_journal_records_total", 12, result="written")
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump({**PLAIN, "candidates": [{"name": "v2", "url": candidate.url}], "embed": {"backend": "none"}}))
        code, out, err = await run_cli(
            *("replay", str(tmp_path / "journal"), "-c", str(config), "--json", "--work", str(tmp_path / "work"))
        )
        assert code == 3, err
        assert (len(primary.requests), len(candidate.requests)) == (12, 12)
    assert {each["gate"]: each["n"] for each in json.loads(out)["gates"]}["error"] == 12
