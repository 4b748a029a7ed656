"""Telemetry is an extra: off unless configured, and then complete or refused with the remedy."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from shadowproxy.app import check_secrets
from shadowproxy.config import build
from shadowproxy.errors import ConfigError, StartError
from shadowproxy.telemetry.loading import NoTelemetry, load, targets_of
from tests.gateway.wires import closed_port

HAS_OTEL = "the extra otel is not installed"


def config(**sections: Any):
    tree = {"primary": {"url": "unix:/run/model.sock"}, "candidates": [{"name": "v2", "url": "http://v2:81/p", "model": "m2"}]}
    return build({**tree, "embed": {"backend": "none"}, **sections})


@pytest.mark.parametrize("section", [None, {"spans": False, "metrics": False}])
def test_nothing_is_told_unless_asked_for(section: dict | None) -> None:
    assert isinstance(load(config(telemetry=section)), NoTelemetry)


def test_nothing_of_opentelemetry_is_imported_unless_configured() -> None:
    code = (
        "import sys, shadowproxy.processes.shadow; from shadowproxy.config import build; from shadowproxy.telemetry.loading import load;"
        "load(build({'primary': {'url': 'http://a:1'}}));"
        "print(*(name for name in sys.modules if name.startswith(('opentelemetry', 'requests', 'google.protobuf'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_missing_package_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("shadowproxy.telemetry.otel")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("shadowproxy.telemetry.otel", None, raising=False)
    monkeypatch.delattr("shadowproxy.telemetry.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(StartError, match=r"telemetry: opentelemetry\S* is not installed; pip install 'llm-shadowproxy\[otel\]'"):
        load(config(telemetry={}))


def test_arms_go_where_the_configuration_says() -> None:
    made = config(control={"percent": 10})
    targets = targets_of(made)
    assert {arm: (target.address, target.port, target.model) for arm, target in targets.items()} == {
        "primary": ("/run/model.sock", 0, None),
        "control": ("/run/model.sock", 0, None),
        "v2": ("v2", 81, "m2"),
    }
    assert targets["v2"].rollout == made.rollout_id(made.candidates[0])


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"])
def test_protocol_that_is_not_spoken_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "grpc")
    with pytest.raises(StartError, match=rf"{name} is grpc, but only http/protobuf is spoken; set telemetry\.endpoint"):
        load(config(telemetry={}))


async def test_protocol_of_another_endpoint_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason=HAS_OTEL)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    made = load(config(telemetry={"endpoint": f"http://127.0.0.1:{closed_port()}", "metrics": False}))
    assert not isinstance(made, NoTelemetry)
    await made.close(5)


def test_senseless_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason=HAS_OTEL)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "many")
    with pytest.raises(StartError, match="OTEL_BSP_MAX_QUEUE_SIZE is 'many'; give a whole number above 0"):
        load(config(telemetry={}))


def test_missing_credential_is_found_at_start() -> None:
    with pytest.raises(ConfigError, match=r"telemetry\.auth: env NO_SUCH_KEY is not set"):
        check_secrets(config(telemetry={"auth": {"env": "NO_SUCH_KEY"}}))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"endpoint": "collector:4318"}, "telemetry.endpoint: collector:4318 is not a URL; write http://host:4318"),
        ({"endpoint": "http://u:p@collector:4318"}, "carries credentials; put them into auth"),
        (
            {"headers": {"Authorization": "hush"}},
            "telemetry.headers: Authorization is a credential in plain text; put it into telemetry.auth",
        ),
        ({"headers": {"x": "a\nhush"}}, "telemetry.headers: x has a name or value that HTTP forbids"),
        ({"sample_percent": 101}, "telemetry.sample_percent: 101 is not within 0..100"),
        ({"endpont": "http://c:4318"}, "telemetry.endpont: http://c:4318 is not a known key; did you mean endpoint?"),
    ],
)
def test_mistake_in_the_section_is_named_with_its_remedy_and_no_secret(section: dict, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(telemetry=section)
    assert said in str(refused.value)
    assert "hush" not in str(refused.value)


def test_slash_behind_the_endpoint_does_not_matter() -> None:
    section = config(telemetry={"endpoint": "http://collector:4318/"}).telemetry
    assert section is not None
    assert section.endpoint == "http://collector:4318"


def test_telemetry_does_not_begin_a_new_rollout() -> None:
    plain, told = config(), config(telemetry={})
    assert plain.rollout_id(plain.candidates[0]) == told.rollout_id(told.candidates[0])
