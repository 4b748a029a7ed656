"""What moves real traffic, and by which steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from shadowproxy.config.arms import Tls
from shadowproxy.config.values import Auth, BaseUrl, Seconds, Section


class KubernetesApi(Section):
    """The API server whose objects are steered. Default: that of the pod, else of ``KUBECONFIG``."""

    kubeconfig: Path | None = None
    """A kubeconfig file."""
    context: str = ""
    """A context in it. Default: its current one."""
    timeout_s: Annotated[float, Field(gt=0, le=5)] = 5.0
    """How long one request may take. At most a third of ``lease_s``: what was sent before a lease runs out is over before anybody else
    acts."""


class Host(Section):
    """A destination of an Istio route."""

    host: str
    """As the VirtualService names it."""
    subset: str = ""
    """Tells versions that share a host apart."""


class VirtualServiceTarget(Section):
    """Istio: weights of HTTP routes."""

    name: str
    """Name of the VirtualService."""
    namespace: str = ""
    """Default: ours."""
    primary: Host
    candidate: Host
    routes: tuple[str, ...] = ()
    """Names of the HTTP routes to steer. Default: every one that has both destinations."""


class BackendRef(Section):
    """A backend of a Gateway API route."""

    name: str
    """Name of the backend."""
    namespace: str = ""
    """Default: the route's."""
    kind: str = "Service"
    """Its kind: ``Service``, ``InferencePool`` …"""
    group: str = ""
    """API group of its kind; empty for a Service."""


class HttpRouteTarget(Section):
    """Gateway API: weights of backend references."""

    name: str
    """Name of the HTTPRoute."""
    namespace: str = ""
    """Default: ours."""
    primary: BackendRef
    candidate: BackendRef
    rules: tuple[str, ...] = ()
    """Names of the rules to steer. Default: every one that has both backends."""


class InferenceServiceTarget(Section):
    """KServe, serverless mode: ``canaryTrafficPercent``. The candidate is the latest revision."""

    name: str
    """Name of the InferenceService."""
    namespace: str = ""
    """Default: ours."""
    component: Literal["predictor", "transformer", "explainer"] = "predictor"
    """Which of its components the traffic is split at."""


class LlmInferenceServiceTarget(Section):
    """KServe: the route weights of two LLMInferenceServices of one group."""

    primary: str
    """Name of the primary's object."""
    candidate: str
    """Name of the candidate's object."""
    namespace: str = ""
    """Default: ours."""


class RevisionTarget(Section):
    """An entry of a Knative Service's traffic: by tag, else by revision, else the one of the latest revision."""

    tag: str = ""
    """Tag of the entry."""
    revision: str = ""
    """Name of its revision."""


class KnativeServiceTarget(Section):
    """Knative: percentages of two entries of ``spec.traffic``."""

    name: str
    """Name of the Knative Service."""
    namespace: str = ""
    """Default: ours."""
    primary: RevisionTarget
    candidate: RevisionTarget = RevisionTarget()


class PlaceInFile(Section):
    """Where a value stands in a YAML file."""

    pointer: Annotated[str, Field(pattern=r"^/")]
    """JSON Pointer: ``/spec/http/0/route/1/weight``."""
    kind: str = ""
    """``kind`` of the document, where the file has several."""
    name: str = ""
    """``metadata.name`` of the document."""


class VersionInFile(PlaceInFile):
    """A value that names a version: an image, a model, a prompt."""

    candidate: str
    """What it is once the candidate is promoted."""


