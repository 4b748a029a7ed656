"""Gateway API HTTPRoute: weights of backend references. PURE.

Weights are proportions of 0 to 1,000,000 and 1 where they are absent (kubernetes-sigs/gateway-api ``apis/v1/httproute_types.go``). Filters,
RequestMirror among them, stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.json_patch import ObjectRef
from shadowproxy.promote.reading import section, sections
from shadowproxy.promote.routers.shape import Documents
from shadowproxy.promote.routers.weighted import Weighted
from shadowproxy.promote.weights import Split

_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend reference: a Service of the route's namespace, unless said otherwise. ``InferencePool`` is of
    inference.networking.k8s.io."""

    name: str
    namespace: str = ""
    kind: str = "Service"
    group: str = ""

    def key(self, namespace: str) -> str:
        """The same text for the same backend; what is absent has its default."""
        return f"{self.group}/{self.kind} {self.namespace or namespace}/{self.name}".lstrip("/")


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """A :class:`~shadowproxy.promote.routers.shape.Shape`. ``rules`` are names of rules; without them every rule that has both backends is
    steered."""

    namespace: str
    name: str
    primary: Backend
    candidate: Backend
    rules: tuple[str, ...] = ()
    version: str = "v1"
    is_annotated: bool = True

    @property
    def objects(self) -> tuple[ObjectRef, ...]:
        return (ObjectRef("gateway.networking.k8s.io", self.version, "httproutes", "HTTPRoute", self.namespace, self.name),)

    def shifts(self, documents: Documents) -> tuple[Split, ...]:
        weighted = Weighted("rule", "rules", "backendRefs", 1, _MOST, self._key, _refuse_redirect)
        primary, candidate = self.primary.key(self.namespace), self.candidate.key(self.namespace)
        return weighted.splits(self.objects[0], section(documents[0], "spec"), primary, candidate, self.rules)

    def identity(self, documents: Documents) -> str:
        return ""

    def problem(self, documents: Documents) -> str:
        return ""

    def steered_fields(self) -> tuple[str, ...]:
        return (".spec.rules[].backendRefs[].weight",)

    def _key(self, entry: Mapping[str, Any]) -> str:
        name, namespace = str(entry.get("name", "")), str(entry.get("namespace") or "")
        return Backend(name, namespace, str(entry.get("kind") or "Service"), str(entry.get("group") or "")).key(self.namespace)


def _refuse_redirect(rule: Mapping[str, Any], where: str) -> None:
    if any(entry.get("type") == "RequestRedirect" for entry in sections(rule, "filters")):
        raise RouterRefused(f"{where} redirects, which takes no weights", "name a rule that sends to backends")
