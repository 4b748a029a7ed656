"""KServe LLMInferenceService: ``spec.router.route.weight`` of two services in one group. PURE.

Weights are proportions within the group (kserve/kserve #5725). Two objects cannot be written at once: the intent is recorded first, and the
candidate's weight is written before the primary's, so that it never has more than its step says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.json_patch import ObjectRef
from shadowproxy.promote.reading import section, whole
from shadowproxy.promote.routers.shape import Documents
from shadowproxy.promote.weights import Destination, Split


@dataclass(frozen=True, slots=True)
class LlmInferenceService:
    """A :class:`~shadowproxy.promote.routers.shape.Shape` over two objects: the candidate's, then the primary's."""

    namespace: str
    primary: str
    candidate: str
    version: str = "v1alpha2"
    #: The record belongs to both objects, and neither is written with the other.
    is_annotated: bool = False

    @property
    def objects(self) -> tuple[ObjectRef, ...]:
        return (self._ref(self.candidate), self._ref(self.primary))

    def shifts(self, documents: Documents) -> tuple[Split, ...]:
        groups = {str(_route(document).get("group") or "") for document in documents}
        if len(groups) != 1 or "" in groups:
            problem = f"{self.objects[0]} and {self.objects[1]} are not in one routing group"
            raise RouterRefused(problem, "give both the same spec.router.route.group")
        destinations = tuple(self._destination(index, document) for index, document in enumerate(documents))
        # Others of the group are not read, so the pair's sum must stay, and with it what it means.
        return (Split(f"routing group {groups.pop()}", destinations, primary=1, candidate=0, most=0),)

    def identity(self, documents: Documents) -> str:
        """The model that is served: name and source."""
        model = section(documents[0], "spec", "model")
        return " ".join(str(model[key]) for key in ("name", "uri") if model.get(key))

    def problem(self, documents: Documents) -> str:
        """The candidate to be ready, where KServe says that it is not."""
        conditions = section(documents[0], "status").get("conditions")
        ready = [each for each in conditions if isinstance(each, Mapping) and each.get("type") == "Ready"] if conditions else []
        if ready and ready[0].get("status") != "True":
            return f"{self.objects[0]} to be ready ({ready[0].get('reason') or 'no reason given'})"
        return ""

    def steered_fields(self) -> tuple[str, ...]:
        return (".spec.router.route.weight",)

    def _ref(self, name: str) -> ObjectRef:
        return ObjectRef("serving.kserve.io", self.version, "llminferenceservices", "LLMInferenceService", self.namespace, name)

    def _destination(self, index: int, document: Mapping[str, Any]) -> Destination:
        ref = self.objects[index]
        weight = whole(_route(document).get("weight"), f"{ref}: its weight")
        if weight is None:
            raise RouterRefused(f"{ref} has no weight", "set spec.router.route.weight: 0 for the candidate, 100 for the primary")
        return Destination(ref.name, "/spec/router/route/weight", weight, weight, document=index)


def _route(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return section(document, "spec", "router", "route")
