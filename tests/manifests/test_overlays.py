"""Everything under manifests/: builds, is what the clusters' schemas allow, loads, and has no more rights than it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from shadowproxy import config
from shadowproxy.admin.app import ENDPOINTS
from shadowproxy.promote.building import own_object
from tests.manifests.overlays import (
    FOLDERS,
    ROOT,
    Object,
    built,
    containers,
    group_of,
    is_core,
    is_ours,
    name_of,
    needs_kubectl,
    of_kind,
    pods,
)
from tests.manifests.schemas import needs_definitions, validator

pytestmark = needs_kubectl

#: Folders with a judge that may act.
JUDGED = ("overlays/judge", "overlays/llm-inference-service")

#: Kinds of others whose definitions are not at hand.
UNDEFINED = {("serving.kserve.io", "ClusterServingRuntime")}


@pytest.mark.parametrize("folder", FOLDERS)
def test_builds_into_objects_with_names_of_their_own(folder: str) -> None:
    names = [name_of(each) for each in built(folder)]
    assert names
    assert len(names) == len(set(names))


@needs_definitions
@pytest.mark.parametrize("folder", FOLDERS)
def test_custom_resources_are_what_their_definitions_allow(folder: str) -> None:
    for each in built(folder):
        if is_core(each) or (group_of(each), each["kind"]) in UNDEFINED:
            continue
        checked = validator(group_of(each), each["apiVersion"].rpartition("/")[2], each["kind"])
        assert checked is not None, name_of(each)
        assert [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in checked.iter_errors(each)] == [], name_of(each)


@needs_definitions
def test_a_misspelt_field_would_be_found() -> None:
    (route,) = of_kind("overlays/gateway-istio", "VirtualService")
    checked = validator("networking.istio.io", "v1", "VirtualService")
    assert checked.is_valid(route)
    assert not checked.is_valid({**route, "spec": {**route["spec"], "htpp": []}})


@pytest.mark.parametrize("folder", FOLDERS)
def test_core_kinds_are_what_kubernetes_allows(folder: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for each in built(folder):
        if is_core(each):
            kubernetes_validate.validate(each, "1.31", strict=True)


def test_documentation_lists_every_folder() -> None:
    rows = re.findall(r"^\| `([a-z/-]+)` \|", (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {row for row in rows if row in FOLDERS} == set(FOLDERS)


# --- configuration ------------------------------------------------------------------------------------------------------


def configurations(folder: str) -> Iterator[config.Config]:
    for each in of_kind(folder, "ConfigMap"):
        yield from (config.parse(text) for name, text in each["data"].items() if name == "shadowproxy.yaml")


@pytest.mark.parametrize("folder", FOLDERS)
def test_configuration_loads_and_listens_where_the_pod_says(folder: str) -> None:
    for settings in configurations(folder):
        ports = {port["containerPort"] for _, _, pod in pods(folder) for each in containers(pod) if is_ours(each) for port in each["ports"]}
        assert int(settings.listen.rpartition(":")[2]) in ports
        judged = {9902} if settings.judge.has_source else set()
        # Knative allows one port; probes name the admin port by number there.
        assert ports <= {int(each.rpartition(":")[2]) for each in (settings.listen, settings.admin.listen)} | judged


def test_every_folder_with_our_image_has_its_configuration() -> None:
    for folder in FOLDERS:
        has_image = any(is_ours(each) for _, _, pod in pods(folder) for each in containers(pod))
        assert bool(list(configurations(folder))) == has_image, folder


@pytest.mark.parametrize("folder", FOLDERS)
def test_volumes_are_those_that_were_generated(folder: str) -> None:
    maps = {each["metadata"]["name"] for each in of_kind(folder, "ConfigMap")}
    for whose, _, pod in pods(folder):
        named = {volume["configMap"]["name"] for volume in pod.get("volumes", ()) if "configMap" in volume}
        assert named <= maps, whose


@pytest.mark.parametrize("folder", JUDGED)
def test_judge_and_gateways_share_one_configuration(folder: str) -> None:
    mounted = {volume["configMap"]["name"] for _, _, pod in pods(folder) for volume in pod.get("volumes", ()) if "configMap" in volume}
    assert len(mounted) == 1, "a rollout's id is the digest of the configuration"


# --- rights -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", FOLDERS)
def test_containers_have_no_privileges(folder: str) -> None:
    for whose, _, pod in pods(folder):
        around = pod.get("securityContext", {})
        for each in containers(pod):
            if "image" not in each:
                continue
            rights = {**around, **each["securityContext"]}
            assert rights["runAsNonRoot"] is True, whose
            assert rights["seccompProfile"] == {"type": "RuntimeDefault"}, whose
            assert rights["readOnlyRootFilesystem"] is True, whose
            assert rights["allowPrivilegeEscalation"] is False, whose
            assert rights["capabilities"] == {"drop": ["ALL"]}, whose
            assert set(each["resources"]["requests"]) == {"cpu", "memory"}, whose
            assert "memory" in each["resources"]["limits"], whose


@pytest.mark.parametrize("folder", FOLDERS)
def test_only_the_judge_holds_a_token_of_the_api_server(folder: str) -> None:
    for whose, _, pod in pods(folder):
        is_judge = whose.endswith("shadowproxy-judge")
        assert pod.get("automountServiceAccountToken", "ClusterServingRuntime" not in whose) is is_judge, whose


@pytest.mark.parametrize("folder", JUDGED)
def test_the_judge_may_touch_the_objects_it_keeps(folder: str) -> None:
    rules = [rule for role in of_kind(folder, "Role") for rule in role["rules"]]
    (settings,) = configurations(folder)
    for resource, verbs in (("leases", {"get", "update"}), ("configmaps", {"get", "patch"})):
        named = [rule for rule in rules if rule["resources"] == [resource] and rule.get("resourceNames")]
        assert [(rule["resourceNames"], set(rule["verbs"])) for rule in named] == [([own_object(settings.candidates[0].name)], verbs)]


def test_rights_are_named_one_by_one() -> None:
    rules = [rule for folder in FOLDERS for role in of_kind(folder, "Role") for rule in role["rules"]]
    assert rules
    for rule in rules:
        assert "*" not in str(rule)
        assert rule.get("resourceNames") or rule["verbs"] == ["create"], "only a create cannot be restricted to a name"
    assert not [each for folder in FOLDERS for each in of_kind(folder, "ClusterRole", "ClusterRoleBinding")]


# --- what fits together -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", FOLDERS)
def test_selectors_meet_pods_and_their_ports(folder: str) -> None:
    there = [(metadata.get("labels", {}), pod) for _, metadata, pod in pods(folder)]
    for each in of_kind(folder, "Service", "PodDisruptionBudget", "NetworkPolicy", "AuthorizationPolicy", "PeerAuthentication"):
        wanted = _selector(each)
        met = [pod for labels, pod in there if wanted and wanted.items() <= labels.items()]
        assert met or not wanted, name_of(each)
        names = {port.get("name") for pod in met for one in containers(pod) for port in one.get("ports", ())}
        for port in _named_ports(each):
            assert port in names, (name_of(each), port)


def _selector(each: Object) -> dict[str, str]:
    spec = each["spec"]
    selector = spec.get("podSelector") or spec.get("selector") or {}
    found: dict[str, str] = selector.get("matchLabels", selector)
    return found if "app" in str(found) else {}


def _named_ports(each: Object) -> Iterator[Any]:
    if each["kind"] == "Service" and "ports" in each["spec"]:
        yield from (port["targetPort"] for port in each["spec"]["ports"])
    for rule in each["spec"].get("ingress", ()):
        yield from (port["port"] for port in rule["ports"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_probes_ask_endpoints_that_need_no_token(folder: str) -> None:
    for whose, _, pod in pods(folder):
        for each in filter(is_ours, containers(pod)):
            ports = {port.get("name"): port["containerPort"] for port in each["ports"]}
            for probe in (each[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe") if name in each):
                assert "needs no token" in ENDPOINTS[probe["path"]], whose
                assert ports.get(probe["port"], probe["port"]) in (9901, 9902), whose


def test_sidecar_starts_before_the_model_and_stays() -> None:
    ((_, metadata, pod),) = pods("overlays/sidecar")
    (sidecar,) = pod["initContainers"]
    assert is_ours(sidecar)
    assert sidecar["restartPolicy"] == "Always"
    assert "holdApplicationUntilProxyStarts: true" in metadata["annotations"]["proxy.istio.io/config"]


@pytest.mark.parametrize("folder", ["overlays/sidecar", "overlays/kserve", "overlays/knative", "overlays/llm-inference-service"])
def test_admin_port_that_keeps_out_of_the_mesh_is_the_configured_one(folder: str) -> None:
    (settings,) = configurations(folder)
    (kept_out,) = (
        metadata["annotations"]["traffic.sidecar.istio.io/excludeInboundPorts"]
        for _, metadata, _ in pods(folder)
        if metadata.get("annotations")
    )
    assert kept_out == settings.admin.listen.rpartition(":")[2]
    assert settings.admin.token is not None, "what keeps out of the mesh is guarded by the token alone"


def test_clients_of_kserve_meet_us_and_not_the_model() -> None:
    """KServe's Service goes to the first port of the transformer-container, where there is one."""
    (service,) = of_kind("overlays/kserve", "InferenceService")
    (runtime,) = of_kind("overlays/kserve", "ClusterServingRuntime")
    (ours,) = service["spec"]["predictor"]["containers"]
    assert ours["name"] == "transformer-container"
    assert ours["ports"][0]["containerPort"] == 8080
    assert all("ports" not in each for each in runtime["spec"]["containers"])
    assert service["spec"]["predictor"]["model"]["runtime"] == runtime["metadata"]["name"]


