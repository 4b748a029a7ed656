"""What is read out of requests and answers that strangers write. Needs nothing of OpenTelemetry."""

from __future__ import annotations

import orjson
import pytest

from shadowproxy.exchange import Answer, Request, Usage
from shadowproxy.telemetry.content import content_of, shown
from shadowproxy.telemetry.facts import Target, asked_of, clean, model_of, provider_of, request_facts, tokens


def asked(target: str = "/v1/chat/completions", **body: object):
    return asked_of(Request("POST", target, (), orjson.dumps(body)))


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("team.openai.azure.com", "azure.ai.openai"),
        ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "aws.bedrock"),
        ("runtime.sagemaker.eu-west-1.amazonaws.com", "openai"),
        ("notopenai.com", "openai"),
        ("notanthropic.com", "openai"),
        ("api.x.ai", "x_ai"),
        ("max.ai", "openai"),
        ("vllm.models.svc", "openai"),
    ],
)
def test_provider_is_known_by_the_host_and_else_by_the_flavour(host: str, provider: str) -> None:
    assert provider_of(Target(host, 443), asked()) == provider


def test_arm_s_model_replaces_the_request_s_only_where_there_is_one() -> None:
    assert model_of(Target("a", 1, "m2"), asked(model="m")) == "m2"
    assert model_of(Target("a", 1), asked(model="m")) == "m"
    assert model_of(Target("a", 1, "m2"), asked()) is None


@pytest.mark.parametrize("value", [True, "1", None, [], {}, 2**63])
def test_parameter_that_is_no_number_is_left_out(value: object) -> None:
    assert request_facts(asked(seed=value, n=value)) == {}


def test_parameters_that_change_the_answer_are_told() -> None:
    found = request_facts(asked(temperature=0, top_p=0.9, max_completion_tokens=5, seed=-3, n=2, stream=True))
    assert found == {
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.seed": -3,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stream": True,
    }


@pytest.mark.parametrize(("usage", "found"), [(Usage(1, 2), [("input", 1), ("output", 2)]), (Usage(-1, 2**63), []), (None, [])])
def test_token_count_that_is_none_is_left_out(usage: Usage | None, found: list) -> None:
    assert tokens(Answer("chat", usage=usage)) == found


def test_text_is_cut_and_encodable() -> None:
    assert clean("a\ud800" * 500).encode() == b"a?" * 100


def test_secret_that_the_cut_goes_through_is_redacted_as_a_whole() -> None:
    assert shown("x " * 10 + "sk-" + "a1" * 20, most=30) == "x " * 10 + "[api_key]"
    content = content_of(asked(messages=[{"role": "user", "content": "y " * 990 + "sk-" + "a1" * 40}]), None)
    assert "sk-a1" not in str(content)
