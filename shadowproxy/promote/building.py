"""From the configuration to controllers. Called by ``steering``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shadowproxy.config import (
    GitTarget,
    HookTarget,
    HttpRouteTarget,
    InferenceServiceTarget,
    KnativeServiceTarget,
    KubernetesApi,
    LlmInferenceServiceTarget,
    PlaceInFile,
    ProgramTarget,
    Promotion,
    Section,
    VirtualServiceTarget,
)
from shadowproxy.events import Events
from shadowproxy.promote import cluster
from shadowproxy.promote.controller import Controller
from shadowproxy.promote.kube import Kube
from shadowproxy.promote.lease import AlwaysLeading, Leadership, Lease
from shadowproxy.promote.memory import ConfigMapMemory, FileMemory, Memory
from shadowproxy.promote.news import CloudEvents, Everyone, Listener, ObjectEvents
from shadowproxy.promote.plan import Approval, Plan, Step
from shadowproxy.promote.routers.edits import Edits, VersionEdits, WeightEdits
from shadowproxy.promote.routers.gateway_api import Backend, HttpRoute
from shadowproxy.promote.routers.git import GitRouter
from shadowproxy.promote.routers.hook import Hook
from shadowproxy.promote.routers.inference_service import InferenceService
from shadowproxy.promote.routers.istio import ServiceSubset, VirtualService
from shadowproxy.promote.routers.knative import KnativeService, Target
from shadowproxy.promote.routers.llm_inference_service import LlmInferenceService
from shadowproxy.promote.routers.manifest import Place
from shadowproxy.promote.routers.objects import ObjectRouter
from shadowproxy.promote.routers.percent import PercentRouter
from shadowproxy.promote.routers.port import Router
from shadowproxy.promote.routers.program import Program
from shadowproxy.promote.routers.shape import Shape
from shadowproxy.services import Service


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a controller needs besides its section: the present verdicts, the sink of events, the environment, a name of this process that
    no other has, and where a dry run shows (None: it acts)."""

    verdicts: Callable[[], Iterable[Mapping[str, Any]]]
    events: Events
    environ: Mapping[str, str]
    identity: str
    show: Callable[[str], None] | None


def controller_of(section: Promotion, around: Surroundings) -> Controller:
    """The controller of one candidate. Raises :class:`~shadowproxy.errors.StartError`, and ``ConfigError`` for a missing secret."""
    router, memory, leadership, listener = _steering(section, around)
    steps = tuple(Step(step.percent, step.min_age_s, step.min_pairs) for step in section.steps)
    plan = Plan(steps, Approval(section.approval))

    def verdict() -> Mapping[str, Any] | None:
        return next((document for document in around.verdicts() if document["candidate"] == section.candidate), None)

    return Controller(section.candidate, plan, router, memory, leadership, listener, verdict, show=around.show)


def shape_of(target: Section, namespace: str) -> Shape | None:
    """The Kubernetes objects that a section steers; None where it steers none."""
    match target:
        case VirtualServiceTarget(primary=primary, candidate=candidate):
            one, other = (ServiceSubset(each.host, each.subset) for each in (primary, candidate))
            return VirtualService(target.namespace or namespace, target.name, one, other, target.routes)
        case HttpRouteTarget(primary=primary, candidate=candidate):
            service, rival = (Backend(each.name, each.namespace, each.kind, each.group) for each in (primary, candidate))
            return HttpRoute(target.namespace or namespace, target.name, service, rival, target.rules)
        case InferenceServiceTarget():
            return InferenceService(target.namespace or namespace, target.name, target.component)
        case LlmInferenceServiceTarget():
            return LlmInferenceService(target.namespace or namespace, target.primary, target.candidate)
        case KnativeServiceTarget(primary=primary, candidate=candidate):
            old, new = (Target(each.tag, each.revision) for each in (primary, candidate))
            return KnativeService(target.namespace or namespace, target.name, old, new)
    return None


def _steering(section: Promotion, around: Surroundings) -> tuple[Router, Memory | None, Leadership, Listener]:
    told = CloudEvents(around.events)
    match section.target:
        case GitTarget() as target:
            # Pushes guard themselves: of two controllers one is refused.
            return _git(target, section.candidate), None, AlwaysLeading(), told
        case ProgramTarget() as target:
            return PercentRouter(Program(target.command, target.timeout_s)), FileMemory(target.state_file), AlwaysLeading(), told
        case HookTarget() as target:
            hook = Hook(Service(target.url, target.auth, target.tls, target.timeout_s))
            return PercentRouter(hook), FileMemory(target.state_file), AlwaysLeading(), told
    return _objects(section, around, told)


def _objects(section: Promotion, around: Surroundings, told: Listener) -> tuple[Router, Memory | None, Leadership, Listener]:
    kube = _kube(section.kubernetes, around.environ)
    shape = shape_of(section.target, kube.namespace)
    assert shape is not None, "every other target is in Kubernetes"
    ref, name = shape.objects[0], own_object(section.candidate)
    memory = None if shape.is_annotated else ConfigMapMemory(kube, ref.namespace, name)
    lease = Lease(kube, ref.namespace, name, around.identity, duration_s=section.lease_s)
    return ObjectRouter(kube, shape), memory, lease, Everyone([told, ObjectEvents(kube, ref, around.identity)])


def own_object(candidate: str) -> str:
    """What the Lease and the ConfigMap of the candidate's promotion are called: what a Role must name."""
    return f"shadowproxy-{candidate}".replace("_", "-")


def _kube(section: KubernetesApi, environ: Mapping[str, str]) -> Kube:
    found = cluster.from_kubeconfig(section.kubeconfig, section.context) if section.kubeconfig else cluster.find(environ)
    return Kube(found, section.timeout_s)


def _git(target: GitTarget, candidate: str) -> GitRouter:
    folder = target.folder / f"{candidate}.git"
    return GitRouter(target.repository, target.branch, target.file, target.record_file, _edits(target), folder, base=target.base)


def _edits(target: GitTarget) -> Edits:
    if target.candidate is None:
        return VersionEdits({_place(version): version.candidate for version in target.versions})
    return WeightEdits(_place(target.candidate), _place(target.primary) if target.primary else None)


def _place(section: PlaceInFile) -> Place:
    return Place(section.pointer, section.kind, section.name)
