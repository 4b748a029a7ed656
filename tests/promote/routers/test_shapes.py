"""What each kind of object may say, and what is refused with which remedy. The way up and down is in ``test_controller``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.routers.gateway_api import Backend, HttpRoute
from shadowproxy.promote.routers.istio import ServiceSubset, VirtualService
from shadowproxy.promote.routers.knative import KnativeService, Target
from shadowproxy.promote.routers.shape import Shape
from tests.promote.objects import HTTP_ROUTE, INFERENCE_SERVICE, KNATIVE_SERVICE, VIRTUAL_SERVICE, llm_service, read
from tests.promote.worlds import GATEWAY, ISTIO, KNATIVE, KSERVE, LLM

Edit = Callable[[dict[str, Any]], object]


def completions(document: dict[str, Any]) -> dict[str, Any]:
    route: dict[str, Any] = document["spec"]["http"][1]
    return route


def shares(shape: Shape, *documents: dict[str, Any]) -> list[float]:
    return [shift.share().percent for shift in shape.shifts(documents)]


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda d: completions(d).update(mirrors=[{"destination": {"host": "x"}}]), "both mirror and mirrors.*move mirror into mirrors"),
        (lambda d: completions(d).update(redirect={"uri": "/"}), "has redirect"),
        (lambda d: completions(d).update(delegate={"name": "other"}), "has delegate"),
        (lambda d: completions(d)["route"].pop(1), "no destination chat-v2.*weight: 0"),
        (lambda d: completions(d)["route"].append(completions(d)["route"][0]), "more than once"),
        (lambda d: completions(d)["route"][0].update(weight="90"), "'90', no weight"),
        (lambda d: completions(d)["route"][0].update(weight=-1), "no weight"),
        (lambda d: completions(d)["route"][0].update(weight=True), "no weight"),
        (lambda d: completions(d)["route"][0].update(weight=0), "neither primary nor candidate"),
        (lambda d: completions(d).update(name="other"), "no HTTP route called completions"),
        (lambda d: d["spec"].update(http="odd"), "no HTTP route called"),
        (lambda d: d.pop("spec"), "no HTTP route called"),
    ],
)
def test_virtual_service_that_is_not_understood_is_refused(edit: Edit, match: str) -> None:
    document = read(VIRTUAL_SERVICE)
    edit(document)
    with pytest.raises(RouterRefused, match=match):
        ISTIO.shifts([document])


def test_routes_with_both_destinations_are_found_without_names() -> None:
    document = read(VIRTUAL_SERVICE)
    document["spec"]["http"].append({"route": [{"destination": {"host": "chat-v2"}}, {"destination": {"host": "chat-v1"}, "weight": 1}]})
    unnamed = VirtualService("llm", "chat", ServiceSubset("chat-v1.llm.svc.cluster.local"), ServiceSubset("chat-v2"))
    assert shares(unnamed, document) == [0, 0]
    with pytest.raises(RouterRefused, match="no HTTP route with both"):
        VirtualService("llm", "chat", ServiceSubset("chat-v1"), ServiceSubset("chat-v9")).shifts([document])


def test_subsets_of_one_host_are_told_apart() -> None:
    document = read(VIRTUAL_SERVICE)
    completions(document)["route"] = [
        {"destination": {"host": "chat", "subset": "v1"}, "weight": 70},
        {"destination": {"host": "chat", "subset": "v2"}, "weight": 30},
    ]
    assert shares(VirtualService("llm", "chat", ServiceSubset("chat", "v1"), ServiceSubset("chat", "v2")), document) == [30]


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda d: d["spec"]["rules"][0]["backendRefs"].pop(), "no rule with both"),
        (lambda d: d["spec"]["rules"][0]["filters"].append({"type": "RequestRedirect", "requestRedirect": {}}), "redirects"),
        (lambda d: d["spec"]["rules"][0]["backendRefs"][0].update(weight=1.5), "no weight"),
    ],
)
def test_http_route_that_is_not_understood_is_refused(edit: Edit, match: str) -> None:
    document = read(HTTP_ROUTE)
    edit(document)
    with pytest.raises(RouterRefused, match=match):
        GATEWAY.shifts([document])


def test_absent_weight_of_a_backend_is_one() -> None:
    document = read(HTTP_ROUTE)
    del document["spec"]["rules"][0]["backendRefs"][1]["weight"]
    assert shares(GATEWAY, document) == [50]


def test_pools_and_services_of_one_name_are_told_apart() -> None:
    document = read(HTTP_ROUTE)
    pool = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "chat-v2", "weight": 3}
    document["spec"]["rules"][0]["backendRefs"] = [{"name": "chat-v2", "weight": 1}, pool]
    shape = HttpRoute("llm", "chat", Backend("chat-v2"), Backend("chat-v2", kind="InferencePool", group="inference.networking.k8s.io"))
    assert shares(shape, document) == [75]


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda d: d["metadata"]["annotations"].update({"serving.kserve.io/deploymentMode": "RawDeployment"}), "RawDeployment mode"),
        (lambda d: d["status"].update(deploymentMode="Standard") or d["metadata"].pop("annotations"), "Standard mode"),
        (lambda d: d["spec"]["predictor"].update(canaryTrafficPercent=101), "write 0 to 100"),
        (lambda d: d["spec"].pop("predictor"), "has no predictor"),
    ],
)
def test_inference_service_that_is_not_understood_is_refused(edit: Edit, match: str) -> None:
    document = read(INFERENCE_SERVICE)
    edit(document)
    with pytest.raises(RouterRefused, match=match):
        KSERVE.shifts([document])


def test_inference_service_without_the_field_gives_all_to_the_latest_revision() -> None:
    document = read(INFERENCE_SERVICE)
    del document["spec"]["predictor"]["canaryTrafficPercent"]
    assert shares(KSERVE, document) == [100]


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ({"latestCreatedRevision": "b", "latestReadyRevision": "a"}, "revision b to be ready"),
        ({"latestCreatedRevision": "a", "latestReadyRevision": "a", "latestRolledoutRevision": "a"}, "nothing to fall back to"),
        ({"latestCreatedRevision": "b", "latestReadyRevision": "b", "latestRolledoutRevision": "a"}, ""),
        ({}, "KServe to report"),
    ],
)
def test_inference_service_waits_for_its_revisions(status: dict[str, str], problem: str) -> None:
    document = read(INFERENCE_SERVICE)
    document["status"]["components"]["predictor"] = status
    assert problem in KSERVE.problem([document])
    assert bool(KSERVE.problem([document])) is bool(problem)


def test_llm_inference_services_of_two_groups_are_refused() -> None:
    candidate, primary = llm_service("chat-v2", 0), llm_service("chat-v1", 100)
    primary["spec"]["router"]["route"]["group"] = "other"
    with pytest.raises(RouterRefused, match="not in one routing group"):
        LLM.shifts([candidate, primary])
    del candidate["spec"]["router"]["route"]["weight"]
    primary["spec"]["router"]["route"]["group"] = "chat"
    with pytest.raises(RouterRefused, match="has no weight"):
        LLM.shifts([candidate, primary])


def test_llm_inference_service_that_is_not_ready_is_waited_for() -> None:
    candidate = llm_service("chat-v2", 0)
    assert LLM.problem([candidate]) == ""
    candidate["status"] = {"conditions": [{"type": "Ready", "status": "False", "reason": "Loading"}]}
    assert "Loading" in LLM.problem([candidate])
    assert LLM.identity([candidate]) == "chat hf://org/chat-v2"


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda d: d["spec"]["traffic"][0].update(percent=90), "add up to 90"),
        (lambda d: d["spec"]["traffic"].pop(1), "no destination the entry with tag candidate"),
        (lambda d: d["spec"].pop("traffic"), "no destination"),
    ],
)
def test_knative_service_that_is_not_understood_is_refused(edit: Edit, match: str) -> None:
    document = read(KNATIVE_SERVICE)
    edit(document)
    with pytest.raises(RouterRefused, match=match):
        KNATIVE.shifts([document])


def test_knative_entries_are_found_by_tag_revision_or_as_the_latest() -> None:
    document = read(KNATIVE_SERVICE)
    for candidate in (Target(tag="candidate"), Target()):
        assert shares(KnativeService("llm", "chat", Target(revision="chat-00001"), candidate), document) == [0]
        assert KnativeService("llm", "chat", Target(tag="stable"), candidate).identity([document]) == "chat-00002"
    document["status"]["latestReadyRevisionName"] = "chat-00001"
    assert KNATIVE.problem([document]) == "revision chat-00002 to be ready"


def test_third_revision_keeps_its_percentage_and_shares_that_fit_are_set() -> None:
    document = read(KNATIVE_SERVICE)
    document["spec"]["traffic"] = [
        {"revisionName": "chat-00001", "tag": "stable", "percent": 80},
        document["spec"]["traffic"][1],
        {"revisionName": "old", "percent": 20},
    ]
    (shift,) = KNATIVE.shifts([document])
    assert [(change.pointer, change.new) for change in shift.weigh(25)] == [
        ("/spec/traffic/1/percent", 20),
        ("/spec/traffic/0/percent", 60),
    ]
    with pytest.raises(RouterRefused, match="1 % of 80 is no whole number"):
        shift.weigh(1)