def test_scheduler_of_an_llm_inference_service_meets_us_and_not_the_model() -> None:
    """KServe's preset sends what its InferencePool has placed to port 8000."""
    folder = "overlays/llm-inference-service"
    first, second = of_kind(folder, "LLMInferenceService")
    (settings,) = configurations(folder)
    (sidecar,) = first["spec"]["template"]["initContainers"]
    (model,) = first["spec"]["template"]["containers"]
    assert sidecar["restartPolicy"] == "Always"
    assert [port["containerPort"] for port in sidecar["ports"] if port["name"] == "proxied"] == [8000]
    assert settings.listen.endswith(":8000")
    behind = settings.primary.url.rpartition(":")[2]
    assert model["args"][-2:] == ["--port", behind]
    assert {model[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {int(behind)}
    assert not list(filter(is_ours, containers(second["spec"]["template"]))), "copies of copies are never wanted"


def test_group_that_the_judge_steers_is_one_and_its_rights_name_both() -> None:
    folder = "overlays/llm-inference-service"
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(folder, "LLMInferenceService")}
    (settings,) = configurations(folder)
    target = settings.promotions[0].llm_inference_service
    assert target is not None
    assert {target.primary, target.candidate} == set(services)
    routes = {name: spec["router"]["route"] for name, spec in services.items()}
    assert {route["group"] for route in routes.values()} == {"llm"}
    assert {spec["model"]["name"] for spec in services.values()} == {"llm"}, "KServe takes no others for one group"
    assert (routes[target.primary]["weight"], routes[target.candidate]["weight"]) == (100, 0)
    assert settings.candidates[0].url.endswith(f"/{target.namespace}/{target.candidate}"), "its own path, past the weights"
    steered = [rule for role in of_kind(folder, "Role") for rule in role["rules"] if rule["resources"] == ["llminferenceservices"]]
    assert [set(rule["resourceNames"]) for rule in steered] == [set(services)]


def test_mesh_lets_flagger_call_hooks_and_nothing_else() -> None:
    policies = of_kind("overlays/judge", "AuthorizationPolicy")
    (rule,) = (rule for policy in policies for rule in policy["spec"]["rules"] if "flagger" in str(rule["from"]))
    (to,) = rule["to"]
    assert to["operation"] == {"ports": ["9902"], "methods": ["POST"], "paths": ["/flagger/*"]}


@pytest.mark.parametrize("folder", ["overlays/gateway-istio", "overlays/judge"])
def test_ports_that_the_mesh_lets_in_are_those_of_the_pods(folder: str) -> None:
    ports = {str(port["containerPort"]) for _, _, pod in pods(folder) for each in containers(pod) for port in each["ports"]}
    named = {
        port
        for policy in of_kind(folder, "AuthorizationPolicy")
        for rule in policy["spec"]["rules"]
        for to in rule["to"]
        for port in to["operation"]["ports"]
    }
    assert named == ports
    assert all(policy["spec"]["mtls"] == {"mode": "STRICT"} for policy in of_kind(folder, "PeerAuthentication"))


def test_argo_cd_leaves_alone_what_is_steered_in_the_cluster() -> None:
    for each in built("overlays/argo-cd"):
        spec = each["spec"] if each["kind"] == "Application" else each["spec"]["template"]["spec"]
        assert "RespectIgnoreDifferences=true" in spec["syncPolicy"]["syncOptions"]
        assert ".spec.http[].route[].weight" in str(spec["ignoreDifferences"])
