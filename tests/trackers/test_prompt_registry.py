"""A candidate's prompt out of MLflow's registry, by the real client from a real server."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from shadowproxy.config import Config, build
from shadowproxy.errors import ConfigError
from shadowproxy.prompt_registry import said

SECRET = "hunter2-hunter2"


@pytest.fixture
def client(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real client of a real registry."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    return mlflow.MlflowClient()


def configured(registry: str, **prompt: str) -> Config:
    candidate = {"name": "v7", "url": "http://a:1", "prompt": {"registry": registry, **prompt}}
    return build({"primary": {"url": "http://a:1"}, "candidates": [candidate]})


def problem(registry: str) -> str:
    with pytest.raises(ConfigError) as refused:
        configured(registry)
    (only,) = refused.value.problems
    assert only.key == "candidates[0].prompt"
    return str(only)


@pytest.mark.slow
def test_version_is_read_and_named(client: Any) -> None:
    for text in ("You sort tickets.", "You sort tickets. One word."):
        client.register_prompt(name="tickets", template=text)
    client.set_prompt_alias("tickets", "production", 2)
    first, latest = configured("prompts:/tickets/1"), configured("prompts:/tickets@production")
    prompts = [each.candidates[0].prompt for each in (first, latest)]
    assert [(each.system, each.version, each.registry) for each in prompts if each] == [
        ("You sort tickets.", "tickets/1", "prompts:/tickets/1"),
        ("You sort tickets. One word.", "tickets/2", "prompts:/tickets/2"),
    ]
    assert first.rollout_id(first.candidates[0]) != latest.rollout_id(latest.candidates[0])


@pytest.mark.slow
def test_alias_that_moves_is_another_rollout_at_the_next_reload(client: Any) -> None:
    for text in ("One.", "Two."):
        client.register_prompt(name="moving", template=text)
    ids = []
    for version in (1, 2, 1):
        client.set_prompt_alias("moving", "live", version)
        config = configured("prompts:/moving@live")
        ids.append(config.rollout_id(config.candidates[0]))
    assert ids[0] != ids[1]
    assert ids[0] == ids[2]


@pytest.mark.slow
def test_children_get_it_by_value(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client.register_prompt(name="by-value", template="You sort tickets.")
    config = configured("prompts:/by-value/1", version="seven")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    again = build(config.model_dump(mode="json"))
    assert again == config
    assert again.candidates[0].prompt is not None
    assert again.candidates[0].prompt.version == "seven"


@pytest.mark.slow
def test_chat_prompt_is_one_where_it_is_a_system_message(client: Any) -> None:
    client.register_prompt(name="alone", template=[{"role": "system", "content": "You sort."}])
    client.register_prompt(name="talk", template=[{"role": "system", "content": "You sort."}, {"role": "user", "content": "Hi"}])
    prompt = configured("prompts:/alone/1").candidates[0].prompt
    assert prompt is not None
    assert prompt.system == "You sort."
    assert "turns of a conversation" in problem("prompts:/talk/1")


@pytest.mark.slow
def test_template_is_refused_since_nobody_fills_it(client: Any) -> None:
    client.register_prompt(name="form", template="Answer {{question}} for {{tenant}}.")
    assert "question, tenant" in problem("prompts:/form/1")


@pytest.mark.slow
def test_version_that_is_not_there_is_named_with_a_remedy(client: Any) -> None:
    client.register_prompt(name="there", template="You sort tickets.")
    for registry in ("prompts:/there/9", "prompts:/there@nowhere", "prompts:/nobody/1"):
        assert "check MLFLOW_TRACKING_URI, the name and the version" in problem(registry)


def test_address_is_checked_before_anybody_is_asked() -> None:
    for registry in ("triage/7", "prompts:/triage", "prompts:/a/b/1", "prompts:/triage/latest"):
        assert "write prompts:/NAME/VERSION or prompts:/NAME@ALIAS" in problem(registry)


def test_missing_client_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "mlflow":
            raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert "pip install 'llm-shadowproxy[mlflow]'" in problem("prompts:/triage/7")


def test_what_a_client_says_is_told_without_credentials() -> None:
    problem = RuntimeError(f"API request to http://anna:{SECRET}@mlflow:5000/api failed\nTraceback …")
    assert said(problem) == "API request to http://mlflow:5000/api failed"
    assert said(RuntimeError("")) == "RuntimeError"
