"""``shadowproxy serve`` and a collector: spans in the caller's trace, metrics, counts, the last of them at the end, and no secret."""

from __future__ import annotations

import signal

import orjson
import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

from shadowproxy.testing.recorded import Behaviour, RecordedLLM
from tests.gateway.wires import closed_port
from tests.serve.serving import eventually, serving
from tests.serve.wire import ask, request
from tests.telemetry.collector import PARENT, TRACE, TRACEPARENT, collector, plain

SECRETS = ("client-secret-1", "candidate-secret-2", "collector-secret-3")
ENV = {"V2_KEY": SECRETS[1], "COLLECTOR_KEY": SECRETS[2], "OTEL_BSP_SCHEDULE_DELAY": "100"}


def chat(text: str, *lines: str) -> bytes:
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
    return request("POST", body, "content-type: application/json", *lines, target="/v1/chat/completions")


def tree(primary: RecordedLLM, candidate: RecordedLLM, telemetry: dict) -> dict:
    return {
        "primary": {"url": primary.url},
        "control": {"percent": 100},
        "candidates": [{"name": "v2", "url": candidate.url, "auth": {"env": "V2_KEY"}}],
        "embed": {"backend": "none"},
        "telemetry": telemetry,
    }


async def test_copies_hang_in_the_caller_s_trace_and_the_last_are_sent_at_the_end() -> None:
    async with collector() as seen, RecordedLLM(Behaviour(speed=50)) as primary, RecordedLLM(Behaviour(speed=50)) as candidate:
        told = {"endpoint": seen.url, "auth": {"env": "COLLECTOR_KEY"}}
        async with serving(tree(primary, candidate, told), ENV) as serve:
            trace = (f"traceparent: {TRACEPARENT.decode()}", f"authorization: Bearer {SECRETS[0]}")
            assert (await ask(serve.url, chat("capital?", *trace))).status == 200
            await eventually(lambda: len(seen.spans) == 2)
            await serve.wait_for("shadowproxy_pairs_resolved_total", 1, arm="candidate")
            assert seen.points("gen_ai.client.operation.duration") == [], "a minute is not over"
            log = serve.log
        assert {plain(span.attributes)["shadowproxy.arm"] for span in seen.spans} == {"v2", "control"}
        assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in seen.spans} == {(TRACE, PARENT)}
        assert len(seen.points("gen_ai.client.operation.duration")) == 3, "sent as serve ended"
        sent = b"".join(seen.bodies) + log.encode()
        assert not any(secret.encode() in sent for secret in SECRETS)
        assert b"capital?" not in b"".join(seen.bodies)


async def test_arm_s_own_spans_hang_below_the_copy_s() -> None:
    async with collector() as seen, RecordedLLM(Behaviour(speed=50)) as primary, RecordedLLM(Behaviour(speed=50)) as candidate:
        async with serving(tree(primary, candidate, {"endpoint": seen.url, "metrics": False}), ENV) as serve:
            assert (await ask(serve.url, chat("capital?", f"traceparent: {TRACEPARENT.decode()}"))).status == 200
            await eventually(lambda: len(seen.spans) == 2)
        (note,) = candidate.requests
        sent_with = {name.lower(): value for name, value in note["headers"]}["traceparent"].split("-")[2]
        assert seen.span_of("v2").span_id.hex() == sent_with


async def test_collector_that_is_away_costs_no_pair_and_is_visible() -> None:
    async with RecordedLLM(Behaviour(speed=50)) as primary, RecordedLLM(Behaviour(speed=50)) as candidate:
        env = {**ENV, "OTEL_BSP_MAX_QUEUE_SIZE": "4"}
        away = {"endpoint": f"http://127.0.0.1:{closed_port()}"}
        async with serving(tree(primary, candidate, away), env) as serve:
            for _ in range(5):
                assert (await ask(serve.url, chat("capital?"))).status == 200
            await serve.wait_for("shadowproxy_pairs_resolved_total", 5, arm="candidate", outcome="ok")
            await serve.wait_for("shadowproxy_telemetry_spans_total", 6, result="dropped")
            lines = [line for line in serve.log.splitlines() if "OpenTelemetry" in line]
            assert len(lines) <= 3, lines


async def test_reload_hands_telemetry_over_to_the_new_collector() -> None:
    async with (
        collector() as old,
        collector() as new,
        RecordedLLM(Behaviour(speed=50)) as primary,
        RecordedLLM(Behaviour(speed=50)) as candidate,
    ):
        async with serving(tree(primary, candidate, {"endpoint": old.url}), {**ENV, "OTEL_BSP_SCHEDULE_DELAY": "60000"}) as serve:
            assert (await ask(serve.url, chat("old?"))).status == 200
            await serve.wait_for("shadowproxy_pairs_resolved_total", 1, arm="candidate")
            serve._config.write_text(serve._config.read_text().replace(old.url, new.url))
            assert serve.process is not None
            serve.process.send_signal(signal.SIGHUP)
            await serve.wait_for("shadowproxy_reloads_total", 1, result="done")
            await eventually(lambda: len(old.spans) == 2)
            assert (await ask(serve.url, chat("new?"))).status == 200
            await serve.wait_for("shadowproxy_pairs_resolved_total", 2, arm="candidate")
        assert (len(old.spans), len(new.spans)) == (2, 2)
        assert old.resource["service.instance.id"] != new.resource["service.instance.id"]
