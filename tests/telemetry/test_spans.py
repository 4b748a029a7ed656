"""What a collector receives of each copy: read back from OTLP/HTTP protobuf."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from shadowproxy.exchange import Choice, Divergence, Exchange, Outcome, Reply, Severity, ToolCall, Usage
from tests.telemetry.collector import PARENT, TRACE, answer, collector, comparison, exchange, plain, telemetry

SECONDS = 1_000_000_000
KEY = "sk-abcdefghij0123456789abcd"


@dataclass(frozen=True, slots=True)
class SentExchange(Exchange):
    """A copy whose span id is known."""

    span_id: bytes = b""


async def told(section: dict, primary=None, *others):
    """What a collector has after one request was told of."""
    async with collector() as seen:
        teller = telemetry(endpoint=seen.url, **{"metrics": False, **section})
        primary = primary or exchange()
        others = others or ((exchange("v2"), answer(), comparison()), (exchange("control"), answer(), comparison("control")))
        teller.compared(primary, answer(), others)
        await teller.close(5)
        return seen


async def test_each_copy_is_a_client_span_in_the_caller_s_trace() -> None:
    seen = await told({})
    assert len(seen.spans) == 2
    for span in seen.spans:
        assert span.kind == Span.SPAN_KIND_CLIENT
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
        assert span.span_id.hex() != PARENT
        assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1_700_000_000 * SECONDS, 1_700_000_000 * SECONDS + SECONDS // 2)
        assert span.status.code == Status.STATUS_CODE_UNSET
    assert {span.name for span in seen.spans} == {"chat mistral-small", "chat llama"}


async def test_attributes_follow_the_genai_conventions() -> None:
    seen = await told({})
    found = plain(seen.span_of("v2").attributes)
    rollout = found.pop("shadowproxy.rollout")
    assert rollout.startswith("v2-")
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral_ai",
        "gen_ai.request.model": "mistral-small",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "llama-3.1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "api.mistral.ai",
        "server.port": 443,
        "http.response.status_code": 200,
        "shadowproxy.arm": "v2",
        "shadowproxy.route": "chat",
        "shadowproxy.exchange.id": "req-1",
        "shadowproxy.outcome": "ok",
        "shadowproxy.primary.outcome": "ok",
        "shadowproxy.is_exact": False,
        "shadowproxy.similarity": 0.875,
    }
    control = plain(seen.span_of("control").attributes)
    assert (control["server.address"], control["server.port"]) == ("primary.internal", 8000)
    assert (control["gen_ai.request.model"], control["gen_ai.provider.name"]) == ("llama", "openai")
    assert "shadowproxy.rollout" not in control, "the control serves every rollout"


async def test_span_has_the_id_that_the_copy_was_sent_with() -> None:
    plain_copy = exchange("v2")
    fields = {name: getattr(plain_copy, name) for name in plain_copy.__dataclass_fields__ if name != "span_id"}
    sent = SentExchange(**fields, span_id=b"00f067aa0ba902b7")
    seen = await told({}, None, (sent, answer(), comparison()), (exchange("control"), answer(), comparison("control")))
    assert seen.span_of("v2").span_id.hex() == "00f067aa0ba902b7"
    assert seen.span_of("control").span_id.hex() != "00f067aa0ba902b7"


async def test_divergences_and_similarity_are_events_without_the_texts() -> None:
    divergence = Divergence("text.length", Severity.MINOR, "a long secret story", "short")
    seen = await told({}, None, (exchange("v2"), answer(), comparison(divergences=(divergence,))))
    found = [(event.name, plain(event.attributes)) for event in seen.span_of("v2").events]
    assert found == [
        ("shadowproxy.divergence", {"shadowproxy.divergence.kind": "text.length", "shadowproxy.divergence.severity": "minor"}),
        ("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "similarity", "gen_ai.evaluation.score.value": 0.875}),
    ]


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"outcome": Outcome.TIMEOUT, "reply": None, "failure": "sent no complete reply within 5 s"}, "timeout", "within 5 s"),
        ({"outcome": Outcome.CONNECT_FAILED, "reply": None, "failure": "refused"}, "connect_failed", "refused"),
        ({"outcome": Outcome.HTTP_ERROR, "reply": Reply(503, (), ()), "failure": "the model says: Bob"}, "503", ""),
        ({"outcome": Outcome.STREAM_ERROR, "failure": "the model says: Bob"}, "stream_error", ""),
    ],
)
async def test_failed_copy_is_an_error_told_in_our_words_only(changes: dict, error: str, sentence: str) -> None:
    seen = await told({}, None, (exchange("v2", **changes), None, comparison(similarity=0.0)))
    span = seen.span_of("v2")
    assert plain(span.attributes)["error.type"] == error
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert sentence in span.status.message
    assert not any(b"Bob" in body for body in seen.bodies)


@pytest.mark.parametrize("outcome", [Outcome.DROPPED_CANDIDATE, Outcome.DROPPED_LOCAL])
async def test_copy_that_was_never_sent_has_no_span(outcome: Outcome) -> None:
    seen = await told(
        {}, None, (exchange("v2", outcome=outcome, reply=None), None, comparison()), (exchange("control"), answer(), comparison("control"))
    )
    assert [plain(span.attributes)["shadowproxy.arm"] for span in seen.spans] == ["control"]


@pytest.mark.parametrize(
    ("headers", "count"),
    [
        ({"traceparent": f"00-{TRACE}-{PARENT}-00".encode()}, 0),
        ({"b3": f"{TRACE}-{PARENT}-0".encode()}, 0),
        ({"b3": f"{TRACE}-{PARENT}-1".encode()}, 2),
        ({"x-b3-traceid": TRACE.encode(), "x-b3-spanid": PARENT.encode(), "x-b3-sampled": b"0"}, 0),
    ],
)
async def test_the_caller_s_flag_decides_whether_there_are_spans(headers: dict, count: int) -> None:
    primary = exchange(headers=headers)
    seen = await told({"sample_percent": 100}, primary)
    assert len(seen.spans) == count
    assert {span.trace_id.hex() for span in seen.spans} <= {TRACE}


@pytest.mark.parametrize(("percent", "count"), [(0, 0), (100, 2)])
async def test_share_of_untraced_requests_is_configured(percent: int, count: int) -> None:
    seen = await told({"sample_percent": percent}, exchange(headers={}))
    assert len(seen.spans) == count
    assert all(span.parent_span_id == b"" for span in seen.spans)


@pytest.mark.parametrize("value", [b"rubbish", f"00-{'0' * 32}-{PARENT}-01".encode(), b"ff", b"00-\xff"])
async def test_broken_trace_headers_are_no_parent(value: bytes) -> None:
    seen = await told({}, exchange(headers={"traceparent": value}))
    assert [span.parent_span_id for span in seen.spans] == [b"", b""]


# --- content --------------------------------------------------------------------------------------------------------------


def conversation() -> bytes:
    messages = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": f"my key is {KEY}"}, {"type": "image_url", "image_url": {"url": "data:AAAA"}}],
        },
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    return orjson.dumps({"model": "llama", "messages": messages})


async def test_content_is_left_out_unless_asked_for() -> None:
    seen = await told({}, exchange(body=conversation()), (exchange("v2"), answer("A story about Bob."), comparison()))
    sent = b"".join(seen.bodies)
    assert len(seen.spans) == 1
    assert not any(word in sent for word in (b"Be brief", b"Bob", b"weather", KEY.encode()))


async def test_captured_content_has_the_conventions_form_and_no_credentials() -> None:
    said = answer(choices=(Choice(f"Use {KEY}.", reasoning="Hm.", tool_calls=(ToolCall("weather", "{}", "c2"),), finish_reason="stop"),))
    divergence = Divergence("text.length", Severity.MINOR, f"long {KEY}", "short")
    seen = await told(
        {"capture_content": True}, exchange(body=conversation()), (exchange("v2"), said, comparison(divergences=(divergence,)))
    )
    span = seen.span_of("v2")
    found = plain(span.attributes)
    assert orjson.loads(found["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be brief."}]
    assert orjson.loads(found["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "my key is [api_key]"}, {"type": "image_url"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": '{"city":"Paris"}'}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "result": "rain"}]},
    ]
    assert orjson.loads(found["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "text", "content": "Use [api_key]."},
                {"type": "tool_call", "id": "c2", "name": "weather", "arguments": "{}"},
            ],
            "finish_reason": "stop",
        }
    ]
    assert plain(span.events[0].attributes)["shadowproxy.divergence.primary"] == "long [api_key]"
    assert KEY.encode() not in b"".join(seen.bodies)


async def test_captured_content_is_bounded_and_its_end_is_kept() -> None:
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": f"{number} " + "x" * 10_000} for number in range(1000)]})
    seen = await told({"capture_content": True}, exchange(body=body), (exchange("v2"), answer("y" * 1_000_000), comparison()))
    found = plain(seen.span_of("v2").attributes)
    assert len(found["gen_ai.input.messages"]) < 8_000
    assert orjson.loads(found["gen_ai.input.messages"])[-1]["parts"][0]["content"].startswith("999 ")
    assert len(found["gen_ai.output.messages"]) < 8_000


# --- what strangers send --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"model": 7, "messages": {}, "temperature": "hot", "n": true}',
        b'{"seed": 99999999999999999999999999, "max_tokens": -1e400, "temperature": 1e308, "n": 18446744073709551615}',
        b'{"model": "", "prompt": [[1, 2]], "system": {}}',
        b'{"messages": [3, null, {"role": 4, "content": [null, 5, {}], "tool_calls": [1, {"function": {"name": 5}}]}]}',
        orjson.dumps({"model": "m" * 100_000}),
    ],
)
async def test_odd_request_still_has_its_spans(body: bytes) -> None:
    """One text that cannot be encoded would lose the whole batch."""
    seen = await told({"capture_content": True, "metrics": True}, exchange(body=body))
    assert len(seen.spans) == 2
    assert len(seen.bodies[0]) < 20_000


async def test_odd_answer_still_has_its_span() -> None:
    odd = answer("\ud800", model="\udfff" + "m" * 1000, usage=Usage(-5, 2**80), choices=(Choice("\ud800", finish_reason="\ud800"),) * 100)
    seen = await told({"capture_content": True, "metrics": True}, None, (exchange("v2"), odd, comparison()))
    found = plain(seen.span_of("v2").attributes)
    assert "gen_ai.usage.output_tokens" not in found
    assert len(found["gen_ai.response.finish_reasons"]) == 16


async def test_made_up_models_do_not_make_up_span_names() -> None:
    async with collector() as seen:
        teller = telemetry(endpoint=seen.url, metrics=False)
        for number in range(100):
            primary = exchange(body=orjson.dumps({"model": f"made-up-{number}"}))
            teller.compared(primary, answer(), ((exchange("control"), answer(), comparison("control")),))
        await teller.close(5)
        assert len(seen.spans) == 100
        assert len({span.name for span in seen.spans}) == 21
        assert len({plain(span.attributes)["gen_ai.request.model"] for span in seen.spans}) == 100


@pytest.mark.parametrize(
    ("target", "operation", "provider"),
    [
        ("/v1/completions", "text_completion", "openai"),
        ("/v1/embeddings?x=1", "embeddings", "openai"),
        ("/v1/messages", "chat", "anthropic"),
        ("/v1/responses", "chat", "openai"),
        ("/v2/models/m/infer", "infer", "_OTHER"),
    ],
)
async def test_operation_and_flavour_are_known_by_the_path(target: str, operation: str, provider: str) -> None:
    primary = exchange()
    request = type(primary.request)("POST", target, primary.request.headers, primary.request.body)
    primary = exchange(request=request)
    seen = await told({}, primary, (exchange("control"), answer(), comparison("control")))
    found = plain(seen.span_of("control").attributes)
    assert (found["gen_ai.operation.name"], found["gen_ai.provider.name"]) == (operation, provider)
    assert seen.span_of("control").name == f"{operation} llama"
