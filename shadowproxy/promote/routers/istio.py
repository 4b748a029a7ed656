"""Istio VirtualService: weights of HTTP routes. PURE.

Weights are proportions, whatever their sum (istio/api ``networking/v1/virtual_service.proto``). Of everything else on the object, retries,
timeouts, mirrors, nothing is read that is not needed and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.json_patch import ObjectRef
from shadowproxy.promote.reading import section
from shadowproxy.promote.routers.shape import Documents
from shadowproxy.promote.routers.weighted import Weighted
from shadowproxy.promote.weights import Split

#: The weight is an int32.
_MOST = 2**31 - 1

#: Fields that answer or hand over a request instead of sending it to a destination.
_NO_ROUTE = ("redirect", "directResponse", "delegate")


@dataclass(frozen=True, slots=True)
class ServiceSubset:
    """A destination: host as a VirtualService names it, and subset where versions share a host."""

    host: str
    subset: str = ""

    def key(self, namespace: str) -> str:
        """The same text for the same destination: Istio completes names without a dot with the object's namespace."""
        host = self.host if "." in self.host else f"{self.host}.{namespace}.svc.cluster.local"
        return f"{host}/{self.subset}" if self.subset else host


@dataclass(frozen=True, slots=True)
class VirtualService:
    """A :class:`~shadowproxy.promote.routers.shape.Shape`. ``routes`` are names of HTTP routes; without them every route that has both
    destinations is steered."""

    namespace: str
    name: str
    primary: ServiceSubset
    candidate: ServiceSubset
    routes: tuple[str, ...] = ()
    version: str = "v1"
    is_annotated: bool = True

    @property
    def objects(self) -> tuple[ObjectRef, ...]:
        return (ObjectRef("networking.istio.io", self.version, "virtualservices", "VirtualService", self.namespace, self.name),)

    def shifts(self, documents: Documents) -> tuple[Split, ...]:
        weighted = Weighted("HTTP route", "http", "route", 0, _MOST, self._key, _refuse_odd)
        primary, candidate = self.primary.key(self.namespace), self.candidate.key(self.namespace)
        return weighted.splits(self.objects[0], section(documents[0], "spec"), primary, candidate, self.routes)

    def identity(self, documents: Documents) -> str:
        return ""

    def problem(self, documents: Documents) -> str:
        return ""

    def steered_fields(self) -> tuple[str, ...]:
        return (".spec.http[].route[].weight",)

    def _key(self, entry: Mapping[str, Any]) -> str:
        destination = section(entry, "destination")
        return ServiceSubset(str(destination.get("host", "")), str(destination.get("subset") or "")).key(self.namespace)


def _refuse_odd(route: Mapping[str, Any], where: str) -> None:
    """What Istio itself refuses, or what makes weights mean nothing."""
    if odd := [key for key in _NO_ROUTE if route.get(key)]:
        raise RouterRefused(f"{where} has {odd[0]}, which takes no weights", "name a route that sends to destinations")
    if route.get("mirror") and route.get("mirrors"):
        raise RouterRefused(f"{where} has both mirror and mirrors, which Istio refuses", "move mirror into mirrors")