class GitTarget(Section):
    """Commits, for Argo CD and Flux: two weights, one percentage (``candidate`` alone), or ``versions`` with ``steps: [100]``."""

    repository: str
    """URL or path. Credentials are git's: SSH agent or credential helper."""
    branch: str
    """Where commits go."""
    base: str = ""
    """Where the branch begins if it is not there yet."""
    file: str
    """Path of the YAML file."""
    record_file: str = ".shadowproxy/rollout.json"
    """Path of the record with the verdict. Outside of what Argo CD reads as plain manifests: it takes any JSON there for one."""
    primary: PlaceInFile | None = None
    candidate: PlaceInFile | None = None
    versions: tuple[VersionInFile, ...] = ()
    """Values that change to the candidate's once it is promoted."""
    folder: Path = Path("/var/lib/shadowproxy/git")
    """Where our own copy of the repository is kept."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.candidate is None) == (not self.versions):
            raise ValueError("needs either candidate (a weight) or versions; keep one of them")
        return self


class ProgramTarget(Section):
    """A program: ``get`` prints ``{"percent": N}``, ``set N`` makes it so."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its first arguments; ``get`` or ``set N`` is put behind them."""
    timeout_s: Seconds = 30.0
    """How long one call may take."""
    state_file: Path
    """Where the record of the rollout is kept."""


class HookTarget(Section):
    """A web hook: GET answers ``{"percent": N}``, POST of the same makes it so."""

    url: BaseUrl
    """What is asked and told."""
    auth: Auth | None = None
    tls: Tls = Tls()
    timeout_s: Seconds = 10.0
    """How long one request may take."""
    state_file: Path
    """Where the record of the rollout is kept."""


class CanaryStep(Section):
    """A share of the traffic, and what must have been seen before the next."""

    percent: Annotated[int, Field(ge=1, le=100)]
    """Share of the traffic that the candidate gets."""
    min_age_s: Annotated[float, Field(ge=0)] = 600.0
    """Least time at this step. 10 min: caches fill, autoscalers answer, a slow leak begins to show."""
    min_pairs: Annotated[int, Field(ge=0)] = 100
    """Pairs that must be judged during this step; the last one asks for none."""


def _step(value: object) -> object:
    return {"percent": value} if isinstance(value, int) and not isinstance(value, bool) else value


_TARGETS = (
    "virtual_service", "http_route", "inference_service", "llm_inference_service", "knative_service", "git", "program", "hook",
)  # fmt: skip


class Promotion(Section):
    """How traffic is moved to a candidate, through exactly one router: by ``shadowproxy judge``, or by ``shadowproxy serve`` where the
    section ``judge`` names no source of counts."""

    candidate: str
    """Name of the candidate."""
    steps: tuple[Annotated[CanaryStep, BeforeValidator(_step)], ...] = tuple(CanaryStep(percent=percent) for percent in (1, 5, 25, 50, 100))
    """Rising shares that end with 100; a number alone stands for ``{percent: N}``."""
    approval: Literal["none", "last", "every"] = "none"
    """Which steps wait for a person's ``approve``."""
    interval_s: Annotated[float, Field(gt=0, le=5)] = 5.0
    """How often it looks. A third of ``lease_s`` at most, or the lease runs out between two looks."""
    lease_s: Annotated[float, Field(ge=15)] = 15.0
    """How long others wait for a leader that is silent."""
    kubernetes: KubernetesApi = KubernetesApi()
    virtual_service: VirtualServiceTarget | None = None
    http_route: HttpRouteTarget | None = None
    inference_service: InferenceServiceTarget | None = None
    llm_inference_service: LlmInferenceServiceTarget | None = None
    knative_service: KnativeServiceTarget | None = None
    git: GitTarget | None = None
    program: ProgramTarget | None = None
    hook: HookTarget | None = None

    @property
    def target(self) -> Section:
        """The section of the router."""
        sections: list[Section | None] = [getattr(self, name) for name in _TARGETS]
        return next(section for section in sections if section is not None)

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum(getattr(self, name) is not None for name in _TARGETS) != 1:
            raise ValueError(f"needs exactly one router; write one of {', '.join(_TARGETS)}")
        percents = [step.percent for step in self.steps]
        if percents != sorted(set(percents)) or percents[-1:] != [100]:
            raise ValueError("has steps that do not rise to 100; write them in ascending order, 100 last")
        return self
