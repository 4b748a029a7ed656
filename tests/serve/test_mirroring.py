"""Which requests are copied, what the copies carry, and that the openai client notices nothing: one serve in front of recorded models."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import openai
import orjson
import pytest
import pytest_asyncio

from shadowproxy.testing.answers import improvise
from shadowproxy.testing.recorded import Behaviour, RecordedLLM
from tests.serve.serving import Serving, eventually, serving
from tests.serve.wire import ask, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: What the client sends to the primary and nobody else may see.
CLIENT_SECRETS = {
    "authorization": "Bearer client-secret-one",
    "cookie": "session=client-secret-two",
    "api-key": "client-secret-three",
    "x-api-key": "client-secret-four",
    "x-goog-api-key": "client-secret-five",
    "proxy-authorization": "Basic client-secret-six",
    "x-forwarded-client-cert": "client-secret-seven",
}
CANDIDATE_SECRET = "candidate-secret"
ADMIN_PATHS = ("/pairs?limit=100", "/pairs?limit=100&redact=false", "/metrics", "/counts", "/verdict", "/")


@dataclass
class Bench:
    serve: Serving
    primary: RecordedLLM
    candidate: RecordedLLM
    kill_switch: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    kill_switch = tmp_path_factory.mktemp("switch") / "stop"
    async with contextlib.AsyncExitStack() as stack:
        primary = await stack.enter_async_context(RecordedLLM(Behaviour(speed=50)))
        candidate = await stack.enter_async_context(RecordedLLM(Behaviour(variant="equal", speed=50, seed=2)))
        tree = {
            "primary": {"url": primary.url},
            "control": {"percent": 100},
            "candidates": [{"name": "v2", "url": candidate.url, "auth": {"env": "V2_KEY"}, "headers": {"set": {"x-tier": "shadow"}}}],
            "embed": {"backend": "none"},
            "mirror": {"kill_switch_file": str(kill_switch)},
            "log": {"level": "debug"},
        }
        serve = await stack.enter_async_context(serving(tree, {"V2_KEY": CANDIDATE_SECRET}))
        yield Bench(serve, primary, candidate, kill_switch)


def chat(text: str, *lines: str) -> bytes:
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
    return request("POST", body, "content-type: application/json", *lines, target="/v1/chat/completions")


def of_arm(server: RecordedLLM, arm: str | None, since: int = 0) -> list[dict[str, str]]:
    """Headers of the requests that a server got with this mark."""
    heads = [{name.lower(): value for name, value in note["headers"]} for note in server.requests if note["number"] > since]
    return [head for head in heads if head.get("x-shadowproxy-arm") == arm]


async def test_openai_client_gets_the_upstream_s_text_and_every_request_becomes_a_pair(bench: Bench) -> None:
    """Prompts that were never recorded are answered by rule, so the right text is known without asking twice."""
    before = await bench.serve.settled()
    prompts = [f"a question that nobody recorded, number {number}" for number in range(20)]
    direct = openai.AsyncOpenAI(base_url=f"{bench.primary.url}/v1", api_key="k", max_retries=0)
    through = openai.AsyncOpenAI(base_url=f"{bench.serve.url}/v1", api_key="k", max_retries=0)
    async with direct, through:
        for prompt in prompts[:10]:
            messages = [{"role": "user", "content": prompt}]
            whole = await through.chat.completions.create(model="m", messages=messages)
            asked_directly = await direct.chat.completions.create(model="m", messages=messages)
            assert whole.choices == asked_directly.choices
            assert whole.usage == asked_directly.usage
            assert whole.choices[0].message.content == improvise(prompt).text
        for prompt in prompts[10:]:
            stream = await through.chat.completions.create(
                model="m", messages=[{"role": "user", "content": prompt}], stream=True, stream_options={"include_usage": True}
            )
            pieces = [chunk async for chunk in stream]
            assert "".join(chunk.choices[0].delta.content or "" for chunk in pieces if chunk.choices) == improvise(prompt).text
            assert pieces[-1].usage.completion_tokens == improvise(prompt).completion_tokens
    for arm in ("candidate", "control"):
        already = before.value("shadowproxy_pairs_resolved_total", arm=arm)
        scrape = await bench.serve.wait_for("shadowproxy_pairs_resolved_total", already + 20, arm=arm)
        assert scrape.value("shadowproxy_pairs_issued_total", arm=arm) == already + 20
        assert scrape.by("outcome", "shadowproxy_pairs_resolved_total", arm=arm).keys() == {"ok"}
    assert scrape.value("shadowproxy_pairs_pending") == 0


async def test_recorded_prompts_come_back_as_one_of_their_recordings(bench: Bench) -> None:
    prompt = bench.primary.recordings.prompts[0]
    known = {draw.text for draw in bench.primary.recordings.draws(prompt.id, "primary")}
    async with openai.AsyncOpenAI(base_url=f"{bench.serve.url}/v1", api_key="k", max_retries=0) as client:
        stream = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": prompt.user}], stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text in known


async def test_the_client_s_credentials_reach_the_primary_and_nobody_else(bench: Bench) -> None:
    await bench.serve.settled()
    primary_before, candidate_before = bench.primary.count, bench.candidate.count
    reply = await ask(bench.serve.url, chat("who may see this?", *(f"{name}: {value}" for name, value in CLIENT_SECRETS.items())))
    assert reply.status == 200
    await eventually(lambda: of_arm(bench.candidate, "v2", candidate_before) and of_arm(bench.primary, "control", primary_before))
    (asked,) = of_arm(bench.primary, None, primary_before)
    assert CLIENT_SECRETS.items() <= asked.items()
    (copy,) = of_arm(bench.candidate, "v2", candidate_before)
    (control,) = of_arm(bench.primary, "control", primary_before)
    assert "client-secret" not in repr(copy)
    assert "client-secret" not in repr(control)
    assert copy["authorization"] == f"Bearer {CANDIDATE_SECRET}"
    assert copy["x-tier"] == "shadow"
    assert "authorization" not in control


async def test_no_secret_shows_in_the_admin_surface_or_in_the_log(bench: Bench) -> None:
    resolved = (await bench.serve.settled()).value("shadowproxy_pairs_resolved_total", arm="candidate")
    assert (await ask(bench.serve.url, chat("hush", *(f"{name}: {value}" for name, value in CLIENT_SECRETS.items())))).status == 200
    await bench.serve.wait_for("shadowproxy_pairs_resolved_total", resolved + 1, arm="candidate")
    shown = [(await bench.serve.get(path)) for path in ADMIN_PATHS]
    assert [status for status, _ in shown] == [200] * len(ADMIN_PATHS)
    assert b"hush" in shown[1][1]  # the pair itself is there
    for secret in ("client-secret", CANDIDATE_SECRET):
        for path, (_, body) in zip(ADMIN_PATHS, shown, strict=True):
            assert secret.encode() not in body, path
        assert secret not in bench.serve.log
    for pid in bench.serve.everyone():
        assert CANDIDATE_SECRET not in Path(f"/proc/{pid}/cmdline").read_text()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x-shadowproxy-arm: v2", "already_mirrored"),
        ("host: test-shadow", "already_mirrored"),
        ("x-envoy-attempt-count: 2", "retry_attempt"),
    ],
)
async def test_copies_and_retries_are_forwarded_but_not_copied_again(bench: Bench, line: str, reason: str) -> None:
    before = await bench.serve.settled()
    asked = bench.primary.count
    data = chat("again?", line)
    if line.startswith("host"):
        data = data.replace(b"Host: test\r\n", b"")
    assert (await ask(bench.serve.url, data)).status == 200
    refused = before.value("shadowproxy_not_mirrored_total", reason=reason) + 1
    after = await bench.serve.wait_for("shadowproxy_not_mirrored_total", refused, reason=reason)
    assert after.value("shadowproxy_handed_over_total") == before.value("shadowproxy_handed_over_total")
    assert bench.primary.count == asked + 1


async def test_what_would_act_twice_is_not_copied(bench: Bench) -> None:
    for body, reason in ((b'{"previous_response_id":"r"}', "stateful"), (b'{"background":true}', "background")):
        assert (
            await ask(bench.serve.url, request("POST", body, target="/v1/chat/completions"))
        ).status == 400  # the recorded primary wants messages
        await bench.serve.wait_for("shadowproxy_not_mirrored_total", 1, reason=reason)


async def test_kill_switch_file_stops_mirroring_while_it_is_there(bench: Bench) -> None:
    def killed(scrape: object) -> float:
        return scrape.value("shadowproxy_not_mirrored_total", reason="kill_switch")  # type: ignore[attr-defined]

    async def ask_until(condition) -> None:
        while not condition(await bench.serve.scrape()):
            assert (await ask(bench.serve.url, chat("still?"))).status == 200

    bench.kill_switch.touch()
    try:
        await asyncio.wait_for(ask_until(killed), 30)
        await bench.serve.settled()
        copies = bench.candidate.count
        for _ in range(5):
            assert (await ask(bench.serve.url, chat("off"))).status == 200
        await bench.serve.settled()
        assert bench.candidate.count == copies
    finally:
        bench.kill_switch.unlink()
    await asyncio.wait_for(ask_until(lambda _: bench.candidate.count > copies), 30)
