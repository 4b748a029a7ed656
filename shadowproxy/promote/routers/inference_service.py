"""KServe InferenceService: ``canaryTrafficPercent``, the share of the latest revision. PURE.

Absent it is 100, and it works in serverless mode only (kserve/kserve ``pkg/apis/serving/v1beta1/component.go``). KServe copies annotations
of an InferenceService into the pod template, where every change makes a new revision: the record of the rollout must be kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.json_patch import FieldChange, ObjectRef
from shadowproxy.promote.present import Share
from shadowproxy.promote.reading import section, whole
from shadowproxy.promote.routers.shape import Documents

_MODE = "serving.kserve.io/deploymentMode"


@dataclass(frozen=True, slots=True)
class CanaryPercent:
    """A :class:`~shadowproxy.promote.routers.shape.Shift`: one field, ``written`` as it stands (None: absent)."""

    where: str
    pointer: str
    written: int | None

    def share(self) -> Share:
        return Share(100 if self.written is None else self.written, 100, self.where)

    def found(self) -> int | None:
        return self.written

    def weigh(self, percent: int, total: int = 100) -> tuple[FieldChange, ...]:
        return () if percent == self.written else (FieldChange(0, self.pointer, self.written, percent),)

    def restore(self, found: object, total: int = 100) -> tuple[FieldChange, ...]:
        """Zero, which is also what was there before every rollout."""
        return self.weigh(0)


@dataclass(frozen=True, slots=True)
class InferenceService:
    """A :class:`~shadowproxy.promote.routers.shape.Shape`. The candidate is the latest revision, the primary the one rolled out before."""

    namespace: str
    name: str
    component: str = "predictor"
    is_annotated: bool = False

    @property
    def objects(self) -> tuple[ObjectRef, ...]:
        return (ObjectRef("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService", self.namespace, self.name),)

    def shifts(self, documents: Documents) -> tuple[CanaryPercent, ...]:
        where = str(self.objects[0])
        mode = section(documents[0], "metadata", "annotations").get(_MODE) or section(documents[0], "status").get("deploymentMode")
        if mode not in (None, "", "Serverless", "Knative"):
            problem = f"{where} is in {mode} mode, where canaryTrafficPercent has no effect"
            raise RouterRefused(problem, "steer the HTTPRoute or VirtualService before it, or use serverless mode")
        component = section(documents[0], "spec", self.component)
        if not component:
            raise RouterRefused(f"{where} has no {self.component}", "correct component: predictor, transformer or explainer")
        percent = whole(component.get("canaryTrafficPercent"), f"{where}: canaryTrafficPercent")
        if percent is not None and percent > 100:
            raise RouterRefused(f"{where}: canaryTrafficPercent is {percent}", "write 0 to 100")
        return (CanaryPercent(where, f"/spec/{self.component}/canaryTrafficPercent", percent),)

    def identity(self, documents: Documents) -> str:
        return str(self._status(documents).get("latestCreatedRevision") or "")

    def problem(self, documents: Documents) -> str:
        status = self._status(documents)
        if not status:
            return f"KServe to report on the {self.component}"
        created, ready = status.get("latestCreatedRevision"), status.get("latestReadyRevision")
        if created != ready:
            return f"revision {created} to be ready"
        if status.get("latestRolledoutRevision") == ready and not status.get("previousRolledoutRevision"):
            return "a second revision: the first has nothing to fall back to"
        return ""

    def steered_fields(self) -> tuple[str, ...]:
        return (f".spec.{self.component}.canaryTrafficPercent",)

    def _status(self, documents: Documents) -> Mapping[str, Any]:
        return section(documents[0], "status", "components", self.component)
