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
from shadowproxy.promote.reading import section, sections, whole
from shadowproxy.promote.routers.shape import Documents
from shadowproxy.promote.weights import Destination, Split, position

_MOST = 1_000_000
_DEFAULT = 1


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
        rules = sections(section(documents[0], "spec"), "rules")
        splits = tuple(self._split(index, rule) for index, rule in enumerate(rules) if self._is_meant(rule))
        missing = set(self.rules) - {str(rule.get("name")) for rule in rules}
        if missing:
            raise RouterRefused(f"{self.objects[0]} has no rule called {', '.join(sorted(missing))}", "correct rules, or name the rule")
        if not splits:
            problem = f"{self.objects[0]} has no rule with both {self._primary} and {self._candidate}"
            raise RouterRefused(problem, f"add {self._candidate} to the rule's backendRefs with weight: 0")
        return splits

    def identity(self, documents: Documents) -> str:
        return ""

    def problem(self, documents: Documents) -> str:
        return ""

    def steered_fields(self) -> tuple[str, ...]:
        return (".spec.rules[].backendRefs[].weight",)

    @property
    def _primary(self) -> str:
        return self.primary.key(self.namespace)

    @property
    def _candidate(self) -> str:
        return self.candidate.key(self.namespace)

    def _is_meant(self, rule: Mapping[str, Any]) -> bool:
        if self.rules:
            return rule.get("name") in self.rules
        keys = [self._key(entry) for entry in sections(rule, "backendRefs")]
        return self._primary in keys and self._candidate in keys

    def _split(self, index: int, rule: Mapping[str, Any]) -> Split:
        where = f"{self.objects[0]} rule {rule.get('name') or index}"
        if any(entry.get("type") == "RequestRedirect" for entry in sections(rule, "filters")):
            raise RouterRefused(f"{where} redirects, which takes no weights", "name a rule that sends to backends")
        entries = sections(rule, "backendRefs")
        destinations = tuple(
            self._destination(entry, f"/spec/rules/{index}/backendRefs/{place}", where) for place, entry in enumerate(entries)
        )
        keys = [destination.key for destination in destinations]
        return Split(where, destinations, position(keys, self._primary, where), position(keys, self._candidate, where), _MOST)

    def _destination(self, entry: Mapping[str, Any], pointer: str, where: str) -> Destination:
        written = whole(entry.get("weight"), f"{where}: a weight")
        return Destination(self._key(entry), f"{pointer}/weight", written, _DEFAULT if written is None else written)

    def _key(self, entry: Mapping[str, Any]) -> str:
        name, namespace = str(entry.get("name", "")), str(entry.get("namespace") or "")
        return Backend(name, namespace, str(entry.get("kind") or "Service"), str(entry.get("group") or "")).key(self.namespace)
