"""What Kustomize builds of manifests/, and where pods are within it."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"

#: Every folder that someone may apply.
FOLDERS = ("base", "monitoring", *sorted(f"overlays/{path.name}" for path in (MANIFESTS / "overlays").iterdir()))

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here")

Object = Mapping[str, Any]


@functools.cache
def built(folder: str) -> tuple[Object, ...]:
    """The objects of one folder."""
    done = subprocess.run(["kubectl", "kustomize", str(MANIFESTS / folder)], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # deprecated fields are warned of there
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(folder: str, *kinds: str) -> list[Object]:
    return [each for each in built(folder) if each["kind"] in kinds]


def name_of(each: Object) -> str:
    return f"{each['apiVersion']} {each['kind']} {each['metadata']['name']}"


def group_of(each: Object) -> str:
    """``networking.istio.io``; empty for the core group."""
    group, slash, _ = str(each["apiVersion"]).partition("/")
    return group if slash else ""


def is_core(each: Object) -> bool:
    """A kind that Kubernetes itself has."""
    group = group_of(each)
    return "." not in group or (group.endswith(".k8s.io") and group != "gateway.networking.k8s.io")


def pods(folder: str) -> Iterator[tuple[str, Object, Object]]:
    """(whose, metadata of the pod, its spec) of everything that makes pods."""
    for each in built(folder):
        spec = each.get("spec", {})
        if each["kind"] == "InferenceService":
            yield name_of(each), {"annotations": spec["predictor"].get("annotations", {})}, spec["predictor"]
        elif each["kind"] == "ClusterServingRuntime":
            yield name_of(each), {}, spec
        elif each["kind"] == "LLMInferenceService":
            labels = {"app.kubernetes.io/name": each["metadata"]["name"], "kserve.io/component": "workload"}  # KServe's own
            yield name_of(each), {"labels": labels, "annotations": spec.get("annotations", {})}, spec["template"]
        elif "containers" in spec.get("template", {}).get("spec", {}):
            yield name_of(each), spec["template"].get("metadata", {}), spec["template"]["spec"]


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def is_ours(container: Object) -> bool:
    """Runs our image."""
    return str(container.get("image", "")).startswith("shadowproxy:")
