"""What the SDK's environment variables say holds where the configuration says nothing."""

from __future__ import annotations

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

from tests.telemetry.collector import Collector, answer, collector, comparison, exchange, telemetry


async def told(seen: Collector, **section: object) -> Collector:
    teller = telemetry(**section)
    teller.compared(exchange(), answer(), ((exchange("v2"), answer(), comparison()),))
    await teller.close(5)
    return seen


async def test_endpoint_and_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collector() as seen:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", seen.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue")
        await told(seen)
        assert len(seen.spans) == 1
        assert seen.metrics != []
        assert {headers["x-tenant"] for headers in seen.headers} == {"blue"}


async def test_configuration_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collector() as seen, collector() as other:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", other.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "from-environment")
        await told(seen, endpoint=seen.url, service_name="from-configuration")
        assert seen.resource["service.name"] == "from-configuration"
        assert other.bodies == []


async def test_resource_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collector() as seen:
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=edge,k8s.pod.name=p-1,service.instance.id=i-1")
        await told(seen, endpoint=seen.url)
        found = seen.resource
        assert (found["service.name"], found["k8s.pod.name"], found["service.instance.id"]) == ("edge", "p-1", "i-1")


async def test_unnamed_service_has_our_name_and_an_instance_of_its_own() -> None:
    async with collector() as seen:
        await told(seen, endpoint=seen.url)
        found = seen.resource
        assert found["service.name"] == "shadowproxy"
        assert found["service.version"]
        assert len(found["service.instance.id"]) >= 32


async def test_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with collector() as seen:
        await told(seen, endpoint=seen.url)
        assert seen.spans == []
        assert seen.metrics != []


async def test_switch_of_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    async with collector() as seen:
        await told(seen, endpoint=seen.url)
        assert seen.bodies == []
